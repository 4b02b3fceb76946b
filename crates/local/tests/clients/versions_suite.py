"""Scenarios of versions and aliases with boto3. Usage: versions_suite.py ENDPOINT SCENARIO.

What a configuration-management tool does is here too: create, read back, see no difference.
"""

import io
import json
import sys
import time
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ROLE = "arn:aws:iam::123456789012:role/made-up"
LAMBDA = boto3.client(
    "lambda",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    config=Config(retries={"max_attempts": 0}, read_timeout=120),
)


def zipped(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", text)
    return buffer.getvalue()


def create(name, **more):
    request = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zipped("def handler(event, context): pass")},
    }
    created = LAMBDA.create_function(**{**request, **more})
    LAMBDA.get_waiter("function_active_v2").wait(FunctionName=name)
    return created


def error(call, **arguments):
    try:
        call(**arguments)
    except ClientError as failure:
        return failure.response["Error"]["Code"], failure.response["Error"]["Message"]
    raise AssertionError("no error")


def waiters():
    """The waiters of version 2 pass at their first look or their second."""
    started = time.monotonic()
    create("f")
    LAMBDA.update_function_configuration(FunctionName="f", Timeout=5)
    LAMBDA.get_waiter("function_updated_v2").wait(FunctionName="f")
    LAMBDA.update_function_code(FunctionName="f", ZipFile=zipped("x = 1"), Publish=True)
    LAMBDA.get_waiter("function_updated_v2").wait(FunctionName="f")
    LAMBDA.get_waiter("published_version_active").wait(FunctionName="f", Qualifier="1")
    assert time.monotonic() - started < 10


def versions_and_aliases():
    create("f", Publish=True)
    for timeout in (4, 5):
        LAMBDA.update_function_configuration(FunctionName="f", Timeout=timeout)
        LAMBDA.get_waiter("function_updated_v2").wait(FunctionName="f")
        LAMBDA.publish_version(FunctionName="f", Description=f"timeout {timeout}")
    pages = LAMBDA.get_paginator("list_versions_by_function").paginate(
        FunctionName="f", PaginationConfig={"PageSize": 2}
    )
    found = [(one["Version"], one["Timeout"]) for page in pages for one in page["Versions"]]
    assert found == [("$LATEST", 5), ("1", 3), ("2", 4), ("3", 5)], found
    alias = LAMBDA.create_alias(
        FunctionName="f",
        Name="live",
        FunctionVersion="2",
        RoutingConfig={"AdditionalVersionWeights": {"3": 0.25}},
    )
    read = LAMBDA.get_alias(FunctionName="f", Name="live")
    for answer in (alias, read):
        answer.pop("ResponseMetadata")
    assert alias == read and read["RoutingConfig"] == {"AdditionalVersionWeights": {"3": 0.25}}
    assert LAMBDA.get_function(FunctionName=alias["AliasArn"])["Configuration"]["Version"] == "2"
    for version in ("2", "3"):
        code, message = error(LAMBDA.delete_function, FunctionName="f", Qualifier=version)
        assert code == "ResourceConflictException" and "[live]" in message, (code, message)
    LAMBDA.update_alias(FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig={})
    LAMBDA.delete_function(FunctionName="f", Qualifier="2")
    aliases = LAMBDA.list_aliases(FunctionName="f", FunctionVersion="1")["Aliases"]
    assert [one["Name"] for one in aliases] == ["live"]
    LAMBDA.delete_alias(FunctionName="f", Name="live")
    every = LAMBDA.list_functions(FunctionVersion="ALL")["Functions"]
    assert [one["FunctionArn"].split(":", 7)[-1] for one in every] == ["$LATEST", "1", "3"], every
    LAMBDA.delete_function(FunctionName="f")
    assert error(LAMBDA.get_alias, FunctionName="f", Name="live")[0] == "ResourceNotFoundException"


def plans_show_no_difference():
    written = {
        "Description": "mine",
        "MemorySize": 256,
        "Timeout": 30,
        "EphemeralStorage": {"Size": 1024},
        "Environment": {"Variables": {"KEY": "value"}},
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/mine", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN"},
        "TracingConfig": {"Mode": "Active"},
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
        "DeadLetterConfig": {"TargetArn": "arn:aws:sns:us-east-1:123456789012:t"},
        "SnapStart": {"ApplyOn": "PublishedVersions"},
    }
    create("f", Tags={"a": "b"}, **written)
    before = LAMBDA.get_function(FunctionName="f")
    assert before["Tags"] == {"a": "b"}
    for name, value in written.items():
        found = before["Configuration"][name]
        parts = value if isinstance(value, dict) else None
        assert found == value if parts is None else all(found[part] == parts[part] for part in parts), name
    LAMBDA.update_function_configuration(FunctionName="f", **written)
    LAMBDA.get_waiter("function_updated_v2").wait(FunctionName="f")
    after = LAMBDA.get_function(FunctionName="f")
    for answer in (before, after):
        for member in ("RevisionId", "LastModified"):
            answer["Configuration"].pop(member)
    assert before["Configuration"] == after["Configuration"], json.dumps([before, after], default=str)


def account_settings():
    settings = LAMBDA.get_account_settings()
    assert settings["AccountLimit"]["TotalCodeSize"] == 80530636800
    create("f")
    assert LAMBDA.get_account_settings()["AccountUsage"]["FunctionCount"] == 1


globals()[sys.argv[2]]()
