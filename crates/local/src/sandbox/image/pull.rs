//! An image, from a registry to a folder that holds its root file system.
//!
//! Owns the layout of the folder of images: everything in it is written beside its place and put
//! there whole, under the name of its digest. Several servers may use one folder: a lock lets one
//! of them write at a time.

use std::{
    io::{self, BufReader},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt as _;
use layercake_core::target::Arch;
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::{
        IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
        OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest,
    },
    secrets::RegistryAuth,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::{
    layout,
    unpack::{Bounds, Tree, UnpackError},
};

/// How long a registry may take to be reached, and then to send the next piece.
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
/// The largest configuration that is read: those of AWS's images have a few thousand bytes.
const MOST_CONFIG_BYTES: u64 = 1024 * 1024;
/// The largest layer that is fetched (Lambda's limit for an image, unpacked).
const MOST_LAYER_BYTES: u64 = 10 * 1024 * 1024 * 1024;

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// Its name is none.
    #[error("`{reference}` names no image")]
    Reference { reference: String, source: oci_client::ParseError },
    /// The registry does not answer, or not with it.
    #[error("the registry does not give `{reference}`")]
    Registry { reference: String, source: Box<OciDistributionError> },
    /// What the registry gives is no image for this machine.
    #[error("`{reference}` holds no image for {architecture}")]
    Platform { reference: String, architecture: &'static str },
    /// The registry's answer contradicts itself, or is none.
    #[error("the registry's answer for `{reference}` is wrong: {what}")]
    Answer { reference: String, what: String },
    /// A part did not arrive whole.
    #[error("`{digest}` of the image did not arrive")]
    Part { digest: String, source: io::Error },
    /// A layer cannot be unpacked.
    #[error("the layer `{digest}` cannot be used")]
    Layer { digest: String, source: UnpackError },
    /// Something stands where an environment needs a folder.
    #[error("the image has no folder at `{path}`")]
    Layout { path: String },
    /// The folder of images cannot be used.
    #[error("cannot {step}")]
    Folder { step: &'static str, source: io::Error },
}

fn folder(step: &'static str) -> impl FnOnce(io::Error) -> ImageError {
    move |source| ImageError::Folder { step, source }
}

/// What an image says about the process that runs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Process {
    /// `KEY=value`.
    #[serde(deserialize_with = "or_none")]
    pub(crate) env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "or_none")]
    pub(crate) entrypoint: Vec<String>,
}

/// Docker writes `null` for an empty list.
fn or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An image's configuration, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Config {
    architecture: String,
    os: String,
    #[serde(default)]
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// A root file system on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageRoot {
    /// The folder of its root.
    pub(crate) folder: Utf8PathBuf,
    /// The digest of its manifest, as hexadecimal digits: what is content-addressed has one name.
    pub(crate) id: String,
    /// How its process starts.
    pub(crate) process: Process,
}

/// The folder of images.
#[derive(Clone, Debug)]
pub(super) struct Folder(pub(super) Utf8PathBuf);

/// What the folder remembers of a name, for when the registry cannot be asked.
#[derive(Serialize, Deserialize)]
struct Known {
    version: u32,
    reference: String,
    id: String,
}

/// What to fetch, and for what machine.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// `HOST/FOLDER/NAME:TAG`.
    pub(super) reference: String,
    pub(super) encrypted: bool,
    pub(super) arch: Arch,
    pub(super) bounds: Bounds,
}

impl Wanted {
    /// As images call it.
    const fn architecture(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    fn registry_error(&self, source: OciDistributionError) -> ImageError {
        ImageError::Registry { reference: self.reference.clone(), source: Box::new(source) }
    }

    fn wrong(&self, what: &(impl ToString + ?Sized)) -> ImageError {
        ImageError::Answer { reference: self.reference.clone(), what: what.to_string() }
    }

    fn other_platform(&self) -> ImageError {
        ImageError::Platform { reference: self.reference.clone(), architecture: self.architecture() }
    }
}

/// One conversation with a registry.
struct Registry<'a> {
    wanted: &'a Wanted,
    client: Client,
    reference: Reference,
}

impl<'a> Registry<'a> {
    fn new(wanted: &'a Wanted) -> Result<Self, ImageError> {
        let reference: Reference = wanted
            .reference
            .parse()
            .map_err(|source| ImageError::Reference { reference: wanted.reference.clone(), source })?;
        let protocol = if wanted.encrypted { ClientProtocol::Https } else { ClientProtocol::Http };
        let client = Client::new(ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("layercake/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        Ok(Self { wanted, client, reference })
    }

    /// The manifest for this machine, and its digest. The client holds the body against the digest
    /// that it was asked for by.
    async fn manifest(&self) -> Result<(OciImageManifest, String), ImageError> {
        const LISTS: [&str; 4] = [
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            OCI_IMAGE_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
        ];
        let (body, digest) = self.raw(&self.reference, &LISTS).await?;
        let list = match self.parse(&body)? {
            OciManifest::Image(manifest) => return Ok((manifest, digest)),
            OciManifest::ImageIndex(list) => list,
        };
        let fits = list.manifests.iter().find(|entry| {
            entry.platform.as_ref().is_some_and(|platform| {
                platform.os.to_string() == "linux"
                    && platform.architecture.to_string() == self.wanted.architecture()
            })
        });
        let digest = &fits.ok_or_else(|| self.wanted.other_platform())?.digest;
        let one = Reference::with_digest(
            self.reference.registry().to_owned(),
            self.reference.repository().to_owned(),
            digest.clone(),
        );
        let (body, digest) = self.raw(&one, &LISTS[2..]).await?;
        match self.parse(&body)? {
            OciManifest::Image(manifest) => Ok((manifest, digest)),
            OciManifest::ImageIndex(_) => Err(self.wanted.wrong("a list in a list")),
        }
    }

    async fn raw(
        &self,
        reference: &Reference,
        accepted: &[&str],
    ) -> Result<(bytes::Bytes, String), ImageError> {
        let answer = self.client.pull_manifest_raw(reference, &RegistryAuth::Anonymous, accepted).await;
        answer.map_err(|source| self.wanted.registry_error(source))
    }

    fn parse(&self, body: &[u8]) -> Result<OciManifest, ImageError> {
        serde_json::from_slice(body).map_err(|error| self.wanted.wrong(&error))
    }

    /// Fetches a part into a file, beside its place first; what is there is whole already.
    async fn part(&self, part: &OciDescriptor, most: u64, target: &Utf8Path) -> Result<(), ImageError> {
        if target.is_file() {
            return Ok(());
        }
        let broken = |source| ImageError::Part { digest: part.digest.clone(), source };
        let size = u64::try_from(part.size).unwrap_or_default();
        if size > most {
            return Err(broken(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {size} bytes"))));
        }
        let stream = self.client.pull_blob_stream(&self.reference, part.digest.as_str()).await;
        // The stream's last piece is an error when all of them do not have the digest.
        let mut stream = stream.map_err(|source| self.wanted.registry_error(source))?.stream;
        let beside = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(target.parent().unwrap_or(Utf8Path::new(".")))
            .map_err(folder("make a file for an image"))?;
        let file = beside.as_file().try_clone().map_err(folder("make a file for an image"))?;
        let mut file = tokio::fs::File::from_std(file);
        let mut arrived = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(broken)?;
            arrived += piece.len() as u64;
            if arrived > size {
                let what = format!("more than its {size} bytes arrived");
                return Err(broken(io::Error::new(io::ErrorKind::FileTooLarge, what)));
            }
            file.write_all(&piece).await.map_err(folder("write an image"))?;
        }
        if arrived < size {
            let what = format!("{arrived} of {size} bytes arrived");
            return Err(broken(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
        }
        file.flush().await.map_err(folder("write an image"))?;
        file.sync_all().await.map_err(folder("write an image"))?;
        beside.persist(target).map_err(|error| folder("keep an image")(error.error))?;
        Ok(())
    }
}

/// The root file system of an image: the newest of that name, unpacked before or now.
pub(super) async fn pull(images: &Folder, wanted: &Wanted) -> Result<ImageRoot, ImageError> {
    let registry = Registry::new(wanted)?;
    let (manifest, digest) = registry.manifest().await?;
    let id = digest
        .strip_prefix("sha256:")
        .filter(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| wanted.wrong(&format!("the digest `{digest}`")))?
        .to_owned();
    if let Some(root) = images.root(&id)? {
        images.remember(wanted, &id)?;
        return Ok(root);
    }
    images.make()?;
    // Another server may pull the same image just now. Released when all of this has ended, the
    // unpacking too when nobody waits for it any more.
    let lock = Arc::new(images.lock().await?);
    images.sweep();
    if images.root(&id)?.is_none() {
        let layers = fetch(images, wanted, &registry, &manifest).await?;
        unpack(images, wanted, layers, &id, Arc::clone(&lock)).await?;
    }
    images.remember(wanted, &id)?;
    images.root(&id)?.ok_or_else(|| wanted.wrong("the image vanished"))
}

/// Has every part of an image on disk.
async fn fetch(
    images: &Folder,
    wanted: &Wanted,
    registry: &Registry<'_>,
    manifest: &OciImageManifest,
) -> Result<Fetched, ImageError> {
    let config_file = images.part(&manifest.config.digest);
    registry.part(&manifest.config, MOST_CONFIG_BYTES, &config_file).await?;
    let config = fs_err::read(&config_file).map_err(folder("read an image"))?;
    let config: Config = serde_json::from_slice(&config).map_err(|error| wanted.wrong(&error))?;
    if config.os != "linux" || config.architecture != wanted.architecture() {
        return Err(wanted.other_platform());
    }
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(wanted.wrong("its configuration names other layers"));
    }
    let mut layers = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(config.rootfs.diff_ids) {
        let file = images.part(&layer.digest);
        let gzip = match layer.media_type.as_str() {
            kind if kind.ends_with("gzip") => true,
            kind if kind.ends_with("tar") => false,
            kind => return Err(wanted.wrong(&format!("a layer is of the kind `{kind}`"))),
        };
        registry.part(layer, MOST_LAYER_BYTES, &file).await?;
        layers.push(LayerFile { file, gzip, diff_id, digest: layer.digest.clone() });
    }
    Ok(Fetched { process: config.config.unwrap_or_default(), layers, config: config_file })
}

async fn unpack(
    images: &Folder,
    wanted: &Wanted,
    fetched: Fetched,
    id: &str,
    lock: Arc<std::fs::File>,
) -> Result<(), ImageError> {
    let (images, bounds, id) = (images.clone(), wanted.bounds, id.to_owned());
    let unpacked = tokio::task::spawn_blocking(move || {
        let unpacked = images.unpack(&id, &fetched, bounds);
        drop(lock);
        unpacked
    });
    unpacked.await.map_err(|error| folder("unpack an image")(io::Error::other(error)))?
}

/// The parts of an image on disk.
struct Fetched {
    process: Process,
    layers: Vec<LayerFile>,
    config: Utf8PathBuf,
}

/// A layer on disk.
struct LayerFile {
    file: Utf8PathBuf,
    gzip: bool,
    diff_id: String,
    digest: String,
}

impl Folder {
    fn make(&self) -> Result<(), ImageError> {
        for name in ["parts", "roots", "names"] {
            fs_err::create_dir_all(self.0.join(name)).map_err(folder("make the folder of images"))?;
        }
        Ok(())
    }

    fn part(&self, digest: &str) -> Utf8PathBuf {
        // The client has refused every digest that is not `sha…:` and hexadecimal digits.
        let name: String = digest.chars().filter(char::is_ascii_alphanumeric).collect();
        self.0.join("parts").join(name)
    }

    /// A root that is whole.
    fn root(&self, id: &str) -> Result<Option<ImageRoot>, ImageError> {
        let folder_of = self.0.join("roots").join(id);
        let text = match fs_err::read(folder_of.join("process.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(folder("read an image")(error)),
        };
        let process = serde_json::from_slice(&text).map_err(|error| folder("read an image")(error.into()))?;
        Ok(Some(ImageRoot { folder: folder_of.join("root"), id: id.to_owned(), process }))
    }

    /// Waits until no other server writes here.
    async fn lock(&self) -> Result<std::fs::File, ImageError> {
        let path = self.0.join("lock");
        let task = tokio::task::spawn_blocking(move || {
            let file = fs_err::OpenOptions::new().create(true).append(true).open(path)?.into_parts().0;
            file.lock()?;
            io::Result::Ok(file)
        });
        let locked = task.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        locked.map_err(folder("lock the folder of images"))
    }

    /// Removes what servers that were killed have left behind; the caller has the lock.
    fn sweep(&self) {
        for name in ["parts", "roots", "names"] {
            let Ok(entries) = self.0.join(name).read_dir_utf8() else { continue };
            for entry in entries.filter_map(Result::ok) {
                if entry.file_name().starts_with(".new-") {
                    let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                    let removed = if is_folder {
                        fs_err::remove_dir_all(entry.path())
                    } else {
                        fs_err::remove_file(entry.path())
                    };
                    // Only room is lost, and the next one tries again.
                    let _ = removed;
                }
            }
        }
    }

    /// Makes a root out of its layers, beside its place, and puts it there.
    fn unpack(&self, id: &str, fetched: &Fetched, bounds: Bounds) -> Result<(), ImageError> {
        let roots = self.0.join("roots");
        let beside = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&roots)
            .map_err(folder("make a folder for an image"))?;
        let root = beside.path().join("root");
        fs_err::create_dir(&root).map_err(folder("make a folder for an image"))?;
        let mut tree = Tree::new(&root, bounds);
        for layer in &fetched.layers {
            let file = fs_err::File::open(&layer.file).map_err(folder("read an image"))?;
            let applied = tree.apply(BufReader::new(file), layer.gzip, &layer.diff_id);
            if let Err(source) = applied {
                // Were it the disk's fault, the next try would find the same file.
                let _ = fs_err::remove_file(&layer.file);
                return Err(ImageError::Layer { digest: layer.digest.clone(), source });
            }
        }
        layout::prepare(&root)?;
        let text = serde_json::to_vec(&fetched.process).unwrap_or_default();
        fs_err::write(beside.path().join("process.json"), text).map_err(folder("write an image"))?;
        // A function is another user, and a folder made by `tempfile` is for its owner alone.
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(beside.path(), everyone).map_err(folder("write an image"))?;
        sync(beside.path()).map_err(folder("write an image"))?;
        fs_err::rename(beside.path(), roots.join(id)).map_err(folder("keep an image"))?;
        // It is not at its old place any more, where it would be removed.
        let _ = beside.keep();
        for part in fetched.layers.iter().map(|layer| &layer.file).chain([&fetched.config]) {
            // They have served; only room is lost when they stay.
            let _ = fs_err::remove_file(part);
        }
        Ok(())
    }

    fn name_file(&self, wanted: &Wanted) -> Utf8PathBuf {
        use sha2::{Digest, Sha256};
        let name = format!("{} {}", wanted.architecture(), wanted.reference);
        let hex: String = Sha256::digest(name).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.0.join("names").join(format!("{hex}.json"))
    }

    /// Notes what a name means now.
    fn remember(&self, wanted: &Wanted, id: &str) -> Result<(), ImageError> {
        let known = Known { version: 1, reference: wanted.reference.clone(), id: id.to_owned() };
        let target = self.name_file(wanted);
        let write = || {
            let mut beside = tempfile::Builder::new()
                .prefix(".new-")
                .tempfile_in(target.parent().unwrap_or(Utf8Path::new(".")))?;
            io::Write::write_all(&mut beside, &serde_json::to_vec(&known)?)?;
            beside.persist(&target).map_err(|error| error.error)
        };
        write().map(drop).map_err(folder("keep an image's name"))
    }

    /// What a name meant when the registry was last asked.
    pub(super) fn remembered(&self, wanted: &Wanted) -> Option<ImageRoot> {
        let text = fs_err::read(self.name_file(wanted)).ok()?;
        let known: Known = serde_json::from_slice(&text).ok()?;
        let same = known.version == 1 && known.reference == wanted.reference;
        same.then(|| self.root(&known.id).ok().flatten()).flatten()
    }
}

/// Has the disk keep a tree before its name says that it is whole.
#[cfg(target_os = "linux")]
fn sync(path: &std::path::Path) -> io::Result<()> {
    let folder = fs_err::File::open(path)?;
    Ok(nix::unistd::syncfs(&folder)?)
}

/// Images are of no use elsewhere, since only Linux runs what is in them.
#[cfg(not(target_os = "linux"))]
fn sync(_path: &std::path::Path) -> io::Result<()> {
    Ok(())
}
