//! Plans as text: what is kept, what is left out and why.

use super::*;
use crate::{
    imports::test_modules_imported,
    target::{Arch, Runtime},
    wheel::WheelFacts,
    zip::{Archive, ReadLimits, ZipWriter, inflate_start},
};

fn wheel(name: &str, files: &[(&str, &str)]) -> WheelContents {
    let mut writer = ZipWriter::new(Vec::new());
    for (path, text) in files {
        writer.file_from_bytes(path, FileMode::Regular, text.as_bytes()).expect("written to memory");
    }
    let (bytes, _) = writer.finish().expect("finished in memory");
    let archive = Archive::read(&bytes, &ReadLimits::WHEEL).expect("our own zip is sound");
    let facts = WheelFacts::collect(&archive, |entry, most| inflate_start(&bytes, entry, most))
        .expect("our own zip unpacks");
    WheelContents { name: name.to_owned(), version: "1.0".to_owned(), archive, facts }
}

fn check(profile: Profile, wheels: &[WheelContents]) -> String {
    check_for_app(profile, wheels, "")
}

/// With an app of this source.
fn check_for_app(profile: Profile, wheels: &[WheelContents], app: &str) -> String {
    let target = Target { runtime: Runtime::PYTHON3_6, arch: Arch::X86_64 };
    let imported = test_modules_imported("app.py", app);
    let policy = Policy::of(profile);
    let layout = Layout::Python;
    let given = Given { target, wheels, derived: &[], policy: &policy, imported: &imported, layout };
    let plan = match LayerPlan::new(&given) {
        Ok(plan) => plan,
        Err(error) => return format!("error: {error}"),
    };
    let kept = plan.files.iter().map(|file| format!("+ {} ({})", file.path, wheels[file.wheel].name));
    let excluded = plan.excluded.iter().map(|file| format!("- {} {:?}", file.path, file.reason));
    let findings = plan.findings.iter().map(|finding| format!("! {finding:?}"));
    kept.chain(excluded).chain(findings).collect::<Vec<_>>().join("\n")
}

#[test]
fn lean_leaves_out_what_a_function_never_reads() {
    let wheels = [wheel(
        "a",
        &[
            ("a/__init__.py", ""),
            ("a/__pycache__/x.cpython-36.pyc", ""),
            ("a/core.pyx", "x"),
            ("a/core.pyi", "x"),
            ("a/tests/__init__.py", ""),
            ("a/tests/test_a.py", "x"),
            ("a-1.0.dist-info/METADATA", ""),
            ("a-1.0.dist-info/licenses/tests/LICENSE.h", ""),
            ("a-1.0.data/scripts/a-run", "#!python\n"),
            ("a-1.0.data/scripts/a-tool", "ELF"),
            ("a-1.0.data/purelib/a/pure.py", ""),
            ("a-1.0.data/headers/a.h", ""),
        ],
    )];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/a-1.0.dist-info/METADATA (a)
    + python/a-1.0.dist-info/licenses/tests/LICENSE.h (a)
    + python/a/__init__.py (a)
    + python/a/pure.py (a)
    + python/bin/a-tool (a)
    - python/a-1.0.data/headers/a.h Sources
    - python/a/__pycache__/x.cpython-36.pyc Bytecode
    - python/a/core.pyi TypeStubs
    - python/a/core.pyx Sources
    - python/a/tests/__init__.py Tests
    - python/a/tests/test_a.py Tests
    - python/bin/a-run Command
    ");
}

#[test]
fn tests_that_code_imports_stay_with_all_they_need() {
    let wheels = [
        wheel(
            "numpy",
            &[
                ("numpy/testing/utils.py", "from numpy._core.tests._natype import pd_NA"),
                ("numpy/_core/tests/__init__.py", ""),
                ("numpy/_core/tests/_natype.py", "from . import _helper\n"),
                ("numpy/_core/tests/_helper.py", ""),
                ("numpy/_core/tests/test_x.py", "from . import _other"),
                ("numpy/_core/tests/_other.py", ""),
            ],
        ),
        wheel("scipy", &[("scipy/x.py", "def f():\n    import numpy._core.tests.test_y\n")]),
    ];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/numpy/_core/tests/__init__.py (numpy)
    + python/numpy/_core/tests/_helper.py (numpy)
    + python/numpy/_core/tests/_natype.py (numpy)
    + python/numpy/testing/utils.py (numpy)
    + python/scipy/x.py (scipy)
    - python/numpy/_core/tests/_other.py Tests
    - python/numpy/_core/tests/test_x.py Tests
    ");
}

#[test]
fn stubs_that_are_read_at_run_time_stay() {
    let wheels = [wheel(
        "skimage",
        &[("skimage/__init__.py", "attach_stub(__name__, __file__)"), ("skimage/__init__.pyi", "x")],
    )];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/skimage/__init__.py (skimage)
    + python/skimage/__init__.pyi (skimage)
    ");
}

#[test]
fn sources_that_code_names_stay() {
    let wheels = [
        wheel(
            "thinc",
            &[
                ("thinc/ops.py", "(Path(__file__).parent / '_custom_kernels.cu').read_text()"),
                ("thinc/_custom_kernels.cu", "x"),
                ("thinc/other.cu", "x"),
                ("thinc/ops.pyi", "x"),
            ],
        ),
        wheel(
            "eccodes",
            &[("g/b.py", "pkgutil.get_data(__name__, \"api.h\")"), ("g/api.h", "x"), ("g/b.h", "x")],
        ),
        wheel("numba", &[("n/b.py", "glob(f'{folder}/*.c')"), ("n/c/x.c", "x"), ("n/c/x.h", "x")]),
        wheel("quiet", &[("q/tests/test_q.py", "open('q.h')"), ("q/q.h", "x"), ("q/core.py", "# 'q.h'")]),
    ];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/g/api.h (eccodes)
    + python/g/b.py (eccodes)
    + python/n/b.py (numba)
    + python/n/c/x.c (numba)
    + python/q/core.py (quiet)
    + python/thinc/_custom_kernels.cu (thinc)
    + python/thinc/ops.py (thinc)
    - python/g/b.h Sources
    - python/n/c/x.h Sources
    - python/q/q.h Sources
    - python/q/tests/test_q.py Tests
    - python/thinc/ops.pyi TypeStubs
    - python/thinc/other.cu Sources
    ");
}

#[test]
fn stubs_that_a_tool_brings_for_itself_stay() {
    let wheels = [
        wheel("mypy", &[("mypy/typeshed/stdlib/os.pyi", "x"), ("mypy/x.pyi", "x"), ("mypy/lib.h", "x")]),
        wheel("jedi", &[("jedi/a.py", "path.endswith('.pyi')"), ("jedi/third_party/b/x.pyi", "x")]),
    ];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/jedi/a.py (jedi)
    + python/jedi/third_party/b/x.pyi (jedi)
    + python/mypy/typeshed/stdlib/os.pyi (mypy)
    - python/mypy/lib.h Sources
    - python/mypy/x.pyi TypeStubs
    ");
}

#[test]
fn a_folder_named_tests_without_tests_is_data() {
    let wheels = [wheel(
        "dbt",
        &[
            ("dbt/include/macros/tests/helpers.sql", "x"),
            ("dbt/tests/__init__.py", ""),
            ("dbt/tests/data/x.sql", ""),
        ],
    )];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/dbt/include/macros/tests/helpers.sql (dbt)
    - python/dbt/tests/__init__.py Tests
    - python/dbt/tests/data/x.sql Tests
    ");
}

#[test]
fn what_lies_beside_a_kept_test_module_stays() {
    let wheels = [wheel(
        "a",
        &[
            ("a/x.py", "from a.tests import helper\n"),
            ("a/tests/__init__.py", ""),
            ("a/tests/helper.py", ""),
            ("a/tests/helper.json", ""),
            ("a/tests/helper.h", ""),
            ("a/tests/_native.cpython-36m-x86_64-linux-gnu.so", ""),
            ("a/tests/test_x.py", ""),
            ("a/tests/data/x.json", ""),
        ],
    )];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/a/tests/__init__.py (a)
    + python/a/tests/helper.json (a)
    + python/a/tests/helper.py (a)
    + python/a/x.py (a)
    - python/a/tests/_native.cpython-36m-x86_64-linux-gnu.so Tests
    - python/a/tests/data/x.json Tests
    - python/a/tests/helper.h Sources
    - python/a/tests/test_x.py Tests
    ");
}

#[test]
fn tests_that_the_app_imports_stay() {
    let wheels =
        [wheel("a", &[("a/tests/__init__.py", ""), ("a/tests/helper.py", ""), ("a/tests/test_x.py", "")])];
    insta::assert_snapshot!(check_for_app(Profile::Lean, &wheels, "import a.tests.helper\n"), @r"
    + python/a/tests/__init__.py (a)
    + python/a/tests/helper.py (a)
    - python/a/tests/test_x.py Tests
    ");
}

#[test]
fn modules_without_source_stay() {
    let wheels = [wheel(
        "a",
        &[
            ("a/__init__.pyc", "x"),
            ("a/b.py", ""),
            ("a/b.pyc", "x"),
            ("a/c.pyo", "x"),
            ("a/__pycache__/d.cpython-36.pyc", "x"),
            ("a-1.data/purelib/a/e.pyc", "x"),
            ("a/e.py", ""),
        ],
    )];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r"
    + python/a/__init__.pyc (a)
    + python/a/b.py (a)
    + python/a/e.py (a)
    - python/a/__pycache__/d.cpython-36.pyc Bytecode
    - python/a/b.pyc Bytecode
    - python/a/c.pyo Bytecode
    - python/a/e.pyc Bytecode
    ");
}

#[test]
fn faithful_keeps_what_an_installer_keeps() {
    let wheels = [wheel("a", &[("a/tests/t.py", ""), ("a/x.h", ""), ("a/x.pyi", "")])];
    insta::assert_snapshot!(check(Profile::Faithful, &wheels), @r"
    + python/a/tests/t.py (a)
    + python/a/x.h (a)
    + python/a/x.pyi (a)
    ");
}

#[test]
fn two_wheels_with_one_name_are_told() {
    let wheels = [
        wheel("a", &[("ns/same.py", "1"), ("ns/x.py", "1")]),
        wheel("b", &[("ns/same.py", "1"), ("ns/x.py", "2")]),
    ];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @r#"
    + python/ns/same.py (a)
    + python/ns/x.py (b)
    - python/ns/same.py SameFile
    - python/ns/x.py Replaced
    ! Conflict { path: "python/ns/x.py", kept: "b", dropped: "a" }
    "#);
    let wheels = [wheel("a", &[("x", "1")]), wheel("b", &[("x/y.py", "1")])];
    insta::assert_snapshot!(check(Profile::Lean, &wheels), @"error: `python/x` is a file in `a` and a folder in `b`: the two cannot be in one layer");
}

#[test]
fn the_limit_itself_is_too_large() {
    let mut wheel = wheel("a", &[("a/x.py", "1")]);
    wheel.archive.entries[0].size = limits::UNZIPPED_BYTES - 1;
    assert!(!check(Profile::Lean, &[wheel.clone()]).contains("TooLarge"));
    wheel.archive.entries[0].size = limits::UNZIPPED_BYTES;
    assert!(check(Profile::Lean, &[wheel]).contains("TooLarge { unzipped: 262144000, limit: 262144000"));
}
