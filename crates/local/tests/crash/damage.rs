//! Damaged files over HTTP: told by name, never served.

use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::hash::Sha256;
use serde_json::json;

use crate::support::{Chance, Server, folder, zip};

fn path_of(data: &Utf8Path, bytes: &[u8]) -> Utf8PathBuf {
    let hash = Sha256::of(bytes).to_hex();
    data.join("blobs").join(&hash[..2]).join(hash)
}

/// Changes one bit in the middle of a file.
fn flip(path: &Utf8Path) {
    let mut bytes = fs_err::read(path).expect("its bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).expect("written");
}

#[test]
fn damaged_files_are_told_by_name_and_never_served() {
    let (_folder, data) = folder();
    let mut chance = Chance(3);
    let server = Server::start(&data);
    let mut client = server.client();
    assert_eq!(client.ask("PUT", "/bucket", b"").expect("an answer").status, 200);
    let (code, layer) = (zip(b"code"), zip(b"layer"));
    // Of the two objects, one is read before it is served and one while it is served.
    let (small, large) = (zip(&chance.bytes(50_000)), chance.bytes(20 << 20));
    assert_eq!(client.create_function("f", &code).expect("an answer").status, 201);
    assert_eq!(client.publish("l", &layer).expect("an answer").status, 201);
    for (key, bytes) in [("small", &small), ("large", &large)] {
        assert_eq!(client.ask("PUT", &format!("/bucket/{key}"), bytes).expect("an answer").status, 200);
    }
    assert_eq!(client.get("/bucket/large").body, large);
    server.kill();
    for bytes in [&code, &layer, &small, &large] {
        flip(&path_of(&data, bytes));
    }

    let server = Server::start(&data);
    let mut client = server.client();
    let check = |answer: crate::support::Answer, bytes: &[u8], name: &str| {
        let said = answer.text();
        assert_eq!(answer.status, 500, "{said}");
        let hash = Sha256::of(bytes).to_hex();
        for text in [said, server.log()] {
            assert!(text.contains(&hash) && text.contains("is damaged") && text.contains(name), "{text}");
        }
    };
    let function = client.get("/2015-03-31/functions/f").json();
    check(client.download(&function["Code"]["Location"]), &code, "function `f` in us-east-1");
    let version = client.get("/2018-10-31/layers/l/versions/1").json();
    check(client.download(&version["Content"]["Location"]), &layer, "version 1 of layer `l`");
    check(client.get("/bucket/small"), &small, "object `small` of bucket `bucket`");
    let body = json!({ "Content": { "S3Bucket": "bucket", "S3Key": "small" } }).to_string();
    let published = client.ask("POST", "/2018-10-31/layers/from-s3/versions", body.as_bytes());
    check(published.expect("an answer"), &small, "object `small` of bucket `bucket`");

    // The head is out before the damage is found, and then the connection ends.
    let answer = client.get("/bucket/large");
    assert_eq!((answer.status, answer.length), (200, large.len()));
    assert!(answer.body.len() < large.len(), "it was served whole");
    assert!(server.log().contains("object `large` of bucket `bucket`"), "{}", server.log());

    // Uploaded again, it is good again.
    let mut client = server.client();
    assert_eq!(client.ask("PUT", "/bucket/small", &small).expect("an answer").status, 200);
    assert_eq!(client.get("/bucket/small").body, small);
}
