import json

import pandas as pd


def lambda_handler(event, context):
    series = pd.Series([10, 20, 30])
    print(series)
    return {"statusCode": 200, "body": json.dumps("Hello from Lambda!")}
