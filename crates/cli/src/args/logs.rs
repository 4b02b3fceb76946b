//! Arguments of `logs`.

use std::time::Duration;

use clap::Args;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use layercake_core::aws::FunctionName;

use super::{Aws, On};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  layercake logs my-function
  layercake logs my-function --follow
  layercake logs my-function --since 2h --filter ERROR
  layercake logs my-function --since 2026-01-01T12:00 --filter '{ $.level = \"ERROR\" }'
  layercake logs my-function --on aws --region eu-central-1 --follow
  layercake logs my-function --json | jq -r .message")]
pub(crate) struct Logs {
    /// The function's name.
    pub(crate) function: FunctionName,
    /// Go on with what is logged from now on, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How far back: 30s, 10m, 2h, 7d, 1w; or a date or time, in UTC unless it says otherwise.
    #[arg(long, value_name = "AGE|TIME", default_value = "10m", value_parser = since)]
    pub(crate) since: Since,
    /// Only events that match this filter pattern of CloudWatch Logs.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) filter: Option<String>,
    /// Where the function is.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) on: On,
    /// Print each event as one line of JSON, with the members of FilterLogEvents.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) aws: Aws,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long before now.
    Age(Duration),
    /// This time.
    Time(Timestamp),
}

impl Since {
    /// In milliseconds since 1970.
    pub(crate) fn milliseconds(self, now: i64) -> i64 {
        match self {
            Self::Age(age) => now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            Self::Time(time) => time.as_millisecond(),
        }
    }
}

fn since(text: &str) -> Result<Since, String> {
    let time = text.parse::<Timestamp>().or_else(|_| {
        let time: DateTime = text.parse()?;
        Ok::<_, jiff::Error>(time.to_zoned(TimeZone::UTC)?.timestamp())
    });
    if let Ok(time) = time {
        return Ok(Since::Time(time));
    }
    age(text).map(Since::Age).ok_or_else(|| {
        "an age such as 30s, 10m, 2h, 7d or 1w is expected, or a time such as 2026-01-01T12:00".to_owned()
    })
}

fn age(text: &str) -> Option<Duration> {
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    // Nobody means a sign.
    let number = number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)?;
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        match since(text) {
            Ok(Since::Age(age)) => format!("{} seconds ago", age.as_secs()),
            Ok(Since::Time(time)) => time.to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn ages_and_times_are_read() {
        let given = ["30s", "10m", "2h", "7d", "1w", "2026-01-01", "2026-01-01T12:00", "2026-01-01 12:00:01"]
            .into_iter()
            .chain(["2026-01-01T12:00:00Z", "2026-01-01T12:00:00+02:00"])
            .map(check);
        insta::assert_snapshot!(given.collect::<Vec<_>>().join("\n"), @r"
        30 seconds ago
        600 seconds ago
        7200 seconds ago
        604800 seconds ago
        604800 seconds ago
        2026-01-01T00:00:00Z
        2026-01-01T12:00:00Z
        2026-01-01T12:00:01Z
        2026-01-01T12:00:00Z
        2026-01-01T10:00:00Z
        ");
        for text in ["", "10", "m", "-1m", "+1m", "1.5h", "yesterday", "99999999999999999999w", "2026-13-01"]
        {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
