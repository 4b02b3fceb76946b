//! Which test modules a package's own code imports.
//!
//! Test folders weigh a quarter of a scientific layer, but some packages reach into them at run
//! time: `numpy.testing` 2.2.6 imports `numpy._core.tests._natype`, and scipy and scikit-learn
//! import `numpy.testing` (MEASURED.md §7). So what non-test code imports is kept.
//!
//! Reads Python as text, line by line; never runs it.

use std::collections::BTreeSet;

/// Whether a path lies in a folder of tests.
pub fn is_in_tests(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|part| part == "tests")
}

/// The dotted names of modules in `tests` packages that this source imports.
///
/// `path` is where the source lies below `site-packages`; relative imports are resolved with it.
/// A name may turn out to be something inside a module rather than a module: the planner keeps
/// the longest prefix of it that is a file.
pub fn test_modules_imported(path: &str, source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if !source.contains("tests") && !is_in_tests(path) {
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
    fn a_test_folder_is_one_by_its_name() {
        assert!(is_in_tests("pandas/tests/x/y.py"));
        assert!(!is_in_tests("pandas/tests"));
        assert!(!is_in_tests("numpy/testing/tests.py"));
    }
}
