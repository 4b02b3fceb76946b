//! Which program an environment starts, and what is said when it cannot be started.
//!
//! Owns the search for `bootstrap`, the wrapper script, and the texts of `Runtime.InvalidEntrypoint`.
//! Starts nothing itself.

use std::io;

use camino::Utf8Path;
use layercake_core::target::Runtime;
use nix::errno::Errno;

use super::{EnvironmentSpec, FunctionRuntime};

/// The variable that names a program to start in place of the interpreter.
const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// What AWS's own start script does with the wrapper, texts and codes (FACTS.md §5): it is looked
/// at inside the environment, where its path means something, and replaces the shell.
const WRAPPER_SCRIPT: &str = r#"
wrapper="$1"
shift
if [ ! -f "$wrapper" ]; then
    echo "$wrapper: does not exist"
    exit 127
fi
if [ ! -x "$wrapper" ]; then
    echo "$wrapper: is not an executable"
    exit 126
fi
exec "$wrapper" "$@"
"#;

/// What a cell starts, as far as a failure to start it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entrypoint {
    /// A program of this machine. That it cannot be started is no fault of the function.
    Ours,
    /// A program that the function, a layer or an image brings, as seen inside.
    Theirs {
        /// Its path.
        program: String,
    },
    /// There is none.
    Missing,
}

impl Entrypoint {
    /// AWS's words for a program that cannot be executed, when that is the function's affair.
    ///
    /// Seen on AWS: `Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]`, and
    /// `fork/exec /var/task/bootstrap: permission denied`, the latter made by Go from the error's
    /// number.
    pub(super) fn fault(&self, source: &io::Error) -> Option<String> {
        match self {
            Self::Ours => None,
            Self::Missing => {
                Some("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".into())
            }
            Self::Theirs { program } => Some(format!("fork/exec {program}: {}", reason(source))),
        }
    }
}

/// Go has the C library's words in small letters.
fn reason(source: &io::Error) -> String {
    match source.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => source.to_string(),
    }
}

/// The function's `bootstrap`: in its code, or else in a layer; the paths are those of this
/// machine. The program to start in the first place comes with it, as it is called inside.
pub(super) fn bootstrap(spec: &EnvironmentSpec) -> (&'static str, Entrypoint) {
    let is_there = |folder: &Utf8Path| folder.join("bootstrap").is_file();
    let inside = if is_there(&spec.task) {
        "/var/task/bootstrap"
    } else if spec.opt.as_deref().is_some_and(is_there) {
        "/opt/bootstrap"
    } else {
        // Nothing is there to be executed, and so its execution fails.
        return ("/var/task/bootstrap", Entrypoint::Missing);
    };
    (inside, Entrypoint::Theirs { program: inside.to_owned() })
}

/// How an image starts its Python: as it says itself, with the handler as the command. AWS's images
/// say `/lambda-entrypoint.sh`, which heeds a wrapper too.
#[cfg(target_os = "linux")]
pub(super) fn of_image(spec: &EnvironmentSpec, entrypoint: &[String]) -> (String, Vec<String>, Entrypoint) {
    let (program, first) = match entrypoint {
        [program, first @ ..] => (program.clone(), first.to_vec()),
        [] => ("/var/runtime/bootstrap".to_owned(), Vec::new()),
    };
    let arguments = first.into_iter().chain([spec.handler.clone()]).collect();
    (program.clone(), arguments, Entrypoint::Theirs { program })
}

/// The wrapper of a function, where its runtime heeds one: Python 3.8 and later
/// (runtimes-modify.md of the Developer Guide).
pub(super) fn wrapper(spec: &EnvironmentSpec) -> Option<&str> {
    const FIRST_MINOR: u8 = 8;
    let heeds = |python: &Runtime| python.minor() >= FIRST_MINOR;
    match &spec.runtime {
        FunctionRuntime::Python(python) if heeds(python) => {
            spec.variables.get(WRAPPER).map(String::as_str).filter(|path| !path.is_empty())
        }
        FunctionRuntime::Python(_) | FunctionRuntime::Provided(_) => None,
    }
}

/// A command line with a wrapper put before it.
pub(super) fn wrapped(wrapper: &str, program: String, arguments: Vec<String>) -> (String, Vec<String>) {
    let script = ["-c", WRAPPER_SCRIPT, "bootstrap", wrapper].map(str::to_owned);
    ("/bin/sh".into(), script.into_iter().chain([program]).chain(arguments).collect())
}

/// Where a path of the environment lies on this machine, for a process that has no root of its own.
pub(super) fn on_this_machine(spec: &EnvironmentSpec, inside: &str) -> String {
    let below = |root: &str, folder: &Utf8Path| {
        let rest = inside.strip_prefix(root)?.strip_prefix('/')?;
        Some(folder.join(rest).into_string())
    };
    below("/var/task", &spec.task)
        .or_else(|| below("/opt", spec.opt.as_deref()?))
        .unwrap_or_else(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_aws_s_words() {
        let theirs = Entrypoint::Theirs { program: "/var/task/bootstrap".into() };
        let said = |entrypoint: &Entrypoint, number: Errno| {
            entrypoint.fault(&io::Error::from_raw_os_error(number as i32)).unwrap_or_default()
        };
        insta::assert_snapshot!(said(&theirs, Errno::EACCES), @"fork/exec /var/task/bootstrap: permission denied");
        insta::assert_snapshot!(said(&theirs, Errno::ENOEXEC), @"fork/exec /var/task/bootstrap: exec format error");
        insta::assert_snapshot!(said(&theirs, Errno::ENOENT), @"fork/exec /var/task/bootstrap: no such file or directory");
        insta::assert_snapshot!(said(&Entrypoint::Missing, Errno::ENOENT), @"Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]");
        assert_eq!(said(&Entrypoint::Ours, Errno::ENOENT), "");
    }
}
