//! The page of `show --html`: one file that needs nothing else.
//!
//! Owns what is put into the page and how it is made harmless: names of files are a stranger's. They
//! reach the page as JSON only, and the script writes them as text only; the page's policy lets no
//! other script run and nothing be loaded.

use serde_json::json;

use super::{Costs, FileKind, Tree};
use crate::hash::Sha256;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const FRAME: &str = include_str!("page.html");

/// Makes the page. The same costs and tree give the same bytes.
pub fn page(costs: &Costs, tree: &Tree) -> String {
    let nodes: Vec<_> = tree
        .nodes()
        .iter()
        .map(|node| match node.kind {
            // Sums are left to the script: they would be a third of the page.
            None => json!([node.parent, node.name]),
            Some(kind) => {
                let kind = FileKind::ALL.iter().position(|&other| other == kind);
                json!([node.parent, node.name, node.tally.unzipped, node.tally.zipped, kind])
            }
        })
        .collect();
    let kinds = FileKind::ALL.map(FileKind::text);
    let data = json!({ "zip": costs.zip, "budget": costs.budget, "kinds": kinds, "nodes": nodes });
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'",
        Sha256::of(SCRIPT.as_bytes()).to_base64(),
        Sha256::of(STYLE.as_bytes()).to_base64(),
    );
    // In one pass, so that a name which looks like a mark stays a name.
    let mut page = String::new();
    for (number, part) in FRAME.split("%%").enumerate() {
        match (number % 2, part) {
            (1, "POLICY") => page.push_str(&policy),
            (1, "STYLE") => page.push_str(STYLE),
            (1, "SCRIPT") => page.push_str(SCRIPT),
            (1, "NAME") => page.push_str(&escaped(&costs.zip.name)),
            (1, "DATA") => page.push_str(&in_script(&data.to_string())),
            _ => page.push_str(part),
        }
    }
    page
}

/// JSON that can stand in a `<script>` element: nothing in it ends the element or opens a comment.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Text that can stand between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
