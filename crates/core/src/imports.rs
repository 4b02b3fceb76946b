//! Which folders hold tests, and which test modules a package's own code imports.
//!
//! Test folders weigh a quarter of a scientific layer, but some packages reach into them at run
//! time: `numpy.testing` 2.2.6 imports `numpy._core.tests._natype`, and scipy and scikit-learn
//! import `numpy.testing` (MEASURED.md §7). So what non-test code imports is kept.
//!
//! Reads Python as text, line by line; never runs it.

use std::collections::BTreeSet;

/// The folders of a wheel that hold tests.
///
/// A folder named `tests` is one when it, or a folder below it, has a Python file with a name that
/// test runners look for, or is a package. Others hold what the name means elsewhere: dbt keeps
/// SQL that it runs in `macros/materializations/tests`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestFolders<'a>(BTreeSet<&'a str>);

impl<'a> TestFolders<'a> {
    /// Finds them among the paths of all files of a wheel.
    pub fn among(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut folders = BTreeSet::new();
        for path in paths {
            if is_test_file(path) {
                folders.extend(
                    folders_around(path)
                        .filter(|folder| folder.rsplit('/').next().is_some_and(|name| name == "tests")),
                );
            }
        }
        Self(folders)
    }

    /// Whether a file lies in one of them.
    pub fn hold(&self, path: &str) -> bool {
        folders_around(path).any(|folder| self.0.contains(folder))
    }
}

fn is_test_file(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".py").is_some_and(|stem| {
        stem.starts_with("test_") || stem.ends_with("_test") || stem == "conftest" || stem == "__init__"
    })
}

/// `a/b`, `a` for `a/b/c.py`.
fn folders_around(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/').map(|(folder, _)| folder), |folder| {
        folder.rsplit_once('/').map(|(folder, _)| folder)
    })
}

/// Whether a folder around this file is named `tests`.
fn is_below_tests(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|part| part == "tests")
}

/// The dotted names of modules in `tests` packages that this source imports.
///
/// `path` is where the source lies below `site-packages`; relative imports are resolved with it.
/// A name may turn out to be something inside a module rather than a module: the planner keeps
/// the longest prefix of it that is a file.
pub fn test_modules_imported(path: &str, source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if !source.contains("tests") && !is_below_tests(path) {
        return found;
    }
    for statement in import_statements(source) {
        collect(path, &statement, &mut found);
    }
    found.retain(|module| module.split('.').any(|part| part == "tests"));
    found
}

/// Import statements, each on one line: parentheses and backslashes are joined.
fn import_statements(source: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if !(line.starts_with("from ") || line.starts_with("import ")) {
            continue;
        }
        let mut statement = without_comment(line).to_owned();
        while statement.ends_with('\\') || (statement.contains('(') && !statement.contains(')')) {
            let Some(next) = lines.next() else { break };
            statement.truncate(statement.trim_end_matches('\\').len());
            statement.push(' ');
            statement.push_str(without_comment(next).trim());
            if statement.len() > 100_000 {
                break;
            }
        }
        statements.push(statement);
    }
    statements
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or(line).trim_end()
}

fn collect(path: &str, statement: &str, found: &mut BTreeSet<String>) {
    if let Some(rest) = statement.strip_prefix("import ") {
        for clause in rest.split(',') {
            if let Some(module) = clause.split_whitespace().next() {
                found.insert(module.trim_end_matches(';').to_owned());
            }
        }
        return;
    }
    let Some((module, names)) = statement.strip_prefix("from ").and_then(|rest| rest.split_once(" import "))
    else {
        return;
    };
    let Some(module) = absolute(path, module.trim()) else { return };
    found.insert(module.clone());
    for clause in names.trim_matches(|c: char| "() ;".contains(c)).split(',') {
        if let Some(name) = clause.split_whitespace().next().filter(|&name| name != "*") {
            found.insert(if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") });
        }
    }
}

/// Resolves `..x` against the package that `path` lies in.
fn absolute(path: &str, module: &str) -> Option<String> {
    let dots = module.len() - module.trim_start_matches('.').len();
    if dots == 0 {
        return Some(module.to_owned());
    }
    let mut package: Vec<&str> = path.split('/').collect();
    package.pop();
    for _ in 1..dots {
        package.pop()?;
    }
    let rest = &module[dots..];
    if !rest.is_empty() {
        package.push(rest);
    }
    Some(package.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, source: &str) -> String {
        test_modules_imported(path, source).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn absolute_and_relative_imports_are_found() {
        assert_eq!(
            check("numpy/testing/_private/utils.py", "from numpy._core.tests._natype import pd_NA\n"),
            "numpy._core.tests._natype numpy._core.tests._natype.pd_NA"
        );
        assert_eq!(
            check("a/b/c.py", "    from ..tests import helper as h, other\n"),
            "a.tests a.tests.helper a.tests.other"
        );
        assert_eq!(check("a/b.py", "from . import tests\n"), "a.tests");
        assert_eq!(check("a/b.py", "import a.tests.x as y, os\n"), "a.tests.x");
        assert_eq!(
            check("a/b.py", "from a.tests import (  # why\n    x,\n    y,\n)\n"),
            "a.tests a.tests.x a.tests.y"
        );
        assert_eq!(check("a/b.py", "from a.tests \\\n    import x\n"), "a.tests a.tests.x");
    }

    #[test]
    fn other_imports_are_not() {
        assert_eq!(
            check("a/b.py", "import os  # tests\nfrom x import contests\n# from a.tests import b\n"),
            ""
        );
        assert_eq!(check("b.py", "from ... import tests\n"), "");
    }

    #[test]
    fn a_test_folder_is_one_by_its_name_and_its_files() {
        let hold = |file: &'static str, path: &str| TestFolders::among([file]).hold(path);
        for file in ["a/tests/test_x.py", "a/tests/x_test.py", "a/tests/conftest.py", "a/tests/b/__init__.py"]
        {
            assert!(hold(file, "a/tests/b/y.csv"), "{file}");
        }
        for file in
            ["a/tests/x.sql", "a/tests/latest.py", "a/test_x.py", "a/testing/tests.py", "a/tests/test_x.so"]
        {
            assert!(!hold(file, "a/tests/x.sql"), "{file}");
        }
        assert!(!hold("a/tests/test_x.py", "a/tests"));
        assert!(!hold("a/tests/test_x.py", "b/tests/x.sql"));
        assert!(hold("a/tests/b/tests/c/test_x.py", "a/tests/x.sql"));
    }
}
