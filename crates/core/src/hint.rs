//! The next step, kept beside an error and printed under it.

/// An error that knows what the user can do about it.
///
/// The message of an error says what went wrong and why; the hint says what to do next. Only the
/// command line prints either.
pub trait Hint {
    /// One sentence a user can act on, or nothing when there is no honest advice.
    fn hint(&self) -> Option<String>;

    /// Whether the mistake is layercake's own, so that nothing the user does would mend it.
    fn is_bug(&self) -> bool {
        false
    }
}
