//! Packages that are published as source: what is built, what is refused, and what a build sees.

use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use super::{Folder, answer, open, options, python, target};
use crate::{
    fetch::{Silent, fetch},
    resolve::{Asked, FormatControl, IndexOptions},
    testing::{SourceBuilder, TestIndex, WheelBuilder},
};

fn with_python(cache: &Folder, index: &TestIndex) -> IndexOptions {
    let mut options = options(cache, index);
    options.pythons = vec![python()];
    options
}

fn runtime() -> String {
    format!("python3.{}", python().0)
}

/// Resolves with a Python; what the builds were announced as comes first.
fn check(index: &TestIndex, asked: &str, change: impl FnOnce(&mut IndexOptions)) -> String {
    let cache = Folder::new();
    let mut options = with_python(&cache, index);
    change(&mut options);
    let client = open(options);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    client.on_build(move |what| hears.lock().expect("nobody panics").push(format!("building {what}")));
    let specifiers: Vec<String> = asked.split('&').map(|line| line.trim().to_owned()).collect();
    let told = answer(&client, &Asked::with("--with", &specifiers), &runtime());
    let mut lines = heard.lock().expect("nobody panics").clone();
    lines.push(told);
    lines
        .join("\n")
        .replace(&index.at(""), "[INDEX]")
        .replace(&format!("3.{}", python().0), "3.N")
        .replace(&format!("cp3{}", python().0), "cp3N")
}

#[test]
fn what_has_nothing_but_source_is_built() {
    let index = TestIndex::builder()
        .buildable(&SourceBuilder::new("pure", "1"))
        .buildable(&SourceBuilder::new("pure", "2").requires("lib"))
        .wheel(&WheelBuilder::new("app", "1").requires("pure"))
        .wheel(&WheelBuilder::new("lib", "1"))
        .start();
    assert_snapshot!(check(&index, "pure", |_| {}), @r"
    building pure==2
    lib-1-py3-none-any.whl <- pure
    pure-2-py3-none-any.whl, built from [INDEX]/files/pure-2.zip
    ");
    assert_snapshot!(check(&index, "app & pure<2", |_| {}), @r"
    building pure==1
    app-1-py3-none-any.whl
    pure-1-py3-none-any.whl <- app, built from [INDEX]/files/pure-1.zip
    ");
    let only = |options: &mut IndexOptions| options.formats.only_binary(":all:");
    assert_snapshot!(check(&index, "pure", only), @r"
    error: `pure` up to 2 is published as source only, and --only-binary forbids to build it
    hint: take --only-binary out for it, or look for another package that does the same and has wheels
    ");
    assert_snapshot!(check(&index, "pure", |options| options.pythons.clear()), @r"
    error: `pure` up to 2 is published as source only, and there is no Python 3.N here to build it for python3.N on x86_64
    hint: install Python 3.N (`uv python install 3.N` or `pyenv install 3.N`), or name one with --python; or look for another package that does the same and has wheels
    ");
}

#[test]
fn a_wheel_comes_before_a_newer_source() {
    let index = TestIndex::builder()
        .wheel(&WheelBuilder::new("both", "1"))
        .buildable(&SourceBuilder::new("both", "2"))
        .start();
    assert_snapshot!(check(&index, "both", |_| {}), @"both-1-py3-none-any.whl");
    assert_snapshot!(check(&index, "both", |options| options.formats.no_binary("both")), @r"
    building both==2
    both-2-py3-none-any.whl, built from [INDEX]/files/both-2.zip
    ");
    assert_snapshot!(check(&index, "both", |options| options.formats.no_binary(":all:")), @r"
    building both==2
    both-2-py3-none-any.whl, built from [INDEX]/files/both-2.zip
    ");
    let without = |options: &mut IndexOptions| {
        options.formats.no_binary("both");
        options.pythons.clear();
    };
    assert_snapshot!(check(&index, "both", without), @r"
    error: `both` must be built from source, which needs a Python 3.N on this machine
    hint: install Python 3.N (`uv python install 3.N` or `pyenv install 3.N`), or name one with --python
    ");
}

#[test]
fn native_code_is_refused() {
    let tags = format!("cp3{0}-cp3{0}-linux_x86_64", python().0);
    let index = TestIndex::builder()
        .buildable(&SourceBuilder::new("native", "1").tags(&tags))
        .buildable(&SourceBuilder::new("newer", "2").tags(&tags))
        .wheel(&WheelBuilder::new("newer", "1"))
        .start();
    assert_snapshot!(check(&index, "native", |_| {}), @r"
    building native==1
    error: cannot build `native==1` from source for python3.N on x86_64
      it contains native code: the build made `native-1-cp3N-cp3N-linux_x86_64.whl`, which is for this machine
    hint: there is no wheel of it for this target: ask for another runtime, or give a wheel built for Lambda as ./file.whl
    ");
    assert_snapshot!(check(&index, "newer==2", |_| {}), @r"
    building newer==2
    error: cannot build `newer==2` from source for python3.N on x86_64
      it contains native code: the build made `newer-2-cp3N-cp3N-linux_x86_64.whl`, which is for this machine
    hint: pin `newer==1`, the newest version with a wheel for it, ask for another runtime, or give a wheel built for Lambda as ./file.whl
    ");
}

#[test]
fn a_build_that_fails_shows_its_last_lines() {
    let index = TestIndex::builder()
        .buildable(
            &SourceBuilder::new("broken", "1").backend_first("raise SystemExit('no compiler for you')"),
        )
        .buildable(&SourceBuilder::new("needy", "1").build_requires("nosuch"))
        .start();
    assert_snapshot!(check(&index, "broken", |_| {}), @r"
    building broken==1
    error: cannot build `broken==1` from source for python3.N on x86_64
      its build backend `backend` failed:
        no compiler for you
    hint: build a wheel yourself, for Lambda if it has native code, and give it as ./file.whl
    ");
    assert_snapshot!(check(&index, "needy", |_| {}), @r"
    building needy==1
    error: cannot build `needy==1` from source for python3.N on x86_64
      what it needs to build (nosuch) cannot be had as wheels for this machine
      there is no package `nosuch` on the package index (asked for in what a build needs)
    hint: check the spelling; the name on the index can differ from the name that is imported
    ");
}

#[test]
fn a_build_is_isolated_and_gets_what_it_needs() {
    let tool = WheelBuilder::new("tool", "1").file("tool/__init__.py", "ANSWER = 42\n");
    let code = "import os, tool; print(sorted(os.environ)); \
                assert tool.ANSWER == 42 and 'CARGO_MANIFEST_DIR' not in os.environ \
                and not os.path.exists(os.path.expanduser('~/.netrc')); import pip";
    let index = TestIndex::builder()
        .buildable(&SourceBuilder::new("curious", "1").build_requires("tool").backend_first(code))
        .wheel(&tool)
        .start();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets it, and the build must not see it");
    let told = check(&index, "curious", |_| {});
    // Everything before the last import holds; pip itself is not in the environment.
    assert!(told.contains("ModuleNotFoundError: No module named 'pip'"), "{told}");
}

#[test]
fn a_built_wheel_is_like_any_other_and_stays() {
    let index = TestIndex::builder().buildable(&SourceBuilder::new("pure", "1")).start();
    let cache = Folder::new();
    let asked = Asked::with("--with", &["pure".to_owned()]);
    let resolve = |options: IndexOptions| {
        let client = open(options);
        let resolution = client.resolve(&asked, target(&runtime())).expect("it can be built");
        let set = fetch(&client, &resolution, &Silent).expect("it is sound");
        (resolution, std::fs::read(&set.files[0].path).expect("it is in the cache"))
    };
    let (first, bytes) = resolve(with_python(&cache, &index));
    let mut offline = with_python(&cache, &index);
    offline.offline = true;
    let (second, again) = resolve(offline);
    assert_eq!((&first, &bytes), (&second, &again));
    let other = Folder::new();
    let (third, elsewhere) = resolve(with_python(&other, &index));
    assert_eq!(first.wheels[0].sha256, third.wheels[0].sha256);
    assert_eq!(bytes, elsewhere);
}

#[test]
fn the_hash_of_the_source_counts() {
    let pure = SourceBuilder::new("pure", "1");
    let index = TestIndex::builder().buildable(&pure).start();
    let resolve = |hash: &str| {
        let (folder, cache) = (Folder::new(), Folder::new());
        let text = format!("pure==1 --hash=sha256:{hash} --hash=sha256:{}", "b".repeat(64));
        let asked = crate::resolve::requirements_txt::read(&folder.write("requirements.txt", &text));
        let asked = asked.expect("it is readable");
        let client = open(with_python(&cache, &index));
        client.on_build(|_| {});
        let told = answer(&client, &asked, &runtime());
        told.replace(&index.at(""), "[INDEX]").replace(&pure.sha256().to_hex(), "[HASH]")
    };
    assert_snapshot!(resolve(&pure.sha256().to_hex()), @r"pure-1-py3-none-any.whl, built from [INDEX]/files/pure-1.zip");
    assert_snapshot!(resolve(&"a".repeat(64)), @r"
    error: pure==1 is none that a `--hash` allows: expected sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, and it has sha256:[HASH]
    hint: add the hash after you have checked the source distribution, or remove the hashes
    ");
}

#[test]
fn options_of_the_file_come_after_those_of_the_command_line() {
    let mut given = FormatControl::default();
    given.only_binary(":all:");
    let index = TestIndex::builder().buildable(&SourceBuilder::new("pure", "1")).start();
    let (folder, cache) = (Folder::new(), Folder::new());
    let text = "pure\n--no-binary pure\n";
    let asked = crate::resolve::requirements_txt::read(&folder.write("requirements.txt", text));
    let mut options = with_python(&cache, &index);
    options.formats = given;
    let told = answer(&open(options), &asked.expect("it is readable"), &runtime());
    assert!(told.starts_with("pure-1-py3-none-any.whl"), "{told}");
}
