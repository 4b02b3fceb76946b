//! Functions without a network, as boto3 sees them. The scenarios are in `network_suite.py`, one
//! function each; every one runs against a cloud of its own.

use crate::common::scenarios;

scenarios!("network_suite.py"; a_tag_takes_the_network_away, what_says_nothing_is_refused);
