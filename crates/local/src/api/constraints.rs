//! Constraints of the services that have no API model here (IAM, STS, Logs), in the words that
//! AWS has for them: all violations of a request in one message.

use std::ops::RangeInclusive;

use super::validate;

/// Violations, in the order in which they were found.
#[derive(Default)]
pub(super) struct Constraints(Vec<String>);

impl Constraints {
    /// Notes a violation.
    pub(super) fn add(&mut self, name: &str, value: &str, rule: &str) {
        self.0.push(format!("Value '{value}' at '{name}' failed to satisfy constraint: {rule}"));
    }

    /// A member that must be there.
    pub(super) fn present(&mut self, name: &str, is_there: bool) {
        if !is_there {
            self.0.push(format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// A text's length in characters.
    pub(super) fn length(&mut self, name: &str, value: &str, range: RangeInclusive<usize>) {
        let length = value.chars().count();
        if length > *range.end() {
            let rule = format!("Member must have length less than or equal to {}", range.end());
            self.add(name, value, &rule);
        }
        if length < *range.start() {
            let rule = format!("Member must have length greater than or equal to {}", range.start());
            self.add(name, value, &rule);
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, value: i64, range: RangeInclusive<i64>) {
        if value > *range.end() {
            let rule = format!("Member must have value less than or equal to {}", range.end());
            self.add(name, &value.to_string(), &rule);
        }
        if value < *range.start() {
            let rule = format!("Member must have value greater than or equal to {}", range.start());
            self.add(name, &value.to_string(), &rule);
        }
    }

    /// A text that must look a certain way; `pattern` is the API model's.
    pub(super) fn pattern(&mut self, name: &str, value: &str, fits: bool, pattern: &str) {
        if !fits {
            self.add(name, value, &format!("Member must satisfy regular expression pattern: {pattern}"));
        }
    }

    /// The message, when something is wrong.
    pub(super) fn message(self) -> Option<String> {
        if self.0.is_empty() { None } else { Some(validate::message(&self.0)) }
    }
}

/// `RoleName` is `roleName` in messages.
pub(super) fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    format!("{first}{}", letters.as_str())
}
