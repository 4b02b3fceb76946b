//! The user's app: which handler Lambda is to call.
//!
//! Reads Python as text and never runs it. What cannot be told from the text is left to Lambda.

use crate::{Hint, aws::Handler};

/// A Python file at the top of the app, as text.
#[derive(Clone, Copy, Debug)]
pub struct SourceFile<'a> {
    /// Path below the app's root.
    pub path: &'a str,
    /// The source.
    pub text: &'a str,
}

/// Why there is no handler.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HandlerError {
    /// The app has no Python file at all.
    #[error("the app has no Python file")]
    NoPython,
    /// No top-level function with a handler's name.
    #[error("no handler found: none of {files} defines `lambda_handler` or `handler`")]
    NoHandler {
        /// The files that were looked through.
        files: String,
    },
    /// More than one file has one, and none goes by a usual name.
    #[error("more than one handler found: {candidates}")]
    Ambiguous {
        /// The handlers.
        candidates: String,
    },
    /// The handler's module is not in the app.
    #[error("handler `{handler}` needs `{file}`, and the app has no such file")]
    NoModule {
        /// The handler asked for.
        handler: Handler,
        /// The file it would be in.
        file: String,
    },
}

impl Hint for HandlerError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPython => "give the folder that holds the function's code, or one .py file".to_owned(),
            Self::NoHandler { .. } => {
                "write `def lambda_handler(event, context):`, or name another function with --handler module.function"
                    .to_owned()
            }
            Self::Ambiguous { .. } => "choose one with --handler module.function".to_owned(),
            Self::NoModule { .. } => "the part before the last dot is the file, without .py".to_owned(),
        })
    }
}

/// Function names that are taken for handlers, best first.
const FUNCTIONS: [&str; 2] = ["lambda_handler", "handler"];

/// Modules that are looked at first: the names that AWS's consoles, templates and guides use.
const MODULES: [&str; 5] = ["app", "lambda_function", "handler", "main", "index"];

/// Finds the handler among the top-level Python files of an app.
///
/// # Errors
/// [`HandlerError`] when there is none or no way to choose.
pub fn find_handler(files: &[SourceFile<'_>]) -> Result<Handler, HandlerError> {
    let top: Vec<_> =
        files.iter().filter_map(|file| module_of(file.path).map(|module| (module, file.text))).collect();
    if top.is_empty() {
        return Err(HandlerError::NoPython);
    }
    let mut candidates = Vec::new();
    for function in FUNCTIONS {
        let found = top.iter().filter(|(_, text)| defines(text, function));
        candidates.extend(found.map(|(module, _)| (*module, function)));
        if !candidates.is_empty() {
            break;
        }
    }
    let usual = MODULES.iter().find_map(|usual| candidates.iter().find(|(module, _)| module == usual));
    match (usual, &candidates[..]) {
        (Some((module, function)), _) | (None, [(module, function)]) => format!("{module}.{function}")
            .parse()
            .map_err(|_| HandlerError::NoHandler { files: format!("{module}.py") }),
        (None, []) => {
            let files: Vec<_> = top.iter().map(|(module, _)| format!("{module}.py")).collect();
            Err(HandlerError::NoHandler { files: files.join(", ") })
        }
        (None, _) => {
            let names: Vec<_> =
                candidates.iter().map(|(module, function)| format!("{module}.{function}")).collect();
            Err(HandlerError::Ambiguous { candidates: names.join(", ") })
        }
    }
}

/// Checks that the module of a handler the user named is there.
///
/// The function is not looked for: it may come from an import or be made at run time.
///
/// # Errors
/// [`HandlerError::NoModule`].
pub fn check_handler<'a>(
    handler: &Handler,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<(), HandlerError> {
    let (module, _) = handler.as_str().rsplit_once('.').unwrap_or((handler.as_str(), ""));
    // Lambda takes slashes as dots, as in `folder/app.handler`.
    let stem = module.replace('.', "/");
    let (file, package) = (format!("{stem}.py"), format!("{stem}/__init__.py"));
    if paths.into_iter().any(|path| path == file || path == package) {
        Ok(())
    } else {
        Err(HandlerError::NoModule { handler: handler.clone(), file })
    }
}

fn module_of(path: &str) -> Option<&str> {
    // Lambda imports by text, so a module need not have a name that a statement could import.
    path.strip_suffix(".py").filter(|module| !module.is_empty() && !module.contains(['.', '/']))
}

/// Whether a name is bound at the top level of a module: by `def`, `async def`, assignment or
/// import.
fn defines(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_end();
        let after_def = line.strip_prefix("async ").unwrap_or(line).strip_prefix("def ");
        if let Some(rest) = after_def {
            return rest
                .trim_start()
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('('));
        }
        if let Some((_, names)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) {
            return names.split(',').any(|clause| clause.split_whitespace().last() == Some(name));
        }
        line.strip_prefix(name).is_some_and(|rest| {
            let rest = rest.trim_start();
            (rest.starts_with('=') && !rest.starts_with("==")) || rest.starts_with(':')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> String {
        let files: Vec<_> = files.iter().map(|(path, text)| SourceFile { path, text }).collect();
        match find_handler(&files) {
            Ok(handler) => handler.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn usual_handlers_are_found() {
        assert_eq!(check(&[("app.py", "def lambda_handler(event, context):\n  pass")]), "app.lambda_handler");
        assert_eq!(check(&[("my-app.py", "def lambda_handler(e, c): 0")]), "my-app.lambda_handler");
        assert_eq!(
            check(&[("2020.py", "def handler(e, c): 0"), ("a.b.py", "def handler(e, c): 0")]),
            "2020.handler"
        );
        assert_eq!(check(&[("x.py", "async def handler(e, c): ...")]), "x.handler");
        assert_eq!(check(&[("x.py", "lambda_handler = make()"), ("y.py", "")]), "x.lambda_handler");
        assert_eq!(check(&[("x.py", "from y import lambda_handler"), ("y.py", "")]), "x.lambda_handler");
        assert_eq!(
            check(&[("a.py", "def lambda_handler(a, b): 0"), ("app.py", "def lambda_handler(a, b): 0")]),
            "app.lambda_handler"
        );
    }

    #[test]
    fn what_is_not_one_is_told() {
        insta::assert_snapshot!(check(&[]), @"error: the app has no Python file");
        insta::assert_snapshot!(
            check(&[("app.py", "class A:\n    def lambda_handler(self): 0\nhandlers = 1\nhandler == 2")]),
            @"error: no handler found: none of app.py defines `lambda_handler` or `handler`"
        );
        insta::assert_snapshot!(
            check(&[("a.py", "def handler(a, b): 0"), ("b.py", "def handler(a, b): 0")]),
            @"error: more than one handler found: a.handler, b.handler"
        );
    }

    #[test]
    fn a_named_handler_needs_its_module() {
        let handler: Handler = "pkg.mod.run".parse().expect("a handler");
        assert_eq!(check_handler(&handler, ["pkg/mod.py"]), Ok(()));
        assert_eq!(check_handler(&handler, ["pkg/mod/__init__.py"]), Ok(()));
        let error = check_handler(&handler, ["app.py"]).expect_err("no such module");
        insta::assert_snapshot!(error, @"handler `pkg.mod.run` needs `pkg/mod.py`, and the app has no such file");
    }
}
