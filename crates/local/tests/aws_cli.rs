//! The steps of the 2020 write-up, by hand with AWS's own command line.

mod common;

use common::{TestCloud, client, folder_of, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_write_up_by_hand() {
    let cloud = TestCloud::start().await;
    let endpoint = cloud.handle.endpoint();
    let work = folder_of(&cloud.folder).join("by-hand");
    tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/write_up.sh");
        let mut shell = client("python");
        let path = format!("{}:{}", common::aws_clients(), std::env::var("PATH").unwrap_or_default());
        fs_err::create_dir(&work).expect("a folder");
        shell = {
            let mut bash = std::process::Command::new("bash");
            for (name, value) in shell.get_envs() {
                if let Some(value) = value {
                    bash.env(name, value);
                }
            }
            bash
        };
        let runtime = common::interpreters().newest_runtime().expect("a Python").to_string();
        run(shell.arg(script).arg(endpoint).arg(runtime).env("PATH", path).current_dir(work));
    })
    .await
    .expect("the script");
    cloud.handle.shutdown().await;
}
