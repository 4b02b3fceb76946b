//! Who is at the other end of a local connection, read from `/proc`.
//!
//! Environments share this machine's loopback network, so a port of one is in reach of every
//! local process. Owns the answer to one question: does a connection come from this environment?

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use super::memory;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// From the process that was named, or one of its descendants.
    Own,
    /// From anybody else, or from nobody any more.
    Stranger,
    /// The host does not show the files of one of the descendants.
    Unknown,
}

/// Who opened the connection between these two ends. Blocks for some milliseconds.
pub(super) fn of(theirs: SocketAddrV4, ours: SocketAddrV4, keeper: i32) -> Peer {
    let mut answer = Peer::Stranger;
    // A process whose parent ends meanwhile can be missed once, as its place in the tree changes.
    for _ in 0..2 {
        let Some(inode) = inode(theirs, ours) else { return Peer::Stranger };
        let descendants = memory::descendants(keeper).unwrap_or_default();
        for pid in std::iter::once(keeper).chain(descendants) {
            match holds(pid, &inode) {
                Ok(true) => return Peer::Own,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => answer = Peer::Unknown,
                Ok(false) | Err(_) => {}
            }
        }
    }
    answer
}

/// Whether this host shows what is needed to tell, tried on a connection to ourselves.
#[cfg(target_os = "linux")]
pub(super) fn can_be_told() -> bool {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    let told = || -> io::Result<bool> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        Ok(match (stream.local_addr()?, stream.peer_addr()?) {
            (SocketAddr::V4(theirs), SocketAddr::V4(ours)) => {
                of(theirs, ours, own) == Peer::Own && memory::descendants(own).is_some()
            }
            _ => false,
        })
    };
    told().unwrap_or(false)
}

/// The inode of the socket at their end. A socket of IPv6 can speak IPv4 too, and is then in the
/// other table.
fn inode(theirs: SocketAddrV4, ours: SocketAddrV4) -> Option<String> {
    let find = |table: &str, prefix: &str| {
        let rows = fs_err::read_to_string(table).ok()?;
        find_inode(&rows, &format!("{prefix}{}", hex(theirs)), &format!("{prefix}{}", hex(ours)))
    };
    let mapped = format!("{:016X}{:08X}", 0, u32::from_ne_bytes([0, 0, 255, 255]));
    find("/proc/net/tcp", "").or_else(|| find("/proc/net/tcp6", &mapped))
}

/// An address as the table has it: in the byte order of this machine.
fn hex(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

fn find_inode(rows: &str, local: &str, remote: &str) -> Option<String> {
    let inode = rows.lines().find_map(|row| {
        let mut columns = row.split_whitespace().skip(1);
        (columns.next() == Some(local) && columns.next() == Some(remote)).then(|| columns.nth(6))?
    })?;
    // A socket that has been closed has none.
    (inode != "0").then(|| inode.to_owned())
}

fn holds(pid: i32, inode: &str) -> io::Result<bool> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs_err::read_dir(format!("/proc/{pid}/fd"))?.filter_map(Result::ok) {
        if fs_err::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        net::{SocketAddr, TcpListener, TcpStream},
        process::{Command, Stdio},
    };

    use super::*;

    const ROWS: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0\n   \
        1: 0100007F:A000 0100007F:1F90 01 00000000:00000000 00:00000000 00000000   993        0 4711 1 0 20 4 30 10 -1\n   \
        2: 0100007F:A001 0100007F:1F90 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1\n";

    #[test]
    fn a_row_is_found_by_both_ends() {
        let find = |local, remote| find_inode(ROWS, local, remote);
        assert_eq!(find("0100007F:A000", "0100007F:1F90").as_deref(), Some("4711"));
        assert_eq!(find("0100007F:1F90", "0100007F:A000"), None);
        assert_eq!(find("0100007F:A001", "0100007F:1F90"), None, "closed");
    }

    fn ends(stream: &TcpStream) -> (SocketAddrV4, SocketAddrV4) {
        match (stream.local_addr().expect("an address"), stream.peer_addr().expect("an address")) {
            (SocketAddr::V4(theirs), SocketAddr::V4(ours)) => (theirs, ours),
            _ => panic!("not IPv4"),
        }
    }

    #[test]
    fn a_connection_is_its_process_s_and_nobody_else_s() {
        let own = i32::try_from(std::process::id()).expect("a number");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (theirs, ours) = ends(&stream);
        assert_eq!(of(theirs, ours, own), Peer::Own);
        let mut other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep");
        assert_eq!(of(theirs, ours, i32::try_from(other.id()).expect("a number")), Peer::Stranger);
        other.kill().expect("killed");
        other.wait().expect("waited");
        drop(stream);
        assert_eq!(of(theirs, ours, own), Peer::Stranger, "closed");
    }

    /// Figures, not a verdict: `cargo test -p layercake-local --lib -- --ignored --nocapture peer`.
    #[test]
    #[ignore = "a benchmark"]
    fn how_long_a_look_takes() {
        const ROUNDS: u32 = 1000;
        let own = i32::try_from(std::process::id()).expect("a number");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut others = Vec::new();
        for open in [0, 100, 400] {
            others.resize_with(open, || TcpStream::connect(address).map(|one| (one, listener.accept())));
            let stream = TcpStream::connect(address).expect("connected");
            let (theirs, ours) = ends(&stream);
            let begun = std::time::Instant::now();
            for _ in 0..ROUNDS {
                assert_eq!(of(theirs, ours, own), Peer::Own);
            }
            println!("{open} other connections: {:?}", begun.elapsed() / ROUNDS);
            drop(listener.accept());
        }
    }
}
