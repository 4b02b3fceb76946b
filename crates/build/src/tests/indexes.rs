//! Where packages come from: find-links, several indexes, dates, preferences, passwords.

use insta::assert_snapshot;

use super::{Folder, answer, open, options, python, target};
use crate::{
    fetch::{Silent, fetch},
    resolve::{Asked, IndexOptions, IndexStrategy},
    testing::{SourceBuilder, TestIndex, TestIndexBuilder, WheelBuilder},
};

fn wheel(name: &str, version: &str) -> WheelBuilder {
    WheelBuilder::new(name, version)
}

/// Resolves and fetches.
fn check(index: &TestIndex, asked: &str, change: impl FnOnce(&mut IndexOptions)) -> String {
    let cache = Folder::new();
    let mut options = options(&cache, index);
    change(&mut options);
    let client = open(options);
    let specifiers: Vec<String> = asked.split('&').map(|line| line.trim().to_owned()).collect();
    let asked = Asked::with("--with", &specifiers);
    let told = answer(&client, &asked, "python3.12");
    if !told.starts_with("error") {
        let resolution = client.resolve(&asked, target("python3.12")).expect("it was found before");
        fetch(&client, &resolution, &Silent).expect("they are sound");
    }
    told.replace(&index.at(""), "[INDEX]")
}

#[test]
fn find_links_count_beside_the_index() {
    let index = TestIndex::serving(&[wheel("app", "1").requires("lib"), wheel("lib", "1")]);
    let folder = Folder::new();
    for wheel in [wheel("lib", "2"), wheel("other", "1").requires("lib<2")] {
        std::fs::write(folder.path().join(wheel.filename()), wheel.bytes()).expect("a file");
    }
    let with_folder = |options: &mut IndexOptions| options.indexes.find_links.push(folder.path().to_string());
    assert_snapshot!(check(&index, "app", with_folder), @r"
    app-1-py3-none-any.whl
    lib-2-py3-none-any.whl <- app
    ");
    assert_snapshot!(check(&index, "app & other", with_folder), @r"
    app-1-py3-none-any.whl
    lib-1-py3-none-any.whl <- app, other
    other-1-py3-none-any.whl
    ");
    let alone = |options: &mut IndexOptions| {
        with_folder(options);
        options.indexes.no_index = true;
    };
    assert_snapshot!(check(&index, "lib", alone), @"lib-2-py3-none-any.whl");
    assert_snapshot!(check(&index, "app", alone), @r"
    error: there is no package `app` on the package index (asked for in --with)
    hint: check the spelling; the name on the index can differ from the name that is imported
    ");
    assert_snapshot!(check(&index, "lib==3", alone), @r"
    error: no version of `lib` is `==3` (asked for in --with); the newest is 2
    hint: ask for a version that exists, such as `lib==2`
    ");
    let nowhere = |options: &mut IndexOptions| options.indexes.find_links.push("/nowhere".to_owned());
    assert_snapshot!(check(&index, "app", nowhere), @r"
    error: cannot read `/nowhere` (--find-links): No such file or directory (os error 2)
    hint: give a folder with wheels, or the address of an HTML page with links to wheels
    ");
}

#[test]
fn find_links_may_be_a_page() {
    let index = TestIndex::serving(&[wheel("app", "1"), wheel("app", "2")]);
    for page in ["/links/", "/bare-links/"] {
        let links = |options: &mut IndexOptions| {
            options.indexes.find_links.push(index.at(page));
            options.indexes.no_index = true;
        };
        assert_eq!(check(&index, "app", links), "app-2-py3-none-any.whl", "{page}");
    }
}

#[test]
fn versions_before_a_release_count_when_asked_for() {
    let index = TestIndex::serving(&[wheel("app", "1"), wheel("app", "2rc1")]);
    assert_snapshot!(check(&index, "app", |_| {}), @"app-1-py3-none-any.whl");
    assert_snapshot!(check(&index, "app>=2rc1", |_| {}), @"app-2rc1-py3-none-any.whl");
    assert_snapshot!(check(&index, "app", |options| options.pre = true), @"app-2rc1-py3-none-any.whl");
}

#[test]
fn the_strategy_chooses_between_indexes() {
    let public = TestIndex::serving(&[wheel("app", "2")]);
    let private = TestIndex::serving(&[wheel("app", "1")]);
    let by = |strategy: IndexStrategy| {
        check(&public, "app", |options| {
            options.indexes.extra_index_urls.push(private.url());
            options.strategy = strategy;
        })
    };
    assert_snapshot!(by(IndexStrategy::FirstIndex), @"app-1-py3-none-any.whl");
    assert_snapshot!(by(IndexStrategy::UnsafeBestMatch), @"app-2-py3-none-any.whl");
}

#[test]
fn only_files_before_a_date_count() {
    let index = TestIndex::builder()
        .published(&wheel("app", "1"), "2024-01-01T00:00:00Z")
        .published(&wheel("app", "2"), "2025-01-01T00:00:00Z")
        .start();
    let before =
        |date: &'static str| check(&index, "app", |options| options.exclude_newer = Some(date.to_owned()));
    assert_snapshot!(before("2025-06-01"), @"app-2-py3-none-any.whl");
    assert_snapshot!(before("2024-06-01T00:00:00Z"), @"app-1-py3-none-any.whl");
    assert_snapshot!(before("2023-06-01"), @r"
    error: the requirements cannot all be met on python3.12 on x86_64: Because there are no versions of app and you require app, we can conclude that your requirements are unsatisfiable.
    hint: `app` was filtered by `exclude-newer` to only include packages uploaded before 2023-06-02T00:00:00Z. The latest version satisfying the requirement is v2, published at 2025-01-01T00:00:00Z.
    ");
}

#[test]
fn preferred_versions_are_kept_where_they_may() {
    let index = TestIndex::serving(&[
        wheel("app", "1").requires("lib"),
        wheel("app", "2").requires("lib>=2"),
        wheel("lib", "1"),
        wheel("lib", "2"),
        wheel("lib", "3"),
    ]);
    let check = |asked: &str, preferred: &[(&str, &str)]| {
        let cache = Folder::new();
        let preferred = preferred.iter().map(|(name, version)| (name.to_string(), version.to_string()));
        let asked = Asked { preferred: preferred.collect(), ..Asked::with("--with", &[asked.to_owned()]) };
        answer(&open(options(&cache, &index)), &asked, "python3.12").replace('\n', " ")
    };
    let mut table = String::new();
    for (asked, preferred) in [
        ("app", &[][..]),
        ("app", &[("app", "1"), ("lib", "1")]),
        ("app", &[("app", "2"), ("lib", "1")]),
        ("app", &[("lib", "2")]),
        ("app>1", &[("app", "1"), ("lib", "2")]),
        ("app", &[("app", "7"), ("lib", "nonsense"), ("gone", "1")]),
    ] {
        table.push_str(&format!("{asked} {preferred:?}: {}\n", check(asked, preferred)));
    }
    assert_snapshot!(table, @r#"
    app []: app-2-py3-none-any.whl lib-3-py3-none-any.whl <- app
    app [("app", "1"), ("lib", "1")]: app-1-py3-none-any.whl lib-1-py3-none-any.whl <- app
    app [("app", "2"), ("lib", "1")]: app-2-py3-none-any.whl lib-3-py3-none-any.whl <- app
    app [("lib", "2")]: app-2-py3-none-any.whl lib-2-py3-none-any.whl <- app
    app>1 [("app", "1"), ("lib", "2")]: app-2-py3-none-any.whl lib-2-py3-none-any.whl <- app
    app [("app", "7"), ("lib", "nonsense"), ("gone", "1")]: app-2-py3-none-any.whl lib-3-py3-none-any.whl <- app
    "#);
}

/// An index that wants a password and has everything that there can be on one.
fn private() -> TestIndexBuilder {
    TestIndex::builder()
        .wheel(&wheel("app", "1").requires("lib"))
        .wheel(&wheel("lib", "1"))
        .wheel(&wheel("direct", "1"))
        .wheel(&wheel("linked", "1"))
        .buildable(&SourceBuilder::new("pure", "1"))
        .text("more.txt", "lib")
        .for_user("user", "secret")
}

/// Every file below a folder that has these bytes in it, or in its name.
fn with_bytes(folder: &camino::Utf8Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir_utf8().expect("a folder").flatten() {
            let path = entry.path();
            let is_in = |text: &[u8]| text.windows(bytes.len()).any(|window| window == bytes);
            let kind = entry.file_type().expect("it has a kind");
            if kind.is_dir() {
                open.push(path.to_owned());
            } else if kind.is_file() && is_in(&std::fs::read(path).expect("a file"))
                || is_in(path.as_str().as_bytes())
            {
                found.push(path.to_string());
            }
        }
    }
    found
}

#[test]
fn a_password_is_used_and_never_kept() {
    let index = private().start();
    let cache = Folder::new();
    let mut options = options(&cache, &index);
    options.indexes.index_url = Some(index.url_with_credentials());
    options.indexes.find_links.push(index.at("/links/").replace("://", "://user:secret@"));
    options.pythons = vec![python()];
    let folder = Folder::new();
    let direct = index.at("/files/direct-1-py3-none-any.whl").replace("://", "://user:secret@");
    let remote = index.at("/text/more.txt").replace("://", "://user:secret@");
    let text = format!("app\nlinked\npure\ndirect @ {direct}\n-r {remote}\n");
    let asked = crate::resolve::requirements_txt::read(&folder.write("requirements.txt", &text));
    let asked = asked.expect("it is readable");
    let runtime = format!("python3.{}", python().0);
    let client = open(options.clone());
    let resolution = client.resolve(&asked, target(&runtime)).expect("the password is right");
    fetch(&client, &resolution, &Silent).expect("they are sound");
    assert_eq!(resolution.wheels.len(), 5);
    let shown = format!("{resolution:?} {options:?} {:?} {:?}", asked.remote, asked.indexes);
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(with_bytes(cache.path(), b"secret"), Vec::<String>::new());
    assert_eq!(with_bytes(cache.path(), b"dXNlcjpzZWNyZXQ="), Vec::<String>::new());
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let index = private().start();
    let wrong = |options: &mut IndexOptions| {
        options.indexes.index_url = Some(index.url_with_credentials().replace("secret", "guess"));
    };
    let told = check(&index, "app", wrong);
    assert!(!told.contains("guess"));
    assert_snapshot!(told, @r"
    error: the package index answered 401 for [INDEX]/simple
    hint: give the index credentials in its address, in netrc or in a keyring
    ");
}

/// The half of the next test that runs in a process of its own, whose environment it needs.
#[test]
#[ignore = "is started by `passwords_come_from_netrc_and_keyring`"]
fn in_an_environment_of_its_own() {
    let variable = |name: &str| std::env::var(name).expect("the other test sets it");
    let mut options = IndexOptions::new(variable("TEST_CACHE"));
    options.indexes.index_url = Some(variable("TEST_INDEX"));
    options.keyring = variable("TEST_KEYRING") == "yes";
    let client = open(options);
    let asked = Asked::with("--with", &["app".to_owned()]);
    let resolution = client.resolve(&asked, target("python3.12"));
    println!("{resolution:?}");
    fetch(&client, &resolution.expect("the password is right"), &Silent).expect("they are sound");
}

#[test]
fn passwords_come_from_netrc_and_keyring() {
    use std::os::unix::fs::PermissionsExt as _;
    let index = private().start();
    let folder = Folder::new();
    let netrc = folder.write("netrc", "machine 127.0.0.1 login user password secret\n");
    let keyring = folder.write("bin/keyring", "#!/bin/sh\necho secret\n");
    std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let run = |url: String, keyring: &str, netrc: &str| {
        let cache = Folder::new();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = std::process::Command::new(std::env::current_exe().expect("it runs"))
            .args([
                "--exact",
                "--include-ignored",
                "--nocapture",
                "tests::indexes::in_an_environment_of_its_own",
            ])
            .env("TEST_CACHE", cache.path())
            .env("TEST_INDEX", url)
            .env("TEST_KEYRING", keyring)
            .env("NETRC", netrc)
            .env("PATH", format!("{}/bin:{path}", folder.path()))
            .output()
            .expect("it starts");
        let told = format!("{output:?}");
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(with_bytes(cache.path(), b"secret"), Vec::<String>::new());
        output.status.success()
    };
    assert!(run(index.url(), "no", netrc.as_str()));
    assert!(!run(index.url(), "no", "/dev/null"));
    let with_user = index.url().replace("://", "://user@");
    assert!(run(with_user.clone(), "yes", "/dev/null"));
    assert!(!run(with_user, "no", "/dev/null"));
}
