//! Every operation of Lambda's API as one trait.
//!
//! The defaults answer NotImplemented by the operation's name, so an `impl` block is the list of
//! what is built. Owns the way from an operation's name to its handler and nothing else; the names
//! are held against the API model by a test.

use async_trait::async_trait;

use super::{Answer, AwsError, Call};

/// Makes the trait, and the way from a name to its method.
macro_rules! operations {
    ($($operation:ident $method:ident,)*) => {
        /// Lambda's operations. Each gets input that fits the API model.
        #[async_trait]
        pub(super) trait LambdaOperations: Send + Sync {
            $(
                #[doc = stringify!($operation)]
                async fn $method(&self, _call: Call<'_>) -> Result<Answer, AwsError> {
                    Err(not_built(stringify!($operation)))
                }
            )*
        }

        /// Performs the operation of that name.
        pub(super) async fn perform(
            service: &dyn LambdaOperations,
            operation: &str,
            call: Call<'_>,
        ) -> Result<Answer, AwsError> {
            match operation {
                $(stringify!($operation) => service.$method(call).await,)*
                other => Err(not_built(other)),
            }
        }

        /// All of them, by name.
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$(stringify!($operation)),*];
    };
}

operations! {
    AddLayerVersionPermission add_layer_version_permission,
    AddPermission add_permission,
    CheckpointDurableExecution checkpoint_durable_execution,
    CreateAlias create_alias,
    CreateCapacityProvider create_capacity_provider,
    CreateCodeSigningConfig create_code_signing_config,
    CreateEventSourceMapping create_event_source_mapping,
    CreateFunction create_function,
    CreateFunctionUrlConfig create_function_url_config,
    DeleteAlias delete_alias,
    DeleteCapacityProvider delete_capacity_provider,
    DeleteCodeSigningConfig delete_code_signing_config,
    DeleteDurableExecution delete_durable_execution,
    DeleteEventSourceMapping delete_event_source_mapping,
    DeleteFunction delete_function,
    DeleteFunctionCodeSigningConfig delete_function_code_signing_config,
    DeleteFunctionConcurrency delete_function_concurrency,
    DeleteFunctionEventInvokeConfig delete_function_event_invoke_config,
    DeleteFunctionUrlConfig delete_function_url_config,
    DeleteLayerVersion delete_layer_version,
    DeleteProvisionedConcurrencyConfig delete_provisioned_concurrency_config,
    DeleteResourcePolicy delete_resource_policy,
    GetAccountSettings get_account_settings,
    GetAlias get_alias,
    GetCapacityProvider get_capacity_provider,
    GetCodeSigningConfig get_code_signing_config,
    GetDurableExecution get_durable_execution,
    GetDurableExecutionHistory get_durable_execution_history,
    GetDurableExecutionState get_durable_execution_state,
    GetEventSourceMapping get_event_source_mapping,
    GetFunction get_function,
    GetFunctionCodeSigningConfig get_function_code_signing_config,
    GetFunctionConcurrency get_function_concurrency,
    GetFunctionConfiguration get_function_configuration,
    GetFunctionEventInvokeConfig get_function_event_invoke_config,
    GetFunctionRecursionConfig get_function_recursion_config,
    GetFunctionScalingConfig get_function_scaling_config,
    GetFunctionUrlConfig get_function_url_config,
    GetLayerVersion get_layer_version,
    GetLayerVersionByArn get_layer_version_by_arn,
    GetLayerVersionPolicy get_layer_version_policy,
    GetPolicy get_policy,
    GetProvisionedConcurrencyConfig get_provisioned_concurrency_config,
    GetResourcePolicy get_resource_policy,
    GetRuntimeManagementConfig get_runtime_management_config,
    Invoke invoke,
    InvokeAsync invoke_async,
    InvokeWithResponseStream invoke_with_response_stream,
    ListAliases list_aliases,
    ListCapacityProviders list_capacity_providers,
    ListCodeSigningConfigs list_code_signing_configs,
    ListDurableExecutionsByFunction list_durable_executions_by_function,
    ListEventSourceMappings list_event_source_mappings,
    ListFunctionEventInvokeConfigs list_function_event_invoke_configs,
    ListFunctionUrlConfigs list_function_url_configs,
    ListFunctionVersionsByCapacityProvider list_function_versions_by_capacity_provider,
    ListFunctions list_functions,
    ListFunctionsByCodeSigningConfig list_functions_by_code_signing_config,
    ListLayerVersions list_layer_versions,
    ListLayers list_layers,
    ListProvisionedConcurrencyConfigs list_provisioned_concurrency_configs,
    ListTags list_tags,
    ListVersionsByFunction list_versions_by_function,
    PauseDurableExecution pause_durable_execution,
    PublishLayerVersion publish_layer_version,
    PublishVersion publish_version,
    PutFunctionCodeSigningConfig put_function_code_signing_config,
    PutFunctionConcurrency put_function_concurrency,
    PutFunctionEventInvokeConfig put_function_event_invoke_config,
    PutFunctionRecursionConfig put_function_recursion_config,
    PutFunctionScalingConfig put_function_scaling_config,
    PutProvisionedConcurrencyConfig put_provisioned_concurrency_config,
    PutResourcePolicy put_resource_policy,
    PutRuntimeManagementConfig put_runtime_management_config,
    RemoveLayerVersionPermission remove_layer_version_permission,
    RemovePermission remove_permission,
    ResumeDurableExecution resume_durable_execution,
    SendDurableExecutionCallbackFailure send_durable_execution_callback_failure,
    SendDurableExecutionCallbackHeartbeat send_durable_execution_callback_heartbeat,
    SendDurableExecutionCallbackSuccess send_durable_execution_callback_success,
    StopDurableExecution stop_durable_execution,
    TagResource tag_resource,
    UntagResource untag_resource,
    UpdateAlias update_alias,
    UpdateCapacityProvider update_capacity_provider,
    UpdateCodeSigningConfig update_code_signing_config,
    UpdateEventSourceMapping update_event_source_mapping,
    UpdateFunctionCode update_function_code,
    UpdateFunctionConfiguration update_function_configuration,
    UpdateFunctionEventInvokeConfig update_function_event_invoke_config,
    UpdateFunctionUrlConfig update_function_url_config,
}

fn not_built(operation: &str) -> AwsError {
    AwsError::not_built(format!("The local cloud does not implement {operation} yet"))
}

#[cfg(test)]
mod tests {
    use super::NAMES;
    use crate::api::model::Model;

    #[test]
    fn the_trait_has_the_operations_of_the_model() {
        let model: Vec<_> = Model::get().operations.keys().map(String::as_str).collect();
        assert_eq!(NAMES, model);
    }
}
