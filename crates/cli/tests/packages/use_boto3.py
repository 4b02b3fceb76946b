import boto3
from boto3.s3.transfer import TransferConfig
from botocore.stub import Stubber


def client(name):
    return boto3.client(name, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y")


def handler(event, context):
    s3 = client("s3")
    with Stubber(s3) as stub:
        listing = {"Contents": [{"Key": "a"}], "IsTruncated": False}
        stub.add_response("list_objects_v2", listing, {"Bucket": "b"})
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="b"))
        assert pages[0]["Contents"][0]["Key"] == "a"
        found = {"ContentLength": 1, "ResponseMetadata": {"HTTPStatusCode": 200}}
        stub.add_response("head_object", found, {"Bucket": "b", "Key": "a"})
        s3.get_waiter("object_exists").wait(Bucket="b", Key="a")
        stub.add_client_error("get_object", "NoSuchKey")
        try:
            s3.get_object(Bucket="b", Key="c")
            raise AssertionError("it is not there")
        except s3.exceptions.NoSuchKey:
            pass
    assert "Signature=" in s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "a"})
    dynamodb = boto3.resource("dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y")
    table = dynamodb.Table("t")
    with Stubber(table.meta.client) as stub:
        stub.add_response("get_item", {"Item": {"id": {"S": "1"}}}, {"TableName": "t", "Key": {"id": "1"}})
        assert table.get_item(Key={"id": "1"})["Item"]["id"] == "1"
    sqs = client("sqs")
    with Stubber(sqs) as stub:
        stub.add_response("send_message", {"MessageId": "m"}, {"QueueUrl": "https://q", "MessageBody": "x"})
        assert sqs.send_message(QueueUrl="https://q", MessageBody="x")["MessageId"] == "m"
    session = boto3.session.Session(region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y")
    names = session.get_available_services()
    assert len(names) > 250 and "eu-central-1" in session.get_available_regions("lambda")
    for name in ["lambda", "ec2", "rds", "cloudfront", "elasticache", "iam", "sts", "logs", "ssm", "cloudwatch"]:
        assert client(name).meta.service_model.operation_names
    for name in session.get_available_resources():
        session.resource(name)
    assert client("ec2").get_waiter("instance_running") and TransferConfig().multipart_threshold > 0
