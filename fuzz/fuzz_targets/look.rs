//! `check`, `show`, `show --html` and `diff` on zips of any files and names.
//!
//! Laws: none panics; findings have sentences; sums are the sums of their parts; nothing that a
//! stranger named ends the page's script or adds a tag; the page's data are the tree; a zip does not
//! differ from itself, and what one way adds the other way removes.

#![no_main]

use std::collections::BTreeMap;

use layercake_core::{
    check::{NamedContents, Severity, Subject, Unfulfilled, guess_runtimes, verdict},
    contents::Contents,
    diff::Difference,
    hash::Sha256,
    show::{Costs, Tree, ZipTotals, page},
    zip::inflate_start,
};
use layercake_fuzz::{target, trees, zip_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let (before, trees) = trees(text);
    let mut zips: Vec<NamedContents> = trees
        .iter()
        .filter_map(|tree| {
            let (bytes, archive) = zip_of(tree)?;
            let contents = Contents::collect(&archive, |entry, most| inflate_start(&bytes, entry, most));
            let contents = contents.expect("what was written unpacks");
            Some(NamedContents { name: tree.name.clone(), contents, zip_bytes: bytes.len() as u64 })
        })
        .collect();
    let options = before.first().copied().unwrap_or_default();
    let flag = |number: usize| options.get(number).copied().unwrap_or_default();
    let settings = before
        .iter()
        .skip(1)
        .map(|line| String::from_utf8_lossy(line))
        .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
    let environment: BTreeMap<String, String> = settings.collect();

    for zip in &zips {
        show(zip);
    }
    for pair in zips.windows(2) {
        compare(&pair[0], &pair[1]);
    }
    let _ = guess_runtimes(&zips);
    let function = if flag(1) & 1 == 1 { zips.pop() } else { None };
    let handler = environment.get("HANDLER").and_then(|text| text.parse().ok());
    let unfulfilled = Unfulfilled::default();
    let subject = Subject {
        target: target(flag(0)),
        layers: &zips,
        function: function.as_ref(),
        environment: &environment,
        handler: handler.as_ref(),
        unfulfilled: &unfulfilled,
    };
    let verdict = verdict(&subject);
    assert_eq!(verdict.runs, verdict.findings.iter().all(|finding| finding.severity != Severity::Error));
    assert!(verdict.findings.windows(2).all(|pair| pair[0].severity <= pair[1].severity));
    assert!(verdict.findings.iter().all(|finding| !finding.why.is_empty() && !finding.fix.is_empty()));
});

fn totals(zip: &NamedContents) -> ZipTotals {
    ZipTotals::new(&zip.name, zip.zip_bytes, Sha256::of(b""), &zip.contents)
}

fn show(zip: &NamedContents) {
    let costs = Costs::new(totals(zip), &zip.contents);
    let tree = Tree::new(&zip.name, &zip.contents);
    let whole = (costs.zip.files, costs.zip.unzipped);
    let packages = costs.packages.iter().map(|cost| cost.tally);
    assert_eq!(packages.fold((0, 0), |sum, tally| (sum.0 + tally.files, sum.1 + tally.unzipped)), whole);
    let kinds = costs.kinds.iter().map(|cost| cost.tally);
    assert_eq!(kinds.fold((0, 0), |sum, tally| (sum.0 + tally.files, sum.1 + tally.unzipped)), whole);
    let root = &tree.nodes()[tree.root()].tally;
    assert_eq!((root.files, root.unzipped), whole);

    let html = page(&costs, &tree);
    let nothing = Contents::default();
    let bare = ZipTotals::new("", 0, Sha256::of(b""), &nothing);
    let bare = page(&Costs::new(bare, &nothing), &Tree::new("", &nothing));
    let count = |text: &str, mark: char| text.matches(mark).count();
    assert_eq!((count(&html, '<'), count(&html, '>')), (count(&bare, '<'), count(&bare, '>')));
    let (_, data) = html.split_once("id=\"data\">").expect("the page has data");
    let (data, _) = data.split_once("</script>").expect("they end");
    let data: serde_json::Value = serde_json::from_str(data).expect("they are JSON");
    let nodes = data["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), tree.nodes().len());
    for (shown, node) in nodes.iter().zip(tree.nodes()) {
        assert_eq!(
            (shown[0].as_u64(), shown[1].as_str()),
            (Some(node.parent as u64), Some(node.name.as_str()))
        );
    }
}

fn compare(one: &NamedContents, other: &NamedContents) {
    let difference = |old: &NamedContents, new: &NamedContents| {
        Difference::new((totals(old), &old.contents), (totals(new), &new.contents))
    };
    assert!(difference(one, one).is_empty());
    let (there, back) = (difference(one, other), difference(other, one));
    assert_eq!((there.files.len(), there.same_files), (back.files.len(), back.same_files));
    for (file, reverse) in there.files.iter().zip(&back.files) {
        assert_eq!((&file.path, file.old_unzipped), (&reverse.path, reverse.new_unzipped));
    }
}
