//! The local cloud as the AWS SDK for Rust sees it, and what `start` promises.

use crate::common::{TestCloud, config, folder_of};
use aws_credential_types::Credentials;
use aws_sdk_lambda::{
    Client,
    config::{BehaviorVersion, Region},
    error::ProvideErrorMetadata as _,
    primitives::Blob,
    types::{FunctionCode, LayerVersionContentInput, LogType, Runtime, State},
};
use layercake_local::StartError;

pub(crate) fn lambda(endpoint: &str) -> Client {
    Client::from_conf(
        aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("eu-central-1"))
            .credentials_provider(credentials())
            .build(),
    )
}

fn credentials() -> Credentials {
    Credentials::new("anything", "anything", None, None, "tests")
}

fn s3(endpoint: &str) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("eu-central-1"))
            .credentials_provider(credentials())
            .force_path_style(true)
            .build(),
    )
}

/// A bucket in the functions' region.
fn here() -> aws_sdk_s3::types::CreateBucketConfiguration {
    let region = aws_sdk_s3::types::BucketLocationConstraint::EuCentral1;
    aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region).build()
}

/// A zip with one stored file.
pub(crate) fn zip(name: &str, text: &str) -> Vec<u8> {
    let mut python = std::process::Command::new("python3");
    let script = "import sys,zipfile,io; b=io.BytesIO(); z=zipfile.ZipFile(b,'w'); \
                  z.writestr(sys.argv[1],sys.argv[2]); z.close(); sys.stdout.buffer.write(b.getvalue())";
    python.args(["-c", script, name, text]).output().expect("python3").stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_create_invoke_delete() {
    let cloud = TestCloud::start().await;
    let lambda = lambda(&cloud.handle.endpoint());
    let s3 = s3(&cloud.handle.endpoint());

    let layer = zip("python/greeting.py", "WORD = 'hello'");
    s3.create_bucket().bucket("layers").create_bucket_configuration(here()).send().await.expect("a bucket");
    s3.put_object().bucket("layers").key("l.zip").body(layer.clone().into()).send().await.expect("an object");
    let back = s3.get_object().bucket("layers").key("l.zip").send().await.expect("the object");
    assert_eq!(back.body.collect().await.expect("its bytes").to_vec(), layer);

    let content = LayerVersionContentInput::builder().s3_bucket("layers").s3_key("l.zip").build();
    let version = lambda
        .publish_layer_version()
        .layer_name("l")
        .content(content)
        .send()
        .await
        .expect("a layer version");
    let layer_arn = version.layer_version_arn().expect("its ARN").to_owned();
    assert_eq!(layer_arn, "arn:aws:lambda:eu-central-1:123456789012:layer:l:1");

    let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
    let code = "import greeting\ndef handler(event, context):\n    return greeting.WORD + event['name']\n";
    lambda
        .create_function()
        .function_name("f")
        .runtime(Runtime::from(runtime.as_str()))
        .handler("app.handler")
        .role("arn:aws:iam::123456789012:role/any")
        .code(FunctionCode::builder().zip_file(Blob::new(zip("app.py", code))).build())
        .layers(layer_arn)
        .send()
        .await
        .expect("a function");
    loop {
        let found =
            lambda.get_function_configuration().function_name("f").send().await.expect("the function");
        if found.state() == Some(&State::Active) {
            break;
        }
    }
    let answer = lambda
        .invoke()
        .function_name("f")
        .payload(Blob::new(r#"{"name": " you"}"#))
        .log_type(LogType::Tail)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.payload().map(AsRef::as_ref), Some(br#""hello you""#.as_slice()));
    assert!(answer.log_result().is_some());

    lambda.delete_function().function_name("f").send().await.expect("deleted");
    lambda.delete_layer_version().layer_name("l").version_number(1).send().await.expect("deleted");
    let error =
        lambda.get_function().function_name("f").send().await.expect_err("it is gone").into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    assert_eq!(
        error.message(),
        Some("Function not found: arn:aws:lambda:eu-central-1:123456789012:function:f")
    );
    cloud.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_lies_in_a_bucket_of_ones_own_in_the_same_region() {
    let cloud = TestCloud::start().await;
    let s3 = s3(&cloud.handle.endpoint());
    s3.create_bucket().bucket("layers").create_bucket_configuration(here()).send().await.expect("a bucket");
    s3.put_object().bucket("layers").key("l").body(zip("a", "1").into()).send().await.expect("an object");
    let refusal = async |region: &'static str, account: &'static str| {
        let lambda = Client::from_conf(
            lambda(&cloud.handle.endpoint())
                .config()
                .to_builder()
                .region(Region::new(region))
                .credentials_provider(Credentials::new(account, "anything", None, None, "tests"))
                .build(),
        );
        let content = LayerVersionContentInput::builder().s3_bucket("layers").s3_key("l").build();
        let answer = lambda.publish_layer_version().layer_name("l").content(content).send().await;
        answer.err().and_then(|error| error.into_service_error().message().map(str::to_owned))
    };
    assert_eq!(refusal("eu-central-1", "123456789012").await, None);
    assert_eq!(
        refusal("us-east-1", "123456789012").await.as_deref(),
        Some(
            "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: \
             The bucket is in this region: eu-central-1. Please use this region to retry the request"
        )
    );
    let denied = refusal("eu-central-1", "210987654321").await.expect("it is another's");
    assert!(
        denied.ends_with(
            "GetObject for layers/l. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
        ),
        "{denied}"
    );
    cloud.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(&folder_of(&folder));
    let first = layercake_local::start(config.clone()).await.expect("a local cloud");
    let content = LayerVersionContentInput::builder().zip_file(Blob::new(zip("a", "1"))).build();
    lambda(&first.endpoint())
        .publish_layer_version()
        .layer_name("l")
        .content(content)
        .send()
        .await
        .expect("published");
    first.shutdown().await;
    let second = layercake_local::start(config).await.expect("the same local cloud");
    let layers = lambda(&second.endpoint()).list_layers().send().await.expect("a list");
    assert_eq!(layers.layers().len(), 1);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_are_refused_on_every_path() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let cloud = TestCloud::start().await;
    // A link without its seal is refused as well, in other words.
    let is_refused = async |path: &str, headers: &str| {
        let mut stream = tokio::net::TcpStream::connect(cloud.handle.address()).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.starts_with("HTTP/1.1 403") && answer.contains("does not answer web pages")
    };
    let blob = format!("/_layercake/blobs/{}", "0".repeat(64));
    for path in ["/_layercake/health", &blob, "/2015-03-31/functions", "/bucket/key", "/"] {
        assert!(!is_refused(path, "Host: bucket.localhost").await, "{path}");
        assert!(is_refused(path, "Host: evil.example").await, "{path}");
        assert!(is_refused(path, "Host: localhost\r\nOrigin: https://evil.example").await, "{path}");
        assert!(is_refused(path, "Host: localhost\r\nSec-Fetch-Site: cross-site").await, "{path}");
    }
    cloud.handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_cloud_is_found_and_its_folder_is_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder_of(&folder);
    assert!(layercake_local::find_running(&data).await.is_none());
    let cloud = layercake_local::start(config(&data)).await.expect("a local cloud");
    let (address, health) = layercake_local::find_running(&data).await.expect("it runs");
    assert_eq!(address, cloud.address());
    assert_eq!(health.presence, "serving");
    let error = layercake_local::start(config(&data)).await.expect_err("the folder is in use");
    let StartError::Store(layercake_local::StoreError::InUse { holder: Some(holder), .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((holder.pid, holder.address), (std::process::id(), address.to_string()));
    cloud.shutdown().await;
    assert!(layercake_local::find_running(&data).await.is_none());
    let again = layercake_local::start(config(&data)).await.expect("the folder is free again");
    drop(again);
}
