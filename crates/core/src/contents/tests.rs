//! Zips made by hand, and what is found in them.

use std::collections::BTreeMap;

use super::*;
use crate::zip::Method;

/// Looks through an archive of these files; prints the distributions, then each file with its owner.
fn check(files: &[(&str, &str)]) -> String {
    let contents = collect(files);
    let mut lines = Vec::new();
    for distribution in &contents.distributions {
        lines.push(format!("{} {} in {}", distribution.name, distribution.version, distribution.folder));
    }
    for file in &contents.files {
        let owner = contents.owner(file).map_or("-", |distribution| distribution.name.as_str());
        lines.push(format!("{owner:<9} {}", file.path));
    }
    lines.join("\n")
}

fn collect(files: &[(&str, &str)]) -> Contents {
    let texts: BTreeMap<&str, &str> = files.iter().copied().collect();
    let entries = files.iter().map(|(path, text)| entry(path, EntryKind::File, text.len() as u64)).collect();
    Contents::collect(&Archive { entries }, |entry, most| {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = texts[entry.path.as_str()].as_bytes();
        Ok::<_, std::convert::Infallible>(bytes[..bytes.len().min(most)].to_owned())
    })
    .expect("everything is readable")
}

fn entry(path: &str, kind: EntryKind, size: u64) -> Entry {
    let method = Method::Stored;
    Entry { path: path.to_owned(), kind, permissions: 0o644, method, crc32: 0, size, modified: 0, data: 0..0 }
}

#[test]
fn a_layer_made_by_pip_is_taken_apart_by_its_records() {
    insta::assert_snapshot!(
        check(&[
            ("python/bin/f2py", "#!"),
            ("python/numpy/__init__.py", ""),
            ("python/numpy/__pycache__/__init__.cpython-312.pyc", "x"),
            ("python/numpy/core/added-later.txt", ""),
            ("python/numpy.libs/libopenblas64_p-r0.so", ""),
            ("python/odd, name.py", ""),
            ("python/NumPy-2.3.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: NumPy\nVersion: 2.3.0\n"),
            (
                "python/NumPy-2.3.0.dist-info/RECORD",
                "../../bin/f2py,,\nnumpy/__init__.py,sha256=x,1\nnumpy.libs/libopenblas64_p-r0.so,,\n\"odd, name.py\",,\nsix.py,,\n/etc/passwd,,\n../../../../handler.py,,\n",
            ),
            ("python/NumPy-2.3.0.dist-info/INSTALLER", "pip"),
            ("python/__pycache__/six.cpython-312.pyc", "x"),
            ("python/notes.txt", ""),
            ("handler.py", ""),
        ]),
        @r"
    numpy 2.3.0 in python/NumPy-2.3.0.dist-info
    -         handler.py
    numpy     python/NumPy-2.3.0.dist-info/INSTALLER
    numpy     python/NumPy-2.3.0.dist-info/METADATA
    numpy     python/NumPy-2.3.0.dist-info/RECORD
    numpy     python/__pycache__/six.cpython-312.pyc
    numpy     python/bin/f2py
    -         python/notes.txt
    numpy     python/numpy.libs/libopenblas64_p-r0.so
    numpy     python/numpy/__init__.py
    numpy     python/numpy/__pycache__/__init__.cpython-312.pyc
    numpy     python/numpy/core/added-later.txt
    numpy     python/odd, name.py
    "
    );
}

#[test]
fn without_records_names_tell() {
    insta::assert_snapshot!(
        check(&[
            ("python/lib/python3.9/site-packages/PIL/Image.py", ""),
            ("python/lib/python3.9/site-packages/Pillow.libs/libjpeg.so", ""),
            ("python/lib/python3.9/site-packages/Pillow-9.dist-info/top_level.txt", "PIL\n"),
            ("python/lib/python3.9/site-packages/six.py", ""),
            ("python/lib/python3.9/site-packages/six-1.17.0-py3.9.egg-info", "Name: six\nVersion: 1.17.0\n"),
            ("python/lib/python3.9/site-packages/ruamel_yaml/x.py", ""),
            ("python/lib/python3.9/site-packages/ruamel.yaml-0.18.egg-info/PKG-INFO", "Name: ruamel.yaml\nVersion: 0.18\n"),
            ("python/lib/python3.9/site-packages/other/x.py", ""),
        ]),
        @r"
    pillow 9 in python/lib/python3.9/site-packages/Pillow-9.dist-info
    ruamel-yaml 0.18 in python/lib/python3.9/site-packages/ruamel.yaml-0.18.egg-info
    six 1.17.0 in python/lib/python3.9/site-packages/six-1.17.0-py3.9.egg-info
    pillow    python/lib/python3.9/site-packages/PIL/Image.py
    pillow    python/lib/python3.9/site-packages/Pillow-9.dist-info/top_level.txt
    pillow    python/lib/python3.9/site-packages/Pillow.libs/libjpeg.so
    -         python/lib/python3.9/site-packages/other/x.py
    ruamel-yaml python/lib/python3.9/site-packages/ruamel.yaml-0.18.egg-info/PKG-INFO
    ruamel-yaml python/lib/python3.9/site-packages/ruamel_yaml/x.py
    six       python/lib/python3.9/site-packages/six-1.17.0-py3.9.egg-info
    six       python/lib/python3.9/site-packages/six.py
    "
    );
}

#[test]
fn what_several_distributions_share_is_told_apart() {
    insta::assert_snapshot!(
        check(&[
            ("google/auth/a.py", ""),
            ("google/auth/data/unknown.bin", ""),
            ("google/api/b.py", ""),
            ("google/unknown.bin", ""),
            ("google_auth-2.dist-info/RECORD", "google/auth/a.py,,\ngoogle/mine.py,,\n"),
            ("google_api-1.dist-info/RECORD", "google/api/b.py,,\ngoogle/shared.py,,\ngoogle/own.py,,\n"),
            ("google/shared.py", ""),
            ("google/own.py", ""),
            ("google/mine.py", ""),
        ]),
        @r"
    google-api 1 in google_api-1.dist-info
    google-auth 2 in google_auth-2.dist-info
    google-api google/api/b.py
    google-auth google/auth/a.py
    google-auth google/auth/data/unknown.bin
    google-auth google/mine.py
    google-api google/own.py
    google-api google/shared.py
    -         google/unknown.bin
    google-api google_api-1.dist-info/RECORD
    google-auth google_auth-2.dist-info/RECORD
    "
    );
}

#[test]
fn what_a_package_carries_inside_itself_is_not_installed() {
    insta::assert_snapshot!(
        check(&[
            ("python/__init__.py", ""),
            ("python/setuptools/__init__.py", ""),
            ("python/setuptools/_vendor/wheel/x.py", ""),
            ("python/setuptools/_vendor/wheel-0.43.dist-info/METADATA", "Name: wheel\nVersion: 0.43\n"),
            ("python/setuptools/_vendor/wheel-0.43.dist-info/RECORD", "wheel/x.py,,\n"),
            ("python/setuptools-80.dist-info/METADATA", "Name: setuptools\nVersion: 80\n"),
        ]),
        @r"
    setuptools 80 in python/setuptools-80.dist-info
    -         python/__init__.py
    setuptools python/setuptools-80.dist-info/METADATA
    setuptools python/setuptools/__init__.py
    setuptools python/setuptools/_vendor/wheel-0.43.dist-info/METADATA
    setuptools python/setuptools/_vendor/wheel-0.43.dist-info/RECORD
    setuptools python/setuptools/_vendor/wheel/x.py
    "
    );
}

#[test]
fn metadata_is_read_as_a_mail_header() {
    let text = "Metadata-Version: 2.1\r\nname: Fo.O\r\nVersion: 1.0\r\nRequires-Python: >=3.9,\r\n\t!=3.10.*\r\nRequires-Dist: a>=1\r\n  ; extra == 'x'\r\nno field\r\nRequires-Dist: b\x1b[2J\r\n\r\nRequires-Dist: description\r\n";
    let contents = collect(&[("foo-9.dist-info/METADATA", text)]);
    insta::assert_debug_snapshot!(contents.distributions, @r#"
    [
        Distribution {
            name: "fo-o",
            version: "1.0",
            folder: "foo-9.dist-info",
            requires_python: Some(
                ">=3.9, !=3.10.*",
            ),
            requires: [
                "a>=1 ; extra == 'x'",
                "b[2J",
            ],
        },
    ]
    "#);
}

#[test]
fn a_name_or_version_that_could_not_be_printed_is_taken_from_the_folder() {
    let check = |text| {
        let contents = collect(&[("foo-9.dist-info/METADATA", text)]);
        format!("{} {}", contents.distributions[0].name, contents.distributions[0].version)
    };
    assert_eq!(check("Name: bar\nVersion: 1\n"), "bar 1");
    assert_eq!(check("Name: <b>\nVersion: 1 \u{202e} 2\n"), "foo 9");
    assert_eq!(check(""), "foo 9");
}

#[test]
fn only_what_may_be_an_elf_file_is_read_and_only_elf_files_are_read_whole() {
    let mut entries = vec![
        entry("python/x/a.so", EntryKind::File, 100),
        entry("python/x/text.so", EntryKind::File, 100),
        entry("python/x/libz.so.1.2", EntryKind::File, 100),
        entry("python/x/bomb.so", EntryKind::File, limits::UNZIPPED_BYTES + 1),
        entry("python/lib/python3.12/site-packages/x.py", EntryKind::File, 100),
        entry("lib/libwithout", EntryKind::File, 100),
        entry("bin/empty", EntryKind::File, 0),
        entry("tool", EntryKind::File, 100),
        entry("data.bin", EntryKind::File, 100),
        entry("folder.so", EntryKind::Folder, 0),
        entry("link.so", EntryKind::Symlink, 8000),
        entry("x-1.dist-info/METADATA", EntryKind::File, 1 << 40),
    ];
    entries[7].permissions = 0o755;
    let mut asked = Vec::new();
    let contents = Contents::collect(&Archive { entries }, |entry, most| {
        asked.push(format!("{} {most}", entry.path));
        let bytes: &[u8] = if entry.path.contains("text") { b"text" } else { ELF_MAGIC };
        Ok::<_, std::convert::Infallible>(bytes.to_owned())
    })
    .expect("everything is readable");
    insta::assert_snapshot!(asked.join("\n"), @r"
    python/x/a.so 4
    python/x/a.so 100
    python/x/text.so 4
    python/x/libz.so.1.2 4
    python/x/libz.so.1.2 100
    lib/libwithout 4
    lib/libwithout 100
    tool 4
    tool 100
    link.so 4096
    x-1.dist-info/METADATA 1048576
    ");
    let damaged: Vec<_> = contents.files.iter().filter(|file| file.damage.is_some()).collect();
    insta::assert_snapshot!(damaged.iter().map(|f| f.path.as_str()).collect::<Vec<_>>().join("\n"), @r"
    lib/libwithout
    python/x/a.so
    python/x/libz.so.1.2
    tool
    ");
    let link = contents.files.iter().find(|file| file.path == "link.so").expect("it is there");
    assert_eq!(link.points_to.as_deref(), Some("\u{7f}ELF"));
}

#[test]
fn texts_are_read_until_there_are_too_many_of_them() {
    let entries =
        (0..100).map(|n| entry(&format!("x-{n}.dist-info/RECORD"), EntryKind::File, u64::MAX)).collect();
    let archive = Archive { entries };
    let readings = readings(&archive);
    assert_eq!(readings.iter().map(Reading::bytes).sum::<u64>(), MOST_TEXT);
}
