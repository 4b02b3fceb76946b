//! A function as it is on the endpoint, with its files: configuration, code and layers.
//!
//! Reads only. The files come from the links that the API gives (`Code.Location`), each held
//! against the hash that the API tells.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_lambda::types::{EphemeralStorage, PackageType};
use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::hash::Sha256;
use tokio::io::AsyncWriteExt as _;

use crate::{
    call::explained,
    destination::Endpoint,
    error::{DeployError, innermost},
};

/// How long nothing may come of a download.
const SILENCE: Duration = Duration::from_secs(60);

/// A function and where its zips are now.
#[derive(Clone, Debug)]
pub struct FetchedFunction {
    /// Its name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Such as `python3.12`; nothing for a function from a container image.
    pub runtime: Option<String>,
    /// What is called.
    pub handler: String,
    /// Memory in MB.
    pub memory_mb: u32,
    /// Size of `/tmp` in MB.
    pub tmp_mb: u32,
    /// Timeout in seconds.
    pub timeout_seconds: u32,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its log group.
    pub log_group: Option<String>,
    /// How its log looks.
    pub logging: Logging,
    /// The zip of its code.
    pub code: Utf8PathBuf,
    /// The zips of its layers, lowest first.
    pub layers: Vec<Utf8PathBuf>,
}

/// How a function's log looks, in Lambda's words. What is not told is Lambda's default.
#[derive(Clone, Debug, Default)]
pub struct Logging {
    /// `Text` or `JSON`.
    pub format: Option<String>,
    /// The least that the function's own lines have to be.
    pub application_level: Option<String>,
    /// The same of the platform's.
    pub system_level: Option<String>,
}

/// Asks for a function and downloads its zips into a folder.
///
/// # Errors
/// [`DeployError::NoFunction`] when there is none of that name, [`DeployError::Download`] when a
/// link gives something else than it should.
pub async fn fetch_function(
    endpoint: &Endpoint,
    function: &str,
    qualifier: Option<&str>,
    folder: &Utf8Path,
) -> Result<FetchedFunction, DeployError> {
    let asked =
        endpoint.lambda.get_function().function_name(function).set_qualifier(qualifier.map(str::to_owned));
    let found = match asked.send().await.map_err(|error| DeployError::of("GetFunction", error)) {
        Ok(found) => found,
        Err(error) => return Err(explained(endpoint, function, qualifier, error).await),
    };
    let missing = |missing| DeployError::Incomplete { operation: "GetFunction", missing };
    let configuration = found.configuration().ok_or(missing("Configuration"))?;
    if configuration.package_type() == Some(&PackageType::Image) {
        return Err(DeployError::Image { function: function.to_owned() });
    }
    let link = found.code().and_then(|code| code.location()).ok_or(missing("Code.Location"))?;
    let code = folder.join("code.zip");
    download(link, configuration.code_sha256(), &code).await?;
    let mut layers = Vec::new();
    for layer in configuration.layers() {
        let arn = layer.arn().ok_or(missing("Layers.Arn"))?;
        layers.push(layer_zip(endpoint, arn, &folder.join(format!("layer-{}.zip", layers.len()))).await?);
    }
    let number =
        |value: Option<i32>, default| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
    let logging = configuration.logging_config();
    let variables = configuration.environment().and_then(|environment| environment.variables());
    Ok(FetchedFunction {
        name: configuration.function_name().ok_or(missing("FunctionName"))?.to_owned(),
        version: configuration.version().unwrap_or("$LATEST").to_owned(),
        runtime: configuration.runtime().map(|runtime| runtime.as_str().to_owned()),
        handler: configuration.handler().unwrap_or_default().to_owned(),
        // Lambda's defaults (FACTS.md §1).
        memory_mb: number(configuration.memory_size(), 128),
        tmp_mb: number(configuration.ephemeral_storage().map(EphemeralStorage::size), 512),
        timeout_seconds: number(configuration.timeout(), 3),
        variables: variables
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        tags: found.tags().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        log_group: logging.and_then(|logging| logging.log_group()).map(str::to_owned),
        logging: Logging {
            format: logging.and_then(|logging| logging.log_format()).map(|format| format.as_str().to_owned()),
            application_level: logging
                .and_then(|logging| logging.application_log_level())
                .map(|level| level.as_str().to_owned()),
            system_level: logging
                .and_then(|logging| logging.system_log_level())
                .map(|level| level.as_str().to_owned()),
        },
        code,
        layers,
    })
}

async fn layer_zip(endpoint: &Endpoint, arn: &str, path: &Utf8Path) -> Result<Utf8PathBuf, DeployError> {
    let found = endpoint
        .lambda
        .get_layer_version_by_arn()
        .arn(arn)
        .send()
        .await
        .map_err(|error| DeployError::of("GetLayerVersionByArn", error))?;
    let content = found
        .content()
        .ok_or(DeployError::Incomplete { operation: "GetLayerVersionByArn", missing: "Content" })?;
    let link = content
        .location()
        .ok_or(DeployError::Incomplete { operation: "GetLayerVersionByArn", missing: "Content.Location" })?;
    download(link, content.code_sha256(), path).await?;
    Ok(path.to_owned())
}

/// Downloads a link in pieces and holds what came against its hash (base64, as the API tells it).
async fn download(link: &str, sha256: Option<&str>, path: &Utf8Path) -> Result<(), DeployError> {
    let what = path.file_name().unwrap_or_default().to_owned();
    let failed = |detail: String| DeployError::Download { what: what.clone(), detail };
    let unreachable = |error: reqwest::Error| failed(innermost(&error.without_url()));
    let write = |source: std::io::Error| failed(source.to_string());
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .build()
        .map_err(unreachable)?;
    let mut answer = client.get(link).send().await.map_err(unreachable)?;
    if !answer.status().is_success() {
        return Err(failed(format!("the link answers {}", answer.status())));
    }
    let mut file = fs_err::tokio::File::create(path).await.map_err(write)?;
    let mut hasher = Sha256::hasher();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(write)?;
    }
    file.flush().await.map_err(write)?;
    let came = hasher.finish().to_base64();
    if sha256.is_some_and(|wanted| wanted != came) {
        return Err(failed(format!("its hash is {came}, not {}", sha256.unwrap_or_default())));
    }
    Ok(())
}
