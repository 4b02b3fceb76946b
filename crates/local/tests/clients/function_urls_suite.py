"""Scenarios with boto3 and plain HTTP. Usage: function_urls_suite.py ENDPOINT SCENARIO.

Function URLs are called as a browser or curl calls them, only that names below `localhost` are not
left to this machine's resolver.
"""

import base64
import http.client
import io
import json
import socket
import sys
import threading
import zipfile
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
PORT = urlsplit(ENDPOINT).port
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)

ECHO = """
def handler(event, context):
    if event.get('rawPath') == '/raise':
        raise ValueError('no')
    if event.get('rawPath') == '/answer':
        import json
        return json.loads(event['body'])
    return {'event': event, 'arn': context.invoked_function_arn, 'request': context.aws_request_id}
"""

# The module takes over from the runtime client that imports it, and streams as a custom runtime
# does.
STREAMS = r"""
import http.client, json, os, socket
PATH = '/2018-06-01/runtime/invocation/'

def connection():
    return http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])

def stream(request_id, event):
    answer = connection()
    answer.putrequest('POST', PATH + request_id + '/response')
    how = event.get('rawPath') or event['how']
    prelude = 'prelude' in how
    answer.putheader('Content-Type', 'application/vnd.awslambda.http-integration-response' if prelude else 'text/x-pieces')
    answer.putheader('Lambda-Runtime-Function-Response-Mode', 'streaming')
    answer.putheader('Transfer-Encoding', 'chunked')
    answer.endheaders()
    def piece(data):
        answer.send(b'%x\r\n' % len(data) + data + b'\r\n')
    if prelude:
        head = json.dumps({'statusCode': 201, 'headers': {'X-Mine': 'yes'}, 'cookies': ['a=1', 'b=2']}).encode()
        # In pieces of its own, with the delimiter apart.
        piece(head[:10]); piece(head[10:] + bytes(3)); piece(bytes(5) + b'one')
    else:
        piece(b'one')
    wait = event.get('wait') or (event.get('queryStringParameters') or {}).get('wait')
    if wait:
        socket.create_connection(('127.0.0.1', int(wait))).recv(1)
    piece(b'two')
    trailers = b''
    if 'fail' in how:
        trailers = b'Lambda-Runtime-Function-Error-Type: Runtime.Midway\r\n'
    if 'exit' in how:
        os._exit(3)
    answer.send(b'0\r\n' + trailers + b'\r\n')
    answer.getresponse().read()

while True:
    asking = connection()
    asking.request('GET', PATH + 'next')
    given = asking.getresponse()
    body = given.read()
    if given.status == 200:
        stream(given.getheader('Lambda-Runtime-Aws-Request-Id'), json.loads(body))
"""


def client(**more):
    config = Config(retries={"max_attempts": 0}, read_timeout=120)
    return boto3.client("lambda", endpoint_url=ENDPOINT, region_name="us-east-1", config=config, **more)


def archive(code):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        files.writestr("app.py", code)
    return buffer.getvalue()


def function(lam, code, name="f"):
    lam.create_function(
        FunctionName=name, Runtime="python3.12", Handler="app.handler", Timeout=60, Publish=True,
        Role="arn:aws:iam::123456789012:role/made-up", Code={"ZipFile": archive(code)},
    )
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})


def url(lam, auth="NONE", **more):
    return lam.create_function_url_config(FunctionName="f", AuthType=auth, **more)["FunctionUrl"]


def permit(lam, **more):
    """Everybody may call the URL, as it takes since October 2025."""
    lam.add_permission(
        FunctionName="f", StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*",
        FunctionUrlAuthType="NONE", **more,
    )
    lam.add_permission(
        FunctionName="f", StatementId="function", Action="lambda:InvokeFunction", Principal="*",
        InvokedViaFunctionUrl=True, **more,
    )


def start(address, path="/", method="GET", body=None, headers=None):
    """Sends a request to a function URL; the answer's body is still to be read."""
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    connection.request(method, path, body=body, headers={"Host": host} | (headers or {}))
    return connection.getresponse()


def call(*arguments, **more):
    """The status, headers and body of an answer."""
    answer = start(*arguments, **more)
    return answer.status, answer.headers, answer.read()


def refused(code, status, operation, **arguments):
    try:
        operation(**arguments)
    except ClientError as error:
        found = error.response
        assert found["Error"]["Code"] == code, found
        assert found["ResponseMetadata"]["HTTPStatusCode"] == status, found
        return found
    raise AssertionError(f"{operation} was not refused")


def events_and_answers():
    lam = client()
    function(lam, ECHO)
    address = url(lam)
    assert urlsplit(address).netloc.endswith(f".lambda-url.us-east-1.localhost:{PORT}"), address

    status, headers, body = call(address)
    assert (status, json.loads(body)) == (403, {"Message": FORBIDDEN}), body
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"
    lam.add_permission(
        FunctionName="f", StatementId="only", Action="lambda:InvokeFunctionUrl", Principal="*",
        FunctionUrlAuthType="NONE",
    )
    assert call(address)[0] == 403, "one permission is not enough"
    lam.remove_permission(FunctionName="f", StatementId="only")
    permit(lam)

    status, headers, body = call(address, "/a/b%20c?x=1&x=2&y=", headers={"Cookie": "a=1; b=2", "X-Mine": "v"})
    assert status == 200 and headers["Content-Type"] == "application/json", (status, body)
    answer = json.loads(body)
    event, context = answer["event"], answer["event"]["requestContext"]
    assert headers["x-amzn-RequestId"] == context["requestId"] == answer["request"]
    assert headers["X-Amzn-Trace-Id"] == event["headers"]["x-amzn-trace-id"]
    assert (event["version"], event["routeKey"]) == ("2.0", "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b%20c", "x=1&x=2&y=")
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["a=1", "b=2"] and event["headers"]["x-mine"] == "v"
    assert "body" not in event and event["isBase64Encoded"] is False
    identifier = urlsplit(address).netloc.split(".")[0]
    assert (context["accountId"], context["apiId"]) == ("anonymous", identifier)
    assert context["domainName"] == urlsplit(address).hostname
    assert context["http"]["method"] == "GET" and context["http"]["sourceIp"] == "127.0.0.1"
    assert "authorizer" not in context
    assert answer["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:f"

    def sent(body, content_type):
        event = json.loads(call(address, "/", "POST", body, {"Content-Type": content_type})[2])["event"]
        return event["body"], event["isBase64Encoded"]

    assert sent("text", "text/plain") == ("text", False)
    assert sent(b"\x00\xff", "application/octet-stream") == (base64.b64encode(b"\x00\xff").decode(), True)
    assert sent("a=b", "application/x-www-form-urlencoded") == (base64.b64encode(b"a=b").decode(), True)

    def answered(response):
        return call(address, "/answer", "POST", json.dumps(response), {"Content-Type": "application/json"})

    status, headers, body = answered({
        "statusCode": 418, "headers": {"Content-Type": "text/plain", "X-Pot": "tea"},
        "cookies": ["a=1; Secure", "b=2"], "body": base64.b64encode(b"short").decode(), "isBase64Encoded": True,
    })
    assert (status, headers["X-Pot"], body) == (418, "tea", b"short")
    assert headers.get_all("Set-Cookie") == ["a=1; Secure", "b=2"]
    assert answered("hello")[2] == b"hello"
    assert answered({"statusCode": 200, "body": "head"})[0] == 200
    status, headers, body = call(address, "/", "HEAD")
    assert (status, body) == (200, b"")
    status, headers, body = answered({"statusCode": "?"})
    assert (status, body) == (502, b"Internal Server Error"), (status, body)
    status, _, body = call(address, "/raise")
    assert (status, body) == (502, b"Internal Server Error"), (status, body)

    status, _, body = call(address, "/", "POST", b"x" * 6291457, {"Content-Type": "text/plain"})
    assert status == 413 and b"6291457 byte payload is too large" in body, (status, body)
    nobody = address.replace(identifier, "0123456789abcdefghijklmnopqrstuv")
    status, headers, body = call(nobody)
    assert (status, body) == (403, b'{"Message":null}'), (status, body)
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"

    lam.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    status, headers, body = call(address)
    assert (status, headers["x-amzn-ErrorType"]) == (429, "TooManyRequestsException"), (status, body)
    lam.delete_function_concurrency(FunctionName="f")
    lam.delete_function_url_config(FunctionName="f")
    assert call(address)[2] == b'{"Message":null}'


def aliases():
    lam = client()
    function(lam, "def handler(event, context):\n    return [1, context.invoked_function_arn]\n")
    lam.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    latest, live = url(lam), url(lam, Qualifier="live")
    permit(lam)
    assert call(live)[0] == 403, "an alias has a policy of its own"
    permit(lam, Qualifier="live")
    new = "def handler(event, context):\n    return [2, context.invoked_function_arn]\n"
    lam.update_function_code(FunctionName="f", ZipFile=archive(new))
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert json.loads(call(latest)[2]) == [2, arn]
    assert json.loads(call(live)[2]) == [1, f"{arn}:live"]


def cross_origin():
    lam = client()
    function(lam, "def handler(event, context):\n    return {'statusCode': 200, 'headers': {'X-Ran': '1'}}\n")
    address = url(lam)
    permit(lam)
    page = {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    asks = page | {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "date"}
    status, headers, _ = call(address, "/", "OPTIONS", headers=asks)
    assert status == 200 and headers["X-Ran"] == "1", "without settings, the function answers"
    assert "Access-Control-Allow-Origin" not in headers

    lam.update_function_url_config(FunctionName="f", Cors={
        "AllowOrigins": ["https://page.example", "https://other.example"], "AllowMethods": ["GET", "PUT"],
        "AllowHeaders": ["date", "x-mine"], "ExposeHeaders": ["x-ran"], "AllowCredentials": True, "MaxAge": 7,
    })
    status, headers, body = call(address, "/", "OPTIONS", headers=asks)
    assert (status, body) == (200, b"") and "X-Ran" not in headers, "the function is not asked"
    assert headers["Access-Control-Allow-Origin"] == "https://page.example"
    assert headers["Access-Control-Allow-Methods"] == "GET,PUT"
    assert headers["Access-Control-Allow-Headers"] == "date,x-mine"
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Access-Control-Max-Age"] == "7"
    status, headers, _ = call(address, headers=page)
    assert status == 200 and headers["X-Ran"] == "1"
    assert headers["Access-Control-Allow-Origin"] == "https://page.example"
    assert headers["Access-Control-Expose-Headers"] == "x-ran" and headers["Vary"] == "Origin"
    status, headers, _ = call(address, headers=page | {"Origin": "https://stranger.example"})
    assert status == 200 and "Access-Control-Allow-Origin" not in headers

    # What is open to pages here is the function URL, and nothing else.
    assert call(ENDPOINT, "/2015-03-31/functions", headers=page)[0] == 403


def signal():
    """A port where the function waits, and what lets it go on."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(120)

    def go_on():
        waiting, _ = listener.accept()
        waiting.sendall(b"x")
        waiting.close()

    return listener.getsockname()[1], go_on


def response_streams():
    lam = client()
    function(lam, STREAMS)

    def stream(event, **more):
        answer = lam.invoke_with_response_stream(FunctionName="f", Payload=json.dumps(event), **more)
        return answer, iter(answer["EventStream"])

    port, go_on = signal()
    answer, events = stream({"how": "", "wait": port}, LogType="Tail")
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST"), answer
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert next(events) == {"PayloadChunk": {"Payload": b"one"}}, "it is there before the next is made"
    go_on()
    assert next(events) == {"PayloadChunk": {"Payload": b"two"}}
    complete = next(events)["InvokeComplete"]
    assert set(complete) == {"LogResult"}, complete
    assert b"REPORT RequestId" in base64.b64decode(complete["LogResult"])
    assert list(events) == []

    answer, events = stream({"how": ""}, Qualifier="1")
    assert answer["ExecutedVersion"] == "1"
    *chunks, last = events
    assert b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks) == b"onetwo"
    assert last == {"InvokeComplete": {}}, last
    *chunks, last = stream({"how": "fail"})[1]
    assert b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks) == b"onetwo"
    assert last == {"InvokeComplete": {"ErrorCode": "Unhandled", "ErrorDetails": '{"errorType":"Runtime.Midway"}'}}
    *_, last = stream({"how": "exit"})[1]
    assert last["InvokeComplete"]["ErrorCode"] == "Unhandled"
    assert "Runtime exited with error: exit status 3" in last["InvokeComplete"]["ErrorDetails"], last
    # A caller that wants its answer in one piece gets it so.
    whole = lam.invoke(FunctionName="f", Payload='{"how": ""}', LogType="Tail")
    assert whole["Payload"].read() == b"onetwo"
    headers = whole["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-executed-version"] == "$LATEST" and headers["x-amzn-remapped-content-length"] == "0"
    assert headers["content-type"] == "application/json" and headers["x-amzn-trace-id"].startswith("Root=1-")
    assert headers["x-amzn-requestid"].encode() in base64.b64decode(headers["x-amz-log-result"])
    failed = lam.invoke(FunctionName="f", Payload='{"how": "fail"}')
    assert failed["FunctionError"] == "Unhandled" and json.loads(failed["Payload"].read()) == {"errorType": "Runtime.Midway"}
    assert "x-amz-log-result" not in failed["ResponseMetadata"]["HTTPHeaders"]

    dry = lam.invoke_with_response_stream(FunctionName="f", InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    refused("ResourceNotFoundException", 404, lam.invoke_with_response_stream, FunctionName="none")
    refused("InvalidRequestContentException", 400, lam.invoke_with_response_stream, FunctionName="f", Payload="{")
    lam.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    refused("TooManyRequestsException", 429, lam.invoke_with_response_stream, FunctionName="f")
    lam.delete_function_concurrency(FunctionName="f")

    lam.update_function_code(FunctionName="f", ZipFile=archive("def handler(e, c):\n    return e['how']\n"))
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})
    assert list(stream({"how": "whole"})[1]) == [
        {"PayloadChunk": {"Payload": b'"whole"'}}, {"InvokeComplete": {}},
    ]
    chunk, last = stream({})[1]
    assert json.loads(chunk["PayloadChunk"]["Payload"])["errorType"] == "KeyError"
    assert last["InvokeComplete"]["ErrorCode"] == "Unhandled"


def streaming_urls():
    lam = client()
    function(lam, STREAMS)
    address = url(lam, InvokeMode="RESPONSE_STREAM")
    permit(lam)
    port, go_on = signal()
    answer = start(address, f"/prelude?wait={port}")
    assert (answer.status, answer.headers["X-Mine"]) == (201, "yes")
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.read1(3) == b"one", "it is there before the next is made"
    go_on()
    assert answer.read() == b"two"
    status, headers, body = call(address, "/plain")
    assert (status, headers["Content-Type"], body) == (200, "text/x-pieces", b"onetwo")
    for path in ["/fail", "/exit", "/prelude-exit"]:
        answer = start(address, f"{path}?wait={port}")
        assert answer.read1(3) == b"one"
        go_on()
        try:
            raise AssertionError(f"{path} gave {answer.read()}")
        except (http.client.IncompleteRead, ConnectionResetError):
            pass
    # A client that goes away leaves a function that answers the next one.
    start(address, f"/plain?wait={port}").close()
    threading.Thread(target=go_on, daemon=True).start()
    assert call(address, "/plain")[2] == b"onetwo"

    # Buffered, the same function's stream is no answer that could be understood.
    lam.update_function_url_config(FunctionName="f", InvokeMode="BUFFERED")
    assert call(address, "/plain")[::2] == (502, b"Internal Server Error")
    lam.update_function_url_config(FunctionName="f", InvokeMode="RESPONSE_STREAM")
    code = "def handler(e, c):\n    return {'statusCode': 201, 'body': e['rawPath'][int(e['rawPath'] == '/'):][1:] or [][0]}\n"
    lam.update_function_code(FunctionName="f", ZipFile=archive(code))
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})
    status, headers, body = call(address, "/x")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"statusCode": 201, "body": "x"}, "recorded: a stream is not looked into"
    assert call(address, "/")[::2] == (502, b"Internal Server Error")


def signed(address, key, path="/", method="GET", body=b"", secret=None, region="us-east-1"):
    secrets = {"AKIAONE": "secret/one+1", "AKIATWO": "secret/two"}
    host = urlsplit(address).netloc
    request = AWSRequest(method, f"http://{host}{path}", data=body, headers={"Content-Type": "text/plain"})
    credentials = Credentials(key, secret or secrets.get(key, "anything"))
    SigV4Auth(credentials, "lambda", region).add_auth(request)
    headers = dict(request.headers.items())
    headers.pop("Host", None)
    return call(address, path, method, body or None, headers)


def claimed_callers():
    """Without --require-signatures, whoever says who he is is believed, as everywhere."""
    lam = client()
    function(lam, ECHO)
    address = url(lam, "AWS_IAM")
    status, headers, body = call(address)
    assert (status, json.loads(body)) == (403, {"Message": FORBIDDEN})
    status, _, body = signed(address, "anything")
    assert status == 200, body
    assert signed(address, "222222222222")[0] == 403, "another account lacks the permissions"
    page = {"Origin": "https://page.example", "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/lambda/aws4_request"}
    assert call(address, headers=page)[0] == 403, "a page could say anything"


def signed_callers():
    keys = {"aws_access_key_id": "AKIAONE", "aws_secret_access_key": "secret/one+1"}
    lam = client(**keys)
    function(lam, ECHO)
    address = url(lam, "AWS_IAM")
    status, headers, body = call(address)
    assert (status, json.loads(body)) == (403, {"Message": FORBIDDEN})
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"
    status, _, body = signed(address, "AKIAONE", "/a%20b?x=1", "POST", b"text")
    assert status == 200, body
    event = json.loads(body)["event"]
    assert (event["body"], event["rawPath"]) == ("text", "/a%20b")
    assert event["requestContext"]["accountId"] == "111111111111"
    assert event["requestContext"]["authorizer"]["iam"] == {
        "accessKey": "AKIAONE", "accountId": "111111111111", "callerId": "111111111111", "cognitoIdentity": None,
        "principalOrgId": None, "userArn": "arn:aws:iam::111111111111:root", "userId": "111111111111",
    }
    status, headers, body = signed(address, "AKIAONE", secret="wrong")
    assert (status, headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException"), body
    assert json.loads(body)["message"].startswith("The request signature we calculated does not match")
    assert signed(address, "AKIANOBODY")[1]["x-amzn-ErrorType"] == "UnrecognizedClientException"

    assert signed(address, "AKIATWO")[0] == 403, "another account"
    ann = "arn:aws:iam::222222222222:user/ann"
    lam.add_permission(
        FunctionName="f", StatementId="a", Action="lambda:InvokeFunctionUrl", Principal=ann, FunctionUrlAuthType="AWS_IAM",
    )
    assert signed(address, "AKIATWO")[0] == 403, "half of the permissions"
    lam.add_permission(
        FunctionName="f", StatementId="b", Action="lambda:InvokeFunction", Principal=ann, InvokedViaFunctionUrl=True,
    )
    status, _, body = signed(address, "AKIATWO")
    assert status == 200, body
    assert json.loads(body)["event"]["requestContext"]["authorizer"]["iam"]["userArn"] == ann

    # What everybody may call needs no signature, and what a stranger signs is the function's affair.
    lam.update_function_url_config(FunctionName="f", AuthType="NONE")
    permit(lam)
    status, _, body = call(address, headers={"Authorization": "Bearer x"})
    assert status == 200, body
    event = json.loads(body)["event"]
    assert event["headers"]["authorization"] == "Bearer x" and "authorizer" not in event["requestContext"]


if __name__ == "__main__":
    globals()[sys.argv[2]]()
