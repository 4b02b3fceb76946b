//! Lambda's codes, statuses and texts for what the service refuses (FACTS.md §1–§4).

use layercake_core::limits;

use super::AwsError;
use crate::{
    api::{error::Style, model::Model},
    sandbox::SandboxError,
    service::LambdaError,
};

impl From<LambdaError> for AwsError {
    fn from(error: LambdaError) -> Self {
        let invalid = |message: String| Self::user(400, "InvalidParameterValueException", message);
        let missing = |message: String| Self {
            style: Style::UserUpper,
            ..Self::user(404, "ResourceNotFoundException", message)
        };
        let conflict = |message: String| Self::user(409, "ResourceConflictException", message);
        match error {
            LambdaError::FunctionNotPermitted { .. }
            | LambdaError::NoSuchAlias { .. }
            | LambdaError::NoAliasToUpdate { .. }
            | LambdaError::AliasExists { .. }
            | LambdaError::TooManyWeights
            | LambdaError::WeightsOnLatest
            | LambdaError::WeightOnOwnVersion { .. }
            | LambdaError::NotOfVersions
            | LambdaError::LatestNotDeletable
            | LambdaError::AliasNotDeletable
            | LambdaError::VersionReferenced { .. }
            | LambdaError::OtherCode { .. }
            | LambdaError::NoSnapStart { .. }
            | LambdaError::NoDeadLetterTarget { .. }
            | LambdaError::UnknownNetwork { .. }
            | LambdaError::ImageForZip
            | LambdaError::CodeStorageExceeded => function(error),
            LambdaError::NoSuchLayerVersion => missing("The resource you requested does not exist.".to_owned()),
            LambdaError::LayerVersionBelowOne => invalid("Layer Version Cannot be less than 1".to_owned()),
            LambdaError::NoSuchFunction { arn } => missing(format!("Function not found: {arn}")),
            LambdaError::FunctionElsewhere { asked, here } => {
                missing(format!("Functions from '{asked}' are not reachable in this region ('{here}')"))
            }
            LambdaError::FunctionExists { name } => conflict(format!("Function already exist: {name}")),
            LambdaError::TooManyLayers => {
                invalid(format!("Cannot reference more than {} layers.", limits::LAYERS_PER_FUNCTION))
            }
            LambdaError::SameLayerTwice { first, second } => invalid(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same \
                 function. {first} and {second} are versions of the same layer."
            )),
            LambdaError::LayerVersionMissing { arn } => invalid(format!("Layer version {arn} does not exist.")),
            LambdaError::LayerElsewhere { region } => invalid(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {region}."
            )),
            LambdaError::LayerNotPermitted { arn, account } => Self::user(
                403,
                "AccessDeniedException",
                format!(
                    "User: arn:aws:iam::{account}:root is not authorized to perform: lambda:GetLayerVersion on \
                     resource: {arn} because no resource-based policy allows the lambda:GetLayerVersion action"
                ),
            ),
            LambdaError::UnzippedTooLarge => {
                invalid(format!("Unzipped size must be smaller than {} bytes", limits::UNZIPPED_BYTES))
            }
            LambdaError::TogetherTooLarge { bytes } => invalid(format!(
                "Function code combined with layers exceeds the maximum allowed size of {} bytes. \
                 The actual size is {bytes} bytes.",
                limits::UNZIPPED_BYTES
            )),
            LambdaError::ZippedTooLarge => Self::user(
                413,
                "RequestEntityTooLargeException",
                format!("Zipped size must be smaller than {} bytes", limits::ZIPPED_DIRECT_BYTES),
            ),
            LambdaError::NotAZip => invalid(
                "Could not unzip uploaded file. Please check your file, then try to upload again.".to_owned(),
            ),
            LambdaError::EmptyZip => invalid("Uploaded file must be a non-empty zip".to_owned()),
            LambdaError::NoSuchBucket => invalid(
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: \
                 The specified bucket does not exist"
                    .to_owned(),
            ),
            LambdaError::NoSuchKey => invalid(
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: \
                 The specified key does not exist."
                    .to_owned(),
            ),
            // These two as users have pasted them.
            LambdaError::BucketOfAnother { bucket, key } => Self::user(
                403,
                "AccessDeniedException",
                format!(
                    "Your access has been denied by S3, please make sure your request credentials have permission \
                     to GetObject for {bucket}/{key}. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
                ),
            ),
            LambdaError::BucketElsewhere { region } => invalid(format!(
                "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: \
                 The bucket is in this region: {region}. Please use this region to retry the request"
            )),
            LambdaError::NoSuchObjectVersion => invalid(
                "Error occurred while GetObject. S3 Error Code: NoSuchVersion. S3 Error Message: \
                 The specified version does not exist."
                    .to_owned(),
            ),
            LambdaError::NoCode => invalid("Please provide a source for function code.".to_owned()),
            LambdaError::TwoSources => invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.".to_owned()),
            LambdaError::NoRuntimeOrHandler => invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
                    .to_owned(),
            ),
            LambdaError::UnknownRuntime { runtime } => {
                let known = Model::get().shapes.get("Runtime").and_then(|shape| shape.values.as_deref());
                invalid(format!(
                    "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value \
                     set: [{}] or be a valid ARN",
                    known.unwrap_or_default().join(", ")
                ))
            }
            LambdaError::RetiredRuntime { runtime } => invalid(format!(
                "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda \
                 functions. We recommend you use a supported runtime while creating or updating functions."
            )),
            LambdaError::EnvironmentTooLarge { measured } => invalid(format!(
                "Lambda was unable to configure your environment variables because the environment variables \
                 you have provided exceeded the 4KB limit. String measured: {measured}"
            )),
            LambdaError::ReservedVariables { keys } => invalid(format!(
                "Lambda was unable to configure your environment variables because the environment variables \
                 you have provided contains reserved keys that are currently not supported for modification. \
                 Reserved keys used in this request: {}",
                keys.join(", ")
            )),
            LambdaError::Pending => conflict(
                "The operation cannot be performed at this time. The function is currently in the following \
                 state: Pending"
                    .to_owned(),
            ),
            LambdaError::CreationFailed { reason } => conflict(format!(
                "The operation cannot be performed at this time. The function is currently in the following \
                 state: Failed ({reason})"
            )),
            LambdaError::UpdateInProgress { arn } => conflict(format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
            )),
            LambdaError::OtherRevision => Self::user(
                412,
                "PreconditionFailedException",
                "The Revision Id provided does not match the latest Revision Id. Call the \
                 GetFunction/GetAlias API to retrieve the latest Revision Id",
            ),
            LambdaError::EventNotJson { why } => Self::user(
                400,
                "InvalidRequestContentException",
                format!("Could not parse request body into json: Could not parse payload into json: {why}"),
            ),
            LambdaError::Throttled { .. } => Self {
                style: Style::Throttled { reason: "ReservedFunctionConcurrentInvocationLimitExceeded" },
                ..Self::user(429, "TooManyRequestsException", "Rate Exceeded.")
            },
            LambdaError::TooManyTags => invalid("Number of tags exceeds resource tag limit.".to_owned()),
            LambdaError::NotBuilt { what } => {
                Self::not_built(format!("The local cloud does not implement {what} yet"))
            }
            LambdaError::Sandbox(error) => sandbox(&error),
            LambdaError::Store(error) => Self::service(with_causes(&error)),
        }
    }
}

/// What is said about versions, aliases and single settings. FACTS.md has none of these texts: those
/// without a remark are from recordings and providers of other projects.
fn function(error: LambdaError) -> AwsError {
    let invalid = |message: String| AwsError::user(400, "InvalidParameterValueException", message);
    let missing = |message: String| AwsError {
        style: Style::UserUpper,
        ..AwsError::user(404, "ResourceNotFoundException", message)
    };
    let conflict = |message: String| AwsError::user(409, "ResourceConflictException", message);
    match error {
        // Formed after the text for layers (FACTS.md §1), with the function's action.
        LambdaError::FunctionNotPermitted { arn, account, action } => AwsError::user(
            403,
            "AccessDeniedException",
            format!(
                "User: arn:aws:iam::{account}:root is not authorized to perform: {action} on resource: {arn} \
                 because no resource-based policy allows the {action} action"
            ),
        ),
        LambdaError::NoSuchAlias { arn } => missing(format!("Cannot find alias arn: {arn}")),
        // From memory.
        LambdaError::NoAliasToUpdate { arn } => missing(format!("Alias not found: {arn}")),
        LambdaError::AliasExists { arn } => conflict(format!("Alias already exists: {arn}")),
        LambdaError::TooManyWeights => {
            invalid("Number of items in AdditionalVersionWeights cannot be greater than 1".to_owned())
        }
        // Recorded without `Type`.
        LambdaError::WeightsOnLatest => AwsError {
            style: Style::Bare,
            ..invalid("$LATEST is not supported for an alias pointing to more than 1 version".to_owned())
        },
        LambdaError::WeightOnOwnVersion { version } => invalid(format!(
            "Invalid function version {version}. Function version {version} is already included in routing \
             configuration."
        )),
        // From memory; taken for every operation on functions alone.
        LambdaError::NotOfVersions => invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this \
             operation. Please specify either a function name or an unqualified function ARN."
                .to_owned(),
        ),
        LambdaError::LatestNotDeletable => {
            invalid("$LATEST version cannot be deleted without deleting the function.".to_owned())
        }
        LambdaError::AliasNotDeletable => {
            invalid("Deletion of aliases is not currently supported.".to_owned())
        }
        // From what clients of Lambda match on.
        LambdaError::VersionReferenced { aliases } => conflict(format!(
            "Unable to delete version because the following aliases reference it: [{}]",
            aliases.join(", ")
        )),
        LambdaError::OtherCode { given, current } => invalid(format!(
            "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try \
             again with the CodeSHA256 in $LATEST."
        )),
        LambdaError::NoSnapStart { runtime } => {
            invalid(format!("{runtime} is not supported for SnapStart enabled functions."))
        }
        // Lambda has no such tag.
        error @ LambdaError::UnknownNetwork { .. } => invalid(error.to_string()),
        // Our words: no recording of Lambda's was found.
        LambdaError::NoDeadLetterTarget { arn } => {
            invalid(format!("The dead letter target {arn} is neither an SQS queue nor an SNS topic."))
        }
        LambdaError::ImageForZip => {
            invalid("Please don't provide ImageUri when updating a function with packageType Zip.".to_owned())
        }
        LambdaError::CodeStorageExceeded => {
            AwsError::user(400, "CodeStorageExceededException", "Code storage limit exceeded.")
        }
        other => AwsError::service(with_causes(&other)),
    }
}

fn sandbox(error: &SandboxError) -> AwsError {
    use layercake_core::Hint as _;

    let mut message = with_causes(error);
    if let Some(hint) = error.hint() {
        message = format!("{message}; {hint}");
    }
    match error {
        SandboxError::Busy { .. } => AwsError::user(429, "TooManyRequestsException", message),
        // This machine lacks what the function needs, and will the next time: a status above 500 would
        // have the SDKs ask again and again.
        SandboxError::NoInterpreter(_) | SandboxError::NoOwnNetwork => {
            AwsError::user(400, "InvalidParameterValueException", message)
        }
        _ => AwsError::service(message),
    }
}

/// An error and what caused it, on one line: clients show nothing else.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
