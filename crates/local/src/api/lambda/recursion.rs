//! The operations on recursive loop detection on the wire.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, AwsError, Call};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    function_name: String,
    #[serde(default)]
    recursive_loop: String,
}

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, None)?;
    call.api.cloud.put_recursion(call.scope, function, request.recursive_loop.clone()).await?;
    Ok(Answer::Json(json!({ "RecursiveLoop": request.recursive_loop })))
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Answer, AwsError> {
    let request: Request = call.input()?;
    let function = call.function(&request.function_name, None)?;
    let recursive_loop = call.api.cloud.recursion(call.scope, function).await?;
    Ok(Answer::Json(json!({ "RecursiveLoop": recursive_loop })))
}
