//! Functions on the root file system of an image: AWS's layout, made by hand.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use insta::assert_snapshot;
use layercake_core::target::Runtime;
use layercake_local::{
    Interpreters,
    interpreters::Interpreter,
    sandbox::{FunctionRuntime, ImageSource, Isolation, RootFileSystem, Sandbox, SandboxConfig, Tuning},
};
use serde_json::json;
use tar::EntryType;

use crate::{
    registry::{ARCHITECTURE, Image, LayerBuilder, Registry},
    support::{Lab, interpreters, newest, show},
};

/// The start script of AWS's images, as far as it matters here.
const ENTRYPOINT: &str = "#!/bin/sh\n\
    if [ $# -ne 1 ]; then\n  echo \"entrypoint requires the handler name to be the first argument\" 1>&2\n  exit 142\nfi\n\
    export _HANDLER=\"$1\"\n\
    exec /var/runtime/bootstrap\n";

/// An image's own runtime client: the one of this crate, since AWS's is not on every machine.
const CLIENT: &str = include_str!("../../src/sandbox/bootstrap/bootstrap.py");

fn on_image(source: ImageSource) -> Tuning {
    Tuning { root: RootFileSystem::Image(source), ..Tuning::default() }
}

/// The libraries that a program of this machine needs, its loader among them.
fn libraries(program: &str) -> Vec<String> {
    let said = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8(said.stdout).expect("text");
    text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// Files of this machine at the same places, once each.
fn with_programs(mut layer: LayerBuilder, programs: &[&str]) -> LayerBuilder {
    let mut paths: Vec<String> = programs.iter().map(|&program| program.to_owned()).collect();
    paths.extend(programs.iter().flat_map(|program| libraries(program)));
    paths.sort();
    paths.dedup();
    for path in paths {
        layer = layer.file(path.trim_start_matches('/'), 0o755, fs_err::read(&path).expect("a file"));
    }
    layer
}

/// The system of an image: a shell and what it says of itself.
fn system(name: &str) -> LayerBuilder {
    with_programs(LayerBuilder::default(), &["/bin/sh"])
        .file("etc/os-release", 0o644, format!("NAME=\"{name}\"\n"))
        .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nimage:x:7:7::/:/bin/sh\n")
        .file("lambda-entrypoint.sh", 0o755, ENTRYPOINT)
}

fn process() -> serde_json::Value {
    json!({
        "Env": ["LANG=C.UTF-8", "PATH=/var/lang/bin:/usr/bin/:/bin", "FROM_IMAGE=yes", "MINE=image"],
        "Entrypoint": ["/lambda-entrypoint.sh"],
        "Cmd": null,
        "WorkingDir": "/var/task",
    })
}

fn append(layer: LayerBuilder, folder: &Utf8Path, inside: &str) -> LayerBuilder {
    // What no function here imports, and what is large.
    const LEFT_OUT: [&str; 10] = [
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tkinter",
        "turtledemo",
    ];
    let mut layer = layer;
    for entry in folder.read_dir_utf8().expect("a folder") {
        let entry = entry.expect("an entry");
        let (name, path) = (entry.file_name(), entry.path());
        let inside = format!("{inside}/{name}");
        if LEFT_OUT.contains(&name) || name.starts_with("config-") {
            continue;
        }
        layer = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => append(layer, path, &inside),
            Ok(metadata) if metadata.len() < 30_000_000 => {
                layer.file(&inside, 0o644, fs_err::read(path).expect("a file"))
            }
            _ => layer,
        };
    }
    layer
}

/// An image with a Python of this machine at AWS's places.
fn python_image(python: &Interpreter) -> Image {
    let name = format!("python3.{}", python.version.1);
    let mut layer = with_programs(LayerBuilder::default(), &[python.executable.as_str()]);
    if let Some(library) = &python.libpython {
        let inside = format!("var/lang/lib/{}", library.file_name().expect("a name"));
        layer = layer.file(&inside, 0o755, fs_err::read(library).expect("a file"));
    }
    layer = append(layer, &python.stdlib, &format!("var/lang/lib/{name}"))
        .file(&format!("var/lang/bin/{name}"), 0o755, fs_err::read(&python.executable).expect("a program"))
        .file("var/runtime/bootstrap.py", 0o644, CLIENT)
        .file(
            "var/runtime/bootstrap",
            0o755,
            format!(
                "#!/bin/sh\nexport FROM_SCRIPT=yes\nexec /var/lang/bin/{name} /var/runtime/bootstrap.py\n"
            ),
        )
        .file("etc/gone", 0o644, "")
        .file("usr/share/first", 0o644, "shared");
    let last = LayerBuilder::default()
        .file("etc/os-release", 0o644, "NAME=\"Image of a test\"\n")
        .file("etc/.wh.gone", 0o644, "")
        .link(EntryType::Link, "usr/share/second", "usr/share/first")
        .link(EntryType::Symlink, "usr/share/third", "/usr/share/first");
    Image { layers: vec![system("not this").finish(), layer.finish(), last.finish()], process: process() }
}

fn newest_interpreter() -> (Runtime, Interpreter) {
    let found = interpreters();
    let runtime = newest();
    (runtime, found.for_runtime(runtime).expect("found above").clone())
}

const LOOK: &str = r#"
import os, sys, traceback
def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return error.strerror
def handler(event, context):
    try:
        open("/etc/new", "w")
        wrote = "wrote"
    except OSError as error:
        wrote = error.strerror
    with open("/tmp/x", "w") as file:
        file.write("tmp")
    return {
        "os-release": read("/etc/os-release"), "gone": os.path.exists("/etc/gone"),
        "second": read("/usr/share/second"), "third": read("/usr/share/third"),
        "names": os.stat("/usr/share/first").st_nlink,
        "root": [name for name in ["dev", "home", "lambda-entrypoint.sh", "opt", "proc", "sys", "tmp"] if os.path.exists("/" + name)], "wrote": wrote, "users": read("/etc/passwd").count("\n"),
        "who": [line.split(":")[0] for line in read("/etc/passwd").splitlines() if line.split(":")[2] == str(os.getuid())],
        "executable": sys.executable, "prefix": sys.prefix, "path": sys.path, "folder": os.getcwd(),
        "layer": __import__("in_layer").WHO, "devices": sorted(os.listdir("/dev")),
        "variables": {key: os.environ.get(key) for key in ["FROM_IMAGE", "FROM_SCRIPT", "MINE", "OWN", "LANG", "PATH", "_HANDLER", "LAMBDA_TASK_ROOT", "AWS_EXECUTION_ENV"]},
        "processes": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
    }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_python_function_runs_on_an_image_s_files_with_the_image_s_python() {
    let registry = Registry::start().await;
    let (runtime, python) = newest_interpreter();
    let stored = registry.publish(&format!("python:{}", runtime.python_version()), &python_image(&python));
    // No Python of this machine is known here, so that only the image can have one.
    let lab = Lab::on(Interpreters::of(Vec::new()), Isolation::Best, on_image(registry.source()));
    let mut function = lab.function(runtime, LOOK);
    function.spec.opt = Some(lab.files(&[("python/in_layer.py", "WHO = 'layer'\n")]));
    function.spec.variables = BTreeMap::from([("MINE".into(), "mine".into()), ("OWN".into(), "own".into())]);
    // Fetching is no part of the function's time.
    let seen = function.value("{}").await;
    let shown = serde_json::to_string_pretty(&seen).expect("JSON").replace(&runtime.python_version(), "3.x");
    let shown = shown.replace(&runtime.python_version().replace('.', ""), "3x");
    assert_snapshot!(shown, @r#"
    {
      "os-release": "NAME=\"Image of a test\"\n",
      "gone": false,
      "second": "shared",
      "third": "shared",
      "names": 2,
      "root": [
        "dev",
        "lambda-entrypoint.sh",
        "opt",
        "proc",
        "tmp"
      ],
      "wrote": "Read-only file system",
      "users": 3,
      "who": [
        "sbx_user1051"
      ],
      "executable": "/var/lang/bin/python3.x",
      "prefix": "/var/lang",
      "path": [
        "/var/task",
        "/opt/python/lib/python3.x/site-packages",
        "/opt/python",
        "/var/lang/lib/python3.x/site-packages",
        "/var/runtime",
        "/var/lang/lib/python3x.zip",
        "/var/lang/lib/python3.x",
        "/var/lang/lib/python3.x/lib-dynload",
        "/var/lang/lib/python3.x/site-packages"
      ],
      "folder": "/var/task",
      "layer": "layer",
      "devices": [
        "fd",
        "full",
        "null",
        "random",
        "stderr",
        "stdin",
        "stdout",
        "urandom",
        "zero"
      ],
      "variables": {
        "FROM_IMAGE": "yes",
        "FROM_SCRIPT": "yes",
        "MINE": "mine",
        "OWN": "own",
        "LANG": "C.UTF-8",
        "PATH": "/var/lang/bin:/usr/bin/:/bin",
        "_HANDLER": "app.handler",
        "LAMBDA_TASK_ROOT": "/var/task",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.x"
      },
      "processes": [
        1,
        2
      ]
    }
    "#);
    assert_eq!(registry.blobs_given(), 4, "a configuration and three layers");
    assert_eq!(lab.sandbox.missing_images(), []);

    // What goes wrong is said in the same words as on this machine's files.
    fs_err::write(
        function.spec.task.join("app.py"),
        "def handler(event, context):\n    raise ValueError('no')\n",
    )
    .expect("a file");
    function.spec.revision = "2".into();
    let failed = show(&function.call("{}").await);
    assert!(
        failed.contains(r#""errorMessage": "no""#) && failed.contains("[ERROR] ValueError: no"),
        "{failed}"
    );

    // A later server finds the image where it is, even when the registry is gone.
    lab.sandbox.shutdown().await;
    let images = lab.path().join("work/images");
    let id = stored.manifest.strip_prefix("sha256:").expect("a digest");
    assert!(images.join("roots").join(id).join("root/etc/os-release").is_file());
    assert_eq!(images.join("parts").read_dir_utf8().expect("a folder").count(), 0, "the parts have served");
    let source = registry.source();
    drop(registry);
    let config = SandboxConfig {
        work: lab.path().join("work"),
        interpreters: Interpreters::of(Vec::new()),
        isolation: Isolation::Best,
    };
    function.sandbox = Sandbox::with(config, on_image(source));
    let failed = show(&function.call("{}").await);
    assert!(failed.contains(r#""errorMessage": "no""#), "{failed}");
    function.sandbox.shutdown().await;
}

fn al2023() -> FunctionRuntime {
    "provided.al2023".parse().expect("a runtime")
}

/// An image with a shell alone, for a `bootstrap` that says where it is and ends.
fn small_image(name: &str) -> Image {
    Image { layers: vec![system(name).finish()], process: process() }
}

const SAY_WHERE: &str = "#!/bin/sh\nwhile read line; do echo \"on $line\"; done < /etc/os-release\nexit 5\n";

/// What a `provided` function says of the files that it runs on, and why they are this machine's.
async fn check(source: ImageSource) -> String {
    let lab = Lab::with(Isolation::Best, on_image(source));
    let shown = check_in(&lab).await;
    lab.sandbox.shutdown().await;
    shown
}

async fn check_in(lab: &Lab) -> String {
    let function = lab.function(al2023(), "");
    let bootstrap = function.spec.task.join("bootstrap");
    fs_err::write(&bootstrap, SAY_WHERE).expect("a file");
    fs_err::set_permissions(bootstrap, std::fs::Permissions::from_mode(0o755)).expect("the mode");
    let shown = show(&function.call("{}").await);
    let host = "this machine's files";
    let said = shown.lines().find_map(|line| line.strip_prefix("on NAME=")).unwrap_or(host).trim_matches('"');
    let said = if said.starts_with("Image") { said } else { host };
    let reasons = lab.sandbox.missing_images();
    reasons.iter().fold(said.to_owned(), |text, (runtime, reason)| format!("{text}; {runtime}: {reason}"))
}

/// The reason without what differs from run to run.
fn scrub(text: &str, source: &ImageSource) -> String {
    let source = source.to_string();
    let host = source.strip_suffix("/lambda").expect("the folder");
    let mut text =
        text.replace(&source, "REGISTRY").replace(host, "HOST").replace(ARCHITECTURE, "ARCHITECTURE");
    if let Some(at) = text.find("its ").map(|at| at + 4)
        && let Some(length) = text[at..].find(" bytes")
    {
        text.replace_range(at..at + length, "<n>");
    }
    while let Some(at) = text.find("sha256:") {
        let end =
            text[at + 7..].find(|c: char| !c.is_ascii_hexdigit()).map_or(text.len(), |end| at + 7 + end);
        text.replace_range(at..end, "<digest>");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_runs_on_an_image_s_files() {
    let registry = Registry::start().await;
    registry.publish("provided:al2023", &small_image("Image for bootstrap"));
    assert_eq!(check(registry.source()).await, "Image for bootstrap");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_replaced_by_this_machine_s_files_and_said() {
    let registry = Registry::start().await;
    let source = registry.source();
    assert_snapshot!(scrub(&check(source.clone()).await, &source), @"this machine's files; provided.al2023: the registry does not give `REGISTRY/provided:al2023`: Registry error: url http://HOST/v2/lambda/provided/manifests/al2023, envelope: OCI API errors: [OCI API error: not here]");
    registry.publish_for_others("provided:al2023");
    assert_snapshot!(scrub(&check(source.clone()).await, &source), @"this machine's files; provided.al2023: `REGISTRY/provided:al2023` holds no image for ARCHITECTURE");
    drop(registry);
    let gone = check(source).await;
    assert!(gone.starts_with("this machine's files; provided.al2023: the registry does not give"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_parts_are_never_used() {
    let damage = async |damage: &dyn Fn(&Registry, &crate::registry::Stored)| {
        let registry = Registry::start().await;
        let source = registry.source();
        let stored = registry.publish("provided:al2023", &small_image("Image, damaged"));
        damage(&registry, &stored);
        scrub(&check(source.clone()).await, &source)
    };
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 100].to_vec();
    let longer = |bytes: &[u8]| [bytes, b"more"].concat();
    assert_snapshot!(damage(&|registry, stored| registry.replace(&stored.layers[0], flipped)).await, @"this machine's files; provided.al2023: `<digest>` of the image did not arrive: Invalid digest. Expected <digest>, got <digest>");
    assert_snapshot!(damage(&|registry, stored| registry.replace(&stored.layers[0], cut)).await, @"this machine's files; provided.al2023: `<digest>` of the image did not arrive: Invalid digest. Expected <digest>, got <digest>");
    assert_snapshot!(damage(&|registry, stored| registry.replace(&stored.layers[0], longer)).await, @"this machine's files; provided.al2023: `<digest>` of the image did not arrive: more than its <n> bytes arrived");
    assert_snapshot!(damage(&|registry, stored| registry.replace(&stored.config, flipped)).await, @"this machine's files; provided.al2023: `<digest>` of the image did not arrive: Invalid digest. Expected <digest>, got <digest>");
    assert_snapshot!(damage(&|registry, stored| registry.replace(&stored.manifest, flipped)).await, @"this machine's files; provided.al2023: the registry does not give `REGISTRY/provided:al2023`: Digest error: Invalid digest. Expected <digest>, got <digest>");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_layers_leave_nothing_outside_and_nothing_half_made() {
    let registry = Registry::start().await;
    let source = registry.source();
    let mut hostile = system("Image, hostile").finish();
    // The two blocks of zeros that end an archive make room for one more entry.
    hostile.truncate(hostile.len() - 1024);
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    let path = b"../../../../escaped";
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_size(0);
    header.set_cksum();
    hostile.extend(header.as_bytes());
    hostile.extend([0; 1024]);
    registry.publish("provided:al2023", &Image { layers: vec![hostile], process: process() });
    let lab = Lab::with(Isolation::Best, on_image(source.clone()));
    assert_snapshot!(scrub(&check_in(&lab).await, &source), @"this machine's files; provided.al2023: the layer `<digest>` cannot be used: the entry `../../../../escaped` leads out of the image");
    let roots = lab.path().join("work/images/roots");
    assert_eq!(roots.read_dir_utf8().expect("a folder").count(), 0, "nothing half-made");
    assert!(!lab.path().join("escaped").exists() && !lab.path().join("work/escaped").exists());
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_share_a_folder_fetch_an_image_once() {
    let registry = Registry::start().await;
    registry.publish("provided:al2023", &small_image("Image of both"));
    let first = Lab::with(Isolation::Best, on_image(registry.source()));
    let second = Lab::with(Isolation::Best, on_image(registry.source()));
    // One folder of images for both, as two servers over one disk would have it.
    let shared: Utf8PathBuf = first.path().join("shared");
    fs_err::create_dir_all(&shared).expect("a folder");
    for lab in [&first, &second] {
        fs_err::create_dir_all(lab.path().join("work")).expect("a folder");
        fs_err::os::unix::fs::symlink(&shared, lab.path().join("work/images")).expect("a link");
    }
    // And what a server that was killed has left there.
    fs_err::create_dir_all(shared.join("roots/.new-left/root")).expect("a folder");
    let (one, other) = tokio::join!(check_in(&first), check_in(&second));
    assert_eq!((one.as_str(), other.as_str()), ("Image of both", "Image of both"));
    assert_eq!(registry.blobs_given(), 2, "a configuration and a layer, once");
    assert_eq!(shared.join("roots").read_dir_utf8().expect("a folder").count(), 1);
    first.sandbox.shutdown().await;
    second.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_is_followed_by_the_next_server() {
    let registry = Registry::start().await;
    registry.publish("provided:al2023", &small_image("Image one"));
    let lab = Lab::with(Isolation::Best, on_image(registry.source()));
    assert_eq!(check_in(&lab).await, "Image one");
    registry.publish("provided:al2023", &small_image("Image two"));
    assert_eq!(check_in(&lab).await, "Image one", "a server asks once");
    lab.sandbox.shutdown().await;
    assert_eq!(check(registry.source()).await, "Image two");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_system_of_their_own_functions_run_on_this_machine_s_files() {
    let registry = Registry::start().await;
    let lab = Lab::with(Isolation::ProcessOnly, on_image(registry.source()));
    let function = lab.function(newest(), "def handler(event, context):\n    return 'ran'\n");
    assert_eq!(function.value("{}").await, "ran");
    assert_eq!(registry.blobs_given(), 0);
    lab.sandbox.shutdown().await;
}
