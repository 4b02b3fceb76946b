//! Versions, aliases and configurations as boto3 sees them. The scenarios are in
//! `versions_suite.py`, one function each; every one runs against a cloud of its own.

use crate::common::scenarios;

scenarios!("versions_suite.py";waiters, versions_and_aliases, plans_show_no_difference, account_settings);
