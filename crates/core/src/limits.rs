//! Lambda's quotas that a layer or a function can run into, in bytes unless said.
//!
//! Source of every number: FACTS.md §1.

/// Unzipped size of one package, and of function code with all its layers together: it must stay
/// *below* this for one package; exactly this many bytes is refused.
pub const UNZIPPED_BYTES: u64 = 262_144_000;

/// Zipped size of a package sent in the request itself.
pub const ZIPPED_DIRECT_BYTES: u64 = 52_428_800;

/// Body of a `PublishLayerVersion`, `CreateFunction` or `UpdateFunctionCode` request. The zip
/// travels in it as base64, so it is 4/3 of the zip's size and a little more.
pub const REQUEST_BYTES: u64 = 70_167_211;

/// Layers a function can have.
pub const LAYERS_PER_FUNCTION: usize = 5;

/// Payload of a synchronous invocation.
pub const SYNC_PAYLOAD_BYTES: u64 = 6_291_456;

/// Payload of an asynchronous (`Event`) invocation.
pub const EVENT_PAYLOAD_BYTES: u64 = 1_048_576;

/// Response of a synchronous invocation.
pub const SYNC_RESPONSE_BYTES: u64 = 6_291_556;

/// Response that is streamed: 200 MiB, which AWS's quotas call 200 MB (20 MB before August 2025).
pub const STREAMED_RESPONSE_BYTES: u64 = 209_715_200;

/// The environment variables of a function, measured on the JSON text of the map.
pub const ENVIRONMENT_BYTES: usize = 4_096;

/// Function timeout in seconds: least, greatest, default.
pub const TIMEOUT_SECONDS: (u32, u32, u32) = (1, 900, 3);

/// Function memory in MB: least, greatest, default.
pub const MEMORY_MB: (u32, u32, u32) = (128, 10_240, 128);

/// Size of `/tmp` in MB: least, greatest, default.
pub const EPHEMERAL_STORAGE_MB: (u32, u32, u32) = (512, 10_240, 512);

/// Whether a zip of this many bytes can travel inside the request.
///
/// The limit on the zip decides before the one on the request body does: base64 of
/// [`ZIPPED_DIRECT_BYTES`] leaves room for the rest of the request within [`REQUEST_BYTES`].
pub const fn fits_in_request(zip_bytes: u64) -> bool {
    zip_bytes < ZIPPED_DIRECT_BYTES && zip_bytes.div_ceil(3) * 4 + 16_384 < REQUEST_BYTES
}

/// Environment variables that Lambda sets itself, and refuses (FACTS.md §1 and §5).
pub const RESERVED_VARIABLES: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_holds_the_largest_direct_zip() {
        assert!(fits_in_request(ZIPPED_DIRECT_BYTES - 1));
        assert!(!fits_in_request(ZIPPED_DIRECT_BYTES));
    }
}
