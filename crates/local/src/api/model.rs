//! Lambda's API model: which request is which operation, and the shapes of the inputs.
//!
//! `model.json` holds the operations and input shapes of the service's published model (botocore
//! 1.44.5) without prose and outputs, one per line. Nothing here looks at a value; see
//! [`super::validate`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use serde::Deserialize;

/// The model.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    /// By name.
    pub(crate) operations: BTreeMap<String, Operation>,
    /// By name.
    pub(crate) shapes: BTreeMap<String, Shape>,
    /// The operations by method and number of the path's parts.
    #[serde(skip)]
    routes: HashMap<(String, usize), Vec<Route>>,
}

/// The path of one operation, taken apart.
#[derive(Debug)]
struct Route {
    name: String,
    parts: Vec<Part>,
    /// A parameter that the query must have.
    fixed: Option<(String, String)>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Member(String),
}

/// One operation.
#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    /// HTTP method.
    pub(crate) method: String,
    /// Path with `{Members}`, perhaps with a fixed query.
    pub(crate) uri: String,
    /// HTTP status of success.
    pub(crate) code: u16,
    /// Shape of the input.
    pub(crate) input: Option<String>,
}

/// What a value may be.
#[derive(Debug, Deserialize)]
pub(crate) struct Shape {
    /// `string`, `integer`, `structure`, …
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Least length or value.
    pub(crate) min: Option<i64>,
    /// Greatest length or value.
    pub(crate) max: Option<i64>,
    /// In Java's dialect; matches the whole text.
    pub(crate) pattern: Option<String>,
    /// The values there are.
    #[serde(rename = "enum")]
    pub(crate) values: Option<Vec<String>>,
    /// Members that must be there.
    #[serde(default)]
    pub(crate) required: Vec<String>,
    /// Of a structure.
    #[serde(default)]
    pub(crate) members: BTreeMap<String, Member>,
    /// Of a list.
    pub(crate) member: Option<String>,
    /// Of a map.
    pub(crate) key: Option<String>,
    /// Of a map.
    pub(crate) value: Option<String>,
}

/// A member of a structure.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    /// Its shape.
    pub(crate) shape: String,
    /// `uri`, `querystring`, `header`; none for the body.
    pub(crate) location: Option<String>,
    /// Its name there.
    #[serde(rename = "locationName")]
    pub(crate) location_name: Option<String>,
}

/// A request that the model knows.
pub(crate) struct Found<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The operation.
    pub(crate) operation: &'a Operation,
    /// Members from the path, decoded.
    pub(crate) path: BTreeMap<&'a str, String>,
}

impl Model {
    /// The model, read once.
    pub(crate) fn get() -> &'static Self {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| {
            let mut model: Self =
                serde_json::from_str(include_str!("model.json")).expect("model.json is part of the program");
            model.limit_to_ordinary_functions();
            model.take_paths_apart();
            model
        })
    }

    fn take_paths_apart(&mut self) {
        for (name, operation) in &self.operations {
            let (template, fixed) = operation.uri.split_once('?').unwrap_or((&operation.uri, ""));
            let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(member) => Part::Member(member.to_owned()),
                None => Part::Text(part.to_owned()),
            };
            let parts: Vec<_> = template.trim_matches('/').split('/').map(part).collect();
            let fixed = fixed.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            let key = (operation.method.clone(), parts.len());
            self.routes.entry(key).or_default().push(Route { name: name.clone(), parts, fixed });
        }
    }

    /// The model's own maxima are those of Lambda Managed Instances, which need a capacity
    /// provider; for every other function the service stops earlier (FACTS.md §1).
    fn limit_to_ordinary_functions(&mut self) {
        use layercake_core::limits;
        for (shape, max) in [
            ("Timeout", limits::TIMEOUT_SECONDS.1),
            ("MemorySize", limits::MEMORY_MB.1),
            ("EphemeralStorageSize", limits::EPHEMERAL_STORAGE_MB.1),
        ] {
            if let Some(shape) = self.shapes.get_mut(shape) {
                shape.max = Some(i64::from(max));
            }
        }
    }

    /// The operation of a request. A fixed query decides between operations of one path.
    pub(crate) fn find(&self, method: &str, path: &str, query: &[(String, String)]) -> Option<Found<'_>> {
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        self.routes
            .get(&(method.to_owned(), segments.len()))?
            .iter()
            .filter(|route| {
                route.fixed.as_ref().is_none_or(|(key, value)| {
                    query.iter().any(|(name, given)| name == key && given == value)
                })
            })
            .filter_map(|route| Some((route, matched(&route.parts, &segments)?)))
            .max_by_key(|(route, path)| (route.fixed.is_some(), std::cmp::Reverse(path.len())))
            .and_then(|(route, path)| {
                Some(Found { name: &route.name, operation: self.operations.get(&route.name)?, path })
            })
    }
}

/// The members in a path of as many segments as parts.
fn matched<'a>(parts: &'a [Part], segments: &[&str]) -> Option<BTreeMap<&'a str, String>> {
    let fits = |(part, segment): (&Part, &&str)| !matches!(part, Part::Text(text) if text != segment);
    if !parts.iter().zip(segments).all(fits) {
        return None;
    }
    let members = parts.iter().zip(segments).filter_map(|(part, segment)| match part {
        Part::Member(member) => {
            let text = percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
            Some((member.as_str(), text))
        }
        Part::Text(_) => None,
    });
    Some(members.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match Model::get().find(method, path, &query) {
            Some(found) => format!("{} {:?}", found.name, found.path),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn requests_find_their_operation() {
        insta::assert_snapshot!(check("GET", "/2018-10-31/layers"), @"ListLayers {}");
        insta::assert_snapshot!(check("GET", "/2018-10-31/layers?find=LayerVersion&Arn=x"), @"GetLayerVersionByArn {}");
        insta::assert_snapshot!(check("GET", "/2018-10-31/layers/a%3Ab/versions/3"), @r#"GetLayerVersion {"LayerName": "a:b", "VersionNumber": "3"}"#);
        insta::assert_snapshot!(check("POST", "/2015-03-31/functions/f/invocations"), @r#"Invoke {"FunctionName": "f"}"#);
        insta::assert_snapshot!(check("GET", "/2015-03-31/functions/"), @"ListFunctions {}");
        insta::assert_snapshot!(check("PATCH", "/2015-03-31/functions"), @"nothing");
    }

    #[test]
    fn all_operations_are_there() {
        assert_eq!(Model::get().operations.len(), 91);
        for (name, operation) in &Model::get().operations {
            let (path, query) = operation.uri.split_once('?').unwrap_or((&operation.uri, ""));
            let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let path = path.replace(['{', '}'], "");
            let found = Model::get().find(&operation.method, &path, &query).map(|found| found.name);
            assert_eq!(found, Some(name.as_str()));
        }
    }
}
