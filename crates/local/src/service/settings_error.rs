//! Why what is configured beside functions and layers is refused, as data. The words that clients
//! read are in `api`.

use super::{LambdaError, MappingFault};
use crate::store::{ChangeError, StoreError};

/// Why a policy, a configuration or a mapping is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// As for functions and layers themselves.
    #[error(transparent)]
    Lambda(#[from] LambdaError),
    /// There is nothing of that name, and AWS says no more.
    #[error("no such resource")]
    NoSuchResource,

    /// No layer version of this ARN.
    #[error("no layer version `{arn}`")]
    NoSuchLayerVersionArn { arn: String },
    /// The layer version or function has no policy.
    #[error("no policy")]
    NoPolicy,
    /// The function that would have the policy is not there.
    #[error("no function `{arn}` that would have a policy")]
    NoPolicyFor { arn: String },
    /// The policy has no such statement.
    #[error("no statement `{id}`")]
    NoSuchStatement { id: String },
    /// The policy has such a statement.
    #[error("statement `{id}` exists")]
    StatementExists { id: String },
    /// The caller's revision id is not that of the layer version's policy.
    #[error("another revision of the policy")]
    OtherLayerRevision,
    /// The policy would be too long.
    #[error("a policy of {bytes} bytes is too long")]
    PolicyTooLong { bytes: usize },
    /// `$LATEST` cannot have a policy.
    #[error("no policy for $LATEST")]
    PolicyOfLatest,
    /// Not a principal.
    #[error("not a principal")]
    BadPrincipal,
    /// A condition on function URLs with an action that is not theirs.
    #[error("not the action of a function URL")]
    NotTheActionOfUrls,
    /// Not a policy document.
    #[error("not a policy document")]
    MalformedPolicy,

    /// A reservation would leave too little to the other functions.
    #[error("too little is left unreserved")]
    UnreservedTooLow,
    /// A reservation below what is provisioned.
    #[error("{provisioned} are provisioned")]
    ReservedBelowProvisioned { provisioned: u32 },
    /// More is to be provisioned than the function's reservation.
    #[error("more than is reserved")]
    ProvisionedAboveReserved,
    /// More is to be provisioned than the account has left.
    #[error("only {available} are available")]
    ProvisionedAboveUnreserved { available: u32 },
    /// Too little would be left to functions without provisioned concurrency.
    #[error("too little is left")]
    ProvisionedLeavesTooLittle,
    /// `$LATEST` cannot have provisioned concurrency.
    #[error("no provisioned concurrency for $LATEST")]
    ProvisionedOfLatest,
    /// Only aliases and published versions can have provisioned concurrency.
    #[error("neither alias nor published version")]
    NeitherAliasNorVersion,
    /// The version or alias has no provisioned concurrency.
    #[error("no provisioned concurrency")]
    NoProvisioned,
    /// The alias points to a version that has provisioned concurrency itself.
    #[error("the alias's version has provisioned concurrency")]
    VersionIsProvisioned,
    /// An alias with provisioned concurrency points to the version.
    #[error("the version's alias has provisioned concurrency")]
    AliasIsProvisioned,

    /// No function to configure asynchronous invocation for.
    #[error("no function to be invoked asynchronously")]
    NoFunctionForEvents,
    /// Nothing is configured for asynchronous invocation of this ARN.
    #[error("no configuration for events to `{arn}`")]
    NoEventInvokeConfig { arn: String },
    /// A configuration for asynchronous invocation that configures nothing.
    #[error("nothing is configured")]
    EmptyEventInvokeConfig,
    /// A function as a destination that is not there.
    #[error("no destination `{arn}`")]
    NoSuchDestination { arn: String },
    /// A function as its own destination.
    #[error("its own destination")]
    OwnDestination,
    /// Destinations that events cannot be sent to.
    #[error("not destinations")]
    BadDestinations { success: Option<String>, failure: Option<String> },

    /// No function that could have a URL.
    #[error("no function that could have a URL")]
    NoFunctionForUrl,
    /// The function or alias has a URL.
    #[error("`{arn}` has a URL")]
    UrlExists { arn: String },

    /// A fixed runtime version without saying which.
    #[error("no runtime version given")]
    NoRuntimeVersion,
    /// A runtime version where none is fixed.
    #[error("a runtime version that is not fixed")]
    RuntimeVersionNotManual,
    /// Runtime versions are fixed for versions of functions, not for aliases.
    #[error("not for aliases")]
    RuntimeOfAlias,

    /// No code signing configuration of this ARN.
    #[error("no code signing configuration `{arn}`")]
    NoSuchCodeSigning { arn: String },
    /// A function is to have a code signing configuration that is not there.
    #[error("no code signing configuration `{arn}` for the function")]
    CodeSigningMissing { arn: String },
    /// Functions have the code signing configuration.
    #[error("functions have the code signing configuration")]
    CodeSigningInUse,

    /// An event source mapping that the source does not allow.
    #[error(transparent)]
    Mapping(#[from] MappingFault),

    /// No tags were given.
    #[error("no tags")]
    NoTags,
}

impl From<StoreError> for SettingsError {
    fn from(error: StoreError) -> Self {
        Self::Lambda(error.into())
    }
}

impl From<ChangeError<Self>> for SettingsError {
    fn from(error: ChangeError<Self>) -> Self {
        match error {
            // Who changes a setting has looked the function up; it was deleted in between.
            ChangeError::NoSuchFunction => Self::NoSuchResource,
            ChangeError::Refused(error) => error,
            ChangeError::Store(error) => error.into(),
        }
    }
}
