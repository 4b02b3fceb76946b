//! Conditions, joined with `&&`, `||` and parentheses, on whatever a selector finds.

use regex_lite::Regex;
use serde_json::Value;

use super::BadPattern;

/// A condition or several.
pub(crate) enum Expression {
    /// One of them holds.
    Any(Vec<Expression>),
    /// All of them hold.
    All(Vec<Expression>),
    /// What the selector finds compares so.
    Compare(Selector, Comparison, Operand),
    /// It is there, or not.
    Exists(Selector, bool),
    /// It is this constant.
    Is(Selector, Value),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a value is compared with.
pub(crate) enum Operand {
    Number(f64),
    /// A text in which `*` stands for any letters.
    Text(String),
    Expression(Regex),
}

/// Where a value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// `$.a.b[0]`.
    Path(Vec<Step>),
    /// A column's name.
    Name(String),
}

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Member(String),
    Item(usize),
    Every,
}

impl Selector {
    /// What it finds in a JSON value.
    pub(super) fn of(&self, value: &Value) -> Vec<Value> {
        let Self::Path(steps) = self else { return Vec::new() };
        let mut found = vec![value];
        for step in steps {
            found = found
                .into_iter()
                .flat_map(|value| match (step, value) {
                    (Step::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
                    (Step::Item(place), Value::Array(items)) => items.get(*place).into_iter().collect(),
                    (Step::Every, Value::Array(items)) => items.iter().collect(),
                    (Step::Every, Value::Object(members)) => members.values().collect::<Vec<_>>(),
                    _ => Vec::new(),
                })
                .collect();
        }
        found.into_iter().cloned().collect()
    }
}

impl Expression {
    /// Whether it holds for the values that `find` finds.
    pub(super) fn holds(&self, find: &dyn Fn(&Selector) -> Vec<Value>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(find)),
            Self::All(parts) => parts.iter().all(|part| part.holds(find)),
            Self::Exists(selector, wanted) => find(selector).is_empty() != *wanted,
            Self::Is(selector, constant) => find(selector).contains(constant),
            Self::Compare(selector, comparison, operand) => {
                find(selector).iter().any(|value| compares(value, *comparison, operand))
            }
        }
    }

    /// The names of columns in it.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::names).collect(),
            Self::Compare(Selector::Name(name), ..)
            | Self::Exists(Selector::Name(name), _)
            | Self::Is(Selector::Name(name), _) => vec![name],
            _ => Vec::new(),
        }
    }
}

fn compares(value: &Value, comparison: Comparison, operand: &Operand) -> bool {
    if let Operand::Number(wanted) = operand {
        let Some(given) = value.as_f64() else {
            return comparison == Comparison::NotEqual && !value.is_null();
        };
        return match comparison {
            Comparison::Equal => given == *wanted,
            Comparison::NotEqual => given != *wanted,
            Comparison::Less => given < *wanted,
            Comparison::LessOrEqual => given <= *wanted,
            Comparison::Greater => given > *wanted,
            Comparison::GreaterOrEqual => given >= *wanted,
        };
    }
    let Some(given) = text_of(value) else { return false };
    let fits = match operand {
        Operand::Text(wanted) => fits_wildcards(&given, wanted),
        Operand::Expression(expression) => expression.is_match(&given),
        Operand::Number(_) => false,
    };
    match comparison {
        Comparison::Equal => fits,
        Comparison::NotEqual => !fits,
        // Texts have no order here.
        _ => false,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether a text is the pattern, in which `*` stands for any letters.
fn fits_wildcards(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // Two stars side by side are one.
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Reads expressions.
pub(super) struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

/// Deeper parentheses than anybody writes.
const DEEPEST: usize = 32;

impl<'a> Parser<'a> {
    /// Reads a text that is one expression.
    pub(super) fn whole(text: &'a str) -> Result<Expression, BadPattern> {
        let mut parser = Self { rest: text, depth: 0 };
        let expression = parser.any()?;
        parser.skip();
        if parser.rest.is_empty() { Ok(expression) } else { Err(BadPattern) }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn took(&mut self, text: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn any(&mut self) -> Result<Expression, BadPattern> {
        let mut parts = vec![self.all()?];
        while self.took("||") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, BadPattern> {
        let mut parts = vec![self.one()?];
        while self.took("&&") {
            parts.push(self.one()?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self) -> Result<Expression, BadPattern> {
        if self.took("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(BadPattern);
            }
            let inside = self.any()?;
            self.depth -= 1;
            return if self.took(")") { Ok(inside) } else { Err(BadPattern) };
        }
        let selector = self.selector()?;
        self.skip();
        for (text, comparison) in [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if self.took(text) {
                return Ok(Expression::Compare(selector, comparison, self.operand()?));
            }
        }
        match (self.word().to_ascii_uppercase().as_str(), self.peeked_word().to_ascii_uppercase().as_str()) {
            ("EXISTS", _) => Ok(Expression::Exists(selector, true)),
            ("NOT", "EXISTS") => {
                self.word();
                Ok(Expression::Exists(selector, false))
            }
            ("IS", constant) => {
                let constant = match constant {
                    "NULL" => Value::Null,
                    "TRUE" => Value::Bool(true),
                    "FALSE" => Value::Bool(false),
                    _ => return Err(BadPattern),
                };
                self.word();
                Ok(Expression::Is(selector, constant))
            }
            _ => Err(BadPattern),
        }
    }

    fn word(&mut self) -> &'a str {
        self.skip();
        let end = self.rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn peeked_word(&self) -> &'a str {
        Parser { rest: self.rest, depth: 0 }.word()
    }

    fn selector(&mut self) -> Result<Selector, BadPattern> {
        self.skip();
        if !self.took("$") {
            let end = self
                .rest
                .find(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '-'))
                .unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            return if name.is_empty() { Err(BadPattern) } else { Ok(Selector::Name(name.to_owned())) };
        }
        let mut steps = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(".[").or_else(|| self.rest.strip_prefix('[')) {
                let (inside, rest) = rest.split_once(']').ok_or(BadPattern)?;
                steps.push(match inside.trim() {
                    "*" => Step::Every,
                    inside => match inside.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                        Some(name) => Step::Member(name.to_owned()),
                        None => Step::Item(inside.parse().map_err(|_| BadPattern)?),
                    },
                });
                self.rest = rest;
            } else if let Some(rest) = self.rest.strip_prefix('.') {
                let end = rest
                    .find(|letter: char| letter.is_whitespace() || ".[=!<>()&|".contains(letter))
                    .unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                steps.push(match name {
                    "" => return Err(BadPattern),
                    "*" => Step::Every,
                    name => Step::Member(name.to_owned()),
                });
                self.rest = rest;
            } else {
                break;
            }
        }
        if steps.is_empty() { Err(BadPattern) } else { Ok(Selector::Path(steps)) }
    }

    fn operand(&mut self) -> Result<Operand, BadPattern> {
        self.skip();
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (text, rest) = rest.split_once('"').ok_or(BadPattern)?;
            self.rest = rest;
            return Ok(Operand::Text(text.to_owned()));
        }
        if let Some(rest) = self.rest.strip_prefix('%') {
            let (expression, rest) = rest.split_once('%').ok_or(BadPattern)?;
            self.rest = rest;
            return Regex::new(expression).map(Operand::Expression).map_err(|_| BadPattern);
        }
        let end = self
            .rest
            .find(|letter: char| letter.is_whitespace() || "()&|,]".contains(letter))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() {
            return Err(BadPattern);
        }
        // Rust also reads `inf` and `nan` as numbers.
        let is_number = word.bytes().any(|byte| byte.is_ascii_digit());
        Ok(match word.parse::<f64>() {
            Ok(number) if is_number => Operand::Number(number),
            _ => Operand::Text(word.to_owned()),
        })
    }
}
