//! Why a service refuses, as data. The words that clients read are in `api`.

use crate::{
    sandbox::SandboxError,
    store::{ChangeError, StoreError},
};

/// Why Lambda refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LambdaError {
    /// No such layer version.
    #[error("no such layer version")]
    NoSuchLayerVersion,
    /// A layer version below 1.
    #[error("layer versions begin at 1")]
    LayerVersionBelowOne,
    /// No such function (or version, or alias) as this ARN.
    #[error("no function `{arn}`")]
    NoSuchFunction { arn: String },
    /// A function of another account.
    #[error("no permission for function `{arn}`")]
    FunctionNotPermitted { arn: String, account: String, action: String },
    /// No such alias as this ARN.
    #[error("no alias `{arn}`")]
    NoSuchAlias { arn: String },
    /// No such alias as this ARN, to change it.
    #[error("no alias `{arn}` to change")]
    NoAliasToUpdate { arn: String },
    /// There is an alias of that ARN.
    #[error("alias `{arn}` exists")]
    AliasExists { arn: String },
    /// An alias shares its calls between more than two versions.
    #[error("too many weights")]
    TooManyWeights,
    /// An alias of `$LATEST` shares its calls.
    #[error("weights on $LATEST")]
    WeightsOnLatest,
    /// An alias shares its calls with the version that it points to.
    #[error("weight on version {version}, which has the rest")]
    WeightOnOwnVersion { version: u64 },
    /// What is done to functions is asked for a version or an alias.
    #[error("not for versions and aliases")]
    NotOfVersions,
    /// `$LATEST` goes with its function.
    #[error("$LATEST cannot be deleted alone")]
    LatestNotDeletable,
    /// Another operation deletes aliases.
    #[error("aliases are deleted otherwise")]
    AliasNotDeletable,
    /// Aliases point to the version that is to go.
    #[error("aliases {aliases:?} point to the version")]
    VersionReferenced { aliases: Vec<String> },
    /// `$LATEST` has other code than the caller believes.
    #[error("$LATEST has the code {current}, not {given}")]
    OtherCode { given: String, current: String },
    /// Runtimes that SnapStart does not know.
    #[error("no SnapStart for `{runtime}`")]
    NoSnapStart { runtime: String },
    /// Something that events cannot be sent to.
    #[error("`{arn}` is no queue and no topic")]
    NoDeadLetterTarget { arn: String },
    /// A container image for a function of the package type `Zip`.
    #[error("an image for a zip function")]
    ImageForZip,
    /// A function ARN of another region.
    #[error("function of region `{asked}` in region `{here}`")]
    FunctionElsewhere { asked: String, here: String },
    /// There is a function of that name.
    #[error("function `{name}` exists")]
    FunctionExists { name: String },
    /// More layers than a function may have.
    #[error("too many layers")]
    TooManyLayers,
    /// Two versions of one layer, or one twice.
    #[error("`{first}` and `{second}` are of one layer")]
    SameLayerTwice { first: String, second: String },
    /// A function names a layer version that is not there.
    #[error("no layer version `{arn}`")]
    LayerVersionMissing { arn: String },
    /// A function names a layer of another region.
    #[error("layers must be in `{region}`")]
    LayerElsewhere { region: String },
    /// A function names a layer of another account.
    #[error("no permission for layer `{arn}`")]
    LayerNotPermitted { arn: String, account: String },
    /// One package unzips to too much.
    #[error("unzipped too large")]
    UnzippedTooLarge,
    /// Code and layers together unzip to too much.
    #[error("code and layers unzip to {bytes} bytes")]
    TogetherTooLarge { bytes: u64 },
    /// A zip in the request is too large.
    #[error("zipped too large")]
    ZippedTooLarge,
    /// Not a zip.
    #[error("not a zip")]
    NotAZip,
    /// A zip without files.
    #[error("empty zip")]
    EmptyZip,
    /// The code's bucket is not there.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The code's object is not there.
    #[error("no such key")]
    NoSuchKey,
    /// The code of all functions and layers takes all the room there is.
    #[error("code storage full")]
    CodeStorageExceeded,
    /// The code's bucket belongs to another account.
    #[error("bucket of another account")]
    BucketOfAnother { bucket: String, key: String },
    /// The code's bucket is in another region.
    #[error("bucket in `{region}`")]
    BucketElsewhere { region: String },
    /// The version of the code's object is not there.
    #[error("no such object version")]
    NoSuchObjectVersion,
    /// Neither zip nor S3 object.
    #[error("no code given")]
    NoCode,
    /// Zip and S3 object.
    #[error("both zip and S3 object given")]
    TwoSources,
    /// A zip function needs both.
    #[error("runtime and handler are needed")]
    NoRuntimeOrHandler,
    /// Not a runtime that Lambda knows.
    #[error("unknown runtime `{runtime}`")]
    UnknownRuntime { runtime: String },
    /// A runtime that Lambda does not take any more.
    #[error("retired runtime `{runtime}`")]
    RetiredRuntime { runtime: String },
    /// The environment variables are too long.
    #[error("environment too large")]
    EnvironmentTooLarge { measured: String },
    /// Environment variables that belong to Lambda.
    #[error("reserved environment variables {keys:?}")]
    ReservedVariables { keys: Vec<String> },
    /// The function is still being created.
    #[error("function pending")]
    Pending,
    /// The function could not be made.
    #[error("function failed")]
    CreationFailed { reason: String },
    /// The last change of the function is still under way.
    #[error("update of `{arn}` under way")]
    UpdateInProgress { arn: String },
    /// The caller's revision id is not the newest.
    #[error("another revision")]
    OtherRevision,
    /// The event is not JSON.
    #[error("event is not JSON")]
    EventNotJson { why: String },
    /// As many calls of the function run as are reserved for it.
    #[error("{reserved} calls run, as many as are reserved")]
    Throttled { reserved: u32 },
    /// Too many tags.
    #[error("too many tags")]
    TooManyTags,
    /// The tag `layercake:network` has a value that says nothing.
    #[error("the tag layercake:network is `{given}`, and can be none or host")]
    UnknownNetwork { given: String },
    /// Known, understood, and not there.
    #[error("not built: {what}")]
    NotBuilt { what: String },
    /// The function could not be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ChangeError<Self>> for LambdaError {
    fn from(error: ChangeError<Self>) -> Self {
        match error {
            // Who changes a function has looked it up before; it was deleted in between.
            ChangeError::NoSuchFunction => Self::NoSuchFunction { arn: String::new() },
            ChangeError::Refused(error) => error,
            ChangeError::Store(error) => Self::Store(error),
        }
    }
}

/// Why IAM refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IamError {
    /// There is a role of that name.
    #[error("role `{name}` exists")]
    RoleExists { name: String },
    /// No such role.
    #[error("no role `{name}`")]
    NoSuchRole { name: String },
    /// There is a policy of that name.
    #[error("policy `{name}` exists")]
    PolicyExists { name: String },
    /// No such policy, or not attached.
    #[error("no policy `{arn}`")]
    NoSuchPolicy { arn: String },
    /// No such policy to attach.
    #[error("policy `{arn}` cannot be attached")]
    NotAttachable { arn: String },
    /// No such version.
    #[error("no version `{version}` of policy `{arn}`")]
    NoSuchPolicyVersion { arn: String, version: String },
    /// No such policy in the role.
    #[error("no inline policy `{name}`")]
    NoSuchInlinePolicy { name: String },
    /// Policies are attached to the role.
    #[error("policies are attached")]
    PoliciesAttached,
    /// Policies are written into the role.
    #[error("policies are inside")]
    PoliciesInside,
    /// The policy is attached to a role.
    #[error("the policy is attached")]
    PolicyIsAttached,
    /// The policy has other versions.
    #[error("the policy has versions")]
    PolicyHasVersions,
    /// The version is the one that counts.
    #[error("the version is the default")]
    VersionIsDefault,
    /// More versions than a policy may have.
    #[error("more than {most} versions")]
    TooManyVersions { most: usize },
    /// More than the account may have of something.
    #[error("quota of {text}")]
    Quota { text: String },
    /// The policies in a role are too long together.
    #[error("the policies of `{role}` have more than {most} characters")]
    InlinePoliciesTooLong { role: String, most: usize },
    /// More tags than there may be.
    #[error("too many tags")]
    TooManyTags,
    /// The trust policy is not JSON.
    #[error("trust policy is not JSON")]
    MalformedPolicy,
    /// A document is no policy.
    #[error("not a policy: {fault:?}")]
    Document { fault: super::DocumentFault },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why CloudWatch Logs refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    /// There is a group of that name.
    #[error("log group exists")]
    GroupExists,
    /// There is a stream of that name.
    #[error("log stream exists")]
    StreamExists,
    /// No such group.
    #[error("no such log group")]
    NoSuchGroup,
    /// No such stream.
    #[error("no such log stream")]
    NoSuchStream,
    /// A token that we did not give.
    #[error("not a token")]
    BadToken,
    /// A filter pattern that cannot be read.
    #[error("not a filter pattern")]
    BadPattern,
    /// Events that are not in the order of their times.
    #[error("events out of order")]
    NotChronological,
    /// Events of more than a day together.
    #[error("events of more than a day")]
    TooLongSpan,
    /// More bytes than one request may bring.
    #[error("{bytes} bytes of events")]
    TooManyBytes { bytes: usize, most: usize },
    /// More tags than a group may have.
    #[error("too many tags")]
    TooManyTags,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why S3 refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// No such bucket.
    #[error("no bucket `{name}`")]
    NoSuchBucket { name: String },
    /// The bucket is another account's.
    #[error("access denied")]
    AccessDenied,
    /// A name that no bucket may have.
    #[error("`{name}` is no name for a bucket")]
    InvalidBucketName { name: String },
    /// No such object.
    #[error("no object `{key}`")]
    NoSuchKey { key: String },
    /// The current version is a delete marker.
    #[error("object `{key}` is deleted")]
    KeyDeleted { key: String, marker: String },
    /// No such version of an object.
    #[error("no version `{version}` of object `{key}`")]
    NoSuchVersion { key: String, version: String },
    /// Not a version id that S3 made.
    #[error("`{version}` is no version id")]
    InvalidVersion { version: String },
    /// The version that is named is a delete marker; it was made at this time (in milliseconds).
    #[error("version `{version}` is a delete marker")]
    IsDeleteMarker { version: String, modified: i64 },
    /// No such upload.
    #[error("no upload `{id}`")]
    NoSuchUpload { id: String },
    /// The caller has that bucket.
    #[error("bucket `{name}` is yours")]
    BucketIsYours { name: String },
    /// Somebody else has that bucket.
    #[error("bucket `{name}` exists")]
    BucketExists { name: String },
    /// The bucket holds objects.
    #[error("bucket `{name}` is not empty")]
    BucketNotEmpty { name: String, versioned: bool },
    /// A condition of the request does not hold.
    #[error("condition `{condition}` does not hold")]
    PreconditionFailed { condition: &'static str },
    /// The object was written to since the upload began that is to replace it.
    #[error("object `{key}` was changed meanwhile")]
    ChangedMeanwhile { key: String, condition: &'static str },
    /// The copied object is too large for one copy.
    #[error("too large to be copied at once")]
    CopyTooLarge,
    /// A part that was not uploaded, or with another ETag or checksum.
    #[error("invalid part {number}")]
    InvalidPart { upload: String, number: i32, etag: String },
    /// Parts not in ascending order.
    #[error("invalid part order")]
    InvalidPartOrder { upload: String },
    /// A part other than the last is smaller than 5 MiB.
    #[error("part {number} is too small")]
    PartTooSmall { number: i32, etag: String, size: u64 },
    /// The object's size is not the one that the client says.
    #[error("the parts have another size together")]
    OtherSize,
    /// The object's checksum is not the one that the client says.
    #[error("another {algorithm}")]
    OtherChecksum { algorithm: String },
    /// More tags than allowed.
    #[error("more than {most} tags")]
    TooManyTags { most: usize, of_bucket: bool },
    /// A tag that breaks a rule.
    #[error("invalid tag `{key}`")]
    InvalidTag { key: String, value: Option<String>, why: TagFault },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagFault {
    /// Its key is empty, too long or has other characters than tags may have.
    Key,
    /// Its value is too long or has other characters than tags may have.
    Value,
    /// Its key is there twice.
    Twice,
    /// Its key begins with `aws:`, which is for AWS, on a bucket.
    OfAwsOnBucket,
    /// Its key begins with `aws:`, which is for AWS, on an object.
    OfAwsOnObject,
}
