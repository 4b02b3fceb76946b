//! `layercake diff`: what is different in two zips.

use std::{cmp::Reverse, fmt::Write as _, process::ExitCode, sync::Arc};

use layercake_build::inspect::inspect;
use layercake_core::diff::{Change, Difference, FileChange, PackageChange, PackageSide};

use crate::{
    args::{Common, Diff},
    error::CommandError,
    show::{grouped, json, totals},
    ui::{Ui, size},
};

/// Files that are listed when not all of them are asked for.
const BIGGEST_CHANGES: usize = 20;

/// What `--exit-code` answers when the zips are different.
const DIFFERENT: u8 = 1;

/// Runs the command.
pub(crate) async fn run(_common: &Common, arguments: Diff, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let (old, new) = (inspect(&arguments.old)?, inspect(&arguments.new)?);
    let difference = Difference::new((totals(&old), &old.contents), (totals(&new), &new.contents));
    if arguments.json {
        ui.print(&json(&difference)?);
    } else {
        ui.print(&told(&difference, arguments.files));
    }
    let is_told = arguments.exit_code && !difference.is_empty();
    Ok(if is_told { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

fn told(difference: &Difference, all_files: bool) -> String {
    let (old, new) = (&difference.old, &difference.new);
    let mut text = String::new();
    let sides = [("old", old), ("new", new)];
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    };
    for (side, zip) in sides {
        line(format!(
            "{side}  {:>9} unzipped {:>9} zipped {:>7} files  {}",
            size(zip.unzipped),
            size(zip.zipped),
            grouped(zip.files),
            zip.name
        ));
    }
    if difference.is_empty() {
        let same =
            if old.sha256 == new.sha256 { "byte for byte" } else { "though not as zips byte for byte" };
        line(format!("They are the same, {same}."));
        return text;
    }
    line(format!(
        "     {:>9}          {:>9}        {:>7}",
        change(old.unzipped, new.unzipped),
        change(old.zipped, new.zipped),
        signed(old.files, new.files, grouped)
    ));

    line("\nPackages".to_owned());
    for package in &difference.packages {
        line(package_line(package));
    }
    let mut files: Vec<_> = difference.files.iter().collect();
    if !all_files {
        files.sort_by_key(|file| Reverse(file.old_unzipped.abs_diff(file.new_unzipped)));
        files.truncate(BIGGEST_CHANGES);
    }
    line(format!("\nFiles ({} the same)", grouped(difference.same_files)));
    for file in &files {
        line(file_line(file));
    }
    if files.len() < difference.files.len() {
        let rest = grouped((difference.files.len() - files.len()) as u64);
        line(format!("  and {rest} more with smaller changes; --files lists all"));
    }
    text
}

fn package_line(package: &PackageChange) -> String {
    let name = package.name.as_deref().unwrap_or("no package");
    let version = |side: &PackageSide| side.version.clone().unwrap_or_default();
    let bytes = |side: &Option<PackageSide>| side.as_ref().map_or(0, |side| side.tally.unzipped);
    let (mark, versions) = match (&package.old, &package.new) {
        (None, Some(new)) => ('+', version(new)),
        (Some(old), None) => ('-', version(old)),
        (Some(old), Some(new)) if old.version != new.version => {
            ('~', format!("{} -> {}", version(old), version(new)))
        }
        (_, new) => ('~', new.as_ref().map(version).unwrap_or_default()),
    };
    let counts = [
        (package.files_added, "added"),
        (package.files_removed, "removed"),
        (package.files_changed, "changed"),
    ];
    let counts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
    let change = change(bytes(&package.old), bytes(&package.new));
    format!("  {mark} {:<34} {change:>10}  {}", format!("{name} {versions}").trim_end(), counts.join(", "))
}

fn file_line(file: &FileChange) -> String {
    let (mark, note) = match file.change {
        Change::Added => ('+', ""),
        Change::Removed => ('-', ""),
        Change::Changed => ('~', ""),
        Change::Mode => ('~', " (its mode)"),
    };
    format!("  {mark} {:>10}  {}{note}", change(file.old_unzipped, file.new_unzipped), file.path)
}

/// `+1.2 MB`, `-3 B` or `0 B`.
fn change(old: u64, new: u64) -> String {
    signed(old, new, size)
}

fn signed(old: u64, new: u64, text: impl Fn(u64) -> String) -> String {
    let sign = match old.cmp(&new) {
        std::cmp::Ordering::Less => "+",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => "-",
    };
    format!("{sign}{}", text(old.abs_diff(new)))
}
