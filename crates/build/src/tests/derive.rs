//! Derived files: the same bytes whatever the cache held, and the original on any doubt.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use insta::assert_snapshot;
use layercake_core::{
    plan::{Policy, Profile},
    target::Target,
    zip::{Archive, ReadLimits, inflate},
};

use super::{Folder, open, options};
use crate::{
    assemble::assemble,
    derive::{Compiler, Progress},
    fetch::{Silent, fetch},
    layer::{Part, PlannedLayer, Wanted, plan_layer},
    resolve::Asked,
    testing::{TestIndex, WheelBuilder},
};

/// Hears nothing.
struct Still;

impl Progress for Still {
    fn begun(&self, _bytes: u64) {}
    fn advanced(&self, _bytes: u64) {}
}

/// A Python of this machine, with the runtime that it is for.
fn python() -> (Utf8PathBuf, Target) {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').map(|folder| Utf8Path::new(folder).join("python3")).find_map(|program| {
        let script = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";
        let output = std::process::Command::new(&program).args(["-c", script]).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        let mut lines = said.lines();
        let runtime = format!("python{}", lines.next()?).parse().ok()?;
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let target = Target { runtime, arch: arch.parse().ok()? };
        Some((Utf8PathBuf::from(lines.next()?), target))
    });
    found.expect("these tests need a python3 of 3.6 to 3.15 in PATH")
}

/// The layer of these wheels by way of this cache.
fn plan(wheels: &[WheelBuilder], cache: &Folder, policy: &Policy) -> PlannedLayer {
    plan_below(None, wheels, cache, policy)
}

/// The same, with levers pulled until it is below so many bytes.
fn plan_below(fit: Option<u64>, wheels: &[WheelBuilder], cache: &Folder, policy: &Policy) -> PlannedLayer {
    let server = TestIndex::serving(wheels);
    let (executable, target) = python();
    let names: Vec<String> = wheels.iter().map(WheelBuilder::name).collect();
    let index = open(options(cache, &server));
    let resolution = index.resolve(&Asked::with("--with", &names), target).expect("they are there");
    let wheels = fetch(&index, &resolution, &Silent).expect("they are sound");
    let compiler = Some(Compiler::open(&executable, cache.path()).expect("it starts"));
    let wanted = Wanted { policy, imported: &BTreeSet::new(), fit };
    plan_layer(cache.path(), vec![Part { target, wheels, compiler }], wanted, &Still)
        .expect("it can be planned")
}

fn zip(layer: &PlannedLayer, folder: &Folder) -> Vec<u8> {
    let path = folder.path().join("layer.zip");
    assemble(&layer.plan, &layer.wheels, &layer.derived, &path).expect("the disk has room");
    std::fs::read(path).expect("it is there")
}

/// The paths in a layer, without the number of this machine's Python.
fn paths(layer: &PlannedLayer) -> String {
    let python = format!("cpython-3{}", layer.plan.targets[0].runtime.minor());
    let paths: Vec<_> =
        layer.plan.files.iter().map(|file| file.path.replace(&python, "cpython-3N")).collect();
    paths.join("\n")
}

fn app() -> WheelBuilder {
    WheelBuilder::new("app", "1")
        .file("app/__init__.py", "from .one import name\n")
        .file(
            "app/one.py",
            "\"\"\"A word about it.\"\"\"\nname = 'self'\ndef f(self):\n    return {'a', 'b', self}\n",
        )
        .file("app/two.py", "class Two:\n    '''Two.'''\n    self = 'self'\n")
        .file("app/old.py", "print 'Python 2'\n")
}

#[test]
fn bytecode_stands_beside_what_it_was_made_from() {
    let cache = Folder::new();
    assert_snapshot!(paths(&plan(&[app()], &cache, &Policy::of(Profile::Lean))), @r"
    python/app-1.dist-info/METADATA
    python/app-1.dist-info/RECORD
    python/app-1.dist-info/WHEEL
    python/app/__init__.py
    python/app/__pycache__/__init__.cpython-3N.pyc
    python/app/__pycache__/one.cpython-3N.pyc
    python/app/__pycache__/two.cpython-3N.pyc
    python/app/old.py
    python/app/one.py
    python/app/two.py
    ");
    // What does not compile stays, and a package that reads its own sources keeps them.
    assert_snapshot!(paths(&plan(&[app()], &cache, &Policy::of(Profile::Smallest))), @r"
    python/app-1.dist-info/METADATA
    python/app-1.dist-info/RECORD
    python/app-1.dist-info/WHEEL
    python/app/__init__.pyc
    python/app/old.py
    python/app/one.pyc
    python/app/two.pyc
    ");
    let numba = WheelBuilder::new("numba", "1").file("numba/x.py", "x = 1\n");
    assert!(
        paths(&plan(&[numba], &cache, &Policy::of(Profile::Smallest)))
            .lines()
            .any(|path| path == "python/numba/x.py")
    );
}

#[test]
fn the_bytes_do_not_depend_on_what_the_cache_held() {
    let (cold, grown) = (Folder::new(), Folder::new());
    let lean = Policy::of(Profile::Lean);
    let expected = zip(&plan(&[app()], &cold, &lean), &cold);
    // Here the modules are compiled in two runs, the second one first.
    let drop = vec!["app/one.py".parse().expect("a pattern")];
    let first = plan(&[app()], &grown, &Policy { drop, ..lean.clone() });
    assert_eq!(first.derived.made, 3);
    let second = plan(&[app()], &grown, &lean);
    assert_eq!(second.derived.made, 1);
    assert!(zip(&second, &grown) == expected, "the layer differs");
    let third = plan(&[app()], &grown, &lean);
    assert_eq!(third.derived.made, 0);
    assert!(zip(&third, &grown) == expected, "the layer differs");
}

#[test]
fn docstrings_go_where_the_package_bears_it() {
    let text = "'''Module words.'''\nfrom __future__ import annotations\ndef f():\n    '''Function words.'''\nassert f() is None\n";
    let bears = WheelBuilder::new("pandas", "3").file("pandas/x.py", text);
    let unknown = WheelBuilder::new("other", "3").file("other/x.py", text);
    let cache = Folder::new();
    let bytes = zip(&plan(&[bears, unknown], &cache, &Policy::of(Profile::Smallest)), &cache);
    let archive = Archive::read(&bytes, &ReadLimits::WHEEL).expect("it is sound");
    let holds = |path: &str, words: &str| {
        let entry = archive.entries.iter().find(|entry| entry.path == path).expect("it is there");
        let code = inflate(&bytes, entry).expect("it unpacks");
        code.windows(words.len()).any(|window| window == words.as_bytes())
    };
    for words in ["Module words", "Function words"] {
        assert!(!holds("python/pandas/x.pyc", words), "{words}");
        assert!(holds("python/other/x.pyc", words), "{words}");
    }
    // Assertions stay: they may do something.
    assert!(holds("python/pandas/x.pyc", "AssertionError") || python().1.runtime.minor() >= 9);
}

#[test]
fn a_damaged_index_is_made_anew() {
    let cache = Folder::new();
    let lean = Policy::of(Profile::Lean);
    let expected = zip(&plan(&[app()], &cache, &lean), &cache);
    let mut files = Vec::new();
    let mut folders = vec![cache.path().join("derived")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().expect("a folder") {
            let path = entry.expect("an entry").into_path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let pack = files.iter().find(|path| path.extension() == Some("pack")).expect("there is a pack");
    std::fs::write(pack, b"short").expect("it can be written");
    assert!(zip(&plan(&[app()], &cache, &lean), &cache) == expected, "the layer differs");
}

#[test]
fn levers_are_remembered_and_a_note_that_is_wrong_is_not_believed() {
    let cache = Folder::new();
    let lean = Policy::of(Profile::Lean);
    let found = plan_below(Some(1), &[app()], &cache, &lean);
    assert!(!found.pulled.is_empty());
    let folder = cache.path().join("levers");
    let notes = || -> Vec<_> { folder.read_dir_utf8().expect("notes").flatten().collect() };
    assert_eq!(notes().len(), 1);
    let again = plan_below(Some(1), &[app()], &cache, &lean);
    assert_eq!((&again.pulled, zip(&again, &cache)), (&found.pulled, zip(&found, &cache)));
    // Another limit, policy or wheel is another note.
    plan_below(Some(2), &[app()], &cache, &lean);
    assert_eq!(notes().len(), 2);
    for note in notes() {
        let text = std::fs::read_to_string(note.path()).expect("a note");
        let size = format!("\"unzipped_size\":{}", found.plan.unzipped_size());
        assert!(text.contains(&size), "{text}");
        let wrong = text.replace(&size, "\"unzipped_size\":7").replace("\"gained\":", "\"gained\":9");
        std::fs::write(note.path(), wrong).expect("it can be written");
    }
    assert_eq!(plan_below(Some(1), &[app()], &cache, &lean).pulled, found.pulled);
}
