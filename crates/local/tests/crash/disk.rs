//! A disk without room: refused in words, nothing half-written, and on with it once there is room.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use crate::support::{Chance, Client, Server, command, folder, is_empty, kept, zip};

/// What the server sees as its data folder; the mount is in a namespace of its own.
fn inside(server: &Server, data: &Utf8PathBuf) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("/proc/{}/root{data}", server.pid()))
}

/// All hashes that the server has records of.
fn named(client: &mut Client) -> BTreeSet<String> {
    client.versions("l").into_iter().map(|(_, hash)| hash).collect()
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let (_folder, data) = folder();
    fs_err::create_dir_all(&data).expect("a folder");
    let mount = format!("mount -t tmpfs -o size=6m none '{data}' && exec \"$@\"");
    let before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"];
    let server = Server::started(command(&data, &before), &data)
        .unwrap_or_else(|said| panic!("no server on a small disk (the test needs user namespaces): {said}"));
    let folder = inside(&server, &data);
    let ballast = folder.join("ballast");
    fs_err::write(&ballast, vec![0; 1 << 20]).expect("there is room for it");
    let mut client = server.client();
    let mut chance = Chance(5);

    // Large uploads, then small ones, for which there is room until the database has none.
    for size in [900_000, 20_000, 500] {
        let refused = (0..2_000).find_map(|_| {
            let answer = client.publish("l", &zip(&chance.bytes(size))).expect("an answer");
            (answer.status != 201).then_some(answer)
        });
        let refused = refused.expect("the disk is small");
        let said = refused.text();
        assert!(refused.status == 500, "{said}");
        assert!(said.contains("No space left on device") || said.contains("disk is full"), "{size}: {said}");
        assert!(is_empty(&folder.join("beside")), "{size}: nothing half is left");
        assert_eq!(kept(&folder), named(&mut client), "{size}: what is kept is what is named");
    }
    let function = client.create_function("f", &zip(&chance.bytes(900_000))).expect("an answer");
    assert_eq!(function.status, 500, "{}", function.text());
    assert_eq!(client.get("/2015-03-31/functions/f").status, 404);
    // A record may still find room in the database's own files; an object's bytes do not.
    let bucket = client.ask("PUT", "/bucket", b"").expect("an answer");
    match bucket.status {
        200 => {
            let object = client.ask("PUT", "/bucket/key", &chance.bytes(900_000)).expect("an answer");
            assert!(object.status == 500 && object.text().contains("No space left"), "{}", object.text());
        }
        // Without a bucket an object is refused before its bytes are read, and they break the connection.
        _ => assert!(bucket.text().contains("is full"), "{}", bucket.text()),
    }
    assert!(is_empty(&folder.join("beside")));

    fs_err::remove_file(&ballast).expect("room is made");
    let again = client.publish("l", &zip(&chance.bytes(300_000))).expect("an answer");
    assert_eq!(again.status, 201, "{}", again.text());
    assert_eq!(client.create_function("f", &zip(b"")).expect("an answer").status, 201);
    for (version, _) in client.versions("l") {
        let path = format!("/2018-10-31/layers/l/versions/{version}");
        assert_eq!(client.ask("DELETE", &path, b"").expect("an answer").status, 204);
    }
    assert_eq!(kept(&folder).len(), 1, "the function's code");
}
