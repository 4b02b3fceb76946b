//! The journal: what `up` is about to create and has created, so that `down` can undo exactly
//! that, after a crash at any point.
//!
//! Owns the records and what follows from them. Writing and reading the file is `deploy`'s work.
//!
//! Every resource is recorded *before* it is created. A record that was never completed may or
//! may not stand for something on the endpoint: undoing it looks for the resource by name *and*
//! by this journal's token, so that nothing of anybody else is ever removed.

use serde::{Deserialize, Serialize};

use crate::{
    Hint,
    aws::{BucketName, FunctionName, LayerName, Region, RoleName},
    hash::Sha256,
};

/// Version of the journal's records, raised when their meaning changes.
pub const JOURNAL_FORMAT: u32 = 1;

/// Key of the tag that marks what a journal owns.
pub const TOKEN_TAG: &str = "layercake:token";

/// Where the resources of a journal live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "kebab-case")]
pub enum Place {
    /// A local cloud.
    Local {
        /// The folder that holds its state: the address changes, the folder does not.
        data: String,
        /// The region: a local cloud keeps regions apart as AWS does.
        region: Region,
    },
    /// AWS.
    Aws {
        /// The region.
        region: Region,
        /// The named profile of the credential chain, when one was given.
        profile: Option<String>,
        /// The account the resources were made in.
        account: String,
    },
}

impl Place {
    /// As `--on` takes it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
            Self::Aws { .. } => "aws",
        }
    }
}

/// The first record of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// [`JOURNAL_FORMAT`] of the writer.
    pub format: u32,
    /// The app: its file's name or `.` when the journal lies beside it, else its whole path.
    pub app: String,
    /// Where its resources live.
    #[serde(flatten)]
    pub place: Place,
    /// Random text that marks what this journal made, on the endpoint itself.
    pub token: String,
}

/// Something that `up` makes on the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "resource", rename_all = "kebab-case")]
pub enum Resource {
    /// An IAM role.
    Role {
        /// Its name.
        name: RoleName,
    },
    /// A managed policy on a role.
    RolePolicy {
        /// The role.
        role: RoleName,
        /// The policy's ARN.
        policy: String,
    },
    /// An S3 bucket.
    Bucket {
        /// Its name.
        name: BucketName,
    },
    /// An object in a bucket.
    Object {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: String,
    },
    /// A layer version. Its number is known only once it is published.
    LayerVersion {
        /// The layer.
        layer: LayerName,
        /// The number.
        version: Option<u64>,
        /// Hash of the zip.
        sha256: Sha256,
    },
    /// A function.
    Function {
        /// Its name.
        name: FunctionName,
    },
    /// The group that the function's log goes to. Lambda makes it at the first invocation.
    LogGroup {
        /// Its name.
        name: String,
    },
}

impl Resource {
    /// What it is and its name, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Role { name } => format!("role {name}"),
            Self::RolePolicy { role, policy } => {
                format!("policy {} on role {role}", policy.rsplit('/').next().unwrap_or(policy))
            }
            Self::Bucket { name } => format!("bucket {name}"),
            Self::Object { bucket, key } => format!("object s3://{bucket}/{key}"),
            Self::LayerVersion { layer, version: Some(version), .. } => {
                format!("layer version {layer}:{version}")
            }
            Self::LayerVersion { layer, version: None, .. } => format!("layer version of {layer}"),
            Self::Function { name } => format!("function {name}"),
            Self::LogGroup { name } => format!("log group {name}"),
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The journal begins.
    Opening(Opening),
    /// This is about to be created.
    WillCreate {
        /// Number of the step, counted from 1.
        step: u64,
        /// What.
        #[serde(flatten)]
        resource: Resource,
    },
    /// It has been created.
    Created {
        /// The step.
        step: u64,
        /// What, now with all that the endpoint said of it.
        #[serde(flatten)]
        resource: Resource,
    },
    /// It is gone, by `down` or because creating it failed.
    Undone {
        /// The step.
        step: u64,
    },
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Recorded; whether it exists on the endpoint is not known.
    Intended,
    /// It exists.
    Created,
}

/// A step that has not been undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub number: u64,
    /// What it made.
    pub resource: Resource,
    /// Whether it surely made it.
    pub stage: Stage,
}

/// A journal that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    /// A line in the middle is no record. A torn last line is not an error: a crash leaves it.
    #[error("line {line} of the journal is damaged: {reason}")]
    Damaged {
        /// Counted from 1.
        line: usize,
        /// What the reader said.
        reason: String,
    },
    /// The first record is missing or of a newer format.
    #[error(
        "the journal was written by a newer layercake (format {format}; this one reads up to {JOURNAL_FORMAT})"
    )]
    Newer {
        /// The format it names.
        format: u32,
    },
    /// It does not begin with an opening.
    #[error("the journal does not begin with an opening record")]
    NoOpening,
}

impl Hint for JournalError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Newer { .. } => "use the newer layercake for this app".to_owned(),
            Self::Damaged { .. } | Self::NoOpening => {
                "the journal is text, one record a line: mend the line, or remove the resources it names by hand \
                 and then the file"
                    .to_owned()
            }
        })
    }
}

/// What a journal says, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The opening.
    pub opening: Opening,
    steps: Vec<Step>,
    next: u64,
}

impl Journal {
    /// A journal with nothing in it yet.
    pub fn new(opening: Opening) -> Self {
        Self { opening, steps: Vec::new(), next: 1 }
    }

    /// Reads a journal's text. Answers nothing for a file in which not even the opening was
    /// written whole: nothing can have been created then.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(text: &str) -> Result<Option<Self>, JournalError> {
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut journal: Option<Self> = None;
        for (index, line) in complete.lines().enumerate() {
            let damaged = |reason: String| JournalError::Damaged { line: index + 1, reason };
            let record: Record = serde_json::from_str(line).map_err(|error| {
                // A newer format may have records that this one cannot read.
                newer(line).unwrap_or_else(|| damaged(error.to_string()))
            })?;
            match (&mut journal, record) {
                (None, Record::Opening(opening)) if opening.format > JOURNAL_FORMAT => {
                    return Err(JournalError::Newer { format: opening.format });
                }
                (None, Record::Opening(opening)) => journal = Some(Self::new(opening)),
                (None, _) => return Err(JournalError::NoOpening),
                (Some(_), Record::Opening(_)) => return Err(damaged("a second opening".to_owned())),
                (Some(journal), record) => journal.apply(record),
            }
        }
        Ok(journal)
    }

    /// Takes one record into account.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Opening(_) => {}
            Record::WillCreate { step, resource } => {
                self.next = self.next.max(step + 1);
                self.steps.push(Step { number: step, resource, stage: Stage::Intended });
            }
            Record::Created { step, resource } => {
                if let Some(known) = self.steps.iter_mut().find(|known| known.number == step) {
                    known.resource = resource;
                    known.stage = Stage::Created;
                }
            }
            Record::Undone { step } => self.steps.retain(|known| known.number != step),
        }
    }

    /// Number for the next step.
    pub const fn next_step(&self) -> u64 {
        self.next
    }

    /// What stands, oldest first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What is to be undone, newest first.
    pub fn cleanup(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }

    /// The newest resource of a kind that surely exists.
    pub fn newest<T>(&self, pick: impl Fn(&Resource) -> Option<T>) -> Option<T> {
        self.steps
            .iter()
            .rev()
            .filter(|step| step.stage == Stage::Created)
            .find_map(|step| pick(&step.resource))
    }
}

fn newer(line: &str) -> Option<JournalError> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let format = u32::try_from(value.get("format")?.as_u64()?).ok()?;
    (format > JOURNAL_FORMAT).then_some(JournalError::Newer { format })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        Opening {
            format: JOURNAL_FORMAT,
            app: "pandas".to_owned(),
            place: Place::Local { data: "/data".to_owned(), region: "us-east-1".parse().expect("a region") },
            token: "t".to_owned(),
        }
    }

    fn role(name: &str) -> Resource {
        Resource::Role { name: name.parse().expect("a role name") }
    }

    fn text(records: &[Record]) -> String {
        records
            .iter()
            .map(|record| serde_json::to_string(record).expect("records serialise") + "\n")
            .collect()
    }

    fn check(text: &str) -> String {
        match Journal::read(text) {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(journal)) => journal
                .cleanup()
                .iter()
                .map(|step| format!("{} {} {:?}", step.number, step.resource.describe(), step.stage))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn cleanup_is_newest_first_and_forgets_what_is_undone() {
        let records = text(&[
            Record::Opening(opening()),
            Record::WillCreate { step: 1, resource: role("a") },
            Record::Created { step: 1, resource: role("a") },
            Record::WillCreate { step: 2, resource: role("b") },
            Record::Undone { step: 2 },
            Record::WillCreate { step: 3, resource: role("c") },
        ]);
        insta::assert_snapshot!(check(&records), @r"
        3 role c Intended
        1 role a Created
        ");
        let journal = Journal::read(&records).expect("readable").expect("there");
        assert_eq!(journal.next_step(), 4);
        assert_eq!(
            journal.newest(|resource| matches!(resource, Resource::Role { .. }).then_some(())),
            Some(())
        );
    }

    #[test]
    fn a_crash_tears_only_the_last_line() {
        let records =
            text(&[Record::Opening(opening()), Record::WillCreate { step: 1, resource: role("a") }]);
        for end in 0..records.len() {
            let answer = check(&records[..end]);
            assert!(answer.is_empty() || answer == "nothing", "{end}: {answer}");
        }
        assert_eq!(check(&records), "1 role a Intended");
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let mut records = text(&[Record::Opening(opening())]);
        records.push_str("{\"record\":\"nonsense\"}\n");
        assert!(
            check(&records).starts_with("error: line 2 of the journal is damaged"),
            "{}",
            check(&records)
        );
        let newer =
            serde_json::to_string(&Record::Opening(Opening { format: 99, ..opening() })).expect("serialises");
        insta::assert_snapshot!(check(&(newer + "\n")), @"error: the journal was written by a newer layercake (format 99; this one reads up to 1)");
        let orphan = text(&[Record::Undone { step: 1 }]);
        insta::assert_snapshot!(check(&orphan), @"error: the journal does not begin with an opening record");
    }

    #[test]
    fn records_keep_their_form() {
        insta::assert_snapshot!(text(&[
            Record::Opening(opening()),
            Record::WillCreate { step: 1, resource: Resource::LayerVersion { layer: "l".parse().expect("a name"), version: None, sha256: Sha256::of(b"") } },
        ]), @r#"
        {"record":"opening","format":1,"app":"pandas","on":"local","data":"/data","region":"us-east-1","token":"t"}
        {"record":"will-create","step":1,"resource":"layer-version","layer":"l","version":null,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
        "#);
    }
}
