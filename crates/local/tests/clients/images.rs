//! A base image from a registry that is not ours: Debian's `docker-registry`.

use std::{io::Write as _, process::Stdio, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use layercake_local::sandbox::RootFileSystem;
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config as ImageConfig, ImageLayer},
    manifest::{IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE, OciImageManifest},
    secrets::RegistryAuth,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::common::{TestCloud, aws_clients, config, folder_of, scenario};

/// How long a program that was started may take to say where it listens.
const START: Duration = Duration::from_secs(60);

/// Where `cargo xtask clients` puts it, or where the package does.
fn program() -> Option<Utf8PathBuf> {
    let unpacked = aws_clients().join("../registry/usr/bin/docker-registry");
    [unpacked, "/usr/bin/docker-registry".into()].into_iter().find(|path| path.is_file())
}

/// Starts a registry in a folder; it ends with the first value. The second is its address.
async fn start(program: &Utf8Path, folder: &Utf8Path) -> (tokio::process::Child, String) {
    let settings = folder.join("registry.yml");
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n"
    );
    fs_err::write(&settings, text).expect("a file");
    let mut registry = tokio::process::Command::new(program)
        .args(["serve", settings.as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("docker-registry");
    let mut lines = BufReader::new(registry.stderr.take().expect("its talk")).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some((_, rest)) = line.split_once("listening on ") {
                return rest.split('"').next().unwrap_or_default().to_owned();
            }
        }
        panic!("it ended at once")
    };
    let address = tokio::time::timeout(START, listening).await.expect("it says where it listens");
    // What it says later must not fill a pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (registry, address)
}

/// An archive with this machine's shell and a system's name.
fn layer() -> Vec<u8> {
    let said = std::process::Command::new("ldd").arg("/bin/sh").output().expect("ldd");
    let text = String::from_utf8(said.stdout).expect("text");
    let mut paths: Vec<&str> = text.split_whitespace().filter(|word| word.starts_with('/')).collect();
    paths.push("/bin/sh");
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path.trim_start_matches('/'), content).expect("in memory");
    };
    for path in paths {
        add(path, &fs_err::read(path).expect("a file"));
    }
    add("etc/os-release", b"NAME=\"From a registry\"\n");
    archive.into_inner().expect("in memory")
}

/// Puts an image with one layer there, as a client of registries does it.
async fn publish(address: &str, archive: &[u8]) {
    let protocol = ClientProtocol::Http;
    let client = Client::new(ClientConfig { protocol, ..ClientConfig::default() });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(archive).expect("in memory");
    let packed = gzip.finish().expect("in memory");
    let diff_id: String = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let text = json!({
        "architecture": architecture, "os": "linux", "config": { "Env": ["FROM_IMAGE=yes"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    let layers = [ImageLayer::new(packed, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE.to_owned(), None)];
    let config =
        ImageConfig::new(text.to_string().into_bytes(), IMAGE_DOCKER_CONFIG_MEDIA_TYPE.to_owned(), None);
    let manifest = OciImageManifest::build(&layers, &config, None);
    let image: Reference = format!("{address}/lambda/provided:al2023").parse().expect("a name");
    client.push(&image, &layers, config, &RegistryAuth::Anonymous, Some(manifest)).await.expect("pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_runs_on_an_image_from_debians_registry() {
    let Some(program) = program() else {
        assert!(std::env::var_os("CI").is_none(), "CI has Debian's docker-registry: `cargo xtask clients`");
        eprintln!("not run: Debian's docker-registry is not here");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_registry, address) = start(&program, &folder_of(&folder)).await;
    publish(&address, &layer()).await;
    let mut settings = config(&folder_of(&folder).join("cloud"));
    let source = format!("http://{address}/lambda").parse().expect("a registry");
    settings.tuning.root = RootFileSystem::Image(source);
    let handle = layercake_local::start(settings).await.expect("a local cloud");
    let mut missing = handle.isolation();
    missing.features.retain(|feature| feature.name == "own file system");
    if missing.missing().count() == 0 {
        scenario(TestCloud { handle, folder }, "provided_suite.py", "on_an_image").await;
    }
}
