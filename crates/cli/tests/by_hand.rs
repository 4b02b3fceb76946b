//! The write-up's steps by hand, with AWS's own command line and boto3 against `layercake local`.

mod support;

use std::process::Command;

use camino::Utf8Path;
use layercake_core::zip::{FileMode, ZipWriter};
use support::{Served, TestEnv, client, nothing};

const ROLE: &str = "arn:aws:iam::123456789012:role/any";

fn zip(path: &Utf8Path, files: &[(&str, &str)]) {
    let mut writer = ZipWriter::new(std::fs::File::create(path).expect("created"));
    for (name, text) in files {
        writer.file_from_bytes(name, FileMode::Regular, text.as_bytes()).expect("written");
    }
    writer.finish().expect("finished");
}

/// Runs `aws` and answers its code and what it said.
fn aws(env: &TestEnv, served: &Served, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(client("aws"));
    env.prepare(&mut command);
    served.credentials(&mut command);
    let output = command
        .args(["--endpoint-url", &served.endpoint, "--output", "json"])
        .args(arguments)
        .output()
        .expect("aws starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn aws_ok(env: &TestEnv, served: &Served, arguments: &[&str]) -> String {
    let (success, said) = aws(env, served, arguments);
    assert!(success, "aws {arguments:?}: {said}");
    said
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_command_line_does_the_write_ups_steps() {
    let env = TestEnv::new();
    let served = env.serve(&[]);
    let runtime = newest_runtime(&env);
    let run = |arguments: &[&str]| aws_ok(&env, &served, arguments);
    zip(&env.root().join("layer.zip"), &[("python/word.py", "WORD = 'layered'\n")]);
    zip(
        &env.root().join("code.zip"),
        &[(
            "app.py",
            "import word\ndef lambda_handler(event, context):\n    print(event)\n    return word.WORD\n",
        )],
    );

    run(&["s3", "mb", "s3://my-layers"]);
    run(&["s3", "cp", "layer.zip", "s3://my-layers/layer.zip"]);
    let from_s3 = json(&run(&[
        "lambda",
        "publish-layer-version",
        "--layer-name",
        "word",
        "--compatible-runtimes",
        &runtime,
        "--content",
        "S3Bucket=my-layers,S3Key=layer.zip",
    ]));
    assert_eq!(from_s3["LayerVersionArn"], "arn:aws:lambda:us-east-1:123456789012:layer:word:1");
    let from_zip = json(&run(&[
        "lambda",
        "publish-layer-version",
        "--layer-name",
        "word",
        "--zip-file",
        "fileb://layer.zip",
    ]));
    assert_eq!(from_zip["Version"], 2);
    assert_eq!(from_zip["Content"]["CodeSha256"], from_s3["Content"]["CodeSha256"]);

    let created = json(&run(&[
        "lambda",
        "create-function",
        "--function-name",
        "pandas",
        "--runtime",
        &runtime,
        "--handler",
        "app.lambda_handler",
        "--role",
        ROLE,
        "--zip-file",
        "fileb://code.zip",
    ]));
    assert_eq!(created["State"], "Pending");
    run(&["lambda", "wait", "function-active-v2", "--function-name", "pandas"]);
    let arn = from_zip["LayerVersionArn"].as_str().expect("an ARN");
    run(&["lambda", "update-function-configuration", "--function-name", "pandas", "--layers", arn]);
    run(&["lambda", "wait", "function-updated-v2", "--function-name", "pandas"]);
    let invoked = json(&run(&[
        "lambda",
        "invoke",
        "--function-name",
        "pandas",
        "--log-type",
        "Tail",
        "--payload",
        "{\"rows\": 3}",
        "response.json",
    ]));
    assert_eq!(invoked["StatusCode"], 200);
    assert_eq!(invoked["ExecutedVersion"], "$LATEST");
    assert!(invoked["LogResult"].as_str().is_some_and(|log| log.len() > 100));
    let response = std::fs::read_to_string(env.root().join("response.json")).expect("the response");
    assert_eq!(response, "\"layered\"");

    run(&["lambda", "delete-function", "--function-name", "pandas"]);
    for version in ["1", "2"] {
        run(&["lambda", "delete-layer-version", "--layer-name", "word", "--version-number", version]);
    }
    run(&["s3", "rm", "s3://my-layers/layer.zip"]);
    run(&["s3", "rb", "s3://my-layers"]);
    run(&["logs", "delete-log-group", "--log-group-name", "/aws/lambda/pandas"]);
    drop(served);
    assert_eq!(env.everything(), nothing());
}

#[test]
fn a_zip_over_the_direct_limit_is_refused_as_aws_does() {
    let env = TestEnv::new();
    let served = env.serve(&[]);
    let noise = |bytes: usize| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = Vec::with_capacity(bytes);
        while noise.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend(state.to_le_bytes());
        }
        noise
    };
    let mut writer = ZipWriter::new(std::fs::File::create(env.root().join("large.zip")).expect("created"));
    writer.file_from_bytes("python/noise", FileMode::Regular, &noise(53_000_000)).expect("written");
    writer.finish().expect("finished");
    let (success, said) = aws(
        &env,
        &served,
        &["lambda", "publish-layer-version", "--layer-name", "large", "--zip-file", "fileb://large.zip"],
    );
    assert!(!success);
    assert!(said.contains("RequestEntityTooLargeException"), "{said}");
    assert!(
        said.contains("Request must be smaller than 70167211 bytes for the PublishLayerVersion operation"),
        "{said}"
    );
    // The write-up's way round it.
    aws_ok(&env, &served, &["s3", "mb", "s3://large-layers"]);
    aws_ok(&env, &served, &["s3", "cp", "large.zip", "s3://large-layers/large.zip"]);
    let content = "S3Bucket=large-layers,S3Key=large.zip";
    let answer = aws_ok(
        &env,
        &served,
        &["lambda", "publish-layer-version", "--layer-name", "large", "--content", content],
    );
    assert_eq!(json(&answer)["Version"], 1);
}

#[test]
fn boto3_does_them_too() {
    let env = TestEnv::new();
    let served = env.serve(&[]);
    let mut command = Command::new(client("python"));
    env.prepare(&mut command);
    served.credentials(&mut command);
    let output = command
        .args(["-c", BOTO3_STEPS, &served.endpoint, &newest_runtime(&env), ROLE])
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "layered\nSTART END REPORT\nResourceNotFoundException\n"
    );
}

const BOTO3_STEPS: &str = r#"
import base64, boto3, io, json, sys, zipfile
endpoint, runtime, role = sys.argv[1:]
def client(name): return boto3.client(name, endpoint_url=endpoint)
def zipped(name, text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z: z.writestr(name, text)
    return out.getvalue()
s3, lam = client("s3"), client("lambda")
s3.create_bucket(Bucket="b-layers")
s3.put_object(Bucket="b-layers", Key="a layer+1.zip", Body=zipped("python/word.py", "WORD = 'layered'"))
layer = lam.publish_layer_version(LayerName="w", Content={"S3Bucket": "b-layers", "S3Key": "a layer+1.zip"})
lam.create_function(FunctionName="f", Runtime=runtime, Handler="app.h", Role=role, Layers=[layer["LayerVersionArn"]],
                    Code={"ZipFile": zipped("app.py", "import word\ndef h(e, c): return word.WORD")})
lam.get_waiter("function_active_v2").wait(FunctionName="f")
answer = lam.invoke(FunctionName="f", LogType="Tail", Payload=json.dumps({}))
print(json.loads(answer["Payload"].read()))
print(*[line.split(" ")[0] for line in base64.b64decode(answer["LogResult"]).decode().splitlines()])
lam.delete_function(FunctionName="f")
try: lam.get_function(FunctionName="f")
except lam.exceptions.ResourceNotFoundException as error: print(error.response["Error"]["Code"])
"#;

/// The newest runtime this machine can run, as `up` chooses it.
fn newest_runtime(env: &TestEnv) -> String {
    let app = env.app("chosen", &[("app.py", "def handler(event, context):\n    return 1\n")]);
    let steps = env.run_json(&["up", app.as_str(), "--dry-run", "--json"]);
    let steps = steps["steps"].to_string();
    let start = steps.find("python3.").expect("a runtime is named");
    steps[start..].split(' ').next().expect("its name ends").to_owned()
}
