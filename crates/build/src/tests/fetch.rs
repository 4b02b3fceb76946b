//! Fetching: what reaches the cache, what never does, and how it is told.

use std::sync::Mutex;

use insta::assert_snapshot;
use layercake_core::resolution::Resolution;

use super::{Folder, open, options, target, told};
use crate::{
    fetch::{FetchError, Progress, Silent, WheelSet, fetch},
    resolve::{Asked, PackageIndex},
    testing::{Fault, TestIndex, TestIndexBuilder, WheelBuilder},
};

/// A wheel that is large enough to break in the middle.
fn large(name: &str) -> WheelBuilder {
    // A linear congruential generator (Knuth's MMIX): what it gives does not compress.
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..200_000).map(|_| next()).collect();
    WheelBuilder::new(name, "1").file(&format!("{name}/noise.bin"), noise)
}

fn resolve(index: &PackageIndex, names: &[&str]) -> Resolution {
    let specifiers: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    index.resolve(&Asked::with("--with", &specifiers), target("python3.12")).expect("the index has them")
}

/// Fetches `app` from an index on which it has these faults.
fn check(wheel: &WheelBuilder, faults: &[Fault]) -> (String, Vec<String>) {
    // With metadata beside it nobody has to look into a wheel that may be no archive at all.
    let server = TestIndex::builder().with_metadata().faulty(wheel, faults).start();
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let resolution = resolve(&index, &[&wheel.name()]);
    let text = match fetch(&index, &resolution, &Silent) {
        Ok(set) => {
            let bytes = std::fs::read(&set.files[0].path).expect("it is in the cache");
            assert_eq!(bytes, wheel.bytes());
            format!("{} entries, {} downloaded", set.contents[0].archive.entries.len(), set.downloaded)
        }
        Err(error) => {
            assert_eq!(kept(&cache), Vec::<String>::new());
            told(&error)
        }
    };
    let requests = server.log().into_iter().filter(|line| line.contains(".whl ")).collect();
    (text.replace(server.url().trim_end_matches("/simple"), "[INDEX]"), requests)
}

/// Wheels and facts in a cache.
fn kept(cache: &Folder) -> Vec<String> {
    let mut names = Vec::new();
    let mut open = vec![cache.path().join("wheels")];
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
            match entry.path().is_dir() {
                true => open.push(entry.path().to_owned()),
                false => names.push(entry.file_name().to_owned()),
            }
        }
    }
    names.retain(|name| name != "lock" && name != "partial");
    names.sort();
    names
}

#[test]
fn a_sound_wheel_is_kept_with_its_facts() {
    let server = TestIndex::serving(&[WheelBuilder::new("app", "1"), WheelBuilder::new("lib", "1")]);
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let resolution = resolve(&index, &["app", "lib"]);
    let first = fetch(&index, &resolution, &Silent).expect("both are sound");
    assert_eq!(first.downloaded, 2);
    assert_snapshot!(kept(&cache).join("\n"), @r"
    app-1-py3-none-any.whl
    facts.json
    facts.json
    lib-1-py3-none-any.whl
    ");
    let requests = server.log().len();
    let second = fetch(&index, &resolution, &Silent).expect("both are there");
    assert_eq!((second.downloaded, server.log().len()), (0, requests));
    assert_eq!(first.contents, second.contents);
    assert_eq!(first.files, second.files);
}

#[test]
fn a_wrong_hash_names_both_and_keeps_nothing() {
    let (text, _) = check(&WheelBuilder::new("app", "1"), &[Fault::WrongHash]);
    let hidden = text.replace(&WheelBuilder::new("app", "1").sha256().to_hex(), "[ACTUAL]");
    assert_snapshot!(hidden, @r"
    error: `app-1-py3-none-any.whl` from [INDEX]/files/app-1-py3-none-any.whl is not what the package index promised: its sha256 is [ACTUAL], and 100ef6a71bac925f709fe9c114c60460bf6e472cfdb9d44bd8adf1698135260f was expected
    hint: try again; if it stays, the mirror or proxy between here and the index is at fault, or the file was tampered with
    ");
}

#[test]
fn a_transfer_that_does_not_end_is_ended() {
    let (text, requests) = check(&large("app"), &[Fault::ShortSize]);
    assert_snapshot!(text, @r"
    error: `app-1-py3-none-any.whl` from [INDEX]/files/app-1-py3-none-any.whl is not what the package index promised: more than 200688 bytes came
    hint: try again; if it stays, the mirror or proxy between here and the index is at fault, or the file was tampered with
    ");
    assert_eq!(requests.len(), 1, "it is not asked for again");
}

#[test]
fn a_version_may_be_spelled_in_two_ways() {
    let wheel = WheelBuilder::new("app", "1.0").raw(WheelBuilder::new("app", "1").bytes());
    assert_snapshot!(check(&wheel, &[]).0, @"4 entries, 1 downloaded");
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let (text, requests) = check(&large("app"), &[Fault::Truncated { answers: 2, after: 50_000 }]);
    assert_snapshot!(text, @"5 entries, 1 downloaded");
    assert_snapshot!(requests.join("\n"), @r"
    GET /files/app-1-py3-none-any.whl -
    GET /files/app-1-py3-none-any.whl 50000-
    GET /files/app-1-py3-none-any.whl 100000-
    ");
}

#[test]
fn without_ranges_it_starts_again() {
    let (text, requests) =
        check(&large("app"), &[Fault::Truncated { answers: 1, after: 50_000 }, Fault::NoRanges]);
    assert_snapshot!(text, @"5 entries, 1 downloaded");
    assert_snapshot!(requests.join("\n"), @r"
    GET /files/app-1-py3-none-any.whl -
    GET /files/app-1-py3-none-any.whl 50000-
    ");
}

#[test]
fn a_download_that_always_breaks_is_given_up() {
    let (text, _) = check(&large("app"), &[Fault::Truncated { answers: usize::MAX, after: 0 }]);
    assert_snapshot!(text, @r"
    error: cannot download `app-1-py3-none-any.whl` from [INDEX]/files/app-1-py3-none-any.whl: the connection broke after 0 bytes: end of file before message length reached
    hint: try again: what came so far is kept; check the network and the proxy settings (HTTPS_PROXY)
    ");
}

#[test]
fn a_server_that_recovers_is_asked_again() {
    let (text, _) = check(&large("app"), &[Fault::ServerError { answers: 2 }]);
    assert_snapshot!(text, @"5 entries, 1 downloaded");
    let (text, _) = check(&large("app"), &[Fault::ServerError { answers: usize::MAX }]);
    assert_snapshot!(text, @r"
    error: cannot download `app-1-py3-none-any.whl` from [INDEX]/files/app-1-py3-none-any.whl: the server answered 500
    hint: try again: what came so far is kept; check the network and the proxy settings (HTTPS_PROXY)
    ");
}

#[test]
fn hostile_wheels_are_refused_by_name() {
    let sound = WheelBuilder::new("app", "1");
    let mut damaged = sound.bytes();
    let text = b"Root-Is-Purelib";
    let at = damaged.windows(text.len()).position(|window| window == text).unwrap_or(60);
    damaged[at] ^= 1;
    let cases = [
        ("path traversal", sound.clone().file("../evil.py", "")),
        ("absolute path", sound.clone().file("/etc/passwd", "")),
        ("not a zip", sound.clone().raw(b"hello".to_vec())),
        ("cut off", sound.clone().raw(sound.bytes()[..100].to_vec())),
        ("damaged", sound.clone().raw(damaged)),
        ("no dist-info", sound.clone().raw(WheelBuilder::new("app", "1").bytes_without_dist_info())),
        ("another package", sound.clone().raw(WheelBuilder::new("other", "1").bytes())),
        ("another version", sound.clone().raw(WheelBuilder::new("app", "1.0.1").bytes())),
        ("large module", sound.clone().file("app/x.py", vec![0; (32 << 20) + 1])),
    ];
    let mut table = String::new();
    for (case, wheel) in cases {
        let (text, _) = check(&wheel, &[]);
        table.push_str(&format!("{case}:\n{text}\n"));
    }
    assert_snapshot!(table, @r"
    path traversal:
    error: wheel `app-1-py3-none-any.whl` is refused
      entry `../evil.py` has an unsafe path: it has the part `..`
    hint: no honest build tool makes such an archive: find out where it came from before you use it
    absolute path:
    error: wheel `app-1-py3-none-any.whl` is refused
      entry `/etc/passwd` has an unsafe path: it is absolute
    hint: no honest build tool makes such an archive: find out where it came from before you use it
    not a zip:
    error: wheel `app-1-py3-none-any.whl` is refused
      this is not a readable zip archive: Missing end of central directory
    hint: the file is damaged: download or build it again
    cut off:
    error: wheel `app-1-py3-none-any.whl` is refused
      this is not a readable zip archive: Missing end of central directory
    hint: the file is damaged: download or build it again
    damaged:
    error: wheel `app-1-py3-none-any.whl` is refused
      entry `app-1.dist-info/WHEEL` is damaged: CRC-32 is 6efb113c, the header says c1bf837b
    hint: the file is damaged: download or build it again
    no dist-info:
    error: wheel `app-1-py3-none-any.whl` is refused
      it has 0 `.dist-info` folders; a wheel has exactly one
    hint: this is not a wheel; ask the project for a real one
    another package:
    error: wheel `app-1-py3-none-any.whl` is refused: its contents are those of `other-1`
    hint: ask the project for a sound wheel, or pin another version
    another version:
    error: wheel `app-1-py3-none-any.whl` is refused: its contents are those of `app-1.0.1`
    hint: ask the project for a sound wheel, or pin another version
    large module:
    error: wheel `app-1-py3-none-any.whl` is refused
      `app/x.py` claims 33554433 bytes; no honest Python module has more than 33554432
    hint: no honest build tool makes such a wheel: find out where it came from before you use it
    ");
}

#[test]
fn a_damaged_cache_heals_itself() {
    let server = TestIndex::serving(&[large("app")]);
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let resolution = resolve(&index, &["app"]);
    let set = fetch(&index, &resolution, &Silent).expect("it is sound");
    let path = &set.files[0].path;
    let facts = path.with_file_name("facts.json");
    let again = || -> WheelSet { fetch(&index, &resolution, &Silent).expect("it is fetched again") };
    std::fs::write(path, "short").expect("writable");
    assert_eq!(again().downloaded, 1);
    std::fs::write(&facts, "{").expect("writable");
    assert_eq!(again().downloaded, 1);
    std::fs::remove_file(path).expect("writable");
    assert_eq!(again().downloaded, 1);
    assert_eq!(again().downloaded, 0);
    assert_eq!(std::fs::read(path).expect("readable"), large("app").bytes());
}

#[test]
fn many_at_once_share_one_cache() {
    let wheels: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| large(name)).collect();
    let server = wheels.iter().fold(TestIndex::builder(), TestIndexBuilder::wheel).with_metadata().start();
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let resolution = resolve(&index, &["a", "b", "c", "d"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // Each has its own index, runtime and file handles, as another process would.
            scope.spawn(|| {
                let index = open(options(&cache, &server));
                fetch(&index, &resolution, &Silent).expect("all of them succeed");
            });
        }
    });
    assert_eq!(server.requests(".whl -"), 4, "each wheel is downloaded once");
}

#[test]
fn offline_only_the_cache_answers() {
    let server = TestIndex::serving(&[WheelBuilder::new("app", "1")]);
    let cache = Folder::new();
    let resolution = resolve(&open(options(&cache, &server)), &["app"]);
    let mut settings = options(&cache, &server);
    settings.offline = true;
    let error = fetch(&open(settings), &resolution, &Silent).expect_err("it was never fetched");
    assert_snapshot!(told(&error), @r"
    error: `app-1-py3-none-any.whl` is not in the cache, and the network is off
    hint: run once without --offline
    ");
}

#[test]
fn a_server_that_is_gone_is_told_with_its_address() {
    let cache = Folder::new();
    let server = TestIndex::serving(&[WheelBuilder::new("app", "1")]);
    let (url, settings) = (server.url(), options(&cache, &server));
    let index = open(settings);
    let resolution = resolve(&index, &["app"]);
    drop(server);
    let error = fetch(&index, &resolution, &Silent).expect_err("nobody listens");
    assert!(matches!(error, FetchError::Download { .. }));
    let text = told(&error).replace(url.trim_end_matches("/simple"), "[INDEX]");
    assert_snapshot!(text, @r"
    error: cannot download `app-1-py3-none-any.whl` from [INDEX]/files/app-1-py3-none-any.whl: Connection refused (os error 111)
    hint: try again: what came so far is kept; check the network and the proxy settings (HTTPS_PROXY)
    ");
}

#[test]
fn a_cache_that_cannot_be_written_is_one_error() {
    let server = TestIndex::serving(&[WheelBuilder::new("app", "1")]);
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let resolution = resolve(&index, &["app"]);
    // Root writes everywhere, so a file stands where the folder should be.
    cache.write("wheels", "");
    let error = fetch(&index, &resolution, &Silent).expect_err("no folder can be made");
    let text = told(&error).replace(cache.path().as_str(), "[CACHE]");
    assert_snapshot!(text.replace(&resolution.wheels[0].sha256.to_hex(), "[SHA256]"), @r"
    error: cannot use the wheel cache at `[CACHE]/wheels/49/[SHA256]/lock`
      Not a directory (os error 20)
    hint: make it readable and writable, or choose another folder with --cache-dir
    ");
}

#[test]
fn progress_is_told_from_the_first_byte_to_the_last() {
    #[derive(Default)]
    struct Listener(Mutex<Vec<String>>);
    impl Listener {
        fn hear(&self, text: String) {
            self.0.lock().expect("nobody panics").push(text);
        }
    }
    impl Progress for Listener {
        fn started(&self, filename: &str, size: Option<u64>) {
            self.hear(format!("{filename} of {size:?}"));
        }
        fn at(&self, _: &str, bytes: u64) {
            self.hear(format!("at {bytes}"));
        }
        fn finished(&self, filename: &str) {
            self.hear(format!("{filename} is there"));
        }
    }
    let server = TestIndex::serving(&[large("app")]);
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let listener = Listener::default();
    fetch(&index, &resolve(&index, &["app"]), &listener).expect("it is sound");
    let heard = listener.0.into_inner().expect("nobody panicked");
    let size = large("app").bytes().len();
    assert_eq!(heard.first(), Some(&format!("app-1-py3-none-any.whl of Some({size})")));
    assert_eq!(heard.get(heard.len() - 2), Some(&format!("at {size}")));
    assert_eq!(heard.last(), Some(&"app-1-py3-none-any.whl is there".to_owned()));
}
