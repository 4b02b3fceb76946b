"""What an infrastructure tool does with each resource: create it, read it back, see no difference,
change it, read it back, delete it, and see that it is gone.

Usage: terraform_like.py ENDPOINT RUNTIME. A failed assertion fails the test. The rule for every
step: each member that was written reads back as it was written, so that a plan shows no difference.
"""

import base64
import hashlib
import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, RUNTIME = sys.argv[1:3]
REGION, ACCOUNT = "eu-west-1", "123456789012"


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, config=Config(retries={"max_attempts": 0}))


s3, iam, logs, lam = client("s3"), client("iam"), client("logs"), client("lambda")


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "/").replace("_py", ".py")), text)
    return buffer.getvalue()


def reads_back(written, read, path=""):
    """Every member of `written` is in `read` with the same value."""
    if isinstance(written, dict):
        assert isinstance(read, dict), f"{path}: {written!r} reads back as {read!r}"
        for name, value in written.items():
            assert name in read, f"{path}.{name} was written and is not read back: {read!r}"
            reads_back(value, read[name], f"{path}.{name}")
    elif isinstance(written, list):
        assert isinstance(read, list) and len(written) == len(read), f"{path}: {written!r} reads back as {read!r}"
        for number, (one, other) in enumerate(zip(written, read)):
            reads_back(one, other, f"{path}[{number}]")
    else:
        assert written == read, f"{path}: {written!r} reads back as {read!r}"


def fails(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{error.response['Error']} is not {code}"
        return
    raise AssertionError(f"{arguments} should have failed with {code}")


def steady(read):
    """Reading twice gives the same: what changes by itself would be a difference in every plan."""
    first, second = read(), read()
    for answer in (first, second):
        answer.pop("ResponseMetadata", None)
        answer.get("Code", {}).pop("Location", None)
    assert first == second, f"{first}\nis read again as\n{second}"
    return first


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
TAGS = [{"Key": "owner", "Value": "team a"}, {"Key": "stage", "Value": "test"}]


def role():
    written = dict(RoleName="runner", Path="/tools/", Description="runs", MaxSessionDuration=7200, Tags=TAGS)
    iam.create_role(AssumeRolePolicyDocument=json.dumps(TRUST), **written)
    read = lambda: iam.get_role(RoleName="runner")["Role"]
    reads_back({**written, "AssumeRolePolicyDocument": TRUST}, steady(read))
    arn = read()["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:role/tools/runner", arn
    iam.update_role(RoleName="runner", Description="runs functions", MaxSessionDuration=3600)
    reads_back({"Description": "runs functions", "MaxSessionDuration": 3600}, read())
    iam.update_assume_role_policy(RoleName="runner", PolicyDocument=json.dumps({**TRUST, "Id": "x"}))
    reads_back({"AssumeRolePolicyDocument": {**TRUST, "Id": "x"}}, read())
    iam.untag_role(RoleName="runner", TagKeys=["stage"])
    iam.tag_role(RoleName="runner", Tags=[{"Key": "more", "Value": ""}])
    tags = {tag["Key"]: tag["Value"] for tag in iam.list_role_tags(RoleName="runner")["Tags"]}
    assert tags == {"owner": "team a", "more": ""}, tags
    # A role's policies: inline, AWS's and the customer's.
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="runner", PolicyName="inline", PolicyDocument=json.dumps(document))
    reads_back({"RoleName": "runner", "PolicyName": "inline", "PolicyDocument": document},
               iam.get_role_policy(RoleName="runner", PolicyName="inline"))
    assert iam.list_role_policies(RoleName="runner")["PolicyNames"] == ["inline"]
    policy = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(document), Description="own")["Policy"]
    reads_back({"PolicyName": "own", "Description": "own", "Path": "/"}, iam.get_policy(PolicyArn=policy["Arn"])["Policy"])
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    reads_back({"Document": document, "IsDefaultVersion": True}, version["PolicyVersion"])
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    for attached in (policy["Arn"], managed):
        iam.attach_role_policy(RoleName="runner", PolicyArn=attached)
    attached = iam.list_attached_role_policies(RoleName="runner")["AttachedPolicies"]
    assert sorted(one["PolicyArn"] for one in attached) == sorted([policy["Arn"], managed]), attached

    def delete():
        fails("DeleteConflict", iam.delete_role, RoleName="runner")
        for one in (policy["Arn"], managed):
            iam.detach_role_policy(RoleName="runner", PolicyArn=one)
        iam.delete_role_policy(RoleName="runner", PolicyName="inline")
        iam.delete_policy(PolicyArn=policy["Arn"])
        assert iam.list_instance_profiles_for_role(RoleName="runner")["InstanceProfiles"] == []
        iam.delete_role(RoleName="runner")
        fails("NoSuchEntity", iam.get_role, RoleName="runner")

    return arn, delete


def bucket():
    name = "state-of-things"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.head_bucket(Bucket=name)
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == REGION
    # A refresh reads all of these, whether they were ever written or not.
    for code, call in {
        "NoSuchBucketPolicy": s3.get_bucket_policy,
        "NoSuchCORSConfiguration": s3.get_bucket_cors,
        "NoSuchWebsiteConfiguration": s3.get_bucket_website,
        "NoSuchLifecycleConfiguration": s3.get_bucket_lifecycle_configuration,
        "ReplicationConfigurationNotFoundError": s3.get_bucket_replication,
        "ObjectLockConfigurationNotFoundError": s3.get_object_lock_configuration,
        "NoSuchTagSet": s3.get_bucket_tagging,
    }.items():
        fails(code, call, Bucket=name)
    assert s3.get_bucket_acl(Bucket=name)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=name)
    assert s3.get_bucket_request_payment(Bucket=name)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=name)
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256", rules
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": TAGS})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == TAGS
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    block = dict(BlockPublicAcls=True, IgnorePublicAcls=True, BlockPublicPolicy=True, RestrictPublicBuckets=True)
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    assert s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == block

    def delete():
        fails("BucketNotEmpty", s3.delete_bucket, Bucket=name)
        versions = s3.list_object_versions(Bucket=name)
        doomed = [{"Key": one["Key"], "VersionId": one["VersionId"]}
                  for one in versions.get("Versions", []) + versions.get("DeleteMarkers", [])]
        s3.delete_objects(Bucket=name, Delete={"Objects": doomed, "Quiet": True})
        s3.delete_bucket(Bucket=name)
        fails("404", s3.head_bucket, Bucket=name)

    return name, delete


def stored(bucket, key, body):
    answer = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/zip", Metadata={"made-by": "test"},
                           Tagging="owner=team%20a")
    assert answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', answer["ETag"]
    read = s3.head_object(Bucket=bucket, Key=key)
    reads_back({"ContentType": "application/zip", "Metadata": {"made-by": "test"}, "ContentLength": len(body),
                "ETag": answer["ETag"], "VersionId": answer["VersionId"]}, read)
    assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == TAGS[:1]
    return answer["VersionId"]


def log_group(name):
    logs.create_log_group(logGroupName=name, tags={"owner": "team a"})
    logs.put_retention_policy(logGroupName=name, retentionInDays=14)
    read = lambda: logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    reads_back({"logGroupName": name, "retentionInDays": 14}, read())
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
    assert read()["arn"] == f"{arn}:*" and logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"owner": "team a"}
    logs.delete_retention_policy(logGroupName=name)
    assert "retentionInDays" not in read()

    def delete():
        logs.delete_log_group(logGroupName=name)
        assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []

    return delete


def layer(bucket):
    content = zipped(python__greeting_py="WORD = 'hello'")
    version = stored(bucket, "layers/greeting.zip", content)
    stored(bucket, "layers/greeting.zip", zipped(python__greeting_py="WORD = 'newer'"))
    written = dict(LayerName="greeting", Description="words", CompatibleRuntimes=["python3.12", RUNTIME],
                   CompatibleArchitectures=["x86_64", "arm64"], LicenseInfo="MIT")
    source = {"S3Bucket": bucket, "S3Key": "layers/greeting.zip", "S3ObjectVersion": version}
    made = lam.publish_layer_version(Content=source, **written)
    read = lambda: lam.get_layer_version(LayerName="greeting", VersionNumber=made["Version"])
    written.pop("LayerName")
    reads_back(written, read())
    assert made["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode(), "another version"
    statement = dict(StatementId="all", Action="lambda:GetLayerVersion", Principal="*")
    lam.add_layer_version_permission(LayerName="greeting", VersionNumber=made["Version"], **statement)
    policy = json.loads(lam.get_layer_version_policy(LayerName="greeting", VersionNumber=made["Version"])["Policy"])
    reads_back([{"Sid": "all", "Effect": "Allow", "Action": "lambda:GetLayerVersion", "Principal": "*",
                 "Resource": made["LayerVersionArn"]}], policy["Statement"])

    def delete():
        lam.remove_layer_version_permission(LayerName="greeting", VersionNumber=made["Version"], StatementId="all")
        lam.delete_layer_version(LayerName="greeting", VersionNumber=made["Version"])
        fails("ResourceNotFoundException", lam.get_layer_version, LayerName="greeting", VersionNumber=made["Version"])

    return made["LayerVersionArn"], delete


CODE = "import greeting, os\ndef handler(event, context):\n    return [greeting.WORD, os.environ['MODE'], context.function_version]\n"


def function(role, layers):
    name = "app"
    fails("ResourceNotFoundException", lam.get_function, FunctionName=name)
    written = dict(
        FunctionName=name, Role=role, Handler="app.handler", Runtime=RUNTIME, Description="says words", Timeout=7,
        MemorySize=256, Environment={"Variables": {"MODE": "one", "EMPTY": ""}}, TracingConfig={"Mode": "Active"},
        EphemeralStorage={"Size": 1024}, Architectures=["x86_64"], PackageType="Zip",
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": "/apps/app"},
        DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"},
        KMSKeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000",
        VpcConfig={"SubnetIds": ["subnet-0a"], "SecurityGroupIds": ["sg-0b"], "Ipv6AllowedForDualStack": False},
    )
    lam.create_function(Code={"ZipFile": zipped(app_py=CODE)}, Layers=layers, Publish=True, Tags={"owner": "team a"}, **written)
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    read = lambda: steady(lambda: lam.get_function(FunctionName=name))
    now = read()
    reads_back(written, now["Configuration"])
    assert now["Tags"] == {"owner": "team a"} and [one["Arn"] for one in now["Configuration"]["Layers"]] == layers
    assert [one["Version"] for one in lam.list_versions_by_function(FunctionName=name)["Versions"]] == ["$LATEST", "1"]
    # An update in place, as one call for the code and one for the rest.
    changed = dict(
        Description="", Timeout=8, MemorySize=512, Environment={"Variables": {"MODE": "two"}},
        TracingConfig={"Mode": "PassThrough"}, EphemeralStorage={"Size": 512}, LoggingConfig={"LogFormat": "Text"},
    )
    # Written with nothing in it, a member goes.
    emptied = dict(DeadLetterConfig={"TargetArn": ""}, KMSKeyArn="", VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})
    lam.update_function_configuration(FunctionName=name, **changed, **emptied)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    now = read()["Configuration"]
    reads_back(changed, now)
    for gone in ("KMSKeyArn", "DeadLetterConfig"):
        assert not now.get(gone), f"{gone} reads back as {now[gone]!r}"
    assert not now.get("VpcConfig", {}).get("SubnetIds"), now["VpcConfig"]
    code = zipped(app_py=CODE + "# newer\n")
    answer = lam.update_function_code(FunctionName=name, ZipFile=code, Publish=True)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert answer["Version"] == "2" and read()["Configuration"]["CodeSha256"] == answer["CodeSha256"]
    answer = json.load(lam.invoke(FunctionName=name)["Payload"])
    assert answer == ["hello", "two", "$LATEST"], answer
    answer = json.load(lam.invoke(FunctionName=name, Qualifier="1")["Payload"])
    assert answer == ["hello", "one", "1"], answer
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    lam.tag_resource(Resource=arn, Tags={"stage": "test"})
    lam.untag_resource(Resource=arn, TagKeys=["owner"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"stage": "test"}
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    assert lam.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    lam.delete_function_concurrency(FunctionName=name)
    assert "Concurrency" not in lam.get_function(FunctionName=name)
    assert "CodeSigningConfigArn" not in lam.get_function_code_signing_config(FunctionName=name)

    def delete():
        lam.delete_function(FunctionName=name)
        fails("ResourceNotFoundException", lam.get_function, FunctionName=name)

    return name, delete


def settled(mapping):
    """Waits until a mapping is in none of the states in between, or gone."""
    while lam.get_event_source_mapping(UUID=mapping)["State"] not in ("Enabled", "Disabled"):
        pass


def around(function):
    """What hangs on a function: alias, permission, URL, event invoke config, mapping, and so on."""
    written = dict(FunctionName=function, Name="live", FunctionVersion="1", Description="what runs",
                   RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}})
    lam.create_alias(**written)
    named = dict(FunctionName=function, Name="live")
    written.pop("FunctionName")
    reads_back(written, steady(lambda: lam.get_alias(**named)))
    lam.update_alias(**named, FunctionVersion="2", RoutingConfig={})
    alias = lam.get_alias(**named)
    assert alias["FunctionVersion"] == "2" and "RoutingConfig" not in alias, alias

    statement = dict(StatementId="bucket", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    lam.add_permission(FunctionName=function, Qualifier="live", SourceArn="arn:aws:s3:::somewhere", SourceAccount=ACCOUNT, **statement)
    policy = json.loads(steady(lambda: lam.get_policy(FunctionName=function, Qualifier="live"))["Policy"])
    reads_back([{"Sid": "bucket", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "lambda:InvokeFunction",
                 "Resource": alias["AliasArn"],
                 "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::somewhere"}}}],
               policy["Statement"])
    lam.remove_permission(FunctionName=function, Qualifier="live", StatementId="bucket")
    fails("ResourceNotFoundException", lam.get_policy, FunctionName=function, Qualifier="live")

    cors = dict(AllowCredentials=True, AllowOrigins=["https://a.example"], AllowMethods=["GET"], AllowHeaders=["x-a"], MaxAge=60)
    lam.create_function_url_config(FunctionName=function, Qualifier="live", AuthType="NONE", Cors=cors)
    reads_back({"AuthType": "NONE", "Cors": cors, "InvokeMode": "BUFFERED"},
               steady(lambda: lam.get_function_url_config(FunctionName=function, Qualifier="live")))
    lam.update_function_url_config(FunctionName=function, Qualifier="live", AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM")
    reads_back({"AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM"},
               lam.get_function_url_config(FunctionName=function, Qualifier="live"))
    lam.delete_function_url_config(FunctionName=function, Qualifier="live")
    fails("ResourceNotFoundException", lam.get_function_url_config, FunctionName=function, Qualifier="live")

    written = dict(MaximumRetryAttempts=1, MaximumEventAgeInSeconds=120,
                   DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed"}})
    lam.put_function_event_invoke_config(FunctionName=function, **written)
    reads_back(written, steady(lambda: lam.get_function_event_invoke_config(FunctionName=function)))
    lam.delete_function_event_invoke_config(FunctionName=function)
    fails("ResourceNotFoundException", lam.get_function_event_invoke_config, FunctionName=function)

    lam.put_provisioned_concurrency_config(FunctionName=function, Qualifier="live", ProvisionedConcurrentExecutions=2)
    reads_back({"RequestedProvisionedConcurrentExecutions": 2},
               lam.get_provisioned_concurrency_config(FunctionName=function, Qualifier="live"))
    lam.delete_provisioned_concurrency_config(FunctionName=function, Qualifier="live")
    fails("ProvisionedConcurrencyConfigNotFoundException", lam.get_provisioned_concurrency_config,
          FunctionName=function, Qualifier="live")

    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs"
    written = dict(BatchSize=5, MaximumBatchingWindowInSeconds=3, FunctionResponseTypes=["ReportBatchItemFailures"],
                   FilterCriteria={"Filters": [{"Pattern": '{"body":{"kind":["a"]}}'}]}, ScalingConfig={"MaximumConcurrency": 4})
    mapping = lam.create_event_source_mapping(EventSourceArn=queue, FunctionName=function, Enabled=True, **written)["UUID"]
    settled(mapping)
    reads_back({**written, "EventSourceArn": queue, "State": "Enabled"}, lam.get_event_source_mapping(UUID=mapping))
    lam.update_event_source_mapping(UUID=mapping, BatchSize=6, Enabled=False)
    settled(mapping)
    reads_back({"BatchSize": 6, "State": "Disabled"}, lam.get_event_source_mapping(UUID=mapping))
    lam.delete_event_source_mapping(UUID=mapping)
    fails("ResourceNotFoundException", settled, mapping=mapping)

    publishers = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/AbCdEf0123"]}
    written = dict(Description="who signs", AllowedPublishers=publishers, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"})
    signing = lam.create_code_signing_config(**written)["CodeSigningConfig"]["CodeSigningConfigArn"]
    reads_back(written, steady(lambda: lam.get_code_signing_config(CodeSigningConfigArn=signing))["CodeSigningConfig"])
    lam.delete_code_signing_config(CodeSigningConfigArn=signing)
    fails("ResourceNotFoundException", lam.get_code_signing_config, CodeSigningConfigArn=signing)

    lam.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
    reads_back({"RecursiveLoop": "Allow"}, lam.get_function_recursion_config(FunctionName=function))
    lam.put_runtime_management_config(FunctionName=function, UpdateRuntimeOn="FunctionUpdate")
    reads_back({"UpdateRuntimeOn": "FunctionUpdate"}, lam.get_runtime_management_config(FunctionName=function))

    lam.delete_alias(**named)
    fails("ResourceNotFoundException", lam.get_alias, **named)


role_arn, delete_role = role()
bucket_name, delete_bucket = bucket()
delete_log_group = log_group("/apps/app")
layer_arn, delete_layer = layer(bucket_name)
function_name, delete_function = function(role_arn, [layer_arn])
around(function_name)
# In the order in which such a tool destroys.
for delete in (delete_function, delete_layer, delete_log_group, delete_bucket, delete_role):
    delete()
usage = lam.get_account_settings()["AccountUsage"]
assert usage == {"TotalCodeSize": 0, "FunctionCount": 0}, usage
print("no difference, and nothing left")
