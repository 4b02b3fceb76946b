//! `show`, `diff` and `cache` as a user runs them, with the real binary.

mod support;

use std::fs;

use camino::Utf8PathBuf;
use insta::assert_snapshot;
use layercake_core::zip::{EntryHeader, FileMode, Method, ZipWriter, deflate};
use support::{Answer, TestEnv};

/// Files that begin a distribution in a layer.
const SIX: &[(&str, &str)] = &[
    ("python/six-1.17.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: six\nVersion: 1.17.0\n"),
    ("python/six-1.17.0.dist-info/RECORD", "six.py,,\n"),
    ("python/six.py", "WORD = 'six'\n"),
];

fn zip(env: &TestEnv, name: &str, files: &[(&str, &str)]) -> Utf8PathBuf {
    let mut zip = ZipWriter::new(Vec::new());
    for (path, text) in files {
        zip.file_from_bytes(path, FileMode::Regular, text.as_bytes()).expect("a vector takes every byte");
    }
    let path = env.root().join(name);
    fs::write(&path, zip.finish().expect("a vector takes every byte").0).expect("written");
    path
}

#[test]
fn a_layer_is_shown_by_package_kind_and_file() {
    let env = TestEnv::new();
    let table = "x".repeat(50_000);
    let files =
        [SIX, &[("python/table/a.csv", table.as_str()), ("python/table/deep/b.csv", &table[..9_000])]];
    zip(&env, "layer.zip", &files.concat());
    assert_snapshot!(env.run(&["show", "layer.zip"]).told(&env), @r"
    exit 0
    layer.zip: 5 files
    sha256 3014616930a3a5544ea9aca87e997d13c53b6643fe133ecda1dbb767afd2648d

    unzipped  [#.............................]    0 %  59.1 kB of 262.1 MB
    zipped    [#.............................]    0 %  805 B of 52.4 MB

    Package                                  Files   Unzipped     Zipped    Share
    no package                                   2    59.0 kB       90 B   99.9 %
      a.csv                                      1    50.0 kB       65 B   84.6 %
      deep/                                      1     9.0 kB       25 B   15.2 %
        b.csv                                    1     9.0 kB       25 B   15.2 %
    six 1.17.0                                   3       70 B       65 B    0.1 %

    Kind                                     Files   Unzipped     Zipped    Share
    data                                         2    59.0 kB       90 B   99.9 %
    metadata                                     2       57 B       52 B    0.1 %
    sources                                      1       13 B       13 B    0.0 %

      Unzipped     Zipped  File
       50.0 kB       65 B  python/table/a.csv
        9.0 kB       25 B  python/table/deep/b.csv
          48 B       43 B  python/six-1.17.0.dist-info/METADATA
          13 B       13 B  python/six.py
           9 B        9 B  python/six-1.17.0.dist-info/RECORD
    ");
    let json = env.run_json(&["show", "layer.zip", "--json"]);
    assert_eq!(json["format"], 1);
    assert_eq!(json["packages"][1]["name"], "six");
    assert_eq!(json["packages"][1]["version"], "1.17.0");
}

#[test]
fn only_the_biggest_files_are_listed_unless_all_are_asked_for() {
    let env = TestEnv::new();
    let names: Vec<_> = (0..30).map(|number| format!("python/x/{number:02}.py")).collect();
    zip(&env, "layer.zip", &names.iter().map(|name| (name.as_str(), "x = 1\n")).collect::<Vec<_>>());
    let shown = |arguments: &[&str]| env.run_ok(arguments).stdout.matches("python/x/").count();
    assert_eq!(shown(&["show", "layer.zip"]), 10);
    assert_eq!(shown(&["show", "layer.zip", "--files"]), 30);
    assert_eq!(shown(&["show", "layer.zip", "--json"]), 10);
    assert_eq!(shown(&["show", "layer.zip", "--json", "--files"]), 30);
}

#[test]
fn the_page_is_the_same_each_time_and_holds_names_as_text() {
    let env = TestEnv::new();
    let hostile = "python/x/<img src=x onerror=alert(1)>.py";
    zip(&env, "<b>.zip", &[(hostile, "x = 1\n")]);
    let page = || {
        let answer = env.run_ok(&["show", "<b>.zip", "--html", "report.html"]);
        assert_eq!(answer.stderr, "wrote report.html\n");
        fs::read_to_string(env.root().join("report.html")).expect("it was written")
    };
    let first = page();
    assert_eq!(first, page());
    assert!(!first.contains("<img") && !first.contains("<b>"));
    assert!(first.contains("\\u003cimg src=x onerror=alert(1)\\u003e.py"));
}

#[test]
fn what_cannot_be_shown_is_told_with_the_next_step() {
    let env = TestEnv::new();
    assert_snapshot!(env.run(&["show", "none.zip"]).told(&env), @r"
    exit 1
    error: cannot read `none.zip`
      cause: No such file or directory (os error 2)
      hint: look for a typing mistake, or build it first
    ");
    fs::write(env.root().join("text.zip"), "no zip").expect("written");
    assert_snapshot!(env.run(&["show", "text.zip"]).told(&env), @r"
    exit 1
    error: `text.zip` is refused
      cause: this is not a readable zip archive: Missing end of central directory
      hint: the file is damaged: download or build it again
    ");
}

/// Two gigabytes of an ELF file's beginning and zeroes, in two megabytes.
fn bomb(env: &TestEnv) {
    let mut bytes = vec![0; 260_000_000];
    bytes[..4].copy_from_slice(b"\x7fELF");
    let (method, packed) = deflate(&bytes);
    assert_eq!(method, Method::Deflated);
    let (crc32, size, packed_size) = (crc32(&bytes), bytes.len() as u64, packed.len() as u64);
    let mut zip = ZipWriter::new(Vec::new());
    for number in 0..8 {
        let path = &format!("python/x/{number}.so");
        let header = EntryHeader { path, method, crc32, size, packed_size, mode: FileMode::Regular };
        zip.file(&header, &packed).expect("a vector takes every byte");
    }
    let bytes = zip.finish().expect("a vector takes every byte").0;
    fs::write(env.root().join("bomb.zip"), bytes).expect("written");
}

/// CRC-32 (ISO 3309), which only zip headers need here.
fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (number, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(number as u32, |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
    }
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

#[test]
fn a_zip_bomb_is_shown_in_bounded_memory() {
    let env = TestEnv::new();
    bomb(&env);
    let mut command = std::process::Command::new("sh");
    env.prepare(&mut command);
    // Address space, in kB: less than half of what the bomb unpacks to, threads' stacks included.
    let limited = "ulimit -v 1000000 && exec \"$0\" show bomb.zip";
    let output = command
        .args(["-c", limited, env!("CARGO_BIN_EXE_layercake")])
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .expect("a shell starts");
    let answer = Answer::of(&output);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("2.1 GB of 262.1 MB: too large for Lambda"), "{}", answer.stdout);
}

#[test]
fn zips_are_compared_and_the_exit_code_tells_when_asked_to() {
    let env = TestEnv::new();
    zip(&env, "old.zip", SIX);
    let newer: Vec<_> = SIX
        .iter()
        .map(|&(path, text)| if path.ends_with("six.py") { (path, "WORD = 'seven'\n") } else { (path, text) })
        .chain([("python/notes.txt", "a note\n")])
        .collect();
    zip(&env, "new.zip", &newer);
    assert_snapshot!(env.run(&["diff", "old.zip", "new.zip"]).told(&env), @r"
    exit 0
    old       70 B unzipped     481 B zipped       3 files  old.zip
    new       79 B unzipped     598 B zipped       4 files  new.zip
              +9 B             +117 B             +1

    Packages
      + no package                               +7 B  1 added
      ~ six 1.17.0                               +2 B  1 changed

    Files (2 the same)
      +       +7 B  python/notes.txt
      ~       +2 B  python/six.py
    ");
    let code = |arguments: &[&str]| env.run(arguments).code;
    assert_eq!(code(&["diff", "old.zip", "new.zip", "--exit-code"]), Some(1));
    assert_eq!(code(&["diff", "old.zip", "old.zip", "--exit-code"]), Some(0));
    assert_snapshot!(env.run(&["diff", "old.zip", "old.zip"]).told(&env), @r"
    exit 0
    old       70 B unzipped     481 B zipped       3 files  old.zip
    new       70 B unzipped     481 B zipped       3 files  old.zip
    They are the same, byte for byte.
    ");
    let json = env.run_json(&["diff", "old.zip", "new.zip", "--json"]);
    assert_eq!((&json["format"], &json["files"][0]["change"]), (&1.into(), &"added".into()));
    assert_eq!(code(&["diff", "old.zip", "none.zip"]), Some(1));
}

#[test]
fn the_cache_of_a_build_is_measured_and_removed() {
    let env = TestEnv::new();
    let cache = env.root().join("cache");
    assert_eq!(env.run_ok(&["cache", "dir"]).stdout.trim(), cache);
    assert_eq!(env.run_json(&["cache", "size", "--json"])["bytes"], 0);
    env.run_ok(&["build", "demo", "-o", "demo.zip"]);
    assert_eq!(env.run_json(&["cache", "size", "--json"])["kinds"]["wheels"]["items"], 2);
    assert_eq!(env.run_ok(&["cache", "prune"]).stdout, "nothing to remove\n");
    fs::write(cache.join("wheels").join("left-by-the-user"), "").expect("written");
    let removed = env.run_json(&["cache", "clean", "--json"]);
    assert_eq!(removed["kinds"]["layers"]["items"], serde_json::Value::Null, "{removed}");
    assert!(removed["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert!(!cache.exists());
    assert_eq!(env.run_ok(&["cache", "clean"]).stdout, "nothing to remove\n");
}

#[test]
fn a_folder_that_is_no_cache_is_left_alone() {
    let env = TestEnv::new();
    let home = env.app("home", &[("code/thesis.tex", "years of work"), ("wheels/aa/bb/x.whl", "x")]);
    for verb in ["size", "prune", "clean"] {
        let answer = env.run(&["cache", verb, "--cache-dir", "home"]);
        assert_eq!(answer.code, Some(1), "{}", answer.stdout);
    }
    assert_snapshot!(env.run(&["cache", "clean", "--cache-dir", "home"]).told(&env), @r"
    exit 1
    error: `[ROOT]/home` is not a cache that layercake made: it has no `CACHEDIR.TAG` that says so
      hint: nothing was touched; a build marks the cache that it uses, so check the folder, or remove it by hand
    ");
    assert!(home.join("code/thesis.tex").exists() && home.join("wheels/aa/bb/x.whl").exists());
}

#[test]
fn a_time_that_is_none_is_bad_usage() {
    let env = TestEnv::new();
    let answer = env.run(&["cache", "prune", "--older-than", "soon"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("a number with `h`, `d` or `w` is expected"), "{}", answer.stderr);
}
