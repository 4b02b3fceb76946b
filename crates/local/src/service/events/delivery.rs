//! Where the record of an event goes that has ended: to another function or into a bucket. What
//! cannot be sent is told in the function's own log group, where its user looks.

use layercake_core::limits;

use super::{decision::Condition, forwarded, record};
use crate::{
    service::{
        Cloud, Digest, FunctionRef, LambdaError, NewObject, ObjectError, SettingsError, WriteCondition,
        event_invoke::EventOptions, functions::function_arn, now,
    },
    store::{
        EventRecord, FunctionRecord, LogBatch, NewEvent, ObjectHeaders, ObjectTraits, Scope, StoreError,
    },
};

/// How often a function may run in a chain of records before Lambda stops it: "approximately 16
/// times" (Developer Guide, invocation-recursion).
const MOST_RUNS_IN_A_CHAIN: u32 = 16;

/// The log stream that tells of records that were not sent.
const UNDELIVERED: &str = "undelivered-events";

/// The longest record that is written into a log beside the reason why it was not sent.
const LOGGED_BYTES: usize = 262_144 - 26;

/// An event that has ended.
pub(super) struct Ended<'a> {
    /// Where the function is.
    pub(super) scope: &'a Scope,
    /// The function, as it was invoked.
    pub(super) function: &'a FunctionRef,
    /// What is known of the event.
    pub(super) record: &'a EventRecord,
    /// The event.
    pub(super) payload: &'a [u8],
    /// Why it has ended.
    pub(super) condition: Condition,
}

/// Why a record was not sent.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    /// A service that is not here.
    #[error("the local cloud has no {service}")]
    NoService { service: String },
    /// The function was deleted.
    #[error("there is no such function")]
    NoFunction,
    /// More than an event may have.
    #[error("the record has {bytes} bytes, and an event at most {}", limits::EVENT_PAYLOAD_BYTES)]
    TooLarge { bytes: usize },
    /// The functions send each other records without an end.
    #[error(
        "the function ran {MOST_RUNS_IN_A_CHAIN} times in this chain of records; \
         put-function-recursion-config with Allow lets it go on"
    )]
    Loop,
    /// The bucket is not there, or not the function's account's.
    #[error("there is no such bucket in this account")]
    NoBucket,
    /// The event cannot be written into a record.
    #[error("the event is not JSON: {source}")]
    NotJson { source: serde_json::Error },
    /// What the destination is cannot be seen.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The object cannot be kept.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Cloud {
    /// Sends the record of an event that has ended to where its function wants it. Gives the event
    /// of another function that is to be accepted in the same step in which this one leaves the
    /// queue.
    pub(super) async fn deliver(&self, ended: &Ended<'_>, options: &EventOptions) -> Option<NewEvent> {
        let failed = ended.condition != Condition::Success;
        let destination = if failed { &options.on_failure } else { &options.on_success };
        let mut then = None;
        if let Some(arn) = destination {
            match invocation_record(ended) {
                Err(why) => self.tell(ended, "its record", arn, &why, "").await,
                Ok(record) => match self.send(ended, arn, &record).await {
                    Ok(event) => then = event,
                    Err(why) => self.tell(ended, "its record", arn, &why, &record).await,
                },
            }
        }
        if failed && let Some(arn) = self.dead_letter_target(ended).await {
            let why = Undelivered::NoService { service: service_name(&arn) };
            let event = String::from_utf8_lossy(ended.payload);
            self.tell(ended, "the event", &arn, &why, &event).await;
        }
        then
    }

    async fn send(
        &self,
        ended: &Ended<'_>,
        arn: &str,
        record: &str,
    ) -> Result<Option<NewEvent>, Undelivered> {
        match arn.split(':').nth(2) {
            Some("lambda") => self.forward(ended, arn, record).await.map(Some),
            Some("s3") => {
                let bucket = arn.rsplit(':').next().unwrap_or_default();
                self.keep_record(ended, bucket, record).await?;
                Ok(None)
            }
            _ => Err(Undelivered::NoService { service: service_name(arn) }),
        }
    }

    /// The record as an event of another function.
    async fn forward(&self, ended: &Ended<'_>, arn: &str, record: &str) -> Result<NewEvent, Undelivered> {
        let function = self.destination_function(ended.scope, arn).await?.ok_or(Undelivered::NoFunction)?;
        if record.len() as u64 > limits::EVENT_PAYLOAD_BYTES {
            return Err(Undelivered::TooLarge { bytes: record.len() });
        }
        let mut from = ended.record.clone();
        *from.chain.entry(ended.function.name.to_string()).or_default() += 1;
        let runs = from.chain.get(function.name.as_str()).copied().unwrap_or_default();
        if runs >= MOST_RUNS_IN_A_CHAIN
            && self.recursion(ended.scope.clone(), function.unqualified()).await? != "Allow"
        {
            return Err(Undelivered::Loop);
        }
        Ok(forwarded(ended.scope, function, &from, record.to_owned()))
    }

    /// The record as an object.
    async fn keep_record(&self, ended: &Ended<'_>, bucket: &str, record: &str) -> Result<(), Undelivered> {
        let (name, bytes) = (bucket.to_owned(), record.as_bytes().to_vec());
        let account = ended.scope.account.clone();
        let blob = self
            .blocking(move |store| {
                let found = store.bucket(&name)?;
                if found.is_none_or(|found| found.account != account.as_str()) {
                    return Err(Undelivered::NoBucket);
                }
                let mut writer = store.new_blob()?;
                writer.write(&bytes)?;
                Ok(writer.finish()?)
            })
            .await?;
        let mut digest = Digest::new(&[crate::service::DEFAULT_ALGORITHM.to_owned()]);
        digest.update(record.as_bytes());
        let digested = digest.finish();
        let mut headers = ObjectHeaders::default();
        headers.standard.insert("content-type".to_owned(), "application/json".to_owned());
        let new = NewObject {
            blob,
            etag: digested.md5,
            headers,
            checksums: digested.checksums,
            traits: ObjectTraits::default(),
        };
        let key = record::object_key(ended.function.name.as_str(), now());
        self.put_object(bucket.to_owned(), key, new, WriteCondition::None).await?;
        Ok(())
    }

    /// The queue or topic for events of a function that failed: that of `$LATEST` for every version
    /// of it.
    async fn dead_letter_target(&self, ended: &Ended<'_>) -> Option<String> {
        let latest = self.latest(ended).await?;
        let config = latest.running().echoed.get("DeadLetterConfig")?;
        Some(config.get("TargetArn")?.as_str()?.to_owned())
    }

    /// The function's `$LATEST`, unless it was deleted meanwhile.
    async fn latest(&self, ended: &Ended<'_>) -> Option<FunctionRecord> {
        let found: Result<_, LambdaError> = self.function(ended.scope, &ended.function.unqualified()).await;
        found.ok()
    }

    /// Says what was not sent and why, in the server's log and in the function's log group, there
    /// with the text that would have been sent.
    async fn tell(&self, ended: &Ended<'_>, what: &str, arn: &str, why: &Undelivered, text: &str) {
        let (name, condition) = (&ended.function.name, ended.condition.as_str());
        let request = &ended.record.request_id;
        tracing::warn!(function = %name, request, condition, destination = arn, %why, "{what} was not sent");
        let Some(latest) = self.latest(ended).await else { return };
        let at = now();
        let mut events = vec![(
            at,
            format!(
                "WARNING RequestId: {request} The event ended ({condition}), and {what} was not sent to {arn}: {why}\n"
            ),
        )];
        if !text.is_empty() && text.len() <= LOGGED_BYTES {
            events.push((at, format!("{text}\n")));
        }
        let (scope, name) = (ended.scope.clone(), name.clone());
        let written: Result<_, StoreError> = self
            .blocking(move |store| {
                store.add_log_batches(vec![LogBatch {
                    account: scope.account.as_str(),
                    region: scope.region.as_str(),
                    group: &latest.running().logging.group,
                    stream: UNDELIVERED,
                    function: Some(name.as_str()),
                    ingested: at,
                    events: events.iter().map(|(time, text)| (*time, text.as_str())).collect(),
                }])
            })
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "log events were lost");
        }
    }
}

fn invocation_record(ended: &Ended<'_>) -> Result<String, Undelivered> {
    let arn = match ended.function.qualifier {
        Some(_) => ended.function.arn(ended.scope),
        None => format!("{}:$LATEST", function_arn(ended.scope, &ended.function.name)),
    };
    record::invocation_record(&arn, ended.record, ended.payload, ended.condition, now())
        .map_err(|source| Undelivered::NotJson { source })
}

/// The service of an ARN, as AWS calls it.
fn service_name(arn: &str) -> String {
    match arn.split(':').nth(2) {
        Some("sqs") => "Amazon SQS".to_owned(),
        Some("sns") => "Amazon SNS".to_owned(),
        Some("events") => "Amazon EventBridge".to_owned(),
        other => format!("service `{}`", other.unwrap_or_default()),
    }
}
