//! Asynchronous invocations as boto3 sees them. The scenarios are in `events_suite.py`.

use crate::common::scenarios;

scenarios!("events_suite.py";
    on_failure_to_a_function,
    on_success_of_an_alias,
    on_failure_to_a_bucket,
    destinations_that_are_not_here,
    invoke_async,
);
