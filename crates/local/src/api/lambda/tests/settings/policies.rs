//! Permissions of functions, versions and aliases.

use serde_json::{Value, json};

use super::{super::Harness, arn, check, function, segment, stable, with_alias};

fn s3(id: &str) -> Value {
    json!({ "StatementId": id, "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com" })
}

async fn revision(harness: &Harness, name: &str) -> Value {
    harness.settled(name).await["RevisionId"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_policy_lives() {
    let harness = with_alias().await;
    let policy = function("f", "/policy");
    insta::assert_snapshot!(check(&harness, "GET", &policy, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{policy}/s3"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy is associated with the given resource."}"#);
    let before = revision(&harness, "f").await;
    let mut statement = s3("s3");
    statement["SourceArn"] = "arn:aws:s3:::bucket".into();
    statement["RevisionId"] = "wrong".into();
    insta::assert_snapshot!(check(&harness, "POST", &policy, statement.clone()).await, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#);
    statement["RevisionId"] = before.clone();
    insta::assert_snapshot!(check(&harness, "POST", &policy, statement).await, @r#"201 {"Statement":"{\"Sid\":\"s3\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:function:f\",\"Condition\":{\"ArnLike\":{\"AWS:SourceArn\":\"arn:aws:s3:::bucket\"}}}"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &policy, s3("s3")).await, @r#"409 ResourceConflictException {"Type":"User","message":"The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing statement."}"#);
    let got = harness.send("GET", &policy, Value::Null).await;
    insta::assert_snapshot!(stable(&got.line()), @r#"200 {"Policy":"{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":[{\"Sid\":\"s3\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:function:f\",\"Condition\":{\"ArnLike\":{\"AWS:SourceArn\":\"arn:aws:s3:::bucket\"}}}]}","RevisionId":"UUID"}"#);
    // The policy's revision is the function's, and the function has another now.
    assert_ne!(got.json()["RevisionId"], before);
    assert_eq!(got.json()["RevisionId"], revision(&harness, "f").await);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{policy}/nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Statement nope is not found in resource policy."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{policy}/s3?RevisionId=wrong"), Value::Null).await, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#);
    let now = got.json()["RevisionId"].as_str().expect("a revision").to_owned();
    assert_eq!(check(&harness, "DELETE", &format!("{policy}/s3?RevisionId={now}"), Value::Null).await, "204");
    insta::assert_snapshot!(check(&harness, "GET", &policy, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_written_as_aws_writes_them() {
    let harness = with_alias().await;
    let add = async |more: Value| {
        let mut body =
            json!({ "StatementId": uuid::Uuid::new_v4().to_string(), "Action": "lambda:InvokeFunction" });
        let (Value::Object(body_members), Value::Object(more)) = (&mut body, more) else { unreachable!() };
        body_members.extend(more);
        let seen = harness.send("POST", &function("f", "/policy"), body).await;
        match seen.json()["Statement"].as_str() {
            Some(statement) => stable(statement),
            None => seen.line(),
        }
    };
    insta::assert_snapshot!(add(json!({ "Principal": "*", "SourceAccount": "123456789012" })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f","Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"}}}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "lambda.amazonaws.com", "SourceAccount": "123456789012" })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f","Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"}}}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "123456789012" })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f"}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "arn:aws:iam::123456789012:user/u" })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/u"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f"}"#);
    insta::assert_snapshot!(add(json!({
        "Principal": "*", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE",
        "SourceAccount": "123456789012", "SourceArn": "arn:aws:s3:::b", "PrincipalOrgID": "o-1234567890",
    })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f","Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012","lambda:FunctionUrlAuthType":"NONE","aws:PrincipalOrgID":"o-1234567890"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "*", "InvokedViaFunctionUrl": true })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f","Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "alexa-appkit.amazon.com", "EventSourceToken": "amzn1.ask.skill.x" })).await, @r#"{"Sid":"UUID","Effect":"Allow","Principal":{"Service":"alexa-appkit.amazon.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:123456789012:function:f","Condition":{"StringEquals":{"lambda:EventSourceToken":"amzn1.ask.skill.x"}}}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "invalid.nonaws.com" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The provided principal was invalid. Please check the principal and try again."}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "*", "FunctionUrlAuthType": "NONE" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"}"#);
    insta::assert_snapshot!(add(json!({ "Principal": "*", "StatementId": "example.com" })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_aliases_have_policies_of_their_own() {
    let harness = with_alias().await;
    harness.send("POST", &function("f", "/policy"), s3("of_function")).await;
    insta::assert_snapshot!(check(&harness, "POST", &function("f", "/policy?Qualifier=1"), s3("s")).await, @r#"201 {"Statement":"{\"Sid\":\"s\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:function:f:1\"}"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &function("f:live", "/policy"), s3("s")).await, @r#"201 {"Statement":"{\"Sid\":\"s\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"s3.amazonaws.com\"},\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:function:f:live\"}"}"#);
    for (qualifier, name) in [("1", "f?Qualifier=1"), ("live", "")] {
        let got =
            harness.send("GET", &function("f", &format!("/policy?Qualifier={qualifier}")), Value::Null).await;
        let document: Value =
            serde_json::from_str(got.json()["Policy"].as_str().expect("text")).expect("JSON");
        assert_eq!(document["Statement"].as_array().map(Vec::len), Some(1), "{}", got.text);
        let owner = if name.is_empty() {
            harness.send("GET", &function("f", "/aliases/live"), Value::Null).await.json()["RevisionId"]
                .take()
        } else {
            revision(&harness, name).await
        };
        assert_eq!(got.json()["RevisionId"], owner);
    }
    // What is deleted takes its policy with it.
    assert_eq!(check(&harness, "DELETE", &function("f", "/aliases/live"), Value::Null).await, "204");
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    harness.send("POST", &function("f", "/aliases"), alias).await;
    insta::assert_snapshot!(check(&harness, "GET", &function("f", "/policy?Qualifier=live"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    harness.send("DELETE", &function("f", ""), Value::Null).await;
    harness.create("f", json!({})).await;
    insta::assert_snapshot!(check(&harness, "GET", &function("f", "/policy"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_policy_is_named_as_it_was_recorded() {
    let harness = with_alias().await;
    let no = function("nope", "/policy");
    insta::assert_snapshot!(check(&harness, "GET", &no, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &no, s3("s")).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{no}/s"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy found for: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &function("f", "/policy?Qualifier=42"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "POST", &function("f", "/policy?Qualifier=42"), s3("s")).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:42"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &function("f", "/policy?Qualifier=nope"), s3("s")).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:f:nope"}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &function("f", "/policy/s?Qualifier=nope"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:f:nope"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &function("f", "/policy?Qualifier=%24LATEST"), s3("s")).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"We currently do not support adding policies for $LATEST."}"#);
    insta::assert_snapshot!(check(&harness, "POST", &function("f:live", "/policy?Qualifier=1"), s3("s")).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The derived qualifier from the function name does not match the specified qualifier."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_has_a_size() {
    let harness = with_alias().await;
    let mut last = String::new();
    for number in 0..100 {
        let mut statement = s3(&format!("{number:0>100}"));
        statement["SourceArn"] = format!("arn:aws:s3:::{}", "b".repeat(2_000)).into();
        last = harness.check("POST", &function("f", "/policy"), statement).await;
        if !last.starts_with("201") {
            break;
        }
    }
    insta::assert_snapshot!(last, @r#"400 PolicyLengthExceededException {"Type":"User","message":"The final policy size (20969) is bigger than the limit (20480)."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_policies_are_the_same_policies() {
    let harness = with_alias().await;
    let path = |rest: &str| format!("/2026-07-09/resource-policy/{}", segment(&arn(rest)));
    let own = path("function:f");
    insta::assert_snapshot!(check(&harness, "GET", &own, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    let document = json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "mine", "Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunction",
        "Resource": arn("function:f"),
    }] });
    let put = harness.send("PUT", &own, json!({ "Policy": document.to_string() })).await;
    insta::assert_snapshot!(stable(&put.line()), @r#"200 {"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"mine\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:function:f\"}]}","RevisionId":"UUID"}"#);
    assert_eq!(harness.send("GET", &own, Value::Null).await.json(), put.json());
    assert_eq!(harness.send("GET", &function("f", "/policy"), Value::Null).await.json(), put.json());
    insta::assert_snapshot!(check(&harness, "POST", &function("f", "/policy"), s3("mine")).await, @r#"409 ResourceConflictException {"Type":"User","message":"The statement id (mine) provided already exists. Please provide a new statement id, or remove the existing statement."}"#);
    let wrong = "00000000-0000-0000-0000-000000000000";
    insta::assert_snapshot!(check(&harness, "PUT", &own, json!({ "Policy": document.to_string(), "RevisionId": wrong })).await, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &own, json!({ "Policy": "no" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The provided policy document was invalid."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &format!("{own}?RevisionId={wrong}"), Value::Null).await, @r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#);
    assert_eq!(check(&harness, "DELETE", &own, Value::Null).await, "204");
    insta::assert_snapshot!(check(&harness, "DELETE", &own, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &path("function:nope"), json!({ "Policy": document.to_string() })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:nope"}"#);
    assert!(
        check(&harness, "PUT", &path("function:f:live"), json!({ "Policy": document.to_string() }))
            .await
            .starts_with("200")
    );
}
