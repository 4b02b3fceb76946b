//! Published versions.

use serde_json::{Value, json};

use super::{Harness, code, members, new_function};

const F: &str = "/2015-03-31/functions/f";

async fn publish(harness: &Harness, body: Value) -> Value {
    let seen = harness.send("POST", &format!("{F}/versions"), body).await;
    assert_eq!(seen.status, 201, "{}", seen.text);
    seen.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_published_once_for_each_change() {
    let harness = Harness::new();
    harness.create("f", json!({ "Description": "mine" })).await;
    let first = publish(&harness, json!({ "Description": "first" })).await;
    let told = ["Version", "Description", "FunctionArn", "State", "LastUpdateStatus"]
        .map(|member| first[member].as_str().unwrap_or_default());
    assert_eq!(
        told,
        ["1", "first", "arn:aws:lambda:us-east-1:123456789012:function:f:1", "Active", "Successful"]
    );
    // Nothing has changed: the same version with its old description.
    assert_eq!(publish(&harness, json!({ "Description": "other" })).await, first);
    // A description is a change.
    let latest = harness.update("f", json!({ "Description": "changed" })).await;
    let second = publish(&harness, json!({})).await;
    assert_eq!((&second["Version"], &second["Description"]), (&json!("2"), &json!("changed")));
    assert_ne!(second["RevisionId"], latest["RevisionId"]);
    assert_eq!(publish(&harness, json!({})).await, second);
    // A version stays as it was published.
    assert_eq!(harness.settled("f?Qualifier=1").await, first);
    assert_eq!(harness.settled("f:1").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_never_reused() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    publish(&harness, json!({})).await;
    assert_eq!(harness.check("DELETE", &format!("{F}?Qualifier=1"), Value::Null).await, "204");
    assert_eq!(publish(&harness, json!({})).await["Version"], "2");
    assert_eq!(harness.check("DELETE", F, Value::Null).await, "204");
    assert_eq!(harness.create("f", json!({ "Publish": true })).await["Version"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_has_preconditions() {
    let harness = Harness::new();
    let versions = format!("{F}/versions");
    insta::assert_snapshot!(
        harness.check("POST", &versions, json!({})).await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f"}"#
    );
    harness.create("f", json!({})).await;
    insta::assert_snapshot!(
        harness.check("POST", &versions, json!({ "CodeSha256": "wrong" })).await,
        @r#"400 InvalidParameterValueException {"Type":"User","message":"CodeSHA256 (wrong) is different from current CodeSHA256 in $LATEST (Gp9KQcC9WwWqvlc2LaT4gNaRG1Ry2aWVRvFxxASto6k=). Please try again with the CodeSHA256 in $LATEST."}"#
    );
    insta::assert_snapshot!(
        harness.check("POST", &versions, json!({ "RevisionId": "wrong" })).await,
        @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#
    );
    insta::assert_snapshot!(
        harness.check("POST", "/2015-03-31/functions/f:1/versions", json!({})).await,
        @r#"400 InvalidParameterValueException {"Type":"User","message":"This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."}"#
    );
    let latest = harness.settled("f").await;
    let version =
        publish(&harness, json!({ "CodeSha256": latest["CodeSha256"], "RevisionId": latest["RevisionId"] }))
            .await;
    assert_eq!(version["Version"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_and_new_code_can_publish() {
    let harness = Harness::new();
    let created =
        harness.send("POST", "/2015-03-31/functions", new_function("f", json!({ "Publish": true }))).await;
    let created = created.json();
    // The version is pending like the function, and its ARN is the function's.
    assert_eq!(
        (&created["Version"], &created["State"], &created["FunctionArn"]),
        (&json!("1"), &json!("Pending"), &json!("arn:aws:lambda:us-east-1:123456789012:function:f"))
    );
    assert!(created.get("LastUpdateStatus").is_none());
    let version = harness.settled("f?Qualifier=1").await;
    assert_eq!((&version["State"], &version["LastUpdateStatus"]), (&json!("Active"), &json!("Successful")));
    harness.settled("f").await;
    let updated = harness
        .send("PUT", &format!("{F}/code"), json!({ "ZipFile": code("x = 1"), "Publish": true }))
        .await
        .json();
    assert_eq!(
        (&updated["Version"], &updated["State"], &updated["FunctionArn"]),
        (&json!("2"), &json!("Pending"), &json!("arn:aws:lambda:us-east-1:123456789012:function:f:2"))
    );
    assert_eq!(harness.settled("f:2").await["CodeSha256"], updated["CodeSha256"]);
    assert_ne!(harness.settled("f:1").await["CodeSha256"], updated["CodeSha256"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    harness.create("g", json!({})).await;
    publish(&harness, json!({})).await;
    harness.update("f", json!({ "Timeout": 4 })).await;
    publish(&harness, json!({})).await;
    let arns = |listed: &Value, key: &str| {
        let all = listed[key].as_array().expect("a list").clone();
        let arns: Vec<_> =
            all.iter().map(|one| one["FunctionArn"].as_str().expect("an ARN").to_owned()).collect();
        let short =
            arns.iter().map(|arn| arn.trim_start_matches("arn:aws:lambda:us-east-1:123456789012:function:"));
        format!("{} {}", short.collect::<Vec<_>>().join(" "), listed["NextMarker"])
    };
    let list =
        async |query: &str| harness.send("GET", &format!("{F}/versions{query}"), Value::Null).await.json();
    let all = list("").await;
    assert_eq!(arns(&all, "Versions"), "f:$LATEST f:1 f:2 null");
    assert!(members(&all["Versions"][1]).iter().all(|member| !member.starts_with("State")));
    assert_eq!(arns(&list("?MaxItems=2").await, "Versions"), r#"f:$LATEST f:1 "1""#);
    assert_eq!(arns(&list("?MaxItems=2&Marker=1").await, "Versions"), "f:2 null");
    assert_eq!(arns(&list("?MaxItems=1").await, "Versions"), r#"f:$LATEST "0""#);
    assert_eq!(arns(&list("?MaxItems=1&Marker=0").await, "Versions"), r#"f:1 "1""#);
    let functions = async |query: &str| {
        harness.send("GET", &format!("/2015-03-31/functions{query}"), Value::Null).await.json()
    };
    assert_eq!(arns(&functions("").await, "Functions"), "f g null");
    assert_eq!(
        arns(&functions("?FunctionVersion=ALL").await, "Functions"),
        "f:$LATEST f:1 f:2 g:$LATEST null"
    );
    assert_eq!(
        arns(&functions("?FunctionVersion=ALL&MaxItems=2").await, "Functions"),
        r#"f:$LATEST f:1 "f:1""#
    );
    assert_eq!(
        arns(&functions("?FunctionVersion=ALL&MaxItems=2&Marker=f%3A1").await, "Functions"),
        "f:2 g:$LATEST null"
    );
    assert_eq!(arns(&functions("?FunctionVersion=ALL&MaxItems=1").await, "Functions"), r#"f:$LATEST "f:0""#);
    assert_eq!(
        arns(&functions("?FunctionVersion=ALL&MaxItems=1&Marker=f%3A0").await, "Functions"),
        r#"f:1 "f:1""#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_of_a_function_can_be_deleted() {
    let harness = Harness::new();
    let delete = async |query: &str| harness.check("DELETE", &format!("{F}{query}"), Value::Null).await;
    insta::assert_snapshot!(
        delete("?Qualifier=1").await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f"}"#
    );
    harness.create("f", json!({ "Publish": true })).await;
    harness.send("POST", &format!("{F}/aliases"), json!({ "Name": "live", "FunctionVersion": "1" })).await;
    insta::assert_snapshot!(
        delete("?Qualifier=$LATEST").await,
        @r#"400 InvalidParameterValueException {"Type":"User","message":"$LATEST version cannot be deleted without deleting the function."}"#
    );
    insta::assert_snapshot!(
        delete("?Qualifier=live").await,
        @r#"400 InvalidParameterValueException {"Type":"User","message":"Deletion of aliases is not currently supported."}"#
    );
    insta::assert_snapshot!(
        delete("?Qualifier=1").await,
        @r#"409 ResourceConflictException {"Type":"User","message":"Unable to delete version because the following aliases reference it: [live]"}"#
    );
    assert_eq!(delete("?Qualifier=7").await, "204");
    assert_eq!(harness.check("DELETE", &format!("{F}/aliases/live"), Value::Null).await, "204");
    assert_eq!(delete(":1").await, "204");
    insta::assert_snapshot!(
        harness.check("GET", &format!("{F}?Qualifier=1"), Value::Null).await,
        @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:1"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_keeps_its_code_and_layers() {
    let harness = Harness::new();
    let layer = json!({ "Content": { "ZipFile": code("layer") } });
    harness.send("POST", "/2018-10-31/layers/l/versions", layer).await;
    let arn = "arn:aws:lambda:us-east-1:123456789012:layer:l:1";
    harness.create("f", json!({ "Layers": [arn], "Publish": true })).await;
    let sha256 = harness.settled("f:1").await["CodeSha256"].clone();
    assert_eq!(harness.check("DELETE", "/2018-10-31/layers/l/versions/1", Value::Null).await, "204");
    harness.update("f", json!({ "Layers": [] })).await;
    harness.send("PUT", &format!("{F}/code"), json!({ "ZipFile": code("other") })).await;
    harness.settled("f").await;
    let version = harness.send("GET", &format!("{F}?Qualifier=1"), Value::Null).await.json();
    assert_eq!(version["Configuration"]["Layers"][0]["Arn"], arn);
    assert_eq!(version["Configuration"]["CodeSha256"], sha256);
    let location = version["Code"]["Location"].as_str().expect("a location").replace("http://localhost", "");
    assert_eq!(harness.send("GET", &location, Value::Null).await.status, 200);
    assert_eq!(harness.check("DELETE", &format!("{F}?Qualifier=1"), Value::Null).await, "204");
    assert_eq!(harness.send("GET", &location, Value::Null).await.status, 404);
}
