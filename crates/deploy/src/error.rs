//! What can go wrong between us and an endpoint, as a caller can tell it apart.

use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use camino::Utf8PathBuf;
use layercake_core::{Hint, aws::InvalidName, journal::Resource};

use crate::journal::JournalFileError;

/// Why something on the endpoint could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The credential chain found nothing.
    #[error("no AWS credentials were found")]
    NoCredentials {
        /// What the chain says.
        detail: String,
    },
    /// The credential chain found something unusable, such as an expired session.
    #[error("the AWS credentials cannot be used: {detail}")]
    BadCredentials {
        /// What the chain says.
        detail: String,
    },
    /// No region was given and none is configured.
    #[error("no AWS region is set")]
    NoRegion,
    /// The region is in a partition whose endpoints are not known here.
    #[error("region {region} is not implemented: only the standard partition (arn:aws:) is")]
    Partition {
        /// The region.
        region: String,
    },
    /// The endpoint did not answer.
    #[error("{operation}: the endpoint {endpoint} did not answer: {detail}")]
    Unreachable {
        /// The operation.
        operation: &'static str,
        /// The endpoint.
        endpoint: String,
        /// What the client says.
        detail: String,
    },
    /// The endpoint refused.
    #[error("{operation} was refused: {code}: {message}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// The endpoint's answer lacks what the API promises.
    #[error("{operation} answered without {missing}")]
    Incomplete {
        /// The operation.
        operation: &'static str,
        /// The missing member.
        missing: &'static str,
    },
    /// The endpoint's answer holds a name that is none.
    #[error("{operation} answered a name that is none")]
    Name {
        /// The operation.
        operation: &'static str,
        /// What is wrong with it.
        source: InvalidName,
    },
    /// There is something of that name that this journal did not make.
    #[error("{} exists already and was not made by this app", .resource.describe())]
    NotOurs {
        /// The resource.
        resource: Resource,
    },
    /// Something that this journal made no longer carries its mark.
    #[error("{} no longer carries the mark of this app; it was left as it is", .resource.describe())]
    MarkLost {
        /// The resource.
        resource: Resource,
    },
    /// Whether something is ours cannot be told, since its tags cannot be read.
    #[error("the tags of {} cannot be read: {detail}", .resource.describe())]
    TagsUnreadable {
        /// The resource.
        resource: Resource,
        /// What the endpoint says.
        detail: String,
    },
    /// There is no function of that name.
    #[error("there is no function `{name}` in {region}")]
    NoFunction {
        /// The name.
        name: String,
        /// Where it was looked for.
        region: String,
        /// Those whose names are most like it.
        nearest: Vec<String>,
    },
    /// The function has no such version or alias.
    #[error("the function `{function}` has no version or alias `{qualifier}`")]
    NoQualifier {
        /// The function's name.
        function: String,
        /// What it was asked for.
        qualifier: String,
    },
    /// The function is made from a container image.
    #[error("the function `{function}` is made from a container image")]
    Image {
        /// The function.
        function: String,
    },
    /// A zip of a function could not be downloaded.
    #[error("cannot download {what}: {detail}")]
    Download {
        /// The zip.
        what: String,
        /// What happened.
        detail: String,
    },
    /// The function went into a failed state.
    #[error("the function could not be {what}: {reason}")]
    FunctionFailed {
        /// `created` or `updated`.
        what: &'static str,
        /// The endpoint's reason.
        reason: String,
    },
    /// The endpoint took too long to reach a state.
    #[error("{operation}: no result within {seconds} s")]
    TimedOut {
        /// What was waited for.
        operation: &'static str,
        /// How long, in seconds.
        seconds: u64,
    },
    /// A zip could not be read.
    #[error("cannot read `{path}`")]
    ReadZip {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A request could not be put together, which is a mistake of ours.
    #[error("{operation}: the request could not be built: {detail}")]
    Request {
        /// The operation.
        operation: &'static str,
        /// What the builder says.
        detail: String,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalFileError),
}

impl DeployError {
    /// Whether the endpoint says that there is no such thing.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
            || matches!(self, Self::Refused { code, .. }
                if matches!(code.as_str(), "NoSuchBucket" | "NoSuchKey" | "NoSuchEntity" | "ResourceNotFoundException" | "NotFound"))
    }

    /// Whether the endpoint asks to come again when another operation is over.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code, .. }
        if matches!(
            code.as_str(),
            "ResourceConflictException" | "OperationAborted" | "ConcurrentModification" | "DeleteConflict"
        ))
    }

    /// Whether the endpoint says that there is such a thing already.
    pub(crate) fn exists_already(&self) -> bool {
        matches!(self, Self::Refused { code, .. }
        if matches!(
            code.as_str(),
            "ResourceConflictException" | "ResourceAlreadyExistsException" | "EntityAlreadyExists" | "BucketAlreadyOwnedByYou"
        ))
    }

    /// Whether the endpoint finds the request too large.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::Refused { status: 413, .. })
            || matches!(self, Self::Refused { code, .. }
                if matches!(code.as_str(), "RequestEntityTooLargeException" | "RequestTooLargeException"))
    }

    /// Makes one of what an SDK call answers.
    #[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
    pub(crate) fn of<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: HasStatus + std::fmt::Debug + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status_number();
                let code = context.err().code().unwrap_or(if status == 413 {
                    "RequestEntityTooLargeException"
                } else {
                    "UnknownError"
                });
                let message = context.err().message().unwrap_or("(no message)");
                Self::Refused { operation, code: code.to_owned(), message: message.to_owned(), status }
            }
            SdkError::ResponseError(context) if context.raw().status_number() == 413 => Self::Refused {
                operation,
                code: "RequestEntityTooLargeException".to_owned(),
                message: "the request is too large".to_owned(),
                status: 413,
            },
            // An answer that cannot be read comes from something in between, such as a proxy.
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
                Self::Unreachable {
                    operation,
                    endpoint: "it was sent to".to_owned(),
                    detail: innermost(&error),
                }
            }
            _ => Self::Request { operation, detail: DisplayErrorContext(&error).to_string() },
        }
    }
}

/// The HTTP status of a raw response, whichever SDK crate's response it is.
pub(crate) trait HasStatus {
    /// The status code.
    fn status_number(&self) -> u16;
}

impl HasStatus for aws_sdk_lambda::config::http::HttpResponse {
    fn status_number(&self) -> u16 {
        self.status().as_u16()
    }
}

/// The last cause of an error, which says what happened rather than where.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

impl Hint for DeployError {
    fn is_bug(&self) -> bool {
        matches!(self, Self::Request { .. } | Self::Incomplete { .. } | Self::Name { .. })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCredentials { .. } => {
                "sign in with `aws configure` or `aws sso login`, set AWS_PROFILE, or leave out `--on aws` to use the \
                 local cloud"
                    .to_owned()
            }
            Self::BadCredentials { .. } => "sign in again, or choose another profile with --aws-profile".to_owned(),
            Self::NoRegion => "give one with --region, or set AWS_REGION".to_owned(),
            Self::Partition { .. } => "choose a region of the standard partition with --region".to_owned(),
            Self::Unreachable { .. } => {
                "check the network and proxies; run the same command again once it is back, it goes on where it was"
                    .to_owned()
            }
            Self::Refused { code, .. } if code == "AccessDeniedException" || code == "AccessDenied" => {
                "the credentials lack a permission: the message names it".to_owned()
            }
            Self::Refused { code, .. } if code == "ExpiredTokenException" || code == "ExpiredToken" => {
                "sign in again: the session has expired".to_owned()
            }
            Self::NotOurs { .. } => "choose another name with --name, or remove it yourself".to_owned(),
            Self::MarkLost { .. } => {
                "if it is still yours to remove, do so by hand; then run `layercake down` again".to_owned()
            }
            Self::TagsUnreadable { .. } => "the credentials need lambda:ListTags".to_owned(),
            Self::NoFunction { nearest, .. } if nearest.is_empty() => {
                "`layercake up` makes functions; --region and --on say where to look for them".to_owned()
            }
            Self::NoFunction { nearest, .. } => {
                let names: Vec<_> = nearest.iter().map(|name| format!("`{name}`")).collect();
                format!("there is {}", names.join(", "))
            }
            Self::NoQualifier { .. } => "leave the qualifier out to call the latest code".to_owned(),
            Self::Image { .. } => "only functions that were uploaded as a zip can be opened here".to_owned(),
            Self::Download { .. } => "run the same command again: links are good for ten minutes".to_owned(),
            Self::FunctionFailed { .. } => "mend what the reason names and run the same command again".to_owned(),
            Self::TimedOut { .. } => "run the same command again: it goes on where it was".to_owned(),
            Self::Journal(error) => return error.hint(),
            Self::Refused { .. }
            | Self::Incomplete { .. }
            | Self::Name { .. }
            | Self::ReadZip { .. }
            | Self::Request { .. } => return None,
        })
    }
}
