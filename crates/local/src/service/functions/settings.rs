//! A function's settings: what there is when nothing is said, and what a request changes.
//!
//! Owns how the members of a request become settings. Never looks at the store.

use std::collections::BTreeMap;

use layercake_core::{aws::FunctionName, limits};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    service::{LambdaError, packages::Package},
    store::{Logging, Settings},
};

/// What a caller may set, at creation or later. `None` leaves the default or what there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionChanges {
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) memory: Option<u32>,
    pub(crate) timeout: Option<u32>,
    pub(crate) ephemeral_storage: Option<u32>,
    /// The map in the order of the request, when it has `Environment`.
    pub(crate) variables: Option<Vec<(String, String)>>,
    pub(crate) layers: Option<Vec<String>>,
    pub(crate) log_format: Option<String>,
    pub(crate) log_group: Option<String>,
    pub(crate) application_log_level: Option<String>,
    pub(crate) system_log_level: Option<String>,
    pub(crate) tracing: Option<String>,
    /// `PublishedVersions` or `None`.
    pub(crate) snap_start: Option<String>,
    /// The ARN of a queue or topic; an empty text takes it away.
    pub(crate) dead_letter_target: Option<String>,
    /// Given back as they came, by their name in the API; none takes a member away.
    pub(crate) echoed: BTreeMap<String, Option<Value>>,
}

impl FunctionChanges {
    /// Puts the changes, layers excepted, into the settings.
    pub(super) fn apply(self, settings: &mut Settings) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        settings.id = Uuid::new_v4().to_string();
        set(&mut settings.runtime, self.runtime);
        set(&mut settings.handler, self.handler);
        set(&mut settings.description, self.description);
        set(&mut settings.role, self.role);
        set(&mut settings.memory, self.memory);
        set(&mut settings.timeout, self.timeout);
        set(&mut settings.ephemeral_storage, self.ephemeral_storage);
        set(&mut settings.tracing, self.tracing);
        set(&mut settings.logging.format, self.log_format);
        set(&mut settings.logging.group, self.log_group);
        if let Some(variables) = self.variables {
            settings.variables = Some(variables.into_iter().collect());
        }
        if let Some(apply_on) = self.snap_start {
            settings.snap_start = Some(apply_on).filter(|apply_on| apply_on != "None");
        }
        let logging = &mut settings.logging;
        if logging.format == "JSON" {
            let level = |given: Option<String>, kept: &mut Option<String>| {
                *kept = given.or_else(|| kept.take()).or_else(|| Some("INFO".to_owned()));
            };
            level(self.application_log_level, &mut logging.application_level);
            level(self.system_log_level, &mut logging.system_level);
        } else {
            logging.application_level = None;
            logging.system_level = None;
        }
        let dead_letter = self.dead_letter_target.map(|arn| {
            let config = serde_json::json!({ "TargetArn": arn });
            ("DeadLetterConfig".to_owned(), Some(config).filter(|_| !arn.is_empty()))
        });
        for (name, value) in self.echoed.into_iter().chain(dead_letter) {
            match value {
                Some(value) => settings.echoed.insert(name, value),
                None => settings.echoed.remove(&name),
            };
        }
    }

    /// Events that failed can go to a queue or a topic alone.
    pub(super) fn check_dead_letter_target(&self) -> Result<(), LambdaError> {
        let Some(arn) = self.dead_letter_target.as_deref().filter(|arn| !arn.is_empty()) else {
            return Ok(());
        };
        match arn.split(':').nth(2) {
            Some("sqs" | "sns") => Ok(()),
            _ => Err(LambdaError::NoDeadLetterTarget { arn: arn.to_owned() }),
        }
    }
}

/// The settings of a function about which nothing but its code is said.
pub(super) fn default_settings(
    name: &FunctionName,
    package: &Package,
    architecture: Option<String>,
) -> Settings {
    Settings {
        id: String::new(),
        code: package.blob.sha256(),
        code_size: package.blob.size(),
        unzipped_size: package.unzipped_size,
        runtime: String::new(),
        handler: String::new(),
        architecture: architecture.unwrap_or_else(|| "x86_64".to_owned()),
        description: String::new(),
        role: String::new(),
        memory: limits::MEMORY_MB.2,
        timeout: limits::TIMEOUT_SECONDS.2,
        ephemeral_storage: limits::EPHEMERAL_STORAGE_MB.2,
        variables: None,
        layers: Vec::new(),
        logging: Logging {
            format: "Text".to_owned(),
            group: format!("/aws/lambda/{name}"),
            application_level: None,
            system_level: None,
        },
        tracing: "PassThrough".to_owned(),
        snap_start: None,
        echoed: BTreeMap::new(),
    }
}
