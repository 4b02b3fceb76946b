#!/bin/bash
# The write-up's steps with `aws`: bucket, layer from S3 and from a zip, function, attach,
# invoke, and everything deleted again. Arguments: endpoint, runtime.
set -euo pipefail
endpoint=$1
runtime=$2
# `grep -q` stops reading early, and `aws` fails on the broken pipe: pipelines read to the end.
cloud() { aws --endpoint-url "$endpoint" "$@"; }
fail() { echo "$1" >&2; exit 1; }

mkdir -p python
echo 'WORD = "from the layer"' > python/greeting.py
cat > app.py <<'PY'
import greeting, json
def lambda_handler(event, context):
    print(greeting.WORD)
    return {"statusCode": 200, "body": json.dumps("Hello from Lambda!")}
PY
python3 - <<'PY'
import os, zipfile
with zipfile.ZipFile("layer.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.write("python/greeting.py")
with zipfile.ZipFile("app.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.write("app.py")
# A zip over the direct limit, which compresses to more than it.
with zipfile.ZipFile("large.zip", "w", zipfile.ZIP_STORED) as z:
    z.writestr("large", os.urandom(52_428_800))
PY

cloud s3 mb s3://layercake-bucket
cloud s3 cp --no-progress layer.zip s3://layercake-bucket/layers/layer.zip
cloud s3 ls s3://layercake-bucket/layers/ | grep layer.zip > /dev/null || fail "the object is not listed"
cloud s3 cp --no-progress large.zip s3://layercake-bucket/large.zip
cloud s3 cp --no-progress s3://layercake-bucket/large.zip back.zip
cmp large.zip back.zip

cloud lambda publish-layer-version --layer-name greeting \
    --content S3Bucket=layercake-bucket,S3Key=layers/layer.zip --compatible-runtimes python3.12
layer=$(cloud lambda publish-layer-version --layer-name greeting --zip-file fileb://layer.zip \
    --query LayerVersionArn --output text)
[[ $layer == *:greeting:2 ]] || fail "the second version is $layer"
if cloud lambda publish-layer-version --layer-name large --zip-file fileb://large.zip 2> error; then
    fail "a zip over the direct limit was taken"
fi
grep -q "RequestEntityTooLargeException" error || fail "$(cat error)"

trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
role=$(cloud iam create-role --role-name basic --assume-role-policy-document "$trust" \
    --query Role.Arn --output text)
cloud iam attach-role-policy --role-name basic \
    --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
cloud sts get-caller-identity --query Account --output text | grep -x 123456789012 > /dev/null || fail "another account"

cloud lambda create-function --function-name hello --runtime "$runtime" --role "$role" \
    --handler app.lambda_handler --zip-file fileb://app.zip
cloud lambda wait function-active-v2 --function-name hello
cloud lambda update-function-configuration --function-name hello --layers "$layer"
cloud lambda wait function-updated-v2 --function-name hello
cloud lambda invoke --function-name hello --log-type Tail --query LogResult --output text out.json | base64 -d > tail
grep -q "from the layer" tail || fail "$(cat tail out.json)"
grep -q "^REPORT RequestId" tail || fail "$(cat tail)"
grep -q "Hello from Lambda" out.json || fail "$(cat out.json)"
cloud logs filter-log-events --log-group-name /aws/lambda/hello --filter-pattern '"from the layer"' \
    --query 'events[].message' --output text | grep "from the layer" > /dev/null || fail "no log"

cloud lambda delete-function --function-name hello
cloud lambda delete-layer-version --layer-name greeting --version-number 1
cloud lambda delete-layer-version --layer-name greeting --version-number 2
cloud iam detach-role-policy --role-name basic \
    --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
cloud iam delete-role --role-name basic
cloud logs delete-log-group --log-group-name /aws/lambda/hello
if cloud s3 rb s3://layercake-bucket 2> error; then fail "a bucket with objects was deleted"; fi
grep -q BucketNotEmpty error || fail "$(cat error)"
cloud s3 rb --force s3://layercake-bucket
[[ -z $(cloud lambda list-functions --query 'Functions[]' --output text) ]] || fail "functions are left"
[[ -z $(cloud lambda list-layers --query 'Layers[]' --output text) ]] || fail "layers are left"
[[ -z $(cloud s3 ls) ]] || fail "buckets are left"
