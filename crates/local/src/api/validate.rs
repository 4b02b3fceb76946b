//! The one place where requests are held against the API model, with AWS's texts.
//!
//! Owns the wording of `ValidationException`. Knows no operation by name except where the service
//! itself differs from its model (FACTS.md §1), and never decides anything that is not in the
//! model.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::model::{Model, Shape};

/// One broken constraint, as AWS words it.
pub(crate) type Violation = String;

/// Holds an input against its shape. Gives one text for each violation.
pub(crate) fn violations(model: &Model, shape: &str, input: &Map<String, Value>) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(shape) = model.shapes.get(shape) {
        structure(model, shape, input, "", &mut found);
    }
    found
}

/// The message of a `ValidationException`.
pub(crate) fn message(violations: &[Violation]) -> String {
    let count = violations.len();
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} validation error{plural} detected: {}", violations.join("; "))
}

fn structure(
    model: &Model,
    shape: &Shape,
    input: &Map<String, Value>,
    path: &str,
    found: &mut Vec<Violation>,
) {
    for (name, member) in &shape.members {
        let path = joined(path, name);
        match input.get(name) {
            None | Some(Value::Null) => {
                if shape.required.contains(name) {
                    found.push(format!(
                        "Value null at '{path}' failed to satisfy constraint: Member must not be null"
                    ));
                }
            }
            Some(value) => any(model, &member.shape, value, &path, found),
        }
    }
}

fn any(model: &Model, name: &str, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(shape) = model.shapes.get(name) else {
        return;
    };
    match (shape.kind.as_str(), value) {
        ("structure", Value::Object(members)) => structure(model, shape, members, path, found),
        ("list", Value::Array(items)) => list(model, shape, items, path, found),
        ("map", Value::Object(entries)) => map(model, shape, entries, path, found),
        ("string", Value::String(text)) => {
            // The service answers a wrong runtime with another exception; see `api::lambda`.
            if name == "Runtime" && path == "runtime" {
                return;
            }
            found.extend(
                broken(shape, text)
                    .into_iter()
                    .map(|rule| format!("Value '{text}' at '{path}' failed to satisfy constraint: {rule}")),
            );
        }
        ("float" | "double", Value::Number(number)) => {
            let given = number.as_f64().unwrap_or_default();
            found.extend(
                decimal_rules(shape, given).into_iter().map(|rule| {
                    format!("Value '{given:?}' at '{path}' failed to satisfy constraint: {rule}")
                }),
            );
        }
        ("integer" | "long", Value::Number(number)) => {
            let Some(given) = number.as_i64() else { return };
            if shape.max.is_some_and(|max| given > max) {
                found.push(format!(
                    "Value '{given}' at '{path}' failed to satisfy constraint: \
                     Member must have value less than or equal to {}",
                    shape.max.unwrap_or_default()
                ));
            }
            if shape.min.is_some_and(|min| given < min) {
                found.push(format!(
                    "Value '{given}' at '{path}' failed to satisfy constraint: \
                     Member must have value greater than or equal to {}",
                    shape.min.unwrap_or_default()
                ));
            }
        }
        _ => {}
    }
}

/// A list names all its items, and all rules of an item, as soon as one item breaks one.
fn list(model: &Model, shape: &Shape, items: &[Value], path: &str, found: &mut Vec<Violation>) {
    let shown = || {
        let texts: Vec<_> =
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
        format!("[{}]", texts.join(", "))
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    for rule in length_rules(shape, length) {
        found.push(format!("Value '{}' at '{path}' failed to satisfy constraint: {rule}", shown()));
    }
    let Some((name, item_shape)) =
        shape.member.as_ref().and_then(|name| Some((name, model.shapes.get(name)?)))
    else {
        return;
    };
    if item_shape.kind == "string" {
        let broken = items.iter().any(|item| match item {
            Value::String(text) => !broken(item_shape, text).is_empty(),
            _ => item.is_null(),
        });
        if broken && name == "Runtime" {
            let values = item_shape.values.as_deref().unwrap_or_default().join(", ");
            found.push(format!(
                "Value '{}' at '{path}' failed to satisfy constraint: \
                 Member must satisfy enum value set: [{values}]",
                shown()
            ));
        } else if broken {
            found.push(format!(
                "Value '{}' at '{path}' failed to satisfy constraint: Member must satisfy constraint: [{}]",
                shown(),
                every_rule(item_shape).join(", ")
            ));
        }
    } else {
        for (number, item) in (1..).zip(items) {
            any(model, name, item, &format!("{path}.{number}.member"), found);
        }
    }
}

fn map(model: &Model, shape: &Shape, entries: &Map<String, Value>, path: &str, found: &mut Vec<Violation>) {
    let part = |name: &Option<String>| name.as_ref().and_then(|name| model.shapes.get(name));
    // Environment variables are secrets, which no message repeats.
    let is_secret = shape.key.as_deref() == Some("EnvironmentVariableName");
    let shown = || {
        let entry = |(key, value): (&String, &Value)| match value {
            Value::String(text) => format!("{key}={text}"),
            Value::Number(number) => format!("{key}={:?}", number.as_f64().unwrap_or_default()),
            other => format!("{key}={other}"),
        };
        format!("'{{{}}}' ", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
    };
    let mut broken_rule = |rule: String| {
        let shown = if is_secret { String::new() } else { shown() };
        found.push(format!("Value {shown}at '{path}' failed to satisfy constraint: {rule}"));
    };
    let length = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    length_rules(shape, length).into_iter().for_each(&mut broken_rule);
    if let Some(key_shape) = part(&shape.key)
        && entries.keys().any(|key| !broken(key_shape, key).is_empty())
    {
        broken_rule(format!("Map keys must satisfy constraint: [{}]", every_rule(key_shape).join(", ")));
    }
    if let Some(value_shape) = part(&shape.value)
        && entries.values().any(|value| match value {
            Value::String(text) => !broken(value_shape, text).is_empty(),
            Value::Number(number) => {
                !decimal_rules(value_shape, number.as_f64().unwrap_or_default()).is_empty()
            }
            _ => false,
        })
    {
        broken_rule(format!("Map value must satisfy constraint: [{}]", every_rule(value_shape).join(", ")));
    }
}

/// The rules that a number with a decimal point breaks. The model's bounds are whole.
fn decimal_rules(shape: &Shape, given: f64) -> Vec<String> {
    let mut rules = Vec::new();
    rules.extend(shape.max.filter(|&max| given > max as f64).map(too_much));
    rules.extend(shape.min.filter(|&min| given < min as f64).map(too_little));
    rules
}

fn too_much(max: i64) -> String {
    format!("Member must have value less than or equal to {max}.0")
}

fn too_little(min: i64) -> String {
    format!("Member must have value greater than or equal to {min}.0")
}

/// The rules that a text breaks.
fn broken(shape: &Shape, text: &str) -> Vec<String> {
    let mut rules = length_rules(shape, i64::try_from(text.chars().count()).unwrap_or(i64::MAX));
    if let Some(pattern) = &shape.pattern
        && !matches(pattern, text)
    {
        rules.push(format!("Member must satisfy regular expression pattern: {pattern}"));
    }
    if let Some(values) = &shape.values
        && !values.iter().any(|value| value == text)
    {
        rules.push(format!("Member must satisfy enum value set: [{}]", values.join(", ")));
    }
    rules
}

fn length_rules(shape: &Shape, length: i64) -> Vec<String> {
    let mut rules = Vec::new();
    if shape.max.is_some_and(|max| length > max) {
        rules.push(too_long(shape.max.unwrap_or_default()));
    }
    if shape.min.is_some_and(|min| length < min) {
        rules.push(too_short(shape.min.unwrap_or_default()));
    }
    rules
}

/// All rules of an item of a list or map, in the order in which AWS names them.
fn every_rule(shape: &Shape) -> Vec<String> {
    let mut rules = Vec::new();
    if matches!(shape.kind.as_str(), "float" | "double") {
        rules.extend(shape.max.map(too_much));
        rules.extend(shape.min.map(too_little));
    } else {
        rules.extend(shape.max.map(too_long));
        rules.extend(shape.min.map(too_short));
    }
    rules.extend(
        shape
            .pattern
            .as_ref()
            .map(|pattern| format!("Member must satisfy regular expression pattern: {pattern}")),
    );
    rules.extend(
        shape
            .values
            .as_ref()
            .map(|values| format!("Member must satisfy enum value set: [{}]", values.join(", "))),
    );
    rules.push("Member must not be null".to_owned());
    rules
}

fn too_long(max: i64) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn too_short(min: i64) -> String {
    format!("Member must have length greater than or equal to {min}")
}

/// `code.s3Bucket`: member names begin with a small letter in these texts.
fn joined(path: &str, name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    let name: String = first.into_iter().chain(letters).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Whether the whole text matches a pattern of the model.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: OnceLock<Mutex<HashMap<String, Option<Regex>>>> = OnceLock::new();
    if let Some(check) = by_hand(pattern) {
        return check(text);
    }
    // What may stand around a function's name is optional, and most requests have the name alone.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if pattern.contains("(function:)?([a-zA-Z0-9-_") && !text.is_empty() && text.bytes().all(plain) {
        return true;
    }
    let mut compiled = COMPILED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if !compiled.contains_key(pattern) {
        compiled.insert(pattern.to_owned(), compile(pattern));
    }
    compiled.get(pattern).and_then(Option::as_ref).is_none_or(|regex| regex.is_match(text))
}

fn compile(pattern: &str) -> Option<Regex> {
    // Java takes `[a-zA-Z0-9-_]` as a class with a hyphen; here the hyphen must be escaped.
    let pattern = pattern.replace("0-9-_", "0-9\\-_").replace("a-zA-Z-_", "a-zA-Z\\-_");
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// Patterns with what `regex-lite` leaves out: looking around, and classes of Unicode.
fn by_hand(pattern: &str) -> Option<fn(&str) -> bool> {
    match pattern {
        r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)" => Some(|text| {
            text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c))
        }),
        r"[0-9A-Za-z\.\-_]*(?<!\.)" => Some(|text| {
            !text.ends_with('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }),
        r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)" | r"((?!^\d+$)^[0-9a-zA-Z-_]+$)" => Some(|text| {
            !text.bytes().all(|b| b.is_ascii_digit())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        }),
        r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)" => Some(|text| {
            !text.starts_with("system.")
                && text.starts_with(|first: char| first == '_' || first.is_ascii_alphanumeric())
                && !text.contains('$')
        }),
        FUNCTION_URL_FUNCTION_NAME => Some(|text| {
            // The same without looking ahead, and what would have been seen there.
            let name_or_alias = FUNCTION_URL_FUNCTION_NAME.replace(r"(?!\d+$)", "");
            let is_version = text.rsplit_once(':').is_some_and(|(before, last)| {
                let named = before.rsplit(':').next().unwrap_or_default();
                is_number(last) && !is_number(named) && named != "function"
            });
            !is_version && matches(&name_or_alias, text)
        }),
        _ => None,
    }
}

/// A function's name with an alias perhaps, and never with a version.
const FUNCTION_URL_FUNCTION_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?";

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: &str, input: Value) -> String {
        let Value::Object(input) = input else { panic!("an input is an object") };
        match violations(Model::get(), shape, &input).as_slice() {
            [] => "ok".to_owned(),
            found => message(found),
        }
    }

    #[test]
    fn every_pattern_of_the_model_can_be_checked() {
        for (name, shape) in &Model::get().shapes {
            let Some(pattern) = &shape.pattern else { continue };
            assert!(by_hand(pattern).is_some() || compile(pattern).is_some(), "{name}: {pattern}");
        }
    }

    #[test]
    fn patterns_that_look_around_are_checked_by_hand() {
        let check = |shape: &str, text: &str| {
            matches(Model::get().shapes[shape].pattern.as_deref().expect("a pattern"), text)
        };
        let arn = "arn:aws:lambda:us-east-1:123456789012:function";
        for (text, fits) in [
            ("f", true),
            ("f:live", true),
            ("f:1", false),
            ("7", true),
            ("function:7", true),
            (&format!("{arn}:f"), true),
            (&format!("{arn}:f:live"), true),
            (&format!("{arn}:f:12"), false),
            ("f:$LATEST", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(check("FunctionUrlFunctionName", text), fits, "{text}");
        }
        for (text, fits) in [("things", true), ("system.x", false), ("a$", false), ("-a", false)] {
            assert_eq!(check("CollectionName", text), fits, "{text}");
        }
        for (text, fits) in [("live", true), ("1a", true), ("12", false), ("a b", false)] {
            assert_eq!(check("FunctionUrlQualifier", text), fits, "{text}");
        }
    }

    #[test]
    fn violations_have_the_words_of_aws() {
        insta::assert_snapshot!(
            check("CreateFunctionRequest", serde_json::json!({"FunctionName": "f", "Role": "arn:aws:iam::123456789012:role/r", "Code": {}, "Timeout": 901})),
            @"1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"
        );
        insta::assert_snapshot!(
            check("CreateFunctionRequest", serde_json::json!({"FunctionName": "f", "MemorySize": 10241, "Code": {}})),
            @"2 validation errors detected: Value '10241' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240; Value null at 'role' failed to satisfy constraint: Member must not be null"
        );
        insta::assert_snapshot!(
            check("UpdateFunctionConfigurationRequest", serde_json::json!({"FunctionName": "f", "Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l"]})),
            @r"1 validation error detected: Value '[arn:aws:lambda:us-east-1:123456789012:layer:l]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)), Member must not be null]"
        );
        insta::assert_snapshot!(
            check("UpdateFunctionConfigurationRequest", serde_json::json!({"FunctionName": "f", "Environment": {"Variables": {"1": ""}}})),
            @"1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+, Member must not be null]"
        );
        insta::assert_snapshot!(
            check("CreateAliasRequest", serde_json::json!({"FunctionName": "f", "Name": "a", "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 1.5}}})),
            @"1 validation error detected: Value '{2=1.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"
        );
        insta::assert_snapshot!(
            check("ListLayersRequest", serde_json::json!({"MaxItems": 51})),
            @"1 validation error detected: Value '51' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 50"
        );
    }

    #[test]
    fn good_inputs_pass() {
        for name in
            ["f", "a-b_c", "123456789012:function:f", "arn:aws:lambda:us-east-1:123456789012:function:f"]
        {
            assert_eq!(check("GetFunctionRequest", serde_json::json!({"FunctionName": name})), "ok");
        }
        assert_eq!(
            check(
                "TagResourceRequest",
                serde_json::json!({"Resource": "arn:aws:lambda:us-east-1:123456789012:function:f", "Tags": {"ä b": "ok"}})
            ),
            "ok"
        );
    }
}
