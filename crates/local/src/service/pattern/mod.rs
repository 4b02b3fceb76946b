//! CloudWatch Logs' filter patterns: terms, `{ … }` over JSON, and `[ … ]` over columns ("Filter
//! pattern syntax", CloudWatch Logs User Guide).
//!
//! Text in, yes or no out.

mod columns;
mod expression;
mod terms;

use serde_json::Value;

use self::{
    columns::Columns,
    expression::{Expression, Parser},
    terms::Terms,
};

/// A pattern that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPattern;

/// A pattern, ready to be asked.
pub(crate) enum Pattern {
    /// Words.
    Terms(Terms),
    /// Conditions on members of a JSON object.
    Json(Expression),
    /// Conditions on words by their place.
    Columns(Columns),
}

impl Pattern {
    /// Reads a pattern. An empty one fits everything.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.trim();
        if let Some(inside) = text.strip_prefix('{') {
            let inside = inside.strip_suffix('}').ok_or(BadPattern)?;
            let expression = Parser::whole(inside)?;
            // Only columns have names.
            return if expression.names().is_empty() { Ok(Self::Json(expression)) } else { Err(BadPattern) };
        }
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']').ok_or(BadPattern)?;
            return Columns::parse(inside).map(Self::Columns);
        }
        Terms::parse(text).map(Self::Terms)
    }

    /// Whether an event's message fits.
    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms(terms) => terms.matches(message),
            Self::Json(expression) => serde_json::from_str::<Value>(message)
                .is_ok_and(|value| value.is_object() && expression.holds(&|selector| selector.of(&value))),
            Self::Columns(columns) => columns.matches(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages that fit, by their place.
    fn check(pattern: &str, messages: &[&str]) -> String {
        match Pattern::parse(pattern) {
            Err(BadPattern) => "bad pattern".to_owned(),
            Ok(pattern) => {
                let fits = messages.iter().enumerate().filter(|(_, message)| pattern.matches(message));
                fits.map(|(place, _)| place.to_string()).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn terms() {
        let messages = [
            "[ERROR 400] BAD REQUEST",
            "[ERROR 401] UNAUTHORIZED",
            "[ERROR 419] MISSING ARGUMENTS",
            "[WARN] ok",
        ];
        let check = |pattern| check(pattern, &messages);
        assert_eq!(check(""), "0 1 2 3");
        assert_eq!(check("ERROR"), "0 1 2");
        assert_eq!(check("error"), "");
        assert_eq!(check("ERROR ARGUMENTS"), "2");
        assert_eq!(check("?ERROR ?ok"), "0 1 2 3");
        assert_eq!(check("?400 ?WARN"), "0 3");
        assert_eq!(check("ERROR -400"), "1 2");
        assert_eq!(check("-ERROR"), "3");
        assert_eq!(check("\"BAD REQUEST\""), "0");
        assert_eq!(check("-\"ERROR 4\""), "3");
        // With other terms, `?` counts for nothing.
        assert_eq!(check("ERROR ?WARN"), "0 1 2");
        assert_eq!(check("%40[01]%"), "0 1");
        assert_eq!(check("\"open"), "bad pattern");
    }

    #[test]
    fn json() {
        let messages = [
            r#"{"level": "ERROR", "x": 4, "who": {"name": "ann", "tags": ["a", "b"]}, "gone": null}"#,
            r#"{"level": "ERROR", "x": 2.5, "ip": "10.0.1.7", "ok": true}"#,
            r#"{"level": "INFO", "x": "4", "a.b": 1e3}"#,
            "level ERROR",
            "[1, 2]",
        ];
        let check = |pattern| check(pattern, &messages);
        assert_eq!(check(r#"{ $.level = "ERROR" }"#), "0 1");
        assert_eq!(check("{ $.level = ERROR && $.x > 3 }"), "0");
        assert_eq!(check(r#"{ ($.level = "INFO") || ($.x < 3 && $.ok IS TRUE) }"#), "1 2");
        assert_eq!(check(r#"{ $.level != "ERROR" }"#), "2");
        assert_eq!(check(r#"{ $.level = "*RR*" }"#), "0 1");
        assert_eq!(check("{ $.ip = 10.0.* }"), "1");
        assert_eq!(check("{ $.who.name = ann }"), "0");
        assert_eq!(check(r#"{ $.who.tags[1] = "b" }"#), "0");
        assert_eq!(check(r#"{ $.who.tags[*] = "b" }"#), "0");
        assert_eq!(check(r#"{ $.["a.b"] = 1000 }"#), "2");
        assert_eq!(check("{ $.x >= 2.5 && $.x <= 4e0 }"), "0 1");
        assert_eq!(check("{ $.gone IS NULL }"), "0");
        assert_eq!(check("{ $.ok NOT EXISTS }"), "0 2");
        assert_eq!(check("{ $.ok EXISTS }"), "1");
        assert_eq!(check("{ $.level = %^E.*R$% }"), "0 1");
        for bad in [
            "{ $.x }",
            "{ $.x = }",
            "{ x = 1 }",
            "{ $.x = 1",
            "{ $.x = 1 && }",
            "{ ($.x = 1 }",
            "{}",
            "{ $.x ~ 1 }",
        ] {
            assert_eq!(check(bad), "bad pattern", "{bad}");
        }
    }

    #[test]
    fn columns() {
        let messages = [
            r#"127.0.0.1 - ann [10/Oct/2000:13:55:36] "GET /index.html" 200 1534"#,
            r#"127.0.0.2 - bob [10/Oct/2000:13:55:37] "GET /a b" 404 500"#,
            "one two",
        ];
        let check = |pattern| check(pattern, &messages);
        assert_eq!(check("[ip, id, user, time, request, status, bytes]"), "0 1");
        assert_eq!(check("[ip, id, user, time, request, status = 4*, bytes]"), "1");
        assert_eq!(check("[ip, ..., status = 200, bytes > 1000]"), "0");
        assert_eq!(check("[..., bytes >= 500]"), "0 1");
        assert_eq!(
            check(r#"[ip, id, user = ann || user = bob, ..., request = "*html", status, bytes]"#),
            "0"
        );
        assert_eq!(check("[a, b]"), "2");
        assert_eq!(check("[ip != 127.0.0.1, ...]"), "1 2");
        assert_eq!(check("[a, b"), "bad pattern");
        assert_eq!(check("[..., a, ...]"), "bad pattern");
    }
}
