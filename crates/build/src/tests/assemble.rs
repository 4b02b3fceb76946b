//! Assembly: the zip has what the plan says, and the same bytes every time.

use insta::assert_snapshot;
use layercake_core::{
    hash::Sha256,
    plan::{Given, LayerPlan, Layout, Policy, Profile},
    zip::{Archive, ReadLimits, inflate},
};

use super::{Folder, open, options, target, told};
use crate::{
    assemble::{LayerZip, assemble},
    derive::DerivedSet,
    fetch::{Silent, WheelSet, fetch},
    resolve::Asked,
    testing::{TestIndex, WheelBuilder},
};

fn build(wheels: &[WheelBuilder], names: &[&str], out: &camino::Utf8Path) -> LayerZip {
    let server = TestIndex::serving(wheels);
    let cache = Folder::new();
    let index = open(options(&cache, &server));
    let specifiers: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let target = target("python3.12");
    let resolution = index.resolve(&Asked::with("--with", &specifiers), target).expect("they are there");
    let set = fetch(&index, &resolution, &Silent).expect("they are sound");
    assemble(&plan(&set), &set, &DerivedSet::default(), out).expect("the disk has room")
}

fn plan(set: &WheelSet) -> LayerPlan {
    let given = Given {
        target: target("python3.12"),
        wheels: &set.contents,
        derived: &[],
        policy: &Policy::of(Profile::Lean),
        imported: &std::collections::BTreeSet::new(),
        layout: Layout::default(),
    };
    LayerPlan::new(&given).expect("they go together")
}

fn wheels() -> [WheelBuilder; 2] {
    [
        WheelBuilder::new("app", "1")
            .file("app/__init__.py", "import lib\n".repeat(500))
            .file("app/tests/test_app.py", "")
            .file("app/core.pyx", ""),
        WheelBuilder::new("lib", "2").file("lib/data.bin", [7, 1, 200, 3]),
    ]
}

#[test]
fn the_zip_has_what_the_plan_says() {
    let folder = Folder::new();
    let zip = build(&wheels(), &["app", "lib"], &folder.path().join("layer.zip"));
    let bytes = std::fs::read(&zip.path).expect("it is there");
    let archive = Archive::read(&bytes, &ReadLimits::WHEEL).expect("it is sound");
    let listing: Vec<_> = archive
        .entries
        .iter()
        .map(|entry| format!("{:o} {} {}", entry.permissions, entry.path, entry.size))
        .collect();
    assert_snapshot!(listing.join("\n"), @r"
    644 python/app-1.dist-info/METADATA 43
    644 python/app-1.dist-info/RECORD 94
    644 python/app-1.dist-info/WHEEL 59
    644 python/app/__init__.py 5500
    644 python/lib-2.dist-info/METADATA 43
    644 python/lib-2.dist-info/RECORD 109
    644 python/lib-2.dist-info/WHEEL 59
    644 python/lib/__init__.py 0
    644 python/lib/data.bin 4
    ");
    for entry in &archive.entries {
        inflate(&bytes, entry).expect("every entry unpacks");
    }
    assert_eq!(zip.size, bytes.len() as u64);
    assert_eq!(zip.sha256, Sha256::of(&bytes));
    assert_eq!(zip.unzipped, archive.unpacked_size());
}

#[test]
fn the_same_wheels_give_the_same_bytes() {
    let folder = Folder::new();
    let one = build(&wheels(), &["app", "lib"], &folder.path().join("one.zip"));
    let other = build(&wheels(), &["lib", "app"], &folder.path().join("other.zip"));
    assert_eq!(one.sha256, other.sha256);
    let bytes = |zip: &LayerZip| std::fs::read(&zip.path).expect("it is there");
    assert_eq!(bytes(&one), bytes(&other));
}

#[test]
fn a_failure_leaves_what_was_there() {
    let folder = Folder::new();
    let server = TestIndex::serving(&wheels());
    let index = open(options(&folder, &server));
    let asked = Asked::with("--with", &["app".to_owned()]);
    let resolution = index.resolve(&asked, target("python3.12")).expect("it is there");
    let set = fetch(&index, &resolution, &Silent).expect("it is sound");
    let plan = plan(&set);
    let out = folder.write("out/layer.zip", "the one before");
    std::fs::write(&set.files[0].path, "short").expect("the cache is writable");
    let error = assemble(&plan, &set, &DerivedSet::default(), &out).expect_err("the wheel is too short");
    let text = told(&error).replace(set.files[0].path.as_str(), "[WHEEL]");
    assert_snapshot!(text, @r"
    error: cannot read wheel `[WHEEL]`
      failed to fill whole buffer
    hint: the cache changed meanwhile: run it again
    ");
    assert_eq!(std::fs::read_to_string(&out).expect("it is there"), "the one before");
    let names: Vec<_> = out.parent().expect("out").read_dir_utf8().expect("readable").collect();
    assert_eq!(names.len(), 1, "nothing else is left");
    let blocked = folder.write("file", "").join("layer.zip");
    let error = assemble(&plan, &set, &DerivedSet::default(), &blocked).expect_err("a file is no folder");
    assert_snapshot!(told(&error).replace(folder.path().as_str(), "[FOLDER]"), @r"
    error: cannot write `[FOLDER]/file/layer.zip`
      failed to create directory `[FOLDER]/file`: File exists (os error 17)
    hint: make the folder writable, or write somewhere else
    ");
}
