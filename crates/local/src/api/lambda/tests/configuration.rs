//! Every member of a configuration: what is written reads back.

use serde_json::{Value, json};

use super::Harness;

const F: &str = "/2015-03-31/functions/f";

/// A configuration without what is another every time.
fn steady(mut configuration: Value) -> Value {
    for member in ["RevisionId", "LastModified"] {
        configuration.as_object_mut().expect("an object").remove(member);
    }
    configuration
}

/// Everything that can be written, with other values than at the beginning.
fn everything() -> Value {
    json!({
        "Description": "mine", "Handler": "other.handler", "MemorySize": 256, "Timeout": 30,
        "Role": "arn:aws:iam::123456789012:role/path/other", "Runtime": "python3.13",
        "EphemeralStorage": { "Size": 1024 },
        "Environment": { "Variables": { "Ab": "1", "Cd": "" } },
        "LoggingConfig": { "LogFormat": "JSON", "LogGroup": "/mine", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN" },
        "TracingConfig": { "Mode": "Active" },
        "VpcConfig": { "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": true },
        "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
        "DeadLetterConfig": { "TargetArn": "arn:aws:sqs:us-east-1:123456789012:q" },
        "FileSystemConfigs": [{
            "Arn": "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0",
            "LocalMountPath": "/mnt/x",
        }],
        "SnapStart": { "ApplyOn": "PublishedVersions" },
    })
}

/// Whether all that was written is in the configuration.
fn check_written(written: &Value, found: &Value) {
    for (name, value) in written.as_object().expect("an object") {
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    assert_eq!(&found[name][member], value, "{name}.{member}");
                }
            }
            value => assert_eq!(&found[name], value, "{name}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_updated_reads_back_and_a_second_time_changes_nothing() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let first = harness.update("f", everything()).await;
    check_written(&everything(), &first);
    let second = harness.update("f", everything()).await;
    assert_ne!(first["RevisionId"], second["RevisionId"]);
    assert_eq!(steady(first), steady(second.clone()));
    // Nothing at all changes nothing too.
    assert_eq!(steady(harness.update("f", json!({})).await), steady(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_reads_back() {
    let harness = Harness::new();
    let mut written = everything();
    written["Tags"] = json!({ "a": "b" });
    written["Architectures"] = json!(["arm64"]);
    harness.create("f", written.clone()).await;
    let seen = harness.send("GET", F, Value::Null).await.json();
    assert_eq!(seen["Tags"], written["Tags"]);
    written.as_object_mut().expect("an object").remove("Tags");
    check_written(&written, &seen["Configuration"]);
    insta::assert_snapshot!(seen["Configuration"]["VpcConfig"].to_string(), @r#"{"SubnetIds":["subnet-1"],"SecurityGroupIds":["sg-1"],"VpcId":"vpc-1fd162ee33d329d82","Ipv6AllowedForDualStack":true}"#);
    // A version is optimised, says SnapStart, and $LATEST is not.
    insta::assert_snapshot!(seen["Configuration"]["SnapStart"].to_string(), @r#"{"ApplyOn":"PublishedVersions","OptimizationStatus":"Off"}"#);
    let version = harness.send("POST", &format!("{F}/versions"), json!({})).await.json();
    insta::assert_snapshot!(version["SnapStart"].to_string(), @r#"{"ApplyOn":"PublishedVersions","OptimizationStatus":"On"}"#);
    let version = harness.send("GET", &format!("{F}?Qualifier=1"), Value::Null).await.json();
    assert_eq!(version["Tags"], json!({ "a": "b" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_emptied_is_gone() {
    let harness = Harness::new();
    harness.create("f", everything()).await;
    let emptied = harness
        .update(
            "f",
            json!({
                "Description": "", "Environment": { "Variables": {} }, "KMSKeyArn": "",
                "LoggingConfig": { "LogFormat": "Text" }, "TracingConfig": { "Mode": "PassThrough" },
                "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [] }, "DeadLetterConfig": { "TargetArn": "" },
                "FileSystemConfigs": [], "SnapStart": { "ApplyOn": "None" }, "Layers": [],
            }),
        )
        .await;
    for member in ["KMSKeyArn", "DeadLetterConfig", "FileSystemConfigs", "Layers"] {
        assert!(emptied.get(member).is_none(), "{member}");
    }
    insta::assert_snapshot!(
        json!([emptied["Description"], emptied["Environment"], emptied["LoggingConfig"], emptied["VpcConfig"], emptied["SnapStart"]]).to_string(),
        @r#"["",{"Variables":{}},{"LogFormat":"Text","LogGroup":"/mine"},{"SubnetIds":[],"SecurityGroupIds":[],"VpcId":"","Ipv6AllowedForDualStack":false},{"ApplyOn":"None","OptimizationStatus":"Off"}]"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn log_levels_belong_to_json() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let logging = async |config: Value| {
        harness.update("f", json!({ "LoggingConfig": config })).await["LoggingConfig"].to_string()
    };
    insta::assert_snapshot!(logging(json!({ "LogFormat": "JSON" })).await, @r#"{"LogFormat":"JSON","LogGroup":"/aws/lambda/f","ApplicationLogLevel":"INFO","SystemLogLevel":"INFO"}"#);
    insta::assert_snapshot!(logging(json!({ "ApplicationLogLevel": "ERROR" })).await, @r#"{"LogFormat":"JSON","LogGroup":"/aws/lambda/f","ApplicationLogLevel":"ERROR","SystemLogLevel":"INFO"}"#);
    insta::assert_snapshot!(logging(json!({ "LogFormat": "Text" })).await, @r#"{"LogFormat":"Text","LogGroup":"/aws/lambda/f"}"#);
    insta::assert_snapshot!(logging(json!({ "LogFormat": "JSON" })).await, @r#"{"LogFormat":"JSON","LogGroup":"/aws/lambda/f","ApplicationLogLevel":"INFO","SystemLogLevel":"INFO"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_bounds() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let update = async |change: Value| {
        let seen = harness.send("PUT", &format!("{F}/configuration"), change).await;
        let line = if seen.status == 200 { "200".to_owned() } else { seen.line() };
        harness.settled("f").await;
        line
    };
    for good in [
        json!({ "Timeout": 1 }),
        json!({ "Timeout": 900 }),
        json!({ "MemorySize": 128 }),
        json!({ "MemorySize": 10240 }),
        json!({ "EphemeralStorage": { "Size": 512 } }),
        json!({ "EphemeralStorage": { "Size": 10240 } }),
        json!({ "Description": "d".repeat(256) }),
        json!({ "Handler": "h".repeat(128) }),
    ] {
        assert_eq!(update(good.clone()).await, "200", "{good}");
    }
    insta::assert_snapshot!(update(json!({ "Timeout": 0 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#);
    insta::assert_snapshot!(update(json!({ "Timeout": 901 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"}"#);
    insta::assert_snapshot!(update(json!({ "MemorySize": 127 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"}"#);
    insta::assert_snapshot!(update(json!({ "MemorySize": 10241 })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '10241' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240"}"#);
    insta::assert_snapshot!(update(json!({ "EphemeralStorage": { "Size": 511 } })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '511' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value greater than or equal to 512"}"#);
    insta::assert_snapshot!(update(json!({ "EphemeralStorage": { "Size": 10241 } })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '10241' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value less than or equal to 10240"}"#);
    assert!(update(json!({ "Description": "d".repeat(257) })).await.contains("less than or equal to 256"));
    assert!(update(json!({ "Handler": "h".repeat(129) })).await.contains("less than or equal to 128"));
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_have_a_size_and_reserved_names() {
    let harness = Harness::new();
    harness.create("f", json!({})).await;
    let update = async |variables: Value| {
        let change = json!({ "Environment": { "Variables": variables } });
        let seen = harness.send("PUT", &format!("{F}/configuration"), change).await;
        let line = if seen.status == 200 { "200".to_owned() } else { seen.line() };
        harness.settled("f").await;
        line
    };
    // {"LARGE_VAR":"x…"}: 4,096 bytes of JSON pass and 4,097 do not.
    assert_eq!(update(json!({ "LARGE_VAR": "x".repeat(4_096 - 7 - 9) })).await, "200");
    let text = "x".repeat(4_096 - 6 - 9);
    assert_eq!(
        update(json!({ "LARGE_VAR": text })).await,
        format!(
            "400 InvalidParameterValueException {{\"Type\":\"User\",\"message\":\"Lambda was unable to configure \
             your environment variables because the environment variables you have provided exceeded the 4KB \
             limit. String measured: {{\\\"LARGE_VAR\\\":\\\"{text}\\\"}}\"}}"
        )
    );
    insta::assert_snapshot!(update(json!({ "AWS_REGION": "x" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION"}"#);
    insta::assert_snapshot!(update(json!({ "Mine": "1", "AWS_REGION": "x", "LAMBDA_TASK_ROOT": "x" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"}"#);
    insta::assert_snapshot!(update(json!({ "a": "one letter" })).await, @r#"400 ValidationException {"message":"1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+, Member must not be null]"}"#);
    assert_eq!(update(json!({ "TZ": ":UTC", "PATH": "/x", "PYTHONPATH": "/y", "LANG": "C" })).await, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_by_name() {
    let harness = Harness::new();
    let create = async |more: Value| {
        harness.check("POST", "/2015-03-31/functions", super::new_function("g", more)).await
    };
    insta::assert_snapshot!(create(json!({ "PackageType": "Image", "Code": { "ImageUri": "x" } })).await, @r#"501 NotImplemented {"Type":"User","message":"The local cloud does not implement functions from container images"}"#);
    insta::assert_snapshot!(create(json!({ "DurableConfig": { "ExecutionTimeout": 60 } })).await, @r#"501 NotImplemented {"Type":"User","message":"The local cloud does not implement DurableConfig yet"}"#);
    insta::assert_snapshot!(create(json!({ "TenancyConfig": { "TenantIsolationMode": "PER_TENANT" } })).await, @r#"501 NotImplemented {"Type":"User","message":"The local cloud does not implement TenancyConfig yet"}"#);
    insta::assert_snapshot!(create(json!({ "ImageConfig": { "WorkingDirectory": "/" } })).await, @r#"501 NotImplemented {"Type":"User","message":"The local cloud does not implement ImageConfig yet"}"#);
    insta::assert_snapshot!(create(json!({ "Runtime": "python3.11", "SnapStart": { "ApplyOn": "PublishedVersions" } })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"python3.11 is not supported for SnapStart enabled functions."}"#);
    insta::assert_snapshot!(create(json!({ "DeadLetterConfig": { "TargetArn": "arn:aws:s3:::b" } })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The dead letter target arn:aws:s3:::b is neither an SQS queue nor an SNS topic."}"#);
    insta::assert_snapshot!(create(json!({ "Tags": (0..51).map(|n| (n.to_string(), json!(""))).collect::<serde_json::Map<_, _>>() })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Number of tags exceeds resource tag limit."}"#);
    insta::assert_snapshot!(create(json!({ "Runtime": "python3.7" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions."}"#);
    let unknown = create(json!({ "Runtime": "non-existent-runtime" })).await;
    assert!(
        unknown.starts_with(
            "400 InvalidParameterValueException {\"Type\":\"User\",\"message\":\"Value non-existent-runtime at \
             'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
        ) && unknown.ends_with("] or be a valid ARN\"}"),
        "{unknown}"
    );
}
