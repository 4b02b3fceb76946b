//! The local cloud as boto3 sees it. The scenarios are in `suite.py`, one function each;
//! every one runs against a cloud of its own.

use crate::common::scenarios;

scenarios!("suite.py";
    layers,
    layer_paging_and_filters,
    layer_errors,
    functions,
    function_limits,
    function_states,
    package_limits,
    invocations,
    tags,
    what_is_not_built,
    roles,
    caller_identity,
    logs,
    buckets,
    objects,
    listings,
    multipart,
    regions,
);
