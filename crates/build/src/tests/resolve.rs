//! Scenarios of resolution: an index, what is asked, and the answer.

use insta::assert_snapshot;

use layercake_core::Hint as _;

use super::{Folder, open, options, target, told};
use crate::{
    assemble::AssembleError,
    fetch::FetchError,
    resolve::{Asked, IndexSettings, ResolveError, describe_targets},
    testing::{Fault, TestIndex, WheelBuilder},
};

/// Resolves `asked` (separated by `&`) for a target against an index of these wheels.
fn check(wheels: &[WheelBuilder], runtime: &str, asked: &str) -> String {
    check_on(&TestIndex::serving(wheels), runtime, asked)
}

fn check_on(index: &TestIndex, runtime: &str, asked: &str) -> String {
    let cache = Folder::new();
    let specifiers: Vec<String> = asked.split('&').map(str::to_owned).collect();
    let answer = open(options(&cache, index)).resolve(&Asked::with("--with", &specifiers), target(runtime));
    let text = match answer {
        Ok(resolution) => {
            let wheels = resolution.wheels.iter().map(|wheel| match &wheel.required_by[..] {
                [] => wheel.filename.clone(),
                by => format!("{} <- {}", wheel.filename, by.join(", ")),
            });
            wheels.collect::<Vec<_>>().join("\n")
        }
        Err(error) => told(&error),
    };
    text.replace(index.url().trim_end_matches("/simple"), "[INDEX]")
}

fn wheel(name: &str, version: &str) -> WheelBuilder {
    WheelBuilder::new(name, version)
}

fn native(name: &str, version: &str, tags: &str) -> WheelBuilder {
    WheelBuilder::new(name, version).tags(tags)
}

/// A package whose wheels came and went as numpy's did.
fn numbers() -> Vec<WheelBuilder> {
    vec![
        native("numbers", "1.0", "cp36-cp36m-manylinux1_x86_64"),
        native("numbers", "1.5", "cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        native("numbers", "1.5", "cp39-cp39-manylinux_2_17_aarch64.manylinux2014_aarch64"),
        native("numbers", "2.0", "cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64"),
        native("numbers", "2.0", "cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64"),
        native("numbers", "2.0", "cp313-cp313-manylinux_2_28_x86_64"),
        native("numbers", "2.0", "cp313-cp313-manylinux_2_28_aarch64"),
        native("numbers", "2.1", "cp313-cp313-macosx_11_0_arm64"),
    ]
}

#[test]
fn each_target_gets_the_newest_wheel_that_runs_there() {
    let index = TestIndex::serving(&numbers());
    let mut table = String::new();
    for runtime in ["python3.6", "python3.9", "python3.9 arm64", "python3.12", "python3.13 arm64"] {
        table.push_str(&format!("{runtime}: {}\n", check_on(&index, runtime, "numbers")));
    }
    assert_snapshot!(table, @r"
    python3.6: numbers-1.0-cp36-cp36m-manylinux1_x86_64.whl
    python3.9: numbers-1.5-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
    python3.9 arm64: numbers-1.5-cp39-cp39-manylinux_2_17_aarch64.manylinux2014_aarch64.whl
    python3.12: numbers-2.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl
    python3.13 arm64: numbers-2.0-cp313-cp313-manylinux_2_28_aarch64.whl
    ");
}

#[test]
fn a_wheel_for_a_newer_c_library_is_not_taken() {
    assert_snapshot!(check(&numbers(), "python3.11", "numbers"), @r"
    error: no wheel of `numbers` up to 2.1 fits python3.11 on x86_64; there is one for python3.6, python3.9, python3.12 to python3.13 on x86_64; python3.9, python3.13 on arm64
    hint: use --runtime python3.12
    ");
}

#[test]
fn a_pin_without_a_wheel_for_the_target_names_the_targets_that_have_one() {
    assert_snapshot!(check(&numbers(), "python3.9", "numbers==2.0"), @r"
    error: no wheel of `numbers` 2.0 fits python3.9 on x86_64; there is one for python3.12 to python3.13 on x86_64; python3.13 on arm64
    hint: ask for `numbers==1.5`, the newest that has one, or use --runtime python3.12
    ");
    assert_snapshot!(check(&numbers(), "python3.12", "numbers>=2.1"), @r"
    error: no wheel of `numbers` 2.1 fits python3.12 on x86_64; there is none for any Lambda runtime
    hint: ask for `numbers==2.0`, the newest that has one
    ");
}

#[test]
fn markers_speak_of_the_target() {
    let app = wheel("app", "1")
        .requires("old; python_version < '3.8'")
        .requires("arm; platform_machine == 'aarch64'")
        .requires("windows; sys_platform == 'win32'");
    let wheels = [app, wheel("old", "1"), wheel("arm", "1"), wheel("windows", "1")];
    assert_snapshot!(check(&wheels, "python3.6", "app"), @r"
    app-1-py3-none-any.whl
    old-1-py3-none-any.whl <- app
    ");
    assert_snapshot!(check(&wheels, "python3.13 arm64", "app"), @r"
    app-1-py3-none-any.whl
    arm-1-py3-none-any.whl <- app
    ");
    assert_snapshot!(check(&wheels, "python3.12", "app & old; python_version < '3.8'"), @"app-1-py3-none-any.whl");
}

#[test]
fn extras_bring_their_packages() {
    let wheels = [
        wheel("app", "1").extra("fast").requires("speed>=2; extra == 'fast'"),
        wheel("speed", "1"),
        wheel("speed", "2"),
    ];
    assert_snapshot!(check(&wheels, "python3.12", "app"), @"app-1-py3-none-any.whl");
    assert_snapshot!(check(&wheels, "python3.12", "app[fast]"), @r"
    app-1-py3-none-any.whl
    speed-2-py3-none-any.whl <- app
    ");
}

#[test]
fn requires_python_holds_wheels_back() {
    let wheels = [wheel("app", "1"), wheel("app", "2").requires_python(">=3.8")];
    assert_snapshot!(check(&wheels, "python3.6", "app"), @"app-1-py3-none-any.whl");
    assert_snapshot!(check(&wheels, "python3.6", "app==2"), @r"
    error: no wheel of `app` 2 fits python3.6 on x86_64; there is one for python3.8 to python3.15 on x86_64 and arm64
    hint: ask for `app==1`, the newest that has one, or use --runtime python3.8
    ");
}

#[test]
fn a_conflict_is_explained() {
    let wheels = [
        wheel("left", "1").requires("shared<2"),
        wheel("right", "1").requires("shared>=2"),
        wheel("shared", "1"),
        wheel("shared", "2"),
    ];
    assert_snapshot!(check(&wheels, "python3.12", "left & right"), @r"
    error: the requirements cannot all be met on python3.12 on x86_64: Because all versions of right depend on shared>=2 and all versions of left depend on shared<2, we can conclude that all versions of left and all versions of right are incompatible. And because you require left and right, we can conclude that your requirements are unsatisfiable.
    hint: loosen one of the versions named above, or choose another runtime
    ");
    assert_snapshot!(check(&wheels, "python3.12", "shared==3"), @r"
    error: no version of `shared` is `==3` (asked for in --with); the newest is 2
    hint: ask for a version that exists, such as `shared==2`
    ");
}

#[test]
fn a_missing_package_is_named_with_who_asked() {
    assert_snapshot!(check(&[wheel("app", "1")], "python3.12", "app & nosuch>=1"), @r"
    error: there is no package `nosuch` on the package index (asked for in --with)
    hint: check the spelling; the name on the index can differ from the name that is imported
    ");
    assert_snapshot!(check(&[wheel("app", "1").requires("nosuch")], "python3.12", "app"), @r"
    error: the requirements cannot all be met on python3.12 on x86_64: Because nosuch was not found in the package registry and all versions of app depend on nosuch, we can conclude that all versions of app cannot be used. And because you require app, we can conclude that your requirements are unsatisfiable.
    hint: loosen one of the versions named above, or choose another runtime
    ");
}

#[test]
fn source_only_is_refused_without_a_python() {
    let index = TestIndex::builder().source("sdist", "1.0").start();
    assert_snapshot!(check_on(&index, "python3.12", "sdist"), @r"
    error: `sdist` 1.0 is published as source only, and there is no Python 3.12 here to build it for python3.12 on x86_64
    hint: install Python 3.12 (`uv python install 3.12` or `pyenv install 3.12`), or name one with --python; or look for another package that does the same and has wheels
    ");
    let index = TestIndex::builder().source("sdist", "2.0").wheel(&wheel("sdist", "1.0")).start();
    assert_snapshot!(check_on(&index, "python3.12", "sdist"), @"sdist-1.0-py3-none-any.whl");
    assert_snapshot!(check_on(&index, "python3.12", "sdist==2.0"), @r"
    error: `sdist` 2.0 is published as source only, and there is no Python 3.12 here to build it for python3.12 on x86_64
    hint: ask for `sdist==1.0`, the newest that has a wheel
    ");
}

#[test]
fn metadata_beside_the_wheel_is_enough() {
    let wheels = [wheel("app", "1").requires("lib"), wheel("lib", "1")];
    let index = wheels.iter().fold(TestIndex::builder(), crate::testing::TestIndexBuilder::wheel);
    let index = index.with_metadata().start();
    assert_snapshot!(check_on(&index, "python3.12", "app"), @r"
    app-1-py3-none-any.whl
    lib-1-py3-none-any.whl <- app
    ");
    assert_eq!(index.requests(".metadata"), 2);
    assert_eq!(index.requests(".whl -"), 0);
}

#[test]
fn what_is_no_requirement_is_refused_with_its_place() {
    assert_snapshot!(check(&[], "python3.12", "numbers=1"), @r#"
    error: `numbers=1` (--with) is not a requirement: no such comparison operator "=", must be one of ~= == != <= >= < > ===
    hint: write requirements as in `pandas>=2,<3` (PEP 508)
    "#);
    assert_snapshot!(check(&[], "python3.12", "app @ https://user:secret@example.com/app"), @r"
    error: `app @ https://example.com/app` (--with) is not a requirement: Expected direct URL (`https://example.com/app`) to end in a supported file extension: `.whl`, `.tar.gz`, `.zip`, `.tar.bz2`, `.tar.lz`, `.tar.lzma`, `.tar.xz`, `.tar.zst`, `.tar`, `.tbz`, `.tgz`, `.tlz`, or `.txz`
    hint: write requirements as in `pandas>=2,<3` (PEP 508)
    ");
    let told = check(&[], "python3.12", "./nowhere").replace(env!("CARGO_MANIFEST_DIR"), "[HERE]");
    assert_snapshot!(told, @r"
    error: there is no `[HERE]/nowhere` (--with)
    hint: check the path; it is looked for beside the file that names it, and then here
    ");
}

#[test]
fn a_wheel_without_a_hash_is_hashed() {
    let app = wheel("app", "1");
    let index = TestIndex::builder().faulty(&app, &[Fault::NoHash]).start();
    let cache = Folder::new();
    let asked = Asked::with("--with", &["app".to_owned()]);
    let index_client = open(options(&cache, &index));
    let resolution = index_client.resolve(&asked, target("python3.12")).expect("it is there");
    assert_eq!(resolution.wheels[0].sha256, app.sha256());
    let downloads = index.requests("app-1-py3-none-any.whl -");
    crate::fetch::fetch(&index_client, &resolution, &crate::fetch::Silent).expect("it is sound");
    assert_eq!(index.requests("app-1-py3-none-any.whl -"), downloads, "it comes only once");
}

#[test]
fn credentials_stay_inside() {
    let index = TestIndex::serving(&[wheel("app", "1")]);
    let cache = Folder::new();
    let mut settings = options(&cache, &index);
    settings.indexes.index_url = Some(index.url_with_credentials());
    assert!(!format!("{settings:?}").contains("secret"));
    let asked = Asked::with("--with", &["app".to_owned()]);
    let resolution = open(settings.clone()).resolve(&asked, target("python3.12")).expect("it is there");
    assert!(!resolution.wheels[0].url.contains("secret"), "{}", resolution.wheels[0].url);
    settings.indexes.index_url = Some("http://user:secret@127.0.0.1:1/simple".to_owned());
    settings.retries = 0;
    let other = Folder::new();
    settings.cache = other.path().to_owned();
    let error = open(settings).resolve(&asked, target("python3.12")).expect_err("nobody listens there");
    assert_snapshot!(told(&error), @r"
    error: cannot reach the package index at http://127.0.0.1:1/simple/app/: Connection refused (os error 111)
    hint: check the network, and the proxy and certificate settings (HTTPS_PROXY, SSL_CERT_FILE); --offline works from the cache alone
    ");
}

#[test]
fn credentials_stay_inside_whatever_they_are() {
    let asked = Asked::with("--with", &["app".to_owned()]);
    let mut table = String::new();
    for url in [
        "https://user:secret@host:99999/simple",
        "https://user:secret/secret@host.example/simple",
        "https://user:secret#secret@host.example/simple",
        "https://user:secret@secret@host.example:x/simple",
        "user:secret@host.example",
    ] {
        let (cache, index) = (Folder::new(), TestIndex::serving(&[]));
        let mut settings = options(&cache, &index);
        settings.indexes.index_url = Some(url.to_owned());
        settings.offline = true;
        let shown = format!("{:?}", settings.indexes);
        let error = open(settings).resolve(&asked, target("python3.12")).expect_err("it is no index");
        let told = told(&error);
        assert!(!format!("{shown} {told} {error:?}").contains("secret"), "{shown} {told} {error:?}");
        table.push_str(told.lines().next().unwrap_or_default());
        table.push('\n');
    }
    assert_snapshot!(table, @r"
    error: `https://host:99999/simple` is not the address of a package index: invalid port number
    error: `https://host.example/simple` is not the address of a package index: invalid port number
    error: `https://host.example/simple` is not the address of a package index: invalid port number
    error: `https://host.example:x/simple` is not the address of a package index: invalid port number
    error: `app` is not in the cache, and the network is off
    ");
    // Parses, with the host `user`.
    let url = "https://user:80/secret@host.example/simple";
    let settings = IndexSettings { index_url: Some(url.to_owned()), ..IndexSettings::default() };
    assert!(!format!("{settings:?}").contains("secret"));
}

#[test]
fn what_was_asked_for_is_marked() {
    let index = TestIndex::serving(&[
        wheel("app", "1").requires("lib"),
        wheel("lib", "1").requires("base"),
        wheel("base", "1"),
    ]);
    let cache = Folder::new();
    let asked =
        Asked::with("--with", &["app".to_owned(), "lib".to_owned(), "base; python_version < '3'".to_owned()]);
    let resolution =
        open(options(&cache, &index)).resolve(&asked, target("python3.12")).expect("all are there");
    let wheels: Vec<_> = resolution
        .wheels
        .iter()
        .map(|wheel| format!("{} asked {} needed by {:?}", wheel.name, wheel.asked, wheel.required_by))
        .collect();
    assert_snapshot!(wheels.join("\n"), @r#"
    app asked true needed by []
    base asked false needed by ["lib"]
    lib asked true needed by ["app"]
    "#);
}

#[test]
fn a_time_that_is_none_is_told() {
    let index = TestIndex::serving(&[wheel("app", "1")]);
    let cache = Folder::new();
    let mut settings = options(&cache, &index);
    settings.exclude_newer = Some("yesterday-ish".to_owned());
    let asked = Asked::with("--with", &["app".to_owned()]);
    let error = open(settings).resolve(&asked, target("python3.12")).expect_err("it is no time");
    assert_snapshot!(told(&error), @r"
    error: `yesterday-ish` (--exclude-newer) is neither a date nor a time
    hint: give a date such as 2025-12-31, or a time such as 2025-12-31T12:00:00Z
    ");
}

#[test]
fn our_own_mistakes_are_told_apart() {
    let internal = || ResolveError::Internal { reason: String::new() };
    assert!(internal().is_bug());
    assert!(FetchError::from(internal()).is_bug());
    assert!(AssembleError::OtherWheels { wheel: 0, path: String::new() }.is_bug());
    assert!(!FetchError::from(ResolveError::NoGit).is_bug());
}

#[test]
fn offline_the_cache_answers_or_nobody() {
    let index = TestIndex::serving(&[wheel("app", "1")]);
    let cache = Folder::new();
    let asked = Asked::with("--with", &["app".to_owned()]);
    let mut settings = options(&cache, &index);
    settings.offline = true;
    let error = open(settings.clone()).resolve(&asked, target("python3.12")).expect_err("nothing is there");
    assert_snapshot!(told(&error), @r"
    error: `app` is not in the cache, and the network is off
    hint: run once without --offline
    ");
    open(options(&cache, &index)).resolve(&asked, target("python3.12")).expect("online it is there");
    let requests = index.log().len();
    open(settings).resolve(&asked, target("python3.12")).expect("now the cache has it");
    assert_eq!(index.log().len(), requests);
}

#[test]
fn an_extra_index_comes_first() {
    let public = TestIndex::serving(&[wheel("app", "2"), wheel("other", "1")]);
    let private = TestIndex::serving(&[wheel("app", "1")]);
    let cache = Folder::new();
    let mut settings = options(&cache, &public);
    settings.indexes.extra_index_urls.push(private.url());
    let asked = Asked::with("--with", &["app".to_owned(), "other".to_owned()]);
    let resolution = open(settings).resolve(&asked, target("python3.12")).expect("both are there");
    let versions: Vec<_> = resolution.wheels.iter().map(|wheel| wheel.version.as_str()).collect();
    assert_eq!(versions, ["1", "1"]);
}

#[test]
fn the_targets_of_a_package_are_told() {
    let index = TestIndex::serving(&numbers());
    let cache = Folder::new();
    let index = open(options(&cache, &index));
    let told = |version| describe_targets(&index.available_targets("numbers", version).expect("it is there"));
    assert_snapshot!(told(Some("1.5")), @"python3.9 on x86_64 and arm64");
    assert_snapshot!(told(Some("2.0")), @"python3.12 to python3.13 on x86_64; python3.13 on arm64");
    assert_snapshot!(told(None), @"no target");
}

#[test]
fn an_unwritable_cache_is_one_error() {
    let index = TestIndex::serving(&[wheel("app", "1")]);
    let folder = Folder::new();
    let file = folder.write("file", "");
    let mut settings = options(&folder, &index);
    settings.cache = file;
    let error = open(settings)
        .resolve(&Asked::with("--with", &["app".to_owned()]), target("python3.12"))
        .expect_err("a file is no folder");
    assert_snapshot!(told(&error).replace(folder.path().as_str(), "[FOLDER]"), @r"
    error: cannot use the cache at `[FOLDER]/file/index`: failed to create directory `[FOLDER]/file/index`: Not a directory (os error 20)
    hint: choose another folder with --cache-dir, or make this one writable
    ");
}
