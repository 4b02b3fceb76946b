//! AWS's command lines: the write-up's steps by hand with both generations of `aws`, and what
//! `sam` does with functions that no stack made.

use crate::common::{TestCloud, client, folder_of, run};
use camino::Utf8Path;

/// Runs the write-up's steps with the `aws` that is first in `path`.
async fn check_write_up(path: String) {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let work = folder_of(&cloud.folder).join("by-hand");
    tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/write_up.sh");
        fs_err::create_dir(&work).expect("a folder");
        let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
        let mut bash = client("bash");
        run(bash.arg(script).arg(endpoint).arg(runtime).env("PATH", path).current_dir(work));
    })
    .await
    .expect("the script");
    cloud.handle.shutdown().await;
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_up_by_hand() {
    check_write_up(format!("{}:{}", crate::common::aws_clients(), path())).await;
}

/// Debian's package is the second generation, which is another program on another HTTP client.
#[tokio::test(flavor = "multi_thread")]
async fn the_write_up_by_hand_with_debians_aws() {
    if !Utf8Path::new("/usr/bin/aws").exists() {
        assert!(std::env::var_os("CI").is_none(), "CI has Debian's awscli: `cargo xtask clients`");
        eprintln!("not run: Debian's awscli is not installed");
        return;
    }
    check_write_up(format!("/usr/bin:{}", path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sam_invokes_and_reads_logs() {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let work = folder_of(&cloud.folder).join("sam");
    tokio::task::spawn_blocking(move || {
        fs_err::create_dir(&work).expect("a folder");
        let sam = crate::common::aws_clients().join("../sam/bin/sam");
        sam_steps(&sam, &endpoint, &work);
    })
    .await
    .expect("the steps");
    cloud.handle.shutdown().await;
}

fn sam_steps(sam: &Utf8Path, endpoint: &str, work: &Utf8Path) {
    let create = "import boto3, io, sys, zipfile\n\
        code = io.BytesIO()\n\
        with zipfile.ZipFile(code, 'w') as archive:\n\
        \x20   archive.writestr('app.py', 'def handler(event, context):\\n    print(\"seen\", event)\\n    \
                                  if event[\"n\"] > 1: raise ValueError(\"too many\")\\n    return event[\"n\"] + 1\\n')\n\
        functions = boto3.client('lambda', endpoint_url=sys.argv[1])\n\
        print(functions.create_function(FunctionName='adder', Runtime=sys.argv[2], Handler='app.handler',\n\
        \x20   Role='arn:aws:iam::123456789012:role/any', Code={'ZipFile': code.getvalue()})['FunctionArn'])\n\
        functions.get_waiter('function_active_v2').wait(FunctionName='adder', WaiterConfig={'Delay': 0.05})\n";
    let runtime = crate::common::interpreters().newest_runtime().expect("a Python").to_string();
    let arn = run(client("python").args(["-c", create, endpoint, &runtime]));
    let command = |arguments: &[&str]| {
        let mut command = client(sam.as_str());
        command.args(arguments).current_dir(work);
        command.env("AWS_ENDPOINT_URL", endpoint).env("SAM_CLI_TELEMETRY", "0").env("HOME", work);
        command
    };
    assert_eq!(run(&mut command(&["remote", "invoke", arn.trim(), "--event", r#"{"n": 1}"#])), "2");
    let failed = command(&["remote", "invoke", arn.trim(), "--event", r#"{"n": 2}"#]).output().expect("sam");
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(said.contains("too many"), "{said}");
    let logs = run(&mut command(&["logs", "--cw-log-group", "/aws/lambda/adder"]));
    for part in ["START RequestId: ", "seen {'n': 1}", "REPORT RequestId: ", "ValueError: too many"] {
        assert!(logs.contains(part), "`{part}` is not in\n{logs}");
    }
}
