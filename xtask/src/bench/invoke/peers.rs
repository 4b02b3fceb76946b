//! Other local Lambdas, from their registries, run as their own documentation says.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    super::http::{Connection, Load, head, load},
    HANDLER, RUNTIME,
};
use crate::target;

/// The last ones that need no account.
const PACKAGES: [&str; 2] = ["serverless@3.40.0", "serverless-offline@13.9.0"];
const SERVICE: &str = "\
service: bench
provider:
  name: aws
  runtime: RUNTIME
plugins:
  - serverless-offline
functions:
  hello:
    handler: app.handler
";

/// serverless-offline; it ends with the value.
pub(super) struct ServerlessOffline {
    child: Child,
    address: SocketAddr,
    request: Vec<u8>,
}

impl Drop for ServerlessOffline {
    fn drop(&mut self) {
        // It starts interpreters, which end with their pipes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ServerlessOffline {
    pub(super) fn start(scratch: &Path) -> Result<Self> {
        let packages = target().join("bench-peers");
        install(&packages)?;
        let service = scratch.join("serverless-offline");
        fs::create_dir_all(&service)?;
        fs::write(service.join("serverless.yml"), SERVICE.replace("RUNTIME", RUNTIME))?;
        fs::write(service.join("app.py"), HANDLER)?;
        let modules = service.join("node_modules");
        if !modules.exists() {
            std::os::unix::fs::symlink(packages.join("node_modules"), &modules)?;
        }
        let free = || -> Result<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        let (address, other, sockets) = (free()?, free()?, free()?);
        let python = super::super::python_of(RUNTIME)?;
        let folder = python.parent().context("a folder")?.display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("node")
            .arg(packages.join("node_modules/serverless/bin/serverless.js"))
            .args(["offline", "start", "--host", "127.0.0.1"])
            .args(["--lambdaPort", &address.port().to_string()])
            .args(["--httpPort", &other.port().to_string()])
            .args(["--websocketPort", &sockets.port().to_string()])
            .current_dir(&service)
            .env("PATH", format!("{folder}:{path}"))
            .env("SLS_TRACKING_DISABLED", "1")
            .env("SLS_NOTIFICATIONS_MODE", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("node cannot be started")?;
        let mut request = head("POST", "/2015-03-31/functions/bench-dev-hello/invocations", 2);
        request.extend(b"{}");
        let peer = Self { child, address, request };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Ok(mut connection) = Connection::open(address)
                && let Ok(answer) = connection.ask(&peer.request)
            {
                if answer.status != 200 || !answer.body.starts_with(b"{\"ok\"") {
                    bail!("it answers {} {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
                return Ok(peer);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("it does not answer")
    }

    pub(super) fn load(&self, connections: usize, lasting: Duration) -> Result<Load> {
        let requests = [self.request.clone()];
        load(self.address, connections, Duration::from_millis(800), &requests)?;
        load(self.address, connections, lasting, &requests)
    }
}

fn install(folder: &Path) -> Result<()> {
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
        .arg(folder)
        .args(PACKAGES)
        .output()
        .context("npm cannot be started")?;
    if !output.status.success() {
        bail!("npm install failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(stamp, wanted).context("the stamp cannot be written")
}
