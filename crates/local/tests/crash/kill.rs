//! Killed at any moment: what was answered is there, and nothing is there by half.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use layercake_core::hash::Sha256;
use serde_json::json;

use crate::support::{Chance, Client, Server, base64, command, folder, is_empty, kept, zip};

/// How often the server is killed, and how many clients drive it.
const ROUNDS: u64 = 16;
const CLIENTS: u64 = 3;

/// What a name may stand for now, by the hash of its bytes; more than one thing when a change was not
/// answered.
type Possible = BTreeSet<Option<String>>;

/// What one client knows. Each has names of its own.
struct Knowledge {
    chance: Chance,
    layer: String,
    /// Versions that were answered and not deleted since.
    published: BTreeMap<u64, String>,
    /// Publishes without an answer, and deletions without one.
    perhaps_published: BTreeSet<String>,
    perhaps_deleted: BTreeSet<u64>,
    newest: u64,
    functions: BTreeMap<String, Possible>,
    objects: BTreeMap<String, Possible>,
}

impl Knowledge {
    fn new(number: u64) -> Self {
        Self {
            chance: Chance(0x9e37_79b9_7f4a_7c15 ^ (number + 1)),
            layer: format!("layer-{number}"),
            published: BTreeMap::new(),
            perhaps_published: BTreeSet::new(),
            perhaps_deleted: BTreeSet::new(),
            newest: 0,
            functions: (0..4).map(|item| (format!("f-{number}-{item}"), nothing())).collect(),
            objects: (0..4).map(|item| (format!("o-{number}-{item}"), nothing())).collect(),
        }
    }

    /// Changes something. The error is a server that is gone.
    fn step(&mut self, client: &mut Client) -> std::io::Result<()> {
        let size = [40, 3_000, 70_000][self.chance.below(3) as usize];
        let content = zip(&self.chance.bytes(size));
        let hash = Sha256::of(&content).to_base64();
        match self.chance.below(7) {
            0 | 1 => {
                self.perhaps_published.insert(hash.clone());
                let answer = client.publish(&self.layer, &content)?;
                assert_eq!(answer.status, 201, "{}", answer.text());
                self.perhaps_published.remove(&hash);
                let version = answer.json()["Version"].as_u64().expect("a number");
                assert!(version > self.newest, "{version} after {}", self.newest);
                self.newest = version;
                self.published.insert(version, hash);
            }
            2 => {
                let Some((&version, _)) = self.published.first_key_value() else { return Ok(()) };
                self.perhaps_deleted.insert(version);
                let path = format!("/2018-10-31/layers/{}/versions/{version}", self.layer);
                assert_eq!(client.ask("DELETE", &path, b"")?.status, 204);
                self.perhaps_deleted.remove(&version);
                self.published.remove(&version);
            }
            3 | 4 => {
                let name = self.pick(|knowledge| &knowledge.functions);
                let path = format!("/2015-03-31/functions/{name}");
                let there = self.functions[&name].iter().any(Option::is_some);
                let wanted = if !there || self.chance.below(2) == 0 { Some(hash) } else { None };
                self.functions.entry(name.clone()).or_default().insert(wanted.clone());
                let answer = match (&wanted, there) {
                    (None, _) => client.ask("DELETE", &path, b"")?,
                    (Some(_), false) => client.create_function(&name, &content)?,
                    (Some(_), true) => {
                        let body = json!({ "ZipFile": base64(&content) }).to_string();
                        client.ask("PUT", &format!("{path}/code"), body.as_bytes())?
                    }
                };
                match answer.status {
                    200 | 201 | 204 => drop(self.functions.insert(name, BTreeSet::from([wanted]))),
                    // It is still being made ready, so nothing was changed.
                    409 => drop(self.functions.entry(name).or_default().remove(&wanted)),
                    _ => panic!("{}", answer.text()),
                }
            }
            _ => {
                let name = self.pick(|knowledge| &knowledge.objects);
                let path = format!("/bucket/{name}");
                let wanted = if self.chance.below(4) > 0 { Some(hash) } else { None };
                self.objects.entry(name.clone()).or_default().insert(wanted.clone());
                let answer = match wanted {
                    Some(_) => client.ask("PUT", &path, &content)?,
                    None => client.ask("DELETE", &path, b"")?,
                };
                assert!(answer.status == 200 || answer.status == 204, "{}", answer.text());
                self.objects.insert(name, BTreeSet::from([wanted]));
            }
        }
        Ok(())
    }

    fn pick(&mut self, among: impl Fn(&Self) -> &BTreeMap<String, Possible>) -> String {
        let number = self.chance.below(4) as usize;
        among(self).keys().nth(number).expect("there are four").clone()
    }

    /// Holds what is there against what may be there, and gives the hashes of all of it.
    fn check(&mut self, client: &mut Client) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        let found: BTreeMap<_, _> = client.versions(&self.layer).into_iter().collect();
        for (version, hash) in &self.published {
            match found.get(version) {
                Some(there) => assert_eq!(there, hash),
                None => assert!(self.perhaps_deleted.contains(version), "version {version} is gone"),
            }
        }
        for (version, hash) in &found {
            let known = self.published.contains_key(version) || self.perhaps_published.contains(hash);
            assert!(known, "nobody published version {version}");
            let path = format!("/2018-10-31/layers/{}/versions/{version}", self.layer);
            let location = client.get(&path).json()["Content"]["Location"].clone();
            assert_eq!(Sha256::of(&client.download(&location).body).to_base64(), *hash);
        }
        self.newest = self.newest.max(found.keys().copied().max().unwrap_or(0));
        named.extend(found.values().cloned());
        self.published = found;
        self.perhaps_published.clear();
        self.perhaps_deleted.clear();

        for (name, possible) in &mut self.functions {
            let actual = settled_function(client, name);
            assert!(possible.contains(&actual), "function {name}: {actual:?} is none of {possible:?}");
            named.extend(actual.clone());
            *possible = BTreeSet::from([actual]);
        }
        for (name, possible) in &mut self.objects {
            let answer = client.get(&format!("/bucket/{name}"));
            let actual = match answer.status {
                200 => Some(Sha256::of(&answer.body).to_base64()),
                404 => None,
                _ => panic!("{}", answer.text()),
            };
            assert!(possible.contains(&actual), "object {name}: {actual:?} is none of {possible:?}");
            named.extend(actual.clone());
            *possible = BTreeSet::from([actual]);
        }
        named
    }
}

fn nothing() -> Possible {
    BTreeSet::from([None])
}

/// The hash of a function's code, once the function is as it will stay.
fn settled_function(client: &mut Client, name: &str) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.get(&format!("/2015-03-31/functions/{name}"));
        if answer.status == 404 {
            return None;
        }
        let found = answer.json();
        let configuration = &found["Configuration"];
        if configuration["State"] == "Active" && configuration["LastUpdateStatus"] == "Successful" {
            let hash = configuration["CodeSha256"].as_str().expect("a hash").to_owned();
            assert_eq!(Sha256::of(&client.download(&found["Code"]["Location"]).body).to_base64(), hash);
            return Some(hash);
        }
        assert!(Instant::now() < until, "{name} stays {configuration}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_killed_at_any_moment_has_what_it_answered() {
    let (_folder, data) = folder();
    let mut chance = Chance(77);
    let mut all: Vec<_> = (0..CLIENTS).map(Knowledge::new).collect();
    let server = Server::start(&data);
    assert_eq!(server.client().ask("PUT", "/bucket", b"").expect("an answer").status, 200);
    server.kill();
    let steps = AtomicU64::new(0);
    for round in 0..ROUNDS {
        let server = Server::start(&data);
        let lives = Duration::from_millis(20 + chance.below(300));
        std::thread::scope(|scope| {
            for knowledge in &mut all {
                let mut client = server.client();
                let steps = &steps;
                scope.spawn(move || {
                    while knowledge.step(&mut client).is_ok() {
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            std::thread::sleep(lives);
            server.kill();
        });

        let server = Server::start(&data);
        let mut client = server.client();
        let named: BTreeSet<String> =
            all.iter_mut().flat_map(|knowledge| knowledge.check(&mut client)).collect();
        assert_eq!(kept(&data), named, "round {round}: what is kept is what is named");
        assert!(is_empty(&data.join("beside")), "round {round}: nothing half is left");
    }
    let steps = steps.into_inner();
    assert!(steps > ROUNDS * CLIENTS, "only {steps} changes were answered");
}

#[test]
fn a_folder_is_served_once_and_free_as_soon_as_its_server_is_killed() {
    let (_folder, data) = folder();
    let server = Server::start(&data);
    let refused = Server::started(command(&data, &[]), &data).map(|_| ()).expect_err("the folder is in use");
    let who =
        format!("is in use by the local cloud at {} (process {}, serving)", server.address, server.pid());
    assert!(refused.contains(&who), "{refused}");
    server.kill();
    Server::start(&data).kill();
}
