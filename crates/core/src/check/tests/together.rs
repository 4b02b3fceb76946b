//! Findings about metadata, settings, several zips and limits, and what a report says of them.

use super::*;

#[test]
fn metadata_asks_for_more() {
    let zip = Zip::new("layer.zip")
        .distribution("python", "pandas", "2.0")
        .file("python/pandas/__init__.py")
        .distribution("python", "numpy", "1.0")
        .elf("python/numpy/_core/_multiarray_umath.abi3.so", elf(&[]));
    let unmet = |name: &str, found: Option<&str>| UnmetRequirement {
        by: "pandas".to_owned(),
        name: name.to_owned(),
        requirement: format!("{name}>=2"),
        found: found.map(str::to_owned),
    };
    let mut case = Case::layers([zip.clone()]);
    case.unfulfilled.requirements =
        vec![unmet("numpy", Some("1.0")), unmet("pytz", None), unmet("tzdata", None), unmet("boto3", None)];
    case.unfulfilled.pythons = vec![
        WrongPython {
            name: "pandas".to_owned(),
            version: "2.0".to_owned(),
            requires_python: ">=3.13".to_owned(),
            is_too_old: true,
        },
        WrongPython {
            name: "numpy".to_owned(),
            version: "1.0".to_owned(),
            requires_python: "<3.12".to_owned(),
            is_too_old: false,
        },
    ];
    insta::assert_snapshot!(case.found(), @r"
    Error missing-requirement (layer.zip: python/pandas-2.0.dist-info)
      pandas requires `pytz>=2`, which is not there
      -> add it: `layercake build pandas --runtime python3.12 --arch x86_64` takes it along; if another layer has it, name that layer as well
    Error requires-python (layer.zip: python/pandas-2.0.dist-info)
      pandas 2.0 requires Python >=3.13, and python3.12 runs 3.12
      -> take a release that allows it: `layercake build pandas --runtime python3.12 --arch x86_64`
    Warning missing-requirement (layer.zip: python/pandas-2.0.dist-info)
      pandas requires `tzdata>=2`, which is not there; the system's time zones are used where there are some
      -> add it: `layercake build pandas --runtime python3.12 --arch x86_64` takes it along; if another layer has it, name that layer as well
    Warning requirement-version (layer.zip: python/pandas-2.0.dist-info)
      pandas requires `numpy>=2`, and numpy 1.0 is there
      -> take versions that fit together: `layercake build pandas --runtime python3.12 --arch x86_64` chooses such
    Warning requires-python (layer.zip: python/numpy-1.0.dist-info)
      numpy 1.0 requires Python <3.12, and python3.12 runs 3.12
      -> take a release that allows it: `layercake build numpy --runtime python3.12 --arch x86_64`
    ");
    // Without metadata a package may be there under another name.
    let mut unknown =
        Zip::new("layer.zip").file("python/dateutil/__init__.py").file("python/yaml/__init__.py");
    unknown = unknown.distribution("python", "pandas", "2.0");
    let mut case = Case::layers([unknown]);
    case.unfulfilled.requirements = vec![unmet("pyyaml", None), unmet("pytz", None)];
    insta::assert_snapshot!(case.found(), @r"
    Warning missing-requirement (layer.zip: python/pandas-2.0.dist-info)
      pandas requires `pytz>=2`, which is not there by that name; some packages are there without metadata, so it may be one of them
      -> add it: `layercake build pandas --runtime python3.12 --arch x86_64` takes it along; if another layer has it, name that layer as well
    ");
}

#[test]
fn visible_distributions_come_in_the_order_of_the_path() {
    let layer = |name: &str, root: &str| Zip::new("layer.zip").distribution(root, name, "1").0;
    let layers = [
        layer("first", "python"),
        layer("versioned", "python/lib/python3.12/site-packages"),
        layer("other", "python/lib/python3.9/site-packages"),
        layer("misplaced", ""),
        layer("last", "python"),
    ];
    let function = layer("own", "");
    let target = Target { runtime: Runtime::from_minor(12).expect("a runtime"), arch: Arch::X86_64 };
    let names: Vec<_> =
        visible_distributions(target, &layers, Some(&function)).iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["own", "versioned", "last", "first"]);
}

#[test]
fn settings_are_refused_or_switch_layers_off() {
    let layer = || Zip::new("layer.zip").file("python/p/__init__.py");
    let case = |name: &str, value: &str| Case::layers([layer()]).variable(name, value);
    insta::assert_snapshot!(case("PYTHONPATH", "/var/task/lib").found(), @r"
    Error python-path (everywhere)
      the function's variable PYTHONPATH (`/var/task/lib`) switches /opt/python off, where the layers have packages
      -> take PYTHONPATH out, or add `/opt/python` to it
    ");
    assert_eq!(case("PYTHONPATH", "/var/task/lib:/opt/python/").found(), "");
    assert_eq!(Case::layers([Zip::new("l.zip").file("lib/x.so.1")]).variable("PYTHONPATH", "/x").found(), "");
    insta::assert_snapshot!(case("AWS_REGION", "eu-central-1").found(), @r"
    Error environment-variable (everywhere)
      `AWS_REGION` is reserved: Lambda sets it itself and refuses it
      -> take it out
    ");
    insta::assert_snapshot!(case("1X", "").found(), @r"
    Error environment-variable (everywhere)
      `1X` is no name that Lambda takes for a variable
      -> begin with a letter and use letters, digits and `_`, two characters at least
    ");
    insta::assert_snapshot!(case("LARGE", &"x".repeat(4096)).found(), @r"
    Error environment-variable (everywhere)
      the variables have 4108 bytes as JSON; Lambda takes 4096
      -> move large values into the code, or into Parameter Store
    ");
    insta::assert_snapshot!(case("LD_LIBRARY_PATH", "/opt/lib").found(), @r"
    Warning environment-variable (everywhere)
      the function's variable LD_LIBRARY_PATH (`/opt/lib`) leaves out /var/lang/lib, where Python's own libraries are
      -> add `/var/lang/lib` to it, or put libraries into the folder `lib` of a layer, which is searched anyway
    ");
    insta::assert_snapshot!(case("AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper").found(), @r"
    Error environment-variable (everywhere)
      the function's variable AWS_LAMBDA_EXEC_WRAPPER names `/opt/wrapper`, which is not there
      -> put the script into a layer, with mode 755
    ");
    let wrapped = |mode: u32| {
        Case::layers([layer().mode("wrapper", mode)])
            .variable("AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrapper")
            .found()
    };
    assert_eq!(wrapped(0o755), "");
    assert_ne!(wrapped(0o644), "");
    let on_arm = Case::layers([layer()]).on(6, Arch::Arm64);
    insta::assert_snapshot!(on_arm, @r"
    Warning not-offered (everywhere)
      python3.6 runs on Amazon Linux 1, which Lambda has for x86_64 only
      -> let the function run on x86_64, or on python3.8 or later
    Note not-offered (everywhere)
      AWS no longer creates functions on python3.6
      -> new functions need a newer runtime; existing ones keep running
    ");
}

#[test]
fn a_handler_needs_its_module() {
    let check = |handler: &str| {
        let layer = Zip::new("layer.zip").file("python/shared/app.py").elf("python/c.abi3.so", elf(&[]));
        let function = Zip::new("code.zip").files(&["app.py", "pkg/mod.py", "pkg/bare.pyc"]);
        Case::layers([layer]).function(function).handler(handler).found()
    };
    for there in
        ["app.handler", "pkg.mod.handler", "pkg/mod.handler", "pkg.bare.handler", "shared.app.run", "c.run"]
    {
        assert_eq!(check(there), "", "{there}");
    }
    insta::assert_snapshot!(check("main.handler"), @r"
    Error missing-handler (code.zip)
      handler `main.handler` needs `main.py`, and the app has no such file
      -> the part of the handler before its last dot is the file, without .py
    ");
}

#[test]
fn permissions_and_links_are_wrong() {
    let zip = Zip::new("layer.zip")
        .file("python/p/__init__.py")
        .mode("python/p/secret.py", 0o600)
        .mode("python/p/open.py", 0o666)
        .entry("python/p/closed", |file| {
            file.kind = EntryKind::Folder;
            file.permissions = 0o700;
        })
        .mode("extensions/agent", 0o644)
        .mode("bin/tool", 0o644)
        .link("python/p/out.py", "/home/me/out.py")
        .link("python/p/gone.py", "../q/gone.py")
        .link("python/p/fine.py", "__init__.py")
        .link("python/all", "../python");
    insta::assert_snapshot!(check(zip), @r"
    Error unreadable-file (layer.zip: python/p/secret.py)
      it has mode 600: Lambda runs as another user, who cannot read it
      -> set modes before zipping: `chmod -R a+rX .`
    Error unreadable-file (layer.zip: python/p/closed)
      the folder has mode 700: Lambda runs as another user, who cannot enter it
      -> set modes before zipping: `chmod -R a+rX .`
    Error not-executable (layer.zip: extensions/agent)
      Lambda starts every file in `extensions/`, and this one is not executable
      -> set its mode before zipping: `chmod a+x`
    Warning not-executable (layer.zip: bin/tool)
      it is in a folder for programs, and it is not executable
      -> set its mode before zipping: `chmod a+x`
    Warning broken-link (layer.zip: python/p/gone.py)
      it is a link to `../q/gone.py`, which is not there
      -> zip the file that it points to in its place (`zip -r` without `-y` does)
    Warning broken-link (layer.zip: python/p/out.py)
      it is a link to `/home/me/out.py`, which leads out of /opt
      -> zip the file that it points to in its place (`zip -r` without `-y` does)
    Note writable-by-all (layer.zip: python/p/open.py)
      it has mode 666: everybody may write it; Lambda extracts it read-only all the same
      -> set modes before zipping: `chmod -R go-w .`
    ");
}

#[test]
fn modules_hide_the_standard_library() {
    let zip = Zip::new("layer.zip")
        .distribution("python", "enum34", "1.1")
        .file("python/enum/__init__.py")
        .distribution("python", "pathlib", "1.0")
        .file("python/pathlib.py")
        .distribution("python", "odd", "1.0")
        .elf("python/zoneinfo.cpython-312-x86_64-linux-gnu.so", elf(&[]))
        // None of these: no package, not of this Python's library, built in.
        .files(&["python/test/x.py", "python/email/x.py", "python/distutils/__init__.py", "python/time.py"]);
    let function = Zip::new("code.zip").files(&["app.py", "calendar.py"]);
    let case = Case::layers([zip]).function(function);
    insta::assert_snapshot!(case.found(), @r"
    Error hides-standard-library (layer.zip: python/enum/__init__.py)
      it comes before the standard library's `enum`, and its `enum` lacks `IntFlag`, which `re` imports
      -> leave out the distribution enum34: the standard library has it
    Error hides-standard-library (layer.zip: python/pathlib.py)
      it comes before the standard library's `pathlib`, and it takes `Sequence` from `collections`, which Python 3.10 removed
      -> leave out the distribution pathlib: the standard library has it
    Warning hides-standard-library (code.zip: calendar.py)
      it comes before the standard library's `calendar`: everything that imports `calendar` gets this one
      -> give `calendar.py` another name
    Warning hides-standard-library (layer.zip: python/zoneinfo.cpython-312-x86_64-linux-gnu.so)
      it comes before the standard library's `zoneinfo`: everything that imports `zoneinfo` gets odd's
      -> leave out the distribution odd, if the standard library does
    ");
    let dataclasses = Case::layers([Zip::new("l.zip")
        .distribution("python", "dataclasses", "0.8")
        .file("python/dataclasses.py")]);
    assert!(!dataclasses.on(6, Arch::X86_64).contains("hides"));
    assert!(dataclasses.on(7, Arch::X86_64).contains("Error hides-standard-library"));
}

#[test]
fn distributions_replace_the_runtimes() {
    let zip = Zip::new("layer.zip")
        .distribution("python", "boto3", "1.2")
        .file("python/boto3/__init__.py")
        .distribution("python", "urllib3", "2.1")
        .file("python/urllib3/__init__.py")
        .distribution("python", "six", "1.0")
        .file("python/six.py");
    insta::assert_snapshot!(Case::layers([zip.clone()]).on(9, Arch::X86_64), @r"
    Warning replaces-runtime (everywhere)
      boto3 1.2 is there without botocore, so it works with the runtime's, which may be older
      -> add botocore, or leave out boto3
    Warning replaces-runtime (everywhere)
      urllib3 2.1 comes before the runtime's, and the runtime's botocore needs `urllib3<1.27`: `import boto3` fails
      -> add `urllib3<1.27` to the requirements, or boto3 with all it needs
    Note replaces-runtime (layer.zip: python/boto3-1.2.dist-info)
      boto3 1.2 comes before the runtime's own, which AWS keeps up to date
      -> leave out boto3, if the code runs with the runtime's
    Note replaces-runtime (layer.zip: python/urllib3-2.1.dist-info)
      urllib3 2.1 comes before the runtime's own, which AWS keeps up to date
      -> leave out urllib3, if the code runs with the runtime's
    ");
    let whole = zip.distribution("python", "botocore", "1.2").file("python/botocore/__init__.py");
    assert!(!Case::layers([whole]).on(9, Arch::X86_64).contains("Warning"));
}

#[test]
fn layers_have_the_same_files_and_distributions() {
    let one = Zip::new("one.zip")
        .distribution("python", "p", "1.0")
        .files(&["python/p/__init__.py", "python/p/same.py"])
        .distribution("python", "q", "1.0")
        .file("python/q/__init__.py")
        .distribution("python", "r", "1.0")
        .file("python/ns/x.py");
    let two = Zip::new("two.zip")
        .distribution("python", "p", "2.0")
        .sized("python/p/__init__.py", 20)
        .file("python/p/same.py")
        .distribution("python", "q", "1.0")
        .sized("python/q/__init__.py", 20)
        .distribution("python", "s", "1.0")
        .sized("python/ns/x.py", 20)
        .sized("python/ns/LICENSE", 20);
    let function = Zip::new("code.zip").file("app.py").distribution("", "q", "3.0").file("q/__init__.py");
    insta::assert_snapshot!(Case::layers([one, two]).function(function).found(), @r"
    Warning conflicting-file (one.zip: python/ns/x.py)
      layer two.zip has another file of this path; it is extracted later, so that one wins
      -> keep it in one of the layers, or change their order
    Warning several-versions (one.zip: python/p-1.0.dist-info)
      p is here in version 1.0, and layer two.zip has 2.0: it is extracted later, so its files win, and files that only one of them has are mixed
      -> build the layers from one resolution, so that each package is in one of them only
    Note conflicting-file (one.zip: python/q/__init__.py)
      layer two.zip has another file of this path; it is extracted later, so that one wins
      -> keep it in one of the layers, or change their order
    Note several-versions (code.zip: q-3.0.dist-info)
      q 3.0 of the function comes before 1.0 of layer two.zip
      -> keep one of the two
    ");
    let left_over =
        Zip::new("layer.zip").distribution("python", "p", "1.0").distribution("python", "p", "2.0");
    insta::assert_snapshot!(check(left_over), @r"
    Warning several-versions (layer.zip: python/p-1.0.dist-info)
      p is in this zip in versions 1.0 and 2.0: their files are mixed
      -> install into an empty folder
    ");
}

#[test]
fn sizes_and_numbers_are_over_the_limits() {
    let sized =
        |name: &str, size: u64| Zip::new(name).distribution("python", "p", "1").sized("python/p/x.bin", size);
    insta::assert_snapshot!(check(sized("layer.zip", 262_144_000)), @r"
    Error too-large (layer.zip)
      it has 262144010 bytes unzipped; Lambda takes less than 262144000 in one package: most weigh p 262144010
      -> `layercake build --fit` makes it smaller where that does no harm
    ");
    assert_eq!(check(sized("layer.zip", 200_000_000)), "");
    insta::assert_snapshot!(check(sized("layer.zip", 262_000_000)), @r"
    Note nearly-full (everywhere)
      the layers have 262000010 bytes unzipped; 143990 are left for the function's code and further layers
      -> nothing needs to be done; Lambda counts function and layers together
    ");
    let function = Zip::new("code.zip").sized("app.py", 100);
    let both = Case::layers([sized("layer.zip", 262_143_950)]).function(function);
    insta::assert_snapshot!(both.found(), @r"
    Error too-large (everywhere)
      function and layers have 262144060 bytes unzipped together; Lambda takes 262144000 at most
      -> `layercake build --fit --budget` makes a layer fit beside the others
    ");
    let mut large = sized("layer.zip", 100);
    large.0.zip_bytes = 52_428_800;
    insta::assert_snapshot!(check(large), @r"
    Note needs-s3 (layer.zip)
      the zip has 52428800 bytes; one of 52428800 or more does not go into a request and must go through S3
      -> `layercake up` does that by itself; elsewhere upload it to a bucket first and name that
    ");
    let six = ["a", "b", "c", "d", "e", "f"].map(|name| Zip::new(name).file(&format!("python/{name}.py")));
    insta::assert_snapshot!(Case::layers(six).found(), @r"
    Error too-many-layers (everywhere)
      there are 6 layers; a function has at most 5
      -> put the packages of several layers into one
    ");
}

#[test]
fn bytecode_is_missing_or_for_another_python() {
    let zip = Zip::new("layer.zip")
        .sized("python/p/__init__.py", 3_000_000)
        .file("python/p/__pycache__/__init__.cpython-39.pyc")
        .file("python/q/__pycache__/__init__.cpython-312.pyc");
    insta::assert_snapshot!(check(zip), @r"
    Warning bytecode-without-source (layer.zip: python/q/__pycache__/__init__.cpython-312.pyc)
      the package has bytecode in `__pycache__` only, and python3.12 imports that only beside its source
      -> keep the sources, or put the bytecode in their place (`python -m compileall -b`)
    Note no-bytecode (layer.zip)
      1 module is without bytecode. /opt is read-only, so every cold start compiles anew what it imports: that makes `import pandas` take 4.4 times as long on python3.12
      -> `layercake build` puts bytecode beside the sources
    Note other-bytecode (layer.zip: python/p/__pycache__/__init__.cpython-39.pyc)
      1 file is bytecode of cpython-39, which python3.12 does not read: 10 bytes
      -> leave the folders `__pycache__` out, or compile with the target's own Python
    ");
    let compiled = Zip::new("layer.zip")
        .sized("python/p/__init__.py", 3_000_000)
        .file("python/p/__pycache__/__init__.cpython-312.pyc")
        .file("python/sourceless/__init__.pyc");
    assert_eq!(check(compiled), "");
}

#[test]
fn the_runtime_is_guessed_from_what_is_there() {
    let guess = |paths: &[&str]| match guess_runtimes([&Zip::new("layer.zip").files(paths).0]) {
        Some(guess) => {
            let names: Vec<_> = guess.runtimes.iter().map(ToString::to_string).collect();
            format!("{}: {}", names.join(" "), guess.because)
        }
        None => "nothing".to_owned(),
    };
    let module = |python: &str| format!("python/p/{python}.cpython-{python}-x86_64-linux-gnu.so");
    insta::assert_snapshot!(guess(&[&module("39"), "python/p/b.cpython-39-darwin.so", &module("312")]), @"python3.9: 2 compiled modules are for Python 3.9");
    insta::assert_snapshot!(guess(&[&module("36m")]), @"python3.6: 1 compiled module is for Python 3.6");
    insta::assert_snapshot!(
        guess(&["python/lib/python3.9/site-packages/a.py", "python/lib/python3.12/site-packages/a.py"]),
        @"python3.9 python3.12: packages lie in `python/lib/python3.9/site-packages`, `python/lib/python3.12/site-packages`"
    );
    assert_eq!(guess(&["python/p/a.abi3.so", "python/p/b.py", &module("27mu"), &module("35m")]), "nothing");
}

#[test]
fn the_serialised_form_is_stable() {
    let zip = Zip::new("layer.zip").elf("python/p/a.abi3.so", elf(&["libodd.so.1"]));
    let report = CheckReport::new(vec![Case::layers([zip]).verdict(12, Arch::X86_64)]);
    assert!(!report.passes(false));
    insta::assert_json_snapshot!(report, @r#"
    {
      "format": 1,
      "verdicts": [
        {
          "target": {
            "runtime": "python3.12",
            "arch": "x86_64"
          },
          "runs": false,
          "sizes": {
            "zips": [
              {
                "name": "layer.zip",
                "zipped": 1000,
                "unzipped": 10
              }
            ],
            "unzipped": 10,
            "limit": 262144000,
            "left": 262143990
          },
          "findings": [
            {
              "severity": "error",
              "code": "missing-library",
              "why": "it needs `libodd.so.1`, which is neither in the layers nor in python3.12 (Amazon Linux 2023)",
              "fix": "take a wheel that brings the library, or put it into the folder `lib` of a layer",
              "inZip": "layer.zip",
              "file": "python/p/a.abi3.so"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn strict_counts_warnings() {
    let report = |zip: Zip| CheckReport::new(vec![Case::layers([zip]).verdict(12, Arch::X86_64)]);
    let warned = report(Zip::new("layer.zip").file("python/p/a.so"));
    assert!(warned.passes(false) && !warned.passes(true));
    let noted = report(Zip::new("layer.zip").mode("python/p/a.py", 0o666));
    assert!(noted.passes(true));
}
