"""Scenarios with boto3. Usage: extensions_suite.py ENDPOINT SCENARIO.

An extension in a layer, and logs in JSON, as their user sees them in CloudWatch Logs.
"""

import base64
import io
import json
import sys
import time
import zipfile

import boto3
from botocore.config import Config

ENDPOINT = sys.argv[1]
ROLE = "arn:aws:iam::123456789012:role/made-up"
RUNTIME = "python3.12"

APP = """
import logging
def handler(event, context):
    logging.getLogger().info("handled %s", event)
    return event
"""

WATCHER = """#!/usr/bin/env python3
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def ask(method, path, body=None, **headers):
    api.request(method, "/2020-01-01/extension/" + path, body, {"Lambda-Extension-" + k: v for k, v in headers.items()})
    answer = api.getresponse()
    return answer.headers, json.loads(answer.read())
headers, _ = ask("POST", "register", json.dumps({"events": ["INVOKE", "SHUTDOWN"]}), Name="watcher")
while True:
    _, event = ask("GET", "event/next", Identifier=headers["Lambda-Extension-Identifier"])
    print("watcher", event["eventType"], event.get("shutdownReason", ""), flush=True)
    if event["eventType"] == "SHUTDOWN":
        break
"""


def client(name):
    config = Config(retries={"max_attempts": 0}, read_timeout=120)
    return boto3.client(name, endpoint_url=ENDPOINT, region_name="us-east-1", config=config)


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name.startswith("extensions/") else 0o644) << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


def function(lam, **settings):
    lam.create_function(
        FunctionName="f", Runtime=RUNTIME, Handler="app.handler", Role=ROLE, Timeout=60,
        Code={"ZipFile": zipped({"app.py": APP})}, **settings,
    )
    lam.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})


def logged(*wanted):
    """The messages of the function, as soon as all of these are among them, within 30 seconds."""
    logs = client("logs")
    deadline = time.monotonic() + 30
    while True:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/f")
        messages = [event["message"] for page in pages for event in page["events"]]
        if all(any(text in message for message in messages) for text in wanted):
            return messages
        assert time.monotonic() < deadline, f"{wanted} is not all in {messages}"
        time.sleep(0.05)


def an_extension_in_a_layer():
    lam = client("lambda")
    layer = lam.publish_layer_version(
        LayerName="watcher", Content={"ZipFile": zipped({"extensions/watcher": WATCHER})}
    )
    function(lam, Layers=[layer["LayerVersionArn"]])
    answer = lam.invoke(FunctionName="f", Payload=b"1", LogType="Tail")
    assert answer["Payload"].read() == b"1" and "FunctionError" not in answer, answer
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert tail.startswith("START ") and "REPORT " in tail, tail
    lam.update_function_configuration(FunctionName="f", Description="other")
    messages = logged("EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]", "watcher SHUTDOWN SPINDOWN")
    kinds = [message.split()[0] for message in messages]
    assert kinds.count("REPORT") == 1, messages
    order = [kinds.index(kind) for kind in ("INIT_START", "EXTENSION", "START", "END", "REPORT")]
    assert order == sorted(order), messages


def logs_in_json():
    lam = client("lambda")
    function(lam, LoggingConfig={"LogFormat": "JSON"})
    answer = lam.invoke(FunctionName="f", Payload=b"2", LogType="Tail")
    assert answer["Payload"].read() == b"2", answer
    lines = [json.loads(line) for line in logged("platform.report")]
    assert [line.get("type", line.get("message")) for line in lines] == [
        "platform.initStart", "platform.start", "handled 2", "platform.report",
    ], lines
    tail = base64.b64decode(answer["LogResult"]).decode().splitlines()
    assert [json.loads(line) for line in tail] == lines[1:], tail
    # The levels and the format can be changed; the next call has them.
    lam.update_function_configuration(
        FunctionName="f",
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "ERROR", "SystemLogLevel": "WARN"},
    )
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})
    answer = lam.invoke(FunctionName="f", Payload=b"3", LogType="Tail")
    assert answer["LogResult"] == "", answer


globals()[sys.argv[2]]()
