//! Memory does not grow with what is uploaded.

use layercake_core::zip::{FileMode, ZipWriter};
use serde_json::json;

use crate::support::{Chance, Server, folder};

/// The most memory that a process ever had, in bytes.
fn peak(server: &Server) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is listed");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_layer_of_250_megabytes_takes_little_memory() {
    let (_folder, data) = folder();
    let mut chance = Chance(9);
    let noise = chance.bytes(1 << 20);
    // A third of it cannot be packed.
    let mut writer = ZipWriter::new(Vec::new());
    for (name, mebibytes) in [("a.so", 120), ("b.so", 100), ("c.so", 26)] {
        let content: Vec<u8> = (0..mebibytes)
            .flat_map(
                |number: usize| {
                    if number.is_multiple_of(3) { noise.clone() } else { vec![number as u8; 1 << 20] }
                },
            )
            .collect();
        writer.file_from_bytes(&format!("python/{name}"), FileMode::Executable, &content).expect("memory");
    }
    let (zip, _) = writer.finish().expect("memory");
    let server = Server::start(&data);
    let mut client = server.client();
    assert_eq!(client.ask("PUT", "/bucket", b"").expect("an answer").status, 200);
    assert_eq!(client.ask("PUT", "/bucket/layer.zip", &zip).expect("an answer").status, 200);
    let body = json!({ "Content": { "S3Bucket": "bucket", "S3Key": "layer.zip" } }).to_string();
    let answer = client.ask("POST", "/2018-10-31/layers/l/versions", body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let version = client.get("/2018-10-31/layers/l/versions/1").json();
    assert_eq!(client.download(&version["Content"]["Location"]).body, zip);
    let peak = peak(&server);
    assert!(peak < 60_000_000, "it took {peak} bytes");
}
