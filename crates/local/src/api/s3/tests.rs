//! S3's answers to the letter, without a client in between.

use axum::{body::Body, http::Method};
use http_body_util::BodyExt as _;

use super::*;
use crate::api::tests::api;

const OWN: &str = "123456789012";
const OTHER: &str = "210987654321";

/// Sends a request of an account's, `METHOD PATH`, with headers and a body, and gives the answer:
/// status, the headers that are S3's and the body, without what differs from run to run.
async fn ask(api: &Api, account: &str, line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let mut request = http::Request::builder()
        .method(Method::from_bytes(method.as_bytes()).expect("a method"))
        .uri(path)
        .header("host", "localhost:4566")
        .header("content-length", body.len());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, body) = request.body(Body::from(body.to_owned())).expect("a request").into_parts();
    let scope = Scope {
        account: account.parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    };
    let response = answer_request(api, scope, parts, body).await;
    let mut lines = vec![response.status().as_u16().to_string()];
    for (name, value) in response.headers() {
        let kept = !["server", "date", "content-length", "last-modified"].contains(&name.as_str())
            && !["x-amz-request-id", "x-amz-id-2"].contains(&name.as_str());
        if kept {
            lines.push(format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
    }
    lines[1..].sort();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut shown = body.clone();
    for (tag, stand_in) in [
        ("RequestId", ""),
        ("HostId", ""),
        ("LastModified", "then"),
        ("CreationDate", "then"),
        ("VersionId", "id"),
        ("ID", "owner"),
    ] {
        shown = scrubbed(&shown, tag, stand_in);
    }
    lines.push(shown.replace("><", ">\n<").replace("?>\n", "?>"));
    lines.join("\n").trim().to_owned()
}

/// The text with the content of every element of that name replaced; `null` stays.
fn scrubbed(text: &str, tag: &str, stand_in: &str) -> String {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut pieces = text.split(&open);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (content, rest) = piece.split_once(&close).unwrap_or((piece, ""));
        let kept = if content == "null" { content } else { stand_in };
        shown.push_str(&format!("{open}{kept}{close}{rest}"));
    }
    shown
}

async fn check(api: &Api, line: &str) -> String {
    ask(api, OWN, line, &[], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_they_are_about() {
    let (_folder, api) = api();
    insta::assert_snapshot!(check(&api, "GET /never").await, @r#"
    404
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>NoSuchBucket</Code>
    <Message>The specified bucket does not exist</Message>
    <BucketName>never</BucketName>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    check(&api, "PUT /bucket").await;
    insta::assert_snapshot!(check(&api, "GET /bucket/a%20%3Cb%3E").await, @r#"
    404
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>NoSuchKey</Code>
    <Message>The specified key does not exist.</Message>
    <Key>a &lt;b&gt;</Key>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    insta::assert_snapshot!(check(&api, "PUT /Bucket").await, @r#"
    400
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>InvalidBucketName</Code>
    <Message>The specified bucket is not valid.</Message>
    <BucketName>Bucket</BucketName>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    insta::assert_snapshot!(check(&api, "HEAD /bucket/never").await, @r"
    404
    content-type: application/xml
    ");
    let long = format!("PUT /bucket/{}", "k".repeat(1025));
    insta::assert_snapshot!(check(&api, &long).await, @r#"
    400
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>KeyTooLongError</Code>
    <Message>Your key is too long</Message>
    <Size>1025</Size>
    <MaxSizeAllowed>1024</MaxSizeAllowed>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    insta::assert_snapshot!(ask(&api, OWN, "PUT /bucket?versioning", &[], "<no").await, @r#"
    400
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>MalformedXML</Code>
    <Message>The XML you provided was not well-formed or did not validate against our published schema</Message>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_belong_to_accounts() {
    let (_folder, api) = api();
    check(&api, "PUT /bucket").await;
    ask(&api, OWN, "PUT /bucket/k", &[], "text").await;
    insta::assert_snapshot!(ask(&api, OTHER, "PUT /bucket", &[], "").await, @r#"
    409
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>BucketAlreadyExists</Code>
    <Message>The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.</Message>
    <BucketName>bucket</BucketName>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    insta::assert_snapshot!(ask(&api, OTHER, "GET /bucket/k", &[], "").await, @r#"
    403
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>AccessDenied</Code>
    <Message>Access Denied</Message>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    for line in [
        "HEAD /bucket",
        "GET /bucket",
        "DELETE /bucket",
        "GET /bucket?acl",
        "PUT /bucket/k",
        "HEAD /bucket/k",
        "DELETE /bucket/k",
        "GET /bucket?versions",
        "GET /bucket?uploads",
        "POST /bucket/k?uploads",
        "GET /bucket/k?tagging",
        "DELETE /bucket?policy",
        "GET /bucket?location",
        "GET /bucket?versioning",
    ] {
        let answer = ask(&api, OTHER, line, &[], "").await;
        assert!(answer.starts_with("403"), "{line}: {answer}");
    }
    ask(&api, OTHER, "PUT /others", &[], "").await;
    let copied = ask(&api, OTHER, "PUT /others/k", &[("x-amz-copy-source", "bucket/k")], "").await;
    assert!(copied.starts_with("403"), "{copied}");
    insta::assert_snapshot!(ask(&api, OTHER, "GET /", &[], "").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Buckets>
    <Bucket>
    <CreationDate>then</CreationDate>
    <Name>others</Name>
    </Bucket>
    </Buckets>
    <Owner>
    <ID>owner</ID>
    </Owner>
    </ListAllMyBucketsResult>
    "#);
    assert!(check(&api, "GET /bucket/k").await.ends_with("text"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_in_xml() {
    let (_folder, api) = api();
    check(&api, "PUT /bucket").await;
    insta::assert_snapshot!(check(&api, "GET /bucket?versioning").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    </VersioningConfiguration>
    "#);
    ask(&api, OWN, "PUT /bucket/k", &[], "before").await;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    insta::assert_snapshot!(ask(&api, OWN, "PUT /bucket?versioning", &[], enabled).await, @"200");
    ask(&api, OWN, "PUT /bucket/k", &[], "after").await;
    check(&api, "DELETE /bucket/k").await;
    insta::assert_snapshot!(check(&api, "GET /bucket?versions").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <DeleteMarker>
    <IsLatest>true</IsLatest>
    <Key>k</Key>
    <LastModified>then</LastModified>
    <Owner>
    <ID>owner</ID>
    </Owner>
    <VersionId>id</VersionId>
    </DeleteMarker>
    <IsTruncated>false</IsTruncated>
    <KeyMarker>
    </KeyMarker>
    <MaxKeys>1000</MaxKeys>
    <Name>bucket</Name>
    <Prefix>
    </Prefix>
    <VersionIdMarker>
    </VersionIdMarker>
    <Version>
    <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>
    <ChecksumType>FULL_OBJECT</ChecksumType>
    <ETag>"632a2406bbcbcd553eec45ac14b40a0a"</ETag>
    <IsLatest>false</IsLatest>
    <Key>k</Key>
    <LastModified>then</LastModified>
    <Owner>
    <ID>owner</ID>
    </Owner>
    <Size>5</Size>
    <StorageClass>STANDARD</StorageClass>
    <VersionId>id</VersionId>
    </Version>
    <Version>
    <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>
    <ChecksumType>FULL_OBJECT</ChecksumType>
    <ETag>"2f44417567bc123bd7c60de8c2a2b444"</ETag>
    <IsLatest>false</IsLatest>
    <Key>k</Key>
    <LastModified>then</LastModified>
    <Owner>
    <ID>owner</ID>
    </Owner>
    <Size>6</Size>
    <StorageClass>STANDARD</StorageClass>
    <VersionId>null</VersionId>
    </Version>
    </ListVersionsResult>
    "#);
    insta::assert_snapshot!(check(&api, "DELETE /bucket").await, @r#"
    409
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>BucketNotEmpty</Code>
    <Message>The bucket you tried to delete is not empty. You must delete all versions in the bucket.</Message>
    <BucketName>bucket</BucketName>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_and_listings_in_xml() {
    let (_folder, api) = api();
    insta::assert_snapshot!(check(&api, "PUT /bucket").await, @r"
    200
    location: /bucket
    x-amz-bucket-arn: arn:aws:s3:::bucket
    ");
    let headers =
        [("x-amz-tagging", "a=1"), ("content-type", "text/x"), ("x-amz-storage-class", "STANDARD_IA")];
    insta::assert_snapshot!(ask(&api, OWN, "PUT /bucket/a/b%2Bc", &headers, "text").await, @r#"
    200
    etag: "1cb251ec0d568de6a929b520c4aed8d1"
    x-amz-checksum-crc64nvme: rCixvM1b9Xc=
    x-amz-checksum-type: FULL_OBJECT
    x-amz-server-side-encryption: AES256
    "#);
    insta::assert_snapshot!(check(&api, "GET /bucket/a/b%2Bc").await, @r#"
    200
    accept-ranges: bytes
    content-type: text/x
    etag: "1cb251ec0d568de6a929b520c4aed8d1"
    x-amz-server-side-encryption: AES256
    x-amz-storage-class: STANDARD_IA
    x-amz-tagging-count: 1
    text
    "#);
    insta::assert_snapshot!(check(&api, "GET /bucket?list-type=2&encoding-type=url").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Name>bucket</Name>
    <Prefix>
    </Prefix>
    <MaxKeys>1000</MaxKeys>
    <KeyCount>1</KeyCount>
    <IsTruncated>false</IsTruncated>
    <Contents>
    <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>
    <ChecksumType>FULL_OBJECT</ChecksumType>
    <ETag>"1cb251ec0d568de6a929b520c4aed8d1"</ETag>
    <Key>a/b%2Bc</Key>
    <LastModified>then</LastModified>
    <Size>4</Size>
    <StorageClass>STANDARD_IA</StorageClass>
    </Contents>
    <EncodingType>url</EncodingType>
    </ListBucketResult>
    "#);
    insta::assert_snapshot!(check(&api, "GET /bucket?delimiter=/").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Name>bucket</Name>
    <Prefix>
    </Prefix>
    <Marker>
    </Marker>
    <MaxKeys>1000</MaxKeys>
    <IsTruncated>false</IsTruncated>
    <CommonPrefixes>
    <Prefix>a/</Prefix>
    </CommonPrefixes>
    <Delimiter>/</Delimiter>
    </ListBucketResult>
    "#);
    insta::assert_snapshot!(check(&api, "GET /bucket/a/b%2Bc?attributes").await, @r#"
    400
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>InvalidRequest</Code>
    <Message>missing header: x-amz-object-attributes</Message>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    let attributes = [("x-amz-object-attributes", "ETag,ObjectSize")];
    insta::assert_snapshot!(ask(&api, OWN, "GET /bucket/a/b%2Bc?attributes", &attributes, "").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><GetObjectAttributesResponse xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <ETag>1cb251ec0d568de6a929b520c4aed8d1</ETag>
    <ObjectSize>4</ObjectSize>
    </GetObjectAttributesResponse>
    "#);
    insta::assert_snapshot!(check(&api, "GET /bucket?acl").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <AccessControlList>
    <Grant>
    <Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">
    <ID>owner</ID>
    </Grantee>
    <Permission>FULL_CONTROL</Permission>
    </Grant>
    </AccessControlList>
    <Owner>
    <ID>owner</ID>
    </Owner>
    </AccessControlPolicy>
    "#);
    insta::assert_snapshot!(check(&api, "GET /bucket?location").await, @r#"
    200
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    </LocationConstraint>
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_says_so() {
    let (_folder, api) = api();
    check(&api, "PUT /bucket").await;
    insta::assert_snapshot!(check(&api, "GET /bucket?abac").await, @r#"
    501
    content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?><Error>
    <Code>NotImplemented</Code>
    <Message>The local cloud does not implement attribute-based access control of buckets yet</Message>
    <RequestId>
    </RequestId>
    <HostId>
    </HostId>
    </Error>
    "#);
    for line in [
        "GET /bucket/k?torrent",
        "PUT /bucket/k?renameObject",
        "GET /bucket?metadataConfiguration",
        "POST /bucket/k?restore",
        "GET /bucket?session",
    ] {
        let answer = check(&api, line).await;
        assert!(answer.starts_with("501") && answer.contains("implement"), "{line}: {answer}");
    }
    let locked = ask(&api, OWN, "PUT /locked", &[("x-amz-bucket-object-lock-enabled", "true")], "").await;
    assert!(locked.contains("does not implement object lock yet"), "{locked}");
}
