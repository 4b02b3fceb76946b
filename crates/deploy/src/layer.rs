//! Publishing a layer version, once for the same content.

use aws_sdk_lambda::{
    config::retry::RetryConfig,
    primitives::Blob,
    types::{Architecture, LayerVersionContentInput, Runtime as ApiRuntime},
};
use camino::Utf8PathBuf;
use layercake_core::{
    aws::{LayerName, LayerVersionArn},
    hash::Sha256,
    journal::Resource,
    report::Published,
    target::Target,
};

use crate::{
    code::{self, Route},
    destination::Endpoint,
    error::DeployError,
    journal::JournalFile,
};

/// A layer zip to be published.
#[derive(Clone, Debug)]
pub struct LayerUpload {
    /// The layer's name.
    pub name: LayerName,
    /// The zip.
    pub zip: Utf8PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// What it is for.
    pub target: Target,
    /// What is in it, in words.
    pub description: String,
    /// Whether to go through S3 whatever the size.
    pub force_s3: bool,
}

/// The version that an earlier run published of this very zip, if it is still there.
///
/// # Errors
/// [`DeployError`] when the endpoint cannot be asked.
pub async fn published_already(
    endpoint: &Endpoint,
    journal: &JournalFile,
    name: &LayerName,
    sha256: Sha256,
) -> Result<Option<LayerVersionArn>, DeployError> {
    let known = journal.journal().newest(|resource| match resource {
        Resource::LayerVersion { layer, version: Some(version), sha256: hash }
            if layer == name && *hash == sha256 =>
        {
            Some(*version)
        }
        _ => None,
    });
    let Some(version) = known else { return Ok(None) };
    let number = i64::try_from(version).unwrap_or(i64::MAX);
    let answer =
        endpoint.lambda.get_layer_version().layer_name(name.as_str()).version_number(number).send().await;
    let found = match answer.map_err(|error| DeployError::of("GetLayerVersion", error)) {
        Ok(found) => found,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error),
    };
    let same = found.content().and_then(|content| content.code_sha256()) == Some(sha256.to_base64().as_str());
    if !same {
        return Ok(None);
    }
    arn_of("GetLayerVersion", found.layer_version_arn()).map(Some)
}

/// Publishes a layer version, or answers the one that is there with the same content.
///
/// # Errors
/// [`DeployError`]; the journal then holds whatever may have been made.
pub async fn publish_layer(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    upload: &LayerUpload,
) -> Result<(LayerVersionArn, Published), DeployError> {
    if let Some(arn) = published_already(endpoint, journal, &upload.name, upload.sha256).await? {
        return Ok((arn, Published::Already));
    }
    let resource =
        |version| Resource::LayerVersion { layer: upload.name.clone(), version, sha256: upload.sha256 };
    let step = journal.will_create(resource(None))?;
    let mut route = code::route_for(upload.size, upload.force_s3);
    let mut answer = None;
    if route == Route::Direct {
        match publish_directly(endpoint, journal, upload).await {
            // The limit was judged wrongly, or the endpoint has a smaller one.
            Err(error) if error.is_too_large() => route = Route::ViaS3,
            other => answer = Some(other?),
        }
    }
    let arn = match answer {
        Some(arn) => arn,
        None => publish_via_s3(endpoint, journal, upload).await?,
    };
    journal.created(step, resource(Some(arn.version)))?;
    let how = if route == Route::Direct { Published::Directly } else { Published::ViaS3 };
    Ok((arn, how))
}

async fn publish_directly(
    endpoint: &Endpoint,
    journal: &JournalFile,
    upload: &LayerUpload,
) -> Result<LayerVersionArn, DeployError> {
    let bytes = fs_err::tokio::read(&upload.zip)
        .await
        .map_err(|source| DeployError::ReadZip { path: upload.zip.clone(), source })?;
    send(endpoint, journal, upload, LayerVersionContentInput::builder().zip_file(Blob::new(bytes)).build())
        .await
}

async fn publish_via_s3(
    endpoint: &Endpoint,
    journal: &mut JournalFile,
    upload: &LayerUpload,
) -> Result<LayerVersionArn, DeployError> {
    let key = format!("{}-{}.zip", upload.name, &upload.sha256.to_hex()[..12]);
    let staged = code::stage(endpoint, journal, &upload.zip, &key).await?;
    let content = LayerVersionContentInput::builder()
        .s3_bucket(staged.bucket.as_str())
        .s3_key(staged.key.as_str())
        .build();
    let arn = send(endpoint, journal, upload, content).await?;
    code::unstage(endpoint, journal, staged).await?;
    Ok(arn)
}

async fn send(
    endpoint: &Endpoint,
    journal: &JournalFile,
    upload: &LayerUpload,
    content: LayerVersionContentInput,
) -> Result<LayerVersionArn, DeployError> {
    let answer = endpoint
        .lambda
        .publish_layer_version()
        .layer_name(upload.name.as_str())
        .description(description(&upload.description, &journal.journal().opening.token))
        .content(content)
        .compatible_runtimes(ApiRuntime::from(upload.target.runtime.to_string().as_str()))
        .compatible_architectures(Architecture::from(upload.target.arch.as_str()))
        .customize()
        // Repeated after a lost answer it would make a second version that nobody knows of.
        .config_override(once())
        .send()
        .await
        .map_err(|error| DeployError::of("PublishLayerVersion", error))?;
    arn_of("PublishLayerVersion", answer.layer_version_arn())
}

/// Settings for a request that must not be repeated by the client.
pub(crate) fn once() -> aws_sdk_lambda::config::Builder {
    aws_sdk_lambda::config::Builder::new().retry_config(RetryConfig::disabled())
}

fn arn_of(operation: &'static str, text: Option<&str>) -> Result<LayerVersionArn, DeployError> {
    text.ok_or(DeployError::Incomplete { operation, missing: "LayerVersionArn" })?
        .parse()
        .map_err(|source| DeployError::Name { operation, source })
}

/// Lambda's limit on a layer version's description (FACTS.md §1).
const DESCRIPTION_CHARACTERS: usize = 256;

/// The description carries the journal's token, so that a version whose publishing was cut off
/// before its number was known can be found again.
fn description(text: &str, token: &str) -> String {
    let mark = token_mark(token);
    let room = DESCRIPTION_CHARACTERS - mark.len() - 1;
    let text: String = if text.chars().count() <= room {
        text.to_owned()
    } else {
        text.chars().take(room - 1).chain(['…']).collect()
    };
    format!("{text} {mark}")
}

/// How a description names the journal it belongs to.
pub(crate) fn token_mark(token: &str) -> String {
    format!("[layercake:{token}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_always_ends_with_the_token() {
        let token = "00000000-0000-4000-8000-000000000000";
        for text in ["pandas 3.1.1".to_owned(), "ä".repeat(400)] {
            let description = description(&text, token);
            assert!(description.ends_with(&token_mark(token)));
            assert!(description.chars().count() <= DESCRIPTION_CHARACTERS);
        }
    }
}
