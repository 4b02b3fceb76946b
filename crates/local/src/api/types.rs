//! Whether each member of a request has the JSON type that the API model gives it.
//!
//! Comes before [`super::validate`], which looks at values of the right type only, so that handlers
//! get what their own types expect. The words are those that AWS's JSON front ends have in common;
//! none was recorded on Lambda itself.

use serde_json::{Map, Value};

use super::model::{Model, Shape};

/// The first member of another type than its shape's, in words.
pub(crate) fn fault(model: &Model, shape: &str, input: &Map<String, Value>) -> Option<String> {
    structure(model, model.shapes.get(shape)?, input)
}

fn structure(model: &Model, shape: &Shape, input: &Map<String, Value>) -> Option<String> {
    shape.members.iter().find_map(|(name, member)| any(model, &member.shape, input.get(name)?))
}

fn any(model: &Model, name: &str, value: &Value) -> Option<String> {
    let shape = model.shapes.get(name)?;
    match (shape.kind.as_str(), value) {
        (_, Value::Null) => None,
        ("structure", Value::Object(members)) => structure(model, shape, members),
        ("list", Value::Array(items)) => each(model, shape.member.as_ref()?, items),
        ("map", Value::Object(entries)) => each(model, shape.value.as_ref()?, entries.values()),
        ("string" | "blob" | "timestamp", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("float" | "double" | "timestamp", Value::Number(_)) => None,
        ("integer", Value::Number(number)) => {
            let fits = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
            (!fits).then(|| converted(number_token(value), "Integer"))
        }
        ("long", Value::Number(number)) => (!number.is_i64()).then(|| converted(number_token(value), "Long")),
        ("list", _) => Some("Expected list or null".to_owned()),
        ("map" | "structure", _) => Some("Expected map or null".to_owned()),
        (_, Value::Array(_)) => Some("Start of list found where not expected".to_owned()),
        (_, Value::Object(_)) => Some("Start of structure or map found where not expected.".to_owned()),
        (kind, value) => Some(converted(token(value), wanted(kind))),
    }
}

fn each<'a>(model: &Model, name: &str, values: impl IntoIterator<Item = &'a Value>) -> Option<String> {
    values.into_iter().find_map(|value| any(model, name, value))
}

fn converted(token: &str, wanted: &str) -> String {
    format!("{token} cannot be converted to {wanted}")
}

/// A value as the parser names its token.
fn token(value: &Value) -> &'static str {
    match value {
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => number_token(value),
        _ => "STRING_VALUE",
    }
}

fn number_token(value: &Value) -> &'static str {
    if value.is_f64() { "DECIMAL_VALUE" } else { "NUMBER_VALUE" }
}

fn wanted(kind: &str) -> &'static str {
    match kind {
        "integer" => "Integer",
        "long" => "Long",
        "float" => "Float",
        "double" => "Double",
        "boolean" => "Boolean",
        "timestamp" => "Timestamp",
        "blob" => "Blob",
        _ => "String",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(shape: &str, input: Value) -> String {
        let Value::Object(input) = input else { panic!("an input is an object") };
        fault(Model::get(), shape, &input).unwrap_or_else(|| "ok".to_owned())
    }

    #[test]
    fn members_of_another_type_are_named_by_their_token() {
        let create = |input| check("CreateFunctionRequest", input);
        insta::assert_snapshot!(create(json!({"Timeout": "7"})), @"STRING_VALUE cannot be converted to Integer");
        insta::assert_snapshot!(create(json!({"Timeout": 7.5})), @"DECIMAL_VALUE cannot be converted to Integer");
        insta::assert_snapshot!(create(json!({"Timeout": 3_000_000_000_u32})), @"NUMBER_VALUE cannot be converted to Integer");
        insta::assert_snapshot!(create(json!({"Handler": 1})), @"NUMBER_VALUE cannot be converted to String");
        insta::assert_snapshot!(create(json!({"Handler": true})), @"TRUE_VALUE cannot be converted to String");
        insta::assert_snapshot!(create(json!({"Handler": ["a"]})), @"Start of list found where not expected");
        insta::assert_snapshot!(create(json!({"Publish": "yes"})), @"STRING_VALUE cannot be converted to Boolean");
        insta::assert_snapshot!(create(json!({"Layers": "a"})), @"Expected list or null");
        insta::assert_snapshot!(create(json!({"Layers": ["a", 2]})), @"NUMBER_VALUE cannot be converted to String");
        insta::assert_snapshot!(create(json!({"Code": "a"})), @"Expected map or null");
        insta::assert_snapshot!(create(json!({"Environment": {"Variables": {"A": {}}}})), @"Start of structure or map found where not expected.");
        insta::assert_snapshot!(create(json!({"Timeout": null, "Tags": {"a": "b"}, "Publish": false, "Unknown": 1})), @"ok");
        insta::assert_snapshot!(check("CreateEventSourceMappingRequest", json!({"StartingPositionTimestamp": 1.5})), @"ok");
        insta::assert_snapshot!(check("CreateAliasRequest", json!({"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}})), @"ok");
    }
}
