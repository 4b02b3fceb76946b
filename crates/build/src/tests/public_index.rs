//! The public package index, asked for what the 2020 write-up needs and for what is newest.
//!
//! Owns the only tests of this crate that leave the machine. They hold as long as the index serves
//! the pinned files; nothing about "newest" is compared literally.

use layercake_core::target::{Arch, Runtime, Target};

use super::Folder;
use crate::resolve::{Asked, IndexOptions, PackageIndex};

fn pandas_for(runtime: Runtime, arch: Arch) -> Vec<(String, String)> {
    let cache = Folder::new();
    let index = PackageIndex::open(IndexOptions::new(cache.path())).expect("it opens");
    let asked = Asked::with("--with", &["pandas".to_owned()]);
    let resolution = index.resolve(&asked, Target { runtime, arch }).expect("the index answers");
    resolution.wheels.into_iter().map(|wheel| (wheel.name, wheel.filename)).collect()
}

fn filename<'a>(wheels: &'a [(String, String)], package: &str) -> &'a str {
    wheels.iter().find(|(name, _)| name == package).map_or("", |(_, filename)| filename)
}

#[test]
fn the_write_up_gets_its_wheels() {
    let wheels = pandas_for(Runtime::PYTHON3_6, Arch::X86_64);
    assert_eq!(filename(&wheels, "pandas"), "pandas-1.1.5-cp36-cp36m-manylinux1_x86_64.whl");
    assert_eq!(filename(&wheels, "numpy"), "numpy-1.19.5-cp36-cp36m-manylinux2010_x86_64.whl");
    // `six` still serves every Python; that it is here shows that what pandas needs came along.
    assert!(filename(&wheels, "six").ends_with("py2.py3-none-any.whl"), "{wheels:?}");
}

#[test]
fn a_new_runtime_gets_new_wheels_of_its_architecture() {
    let runtime = Runtime::from_minor(12).expect("python3.12");
    for arch in [Arch::X86_64, Arch::Arm64] {
        let wheels = pandas_for(runtime, arch);
        let numpy = filename(&wheels, "numpy");
        assert!(numpy.starts_with("numpy-2.") && numpy.contains("-cp312-cp312-manylinux_2_"), "{numpy}");
        assert!(numpy.contains(arch.machine()), "{numpy}");
    }
}

/// What people put on Lambda, a line for each set, with the targets it is compared for.
const SETS: [&str; 20] = [
    "pandas",
    "pandas pyarrow scipy scikit-learn",
    "requests boto3",
    "flask gunicorn",
    "fastapi mangum pydantic",
    "sqlalchemy psycopg2-binary alembic",
    "numpy<2 numba",
    "cryptography pyjwt",
    "lxml beautifulsoup4 html5lib",
    "pillow opencv-python-headless",
    "polars duckdb",
    "aws-lambda-powertools[tracer]",
    "httpx[http2] orjson",
    "jinja2 markupsafe pyyaml",
    "shapely pyproj",
    "matplotlib seaborn",
    "openai tiktoken",
    "langchain-core",
    "django djangorestframework",
    "redis[hiredis] celery",
];

/// Compares with the program `uv` at `LAYERCAKE_UV`, for the same target.
#[test]
#[ignore = "needs the program uv, named in LAYERCAKE_UV, and asks the index for hundreds of pages"]
fn the_answers_are_those_of_uv() {
    use std::io::Write as _;
    let uv = std::env::var("LAYERCAKE_UV").expect("LAYERCAKE_UV names the program");
    let cache = Folder::new();
    let index = PackageIndex::open(IndexOptions::new(cache.path())).expect("it opens");
    let mut differences = String::new();
    // uv knows the C library of Amazon Linux 2023, and not those of the older ones.
    for (minor, arch) in [(12, Arch::X86_64), (14, Arch::Arm64)] {
        let runtime = Runtime::from_minor(minor).expect("a runtime");
        for set in SETS {
            let specifiers: Vec<String> = set.split(' ').map(str::to_owned).collect();
            let ours = match index.resolve(&Asked::with("--with", &specifiers), Target { runtime, arch }) {
                Ok(resolution) => {
                    let pins =
                        resolution.wheels.iter().map(|wheel| format!("{}=={}", wheel.name, wheel.version));
                    pins.collect::<Vec<_>>().join("\n")
                }
                Err(error) => format!("error: {error}"),
            };
            let mut child = std::process::Command::new(&uv)
                .args([
                    "pip",
                    "compile",
                    "--no-header",
                    "--no-annotate",
                    "--quiet",
                    "--only-binary",
                    ":all:",
                    "-",
                ])
                .args(["--python-version", &runtime.python_full_version()])
                .args(["--python-platform", &format!("{}-manylinux_2_34", arch.machine())])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("uv starts");
            child
                .stdin
                .take()
                .expect("it is piped")
                .write_all(set.replace(' ', "\n").as_bytes())
                .expect("uv reads");
            let output = child.wait_with_output().expect("uv ends");
            let theirs = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            // Where there is no solution, both say so, each in its own words.
            let neither = ours.starts_with("error") && !output.status.success();
            if ours != theirs && !neither {
                let errors = String::from_utf8_lossy(&output.stderr);
                differences.push_str(&format!(
                    "{set} for {runtime} {arch}\nours:\n{ours}\nuv's:\n{theirs}{errors}\n\n"
                ));
            }
        }
    }
    assert_eq!(differences, "");
}

/// Builds what the public index has as source only, and refuses native code, with the Pythons named
/// in `LAYERCAKE_PYTHONS` (programs, with colons between them).
#[test]
#[ignore = "needs Pythons, named in LAYERCAKE_PYTHONS, and a compiler; builds with setuptools of the index"]
fn real_sources_are_built_by_every_python() {
    let programs = std::env::var("LAYERCAKE_PYTHONS").expect("LAYERCAKE_PYTHONS names programs");
    let cache = Folder::new();
    let mut options = IndexOptions::new(cache.path());
    for program in programs.split(':') {
        let minor = std::process::Command::new(program)
            .args(["-c", "import sys; print(sys.version_info[1])"])
            .output()
            .expect("it runs");
        let minor = String::from_utf8_lossy(&minor.stdout).trim().parse().expect("a number");
        options.pythons.push((minor, program.into()));
    }
    let pythons = options.pythons.clone();
    options.formats.no_binary("markupsafe");
    let index = PackageIndex::open(options).expect("it opens");
    for (minor, program) in pythons {
        let target = Target { runtime: Runtime::from_minor(minor).expect("a runtime"), arch: Arch::Arm64 };
        let resolve = |line: &str| index.resolve(&Asked::with("--with", &[line.to_owned()]), target);
        let resolution = resolve("docopt==0.6.2").expect("it is pure");
        let set = crate::fetch::fetch(&index, &resolution, &crate::fetch::Silent).expect("it is sound");
        assert!(set.contents[0].archive.entries.iter().any(|entry| entry.path == "docopt.py"), "{program}");
        let told = super::told(&resolve("markupsafe==2.0.1").expect_err("it compiles"));
        assert!(told.contains("it contains native code"), "{program}: {told}");
    }
}
