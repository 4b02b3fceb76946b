//! Functions: creation, code, states and preconditions.

use serde_json::{Value, json};

use super::{Harness, code, members, new_function, with_zip, zip_of_zeros};
use crate::store::{FunctionRecord, State, Update};

const FUNCTIONS: &str = "/2015-03-31/functions";
const F: &str = "/2015-03-31/functions/f";

#[tokio::test(flavor = "multi_thread")]
async fn creation_answers_these_members() {
    let harness = Harness::new();
    let created = harness.send("POST", FUNCTIONS, new_function("f", json!({}))).await.json();
    let mut names = members(&created);
    names.sort_unstable();
    insta::assert_snapshot!(names.join(" "), @"Architectures CodeSha256 CodeSize Description EphemeralStorage FunctionArn FunctionName Handler LastModified LoggingConfig MemorySize PackageType RevisionId Role Runtime RuntimeVersionConfig SnapStart State StateReason StateReasonCode Timeout TracingConfig Version");
    let mut shown = created.clone();
    for member in ["CodeSha256", "CodeSize", "LastModified", "RevisionId", "RuntimeVersionConfig"] {
        assert!(!shown[member].is_null(), "{member}");
        shown[member] = Value::Null;
    }
    insta::assert_snapshot!(shown.to_string(), @r#"{"FunctionName":"f","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","Runtime":"python3.12","Role":"arn:aws:iam::123456789012:role/any","Handler":"app.handler","CodeSize":null,"Description":"","Timeout":3,"MemorySize":128,"LastModified":null,"CodeSha256":null,"Version":"$LATEST","TracingConfig":{"Mode":"PassThrough"},"RevisionId":null,"PackageType":"Zip","Architectures":["x86_64"],"EphemeralStorage":{"Size":512},"SnapStart":{"ApplyOn":"None","OptimizationStatus":"Off"},"LoggingConfig":{"LogFormat":"Text","LogGroup":"/aws/lambda/f"},"RuntimeVersionConfig":null,"State":"Pending","StateReason":"The function is being created.","StateReasonCode":"Creating"}"#);
    let time = created["LastModified"].as_str().expect("a time");
    assert!(time.len() == 28 && time.ends_with("+0000"), "{time}");
    let active = harness.settled("f").await;
    insta::assert_snapshot!(json!([active["State"], active["LastUpdateStatus"]]).to_string(), @r#"["Active","Successful"]"#);
    assert!(active.get("StateReason").is_none() && active.get("LastUpdateStatusReason").is_none());
    insta::assert_snapshot!(harness.check("POST", FUNCTIONS, new_function("f", json!({}))).await, @r#"409 ResourceConflictException {"Type":"User","message":"Function already exist: f"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_progress_and_then_done() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let states = |answer: &Value| {
        json!([
            answer["State"],
            answer["LastUpdateStatus"],
            answer["LastUpdateStatusReason"],
            answer["LastUpdateStatusReasonCode"]
        ])
        .to_string()
    };
    let updated = harness.send("PUT", &format!("{F}/configuration"), json!({ "Timeout": 5 })).await.json();
    insta::assert_snapshot!(states(&updated), @r#"["Active","InProgress","The function is being created.","Creating"]"#);
    let done = harness.settled("f").await;
    insta::assert_snapshot!(states(&done), @r#"["Active","Successful",null,null]"#);
    assert_ne!(updated["RevisionId"], done["RevisionId"]);
    let updated = harness.send("PUT", &format!("{F}/code"), json!({ "ZipFile": code("x") })).await.json();
    insta::assert_snapshot!(states(&updated), @r#"["Active","InProgress","The function is being created.","Creating"]"#);
    harness.settled("f").await;
}

/// Puts a function into a state that otherwise passes in a moment.
fn hold(harness: &Harness, state: State, update: impl FnOnce(&FunctionRecord) -> Update) {
    let scope = harness.cloud.scope("us-east-1".parse().expect("a region"));
    let change = |record: &mut FunctionRecord| {
        record.state = state;
        record.update = update(record);
        Ok::<_, std::convert::Infallible>(())
    };
    harness.cloud.store.change_function(&scope, &"f".parse().expect("a name"), change).expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_state_is_refused() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let all = async || {
        let mut lines = Vec::new();
        for (method, path, body) in [
            ("POST", format!("{F}/invocations"), json!({})),
            ("PUT", format!("{F}/configuration"), json!({})),
            ("PUT", format!("{F}/code"), json!({ "ZipFile": code("") })),
            ("POST", format!("{F}/versions"), json!({})),
        ] {
            lines.push(harness.check(method, &path, body).await);
        }
        lines.dedup();
        lines
    };
    hold(&harness, State::Pending, |_| Update::None);
    let refused = all().await;
    insta::assert_snapshot!(refused.join("\n"), @r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. The function is currently in the following state: Pending"}"#);
    hold(&harness, State::Active, |record| Update::InProgress { earlier: Box::new(record.settings.clone()) });
    let dry = json!({ "ZipFile": code(""), "DryRun": true });
    let changed = [
        harness.check("PUT", &format!("{F}/configuration"), json!({})).await,
        harness.check("PUT", &format!("{F}/code"), dry).await,
        harness.check("POST", &format!("{F}/versions"), json!({})).await,
    ];
    insta::assert_snapshot!(changed[0], @r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. An update is in progress for resource: arn:aws:lambda:us-east-1:123456789012:function:f"}"#);
    assert!(changed.iter().all(|line| *line == changed[0]), "{changed:?}");
    // Invocations go to what ran before.
    let headers = [("x-amz-invocation-type", "DryRun")];
    assert_eq!(
        harness.send_body("POST", &format!("{F}/invocations"), &headers, "{}".into()).await.status,
        204
    );
    // What failed is told, and can be changed again.
    hold(&harness, State::Failed { reason: "why".to_owned() }, |_| Update::None);
    let failed = harness.settled("f").await;
    insta::assert_snapshot!(json!([failed["State"], failed["StateReason"], failed["StateReasonCode"]]).to_string(), @r#"["Failed","why","InvalidZipFileException"]"#);
    insta::assert_snapshot!(harness.check("POST", &format!("{F}/invocations"), json!({})).await, @r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. The function is currently in the following state: Failed (why)"}"#);
    hold(&harness, State::Active, |record| Update::Failed {
        reason: "why".to_owned(),
        earlier: Box::new(record.settings.clone()),
    });
    let failed = harness.settled("f").await;
    insta::assert_snapshot!(
        json!([failed["State"], failed["LastUpdateStatus"], failed["LastUpdateStatusReason"], failed["LastUpdateStatusReasonCode"]]).to_string(),
        @r#"["Active","Failed","why","InvalidZipFileException"]"#
    );
    assert_eq!(harness.update("f", json!({ "Timeout": 7 })).await["LastUpdateStatus"], "Successful");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_can_ask_for_a_revision() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let revision = harness.settled("f").await["RevisionId"].clone();
    let configuration = format!("{F}/configuration");
    let wrong = harness.check("PUT", &configuration, json!({ "RevisionId": "wrong" })).await;
    insta::assert_snapshot!(wrong, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#);
    let update = json!({ "ZipFile": code(""), "RevisionId": "wrong" });
    assert_eq!(harness.check("PUT", &format!("{F}/code"), update).await, wrong);
    assert_eq!(harness.send("PUT", &configuration, json!({ "RevisionId": revision })).await.status, 200);
    harness.settled("f").await;
    assert_eq!(harness.check("PUT", &configuration, json!({ "RevisionId": revision })).await, wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_comes_from_one_place() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let update = async |body: Value| harness.check("PUT", &format!("{F}/code"), body).await;
    insta::assert_snapshot!(update(json!({})).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Please provide a source for function code."}"#);
    insta::assert_snapshot!(update(json!({ "Architectures": ["arm64"] })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Please provide a source for function code."}"#);
    insta::assert_snapshot!(update(json!({ "ZipFile": code(""), "S3Bucket": "bucket", "S3Key": "k" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Please do not provide other FunctionCode parameters when providing a ZipFile."}"#);
    insta::assert_snapshot!(update(json!({ "ImageUri": "x" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Please don't provide ImageUri when updating a function with packageType Zip."}"#);
    insta::assert_snapshot!(update(json!({ "S3Bucket": "bucket", "S3Key": "k" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist"}"#);
    insta::assert_snapshot!(update(json!({ "ZipFile": "bm90IGEgemlw" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Could not unzip uploaded file. Please check your file, then try to upload again."}"#);
    assert_eq!(harness.raw("PUT", "/bucket", &[], "".into()).await.0.status, 200);
    insta::assert_snapshot!(update(json!({ "S3Bucket": "bucket", "S3Key": "k" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."}"#);
    let body = super::zip(&[("app.py", b"from S3")]);
    assert_eq!(harness.raw("PUT", "/bucket/k", &[], body.into()).await.0.status, 200);
    let before = harness.settled("f").await;
    let dry = json!({ "S3Bucket": "bucket", "S3Key": "k", "DryRun": true, "Architectures": ["arm64"] });
    let dry = harness.send("PUT", &format!("{F}/code"), dry).await.json();
    assert_ne!(dry["CodeSha256"], before["CodeSha256"]);
    assert_eq!(dry["Architectures"], json!(["arm64"]));
    assert_eq!(harness.settled("f").await, before);
    let update = json!({ "S3Bucket": "bucket", "S3Key": "k", "Architectures": ["arm64"] });
    assert_eq!(harness.send("PUT", &format!("{F}/code"), update).await.status, 200);
    let after = harness.settled("f").await;
    assert_eq!((&after["CodeSha256"], &after["Architectures"]), (&dry["CodeSha256"], &json!(["arm64"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zip_behind_the_location_is_the_one_that_came_in() {
    let harness = Harness::new();
    let zip = super::zip(&[("app.py", b"x = 1")]);
    let encoded = code("x = 1");
    harness.create("f", json!({ "Code": { "ZipFile": encoded } })).await;
    let function = harness.send("GET", F, Value::Null).await.json();
    assert_eq!(function["Code"]["RepositoryType"], "S3");
    let location = function["Code"]["Location"].as_str().expect("a location").replace("http://localhost", "");
    let (_, bytes) = harness.raw("GET", &location, &[], "".into()).await;
    assert_eq!(bytes, zip);
    assert_eq!(function["Configuration"]["CodeSize"], zip.len());
}

const BEFORE: &str = r#"{"FunctionName":"g","Runtime":"python3.12","Handler":"app.handler","Role":"arn:aws:iam::123456789012:role/any","Code":{"ZipFile":""#;

async fn create_with(harness: &Harness, zip: &[u8], after: &str) -> String {
    let seen = harness.send_body("POST", FUNCTIONS, &[], with_zip(BEFORE, zip, after)).await;
    if seen.status == 201 { "201".to_owned() } else { seen.line() }
}

#[tokio::test(flavor = "multi_thread")]
async fn unzipped_code_has_a_limit() {
    let harness = Harness::new();
    insta::assert_snapshot!(create_with(&harness, &zip_of_zeros(262_144_000), "\"}}").await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unzipped size must be smaller than 262144000 bytes"}"#);
    assert_eq!(create_with(&harness, &zip_of_zeros(262_143_999), "\"}}").await, "201");
}

#[tokio::test(flavor = "multi_thread")]
async fn zips_and_requests_have_a_limit() {
    let harness = Harness::new();
    // The size is looked at before the content.
    insta::assert_snapshot!(create_with(&harness, &vec![0; 52_428_800], "\"}}").await, @r#"413 RequestEntityTooLargeException {"Type":"User","message":"Zipped size must be smaller than 52428800 bytes"}"#);
    let largest = vec![0; 52_428_799];
    insta::assert_snapshot!(create_with(&harness, &largest, "\"}}").await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Could not unzip uploaded file. Please check your file, then try to upload again."}"#);
    let room = 70_167_210 - 69_905_068 - BEFORE.len() - "\"}}".len();
    let after = |more: usize| format!("\"}}}}{}", " ".repeat(room + more));
    insta::assert_snapshot!(create_with(&harness, &largest, &after(0)).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Could not unzip uploaded file. Please check your file, then try to upload again."}"#);
    insta::assert_snapshot!(create_with(&harness, &largest, &after(1)).await, @r#"413 RequestEntityTooLargeException {"Type":"User","message":"Request must be smaller than 70167211 bytes for the CreateFunction operation"}"#);
    let layer = with_zip(r#"{"Content":{"ZipFile":""#, &[0; 1], &format!("\"}}}}{}", " ".repeat(70_167_211)));
    insta::assert_snapshot!(
        harness.send_body("POST", "/2018-10-31/layers/l/versions", &[], layer).await.line(),
        @r#"413 RequestEntityTooLargeException {"Type":"User","message":"Request must be smaller than 70167211 bytes for the PublishLayerVersion operation"}"#
    );
    harness.create("f", json!({})).await;
    let update = with_zip(r#"{"ZipFile":""#, &[0; 1], &format!("\"}}{}", " ".repeat(70_167_211)));
    insta::assert_snapshot!(harness.send_body("PUT", &format!("{F}/code"), &[], update).await.line(), @r#"413 RequestEntityTooLargeException {"Type":"User","message":"Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages() {
    let harness = Harness::new();
    for name in ["a", "b", "c"] {
        harness.create(name, json!({})).await;
    }
    let list = async |query: &str| {
        let listed = harness.send("GET", &format!("{FUNCTIONS}{query}"), Value::Null).await;
        match listed.json()["Functions"].as_array() {
            Some(all) => {
                let names: Vec<_> = all.iter().map(|one| one["FunctionName"].clone()).collect();
                format!("{} {}", json!(names), listed.json()["NextMarker"])
            }
            None => listed.line(),
        }
    };
    assert_eq!(list("?MaxItems=2").await, r#"["a","b"] "b""#);
    assert_eq!(list("?MaxItems=2&Marker=b").await, r#"["c"] null"#);
    assert_eq!(list("?MaxItems=10000").await, r#"["a","b","c"] null"#);
    insta::assert_snapshot!(list("?MaxItems=0").await, @r#"400 ValidationException {"message":"1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#);
    insta::assert_snapshot!(list("?MaxItems=10001").await, @r#"400 ValidationException {"message":"1 validation error detected: Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10000"}"#);
    insta::assert_snapshot!(list("?FunctionVersion=SOME").await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'SOME' at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]"}"#);
}
