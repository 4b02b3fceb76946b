//! Findings about one zip's folders, modules and libraries, each from the smallest zip that shows it.

use super::*;

#[test]
fn packages_lie_where_nobody_looks() {
    let layer = |paths: &[&str]| check(Zip::new("layer.zip").files(paths));
    insta::assert_snapshot!(layer(&["pandas/__init__.py", "pandas/core/frame.py", "six.py"]), @r"
    Error misplaced-packages (layer.zip: pandas/__init__.py)
      the packages lie at the top of the zip; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["my-layer/python/pandas/__init__.py"]), @r"
    Error misplaced-packages (layer.zip: my-layer/python/pandas/__init__.py)
      everything is wrapped in the folder `my-layer/`; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["python/python/pandas/__init__.py"]), @r"
    Error misplaced-packages (layer.zip: python/python/pandas/__init__.py)
      the packages lie in `python/python/`, one folder too deep; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["lib/python3.12/site-packages/pandas/__init__.py"]), @r"
    Error misplaced-packages (layer.zip: lib/python3.12/site-packages/pandas/__init__.py)
      the packages lie in `lib/python3.12/site-packages/`, as in a virtual environment; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["python/venv/lib/python3.12/site-packages/pandas/__init__.py"]), @r"
    Error misplaced-packages (layer.zip: python/venv/lib/python3.12/site-packages/pandas/__init__.py)
      the packages lie in `python/venv/lib/python3.12/site-packages/`, as in a virtual environment; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["Python/pandas/__init__.py"]), @r"
    Error misplaced-packages (layer.zip: Python/pandas/__init__.py)
      the packages lie in `Python/`, which is not `python/`: case counts; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["python/lib/python3.9/site-packages/pandas/__init__.py"]), @r"
    Error other-python-folder (layer.zip)
      its packages lie in `python/lib/` of python3.9 only; python3.12 does not look there
      -> put packages for python3.12 into `python/lib/python3.12/site-packages/`, or those for every Python into `python/`
    ");
    insta::assert_snapshot!(layer(&["packages/pandas/__init__.py", "packages/numpy/__init__.py"]), @r"
    Error misplaced-packages (layer.zip: packages/numpy/__init__.py)
      the packages lie in `packages/`; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/numpy/__init__.py`
    ");
    insta::assert_snapshot!(layer(&["model.bin", "labels.txt"]), @r"
    Warning nothing-for-lambda (layer.zip)
      at its top are `labels.txt`, `model.bin` only; nothing of Lambda looks there
      -> put packages into `python/`, programs into `bin/`, libraries into `lib/`; data is found below /opt
    ");
    insta::assert_snapshot!(layer(&[]), @r"
    Warning nothing-for-lambda (layer.zip)
      the zip is empty
      -> zip the folder `python` that holds the packages
    ");
    let wheel = Zip::new("layer.zip").distribution("", "pandas", "2.0").file("pandas/__init__.py");
    insta::assert_snapshot!(check(wheel), @r"
    Error misplaced-packages (layer.zip: pandas/__init__.py)
      the packages lie at the top of the zip; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`
    ");
    let both = Zip::new("layer.zip")
        .distribution("", "six", "1.0")
        .file("six.py")
        .distribution("python", "pandas", "2.0")
        .file("python/pandas/__init__.py")
        .file("__MACOSX/python/._pandas");
    insta::assert_snapshot!(check(both), @r"
    Warning misplaced-packages (layer.zip: six.py)
      the packages lie at the top of the zip; Python on Lambda looks for a layer's packages in `python/` only
      -> zip the folder `python` that holds the packages: this file must be `python/six.py`
    Note desktop-files (layer.zip: __MACOSX/python/._pandas)
      a Mac's archiver added files of its own
      -> zip with `zip -X -r`, or leave out `__MACOSX` and `.DS_Store`
    ");
}

#[test]
fn a_functions_code_lies_at_the_top() {
    let check = |zip: Zip| Case::layers([]).function(zip).found();
    insta::assert_snapshot!(check(Zip::new("code.zip").files(&["my-app/app.py", "my-app/x/__init__.py"])), @r"
    Error misplaced-packages (code.zip: my-app/x/__init__.py)
      the code lies in `my-app/`; Python on Lambda looks for it at the top of the function's zip only
      -> zip what is in the folder, not the folder
    ");
    let layered =
        Zip::new("code.zip").file("app.py").distribution("python", "six", "1").file("python/six.py");
    insta::assert_snapshot!(check(layered), @r"
    Warning misplaced-packages (code.zip: python/six.py)
      packages lie in `python/`, which is where layers have them; the function's own must be at the top of its zip
      -> move them to the top of the zip, or into a layer
    ");
    assert_eq!(check(Zip::new("code.zip").files(&["app.py", "scripts/x.py"])), "");
}

#[test]
fn modules_are_for_another_python_system_or_processor() {
    let module = |name: &str, facts: ElfFacts| {
        check(
            Zip::new("layer.zip")
                .distribution("python", "lxml", "5.0")
                .file("python/lxml/__init__.py")
                .elf(&format!("python/lxml/{name}"), facts),
        )
    };
    let plain = || elf(&["libc.so.6"]);
    insta::assert_snapshot!(module("etree.cpython-39-x86_64-linux-gnu.so", plain()), @r"
    Error other-python (layer.zip: python/lxml/etree.cpython-39-x86_64-linux-gnu.so)
      it is compiled for Python 3.9; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`; or let the function run on python3.9 and x86_64
    ");
    insta::assert_snapshot!(module("etree.cpython-312-aarch64-linux-gnu.so", elf_for(183, &[])), @r"
    Error other-architecture (layer.zip: python/lxml/etree.cpython-312-aarch64-linux-gnu.so)
      it is compiled for aarch64; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`; or let the function run on python3.12 and arm64
    ");
    insta::assert_snapshot!(module("etree.cpython-312-x86_64-linux-gnu.so", elf_for(183, &[])), @r"
    Error name-and-content-differ (layer.zip: python/lxml/etree.cpython-312-x86_64-linux-gnu.so)
      its name says x86_64-linux-gnu, and its content is for arm64
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    insta::assert_snapshot!(module("etree.abi3.so", elf_for(183, &[])), @r"
    Error other-architecture (layer.zip: python/lxml/etree.abi3.so)
      it is compiled for arm64, not for x86_64
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    insta::assert_snapshot!(module("etree.cpython-312-x86_64-linux-musl.so", elf(&["libc.musl-x86_64.so.1"])), @r"
    Error other-system (layer.zip: python/lxml/etree.cpython-312-x86_64-linux-musl.so)
      it is compiled for musl, the C library of Alpine Linux; Lambda has glibc
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    insta::assert_snapshot!(module("etree.abi3.so", elf(&["libc.musl-x86_64.so.1"])), @r"
    Error other-system (layer.zip: python/lxml/etree.abi3.so)
      it is linked with musl, the C library of Alpine Linux; Lambda has glibc
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    insta::assert_snapshot!(module("etree.cpython-313t-x86_64-linux-gnu.so", plain()), @r"
    Error other-python (layer.zip: python/lxml/etree.cpython-313t-x86_64-linux-gnu.so)
      it is compiled for free-threaded Python 3.13; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    let named = |name: &str| {
        check(
            Zip::new("layer.zip").distribution("python", "lxml", "5.0").file(&format!("python/lxml/{name}")),
        )
    };
    insta::assert_snapshot!(named("etree.cpython-312-darwin.so"), @r"
    Error other-system (layer.zip: python/lxml/etree.cpython-312-darwin.so)
      it is compiled for macOS; Lambda runs Linux
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    insta::assert_snapshot!(named("etree.cp312-win_amd64.pyd"), @r"
    Error other-system (layer.zip: python/lxml/etree.cp312-win_amd64.pyd)
      it is compiled for Windows; Lambda runs Linux
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    insta::assert_snapshot!(named("etree.abi3.so"), @r"
    Error not-a-library (layer.zip: python/lxml/etree.abi3.so)
      it is no shared library of Linux (ELF), whatever its name says: made for macOS, perhaps
      -> build it for the target: `layercake build lxml --runtime python3.12 --arch x86_64`
    ");
    let damaged = Zip::new("layer.zip")
        .entry("python/lxml/etree.abi3.so", |file| file.damage = Some("it ends early".to_owned()))
        .entry("python/lxml.libs/libxml2.so.2", |file| file.damage = Some("it ends early".to_owned()));
    insta::assert_snapshot!(check(damaged), @r"
    Error not-a-library (layer.zip: python/lxml/etree.abi3.so)
      the loader cannot read it: it ends early
      -> build it for the target: `layercake build` with `--runtime python3.12 --arch x86_64`
    Warning not-a-library (layer.zip: python/lxml.libs/libxml2.so.2)
      the loader cannot read it: it ends early
      -> take the file from its wheel again; tools that strip libraries damage some of them
    ");
}

#[test]
fn a_module_for_another_python_may_not_matter() {
    let wrong = "cpython-39-x86_64-linux-gnu.so";
    let right = "cpython-312-x86_64-linux-gnu.so";
    let zip = |files: &[String]| {
        let start = Zip::new("layer.zip").distribution("python", "p", "1").file("python/p/__init__.py");
        files.iter().fold(start, |zip, path| zip.elf(path, elf(&[])))
    };
    // Both are there: the right one is imported.
    assert_eq!(check(zip(&[format!("python/p/a.{wrong}"), format!("python/p/a.{right}")])), "");
    // Others of the distribution fit; Python code stands beside it; a table knows it.
    insta::assert_snapshot!(check(zip(&[format!("python/p/a.{wrong}"), format!("python/p/b.{right}")])), @r"
    Warning other-python (layer.zip: python/p/a.cpython-39-x86_64-linux-gnu.so)
      it is compiled for Python 3.9; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
      -> build it for the target: `layercake build p --runtime python3.12 --arch x86_64`; or let the function run on python3.9 and x86_64
    ");
    insta::assert_snapshot!(check(zip(&[format!("python/p/a.{wrong}")]).file("python/p/a.py")), @r"
    Warning other-python (layer.zip: python/p/a.cpython-39-x86_64-linux-gnu.so)
      it is compiled for Python 3.9; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
      -> build it for the target: `layercake build p --runtime python3.12 --arch x86_64`; or let the function run on python3.9 and x86_64
    ");
    insta::assert_snapshot!(check(zip(&[format!("python/markupsafe/_speedups.{wrong}")])), @r"
    Warning other-python (layer.zip: python/markupsafe/_speedups.cpython-39-x86_64-linux-gnu.so)
      it is compiled for Python 3.9; python3.12 imports `.cpython-312-x86_64-linux-gnu.so`
      -> build it for the target: `layercake build p --runtime python3.12 --arch x86_64`; or let the function run on python3.9 and x86_64
    ");
    // Folders of other Pythons are not looked into.
    let folders = zip(&[format!("python/lib/python3.9/site-packages/p/a.{wrong}")]);
    assert_eq!(check(folders.file("python/lib/python3.12/site-packages/p/__init__.py")), "");
}

#[test]
fn numpy_lacks_its_core() {
    let sources = Zip::new("layer.zip").distribution("python", "numpy", "1.26").files(&[
        "python/numpy/__init__.py",
        "python/numpy/random/_mt.pyx",
        "python/numpy/random/_mt.c",
    ]);
    insta::assert_snapshot!(check(sources), @r#"
    Error numpy-without-core (layer.zip: python/numpy/__init__.py)
      numpy's compiled core (`_multiarray_umath`) is not there for python3.12 on x86_64: the import fails with "you should not try to import numpy from its source directory"
      -> take numpy's wheel for the target: `layercake build numpy --runtime python3.12 --arch x86_64`
    Warning not-compiled (layer.zip: python/numpy/random/_mt.pyx)
      numpy has Cython sources and nothing compiled from them
      -> take its wheel for the target: `layercake build numpy --runtime python3.12 --arch x86_64`
    "#);
    let other = Zip::new("layer.zip")
        .file("python/numpy/__init__.py")
        .elf("python/numpy/_core/_multiarray_umath.cpython-312-x86_64-linux-gnu.so", elf(&[]));
    assert_eq!(check(other.clone()), "");
    insta::assert_snapshot!(Case::layers([other]).on(12, Arch::Arm64), @r#"
    Error other-architecture (layer.zip: python/numpy/_core/_multiarray_umath.cpython-312-x86_64-linux-gnu.so)
      it is compiled for x86_64; python3.12 imports `.cpython-312-aarch64-linux-gnu.so`
      -> build it for the target: `layercake build` with `--runtime python3.12 --arch arm64`; or let the function run on python3.12 and x86_64
    Error numpy-without-core (layer.zip: python/numpy/__init__.py)
      numpy's compiled core (`_multiarray_umath`) is not there for python3.12 on arm64: the import fails with "you should not try to import numpy from its source directory"
      -> take numpy's wheel for the target: `layercake build numpy --runtime python3.12 --arch arm64`
    "#);
}

#[test]
fn libraries_are_missing_or_out_of_reach() {
    let needs = |names: &[&str]| {
        check(Zip::new("layer.zip").distribution("python", "p", "1").elf("python/p/a.abi3.so", elf(names)))
    };
    insta::assert_snapshot!(needs(&["libGL.so.1", "libc.so.6", "libodd.so.3"]), @r"
    Error missing-library (layer.zip: python/p/a.abi3.so)
      it needs `libGL.so.1`, which is neither in the layers nor in python3.12 (Amazon Linux 2023); usually it is asked for by opencv-python
      -> take opencv-python-headless, which has the same `cv2` without windows
    Error missing-library (layer.zip: python/p/a.abi3.so)
      it needs `libodd.so.3`, which is neither in the layers nor in python3.12 (Amazon Linux 2023)
      -> take a wheel that brings the library, or put it into the folder `lib` of a layer
    ");
    insta::assert_snapshot!(needs(&["libpython3.9.so.1.0", "libpython3.12.so.1.0"]), @r"
    Error missing-library (layer.zip: python/p/a.abi3.so)
      it needs `libpython3.9.so.1.0`, which is neither in the layers nor in python3.12 (Amazon Linux 2023): it is linked with another Python
      -> build it for the target: `layercake build p --runtime python3.12 --arch x86_64`
    ");
    let elsewhere = Zip::new("layer.zip")
        .elf("python/p/a.abi3.so", elf(&["libx.so.1"]))
        .elf("python/q.libs/libx.so.1", elf(&[]));
    insta::assert_snapshot!(check(elsewhere), @r"
    Warning unreachable-library (layer.zip: python/p/a.abi3.so)
      it needs `libx.so.1`, which is there as `python/q.libs/libx.so.1`, where the loader does not look for it: it loads only if something has loaded that library before
      -> put the library into the folder `lib` of a layer, or take the package's wheel, whose run paths lead to it
    ");
    let plugin = Zip::new("layer.zip")
        .elf("python/cv2/qt/plugins/platforms/libqxcb.so", elf(&["libX11-xcb.so.1"]))
        .elf("python/numba/np/ufunc/tbbpool.cpython-312-x86_64-linux-gnu.so", elf(&["libtbb.so.12"]));
    insta::assert_snapshot!(check(plugin), @r"
    Warning missing-library (layer.zip: python/cv2/qt/plugins/platforms/libqxcb.so)
      it needs `libX11-xcb.so.1`, which is neither in the layers nor in python3.12 (Amazon Linux 2023); usually it is asked for by a package with windows, such as opencv-python or PyQt5
      -> take its headless form, such as opencv-python-headless
    Warning missing-library (layer.zip: python/numba/np/ufunc/tbbpool.cpython-312-x86_64-linux-gnu.so)
      it needs `libtbb.so.12`, which is neither in the layers nor in python3.12 (Amazon Linux 2023); usually it is asked for by numba's threading layer
      -> add the distribution tbb, or choose another threading layer
    ");
    let openssl = Zip::new("layer.zip").elf("python/p/a.abi3.so", elf(&["libssl.so.1.1"]));
    insta::assert_snapshot!(Case::layers([openssl]).on(11, Arch::X86_64), @r"
    Warning uncertain-library (layer.zip: python/p/a.abi3.so)
      it needs `libssl.so.1.1`, which the system of python3.11 does not have; its interpreter's own folder may, but no list of that is published
      -> take a wheel that brings the library: `layercake build` with `--runtime python3.11 --arch x86_64`
    ");
}

#[test]
fn the_loader_finds_what_run_paths_and_folders_hold() {
    let reach = |path: &str, facts: ElfFacts| {
        check(Zip::new("layer.zip").elf("python/p/a.abi3.so", facts).elf(path, elf(&[])))
    };
    let wants = || elf(&["libx.so.1"]);
    assert_eq!(reach("python/p.libs/libx.so.1", wants().runs_from("$ORIGIN/../p.libs")), "");
    assert_eq!(reach("python/p/libx.so.1", wants().runs_from("${ORIGIN}")), "");
    assert_eq!(reach("lib/libx.so.1", wants()), "");
    assert_eq!(reach("share/libx.so.1", wants().runs_from("/opt/share")), "");
    // A library that another one has loaded already, or whose run path is inherited.
    let inherited = Zip::new("layer.zip")
        .elf("python/p/a.abi3.so", elf(&["libx.so.1", "liby.so.1"]).runs_from("$ORIGIN/../p.libs"))
        .elf("python/p.libs/libx.so.1", elf(&["liby.so.1"]))
        .elf("python/p.libs/liby.so.1", elf(&[]));
    assert_eq!(check(inherited), "");
    let linked = Zip::new("layer.zip")
        .elf("python/p/a.abi3.so", wants())
        .link("lib/libx.so.1", "libx.so.1.2")
        .elf("lib/libx.so.1.2", elf(&[]));
    assert_eq!(check(linked), "");
    let elsewhere =
        Zip::new("layer.zip").elf("python/p/a.abi3.so", wants()).elf("private/libx.so.1", elf(&[]));
    let case = Case::layers([elsewhere]).variable("LD_LIBRARY_PATH", "/opt/private:/var/lang/lib");
    assert_eq!(case.found(), "");
}

#[test]
fn symbol_versions_are_too_new() {
    let wants = |library: &str, version: &str| {
        Zip::new("layer.zip")
            .distribution("python", "p", "1")
            .elf("python/p/a.abi3.so", elf(&[]).wants(library, version).runs_from("$ORIGIN/../p.libs"))
    };
    let glibc = Case::layers([wants("libc.so.6", "GLIBC_2.28")]);
    assert_eq!(glibc.on(12, Arch::X86_64), "");
    insta::assert_snapshot!(glibc.on(9, Arch::X86_64), @r"
    Error too-new-symbol (layer.zip: python/p/a.abi3.so)
      it needs GLIBC_2.28 of glibc; python3.9 runs on Amazon Linux 2, which has up to GLIBC_2.26
      -> take an older release or build it on that system: `layercake build p --runtime python3.9 --arch x86_64` chooses wheels that fit; or let the function run on python3.12 or later, on Amazon Linux 2023
    ");
    insta::assert_snapshot!(check(wants("libm.so.6", "GLIBC_2.38")), @r"
    Error too-new-symbol (layer.zip: python/p/a.abi3.so)
      it needs GLIBC_2.38 of glibc; python3.12 runs on Amazon Linux 2023, which has up to GLIBC_2.34
      -> take an older release or build it on that system: `layercake build p --runtime python3.12 --arch x86_64` chooses wheels that fit
    ");
    let cxx = || wants("libstdc++.so.6", "GLIBCXX_3.4.34");
    insta::assert_snapshot!(check(cxx()), @r"
    Error too-new-symbol (layer.zip: python/p/a.abi3.so)
      it needs GLIBCXX_3.4.34 of libstdc++; python3.12 runs on Amazon Linux 2023, which has up to GLIBCXX_3.4.33
      -> take an older release or build it on that system: `layercake build p --runtime python3.12 --arch x86_64` chooses wheels that fit
    ");
    // One that the wheel brings is taken to fit, for its run path leads there before the system's
    // folders; one in `lib/` is not found, since the system's folders come first.
    assert_eq!(check(cxx().elf("python/p.libs/libstdc++.so.6", elf(&[]))), "");
    assert_eq!(check(cxx().elf("lib/libstdc++.so.6", elf(&[]))), check(cxx()));
}

#[test]
fn libraries_and_programs_are_for_another_processor() {
    let needed = Zip::new("layer.zip")
        .elf("python/p/a.abi3.so", elf(&["libx.so.1"]).runs_from("$ORIGIN"))
        .elf("python/p/libx.so.1", elf_for(183, &[]))
        .elf("python/q/liby.so", elf_for(183, &[]))
        .elf("python/q/liby-arm64.so", elf_for(183, &[]))
        .entry("extensions/agent", |file| {
            file.permissions = 0o755;
            file.elf = Some(elf_for(183, &[]).program());
        });
    insta::assert_snapshot!(check(needed), @r"
    Error other-architecture (layer.zip: extensions/agent)
      it is compiled for arm64, not for x86_64
      -> build it for the target: `layercake build` with `--runtime python3.12 --arch x86_64`
    Error other-architecture (layer.zip: python/p/libx.so.1)
      it is compiled for arm64, not for x86_64
      -> build it for the target: `layercake build` with `--runtime python3.12 --arch x86_64`
    Warning other-architecture (layer.zip: python/q/liby.so)
      it is compiled for arm64, not for x86_64
      -> build it for the target: `layercake build` with `--runtime python3.12 --arch x86_64`
    ");
}
