"""Scenarios with boto3. Usage: lambda_configs_suite.py ENDPOINT SCENARIO.

Whatever can be written is written and read back; a failed assertion fails the test.
"""

import datetime
import io
import json
import sys
import threading
import time
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ACCOUNT = "arn:aws:lambda:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/made-up"
SLEEPS = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n"


def client(region="us-east-1"):
    config = Config(retries={"max_attempts": 0}, read_timeout=120)
    return boto3.client("lambda", endpoint_url=ENDPOINT, region_name=region, config=config)


def function(lam, name="f"):
    """A function with version 1 and the alias `live` of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", SLEEPS)
    lam.create_function(
        FunctionName=name, Runtime="python3.12", Handler="app.handler", Role=ROLE, Timeout=60,
        Code={"ZipFile": buffer.getvalue()}, Publish=True,
    )
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")


def refused(code, status, message, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        got = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"])
        assert got == (code, status, message), f"{got} is not {(code, status, message)}"
        return
    raise AssertionError(f"{arguments} was not refused with {code}")


def members(answer, *without):
    return {name: value for name, value in answer.items() if name not in ("ResponseMetadata", *without)}


def holds(answer, written):
    """Every member that was written is in the answer as it was written."""
    for name, value in written.items():
        assert answer.get(name) == value, f"{name}: {answer.get(name)} is not {value}"


def layer_permissions():
    lam = client()
    lam.publish_layer_version(LayerName="l", Content={"ZipFile": zipped()})
    where = {"LayerName": "l", "VersionNumber": 1}
    added = lam.add_layer_version_permission(
        **where, StatementId="s1", Action="lambda:GetLayerVersion", Principal="*", OrganizationId="o-0123456789"
    )
    statement = json.loads(added["Statement"])
    assert statement == {
        "Sid": "s1", "Effect": "Allow", "Principal": "*", "Action": "lambda:GetLayerVersion",
        "Resource": f"{ACCOUNT}:layer:l:1", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}},
    }, statement
    got = lam.get_layer_version_policy(**where)
    assert got["RevisionId"] == added["RevisionId"]
    assert json.loads(got["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    lam.remove_layer_version_permission(**where, StatementId="s1", RevisionId=got["RevisionId"])
    refused(
        "ResourceNotFoundException", 404, "No policy is associated with the given resource.",
        lam.get_layer_version_policy, **where,
    )
    refused(
        "ResourceNotFoundException", 404, f"Layer version {ACCOUNT}:layer:l:2 does not exist.",
        lam.get_layer_version_policy, LayerName="l", VersionNumber=2,
    )


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("python/m.py", "")
    return buffer.getvalue()


def function_permissions():
    lam = client()
    function(lam)
    for qualifier in (None, "1", "live"):
        where = {"FunctionName": "f"} | ({"Qualifier": qualifier} if qualifier else {})
        arn = f"{ACCOUNT}:function:f" + (f":{qualifier}" if qualifier else "")
        added = lam.add_permission(
            **where, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
            SourceArn="arn:aws:s3:::b", SourceAccount="123456789012",
        )
        url = lam.add_permission(
            **where, StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*",
            FunctionUrlAuthType="AWS_IAM", PrincipalOrgID="o-0123456789",
        )
        token = lam.add_permission(
            **where, StatementId="alexa", Action="lambda:InvokeFunction", Principal="alexa-appkit.amazon.com",
            EventSourceToken="token",
        )
        via = lam.add_permission(
            **where, StatementId="via", Action="lambda:InvokeFunction", Principal="210987654321",
            InvokedViaFunctionUrl=True,
        )
        statements = [json.loads(one["Statement"]) for one in (added, url, token, via)]
        assert [one["Condition"] for one in statements] == [
            {"StringEquals": {"AWS:SourceAccount": "123456789012"}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}},
            {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM", "aws:PrincipalOrgID": "o-0123456789"}},
            {"StringEquals": {"lambda:EventSourceToken": "token"}},
            {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        ], statements
        assert {one["Resource"] for one in statements} == {arn}
        got = lam.get_policy(**where)
        assert json.loads(got["Policy"])["Statement"] == statements
        lam.remove_permission(**where, StatementId="s3", RevisionId=got["RevisionId"])
        refused(
            "PreconditionFailedException", 412,
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API "
            "to retrieve the latest Revision Id",
            lam.remove_permission, **where, StatementId="url", RevisionId=got["RevisionId"],
        )
        assert len(json.loads(lam.get_policy(**where)["Policy"])["Statement"]) == 3


def resource_policies():
    lam = client()
    function(lam)
    where = {"ResourceArn": f"{ACCOUNT}:function:f:live"}
    policy = {"Version": "2012-10-17", "Statement": [{
        "Sid": "s", "Effect": "Allow", "Principal": {"AWS": "210987654321"}, "Action": "lambda:InvokeFunction",
        "Resource": where["ResourceArn"],
    }]}
    put = lam.put_resource_policy(**where, Policy=json.dumps(policy))
    assert json.loads(put["Policy"]) == policy
    assert members(lam.get_resource_policy(**where)) == members(put)
    put = lam.put_resource_policy(**where, Policy=json.dumps(policy), RevisionId=put["RevisionId"])
    lam.delete_resource_policy(**where, RevisionId=put["RevisionId"])
    refused(
        "ResourceNotFoundException", 404, "The resource you requested does not exist.",
        lam.get_resource_policy, **where,
    )


def tags():
    lam = client()
    function(lam)
    mapping = lam.create_event_source_mapping(
        FunctionName="f", EventSourceArn="arn:aws:sqs:us-east-1:123456789012:q", Tags={"a": "1"}
    )
    signing = lam.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [SIGNER]}, Tags={"a": "1"})
    lam.tag_resource(Resource=f"{ACCOUNT}:function:f", Tags={"a": "1"})
    for arn in (
        f"{ACCOUNT}:function:f",
        mapping["EventSourceMappingArn"],
        signing["CodeSigningConfig"]["CodeSigningConfigArn"],
    ):
        lam.tag_resource(Resource=arn, Tags={"b": "ä"})
        assert lam.list_tags(Resource=arn)["Tags"] == {"a": "1", "b": "ä"}
        lam.untag_resource(Resource=arn, TagKeys=["a", "c"])
        assert lam.list_tags(Resource=arn)["Tags"] == {"b": "ä"}


def reserved_concurrency():
    lam = client()
    function(lam)
    put = lam.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=2)
    assert members(put) == {"ReservedConcurrentExecutions": 2}
    assert lam.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"] == 2
    assert lam.get_function(FunctionName="f")["Concurrency"] == {"ReservedConcurrentExecutions": 2}
    assert lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 998

    # Two calls run; a third one is refused while they do.
    def call():
        # The call that looks for the refusal may be the one that takes the place.
        while time.monotonic() < deadline:
            try:
                return lam.invoke(FunctionName="f", Payload=b"3")
            except lam.exceptions.TooManyRequestsException:
                pass

    deadline = time.monotonic() + 30
    calls = [threading.Thread(target=call) for _ in range(2)]
    for one in calls:
        one.start()
    while True:
        try:
            client().invoke(FunctionName="f", Payload=b"0")
        except ClientError as error:
            throttled = error.response
            break
        assert time.monotonic() < deadline, "nothing was throttled"
    for one in calls:
        one.join()
    assert throttled["Error"]["Code"] == "TooManyRequestsException", throttled
    assert throttled["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert throttled["Error"]["Message"] == "Rate Exceeded."
    assert throttled["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", throttled
    assert json.loads(lam.invoke(FunctionName="f", Payload=b"0")["Payload"].read()) == 0
    lam.delete_function_concurrency(FunctionName="f")
    assert members(lam.get_function_concurrency(FunctionName="f")) == {}


def provisioned_concurrency():
    lam = client()
    function(lam)
    where = {"FunctionName": "f", "Qualifier": "live"}
    put = lam.put_provisioned_concurrency_config(**where, ProvisionedConcurrentExecutions=3)
    assert members(put, "LastModified") == {
        "RequestedProvisionedConcurrentExecutions": 3, "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0, "Status": "IN_PROGRESS",
    }
    until = time.monotonic() + 60
    got = lam.get_provisioned_concurrency_config(**where)
    while got["Status"] == "IN_PROGRESS" and time.monotonic() < until:
        time.sleep(0.02)
        got = lam.get_provisioned_concurrency_config(**where)
    assert members(got) == {
        "RequestedProvisionedConcurrentExecutions": 3, "AllocatedProvisionedConcurrentExecutions": 3,
        "AvailableProvisionedConcurrentExecutions": 3, "Status": "READY", "LastModified": put["LastModified"],
    }
    listed = lam.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"]
    assert listed == [members(got) | {"FunctionArn": f"{ACCOUNT}:function:f:live"}], listed
    lam.delete_provisioned_concurrency_config(**where)
    refused(
        "ProvisionedConcurrencyConfigNotFoundException", 404,
        "No Provisioned Concurrency Config found for this function",
        lam.get_provisioned_concurrency_config, **where,
    )


def event_invoke_configs():
    lam = client()
    function(lam)
    function(lam, "other")
    written = {
        "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 21600,
        "DestinationConfig": {
            "OnSuccess": {"Destination": f"{ACCOUNT}:function:other"},
            "OnFailure": {"Destination": "arn:aws:sns:us-east-1:123456789012:t"},
        },
    }
    put = lam.put_function_event_invoke_config(FunctionName="f", Qualifier="live", **written)
    assert isinstance(put["LastModified"], datetime.datetime)
    holds(put, written | {"FunctionArn": f"{ACCOUNT}:function:f:live"})
    assert members(lam.get_function_event_invoke_config(FunctionName="f:live")) == members(put)
    updated = lam.update_function_event_invoke_config(FunctionName="f", Qualifier="live", MaximumRetryAttempts=1)
    holds(updated, written | {"MaximumRetryAttempts": 1})
    listed = lam.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"]
    assert listed == [members(updated)]
    lam.delete_function_event_invoke_config(FunctionName="f", Qualifier="live")
    refused(
        "ResourceNotFoundException", 404,
        f"The function {ACCOUNT}:function:f:live doesn't have an EventInvokeConfig",
        lam.get_function_event_invoke_config, FunctionName="f", Qualifier="live",
    )


def url_configs():
    lam = client()
    function(lam)
    cors = {
        "AllowCredentials": True, "AllowHeaders": ["date", "keep-alive"], "AllowMethods": ["GET", "PUT"],
        "AllowOrigins": ["https://www.example.com"], "ExposeHeaders": ["date"], "MaxAge": 300,
    }
    created = lam.create_function_url_config(FunctionName="f", AuthType="AWS_IAM", Cors=cors)
    assert set(members(created)) == {"AuthType", "Cors", "CreationTime", "FunctionArn", "FunctionUrl"}, created
    name = created["FunctionUrl"].removeprefix("http://").split(".")[0]
    port = ENDPOINT.rsplit(":", 1)[1]
    assert len(name) == 32 and created["FunctionUrl"].endswith(f".lambda-url.us-east-1.localhost:{port}/")
    got = lam.get_function_url_config(FunctionName="f")
    holds(got, members(created) | {"InvokeMode": "BUFFERED"})
    lam.update_function_url_config(FunctionName="f", AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    holds(
        lam.get_function_url_config(FunctionName="f"),
        members(created) | {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"},
    )
    other = lam.create_function_url_config(FunctionName="f", Qualifier="live", AuthType="NONE")
    assert other["FunctionUrl"] != created["FunctionUrl"]
    pages = lam.get_paginator("list_function_url_configs").paginate(FunctionName="f", PaginationConfig={"PageSize": 1})
    arns = [config["FunctionArn"] for page in pages for config in page["FunctionUrlConfigs"]]
    assert arns == [f"{ACCOUNT}:function:f", f"{ACCOUNT}:function:f:live"], arns
    lam.delete_function_url_config(FunctionName="f", Qualifier="live")
    assert len(lam.list_function_url_configs(FunctionName="f")["FunctionUrlConfigs"]) == 1


def recursion_and_runtime_management():
    lam = client()
    function(lam)
    assert lam.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Terminate"
    assert lam.put_function_recursion_config(FunctionName="f", RecursiveLoop="Allow")["RecursiveLoop"] == "Allow"
    assert lam.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Allow"
    assert lam.get_runtime_management_config(FunctionName="f")["UpdateRuntimeOn"] == "Auto"
    runtime = lam.get_function_configuration(FunctionName="f")["RuntimeVersionConfig"]["RuntimeVersionArn"]
    written = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime}
    put = lam.put_runtime_management_config(FunctionName="f", Qualifier="1", **written)
    holds(put, written | {"FunctionArn": f"{ACCOUNT}:function:f:1"})
    assert members(lam.get_runtime_management_config(FunctionName="f", Qualifier="1")) == members(put)


SIGNER = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/test"


def code_signing_configs():
    lam = client()
    function(lam)
    written = {
        "Description": "mine", "AllowedPublishers": {"SigningProfileVersionArns": [SIGNER]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
    }
    config = lam.create_code_signing_config(**written)["CodeSigningConfig"]
    holds(config, written)
    where = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    assert lam.get_code_signing_config(**where)["CodeSigningConfig"] == config
    changed = {
        "Description": "other", "AllowedPublishers": {"SigningProfileVersionArns": [SIGNER + "2"]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
    }
    holds(lam.update_code_signing_config(**where, **changed)["CodeSigningConfig"], changed)
    assert [one["Description"] for one in lam.list_code_signing_configs()["CodeSigningConfigs"]] == ["other"]
    put = lam.put_function_code_signing_config(FunctionName="f", **where)
    assert members(put) == where | {"FunctionName": "f"}
    assert members(lam.get_function_code_signing_config(FunctionName="f")) == members(put)
    listed = lam.list_functions_by_code_signing_config(**where)["FunctionArns"]
    assert listed == [f"{ACCOUNT}:function:f"], listed
    try:
        lam.delete_code_signing_config(**where)
        raise AssertionError("deleted in use")
    except lam.exceptions.ResourceConflictException:
        pass
    lam.delete_function_code_signing_config(FunctionName="f")
    lam.delete_code_signing_config(**where)
    assert lam.list_code_signing_configs()["CodeSigningConfigs"] == []


def at_rest(lam, uuid):
    while True:
        try:
            mapping = lam.get_event_source_mapping(UUID=uuid)
        except lam.exceptions.ResourceNotFoundException:
            return None
        if mapping["State"] in ("Enabled", "Disabled"):
            return mapping
        time.sleep(0.05)


def lives(lam, created, written, changes):
    """A new mapping reads back, comes to rest, is changed, reads back, and goes."""
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 202 and created["State"] == "Creating"
    assert isinstance(created["LastModified"], datetime.datetime)
    holds(created, written)
    uuid = created["UUID"]
    mapping = at_rest(lam, uuid)
    holds(mapping, written | {"State": "Enabled"})
    assert "the local cloud has no" in mapping["LastProcessingResult"]
    assert lam.update_event_source_mapping(UUID=uuid, Enabled=False, **changes)["State"] == "Disabling"
    mapping = at_rest(lam, uuid)
    holds(mapping, written | changes | {"State": "Disabled"})
    listed = lam.list_event_source_mappings(FunctionName="f")["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [uuid]
    assert lam.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    assert at_rest(lam, uuid) is None


COMMON = {
    "FilterCriteria": {"Filters": [{"Pattern": '{"a":[{"prefix":"x"}]}'}]},
    "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k",
    "MetricsConfig": {"Metrics": ["EventCount"]},
    "BatchSize": 7,
}


def queue_mappings():
    lam = client()
    function(lam)
    written = COMMON | {
        "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q",
        "MaximumBatchingWindowInSeconds": 3,
        "ScalingConfig": {"MaximumConcurrency": 2},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    created = lam.create_event_source_mapping(FunctionName="f", **written)
    refused(
        "ResourceConflictException", 409,
        'An event source mapping with SQS arn (" arn:aws:sqs:us-east-1:123456789012:q ") and function (" f ") '
        f"already exists. Please update or delete the existing mapping with UUID {created['UUID']}",
        lam.create_event_source_mapping, FunctionName="f", **written,
    )
    lives(lam, created, written, {"BatchSize": 9, "FunctionResponseTypes": []})


def stream_mappings():
    lam = client()
    function(lam)
    for arn in (
        "arn:aws:kinesis:us-east-1:123456789012:stream/s",
        "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
    ):
        written = COMMON | {
            "EventSourceArn": arn,
            "StartingPosition": "TRIM_HORIZON",
            "MaximumBatchingWindowInSeconds": 3,
            "ParallelizationFactor": 2,
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:dead"}},
            "MaximumRecordAgeInSeconds": 604800,
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 10000,
            "TumblingWindowInSeconds": 900,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }
        created = lam.create_event_source_mapping(FunctionName="f", **written)
        lives(lam, created, written, {"ParallelizationFactor": 3, "MaximumRetryAttempts": -1})
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    created = lam.create_event_source_mapping(
        FunctionName="f", EventSourceArn="arn:aws:kinesis:us-east-1:123456789012:stream/s",
        StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=at,
    )
    assert created["StartingPositionTimestamp"] == at, created


def other_mappings():
    lam = client()
    function(lam)
    secret = [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}]
    kafka = COMMON | {
        "StartingPosition": "LATEST", "Topics": ["topic"], "SourceAccessConfigurations": secret,
        "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 5, "PollerGroupName": "g"},
        "DestinationConfig": {"OnFailure": {"Destination": "kafka://dead"}},
        "LoggingConfig": {"SystemLogLevel": "DEBUG"},
    }
    registry = {
        "ConsumerGroupId": "group",
        "SchemaRegistryConfig": {
            "SchemaRegistryURI": "https://registry.example.com", "EventRecordFormat": "JSON",
            "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}],
            "SchemaValidationConfigs": [{"Attribute": "KEY"}],
        },
    }
    sources = [
        kafka | {
            "EventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/c/11111111-1111-1111-1111-111111111111-1",
            "AmazonManagedKafkaEventSourceConfig": registry,
        },
        kafka | {
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a.example.com:9092"]}},
            "SelfManagedKafkaEventSourceConfig": registry,
        },
        COMMON | {
            "EventSourceArn": "arn:aws:mq:us-east-1:123456789012:broker:b:b-1", "Queues": ["queue"],
            "SourceAccessConfigurations": secret,
        },
        COMMON | {
            "EventSourceArn": "arn:aws:rds:us-east-1:123456789012:cluster:d", "StartingPosition": "LATEST",
            "SourceAccessConfigurations": secret,
            "DocumentDBEventSourceConfig": {
                "DatabaseName": "d", "CollectionName": "c", "FullDocument": "UpdateLookup",
            },
        },
    ]
    for written in sources:
        created = lam.create_event_source_mapping(FunctionName="f", **written)
        lives(lam, created, written, {"BatchSize": 10000})


globals()[sys.argv[2]]()
