"""Scenarios for signatures and accounts. Usage: credentials_suite.py ENDPOINT SCENARIO.

The cloud knows two keys: AKIAONE of account 111111111111 (its root) and AKIATWO of account
222222222222 (its user ann). A failed assertion fails the test.
"""

import datetime
import hashlib
import hmac
import io
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
import base64

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ONE = ("AKIAONE", "secret/one+1", None)
TWO = ("AKIATWO", "secret/two", None)
SERVICES = ["lambda", "s3", "iam", "sts", "logs"]
CALLS = {"lambda": "list_functions", "s3": "list_buckets", "iam": "list_roles", "sts": "get_caller_identity", "logs": "describe_log_groups"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"}]})


def client(service, key=ONE, region="us-east-1", **config):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=region,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        aws_session_token=key[2],
        config=Config(retries={"max_attempts": 0}, parameter_validation=False, **config),
    )


def refused(code, status, message, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        got = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"])
        matches = message(got[2]) if callable(message) else got[2] == message
        assert got[:2] == (code, status) and matches, f"{got} is not {(code, status, message)}"
        return answer
    raise AssertionError(f"not refused with {code}")


def zipped(size=10):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("app.py", "def handler(event, context): return 1\n")
        archive.writestr("filling", bytes(size))
    return buffer.getvalue()


def ask(method, path, headers=None, body=b""):
    """Status, code header and body of a plain request."""
    request = urllib.request.Request(ENDPOINT + path, data=body if body or method in ("PUT", "POST") else None, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers.get("x-amzn-errortype"), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("x-amzn-errortype"), error.read()


def every_service_takes_its_own_keys():
    for service in SERVICES:
        for key in (ONE, TWO):
            getattr(client(service, key), CALLS[service])()
    one, two = client("sts").get_caller_identity(), client("sts", TWO).get_caller_identity()
    assert (one["Account"], one["Arn"], one["UserId"]) == ("111111111111", "arn:aws:iam::111111111111:root", "111111111111")
    assert (two["Account"], two["Arn"]) == ("222222222222", "arn:aws:iam::222222222222:user/ann") and two["UserId"].startswith("AIDA")
    # Paths, queries and headers of every kind.
    lam = client("lambda")
    lam.publish_layer_version(LayerName="a-layer", Description="ü + %", Content={"ZipFile": zipped()})
    assert lam.list_layer_versions(LayerName="arn:aws:lambda:us-east-1:111111111111:layer:a-layer", CompatibleRuntime="python3.12")["LayerVersions"] == []
    assert lam.get_layer_version_by_arn(Arn="arn:aws:lambda:us-east-1:111111111111:layer:a-layer:1")["Description"] == "ü + %"
    s3 = client("s3")
    s3.create_bucket(Bucket="bucket")
    for key in ("a/../b", "ü + %20&=?#", "//x//", "dots/./.", "'()*!~"):
        s3.put_object(Bucket="bucket", Key=key, Body=key.encode(), Metadata={"m": "a   b"})
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == key.encode()
    assert len(s3.list_objects_v2(Bucket="bucket", Prefix="", Delimiter="|", StartAfter=" ")["Contents"]) == 5
    iam = client("iam")
    iam.create_role(RoleName="r", Path="/a/b/", AssumeRolePolicyDocument=TRUST, Description="ü & < +")
    assert iam.get_role(RoleName="r")["Role"]["Description"] == "ü & < +"


def nobody_else_gets_in():
    stranger = ("AKIASTRANGER", "secret/one+1", None)
    invalid = "The security token included in the request is invalid."
    refused("UnrecognizedClientException", 403, invalid, client("lambda", stranger).list_functions)
    refused("UnrecognizedClientException", 400, invalid, client("logs", stranger).describe_log_groups)
    refused("InvalidClientTokenId", 403, invalid, client("iam", stranger).list_roles)
    refused("InvalidClientTokenId", 403, invalid, client("sts", stranger).get_caller_identity)
    answer = refused("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.", client("s3", stranger).list_buckets)
    assert answer["Error"]["AWSAccessKeyId"] == "AKIASTRANGER"
    # Twelve digits are an account only where signatures do not matter.
    refused("UnrecognizedClientException", 403, invalid, client("lambda", ("111111111111", "x", None)).list_functions)
    # A token that is nobody's.
    refused("UnrecognizedClientException", 403, invalid, client("lambda", (*ONE[:2], "token")).list_functions)
    refused("InvalidToken", 400, "The provided token is malformed or otherwise invalid.", client("s3", (*ONE[:2], "token")).list_buckets)
    # Without any signature.
    status, code, body = ask("GET", "/2015-03-31/functions")
    assert (status, code, json.loads(body)) == (403, "MissingAuthenticationTokenException", {"message": "Missing Authentication Token"})
    status, _, body = ask("GET", "/")
    assert status == 403 and b"<Code>AccessDenied</Code><Message>Access Denied</Message>" in body
    for method in ("PUT", "DELETE", "POST", "HEAD"):
        assert ask(method, "/bucket/key?uploads")[0] == 403, method
    status, _, body = ask("POST", "/", {"content-type": "application/x-www-form-urlencoded"}, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert status == 403 and b"<Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token</Message>" in body
    status, _, body = ask("POST", "/", {"x-amz-target": "Logs_20140328.DescribeLogGroups"}, b"{}")
    assert status == 400 and json.loads(body) == {"__type": "MissingAuthenticationTokenException", "message": "Missing Authentication Token"}
    status, _, body = ask("GET", "/", {"authorization": "AWS AKIAONE:abc="})
    assert status == 400 and b"Please use AWS4-HMAC-SHA256." in body
    # A browser's form upload carries its signature in the form, and is not built.
    form = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--x--\r\n'
    assert ask("POST", "/bucket", {"content-type": "multipart/form-data; boundary=x"}, form)[0] == 403
    # Health says little, and asks for nothing.
    status, _, body = ask("GET", "/_layercake/health")
    assert status == 200 and json.loads(body)["signatures"] is True


def wrong_signatures():
    liar = ("AKIAONE", "another", None)
    text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    refused("InvalidSignatureException", 403, text, client("lambda", liar).list_functions)
    refused("InvalidSignatureException", 400, text, client("logs", liar).describe_log_groups)
    refused("SignatureDoesNotMatch", 403, text, client("iam", liar).list_roles)
    refused("SignatureDoesNotMatch", 403, text, client("sts", liar).get_caller_identity)
    answer = refused("SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method.", client("s3", liar).list_buckets)
    assert answer["Error"]["StringToSign"].startswith("AWS4-HMAC-SHA256\n") and answer["Error"]["CanonicalRequest"].startswith("GET\n/\n")
    # Whatever is changed on the way.
    def tampered(service, change):
        its = client(service)
        its.meta.events.register("before-send.*.*", lambda request, **_: change(request))
        return its

    def body(request):
        data = request.body.read() if hasattr(request.body, "read") else request.body
        request.body = (data if isinstance(data, bytes) else data.encode()).replace(b"good", b"evil")

    def target(request):
        request.headers["X-Amz-Target"] = "Logs_20140328.DeleteLogGroup"

    def extra(request):
        request.headers["x-amz-acl"] = "public-read"

    def path(request):
        request.url = request.url.replace("good", "evil")

    refused("InvalidSignatureException", 400, text, tampered("logs", body).create_log_group, logGroupName="good")
    refused("InvalidSignatureException", 400, text, tampered("logs", target).create_log_group, logGroupName="good")
    refused("InvalidSignatureException", 403, text, tampered("lambda", body).publish_layer_version, LayerName="l", Description="good", Content={"ZipFile": b""})
    refused("InvalidSignatureException", 403, text, tampered("lambda", path).get_function, FunctionName="good")
    client("s3").create_bucket(Bucket="good")
    refused("SignatureDoesNotMatch", 403, lambda text: True, tampered("s3", path).list_objects_v2, Bucket="good")
    answer = refused("AccessDenied", 403, "There were headers present in the request which were not signed", tampered("s3", extra).put_object, Bucket="good", Key="k")
    assert answer["Error"]["HeadersNotSigned"] == "x-amz-acl"
    # A body that is another than its signed hash is not stored.
    plain = dict(request_checksum_calculation="when_required", s3={"payload_signing_enabled": True})
    s3 = client("s3", **plain)
    s3.put_object(Bucket="good", Key="k", Body=b"good")
    s3.meta.events.register("before-send.*.*", lambda request, **_: body(request) if request.method == "PUT" else None)
    refused("XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed.", s3.put_object, Bucket="good", Key="k", Body=b"so good")
    assert client("s3").get_object(Bucket="good", Key="k")["Body"].read() == b"good"


def signed(method, path, service, at, body=b"", headers=None, key=ONE):
    """Headers of a request that was signed at another time."""
    request = AWSRequest(method=method, url=ENDPOINT + path, data=body, headers=headers or {})
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(*key), service, "us-east-1")
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    if service == "s3":
        request.headers["X-Amz-Content-SHA256"] = signer.payload(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    return dict(request.headers.items())


def wrong_times():
    now = datetime.datetime.now(datetime.timezone.utc)
    ago = lambda **duration: now - datetime.timedelta(**duration)
    assert ask("GET", "/2015-03-31/functions", signed("GET", "/2015-03-31/functions", "lambda", ago(minutes=4)))[0] == 200
    status, code, body = ask("GET", "/2015-03-31/functions", signed("GET", "/2015-03-31/functions", "lambda", ago(minutes=6)))
    message = json.loads(body)["message"]
    assert (status, code) == (403, "InvalidSignatureException") and message.startswith("Signature expired: ") and message.endswith(" - 5 min.)"), message
    status, code, body = ask("GET", "/2015-03-31/functions", signed("GET", "/2015-03-31/functions", "lambda", ago(minutes=-6)))
    assert json.loads(body)["message"].startswith("Signature not yet current: ")
    assert ask("GET", "/", signed("GET", "/", "s3", ago(minutes=14)))[0] == 200
    status, _, body = ask("GET", "/", signed("GET", "/", "s3", ago(minutes=16)))
    assert status == 403 and b"<Code>RequestTimeTooSkewed</Code>" in body and b"<MaxAllowedSkewMilliseconds>900000<" in body
    form = {"content-type": "application/x-www-form-urlencoded"}
    action = b"Action=GetCallerIdentity&Version=2011-06-15"
    assert ask("POST", "/", signed("POST", "/", "sts", ago(minutes=14), action, form), action)[0] == 200
    status, _, body = ask("POST", "/", signed("POST", "/", "sts", ago(minutes=16), action, form), action)
    assert status == 403 and b"<Code>SignatureDoesNotMatch</Code><Message>Signature expired: " in body and b" - 15 min.)" in body


def presigned_links():
    s3 = client("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a ü+/k", Body=b"text")
    get = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a ü+/k", "ResponseContentType": "text/x"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"text" and answer.headers["content-type"] == "text/x"
    path = get.removeprefix(ENDPOINT)
    assert ask("GET", path.replace("text%2Fx", "text%2Fy"))[0] == 403
    assert ask("DELETE", path)[0] == 403
    assert b"AuthorizationQueryParametersError" in ask("GET", path.replace("X-Amz-Expires=60", "X-Amz-Expires=604801"))[2]
    put = s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "new"}, ExpiresIn=60).removeprefix(ENDPOINT)
    assert ask("PUT", put, {}, b"body")[0] == 200
    assert s3.get_object(Bucket="bucket", Key="new")["Body"].read() == b"body"
    # One that is over: signed two minutes ago for one.
    request = AWSRequest(method="GET", url=ENDPOINT + "/bucket/new")
    from botocore.auth import S3SigV4QueryAuth
    signer = S3SigV4QueryAuth(Credentials(*ONE), "s3", "us-east-1", expires=60)
    stamp = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=2)).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signer._inject_signature_to_request(request, signer.signature(signer.string_to_sign(request, canonical), request))
    status, _, body = ask("GET", request.url.removeprefix(ENDPOINT))
    assert status == 403 and b"<Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>60<" in body, body
    # Other services' links too.
    who = client("sts").generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    with urllib.request.urlopen(who) as answer:
        assert b"arn:aws:iam::111111111111:root" in answer.read()


def chunks(method, path, pieces, trailer=None, break_piece=None, break_trailer=False):
    """A request whose pieces are signed one by one, and its body."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    key = ("AWS4" + ONE[1]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    how = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {
        "host": urllib.parse.urlsplit(ENDPOINT).netloc,
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": how,
        "x-amz-date": stamp,
        "x-amz-decoded-content-length": str(sum(map(len, pieces))),
    }
    if trailer:
        headers["x-amz-trailer"] = trailer[0]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{how}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={ONE[0]}/{scope}, SignedHeaders={names}, Signature={previous}"
    body = b""
    empty = hashlib.sha256(b"").hexdigest()
    for number, piece in enumerate([*pieces, b""]):
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{previous}\n{empty}\n{hashlib.sha256(piece).hexdigest()}"
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        sent = piece.replace(b"a", b"b") if number == break_piece else piece
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + sent + (b"\r\n" if piece else b"")
    if trailer:
        line = f"{trailer[0]}:{trailer[1]}\n"
        text = f"AWS4-HMAC-SHA256-TRAILER\n{stamp}\n{scope}\n{previous}\n{hashlib.sha256(line.encode()).hexdigest()}"
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        value = "AAAAAA==" if break_trailer else trailer[1]
        body += f"{trailer[0]}:{value}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    return ask(method, path, headers, body + b"\r\n")


def chunked_uploads():
    s3 = client("s3")
    s3.create_bucket(Bucket="bucket")
    pieces = [b"a" * 65536, b"a" * 65536, b"a" * 100]
    content = lambda key: s3.get_object(Bucket="bucket", Key=key)
    assert chunks("PUT", "/bucket/plain", pieces)[0] == 200
    assert content("plain")["Body"].read() == b"".join(pieces)
    assert "ContentEncoding" not in content("plain") or content("plain")["ContentEncoding"] == ""
    checksum = base64.b64encode(zlib.crc32(b"".join(pieces)).to_bytes(4, "big")).decode()
    status, _, body = chunks("PUT", "/bucket/trailer", pieces, ("x-amz-checksum-crc32", checksum))
    assert status == 200, body
    assert content("trailer")["Body"].read() == b"".join(pieces)
    for number in range(3):
        status, _, body = chunks("PUT", "/bucket/broken", pieces, break_piece=number)
        assert status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in body, body
    status, _, body = chunks("PUT", "/bucket/broken", pieces, ("x-amz-checksum-crc32", checksum), break_trailer=True)
    assert status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in body, body
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.get_object, Bucket="bucket", Key="broken")
    # What boto3 does by itself: unsigned pieces with a checksum behind them, and multipart uploads.
    s3.put_object(Bucket="bucket", Key="boto", Body=io.BytesIO(b"x" * 100_000), ChecksumAlgorithm="SHA256")
    assert len(content("boto")["Body"].read()) == 100_000
    s3.upload_fileobj(io.BytesIO(bytes(20 << 20)), "bucket", "large")
    assert s3.head_object(Bucket="bucket", Key="large")["ContentLength"] == 20 << 20


def large_requests():
    # More than is kept in memory while the signature is verified.
    lam = client("lambda")
    made = lam.publish_layer_version(LayerName="l", Content={"ZipFile": zipped(20 << 20)})
    assert made["Content"]["CodeSize"] > 20 << 20
    refused("InvalidSignatureException", 403, lambda text: True, client("lambda", ("AKIAONE", "wrong", None)).publish_layer_version, LayerName="l", Content={"ZipFile": zipped(20 << 20)})
    assert len(lam.list_layer_versions(LayerName="l")["LayerVersions"]) == 1


def accounts_are_kept_apart():
    for service, make, read in [
        ("lambda", lambda c: c.publish_layer_version(LayerName="l", Content={"ZipFile": zipped()}), lambda c: c.list_layers()["Layers"]),
        ("logs", lambda c: c.create_log_group(logGroupName="g"), lambda c: c.describe_log_groups()["logGroups"]),
        ("iam", lambda c: c.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST), lambda c: c.list_roles()["Roles"]),
    ]:
        one, two, west = client(service), client(service, TWO), client(service, ONE, "eu-west-1")
        make(one)
        assert len(read(one)) == 1 and read(two) == [], service
        make(two)
        assert len(read(two)) == 1 and str(read(two)) != str(read(one)), service
        assert len(read(west)) == (1 if service == "iam" else 0), service
    s3, other = client("s3"), client("s3", TWO)
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket="mine", Key="k", Body=b"x")
    other.create_bucket(Bucket="theirs")
    refused("BucketAlreadyExists", 409, lambda text: text.startswith("The requested bucket name is not available."), other.create_bucket, Bucket="mine")
    for call, arguments in [
        (other.get_object, {"Bucket": "mine", "Key": "k"}),
        (other.put_object, {"Bucket": "mine", "Key": "k", "Body": b"y"}),
        (other.delete_bucket, {"Bucket": "mine"}),
        (other.list_objects_v2, {"Bucket": "mine"}),
        (other.put_bucket_versioning, {"Bucket": "mine", "VersioningConfiguration": {"Status": "Enabled"}}),
        (other.copy_object, {"Bucket": "theirs", "Key": "k", "CopySource": "mine/k"}),
    ]:
        refused("AccessDenied", 403, "Access Denied", call, **arguments)
    refused("403", 403, "Forbidden", other.head_bucket, Bucket="mine")
    assert [bucket["Name"] for bucket in other.list_buckets()["Buckets"]] == ["theirs"]
    assert s3.get_object(Bucket="mine", Key="k")["Body"].read() == b"x"


def temporary_credentials():
    iam, sts = client("iam"), client("sts")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]
    made = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me@home", DurationSeconds=900)
    given = made["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA") and made["AssumedRoleUser"] == {"AssumedRoleId": role["RoleId"] + ":me@home", "Arn": "arn:aws:sts::111111111111:assumed-role/r/me@home"}
    left = given["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 880 < left.total_seconds() <= 900, left
    key = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    who = client("sts", key).get_caller_identity()
    assert (who["Arn"], who["UserId"]) == (made["AssumedRoleUser"]["Arn"], role["RoleId"] + ":me@home")
    for service in SERVICES:
        getattr(client(service, key), CALLS[service])()
    s3 = client("s3", key, signature_version="s3v4")
    s3.create_bucket(Bucket="bucket")
    link = s3.generate_presigned_url("list_objects_v2", {"Bucket": "bucket"}, ExpiresIn=60)
    assert urllib.request.urlopen(link).status == 200
    # The token is part of the key.
    invalid = "The security token included in the request is invalid."
    refused("UnrecognizedClientException", 403, invalid, client("lambda", (*key[:2], None)).list_functions)
    refused("UnrecognizedClientException", 403, invalid, client("lambda", (*key[:2], "x" + key[2][1:])).list_functions)
    # Only those that the trust policy names.
    refused("AccessDenied", 403, f"User: arn:aws:iam::222222222222:user/ann is not authorized to perform: sts:AssumeRole on resource: {role['Arn']}", client("sts", TWO).assume_role, RoleArn=role["Arn"], RoleSessionName="ann")
    session = client("sts", TWO).get_session_token()["Credentials"]
    key = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    assert client("sts", key).get_caller_identity()["Arn"] == "arn:aws:iam::222222222222:user/ann"
    assert client("sts").get_access_key_info(AccessKeyId="AKIATWO")["Account"] == "222222222222"


def locations():
    lam = client("lambda")
    data = zipped()
    made = lam.publish_layer_version(LayerName="l", Content={"ZipFile": data})["Content"]
    with urllib.request.urlopen(made["Location"]) as answer:
        assert answer.read() == data
    path = made["Location"].removeprefix(ENDPOINT)
    plain, query = path.split("?")
    denied = lambda path: (lambda answer: answer[0] == 403 and b"<Code>AccessDenied</Code>" in answer[2])(ask("GET", path))
    assert denied(plain) and denied(plain + "?expires=9999999999&seal=00") and denied(path[:-1] + ("0" if path[-1] != "0" else "1"))
    expires = urllib.parse.parse_qs(query)["expires"][0]
    assert denied(path.replace(expires, str(int(expires) + 1)))
    assert 590 < int(expires) - datetime.datetime.now().timestamp() <= 600
    other = "/_layercake/blobs/" + "0" * 64 + "?" + query
    assert denied(other)


globals()[sys.argv[2]]()
