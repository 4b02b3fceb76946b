//! Patterns of words.

use regex_lite::Regex;

use super::BadPattern;

/// Words that must all be there, of which one must be there, and that must not.
#[derive(Default)]
pub(crate) struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

enum Term {
    Text(String),
    Expression(Regex),
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Expression(expression) => expression.is_match(message),
        }
    }
}

impl Terms {
    /// Reads words, `"quoted words"` and `%expressions%`, each perhaps with `?` or `-` before it.
    pub(super) fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut terms = Self::default();
        let mut rest = text.trim();
        while let Some(first) = rest.chars().next() {
            let list = match first {
                '-' => &mut terms.none,
                '?' => &mut terms.any,
                _ => &mut terms.all,
            };
            rest = rest.strip_prefix(['-', '?']).unwrap_or(rest);
            let behind;
            let term = if let Some(quoted) = rest.strip_prefix('"') {
                let (word, after) = quoted.split_once('"').ok_or(BadPattern)?;
                behind = after;
                Term::Text(word.to_owned())
            } else if let Some(expression) = rest.strip_prefix('%') {
                let (expression, after) = expression.split_once('%').ok_or(BadPattern)?;
                behind = after;
                Term::Expression(Regex::new(expression).map_err(|_| BadPattern)?)
            } else {
                let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                behind = after;
                Term::Text(word.to_owned())
            };
            list.push(term);
            rest = behind.trim_start();
        }
        Ok(terms)
    }

    /// Whether a message fits.
    pub(super) fn matches(&self, message: &str) -> bool {
        let is_in = |term: &Term| term.is_in(message);
        // `?` counts only among its own.
        let any_counts = self.all.is_empty() && self.none.is_empty() && !self.any.is_empty();
        self.all.iter().all(is_in)
            && !self.none.iter().any(is_in)
            && (!any_counts || self.any.iter().any(is_in))
    }
}
