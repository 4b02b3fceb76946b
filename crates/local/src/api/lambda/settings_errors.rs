//! Lambda's codes, statuses and texts for refused policies, configurations and mappings.
//!
//! Texts are those of FACTS.md §1, §3 and §10 or of recorded answers of AWS; where neither had one
//! the comment says so.

use super::AwsError;
use crate::{
    api::error::Style,
    service::{
        Duplicate, EventSource, LEAST_UNRESERVED, LambdaError, MappingFault, POLICY_BYTES, SettingsError,
    },
};

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::user(400, "InvalidParameterValueException", message)
}

/// Refused by a check that answers without `Type`.
fn invalid_bare(message: String) -> AwsError {
    AwsError { style: Style::Bare, ..invalid(message) }
}

fn missing(message: impl Into<String>) -> AwsError {
    AwsError { style: Style::UserUpper, ..AwsError::user(404, "ResourceNotFoundException", message) }
}

fn conflict(message: impl Into<String>) -> AwsError {
    AwsError::user(409, "ResourceConflictException", message)
}

impl From<SettingsError> for AwsError {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Lambda(error) => error.into(),
            SettingsError::Mapping(fault) => fault.into(),
            SettingsError::NoSuchResource => missing("The resource you requested does not exist."),
            SettingsError::NoTags => invalid("An error occurred and the request cannot be processed."),
            error => other(error),
        }
    }
}

fn other(error: SettingsError) -> AwsError {
    match error {
        SettingsError::NoSuchLayerVersionArn { .. }
        | SettingsError::NoPolicy
        | SettingsError::NoPolicyFor { .. }
        | SettingsError::NoSuchStatement { .. }
        | SettingsError::StatementExists { .. }
        | SettingsError::OtherLayerRevision
        | SettingsError::PolicyTooLong { .. }
        | SettingsError::PolicyOfLatest
        | SettingsError::BadPrincipal
        | SettingsError::NotTheActionOfUrls
        | SettingsError::MalformedPolicy => policy(error),
        SettingsError::UnreservedTooLow
        | SettingsError::ReservedBelowProvisioned { .. }
        | SettingsError::ProvisionedAboveReserved
        | SettingsError::ProvisionedAboveUnreserved { .. }
        | SettingsError::ProvisionedLeavesTooLittle
        | SettingsError::ProvisionedOfLatest
        | SettingsError::NeitherAliasNorVersion
        | SettingsError::NoProvisioned
        | SettingsError::VersionIsProvisioned
        | SettingsError::AliasIsProvisioned => concurrency(error),
        error => configuration(error),
    }
}

fn policy(error: SettingsError) -> AwsError {
    match error {
        SettingsError::NoSuchLayerVersionArn { arn } => {
            missing(format!("Layer version {arn} does not exist."))
        }
        SettingsError::NoPolicy => missing("No policy is associated with the given resource."),
        SettingsError::NoPolicyFor { arn } => missing(format!("No policy found for: {arn}")),
        SettingsError::NoSuchStatement { id } => {
            missing(format!("Statement {id} is not found in resource policy."))
        }
        SettingsError::StatementExists { id } => conflict(format!(
            "The statement id ({id}) provided already exists. Please provide a new statement id, or remove \
             the existing statement."
        )),
        SettingsError::OtherLayerRevision => AwsError::user(
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to \
             retrieve the latest Revision Id",
        ),
        // As users pasted it, with the sizes of their policies.
        SettingsError::PolicyTooLong { bytes } => AwsError::user(
            400,
            "PolicyLengthExceededException",
            format!("The final policy size ({bytes}) is bigger than the limit ({POLICY_BYTES})."),
        ),
        SettingsError::PolicyOfLatest => invalid("We currently do not support adding policies for $LATEST."),
        SettingsError::BadPrincipal => {
            invalid("The provided principal was invalid. Please check the principal and try again.")
        }
        // The rule is Lambda's; the words are not from a recording.
        SettingsError::NotTheActionOfUrls => {
            invalid("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
        }
        // The words are ours: no recording of a malformed policy was found.
        SettingsError::MalformedPolicy => invalid("The provided policy document was invalid."),
        error => other(error),
    }
}

fn concurrency(error: SettingsError) -> AwsError {
    match error {
        SettingsError::UnreservedTooLow => invalid_bare(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's \
             UnreservedConcurrentExecution below its minimum value of [{LEAST_UNRESERVED}]."
        )),
        // Not from a recording; as other clouds quote it, with its two spaces.
        SettingsError::ReservedBelowProvisioned { provisioned } => invalid(format!(
            "ReservedConcurrentExecutions  should not be lower than function's total provisioned concurrency \
             [{provisioned}]."
        )),
        // Not from a recording.
        SettingsError::ProvisionedAboveReserved => invalid(
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for \
             function",
        ),
        SettingsError::ProvisionedAboveUnreserved { available } => invalid_bare(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency \
             [{available}]."
        )),
        SettingsError::ProvisionedLeavesTooLittle => invalid_bare(format!(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
             below its minimum value of [{LEAST_UNRESERVED}]."
        )),
        SettingsError::ProvisionedOfLatest => {
            invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
        }
        SettingsError::NeitherAliasNorVersion => {
            invalid("The function resource provided must be an alias or a published version.")
        }
        SettingsError::NoProvisioned => AwsError::user(
            404,
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        ),
        SettingsError::VersionIsProvisioned => conflict(
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
        ),
        SettingsError::AliasIsProvisioned => {
            conflict("Version is pointed by a Provisioned Concurrency alias")
        }
        error => other(error),
    }
}

fn configuration(error: SettingsError) -> AwsError {
    match error {
        SettingsError::NoFunctionForEvents => missing("The function doesn't exist."),
        SettingsError::NoEventInvokeConfig { arn } => {
            missing(format!("The function {arn} doesn't have an EventInvokeConfig"))
        }
        SettingsError::EmptyEventInvokeConfig => {
            invalid("You must specify at least one of error handling or destination setting.")
        }
        SettingsError::NoSuchDestination { arn } => invalid(format!("The destination ARN {arn} is invalid.")),
        SettingsError::OwnDestination => {
            invalid("You can't specify the function as a destination for itself.")
        }
        SettingsError::BadDestinations { success, failure } => {
            let written = |name: &str, arn: Option<String>| match arn {
                Some(arn) => format!("{name}(destination={arn})"),
                None => "null".to_owned(),
            };
            invalid(format!(
                "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
                written("OnSuccess", success),
                written("OnFailure", failure)
            ))
        }
        SettingsError::NoFunctionForUrl => missing("Function does not exist"),
        SettingsError::UrlExists { arn } => conflict(format!(
            "Failed to create function url config for [functionArn = {arn}]. Error message:  \
             FunctionUrlConfig exists for this Lambda function"
        )),
        // The words of these three are ours: no recording was found.
        SettingsError::NoRuntimeVersion => {
            invalid("RuntimeVersionArn is required when UpdateRuntimeOn is Manual.")
        }
        SettingsError::RuntimeVersionNotManual => {
            invalid("RuntimeVersionArn is only supported when UpdateRuntimeOn is Manual.")
        }
        SettingsError::RuntimeOfAlias => {
            invalid("Runtime management is not supported for aliases. Please specify a function version.")
        }
        SettingsError::NoSuchCodeSigning { arn } => AwsError {
            style: Style::BareUpper,
            ..missing(format!("The Lambda code signing configuration {arn} can not be found."))
        },
        SettingsError::CodeSigningMissing { arn } => AwsError {
            code: "CodeSigningConfigNotFoundException",
            ..missing(format!(
                "The code signing configuration cannot be found. Check that the provided configuration is \
                 not deleted: {arn}."
            ))
        },
        // The words are ours: no recording was found.
        SettingsError::CodeSigningInUse => conflict(
            "The code signing configuration cannot be deleted because it is in use by one or more functions.",
        ),
        // Everything else has been answered above.
        error => LambdaError::NotBuilt { what: error.to_string() }.into(),
    }
}

impl From<MappingFault> for AwsError {
    fn from(fault: MappingFault) -> Self {
        match fault {
            MappingFault::UnrecognizedSource => invalid("Unrecognized event source."),
            MappingFault::NoFunction => invalid("Function does not exist"),
            MappingFault::Missing { member } => {
                invalid(format!("Required '{}' parameter is missing.", small(member)))
            }
            // As users pasted it, of several members.
            MappingFault::Unsupported { member } => {
                invalid(format!("Unsupported {member} parameter for given event source mapping type."))
            }
            MappingFault::NoPosition => invalid(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: \
                 Member must not be null.",
            ),
            MappingFault::PositionNotAllowed { service } => {
                invalid(format!("StartingPosition is not valid for {service} event sources."))
            }
            MappingFault::UnsupportedPosition { arn } => {
                invalid(format!("Unsupported starting position for arn type: {arn}"))
            }
            MappingFault::TimeWithoutPosition => {
                invalid("Timestamp only valid with StartingPosition AT_TIMESTAMP")
            }
            MappingFault::NegativeTime => invalid(
                "Received Exception while reading from provided stream. class java.lang.Long can not be \
                 converted to a Timestamp",
            ),
            // The words of these two are ours: no recording was found.
            MappingFault::NoTime => {
                invalid("StartingPosition AT_TIMESTAMP requires a StartingPositionTimestamp.")
            }
            MappingFault::FutureTime => invalid("StartingPositionTimestamp cannot be in the future."),
            // As users pasted it.
            MappingFault::BatchNeedsWindow => invalid(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than \
                 10",
            ),
            // The words from here to the filter are ours: no recording was found.
            MappingFault::BatchOfFifo => invalid("Batch size must not exceed 10 for FIFO queues"),
            MappingFault::WindowOfFifo => invalid("Batching window is not supported for FIFO queues"),
            MappingFault::RecordAge => invalid(
                "MaximumRecordAgeInSeconds must be -1 or at least 60 for the given event source mapping type.",
            ),
            MappingFault::Pollers { least, most } => invalid(format!(
                "MinimumPollers and MaximumPollers must be between {least} and {most}, and MinimumPollers must \
                 not exceed MaximumPollers."
            )),
            MappingFault::PollersAndConcurrency => invalid(
                "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use MaximumPollers \
                 as the control mechanism and remove maximum concurrency.",
            ),
            MappingFault::BadPattern => invalid("Invalid filter pattern definition."),
            MappingFault::Exists(duplicate) => {
                let Duplicate { source, source_name, function, function_arn, topics, uuid } = *duplicate;
                let rest = format!("Please update or delete the existing mapping with UUID {uuid}");
                conflict(match source {
                    EventSource::Sqs { .. } => format!(
                        "An event source mapping with SQS arn (\" {source_name} \") and function \
                         (\" {function} \") already exists. {rest}"
                    ),
                    EventSource::Msk | EventSource::SelfManagedKafka => format!(
                        "An event source mapping with event source (\"{source_name}\"), function \
                         (\"{function_arn}\"), topics (\"{topics}\") already exists. {rest}"
                    ),
                    _ => format!(
                        "The event source arn (\" {source_name} \") and function (\" {function} \") provided \
                         mapping already exists. {rest}"
                    ),
                })
            }
            // As users pasted it.
            MappingFault::InUse { deleting } => {
                let what = if deleting { "delete" } else { "update" };
                Self {
                    style: Style::UserUpper,
                    ..Self::user(
                        400,
                        "ResourceInUseException",
                        format!("Cannot {what} the event source mapping because it is in use."),
                    )
                }
            }
        }
    }
}

/// A member's name as it stands in these texts, with a small first letter.
fn small(member: &str) -> String {
    let mut letters = member.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_in_use_is_named_as_users_saw_it() {
        let seen = |deleting| AwsError::from(MappingFault::InUse { deleting });
        let update = seen(false);
        assert_eq!(
            (update.status, update.code, update.style),
            (400, "ResourceInUseException", Style::UserUpper)
        );
        assert_eq!(update.message, "Cannot update the event source mapping because it is in use.");
        assert_eq!(seen(true).message, "Cannot delete the event source mapping because it is in use.");
    }
}
