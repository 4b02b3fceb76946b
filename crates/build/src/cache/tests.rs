//! Caches made by hand, and what is left of them.

use std::fs::FileTimes;

use super::*;
use crate::tests::{Folder, told};

const DAY: Duration = Duration::from_hours(24);

/// A marked cache of these files: path, bytes, days since it was used.
fn cache(files: &[(&str, usize, u32)]) -> Folder {
    let folder = Folder::new();
    mark(folder.path()).expect("the folder is writable");
    for (path, bytes, days) in files {
        let path = folder.write(path, &"x".repeat(*bytes));
        let time = SystemTime::now() - *days * DAY;
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::open(&path).and_then(|file| file.set_times(times)).expect("it is ours");
        // What is removed as a whole is as old as its youngest file, or as itself.
        let above = path.parent().expect("it is in a folder");
        File::open(above).and_then(|file| file.set_times(times)).expect("it is ours");
    }
    folder
}

fn open(folder: &Folder) -> CacheFolder {
    CacheFolder::open(folder.path()).expect("it is ours").expect("it is there")
}

/// What is left, with the mark.
fn left(folder: &Folder) -> String {
    let files = files_below(folder.path()).expect("readable");
    let paths = files.iter().map(|path| path.strip_prefix(folder.path()).expect("it is below").as_str());
    paths.collect::<Vec<_>>().join("\n")
}

fn a_bit_of_everything() -> Folder {
    cache(&[
        ("wheels/aa/aa1/lock", 0, 40),
        ("wheels/aa/aa1/facts.json", 10, 40),
        ("wheels/aa/aa1/old.whl", 100, 40),
        ("wheels/aa/aa2/lock", 0, 40),
        ("wheels/aa/aa2/facts.json", 10, 2),
        ("wheels/aa/aa2/used.whl", 100, 40),
        ("wheels/bb/bb1/lock", 0, 0),
        ("wheels/bb/bb1/partial", 50, 0),
        ("wheels/bb/bb2/lock", 0, 2),
        ("wheels/bb/bb3/lock", 0, 0),
        ("wheels/addresses/one", 64, 3),
        ("wheels/addresses/two", 64, 90),
        ("wheels/.tmpabc", 30, 2),
        ("derived/aa/aa1/strip.lock", 0, 40),
        ("derived/aa/aa1/strip.zip", 70, 40),
        ("derived/aa/aa2/strip.zip", 70, 3),
        ("layers/old.zip", 1000, 40),
        ("layers/new.zip", 1000, 1),
        ("layers/.layercake-x.zip.new", 500, 2),
        ("layers/.layercake-y.zip.new", 500, 0),
        ("code/new.zip", 5, 1),
        ("index/CACHEDIR.TAG", 3, 90),
        ("index/simple-v20/index/1/six.rkyv", 20, 40),
        ("index/simple-v20/index/1/numpy.rkyv", 20, 1),
        ("index/archive-v0/one/a.py", 7, 90),
        ("index/archive-v0/one/b.py", 7, 1),
        ("index/archive-v0/two/a.py", 7, 90),
        ("sources/3.12/archive-v0/one/a.py", 7, 90),
        ("sources/3.12/CACHEDIR.TAG", 3, 90),
        ("sources/3.9/sdists-v9/index/a.py", 7, 1),
        ("interpreters/one.txt", 16, 1),
    ])
}

#[test]
fn sizes_are_told_by_kind() {
    let sizes = open(&a_bit_of_everything()).sizes().expect("readable");
    let lines: Vec<_> = sizes
        .iter()
        .map(|(kind, tally)| format!("{}: {} {}", kind.text(), tally.items, tally.bytes))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    wheels: 8 428
    derived files: 2 140
    sources: 2 14
    index pages: 4 61
    layers: 4 3000
    code zips: 1 5
    interpreters: 1 16
    levers: 0 0
    ");
}

#[test]
fn pruning_removes_what_is_unused_or_unfinished() {
    let folder = a_bit_of_everything();
    let before = left(&folder);
    let since = SystemTime::now() - 30 * DAY;
    let would = open(&folder).prune(since, true).expect("readable");
    assert_eq!(left(&folder), before, "a dry run removes nothing");
    let removed = open(&folder).prune(since, false).expect("ours to remove");
    assert_eq!(removed, would);
    insta::assert_debug_snapshot!(removed, @r"
    Removed {
        kinds: {
            Wheels: Tally {
                items: 2,
                bytes: 174,
            },
            Derived: Tally {
                items: 1,
                bytes: 70,
            },
            Sources: Tally {
                items: 1,
                bytes: 7,
            },
            IndexPages: Tally {
                items: 2,
                bytes: 27,
            },
            Layers: Tally {
                items: 1,
                bytes: 1000,
            },
        },
        unfinished: Tally {
            items: 4,
            bytes: 580,
        },
        held: [],
    }
    ");
    insta::assert_snapshot!(left(&folder), @r"
    CACHEDIR.TAG
    code/new.zip
    derived/aa/aa2/strip.zip
    index/CACHEDIR.TAG
    index/archive-v0/one/a.py
    index/archive-v0/one/b.py
    index/simple-v20/index/1/numpy.rkyv
    interpreters/one.txt
    layers/.layercake-y.zip.new
    layers/new.zip
    sources/3.12/CACHEDIR.TAG
    sources/3.9/sdists-v9/index/a.py
    wheels/aa/aa2/facts.json
    wheels/aa/aa2/lock
    wheels/aa/aa2/used.whl
    wheels/addresses/one
    wheels/bb/bb3/lock
    ");
}

#[test]
fn what_a_process_holds_is_left_alone() {
    let folder = cache(&[("wheels/aa/aa1/lock", 0, 40), ("wheels/aa/aa1/partial", 50, 40)]);
    let held = File::open(folder.path().join("wheels/aa/aa1/lock")).expect("it is there");
    held.lock().expect("nobody has it");
    let now = SystemTime::now();
    let removed = open(&folder).prune(now, false).expect("readable");
    assert_eq!((removed.bytes(), removed.held.len()), (0, 1));
    assert_eq!(open(&folder).clean(false).expect("readable").held.len(), 1);
    insta::assert_snapshot!(left(&folder), @r"
    CACHEDIR.TAG
    wheels/aa/aa1/lock
    wheels/aa/aa1/partial
    ");
    drop(held);
    assert_eq!(open(&folder).prune(now, false).expect("ours to remove").unfinished.bytes, 50);
}

#[test]
fn cleaning_removes_the_cache_and_nothing_else() {
    let folder = a_bit_of_everything();
    let elsewhere = cache(&[("precious", 1, 0)]);
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("layers/link")).expect("made");
    folder.write("mine.txt", "mine");
    let cache = open(&folder);
    assert_eq!(cache.clean(true).expect("readable").bytes(), cache.clean(false).expect("ours").bytes());
    insta::assert_snapshot!(left(&folder), @"mine.txt");
    assert!(elsewhere.path().join("precious").exists(), "links are not followed");
}

#[test]
fn a_cache_that_holds_nothing_else_goes_whole() {
    let folder = cache(&[("layers/a.zip", 1, 0)]);
    open(&folder).clean(false).expect("ours");
    assert!(!folder.path().exists());
    assert!(CacheFolder::open(folder.path()).expect("a folder that is not there is no error").is_none());
}

#[test]
fn a_folder_without_our_mark_is_refused() {
    let refused = |folder: &Folder| {
        let error = CacheFolder::open(folder.path()).expect_err("it is not ours");
        told(&error).replace(folder.path().as_str(), "[FOLDER]")
    };
    let home = Folder::new();
    home.write("code/thesis.tex", "years of work");
    mark(home.path()).expect("the folder is readable");
    insta::assert_snapshot!(refused(&home), @r"
    error: `[FOLDER]` is not a cache that layercake made: it has no `CACHEDIR.TAG` that says so
    hint: nothing was touched; a build marks the cache that it uses, so check the folder, or remove it by hand
    ");
    // Somebody else's cache has the same signature.
    home.write(TAG, &format!("{SIGNATURE}\n# made by another tool\n"));
    refused(&home);
}

#[test]
fn a_folder_that_holds_other_things_is_not_marked() {
    let home = Folder::new();
    home.write("index/CACHEDIR.TAG", "");
    home.write("precious", "");
    mark(home.path()).expect("the folder is readable");
    assert_eq!(left(&home), "index/CACHEDIR.TAG\nprecious");
}

#[test]
fn a_cache_from_before_there_were_marks_is_marked() {
    let cache = Folder::new();
    cache.write("index/CACHEDIR.TAG", "");
    cache.write("wheels/aa/aa1/x.whl", "");
    mark(cache.path()).expect("the folder is writable");
    assert!(CacheFolder::open(cache.path()).expect("it is ours").is_some());
}
