//! The telemetry of one environment: who has subscribed to what happens in it, and what has happened
//! (Telemetry API 2022-07-01 and the older Logs API, FACTS.md §9).
//!
//! Owns the subscriptions and the forms of events. Never waits for a subscriber: each has a bounded
//! queue of its own (`delivery`).

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use self::{delivery::Delivery, subscription::Subscription};
use super::{
    loopback::Loopback,
    platform_event::{PlatformEvent, time_text},
};

mod delivery;
pub(super) mod subscription;

/// What is kept of the init phase for those who subscribe in it.
const MOST_HISTORY: usize = 10_000;
const MOST_HISTORY_BYTES: usize = 1 << 20;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Category {
    Platform,
    #[default]
    Function,
    Extension,
}

impl Category {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// With which API somebody has subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The Telemetry API; its newer schemas have JSON lines as objects.
    Telemetry { objects: bool },
    /// The Logs API, which knows fewer events.
    Logs { runtime_done: bool },
}

impl Dialect {
    pub(super) fn is_telemetry(self) -> bool {
        matches!(self, Self::Telemetry { .. })
    }
}

/// Something that has happened.
#[derive(Clone, Debug)]
struct Event {
    category: Category,
    kind: &'static str,
    time_ms: u64,
    record: Value,
}

impl Event {
    /// The event as a subscriber gets it, if it does.
    fn render(&self, dialect: Dialect) -> Option<Bytes> {
        let mut record = self.record.clone();
        match dialect {
            Dialect::Telemetry { .. } if matches!(self.kind, "platform.end" | "platform.fault") => {
                return None;
            }
            Dialect::Telemetry { objects: true } if self.category == Category::Function => {
                let object = record.as_str().filter(|text| text.starts_with('{'));
                let object = object.and_then(|text| serde_json::from_str::<Value>(text).ok());
                record = object.unwrap_or(record);
            }
            Dialect::Telemetry { .. } => {}
            Dialect::Logs { runtime_done } => {
                let known = match self.kind {
                    "platform.runtimeDone" => runtime_done,
                    "platform.start" | "platform.end" | "platform.report" | "platform.fault" => true,
                    "platform.extension" | "platform.logsSubscription" | "platform.logsDropped" => true,
                    _ => self.category != Category::Platform,
                };
                if !known {
                    return None;
                }
                if let (true, Some(record)) = (self.kind == "platform.start", record.as_object_mut()) {
                    record.retain(|key, _| key == "requestId" || key == "version");
                }
            }
        }
        let event = json!({ "time": time_text(self.time_ms), "type": self.kind, "record": record });
        Some(event.to_string().into())
    }
}

#[derive(Debug)]
struct Subscriber {
    extension: Uuid,
    subscription: Subscription,
    delivery: Delivery,
}

impl Subscriber {
    fn tell(&self, event: &Event) {
        if self.subscription.types.contains(&event.category)
            && let Some(text) = event.render(self.subscription.dialect)
        {
            self.delivery.push(text);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// The init phase runs: who subscribes gets what has happened in it.
    open: bool,
    history: Vec<Event>,
    history_bytes: usize,
    subscribers: Vec<Subscriber>,
    /// Subscriptions that the log does not know of yet.
    news: Vec<(String, Subscription)>,
}

/// Why a subscription is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The init phase is over.
    Closed,
    /// The extension has subscribed with the other API.
    OtherApi,
}

/// The telemetry of one environment.
#[derive(Debug, Default)]
pub(super) struct Telemetry {
    state: Mutex<State>,
    /// Where subscribers listen.
    loopback: OnceLock<Loopback>,
}

impl Telemetry {
    /// Sets, once, where subscribers listen.
    pub(super) fn set_loopback(&self, loopback: Loopback) {
        // A second one has no place: an environment has one network.
        let _ = self.loopback.set(loopback);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so the state is whole even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everybody, as an init phase begins.
    pub(super) fn reset(&self) {
        *self.state() = State { open: true, ..State::default() };
    }

    /// Ends subscribing with the init phase; whether anybody listens.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        (state.open, state.history, state.history_bytes) = (false, Vec::new(), 0);
        !state.subscribers.is_empty()
    }

    /// Takes a subscription, in place of an earlier one of the same extension.
    pub(super) fn subscribe(
        &self,
        extension: Uuid,
        name: String,
        subscription: Subscription,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        if !state.open {
            return Err(Refusal::Closed);
        }
        let earlier = state.subscribers.iter().position(|subscriber| subscriber.extension == extension);
        if let Some(place) = earlier {
            let other = &state.subscribers[place].subscription;
            if other.dialect.is_telemetry() != subscription.dialect.is_telemetry() {
                return Err(Refusal::OtherApi);
            }
            if *other == subscription {
                return Ok(());
            }
            state.subscribers.remove(place);
        }
        let loopback = self.loopback.get().cloned().unwrap_or_default();
        let delivery = Delivery::start(subscription.destination.clone(), subscription.buffering, loopback);
        let subscriber = Subscriber { extension, subscription: subscription.clone(), delivery };
        for event in &state.history {
            subscriber.tell(event);
        }
        state.subscribers.push(subscriber);
        state.news.push((name, subscription));
        Ok(())
    }

    /// Subscriptions since the last time somebody asked.
    pub(super) fn news(&self) -> Vec<(String, Subscription)> {
        std::mem::take(&mut self.state().news)
    }

    /// Tells of an event of the platform.
    pub(super) fn platform(&self, time_ms: u64, event: &PlatformEvent<'_>) {
        if self.somebody_listens() {
            self.tell(Event {
                category: Category::Platform,
                kind: event.kind(),
                time_ms,
                record: event.record(),
            });
        }
    }

    /// Tells of what only the Logs API has an event for.
    pub(super) fn of_logs_api(&self, time_ms: u64, kind: &'static str, record: Value) {
        if self.somebody_listens() {
            self.tell(Event { category: Category::Platform, kind, time_ms, record });
        }
    }

    /// Tells of a line that was printed.
    pub(super) fn line(&self, time_ms: u64, category: Category, line: &[u8]) {
        if self.somebody_listens() {
            let record = String::from_utf8_lossy(line).into_owned().into();
            self.tell(Event { category, kind: category.name(), time_ms, record });
        }
    }

    fn somebody_listens(&self) -> bool {
        let state = self.state();
        state.open || !state.subscribers.is_empty()
    }

    fn tell(&self, event: Event) {
        let mut state = self.state();
        for subscriber in &state.subscribers {
            subscriber.tell(&event);
        }
        let size = event.record.as_str().map_or(0, str::len);
        if state.open && state.history.len() < MOST_HISTORY && state.history_bytes + size < MOST_HISTORY_BYTES
        {
            state.history_bytes += size;
            state.history.push(event);
        }
    }

    /// Sends off what waits for more.
    pub(super) fn flush(&self) {
        for subscriber in &self.state().subscribers {
            subscriber.delivery.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_has_its_own_events() {
        let event = |category: Category, kind, record: Value| Event { category, kind, time_ms: 0, record };
        let events = [
            event(Category::Platform, "platform.initStart", json!({})),
            event(
                Category::Platform,
                "platform.start",
                json!({"requestId": "r", "version": "1", "functionArn": "a"}),
            ),
            event(Category::Platform, "platform.runtimeDone", json!({})),
            event(Category::Platform, "platform.end", json!({"requestId": "r"})),
            event(Category::Function, "function", "{\"level\": \"INFO\"}\n".into()),
            event(Category::Extension, "extension", "{}\n".into()),
        ];
        let check = |dialect| {
            let text = events.iter().filter_map(|event| event.render(dialect));
            let text = text.map(|text| {
                String::from_utf8_lossy(&text).replace(r#""time":"1970-01-01T00:00:00.000Z","#, "")
            });
            text.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(check(Dialect::Telemetry { objects: true }), @r#"
        {"type":"platform.initStart","record":{}}
        {"type":"platform.start","record":{"requestId":"r","version":"1","functionArn":"a"}}
        {"type":"platform.runtimeDone","record":{}}
        {"type":"function","record":{"level":"INFO"}}
        {"type":"extension","record":"{}\n"}
        "#);
        insta::assert_snapshot!(check(Dialect::Telemetry { objects: false }).lines().nth(3).unwrap_or_default(), @r#"{"type":"function","record":"{\"level\": \"INFO\"}\n"}"#);
        insta::assert_snapshot!(check(Dialect::Logs { runtime_done: false }), @r#"
        {"type":"platform.start","record":{"requestId":"r","version":"1"}}
        {"type":"platform.end","record":{"requestId":"r"}}
        {"type":"function","record":"{\"level\": \"INFO\"}\n"}
        {"type":"extension","record":"{}\n"}
        "#);
        assert!(check(Dialect::Logs { runtime_done: true }).contains("runtimeDone"));
    }
}
