//! What the store remembers, as it is kept. Fields are only ever added, with a default: these
//! types are promises to the next version.

use std::collections::BTreeMap;

use layercake_core::{
    aws::{FunctionName, LayerName},
    hash::Sha256,
};
use serde::{Deserialize, Serialize};

/// A published layer version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerVersionRecord {
    /// The layer.
    pub(crate) name: LayerName,
    /// Its number; 0 before it has one.
    #[serde(default)]
    pub(crate) version: u64,
    /// The zip.
    pub(crate) sha256: Sha256,
    /// Length of the zip in bytes.
    pub(crate) code_size: u64,
    /// Sum of its files in bytes.
    pub(crate) unzipped_size: u64,
    /// As given.
    pub(crate) description: String,
    /// As given.
    pub(crate) license: Option<String>,
    /// As given; an empty list is not the same as none.
    pub(crate) runtimes: Option<Vec<String>>,
    /// As given; an empty list is not the same as none.
    pub(crate) architectures: Option<Vec<String>>,
    /// When it was published, in milliseconds since 1970.
    pub(crate) created: i64,
}

/// A layer version that a function uses. The function keeps it working after its deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachedLayer {
    /// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`.
    pub(crate) arn: String,
    /// The zip.
    pub(crate) sha256: Sha256,
    /// Length of the zip in bytes.
    pub(crate) code_size: u64,
    /// Sum of its files in bytes.
    pub(crate) unzipped_size: u64,
}

/// Where a function's log goes and how it looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logging {
    /// `Text` or `JSON`.
    pub(crate) format: String,
    /// The log group.
    pub(crate) group: String,
    /// Only with `JSON`.
    pub(crate) application_level: Option<String>,
    /// Only with `JSON`.
    pub(crate) system_level: Option<String>,
}

/// What a function runs and how; a change makes a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Another for every other settings: what keeps environments apart.
    pub(crate) id: String,
    /// The code's zip.
    pub(crate) code: Sha256,
    /// Length of the zip in bytes.
    pub(crate) code_size: u64,
    /// Sum of its files in bytes.
    pub(crate) unzipped_size: u64,
    /// Runtime identifier.
    pub(crate) runtime: String,
    /// `module.function`.
    pub(crate) handler: String,
    /// `x86_64` or `arm64`.
    pub(crate) architecture: String,
    /// As given.
    pub(crate) description: String,
    /// The ARN of the role.
    pub(crate) role: String,
    /// In MB.
    pub(crate) memory: u32,
    /// In seconds.
    pub(crate) timeout: u32,
    /// Size of `/tmp` in MB.
    pub(crate) ephemeral_storage: u32,
    /// Environment variables; none is not the same as no map.
    pub(crate) variables: Option<BTreeMap<String, String>>,
    /// Lowest first.
    pub(crate) layers: Vec<AttachedLayer>,
    /// Where the log goes.
    pub(crate) logging: Logging,
    /// `PassThrough` or `Active`.
    pub(crate) tracing: String,
    /// When SnapStart applies: `PublishedVersions`; none means never.
    #[serde(default)]
    pub(crate) snap_start: Option<String>,
    /// Members that mean nothing here and are given back as they came (`VpcConfig`, `KMSKeyArn`,
    /// `DeadLetterConfig`, …), by their name in the API.
    #[serde(default)]
    pub(crate) echoed: BTreeMap<String, serde_json::Value>,
}

/// How far a function's creation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It is being unpacked.
    Pending,
    /// It can be invoked.
    Active,
    /// It cannot be unpacked.
    Failed {
        /// Why.
        reason: String,
    },
}

/// How far a function's last change is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Update {
    /// There was none, and the function is not active yet.
    None,
    /// The new settings are being unpacked; invocations run the earlier ones.
    InProgress {
        /// What invocations run.
        earlier: Box<Settings>,
    },
    /// Done.
    Successful,
    /// The new settings cannot be unpacked.
    Failed {
        /// Why.
        reason: String,
        /// What invocations run.
        earlier: Box<Settings>,
    },
}

/// A function, or a published version of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    /// Its name.
    pub(crate) name: FunctionName,
    /// The number of a published version; none for `$LATEST`.
    #[serde(default)]
    pub(crate) version: Option<u64>,
    /// Of a published version: the description that `$LATEST` had when it was published, which the
    /// version may have another than.
    #[serde(default)]
    pub(crate) latest_description: Option<String>,
    /// The newest settings.
    pub(crate) settings: Settings,
    /// Changes with every change.
    pub(crate) revision: String,
    /// When it was last changed, in milliseconds since 1970.
    pub(crate) last_modified: i64,
    /// How far its creation is.
    pub(crate) state: State,
    /// How far its last change is.
    pub(crate) update: Update,
    /// As given; of `$LATEST` only.
    pub(crate) tags: BTreeMap<String, String>,
}

impl FunctionRecord {
    /// `$LATEST` or the number of a published version.
    pub(crate) fn version_text(&self) -> String {
        version_text(self.version)
    }

    /// What an invocation runs now.
    pub(crate) fn running(&self) -> &Settings {
        match &self.update {
            Update::InProgress { earlier } | Update::Failed { earlier, .. } => earlier,
            Update::None | Update::Successful => &self.settings,
        }
    }
}

/// `$LATEST`, or the number of a published version.
pub(crate) fn version_text(version: Option<u64>) -> String {
    version.map_or_else(|| "$LATEST".to_owned(), |number| number.to_string())
}

/// An alias of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AliasRecord {
    /// Its name.
    pub(crate) name: String,
    /// The version that it points to; none for `$LATEST`.
    pub(crate) version: Option<u64>,
    /// As given.
    pub(crate) description: String,
    /// Shares (0 to 1) of the calls that go to other versions.
    #[serde(default)]
    pub(crate) weights: BTreeMap<u64, f64>,
    /// Changes with every change.
    pub(crate) revision: String,
}

impl AliasRecord {
    /// Whether calls of the alias may go to this version.
    pub(crate) fn invokes(&self, version: Option<u64>) -> bool {
        self.version == version || version.is_some_and(|version| self.weights.contains_key(&version))
    }
}

/// An IAM role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleRecord {
    /// Its name.
    pub(crate) name: String,
    /// `AROA…`.
    pub(crate) id: String,
    /// Begins and ends with `/`.
    pub(crate) path: String,
    /// The trust policy's text.
    pub(crate) assume_role_policy: String,
    /// As given.
    pub(crate) description: Option<String>,
    /// In seconds.
    pub(crate) max_session: u32,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
    /// As given.
    pub(crate) tags: BTreeMap<String, String>,
    /// The ARN of the permissions boundary, as given.
    #[serde(default)]
    pub(crate) boundary: Option<String>,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) account: String,
    /// Where it is.
    pub(crate) region: String,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
    /// Whether its objects have versions; nothing when they never had.
    pub(crate) versioning: Option<Versioning>,
}

/// Whether a bucket's objects get versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// Every object that is put is a version of its own.
    Enabled,
    /// What is put is the version `null`; older versions stay.
    Suspended,
}

/// How an object says that it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EncryptionRecord {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub(crate) algorithm: String,
    /// The KMS key as the client named it.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// Whether a bucket key is used.
    #[serde(default)]
    pub(crate) bucket_key: bool,
}

/// What a client said about an object and gets back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectHeaders {
    /// `Content-Type` and the like, by lower-case name.
    #[serde(default)]
    pub(crate) standard: BTreeMap<String, String>,
    /// `x-amz-meta-…`, without the prefix.
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    /// Its bytes.
    pub(crate) sha256: Sha256,
    /// How many.
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
    /// As given.
    pub(crate) headers: ObjectHeaders,
    /// Checksums by algorithm (`crc32`, `crc64nvme`, …), base64.
    #[serde(default)]
    pub(crate) checksums: BTreeMap<String, String>,
    /// Whether the checksums are of the parts' checksums.
    #[serde(default)]
    pub(crate) composite: bool,
    /// What was asked for besides: class, encryption and tags.
    #[serde(flatten)]
    pub(crate) traits: ObjectTraits,
    /// How many parts it was uploaded in; 0 when it came whole.
    #[serde(default)]
    pub(crate) parts: u32,
}

/// What an object has besides its bytes and headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectTraits {
    /// `STANDARD_IA` and the like; nothing for `STANDARD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    /// Nothing for S3's own encryption (`AES256`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<EncryptionRecord>,
    /// Keys and values, in order of their keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
}

/// One part of an object that was uploaded in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectPartRecord {
    /// 1 to 10,000.
    pub(crate) number: i32,
    /// In bytes.
    pub(crate) size: u64,
    /// Checksums by algorithm, base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) checksums: BTreeMap<String, String>,
}

/// A multipart upload that is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    /// In milliseconds since 1970.
    pub(crate) initiated: i64,
    /// For the object it will be.
    pub(crate) headers: ObjectHeaders,
    /// The checksum algorithm the client chose, lower-case.
    #[serde(default)]
    pub(crate) checksum_algorithm: Option<String>,
    /// `COMPOSITE` or `FULL_OBJECT`.
    #[serde(default)]
    pub(crate) checksum_type: Option<String>,
    /// For the object it will be.
    #[serde(flatten)]
    pub(crate) traits: ObjectTraits,
}

/// One part of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    /// 1 to 10,000.
    pub(crate) number: i32,
    /// Its bytes.
    pub(crate) sha256: Sha256,
    /// How many.
    pub(crate) size: u64,
    /// MD5 in hexadecimal.
    pub(crate) etag: String,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
    /// Checksums by algorithm, base64.
    #[serde(default)]
    pub(crate) checksums: BTreeMap<String, String>,
}

/// A log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogGroupRecord {
    /// Its name.
    pub(crate) name: String,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
    /// In days.
    pub(crate) retention: Option<i64>,
    /// Sum of its events in bytes.
    pub(crate) stored_bytes: i64,
    /// What it was made with.
    pub(crate) settings: LogGroupSettings,
}

/// What a log group is made with and gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogGroupSettings {
    /// `STANDARD` when none was given.
    #[serde(default)]
    pub(crate) class: Option<String>,
    /// The ARN of the key, as given. Nothing is encrypted with it.
    #[serde(default)]
    pub(crate) kms_key: Option<String>,
}

/// A log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogStreamRecord {
    /// Its name.
    pub(crate) name: String,
    /// In milliseconds since 1970.
    pub(crate) created: i64,
    /// Time of the first event.
    pub(crate) first_event: Option<i64>,
    /// Time of the last event.
    pub(crate) last_event: Option<i64>,
    /// When the last event came in.
    pub(crate) last_ingestion: Option<i64>,
}

/// A log event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEventRecord {
    /// Its place in the order of arrival.
    pub(crate) id: i64,
    /// Its stream.
    pub(crate) stream: String,
    /// In milliseconds since 1970.
    pub(crate) time: i64,
    /// In milliseconds since 1970.
    pub(crate) ingested: i64,
    /// The text.
    pub(crate) message: String,
}
