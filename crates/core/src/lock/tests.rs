//! Locks: written, read back, refused, compared.

use insta::assert_snapshot;

use super::*;
use crate::{
    Hint as _,
    hash::Sha256,
    resolution::{self, Resolution, ResolvedWheel},
};

fn target(text: &str) -> Target {
    let (runtime, arch) = text.split_once(' ').unwrap_or((text, "x86_64"));
    Target { runtime: runtime.parse().expect("a runtime"), arch: arch.parse().expect("an architecture") }
}

/// A wheel by its file name; `needed by` the packages named.
fn wheel(filename: &str, required_by: &[&str]) -> ResolvedWheel {
    let (name, rest) = filename.split_once('-').expect("a wheel's name");
    ResolvedWheel {
        name: crate::wheel::normalised_name(name),
        version: rest.split('-').next().unwrap_or_default().to_owned(),
        filename: filename.to_owned(),
        url: format!("https://files.example/{filename}"),
        sha256: Sha256::of(filename.as_bytes()),
        size: Some(filename.len() as u64),
        required_by: required_by.iter().map(|&name| name.to_owned()).collect(),
        asked: required_by.is_empty(),
        source: None,
    }
}

fn inputs(targets: &[&str], requirements: &[&str]) -> LockedInputs {
    LockedInputs {
        targets: targets.iter().map(|text| target(text)).collect(),
        requirements: requirements.iter().map(|&text| text.to_owned()).collect(),
        constraints: Vec::new(),
    }
}

/// A wheel's file name, and the packages that need it.
type Needed<'a> = (&'a str, &'a [&'a str]);

/// The lock of wheels for each target, with hashes cut short.
fn check(resolutions: &[(&str, &[Needed<'_>])]) -> String {
    let targets: Vec<&str> = resolutions.iter().map(|(target, _)| *target).collect();
    let resolutions: Vec<Resolution> = resolutions
        .iter()
        .map(|(text, wheels)| {
            Resolution::new(target(text), wheels.iter().map(|(name, by)| wheel(name, by)).collect())
        })
        .collect();
    let lock = Lock::of(&resolutions, inputs(&targets, &["app"]), Some(">=3.9".to_owned()));
    let text = lock.to_toml();
    assert_eq!(Lock::parse(&text).as_ref(), Ok(&lock), "it reads back as it was");
    let mut reversed = resolutions.clone();
    reversed.reverse();
    let same = Lock::of(&reversed, inputs(&targets, &["app"]), Some(">=3.9".to_owned()));
    assert_eq!(same.to_toml(), text, "the order of the targets does not count");
    short(&text)
}

fn short(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("sha256 = \"") {
        short.push_str(before);
        short.push_str("sha256 = \"");
        let (hash, after) = after.split_at(64);
        short.push_str(&hash[..4]);
        rest = after;
    }
    short + rest
}

#[test]
fn one_target_needs_no_markers() {
    assert_snapshot!(check(&[(
        "python3.12",
        &[("app-1-py3-none-any.whl", &[]), ("lib-2.0-cp312-cp312-manylinux_2_28_x86_64.whl", &["app"])],
    )]), @r#"
    # Written by `layercake lock`. Change the requirements and run it again; edits here are lost.
    lock-version = "1.0"
    environments = [
        "implementation_name == 'cpython' and platform_machine == 'x86_64' and python_version == '3.12' and sys_platform == 'linux'",
    ]
    requires-python = ">=3.9"
    created-by = "layercake"

    [[packages]]
    name = "app"
    version = "1"
    dependencies = [
        { name = "lib" },
    ]
    wheels = [
        { url = "https://files.example/app-1-py3-none-any.whl", size = 22, hashes = { sha256 = "a6cf" } },
    ]

    [[packages]]
    name = "lib"
    version = "2.0"
    wheels = [
        { url = "https://files.example/lib-2.0-cp312-cp312-manylinux_2_28_x86_64.whl", size = 45, hashes = { sha256 = "c35b" } },
    ]

    [tool.layercake]
    targets = [
        { runtime = "python3.12", arch = "x86_64" },
    ]
    requirements = [
        "app",
    ]
    "#);
}

#[test]
fn targets_are_told_apart_as_shortly_as_possible() {
    let shared: Needed<'_> = ("app-1-py3-none-any.whl", &[]);
    assert_snapshot!(check(&[
        ("python3.9", &[shared, ("lib-1-cp39-cp39-manylinux2014_x86_64.whl", &["app"]), ("old-1-py3-none-any.whl", &["lib"])]),
        ("python3.9 arm64", &[shared, ("lib-1-cp39-cp39-manylinux2014_aarch64.whl", &["app"]), ("old-1-py3-none-any.whl", &["lib"])]),
        ("python3.12", &[shared, ("lib-2-cp312-cp312-manylinux_2_28_x86_64.whl", &["app"]), ("one-1-py3-none-any.whl", &[])]),
        ("python3.12 arm64", &[shared, ("lib-2-cp312-cp312-manylinux_2_28_aarch64.whl", &["app"]), ("arm-1-py3-none-any.whl", &[])]),
        ("python3.13", &[shared, ("lib-2-cp313-cp313-manylinux_2_28_x86_64.whl", &["app"])]),
        ("python3.13 arm64", &[shared, ("lib-2-cp313-cp313-manylinux_2_28_aarch64.whl", &["app"]), ("arm-1-py3-none-any.whl", &[])]),
    ]), @r#"
    # Written by `layercake lock`. Change the requirements and run it again; edits here are lost.
    lock-version = "1.0"
    environments = [
        "implementation_name == 'cpython' and platform_machine == 'x86_64' and python_version == '3.9' and sys_platform == 'linux'",
        "implementation_name == 'cpython' and platform_machine == 'aarch64' and python_version == '3.9' and sys_platform == 'linux'",
        "implementation_name == 'cpython' and platform_machine == 'x86_64' and python_version == '3.12' and sys_platform == 'linux'",
        "implementation_name == 'cpython' and platform_machine == 'aarch64' and python_version == '3.12' and sys_platform == 'linux'",
        "implementation_name == 'cpython' and platform_machine == 'x86_64' and python_version == '3.13' and sys_platform == 'linux'",
        "implementation_name == 'cpython' and platform_machine == 'aarch64' and python_version == '3.13' and sys_platform == 'linux'",
    ]
    requires-python = ">=3.9"
    created-by = "layercake"

    [[packages]]
    name = "app"
    version = "1"
    dependencies = [
        { name = "lib", version = "1" },
        { name = "lib", version = "2" },
    ]
    wheels = [
        { url = "https://files.example/app-1-py3-none-any.whl", size = 22, hashes = { sha256 = "a6cf" } },
    ]

    [[packages]]
    name = "arm"
    version = "1"
    marker = "platform_machine == 'aarch64' and (python_version == '3.12' or python_version == '3.13')"
    wheels = [
        { url = "https://files.example/arm-1-py3-none-any.whl", size = 22, hashes = { sha256 = "f8ca" } },
    ]

    [[packages]]
    name = "lib"
    version = "1"
    marker = "python_version == '3.9'"
    dependencies = [
        { name = "old" },
    ]
    wheels = [
        { url = "https://files.example/lib-1-cp39-cp39-manylinux2014_aarch64.whl", size = 41, hashes = { sha256 = "0b8f" } },
        { url = "https://files.example/lib-1-cp39-cp39-manylinux2014_x86_64.whl", size = 40, hashes = { sha256 = "eb26" } },
    ]

    [[packages]]
    name = "lib"
    version = "2"
    marker = "python_version == '3.12' or python_version == '3.13'"
    wheels = [
        { url = "https://files.example/lib-2-cp312-cp312-manylinux_2_28_aarch64.whl", size = 44, hashes = { sha256 = "d37d" } },
        { url = "https://files.example/lib-2-cp312-cp312-manylinux_2_28_x86_64.whl", size = 43, hashes = { sha256 = "62d0" } },
        { url = "https://files.example/lib-2-cp313-cp313-manylinux_2_28_aarch64.whl", size = 44, hashes = { sha256 = "c867" } },
        { url = "https://files.example/lib-2-cp313-cp313-manylinux_2_28_x86_64.whl", size = 43, hashes = { sha256 = "8221" } },
    ]

    [[packages]]
    name = "old"
    version = "1"
    marker = "python_version == '3.9'"
    wheels = [
        { url = "https://files.example/old-1-py3-none-any.whl", size = 22, hashes = { sha256 = "1e38" } },
    ]

    [[packages]]
    name = "one"
    version = "1"
    marker = "platform_machine == 'x86_64' and python_version == '3.12'"
    wheels = [
        { url = "https://files.example/one-1-py3-none-any.whl", size = 22, hashes = { sha256 = "80dc" } },
    ]

    [tool.layercake]
    targets = [
        { runtime = "python3.9", arch = "x86_64" },
        { runtime = "python3.9", arch = "arm64" },
        { runtime = "python3.12", arch = "x86_64" },
        { runtime = "python3.12", arch = "arm64" },
        { runtime = "python3.13", arch = "x86_64" },
        { runtime = "python3.13", arch = "arm64" },
    ]
    requirements = [
        "app",
    ]
    "#);
}

#[test]
fn what_was_built_here_is_locked_as_what_it_was_built_from() {
    let built = |filename: &str, source| ResolvedWheel {
        url: format!("file:///cache/{filename}"),
        source: Some(source),
        ..wheel(filename, &[])
    };
    let wheels = vec![
        built("folder-1-py3-none-any.whl", resolution::Source::Folder { path: "/home/me/folder".to_owned() }),
        built(
            "repo-1-py3-none-any.whl",
            resolution::Source::Git {
                url: "https://git.example/repo".to_owned(),
                commit: "0123abcd".to_owned(),
                requested: Some("main".to_owned()),
                subdirectory: Some("python".to_owned()),
            },
        ),
        built(
            "sdist-1-py3-none-any.whl",
            resolution::Source::Archive {
                url: "https://files.example/sdist-1.tar.gz".to_owned(),
                sha256: Sha256::of(b"sdist"),
                subdirectory: None,
            },
        ),
    ];
    let lock = Lock::of(
        &[Resolution::new(target("python3.12"), wheels)],
        inputs(&["python3.12"], &["folder", "repo", "sdist"]),
        None,
    );
    assert_eq!(Lock::parse(&lock.to_toml()).as_ref(), Ok(&lock));
    let text = short(&lock.to_toml());
    let packages: Vec<_> = text.split("\n\n").skip(1).take(3).collect();
    assert_snapshot!(packages.join("\n\n"), @r#"
    [[packages]]
    name = "folder"
    directory = { path = "/home/me/folder" }

    [[packages]]
    name = "repo"
    vcs = { type = "git", url = "https://git.example/repo", requested-revision = "main", commit-id = "0123abcd", subdirectory = "python" }

    [[packages]]
    name = "sdist"
    version = "1"
    sdist = { url = "https://files.example/sdist-1.tar.gz", hashes = { sha256 = "7147" } }
    "#);
}

#[test]
fn text_that_must_be_quoted_is() {
    let mut lock = Lock::of(&[], inputs(&[], &["a\"\\\n\t\u{1}é"]), None);
    lock.packages.push(LockedPackage {
        name: "a".to_owned(),
        version: None,
        marker: None,
        requires_python: None,
        dependencies: Vec::new(),
        source: Source::Archive {
            file: LockedFile {
                name: "a-1+local-py3-none-any.whl".to_owned(),
                place: Place::Url("https://x.example/a-1%2Blocal-py3-none-any.whl?x=1#y".to_owned()),
                size: None,
                upload_time: None,
                hashes: BTreeMap::from([("sha-3 x".to_owned(), "0".to_owned())]),
            },
            subdirectory: None,
        },
    });
    assert_eq!(Lock::parse(&lock.to_toml()), Ok(lock));
}

fn refused(text: &str) -> String {
    let error = Lock::parse(text).expect_err("it is no lock");
    format!("{error}\nhint: {}", error.hint().unwrap_or_default())
}

#[test]
fn what_is_no_lock_is_refused() {
    assert_snapshot!(refused("lock-version = \"2.0\"\npackages = 3\n"), @r"
    it has version 2.0 of the format, and version 1.0 is known here
    hint: update layercake, or write the lock anew with an older version of the tool that wrote it
    ");
    assert_snapshot!(refused("lock-version = 1\n"), @r"
    it is not a valid lock (line 1): invalid type: integer `1`, expected a string
    hint: write the lock anew with the tool that wrote it
    ");
    assert_snapshot!(refused("created-by = \"x\"\n"), @r"
    it is not a valid lock (line 1): missing field `lock-version`
    hint: write the lock anew with the tool that wrote it
    ");
    assert_snapshot!(refused("lock-version = \"1.0\"\n\n[[packages]\n"), @r"
    it is not a valid lock (line 3): unclosed array table, expected `]`
    hint: write the lock anew with the tool that wrote it
    ");
    assert_snapshot!(refused("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nwheels = [{ size = 1 }]\n"), @r"
    its entry for `a` has neither url nor path
    hint: write the lock anew with the tool that wrote it
    ");
    assert_snapshot!(refused("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nsdist = { url = \"u\" }\ndirectory = { path = \"x\" }\n"), @r"
    its entry for `a` has more than one of archive, directory, vcs and files
    hint: write the lock anew with the tool that wrote it
    ");
    let deep = format!("lock-version = \"1.0\"\nx = {}", "[".repeat(100_000));
    assert_snapshot!(refused(&deep).lines().next().unwrap_or_default(), @"it is not a valid lock (line 2): cannot recurse further; max recursion depth met");
}

#[test]
fn keys_of_the_future_are_passed_over() {
    let lock = Lock::parse(
        "lock-version = \"1.9\"\nfuture = [1]\n[[packages]]\nname = \"A_b\"\nnew = 1\nsdist = { path = \"a/A_b-1.tar.gz\", hashes = { sha256 = \"x\" }, new = true }\n[tool.other]\nx = 1\n",
    );
    let lock = lock.expect("1.x is known");
    assert_eq!(lock.lock_version, "1.9");
    assert_eq!(lock.packages[0].name, "a-b");
    let Source::Release { sdist: Some(sdist), .. } = &lock.packages[0].source else {
        panic!("{:?}", lock.packages[0].source);
    };
    assert_eq!(sdist.name, "A_b-1.tar.gz");
}

#[test]
fn names_of_locks() {
    for name in ["pylock.toml", "pylock.layer.toml"] {
        assert!(is_lock_name(name), "{name}");
    }
    for name in ["pylock..toml", "pylock.a.b.toml", "pylocks.toml", "uv.lock", "pyproject.toml", ".toml"] {
        assert!(!is_lock_name(name), "{name}");
    }
}

#[test]
fn drift_says_what_changed() {
    let then = inputs(&["python3.12", "python3.13"], &["a>=1", "b"]);
    assert_eq!(then.drift(&inputs(&["python3.13"], &["a>=1", "b"])), None);
    let mut now = inputs(&["python3.9"], &["a>=2", "b"]);
    now.constraints.push("c<3".to_owned());
    assert_snapshot!(then.drift(&now).expect("it has changed"), @"the lock is out of date: `a>=2` was added; `a>=1` was removed; the constraint `c<3` was added; it was not locked for python3.9 on x86_64");
}

#[test]
fn changes_are_told_package_by_package() {
    let lock = |wheels: &[&str]| {
        let wheels = wheels.iter().map(|name| wheel(name, &[])).collect();
        Lock::of(&[Resolution::new(target("python3.12"), wheels)], inputs(&["python3.12"], &[]), None)
    };
    let before = lock(&[
        "a-1-py3-none-any.whl",
        "b-1-py3-none-any.whl",
        "c-1-py3-none-any.whl",
        "d-1-py3-none-any.whl",
    ]);
    let after = lock(&[
        "a-2-py3-none-any.whl",
        "b-1-py2.py3-none-any.whl",
        "d-1-py3-none-any.whl",
        "e-1-py3-none-any.whl",
    ]);
    let told: Vec<_> = after.changes_since(&before).iter().map(ToString::to_string).collect();
    assert_snapshot!(told.join("\n"), @r"
    changed a 1 to 2
    changed the files of b 1
    removed c 1
    added e 1
    ");
    assert_eq!(after.changes_since(&after), []);
}
