//! A zip as a tree: the zip, its packages, their folders, their files.
//!
//! Owns the shape of that tree. It is kept flat, so that no depth of folders that a zip can have
//! exhausts a stack.

use std::collections::BTreeMap;

use super::{FileKind, Tally, files};
use crate::contents::Contents;

/// The number of the node that is the whole zip.
const ROOT: usize = 0;

/// Folders below a package that become nodes of their own. What lies deeper is named by the rest
/// of its path: a zip may have 200,000 files, each below 2,000 folders of its own.
const DEEPEST: usize = 24;

/// A tree of what a zip holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Children of each node, the one with the most unzipped bytes first.
    children: Vec<Vec<usize>>,
}

/// The zip, a package, a folder or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node it lies in; the root lies in itself.
    pub parent: usize,
    /// Its name; of a package with its version.
    pub name: String,
    /// How much is in it.
    pub tally: Tally,
    /// A file's kind; nothing for what holds files.
    pub kind: Option<FileKind>,
}

impl Tree {
    /// The tree of a zip of this name.
    pub fn new(name: &str, contents: &Contents) -> Self {
        let mut builder = Builder { nodes: Vec::new(), numbers: BTreeMap::new() };
        builder.nodes.push(Node::named(ROOT, name));
        for file in files(contents) {
            let owner = contents.owner(file);
            let (package, path) = match owner {
                None => ("no package".to_owned(), file.path.as_str()),
                Some(owner) => {
                    let name = format!("{} {}", owner.name, owner.version).trim_end().to_owned();
                    let below = file.path.strip_prefix(owner.root()).unwrap_or(&file.path);
                    (name, below.trim_start_matches('/'))
                }
            };
            let mut at = builder.child(ROOT, &package, file.owner.unwrap_or(usize::MAX));
            let mut rest = path;
            for _ in 0..DEEPEST {
                let Some((folder, below)) = rest.split_once('/') else { break };
                at = builder.child(at, folder, 0);
                rest = below;
            }
            let mut node = Node::named(at, rest);
            node.kind = Some(FileKind::of(file, contents));
            node.tally.add(file);
            builder.nodes.push(node);
        }
        builder.finish()
    }

    /// The whole zip.
    pub fn root(&self) -> usize {
        ROOT
    }

    /// All nodes; a node's parent stands before it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What lies in a node, the one with the most unzipped bytes first.
    pub fn children(&self, node: usize) -> impl Iterator<Item = (usize, &Node)> {
        self.children[node].iter().map(|&child| (child, &self.nodes[child]))
    }
}

impl Node {
    fn named(parent: usize, name: &str) -> Self {
        Self { parent, name: name.to_owned(), tally: Tally::default(), kind: None }
    }
}

struct Builder {
    nodes: Vec<Node>,
    /// Numbers of nodes that hold files: by parent, name, and what tells packages of one name apart.
    numbers: BTreeMap<(usize, String, usize), usize>,
}

impl Builder {
    fn child(&mut self, parent: usize, name: &str, which: usize) -> usize {
        let next = self.nodes.len();
        let number = *self.numbers.entry((parent, name.to_owned(), which)).or_insert(next);
        if number == next {
            self.nodes.push(Node::named(parent, name));
        }
        number
    }

    fn finish(mut self) -> Tree {
        let mut children = vec![Vec::new(); self.nodes.len()];
        // From the leaves up: a parent always stands before its children.
        for number in (1..self.nodes.len()).rev() {
            let Node { parent, tally, .. } = self.nodes[number];
            let above = &mut self.nodes[parent].tally;
            above.files += tally.files;
            above.unzipped += tally.unzipped;
            above.zipped += tally.zipped;
            children[parent].push(number);
        }
        for siblings in &mut children {
            siblings.sort_by(|&a, &b| {
                let (a, b) = (&self.nodes[a], &self.nodes[b]);
                (b.tally.unzipped.cmp(&a.tally.unzipped)).then_with(|| a.name.cmp(&b.name))
            });
        }
        Tree { nodes: self.nodes, children }
    }
}
