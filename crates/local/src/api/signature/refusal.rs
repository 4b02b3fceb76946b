//! What a client reads whose signature is not taken: AWS's codes, statuses and texts, in the
//! shape of each protocol.

use axum::response::Response;
use jiff::Timestamp;

use crate::{
    api::{AwsError, Service, answer, error::Style, error::escaped, iam, lambda::with_causes, sts},
    store::StoreError,
};

/// Why a request is not taken.
#[derive(Debug)]
pub(in crate::api) enum Refusal {
    /// It is not signed.
    Missing,
    /// It is signed in another way than Version 4.
    OtherMechanism,
    /// Its signature cannot be read.
    Malformed { why: String },
    /// Nobody has that key.
    UnknownKey { key: String },
    /// The session token is not the key's, or is missing.
    WrongToken,
    /// The temporary credentials have ended.
    ExpiredToken,
    /// It is another signature than ours.
    Mismatch(Box<Mismatch>),
    /// It was signed too long ago, or in the future.
    Skewed { signed_at: Timestamp, now: Timestamp },
    /// The presigned request is over.
    LinkExpired { seconds: i64, ended: Timestamp, now: Timestamp },
    /// Headers that must be signed and are not.
    HeadersNotSigned { names: Vec<String> },
    /// S3 alone wants the body's hash in a header.
    NoHash,
    /// The body is another than the one that was signed.
    OtherBody { claimed: String, computed: String },
    /// A way to sign bodies that is not built.
    BodySigning { how: String },
    /// The body is too long to be verified.
    TooLarge,
    /// The client went away, or sent what is no HTTP.
    Broken { why: String },
    /// The store failed.
    Store(StoreError),
}

/// Both sides of a comparison, for S3's answer.
#[derive(Debug)]
pub(in crate::api) struct Mismatch {
    pub(in crate::api) key: String,
    pub(in crate::api) signature: String,
    pub(in crate::api) string_to_sign: String,
    pub(in crate::api) canonical_request: String,
}

/// How far clocks may be apart: 15 minutes for S3, IAM and STS, 5 for the others (their texts
/// say so).
pub(super) fn most_skew_seconds(service: Service) -> i64 {
    match service {
        Service::S3 | Service::Iam | Service::Sts => 900,
        Service::Lambda | Service::Logs => 300,
    }
}

const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check \
                               your AWS Secret Access Key and signing method. Consult the service documentation for \
                               details.";

impl Refusal {
    /// The whole answer.
    pub(in crate::api) fn response(&self, service: Service, request_id: &str) -> Response {
        tracing::info!(?service, refusal = self.name(), "a request was refused");
        match service {
            Service::S3 => self.s3(request_id),
            Service::Lambda => {
                let status = if matches!(self, Self::Store(_)) { 500 } else { 403 };
                self.exception(service, status).rest_json(request_id)
            }
            Service::Logs => {
                let status = if matches!(self, Self::Store(_)) { 500 } else { 400 };
                self.exception(service, status).json_1_1(request_id)
            }
            Service::Iam => self.query().query(iam::NAMESPACE, request_id),
            Service::Sts => self.query().query(sts::NAMESPACE, request_id),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Missing => "not signed",
            Self::OtherMechanism => "another mechanism",
            Self::Malformed { .. } => "malformed signature",
            Self::UnknownKey { .. } => "unknown access key",
            Self::WrongToken => "wrong session token",
            Self::ExpiredToken => "expired session token",
            Self::Mismatch(_) => "wrong signature",
            Self::Skewed { .. } => "signed at another time",
            Self::LinkExpired { .. } => "expired link",
            Self::HeadersNotSigned { .. } => "headers not signed",
            Self::NoHash => "no hash of the body",
            Self::OtherBody { .. } => "another body",
            Self::BodySigning { .. } => "unknown body signing",
            Self::TooLarge => "too large to verify",
            Self::Broken { .. } => "broken request",
            Self::Store(_) => "the store failed",
        }
    }

    /// As services with JSON answer.
    fn exception(&self, service: Service, status: u16) -> AwsError {
        let (code, message) = match self {
            Self::Missing => {
                ("MissingAuthenticationTokenException", "Missing Authentication Token".to_owned())
            }
            Self::OtherMechanism => (
                "IncompleteSignatureException",
                "Unsupported AWS 'algorithm': AWS4-HMAC-SHA256 is expected".to_owned(),
            ),
            Self::Malformed { why } => ("IncompleteSignatureException", why.clone()),
            Self::UnknownKey { .. } | Self::WrongToken => (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.".to_owned(),
            ),
            Self::ExpiredToken => {
                ("ExpiredTokenException", "The security token included in the request is expired".to_owned())
            }
            Self::Store(error) => ("InternalFailure", with_causes(error)),
            Self::TooLarge => ("RequestEntityTooLargeException", "The request is too large".to_owned()),
            other => ("InvalidSignatureException", other.signature_text(service)),
        };
        let status = if matches!(self, Self::TooLarge) { 413 } else { status };
        AwsError { status, code, message, style: Style::Bare }
    }

    /// As IAM and STS answer.
    fn query(&self) -> AwsError {
        let (status, code, message) = match self {
            Self::Missing => {
                (403, "MissingAuthenticationToken", "Request is missing Authentication Token".to_owned())
            }
            Self::OtherMechanism => (
                403,
                "IncompleteSignature",
                "Unsupported AWS 'algorithm': AWS4-HMAC-SHA256 is expected".to_owned(),
            ),
            Self::Malformed { why } => (403, "IncompleteSignature", why.clone()),
            Self::UnknownKey { .. } | Self::WrongToken => (
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.".to_owned(),
            ),
            Self::ExpiredToken => {
                (403, "ExpiredToken", "The security token included in the request is expired".to_owned())
            }
            Self::Store(error) => (500, "InternalFailure", with_causes(error)),
            Self::TooLarge => (413, "RequestEntityTooLarge", "The request is too large".to_owned()),
            other => (403, "SignatureDoesNotMatch", other.signature_text(Service::Iam)),
        };
        AwsError { status, code, message, style: Style::User }
    }

    /// What is wrong with a signature that was read.
    fn signature_text(&self, service: Service) -> String {
        let basic = |time: Timestamp| time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let skew = most_skew_seconds(service);
        let minutes = skew / 60;
        let moved = |time: Timestamp, seconds: i64| {
            Timestamp::from_second(time.as_second().saturating_add(seconds)).unwrap_or(time)
        };
        match self {
            Self::Skewed { signed_at, now } if signed_at < now => format!(
                "Signature expired: {} is now earlier than {} ({} - {minutes} min.)",
                basic(*signed_at),
                basic(moved(*now, -skew)),
                basic(*now)
            ),
            Self::Skewed { signed_at, now } => format!(
                "Signature not yet current: {} is still later than {} ({} + {minutes} min.)",
                basic(*signed_at),
                basic(moved(*now, skew)),
                basic(*now)
            ),
            Self::LinkExpired { ended, now, .. } => {
                format!("Signature expired: {} is now earlier than {}", basic(*ended), basic(*now))
            }
            Self::HeadersNotSigned { names } => match names.first() {
                Some(name) => format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."),
                None => WRONG_SIGNATURE.to_owned(),
            },
            Self::Broken { why } => why.clone(),
            _ => WRONG_SIGNATURE.to_owned(),
        }
    }

    fn s3(&self, request_id: &str) -> Response {
        let iso = |time: &Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let text = |name: &'static str, value: &str| (name, value.to_owned());
        let (status, code, message, more): (u16, &str, &str, Vec<(&str, String)>) = match self {
            Self::Missing => (403, "AccessDenied", "Access Denied", Vec::new()),
            Self::OtherMechanism => (
                400,
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
                Vec::new(),
            ),
            Self::Malformed { why } if why.starts_with("X-Amz-") || why.starts_with("Query-string") => {
                (400, "AuthorizationQueryParametersError", why.as_str(), Vec::new())
            }
            Self::Malformed { why } => (400, "AuthorizationHeaderMalformed", why.as_str(), Vec::new()),
            Self::UnknownKey { key } => (
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
                vec![text("AWSAccessKeyId", key)],
            ),
            Self::WrongToken => {
                (400, "InvalidToken", "The provided token is malformed or otherwise invalid.", Vec::new())
            }
            Self::ExpiredToken => (400, "ExpiredToken", "The provided token has expired.", Vec::new()),
            Self::Mismatch(mismatch) => (
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your \
                 key and signing method.",
                vec![
                    text("AWSAccessKeyId", &mismatch.key),
                    text("StringToSign", &mismatch.string_to_sign),
                    text("SignatureProvided", &mismatch.signature),
                    text("CanonicalRequest", &mismatch.canonical_request),
                ],
            ),
            Self::Skewed { signed_at, now } => (
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                vec![
                    ("RequestTime", signed_at.strftime("%Y%m%dT%H%M%SZ").to_string()),
                    ("ServerTime", iso(now)),
                    text("MaxAllowedSkewMilliseconds", "900000"),
                ],
            ),
            Self::LinkExpired { seconds, ended, now } => (
                403,
                "AccessDenied",
                "Request has expired",
                vec![
                    ("X-Amz-Expires", seconds.to_string()),
                    ("Expires", iso(ended)),
                    ("ServerTime", iso(now)),
                ],
            ),
            Self::HeadersNotSigned { names } => (
                403,
                "AccessDenied",
                "There were headers present in the request which were not signed",
                vec![("HeadersNotSigned", names.join(", "))],
            ),
            Self::NoHash => (
                400,
                "InvalidRequest",
                "Missing required header for this request: x-amz-content-sha256",
                Vec::new(),
            ),
            Self::OtherBody { claimed, computed } => (
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                vec![text("ClientComputedContentSHA256", claimed), text("S3ComputedContentSHA256", computed)],
            ),
            Self::BodySigning { how } => (
                501,
                "NotImplemented",
                "The local cloud does not verify bodies that are signed in this way",
                vec![text("Header", how)],
            ),
            Self::TooLarge => (400, "EntityTooLarge", "The request is too large", Vec::new()),
            Self::Broken { .. } => {
                (400, "IncompleteBody", "The request body terminated unexpectedly", Vec::new())
            }
            Self::Store(_) => {
                (500, "InternalError", "We encountered an internal error. Please try again.", Vec::new())
            }
        };
        let more: String =
            more.iter().map(|(name, value)| format!("<{name}>{}</{name}>", escaped(value))).collect();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message>{more}\
             <RequestId>{request_id}</RequestId></Error>",
            escaped(message)
        );
        answer(status, "application/xml", body, request_id)
    }
}
