//! The plan of a layer: every file of every wheel, kept or left out, and why.
//!
//! Owns all pruning rules (in `rules`). The plan is one value; writing the zip, `--dry-run` and the
//! report read it and decide nothing of their own.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Hint, limits,
    target::Target,
    wheel::WheelContents,
    zip::{EntryKind, FileMode, zip_len},
};
use rules::{Rules, tests_to_keep};

/// How much of the wheels a layer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Everything an installer would put into `site-packages`.
    Faithful,
    /// Without what a function never reads: tests, sources, stale bytecode.
    #[default]
    Lean,
}

/// Why a file of a wheel is not in the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// `__pycache__`, and `.pyc` beside its `.py`: made for another path or time, so Python would not
    /// use it.
    Bytecode,
    /// In a folder of tests, and nothing outside of tests imports it.
    Tests,
    /// C, C++, Fortran and Cython sources, headers and static libraries that no code names.
    Sources,
    /// Type stubs that no code names: only type checkers read them.
    TypeStubs,
    /// A command that the installer would have to write an interpreter into; Lambda calls none.
    Command,
    /// The same file is already there from another wheel.
    SameFile,
    /// Another wheel has a different file of this name, and that one is kept.
    Replaced,
}

impl Reason {
    /// In a sentence, for the terminal.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Bytecode => "stale bytecode",
            Self::Tests => "tests that nothing imports",
            Self::Sources => "sources and headers",
            Self::TypeStubs => "type stubs",
            Self::Command => "commands, which Lambda never calls",
            Self::SameFile => "files two wheels share",
            Self::Replaced => "files another wheel replaces",
        }
    }
}

/// One file of the layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Path in the layer's zip, below `/opt`.
    pub path: String,
    /// Which wheel it comes from, as an index into [`LayerPlan::wheels`].
    pub wheel: usize,
    /// Which entry of that wheel's archive.
    pub entry: usize,
    /// Its mode in the layer.
    pub mode: FileMode,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Size in the zip in bytes.
    pub packed_size: u64,
}

/// One file that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcludedFile {
    /// Path it would have had in the layer.
    pub path: String,
    /// Which wheel it comes from.
    pub wheel: usize,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Why.
    pub reason: Reason,
}

/// Something about the plan that the user should know before the upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Lambda will refuse the layer: it must be smaller than the limit.
    TooLarge {
        /// Unpacked size of the layer in bytes.
        unzipped: u64,
        /// The limit in bytes.
        limit: u64,
        /// The heaviest packages with their unpacked bytes, heaviest first.
        heaviest: Vec<(String, u64)>,
    },
    /// Two wheels have different files of one name.
    Conflict {
        /// The path in the layer.
        path: String,
        /// The package whose file is kept.
        kept: String,
        /// The package whose file is not.
        dropped: String,
    },
}

/// A package in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWheel {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Files kept.
    pub files: u64,
    /// Unpacked bytes kept.
    pub unzipped: u64,
}

/// Every file of a layer, decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// What it is for.
    pub target: Target,
    /// How much was to be kept.
    pub profile: Profile,
    /// The packages, in the order of the resolution.
    pub wheels: Vec<PlannedWheel>,
    /// What goes in, sorted by path.
    pub files: Vec<PlannedFile>,
    /// What stays out, sorted by path.
    pub excluded: Vec<ExcludedFile>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// Files and bytes that share a fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many files.
    pub files: u64,
    /// Their unpacked size in bytes.
    pub bytes: u64,
}

/// Why there can be no plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// One wheel has a file where another has a folder.
    #[error("`{path}` is a file in `{one}` and a folder in `{other}`: the two cannot be in one layer")]
    FileAndFolder {
        /// The path.
        path: String,
        /// The wheel with the file.
        one: String,
        /// The wheel with the folder.
        other: String,
    },
}

impl Hint for PlanError {
    fn hint(&self) -> Option<String> {
        Some("put the two packages into two layers, or leave one of them out".to_owned())
    }
}

impl LayerPlan {
    /// Decides about every file of these wheels.
    ///
    /// # Errors
    /// [`PlanError`] when the wheels contradict each other.
    pub fn new(target: Target, wheels: &[WheelContents], profile: Profile) -> Result<Self, PlanError> {
        Self::for_app(target, wheels, profile, &BTreeSet::new())
    }

    /// As [`Self::new`], and keeps the test modules that an app imports: `imported` is what
    /// [`crate::imports::test_modules_imported`] finds in its sources.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_app(
        target: Target,
        wheels: &[WheelContents],
        profile: Profile,
        imported: &BTreeSet<String>,
    ) -> Result<Self, PlanError> {
        let kept_tests = match profile {
            Profile::Faithful => BTreeSet::new(),
            Profile::Lean => tests_to_keep(wheels, imported),
        };
        let mut files: BTreeMap<String, PlannedFile> = BTreeMap::new();
        let mut excluded = Vec::new();
        let mut findings = Vec::new();
        for (index, wheel) in wheels.iter().enumerate() {
            let rules = Rules::new(wheel, profile, &kept_tests);
            for (entry_index, entry) in wheel.archive.entries.iter().enumerate() {
                if entry.kind != EntryKind::File {
                    continue;
                }
                let (path, verdict) = rules.judge(&entry.path);
                let mut exclude = |path: &str, wheel, size, reason| {
                    excluded.push(ExcludedFile { path: path.to_owned(), wheel, size, reason });
                };
                if let Some(reason) = verdict {
                    exclude(&path, index, entry.size, reason);
                    continue;
                }
                if let Some(earlier) = files.get(&path) {
                    let other = &wheels[earlier.wheel];
                    if other.archive.entries[earlier.entry].crc32 == entry.crc32 && earlier.size == entry.size
                    {
                        exclude(&path, index, entry.size, Reason::SameFile);
                        continue;
                    }
                    exclude(&path, earlier.wheel, earlier.size, Reason::Replaced);
                    findings.push(Finding::Conflict {
                        path: path.clone(),
                        kept: wheel.name.clone(),
                        dropped: other.name.clone(),
                    });
                }
                let planned = PlannedFile {
                    path: path.clone(),
                    wheel: index,
                    entry: entry_index,
                    mode: FileMode::from_permissions(entry.permissions),
                    size: entry.size,
                    packed_size: entry.data.len() as u64,
                };
                files.insert(path, planned);
            }
        }
        refuse_file_and_folder(&files, wheels)?;
        excluded.sort_by(|a, b| a.path.cmp(&b.path).then(a.wheel.cmp(&b.wheel)));
        let mut plan = Self {
            target,
            profile,
            wheels: tally_wheels(wheels, &files),
            files: files.into_values().collect(),
            excluded,
            findings,
        };
        if let Some(finding) = plan.too_large() {
            plan.findings.push(finding);
        }
        Ok(plan)
    }

    /// Unpacked size of the layer in bytes, as Lambda counts it: the sum of its files.
    pub fn unzipped_size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Size of the layer's zip in bytes, known before it is written.
    pub fn zip_size(&self) -> u64 {
        zip_len(self.files.iter().map(|file| (file.path.len(), file.packed_size)))
    }

    /// What stays out, by reason.
    pub fn excluded_by_reason(&self) -> BTreeMap<Reason, Tally> {
        let mut tallies: BTreeMap<Reason, Tally> = BTreeMap::new();
        for file in &self.excluded {
            let tally = tallies.entry(file.reason).or_default();
            tally.files += 1;
            tally.bytes += file.size;
        }
        tallies
    }

    fn too_large(&self) -> Option<Finding> {
        let unzipped = self.unzipped_size();
        if unzipped < limits::UNZIPPED_BYTES {
            return None;
        }
        let mut heaviest: Vec<_> =
            self.wheels.iter().map(|wheel| (wheel.name.clone(), wheel.unzipped)).collect();
        heaviest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        heaviest.truncate(5);
        Some(Finding::TooLarge { unzipped, limit: limits::UNZIPPED_BYTES, heaviest })
    }
}

fn refuse_file_and_folder(
    files: &BTreeMap<String, PlannedFile>,
    wheels: &[WheelContents],
) -> Result<(), PlanError> {
    for file in files.values() {
        let mut below = file.path.as_str();
        while let Some((folder, _)) = below.rsplit_once('/') {
            if let Some(blocking) = files.get(folder) {
                return Err(PlanError::FileAndFolder {
                    path: folder.to_owned(),
                    one: wheels[blocking.wheel].name.clone(),
                    other: wheels[file.wheel].name.clone(),
                });
            }
            below = folder;
        }
    }
    Ok(())
}

fn tally_wheels(wheels: &[WheelContents], files: &BTreeMap<String, PlannedFile>) -> Vec<PlannedWheel> {
    let mut planned: Vec<PlannedWheel> = wheels
        .iter()
        .map(|wheel| PlannedWheel {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
            files: 0,
            unzipped: 0,
        })
        .collect();
    for file in files.values() {
        planned[file.wheel].files += 1;
        planned[file.wheel].unzipped += file.size;
    }
    planned
}

#[cfg(test)]
mod tests {
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
        let plan = match LayerPlan::for_app(target, wheels, profile, &imported) {
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
        let wheels = [wheel(
            "a",
            &[("a/tests/__init__.py", ""), ("a/tests/helper.py", ""), ("a/tests/test_x.py", "")],
        )];
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
}
