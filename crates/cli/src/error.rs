//! Errors as the command line shows them: what happened, why, what to do next, and the exit code.

use std::{error::Error, process::ExitCode};

use layercake_core::Hint;

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The user: exit code 1.
    User,
    /// The user, in how the command was written: exit code 2.
    Usage,
    /// We: exit code 3.
    Bug,
    /// Nobody: it was interrupted. Exit code 130, as shells have it for Ctrl-C.
    Interrupted,
}

/// An error on its way to the terminal.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Who can mend it.
    pub(crate) kind: Kind,
    /// What happened, with its causes.
    pub(crate) error: Box<dyn Error + Send + Sync>,
    /// What to do next.
    pub(crate) hints: Vec<String>,
}

impl CommandError {
    /// A message of the command line's own.
    pub(crate) fn new(kind: Kind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, error: message.into().into(), hints: vec![hint.into()] }
    }

    /// Adds a next step.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code of HOUSE_RULES: 1 the user can fix it, 2 bad usage, 3 our bug.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::User => 1,
            Kind::Usage => 2,
            Kind::Bug => 3,
            Kind::Interrupted => 130,
        })
    }

    /// The message with all causes, one a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("error: {}", self.error)];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            lines.push(format!("  cause: {error}"));
            cause = error.source();
        }
        lines.extend(self.hints.iter().map(|hint| format!("  hint: {hint}")));
        if self.kind == Kind::Bug {
            lines.push(
                "  this is a mistake in layercake: please report it with the command and its output"
                    .to_owned(),
            );
        }
        lines
    }
}

/// Every library error that has a hint becomes a command error with it.
impl<E: Error + Hint + Send + Sync + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        let kind = if error.is_bug() { Kind::Bug } else { Kind::User };
        let hints = error.hint().into_iter().collect();
        Self { kind, error: Box::new(error), hints }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_cause_and_next_step() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open `x`")]
        struct Outer(#[source] std::io::Error);
        impl Hint for Outer {
            fn hint(&self) -> Option<String> {
                Some("make it readable".to_owned())
            }
        }
        let error = CommandError::from(Outer(std::io::Error::other("no such file")));
        insta::assert_snapshot!(error.lines().join("\n"), @r"
        error: cannot open `x`
          cause: no such file
          hint: make it readable
        ");
    }
}
