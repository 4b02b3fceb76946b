//! Layers, and the layers of functions.

use serde_json::{Value, json};

use super::{Harness, code, with_zip, zip_of_zeros};

const LAYER: &str = "arn:aws:lambda:us-east-1:123456789012:layer";

async fn publish(harness: &Harness, name: &str, more: Value) -> Value {
    let mut body = json!({ "Content": { "ZipFile": code(name) } });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let seen = harness.send("POST", &format!("/2018-10-31/layers/{name}/versions"), body).await;
    assert_eq!(seen.status, 201, "{}", seen.text);
    seen.json()
}

async fn update(harness: &Harness, layers: Value) -> String {
    let path = "/2015-03-31/functions/f/configuration";
    let seen = harness.send("PUT", path, json!({ "Layers": layers })).await;
    let line = if seen.status == 200 { seen.json()["Layers"].to_string() } else { seen.line() };
    harness.settled("f").await;
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_has_five_layers_in_order() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let mut arns = Vec::new();
    for name in ["a", "b", "c", "d", "e", "g"] {
        publish(&harness, name, json!({})).await;
        arns.push(format!("{LAYER}:{name}:1"));
    }
    let attached = update(&harness, json!(arns[..5])).await;
    let found: Vec<Value> = serde_json::from_str(&attached).expect("a list");
    assert_eq!(
        found.iter().map(|layer| layer["Arn"].as_str().expect("an ARN")).collect::<Vec<_>>(),
        &arns[..5]
    );
    insta::assert_snapshot!(found[0].to_string(), @r#"{"Arn":"arn:aws:lambda:us-east-1:123456789012:layer:a:1","CodeSize":111}"#);
    insta::assert_snapshot!(update(&harness, json!(arns)).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Cannot reference more than 5 layers."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_functions_layer() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    for name in ["a", "a", "b"] {
        publish(&harness, name, json!({})).await;
    }
    let arn = |name: &str| format!("{LAYER}:{name}");
    insta::assert_snapshot!(update(&harness, json!([arn("a:1"), arn("a:2")])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Two different versions of the same layer are not allowed to be referenced in the same function. arn:aws:lambda:us-east-1:123456789012:layer:a:1 and arn:aws:lambda:us-east-1:123456789012:layer:a:2 are versions of the same layer."}"#);
    insta::assert_snapshot!(update(&harness, json!([arn("a:1"), arn("a:1")])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Two different versions of the same layer are not allowed to be referenced in the same function. arn:aws:lambda:us-east-1:123456789012:layer:a:1 and arn:aws:lambda:us-east-1:123456789012:layer:a:1 are versions of the same layer."}"#);
    insta::assert_snapshot!(update(&harness, json!([arn("a:2"), arn("b:1"), arn("a:1"), arn("a:2")])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Two different versions of the same layer are not allowed to be referenced in the same function. arn:aws:lambda:us-east-1:123456789012:layer:a:2 and arn:aws:lambda:us-east-1:123456789012:layer:a:1 are versions of the same layer."}"#);
    insta::assert_snapshot!(update(&harness, json!([arn("a:3")])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Layer version arn:aws:lambda:us-east-1:123456789012:layer:a:3 does not exist."}"#);
    insta::assert_snapshot!(update(&harness, json!([arn("nope:1")])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Layer version arn:aws:lambda:us-east-1:123456789012:layer:nope:1 does not exist."}"#);
    insta::assert_snapshot!(update(&harness, json!(["arn:aws:lambda:eu-west-1:123456789012:layer:a:1"])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Layers are not in the same region as the function. Layers are expected to be in region us-east-1."}"#);
    insta::assert_snapshot!(update(&harness, json!(["arn:aws:lambda:us-east-1:210987654321:layer:a:1"])).await, @r#"403 AccessDeniedException {"Type":"User","message":"User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:210987654321:layer:a:1 because no resource-based policy allows the lambda:GetLayerVersion action"}"#);
    insta::assert_snapshot!(update(&harness, json!([arn("a")])).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '[arn:aws:lambda:us-east-1:123456789012:layer:a]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)), Member must not be null]"}"#);
    let create = super::new_function("g", json!({ "Layers": [arn("a:3")] }));
    assert_eq!(
        harness.check("POST", "/2015-03-31/functions", create).await,
        update(&harness, json!([arn("a:3")])).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_version_stays_with_its_functions_and_is_not_given_again() {
    let harness = Harness::new();
    let arn = publish(&harness, "l", json!({})).await["LayerVersionArn"].clone();
    harness.create("f", json!({ "Layers": [arn] })).await;
    let version = "/2018-10-31/layers/l/versions/1";
    assert_eq!(harness.check("DELETE", version, Value::Null).await, "204");
    assert_eq!(harness.check("DELETE", version, Value::Null).await, "204");
    let layers = harness.settled("f").await["Layers"].clone();
    assert_eq!(layers[0]["Arn"], arn);
    // A change of something else leaves it; naming it again does not.
    assert_eq!(harness.update("f", json!({ "Timeout": 5 })).await["Layers"], layers);
    insta::assert_snapshot!(update(&harness, json!([arn])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Layer version arn:aws:lambda:us-east-1:123456789012:layer:l:1 does not exist."}"#);
    insta::assert_snapshot!(harness.check("GET", version, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    assert_eq!(publish(&harness, "l", json!({})).await["Version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_looked_up() {
    let harness = Harness::new();
    let published = publish(&harness, "l", json!({ "CompatibleRuntimes": [], "LicenseInfo": "MIT" })).await;
    let mut shown = published.clone();
    for member in ["CreatedDate", "Content"] {
        assert!(!shown[member].is_null(), "{member}");
        shown[member] = Value::Null;
    }
    insta::assert_snapshot!(shown.to_string(), @r#"{"LayerVersionArn":"arn:aws:lambda:us-east-1:123456789012:layer:l:1","Version":1,"Description":"","CreatedDate":null,"CompatibleRuntimes":[],"LicenseInfo":"MIT","LayerArn":"arn:aws:lambda:us-east-1:123456789012:layer:l","Content":null}"#);
    let get =
        async |path: &str| harness.check("GET", &format!("/2018-10-31/layers{path}"), Value::Null).await;
    let found = harness.send("GET", "/2018-10-31/layers/l/versions/1", Value::Null).await;
    assert_eq!(found.json(), published);
    let by_arn = format!("/2018-10-31/layers?find=LayerVersion&Arn={LAYER}:l:1");
    assert_eq!(harness.send("GET", &by_arn, Value::Null).await.json(), published);
    insta::assert_snapshot!(get("/l/versions/2").await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(get(&format!("?find=LayerVersion&Arn={LAYER}:l:2")).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(get("/nope/versions").await, @r#"200 {"LayerVersions":[]}"#);
    insta::assert_snapshot!(harness.check("DELETE", "/2018-10-31/layers/l/versions/0", Value::Null).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Layer Version Cannot be less than 1"}"#);
    assert_eq!(harness.check("DELETE", "/2018-10-31/layers/nope/versions/1", Value::Null).await, "204");
    insta::assert_snapshot!(get("?MaxItems=51").await, @r#"400 ValidationException {"message":"1 validation error detected: Value '51' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 50"}"#);
    let filtered = get("?CompatibleRuntime=non-existent-runtime").await;
    assert!(
        filtered.starts_with("400 ValidationException {\"message\":\"1 validation error detected: Value \
            'non-existent-runtime' at 'compatibleRuntime' failed to satisfy constraint: Member must satisfy enum \
            value set: ["),
        "{filtered}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_layers_share_a_limit() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let mut arns = Vec::new();
    for (name, bytes) in [("a", 131_072_000), ("b", 131_072_000), ("c", 131_072_001)] {
        let body = with_zip(r#"{"Content":{"ZipFile":""#, &zip_of_zeros(bytes), "\"}}");
        let seen = harness.send_body("POST", &format!("/2018-10-31/layers/{name}/versions"), &[], body).await;
        assert_eq!(seen.status, 201, "{}", seen.text);
        arns.push(format!("{LAYER}:{name}:1"));
    }
    // The function's own code is empty.
    assert!(update(&harness, json!([arns[0], arns[1]])).await.starts_with('['));
    insta::assert_snapshot!(update(&harness, json!([arns[0], arns[2]])).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is 262144001 bytes."}"#);
    let body = with_zip(r#"{"Content":{"ZipFile":""#, &zip_of_zeros(262_144_000), "\"}}");
    insta::assert_snapshot!(
        harness.send_body("POST", "/2018-10-31/layers/d/versions", &[], body).await.line(),
        @r#"400 InvalidParameterValueException {"Type":"User","message":"Unzipped size must be smaller than 262144000 bytes"}"#
    );
}
