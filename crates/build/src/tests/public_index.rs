//! The public package index, asked for what the 2020 write-up needs and for what is newest.
//!
//! Owns the only tests of this crate that leave the machine. They hold as long as the index serves
//! the pinned files; nothing about "newest" is compared literally.

use layercake_core::target::{Arch, Runtime, Target};

use super::Folder;
use crate::resolve::{Asked, IndexOptions, PackageIndex};

fn pandas_for(runtime: Runtime, arch: Arch) -> Vec<(String, String)> {
    let cache = Folder::new();
    let index = PackageIndex::open(IndexOptions::new(cache.path())).expect("it opens");
    let asked = Asked::with("--with", &["pandas".to_owned()]);
    let resolution = index.resolve(&asked, Target { runtime, arch }).expect("the index answers");
    resolution.wheels.into_iter().map(|wheel| (wheel.name, wheel.filename)).collect()
}

fn filename<'a>(wheels: &'a [(String, String)], package: &str) -> &'a str {
    wheels.iter().find(|(name, _)| name == package).map_or("", |(_, filename)| filename)
}

#[test]
fn the_write_up_gets_its_wheels() {
    let wheels = pandas_for(Runtime::PYTHON3_6, Arch::X86_64);
    assert_eq!(filename(&wheels, "pandas"), "pandas-1.1.5-cp36-cp36m-manylinux1_x86_64.whl");
    assert_eq!(filename(&wheels, "numpy"), "numpy-1.19.5-cp36-cp36m-manylinux2010_x86_64.whl");
    // `six` still serves every Python; that it is here shows that what pandas needs came along.
    assert!(filename(&wheels, "six").ends_with("py2.py3-none-any.whl"), "{wheels:?}");
}

#[test]
fn a_new_runtime_gets_new_wheels_of_its_architecture() {
    let runtime = Runtime::from_minor(12).expect("python3.12");
    for arch in [Arch::X86_64, Arch::Arm64] {
        let wheels = pandas_for(runtime, arch);
        let numpy = filename(&wheels, "numpy");
        assert!(numpy.starts_with("numpy-2.") && numpy.contains("-cp312-cp312-manylinux_2_"), "{numpy}");
        assert!(numpy.contains(arch.machine()), "{numpy}");
    }
}
