//! What a `pyproject.toml` asks for: dependencies, extras, dependency groups, and what uv's table
//! says about where they come from.
//!
//! Owns reading the text (declaring project metadata; dependency groups, PEP 735). Never touches
//! files and never resolves. Settings that would change the answer and are not supported are
//! refused by name.

mod read;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    Hint,
    lock::Scope,
    requirements::{RequirementLine, Requirements},
    wheel::normalised_name,
};

/// The largest `pyproject.toml` that is read, in bytes.
const LARGEST: usize = 8 << 20;
/// How deep extras and groups may include each other.
const DEEPEST: usize = 100;
/// How many requirements a project may ask for, with everything that it includes.
const MOST: usize = 20_000;

/// A project, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its name, as written.
    pub name: Option<String>,
    /// `requires-python`, as written.
    pub requires_python: Option<String>,
    /// The indexes that it names.
    pub indexes: Vec<ProjectIndex>,
    dependencies: Vec<String>,
    extras: BTreeMap<String, Vec<String>>,
    groups: BTreeMap<String, Vec<GroupItem>>,
    constraints: Vec<String>,
    sources: BTreeMap<String, Source>,
    dynamic: BTreeSet<String>,
}

/// A package index of `[tool.uv]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProjectIndex {
    /// Its address; may hold credentials.
    pub url: String,
    /// Whether it stands in place of the public one.
    pub is_default: bool,
}

impl fmt::Debug for ProjectIndex {
    /// Without credentials: everything before the last `@` goes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.rsplit('@').next().unwrap_or_default();
        f.debug_struct("ProjectIndex").field("url", &url).field("is_default", &self.is_default).finish()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GroupItem {
    Requirement(String),
    Include(String),
}

/// Where a package comes from that does not come from an index.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// After `name @`.
    Url(String),
    /// A path as seen from the project.
    Path(String),
    /// Something that is refused when it is needed.
    Refused(String),
}

/// Why a project cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProjectError {
    /// Too large to be one.
    #[error("it has {size} bytes; a pyproject.toml of more than {LARGEST} is not read")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Not TOML, or not of the right shape.
    #[error("it is not valid{}: {reason}", in_line(*.line))]
    Invalid {
        /// Where, counted from 1, when that is known.
        line: Option<usize>,
        /// What the TOML reader said.
        reason: String,
    },
    /// Nothing in it asks for packages.
    #[error("it has no `[project]` table{}", of_tool(.tool.as_deref()))]
    NoProject {
        /// The tool whose own table is there.
        tool: Option<String>,
    },
    /// Dependencies that only the project's build backend knows.
    #[error("its `{field}` are dynamic: only the project's build backend knows them")]
    Dynamic {
        /// `dependencies` or `optional-dependencies`.
        field: &'static str,
    },
    /// An extra or group that it does not have.
    #[error("it has no {kind} `{name}`{}", there_are(.known))]
    Unknown {
        /// `extra` or `dependency group`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Groups that include each other.
    #[error("its dependency groups include each other: {}", .path.join(" → "))]
    Cycle {
        /// The groups, the first one again at the end.
        path: Vec<String>,
    },
    /// Extras or groups nested or repeated beyond all reason.
    #[error("its extras and groups include more than {MOST} requirements, or more than {DEEPEST} levels")]
    TooMany,
    /// A group's item that is neither requirement nor include.
    #[error("its dependency group `{group}` has an item that is neither a requirement nor `include-group`")]
    BadGroup {
        /// The group.
        group: String,
    },
    /// A setting that would change the answer.
    #[error("it uses {feature}, which is not supported")]
    Unsupported {
        /// The setting, with its table.
        feature: String,
    },
}

impl Hint for ProjectError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TooLarge { .. } => "this is no pyproject.toml: check the file".to_owned(),
            Self::Invalid { .. } => "correct it there".to_owned(),
            Self::NoProject { tool: Some(tool) } if tool == "poetry" => {
                "export it with `poetry export -o requirements.txt` and build with `-r requirements.txt`"
                    .to_owned()
            }
            Self::NoProject { .. } => {
                "list the dependencies in `[project]`, or in a requirements file given with -r".to_owned()
            }
            Self::Dynamic { .. } => {
                "export them with the project's own tool (`uv export -o requirements.txt`) and build with -r, or lock the project and build from its lock"
                    .to_owned()
            }
            Self::Unknown { known, .. } if known.is_empty() => "leave it out, or add it there".to_owned(),
            Self::Unknown { .. } => "name one that is there".to_owned(),
            Self::Cycle { .. } => "take one of the includes out (PEP 735 forbids cycles)".to_owned(),
            Self::TooMany => "include each extra and group once".to_owned(),
            Self::BadGroup { .. } => {
                "write items as \"pandas>=2\" or {include-group = \"other\"} (PEP 735)".to_owned()
            }
            Self::Unsupported { .. } => {
                "build from the project's lock (uv.lock or pylock.toml), or say the same in a requirements file given with -r"
                    .to_owned()
            }
        })
    }
}

fn in_line(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

fn of_tool(tool: Option<&str>) -> String {
    tool.map(|tool| format!("; `[tool.{tool}]` is that tool's own format")).unwrap_or_default()
}

fn there_are(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there are {}", known.join(", ")) }
}

impl Project {
    /// The names of its extras, normalised.
    pub fn extras(&self) -> impl Iterator<Item = &str> {
        self.extras.keys().map(String::as_str)
    }

    /// The names of its dependency groups, normalised.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// What it asks for with these extras and groups. `shown` is how the file is named to people,
    /// `folder` the absolute path of its folder, from which relative paths count.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn requirements(
        &self,
        shown: &str,
        folder: &str,
        scope: &Scope,
    ) -> Result<Requirements, ProjectError> {
        if self.dynamic.contains("dependencies") {
            return Err(ProjectError::Dynamic { field: "dependencies" });
        }
        if self.dynamic.contains("optional-dependencies") && !scope.extras.is_empty() {
            return Err(ProjectError::Dynamic { field: "optional-dependencies" });
        }
        let mut wanted = Wanted { project: self, folder, lines: Vec::new(), origin: String::new(), steps: 0 };
        wanted.origin = format!("{shown} [project]");
        wanted.lines(&self.dependencies, None, &mut Vec::new())?;
        for extra in &scope.extras {
            wanted.origin = format!("{shown} [project.optional-dependencies] {}", normalised_name(extra));
            wanted.extra(extra, None, &mut Vec::new())?;
        }
        for group in &scope.groups {
            wanted.origin = format!("{shown} [dependency-groups] {}", normalised_name(group));
            wanted.group(group, &mut Vec::new(), &mut BTreeSet::new())?;
        }
        Ok(Requirements { lines: wanted.lines })
    }

    /// Bounds that uv's table sets on what may come along.
    pub fn constraints(&self, shown: &str) -> Requirements {
        let origin = format!("{shown} [tool.uv] constraint-dependencies");
        let line = |text: &String| RequirementLine { text: text.clone(), origin: origin.clone() };
        Requirements { lines: self.constraints.iter().map(line).collect() }
    }
}

/// What is asked for, as it is collected.
struct Wanted<'a> {
    project: &'a Project,
    folder: &'a str,
    lines: Vec<RequirementLine>,
    origin: String,
    steps: usize,
}

impl Wanted<'_> {
    fn lines(
        &mut self,
        lines: &[String],
        marker: Option<&str>,
        above: &mut Vec<String>,
    ) -> Result<(), ProjectError> {
        lines.iter().try_for_each(|line| self.line(line, marker, above))
    }

    /// One requirement, under the marker of what included it.
    fn line(
        &mut self,
        text: &str,
        marker: Option<&str>,
        above: &mut Vec<String>,
    ) -> Result<(), ProjectError> {
        self.steps += 1;
        if self.steps > MOST || above.len() > DEEPEST {
            return Err(ProjectError::TooMany);
        }
        let Some(parts) = Parts::of(text) else {
            // The resolver says what is wrong with it.
            self.push(text.to_owned());
            return Ok(());
        };
        let both = match (marker, parts.marker) {
            (Some(outer), Some(own)) => Some(format!("({own}) and ({outer})")),
            (outer, own) => outer.or(own).map(str::to_owned),
        };
        let is_itself = self
            .project
            .name
            .as_deref()
            .is_some_and(|own| normalised_name(own) == normalised_name(parts.name));
        if is_itself && !parts.is_direct {
            for extra in parts.extras.iter().filter(|extra| !extra.is_empty()) {
                self.extra(extra, both.as_deref(), above)?;
            }
            return Ok(());
        }
        let after = both.map(|marker| format!(" ; {marker}")).unwrap_or_default();
        let direct = match self.project.sources.get(&normalised_name(parts.name)) {
            None => {
                self.push(format!("{}{after}", parts.before_marker));
                return Ok(());
            }
            Some(Source::Url(url)) => url.clone(),
            Some(Source::Path(path)) => file_url(self.folder, path),
            Some(Source::Refused(feature)) => {
                return Err(ProjectError::Unsupported { feature: feature.clone() });
            }
        };
        let extras =
            if parts.extras.is_empty() { String::new() } else { format!("[{}]", parts.extras.join(",")) };
        self.push(format!("{}{extras} @ {direct}{after}", parts.name));
        Ok(())
    }

    fn extra(
        &mut self,
        extra: &str,
        marker: Option<&str>,
        above: &mut Vec<String>,
    ) -> Result<(), ProjectError> {
        let project = self.project;
        let name = normalised_name(extra);
        let Some(lines) = project.extras.get(&name) else {
            let known = project.extras.keys().cloned().collect();
            return Err(ProjectError::Unknown { kind: "extra", name, known });
        };
        // An extra within itself adds nothing.
        if above.contains(&name) {
            return Ok(());
        }
        above.push(name);
        self.lines(lines, marker, above)?;
        above.pop();
        Ok(())
    }

    fn group(
        &mut self,
        group: &str,
        above: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Result<(), ProjectError> {
        let project = self.project;
        let name = normalised_name(group);
        let Some(items) = project.groups.get(&name) else {
            let known = project.groups.keys().cloned().collect();
            return Err(ProjectError::Unknown { kind: "dependency group", name, known });
        };
        if let Some(start) = above.iter().position(|other| *other == name) {
            let path = above[start..].iter().cloned().chain([name]).collect();
            return Err(ProjectError::Cycle { path });
        }
        if above.len() > DEEPEST {
            return Err(ProjectError::TooMany);
        }
        if !done.insert(name.clone()) {
            return Ok(());
        }
        above.push(name);
        for item in items {
            match item {
                GroupItem::Requirement(text) => self.line(text, None, &mut Vec::new())?,
                GroupItem::Include(other) => self.group(other, above, done)?,
            }
        }
        above.pop();
        Ok(())
    }

    fn push(&mut self, text: String) {
        self.lines.push(RequirementLine { text, origin: self.origin.clone() });
    }
}

/// A requirement taken apart as far as that needs no resolver (PEP 508).
struct Parts<'a> {
    name: &'a str,
    extras: Vec<&'a str>,
    before_marker: &'a str,
    marker: Option<&'a str>,
    /// Whether it has an address.
    is_direct: bool,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let rest = rest.trim_start();
        let (extras, rest) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (extras, rest) = inner.split_once(']')?;
                (extras.split(',').map(str::trim).collect(), rest.trim_start())
            }
            None => (Vec::new(), rest),
        };
        let is_direct = rest.starts_with('@');
        // An address may hold a semicolon; the one before a marker has a space before it.
        let marker = if is_direct { rest.find(" ;") } else { rest.find(';') };
        let start = text.len() - rest.len();
        let (before_marker, marker) = match marker {
            Some(at) => {
                let (before, after) = text.split_at(start + at);
                (before.trim_end(), Some(after.trim_start().trim_start_matches(';').trim()))
            }
            None => (text, None),
        };
        (!name.is_empty()).then_some(Self { name, extras, before_marker, marker, is_direct })
    }
}

/// The address of a path, relative ones counting from `folder`.
fn file_url(folder: &str, path: &str) -> String {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut url = "file://".to_owned();
    for byte in path.bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => url.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}
