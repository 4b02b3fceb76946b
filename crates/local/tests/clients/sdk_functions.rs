//! What hangs on a function, as the AWS SDK for Rust reads it: its types and errors are those of
//! the API model, so an answer of another shape does not arrive.

use std::time::SystemTime;

use crate::common::TestCloud;
use aws_credential_types::Credentials;
use aws_sdk_lambda::{
    Client,
    config::{BehaviorVersion, Region},
    error::ProvideErrorMetadata as _,
    primitives::Blob,
    types::{
        AccountLimit, AccountUsage, AliasRoutingConfiguration, Cors, DestinationConfig, EventSourcePosition,
        FunctionCode, FunctionUrlAuthType, FunctionVersion, LayerVersionContentInput, OnFailure,
        ProvisionedConcurrencyStatusEnum, Runtime, State,
    },
};

const ROLE: &str = "arn:aws:iam::123456789012:role/any";

fn lambda(endpoint: &str) -> Client {
    Client::from_conf(
        aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("anything", "anything", None, None, "tests"))
            .build(),
    )
}

/// A zip of a handler that answers with the version it is.
fn code() -> Blob {
    let script = "import sys,zipfile,io; b=io.BytesIO(); z=zipfile.ZipFile(b,'w'); \
                  z.writestr('app.py','def handler(e, c):\\n    return c.function_version\\n'); z.close(); \
                  sys.stdout.buffer.write(b.getvalue())";
    Blob::new(std::process::Command::new("python3").args(["-c", script]).output().expect("python3").stdout)
}

/// A cloud with the function `f` and its versions 1 and 2.
async fn with_two_versions() -> (TestCloud, Client) {
    let cloud = TestCloud::start().await;
    let lambda = lambda(&cloud.handle.endpoint());
    let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
    lambda
        .create_function()
        .function_name("f")
        .runtime(Runtime::from(runtime.as_str()))
        .handler("app.handler")
        .role(ROLE)
        .code(FunctionCode::builder().zip_file(code()).build())
        .publish(true)
        .send()
        .await
        .expect("a function");
    ready(&lambda).await;
    lambda.update_function_configuration().function_name("f").timeout(5).send().await.expect("updated");
    ready(&lambda).await;
    let second =
        lambda.publish_version().function_name("f").description("second").send().await.expect("published");
    assert_eq!((second.version(), second.description()), (Some("2"), Some("second")));
    (cloud, lambda)
}

async fn ready(lambda: &Client) {
    loop {
        let found =
            lambda.get_function_configuration().function_name("f").send().await.expect("the function");
        let is_updated = found.last_update_status().is_none_or(|status| status.as_str() == "Successful");
        if found.state() == Some(&State::Active) && is_updated {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_aliases() {
    let (cloud, lambda) = with_two_versions().await;
    let versions = lambda.list_versions_by_function().function_name("f").send().await.expect("a list");
    let numbers: Vec<_> = versions.versions().iter().filter_map(|version| version.version()).collect();
    assert_eq!(numbers, ["$LATEST", "1", "2"]);
    let all = lambda.list_functions().function_version(FunctionVersion::All).send().await.expect("a list");
    assert_eq!(all.functions().len(), 3);

    let routing = AliasRoutingConfiguration::builder().additional_version_weights("2", 0.5).build();
    let alias = lambda
        .create_alias()
        .function_name("f")
        .name("live")
        .function_version("1")
        .routing_config(routing)
        .send()
        .await
        .expect("an alias");
    let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
    assert_eq!(weights.and_then(|weights| weights.get("2")), Some(&0.5));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = lambda.invoke().function_name("f:live").send().await.expect("an answer");
        let version = answer.executed_version().expect("a version").to_owned();
        assert_eq!(answer.payload().map(AsRef::as_ref), Some(format!("\"{version}\"").as_bytes()));
        seen.insert(version);
    }
    // That one of two equally likely versions never comes in forty calls is one in 2^39.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["1", "2"]);

    let error =
        lambda.delete_function().function_name("f").qualifier("1").send().await.expect_err("it is in use");
    assert!(error.into_service_error().is_resource_conflict_exception());
    let error = lambda.get_alias().function_name("f").name("none").send().await.expect_err("there is none");
    assert!(error.into_service_error().is_resource_not_found_exception());
    lambda.delete_alias().function_name("f").name("live").send().await.expect("deleted");
    lambda.delete_function().function_name("f").qualifier("1").send().await.expect("deleted");
    let error = lambda.invoke().function_name("f").qualifier("1").send().await.expect_err("it is gone");
    assert_eq!(
        error.into_service_error().message(),
        Some("Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:1")
    );
    cloud.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_versions() {
    let (cloud, lambda) = with_two_versions().await;
    let before = SystemTime::now() - std::time::Duration::from_secs(2);
    let on_failure = OnFailure::builder().destination("arn:aws:sqs:us-east-1:123456789012:failed").build();
    lambda
        .put_function_event_invoke_config()
        .function_name("f")
        .maximum_retry_attempts(0)
        .maximum_event_age_in_seconds(60)
        .destination_config(DestinationConfig::builder().on_failure(on_failure).build())
        .send()
        .await
        .expect("a config");
    let config =
        lambda.get_function_event_invoke_config().function_name("f").send().await.expect("the config");
    assert_eq!((config.maximum_retry_attempts(), config.maximum_event_age_in_seconds()), (Some(0), Some(60)));
    let modified = SystemTime::try_from(*config.last_modified().expect("a time")).expect("after 1970");
    assert!(modified > before, "{modified:?}");

    lambda
        .put_provisioned_concurrency_config()
        .function_name("f")
        .qualifier("2")
        .provisioned_concurrent_executions(3)
        .send()
        .await
        .expect("a config");
    let config = loop {
        let found = lambda
            .get_provisioned_concurrency_config()
            .function_name("f")
            .qualifier("2")
            .send()
            .await
            .expect("the config");
        if found.status() != Some(&ProvisionedConcurrencyStatusEnum::InProgress) {
            break found;
        }
    };
    assert_eq!(config.status(), Some(&ProvisionedConcurrencyStatusEnum::Ready));
    assert_eq!(config.requested_provisioned_concurrent_executions(), Some(3));

    let cors = Cors::builder().allow_origins("*").max_age(5).build();
    let url = lambda
        .create_function_url_config()
        .function_name("f")
        .auth_type(FunctionUrlAuthType::None)
        .cors(cors)
        .send()
        .await
        .expect("a URL");
    let local = format!(".lambda-url.us-east-1.localhost:{}/", cloud.handle.address().port());
    assert!(url.function_url().ends_with(&local), "{}", url.function_url());
    let urls = lambda.list_function_url_configs().function_name("f").send().await.expect("a list");
    assert_eq!(urls.function_url_configs().len(), 1);

    let policy = lambda
        .add_permission()
        .function_name("f")
        .statement_id("any")
        .action("lambda:InvokeFunction")
        .principal("s3.amazonaws.com")
        .send()
        .await
        .expect("a permission");
    assert!(policy.statement().expect("a statement").contains(r#""Sid":"any""#));
    let error = lambda
        .add_permission()
        .function_name("f")
        .statement_id("any")
        .action("lambda:InvokeFunction")
        .principal("s3.amazonaws.com")
        .send()
        .await
        .expect_err("it is there");
    assert!(error.into_service_error().is_resource_conflict_exception());

    lambda
        .delete_provisioned_concurrency_config()
        .function_name("f")
        .qualifier("2")
        .send()
        .await
        .expect("deleted");
    lambda
        .put_function_concurrency()
        .function_name("f")
        .reserved_concurrent_executions(0)
        .send()
        .await
        .expect("put");
    let error = lambda.invoke().function_name("f").send().await.expect_err("throttled").into_service_error();
    assert!(error.is_too_many_requests_exception(), "{error:?}");
    let error = lambda
        .put_function_concurrency()
        .function_name("f")
        .reserved_concurrent_executions(901)
        .send()
        .await
        .expect_err("too many");
    assert!(error.into_service_error().is_invalid_parameter_value_exception());
    let settings = lambda.get_account_settings().send().await.expect("settings");
    assert_eq!(settings.account_usage().map(AccountUsage::function_count), Some(1));
    assert_eq!(settings.account_limit().and_then(AccountLimit::unreserved_concurrent_executions), Some(1000));
    cloud.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_source_mappings() {
    let (cloud, lambda) = with_two_versions().await;
    let stream = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks";
    let error = lambda
        .create_event_source_mapping()
        .function_name("f")
        .event_source_arn(stream)
        .send()
        .await
        .expect_err("a stream needs a starting position");
    assert!(error.into_service_error().is_invalid_parameter_value_exception());
    let mapping = lambda
        .create_event_source_mapping()
        .function_name("f:2")
        .event_source_arn(stream)
        .starting_position(EventSourcePosition::TrimHorizon)
        .send()
        .await
        .expect("a mapping");
    assert_eq!(mapping.batch_size(), Some(100));
    assert_eq!(mapping.function_arn(), Some("arn:aws:lambda:us-east-1:123456789012:function:f:2"));
    assert!(mapping.last_modified().is_some());
    let uuid = mapping.uuid().expect("an id");
    let found = lambda.list_event_source_mappings().event_source_arn(stream).send().await.expect("a list");
    assert_eq!(found.event_source_mappings().len(), 1);
    // While it is being created it cannot be deleted.
    loop {
        let found = lambda.get_event_source_mapping().uuid(uuid).send().await.expect("the mapping");
        if found.state() != Some("Creating") {
            break;
        }
    }
    lambda.delete_event_source_mapping().uuid(uuid).send().await.expect("deleted");
    cloud.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_another_account_needs_a_permission() {
    let cloud = TestCloud::start().await;
    // Without signatures, an access key of twelve digits is the account of that number.
    let of = |account: &str| {
        Client::from_conf(
            aws_sdk_lambda::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url(cloud.handle.endpoint())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new(account, "anything", None, None, "tests"))
                .build(),
        )
    };
    let (owner, other) = (of("111111111111"), of("222222222222"));
    let content = LayerVersionContentInput::builder().zip_file(code()).build();
    let published =
        owner.publish_layer_version().layer_name("l").content(content).send().await.expect("a version");
    let arn = published.layer_version_arn().expect("its ARN");
    assert_eq!(arn, "arn:aws:lambda:us-east-1:111111111111:layer:l:1");
    assert!(other.list_layers().send().await.expect("a list").layers().is_empty());
    let error = other.get_layer_version_by_arn().arn(arn).send().await.expect_err("no permission");
    let error = error.into_service_error();
    assert_eq!(error.code(), Some("AccessDeniedException"));
    owner
        .add_layer_version_permission()
        .layer_name("l")
        .version_number(1)
        .statement_id("s")
        .action("lambda:GetLayerVersion")
        .principal("222222222222")
        .send()
        .await
        .expect("a permission");
    let found = other.get_layer_version_by_arn().arn(arn).send().await.expect("the version");
    assert_eq!(found.layer_version_arn(), Some(arn));
    let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
    let function = other
        .create_function()
        .function_name("f")
        .runtime(Runtime::from(runtime.as_str()))
        .handler("app.handler")
        .role("arn:aws:iam::222222222222:role/any")
        .code(FunctionCode::builder().zip_file(code()).build())
        .layers(arn)
        .send()
        .await
        .expect("a function");
    assert_eq!(function.function_arn(), Some("arn:aws:lambda:us-east-1:222222222222:function:f"));
    cloud.handle.shutdown().await;
}
