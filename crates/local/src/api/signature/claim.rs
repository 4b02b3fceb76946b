//! What a request says about its own signature, before anything of it is believed.

use axum::http::{HeaderMap, Uri, header};
use jiff::Timestamp;

use super::{Refusal, seal::SigningScope};

/// A signature as the request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The access key's id.
    pub(super) key: String,
    /// Date, region and service.
    pub(super) scope: SigningScope,
    /// `20261122T143500Z`.
    pub(super) time: String,
    /// The same as a time.
    pub(super) signed_at: Timestamp,
    /// Lower-case names, sorted.
    pub(super) signed_headers: Vec<String>,
    /// In hexadecimal.
    pub(super) signature: String,
    /// The session token, when there is one.
    pub(super) token: Option<String>,
    /// For how many seconds a presigned request is good; nothing with a header.
    pub(super) expires: Option<i64>,
}

/// The longest that a presigned request may be good: a week (S3's rule).
const WEEK_SECONDS: i64 = 604_800;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

impl Claim {
    /// Reads the `Authorization` header or the query.
    pub(super) fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Refusal> {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let asked = |name: &str| {
            query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let authorizations: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
        match authorizations[..] {
            [] if asked("X-Amz-Signature").is_some() || asked("X-Amz-Credential").is_some() => {
                Self::of_query(asked)
            }
            // Version 2's presigned requests.
            [] if asked("AWSAccessKeyId").is_some() => Err(Refusal::OtherMechanism),
            [] => Err(Refusal::Missing),
            [one] if asked("X-Amz-Signature").is_none() => {
                let text = one.to_str().map_err(|_| malformed("The Authorization header is not ASCII"))?;
                Self::of_header(text, headers)
            }
            _ => Err(malformed("Only one auth mechanism allowed")),
        }
    }

    fn of_header(text: &str, headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some((algorithm, rest)) = text.split_once(' ') else {
            return Err(if text.is_empty() { Refusal::Missing } else { Refusal::OtherMechanism });
        };
        if algorithm != ALGORITHM {
            return Err(Refusal::OtherMechanism);
        }
        let member = |name: &str| {
            rest.split(',').filter_map(|part| part.trim().split_once('=')).find(|(key, _)| *key == name)
        };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut absent: Vec<String> = ["Credential", "Signature", "SignedHeaders"]
            .iter()
            .filter(|name| member(name).is_none())
            .map(|name| format!("Authorization header requires '{name}' parameter."))
            .collect();
        if header("x-amz-date").is_none() {
            absent.push(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                    .to_owned(),
            );
        }
        let (Some((_, credential)), Some((_, signature)), Some((_, names)), Some(time)) =
            (member("Credential"), member("Signature"), member("SignedHeaders"), header("x-amz-date"))
        else {
            return Err(malformed(format!("{} Authorization={ALGORITHM}", absent.join(" "))));
        };
        let (key, scope) = parsed_credential(credential)?;
        Ok(Self {
            key,
            scope,
            time: time.to_owned(),
            signed_at: parsed_time(time)?,
            signed_headers: parsed_names(names),
            signature: signature.to_owned(),
            token: header("x-amz-security-token").map(str::to_owned),
            expires: None,
        })
    }

    fn of_query<'a>(asked: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Refusal> {
        let need = |name: &str| {
            asked(name).ok_or_else(|| {
                malformed(
                    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                     X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
                )
            })
        };
        if need("X-Amz-Algorithm")? != ALGORITHM {
            return Err(Refusal::OtherMechanism);
        }
        let (key, scope) = parsed_credential(need("X-Amz-Credential")?)?;
        let time = need("X-Amz-Date")?;
        let expires: i64 =
            need("X-Amz-Expires")?.parse().map_err(|_| malformed("X-Amz-Expires should be a number"))?;
        if expires < 0 {
            return Err(malformed("X-Amz-Expires must be non-negative"));
        }
        if expires > WEEK_SECONDS {
            return Err(malformed(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must \
                 be less than 604800 seconds",
            ));
        }
        Ok(Self {
            key,
            scope,
            time: time.to_owned(),
            signed_at: parsed_time(time)?,
            signed_headers: parsed_names(need("X-Amz-SignedHeaders")?),
            signature: need("X-Amz-Signature")?.to_owned(),
            token: asked("X-Amz-Security-Token").map(str::to_owned),
            expires: Some(expires),
        })
    }
}

fn malformed(why: impl Into<String>) -> Refusal {
    Refusal::Malformed { why: why.into() }
}

fn parsed_names(text: &str) -> Vec<String> {
    let mut names: Vec<_> = text.split(';').map(str::to_ascii_lowercase).collect();
    names.sort();
    names.dedup();
    names
}

/// `KEY/DATE/REGION/SERVICE/aws4_request`.
fn parsed_credential(text: &str) -> Result<(String, SigningScope), Refusal> {
    let parts: Vec<_> = text.split('/').collect();
    let [key, date, region, service, "aws4_request"] = parts[..] else {
        return Err(malformed(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/term, got '{text}'"
        )));
    };
    let scope =
        SigningScope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() };
    Ok((key.to_owned(), scope))
}

fn parsed_time(text: &str) -> Result<Timestamp, Refusal> {
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
        .map(|time| time.timestamp())
        .map_err(|_| {
            malformed(format!("Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(authorization: &str, uri: &'static str) -> String {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().expect("a value"));
            headers.insert("x-amz-date", "20261122T143500Z".parse().expect("a value"));
        }
        match Claim::of(&headers, &Uri::from_static(uri)) {
            Ok(claim) => format!("{} {} {:?}", claim.key, claim.scope.text(), claim.signed_headers),
            Err(Refusal::Malformed { why }) => why,
            Err(Refusal::Missing) => "missing".to_owned(),
            Err(Refusal::OtherMechanism) => "other mechanism".to_owned(),
            Err(_) => "other".to_owned(),
        }
    }

    #[test]
    fn headers_and_queries() {
        insta::assert_snapshot!(check("", "/"), @"missing");
        insta::assert_snapshot!(check("AWS AKIA:abc=", "/"), @"other mechanism");
        insta::assert_snapshot!(check("", "/b/k?AWSAccessKeyId=a&Signature=b&Expires=1"), @"other mechanism");
        insta::assert_snapshot!(
            check("AWS4-HMAC-SHA256 Credential=K/20261122/r/s/aws4_request, SignedHeaders=x-amz-date;Host, Signature=0", "/"),
            @r#"K 20261122/r/s/aws4_request ["host", "x-amz-date"]"#
        );
        insta::assert_snapshot!(
            check("AWS4-HMAC-SHA256 Credential=K/20261122/r/s/aws4_request", "/"),
            @"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256"
        );
        insta::assert_snapshot!(
            check("AWS4-HMAC-SHA256 Credential=K/r/s, SignedHeaders=host, Signature=0", "/"),
            @"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'K/r/s'"
        );
        insta::assert_snapshot!(
            check("", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20261122%2Fr%2Fs%2Faws4_request&X-Amz-Date=20261122T143500Z&X-Amz-Expires=604801&X-Amz-SignedHeaders=host&X-Amz-Signature=0"),
            @"X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
        );
        insta::assert_snapshot!(
            check("", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20261122%2Fr%2Fs%2Faws4_request&X-Amz-Date=20261122T143500Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0"),
            @r#"K 20261122/r/s/aws4_request ["host"]"#
        );
    }
}
