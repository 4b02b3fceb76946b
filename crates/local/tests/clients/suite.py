"""Scenarios with boto3. Usage: suite.py ENDPOINT SCENARIO. A failed assertion fails the test.

Texts are those of FACTS.md, recorded on AWS.
"""

import base64
import hashlib
import io
import json
import sys
import time
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ROLE = "arn:aws:iam::123456789012:role/made-up"
ACCOUNT = "arn:aws:lambda:us-east-1:123456789012"
ECHO = "def handler(event, context):\n    print('seen', event)\n    return {'event': event, 'arn': context.invoked_function_arn}\n"


def client(service, region="us-east-1"):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=region,
        config=Config(retries={"max_attempts": 0}, parameter_validation=False, read_timeout=120),
    )


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_py", ".py"), text)
    return buffer.getvalue()


def zeros(size):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("zeros", "w") as file:
            piece = bytes(1 << 20)
            while size:
                size -= file.write(piece[:size])
    return buffer.getvalue()


def refused(code, status, message, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        got = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"])
        matches = message(got[2]) if callable(message) else got[2] == message
        assert got[:2] == (code, status) and matches, f"{got} is not {(code, status, message)}"
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer, headers
    raise AssertionError(f"{arguments} was not refused with {code}")


def create(lam, name="f", wait=True, **arguments):
    arguments.setdefault("Code", {"ZipFile": zipped(app_py=ECHO)})
    arguments.setdefault("Runtime", "python3.12")
    arguments.setdefault("Handler", "app.handler")
    arguments.setdefault("Role", ROLE)
    answer = lam.create_function(FunctionName=name, **arguments)
    if wait:
        lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    return answer


def updated(lam, name="f"):
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})


def keys(answer):
    return sorted(set(answer) - {"ResponseMetadata"})


def layers():
    lam = client("lambda")
    content = zipped(python__m_py="x = 1")
    first = lam.publish_layer_version(LayerName="l", Content={"ZipFile": content}, Description="d", CompatibleRuntimes=[], LicenseInfo="MIT")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert keys(first) == ["CompatibleRuntimes", "Content", "CreatedDate", "Description", "LayerArn", "LayerVersionArn", "LicenseInfo", "Version"], keys(first)
    assert first["Version"] == 1 and first["CompatibleRuntimes"] == []
    assert first["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert first["Content"]["CodeSize"] == len(content)
    assert first["CreatedDate"].endswith("+0000") and len(first["CreatedDate"]) == 28, first["CreatedDate"]
    assert urllib.request.urlopen(first["Content"]["Location"]).read() == content
    second = lam.publish_layer_version(LayerName="l", Content={"ZipFile": content})
    assert second["Version"] == 2 and second["Content"]["CodeSha256"] == first["Content"]["CodeSha256"]
    assert "CompatibleRuntimes" not in second and second["Description"] == ""
    got = lam.get_layer_version(LayerName="l", VersionNumber=1)
    assert got["Content"]["CodeSha256"] == first["Content"]["CodeSha256"] and keys(got) == keys(first)
    by_arn = lam.get_layer_version_by_arn(Arn=second["LayerVersionArn"])
    assert by_arn["Version"] == 2
    assert lam.get_layer_version(LayerName=f"{ACCOUNT}:layer:l", VersionNumber=2)["Version"] == 2
    for version in (1, 2, 2, 7):
        assert lam.delete_layer_version(LayerName="l", VersionNumber=version)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert lam.list_layer_versions(LayerName="l")["LayerVersions"] == []
    assert lam.list_layers()["Layers"] == []
    third = lam.publish_layer_version(LayerName="l", Content={"ZipFile": content})
    assert third["Version"] == 3, "version numbers are never reused"
    s3 = client("s3")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="a/layer.zip", Body=content)
    from_s3 = lam.publish_layer_version(LayerName="s", Content={"S3Bucket": "code", "S3Key": "a/layer.zip"})
    assert from_s3["Content"]["CodeSha256"] == first["Content"]["CodeSha256"]
    s3.delete_object(Bucket="code", Key="a/layer.zip")
    assert urllib.request.urlopen(from_s3["Content"]["Location"]).read() == content


def layer_paging_and_filters():
    lam = client("lambda")
    content = zipped(a="1")
    for number in range(7):
        lam.publish_layer_version(LayerName=f"l{number}", Content={"ZipFile": content}, CompatibleRuntimes=["python3.12"] if number % 2 else ["python3.13"], CompatibleArchitectures=["arm64"])
        lam.publish_layer_version(LayerName="many", Content={"ZipFile": content})
    page = lam.list_layers(MaxItems=3)
    assert [layer["LayerName"] for layer in page["Layers"]] == ["l0", "l1", "l2"] and page["NextMarker"]
    everything = [layer for page in lam.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 3}) for layer in page["Layers"]]
    assert [layer["LayerName"] for layer in everything] == [f"l{n}" for n in range(7)] + ["many"]
    assert everything[-1]["LatestMatchingVersion"]["Version"] == 7
    found = lam.list_layers(CompatibleRuntime="python3.12")["Layers"]
    assert [layer["LayerName"] for layer in found] == ["l1", "l3", "l5"]
    assert lam.list_layers(CompatibleRuntime="python3.12", CompatibleArchitecture="x86_64")["Layers"] == []
    versions = [v["Version"] for page in lam.get_paginator("list_layer_versions").paginate(LayerName="many", PaginationConfig={"PageSize": 2}) for v in page["LayerVersions"]]
    assert versions == [7, 6, 5, 4, 3, 2, 1]
    assert lam.list_layer_versions(LayerName="unknown")["LayerVersions"] == []


def layer_errors():
    lam = client("lambda")
    answer, headers = refused("ResourceNotFoundException", 404, "The resource you requested does not exist.", lam.get_layer_version, LayerName="x", VersionNumber=1)
    assert headers["x-amzn-errortype"] == "ResourceNotFoundException" and headers["x-amzn-requestid"]
    assert answer["Type"] == "User" and answer["Message"], answer
    refused("InvalidParameterValueException", 400, "Layer Version Cannot be less than 1", lam.delete_layer_version, LayerName="x", VersionNumber=0)
    answer, _ = refused("InvalidParameterValueException", 400, "Could not unzip uploaded file. Please check your file, then try to upload again.", lam.publish_layer_version, LayerName="x", Content={"ZipFile": b"no zip"})
    assert answer["Type"] == "User" and "message" in answer
    answer, _ = refused("ValidationException", 400, lambda text: text.startswith("1 validation error detected: Value '[nope]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: ["), lam.publish_layer_version, LayerName="x", Content={"ZipFile": zipped(a="1")}, CompatibleRuntimes=["nope"])
    raw = urllib.request.Request(f"{ENDPOINT}/2018-10-31/layers?MaxItems=51")
    try:
        urllib.request.urlopen(raw)
        raise AssertionError("not refused")
    except urllib.error.HTTPError as error:
        assert error.headers["x-amzn-ErrorType"] == "ValidationException" and list(json.load(error)) == ["message"]
    refused("ValidationException", 400, lambda text: text.startswith("1 validation error detected: Value 'nope' at 'compatibleRuntime' failed to satisfy constraint: Member must satisfy enum value set: ["), lam.list_layers, CompatibleRuntime="nope")
    refused("ValidationException", 400, "1 validation error detected: Value '51' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 50", lam.list_layers, MaxItems=51)
    refused("ValidationException", 400, "1 validation error detected: Value '" + "d" * 257 + "' at 'description' failed to satisfy constraint: Member must have length less than or equal to 256", lam.publish_layer_version, LayerName="x", Content={"ZipFile": zipped(a="1")}, Description="d" * 257)
    refused("InvalidParameterValueException", 400, "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist", lam.publish_layer_version, LayerName="x", Content={"S3Bucket": "nope", "S3Key": "k"})
    client("s3").create_bucket(Bucket="there")
    refused("InvalidParameterValueException", 400, "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.", lam.publish_layer_version, LayerName="x", Content={"S3Bucket": "there", "S3Key": "k"})


def functions():
    lam = client("lambda")
    made = create(lam, wait=False, Tags={"a": "b"})
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert keys(made) == ["Architectures", "CodeSha256", "CodeSize", "Description", "EphemeralStorage", "FunctionArn", "FunctionName", "Handler", "LastModified", "LoggingConfig", "MemorySize", "PackageType", "RevisionId", "Role", "Runtime", "RuntimeVersionConfig", "SnapStart", "State", "StateReason", "StateReasonCode", "Timeout", "TracingConfig", "Version"], keys(made)
    assert (made["State"], made["StateReason"], made["StateReasonCode"]) == ("Pending", "The function is being created.", "Creating")
    assert made["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"}
    assert made["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"} and made["TracingConfig"] == {"Mode": "PassThrough"}
    assert (made["MemorySize"], made["Timeout"], made["EphemeralStorage"]) == (128, 3, {"Size": 512})
    lam.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})
    got = lam.get_function(FunctionName="f")
    assert got["Tags"] == {"a": "b"} and got["Code"]["RepositoryType"] == "S3"
    assert urllib.request.urlopen(got["Code"]["Location"]).read() == urllib.request.urlopen(got["Code"]["Location"]).read()
    settled = got["Configuration"]
    assert settled["State"] == "Active" and settled["LastUpdateStatus"] == "Successful" and "StateReason" not in settled
    assert "Layers" not in settled and "Environment" not in settled and "VpcConfig" not in settled
    assert settled["FunctionArn"] == f"{ACCOUNT}:function:f"
    assert lam.get_function(FunctionName="f", Qualifier="$LATEST")["Configuration"]["FunctionArn"] == f"{ACCOUNT}:function:f:$LATEST"
    for name in (f"{ACCOUNT}:function:f", "123456789012:function:f", "f:$LATEST"):
        assert lam.get_function_configuration(FunctionName=name)["FunctionName"] == "f"
    changed = lam.update_function_configuration(FunctionName="f", MemorySize=256, Environment={"Variables": {"KEY": "v"}}, LoggingConfig={"LogFormat": "JSON"})
    assert changed["LastUpdateStatus"] == "InProgress" and changed["LastUpdateStatusReasonCode"] == "Creating" and changed["State"] == "Active"
    assert changed["Environment"] == {"Variables": {"KEY": "v"}}
    assert changed["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": "/aws/lambda/f", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
    updated(lam)
    now = lam.get_function_configuration(FunctionName="f")
    assert now["LastUpdateStatus"] == "Successful" and now["RevisionId"] != settled["RevisionId"] and now["MemorySize"] == 256
    refused("PreconditionFailedException", 412, lambda text: text.startswith("The Revision Id provided does not match the latest Revision Id."), lam.update_function_configuration, FunctionName="f", RevisionId="x")
    content = zipped(app_py=ECHO + "# other\n")
    code = lam.update_function_code(FunctionName="f", ZipFile=content, RevisionId=now["RevisionId"])
    assert code["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    updated(lam)
    dry = lam.update_function_code(FunctionName="f", ZipFile=zipped(b="1"), DryRun=True)
    assert dry["CodeSha256"] != code["CodeSha256"] and lam.get_function_configuration(FunctionName="f")["CodeSha256"] == code["CodeSha256"]
    lam.update_function_configuration(FunctionName="f", LoggingConfig={"LogFormat": "Text"})
    updated(lam)
    assert lam.get_function_configuration(FunctionName="f")["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"}
    refused("ResourceConflictException", 409, "Function already exist: f", create, lam=lam, wait=False)
    for number in range(3):
        create(lam, f"g{number}", wait=False)
    assert [f["FunctionName"] for page in lam.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}) for f in page["Functions"]] == ["f", "g0", "g1", "g2"]
    assert lam.list_functions(FunctionVersion="ALL")["Functions"][0]["FunctionArn"] == f"{ACCOUNT}:function:f:$LATEST"
    for name in ("f", "g0", "g1", "g2"):
        assert lam.delete_function(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    answer, _ = refused("ResourceNotFoundException", 404, f"Function not found: {ACCOUNT}:function:f", lam.get_function, FunctionName="f")
    assert answer["Type"] == "User" and answer["Message"]
    refused("ResourceNotFoundException", 404, f"Function not found: {ACCOUNT}:function:f", lam.delete_function, FunctionName="f")
    refused("ResourceNotFoundException", 404, f"Function not found: {ACCOUNT}:function:f:$LATEST", lam.invoke, FunctionName="f")
    refused("ResourceNotFoundException", 404, f"Function not found: {ACCOUNT}:function:f:live", lam.invoke, FunctionName="f", Qualifier="live")
    refused("ResourceNotFoundException", 404, "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')", lam.get_function, FunctionName="arn:aws:lambda:eu-west-1:123456789012:function:f")


def function_limits():
    lam = client("lambda")
    content = zipped(a="1")
    arns = [lam.publish_layer_version(LayerName=f"l{n}", Content={"ZipFile": content})["LayerVersionArn"] for n in range(6)]
    again = lam.publish_layer_version(LayerName="l0", Content={"ZipFile": content})["LayerVersionArn"]

    def bad(message, code="InvalidParameterValueException", status=400, **arguments):
        return refused(code, status, message, create, lam=lam, wait=False, **arguments)

    bad("Cannot reference more than 5 layers.", Layers=arns)
    same = "Two different versions of the same layer are not allowed to be referenced in the same function. {} and {} are versions of the same layer."
    bad(same.format(arns[0], again), Layers=[arns[0], again])
    bad(same.format(arns[0], arns[0]), Layers=[arns[0], arns[0]])
    bad(f"Layer version {arns[0][:-1]}9 does not exist.", Layers=[arns[0][:-1] + "9"])
    bad("Layers are not in the same region as the function. Layers are expected to be in region us-east-1.", Layers=["arn:aws:lambda:eu-west-1:123456789012:layer:l:1"])
    answer, _ = bad(lambda text: "is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:999999999999:layer:l:1 because no resource-based policy allows the lambda:GetLayerVersion action" in text, "AccessDeniedException", 403, Layers=["arn:aws:lambda:us-east-1:999999999999:layer:l:1"])
    answer, _ = bad(lambda text: text.startswith("1 validation error detected: Value '[arn:aws:lambda:us-east-1:123456789012:layer:l0]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ") and text.endswith(", Member must not be null]"), "ValidationException", Layers=[f"{ACCOUNT}:layer:l0"])
    bad(lambda text: text.startswith("Value non-existent-runtime at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [") and text.endswith("] or be a valid ARN"), Runtime="non-existent-runtime")
    bad("The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.", Runtime="python3.7")
    bad("1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900", "ValidationException", Timeout=901)
    bad("1 validation error detected: Value '10241' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240", "ValidationException", MemorySize=10241)
    bad("1 validation error detected: Value '511' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value greater than or equal to 512", "ValidationException", EphemeralStorage={"Size": 511})
    bad("1 validation error detected: Value '" + "a" * 65 + "' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64", name="a" * 65)
    large = {"SMALL_VAR": "ok", "LARGE_VAR": "x" * 4096}
    bad("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: " + json.dumps(large, separators=(",", ":")), Environment={"Variables": large})
    bad(lambda text: "exceeded the 4KB limit" in text, Environment={"Variables": {"LARGE_VAR": "x" * (4096 - 6 - 9)}})
    bad("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION", Environment={"Variables": {"AWS_REGION": "x"}})
    bad("Could not unzip uploaded file. Please check your file, then try to upload again.", Code={"ZipFile": b"no zip"})
    bad(lambda text: text.startswith("1 validation error detected: Value 'not-an-arn' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: "), "ValidationException", Role="not-an-arn")
    bad("Number of tags exceeds resource tag limit.", Tags={f"k{n}": "v" for n in range(51)})
    create(lam, "fits", Environment={"Variables": {"LARGE_VAR": "x" * (4096 - 7 - 9)}}, Layers=arns[:5], Timeout=900, MemorySize=10240)
    got = lam.get_function_configuration(FunctionName="fits")
    assert got["Layers"] == [{"Arn": arn, "CodeSize": len(content)} for arn in arns[:5]]
    lam.delete_layer_version(LayerName="l1", VersionNumber=1)
    assert lam.get_function_configuration(FunctionName="fits")["Layers"] == got["Layers"]


def function_states():
    lam = client("lambda")
    # Unpacking takes long enough for the states to be seen.
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        archive.writestr("app.py", ECHO)
        for number in range(4000):
            archive.writestr(f"d/{number}", str(number))
    create(lam, wait=False, Code={"ZipFile": many.getvalue()})
    answer, _ = refused("ResourceConflictException", 409, "The operation cannot be performed at this time. The function is currently in the following state: Pending", lam.invoke, FunctionName="f")
    assert answer["Type"] == "User" and "message" in answer
    refused("ResourceConflictException", 409, "The operation cannot be performed at this time. The function is currently in the following state: Pending", lam.update_function_configuration, FunctionName="f", Timeout=5)
    lam.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0.05})
    many.seek(0)
    lam.update_function_code(FunctionName="f", ZipFile=many.getvalue()[:0] or rezipped(many.getvalue()))
    refused("ResourceConflictException", 409, f"The operation cannot be performed at this time. An update is in progress for resource: {ACCOUNT}:function:f", lam.update_function_configuration, FunctionName="f", Timeout=5)
    updated(lam)
    # Damaged data in a zip with a good directory.
    damaged = bytearray(zipped(app_py=ECHO * 50))
    damaged[60] ^= 0xFF
    said = ("InvalidParameterValueException", 400, "Could not unzip uploaded file. Please check your file, then try to upload again.")
    refused(*said, create, lam=lam, name="broken", Code={"ZipFile": bytes(damaged)})
    refused(*said, lam.update_function_code, FunctionName="f", ZipFile=bytes(damaged))
    refused(*said, lam.publish_layer_version, LayerName="broken", Content={"ZipFile": bytes(damaged)})


def rezipped(content):
    source = zipfile.ZipFile(io.BytesIO(content))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name) + b"\n")
    return buffer.getvalue()


def package_limits():
    import os

    lam = client("lambda")
    # The zip, as it is: exactly the limit is too much.
    head = zipped(a="1")
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("r", os.urandom(1 << 20) * 49)
    filler = 52428800 - len(stored.getvalue())
    assert filler > 0 and head
    padded = b"\0" * filler + stored.getvalue()
    assert len(padded) == 52428800
    refused("RequestEntityTooLargeException", 413, "Zipped size must be smaller than 52428800 bytes", lam.publish_layer_version, LayerName="x", Content={"ZipFile": padded})
    # The request: one byte more than fits.
    refused("RequestEntityTooLargeException", 413, "Request must be smaller than 70167211 bytes for the PublishLayerVersion operation", lam.publish_layer_version, LayerName="x", Content={"ZipFile": bytes(52700000)})
    refused("RequestEntityTooLargeException", 413, "Request must be smaller than 70167211 bytes for the CreateFunction operation", create, lam=lam, wait=False, Code={"ZipFile": bytes(52700000)})
    # Unzipped: exactly the limit is too much, one byte less is not.
    refused("InvalidParameterValueException", 400, "Unzipped size must be smaller than 262144000 bytes", lam.publish_layer_version, LayerName="x", Content={"ZipFile": zeros(262144000)})
    layer = lam.publish_layer_version(LayerName="x", Content={"ZipFile": zeros(262143999)})["LayerVersionArn"]
    code = zipped(app_py=ECHO)
    total = 262143999 + len(ECHO)
    refused("InvalidParameterValueException", 400, f"Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is {total} bytes.", create, lam=lam, wait=False, Code={"ZipFile": code}, Layers=[layer])
    s3 = client("s3")
    s3.create_bucket(Bucket="large")
    s3.put_object(Bucket="large", Key="padded.zip", Body=padded)
    assert lam.publish_layer_version(LayerName="y", Content={"S3Bucket": "large", "S3Key": "padded.zip"})["Content"]["CodeSize"] == 52428800


def invocations():
    lam = client("lambda")
    runtime = newest_runtime(lam)
    create(lam, Runtime=runtime)
    answer = lam.invoke(FunctionName="f", Payload=b'{"a": 1}', LogType="Tail")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    payload = json.loads(answer["Payload"].read())
    assert answer["StatusCode"] == 200 and payload == {"event": {"a": 1}, "arn": f"{ACCOUNT}:function:f"}, payload
    assert answer["ExecutedVersion"] == "$LATEST" and "FunctionError" not in answer
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert tail.startswith(f"START RequestId: {headers['x-amzn-requestid']} Version: $LATEST\n"), tail
    assert "seen {'a': 1}" in tail and "REPORT RequestId" in tail
    qualified = json.loads(lam.invoke(FunctionName="f", Qualifier="$LATEST")["Payload"].read())
    assert qualified == {"event": {}, "arn": f"{ACCOUNT}:function:f:$LATEST"}, qualified
    assert lam.invoke(FunctionName="f", InvocationType="DryRun")["StatusCode"] == 204
    event = lam.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"later": true}')
    assert event["StatusCode"] == 202 and "ExecutedVersion" not in event
    logs = client("logs")
    deadline = time.time() + 20
    while time.time() < deadline:
        found = [e["message"] for e in logs.filter_log_events(logGroupName="/aws/lambda/f")["events"]]
        if any("later" in text for text in found):
            break
    assert any("later" in text for text in found), found
    refused("InvalidRequestContentException", 400, "Could not parse request body into json: Could not parse payload into json: Invalid UTF-8 start byte 0x87\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 3]", lam.invoke, FunctionName="f", Payload=b'"\x87"')
    refused("RequestEntityTooLargeException", 413, "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)", lam.invoke, FunctionName="f", Payload=b'"' + b"x" * 6291455 + b'"')
    refused("RequestEntityTooLargeException", 413, "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)", lam.invoke, FunctionName="f", InvocationType="Event", Payload=b'"' + b"x" * 1048575 + b'"')
    lam.update_function_code(FunctionName="f", ZipFile=zipped(app_py="def handler(event, context):\n    raise Exception('Handler fails')\n"))
    updated(lam)
    failed = lam.invoke(FunctionName="f")
    assert failed["FunctionError"] == "Unhandled" and json.loads(failed["Payload"].read())["errorMessage"] == "Handler fails"
    # Layers: later ones win, and they outlive their deletion.
    low = lam.publish_layer_version(LayerName="low", Content={"ZipFile": zipped(python__a_py="A = 'low'", python__b_py="B = 'low'")})["LayerVersionArn"]
    high = lam.publish_layer_version(LayerName="high", Content={"ZipFile": zipped(python__b_py="B = 'high'")})["LayerVersionArn"]
    create(lam, "layered", Runtime=runtime, Layers=[low, high], Code={"ZipFile": zipped(app_py="import a, b\ndef handler(event, context):\n    return [a.A, b.B]\n")})
    lam.delete_layer_version(LayerName="low", VersionNumber=1)
    lam.delete_layer_version(LayerName="high", VersionNumber=1)
    answer = lam.invoke(FunctionName="layered", LogType="Tail")
    payload = json.loads(answer["Payload"].read())
    assert payload == ["low", "high"], (payload, base64.b64decode(answer["LogResult"]))
    # A runtime that is known and cannot run here.
    create(lam, "node", Runtime="nodejs22.x")
    refused("NotImplemented", 501, "The local cloud does not implement running functions of the runtime nodejs22.x yet", lam.invoke, FunctionName="node")


def newest_runtime(lam):
    import shutil
    import subprocess

    for minor in range(14, 7, -1):
        name = f"3.{minor}"
        from pathlib import Path

        if any((Path.home() / ".pyenv/versions").glob(f"{name}.*")) or shutil.which(f"python{name}"):
            return f"python{name}"
    raise AssertionError("no Python for a runtime")


def tags():
    lam = client("lambda")
    create(lam, Tags={"one": "1"})
    arn = f"{ACCOUNT}:function:f"
    lam.tag_resource(Resource=arn, Tags={"two": "2"})
    assert lam.list_tags(Resource=arn)["Tags"] == {"one": "1", "two": "2"}
    assert lam.untag_resource(Resource=arn, TagKeys=["one"])["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert lam.get_function(FunctionName="f")["Tags"] == {"two": "2"}
    refused("ResourceNotFoundException", 404, f"Function not found: {ACCOUNT}:function:nope", lam.list_tags, Resource=f"{ACCOUNT}:function:nope")


def what_is_not_built():
    lam = client("lambda")
    refused("NotImplemented", 501, "The local cloud does not implement ListCapacityProviders yet", lam.list_capacity_providers)
    refused("NotImplemented", 501, lambda text: "container images" in text, create, lam=lam, wait=False, PackageType="Image", Code={"ImageUri": "x"})
    refused("NotImplemented", 501, "GetObjectTorrent is not implemented yet", client("s3").get_object_torrent, Bucket="bucket", Key="k")


def roles():
    iam = client("iam")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    made = iam.create_role(RoleName="r", AssumeRolePolicyDocument=policy, Description="a <b> & c", Tags=[{"Key": "k", "Value": "v"}])["Role"]
    assert made["Arn"] == "arn:aws:iam::123456789012:role/r" and made["RoleId"].startswith("AROA")
    got = iam.get_role(RoleName="r")["Role"]
    assert got["AssumeRolePolicyDocument"] == json.loads(policy) and got["Description"] == "a <b> & c" and got["Tags"] == [{"Key": "k", "Value": "v"}]
    refused("EntityAlreadyExists", 409, "Role with name r already exists.", iam.create_role, RoleName="r", AssumeRolePolicyDocument=policy)
    arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    assert iam.list_attached_role_policies(RoleName="r")["AttachedPolicies"] == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": arn}]
    assert iam.list_role_policies(RoleName="r")["PolicyNames"] == []
    assert iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"] == []
    refused("DeleteConflict", 409, "Cannot delete entity, must detach all policies first.", iam.delete_role, RoleName="r")
    iam.detach_role_policy(RoleName="r", PolicyArn=arn)
    refused("NoSuchEntity", 404, f"Policy {arn} was not found.", iam.detach_role_policy, RoleName="r", PolicyArn=arn)
    iam.tag_role(RoleName="r", Tags=[{"Key": "l", "Value": ""}])
    assert {tag["Key"] for tag in iam.list_role_tags(RoleName="r")["Tags"]} == {"k", "l"}
    assert [role["RoleName"] for role in client("iam", "eu-west-1").list_roles()["Roles"]] == ["r"], "IAM is the same in every region"
    iam.delete_role(RoleName="r")
    refused("NoSuchEntity", 404, "The role with name r cannot be found.", iam.get_role, RoleName="r")
    refused("NoSuchEntity", 404, "The role with name r cannot be found.", iam.delete_role, RoleName="r")


def caller_identity():
    answer = client("sts").get_caller_identity()
    assert answer["Account"] == "123456789012" and answer["Arn"] == "arn:aws:iam::123456789012:root"


def logs():
    logs = client("logs")
    logs.create_log_group(logGroupName="/g")
    refused("ResourceAlreadyExistsException", 400, "The specified log group already exists", logs.create_log_group, logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    start = int(time.time()) * 1000 - 60_000
    logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": start + n, "message": f"event {n}"} for n in range(5)])
    head = logs.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True, limit=2)
    assert [e["message"] for e in head["events"]] == ["event 0", "event 1"]
    more = logs.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True, nextToken=head["nextForwardToken"])
    assert [e["message"] for e in more["events"]] == ["event 2", "event 3", "event 4"]
    end = logs.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True, nextToken=more["nextForwardToken"])
    assert end["events"] == [] and end["nextForwardToken"] == more["nextForwardToken"]
    tail = logs.get_log_events(logGroupName="/g", logStreamName="s", limit=2)
    assert [e["message"] for e in tail["events"]] == ["event 3", "event 4"]
    found = [e["message"] for page in logs.get_paginator("filter_log_events").paginate(logGroupName="/g", filterPattern="event -2", PaginationConfig={"PageSize": 2}) for e in page["events"]]
    assert found == ["event 0", "event 1", "event 3", "event 4"], found
    assert logs.describe_log_streams(logGroupName="/g")["logStreams"][0]["lastEventTimestamp"] == start + 4
    assert [g["logGroupName"] for g in logs.describe_log_groups(logGroupNamePrefix="/")["logGroups"]] == ["/g"]
    refused("ResourceNotFoundException", 400, "The specified log stream does not exist.", logs.get_log_events, logGroupName="/g", logStreamName="x")
    logs.delete_log_group(logGroupName="/g")
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.delete_log_group, logGroupName="/g")


def buckets():
    s3 = client("s3")
    s3.create_bucket(Bucket="one")
    assert s3.create_bucket(Bucket="one")["ResponseMetadata"]["HTTPStatusCode"] == 200, "us-east-1 says yes twice"
    west = client("s3", "eu-west-1")
    west.create_bucket(Bucket="two", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    refused("BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and you already own it.", west.create_bucket, Bucket="two", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    refused("IllegalLocationConstraintException", 400, "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.", west.create_bucket, Bucket="three")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["one", "two"]
    assert s3.get_bucket_location(Bucket="one")["LocationConstraint"] is None
    assert s3.get_bucket_location(Bucket="two")["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket="two")["BucketRegion"] == "eu-west-1"
    refused("404", 404, "Not Found", s3.head_bucket, Bucket="nope")
    s3.put_object(Bucket="one", Key="k", Body=b"")
    refused("BucketNotEmpty", 409, "The bucket you tried to delete is not empty", s3.delete_bucket, Bucket="one")
    s3.delete_object(Bucket="one", Key="k")
    assert s3.delete_bucket(Bucket="one")["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("NoSuchBucket", 404, "The specified bucket does not exist", s3.delete_bucket, Bucket="one")


def objects():
    s3 = client("s3")
    s3.create_bucket(Bucket="b-ucket")
    put = s3.put_object(Bucket="b-ucket", Key="a+b c/ü.txt", Body=b"hello world", ContentType="text/plain", Metadata={"who": "me"}, CacheControl="no-cache")
    assert put["ETag"] == '"5eb63bbbe01eeed093cb22bb8f5acdc3"'
    got = s3.get_object(Bucket="b-ucket", Key="a+b c/ü.txt", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"hello world" and got["ContentType"] == "text/plain" and got["Metadata"] == {"who": "me"} and got["CacheControl"] == "no-cache"
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"] and got["ChecksumType"] == "FULL_OBJECT"
    part = s3.get_object(Bucket="b-ucket", Key="a+b c/ü.txt", Range="bytes=6-")
    assert part["Body"].read() == b"world" and part["ContentRange"] == "bytes 6-10/11" and part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3.get_object(Bucket="b-ucket", Key="a+b c/ü.txt", Range="bytes=-5")["Body"].read() == b"world"
    refused("InvalidRange", 416, "The requested range is not satisfiable", s3.get_object, Bucket="b-ucket", Key="a+b c/ü.txt", Range="bytes=11-")
    refused("304", 304, "Not Modified", s3.get_object, Bucket="b-ucket", Key="a+b c/ü.txt", IfNoneMatch=put["ETag"])
    refused("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold", s3.get_object, Bucket="b-ucket", Key="a+b c/ü.txt", IfMatch='"x"')
    refused("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold", s3.put_object, Bucket="b-ucket", Key="a+b c/ü.txt", Body=b"", IfNoneMatch="*")
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.get_object, Bucket="b-ucket", Key="nope")
    refused("404", 404, "Not Found", s3.head_object, Bucket="b-ucket", Key="nope")
    assert s3.head_object(Bucket="b-ucket", Key="a+b c/ü.txt")["ContentLength"] == 11
    s3.copy_object(Bucket="b-ucket", Key="copy", CopySource={"Bucket": "b-ucket", "Key": "a+b c/ü.txt"})
    copied = s3.get_object(Bucket="b-ucket", Key="copy")
    assert copied["Body"].read() == b"hello world" and copied["Metadata"] == {"who": "me"}
    s3.copy_object(Bucket="b-ucket", Key="copy", CopySource={"Bucket": "b-ucket", "Key": "copy"}, MetadataDirective="REPLACE", Metadata={"who": "you"})
    assert s3.head_object(Bucket="b-ucket", Key="copy")["Metadata"] == {"who": "you"}
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "b-ucket", "Key": "copy"})
    assert urllib.request.urlopen(url).read() == b"hello world"
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "b-ucket", "Key": "presigned"})
    urllib.request.urlopen(urllib.request.Request(url, data=b"by link", method="PUT"))
    assert s3.get_object(Bucket="b-ucket", Key="presigned")["Body"].read() == b"by link"
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"):
        try:
            answer = s3.put_object(Bucket="b-ucket", Key=algorithm, Body=b"hello world", ChecksumAlgorithm=algorithm)
        except Exception as error:
            assert "Missing Dependency" in str(error), error
            continue
        assert answer[f"Checksum{algorithm}"]
    refused("BadDigest", 400, "The CRC32 you specified did not match the calculated checksum.", s3.put_object, Bucket="b-ucket", Key="bad", Body=b"hello", ChecksumCRC32="AAAAAA==")
    refused("BadDigest", 400, "The Content-MD5 you specified did not match what we received.", s3.put_object, Bucket="b-ucket", Key="bad", Body=b"hello", ContentMD5="XrY7u+Ae7tCTyyK7j1rNww==")
    refused("NoSuchBucket", 404, "The specified bucket does not exist", s3.put_object, Bucket="nope", Key="k", Body=b"x" * 100_000)
    large = bytes(range(256)) * 4096 * 8
    s3.upload_fileobj(io.BytesIO(large), "b-ucket", "large")
    into = io.BytesIO()
    s3.download_fileobj("b-ucket", "large", into)
    assert into.getvalue() == large
    deleted = s3.delete_objects(Bucket="b-ucket", Delete={"Objects": [{"Key": "copy"}, {"Key": "never there"}]})
    assert sorted(item["Key"] for item in deleted["Deleted"]) == ["copy", "never there"]
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.get_object, Bucket="b-ucket", Key="copy")


def listings():
    s3 = client("s3")
    s3.create_bucket(Bucket="list")
    names = ["a/1", "a/2", "a+b", "b", "b/1", "b/2/3", "c d", "z&<"] + [f"n/{n:04}" for n in range(600)]
    for name in names:
        s3.put_object(Bucket="list", Key=name, Body=b"x")
    names.sort(key=lambda name: name.encode())
    for operation in ("list_objects", "list_objects_v2"):
        paginator = s3.get_paginator(operation)
        found = [item["Key"] for page in paginator.paginate(Bucket="list", PaginationConfig={"PageSize": 7}) for item in page.get("Contents", [])]
        assert found == names, operation
        keys, prefixes = [], []
        for page in paginator.paginate(Bucket="list", Delimiter="/", PaginationConfig={"PageSize": 2}):
            keys += [item["Key"] for item in page.get("Contents", [])]
            prefixes += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
        assert keys == ["a+b", "b", "c d", "z&<"] and prefixes == ["a/", "b/", "n/"], (operation, keys, prefixes)
        inside = getattr(s3, operation)(Bucket="list", Prefix="b/", Delimiter="/")
        assert [item["Key"] for item in inside["Contents"]] == ["b/1"] and [item["Prefix"] for item in inside["CommonPrefixes"]] == ["b/2/"]
    assert s3.list_objects_v2(Bucket="list", StartAfter="n/0597")["KeyCount"] == 3
    assert s3.list_objects_v2(Bucket="list", Prefix="none")["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket="list", MaxKeys=0)["KeyCount"] == 0


def multipart():
    s3 = client("s3")
    s3.create_bucket(Bucket="parts")
    first, second = b"1" * (5 << 20), b"2" * 1000
    upload = s3.create_multipart_upload(Bucket="parts", Key="k", ContentType="text/x", ChecksumAlgorithm="CRC32")
    where = {"Bucket": "parts", "Key": "k", "UploadId": upload["UploadId"]}
    etags = [s3.upload_part(**where, PartNumber=n, Body=body) for n, body in ((1, first), (2, second))]
    assert [part["Size"] for part in s3.list_parts(**where)["Parts"]] == [len(first), len(second)]
    assert [found["Key"] for found in s3.list_multipart_uploads(Bucket="parts")["Uploads"]] == ["k"]
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.get_object, Bucket="parts", Key="k")
    parts = [{"PartNumber": n + 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]} for n, part in enumerate(etags)]
    refused("InvalidPart", 400, lambda text: text.startswith("One or more of the specified parts could not be found."), s3.complete_multipart_upload, **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"x"'}]})
    refused("InvalidPartOrder", 400, lambda text: "ascending order" in text, s3.complete_multipart_upload, **where, MultipartUpload={"Parts": parts[::-1]})
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    expected = hashlib.md5(hashlib.md5(first).digest() + hashlib.md5(second).digest()).hexdigest() + "-2"
    assert done["ETag"] == f'"{expected}"' and done["ChecksumCRC32"].endswith("-2"), done
    got = s3.get_object(Bucket="parts", Key="k")
    assert got["Body"].read() == first + second and got["ContentType"] == "text/x"
    refused("NoSuchUpload", 404, lambda text: text.startswith("The specified upload does not exist."), s3.list_parts, **where)
    upload = s3.create_multipart_upload(Bucket="parts", Key="copy")
    where = {"Bucket": "parts", "Key": "copy", "UploadId": upload["UploadId"]}
    part = s3.upload_part_copy(**where, PartNumber=1, CopySource={"Bucket": "parts", "Key": "k"}, CopySourceRange="bytes=5242870-5242889")
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]})
    assert s3.get_object(Bucket="parts", Key="copy")["Body"].read() == b"1" * 10 + b"2" * 10
    upload = s3.create_multipart_upload(Bucket="parts", Key="small")
    where = {"Bucket": "parts", "Key": "small", "UploadId": upload["UploadId"]}
    small = [{"PartNumber": n, "ETag": s3.upload_part(**where, PartNumber=n, Body=b"x")["ETag"]} for n in (1, 2)]
    refused("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size", s3.complete_multipart_upload, **where, MultipartUpload={"Parts": small})
    s3.abort_multipart_upload(**where)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="parts")


def regions():
    here, there = client("lambda"), client("lambda", "eu-central-1")
    here.publish_layer_version(LayerName="l", Content={"ZipFile": zipped(a="1")})
    assert there.list_layers()["Layers"] == []
    made = there.publish_layer_version(LayerName="l", Content={"ZipFile": zipped(a="2")})
    assert made["LayerVersionArn"] == "arn:aws:lambda:eu-central-1:123456789012:layer:l:1"


globals()[sys.argv[2]]()
