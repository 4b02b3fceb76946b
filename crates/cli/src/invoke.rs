//! `layercake invoke`: one call of a function. Its answer alone is the result.

use std::{
    io::{IsTerminal as _, Read as _},
    process::ExitCode,
    sync::Arc,
};

use layercake_core::report::{Figures, JsonText};
use layercake_deploy::{CallKind, Called, FunctionCall, call};
use serde::Serialize;

use crate::{
    args::{Common, Invoke},
    cloud::Cloud,
    debug,
    error::{CommandError, Kind},
    settings::Settings,
    ui::Ui,
    up::{interrupted, json},
};

/// The version of the document that `--json` prints.
const INVOKE_FORMAT: u32 = 1;

/// What `--json` prints.
#[derive(Serialize)]
struct InvokeReport<'a> {
    format: u32,
    function: &'a str,
    on: &'a str,
    status: u16,
    request_id: Option<&'a str>,
    version: Option<&'a str>,
    function_error: Option<&'a str>,
    payload: Option<JsonText>,
    log: Option<&'a str>,
    figures: Option<Figures>,
}

/// Runs the command.
pub(crate) async fn run(common: &Common, invoke: Invoke, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let asked = FunctionCall {
        function: invoke.function.clone(),
        qualifier: invoke.qualifier.clone(),
        event: json_of(&invoke.event, "-d")?,
        kind: match (invoke.asynchronous, invoke.dry_run) {
            (true, _) => CallKind::Queue,
            (_, true) => CallKind::DryRun,
            _ => CallKind::Wait,
        },
        client_context: match &invoke.client_context {
            Some(text) => Some(String::from_utf8_lossy(&json_of(text, "--client-context")?).into_owned()),
            None => None,
        },
    };
    let settings = Settings::new(common, None)?;
    let interpreters = settings.interpreters();
    if let Some(port) = invoke.debug {
        let called = debug::run(&invoke, port, asked, &settings, interpreters, ui).await?;
        if invoke.json {
            ui.print(&json(&report(&invoke, "this machine", CallKind::Wait, &called))?);
        }
        return answered(&invoke, &called, ui);
    }
    let cloud = tokio::select! {
        cloud = Cloud::open(invoke.on, &invoke.aws, &settings, &interpreters, ui) => cloud?,
        error = interrupted() => return Err(error),
    };
    let kind = asked.kind;
    let outcome = tokio::select! {
        called = call(&cloud.endpoint, asked) => called.map_err(CommandError::from),
        error = interrupted() => Err(error.with_hint("the function may have run to its end all the same")),
    };
    let (on, ends_now) = (cloud.place.word(), cloud.is_embedded());
    cloud.close().await;
    let called = outcome?;
    if invoke.json {
        ui.print(&json(&report(&invoke, on, kind, &called))?);
    }
    match kind {
        CallKind::Wait => answered(&invoke, &called, ui),
        CallKind::Queue => {
            ui.say(&format!("queued as request {}", called.request_id.as_deref().unwrap_or("(no id)")));
            if ends_now {
                ui.say("note: no local cloud is being served now; the event is kept, and run when one is (`layercake local`)");
            }
            Ok(ExitCode::SUCCESS)
        }
        CallKind::DryRun => {
            ui.say("the function may be called");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn report<'a>(invoke: &'a Invoke, on: &'a str, kind: CallKind, called: &'a Called) -> InvokeReport<'a> {
    let waited = kind == CallKind::Wait;
    InvokeReport {
        format: INVOKE_FORMAT,
        function: &invoke.function,
        on,
        status: called.status,
        request_id: called.request_id.as_deref(),
        version: called.version.as_deref(),
        function_error: called.function_error.as_deref(),
        payload: waited.then(|| JsonText::of(&String::from_utf8_lossy(&called.payload))),
        log: waited.then_some(&called.log),
        figures: Figures::from_log(&called.log),
    }
}

fn answered(invoke: &Invoke, called: &Called, ui: &Ui) -> Result<ExitCode, CommandError> {
    let shows_log = match (invoke.tail, invoke.no_tail) {
        (true, _) => true,
        (_, true) => false,
        _ => std::io::stdout().is_terminal() && !invoke.json,
    };
    if shows_log {
        ui.say(called.log.trim_end_matches('\n'));
    }
    let Some(kind) = &called.function_error else {
        if !invoke.json {
            ui.print_bytes(&called.payload);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let mut error = failed(kind, &JsonText::of(&String::from_utf8_lossy(&called.payload)));
    if !shows_log && !invoke.json {
        error = error.with_hint("--tail shows its log");
    }
    Err(error)
}

/// A function's error as Python would have printed it: what happened, and where.
pub(crate) fn failed(kind: &str, payload: &JsonText) -> CommandError {
    let mut message = match (payload.string_at("errorType"), payload.string_at("errorMessage")) {
        (Some(name), Some(text)) => format!("the function failed ({kind}): {name}: {text}"),
        (None, Some(text)) => format!("the function failed ({kind}): {text}"),
        _ => format!("the function failed ({kind}): {}", payload.text()),
    };
    for line in stack_trace(payload) {
        message.push_str("\n  ");
        message.push_str(&line);
    }
    CommandError { kind: Kind::User, error: message.into(), hints: Vec::new() }
}

/// The lines of `stackTrace`, whichever way the runtime writes them: Python puts a place and its
/// source line into one string.
fn stack_trace(payload: &JsonText) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(payload.text()).unwrap_or_default();
    let entries = value.get("stackTrace").or_else(|| value.get("trace")).and_then(|trace| trace.as_array());
    let lines = entries.into_iter().flatten().filter_map(|entry| entry.as_str());
    lines
        .flat_map(str::lines)
        .map(|line| line.trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// The bytes that an option names: JSON itself, `@file`, or `-` for stdin.
fn json_of(text: &str, option: &str) -> Result<Vec<u8>, CommandError> {
    let hint = format!(
        "{option} takes JSON such as '{{\"rows\": 3}}', `@` and a file that holds it, or `-` for stdin"
    );
    let (bytes, place) = if text == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| CommandError::new(Kind::User, format!("cannot read stdin: {error}"), &hint))?;
        (bytes, "what stdin holds".to_owned())
    } else if let Some(file) = text.strip_prefix('@') {
        let bytes = std::fs::read(file).map_err(|error| {
            CommandError::new(Kind::User, format!("cannot read `{file}`: {error}"), &hint)
        })?;
        (bytes, format!("what `{file}` holds"))
    } else {
        (text.as_bytes().to_vec(), format!("`{text}`"))
    };
    match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let error = CommandError::new(Kind::Usage, format!("{place} is not JSON: {error}"), hint);
            let is_file = text != "-" && std::path::Path::new(text).is_file();
            Err(if is_file {
                error.with_hint(format!("for the file, write `{option} @{text}`"))
            } else {
                error
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str) -> String {
        failed("Unhandled", &JsonText::of(payload)).lines().join("\n")
    }

    #[test]
    fn an_error_is_told_as_python_tells_it() {
        insta::assert_snapshot!(check(r#"{"errorMessage": "bad", "errorType": "ValueError", "requestId": "x", "stackTrace": ["  File \"/var/task/app.py\", line 2, in handler\n    raise ValueError('bad')\n"]}"#), @r#"
        error: the function failed (Unhandled): ValueError: bad
            File "/var/task/app.py", line 2, in handler
              raise ValueError('bad')
        "#);
        insta::assert_snapshot!(check(r#"{"errorMessage": "it took too long"}"#), @"error: the function failed (Unhandled): it took too long");
        insta::assert_snapshot!(check(r#""text""#), @r#"error: the function failed (Unhandled): "text""#);
    }

    #[test]
    fn an_event_that_is_none_is_refused_before_anything_is_asked() {
        let check = |text: &str| match json_of(text, "-d") {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => error.lines().join("\n"),
        };
        insta::assert_snapshot!(check(" {\"a\": 1}"), @r#" {"a": 1}"#);
        insta::assert_snapshot!(check("{a: 1}"), @r#"
        error: `{a: 1}` is not JSON: key must be a string at line 1 column 2
          hint: -d takes JSON such as '{"rows": 3}', `@` and a file that holds it, or `-` for stdin
        "#);
        insta::assert_snapshot!(check("@/nowhere/event.json"), @r#"
        error: cannot read `/nowhere/event.json`: No such file or directory (os error 2)
          hint: -d takes JSON such as '{"rows": 3}', `@` and a file that holds it, or `-` for stdin
        "#);
    }
}
