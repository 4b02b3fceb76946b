//! The few calls to IAM and CloudWatch Logs, signed with AWS's own signer.
//!
//! The SDK crates of the two services cost 85 CPU-seconds of every build for seven calls
//! (docs/decisions/0004-iam-and-logs-without-their-sdks.md). Never speaks to any other service.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use layercake_core::aws::Region;

use crate::error::{DeployError, innermost};

/// IAM is one for all regions and signs with this one.
const IAM_REGION: &str = "us-east-1";

/// How long a connection and an answer may take, as in the SDK.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(30);

/// How often a request is sent when it fails for no fault of its own, as in the SDK.
const TRIES: u32 = 3;

/// Sends signed requests to IAM and CloudWatch Logs.
#[derive(Clone, Debug)]
pub(crate) struct SignedClient {
    http: reqwest::Client,
    credentials: SharedCredentialsProvider,
    region: Region,
    url: Option<String>,
}

/// One request, before it is signed.
struct Unsigned<'a> {
    service: &'static str,
    region: &'a str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl SignedClient {
    pub(crate) fn new(
        credentials: SharedCredentialsProvider,
        region: Region,
        url: Option<String>,
    ) -> Result<Self, DeployError> {
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build().map_err(|error| {
                DeployError::Request { operation: "connecting", detail: innermost(&error) }
            })?;
        Ok(Self { http, credentials, region, url })
    }

    /// Calls IAM (Query protocol) and answers the XML.
    pub(crate) async fn iam(
        &self,
        operation: &'static str,
        members: &[(&str, &str)],
    ) -> Result<String, DeployError> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", operation).append_pair("Version", "2010-05-08");
        form.extend_pairs(members);
        let request = Unsigned {
            service: "iam",
            region: IAM_REGION,
            url: self.url.clone().unwrap_or_else(|| "https://iam.amazonaws.com".to_owned()),
            headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
            body: form.finish(),
        };
        let (status, text) = self.send(operation, request).await?;
        if status < 300 {
            return Ok(text);
        }
        let code = xml_text(&text, "Code").unwrap_or_else(|| "UnknownError".to_owned());
        let message = xml_text(&text, "Message").unwrap_or_else(|| format!("HTTP status {status}"));
        Err(DeployError::Refused { operation, code, message, status })
    }

    /// Calls CloudWatch Logs (JSON 1.1) and answers the JSON.
    pub(crate) async fn logs(
        &self,
        operation: &'static str,
        input: &serde_json::Value,
    ) -> Result<serde_json::Value, DeployError> {
        let region = self.region.as_str();
        let request = Unsigned {
            service: "logs",
            region,
            url: self.url.clone().unwrap_or_else(|| format!("https://logs.{region}.amazonaws.com")),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", format!("Logs_20140328.{operation}")),
            ],
            body: input.to_string(),
        };
        let (status, text) = self.send(operation, request).await?;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if status < 300 {
            return Ok(value);
        }
        let member = |name: &str| value.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let code = member("__type").unwrap_or_else(|| "UnknownError".to_owned());
        let code = code.rsplit('#').next().unwrap_or(&code).to_owned();
        let message = member("message")
            .or_else(|| member("Message"))
            .unwrap_or_else(|| format!("HTTP status {status}"));
        Err(DeployError::Refused { operation, code, message, status })
    }

    /// Sends a request, again when the service is out of breath or out of reach. All calls here
    /// may be repeated: a second creation is refused by name.
    async fn send(
        &self,
        operation: &'static str,
        request: Unsigned<'_>,
    ) -> Result<(u16, String), DeployError> {
        let mut pause = Duration::from_millis(200);
        for _ in 1..TRIES {
            match self.send_once(operation, &request).await {
                Ok((status, text)) if status < 500 && !(status >= 400 && text.contains("Throttling")) => {
                    return Ok((status, text));
                }
                Err(error @ (DeployError::BadCredentials { .. } | DeployError::Request { .. })) => {
                    return Err(error);
                }
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 4;
        }
        self.send_once(operation, &request).await
    }

    async fn send_once(
        &self,
        operation: &'static str,
        request: &Unsigned<'_>,
    ) -> Result<(u16, String), DeployError> {
        let broken = |detail: String| DeployError::Request { operation, detail };
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| DeployError::BadCredentials { detail: innermost(&error) })?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(request.region)
            .name(request.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| broken(error.to_string()))?
            .into();
        let mut wire = http::Request::post(&request.url);
        for (name, value) in &request.headers {
            wire = wire.header(*name, value);
        }
        let mut wire = wire.body(request.body.clone()).map_err(|error| broken(error.to_string()))?;
        let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new(
            "POST",
            request.url.as_str(),
            headers,
            SignableBody::Bytes(request.body.as_bytes()),
        )
        .map_err(|error| broken(error.to_string()))?;
        let (instructions, _) =
            sign(signable, &params).map_err(|error| broken(error.to_string()))?.into_parts();
        instructions.apply_to_request_http1x(&mut wire);
        let wire = reqwest::Request::try_from(wire).map_err(|error| broken(error.to_string()))?;
        let unreachable = |error: reqwest::Error| DeployError::Unreachable {
            operation,
            endpoint: request.url.clone(),
            detail: innermost(&error),
        };
        let answer = self.http.execute(wire).await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(unreachable)?))
    }
}

/// The text of the first element of this name.
pub(crate) fn xml_text(xml: &str, element: &str) -> Option<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if start.local_name().as_ref() == element.as_bytes() => {
                return reader.read_text(start.name()).ok().and_then(|text| {
                    quick_xml::escape::unescape(&text.decode().ok()?).ok().map(std::borrow::Cow::into_owned)
                });
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The `Key`/`Value` pairs of the first `Tags` element.
pub(crate) fn xml_tags(xml: &str) -> Vec<(String, String)> {
    let Some(tags) = xml.split("<Tags>").nth(1).and_then(|rest| rest.split("</Tags>").next()) else {
        return Vec::new();
    };
    tags.split("<member>")
        .filter_map(|member| Some((xml_text(member, "Key")?, xml_text(member, "Value")?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_tags_are_read() {
        let xml = "<R xmlns='x'><Role><RoleName>a</RoleName><Arn>arn:&amp;</Arn><Tags><member><Key>k</Key><Value>v</Value></member></Tags></Role></R>";
        assert_eq!(xml_text(xml, "Arn").as_deref(), Some("arn:&"));
        assert_eq!(xml_text(xml, "Nothing"), None);
        assert_eq!(xml_tags(xml), [("k".to_owned(), "v".to_owned())]);
        assert_eq!(xml_tags("<R/>"), []);
    }
}
