//! Patterns over the words of a message by their place: `[ip, ..., status = 4*, bytes > 1000]`.

use serde_json::Value;

use super::{
    BadPattern,
    expression::{Expression, Parser, Selector},
};

/// One column for each word, and perhaps `...` for any number of them.
pub(crate) struct Columns {
    before: Vec<Column>,
    /// The columns behind `...`, when there is one.
    behind: Option<Vec<Column>>,
}

/// A name, or conditions on one.
struct Column {
    condition: Option<Expression>,
}

impl Columns {
    /// Reads what stands between the brackets.
    pub(super) fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut columns = Self { before: Vec::new(), behind: None };
        for element in elements(text)? {
            match (element.trim(), &mut columns.behind) {
                ("", _) => return Err(BadPattern),
                ("...", Some(_)) => return Err(BadPattern),
                ("...", behind) => *behind = Some(Vec::new()),
                (element, Some(behind)) => behind.push(Column::parse(element)?),
                (element, None) => columns.before.push(Column::parse(element)?),
            }
        }
        Ok(columns)
    }

    /// Whether a message has these columns and they fit.
    pub(super) fn matches(&self, message: &str) -> bool {
        let words = words(message);
        let fits = |columns: &[Column], words: &[String]| {
            columns.iter().zip(words).all(|(column, word)| column.fits(word))
        };
        match &self.behind {
            None => words.len() == self.before.len() && fits(&self.before, &words),
            Some(behind) => {
                words.len() >= self.before.len() + behind.len()
                    && fits(&self.before, &words)
                    && fits(behind, &words[words.len() - behind.len()..])
            }
        }
    }
}

impl Column {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        let is_name = text.chars().all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-');
        if is_name {
            return Ok(Self { condition: None });
        }
        let condition = Parser::whole(text)?;
        // A column's conditions are on that column.
        let mut names = condition.names();
        names.dedup();
        if names.len() == 1 { Ok(Self { condition: Some(condition) }) } else { Err(BadPattern) }
    }

    fn fits(&self, word: &str) -> bool {
        let Some(condition) = &self.condition else { return true };
        // A word that reads as a number is one.
        let value = serde_json::from_str::<serde_json::Number>(word)
            .map_or_else(|_| Value::String(word.to_owned()), Value::Number);
        condition.holds(&|selector| match selector {
            Selector::Name(_) => vec![value.clone()],
            Selector::Path(_) => Vec::new(),
        })
    }
}

/// What commas part, but for those in quotes, expressions and parentheses.
fn elements(text: &str) -> Result<Vec<&str>, BadPattern> {
    let mut found = Vec::new();
    let (mut begin, mut quote, mut depth) = (0, None, 0_usize);
    for (at, letter) in text.char_indices() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '%', None) => quote = Some(letter),
            ('(', None) => depth += 1,
            (')', None) => depth = depth.checked_sub(1).ok_or(BadPattern)?,
            (',', None) if depth == 0 => {
                found.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if quote.is_some() || depth > 0 {
        return Err(BadPattern);
    }
    found.push(&text[begin..]);
    Ok(found)
}

/// Words between spaces; what stands in quotes or brackets is one word.
fn words(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        let (word, behind) = close
            .and_then(|close| rest[1..].split_once(close))
            .unwrap_or_else(|| rest.split_once(char::is_whitespace).unwrap_or((rest, "")));
        found.push(word.to_owned());
        rest = behind.trim_start();
    }
    found
}
