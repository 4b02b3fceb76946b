"""Scenarios of S3 with its clients. Usage: s3_suite.py ENDPOINT SCENARIO. A failed assertion fails the test.

Texts are those that AWS answers.
"""

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
REGION = "us-east-1"
FAILED = "At least one of the pre-conditions you specified did not hold"


def config(**more):
    more.setdefault("retries", {"max_attempts": 0})
    return Config(parameter_validation=False, read_timeout=120, **more)


def client(service="s3", region=REGION, endpoint=ENDPOINT, **more):
    return boto3.client(service, endpoint_url=endpoint, region_name=region, config=config(**more))


def refused(code, status, message, call, /, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        got = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"])
        assert got == (code, status, message), f"{got} is not {(code, status, message)}"
        return answer
    raise AssertionError(f"{arguments} was not refused with {code}")


def headers_of(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"]


def status_of(answer):
    return answer["ResponseMetadata"]["HTTPStatusCode"]


def versioned(s3, bucket, status="Enabled"):
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def versions():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    assert "Status" not in s3.get_bucket_versioning(Bucket="bucket")
    assert "VersionId" not in s3.put_object(Bucket="bucket", Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
    refused("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema", s3.put_bucket_versioning, Bucket="bucket", VersioningConfiguration={"Status": "enabled"})
    refused("IllegalVersioningConfigurationException", 400, "The Versioning element must be specified", s3.put_bucket_versioning, Bucket="bucket", VersioningConfiguration={})
    one = s3.put_object(Bucket="bucket", Key="k", Body=b"one")["VersionId"]
    two = s3.put_object(Bucket="bucket", Key="k", Body=b"two")["VersionId"]
    assert len(one) == 32 and one != two
    read = lambda **where: s3.get_object(Bucket="bucket", Key="k", **where)
    assert read()["Body"].read() == b"two" and read()["VersionId"] == two
    assert read(VersionId=one)["Body"].read() == b"one"
    assert read(VersionId="null")["Body"].read() == b"before" and read(VersionId="null")["VersionId"] == "null"
    assert s3.head_object(Bucket="bucket", Key="k", VersionId=one)["VersionId"] == one
    marker = s3.delete_object(Bucket="bucket", Key="k")
    assert marker["DeleteMarker"] is True and status_of(marker) == 204
    answer = refused("NoSuchKey", 404, "The specified key does not exist.", read)
    assert answer["Error"]["Key"] == "k" and headers_of(answer)["x-amz-delete-marker"] == "true"
    assert headers_of(answer)["x-amz-version-id"] == marker["VersionId"]
    answer = refused("MethodNotAllowed", 405, "The specified method is not allowed against this resource.", read, VersionId=marker["VersionId"])
    assert answer["Error"]["Method"] == "GET" and answer["Error"]["ResourceType"] == "DeleteMarker"
    assert headers_of(answer)["allow"] == "DELETE" and headers_of(answer)["x-amz-delete-marker"] == "true"
    refused("404", 404, "Not Found", s3.head_object, Bucket="bucket", Key="k")
    refused("405", 405, "Method Not Allowed", s3.head_object, Bucket="bucket", Key="k", VersionId=marker["VersionId"])
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")
    listed = s3.list_object_versions(Bucket="bucket")
    assert [(v["VersionId"], v["IsLatest"]) for v in listed["Versions"]] == [(two, False), (one, False), ("null", False)]
    assert [(m["VersionId"], m["IsLatest"]) for m in listed["DeleteMarkers"]] == [(marker["VersionId"], True)]
    answer = refused("BucketNotEmpty", 409, "The bucket you tried to delete is not empty. You must delete all versions in the bucket.", s3.delete_bucket, Bucket="bucket")
    assert answer["Error"]["BucketName"] == "bucket"
    # Without its marker the newest version is current again.
    gone = s3.delete_object(Bucket="bucket", Key="k", VersionId=marker["VersionId"])
    assert gone["DeleteMarker"] is True and gone["VersionId"] == marker["VersionId"]
    assert read()["Body"].read() == b"two"
    assert s3.delete_object(Bucket="bucket", Key="k", VersionId=two)["VersionId"] == two
    assert read()["Body"].read() == b"one"
    answer = refused("NoSuchVersion", 404, "The specified version does not exist.", read, VersionId=two)
    assert answer["Error"]["Key"] == "k" and answer["Error"]["VersionId"] == two
    answer = refused("InvalidArgument", 400, "Invalid version id specified", read, VersionId="HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD")
    assert answer["Error"]["ArgumentName"] == "versionId"
    refused("InvalidArgument", 400, "Invalid version id specified", s3.delete_object, Bucket="bucket", Key="k", VersionId="x")
    # A copy of an old version is a new one.
    copied = s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "k", "VersionId": "null"})
    assert copied["CopySourceVersionId"] == "null" and copied["VersionId"]
    assert s3.get_object(Bucket="bucket", Key="copy")["Body"].read() == b"before"


def suspended_versions():
    s3 = client()
    versioned(s3, "bucket")
    kept = s3.put_object(Bucket="bucket", Key="k", Body=b"kept")["VersionId"]
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Suspended"})
    for body in (b"first", b"second"):
        assert "VersionId" not in s3.put_object(Bucket="bucket", Key="k", Body=body)
    assert s3.get_object(Bucket="bucket", Key="k")["VersionId"] == "null"
    listed = s3.list_object_versions(Bucket="bucket")
    assert [(v["VersionId"], v["IsLatest"]) for v in listed["Versions"]] == [("null", True), (kept, False)]
    assert s3.delete_object(Bucket="bucket", Key="k")["VersionId"] == "null"
    assert s3.delete_object(Bucket="bucket", Key="k")["DeleteMarker"] is True
    listed = s3.list_object_versions(Bucket="bucket")
    assert [v["VersionId"] for v in listed["Versions"]] == [kept]
    assert [(m["VersionId"], m["IsLatest"]) for m in listed["DeleteMarkers"]] == [("null", True)]


def version_paging():
    s3 = client()
    versioned(s3, "bucket")
    expected = []
    for key in ("a/1", "a/2", "b", "c/d/e", "z"):
        ids = [s3.put_object(Bucket="bucket", Key=key, Body=b"x")["VersionId"] for _ in range(3)]
        ids.append(s3.delete_object(Bucket="bucket", Key=key)["VersionId"])
        expected += [(key, version) for version in reversed(ids)]
    paginator = s3.get_paginator("list_object_versions")
    for size in (1, 2, 3, 5, 7, 100):
        found = []
        for page in paginator.paginate(Bucket="bucket", PaginationConfig={"PageSize": size}):
            items = page.get("Versions", []) + page.get("DeleteMarkers", [])
            assert len(items) <= size
            found += [(item["Key"], item["VersionId"]) for item in items]
        assert sorted(found) == sorted(expected), (size, found)
    folded = [(p.get("CommonPrefixes", []), p.get("Versions", [])) for p in paginator.paginate(Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 2})]
    assert [prefix["Prefix"] for prefixes, _ in folded for prefix in prefixes] == ["a/", "c/"]
    assert [item["Key"] for _, items in folded for item in items] == ["b"] * 3 + ["z"] * 3
    page = s3.list_object_versions(Bucket="bucket", Prefix="b", MaxKeys=2)
    assert page["IsTruncated"] and page["NextKeyMarker"] == "b"
    marker = page["NextVersionIdMarker"]
    s3.delete_object(Bucket="bucket", Key="b", VersionId=marker)
    rest = s3.list_object_versions(Bucket="bucket", Prefix="b", KeyMarker="b", VersionIdMarker=marker)
    assert len(rest["Versions"]) == 2, "the place of a version that is gone is known"
    refused("InvalidArgument", 400, "A version-id marker cannot be specified without a key marker.", s3.list_object_versions, Bucket="bucket", VersionIdMarker=marker)
    assert "Versions" not in s3.list_object_versions(Bucket="bucket", MaxKeys=0)


def deletions():
    s3 = client()
    s3.create_bucket(Bucket="plain")
    s3.put_object(Bucket="plain", Key="k", Body=b"")
    answer = s3.delete_objects(Bucket="plain", Delete={"Objects": [{"Key": "k"}, {"Key": "never"}]})
    assert answer["Deleted"] == [{"Key": "k"}, {"Key": "never"}] and "Errors" not in answer
    answer = s3.delete_objects(Bucket="plain", Delete={"Objects": [{"Key": "k", "VersionId": "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"}]})
    assert answer["Errors"] == [{"Key": "k", "VersionId": "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD", "Code": "NoSuchVersion", "Message": "The specified version does not exist."}]
    versioned(s3, "versioned")
    put = s3.put_object(Bucket="versioned", Key="k", Body=b"")["VersionId"]
    deleted = s3.delete_objects(Bucket="versioned", Delete={"Objects": [{"Key": "k"}]})["Deleted"]
    marker = deleted[0]["DeleteMarkerVersionId"]
    assert deleted == [{"Key": "k", "DeleteMarker": True, "DeleteMarkerVersionId": marker}]
    deleted = s3.delete_objects(Bucket="versioned", Delete={"Objects": [{"Key": "k", "VersionId": marker}, {"Key": "k", "VersionId": put}]})["Deleted"]
    assert deleted == [{"Key": "k", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker}, {"Key": "k", "VersionId": put}]
    assert s3.delete_objects(Bucket="plain", Delete={"Objects": [{"Key": "k"}], "Quiet": True}).get("Deleted") is None
    s3.delete_bucket(Bucket="versioned")
    etag = s3.put_object(Bucket="plain", Key="k", Body=b"x")["ETag"]
    answer = refused("PreconditionFailed", 412, FAILED, s3.delete_object, Bucket="plain", Key="k", IfMatch='"other"')
    assert answer["Error"]["Condition"] == "If-Match"
    s3.delete_object(Bucket="plain", Key="k", IfMatch=etag)
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.delete_object, Bucket="plain", Key="k", IfMatch="*")


def tags():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    answer = refused("NoSuchTagSet", 404, "The TagSet does not exist", s3.get_bucket_tagging, Bucket="bucket")
    assert answer["Error"]["BucketName"] == "bucket"
    wanted = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]
    s3.put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": wanted})
    assert s3.get_bucket_tagging(Bucket="bucket")["TagSet"] == wanted
    s3.delete_bucket_tagging(Bucket="bucket")
    refused("NoSuchTagSet", 404, "The TagSet does not exist", s3.get_bucket_tagging, Bucket="bucket")
    for tag, message in ((("aws:x", "1"), "System tags cannot be added/updated by requester"), (("a,b", "1"), "The TagKey you have provided is invalid"), (("a", "1,2"), "The TagValue you have provided is invalid")):
        refused("InvalidTag", 400, message, s3.put_bucket_tagging, Bucket="bucket", Tagging={"TagSet": [{"Key": tag[0], "Value": tag[1]}]})
    s3.put_object(Bucket="bucket", Key="k", Body=b"", Tagging="b=2&a=1%201")
    assert s3.get_object_tagging(Bucket="bucket", Key="k")["TagSet"] == [{"Key": "a", "Value": "1 1"}, {"Key": "b", "Value": "2"}]
    assert s3.get_object(Bucket="bucket", Key="k")["TagCount"] == 2
    assert headers_of(s3.head_object(Bucket="bucket", Key="k"))["x-amz-tagging-count"] == "2"
    s3.copy_object(Bucket="bucket", Key="same", CopySource="bucket/k")
    assert len(s3.get_object_tagging(Bucket="bucket", Key="same")["TagSet"]) == 2
    s3.copy_object(Bucket="bucket", Key="other", CopySource="bucket/k", TaggingDirective="REPLACE", Tagging="c=3")
    assert s3.get_object_tagging(Bucket="bucket", Key="other")["TagSet"] == [{"Key": "c", "Value": "3"}]
    s3.put_object_tagging(Bucket="bucket", Key="k", Tagging={"TagSet": [{"Key": "n", "Value": "m"}]})
    assert s3.get_object_tagging(Bucket="bucket", Key="k")["TagSet"] == [{"Key": "n", "Value": "m"}]
    s3.delete_object_tagging(Bucket="bucket", Key="k")
    assert s3.get_object_tagging(Bucket="bucket", Key="k")["TagSet"] == []
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.get_object_tagging, Bucket="bucket", Key="never")
    answer = refused("InvalidTag", 400, "Cannot provide multiple Tags with the same key", s3.put_object_tagging, Bucket="bucket", Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]})
    assert answer["Error"]["TagKey"] == "a"
    refused("BadRequest", 400, "Object tags cannot be greater than 10", s3.put_object_tagging, Bucket="bucket", Key="k", Tagging={"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]})
    refused("InvalidArgument", 400, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.", s3.put_object, Bucket="bucket", Key="k", Body=b"", Tagging="a=1&a=2")
    versioned(s3, "versioned")
    one = s3.put_object(Bucket="versioned", Key="k", Body=b"1", Tagging="v=1")["VersionId"]
    two = s3.put_object(Bucket="versioned", Key="k", Body=b"2", Tagging="v=2")["VersionId"]
    assert s3.put_object_tagging(Bucket="versioned", Key="k", VersionId=one, Tagging={"TagSet": [{"Key": "v", "Value": "one"}]})["VersionId"] == one
    assert s3.get_object_tagging(Bucket="versioned", Key="k")["TagSet"] == [{"Key": "v", "Value": "2"}]
    assert s3.get_object_tagging(Bucket="versioned", Key="k", VersionId=one)["TagSet"] == [{"Key": "v", "Value": "one"}]
    s3.delete_object(Bucket="versioned", Key="k")
    answer = refused("MethodNotAllowed", 405, "The specified method is not allowed against this resource.", s3.get_object_tagging, Bucket="versioned", Key="k")
    assert answer["Error"]["ResourceType"] == "DeleteMarker" and two


def bucket_refresh():
    """What Terraform's aws_s3_bucket reads on every refresh, on a new bucket."""
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    seen = {}
    missing = {
        "get_bucket_policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
        "get_bucket_cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
        "get_bucket_website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
        "get_bucket_lifecycle_configuration": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
        "get_bucket_replication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
        "get_object_lock_configuration": ("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
        "get_bucket_tagging": ("NoSuchTagSet", "The TagSet does not exist"),
    }
    for name, (code, message) in missing.items():
        answer = refused(code, 404, message, getattr(s3, name), Bucket="bucket")
        assert answer["Error"]["BucketName"] == "bucket"
    for name in ("get_bucket_versioning", "get_bucket_accelerate_configuration", "get_bucket_request_payment", "get_bucket_logging", "get_bucket_encryption", "get_bucket_ownership_controls", "get_public_access_block", "get_bucket_notification_configuration", "get_bucket_location", "list_bucket_metrics_configurations", "list_bucket_analytics_configurations", "list_bucket_inventory_configurations", "list_bucket_intelligent_tiering_configurations"):
        answer = getattr(s3, name)(Bucket="bucket")
        answer.pop("ResponseMetadata")
        seen[name] = answer
    assert seen == {
        "get_bucket_versioning": {},
        "get_bucket_accelerate_configuration": {},
        "get_bucket_request_payment": {"Payer": "BucketOwner"},
        "get_bucket_logging": {},
        "get_bucket_encryption": {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]}},
        "get_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        "get_public_access_block": {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}},
        "get_bucket_notification_configuration": {},
        "get_bucket_location": {"LocationConstraint": None},
        "list_bucket_metrics_configurations": {"IsTruncated": False},
        "list_bucket_analytics_configurations": {"IsTruncated": False},
        "list_bucket_inventory_configurations": {"IsTruncated": False},
        "list_bucket_intelligent_tiering_configurations": {"IsTruncated": False},
    }, seen
    acl = s3.get_bucket_acl(Bucket="bucket")
    owner = acl["Owner"]["ID"]
    assert len(owner) == 64
    assert acl["Grants"] == [{"Grantee": {"ID": owner, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}], acl["Grants"]
    assert s3.head_bucket(Bucket="bucket")["BucketRegion"] == "us-east-1"
    refused("NoSuchConfiguration", 404, "The specified configuration does not exist.", s3.get_bucket_metrics_configuration, Bucket="bucket", Id="x")
    s3.put_object(Bucket="bucket", Key="k", Body=b"")
    refused("InvalidRequest", 400, "Bucket is missing Object Lock Configuration", s3.get_object_retention, Bucket="bucket", Key="k")
    assert s3.get_object_acl(Bucket="bucket", Key="k")["Owner"]["ID"] == owner


def bucket_settings():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    s3.create_bucket(Bucket="logs")

    def echoed(name, key, value, put=None, **more):
        getattr(s3, f"put_bucket_{name}")(Bucket="bucket", **{put or key: value}, **more)
        answer = getattr(s3, f"get_bucket_{name}")(Bucket="bucket")
        answer.pop("ResponseMetadata")
        return answer

    cors = {"CORSRules": [{"ID": "r", "AllowedHeaders": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://a.example"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 10}]}
    assert echoed("cors", "CORSConfiguration", cors) == cors
    refused("InvalidRequest", 400, "Found unsupported HTTP method in CORS config. Unsupported method is PATCH", s3.put_bucket_cors, Bucket="bucket", CORSConfiguration={"CORSRules": [{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}]})
    lifecycle = {"Rules": [{"ID": "old", "Status": "Enabled", "Filter": {"And": {"Prefix": "a&b/", "Tags": [{"Key": "k", "Value": "v"}]}}, "Expiration": {"Days": 30}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7}, "Transitions": [{"Days": 10, "StorageClass": "GLACIER"}], "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}]}
    assert echoed("lifecycle_configuration", "LifecycleConfiguration", lifecycle) == {**lifecycle, "TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}
    answer = echoed("lifecycle_configuration", "LifecycleConfiguration", {"Rules": [{"Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Date": "2030-01-01T00:00:00Z"}}]}, TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class" and answer["Rules"][0]["ID"] and answer["Rules"][0]["Filter"] == {"Prefix": ""}
    s3.delete_bucket_lifecycle(Bucket="bucket")
    refused("NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist", s3.get_bucket_lifecycle_configuration, Bucket="bucket")
    kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:us-east-1:123456789012:key/x"}, "BucketKeyEnabled": True}]}
    assert echoed("encryption", "ServerSideEncryptionConfiguration", kms) == {"ServerSideEncryptionConfiguration": kms}
    put = s3.put_object(Bucket="bucket", Key="kms", Body=b"")
    assert put["ServerSideEncryption"] == "aws:kms" and put["SSEKMSKeyId"].endswith("key/x") and put["BucketKeyEnabled"] is True
    assert s3.head_object(Bucket="bucket", Key="kms")["ServerSideEncryption"] == "aws:kms"
    assert s3.put_object(Bucket="bucket", Key="aes", Body=b"", ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    s3.delete_bucket_encryption(Bucket="bucket")
    assert s3.put_object(Bucket="bucket", Key="aes", Body=b"")["ServerSideEncryption"] == "AES256"
    refused("InvalidArgument", 400, "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse", s3.put_bucket_encryption, Bucket="bucket", ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "x"}}]})
    website = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}, "RoutingRules": [{"Condition": {"KeyPrefixEquals": "a/"}, "Redirect": {"ReplaceKeyPrefixWith": "b/"}}]}
    assert echoed("website", "WebsiteConfiguration", website) == website
    s3.delete_bucket_website(Bucket="bucket")
    logging = {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "p/"}}
    assert echoed("logging", "BucketLoggingStatus", logging) == logging
    assert echoed("logging", "BucketLoggingStatus", {}) == {}
    refused("InvalidTargetBucketForLogging", 400, "The target bucket for logging does not exist", s3.put_bucket_logging, Bucket="bucket", BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "never", "TargetPrefix": ""}})
    notification = {"LambdaFunctionConfigurations": [{"Id": "n", "LambdaFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f", "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}}], "EventBridgeConfiguration": {}}
    assert echoed("notification_configuration", "NotificationConfiguration", notification) == notification
    assert echoed("notification_configuration", "NotificationConfiguration", {}) == {}
    assert echoed("accelerate_configuration", "AccelerateConfiguration", {"Status": "Enabled"}) == {"Status": "Enabled"}
    assert echoed("request_payment", "RequestPaymentConfiguration", {"Payer": "Requester"}) == {"Payer": "Requester"}
    refused("InvalidBucketState", 409, "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration", s3.put_object_lock_configuration, Bucket="bucket", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    # Settings go with their bucket.
    for key in ("kms", "aes"):
        s3.delete_object(Bucket="bucket", Key=key)
    s3.delete_bucket(Bucket="bucket")
    s3.create_bucket(Bucket="bucket")
    refused("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist", s3.get_bucket_cors, Bucket="bucket")
    for name in ("never",):
        answer = refused("NoSuchBucket", 404, "The specified bucket does not exist", s3.get_bucket_cors, Bucket=name)
        assert answer["Error"]["BucketName"] == name


def access():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    public = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}]})
    own = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"}]})
    refused("AccessDenied", 403, 'User: arn:aws:iam::123456789012:root is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::bucket" because public policies are blocked by the BlockPublicPolicy block public access setting.', s3.put_bucket_policy, Bucket="bucket", Policy=public)
    s3.put_bucket_policy(Bucket="bucket", Policy=own)
    assert s3.get_bucket_policy(Bucket="bucket")["Policy"] == own
    assert s3.get_bucket_policy_status(Bucket="bucket")["PolicyStatus"] == {"IsPublic": False}
    s3.put_public_access_block(Bucket="bucket", PublicAccessBlockConfiguration={"BlockPublicAcls": False})
    assert s3.get_public_access_block(Bucket="bucket")["PublicAccessBlockConfiguration"] == {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    s3.put_bucket_policy(Bucket="bucket", Policy=public)
    assert s3.get_bucket_policy_status(Bucket="bucket")["PolicyStatus"] == {"IsPublic": True}
    s3.delete_bucket_policy(Bucket="bucket")
    refused("NoSuchBucketPolicy", 404, "The bucket policy does not exist", s3.get_bucket_policy, Bucket="bucket")
    s3.delete_public_access_block(Bucket="bucket")
    refused("NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found", s3.get_public_access_block, Bucket="bucket")
    for policy in ("", "text"):
        refused("MalformedPolicy", 400, "Policies must be valid JSON and the first byte must be '{'", s3.put_bucket_policy, Bucket="bucket", Policy=policy)
    refused("MalformedPolicy", 400, "Missing required field Statement", s3.put_bucket_policy, Bucket="bucket", Policy="{}")
    refused("AccessControlListNotSupported", 400, "The bucket does not allow ACLs", s3.put_bucket_acl, Bucket="bucket", ACL="private")
    refused("AccessControlListNotSupported", 400, "The bucket does not allow ACLs", s3.put_object, Bucket="bucket", Key="k", Body=b"", ACL="public-read")
    s3.put_object(Bucket="bucket", Key="k", Body=b"", ACL="bucket-owner-full-control")
    s3.put_bucket_ownership_controls(Bucket="bucket", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    assert s3.get_bucket_ownership_controls(Bucket="bucket")["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "ObjectWriter"}]
    s3.put_bucket_acl(Bucket="bucket", ACL="public-read")
    grants = s3.get_bucket_acl(Bucket="bucket")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL", "READ"] and grants[1]["Grantee"]["URI"].endswith("AllUsers")
    refused("InvalidBucketAclWithObjectOwnership", 400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting", s3.put_bucket_ownership_controls, Bucket="bucket", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    s3.put_bucket_acl(Bucket="bucket", ACL="private")
    s3.delete_bucket_ownership_controls(Bucket="bucket")
    refused("OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found", s3.get_bucket_ownership_controls, Bucket="bucket")
    s3.create_bucket(Bucket="preferred", ObjectOwnership="BucketOwnerPreferred")
    assert s3.get_bucket_ownership_controls(Bucket="preferred")["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerPreferred"}]
    refused("InvalidArgument", 400, "Invalid x-amz-object-ownership header: Random", s3.create_bucket, Bucket="random", ObjectOwnership="Random")
    refused("AccessDenied", 403, "Access Denied", s3.get_bucket_acl, Bucket="bucket", ExpectedBucketOwner="000000000000")
    s3.get_bucket_acl(Bucket="bucket", ExpectedBucketOwner="123456789012")


NAMES = ["plain", "a+b", "a b", "ä/ü.txt", "日本語/🦀", "//double", "/leading", "trailing/", "a//b", "../up", "a/../b", "./here", "per%cent", "q?m=1&x", "hash#tag", "quo\"te'", "<tag>&amp;", "tilde~", "star*", "semi;colon:at@", "back\\slash", "new\nline", "a" * 1024, "ü" * 512]


def names():
    s3 = client()
    s3.create_bucket(Bucket="names")
    for name in NAMES:
        s3.put_object(Bucket="names", Key=name, Body=name.encode(), Metadata={"name": "x"})
    expected = sorted(NAMES, key=lambda name: name.encode())
    for name in NAMES:
        assert s3.get_object(Bucket="names", Key=name)["Body"].read() == name.encode(), name
    for operation, items in (("list_objects", "Contents"), ("list_objects_v2", "Contents"), ("list_object_versions", "Versions")):
        for more in ({}, {"EncodingType": "url"}):
            answer = getattr(s3, operation)(Bucket="names", **more)
            found = [urllib.parse.unquote_plus(item["Key"]) if more else item["Key"] for item in answer[items]]
            assert found == expected, operation
    # boto3 always asks for URL encoding.
    bare = fetch(f"{ENDPOINT}/names?list-type=2&prefix=a")[2]
    assert "<Key>a+b</Key>" in bare and "<Key>a b</Key>" in bare
    encoded = fetch(f"{ENDPOINT}/names?list-type=2&encoding-type=url")[2]
    for key in ("a%2Bb", "a+b", "tilde%7E", "star*", "a//b", "%3Ctag%3E%26amp%3B"):
        assert f"<Key>{key}</Key>" in encoded, key
    for name in NAMES:
        s3.copy_object(Bucket="names", Key=f"copy of {name}"[:1024] if len(name) < 500 else "copy", CopySource={"Bucket": "names", "Key": name})
    answer = refused("KeyTooLongError", 400, "Your key is too long", s3.put_object, Bucket="names", Key="a" * 1025, Body=b"")
    assert answer["Error"]["Size"] == "1025" and answer["Error"]["MaxSizeAllowed"] == "1024"
    deleted = s3.delete_objects(Bucket="names", Delete={"Objects": [{"Key": name} for name in NAMES if "\n" not in name]})
    assert "Errors" not in deleted
    for name in ("ab", "Upper", "under_score", "xn--a", "abc-s3alias", "1.2.3.4", "a..b", "-abc"):
        answer = refused("InvalidBucketName", 400, "The specified bucket is not valid.", s3_raw().create_bucket, Bucket=name)
        assert answer["Error"]["BucketName"] == name


def s3_raw():
    raw = client()
    # Let the server judge the names.
    raw.meta.events.unregister("before-parameter-build.s3", None)
    from botocore.handlers import validate_bucket_name

    raw.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    return raw


def listings():
    s3 = client()
    s3.create_bucket(Bucket="list")
    for key in ("a/1", "a/2", "b", "c/d/e", "f/g", "z"):
        s3.put_object(Bucket="list", Key=key, Body=b"x")
    first = s3.list_objects_v2(Bucket="list", Delimiter="/", MaxKeys=2)
    assert [p["Prefix"] for p in first["CommonPrefixes"]] == ["a/"] and [o["Key"] for o in first["Contents"]] == ["b"] and first["KeyCount"] == 2
    rest = s3.list_objects_v2(Bucket="list", Delimiter="/", ContinuationToken=first["NextContinuationToken"], StartAfter="a")
    assert [p["Prefix"] for p in rest["CommonPrefixes"]] == ["c/", "f/"] and [o["Key"] for o in rest["Contents"]] == ["z"] and "StartAfter" not in rest
    assert s3.list_objects(Bucket="list", Delimiter="/", MaxKeys=1)["NextMarker"] == "a/"
    assert "NextMarker" not in s3.list_objects(Bucket="list", MaxKeys=1)
    assert [o["Key"] for o in s3.list_objects(Bucket="list", Delimiter="/", Marker="a/1")["Contents"]] == ["b", "z"]
    assert s3.list_objects_v2(Bucket="list", StartAfter="f/g")["StartAfter"] == "f/g"
    assert "Owner" not in s3.list_objects_v2(Bucket="list")["Contents"][0] and s3.list_objects_v2(Bucket="list", FetchOwner=True)["Contents"][0]["Owner"]["ID"]
    empty = s3.list_objects_v2(Bucket="list", MaxKeys=0)
    assert empty["KeyCount"] == 0 and empty["IsTruncated"] is False
    assert s3.list_objects_v2(Bucket="list", MaxKeys=5000)["MaxKeys"] == 1000
    refused("InvalidArgument", 400, "Argument maxKeys must be an integer between 0 and 2147483647", s3.list_objects_v2, Bucket="list", MaxKeys=-1)
    refused("InvalidArgument", 400, "The continuation token provided is incorrect", s3.list_objects_v2, Bucket="list", ContinuationToken="?")
    refused("InvalidArgument", 400, "Invalid Encoding Method specified in Request", s3.list_objects_v2, Bucket="list", EncodingType="value")
    refused("NoSuchBucket", 404, "The specified bucket does not exist", s3.list_objects_v2, Bucket="never")
    item = s3.list_objects_v2(Bucket="list", Prefix="b")["Contents"][0]
    assert item["StorageClass"] == "STANDARD" and item["ChecksumAlgorithm"] and item["ChecksumType"] == "FULL_OBJECT"


def conditions():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    etag = s3.put_object(Bucket="bucket", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    answer = refused("PreconditionFailed", 412, FAILED, s3.put_object, Bucket="bucket", Key="k", Body=b"2", IfNoneMatch="*")
    assert answer["Error"]["Condition"] == "If-None-Match"
    refused("PreconditionFailed", 412, FAILED, s3.put_object, Bucket="bucket", Key="k", Body=b"2", IfMatch='"x"')
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.put_object, Bucket="bucket", Key="never", Body=b"2", IfMatch=etag)
    newer = s3.put_object(Bucket="bucket", Key="k", Body=b"2", IfMatch=etag.strip('"'))["ETag"]
    not_implemented = "A header you provided implies functionality that is not implemented"
    answer = refused("NotImplemented", 501, not_implemented, s3.put_object, Bucket="bucket", Key="k", Body=b"", IfNoneMatch='"x"')
    assert answer["Error"]["Header"] == "If-None-Match"
    refused("NotImplemented", 501, not_implemented, s3.put_object, Bucket="bucket", Key="k", Body=b"", IfMatch="*")
    refused("NotImplemented", 501, not_implemented, s3.put_object, Bucket="bucket", Key="k", Body=b"", IfMatch='"x"', IfNoneMatch="*")
    answer = refused("304", 304, "Not Modified", s3.get_object, Bucket="bucket", Key="k", IfNoneMatch=newer)
    assert headers_of(answer)["etag"] == newer and headers_of(answer)["last-modified"]
    refused("304", 304, "Not Modified", s3.head_object, Bucket="bucket", Key="k", IfNoneMatch=newer)
    answer = refused("PreconditionFailed", 412, FAILED, s3.get_object, Bucket="bucket", Key="k", IfUnmodifiedSince="2000-01-01")
    assert answer["Error"]["Condition"] == "If-Unmodified-Since"
    refused("304", 304, "Not Modified", s3.get_object, Bucket="bucket", Key="k", IfModifiedSince=s3.head_object(Bucket="bucket", Key="k")["LastModified"])
    assert s3.get_object(Bucket="bucket", Key="k", IfModifiedSince="2000-01-01")["Body"].read() == b"2"
    source = {"Bucket": "bucket", "Key": "k"}
    answer = refused("PreconditionFailed", 412, FAILED, s3.copy_object, Bucket="bucket", Key="c", CopySource=source, CopySourceIfMatch='"x"')
    assert answer["Error"]["Condition"] == "x-amz-copy-source-If-Match"
    answer = refused("PreconditionFailed", 412, FAILED, s3.copy_object, Bucket="bucket", Key="c", CopySource=source, CopySourceIfNoneMatch=newer)
    assert answer["Error"]["Condition"] == "x-amz-copy-source-If-None-Match"
    s3.copy_object(Bucket="bucket", Key="c", CopySource=source, CopySourceIfModifiedSince="2999-01-01")
    refused("PreconditionFailed", 412, FAILED, s3.copy_object, Bucket="bucket", Key="c", CopySource=source, IfNoneMatch="*")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    where = {"Bucket": "bucket", "Key": "k", "UploadId": upload}
    parts = {"Parts": [{"PartNumber": 1, "ETag": s3.upload_part(**where, PartNumber=1, Body=b"part")["ETag"]}]}
    refused("PreconditionFailed", 412, FAILED, s3.complete_multipart_upload, **where, MultipartUpload=parts, IfNoneMatch="*")
    s3.put_object(Bucket="bucket", Key="k", Body=b"2")
    answer = refused("ConditionalRequestConflict", 409, "The conditional request cannot succeed due to a conflicting operation against this resource.", s3.complete_multipart_upload, **where, MultipartUpload=parts, IfMatch=newer)
    assert answer["Error"]["Condition"] == "If-Match" and answer["Error"]["Key"] == "k"
    s3.complete_multipart_upload(**where, MultipartUpload=parts)


def ranges():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"0123456789")

    def read(text):
        answer = s3.get_object(Bucket="bucket", Key="k", Range=text, ChecksumMode="ENABLED")
        return status_of(answer), answer["Body"].read().decode(), answer.get("ContentRange"), "ChecksumType" in answer

    assert read("bytes=0-8") == (206, "012345678", "bytes 0-8/10", False)
    assert read("bytes=1-") == (206, "123456789", "bytes 1-9/10", False)
    assert read("bytes=-2") == (206, "89", "bytes 8-9/10", False)
    assert read("bytes=-15") == (206, "0123456789", "bytes 0-9/10", True)
    assert read("bytes=0-100") == (206, "0123456789", "bytes 0-9/10", True)
    for text in ("bytes=1-0", "bytes=-1-", "bytes=0--1", "bytes=0-1,3-4,7-9", "0-8", "bytes=-"):
        assert read(text) == (200, "0123456789", None, True), text
    for text in ("bytes=-0", "bytes=100-200"):
        answer = refused("InvalidRange", 416, "The requested range is not satisfiable", s3.get_object, Bucket="bucket", Key="k", Range=text)
        assert answer["Error"]["ActualObjectSize"] == "10" and answer["Error"]["RangeRequested"] == text
    head = s3.head_object(Bucket="bucket", Key="k", Range="bytes=2-3")
    assert head["ContentLength"] == 2 and head["ContentRange"] == "bytes 2-3/10" and status_of(head) == 206
    s3.put_object(Bucket="bucket", Key="empty", Body=b"")
    refused("InvalidRange", 416, "The requested range is not satisfiable", s3.get_object, Bucket="bucket", Key="empty", Range="bytes=0-")
    overridden = s3.get_object(Bucket="bucket", Key="k", ResponseContentType="text/x", ResponseContentDisposition="attachment")
    assert overridden["ContentType"] == "text/x" and overridden["ContentDisposition"] == "attachment"


def copies():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    s3.create_bucket(Bucket="other")
    s3.put_object(Bucket="bucket", Key="k", Body=b"text", ContentType="text/x", Metadata={"a": "1"}, StorageClass="STANDARD_IA", WebsiteRedirectLocation="/there", CacheControl="no-store")
    assert s3.head_object(Bucket="bucket", Key="k")["StorageClass"] == "STANDARD_IA" and s3.head_object(Bucket="bucket", Key="k")["WebsiteRedirectLocation"] == "/there"
    s3.copy_object(Bucket="other", Key="k", CopySource="/bucket/k")
    copy = s3.head_object(Bucket="other", Key="k")
    assert copy["Metadata"] == {"a": "1"} and copy["ContentType"] == "text/x" and copy["CacheControl"] == "no-store"
    assert "StorageClass" not in copy and "WebsiteRedirectLocation" not in copy
    s3.copy_object(Bucket="other", Key="k", CopySource="bucket/k", MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/y")
    copy = s3.head_object(Bucket="other", Key="k")
    assert copy["Metadata"] == {"b": "2"} and copy["ContentType"] == "text/y" and "CacheControl" not in copy
    illegal = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
    refused("InvalidRequest", 400, illegal, s3.copy_object, Bucket="bucket", Key="k", CopySource="bucket/k")
    s3.copy_object(Bucket="bucket", Key="k", CopySource="bucket/k", StorageClass="ONEZONE_IA")
    assert s3.head_object(Bucket="bucket", Key="k")["StorageClass"] == "ONEZONE_IA"
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.copy_object, Bucket="bucket", Key="x", CopySource="bucket/never")
    answer = refused("NoSuchBucket", 404, "The specified bucket does not exist", s3.copy_object, Bucket="bucket", Key="x", CopySource="never/k")
    assert answer["Error"]["BucketName"] == "never"
    refused("InvalidStorageClass", 400, "The storage class you specified is not valid", s3.put_object, Bucket="bucket", Key="x", Body=b"", StorageClass="COLD")
    s3.put_object(Bucket="bucket", Key="cold", Body=b"x", StorageClass="GLACIER")
    refused("InvalidObjectState", 403, "The operation is not valid for the object's storage class", s3.get_object, Bucket="bucket", Key="cold")
    # A copy counts as put whole, also of what was uploaded in parts.
    body = os.urandom(6 << 20)
    s3.upload_fileobj(io.BytesIO(body), "bucket", "parts", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
    assert s3.head_object(Bucket="bucket", Key="parts")["ETag"].endswith('-2"')
    result = s3.copy_object(Bucket="bucket", Key="whole", CopySource="bucket/parts")["CopyObjectResult"]
    assert result["ETag"] == f'"{hashlib.md5(body).hexdigest()}"' and result["ChecksumType"] == "FULL_OBJECT"
    refused("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size", s3.put_object, Bucket="bucket", Key="x", Body=b"", Metadata={"a": "x" * 2048})
    refused("NotImplemented", 501, "The local cloud does not implement encryption with keys of the client (SSE-C) yet", s3.put_object, Bucket="bucket", Key="x", Body=b"", SSECustomerAlgorithm="AES256", SSECustomerKey="0" * 32)
    refused("InvalidDigest", 400, "The Content-MD5 you specified was invalid.", s3.put_object, Bucket="bucket", Key="x", Body=b"", ContentMD5="AAAA")


def multipart():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    made = s3.create_multipart_upload(Bucket="bucket", Key="k", Tagging="a=1", StorageClass="STANDARD_IA", Metadata={"m": "1"})
    assert made["ServerSideEncryption"] == "AES256"
    where = {"Bucket": "bucket", "Key": "k", "UploadId": made["UploadId"]}
    big, small = b"a" * (5 << 20), b"b" * 10
    plain = client(request_checksum_calculation="when_required")
    etags = [plain.upload_part(**where, PartNumber=number, Body=body)["ETag"] for number, body in ((2, big), (5, small))]
    page = s3.list_parts(**where, MaxParts=1)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 2 and page["StorageClass"] == "STANDARD_IA" and page["Initiator"]["ID"] == page["Owner"]["ID"]
    assert [part["PartNumber"] for page in s3.get_paginator("list_parts").paginate(**where, PaginationConfig={"PageSize": 1}) for part in page["Parts"]] == [2, 5]
    parts = [{"PartNumber": 2, "ETag": etags[0]}, {"PartNumber": 5, "ETag": etags[1]}]
    complete = lambda parts, **more: s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, **more)
    answer = refused("InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number.", complete, parts=parts[::-1])
    assert answer["Error"]["UploadId"] == made["UploadId"]
    answer = refused("InvalidPart", 400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.", complete, parts=[{"PartNumber": 3, "ETag": "x"}])
    assert answer["Error"]["PartNumber"] == "3" and answer["Error"]["ETag"] == "x"
    s3.upload_part(**where, PartNumber=6, Body=b"c")
    answer = refused("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size", complete, parts=parts + [{"PartNumber": 6, "ETag": hashlib.md5(b"c").hexdigest()}])
    assert answer["Error"]["ProposedSize"] == "10" and answer["Error"]["MinSizeAllowed"] == "5242880" and answer["Error"]["PartNumber"] == "5"
    refused("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema", complete, parts=[])
    refused("InvalidRequest", 400, "The provided 'x-amz-mp-object-size' header value does not match what was computed.", complete, parts=parts, MpuObjectSize=1)
    done = complete(parts)
    assert done["ETag"].endswith('-2"') and done["ChecksumCRC64NVME"] and done["ChecksumType"] == "FULL_OBJECT" and done["Location"] == f"{ENDPOINT}/bucket/k"
    head = s3.head_object(Bucket="bucket", Key="k", PartNumber=2)
    assert head["ContentLength"] == 5 << 20 and head["PartsCount"] == 2
    part = s3.get_object(Bucket="bucket", Key="k", PartNumber=5)
    assert part["Body"].read() == small and part["ContentRange"] == f"bytes {5 << 20}-{(5 << 20) + 9}/{(5 << 20) + 10}"
    refused("InvalidPartNumber", 416, "The requested partnumber is not satisfiable", s3.get_object, Bucket="bucket", Key="k", PartNumber=9)
    whole = s3.get_object(Bucket="bucket", Key="k")
    assert whole["Body"].read() == big + small and whole["TagCount"] == 1 and whole["StorageClass"] == "STANDARD_IA" and whole["Metadata"] == {"m": "1"}
    answer = refused("NoSuchUpload", 404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.", s3.abort_multipart_upload, **where)
    assert answer["Error"]["UploadId"] == made["UploadId"]
    refused("InvalidArgument", 400, "Part number must be an integer between 1 and 10000, inclusive", s3.upload_part, **where, PartNumber=10001, Body=b"")
    where["UploadId"] = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    copy = lambda text: s3.upload_part_copy(**where, PartNumber=1, CopySource="bucket/k", CopySourceRange=text)
    form = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
    for text in ("0-8", "bytes=1-0", "bytes=-2", "bytes=1-", "bytes=0-1,3-4"):
        refused("InvalidArgument", 400, form, lambda: copy(text))
    refused("InvalidArgument", 400, f"Range specified is not valid for source object of size: {(5 << 20) + 10}", lambda: copy(f"bytes=0-{6 << 20}"))
    refused("InvalidRequest", 400, "The specified copy range is invalid for the source object size", lambda: copy(f"bytes={6 << 20}-{7 << 20}"))
    etag = copy(f"bytes={(5 << 20) - 1}-{5 << 20}")["CopyPartResult"]["ETag"]
    assert etag == f'"{hashlib.md5(b"ab").hexdigest()}"'
    s3.abort_multipart_upload(**where)
    versioned(s3, "versioned")
    where = {"Bucket": "versioned", "Key": "k"}
    where["UploadId"] = s3.create_multipart_upload(**where)["UploadId"]
    etag = s3.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]
    assert s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})["VersionId"]


def upload_listings():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    empty = s3.list_multipart_uploads(Bucket="bucket")
    assert empty["KeyMarker"] == "" and empty["MaxUploads"] == 1000 and empty["IsTruncated"] is False and "Uploads" not in empty
    made = []
    for key in ("a/1", "a/2", "b", "b", "b", "c+ d"):
        made.append((key, s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"]))
        time.sleep(0.002)
    for size in (1, 2, 4, 10):
        pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket="bucket", PaginationConfig={"PageSize": size})
        assert [(u["Key"], u["UploadId"]) for page in pages for u in page["Uploads"]] == made, size
    folded = s3.list_multipart_uploads(Bucket="bucket", Delimiter="/")
    assert [p["Prefix"] for p in folded["CommonPrefixes"]] == ["a/"] and [u["Key"] for u in folded["Uploads"]] == ["b", "b", "b", "c+ d"]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket="bucket", Prefix="a/")["Uploads"]] == ["a/1", "a/2"]
    assert folded["Uploads"][0]["StorageClass"] == "STANDARD" and folded["Uploads"][0]["Initiator"]["ID"]
    assert s3.list_multipart_uploads(Bucket="bucket", Prefix="c", EncodingType="url")["Uploads"][0]["Key"] == "c%2B+d"
    s3.delete_bucket(Bucket="bucket")


def attributes():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    s3.put_object(Bucket="bucket", Key="k", Body=b"hello", ChecksumAlgorithm="SHA256")
    found = s3.get_object_attributes(Bucket="bucket", Key="k", ObjectAttributes=every)
    assert found["ETag"] == hashlib.md5(b"hello").hexdigest() and found["ObjectSize"] == 5 and found["StorageClass"] == "STANDARD"
    assert found["Checksum"]["ChecksumSHA256"] and "ObjectParts" not in found
    assert "ETag" not in s3.get_object_attributes(Bucket="bucket", Key="k", ObjectAttributes=["ObjectSize"])
    where = {"Bucket": "bucket", "Key": "m"}
    where["UploadId"] = s3.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number in (1, 2):
        part = s3.upload_part(**where, PartNumber=number, Body=bytes([number]) * (5 << 20), ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    refused("InvalidPart", 400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.", s3.complete_multipart_upload, **where, MultipartUpload={"Parts": [{**parts[0], "ChecksumSHA256": parts[1]["ChecksumSHA256"]}]})
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    found = s3.get_object_attributes(Bucket="bucket", Key="m", ObjectAttributes=every, MaxParts=1)
    assert found["ObjectParts"] == {"TotalPartsCount": 2, "PartNumberMarker": 0, "NextPartNumberMarker": 1, "MaxParts": 1, "IsTruncated": True, "Parts": [{"PartNumber": 1, "Size": 5 << 20, "ChecksumSHA256": parts[0]["ChecksumSHA256"]}]}, found
    assert found["Checksum"]["ChecksumSHA256"].endswith("-2") and found["Checksum"]["ChecksumType"] == "COMPOSITE"
    refused("NoSuchKey", 404, "The specified key does not exist.", s3.get_object_attributes, Bucket="bucket", Key="never", ObjectAttributes=every)


def transfers():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    body = random.Random(1).randbytes(40 << 20)
    settings = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=5 << 20, max_concurrency=8, use_threads=True)
    seen = []
    s3.upload_fileobj(io.BytesIO(body), "bucket", "large", Config=settings, Callback=seen.append, ExtraArgs={"ContentType": "x/y", "Tagging": "a=b"})
    assert sum(seen) == len(body)
    into = io.BytesIO()
    s3.download_fileobj("bucket", "large", into, Config=settings)
    assert into.getvalue() == body
    s3.copy({"Bucket": "bucket", "Key": "large"}, "bucket", "copy", Config=settings)
    assert s3.head_object(Bucket="bucket", Key="copy")["ETag"].endswith('-8"')
    with open("file", "wb") as file:
        file.write(body[:100])
    s3.upload_file("file", "bucket", "small")
    s3.download_file("bucket", "small", "back")
    assert open("back", "rb").read() == body[:100]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")


def resource():
    s3 = boto3.resource("s3", endpoint_url=ENDPOINT, region_name=REGION, config=config())
    bucket = s3.create_bucket(Bucket="bucket")
    bucket.Versioning().enable()
    assert bucket.Versioning().status == "Enabled"
    bucket.put_object(Key="a/1", Body=b"1")
    bucket.put_object(Key="a/1", Body=b"2")
    thing = bucket.Object("b")
    thing.put(Body=b"text", Metadata={"k": "v"})
    thing.load()
    assert thing.metadata == {"k": "v"} and thing.content_length == 4 and thing.version_id
    assert thing.get()["Body"].read() == b"text"
    thing.copy_from(CopySource="bucket/a/1")
    assert [item.key for item in bucket.objects.all()] == ["a/1", "b"]
    assert [item.key for item in bucket.objects.filter(Prefix="a/")] == ["a/1"]
    assert len(list(bucket.object_versions.all())) == 4
    bucket.objects.all().delete()
    assert list(bucket.objects.all()) == [] and len(list(bucket.object_versions.all())) == 6
    bucket.object_versions.all().delete()
    bucket.delete()
    assert list(s3.buckets.all()) == []


def waiters():
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    quick = {"Delay": 0, "MaxAttempts": 3}
    s3.get_waiter("bucket_exists").wait(Bucket="bucket", WaiterConfig=quick)
    s3.get_waiter("bucket_not_exists").wait(Bucket="never", WaiterConfig=quick)
    s3.get_waiter("object_not_exists").wait(Bucket="bucket", Key="k", WaiterConfig=quick)
    s3.put_object(Bucket="bucket", Key="k", Body=b"")
    s3.get_waiter("object_exists").wait(Bucket="bucket", Key="k", WaiterConfig=quick)


def fetch(url, method="GET", data=None, **headers):
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read().decode()


def presigned():
    for version in ("s3v4", "s3"):
        s3 = client(signature_version=version)
        s3.create_bucket(Bucket="bucket")
        url = s3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "a b+ü", "ContentType": "text/x"})
        assert fetch(url, "PUT", b"by link", **{"Content-Type": "text/x"})[0] == 200
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a b+ü", "ResponseContentType": "text/y"})
        status, headers, body = fetch(url)
        assert (status, body, headers["Content-Type"]) == (200, "by link", "text/y")
        status, headers, body = fetch(s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "never"}))
        assert status == 404 and "<Code>NoSuchKey</Code>" in body and "<Key>never</Key>" in body and "<HostId>" in body
        assert headers["x-amz-request-id"] in body and headers["x-amz-id-2"] in body and headers["Server"] == "AmazonS3"
        assert fetch(s3.generate_presigned_url("delete_object", Params={"Bucket": "bucket", "Key": "a b+ü"}), "DELETE")[0] == 204


def virtual_hosts():
    port = ENDPOINT.rsplit(":", 1)[1]
    # Host names below localhost need not resolve: the connection goes to the loopback address.
    import urllib3.util.connection as connection

    connect = connection.create_connection
    connection.create_connection = lambda address, *rest, **more: connect(("127.0.0.1", address[1]), *rest, **more)
    for host in ("localhost", "s3.localhost", "s3.us-east-1.localhost"):
        s3 = client(endpoint=f"http://{host}:{port}", s3={"addressing_style": "virtual"})
        name = "virtual." + host.replace("localhost", "x").replace(".", "-")
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="a/b c+d", Body=b"x")
        assert s3.get_object(Bucket=name, Key="a/b c+d")["Body"].read() == b"x"
        assert [item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]] == ["a/b c+d"]
        assert [item["Key"] for item in client().list_objects_v2(Bucket=name)["Contents"]] == ["a/b c+d"]
        s3.delete_object(Bucket=name, Key="a/b c+d")
        s3.delete_bucket(Bucket=name)


def bucket_pages():
    s3 = client()
    made = [f"bucket-{number:02}" for number in range(12)]
    for name in made:
        s3.create_bucket(Bucket=name)
    client(region="eu-west-1").create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    everything = s3.list_buckets()
    assert [bucket["Name"] for bucket in everything["Buckets"]] == made + ["far"] and "BucketRegion" not in everything["Buckets"][0]
    pages = list(s3.get_paginator("list_buckets").paginate(Prefix="bucket-", PaginationConfig={"PageSize": 5}))
    assert [len(page["Buckets"]) for page in pages] == [5, 5, 2] and [b["Name"] for page in pages for b in page["Buckets"]] == made
    assert [b["Name"] for b in s3.list_buckets(BucketRegion="eu-west-1")["Buckets"]] == ["far"]
    assert s3.get_bucket_location(Bucket="far")["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket="far")["BucketRegion"] == "eu-west-1"
    refused("404", 404, "Not Found", s3.head_bucket, Bucket="never")
    refused("InvalidLocationConstraint", 400, "The specified location-constraint is not valid", s3.create_bucket, Bucket="nowhere", CreateBucketConfiguration={"LocationConstraint": "nowhere"})


def code_by_version():
    s3, lam = client(), client("lambda")
    versioned(s3, "code")

    def zipped(text):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("python/module.py", text)
        return buffer.getvalue()

    old = s3.put_object(Bucket="code", Key="l.zip", Body=zipped("old"))["VersionId"]
    new = s3.put_object(Bucket="code", Key="l.zip", Body=zipped("newer"))["VersionId"]
    publish = lambda **more: lam.publish_layer_version(LayerName="l", Content={"S3Bucket": "code", "S3Key": "l.zip", **more})
    hashes = {name: publish(**more)["Content"]["CodeSha256"] for name, more in (("latest", {}), ("old", {"S3ObjectVersion": old}), ("new", {"S3ObjectVersion": new}))}
    assert hashes["latest"] == hashes["new"] != hashes["old"]
    refused("InvalidParameterValueException", 400, "Error occurred while GetObject. S3 Error Code: NoSuchVersion. S3 Error Message: The specified version does not exist.", publish, S3ObjectVersion="HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD")
    s3.delete_object(Bucket="code", Key="l.zip")
    refused("InvalidParameterValueException", 400, "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.", publish)
    assert publish(S3ObjectVersion=old)["Content"]["CodeSha256"] == hashes["old"]


def many_objects():
    s3 = client(max_pool_connections=8)
    s3.create_bucket(Bucket="many")
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket="many", Key=f"{n % 7}/{n:05}", Body=b"x"), range(1500)))
    pages = [len(page["Contents"]) for page in s3.get_paginator("list_objects_v2").paginate(Bucket="many")]
    assert pages == [1000, 500]
    keys = [item["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="many") for item in page["Contents"]]
    assert len(s3.delete_objects(Bucket="many", Delete={"Objects": [{"Key": key} for key in keys[:1000]]})["Deleted"]) == 1000
    s3.delete_objects(Bucket="many", Delete={"Objects": [{"Key": key} for key in keys[1000:]], "Quiet": True})
    s3.delete_bucket(Bucket="many")


def aws(*arguments, fails=None):
    done = subprocess.run(["aws", "--endpoint-url", ENDPOINT, *arguments], capture_output=True, text=True)
    if fails:
        assert done.returncode != 0 and fails in done.stderr, done
        return done.stderr
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def command_line():
    os.makedirs("tree/sub/deep")
    for path, text in (("a.txt", "a"), ("sub/b c.txt", "b"), ("sub/deep/ü+.txt", "c")):
        with open(f"tree/{path}", "w") as file:
            file.write(text)
    with open("tree/large.bin", "wb") as file:
        file.write(os.urandom(20 << 20))
    assert aws("s3", "mb", "s3://cli-bucket") == "make_bucket: cli-bucket\n"
    assert aws("s3", "mb", "s3://cli-bucket") == "make_bucket: cli-bucket\n", "us-east-1 says yes twice"
    aws("s3", "sync", "--no-progress", "tree", "s3://cli-bucket/tree")
    assert aws("s3", "sync", "--no-progress", "tree", "s3://cli-bucket/tree") == "", "nothing has changed"
    listing = aws("s3", "ls", "--recursive", "--summarize", "s3://cli-bucket/")
    assert "tree/sub/deep/ü+.txt" in listing and "Total Objects: 4" in listing
    assert "PRE sub/" in aws("s3", "ls", "s3://cli-bucket/tree/")
    aws("s3", "sync", "--no-progress", "s3://cli-bucket/tree", "back")
    subprocess.run(["diff", "-r", "tree", "back"], check=True)
    aws("s3", "cp", "--no-progress", "s3://cli-bucket/tree/large.bin", "s3://cli-bucket/copied.bin")
    aws("s3", "mv", "--no-progress", "s3://cli-bucket/copied.bin", "s3://cli-bucket/moved.bin")
    assert "copied.bin" not in aws("s3", "ls", "s3://cli-bucket/")
    aws("s3", "cp", "--no-progress", "--recursive", "--exclude", "*.bin", "s3://cli-bucket/tree", "some")
    assert sorted(os.listdir("some")) == ["a.txt", "sub"]
    os.remove("tree/a.txt")
    aws("s3", "sync", "--no-progress", "--delete", "tree", "s3://cli-bucket/tree")
    assert "a.txt" not in aws("s3", "ls", "s3://cli-bucket/tree/")
    piped = subprocess.run(["aws", "--endpoint-url", ENDPOINT, "s3", "cp", "-", "s3://cli-bucket/piped"], input=b"from a pipe", capture_output=True)
    assert piped.returncode == 0, piped
    assert aws("s3", "cp", "s3://cli-bucket/piped", "-") == "from a pipe"
    url = aws("s3", "presign", "s3://cli-bucket/piped").strip()
    assert fetch(url)[2] == "from a pipe"
    aws("s3", "rb", "s3://cli-bucket", fails="BucketNotEmpty")
    aws("s3", "rm", "--recursive", "--exclude", "*", "--include", "piped", "s3://cli-bucket")
    aws("s3", "rb", "--force", "s3://cli-bucket")
    assert aws("s3", "ls") == ""


def command_line_api():
    api = lambda *arguments, **more: aws("s3api", *arguments, **more)
    api("create-bucket", "--bucket", "cli-bucket")
    api("put-bucket-versioning", "--bucket", "cli-bucket", "--versioning-configuration", "Status=Enabled")
    with open("file", "w") as file:
        file.write("text")
    put = json.loads(api("put-object", "--bucket", "cli-bucket", "--key", "k", "--body", "file", "--tagging", "a=b"))
    assert put["ServerSideEncryption"] == "AES256"
    api("get-object", "--bucket", "cli-bucket", "--key", "k", "--version-id", put["VersionId"], "out")
    assert open("out").read() == "text"
    api("delete-object", "--bucket", "cli-bucket", "--key", "k")
    found = json.loads(api("list-object-versions", "--bucket", "cli-bucket"))
    assert len(found["Versions"]) == 1 and len(found["DeleteMarkers"]) == 1
    api("head-object", "--bucket", "cli-bucket", "--key", "k", fails="Not Found")
    api("get-object", "--bucket", "cli-bucket", "--key", "k", "--version-id", "foo", "out", fails="An error occurred (InvalidArgument) when calling the GetObject operation: Invalid version id specified")
    assert json.loads(api("get-object-tagging", "--bucket", "cli-bucket", "--key", "k", "--version-id", put["VersionId"]))["TagSet"] == [{"Key": "a", "Value": "b"}]
    for item in found["Versions"] + found["DeleteMarkers"]:
        api("delete-object", "--bucket", "cli-bucket", "--key", "k", "--version-id", item["VersionId"])
    api("wait", "bucket-exists", "--bucket", "cli-bucket")
    assert json.loads(api("get-bucket-location", "--bucket", "cli-bucket")) == {"LocationConstraint": None}
    api("delete-bucket", "--bucket", "cli-bucket")
    api("head-bucket", "--bucket", "cli-bucket", fails="Not Found")


globals()[sys.argv[2]]()
