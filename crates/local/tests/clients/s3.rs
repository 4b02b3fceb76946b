//! S3 as its real clients see it: boto3's client, resource and transfers, and AWS's own command
//! line. The scenarios are in `s3_suite.py`, one function each; every one runs against a
//! cloud of its own.

use crate::common::scenarios;

scenarios!("s3_suite.py";
    versions,
    suspended_versions,
    version_paging,
    deletions,
    tags,
    bucket_refresh,
    bucket_settings,
    access,
    names,
    listings,
    conditions,
    ranges,
    copies,
    multipart,
    upload_listings,
    attributes,
    transfers,
    resource,
    waiters,
    presigned,
    virtual_hosts,
    bucket_pages,
    code_by_version,
    many_objects,
    command_line,
    command_line_api,
);
