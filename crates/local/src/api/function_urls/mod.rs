//! Function URLs as clients see them: `http://ID.lambda-url.REGION.localhost:PORT/…`. A request
//! becomes an event of payload format 2.0, and what the function answers becomes a response.
//!
//! Owns the order in which Lambda does things to such a request: is there a URL, is it a preflight,
//! who may call, how long may it be, what came of the call.

mod cors;
mod event;
mod response;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts, uri::Authority},
    response::Response,
};
use bytes::Bytes;
use layercake_core::{
    aws::Region,
    limits::{SYNC_PAYLOAD_BYTES, SYNC_RESPONSE_BYTES},
};

use self::{cors::Cors, event::Asker};
use super::{
    Api, AwsError, Credential, Service, answer, error::Style, guard::ForeignPage, lambda, read_body,
    signature,
};
use crate::{
    Signatures, sandbox,
    service::{Caller, InvokedStreaming, LambdaError, UrlTarget, invoked_arn},
};

/// What a request to a function URL is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addressed {
    /// What belongs to one function.
    id: String,
    region: Region,
    /// The whole host name.
    domain: String,
    port: Option<u16>,
}

impl Addressed {
    /// Reads the name of the host; nothing when it is not that of a function URL.
    pub(super) fn of(headers: &HeaderMap, uri: &Uri) -> Option<Self> {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = host.or_else(|| uri.authority().map(Authority::as_str))?;
        let (id, rest) = authority.split_once(".lambda-url.")?;
        let (region, _) = rest.split_once('.')?;
        if id.is_empty() || id.contains('.') {
            return None;
        }
        let (domain, port) = match authority.rsplit_once(':') {
            Some((domain, port)) => (domain, port.parse().ok()),
            None => (authority, None),
        };
        Some(Self {
            id: id.to_ascii_lowercase(),
            region: region.parse().ok()?,
            domain: domain.to_ascii_lowercase(),
            port,
        })
    }
}

/// The text of every refusal of somebody who may not call (recorded on AWS).
const FORBIDDEN: &str = "Forbidden. For troubleshooting Function URL authorization issues, see: \
                         https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html";

/// Answers a request to a function URL. Must be run to its end.
pub(super) async fn answer_request(
    api: Api,
    addressed: Addressed,
    request: Request,
    request_id: String,
) -> Response {
    let (parts, body) = request.into_parts();
    let trace_id = lambda::trace_id(&parts.headers);
    let mut response = match api.cloud.url_target(&addressed.id, &addressed.region).await {
        Ok(Some(target)) => {
            let cors = Cors::of(target.config.cors.as_ref());
            let asked = Asked { api: &api, addressed, parts, request_id: &request_id, trace_id: &trace_id };
            match cors.as_ref().and_then(|cors| cors.preflight(&asked.parts)) {
                Some(response) => response,
                None => {
                    let origin = asked.parts.headers.get(header::ORIGIN).cloned();
                    let mut response = asked.called(&target, body).await.unwrap_or_else(|refusal| *refusal);
                    if let (Some(cors), Some(origin)) = (cors, origin) {
                        cors.allow(&origin, response.headers_mut());
                    }
                    response
                }
            }
        }
        Ok(None) => nobody_there(&request_id),
        Err(error) => AwsError::from(LambdaError::Store(error)).rest_json(&request_id),
    };
    for (name, value) in [("x-amzn-requestid", &request_id), ("x-amzn-trace-id", &trace_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What AWS answers where no URL is (recorded).
fn nobody_there(request_id: &str) -> Response {
    let mut response = answer(403, "application/json", r#"{"Message":null}"#, request_id);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static("AccessDeniedException"));
    response
}

/// A function that failed, or whose answer is none (recorded).
fn bad_gateway(request_id: &str) -> Response {
    answer(502, "application/json", "Internal Server Error", request_id)
}

/// A request to a URL that is there.
struct Asked<'a> {
    api: &'a Api,
    addressed: Addressed,
    parts: Parts,
    request_id: &'a str,
    trace_id: &'a str,
}

impl Asked<'_> {
    async fn called(&self, target: &UrlTarget, body: Body) -> Result<Response, Box<Response>> {
        let (asker, body) = self.admitted(target, body).await?;
        let limit = usize::try_from(SYNC_PAYLOAD_BYTES).unwrap_or(usize::MAX);
        let body = read_body(body, limit)
            .await
            .map_err(|error| self.refusal(AwsError::user(400, "BadRequestException", error.to_string())))?
            .map_err(|count| self.too_large(count))?;
        let event = event::event(&self.parts, &self.addressed, target, asker.as_ref(), &body, &self.named());
        let payload = Bytes::from(event.to_string());
        if payload.len() > limit {
            return Err(self.too_large(payload.len() as u64));
        }
        let call = sandbox::Call {
            request_id: self.request_id.to_owned(),
            payload,
            invoked_arn: invoked_arn(&target.scope, &target.function),
            client_context: None,
            trace_id: self.trace_id.to_owned(),
        };
        if target.config.invoke_mode == "RESPONSE_STREAM" {
            self.streamed(target, call).await
        } else {
            self.buffered(target, call).await
        }
    }

    /// What the event tells of the request besides its own words.
    fn named(&self) -> event::Named<'_> {
        let peer = self.parts.extensions.get::<ConnectInfo<SocketAddr>>();
        event::Named {
            request_id: self.request_id,
            trace_id: self.trace_id,
            // Without a socket, the caller is this very process.
            source: peer.map_or_else(|| [127, 0, 0, 1].into(), |peer| peer.0.ip().to_canonical()),
            time: jiff::Timestamp::now(),
        }
    }

    /// Lets in who may call, and says who it is where that matters.
    async fn admitted(&self, target: &UrlTarget, body: Body) -> Result<(Option<Asker>, Body), Box<Response>> {
        let (asker, body) = match target.config.auth.as_str() {
            "AWS_IAM" => self.identified(body).await.map(|(asker, body)| (Some(asker), body))?,
            _ => (None, body),
        };
        let caller = asker.as_ref().map(|asker| &asker.caller);
        match self.api.cloud.missing_url_permission(target, caller).await {
            Ok(None) => Ok((asker, body)),
            Ok(Some(permission)) => {
                tracing::info!(permission, "a request to a function URL lacks a permission");
                Err(self.forbidden())
            }
            Err(error) => Err(self.refusal(LambdaError::Store(error))),
        }
    }

    /// Who signed the request.
    async fn identified(&self, body: Body) -> Result<(Asker, Body), Box<Response>> {
        let Some(credential) = Credential::of(&self.parts.headers, &self.parts.uri) else {
            return Err(self.forbidden());
        };
        let store = &self.api.cloud.store;
        let asker = |caller: Caller| Asker { access_key: credential.key.clone(), caller };
        if self.api.keyring.signatures() == Signatures::Required {
            let now = jiff::Timestamp::now();
            let admitted =
                signature::admitted(Service::Lambda, &self.api.keyring, store, &self.parts, body, now).await;
            return match admitted {
                Ok(admitted) => Ok((asker(admitted.caller), admitted.body)),
                Err((refusal, rest)) => {
                    signature::drained(rest).await;
                    Err(Box::new(refusal.response(Service::Lambda, self.request_id)))
                }
            };
        }
        // Nobody verifies who it is, so a page of another site could say that it is anybody.
        if credential.service() != Some(Service::Lambda)
            || self.parts.extensions.get::<ForeignPage>().is_some()
        {
            return Err(self.forbidden());
        }
        match self.api.keyring.claimed(store, Some(&credential.key)) {
            Ok(caller) => Ok((asker(caller), body)),
            Err(error) => Err(self.refusal(LambdaError::Store(error))),
        }
    }

    async fn buffered(&self, target: &UrlTarget, call: sandbox::Call) -> Result<Response, Box<Response>> {
        let invoked = self.api.cloud.invoke(&target.scope, &target.function, call).await;
        let outcome = invoked.map_err(|error| self.refusal(error))?.outcome;
        if outcome.function_error.is_some() || outcome.payload.len() as u64 > SYNC_RESPONSE_BYTES {
            return Ok(bad_gateway(self.request_id));
        }
        Ok(response::of_payload(&outcome.payload).unwrap_or_else(|| bad_gateway(self.request_id)))
    }

    async fn streamed(&self, target: &UrlTarget, call: sandbox::Call) -> Result<Response, Box<Response>> {
        let invoked =
            Arc::clone(&self.api.cloud).invoke_streaming(&target.scope, &target.function, call).await;
        let InvokedStreaming { head, body, end, .. } = invoked.map_err(|error| self.refusal(error))?;
        let response = match head {
            Some(head) => response::of_stream(head, body, end).await,
            None => None,
        };
        Ok(response.unwrap_or_else(|| bad_gateway(self.request_id)))
    }

    fn forbidden(&self) -> Box<Response> {
        let style = Style::BareUpper;
        self.refusal(AwsError { style, ..AwsError::user(403, "AccessDeniedException", FORBIDDEN) })
    }

    /// In the words of Invoke; what a function URL says was not found.
    fn too_large(&self, count: u64) -> Box<Response> {
        let message = format!(
            "{count} byte payload is too large for the RequestResponse invocation type (limit \
             {SYNC_PAYLOAD_BYTES} bytes)"
        );
        let style = Style::UserUpper;
        self.refusal(AwsError { style, ..AwsError::user(413, "RequestEntityTooLargeException", message) })
    }

    fn refusal(&self, error: impl Into<AwsError>) -> Box<Response> {
        Box::new(error.into().rest_json(self.request_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_function_urls() {
        let check = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            Addressed::of(&headers, &Uri::from_static("/"))
                .map(|found| format!("{} {} {} {:?}", found.id, found.region, found.domain, found.port))
                .unwrap_or_default()
        };
        insta::assert_snapshot!(check("abc.lambda-url.eu-west-1.localhost:4566"), @"abc eu-west-1 abc.lambda-url.eu-west-1.localhost Some(4566)");
        insta::assert_snapshot!(check("ABC.lambda-url.us-east-1.cloud.example"), @"abc us-east-1 abc.lambda-url.us-east-1.cloud.example None");
        insta::assert_snapshot!(check("abc.lambda-url.us-east-1.on.aws"), @"abc us-east-1 abc.lambda-url.us-east-1.on.aws None");
        for host in [
            "localhost",
            "bucket.localhost:1",
            "a.b.lambda-url.us-east-1.localhost",
            "abc.lambda-url.localhost",
        ] {
            assert_eq!(check(host), "", "{host}");
        }
    }
}
