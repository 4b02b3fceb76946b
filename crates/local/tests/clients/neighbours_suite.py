"""Scenarios for IAM, STS and CloudWatch Logs. Usage: neighbours_suite.py ENDPOINT SCENARIO.

A failed assertion fails the test.
"""

import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
PERMISSIONS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["logs:*"], "Resource": "*"}]}


def client(service, region="us-east-1", key="anything", secret="anything", token=None):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )


def refused(code, status, message, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        got = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"])
        matches = message(got[2]) if callable(message) else got[2] == message
        assert got[:2] == (code, status) and matches, f"{got} is not {(code, status, message)}"
        return
    raise AssertionError(f"{arguments} was not refused with {code}")


def violation(value, name, rule):
    return f"1 validation error detected: Value {value} at '{name}' failed to satisfy constraint: {rule}"


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def roles_read_back():
    # As Terraform does it: create, read back, change, read back, plan shows no difference.
    iam = client("iam")
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    made = iam.create_role(RoleName="r", Path="/service/x/", AssumeRolePolicyDocument=json.dumps(TRUST), Description="what it is for", MaxSessionDuration=7200, PermissionsBoundary=boundary, Tags=tags(a="1", b=""))["Role"]
    read = iam.get_role(RoleName="r")["Role"]
    assert read.pop("RoleLastUsed") == {}
    assert read == made, f"{read} is not {made}"
    assert made["Arn"] == "arn:aws:iam::123456789012:role/service/x/r" and made["RoleId"].startswith("AROA") and len(made["RoleId"]) == 21
    assert (made["Path"], made["Description"], made["MaxSessionDuration"], made["AssumeRolePolicyDocument"]) == ("/service/x/", "what it is for", 7200, TRUST)
    assert made["PermissionsBoundary"] == {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": boundary}
    assert made["Tags"] == tags(a="1", b="")
    other = {"Version": "2012-10-17", "Statement": [{"Sid": "x", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]}
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=json.dumps(other))
    iam.update_role(RoleName="r", Description="another", MaxSessionDuration=3600)
    iam.delete_role_permissions_boundary(RoleName="r")
    iam.tag_role(RoleName="r", Tags=tags(a="2", c="3"))
    iam.untag_role(RoleName="r", TagKeys=["b", "nothing"])
    read = iam.get_role(RoleName="r")["Role"]
    assert (read["Description"], read["MaxSessionDuration"], read["AssumeRolePolicyDocument"], read["Tags"]) == ("another", 3600, other, tags(a="2", c="3"))
    assert "PermissionsBoundary" not in read
    assert iam.list_role_tags(RoleName="r")["Tags"] == tags(a="2", c="3")
    assert iam.update_role_description(RoleName="r", Description="")["Role"].get("Description") is None
    assert iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"] == []
    iam.delete_role(RoleName="r")
    refused("NoSuchEntity", 404, "The role with name r cannot be found.", iam.get_role, RoleName="r")


def role_errors():
    iam = client("iam")
    trust = json.dumps(TRUST)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)
    refused("EntityAlreadyExists", 409, "Role with name r already exists.", iam.create_role, RoleName="r", AssumeRolePolicyDocument=trust)
    refused("EntityAlreadyExists", 409, "Role with name R already exists.", iam.create_role, RoleName="R", AssumeRolePolicyDocument=trust)
    refused("ValidationError", 400, "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", iam.create_role, RoleName="a b", AssumeRolePolicyDocument=trust)
    refused("ValidationError", 400, violation(f"'{'a' * 65}'", "roleName", "Member must have length less than or equal to 64"), iam.create_role, RoleName="a" * 65, AssumeRolePolicyDocument=trust)
    refused("ValidationError", 400, violation("null", "assumeRolePolicyDocument", "Member must not be null"), iam.create_role, RoleName="x")
    refused("ValidationError", 400, violation("'3599'", "maxSessionDuration", "Member must have value greater than or equal to 3600"), iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust, MaxSessionDuration=3599)
    refused("ValidationError", 400, violation("'43201'", "maxSessionDuration", "Member must have value less than or equal to 43200"), iam.update_role, RoleName="r", MaxSessionDuration=43201)
    refused("ValidationError", 400, lambda text: text.startswith("The specified value for path is invalid."), iam.create_role, RoleName="x", Path="a/", AssumeRolePolicyDocument=trust)
    malformed = lambda text, **change: refused("MalformedPolicyDocument", 400, text, iam.create_role, RoleName="x", AssumeRolePolicyDocument=json.dumps({**TRUST, "Statement": [{**TRUST["Statement"][0], **change}]}))
    refused("MalformedPolicyDocument", 400, "This policy contains invalid Json", iam.create_role, RoleName="x", AssumeRolePolicyDocument="{")
    malformed("AssumeRole policy may only specify STS AssumeRole actions.", Action="s3:GetObject")
    malformed("Has prohibited field Resource", Resource="*")
    malformed("Syntax errors in policy.", Effect="Maybe")
    refused("LimitExceeded", 409, "Cannot exceed quota for ACLSizePerRole: 2048", iam.create_role, RoleName="x", AssumeRolePolicyDocument=json.dumps({**TRUST, "Id": "x" * 2048}))
    refused("InvalidInput", 400, "Duplicate tag keys found. Please note that Tag keys are case insensitive.", iam.create_role, RoleName="x", AssumeRolePolicyDocument=trust, Tags=tags(a="1", A="2"))
    iam.tag_role(RoleName="r", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    refused("LimitExceeded", 409, "The number of tags has reached the maximum limit.", iam.tag_role, RoleName="r", Tags=tags(one="more"))
    for call, arguments in [(iam.update_role, {}), (iam.delete_role, {}), (iam.list_role_policies, {}), (iam.list_attached_role_policies, {}), (iam.tag_role, {"Tags": []}), (iam.list_instance_profiles_for_role, {})]:
        refused("NoSuchEntity", 404, "The role with name no cannot be found.", call, RoleName="no", **arguments)
    refused("ValidationError", 400, violation("'0'", "maxItems", "Member must have value greater than or equal to 1"), iam.list_roles, MaxItems=0)


def policies_in_roles():
    iam = client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(PERMISSIONS))
    read = iam.get_role_policy(RoleName="r", PolicyName="p")
    assert (read["RoleName"], read["PolicyName"], read["PolicyDocument"]) == ("r", "p", PERMISSIONS)
    other = {**PERMISSIONS, "Statement": {"Effect": "Deny", "NotAction": "s3:*", "Resource": "ü*"}}
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(other))
    assert iam.get_role_policy(RoleName="r", PolicyName="p")["PolicyDocument"] == other
    iam.put_role_policy(RoleName="r", PolicyName="a", PolicyDocument=json.dumps(PERMISSIONS))
    assert iam.list_role_policies(RoleName="r")["PolicyNames"] == ["a", "p"]
    refused("MalformedPolicyDocument", 400, "Syntax errors in policy.", iam.put_role_policy, RoleName="r", PolicyName="p", PolicyDocument="[]")
    refused("MalformedPolicyDocument", 400, "Policy document should not specify a principal.", iam.put_role_policy, RoleName="r", PolicyName="p", PolicyDocument=json.dumps(TRUST))
    refused("MalformedPolicyDocument", 400, "Policy statement must contain resources.", iam.put_role_policy, RoleName="r", PolicyName="p", PolicyDocument=json.dumps({"Statement": [{"Effect": "Allow", "Action": "*"}]}))
    long = json.dumps({**PERMISSIONS, "Id": "x" * 10240})
    refused("LimitExceeded", 409, "Maximum policy size of 10240 bytes exceeded for role r", iam.put_role_policy, RoleName="r", PolicyName="b", PolicyDocument=long)
    refused("NoSuchEntity", 404, "The role policy with name no cannot be found.", iam.get_role_policy, RoleName="r", PolicyName="no")
    refused("NoSuchEntity", 404, "The role policy with name no cannot be found.", iam.delete_role_policy, RoleName="r", PolicyName="no")
    refused("NoSuchEntity", 404, "The role with name no cannot be found.", iam.put_role_policy, RoleName="no", PolicyName="p", PolicyDocument=json.dumps(PERMISSIONS))
    refused("DeleteConflict", 409, "Cannot delete entity, must delete policies first.", iam.delete_role, RoleName="r")
    aws = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="r", PolicyArn=aws)
    iam.attach_role_policy(RoleName="r", PolicyArn=aws)
    assert iam.list_attached_role_policies(RoleName="r")["AttachedPolicies"] == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": aws}]
    assert iam.list_entities_for_policy(PolicyArn=aws)["PolicyRoles"][0]["RoleName"] == "r"
    refused("NoSuchEntity", 404, "Policy arn:aws:iam::123456789012:policy/no does not exist or is not attachable.", iam.attach_role_policy, RoleName="r", PolicyArn="arn:aws:iam::123456789012:policy/no")
    refused("NoSuchEntity", 404, "Policy arn:aws:iam::aws:policy/a b does not exist or is not attachable.", iam.attach_role_policy, RoleName="r", PolicyArn="arn:aws:iam::aws:policy/a b")
    refused("InvalidInput", 400, "ARN arn:aws:iam::aws:role/x is not valid.", iam.attach_role_policy, RoleName="r", PolicyArn="arn:aws:iam::aws:role/x")
    refused("DeleteConflict", 409, "Cannot delete entity, must detach all policies first.", iam.delete_role, RoleName="r")
    for n in range(9):
        iam.attach_role_policy(RoleName="r", PolicyArn=f"arn:aws:iam::aws:policy/Number{n}")
    refused("LimitExceeded", 409, "Cannot exceed quota for PoliciesPerRole: 10", iam.attach_role_policy, RoleName="r", PolicyArn="arn:aws:iam::aws:policy/Eleventh")
    for attached in iam.list_attached_role_policies(RoleName="r")["AttachedPolicies"]:
        iam.detach_role_policy(RoleName="r", PolicyArn=attached["PolicyArn"])
    refused("NoSuchEntity", 404, f"Policy {aws} was not found.", iam.detach_role_policy, RoleName="r", PolicyArn=aws)
    for name in ("a", "p"):
        iam.delete_role_policy(RoleName="r", PolicyName=name)
    iam.delete_role(RoleName="r")


def managed_policies():
    iam = client("iam")
    made = iam.create_policy(PolicyName="p", Path="/x/", PolicyDocument=json.dumps(PERMISSIONS), Description="why", Tags=tags(a="1"))["Policy"]
    arn = "arn:aws:iam::123456789012:policy/x/p"
    assert made["Arn"] == arn and made["PolicyId"].startswith("ANPA") and made["DefaultVersionId"] == "v1"
    read = iam.get_policy(PolicyArn=arn)["Policy"]
    assert read == made, f"{read} is not {made}"
    assert (read["Description"], read["Tags"], read["AttachmentCount"], read["IsAttachable"]) == ("why", tags(a="1"), 0, True)
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == PERMISSIONS
    refused("EntityAlreadyExists", 409, "A policy called p already exists. Duplicate names are not allowed.", iam.create_policy, PolicyName="p", PolicyDocument=json.dumps(PERMISSIONS))
    refused("MalformedPolicyDocument", 400, "Syntax errors in policy.", iam.create_policy, PolicyName="q", PolicyDocument="{}")
    other = {**PERMISSIONS, "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    second = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(other), SetAsDefault=True)["PolicyVersion"]
    assert (second["VersionId"], second["IsDefaultVersion"]) == ("v2", True)
    third = iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(PERMISSIONS))["PolicyVersion"]
    assert (third["VersionId"], third["IsDefaultVersion"]) == ("v3", False)
    assert [(v["VersionId"], v["IsDefaultVersion"]) for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == [("v3", False), ("v2", True), ("v1", False)]
    refused("DeleteConflict", 409, "Cannot delete the default version of a policy.", iam.delete_policy_version, PolicyArn=arn, VersionId="v2")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v3")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    refused("NoSuchEntity", 404, lambda text: "version v2 does not exist" in text, iam.get_policy_version, PolicyArn=arn, VersionId="v2")
    for number in (4, 5, 6):
        assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(other))["PolicyVersion"]["VersionId"] == f"v{number}"
    refused("LimitExceeded", 409, "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.", iam.create_policy_version, PolicyArn=arn, PolicyDocument=json.dumps(other))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert [p["Arn"] for p in iam.list_policies(Scope="Local", OnlyAttached=True, PathPrefix="/x/")["Policies"]] == [arn]
    assert [r["RoleName"] for r in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == ["r"]
    refused("DeleteConflict", 409, "Cannot delete a policy attached to entities.", iam.delete_policy, PolicyArn=arn)
    iam.detach_role_policy(RoleName="r", PolicyArn=arn)
    refused("DeleteConflict", 409, lambda text: text.startswith("This policy has more than one version."), iam.delete_policy, PolicyArn=arn)
    iam.tag_policy(PolicyArn=arn, Tags=tags(b="2"))
    iam.untag_policy(PolicyArn=arn, TagKeys=["a"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == tags(b="2")
    for version in ("v1", "v4", "v5", "v6"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    iam.delete_policy(PolicyArn=arn)
    refused("NoSuchEntity", 404, f"Policy {arn} was not found.", iam.get_policy, PolicyArn=arn)
    refused("NotImplemented", 501, "The local cloud does not implement GetPolicy for AWS's own policies", iam.get_policy, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")


def iam_paging():
    iam = client("iam")
    for n in range(5):
        iam.create_role(RoleName=f"r{n}", Path="/even/" if n % 2 == 0 else "/odd/", AssumeRolePolicyDocument=json.dumps(TRUST))
    names = lambda **arguments: [[r["RoleName"] for r in page["Roles"]] for page in iam.get_paginator("list_roles").paginate(**arguments)]
    assert names(PaginationConfig={"PageSize": 2}) == [["r0", "r1"], ["r2", "r3"], ["r4"]]
    assert names(PathPrefix="/even/", PaginationConfig={"PageSize": 2}) == [["r0", "r2"], ["r4"]]
    assert names(PathPrefix="/none/") == [[]]
    for n in range(3):
        iam.put_role_policy(RoleName="r0", PolicyName=f"p{n}", PolicyDocument=json.dumps(PERMISSIONS))
        iam.attach_role_policy(RoleName="r0", PolicyArn=f"arn:aws:iam::aws:policy/p{n}")
        iam.create_policy(PolicyName=f"p{n}", PolicyDocument=json.dumps(PERMISSIONS))
    for operation, key, arguments in [("list_role_policies", "PolicyNames", {"RoleName": "r0"}), ("list_attached_role_policies", "AttachedPolicies", {"RoleName": "r0"}), ("list_policies", "Policies", {})]:
        pages = [len(page[key]) for page in iam.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 2})]
        assert pages == [2, 1], (operation, pages)


def who_am_i():
    answer = client("sts").get_caller_identity()
    assert (answer["Account"], answer["Arn"], answer["UserId"]) == ("123456789012", "arn:aws:iam::123456789012:root", "123456789012")
    user = client("iam").get_user()["User"]
    assert (user["Arn"], user["UserId"], user["Path"]) == ("arn:aws:iam::123456789012:root", "123456789012", "/")
    refused("NoSuchEntity", 404, "The user with name bob cannot be found.", client("iam").get_user, UserName="bob")
    session = client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    assert session["AccessKeyId"].startswith("ASIA") and len(session["AccessKeyId"]) == 20 and len(session["SecretAccessKey"]) == 40
    temporary = client("sts", key=session["AccessKeyId"], secret=session["SecretAccessKey"], token=session["SessionToken"])
    assert temporary.get_caller_identity()["Account"] == "123456789012"
    refused("AccessDenied", 403, "Cannot call GetSessionToken with session credentials", temporary.get_session_token)
    refused("ValidationError", 400, violation("'899'", "durationSeconds", "Member must have value greater than or equal to 900"), client("sts").get_session_token, DurationSeconds=899)
    assert client("sts").get_access_key_info(AccessKeyId="AKIAIOSFODNN7EXAMPLE")["Account"] == "123456789012"


def assuming_roles():
    iam, sts = client("iam"), client("sts")
    trusting = lambda principal, **more: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}]})
    role = iam.create_role(RoleName="r", Path="/a/", AssumeRolePolicyDocument=trusting({"AWS": "123456789012"}))["Role"]
    made = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")
    assert made["AssumedRoleUser"] == {"AssumedRoleId": role["RoleId"] + ":session", "Arn": "arn:aws:sts::123456789012:assumed-role/r/session"}
    given = made["Credentials"]
    taken = dict(key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"])
    assert client("sts", **taken).get_caller_identity()["Arn"] == made["AssumedRoleUser"]["Arn"]
    refused("ValidationError", 400, "Must specify userName when calling with non-User credentials", client("iam", **taken).get_user)
    chained = client("sts", **taken)
    assert chained.assume_role(RoleArn=role["Arn"], RoleSessionName="again")["AssumedRoleUser"]["Arn"].endswith("/r/again")
    denied = lambda arn: f"User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: {arn}"
    for arn in ("arn:aws:iam::123456789012:role/r", "arn:aws:iam::123456789012:role/no", "arn:aws:iam::210987654321:role/r"):
        refused("AccessDenied", 403, denied(arn), sts.assume_role, RoleArn=arn, RoleSessionName="session")
    service = iam.create_role(RoleName="service", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    refused("AccessDenied", 403, denied(service), sts.assume_role, RoleArn=service, RoleSessionName="session")
    outside = iam.create_role(RoleName="outside", AssumeRolePolicyDocument=trusting("*", Condition={"StringEquals": {"sts:ExternalId": "code"}}))["Role"]["Arn"]
    refused("AccessDenied", 403, denied(outside), sts.assume_role, RoleArn=outside, RoleSessionName="session")
    sts.assume_role(RoleArn=outside, RoleSessionName="session", ExternalId="code")
    secure = iam.create_role(RoleName="secure", AssumeRolePolicyDocument=trusting("*", Condition={"Bool": {"aws:SecureTransport": "true"}}))["Role"]["Arn"]
    refused("NotImplemented", 501, "The local cloud does not evaluate the condition Bool aws:SecureTransport of a trust policy", sts.assume_role, RoleArn=secure, RoleSessionName="session")
    refused("ValidationError", 400, violation("'a b'", "roleSessionName", r"Member must satisfy regular expression pattern: [\w+=,.@-]*"), sts.assume_role, RoleArn=role["Arn"], RoleSessionName="a b")
    refused("ValidationError", 400, violation("'a'", "roleSessionName", "Member must have length greater than or equal to 2"), sts.assume_role, RoleArn=role["Arn"], RoleSessionName="a")
    refused("ValidationError", 400, violation("'899'", "durationSeconds", "Member must have value greater than or equal to 900"), sts.assume_role, RoleArn=role["Arn"], RoleSessionName="session", DurationSeconds=899)
    refused("ValidationError", 400, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", sts.assume_role, RoleArn=role["Arn"], RoleSessionName="session", DurationSeconds=3601)
    refused("ValidationError", 400, "this-is-not-an-arn-at-all is invalid", sts.assume_role, RoleArn="this-is-not-an-arn-at-all", RoleSessionName="session")


def accounts_by_digits():
    other = dict(key="210987654321")
    assert client("sts", **other).get_caller_identity()["Arn"] == "arn:aws:iam::210987654321:root"
    client("iam", **other).create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    assert client("iam").list_roles()["Roles"] == []
    client("logs", **other).create_log_group(logGroupName="g")
    assert client("logs").describe_log_groups()["logGroups"] == []
    assert "210987654321" in client("logs", **other).describe_log_groups()["logGroups"][0]["arn"]
    client("s3", **other).create_bucket(Bucket="theirs")
    refused("AccessDenied", 403, "Access Denied", client("s3").put_object, Bucket="theirs", Key="k")
    assert client("lambda", **other).list_functions()["Functions"] == []


def group_names(logs, **arguments):
    return [g["logGroupName"] for page in logs.get_paginator("describe_log_groups").paginate(**arguments) for g in page["logGroups"]]


def log_groups():
    logs = client("logs")
    logs.create_log_group(logGroupName="/a/one", tags={"k": "v"}, logGroupClass="INFREQUENT_ACCESS", kmsKeyId="arn:aws:kms:us-east-1:123456789012:key/x")
    group = logs.describe_log_groups(logGroupNamePrefix="/a/")["logGroups"][0]
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/a/one"
    assert group.pop("creationTime") > 0
    assert group == {"logGroupName": "/a/one", "metricFilterCount": 0, "arn": arn + ":*", "logGroupArn": arn, "storedBytes": 0, "logGroupClass": "INFREQUENT_ACCESS", "kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/x"}, group
    refused("ResourceAlreadyExistsException", 400, "The specified log group already exists", logs.create_log_group, logGroupName="/a/one")
    refused("InvalidParameterException", 400, violation("'a b'", "logGroupName", r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+"), logs.create_log_group, logGroupName="a b")
    refused("InvalidParameterException", 400, violation(f"'{'a' * 513}'", "logGroupName", "Member must have length less than or equal to 512"), logs.create_log_group, logGroupName="a" * 513)
    refused("InvalidParameterException", 400, violation("null", "logGroupName", "Member must not be null"), logs.create_log_group)
    for name in ("/a/two", "/b/three", "c"):
        logs.create_log_group(logGroupName=name)
    assert group_names(logs) == ["/a/one", "/a/two", "/b/three", "c"]
    assert group_names(logs, PaginationConfig={"PageSize": 1}) == ["/a/one", "/a/two", "/b/three", "c"]
    assert group_names(logs, logGroupNamePrefix="/a", PaginationConfig={"PageSize": 1}) == ["/a/one", "/a/two"]
    assert group_names(logs, logGroupNamePattern="THREE") == ["/b/three"]
    refused("InvalidParameterException", 400, violation("'51'", "limit", "Member must have value less than or equal to 50"), logs.describe_log_groups, limit=51)
    # Tags, in the old way and the new one.
    logs.tag_log_group(logGroupName="/a/one", tags={"l": "w"})
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"k": "v", "l": "w"}
    logs.tag_resource(resourceArn=arn, tags={"k": "u"})
    logs.untag_resource(resourceArn=arn, tagKeys=["l"])
    assert logs.list_tags_log_group(logGroupName="/a/one")["tags"] == {"k": "u"}
    logs.untag_log_group(logGroupName="/a/one", tags=["k"])
    assert logs.list_tags_log_group(logGroupName="/a/one")["tags"] == {}
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.tag_resource, resourceArn=arn.replace("one", "no"), tags={"a": "b"})
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.list_tags_for_resource, resourceArn=arn.replace("us-east-1", "eu-west-1"))
    refused("TooManyTagsException", 400, lambda text: "50" in text, logs.tag_log_group, logGroupName="c", tags={f"k{n}": "" for n in range(51)})
    logs.delete_log_group(logGroupName="/a/one")
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.delete_log_group, logGroupName="/a/one")


def log_streams():
    logs = client("logs")
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.create_log_stream, logGroupName="g", logStreamName="s")
    logs.create_log_group(logGroupName="g")
    now = int(time.time()) * 1000
    for name, age in (("b", 1000), ("a", 2000), ("c", 3000), ("empty", None)):
        logs.create_log_stream(logGroupName="g", logStreamName=name)
        if age:
            logs.put_log_events(logGroupName="g", logStreamName=name, logEvents=[{"timestamp": now - age, "message": "x"}])
    refused("ResourceAlreadyExistsException", 400, "The specified log stream already exists", logs.create_log_stream, logGroupName="g", logStreamName="a")
    refused("InvalidParameterException", 400, violation("'a:b'", "logStreamName", "Member must satisfy regular expression pattern: [^:*]*"), logs.create_log_stream, logGroupName="g", logStreamName="a:b")
    for size in (1, 2, 50):
        names = lambda **arguments: [s["logStreamName"] for page in logs.get_paginator("describe_log_streams").paginate(logGroupName="g", PaginationConfig={"PageSize": size}, **arguments) for s in page["logStreams"]]
        assert names() == ["a", "b", "c", "empty"]
        assert names(descending=True) == ["empty", "c", "b", "a"]
        assert names(orderBy="LastEventTime", descending=True) == ["b", "a", "c", "empty"]
        assert names(orderBy="LastEventTime") == ["empty", "c", "a", "b"]
        assert names(logStreamNamePrefix="e") == ["empty"]
    refused("InvalidParameterException", 400, "Cannot order by LastEventTime with a logStreamNamePrefix.", logs.describe_log_streams, logGroupName="g", orderBy="LastEventTime", logStreamNamePrefix="a")
    stream = logs.describe_log_streams(logGroupIdentifier="arn:aws:logs:us-east-1:123456789012:log-group:g:*", logStreamNamePrefix="a")["logStreams"][0]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"], stream["arn"]) == (now - 2000, now - 2000, "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:a")
    assert logs.describe_log_groups()["logGroups"][0]["storedBytes"] == 3 * 27
    logs.delete_log_stream(logGroupName="g", logStreamName="a")
    assert logs.describe_log_groups()["logGroups"][0]["storedBytes"] == 2 * 27
    refused("ResourceNotFoundException", 400, "The specified log stream does not exist.", logs.delete_log_stream, logGroupName="g", logStreamName="a")
    assert logs.filter_log_events(logGroupName="g")["events"] != [] and logs.filter_log_events(logGroupName="g", logStreamNamePrefix="a")["events"] == []


def log_events():
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    start = int(time.time()) * 1000 - 60_000
    put = lambda numbers: logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": start + n, "message": str(n)} for n in numbers], sequenceToken="any will do")
    def get(**arguments):
        answer = logs.get_log_events(logGroupName="g", logStreamName="s", **arguments)
        return [int(e["message"]) for e in answer["events"]], answer["nextForwardToken"], answer["nextBackwardToken"]
    empty = get()
    assert empty[0] == []
    put(range(10))
    assert get(nextToken=empty[1])[0] == list(range(10)), "a token from before the first event"
    # Forwards to the end, where the token stays the same.
    events, forward, _ = get(limit=4, startFromHead=True)
    assert events == [0, 1, 2, 3]
    events, forward, backward = get(limit=4, nextToken=forward, startFromHead=True)
    assert events == [4, 5, 6, 7]
    events, forward, _ = get(limit=4, nextToken=forward, startFromHead=True)
    assert events == [8, 9]
    events, again, from_end = get(limit=4, nextToken=forward, startFromHead=True)
    assert events == [] and again == forward
    put(range(10, 12))
    assert get(nextToken=again)[0] == [10, 11], "what came later"
    # Backwards to the beginning, from the middle and from the end.
    assert get(limit=4, nextToken=from_end)[0] == [6, 7, 8, 9]
    events, _, backward = get(limit=3, nextToken=backward)
    assert events == [1, 2, 3]
    events, _, backward = get(limit=3, nextToken=backward)
    assert events == [0]
    events, _, same = get(limit=3, nextToken=backward)
    assert events == [] and same == backward
    assert get(limit=2)[0] == [10, 11], "the newest first when not told otherwise"
    assert get(startTime=start + 3, endTime=start + 6)[0] == [3, 4, 5], "the end is not included"
    refused("InvalidParameterException", 400, "The specified nextToken is invalid.", get, nextToken="x")
    refused("ResourceNotFoundException", 400, "The specified log stream does not exist.", logs.get_log_events, logGroupName="g", logStreamName="no")
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.get_log_events, logGroupName="no", logStreamName="s")


def log_limits():
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    now = int(time.time()) * 1000
    put = lambda events: logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": t, "message": m} for t, m in events])
    hour, day = 3_600_000, 86_400_000
    refused("InvalidParameterException", 400, "Log events in a single PutLogEvents request must be in chronological order.", put, events=[(now, "a"), (now - 1, "b")])
    refused("InvalidParameterException", 400, "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.", put, events=[(now - day - 1, "a"), (now, "b")])
    refused("InvalidParameterException", 400, "Upload too large: 1048577 bytes exceeds limit of 1048576", put, events=[(now, "a" * (1048576 - 25))])
    put([(now, "a" * (1048576 - 26))])
    refused("InvalidParameterException", 400, violation("'[...]'", "logEvents", "Member must have length less than or equal to 10000"), put, events=[(now, "a")] * 10001)
    put([(now, "a")] * 10000)
    refused("InvalidParameterException", 400, violation("'[]'", "logEvents", "Member must have length greater than or equal to 1"), put, events=[])
    refused("InvalidParameterException", 400, violation("''", "logEvents.1.member.message", "Member must have length greater than or equal to 1"), put, events=[(now, "")])
    # A page has 1 MiB at most.
    page = logs.get_log_events(logGroupName="g", logStreamName="s", startFromHead=True)
    assert 1 <= len(page["events"]) < 10001
    assert put([(now - 15 * day, "a")])["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert put([(now, "a"), (now + 3 * hour, "b")])["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    logs.put_retention_policy(logGroupName="g", retentionInDays=3)
    assert put([(now - 3 * day - hour, "a"), (now - 3 * day + hour, "b")])["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert "rejectedLogEventsInfo" not in put([(now, "z")])


def log_search():
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    start = int(time.time()) * 1000 - 60_000
    lines = ['{"level": "ERROR", "x": 4}', '{"level": "ERROR", "x": 2}', '{"level": "INFO", "x": 9, "y": null}', "plain ERROR text", "a b 404", "a b 200"]
    for stream in ("one", "two"):
        logs.create_log_stream(logGroupName="g", logStreamName=stream)
    for number, line in enumerate(lines):
        logs.put_log_events(logGroupName="g", logStreamName="one" if number % 2 == 0 else "two", logEvents=[{"timestamp": start + number, "message": line}])
    def find(pattern="", size=100, **arguments):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName="g", filterPattern=pattern, PaginationConfig={"PageSize": size}, **arguments)
        return [lines.index(e["message"]) for page in pages for e in page["events"]]
    for size in (1, 2, 100):
        assert find(size=size) == [0, 1, 2, 3, 4, 5], "streams are interleaved by time"
        assert find("ERROR", size) == [0, 1, 3]
        assert find("ERROR -plain", size) == [0, 1]
        assert find("?INFO ?plain", size) == [2, 3]
        assert find('{ $.level = "ERROR" && $.x > 3 }', size) == [0]
        assert find('{ ($.level = "I*" || $.x = 2) && $.x EXISTS }', size) == [1, 2]
        assert find("{ $.y IS NULL }", size) == [2]
        assert find("{ $.y NOT EXISTS }", size) == [0, 1]
        assert find("[a, b=b, code=4*]", size) == [4]
    assert find('"ERROR text"') == [3]
    assert find("nowhere") == []
    assert find(logStreamNames=["two"]) == [1, 3, 5]
    assert find(logStreamNamePrefix="on") == [0, 2, 4]
    assert find(startTime=start + 1, endTime=start + 3) == [1, 2, 3], "the end is included"
    event = logs.filter_log_events(logGroupName="g", limit=1)
    assert set(event["events"][0]) == {"logStreamName", "timestamp", "message", "ingestionTime", "eventId"} and event["searchedLogStreams"] == [] and event["nextToken"]
    refused("InvalidParameterException", 400, "Invalid filter pattern", logs.filter_log_events, logGroupName="g", filterPattern="{ $.x = ")
    refused("ResourceNotFoundException", 400, "The specified log stream does not exist.", logs.filter_log_events, logGroupName="g", logStreamNames=["no"])


def log_retention():
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    now = int(time.time()) * 1000
    day = 86_400_000
    for age in (5 * day, 0):
        logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": now - age, "message": "x"}])
    refused("InvalidParameterException", 400, lambda text: text.startswith("1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30,"), logs.put_retention_policy, logGroupName="g", retentionInDays=2)
    logs.put_retention_policy(logGroupName="g", retentionInDays=7)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 7
    assert len(logs.filter_log_events(logGroupName="g")["events"]) == 2
    logs.put_retention_policy(logGroupName="g", retentionInDays=3)
    assert [e["timestamp"] for e in logs.filter_log_events(logGroupName="g")["events"]] == [now]
    assert logs.describe_log_groups()["logGroups"][0]["storedBytes"] == 27
    assert logs.describe_log_streams(logGroupName="g")["logStreams"][0]["firstEventTimestamp"] == now
    logs.delete_retention_policy(logGroupName="g")
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]
    refused("ResourceNotFoundException", 400, "The specified log group does not exist.", logs.put_retention_policy, logGroupName="no", retentionInDays=1)


def log_tail():
    # What `aws logs tail --follow` does: it searches from a time on, page by page, again and
    # again, and leaves out the events that it has shown.
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    put = lambda text: logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": int(time.time() * 1000), "message": text}])
    request = {"logGroupName": "g", "interleaved": True, "startTime": int(time.time() * 1000) - 3_600_000, "limit": 2}
    shown, seen = [], set()
    for text in ("first", "second", "third", "fourth"):
        put(text)
        while True:
            answer = logs.filter_log_events(**request)
            for event in answer["events"]:
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    shown.append(event["message"])
                request["startTime"] = event["timestamp"]
            request.pop("nextToken", None)
            if "nextToken" not in answer:
                break
            request["nextToken"] = answer["nextToken"]
    assert shown == ["first", "second", "third", "fourth"], shown


def what_is_not_built():
    refused("NotImplemented", 501, "The local cloud does not implement CreateUser yet", client("iam").create_user, UserName="u")
    refused("NotImplemented", 501, "The local cloud does not implement AssumeRoleWithSAML yet", client("sts").assume_role_with_saml, RoleArn="r", PrincipalArn="p", SAMLAssertion="s")
    refused("NotImplemented", 501, "The local cloud does not implement StartQuery yet", client("logs").start_query, logGroupName="g", startTime=0, endTime=1, queryString="x")
    # Its host has a prefix that a local address cannot have, so the request is made by hand.
    import urllib.error
    import urllib.request

    request = urllib.request.Request(ENDPOINT, data=b"{}", headers={"x-amz-target": "Logs_20140328.StartLiveTail", "content-type": "application/x-amz-json-1.1"})
    try:
        urllib.request.urlopen(request)
        raise AssertionError("StartLiveTail was answered")
    except urllib.error.HTTPError as error:
        assert error.code == 501 and json.load(error) == {"__type": "NotImplemented", "message": "The local cloud does not implement StartLiveTail yet"}


globals()[sys.argv[2]]()
