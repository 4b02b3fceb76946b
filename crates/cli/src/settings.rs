//! What the arguments mean on this machine: folders, Pythons, files. The only reader of the
//! environment beside clap.

use camino::{Utf8Path, Utf8PathBuf};
use etcetera::BaseStrategy as _;
use layercake_core::target::Arch;
use layercake_local::interpreters::{Interpreters, SearchPlaces};

use crate::{
    args::Common,
    error::{CommandError, Kind},
};

/// Folders and Pythons of this user.
#[derive(Debug)]
pub(crate) struct Settings {
    /// State of the local cloud.
    cloud: Utf8PathBuf,
    /// Whether the user named that folder.
    cloud_is_named: bool,
    /// Links to the journals of every app that is up.
    pub(crate) registry: Utf8PathBuf,
    /// Wheels, index pages and built layers.
    pub(crate) cache: Utf8PathBuf,
    /// Where Pythons may be.
    places: SearchPlaces,
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn new(common: &Common, cache: Option<&Utf8Path>) -> Result<Self, CommandError> {
        let base = etcetera::choose_base_strategy().ok();
        let own =
            |folder: Option<std::path::PathBuf>, flag: &str| match folder.map(Utf8PathBuf::from_path_buf) {
                Some(Ok(folder)) => Ok(folder.join("layercake")),
                Some(Err(folder)) => Err(CommandError::new(
                    Kind::User,
                    format!("the folder `{}` has a name that is not UTF-8", folder.display()),
                    format!("give {flag}"),
                )),
                None => Err(CommandError::new(
                    Kind::User,
                    "this user has no home folder",
                    format!("set HOME, or give {flag}"),
                )),
            };
        let data = |flag| own(base.as_ref().map(etcetera::BaseStrategy::data_dir), flag);
        let cloud = match &common.data {
            Some(folder) => absolute(folder),
            None => data("--data")?.join("cloud"),
        };
        // A cloud of its own has apps of its own: what is up on it must not mix with the rest.
        let registry = match &common.data {
            Some(_) => cloud.join("apps"),
            None => data("--data")?.join("apps"),
        };
        let cache = match (cache, &common.data) {
            (Some(folder), _) => absolute(folder),
            (None, named) => match own(base.as_ref().map(etcetera::BaseStrategy::cache_dir), "--cache-dir") {
                Ok(folder) => folder,
                // Commands that build nothing need no cache.
                Err(_) if named.is_some() => cloud.join("cache"),
                Err(error) => return Err(error),
            },
        };
        let home = base.as_ref().and_then(|base| Utf8PathBuf::from_path_buf(base.home_dir().to_owned()).ok());
        let places = places(common, home.as_deref(), &cache);
        Ok(Self { cloud, cloud_is_named: common.data.is_some(), registry, cache, places })
    }

    /// The folder of the local cloud: the one the user named, else the one that is being served,
    /// else the user's own.
    pub(crate) fn cloud_or(&self, served: Option<Utf8PathBuf>) -> Utf8PathBuf {
        match served {
            Some(served) if !self.cloud_is_named => served,
            _ => self.cloud.clone(),
        }
    }

    /// Finds the Pythons of this machine.
    pub(crate) fn interpreters(&self) -> Interpreters {
        Interpreters::discover(&self.places)
    }
}

fn absolute(path: &Utf8Path) -> Utf8PathBuf {
    std::path::absolute(path)
        .ok()
        .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
        .unwrap_or_else(|| path.to_owned())
}

fn places(common: &Common, home: Option<&Utf8Path>, cache: &Utf8Path) -> SearchPlaces {
    let variable =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let in_home = |path: &str| home.map(|home| home.join(path));
    let path = std::env::var_os("PATH").unwrap_or_default();
    SearchPlaces {
        named: common.python.clone(),
        path: std::env::split_paths(&path)
            .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
            .collect(),
        pyenv_root: variable("PYENV_ROOT").or_else(|| in_home(".pyenv")),
        uv_pythons: variable("UV_PYTHON_INSTALL_DIR")
            .or_else(|| variable("XDG_DATA_HOME").map(|data| data.join("uv/python")))
            .or_else(|| in_home(".local/share/uv/python")),
        homebrew: ["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"].map(Utf8PathBuf::from).into(),
        memory: Some(cache.join("interpreters")),
    }
}

/// The access key that AWS's tools would use by the environment.
pub(crate) fn access_key_of_the_environment() -> Option<(String, String)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some((variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?))
}

/// Where AWS's tools would find credentials, by the environment and the files of `~/.aws`, and the
/// region. Nothing is asked, and no secret is read out.
#[derive(Debug, Default)]
pub(crate) struct AwsSetup {
    /// Each place that holds credentials or names a way to them, in the order in which it counts.
    pub(crate) sources: Vec<String>,
    /// The region that is configured.
    pub(crate) region: Option<String>,
}

impl AwsSetup {
    /// Looks.
    pub(crate) fn find() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = etcetera::choose_base_strategy().ok().map(|base| base.home_dir().join(".aws"));
        let file = |name: &str, own: &str| {
            let path =
                variable(name).map(std::path::PathBuf::from).or_else(|| Some(home.as_ref()?.join(own)))?;
            Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?))
        };
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let mut sources = Vec::new();
        if access_key_of_the_environment().is_some() {
            sources.push("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned());
        }
        let files = [file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")];
        let mut region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        for (path, text) in files.iter().flatten() {
            let settings = of_profile(text, &profile);
            let gives = |(name, _): &&(&str, &str)| {
                ["aws_access_key_id", "credential_process", "role_arn", "sso_session", "sso_start_url"]
                    .contains(name)
            };
            if let Some((name, _)) = settings.iter().find(gives) {
                sources.push(format!("profile `{profile}` in {path} ({name})"));
            }
            let found = settings.iter().find(|(name, _)| *name == "region");
            region = region.or_else(|| found.map(|(_, value)| (*value).to_owned()));
        }
        let others = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        sources.extend(others.iter().filter(|name| variable(name).is_some()).map(|&name| name.to_owned()));
        Self { sources, region }
    }
}

/// The settings of one profile in a file of `~/.aws`: the credentials file calls it `[name]`, the
/// other one `[profile name]`.
fn of_profile<'a>(text: &'a str, profile: &str) -> Vec<(&'a str, &'a str)> {
    let mut inside = false;
    let mut settings = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim().strip_prefix("profile ").unwrap_or(name).trim() == profile;
        } else if inside && let Some((name, value)) = line.split_once('=') {
            settings.push((name.trim(), value.trim()));
        }
    }
    settings
}

/// What the user's terminal calls itself.
pub(crate) fn terminal_type() -> Option<String> {
    std::env::var("TERM").ok().filter(|kind| !kind.is_empty())
}

/// The architecture of this machine, in Lambda's words.
pub(crate) fn host_arch() -> Option<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Arch::X86_64),
        "aarch64" => Some(Arch::Arm64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_its_settings_alone() {
        let text =
            "[default]\nregion = eu-central-1\n\n[profile work]\nsso_session = main\nregion=us-west-2\n";
        assert_eq!(of_profile(text, "default"), [("region", "eu-central-1")]);
        assert_eq!(of_profile(text, "work"), [("sso_session", "main"), ("region", "us-west-2")]);
        assert!(of_profile(text, "other").is_empty());
    }
}
