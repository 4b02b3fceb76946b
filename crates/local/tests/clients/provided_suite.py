"""Scenarios of functions with a bootstrap, with boto3. Usage: provided_suite.py ENDPOINT SCENARIO."""

import base64
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

# A runtime of one's own in a screenful: it needs the system's Python and nothing else.
BOOTSTRAP = """#!/usr/bin/env python3
import os, urllib.request
BASE = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(BASE + "next") as call:
        identifier, event = call.headers["Lambda-Runtime-Aws-Request-Id"], call.read().decode()
    print("handled by WHERE")
    answer = '{"from": "WHERE", "handler": "%s", "event": %s}' % (os.environ["_HANDLER"], event)
    urllib.request.urlopen(urllib.request.Request(BASE + identifier + "/response", answer.encode())).close()
"""


def zipped(where, mode=0o755):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap" if where else "other")
        entry.external_attr = (0o100000 | mode) << 16
        archive.writestr(entry, BOOTSTRAP.replace("WHERE", where))
    return buffer.getvalue()


def create(name, code, **more):
    created = LAMBDA.create_function(
        FunctionName=name,
        Runtime=more.pop("Runtime", "provided.al2023"),
        Handler="any.text",
        Role="arn:aws:iam::123456789012:role/made-up",
        Timeout=30,
        Code={"ZipFile": code},
        **more,
    )
    LAMBDA.get_waiter("function_active_v2").wait(FunctionName=name)
    return created


def invoke(name):
    answer = LAMBDA.invoke(FunctionName=name, Payload=b'{"x": 1}', LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    return answer.get("FunctionError"), json.loads(answer["Payload"].read()), log


def code_and_layer():
    for runtime in ("provided.al2", "provided.al2023"):
        name = runtime.replace(".", "-")
        created = create(name, zipped("code"), Runtime=runtime)
        assert created["Runtime"] == runtime
        assert created["RuntimeVersionConfig"]["RuntimeVersionArn"].startswith("arn:aws:lambda:us-east-1::runtime:")
        failed, answer, log = invoke(name)
        assert failed is None, (answer, log)
        assert answer == {"from": "code", "handler": "any.text", "event": {"x": 1}}, answer
        assert "REPORT RequestId: " in log and "Max Memory Used: " in log, log
    layer = LAMBDA.publish_layer_version(
        LayerName="runtime", Content={"ZipFile": zipped("layer")}, CompatibleRuntimes=["provided.al2023"]
    )["LayerVersionArn"]
    create("layered", zipped(""), Layers=[layer])
    assert invoke("layered")[1]["from"] == "layer"
    # The code's own goes first, from the next call on.
    LAMBDA.update_function_code(FunctionName="layered", ZipFile=zipped("code"))
    LAMBDA.get_waiter("function_updated_v2").wait(FunctionName="layered")
    assert invoke("layered")[1]["from"] == "code"


def what_goes_wrong():
    create("missing", zipped(""))
    failed, answer, log = invoke("missing")
    assert failed == "Unhandled" and answer["errorType"] == "Runtime.InvalidEntrypoint", answer
    assert answer["errorMessage"].endswith(
        " Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
    ), answer
    assert "Status: error\tError Type: Runtime.InvalidEntrypoint\n" in log, log
    create("plain", zipped("code", 0o644))
    assert invoke("plain")[1]["errorMessage"].endswith(" Error: fork/exec /var/task/bootstrap: permission denied")
    try:
        create("retired", zipped("code"), Runtime="provided")
    except ClientError as error:
        assert error.response["Error"]["Message"].startswith("The runtime parameter of provided is no longer supported")
    else:
        raise AssertionError("AWS has retired it")


def on_an_image():
    """Run where the system is an image that calls itself so."""
    code = "#!/bin/sh\necho $FROM_IMAGE\nwhile read line; do echo $line; done < /etc/os-release\nexit 5\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, code)
    create("imaged", buffer.getvalue())
    failed, answer, log = invoke("imaged")
    assert failed == "Unhandled" and answer["errorMessage"].endswith("exit status 5"), answer
    # The end of the second try to start it is in the call's own log.
    assert 'yes\nNAME="From a registry"\n' in log, log


globals()[sys.argv[2]]()
