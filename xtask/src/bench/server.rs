//! A local cloud in a process of its own, for what asks it something.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::http::{Connection, get};

/// A local cloud in a process of its own; it is killed with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first answer.
    pub(crate) ready: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(binary: &Path, data: &Path) -> Result<Self> {
        Self::start_with(binary, data, &[])
    }

    /// The same, with more arguments.
    pub(crate) fn start_with(binary: &Path, data: &Path, arguments: &[&str]) -> Result<Self> {
        // Free a moment ago, and nobody else asks for one.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let begun = Instant::now();
        let child = Command::new(binary)
            .args(["--quiet", "local", "--data"])
            .arg(data)
            .args(["--listen", &address.to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .context("layercake cannot be started")?;
        let mut server = Self { child, address, ready: Duration::ZERO };
        while begun.elapsed() < Duration::from_secs(20) {
            if let Ok(mut connection) = Connection::open(address)
                && connection.ask(&get("/_layercake/health"))?.status == 200
            {
                server.ready = begun.elapsed();
                return Ok(server);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        bail!("layercake local does not answer")
    }

    /// A figure of the kernel's about the process, in bytes.
    pub(crate) fn status(&self, key: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kibibytes.context("the kernel tells a process' memory")? << 10)
    }

    /// CPU time so far, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok());
        // Fields 14 and 15 of proc(5), in hundredths of a second on every Linux of today.
        Ok((ticks(11).context("utime")? + ticks(12).context("stime")?) / 100.0)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as Ctrl-C does, and waits for its end.
    pub(crate) fn stop(mut self, longest: Duration) -> Result<()> {
        let asked = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        if !asked.success() {
            bail!("layercake local cannot be stopped");
        }
        let begun = Instant::now();
        while begun.elapsed() < longest {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("layercake local ended with {status}");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("layercake local does not end")
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }
}
