//! Reading the tables beside this file: one row a line, `#` begins a comment line.

/// The rows of a table, trimmed.
pub(super) fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The cells of a row, separated by `|`.
pub(super) fn cells<const COUNT: usize>(row: &'static str) -> Option<[&'static str; COUNT]> {
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    cells.try_into().ok()
}
