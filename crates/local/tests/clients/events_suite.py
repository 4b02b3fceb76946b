"""Asynchronous invocations with boto3. Usage: events_suite.py ENDPOINT SCENARIO.

The cloud's clock for events is turned: a minute is a tenth of a second.
"""

import io
import json
import re
import sys
import time
import zipfile

import boto3
from botocore.config import Config

ENDPOINT = sys.argv[1]
ACCOUNT = "arn:aws:lambda:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/made-up"
FAILS = "def handler(event, context):\n    print('run', context.aws_request_id)\n    raise ValueError(event['order'])\n"
SAYS = "import json\ndef handler(event, context):\n    print('got ' + json.dumps(event))\n    return {'done': True}\n"


def client(service):
    config = Config(retries={"max_attempts": 0}, read_timeout=120, s3={"addressing_style": "path"})
    return boto3.client(service, endpoint_url=ENDPOINT, region_name="us-east-1", config=config)


def function(lam, name, code, **more):
    """A function with version 1 and the alias `live` of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", code)
    lam.create_function(
        FunctionName=name, Runtime="python3.12", Handler="app.handler", Role=ROLE, Timeout=60,
        Code={"ZipFile": buffer.getvalue()}, Publish=True, **more,
    )
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")


def send(lam, event, **more):
    """Sends an event, and gives its request id."""
    answer = lam.invoke(InvocationType="Event", Payload=json.dumps(event).encode(), **more)
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b"", answer
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]


def lines(name, start, count=1):
    """The lines of a function's log that begin like this, as soon as there are so many."""
    logs = client("logs")
    deadline = time.time() + 120
    while time.time() < deadline:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
            found = [event["message"] for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            found = []
        found = [line.rstrip("\n") for line in found if line.startswith(start)]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} did not say {start!r} {count} times: {found}")


def on_failure_to_a_function():
    lam = client("lambda")
    function(lam, "f", FAILS)
    function(lam, "d", SAYS)
    lam.put_function_event_invoke_config(
        FunctionName="f", DestinationConfig={"OnFailure": {"Destination": f"{ACCOUNT}:function:d"}},
    )
    request_id = send(lam, {"order": 1}, FunctionName="f")
    record = json.loads(lines("d", "got ")[0][4:])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    stack = record["responsePayload"].pop("stackTrace")
    assert "raise ValueError" in stack[0], stack
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id, "functionArn": f"{ACCOUNT}:function:f:$LATEST",
            "condition": "RetriesExhausted", "approximateInvokeCount": 3,
        },
        "requestPayload": {"order": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "1", "errorType": "ValueError", "requestId": request_id},
    }, record
    assert lines("f", "run ", 3) == [f"run {request_id}"] * 3


def on_success_of_an_alias():
    lam = client("lambda")
    function(lam, "f", SAYS)
    function(lam, "d", SAYS)
    lam.put_function_event_invoke_config(
        FunctionName="f", Qualifier="live",
        DestinationConfig={"OnSuccess": {"Destination": f"{ACCOUNT}:function:d:live"}},
    )
    request_id = send(lam, [1, 2], FunctionName="f:live")
    record = json.loads(lines("d", "got ")[0][4:])
    assert record["requestContext"] == {
        "requestId": request_id, "functionArn": f"{ACCOUNT}:function:f:live",
        "condition": "Success", "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == [1, 2] and record["responsePayload"] == {"done": True}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "1"}


def on_failure_to_a_bucket():
    lam, s3 = client("lambda"), client("s3")
    s3.create_bucket(Bucket="dead-events")
    function(lam, "f", FAILS)
    lam.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::dead-events"}},
    )
    request_id = send(lam, {"order": 1}, FunctionName="f")
    deadline = time.time() + 120
    while not (found := s3.list_objects_v2(Bucket="dead-events").get("Contents")):
        assert time.time() < deadline, "no object"
        time.sleep(0.05)
    key = found[0]["Key"]
    time_of = r"\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d"
    assert re.fullmatch(rf"aws/lambda/async/f/{time_of}-[0-9a-f-]{{36}}", key), key
    record = json.loads(s3.get_object(Bucket="dead-events", Key=key)["Body"].read())
    assert record["requestContext"]["requestId"] == request_id
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def destinations_that_are_not_here():
    lam = client("lambda")
    function(lam, "f", FAILS, DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:123456789012:dead"})
    lam.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:events:us-east-1:123456789012:event-bus/b"}},
    )
    request_id = send(lam, {"order": 1}, FunctionName="f")
    ended = f"WARNING RequestId: {request_id} The event ended (RetriesExhausted), and"
    assert lines("f", "WARNING", 2) == [
        f"{ended} its record was not sent to arn:aws:events:us-east-1:123456789012:event-bus/b: "
        "the local cloud has no Amazon EventBridge",
        f"{ended} the event was not sent to arn:aws:sqs:us-east-1:123456789012:dead: "
        "the local cloud has no Amazon SQS",
    ]
    assert lines("f", '{"order"') == ['{"order": 1}']


def invoke_async():
    lam = client("lambda")
    function(lam, "f", SAYS)
    assert lam.invoke_async(FunctionName="f", InvokeArgs=b'{"a": 1}')["Status"] == 202
    assert lines("f", "got ") == ['got {"a": 1}']


globals()[sys.argv[2]]()
