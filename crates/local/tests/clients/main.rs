//! The local cloud as its clients see it: the SDK for Rust, boto3, AWS's and SAM's command lines.
//! One program, since each would be linked with all of the local cloud.

mod aws_cli;
mod boto3;
mod common;
mod credentials;
mod events;
mod extensions;
mod function_urls;
mod images;
mod lambda_configs;
mod neighbours;
mod provided;
mod s3;
mod sdk;
mod sdk_functions;
mod terraform_like;
mod versions;
