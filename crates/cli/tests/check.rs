//! `layercake check` on zips made here: exit codes, the page, the document, the guess.

mod support;

use camino::Utf8PathBuf;
use layercake_core::zip::{FileMode, ZipWriter};

use support::{TestEnv, tidy};

/// `e_machine` of the two architectures.
const X86_64: u16 = 62;
const ARM64: u16 = 183;

/// The smallest shared library that the loader would read: it needs these others.
fn library(machine: u16, needed: &[&str]) -> Vec<u8> {
    let mut names = vec![0_u8];
    let mut dynamic: Vec<u64> = Vec::new();
    for name in needed {
        dynamic.extend([1, names.len() as u64]);
        names.extend(name.bytes().chain([0]));
    }
    let (header, segments) = (64, 2 * 56);
    let names_at = (header + segments) as u64;
    let padding = names.len().next_multiple_of(8) - names.len();
    names.extend(vec![0; padding]);
    // DT_STRTAB, DT_STRSZ, DT_NULL.
    dynamic.extend([5, names_at, 10, names.len() as u64, 0, 0]);
    let dynamic_at = names_at + names.len() as u64;
    let dynamic: Vec<u8> = dynamic.iter().flat_map(|word| word.to_le_bytes()).collect();
    let length = dynamic_at + dynamic.len() as u64;

    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([3_u16, machine].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0_u64, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64_u16, 56, 2, 64, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    // PT_LOAD of the whole file at address 0, PT_DYNAMIC within.
    for (kind, offset, size) in [(1_u32, 0, length), (2, dynamic_at, dynamic.len() as u64)] {
        bytes.extend([kind, 5].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend([offset, offset, offset, size, size, 8].into_iter().flat_map(u64::to_le_bytes));
    }
    bytes.extend(names);
    bytes.extend(dynamic);
    bytes
}

/// Writes a zip and answers its path.
fn zip(env: &TestEnv, name: &str, files: &[(&str, &[u8])]) -> Utf8PathBuf {
    let mut writer = ZipWriter::new(Vec::new());
    for (path, bytes) in files {
        writer.file_from_bytes(path, FileMode::Regular, bytes).expect("written to memory");
    }
    let (bytes, _) = writer.finish().expect("finished in memory");
    let path = env.root().join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

fn metadata(name: &str, version: &str, more: &str) -> Vec<u8> {
    format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}\n").into_bytes()
}

/// A sound layer for python3.12 on x86_64.
fn sound(env: &TestEnv) -> Utf8PathBuf {
    zip(
        env,
        "layer.zip",
        &[
            ("python/fast-1.0.dist-info/METADATA", &metadata("fast", "1.0", "Requires-Dist: slow>=1\n")),
            ("python/fast/__init__.py", b"from . import core\n"),
            (
                "python/fast/core.cpython-312-x86_64-linux-gnu.so",
                &library(X86_64, &["libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"]),
            ),
            ("python/slow-1.5.dist-info/METADATA", &metadata("slow", "1.5", "")),
            ("python/slow.py", b""),
        ],
    )
}

#[test]
fn a_sound_layer_passes_and_its_runtime_is_guessed() {
    let env = TestEnv::new();
    sound(&env);
    insta::assert_snapshot!(env.run(&["check", "layer.zip"]).told(&env), @r"
    exit 0
    checking for python3.12: 1 compiled module is for Python 3.12
    layer.zip: 941 B zipped, 456 B unzipped
    together 456 B of 262.1 MB unzipped, 262.1 MB left
    will run on python3.12 (x86_64)
    ");
    insta::assert_snapshot!(env.run(&["check", "layer.zip", "--runtime", "python3.12", "--arch", "arm64"]).told(&env), @r"
    exit 1
    error: it is compiled for x86_64; python3.12 imports `.cpython-312-aarch64-linux-gnu.so` [other-architecture]
      in:  python/fast/core.cpython-312-x86_64-linux-gnu.so (layer.zip)
      fix: build it for the target: `layercake build fast --runtime python3.12 --arch arm64`; or let the function run on python3.12 and x86_64

    layer.zip: 941 B zipped, 456 B unzipped
    together 456 B of 262.1 MB unzipped, 262.1 MB left
    will NOT run on python3.12 (arm64): 1 error
    ");
}

#[test]
fn what_is_missing_is_told_with_its_fix() {
    let env = TestEnv::new();
    let module = library(X86_64, &["libGL.so.1", "libc.so.6"]);
    let files: Vec<(String, Vec<u8>)> =
        (1..=5).map(|number| (format!("python/cv2/part{number}.abi3.so"), module.clone())).collect();
    let meta = metadata("opencv-python", "4.9", "Requires-Dist: numpy>=2; python_version >= '3.9'\n");
    let mut entries: Vec<(&str, &[u8])> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    entries.push(("python/opencv_python-4.9.dist-info/METADATA", &meta));
    zip(&env, "cv.zip", &entries);
    insta::assert_snapshot!(env.run(&["check", "cv.zip", "--runtime", "python3.12"]).told(&env), @r"
    exit 1
    error: it needs `libGL.so.1`, which is neither in the layers nor in python3.12 (Amazon Linux 2023); usually it is asked for by opencv-python [missing-library]
      in:  python/cv2/part1.abi3.so (cv.zip)
      in:  python/cv2/part2.abi3.so (cv.zip)
      in:  python/cv2/part3.abi3.so (cv.zip)
           and 2 more
      fix: take opencv-python-headless, which has the same `cv2` without windows

    warning: opencv-python requires `numpy>=2`, which is not there by that name; some packages are there without metadata, so it may be one of them [missing-requirement]
      in:  python/opencv_python-4.9.dist-info (cv.zip)
      fix: add it: `layercake build opencv-python --runtime python3.12 --arch x86_64` takes it along; if another layer has it, name that layer as well

    cv.zip: 1.3 kB zipped, 1.5 kB unzipped
    together 1.5 kB of 262.1 MB unzipped, 262.1 MB left
    will NOT run on python3.12 (x86_64): 5 errors, 1 warning
    ");

    // Another layer brings the one, and the requirement is none on the older runtime.
    let gl = library(X86_64, &["libc.so.6"]);
    zip(&env, "gl.zip", &[("lib/libGL.so.1", &gl)]);
    let answer = env.run(&["check", "cv.zip", "--with", "gl.zip", "--runtime", "python3.8"]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 0
    cv.zip: 1.3 kB zipped, 1.5 kB unzipped
    gl.zip: 204 B zipped, 256 B unzipped
    together 1.8 kB of 262.1 MB unzipped, 262.1 MB left
    will run on python3.8 (x86_64)
    ");
}

#[test]
fn every_runtime_asked_for_must_do() {
    let env = TestEnv::new();
    sound(&env);
    let answer = env.run(&["check", "layer.zip", "--runtime", "python3.12", "--runtime", "python3.9"]);
    assert_eq!(answer.code, Some(1));
    let verdicts: Vec<_> = answer.stdout.lines().filter(|line| line.starts_with("will ")).collect();
    insta::assert_snapshot!(verdicts.join("\n"), @r"
    will run on python3.12 (x86_64)
    will NOT run on python3.9 (x86_64): 1 error
    ");
}

#[test]
fn function_settings_count() {
    let env = TestEnv::new();
    sound(&env);
    zip(&env, "code.zip", &[("app.py", b"import fast\n")]);
    let checked = |more: &[&str]| {
        let mut arguments = vec!["check", "layer.zip", "--function", "code.zip"];
        arguments.extend(more);
        env.run(&arguments)
    };
    assert_eq!(checked(&["--handler", "app.handler", "--strict"]).code, Some(0));
    let answer = checked(&["--handler", "main.handler", "--env", "PYTHONPATH=lib"]);
    insta::assert_snapshot!(answer.told(&env), @r"
    exit 1
    checking for python3.12: 1 compiled module is for Python 3.12
    error: the function's variable PYTHONPATH (`lib`) switches /opt/python off, where the layers have packages [python-path]
      fix: take PYTHONPATH out, or add `/opt/python` to it

    error: handler `main.handler` needs `main.py`, and the app has no such file [missing-handler]
      in:  code.zip
      fix: the part of the handler before its last dot is the file, without .py

    layer.zip: 941 B zipped, 456 B unzipped
    code.zip: 122 B zipped, 12 B unzipped
    together 468 B of 262.1 MB unzipped, 262.1 MB left
    will NOT run on python3.12 (x86_64): 2 errors
    ");
}

#[test]
fn strict_counts_warnings() {
    let env = TestEnv::new();
    zip(&env, "layer.zip", &[("python/p/__init__.py", b""), ("python/calendar.py", b"")]);
    let checked = |more: &[&str]| {
        let mut arguments = vec!["check", "layer.zip", "--runtime", "python3.12"];
        arguments.extend(more);
        let answer = env.run(&arguments);
        (answer.code, answer.stdout.lines().last().unwrap_or_default().to_owned())
    };
    assert_eq!(checked(&[]), (Some(0), "will run on python3.12 (x86_64): 1 warning".to_owned()));
    assert_eq!(
        checked(&["--strict"]),
        (Some(1), "will run on python3.12 (x86_64), but --strict counts warnings: 1 warning".to_owned())
    );
}

#[test]
fn the_document_has_all_findings() {
    let env = TestEnv::new();
    zip(&env, "layer.zip", &[("pandas/__init__.py", b""), ("pandas/x.abi3.so", &library(ARM64, &[]))]);
    let answer = env.run(&["check", "layer.zip", "--runtime", "python3.13", "--json"]);
    assert_eq!(answer.code, Some(1));
    let mut document: serde_json::Value = serde_json::from_str(&answer.stdout).expect("a JSON document");
    // Depends on how well a few bytes compress.
    document["verdicts"][0]["sizes"]["zips"][0]["zipped"] = serde_json::Value::Null;
    let text = serde_json::to_string_pretty(&document).expect("JSON");
    insta::assert_snapshot!(tidy(&text, &env), @r#"
    {
      "format": 1,
      "verdicts": [
        {
          "target": {
            "runtime": "python3.13",
            "arch": "x86_64"
          },
          "runs": false,
          "sizes": {
            "zips": [
              {
                "name": "layer.zip",
                "zipped": null,
                "unzipped": 232
              }
            ],
            "unzipped": 232,
            "limit": 262144000,
            "left": 262143768
          },
          "findings": [
            {
              "severity": "error",
              "code": "misplaced-packages",
              "why": "the packages lie at the top of the zip; Python on Lambda looks for a layer's packages in `python/` only",
              "fix": "zip the folder `python` that holds the packages: this file must be `python/pandas/__init__.py`",
              "inZip": "layer.zip",
              "file": "pandas/__init__.py"
            },
            {
              "severity": "error",
              "code": "other-architecture",
              "why": "it is compiled for arm64, not for x86_64",
              "fix": "build it for the target: `layercake build` with `--runtime python3.13 --arch x86_64`",
              "inZip": "layer.zip",
              "file": "pandas/x.abi3.so"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let env = TestEnv::new();
    zip(&env, "pure.zip", &[("python/p/__init__.py", b"")]);
    insta::assert_snapshot!(env.run(&["check", "pure.zip"]).told(&env), @r"
    exit 2
    error: nothing in the zips tells which runtime they are for
      hint: name it, as with --runtime python3.12
    ");
    insta::assert_snapshot!(env.run(&["check", "none.zip"]).told(&env), @r"
    exit 1
    error: cannot read `none.zip`
      cause: No such file or directory (os error 2)
      hint: look for a typing mistake, or build it first
    ");
    std::fs::write(env.root().join("text.zip"), "no zip").expect("written");
    let answer = env.run(&["check", "text.zip", "--runtime", "python3.12"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.starts_with("error: `text.zip` is refused"), "{}", answer.stderr);
    assert_eq!(env.run(&["check"]).code, Some(2));
}
