//! `layercake logs`: what a function has logged, and what it goes on to log.

use std::{process::ExitCode, sync::Arc, time::Duration};

use layercake_deploy::{LogEnd, LogEvent, LogReader, log_source};
use layercake_local::{Interpreters, StartError, StoreError};

use crate::{
    args::{Common, Logs, On},
    cloud::Cloud,
    error::{CommandError, Kind},
    settings::Settings,
    ui::{Talk, Ui},
    up::interrupted,
};

/// How often a local cloud is asked for more, how often AWS, and how often a local cloud that has to
/// be started for it: in between, others can have it.
const LOCAL_PAUSE: Duration = Duration::from_millis(200);
const AWS_PAUSE: Duration = Duration::from_secs(1);
const EMBEDDED_PAUSE: Duration = Duration::from_secs(1);

/// After this long without the cloud, it is said that somebody else has it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) async fn run(common: &Common, logs: Logs, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, None)?;
    tokio::select! {
        outcome = read(&settings, &logs, ui) => outcome?,
        error = interrupted() => {
            // Who follows a log ends it like this.
            if !logs.follow {
                return Err(error);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(settings: &Settings, logs: &Logs, ui: &Ui) -> Result<(), CommandError> {
    let mut cloud = open(settings, logs, ui).await?;
    let Some(source) = log_source(&cloud.endpoint, &logs.function).await? else {
        cloud.close().await;
        return Err(no_function(logs));
    };
    let group = source.group.clone();
    let mut reader = LogReader::new(source, logs.since.milliseconds(now()), logs.filter.clone());
    let mut is_silent = true;
    let mut told = false;
    loop {
        let begun = tokio::time::Instant::now();
        let end = reader
            .read(&cloud.endpoint, now(), |events| {
                is_silent = false;
                ui.print_more(&text(events, logs.json))
            })
            .await?;
        if end == LogEnd::NoGroup && !told {
            let next = if logs.follow { "; waiting for its first run" } else { "" };
            ui.say(&format!(
                "{} has logged nothing yet: there is no log group `{group}`{next}",
                logs.function
            ));
            told = true;
        }
        if end == LogEnd::Stopped || !logs.follow {
            cloud.close().await;
            if end == LogEnd::Reached && is_silent {
                ui.say("nothing was found; --since looks further back, for instance --since 7d");
            }
            return Ok(());
        }
        let pause = match logs.on {
            On::Aws => AWS_PAUSE,
            On::Local if cloud.is_embedded() => EMBEDDED_PAUSE,
            On::Local => LOCAL_PAUSE,
        };
        // Who reads a lot must not keep the cloud busy with that alone.
        let pause = pause.max(begun.elapsed());
        if cloud.is_embedded() {
            cloud.close().await;
            tokio::time::sleep(pause).await;
            cloud = open_again(settings, logs, ui).await?;
        } else {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Opens the cloud, and says so when it takes long because another process has it.
async fn open(settings: &Settings, logs: &Logs, ui: &Ui) -> Result<Cloud, CommandError> {
    // Nothing runs here, so no Python is needed, and what isolation is missing does not matter.
    let (interpreters, quiet) = (Interpreters::default(), Ui::new(Talk::Quiet));
    let mut opening = std::pin::pin!(Cloud::open(logs.on, &logs.aws, settings, &interpreters, &quiet));
    if let Ok(cloud) = tokio::time::timeout(PATIENCE, &mut opening).await {
        return cloud;
    }
    if logs.on == On::Local {
        ui.say("another layercake is using the local cloud; waiting for it");
    }
    opening.await
}

/// Opens the cloud for the next reading, however long another process has it.
async fn open_again(settings: &Settings, logs: &Logs, ui: &Ui) -> Result<Cloud, CommandError> {
    loop {
        match open(settings, logs, ui).await {
            Err(error) if is_in_use(&error) => {}
            other => return other,
        }
    }
}

fn is_in_use(error: &CommandError) -> bool {
    matches!(error.error.downcast_ref(), Some(StartError::Store(StoreError::InUse { .. })))
}

fn no_function(logs: &Logs) -> CommandError {
    let (place, next) = match logs.on {
        On::Local => (
            "the local cloud",
            "`layercake up` makes a function and says its name; --data chooses another local cloud",
        ),
        On::Aws => (
            "AWS in this region",
            "`aws lambda list-functions` lists those that are there; --region chooses another region",
        ),
    };
    let function = &logs.function;
    CommandError::new(
        Kind::User,
        format!("there is no function `{function}` on {place}, and no log of one"),
        next,
    )
}

/// Events as they are printed.
fn text(events: &[LogEvent], as_json: bool) -> String {
    let mut text = String::new();
    for event in events {
        if as_json {
            let line = serde_json::json!({
                "logStreamName": event.stream,
                "timestamp": event.timestamp_ms,
                "message": event.message,
                "ingestionTime": event.ingested_ms,
                "eventId": event.id,
            });
            text.push_str(&line.to_string());
        } else {
            text.push_str(&event.message);
        }
        if as_json || !event.message.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// Milliseconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(messages: &[&str], as_json: bool) -> String {
        let event = |message: &&str| LogEvent {
            id: "0001".to_owned(),
            stream: "s".to_owned(),
            timestamp_ms: 1,
            ingested_ms: 2,
            message: (*message).to_owned(),
        };
        text(&messages.iter().map(event).collect::<Vec<_>>(), as_json)
    }

    #[test]
    fn lines_are_printed_as_they_were_logged() {
        assert_eq!(check(&["a\n", "b", "\tc\r\n", "", "d\ne\n"], false), "a\nb\n\tc\r\n\nd\ne\n");
    }

    #[test]
    fn json_has_one_line_for_each_event() {
        insta::assert_snapshot!(check(&["a\n", "b\nc"], true), @r#"
        {"logStreamName":"s","timestamp":1,"message":"a\n","ingestionTime":2,"eventId":"0001"}
        {"logStreamName":"s","timestamp":1,"message":"b\nc","ingestionTime":2,"eventId":"0001"}
        "#);
    }
}
