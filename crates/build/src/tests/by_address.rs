//! Requirements by address: wheels and sources that the user names instead of a version.

use insta::assert_snapshot;
use layercake_core::resolution::Source;

use super::{Folder, answer, open, options, python, target};
use crate::{
    fetch::{Silent, fetch},
    resolve::{Asked, IndexOptions},
    testing::{SourceBuilder, TestIndex, WheelBuilder},
};

fn wheel() -> WheelBuilder {
    WheelBuilder::new("local", "1").requires("lib")
}

/// An index with `lib`, and `local` both as a wheel and as a project beside it.
struct Scene {
    index: TestIndex,
    folder: Folder,
    cache: Folder,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new();
        let native = wheel().tags("cp39-cp39-manylinux_2_28_aarch64");
        for wheel in [wheel(), native.clone()] {
            std::fs::write(folder.path().join(wheel.filename()), wheel.bytes()).expect("a file");
        }
        let source = SourceBuilder::new("project", "1").requires("lib");
        source.write_to(&folder.path().join("project"));
        std::fs::write(folder.path().join(source.filename()), source.bytes()).expect("a file");
        let index = TestIndex::builder()
            .wheel(&WheelBuilder::new("lib", "1"))
            .wheel(&wheel())
            .buildable(&source)
            .start();
        Self { index, folder, cache: Folder::new() }
    }

    fn options(&self) -> IndexOptions {
        let mut options = options(&self.cache, &self.index);
        options.pythons = vec![python()];
        options
    }

    /// Resolves and fetches, and tells where the wheels come from.
    fn check(&self, line: &str) -> String {
        let line =
            line.replace("[FOLDER]", self.folder.path().as_str()).replace("[INDEX]", &self.index.at(""));
        let asked = Asked::with("--with", &[line]);
        let runtime = format!("python3.{}", python().0);
        let index = open(self.options());
        let mut told = answer(&index, &asked, &runtime);
        if !told.starts_with("error") {
            let resolution = index.resolve(&asked, target(&runtime)).expect("it was found before");
            let set = fetch(&index, &resolution, &Silent).expect("they are sound");
            assert_eq!(set.files.len(), resolution.wheels.len());
            told.push_str(&format!("\nat {}", resolution.wheels[1].url));
        }
        self.hide(&told)
    }

    fn hide(&self, text: &str) -> String {
        let text = text
            .replace(self.folder.path().as_str(), "[FOLDER]")
            .replace(self.cache.path().as_str(), "[CACHE]")
            .replace(&self.index.at(""), "[INDEX]");
        // Which release of Python, and under which key uv keeps what it fetched and built.
        let parts = text.split("[CACHE]/sources/").enumerate().map(|(number, part)| match number {
            0 => part.to_owned(),
            _ => {
                let end = part.find([' ', '`', '\n']).unwrap_or(part.len());
                let name = part[..end].rfind('/').map_or(0, |slash| slash + 1);
                format!("[CACHE]/sources/…/{}", &part[name..])
            }
        });
        parts.collect()
    }
}

#[test]
fn a_wheel_by_path_or_url_is_taken() {
    let scene = Scene::new();
    let file = scene.check("[FOLDER]/local-1-py3-none-any.whl");
    assert_snapshot!(file, @r"
    lib-1-py3-none-any.whl <- local
    local-1-py3-none-any.whl
    at file://[FOLDER]/local-1-py3-none-any.whl
    ");
    assert_eq!(scene.check("local @ file://[FOLDER]/local-1-py3-none-any.whl"), file);
    let address = scene.check("[INDEX]/files/local-1-py3-none-any.whl");
    assert_snapshot!(address, @r"
    lib-1-py3-none-any.whl <- local
    local-1-py3-none-any.whl
    at [INDEX]/files/local-1-py3-none-any.whl
    ");
    assert_eq!(scene.check("local @ [INDEX]/files/local-1-py3-none-any.whl"), address);
}

#[test]
fn a_hash_behind_the_address_counts() {
    let scene = Scene::new();
    let address = "local @ [INDEX]/files/local-1-py3-none-any.whl#sha256=";
    assert_snapshot!(scene.check(&format!("{address}{}", wheel().sha256())), @r"
    lib-1-py3-none-any.whl <- local
    local-1-py3-none-any.whl
    at [INDEX]/files/local-1-py3-none-any.whl
    ");
    let wrong = scene.index.at("/files/local-1-py3-none-any.whl#sha256=") + &"a".repeat(64);
    let index = open(scene.options());
    let asked = Asked::with("--with", &[wrong]);
    let resolution = index.resolve(&asked, target("python3.12")).expect("the hash is taken at its word");
    let error = fetch(&index, &resolution, &Silent).expect_err("it is another file");
    let told = error.to_string().replace(&wheel().sha256().to_hex(), "[ACTUAL]");
    assert_snapshot!(scene.hide(&told), @"`local-1-py3-none-any.whl` from [INDEX]/files/local-1-py3-none-any.whl is not what the package index promised: its sha256 is [ACTUAL], and aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa was expected");
}

#[test]
fn a_wheel_that_does_not_run_on_the_target_is_refused() {
    let scene = Scene::new();
    let check = |name: &str, runtime: &str| {
        let asked = Asked::with("--with", &[format!("{}/{name}", scene.folder.path())]);
        scene.hide(&answer(&open(scene.options()), &asked, runtime))
    };
    let native = "local-1-cp39-cp39-manylinux_2_28_aarch64.whl";
    assert_snapshot!(check(native, "python3.12 arm64"), @r"
    error: `local-1-cp39-cp39-manylinux_2_28_aarch64.whl` (--with) does not run on python3.12 on arm64: it is for the ABI `cp39`
    hint: give a wheel that was built for Lambda, or use the --runtime and --arch that it is for
    ");
    assert_snapshot!(check(native, "python3.9 x86_64"), @r"
    error: `local-1-cp39-cp39-manylinux_2_28_aarch64.whl` (--with) does not run on python3.9 on x86_64: it is for the platform `manylinux_2_28_aarch64`
    hint: give a wheel that was built for Lambda, or use the --runtime and --arch that it is for
    ");
    assert_snapshot!(check(native, "python3.9 arm64"), @r"
    error: `local-1-cp39-cp39-manylinux_2_28_aarch64.whl` (--with) does not run on python3.9 on arm64: it is for the platform `manylinux_2_28_aarch64`
    hint: give a wheel that was built for Lambda, or use the --runtime and --arch that it is for
    ");
}

#[test]
fn sources_by_address_are_built() {
    let scene = Scene::new();
    assert_snapshot!(scene.check("[FOLDER]/project"), @r"
    lib-1-py3-none-any.whl <- project
    project-1-py3-none-any.whl, built from [FOLDER]/project
    at file://[CACHE]/sources/…/project-1-py3-none-any.whl
    ");
    assert_snapshot!(scene.check("project @ file://[FOLDER]/project"), @r"
    lib-1-py3-none-any.whl <- project
    project-1-py3-none-any.whl, built from [FOLDER]/project
    at file://[CACHE]/sources/…/project-1-py3-none-any.whl
    ");
    assert_snapshot!(scene.check("[FOLDER]/project-1.zip"), @r"
    lib-1-py3-none-any.whl <- project
    project-1-py3-none-any.whl, built from file://[FOLDER]/project-1.zip
    at file://[CACHE]/sources/…/project-1-py3-none-any.whl
    ");
    assert_snapshot!(scene.check("project @ [INDEX]/files/project-1.zip"), @r"
    lib-1-py3-none-any.whl <- project
    project-1-py3-none-any.whl, built from [INDEX]/files/project-1.zip
    at file://[CACHE]/sources/…/project-1-py3-none-any.whl
    ");
}

#[test]
fn a_folder_is_built_again_when_anything_in_it_changed() {
    let scene = Scene::new();
    let hash = || {
        let asked = Asked::with("--with", &[format!("{}/project", scene.folder.path())]);
        let resolution = open(scene.options()).resolve(&asked, target(&format!("python3.{}", python().0)));
        resolution.expect("it can be built").wheels[1].sha256
    };
    let first = hash();
    assert_eq!(hash(), first);
    scene.folder.write("project/project/__init__.py", "changed = True\n");
    assert_ne!(hash(), first);
}

#[test]
fn a_commit_is_built() {
    let scene = Scene::new();
    let repository = scene.folder.path().join("project");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .current_dir(&repository)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
            .args(arguments)
            .env("GIT_AUTHOR_DATE", "2020-01-01T00:00:00Z")
            .env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
            .output()
            .expect("git is there");
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message=first"]);
    git(&["tag", "v1"]);
    let line = format!("git+file://{repository}@v1");
    let resolution = open(scene.options())
        .resolve(&Asked::with("--with", &[line]), target(&format!("python3.{}", python().0)))
        .expect("it can be built");
    assert!(matches!(&resolution.wheels[1].source, Some(Source::Git { commit, .. }) if commit.len() == 40));
    assert_snapshot!(scene.check("git+file://[FOLDER]/project@v1"), @r"
    lib-1-py3-none-any.whl <- project
    project-1-py3-none-any.whl, built from file://[FOLDER]/project at v1
    at file://[CACHE]/sources/…/project-1-py3-none-any.whl
    ");
    assert_snapshot!(scene.check("git+file://[FOLDER]/project@v2"), @r"
    error: git failed: fatal: couldn't find remote ref refs/tags/v2
    hint: check the address, the branch or tag after `@`, and that `git clone` of it works
    ");
}

#[test]
fn what_a_project_asks_for_by_address_counts() {
    let scene = Scene::new();
    let address = scene.index.at("/files/local-1-py3-none-any.whl");
    SourceBuilder::new("outer", "1")
        .requires(&format!("local @ {address}"))
        .write_to(&scene.folder.path().join("outer"));
    assert_snapshot!(scene.check("[FOLDER]/outer"), @r"
    lib-1-py3-none-any.whl <- local
    local-1-py3-none-any.whl <- outer
    outer-1-py3-none-any.whl, built from [FOLDER]/outer
    at [INDEX]/files/local-1-py3-none-any.whl
    ");
}
