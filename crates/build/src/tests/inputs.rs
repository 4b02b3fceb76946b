//! What is given: told apart, read, locked, chosen from.

use insta::assert_snapshot;
use layercake_core::{lock::Lock, lock::Scope};

use super::{Folder, open, options, target, told};
use crate::{
    inputs::{Given, Input, InputError, LockFile, Wanted, lock_text, locked_inputs, write_lock},
    resolve::Asked,
    testing::{TestIndex, WheelBuilder},
};

/// What inputs are read as; paths in them count from a folder with these files.
fn check(files: &[(&str, &str)], inputs: &[&str], scope: &str) -> String {
    let folder = Folder::new();
    for (name, text) in files {
        folder.write(name, text);
    }
    let inputs = inputs.iter().map(|text| text.replace('~', folder.path().as_str())).collect();
    let given = Given { inputs, scope: parse_scope(scope), ..Given::default() };
    told_wanted(&given.read()).replace(folder.path().as_str(), "[FOLDER]")
}

/// `+extra`, `group`, `@member`.
fn parse_scope(text: &str) -> Scope {
    let mut scope = Scope::default();
    for part in text.split_whitespace() {
        match (part.strip_prefix('+'), part.strip_prefix('@')) {
            (Some(extra), _) => scope.extras.push(extra.to_owned()),
            (_, Some(package)) => scope.package = Some(package.to_owned()),
            _ => scope.groups.push(part.to_owned()),
        }
    }
    scope
}

fn told_wanted(wanted: &Result<Wanted, InputError>) -> String {
    match wanted {
        Err(error) => told(error),
        Ok(Wanted::Lock(lock)) => format!("lock {}", lock.path),
        Ok(Wanted::Asked(wanted)) => {
            let lines = &wanted.asked.requirements.lines;
            let mut told: Vec<_> =
                lines.iter().map(|line| format!("{}  [{}]", line.text, line.origin)).collect();
            let constraints = wanted.asked.constraints.lines.iter();
            told.extend(constraints.map(|line| format!("constraint {}  [{}]", line.text, line.origin)));
            told.extend(
                wanted.requires_python.iter().map(|(path, python)| format!("{path}: Python {python}")),
            );
            told.extend(wanted.folder.iter().map(|folder| format!("in {folder}")));
            told.join("\n")
        }
    }
}

#[test]
fn requirements_and_addresses_are_taken_as_they_are() {
    let mut table = String::new();
    for text in [
        "pandas",
        "pandas>=2,<3",
        "requests[socks]==2.0; python_version < '3.8'",
        "lib @ https://x.example/lib-1.zip",
        "lib@https://x.example/lib.txt",
        "https://x.example/a_b-1.0%2Bcpu-cp312-cp312-linux_x86_64.whl#sha256=00",
        "https://x.example/some-lib-1.0.tar.gz",
        "https://x.example/archive/main.zip",
        "git+https://x.example/repo.git@v1#egg=repo&subdirectory=py",
        "git+ssh://git@x.example/repo",
        "",
        "-x",
        ">=2",
        "git://x.example/repo",
        "s3://bucket/a-1-py3-none-any.whl",
        "https://user:secret@x.example/page.html",
        "https://user:secret@x.example/repo.git",
        "https://x.example/nonsense.whl",
    ] {
        let answer = match Input::classify(text) {
            Ok(input) => format!("{input:?}"),
            Err(error) => told(&error).lines().next().unwrap_or_default().to_owned(),
        };
        table.push_str(&answer);
        table.push('\n');
    }
    assert_snapshot!(table, @r#"
    Requirement("pandas")
    Requirement("pandas>=2,<3")
    Requirement("requests[socks]==2.0; python_version < '3.8'")
    Requirement("lib @ https://x.example/lib-1.zip")
    Requirement("lib@https://x.example/lib.txt")
    Requirement("a-b @ https://x.example/a_b-1.0%2Bcpu-cp312-cp312-linux_x86_64.whl#sha256=00")
    Requirement("some-lib @ https://x.example/some-lib-1.0.tar.gz")
    Requirement("https://x.example/archive/main.zip")
    Requirement("repo @ git+https://x.example/repo.git@v1#egg=repo&subdirectory=py")
    Requirement("git+ssh://git@x.example/repo")
    error: `` is neither a requirement, a file, nor an address: it is empty
    error: `-x` is neither a requirement, a file, nor an address: options stand before it
    error: `>=2` is neither a requirement, a file, nor an address: a package's name begins with a letter or digit
    error: `git://x.example/repo` is neither a requirement, a file, nor an address: repositories are given as `git+https://…` or `git+ssh://…`
    error: `s3://bucket/a-1-py3-none-any.whl` is neither a requirement, a file, nor an address: packages come by https, http, file and git
    error: `https://x.example/page.html` is neither a requirement, a file, nor an address: an address must be that of a wheel or of a source distribution
    error: `https://x.example/repo.git` is neither a requirement, a file, nor an address: a repository is given as `git+https://…`
    error: `https://x.example/nonsense.whl` is neither a requirement, a file, nor an address: `nonsense.whl` is not a wheel file name: NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl is expected
    "#);
}

const PROJECT: &str = "[project]\nname = 'shop'\nrequires-python = '>=3.9'\ndependencies = ['pandas']\n[project.optional-dependencies]\nfast = ['orjson']\n[dependency-groups]\ndev = ['pytest']\n";
const SCRIPT: &str = "# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\"six\"]\n# ///\n";

#[test]
fn files_are_read_by_what_they_are() {
    let files = [
        ("pyproject.toml", PROJECT),
        ("requirements-dev.txt", "attrs\n-c bounds.txt\n"),
        ("bounds.txt", "attrs<30\n"),
        ("handler.py", SCRIPT),
        ("a_b-1.0-py3-none-any.whl", ""),
    ];
    let inputs = ["~", "~/requirements-dev.txt", "~/handler.py", "~/a_b-1.0-py3-none-any.whl", "numpy"];
    assert_snapshot!(check(&files, &inputs, "+fast dev"), @r"
    pandas  [pyproject.toml [project]]
    orjson  [pyproject.toml [project.optional-dependencies] fast]
    pytest  [pyproject.toml [dependency-groups] dev]
    attrs  [requirements-dev.txt:1]
    six  [handler.py (PEP 723)]
    a-b @ file://[FOLDER]/a_b-1.0-py3-none-any.whl  [the command line]
    numpy  [the command line]
    constraint attrs<30  [bounds.txt:1]
    [FOLDER]/pyproject.toml: Python >=3.9
    [FOLDER]/handler.py: Python >=3.10
    in [FOLDER]
    ");
    assert_snapshot!(check(&[("pylock.layer.toml", "lock-version = \"1.0\"\n")], &["~/pylock.layer.toml"], ""), @"lock [FOLDER]/pylock.layer.toml");
    assert_snapshot!(check(&[("uv.lock", "version = 1\n")], &["~/uv.lock"], ""), @"lock [FOLDER]/uv.lock");
}

#[test]
fn what_cannot_be_used_is_named_with_the_next_step() {
    let files = [
        ("requirements.txt", "six\n"),
        ("plain.py", "print()\n"),
        ("poetry.lock", ""),
        ("data.json", ""),
        ("odd.whl", ""),
        ("empty/x", ""),
        ("uv.lock", "version = 2\n"),
        ("pylock.toml", "lock-version = \"1.0\"\n"),
        ("pyproject.toml", "[project]\nname = 'x'\ndynamic = ['dependencies']\n"),
    ];
    let mut table = String::new();
    for (inputs, scope) in [
        (&["~/requirments.txt"][..], ""),
        (&["~/nothing/at/all.txt"], ""),
        (&["requirments.txt"], ""),
        (&["discord.py"], ""),
        (&["./pandas"], ""),
        (&["~/plain.py"], ""),
        (&["~/poetry.lock"], ""),
        (&["~/data.json"], ""),
        (&["~/odd.whl"], ""),
        (&["~/empty"], ""),
        (&["~/pyproject.toml"], ""),
        (&["~/uv.lock"], ""),
        (&["~/pylock.toml", "six"], ""),
        (&["six"], "+x"),
        (&["six"], "dev"),
        (&["six"], "@member"),
    ] {
        table.push_str(&check(&files, inputs, scope));
        table.push_str("\n\n");
    }
    assert_snapshot!(table, @r#"
    error: there is no file `[FOLDER]/requirments.txt`; there is `[FOLDER]/requirements.txt`
    hint: check the path and the spelling

    error: there is no file `[FOLDER]/nothing/at/all.txt`
    hint: check the path and the spelling

    error: there is no file `requirments.txt`
    hint: check the path; the package is asked for as `requirments-txt`

    error: there is no file `discord.py`
    hint: check the path; the package is asked for as `discord-py`

    error: there is no file `./pandas`
    hint: check the path and the spelling

    error: `[FOLDER]/plain.py` has no `# /// script` block, so it asks for nothing
    hint: write its dependencies into it (PEP 723: `# /// script`, `# dependencies = ["pandas"]`, `# ///`), or give them as arguments

    error: `[FOLDER]/poetry.lock` is Poetry's own lock, which is not read
    hint: export it with `poetry export -o requirements.txt` and give `-r requirements.txt`

    error: `[FOLDER]/data.json` is a file of an unknown kind, which is not read
    hint: give a requirements file with -r, a pyproject.toml, a lock, a script or a wheel

    error: `[FOLDER]/odd.whl` is named like no wheel, which is not read
    hint: give the wheel the name that it was published with: NAME-VERSION-PYTHON-ABI-PLATFORM.whl

    error: the folder `[FOLDER]/empty` has no pyproject.toml
    hint: give packages by name, `-r requirements.txt`, a pyproject.toml, a lock, a script or a wheel

    error: cannot use `[FOLDER]/pyproject.toml`
      its `dependencies` are dynamic: only the project's build backend knows them
    hint: export them with the project's own tool (`uv export -o requirements.txt`) and build with -r, or lock the project and build from its lock

    error: cannot use the lock `[FOLDER]/uv.lock`
      it has version 2 of the format, and version 1 is known here
    hint: update layercake, or write the lock anew with an older version of the tool that wrote it

    error: `[FOLDER]/pylock.toml` is a lock, and `six` is given beside it
    hint: a lock stands alone: give it by itself, or lock both together with `layercake lock`

    error: --extra is given, and no project or lock is
    hint: leave --extra out

    error: --group is given, and no project or lock is
    hint: leave --group out

    error: --package is given, and no uv.lock is
    hint: leave --package out
    "#);
}

/// An index with packages that differ from target to target.
fn index() -> TestIndex {
    let wheel = WheelBuilder::new;
    TestIndex::serving(&[
        wheel("app", "1").requires("lib").requires("old; python_version < '3.10'"),
        wheel("lib", "1").tags("cp39-cp39-manylinux2014_x86_64").requires_python("<3.10"),
        wheel("lib", "2").tags("cp312-cp312-manylinux_2_28_x86_64"),
        wheel("lib", "2").tags("cp312-cp312-manylinux_2_28_aarch64"),
        wheel("lib", "2").tags("cp311-abi3-manylinux2014_x86_64"),
        wheel("old", "1"),
    ])
}

#[test]
fn a_lock_gives_back_what_was_resolved() {
    let (index, folder) = (index(), Folder::new());
    let local = WheelBuilder::new("local", "3");
    std::fs::write(folder.path().join(local.filename()), local.bytes()).expect("written");
    let targets = ["python3.9", "python3.12", "python3.12 arm64"].map(target);
    let text = "App >= 1";
    let asked = Asked::with("the command line", &[text.to_owned()]);
    let packages = open(options(&folder, &index));
    let resolutions = targets.map(|target| packages.resolve(&asked, target).expect("all are there"));
    let inputs = locked_inputs(folder.path(), &asked, &targets).expect("the folder is there");
    let lock = Lock::of(&resolutions, inputs, None);
    let path = folder.path().join("locks/pylock.toml");
    write_lock(&path, &lock).expect("written");
    let read = LockFile::read(&path).expect("it is a lock");
    for resolution in &resolutions {
        let selected = read.select(resolution.target, &Scope::default()).expect("it is locked");
        assert_eq!(selected, *resolution);
    }
    // The same again changes nothing, not even the file's time.
    let before = std::fs::metadata(&path).expect("there").modified().expect("a time");
    write_lock(&path, &lock).expect("nothing to do");
    assert_eq!(std::fs::metadata(&path).expect("there").modified().expect("a time"), before);
    assert_eq!(std::fs::read_dir(path.parent().expect("a folder")).expect("readable").count(), 1);

    read.check(&asked, &targets[..1]).expect("the lock may be for more targets");
    let spelled = Asked::with("other", &["app>=1".to_owned()]);
    read.check(&spelled, &targets).expect("only the spelling differs");
    let other = Asked::with("the command line", &["app>=2".to_owned()]);
    let error = read.check(&other, &[target("python3.13")]).expect_err("it is another");
    assert_snapshot!(told(&error).replace(folder.path().as_str(), "[FOLDER]"), @r"
    error: cannot use the lock `[FOLDER]/locks/pylock.toml`
      the lock is out of date: `app>=2` was added; `app>=1` was removed; it was not locked for python3.13 on x86_64
    hint: run `layercake lock` with the same inputs, and look at what it changes
    ");
    let error = read.select(target("python3.13"), &Scope::default()).expect_err("not locked");
    assert_snapshot!(told(&error).replace(folder.path().as_str(), "[FOLDER]"), @r"
    error: cannot use the lock `[FOLDER]/locks/pylock.toml`
      the lock is not for python3.13 on x86_64; it is for python3.9 on x86_64; python3.12 on x86_64; python3.12 on arm64
    hint: choose another --runtime or --arch, or write the lock for this one too
    ");
}

#[test]
fn locks_hold_no_credentials_and_no_paths_of_this_machine() {
    let folder = Folder::new();
    let asked = Asked::with(
        "x",
        &[
            "a @ https://user:secret@x.example/a-1-py3-none-any.whl".to_owned(),
            format!("b @ file://{}/wheels/b-1-py3-none-any.whl", folder.path()),
            "https://user:secret@x.example/nameless.zip".to_owned(),
            "c[Y,x]>=1,<3 ; python_full_version<'3.10' and os_name=='posix'".to_owned(),
        ],
    );
    let inputs = locked_inputs(folder.path(), &asked, &[target("python3.12")]).expect("the folder is there");
    let text = lock_text(&folder.path().join("pylock.toml"), &Lock::of(&[], inputs, None)).expect("text");
    assert!(!text.contains("secret") && !text.contains(folder.path().as_str()), "{text}");
    assert_snapshot!(text, @r#"
    # Written by `layercake lock`. Change the requirements and run it again; edits here are lost.
    lock-version = "1.0"
    created-by = "layercake"
    packages = []

    [tool.layercake]
    targets = [
        { runtime = "python3.12", arch = "x86_64" },
    ]
    requirements = [
        "a @ https://x.example/a-1-py3-none-any.whl",
        "b @ ./wheels/b-1-py3-none-any.whl",
        "c[x,y]<3,>=1 ; python_full_version < '3.10' and os_name == 'posix'",
        "https://x.example/nameless.zip",
    ]
    "#);
}

/// What a lock of somebody else gives on a target.
fn select(name: &str, text: &str, runtime: &str, scope: &str) -> String {
    let folder = Folder::new();
    let path = folder.write(name, text);
    let chosen = LockFile::read(&path).and_then(|lock| lock.select(target(runtime), &parse_scope(scope)));
    let text = match chosen {
        Ok(resolution) => {
            let wheels = resolution.wheels.iter().map(|wheel| {
                let asked = if wheel.asked { " asked" } else { "" };
                format!("{} {} {}{asked} {:?}", wheel.name, wheel.version, wheel.url, wheel.required_by)
            });
            wheels.collect::<Vec<_>>().join("\n")
        }
        Err(error) => told(&error),
    };
    text.replace(folder.path().as_str(), "[FOLDER]")
}

fn file(name: &str) -> String {
    format!(
        "{{ url = \"https://user:secret@x.example/{name}\", hashes = {{ sha256 = \"{}\" }} }}",
        "0".repeat(64)
    )
}

#[test]
fn a_lock_of_anyone_is_chosen_from_as_the_specification_has_it() {
    let text = format!(
        "lock-version = \"1.0\"\ncreated-by = \"x\"\nrequires-python = \">=3.9\"\nextras = [\"fast\"]\ndependency-groups = [\"dev\"]\ndefault-groups = [\"base\"]\nenvironments = [\"sys_platform == 'linux'\"]\n\
         [[packages]]\nname = \"lib\"\nversion = \"1\"\nmarker = \"python_full_version < '3.10'\"\nwheels = [{}]\n\
         [[packages]]\nname = \"lib\"\nversion = \"2\"\nmarker = \"python_full_version >= '3.10'\"\nwheels = [{}, {}, {}, {}]\n\
         [[packages]]\nname = \"speed\"\nversion = \"1\"\nmarker = \"'fast' in extras\"\nwheels = [{}]\n\
         [[packages]]\nname = \"tests\"\nversion = \"1\"\nmarker = \"'dev' in dependency_groups\"\nwheels = [{}]\n\
         [[packages]]\nname = \"base\"\nversion = \"1\"\nmarker = \"'base' in dependency_groups\"\ndependencies = [{{ name = \"lib\" }}]\nwheels = [{{ path = \"wheels/base-1-py3-none-any.whl\", hashes = {{ sha256 = \"{}\" }} }}]\n\
         [[packages]]\nname = \"shop\"\ndirectory = {{ path = \".\", editable = true }}\n\
         [[packages]]\nname = \"windows\"\nversion = \"1\"\nmarker = \"sys_platform == 'win32'\"\nsdist = {}\n",
        file("lib-1-py3-none-any.whl"),
        file("lib-2-py3-none-any.whl"),
        file("lib-2-cp312-cp312-manylinux_2_28_x86_64.whl"),
        file("lib-2-1local-cp312-cp312-manylinux_2_28_x86_64.whl"),
        file("lib-2-cp312-cp312-manylinux_2_39_x86_64.whl"),
        file("speed-1-py3-none-any.whl"),
        file("tests-1-py3-none-any.whl"),
        "1".repeat(64),
        file("windows-1.tar.gz"),
    );
    let select = |runtime, scope| select("pylock.toml", &text, runtime, scope);
    assert_snapshot!(select("python3.9", ""), @r#"
    base 1 file://[FOLDER]/wheels/base-1-py3-none-any.whl asked []
    lib 1 https://x.example/lib-1-py3-none-any.whl ["base"]
    "#);
    assert_snapshot!(select("python3.12", "+fast dev"), @r#"
    base 1 file://[FOLDER]/wheels/base-1-py3-none-any.whl asked []
    lib 2 https://x.example/lib-2-1local-cp312-cp312-manylinux_2_28_x86_64.whl ["base"]
    speed 1 https://x.example/speed-1-py3-none-any.whl asked []
    tests 1 https://x.example/tests-1-py3-none-any.whl asked []
    "#);
    assert_snapshot!(select("python3.13 arm64", ""), @r#"
    base 1 file://[FOLDER]/wheels/base-1-py3-none-any.whl asked []
    lib 2 https://x.example/lib-2-py3-none-any.whl ["base"]
    "#);
    assert_snapshot!(select("python3.8", ""), @r"
    error: cannot use the lock `[FOLDER]/pylock.toml`
      the lock is for Python >=3.9, which python3.8 on x86_64 is not
    hint: choose another --runtime or --arch, or write the lock for this one too
    ");
    assert_snapshot!(select("python3.12", "+slow"), @r"
    error: cannot use the lock `[FOLDER]/pylock.toml`
      the lock has no extra `slow`; there are fast
    hint: name an extra that is there
    ");
    assert_snapshot!(select("python3.12", "@x"), @r"
    error: cannot use the lock `[FOLDER]/pylock.toml`
      the lock has no project `x`
    hint: leave the project out, or write the lock with it
    ");
}

#[test]
fn a_lock_that_gives_no_wheel_says_why() {
    let native = file("a-1-cp39-cp39-manylinux2014_x86_64.whl");
    let mut table = String::new();
    for entry in [
        format!("wheels = [{native}]"),
        format!("wheels = [{native}]\nsdist = {}", file("a-1.tar.gz")),
        format!("sdist = {}", file("a-1.tar.gz")),
        format!("archive = {}", file("a-1.tar.gz")),
        "directory = { path = \"a\" }".to_owned(),
        "vcs = { type = \"git\", url = \"https://x.example/a\", commit-id = \"0\" }".to_owned(),
        String::new(),
        "wheels = [{ url = \"https://x.example/a-1-py3-none-any.whl\", hashes = { md5 = \"0\" } }]"
            .to_owned(),
        format!("marker = \"python is old\"\nwheels = [{native}]"),
        format!("marker = \"{}\"\nwheels = [{native}]", "(".repeat(5_000)),
        format!("requires-python = \"many\"\nwheels = [{native}]"),
        format!("requires-python = \">=3.13\"\nwheels = [{native}]"),
        format!("wheels = [{native}]\n[[packages]]\nname = \"A\"\nversion = \"2\"\nwheels = [{native}]"),
    ] {
        let text = format!("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nversion = \"1\"\n{entry}\n");
        let told = select("pylock.toml", &text, "python3.12", "").replace(&"(".repeat(5_000), "((…");
        table.push_str(&told.lines().skip(1).collect::<Vec<_>>().join("\n"));
        table.push('\n');
    }
    assert_snapshot!(table, @r"
      the lock has no wheel of `a` 1 that fits python3.12 on x86_64
    hint: lock a version of `a` that has a wheel for python3.12 on x86_64 (`layercake lock` picks one), or choose another runtime
      the lock has no wheel of `a` 1 that fits python3.12 on x86_64; its source would be built for this machine
    hint: lock a version of `a` that has a wheel for python3.12 on x86_64 (`layercake lock` picks one), or choose another runtime
      the lock has `a` as source only, and layers are made of wheels
    hint: lock a version of `a` that has wheels, or publish a wheel on an index of your own
      the lock has `a` as an archive of source, and layers are made of wheels
    hint: make a wheel of `a` and ask for that, or build from the requirements in place of the lock
      the lock has `a` as a folder, and layers are made of wheels
    hint: make a wheel of `a` and ask for that, or build from the requirements in place of the lock
      the lock has `a` as a repository, and layers are made of wheels
    hint: make a wheel of `a` and ask for that, or build from the requirements in place of the lock
      the lock is damaged: `a` has no file
    hint: write the lock anew with the tool that wrote it
      the lock gives no sha256 for `a-1-py3-none-any.whl`, so it could not be verified
    hint: write the lock with a tool that records sha256 hashes
      the lock has `python is old` at `a`, which is no marker: Expected a quoted string or a valid marker name, found `python`
    hint: write the lock anew with the tool that wrote it
      the lock has `((…` at `a`, which is no marker: it is longer than 16384 bytes, or nested more than 64 deep
    hint: write the lock anew with the tool that wrote it
      the lock has `many` at `a`, which is no version specifier: Failed to parse version: Unexpected end of version specifier, expected operator: many ^^^^
    hint: write the lock anew with the tool that wrote it
      the lock has `a` for Python >=3.13, which python3.12 on x86_64 is not
    hint: choose another --runtime or --arch, or write the lock for this one too
      the lock has more than one `a` for python3.12 on x86_64: 1, 2
    hint: write the lock anew with the tool that wrote it
    ");
}

const UV_LOCK: &str = r#"
version = 1
revision = 3
requires-python = ">=3.9"
resolution-markers = ["python_full_version >= '3.10'", "python_full_version < '3.10'"]

[manifest]
members = ["shop", "tools"]

[[package]]
name = "lib"
version = "1"
source = { registry = "https://x.example/simple" }
resolution-markers = ["python_full_version < '3.10'"]
wheels = [{ url = "https://x.example/lib-1-py3-none-any.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000", size = 7 }]

[[package]]
name = "lib"
version = "2"
source = { registry = "https://x.example/simple" }
resolution-markers = ["python_full_version >= '3.10'"]
dependencies = [{ name = "deep", extra = ["more"] }]
sdist = { url = "https://x.example/lib-2.tar.gz", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
wheels = [
    { url = "https://x.example/lib-2-cp312-cp312-manylinux_2_28_aarch64.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" },
    { url = "https://x.example/lib-2-cp312-cp312-manylinux_2_28_x86_64.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" },
]

[[package]]
name = "deep"
version = "1"
source = { registry = "wheelhouse" }
wheels = [{ path = "deep-1-py3-none-any.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }]

[package.optional-dependencies]
more = [{ name = "file" }, { name = "windows", marker = "sys_platform == 'win32'" }]

[[package]]
name = "file"
version = "1"
source = { path = "vendor/file-1-py3-none-any.whl" }
wheels = [{ filename = "file-1-py3-none-any.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }]

[[package]]
name = "repo"
version = "1"
source = { git = "https://x.example/repo?rev=v1#0123" }

[[package]]
name = "shop"
version = "0.1"
source = { virtual = "." }
dependencies = [
    { name = "lib", version = "1", source = { registry = "https://x.example/simple" }, marker = "python_full_version < '3.10'" },
    { name = "lib", version = "2", source = { registry = "https://x.example/simple" }, marker = "python_full_version >= '3.10'" },
]

[package.optional-dependencies]
Git = [{ name = "repo" }]
tools = [{ name = "tools" }]

[package.dev-dependencies]
dev = [{ name = "deep" }]

[[package]]
name = "tools"
version = "0.1"
source = { editable = "tools" }
dependencies = [{ name = "deep" }]
"#;

#[test]
fn a_lock_of_uv_is_walked_from_the_project() {
    let select = |runtime, scope| select("uv.lock", UV_LOCK, runtime, scope);
    assert_snapshot!(select("python3.9", ""), @"lib 1 https://x.example/lib-1-py3-none-any.whl asked []");
    assert_snapshot!(select("python3.12 arm64", ""), @r#"
    deep 1 file://[FOLDER]/wheelhouse/deep-1-py3-none-any.whl ["lib"]
    file 1 file://[FOLDER]/vendor/file-1-py3-none-any.whl ["deep"]
    lib 2 https://x.example/lib-2-cp312-cp312-manylinux_2_28_aarch64.whl asked []
    "#);
    assert_snapshot!(select("python3.9", "dev"), @r"
    deep 1 file://[FOLDER]/wheelhouse/deep-1-py3-none-any.whl asked []
    lib 1 https://x.example/lib-1-py3-none-any.whl asked []
    ");
    assert_snapshot!(select("python3.9", "@tools"), @"deep 1 file://[FOLDER]/wheelhouse/deep-1-py3-none-any.whl asked []");
    assert_snapshot!(select("python3.13", ""), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      the lock has no wheel of `lib` 2 that fits python3.13 on x86_64; its source would be built for this machine
    hint: lock a version of `lib` that has a wheel for python3.13 on x86_64 (`layercake lock` picks one), or choose another runtime
    ");
    assert_snapshot!(select("python3.8", ""), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      the lock is for Python >=3.9, which python3.8 on x86_64 is not
    hint: choose another --runtime or --arch, or write the lock for this one too
    ");
    assert_snapshot!(select("python3.9", "+git"), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      the lock has `repo` as a repository, and layers are made of wheels
    hint: make a wheel of `repo` and ask for that, or build from the requirements in place of the lock
    ");
    assert_snapshot!(select("python3.9", "+tools"), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      the lock has `tools` as a folder, and layers are made of wheels
    hint: make a wheel of `tools` and ask for that, or build from the requirements in place of the lock
    ");
    assert_snapshot!(select("python3.9", "+none"), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      the lock has no extra `none`; there are git, tools
    hint: name an extra that is there
    ");
    assert_snapshot!(select("python3.9", "@none"), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      the lock has no project `none`; there are shop, tools
    hint: name a project that is there
    ");
}

#[test]
fn extras_that_exclude_each_other_choose_between_versions() {
    let package = |version: &str| {
        format!(
            "[[package]]\nname = \"torch\"\nversion = \"{version}\"\nsource = {{ registry = \"https://x.example\" }}\nwheels = [{{ url = \"https://x.example/torch-{version}-py3-none-any.whl\", hash = \"sha256:{}\" }}]\n",
            "0".repeat(64)
        )
    };
    let text = format!(
        "version = 1\nconflicts = [[{{ package = \"shop\", extra = \"cpu\" }}, {{ package = \"shop\", extra = \"gpu\" }}]]\n{}{}[[package]]\nname = \"shop\"\nversion = \"1\"\nsource = {{ virtual = \".\" }}\ndependencies = [{{ name = \"torch\", version = \"1\", source = {{ registry = \"https://x.example\" }}, marker = \"extra != 'extra-4-shop-gpu'\" }}]\n[package.optional-dependencies]\ncpu = [{{ name = \"torch\", version = \"1\", source = {{ registry = \"https://x.example\" }} }}]\ngpu = [{{ name = \"torch\", version = \"2\", source = {{ registry = \"https://x.example\" }}, marker = \"extra == 'extra-4-shop-gpu'\" }}]\n",
        package("1"),
        package("2")
    );
    let select = |scope| select("uv.lock", &text, "python3.12", scope);
    assert_snapshot!(select(""), @"torch 1 https://x.example/torch-1-py3-none-any.whl asked []");
    assert_snapshot!(select("+gpu"), @"torch 2 https://x.example/torch-2-py3-none-any.whl asked []");
    assert_snapshot!(select("+gpu +cpu"), @r"
    error: cannot use the lock `[FOLDER]/uv.lock`
      `cpu` and `gpu` cannot be chosen together: the project declares them in conflict
    hint: choose one of them
    ");
}

#[test]
fn damaged_locks_of_uv_are_errors() {
    let mut table = String::new();
    for text in [
        "version = 2\npackage = 7",
        "version = 1\n[[package]]\nname = \"a\"\n",
        "version = 1\n[[package]]\nname = \"a\"\nsource = { registry = \"x\" }\n",
        "version = 1\n[[package]]\nname = \"a\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"b\" }]\n",
        "version = 1\n[[package]]\nname = \"a\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"b\", marker = \"((\" }]\n",
        "version = 1\n[[package]]\nname = \"a\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"b\" }]\n[[package]]\nname = \"b\"\nsource = { registry = \"x\" }\nwheels = [{ size = 1 }]\ndependencies = [{ name = \"b\" }]\n",
    ] {
        let told = select("uv.lock", text, "python3.12", "");
        table.push_str(told.lines().nth(1).unwrap_or_default());
        table.push('\n');
    }
    assert_snapshot!(table, @r"
    it has version 2 of the format, and version 1 is known here
    it is not a valid lock (line 1): missing field `source`
    the lock is damaged: `(root)` is not there: no entry is the project of this folder
    the lock is damaged: `the project` needs `b`, which has no entry
    the lock has `((` at `b`, which is no marker: Expected marker value, found end of dependency specification
    the lock is damaged: `b` has a wheel without address
    ");
}
