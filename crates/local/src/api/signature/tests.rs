//! AWS's documented examples, and everything that may be wrong with a request.

use axum::http::Request;
use http_body_util::BodyExt as _;

use super::*;
use crate::{Access, AccessKey};

/// The keys of AWS's examples.
const KEYS: [(&str, &str); 2] = [
    ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
];

fn keyring() -> Keyring {
    let account: layercake_core::aws::AccountId = "123456789012".parse().expect("an account");
    let key = |(id, secret): (&str, &str)| AccessKey {
        id: id.to_owned(),
        secret: secret.to_owned(),
        account: account.clone(),
        user: None,
    };
    Keyring::new(&Access { credentials: KEYS.map(key).into(), ..Access::default() }, account.clone())
}

async fn check(service: Service, request: &str, body: &'static str, now: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(camino::Utf8Path::from_path(folder.path()).expect("UTF-8")).expect("a store");
    let mut lines = request.lines().map(str::trim).filter(|line| !line.is_empty());
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).expect("a request line");
    let mut builder = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        builder = builder.header(name, value);
    }
    let (parts, ()) = builder.body(()).expect("a request").into_parts();
    let now: Timestamp = now.parse().expect("a time");
    match admitted(service, &keyring(), &store, &parts, Body::from(body), now).await {
        Ok(admitted) => match admitted.body.collect().await {
            Ok(_) => format!("admitted {}", admitted.caller.arn()),
            Err(_) => format!("{:?}", admitted.fault.get()),
        },
        Err((refusal, _)) => {
            let response = refusal.response(service, "id");
            let status = response.status().as_u16();
            let code = response.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
            let code = code.unwrap_or_default().to_owned();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            format!("{status} {code} {}", String::from_utf8_lossy(&body))
        }
    }
}

/// "GET Object" of "Authenticating Requests: Using the Authorization Header", S3 API Reference.
const GET_OBJECT: &str = "
    GET /test.txt
    Host: examplebucket.s3.amazonaws.com
    Range: bytes=0-9
    x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    x-amz-date: 20130524T000000Z
    Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

/// "PUT Object" of the same page.
const PUT_OBJECT: &str = "
    PUT /test%24file.text
    Host: examplebucket.s3.amazonaws.com
    Date: Fri, 24 May 2013 00:00:00 GMT
    x-amz-date: 20130524T000000Z
    x-amz-storage-class: REDUCED_REDUNDANCY
    x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072
    Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";

/// "Authenticating Requests: Using Query Parameters".
const PRESIGNED: &str = "
    GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404
    Host: examplebucket.s3.amazonaws.com";

#[tokio::test]
async fn awss_examples_for_s3() {
    let s3 = |request: &'static str, body, now| check(Service::S3, request, body, now);
    let then = "2013-05-24T00:10:00Z";
    assert_eq!(s3(GET_OBJECT, "", then).await, "admitted arn:aws:iam::123456789012:root");
    assert_eq!(
        s3(PUT_OBJECT, "Welcome to Amazon S3.", then).await,
        "admitted arn:aws:iam::123456789012:root"
    );
    assert_eq!(s3(PRESIGNED, "", then).await, "admitted arn:aws:iam::123456789012:root");
    insta::assert_snapshot!(
        s3(PUT_OBJECT, "Welcome to Amazon S4.", then).await,
        @r#"Some(OtherBody { claimed: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", computed: "f5ecb1c521e9d365692b272b029cbad27ddc3107b35367da0595a5844165e48d" })"#
    );
    insta::assert_snapshot!(
        s3(PRESIGNED, "", "2013-05-25T00:00:01Z").await,
        @r#"
    403  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>86400</X-Amz-Expires><Expires>2013-05-25T00:00:00Z</Expires><ServerTime>2013-05-25T00:00:01Z</ServerTime><RequestId>id</RequestId></Error>
    "#
    );
    insta::assert_snapshot!(
        s3(GET_OBJECT, "", "2013-05-24T00:15:01Z").await,
        @r#"
    403  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message><RequestTime>20130524T000000Z</RequestTime><ServerTime>2013-05-24T00:15:01Z</ServerTime><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds><RequestId>id</RequestId></Error>
    "#
    );
}

#[tokio::test]
async fn what_s3_says_to_the_others() {
    let then = "2013-05-24T00:10:00Z";
    let changed = |from: &str, to: &str| GET_OBJECT.replace(from, to);
    let s3 = async |request: String| check(Service::S3, &request, "", then).await;
    insta::assert_snapshot!(s3("GET /k\nHost: h".to_owned()).await, @r#"
    403  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3("GET /k\nHost: h\nAuthorization: AWS AKIA:abc=".to_owned()).await, @r#"
    400  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>InvalidRequest</Code><Message>The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.</Message><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3(changed("AKIAIOSFODNN7EXAMPLE", "AKIAOTHER")).await, @r#"
    403  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does not exist in our records.</Message><AWSAccessKeyId>AKIAOTHER</AWSAccessKeyId><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3(changed("bytes=0-9", "bytes=0-8")).await, @r#"
    403  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match the signature you provided. Check your key and signing method.</Message><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256
    20130524T000000Z
    20130524/us-east-1/s3/aws4_request
    2b851f69719f9d5a5ff7def31a06fc88685f7daf6fb8a73fd23c3a03c1193684</StringToSign><SignatureProvided>f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41</SignatureProvided><CanonicalRequest>GET
    /test.txt

    host:examplebucket.s3.amazonaws.com
    range:bytes=0-8
    x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    x-amz-date:20130524T000000Z

    host;range;x-amz-content-sha256;x-amz-date
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855</CanonicalRequest><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3(changed("x-amz-content-sha256", "x-amz-other")).await, @r#"
    400  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>InvalidRequest</Code><Message>Missing required header for this request: x-amz-content-sha256</Message><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3(GET_OBJECT.to_owned() + "\nx-amz-acl: public-read").await, @r#"
    403  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>AccessDenied</Code><Message>There were headers present in the request which were not signed</Message><HeadersNotSigned>x-amz-acl</HeadersNotSigned><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3(GET_OBJECT.to_owned() + "\nx-amz-security-token: t").await, @r#"
    400  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>InvalidToken</Code><Message>The provided token is malformed or otherwise invalid.</Message><RequestId>id</RequestId></Error>
    "#);
    insta::assert_snapshot!(s3(changed("/20130524/", "/20130523/")).await, @r#"
    400  <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>AuthorizationHeaderMalformed</Code><Message>Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20130523' != '20130524', from '20130524T000000Z'.</Message><RequestId>id</RequestId></Error>
    "#);
}

/// "Create a signed AWS API request", IAM User Guide, and the Signature Version 4 test suite.
const LIST_USERS: &str = "
    GET /?Action=ListUsers&Version=2010-05-08
    Host: iam.amazonaws.com
    Content-Type: application/x-www-form-urlencoded; charset=utf-8
    X-Amz-Date: 20150830T123600Z
    Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

#[tokio::test]
async fn the_other_services() {
    let others = async |service, request: &str, now| {
        let name = format!("/{service:?}/aws4_request").to_lowercase();
        check(service, &request.replace("/iam/aws4_request", &name), "", now).await
    };
    insta::assert_snapshot!(
        check(Service::Lambda, LIST_USERS, "", "2015-08-30T12:40:00Z").await,
        @r#"403 IncompleteSignatureException {"message":"Credential should be scoped to correct service: 'lambda'."}"#
    );
    let then = "2015-08-30T12:40:00Z";
    assert_eq!(others(Service::Iam, LIST_USERS, then).await, "admitted arn:aws:iam::123456789012:root");
    let changed = LIST_USERS.replace("ListUsers", "ListRoles");
    insta::assert_snapshot!(others(Service::Iam, &changed, then).await, @r#"403  <ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.</Message></Error><RequestId>id</RequestId></ErrorResponse>"#);
    insta::assert_snapshot!(others(Service::Lambda, &changed, then).await, @r#"403 InvalidSignatureException {"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#);
    insta::assert_snapshot!(others(Service::Logs, &changed, then).await, @r#"400  {"__type":"InvalidSignatureException","message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#);
    insta::assert_snapshot!(others(Service::Sts, LIST_USERS, "2015-08-30T12:51:01Z").await, @r#"403  <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)</Message></Error><RequestId>id</RequestId></ErrorResponse>"#);
    insta::assert_snapshot!(others(Service::Lambda, LIST_USERS, "2015-08-30T12:41:01Z").await, @r#"403 InvalidSignatureException {"message":"Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"}"#);
    insta::assert_snapshot!(others(Service::Lambda, LIST_USERS, "2015-08-30T12:30:00Z").await, @r#"403 InvalidSignatureException {"message":"Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T123000Z + 5 min.)"}"#);
    let unknown = LIST_USERS.replace("AKIDEXAMPLE", "AKIAOTHER");
    insta::assert_snapshot!(others(Service::Lambda, &unknown, then).await, @r#"403 UnrecognizedClientException {"message":"The security token included in the request is invalid."}"#);
    insta::assert_snapshot!(others(Service::Logs, &unknown, then).await, @r#"400  {"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#);
    insta::assert_snapshot!(others(Service::Iam, &unknown, then).await, @r#"403  <ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error><RequestId>id</RequestId></ErrorResponse>"#);
    let unsigned = "GET /?Action=ListUsers\nHost: h";
    insta::assert_snapshot!(others(Service::Lambda, unsigned, then).await, @r#"403 MissingAuthenticationTokenException {"message":"Missing Authentication Token"}"#);
    insta::assert_snapshot!(others(Service::Logs, unsigned, then).await, @r#"400  {"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}"#);
    insta::assert_snapshot!(others(Service::Sts, unsigned, then).await, @r#"403  <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token</Message></Error><RequestId>id</RequestId></ErrorResponse>"#);
    let incomplete = "GET /\nHost: h\nAuthorization: AWS4-HMAC-SHA256 Credential=a";
    insta::assert_snapshot!(others(Service::Lambda, incomplete, then).await, @r#"403 IncompleteSignatureException {"message":"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256"}"#);
    let token = LIST_USERS.to_owned() + "\nX-Amz-Security-Token: made-up";
    insta::assert_snapshot!(others(Service::Iam, &token, then).await, @r#"403  <ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error><RequestId>id</RequestId></ErrorResponse>"#);
}
