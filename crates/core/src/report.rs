//! The report of a run: what was resolved, built, published, made and answered.
//!
//! One value feeds the terminal, `--json` and whoever reads that. It is a promise: fields are
//! added, not changed, without raising [`REPORT_FORMAT`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    aws::{FunctionName, Handler, LayerVersionArn},
    check::Verdict,
    hash::Sha256,
    plan::{ExcludedFile, Finding, LayerPlan, Profile, Reason, Tally, fit::Pulled},
    resolution::Resolution,
    target::Target,
};

/// Version of the serialised form.
pub const REPORT_FORMAT: u32 = 1;

/// Everything that `up` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`] of the writer.
    pub format: u32,
    /// The app's name.
    pub app: String,
    /// `local` or `aws`.
    pub on: String,
    /// The endpoint that was spoken to; nothing for AWS's own.
    pub endpoint: Option<String>,
    /// What it was built for.
    pub target: Target,
    /// The layer; nothing for an app without requirements.
    pub layer: Option<LayerReport>,
    /// The function.
    pub function: FunctionReport,
    /// The test run.
    pub invocation: Invocation,
    /// How long each stage took.
    pub stages: Vec<StageTime>,
    /// What the user should know beside.
    pub notes: Vec<String>,
}

/// A stage and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage's name, such as `resolve`.
    pub stage: String,
    /// Wall time in ms.
    pub ms: f64,
}

/// The layer, from its wheels to its version on the endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The wheels in it.
    pub packages: Vec<Package>,
    /// Files in the zip.
    pub files: u64,
    /// Size of the zip in bytes.
    pub zipped: u64,
    /// Sum of its files in bytes.
    pub unzipped: u64,
    /// Hash of the zip.
    pub sha256: Sha256,
    /// What was left out, by reason.
    pub excluded: BTreeMap<Reason, Tally>,
    /// What the plan found.
    pub findings: Vec<Finding>,
    /// What was done to make it fit.
    #[serde(default)]
    pub pulled: Vec<Pulled>,
    /// Targets without bytecode, for want of an interpreter.
    #[serde(default)]
    pub without_bytecode: Vec<Target>,
    /// Whether it will run.
    #[serde(default)]
    pub checks: Vec<Verdict>,
    /// The version on the endpoint.
    pub arn: LayerVersionArn,
    /// How it came there.
    pub published: Published,
}

/// A package in the layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wheel.
    pub wheel: String,
    /// Unpacked bytes in the layer.
    pub unzipped: u64,
}

/// Everything that `build` did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// [`REPORT_FORMAT`] of the writer.
    pub format: u32,
    /// What it was built for.
    pub targets: Vec<Target>,
    /// How much was kept.
    pub profile: Profile,
    /// The zips; without hash and path in a dry run, which writes none.
    pub layers: Vec<ZipReport>,
    /// The packages.
    pub packages: Vec<BuiltPackage>,
    /// What was left out, by reason.
    pub excluded: BTreeMap<Reason, Tally>,
    /// Every file that was left out, in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_files: Vec<ExcludedFile>,
    /// What the plan found.
    pub findings: Vec<Finding>,
    /// What was done to make it fit.
    pub pulled: Vec<Pulled>,
    /// Targets without bytecode, for want of an interpreter.
    pub without_bytecode: Vec<Target>,
    /// Whether it will run, for each target.
    #[serde(default)]
    pub checks: Vec<Verdict>,
    /// How long each stage took.
    pub stages: Vec<StageTime>,
}

/// A layer's zip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZipReport {
    /// Which part of a split layer it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Where it was written.
    pub path: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Its size in bytes.
    pub zipped: u64,
    /// Sum of its files in bytes.
    pub unzipped: u64,
    /// Its hash.
    pub sha256: Option<Sha256>,
}

/// A package of a built layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wheel.
    pub wheel: String,
    /// What the wheel was chosen for.
    pub target: Target,
    /// Files in the layer.
    pub files: u64,
    /// Unpacked bytes in the layer.
    pub unzipped: u64,
    /// Bytes in the zip.
    pub zipped: u64,
}

/// How a layer version came to be on the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Published {
    /// Within the request.
    Directly,
    /// Through a bucket.
    ViaS3,
    /// It was there from an earlier run, with the same content.
    Already,
}

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionReport {
    /// Its name.
    pub name: FunctionName,
    /// Its ARN.
    pub arn: String,
    /// The handler.
    pub handler: Handler,
    /// Memory in MB.
    pub memory_mb: u32,
    /// Timeout in seconds.
    pub timeout_seconds: u32,
    /// Size of the code's zip in bytes.
    pub code_zipped: u64,
    /// Hash of the code's zip.
    pub code_sha256: Sha256,
    /// What was done.
    pub change: Change,
}

/// What was done to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Created,
    /// Its code is new, its configuration as it was.
    CodeUpdated,
    /// Its configuration is new, its code as it was.
    ConfigurationUpdated,
    /// Both are new.
    Updated,
    /// Nothing was.
    Unchanged,
}

/// One run of the function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// HTTP status of the invoke call.
    pub status: u16,
    /// `Unhandled` when the function failed.
    pub function_error: Option<String>,
    /// The response, as the function gave it.
    pub payload: JsonText,
    /// The last 4 KB of the run's log, START to REPORT.
    pub log: String,
    /// The figures of the REPORT line.
    pub figures: Option<Figures>,
}

/// JSON as it was written: numbers keep all their digits, members their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// Takes a text that should be JSON; one that is not (Python writes `NaN`) becomes a string.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let raw = RawValue::from_string(text.to_owned())
            .or_else(|_| RawValue::from_string(serde_json::Value::String(text.to_owned()).to_string()));
        Self(raw.unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// Takes a text that must be JSON.
    ///
    /// # Errors
    /// What the reader says.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.trim().to_owned()).map(Self)
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// A member of an object, when it is a string.
    pub fn string_at(&self, key: &str) -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(self.text()).ok()?;
        value.get(key)?.as_str().map(str::to_owned)
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// The REPORT line's figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Duration in ms.
    pub duration_ms: f64,
    /// Billed duration in ms.
    pub billed_ms: u64,
    /// Memory size in MB.
    pub memory_mb: u64,
    /// Max memory used in MB.
    pub max_memory_mb: u64,
    /// Init duration in ms, on a cold start.
    pub init_ms: Option<f64>,
}

impl Figures {
    /// Reads them from a log that holds a REPORT line (FACTS.md §6).
    pub fn from_log(log: &str) -> Option<Self> {
        let line = log.lines().rev().find(|line| line.starts_with("REPORT RequestId:"))?;
        let field = |name: &str| -> Option<&str> {
            let value =
                line.split('\t').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix(": "))?;
            value.split_whitespace().next()
        };
        Some(Self {
            duration_ms: field("Duration")?.parse().ok()?,
            billed_ms: field("Billed Duration")?.parse().ok()?,
            memory_mb: field("Memory Size")?.parse().ok()?,
            max_memory_mb: field("Max Memory Used")?.parse().ok()?,
            init_ms: field("Init Duration").and_then(|value| value.parse().ok()),
        })
    }
}

/// The packages of a built layer. The plan numbers the wheels of all resolutions, one after the
/// other.
pub fn built_packages(resolutions: &[Resolution], plan: &LayerPlan) -> Vec<BuiltPackage> {
    resolutions
        .iter()
        .flat_map(|resolution| resolution.wheels.iter().map(|wheel| (resolution.target, wheel)))
        .zip(&plan.wheels)
        .map(|((target, wheel), planned)| BuiltPackage {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
            wheel: wheel.filename.clone(),
            target,
            files: planned.files,
            unzipped: planned.unzipped,
            zipped: planned.packed,
        })
        .collect()
}

/// The packages of a layer with what each weighs.
pub fn packages(resolution: &Resolution, plan: &LayerPlan) -> Vec<Package> {
    resolution
        .wheels
        .iter()
        .zip(&plan.wheels)
        .map(|(wheel, planned)| Package {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
            wheel: wheel.filename.clone(),
            unzipped: planned.unzipped,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_what_was_written() {
        let text = JsonText::parse(" {\"n\": 123456789012345678901, \"a\": 1.10} ").expect("JSON");
        assert_eq!(text.text(), "{\"n\": 123456789012345678901, \"a\": 1.10}");
        assert_eq!(JsonText::of("NaN").text(), "\"NaN\"");
        assert_eq!(JsonText::of("{\"errorType\":\"X\"}").string_at("errorType").as_deref(), Some("X"));
        assert!(JsonText::parse("{nonsense").is_err());
    }

    #[test]
    fn the_report_line_is_read() {
        let log = "START RequestId: x Version: $LATEST\nREPORT RequestId: x\tDuration: 2.31 ms\tBilled Duration: 805 ms\tMemory Size: 128 MB\tMax Memory Used: 111 MB\tInit Duration: 802.06 ms\t\n";
        let figures = Figures::from_log(log).expect("a REPORT line");
        assert_eq!(
            figures,
            Figures {
                duration_ms: 2.31,
                billed_ms: 805,
                memory_mb: 128,
                max_memory_mb: 111,
                init_ms: Some(802.06)
            }
        );
        assert_eq!(Figures::from_log("START"), None);
    }
}
