//! Apps: what counts as code, what is asked for, and whether it compiles.

use std::os::unix::fs::symlink;

use camino::Utf8Path;
use insta::assert_snapshot;
use layercake_core::zip::{Archive, ReadLimits};

use super::{Folder, told};
use crate::{app::App, syntax::check_syntax};

fn check(path: &Utf8Path, folder: &Folder) -> String {
    let text = match App::read(path) {
        Ok(app) => {
            let mut lines = vec![format!("name {}", app.name)];
            lines.extend(app.files.iter().map(|file| format!("{} {:?}", file.path, file.mode)));
            for line in &app.asked.requirements.lines {
                lines.push(format!("asks for {}  [{}]", line.text, line.origin));
            }
            lines.extend(app.requires_python.map(|python| format!("python {python}")));
            lines.join("\n")
        }
        Err(error) => told(&error),
    };
    text.replace(folder.path().as_str(), "[FOLDER]")
}

#[test]
fn a_folder_gives_its_code_and_requirements() {
    let folder = Folder::new();
    for (name, text) in [
        ("my-app/app.py", "def lambda_handler(event, context): ..."),
        ("my-app/requirements.txt", "pandas\n"),
        ("my-app/lib/data.json", "{}"),
        ("my-app/.git/config", ""),
        ("my-app/.layercake/journal", ""),
        ("my-app/__pycache__/app.cpython-312.pyc", ""),
        ("my-app/lib/old.pyc", ""),
        ("my-app/.venv/bin/python", ""),
        ("my-app/other-env/pyvenv.cfg", ""),
        ("my-app/node_modules/x.js", ""),
        ("my-app/.DS_Store", ""),
        ("my-app/.env", "A=1"),
    ] {
        folder.write(name, text);
    }
    symlink("lib", folder.path().join("my-app/link")).expect("a link");
    assert_snapshot!(check(&folder.path().join("my-app"), &folder), @r"
    name my-app
    .env Regular
    app.py Regular
    lib/data.json Regular
    link/data.json Regular
    requirements.txt Regular
    asks for pandas  [requirements.txt:1]
    ");
}

#[test]
fn a_file_gives_itself_and_the_dependencies_in_it() {
    let folder = Folder::new();
    folder.write("requirements.txt", "not-this-one");
    let script = "# /// script\n# requires-python = \">=3.9\"\n# dependencies = [\"pandas<3\"]\n# ///\n";
    let path = folder.write("handler.py", script);
    assert_snapshot!(check(&path, &folder), @r"
    name handler
    handler.py Regular
    asks for pandas<3  [handler.py (PEP 723)]
    python >=3.9
    ");
    folder.write("handler.py", "# /// script\n# dependencies = 3\n# ///\n");
    assert_snapshot!(check(&path, &folder), @r#"
    error: cannot read the dependencies in `[FOLDER]/handler.py`
      the `# /// script` block in line 1 is not valid: invalid type: integer `3`, expected a sequence
    hint: the block starts with `# /// script`, ends with `# ///`, and holds TOML such as `# dependencies = ["pandas"]` (PEP 723)
    "#);
}

#[test]
fn what_is_no_app_is_refused() {
    let folder = Folder::new();
    let check_name = |name: &str| check(&folder.path().join(name), &folder);
    assert_snapshot!(check_name("missing"), @r"
    error: there is no app at `[FOLDER]/missing`
    hint: give the folder that holds the function's code, or one .py file
    ");
    folder.write("notes.txt", "");
    assert_snapshot!(check_name("notes.txt"), @r"
    error: `[FOLDER]/notes.txt` is neither a folder nor a .py file
    hint: give the folder that holds the function's code, or one .py file
    ");
    folder.write("empty/.git/config", "");
    assert_snapshot!(check_name("empty"), @r"
    error: the folder `[FOLDER]/empty` has no code in it
    hint: give the folder that holds the function's code, or one .py file
    ");
    folder.write("out/app.py", "");
    symlink("/etc/hostname", folder.path().join("out/host")).expect("a link");
    assert!(check_name("out").starts_with("error: `host` is a symbolic link that leaves the app's folder"));
    folder.write("loop/app.py", "");
    symlink(".", folder.path().join("loop/again")).expect("a link");
    assert_snapshot!(check_name("loop"), @r"
    error: `again` is a symbolic link to a folder around itself
    hint: move it out of the app's folder
    ");
    folder.write("circle/a/app.py", "");
    folder.write("circle/b/app.py", "");
    symlink("../b", folder.path().join("circle/a/to-b")).expect("a link");
    symlink("../a", folder.path().join("circle/b/to-a")).expect("a link");
    let text = check_name("circle");
    assert!(text.contains("to-a") && text.contains("is a symbolic link to a folder around itself"), "{text}");
    folder.write("dangling/app.py", "");
    symlink("nowhere", folder.path().join("dangling/link")).expect("a link");
    assert_snapshot!(check_name("dangling"), @r"
    error: cannot read `[FOLDER]/dangling/link`
      No such file or directory (os error 2)
    hint: make it readable, or move it out of the app's folder
    ");
    folder.write("name/a\\b.py", "");
    assert_snapshot!(check_name("name"), @r"
    error: `a\b.py` has a name that cannot be packed: entry `a\\b.py` has an unsafe path: it is a Windows path
    hint: rename it
    ");
    folder.write("bad/app.py", "");
    folder.write("bad/requirements.txt", "pandas\n--use-feature=x");
    assert_snapshot!(check_name("bad"), @r"
    error: requirements.txt:2 uses the option `--use-feature`, which is not supported
    hint: take it out of the file
    ");
}

#[test]
fn folders_of_others_are_passed_over() {
    let folder = Folder::new();
    for name in ["app/app.py", "app/cloud/blobs/x", "app/lib/state/journal", "app/lib/state.py"] {
        folder.write(name, "");
    }
    symlink("lib/state", folder.path().join("app/link")).expect("a link");
    let root = folder.path().join("app");
    let others = ["cloud", "lib/../lib/state", "missing", "."].map(|name| root.join(name));
    let app = App::read_without(&root, &others).expect("an app");
    let paths: Vec<_> = app.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["app.py", "lib/state.py"]);
}

#[test]
fn the_code_zip_depends_on_the_code_only() {
    let folder = Folder::new();
    let pack = |name: &str| {
        folder.write(&format!("{name}/b.py"), "print(1)\n");
        folder.write(&format!("{name}/a/c.txt"), "c");
        let app = App::read(&folder.path().join(name)).expect("an app");
        app.pack(&folder.path().join(format!("{name}.zip"))).expect("room on the disk")
    };
    let (one, other) = (pack("one"), pack("other"));
    assert_eq!((one.sha256, one.size, one.unzipped), (other.sha256, other.size, 10));
    let bytes = std::fs::read(&one.path).expect("it is there");
    let archive = Archive::read(&bytes, &ReadLimits::WHEEL).expect("it is sound");
    let paths: Vec<_> = archive.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a/c.txt", "b.py"]);
}

#[test]
fn code_that_does_not_compile_is_told_with_its_line() {
    let folder = Folder::new();
    let check = |text: &[u8]| {
        folder.write("app/app.py", "");
        std::fs::write(folder.path().join("app/app.py"), text).expect("writable");
        folder.write("app/notes.txt", "not ( python");
        let app = App::read(&folder.path().join("app")).expect("an app");
        match check_syntax(Utf8Path::new("python3"), &app.files) {
            Ok(()) => "fine".to_owned(),
            // What Python says differs from version to version; where it says it does not.
            Err(error) => {
                let text = told(&error);
                text.split(" is not valid").next().unwrap_or_default().to_owned()
            }
        }
    };
    assert_snapshot!(check(b"import nothing_of_the_kind\nprint('x')\n"), @"fine");
    assert_snapshot!(check(b"x = 1\ndef f(:\n    pass\n"), @"error: `app.py` line 2");
    assert_snapshot!(check(b"if x:\nprint()\n"), @"error: `app.py` line 2");
    assert_snapshot!(check(b"x = '\xff'\n"), @"error: `app.py` line 1");
    assert!(check(b"x = 1\0\n").starts_with("error: `app.py` line"));
    assert!(!folder.path().join("app/__pycache__").exists(), "nothing is written");
    let app = App::read(&folder.path().join("app")).expect("an app");
    let error = check_syntax(Utf8Path::new("/no/such/python"), &app.files).expect_err("no such file");
    assert_snapshot!(told(&error), @r"
    error: cannot check the code with the interpreter `/no/such/python`: No such file or directory (os error 2)
    hint: choose another interpreter with --python
    ");
}
