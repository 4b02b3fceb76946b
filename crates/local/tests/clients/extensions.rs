//! Extensions in layers and logs in JSON, from boto3 to CloudWatch Logs. The scenarios are in
//! `extensions_suite.py`.

use crate::common::scenarios;

scenarios!("extensions_suite.py";
    an_extension_in_a_layer,
    logs_in_json,
);
