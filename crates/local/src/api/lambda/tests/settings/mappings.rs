//! Event source mappings.

use serde_json::{Value, json};

use super::{super::Harness, arn, check, stable, with_alias};

const MAPPINGS: &str = "/2015-03-31/event-source-mappings";
const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:q";
const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/s";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000";
const CLUSTER: &str = "arn:aws:kafka:us-east-1:123456789012:cluster/c/12345678-1234-1234-1234-123456789012-1";
const BROKER: &str = "arn:aws:mq:us-east-1:123456789012:broker:b:b-1";
const DATABASE: &str = "arn:aws:rds:us-east-1:123456789012:cluster:d";

/// The request of a new mapping for `f`.
fn of(source: &str, more: Value) -> Value {
    let mut body = json!({ "FunctionName": "f", "EventSourceArn": source });
    let (Value::Object(members), Value::Object(more)) = (&mut body, more) else { unreachable!() };
    members.extend(more);
    body
}

/// Waits until a mapping is in a state that lasts, or gone.
async fn at_rest(harness: &Harness, uuid: &str) -> Value {
    loop {
        let seen = harness.send("GET", &format!("{MAPPINGS}/{uuid}"), Value::Null).await;
        let state = seen.json()["State"].as_str().unwrap_or_default().to_owned();
        if seen.status == 404 || matches!(state.as_str(), "Enabled" | "Disabled") {
            return seen.json();
        }
        tokio::task::yield_now().await;
    }
}

async fn create(harness: &Harness, body: Value) -> (String, String) {
    let made = harness.send("POST", MAPPINGS, body).await;
    let uuid = made.json()["UUID"].as_str().unwrap_or_default().to_owned();
    (uuid, stable(&made.line()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_lives() {
    let harness = with_alias().await;
    let (uuid, line) = create(&harness, of(QUEUE, json!({}))).await;
    insta::assert_snapshot!(line, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:sqs:us-east-1:123456789012:q","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"USER_INITIATED","BatchSize":10,"MaximumBatchingWindowInSeconds":0,"FunctionResponseTypes":[]}"#);
    let one = format!("{MAPPINGS}/{uuid}");
    insta::assert_snapshot!(stable(&at_rest(&harness, &uuid).await.to_string()), @r#"{"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:sqs:us-east-1:123456789012:q","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Enabled","StateTransitionReason":"USER_INITIATED","LastProcessingResult":"No records processed: the local cloud has no SQS, so nothing is read","BatchSize":10,"MaximumBatchingWindowInSeconds":0,"FunctionResponseTypes":[]}"#);
    insta::assert_snapshot!(check(&harness, "POST", MAPPINGS, of(QUEUE, json!({}))).await, @r#"409 ResourceConflictException {"Type":"User","message":"An event source mapping with SQS arn (\" arn:aws:sqs:us-east-1:123456789012:q \") and function (\" f \") already exists. Please update or delete the existing mapping with UUID UUID"}"#);
    let change = json!({
        "Enabled": false, "BatchSize": 20, "MaximumBatchingWindowInSeconds": 1, "FunctionName": "f:live",
        "FilterCriteria": { "Filters": [{ "Pattern": "{\"body\":{\"a\":[1]}}" }] },
        "ScalingConfig": { "MaximumConcurrency": 5 }, "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k", "MetricsConfig": { "Metrics": ["EventCount"] },
    });
    insta::assert_snapshot!(check(&harness, "PUT", &one, change).await, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:sqs:us-east-1:123456789012:q","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live","LastModified":SECONDS,"State":"Disabling","StateTransitionReason":"USER_INITIATED","BatchSize":20,"MaximumBatchingWindowInSeconds":1,"FunctionResponseTypes":["ReportBatchItemFailures"],"FilterCriteria":{"Filters":[{"Pattern":"{\"body\":{\"a\":[1]}}"}]},"KMSKeyArn":"arn:aws:kms:us-east-1:123456789012:key/k","MetricsConfig":{"Metrics":["EventCount"]},"ScalingConfig":{"MaximumConcurrency":5}}"#);
    assert_eq!(at_rest(&harness, &uuid).await["State"], "Disabled");
    let undo = json!({ "Enabled": true, "FilterCriteria": {}, "ScalingConfig": {}, "KMSKeyArn": "" });
    insta::assert_snapshot!(check(&harness, "PUT", &one, undo).await, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:sqs:us-east-1:123456789012:q","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live","LastModified":SECONDS,"State":"Enabling","StateTransitionReason":"USER_INITIATED","BatchSize":20,"MaximumBatchingWindowInSeconds":1,"FunctionResponseTypes":["ReportBatchItemFailures"],"MetricsConfig":{"Metrics":["EventCount"]}}"#);
    assert_eq!(at_rest(&harness, &uuid).await["State"], "Enabled");
    let deleting = harness.send("DELETE", &one, Value::Null).await;
    assert_eq!((deleting.status, &deleting.json()["State"]), (202, &json!("Deleting")));
    at_rest(&harness, &uuid).await;
    insta::assert_snapshot!(check(&harness, "GET", &one, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "PUT", &one, json!({ "BatchSize": 1 })).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "DELETE", &one, Value::Null).await, @r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#);
    insta::assert_snapshot!(check(&harness, "GET", MAPPINGS, Value::Null).await, @r#"200 {"EventSourceMappings":[]}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_has_its_members() {
    let harness = with_alias().await;
    let secret =
        json!([{ "Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s" }]);
    let latest = || json!({ "StartingPosition": "LATEST" });
    insta::assert_snapshot!(create(&harness, of(STREAM, latest())).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:kinesis:us-east-1:123456789012:stream/s","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"User action","LastProcessingResult":"No records processed","BatchSize":100,"MaximumBatchingWindowInSeconds":0,"ParallelizationFactor":1,"DestinationConfig":{"OnFailure":{}},"MaximumRecordAgeInSeconds":-1,"BisectBatchOnFunctionError":false,"MaximumRetryAttempts":-1,"TumblingWindowInSeconds":0,"FunctionResponseTypes":[],"StartingPosition":"LATEST"}"#);
    let stream = json!({
        "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000, "BatchSize": 1,
        "ParallelizationFactor": 10, "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:sqs:us-east-1:123456789012:dead" } },
        "MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": true, "MaximumRetryAttempts": 1,
        "TumblingWindowInSeconds": 900, "Enabled": false,
    });
    insta::assert_snapshot!(create(&harness, of(&format!("{STREAM}2"), stream)).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:kinesis:us-east-1:123456789012:stream/s2","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"User action","LastProcessingResult":"No records processed","BatchSize":1,"MaximumBatchingWindowInSeconds":0,"ParallelizationFactor":10,"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:us-east-1:123456789012:dead"}},"MaximumRecordAgeInSeconds":60,"BisectBatchOnFunctionError":true,"MaximumRetryAttempts":1,"TumblingWindowInSeconds":900,"FunctionResponseTypes":[],"StartingPosition":"AT_TIMESTAMP","StartingPositionTimestamp":1700000000}"#);
    insta::assert_snapshot!(create(&harness, of(TABLE, json!({ "StartingPosition": "TRIM_HORIZON" }))).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"User action","LastProcessingResult":"No records processed","BatchSize":100,"MaximumBatchingWindowInSeconds":0,"ParallelizationFactor":1,"DestinationConfig":{"OnFailure":{}},"MaximumRecordAgeInSeconds":-1,"BisectBatchOnFunctionError":false,"MaximumRetryAttempts":-1,"TumblingWindowInSeconds":0,"FunctionResponseTypes":[],"StartingPosition":"TRIM_HORIZON"}"#);
    let topic = json!({ "StartingPosition": "LATEST", "Topics": ["t1"], "ProvisionedPollerConfig": { "MinimumPollers": 3 } });
    insta::assert_snapshot!(create(&harness, of(CLUSTER, topic)).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:kafka:us-east-1:123456789012:cluster/c/12345678-1234-1234-1234-123456789012-1","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"USER_INITIATED","BatchSize":100,"AmazonManagedKafkaEventSourceConfig":{"ConsumerGroupId":"UUID"},"StartingPosition":"LATEST","Topics":["t1"],"ProvisionedPollerConfig":{"MinimumPollers":3,"MaximumPollers":200}}"#);
    let own = json!({
        "FunctionName": "f", "StartingPosition": "LATEST", "Topics": ["t1"], "SourceAccessConfigurations": secret,
        "SelfManagedEventSource": { "Endpoints": { "KAFKA_BOOTSTRAP_SERVERS": ["a.example:9092"] } },
        "SelfManagedKafkaEventSourceConfig": { "ConsumerGroupId": "mine" },
    });
    insta::assert_snapshot!(create(&harness, own.clone()).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"USER_INITIATED","BatchSize":100,"SelfManagedKafkaEventSourceConfig":{"ConsumerGroupId":"mine"},"StartingPosition":"LATEST","Topics":["t1"],"SourceAccessConfigurations":[{"Type":"BASIC_AUTH","URI":"arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}],"SelfManagedEventSource":{"Endpoints":{"KAFKA_BOOTSTRAP_SERVERS":["a.example:9092"]}}}"#);
    insta::assert_snapshot!(create(&harness, own).await.1, @r#"409 ResourceConflictException {"Type":"User","message":"An event source mapping with event source (\"a.example:9092\"), function (\"arn:aws:lambda:us-east-1:123456789012:function:f\"), topics (\"t1\") already exists. Please update or delete the existing mapping with UUID UUID"}"#);
    insta::assert_snapshot!(create(&harness, of(BROKER, json!({ "Queues": ["q"], "SourceAccessConfigurations": secret }))).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:mq:us-east-1:123456789012:broker:b:b-1","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"USER_INITIATED","BatchSize":100,"Queues":["q"],"SourceAccessConfigurations":[{"Type":"BASIC_AUTH","URI":"arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}]}"#);
    let database = json!({
        "StartingPosition": "LATEST", "SourceAccessConfigurations": secret,
        "DocumentDBEventSourceConfig": { "DatabaseName": "d", "CollectionName": "c" },
    });
    insta::assert_snapshot!(create(&harness, of(DATABASE, database)).await.1, @r#"202 {"UUID":"UUID","EventSourceMappingArn":"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:UUID","EventSourceArn":"arn:aws:rds:us-east-1:123456789012:cluster:d","FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f","LastModified":SECONDS,"State":"Creating","StateTransitionReason":"USER_INITIATED","BatchSize":100,"StartingPosition":"LATEST","SourceAccessConfigurations":[{"Type":"BASIC_AUTH","URI":"arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}],"DocumentDBEventSourceConfig":{"DatabaseName":"d","CollectionName":"c","FullDocument":"Default"}}"#);
    insta::assert_snapshot!(create(&harness, of(STREAM, latest())).await.1, @r#"409 ResourceConflictException {"Type":"User","message":"The event source arn (\" arn:aws:kinesis:us-east-1:123456789012:stream/s \") and function (\" f \") provided mapping already exists. Please update or delete the existing mapping with UUID UUID"}"#);
    // One function at most reads a source, but an alias is another.
    let mut alias = of(STREAM, latest());
    alias["FunctionName"] = arn("function:f:live").into();
    assert!(create(&harness, alias).await.1.starts_with("202"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_does_not_take_is_refused() {
    let harness = with_alias().await;
    let refused = async |body: Value| create(&harness, body).await.1;
    insta::assert_snapshot!(refused(json!({ "FunctionName": "nope" })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unrecognized event source."}"#);
    insta::assert_snapshot!(refused(of("arn:aws:sns:us-east-1:123456789012:t", json!({}))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unrecognized event source."}"#);
    insta::assert_snapshot!(refused(json!({ "FunctionName": "nope", "EventSourceArn": QUEUE })).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Function does not exist"}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({}))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null."}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "StartingPosition": "LATEST" }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"StartingPosition is not valid for SQS event sources."}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "LATEST", "StartingPositionTimestamp": 1 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Timestamp only valid with StartingPosition AT_TIMESTAMP"}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": -1 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Received Exception while reading from provided stream. class java.lang.Long can not be converted to a Timestamp"}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "AT_TIMESTAMP" }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"StartingPosition AT_TIMESTAMP requires a StartingPositionTimestamp."}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 9_999_999_999_u64 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"StartingPositionTimestamp cannot be in the future."}"#);
    insta::assert_snapshot!(refused(of(TABLE, json!({ "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unsupported starting position for arn type: arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "0" }))).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '0' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [TRIM_HORIZON, LATEST, AT_TIMESTAMP]"}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "BatchSize": 11 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "BatchSize": 10001 }))).await, @r#"400 ValidationException {"message":"1 validation error detected: Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value less than or equal to 10000"}"#);
    insta::assert_snapshot!(refused(of(&format!("{QUEUE}.fifo"), json!({ "BatchSize": 11 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Batch size must not exceed 10 for FIFO queues"}"#);
    insta::assert_snapshot!(refused(of(&format!("{QUEUE}.fifo"), json!({ "MaximumBatchingWindowInSeconds": 1 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Batching window is not supported for FIFO queues"}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "ParallelizationFactor": 2 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unsupported ParallelizationFactor parameter for given event source mapping type."}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "DestinationConfig": { "OnFailure": {} } }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unsupported DestinationConfig parameter for given event source mapping type."}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "LATEST", "DestinationConfig": { "OnSuccess": {} } }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unsupported DestinationConfig parameter for given event source mapping type."}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "LATEST", "ScalingConfig": { "MaximumConcurrency": 2 } }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Unsupported ScalingConfig parameter for given event source mapping type."}"#);
    insta::assert_snapshot!(refused(of(STREAM, json!({ "StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 59 }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"MaximumRecordAgeInSeconds must be -1 or at least 60 for the given event source mapping type."}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "ScalingConfig": { "MaximumConcurrency": 2 }, "ProvisionedPollerConfig": { "MinimumPollers": 2 } }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers as the control mechanism and remove maximum concurrency."}"#);
    insta::assert_snapshot!(refused(of(QUEUE, json!({ "ProvisionedPollerConfig": { "MinimumPollers": 1 } }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"MinimumPollers and MaximumPollers must be between 2 and 10000, and MinimumPollers must not exceed MaximumPollers."}"#);
    insta::assert_snapshot!(refused(of(CLUSTER, json!({ "StartingPosition": "LATEST" }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Required 'topics' parameter is missing."}"#);
    insta::assert_snapshot!(refused(of(BROKER, json!({ "Queues": ["q"] }))).await, @r#"400 InvalidParameterValueException {"Type":"User","message":"Required 'sourceAccessConfigurations' parameter is missing."}"#);
    for pattern in ["", "no", "[]", r#"{"a":1}"#, r#"{"a":[]}"#, r#"{"a":[[1]]}"#] {
        assert_eq!(
            refused(of(QUEUE, json!({ "FilterCriteria": { "Filters": [{ "Pattern": pattern }] } }))).await,
            r#"400 InvalidParameterValueException {"Type":"User","message":"Invalid filter pattern definition."}"#,
            "{pattern}"
        );
    }
    let pattern =
        r#"{"a":[{"prefix":"x"},null],"b":{"c":[{"numeric":[">",1]}]},"$or":[{"d":[1]},{"e":{"f":["g"]}}]}"#;
    let fits =
        of(QUEUE, json!({ "FilterCriteria": { "Filters": [{ "Pattern": pattern }, { "Pattern": "{}" }] } }));
    assert!(refused(fits).await.starts_with("202"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_are_listed_by_function_and_source() {
    let harness = with_alias().await;
    harness.create("g", json!({})).await;
    for (name, queue) in [("f", "q1"), ("f:live", "q1"), ("g", "q1"), ("g", "q2")] {
        let source = format!("arn:aws:sqs:us-east-1:123456789012:{queue}");
        let (uuid, line) = create(&harness, json!({ "FunctionName": name, "EventSourceArn": source })).await;
        assert!(!uuid.is_empty(), "{line}");
    }
    let count = async |query: &str| {
        let seen = harness.send("GET", &format!("{MAPPINGS}{query}"), Value::Null).await;
        seen.json()["EventSourceMappings"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(count("").await, 4);
    assert_eq!(count("?FunctionName=f").await, 1);
    assert_eq!(count("?FunctionName=f%3Alive").await, 1);
    assert_eq!(count("?EventSourceArn=arn%3Aaws%3Asqs%3Aus-east-1%3A123456789012%3Aq1").await, 3);
    assert_eq!(
        count("?FunctionName=g&EventSourceArn=arn%3Aaws%3Asqs%3Aus-east-1%3A123456789012%3Aq1").await,
        1
    );
    let mut seen = Vec::new();
    let mut query = "?MaxItems=3".to_owned();
    loop {
        let page = harness.send("GET", &format!("{MAPPINGS}{query}"), Value::Null).await.json();
        seen.extend(
            page["EventSourceMappings"].as_array().expect("a list").iter().map(|m| m["UUID"].clone()),
        );
        match page["NextMarker"].as_str() {
            Some(marker) => query = format!("?MaxItems=3&Marker={marker}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 4);
    // Another region has none of them.
    let there = [(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/lambda/aws4_request, SignedHeaders=host, Signature=0",
    )];
    let elsewhere = harness.send_body("GET", MAPPINGS, &there, axum::body::Body::empty()).await;
    insta::assert_snapshot!(elsewhere.line(), @r#"200 {"EventSourceMappings":[]}"#);
}
