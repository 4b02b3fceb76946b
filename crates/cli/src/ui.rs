//! The only door to the terminal: results on stdout, talk on stderr.
//!
//! Never decides anything; says what it is told.

use std::{
    io::{IsTerminal as _, Write as _},
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use layercake_core::report::StageTime;

use crate::error::CommandError;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Nothing but errors.
    Quiet,
    /// A line a stage, bars on a terminal.
    Normal,
}

/// The terminal.
#[derive(Clone)]
pub(crate) struct Ui {
    talk: Talk,
    bars: MultiProgress,
    colours: bool,
}

/// A stage under way: shows a spinner, becomes one line when done.
pub(crate) struct Stage {
    ui: Ui,
    name: &'static str,
    begun: Instant,
    spinner: ProgressBar,
}

impl Ui {
    pub(crate) fn new(talk: Talk) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = match talk {
            Talk::Normal if terminal => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { talk, bars: MultiProgress::with_draw_target(target), colours }
    }

    /// A line of talk.
    pub(crate) fn say(&self, line: &str) {
        if self.talk == Talk::Normal {
            self.write_stderr(line);
        }
    }

    /// A line that even `--quiet` shows.
    pub(crate) fn warn(&self, line: &str) {
        self.write_stderr(&format!("{} {line}", self.styled("33", "warning:")));
    }

    /// An error with its causes and hints.
    pub(crate) fn error(&self, error: &CommandError) {
        for line in error.lines() {
            let line = match line.strip_prefix("error:") {
                Some(rest) => format!("{}{rest}", self.styled("31;1", "error:")),
                None => line,
            };
            self.write_stderr(&line);
        }
    }

    /// A result. A closed pipe ends the talk without a trace, as for every other tool.
    pub(crate) fn print(&self, text: &str) {
        let _ = self.print_more(text);
    }

    /// A part of a result that goes on, unless nobody reads it any more.
    pub(crate) fn print_more(&self, text: &str) -> ControlFlow<()> {
        let mut stdout = std::io::stdout().lock();
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        match write!(stdout, "{text}{newline}").and_then(|()| stdout.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// A result that is not ours: its bytes, and nothing else but the end of a line on a terminal.
    pub(crate) fn print_bytes(&self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        let newline: &[u8] = if stdout.is_terminal() && !bytes.ends_with(b"\n") { b"\n" } else { b"" };
        let _ =
            stdout.write_all(bytes).and_then(|()| stdout.write_all(newline)).and_then(|()| stdout.flush());
    }

    /// Begins a stage.
    pub(crate) fn stage(&self, name: &'static str, doing: impl Into<String>) -> Stage {
        let spinner = self.bars.add(ProgressBar::new_spinner().with_message(doing.into()));
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        Stage { ui: self.clone(), name, begun: Instant::now(), spinner }
    }

    /// A bar for a download, of this many bytes if that is known.
    pub(crate) fn bar(&self, name: &str, bytes: Option<u64>) -> ProgressBar {
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "    {msg:40!} {bar:24} {bytes:>10} of {total_bytes:10} {bytes_per_sec}",
            ),
            None => (ProgressBar::no_length(), "    {msg:40!} {spinner} {bytes:>10} {bytes_per_sec}"),
        };
        let bar = self.bars.add(bar.with_message(name.to_owned()));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn write_stderr(&self, line: &str) {
        self.bars.suspend(|| {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "{line}");
        });
    }
}

impl Stage {
    /// Ends the stage with its line: what was done, in past tense, and the details.
    pub(crate) fn done(self, done: &str, details: &str) -> StageTime {
        let took = self.begun.elapsed();
        self.spinner.finish_and_clear();
        let done = self.ui.styled("32;1", &format!("{done:>10}"));
        self.ui.say(&format!("{done} {details} ({})", duration(took)));
        StageTime { stage: self.name.to_owned(), ms: (took.as_secs_f64() * 10_000.0).round() / 10.0 }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

/// Shared by the parts of a command that talk.
pub(crate) type SharedUi = Arc<Ui>;

/// A duration as people read it.
pub(crate) fn duration(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

/// A size as people read it, in units of 1000 as Lambda's limits are written.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A size against a limit.
pub(crate) fn share(bytes: u64, limit: u64) -> String {
    format!("{} ({:.0} % of {})", size(bytes), bytes as f64 * 100.0 / limit as f64, size(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_short() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(28_200_596), "28.2 MB");
        assert_eq!(size(42_600_000_000), "42.6 GB");
        assert_eq!(share(26_214_400, 52_428_800), "26.2 MB (50 % of 52.4 MB)");
        assert_eq!(duration(Duration::from_millis(25)), "25 ms");
        assert_eq!(duration(Duration::from_millis(1260)), "1.3 s");
    }
}
