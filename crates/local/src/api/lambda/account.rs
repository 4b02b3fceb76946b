//! What an account may have and has, on the wire.

use layercake_core::limits;
use serde_json::json;

use super::{Answer, AwsError, Call};
use crate::service::CODE_STORAGE_BYTES;

/// Calls that an account can run at the same time.
const CONCURRENT_EXECUTIONS: u32 = 1_000;

pub(super) async fn get_settings(call: Call<'_>) -> Result<Answer, AwsError> {
    let usage = call.api.cloud.account_usage(call.scope.clone()).await?;
    Ok(Answer::Json(json!({
        "AccountLimit": {
            "TotalCodeSize": CODE_STORAGE_BYTES,
            "CodeSizeUnzipped": limits::UNZIPPED_BYTES,
            "CodeSizeZipped": limits::ZIPPED_DIRECT_BYTES,
            "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
            "UnreservedConcurrentExecutions": CONCURRENT_EXECUTIONS.saturating_sub(usage.reserved),
        },
        "AccountUsage": { "TotalCodeSize": usage.code_bytes, "FunctionCount": usage.functions },
    })))
}
