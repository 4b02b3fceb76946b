//! What is configured beside functions and layers, as boto3 sees it: every member that can be
//! written is read back. The scenarios are in `lambda_configs_suite.py`.

use crate::common::scenarios;

scenarios!("lambda_configs_suite.py";
    layer_permissions,
    function_permissions,
    resource_policies,
    tags,
    reserved_concurrency,
    provisioned_concurrency,
    event_invoke_configs,
    url_configs,
    recursion_and_runtime_management,
    code_signing_configs,
    queue_mappings,
    stream_mappings,
    other_mappings,
);
