"""Scenarios of functions without a network, with boto3. Usage: network_suite.py ENDPOINT SCENARIO."""

import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
LAMBDA = boto3.client(
    "lambda",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    config=Config(retries={"max_attempts": 0}, read_timeout=120),
)
PORT = int(ENDPOINT.rsplit(":", 1)[1].strip("/"))
CODE = """
import socket
def handler(event, context):
    try:
        socket.create_connection(("127.0.0.1", event), 5).close()
        return "reached"
    except ConnectionRefusedError:
        return "refused"
"""


def create(name, tags):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", CODE)
    created = LAMBDA.create_function(
        FunctionName=name,
        Runtime="python%s.%s" % sys.version_info[:2],
        Handler="app.handler",
        Role="arn:aws:iam::123456789012:role/made-up",
        Timeout=30,
        Tags=tags,
        Code={"ZipFile": buffer.getvalue()},
    )
    LAMBDA.get_waiter("function_active_v2").wait(FunctionName=name)
    return created["FunctionArn"]


def invoke(name):
    answer = LAMBDA.invoke(FunctionName=name, Payload=json.dumps(PORT))
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def a_tag_takes_the_network_away():
    arn = create("f", {})
    version = LAMBDA.publish_version(FunctionName="f")["Version"]
    versioned = "f:" + version
    assert [invoke("f"), invoke(versioned)] == ["reached", "reached"]
    LAMBDA.tag_resource(Resource=arn, Tags={"layercake:network": "none"})
    assert [invoke("f"), invoke(versioned)] == ["refused", "refused"]
    LAMBDA.tag_resource(Resource=arn, Tags={"other": "tag"})
    assert [invoke("f"), invoke(versioned)] == ["refused", "refused"]
    LAMBDA.tag_resource(Resource=arn, Tags={"layercake:network": "host"})
    assert [invoke("f"), invoke(versioned)] == ["reached", "reached"]
    LAMBDA.tag_resource(Resource=arn, Tags={"layercake:network": "none"})
    assert invoke("f") == "refused"
    LAMBDA.untag_resource(Resource=arn, TagKeys=["layercake:network"])
    assert invoke("f") == "reached"
    create("from-the-start", {"layercake:network": "none"})
    assert invoke("from-the-start") == "refused"


def what_says_nothing_is_refused():
    create("f", {"layercake:network": "off"})
    try:
        invoke("f")
        raise AssertionError("a tag that says nothing was passed over")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidParameterValueException", error.response
        message = "the tag layercake:network is `off`, and can be none or host"
        assert error.response["Error"]["Message"] == message, error.response


globals()[sys.argv[2]]()
