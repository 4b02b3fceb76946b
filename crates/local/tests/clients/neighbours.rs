//! IAM, STS and CloudWatch Logs as boto3 sees them. The scenarios are in
//! `neighbours_suite.py`; every one runs against a cloud of its own.

use crate::common::scenarios;

scenarios!("neighbours_suite.py";
    roles_read_back,
    role_errors,
    policies_in_roles,
    managed_policies,
    iam_paging,
    who_am_i,
    assuming_roles,
    accounts_by_digits,
    log_groups,
    log_streams,
    log_events,
    log_limits,
    log_search,
    log_retention,
    log_tail,
    what_is_not_built,
);
