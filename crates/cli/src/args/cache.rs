//! Arguments of `cache`.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  layercake cache size
  layercake cache prune --older-than 14d
  layercake cache clean --dry-run"
)]
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
    /// Folder of the cache.
    #[arg(long, global = true, value_name = "FOLDER", env = "LAYERCAKE_CACHE")]
    pub(crate) cache_dir: Option<Utf8PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print the cache's folder.
    Dir,
    /// Say how much there is of what.
    Size {
        /// Print it as one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Remove what has not been used for a while, and unfinished downloads.
    Prune {
        /// How long a thing must not have been used: a number with `h`, `d` or `w`.
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration)]
        older_than: Duration,
        #[command(flatten)]
        removal: Removal,
    },
    /// Remove everything.
    Clean {
        #[command(flatten)]
        removal: Removal,
    },
}

/// How things are removed.
#[derive(Args, Debug)]
pub(crate) struct Removal {
    /// Say what would be removed and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was removed as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `12h`, `30d` or `2w`.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "a number with `h`, `d` or `w` is expected, such as `30d`".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(expected()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| expected())?;
    // Longer than any file system remembers, and short enough to be taken from a time.
    match count.checked_mul(hours) {
        Some(hours) if hours <= 100 * 366 * 24 => Ok(Duration::from_hours(hours)),
        _ => Err("at most 100 years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_hours_days_or_weeks() {
        assert_eq!(duration("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(duration("0d"), Ok(Duration::ZERO));
        assert_eq!(duration("2w"), Ok(Duration::from_hours(336)));
        for wrong in
            ["", "d", "30", "30m", "-1d", "1.5d", "30\u{20ac}", "99999999999999999999d", "9999999999999999d"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
