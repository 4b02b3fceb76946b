//! The rules of pruning, proved on the packages that they are about: each is installed from the real
//! package index into a layer, and used in the local cloud. The handlers are in `packages/`.

mod support;

use camino::Utf8Path;
use layercake_build::testing::{TestIndex, WheelBuilder};
use support::TestEnv;

/// Module of the handler, and the distribution that it is about.
type Used = (&'static str, &'static str);

const NUMPY: Used = ("use_numpy", "numpy");
const PANDAS: Used = ("use_pandas", "pandas");
const PYARROW: Used = ("use_pyarrow", "pyarrow");
const SCIPY: Used = ("use_scipy", "scipy");
const SCIKIT_LEARN: Used = ("use_sklearn", "scikit-learn");
const MATPLOTLIB: Used = ("use_matplotlib", "matplotlib");
const BOTO3: Used = ("use_boto3", "boto3");
const OPENCV: Used = ("use_cv2", "opencv-python-headless");
const POLARS: Used = ("use_polars", "polars");
const CRYPTOGRAPHY: Used = ("use_cryptography", "cryptography");
const LXML: Used = ("use_lxml", "lxml");
const PSYCOPG2: Used = ("use_psycopg2", "psycopg2-binary");
const PILLOW: Used = ("use_PIL", "pillow");
const SHAPELY: Used = ("use_shapely", "shapely");
const SQLALCHEMY: Used = ("use_sqlalchemy", "sqlalchemy");
const PYDANTIC: Used = ("use_pydantic", "pydantic");

/// Groups that fit into one layer each, even on `faithful`.
const GROUPS: [&[Used]; 6] = [
    &[NUMPY, PANDAS, BOTO3, SQLALCHEMY, PYDANTIC],
    &[PYARROW],
    &[SCIPY, SCIKIT_LEARN],
    &[MATPLOTLIB, PILLOW, SHAPELY, CRYPTOGRAPHY, LXML, PSYCOPG2],
    &[OPENCV],
    &[POLARS],
];

/// Makes an app of these handlers, runs it with `up`, and demands that every package did its work.
/// Answers the report.
fn check(env: &TestEnv, used: &[Used], arguments: &[&str]) -> serde_json::Value {
    let app = env.root().join("app");
    let _ = std::fs::remove_dir_all(&app);
    std::fs::create_dir_all(&app).expect("made");
    copy("app.py", &app);
    for (module, _) in used {
        copy(&format!("{module}.py"), &app);
    }
    let requirements: String = used.iter().map(|(_, distribution)| format!("{distribution}\n")).collect();
    std::fs::write(app.join("requirements.txt"), requirements).expect("written");
    let event = serde_json::json!({ "packages": used });
    let report = up(env, Index::Real, &app, &event, arguments);
    let answers = &report["invocation"]["payload"];
    for (module, _) in used {
        let answer = answers[module].as_str().unwrap_or_default();
        assert!(answer.starts_with("ok "), "{module} with {arguments:?}: {answer}\n{}", report["invocation"]);
    }
    report
}

/// Where the packages come from.
#[derive(Clone, Copy, PartialEq)]
enum Index {
    Real,
    OfTheTest,
}

fn up(
    env: &TestEnv,
    index: Index,
    app: &Utf8Path,
    event: &serde_json::Value,
    arguments: &[&str],
) -> serde_json::Value {
    let event = event.to_string();
    let mut command = env.command(&[
        "up",
        app.as_str(),
        "--json",
        "--event",
        &event,
        "--memory",
        "1024",
        "--timeout",
        "120",
    ]);
    if index == Index::Real {
        command.env_remove("LAYERCAKE_INDEX_URL");
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
    }
    let output = command.args(arguments).output().expect("starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    env.run_ok(&["down", app.as_str()]);
    report
}

fn copy(name: &str, app: &Utf8Path) {
    let handlers = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages");
    std::fs::copy(handlers.join(name), app.join(name)).expect("the handler is there");
}

/// These packages on `lean` and on `smallest`.
fn check_profiles(env: &TestEnv, used: &[Used]) {
    for profile in ["lean", "smallest"] {
        check(env, used, &["--runtime", "python3.12", "--profile", profile]);
    }
}

/// These packages in a layer that only fits without their optional parts.
fn check_fit(env: &TestEnv, used: &[Used], budget: &str) {
    let report = check(env, used, &["--runtime", "python3.12", "--fit", "--budget", budget]);
    let pulled = report["layer"]["pulled"].to_string();
    assert!(pulled.contains("optional-parts-out"), "the budget of {used:?} asks for too little: {pulled}");
}

#[test]
fn the_packages_of_many_apps() {
    let env = TestEnv::new();
    check_profiles(&env, &[BOTO3, SQLALCHEMY, PYDANTIC, MATPLOTLIB, PILLOW, SHAPELY]);
    check_profiles(&env, &[CRYPTOGRAPHY, LXML, PSYCOPG2, OPENCV]);
    check_profiles(&env, &[POLARS]);
    check_fit(&env, &[BOTO3, SQLALCHEMY], "31MB");
    check_fit(&env, &[MATPLOTLIB, PILLOW], "84MB");
}

#[test]
fn the_heavy_set() {
    let env = TestEnv::new();
    check_profiles(&env, &[NUMPY, PANDAS, PYARROW]);
    check_profiles(&env, &[SCIPY, SCIKIT_LEARN]);
    check_fit(&env, &[NUMPY, PANDAS, PYARROW, SCIPY, SCIKIT_LEARN], "262144000");
}

#[test]
fn pandas_on_other_pythons() {
    let env = TestEnv::new();
    for runtime in ["python3.6", "python3.9", "python3.13"] {
        check(&env, &[NUMPY, PANDAS], &["--runtime", runtime, "--profile", "smallest"]);
    }
}

#[test]
#[ignore = "downloads more than a gigabyte and takes half an hour: run it when the rules change"]
fn every_package_on_every_profile_and_python() {
    let env = TestEnv::new();
    for runtime in ["python3.6", "python3.9", "python3.12", "python3.13"] {
        for profile in ["faithful", "lean", "smallest"] {
            for used in GROUPS {
                check(&env, used, &["--runtime", runtime, "--profile", profile]);
            }
        }
    }
}

#[test]
fn what_packages_bring_beside_code() {
    let env = TestEnv::with_index(plugins());
    let app = env.root().join("plugins");
    std::fs::create_dir_all(&app).expect("made");
    copy("use_plugins.py", &app);
    std::fs::write(app.join("requirements.txt"), "plugin-one\ncorp-one\ncorp-two\nwith-path\n")
        .expect("written");
    for runtime in ["python3.9", "python3.12"] {
        for profile in ["faithful", "lean", "smallest"] {
            let event = serde_json::json!({ "profile": profile });
            let arguments = ["--runtime", runtime, "--profile", profile];
            let report = up(&env, Index::OfTheTest, &app, &event, &arguments);
            assert_eq!(
                report["invocation"]["payload"], "ok",
                "{runtime} {profile}: {}",
                report["invocation"]
            );
        }
    }
}

const PLUGIN: &str = "import pkgutil

def greet():
    return pkgutil.get_data(__name__, 'words.txt').decode().strip()

def shout():
    return greet().upper()

def source():
    return pkgutil.get_data(__name__, 'templates/kernel.c')
";

/// Entry points, data, a namespace package that two wheels share, and a `.pth` file.
fn plugins() -> TestIndex {
    let host = WheelBuilder::new("plugin-host", "1.0")
        .file("plugin_host/__init__.py", "def call(point):\n    return point.load()()\n");
    let plugin = WheelBuilder::new("plugin-one", "1.5")
        .requires("plugin-host")
        .file("plugin_one/__init__.py", PLUGIN)
        .file("plugin_one/words.txt", "hello\n")
        .file("plugin_one/py.typed", "")
        .file("plugin_one/templates/__init__.py", "")
        .file("plugin_one/templates/page.html", "<p>{}</p>\n")
        .file("plugin_one/templates/kernel.c", "int kernel;\n")
        .file("plugin_one/tests/sample.sql", "SELECT 1;\n")
        .file("plugin_one/inner/tests/test_plugin.py", "assert False\n")
        .file("plugin_one-1.5.dist-info/top_level.txt", "plugin_one\n")
        .file(
            "plugin_one-1.5.dist-info/entry_points.txt",
            "[plugin_host]\ngreet = plugin_one:greet\nshout = plugin_one:shout\n",
        );
    let part = |name: &str, word: &str| {
        WheelBuilder::new(name, "1.0").file(&format!("corp/{word}/__init__.py"), format!("WORD = '{word}'\n"))
    };
    let with_path = WheelBuilder::new("with-path", "1.0")
        .file("with_path.pth", "with_path_modules\n")
        .file("with_path_modules/by_path.py", "WORD = 'found'\n");
    TestIndex::serving(&[host, plugin, part("corp-one", "one"), part("corp-two", "two"), with_path])
}
