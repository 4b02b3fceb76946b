//! Functions that bring their own `bootstrap`, as boto3 sees them. The scenarios are in
//! `provided_suite.py`, one function each; every one runs against a cloud of its own.

use crate::common::scenarios;

scenarios!("provided_suite.py"; code_and_layer, what_goes_wrong);
