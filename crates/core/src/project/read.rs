//! Reading the text of a `pyproject.toml`.
//!
//! Owns the shape of the file and of uv's table in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{GroupItem, LARGEST, Project, ProjectError, ProjectIndex, Source};
use crate::wheel::normalised_name;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    project: Option<Table>,
    #[serde(default)]
    dependency_groups: BTreeMap<String, Vec<toml::Value>>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    name: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    dynamic: BTreeSet<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UvTable {
    #[serde(default)]
    index: Vec<UvIndex>,
    index_url: Option<String>,
    #[serde(default)]
    extra_index_url: Vec<String>,
    #[serde(default)]
    sources: BTreeMap<String, toml::Value>,
    #[serde(default)]
    constraint_dependencies: Vec<String>,
    /// As uv had it before PEP 735: requirements of the group `dev`.
    #[serde(default)]
    dev_dependencies: Vec<String>,
    #[serde(flatten)]
    others: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct UvIndex {
    url: String,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    explicit: bool,
}

/// Settings of `[tool.uv]` that choose other files than the requirements and indexes alone do.
const DECISIVE: [&str; 17] = [
    "dependency-metadata",
    "exclude-dependencies",
    "exclude-newer",
    "exclude-newer-package",
    "extra-build-dependencies",
    "find-links",
    "index-strategy",
    "no-binary",
    "no-binary-package",
    "no-build",
    "no-build-package",
    "no-index",
    "no-sources",
    "override-dependencies",
    "prerelease",
    "resolution",
    "torch-backend",
];

impl Project {
    /// Reads the text of a `pyproject.toml`.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn parse(text: &str) -> Result<Self, ProjectError> {
        if text.len() > LARGEST {
            return Err(ProjectError::TooLarge { size: text.len() });
        }
        let text = text.trim_start_matches('\u{feff}');
        let invalid = |error: &toml::de::Error| ProjectError::Invalid {
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| before.matches('\n').count() + 1),
            reason: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let mut file: File = toml::from_str(text).map_err(|error| invalid(&error))?;
        let uv: UvTable = match file.tool.remove("uv") {
            None => UvTable::default(),
            Some(table) => table.try_into().map_err(|error: toml::de::Error| ProjectError::Invalid {
                line: None,
                reason: format!("[tool.uv]: {}", error.message()),
            })?,
        };
        if file.project.is_none() && file.dependency_groups.is_empty() {
            let tool =
                ["poetry", "pdm", "flit", "hatch"].into_iter().find(|tool| file.tool.contains_key(*tool));
            return Err(ProjectError::NoProject { tool: tool.map(str::to_owned) });
        }
        let project = file.project;
        let mut read = Self { groups: groups(file.dependency_groups)?, ..Self::default() };
        if let Some(project) = project {
            read.name = project.name;
            read.requires_python = project.requires_python;
            read.dependencies = project.dependencies;
            read.extras = project
                .optional_dependencies
                .into_iter()
                .map(|(name, lines)| (normalised_name(&name), lines))
                .collect();
            read.dynamic = project.dynamic;
        }
        read.take_uv(uv)?;
        Ok(read)
    }

    fn take_uv(&mut self, uv: UvTable) -> Result<(), ProjectError> {
        // `false` and empty lists are what holds without them.
        let says_nothing = |value: &toml::Value| match value {
            toml::Value::Boolean(set) => !set,
            toml::Value::Array(items) => items.is_empty(),
            toml::Value::Table(table) => table.is_empty(),
            _ => false,
        };
        if let Some(name) =
            DECISIVE.iter().find(|name| uv.others.get(**name).is_some_and(|value| !says_nothing(value)))
        {
            return Err(ProjectError::Unsupported { feature: format!("`{name}` of [tool.uv]") });
        }
        self.constraints = uv.constraint_dependencies;
        if !uv.dev_dependencies.is_empty() {
            let items = uv.dev_dependencies.into_iter().map(GroupItem::Requirement);
            self.groups.entry("dev".to_owned()).or_default().extend(items);
        }
        // An explicit index counts only for packages whose source names it.
        let own = uv.index.into_iter().filter(|index| !index.explicit);
        self.indexes.extend(own.map(|index| ProjectIndex { url: index.url, is_default: index.default }));
        let extra = uv.extra_index_url.into_iter().map(|url| ProjectIndex { url, is_default: false });
        self.indexes.extend(extra);
        self.indexes.extend(uv.index_url.map(|url| ProjectIndex { url, is_default: true }));
        self.sources =
            uv.sources.iter().map(|(name, value)| (normalised_name(name), source(name, value))).collect();
        Ok(())
    }
}

fn groups(
    groups: BTreeMap<String, Vec<toml::Value>>,
) -> Result<BTreeMap<String, Vec<GroupItem>>, ProjectError> {
    let mut read: BTreeMap<String, Vec<GroupItem>> = BTreeMap::new();
    for (group, items) in groups {
        let items = items.into_iter().map(|item| match item {
            toml::Value::String(text) => Ok(GroupItem::Requirement(text)),
            toml::Value::Table(table) if table.len() == 1 => match table.get("include-group") {
                Some(toml::Value::String(other)) => Ok(GroupItem::Include(other.clone())),
                _ => Err(ProjectError::BadGroup { group: group.clone() }),
            },
            _ => Err(ProjectError::BadGroup { group: group.clone() }),
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        let name = normalised_name(&group);
        if read.insert(name, items).is_some() {
            return Err(ProjectError::Invalid {
                line: None,
                reason: format!("two dependency groups are named `{group}`, whatever their spelling"),
            });
        }
    }
    Ok(read)
}

/// What `tool.uv.sources.NAME` means.
fn source(name: &str, value: &toml::Value) -> Source {
    let refused = |what: &str| Source::Refused(format!("{what} for `{name}` in [tool.uv.sources]"));
    let table = match value {
        toml::Value::Table(table) => table,
        toml::Value::Array(items) => match &items[..] {
            [toml::Value::Table(table)] => table,
            _ => return refused("several sources"),
        },
        _ => return refused("a source that is no table"),
    };
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str);
    for key in ["marker", "extra", "group"] {
        if table.contains_key(key) {
            return refused(&format!("`{key}`"));
        }
    }
    let subdirectory =
        text("subdirectory").map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
    if let Some(git) = text("git") {
        let revision = text("rev").or_else(|| text("tag")).or_else(|| text("branch"));
        let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
        let scheme = if git.starts_with("git+") { "" } else { "git+" };
        return Source::Url(format!("{scheme}{git}{revision}{subdirectory}"));
    }
    match (text("url"), text("path"), text("index")) {
        (Some(url), ..) => Source::Url(format!("{url}{subdirectory}")),
        (None, Some(path), _) => Source::Path(path.to_owned()),
        (None, None, Some(_)) => refused("an index of its own"),
        (None, None, None) if table.contains_key("workspace") => refused("a member of the workspace"),
        (None, None, None) => refused("a source of an unknown kind"),
    }
}
