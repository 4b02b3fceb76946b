//! How a function's log is written: its format and its levels (`LoggingConfig` of Lambda's API).
//!
//! Owns the levels and the filter. Writes nothing itself.

/// A level, least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Details for debugging.
    Debug,
    /// What normally happens.
    Info,
    /// What may be trouble.
    Warn,
    /// What is trouble.
    Error,
    /// What ends the application.
    Fatal,
}

impl LogLevel {
    /// A level by the names that Lambda's API and log records use, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" | "WARNING" => Self::Warn,
            "ERROR" => Self::Error,
            "FATAL" | "CRITICAL" => Self::Fatal,
            _ => return None,
        })
    }

    /// The name in Lambda's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// The format of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines as they come, `START`, `END` and `REPORT`.
    #[default]
    Text,
    /// JSON, and what is below these levels is left out.
    Json {
        /// Of what the function writes.
        application: LogLevel,
        /// Of what the platform writes.
        system: LogLevel,
    },
}

impl LogFormat {
    /// The format of stored settings; a level that is absent is Lambda's default.
    pub fn of(format: &str, application: Option<&str>, system: Option<&str>) -> Self {
        let level = |name: Option<&str>| name.and_then(LogLevel::parse).unwrap_or(LogLevel::Info);
        if format.eq_ignore_ascii_case("json") {
            Self::Json { application: level(application), system: level(system) }
        } else {
            Self::Text
        }
    }

    /// Whether a line of the function belongs into the log: of a JSON object its `level` decides, which
    /// is INFO where it names none; other lines always do.
    pub(super) fn takes(self, line: &[u8]) -> bool {
        let Self::Json { application, .. } = self else { return true };
        if !line.starts_with(b"{") {
            return true;
        }
        let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(line) else { return true };
        let level = object.get("level").or_else(|| object.get("log_level"));
        let level = level.and_then(|level| level.as_str()).and_then(LogLevel::parse);
        level.unwrap_or(LogLevel::Info) >= application
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_from_json_lines_only() {
        let format = LogFormat::of("JSON", Some("WARN"), None);
        assert_eq!(format, LogFormat::Json { application: LogLevel::Warn, system: LogLevel::Info });
        let takes = |line: &str| format.takes(line.as_bytes());
        assert!(takes("plain\n") && takes("{not json\n") && takes("{\"level\": \"error\"}\n"));
        assert!(!takes("{\"level\": \"debug\"}\n") && !takes("{\"message\": \"no level\"}\n"));
        assert!(LogFormat::of("Text", None, None).takes(b"{\"level\": \"debug\"}\n"));
    }
}
