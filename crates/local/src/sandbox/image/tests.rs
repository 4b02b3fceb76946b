//! What layers may and may not do to the folder that they are unpacked into.

use std::{
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use insta::assert_snapshot;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::{
    layout,
    unpack::{Bounds, Tree},
};

/// One entry: its kind, its path with nothing refused, its content or the target of its link.
type Item<'a> = (EntryType, &'a str, &'a str);

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

fn archive(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for &(kind, path, content) in items {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == FOLDER { 0o755 } else { 0o644 });
        // Written as it is: the crate's own way refuses what a hostile layer does.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        let data = if kind == FILE { content } else { "" };
        if kind == LINK || kind == HARD {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// All that is in a folder, in order.
fn list(root: &Path, folder: &str, out: &mut String) {
    let mut entries: Vec<_> = fs_err::read_dir(root.join(folder))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    entries.sort();
    for name in entries {
        let path = format!("{folder}{name}");
        let metadata = root.join(&path).symlink_metadata().expect("an entry");
        if metadata.is_dir() {
            out.push_str(&format!("{path}/\n"));
            list(root, &format!("{path}/"), out);
        } else if metadata.is_symlink() {
            let target = fs_err::read_link(root.join(&path)).expect("a link");
            out.push_str(&format!("{path} -> {}\n", target.display()));
        } else {
            let content = fs_err::read_to_string(root.join(&path)).expect("text");
            let names =
                if metadata.nlink() > 1 { format!(" ({} names)", metadata.nlink()) } else { String::new() };
            out.push_str(&format!("{path}: {content}{names}\n"));
        }
    }
}

/// What layers give, one over the other; and that nothing beside their folder has changed.
fn check_within(bounds: Bounds, layers: &[&[Item<'_>]]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    fs_err::create_dir(&root).expect("a folder");
    fs_err::create_dir(folder.path().join("beside")).expect("a folder");
    fs_err::write(folder.path().join("beside/file"), "untouched").expect("a file");
    let mut tree = Tree::new(&root, bounds);
    let mut out = String::new();
    for items in layers {
        let bytes = archive(items);
        if let Err(error) = tree.apply(bytes.as_slice(), false, &digest(&bytes)) {
            out.push_str(&format!("refused: {error}\n"));
            break;
        }
    }
    list(&root, "", &mut out);
    let mut beside = String::new();
    list(folder.path(), "beside/", &mut beside);
    assert_eq!(beside, "beside/file: untouched\n");
    assert_eq!(fs_err::read_dir(folder.path()).expect("a folder").count(), 2);
    out
}

fn check(layers: &[&[Item<'_>]]) -> String {
    check_within(Bounds::default(), layers)
}

#[test]
fn layers_lie_over_one_another() {
    let shown = check(&[
        &[
            (FOLDER, "etc/", ""),
            (FILE, "etc/kept", "1"),
            (FILE, "etc/changed", "1"),
            (FILE, "etc/gone", "1"),
            (FOLDER, "old/", ""),
            (FILE, "old/deep/a", "1"),
            (FILE, "old/deep/b", "1"),
            (FOLDER, "removed/", ""),
            (FILE, "removed/file", "1"),
            (LINK, "lib", "usr/lib"),
            (FILE, "usr/lib/one", "1"),
            (FILE, "was-file", "1"),
            (FOLDER, "was-folder/", ""),
            (FILE, "was-folder/x", "1"),
        ],
        &[
            (FILE, "./etc/changed", "2"),
            (FILE, "etc/.wh.gone", ""),
            // What the same layer brings stays, wherever the mark stands.
            (FILE, "old/deep/c", "2"),
            (FILE, "old/deep/.wh..wh..opq", ""),
            (FILE, ".wh.removed", ""),
            // Through the link, as a process inside would write it.
            (FILE, "lib/two", "2"),
            (HARD, "usr/lib/three", "usr/lib/one"),
            (HARD, "lib/four", "/lib/two"),
            (FOLDER, "was-file/", ""),
            (FILE, "was-folder", "2"),
            (FILE, ".wh..wh.plnk", ""),
            (FILE, ".wh.never-there", ""),
            (EntryType::Char, "dev/null", ""),
            (EntryType::Fifo, "pipe", ""),
        ],
    ]);
    assert_snapshot!(shown, @r"
    dev/
    etc/
    etc/changed: 2
    etc/kept: 1
    lib -> usr/lib
    old/
    old/deep/
    old/deep/c: 2
    usr/
    usr/lib/
    usr/lib/four: 2 (2 names)
    usr/lib/one: 1 (2 names)
    usr/lib/three: 1 (2 names)
    usr/lib/two: 2 (2 names)
    was-file/
    was-folder: 2
    ");
}

#[test]
fn nothing_leads_out_of_the_image() {
    assert_snapshot!(check(&[&[(FILE, "../beside/file", "bad")]]), @"refused: the entry `../beside/file` leads out of the image");
    assert_snapshot!(check(&[&[(FILE, "a/../../beside/file", "bad")]]), @"refused: the entry `a/../../beside/file` leads out of the image");
    assert_snapshot!(check(&[&[(FILE, "/absolute", "inside")]]), @"absolute: inside");
    assert_snapshot!(check(&[&[(LINK, "up", "../beside"), (FILE, "up/file", "inside")]]), @r"
    beside/
    beside/file: inside
    up -> ../beside
    ");
    assert_snapshot!(check(&[&[(LINK, "up", "/../../beside"), (FILE, "up/file", "inside")]]), @r"
    beside/
    beside/file: inside
    up -> /../../beside
    ");
    // The link itself is replaced and not written through.
    assert_snapshot!(check(&[&[(LINK, "link", "../beside/file"), (FILE, "link", "inside")]]), @"link: inside");
    assert_snapshot!(check(&[&[(HARD, "mine", "../beside/file")]]), @"refused: the entry `../beside/file` leads out of the image");
    assert_snapshot!(check(&[&[(LINK, "link", "../beside"), (HARD, "mine", "link/file")]]), @r"
    refused: the entry `mine` is a link to `link/file`, which is no file of the image
    beside/
    link -> ../beside
    ");
    assert_snapshot!(check(&[&[(LINK, "link", "../beside"), (FILE, "link/.wh.file", "")]]), @r"
    beside/
    link -> ../beside
    ");
    assert_snapshot!(check(&[&[(LINK, "link", "../beside"), (FILE, "link/.wh..wh..opq", "")]]), @r"
    beside/
    link -> ../beside
    ");
    assert_snapshot!(check(&[&[(FOLDER, "a/", ""), (FILE, "a/.wh...", "")]]), @r"
    refused: the entry `a/.wh...` leads out of the image
    a/
    ");
    assert_snapshot!(check(&[&[(HARD, "mine", "nothing")]]), @"refused: the entry `mine` is a link to `nothing`, which is no file of the image");
    assert_snapshot!(check(&[&[(FOLDER, "a/", ""), (HARD, "mine", "a")]]), @r"
    refused: the entry `mine` is a link to `a`, which is no file of the image
    a/
    ");
}

#[test]
fn links_without_end_are_an_error() {
    let shown = check(&[&[(LINK, "a", "b"), (LINK, "b", "a"), (FILE, "a/file", "")]]);
    assert_snapshot!(shown, @r"
    refused: it cannot be unpacked
    a -> b
    b -> a
    ");
}

#[test]
fn what_is_too_large_is_refused_before_it_fills_the_disk() {
    let bounds = Bounds { bytes: 10, entries: 3 };
    assert_snapshot!(check_within(bounds, &[&[(FILE, "a", "12345"), (FILE, "b", "12345")]]), @r"
    a: 12345
    b: 12345
    ");
    assert_snapshot!(check_within(bounds, &[&[(FILE, "a", "12345"), (FILE, "b", "123456")]]), @r"
    refused: the image holds more than 10 bytes or 3 entries
    a: 12345
    ");
    assert_snapshot!(check_within(bounds, &[&[(FILE, "a", "12345")], &[(FILE, "b", "123456")]]), @r"
    refused: the image holds more than 10 bytes or 3 entries
    a: 12345
    ");
    let many = [(FILE, "a", ""), (FILE, "b", ""), (FILE, "c", ""), (FILE, "d", "")];
    assert!(check_within(bounds, &[&many]).starts_with("refused: "));
}

/// Zeros without end behind a header that says that they are a name.
#[test]
fn a_name_of_gigabytes_is_not_read_into_memory() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(header.as_bytes()).expect("in memory");
    gzip.write_all(&vec![0; 64 << 20]).expect("in memory");
    let bytes = gzip.finish().expect("in memory");
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = Tree::new(folder.path(), Bounds::default());
    let error = tree.apply(bytes.as_slice(), true, "").expect_err("refused");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert_snapshot!(format!("{error}: {cause}"), @"it cannot be unpacked: more than is allowed");
}

#[test]
fn damaged_layers_are_refused() {
    let bytes = archive(&[(FILE, "file", "content")]);
    let folder = tempfile::tempdir().expect("a folder");
    let apply = |bytes: &[u8], gzip, digest: &str| {
        let error =
            Tree::new(folder.path(), Bounds::default()).apply(bytes, gzip, digest).expect_err("refused");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    };
    assert_snapshot!(apply(&bytes, false, "sha256:other").replace(&digest(&bytes), "FOUND"), @"its content has the digest FOUND and not sha256:other:");
    assert_snapshot!(apply(&bytes, true, &digest(&bytes)), @"it cannot be unpacked: invalid gzip header");
    assert_snapshot!(apply(&bytes[..515], false, &digest(&bytes[..515])), @"it cannot be unpacked: unexpected EOF during skip");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).expect("in memory");
    let packed = gzip.finish().expect("in memory");
    assert_snapshot!(apply(&packed[..packed.len() / 2], true, &digest(&bytes)), @"it cannot be unpacked: incomplete deflate stream");
}

#[test]
fn modes_are_the_layer_s_without_special_rights() {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, mode) in
        [("dir", FOLDER, 0o1555), ("dir/program", FILE, 0o4755), ("dir/secret", FILE, 0)]
    {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        builder.append_data(&mut header, path, io::empty()).expect("in memory");
    }
    let bytes = builder.into_inner().expect("in memory");
    let folder = tempfile::tempdir().expect("a folder");
    Tree::new(folder.path(), Bounds::default())
        .apply(bytes.as_slice(), false, &digest(&bytes))
        .expect("unpacked");
    let mode = |path: &str| folder.path().join(path).metadata().expect("there").permissions().mode() & 0o7777;
    let shown = ["dir", "dir/program", "dir/secret"].map(|path| format!("{path} {:o}", mode(path)));
    assert_snapshot!(shown.join("\n"), @r"
    dir 755
    dir/program 755
    dir/secret 0
    ");
}

#[test]
fn places_for_mounts_are_real_or_the_image_is_refused() {
    let prepare = |items: &[Item<'_>]| {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = archive(items);
        let mut tree = Tree::new(folder.path(), Bounds::default());
        tree.apply(bytes.as_slice(), false, &digest(&bytes)).expect("unpacked");
        match layout::prepare(folder.path()) {
            Ok(()) => {
                let mut out = String::new();
                list(folder.path(), "", &mut out);
                out
            }
            Err(error) => format!("refused: {error}"),
        }
    };
    let odd = [
        (LINK, "opt", "/etc"),
        (LINK, "etc/resolv.conf", "../run/x"),
        (FILE, "tmp", ""),
        (FILE, "etc/hosts", "own"),
    ];
    assert_snapshot!(prepare(&odd), @r"
    dev/
    etc/
    etc/group: 
    etc/hosts: own
    etc/passwd: 
    etc/resolv.conf: 
    opt/
    proc/
    tmp/
    var/
    var/task/
    ");
    assert_snapshot!(prepare(&[(LINK, "var", "/etc")]), @"refused: the image has no folder at `/var`");
    assert_snapshot!(prepare(&[(LINK, "etc", "/etc")]), @"refused: the image has no folder at `/etc`");
    assert!(prepare(&[(FOLDER, "etc/passwd", "")]).starts_with("refused: "));
}
