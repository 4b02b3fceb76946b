//! Function URLs.

use serde_json::{Value, json};

use super::{check, function, with_alias};

fn url(name: &str, rest: &str) -> String {
    format!("/2021-10-31/functions/{name}/url{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_lives() {
    let harness = with_alias().await;
    insta::assert_snapshot!(check(&harness, "GET", &url("f", ""), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f", ""), json!({ "AuthType": "NONE" })).await, @r#"201 {"FunctionUrl":"http://pvvov5388i9y4jwtbbbnzjmxc1aeionr.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","AuthType":"NONE","CreationTime":"TIME"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f", ""), json!({ "AuthType": "NONE" })).await, @r#"409 ResourceConflictException {"Type":"User","message":"Failed to create function url config for [functionArn = arn:aws:lambda:us-east-1:123456789012:function:f]. Error message:  FunctionUrlConfig exists for this Lambda function"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &url("f", ""), Value::Null).await, @r#"200 {"FunctionUrl":"http://pvvov5388i9y4jwtbbbnzjmxc1aeionr.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","AuthType":"NONE","CreationTime":"TIME","LastModifiedTime":"TIME","InvokeMode":"BUFFERED"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &url("f", ""), json!({ "AuthType": "AWS_IAM" })).await, @r#"200 {"FunctionUrl":"http://pvvov5388i9y4jwtbbbnzjmxc1aeionr.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","AuthType":"AWS_IAM","CreationTime":"TIME","LastModifiedTime":"TIME"}"#);
    let all = json!({
        "InvokeMode": "RESPONSE_STREAM",
        "Cors": {
            "AllowCredentials": true, "AllowHeaders": ["date"], "AllowMethods": ["GET"],
            "AllowOrigins": ["https://example.com"], "ExposeHeaders": ["x"], "MaxAge": 86400,
        },
    });
    insta::assert_snapshot!(check(&harness, "PUT", &url("f", ""), all).await, @r#"200 {"FunctionUrl":"http://pvvov5388i9y4jwtbbbnzjmxc1aeionr.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","AuthType":"AWS_IAM","CreationTime":"TIME","Cors":{"AllowCredentials":true,"AllowHeaders":["date"],"AllowMethods":["GET"],"AllowOrigins":["https://example.com"],"ExposeHeaders":["x"],"MaxAge":86400},"LastModifiedTime":"TIME","InvokeMode":"RESPONSE_STREAM"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f", "?Qualifier=live"), json!({ "AuthType": "NONE" })).await, @r#"201 {"FunctionUrl":"http://xxb5za0m45gsgf7rwgl96jpdx5ix2fmx.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live","AuthType":"NONE","CreationTime":"TIME"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &url("f", "s"), Value::Null).await, @r#"200 {"FunctionUrlConfigs":[{"FunctionUrl":"http://pvvov5388i9y4jwtbbbnzjmxc1aeionr.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","AuthType":"AWS_IAM","CreationTime":"TIME","Cors":{"AllowCredentials":true,"AllowHeaders":["date"],"AllowMethods":["GET"],"AllowOrigins":["https://example.com"],"ExposeHeaders":["x"],"MaxAge":86400},"LastModifiedTime":"TIME","InvokeMode":"RESPONSE_STREAM"},{"FunctionUrl":"http://xxb5za0m45gsgf7rwgl96jpdx5ix2fmx.lambda-url.us-east-1.localhost/","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live","AuthType":"NONE","CreationTime":"TIME","LastModifiedTime":"TIME","InvokeMode":"BUFFERED"}]}"#);
    let first = harness.send("GET", &url("f", "s?MaxItems=1"), Value::Null).await.json();
    let marker = first["NextMarker"].as_str().expect("more").to_owned();
    let second = harness.send("GET", &url("f", &format!("s?Marker={marker}")), Value::Null).await.json();
    assert_eq!(second["FunctionUrlConfigs"].as_array().map(Vec::len), Some(1));
    assert_ne!(first["FunctionUrlConfigs"][0], second["FunctionUrlConfigs"][0]);
    assert_eq!(check(&harness, "DELETE", &url("f", ""), Value::Null).await, "204");
    insta::assert_snapshot!(check(&harness, "DELETE", &url("f", ""), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    harness.send("DELETE", &function("f", ""), Value::Null).await;
    insta::assert_snapshot!(check(&harness, "GET", &url("f", "?Qualifier=live"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_are_of_functions_and_aliases() {
    let harness = with_alias().await;
    let none = || json!({ "AuthType": "NONE" });
    insta::assert_snapshot!(check(&harness, "POST", &url("nope", ""), none()).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function does not exist"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f", "?Qualifier=nope"), none()).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function does not exist"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &url("nope", ""), none()).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function does not exist"}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &url("f", ""), none()).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "GET", &url("nope", "s"), Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"Function does not exist"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f", "?Qualifier=1"), none()).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '1' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)"}"#);
    insta::assert_snapshot!(check(&harness, "GET", &url("f", "?Qualifier=%24LATEST"), Value::Null).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '$LATEST' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f:1", ""), none()).await, @r#"400 ValidationException {"message":"1 validation error detected: Value 'f:1' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\\d+$)[0-9a-zA-Z-_]+))?"}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f:live", "?Qualifier=other"), none()).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The derived qualifier from the function name does not match the specified qualifier."}"#);
    insta::assert_snapshot!(check(&harness, "POST", &url("f", ""), json!({ "AuthType": "x", "Cors": { "MaxAge": 86401, "AllowMethods": ["OPTIONS"] } })).await, @r#"400 ValidationException {"message":"3 validation errors detected: Value 'x' at 'authType' failed to satisfy constraint: Member must satisfy enum value set: [NONE, AWS_IAM]; Value '[OPTIONS]' at 'cors.allowMethods' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 6, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: .*, Member must not be null]; Value '86401' at 'cors.maxAge' failed to satisfy constraint: Member must have value less than or equal to 86400"}"#);
}
