//! `layercake show`: what is in a zip and what it costs.

use std::{fmt::Write as _, process::ExitCode, sync::Arc};

use layercake_build::inspect::{Inspected, inspect, write_page};
use layercake_core::show::{Costs, KindCost, Node, Tally, Tree, ZipTotals, page};

use crate::{
    args::{Common, Show},
    error::{CommandError, Kind},
    ui::{Ui, size},
};

/// Files and folders that are listed when not all of them are asked for.
const BIGGEST_FILES: usize = 10;
const BIGGEST_FOLDERS: usize = 5;
/// The least share of the zip that a folder must have to be listed below its package, in percent.
const FOLDER_SHARE: u64 = 5;
/// The share that makes a folder stand for what it lies in, in percent.
const NEARLY_ALL: u64 = 98;
/// Folders below a package that are listed.
const FOLDER_DEPTH: usize = 2;
const BAR_CELLS: u64 = 30;
/// Widest that the name of a package or folder may be, so that the line fits into 80 columns.
const NAME_COLUMNS: usize = 38;

/// Runs the command.
pub(crate) async fn run(_common: &Common, arguments: Show, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let inspected = inspect(&arguments.zip)?;
    let totals = totals(&inspected);
    let name = totals.name.clone();
    let mut costs = Costs::new(totals, &inspected.contents);
    let tree = Tree::new(&name, &inspected.contents);
    if let Some(path) = &arguments.html {
        write_page(path, &page(&costs, &tree))?;
        ui.say(&format!("wrote {path}"));
    }
    if arguments.json {
        if !arguments.files {
            costs.files.truncate(BIGGEST_FILES);
        }
        ui.print(&json(&costs)?);
    } else {
        ui.print(&told(&costs, &tree, arguments.files));
    }
    Ok(ExitCode::SUCCESS)
}

/// A zip's sums under the name of its file.
pub(crate) fn totals(inspected: &Inspected) -> ZipTotals {
    let name = inspected.path.file_name().unwrap_or(inspected.path.as_str());
    ZipTotals::new(name, inspected.size, inspected.sha256, &inspected.contents)
}

/// A result as one JSON document.
pub(crate) fn json(result: &impl serde::Serialize) -> Result<String, CommandError> {
    serde_json::to_string_pretty(result).map_err(|error| CommandError {
        kind: Kind::Bug,
        error: Box::new(error),
        hints: Vec::new(),
    })
}

/// A number as people read it, in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn told(costs: &Costs, tree: &Tree, all_files: bool) -> String {
    let mut text = String::new();
    let (zip, budget) = (&costs.zip, costs.budget);
    line(&mut text, format_args!("{}: {} files", zip.name, grouped(zip.files)));
    line(&mut text, format_args!("sha256 {}", zip.sha256));
    line(&mut text, format_args!(""));
    let verdict = if budget.unzipped_fits { "" } else { ": too large for Lambda" };
    line(&mut text, format_args!("unzipped  {}{verdict}", bar(zip.unzipped, budget.unzipped_limit)));
    let verdict = if budget.direct_fits { "" } else { ": goes through S3" };
    line(&mut text, format_args!("zipped    {}{verdict}", bar(zip.zipped, budget.direct_limit)));

    let total = zip.unzipped;
    heading(&mut text, "Package");
    for (number, node) in tree.children(tree.root()) {
        row(&mut text, &node.name, node.tally, total);
        folders(&mut text, tree, number, 1, total);
    }
    heading(&mut text, "Kind");
    for KindCost { kind, tally } in &costs.kinds {
        row(&mut text, kind.text(), *tally, total);
    }

    let shown = if all_files { costs.files.len() } else { BIGGEST_FILES.min(costs.files.len()) };
    line(&mut text, format_args!("\n{:>10} {:>10}  File", "Unzipped", "Zipped"));
    for file in &costs.files[..shown] {
        line(&mut text, format_args!("{:>10} {:>10}  {}", size(file.unzipped), size(file.zipped), file.path));
    }
    if shown < costs.files.len() {
        let rest = grouped((costs.files.len() - shown) as u64);
        line(&mut text, format_args!("{:>23} and {rest} more; --files lists all", ""));
    }
    text
}

/// The biggest folders and files of a node. A folder that holds nearly all of what it lies in is not
/// listed by itself: `pandas/` says no more than `pandas 3.1.1` above it.
fn folders(text: &mut String, tree: &Tree, node: usize, depth: usize, total: u64) {
    if depth > FOLDER_DEPTH {
        return;
    }
    let whole = tree.nodes()[node].tally.unzipped;
    if let Some((nearly_all, Node { kind: None, tally, .. })) = tree.children(node).next()
        && tally.unzipped.saturating_mul(100) >= whole.saturating_mul(NEARLY_ALL)
    {
        return folders(text, tree, nearly_all, depth, total);
    }
    let worth = |node: &Node| node.tally.unzipped.saturating_mul(100) >= total.saturating_mul(FOLDER_SHARE);
    let biggest = tree.children(node).filter(|(_, node)| node.tally.unzipped > 0 && worth(node));
    for (child, node) in biggest.take(BIGGEST_FOLDERS) {
        let slash = if node.kind.is_none() { "/" } else { "" };
        row(text, &format!("{:indent$}{}{slash}", "", node.name, indent = 2 * depth), node.tally, total);
        folders(text, tree, child, depth + 1, total);
    }
}

fn heading(text: &mut String, what: &str) {
    line(
        text,
        format_args!(
            "\n{what:<NAME_COLUMNS$} {:>7} {:>10} {:>10} {:>8}",
            "Files", "Unzipped", "Zipped", "Share"
        ),
    );
}

fn row(text: &mut String, name: &str, tally: Tally, total: u64) {
    let share = if total == 0 { 0.0 } else { tally.unzipped as f64 * 100.0 / total as f64 };
    line(
        text,
        format_args!(
            "{:<NAME_COLUMNS$} {:>7} {:>10} {:>10} {:>8}",
            shortened(name),
            grouped(tally.files),
            size(tally.unzipped),
            size(tally.zipped),
            format!("{share:.1} %")
        ),
    );
}

/// A bar of fixed width, whatever the terminal: `[#####.....]  50 % of 262.1 MB`.
fn bar(bytes: u64, limit: u64) -> String {
    let cells = (u128::from(bytes) * u128::from(BAR_CELLS)).div_ceil(u128::from(limit.max(1)));
    let cells = usize::try_from(cells).unwrap_or(usize::MAX).min(BAR_CELLS as usize);
    let percent = bytes as f64 * 100.0 / limit.max(1) as f64;
    let empty = BAR_CELLS as usize - cells;
    format!(
        "[{}{}] {percent:>4.0} %  {} of {}",
        "#".repeat(cells),
        ".".repeat(empty),
        size(bytes),
        size(limit)
    )
}

/// A name that fits its column; what is cut is its middle, since both ends tell more.
fn shortened(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= NAME_COLUMNS {
        return name.to_owned();
    }
    let (begin, end) = (NAME_COLUMNS / 2 - 1, NAME_COLUMNS / 2 - 2);
    let begin: String = characters[..begin].iter().collect();
    let end: String = characters[characters.len() - end..].iter().collect();
    format!("{begin}...{end}")
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_full_at_the_limit_and_never_wider() {
        insta::assert_snapshot!(
            [0, 1, 131_072_000, 262_144_000, u64::MAX].map(|bytes| bar(bytes, 262_144_000)).join("\n"),
            @r"
        [..............................]    0 %  0 B of 262.1 MB
        [#.............................]    0 %  1 B of 262.1 MB
        [###############...............]   50 %  131.1 MB of 262.1 MB
        [##############################]  100 %  262.1 MB of 262.1 MB
        [##############################] 7036874417766 %  18446744073.7 GB of 262.1 MB
        "
        );
    }

    #[test]
    fn long_names_lose_their_middle() {
        let name = shortened(&format!("begin{}end", "x".repeat(100)));
        assert_eq!(name.len(), NAME_COLUMNS);
        assert!(name.starts_with("begin") && name.ends_with("end") && name.contains("..."));
        assert_eq!(shortened("numpy 2.3.0"), "numpy 2.3.0");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped).join(" "), "0 999 1,000 1,234,567");
    }
}
