//! Everything layercake does to an endpoint that speaks AWS.
//!
//! Owns publishing layers, creating and updating the function and its role, invoking it, reading
//! its log, and removing all of that again. Every resource is written to the journal before it is created, and
//! only what the journal names is destroyed.
//!
//! Never knows whether the endpoint is AWS or the local cloud: the two differ by [`Destination`],
//! which is configuration. Never prints.

mod call;
mod code;
mod destination;
mod destroy;
mod error;
mod fetch;
mod function;
mod invoke;
mod journal;
mod layer;
mod logs;
mod role;
mod signed;

pub use call::{CallKind, Called, FunctionCall, call};
pub use code::{Route, route_for};
pub use destination::{Credentials, Destination, Endpoint};
pub use destroy::{Undone, destroy};
pub use error::DeployError;
pub use fetch::{FetchedFunction, fetch_function};
pub use function::{FunctionSpec, TAG_PREFIX, check_function, ensure_function};
pub use invoke::{ensure_log_group, invoke, log_group_exists};
pub use journal::{JournalFile, JournalFileError, Stop};
pub use layer::{LayerUpload, publish_layer, published_already};
pub use logs::{LogEnd, LogEvent, LogReader, LogSource, log_source};
pub use role::{check_role, ensure_role, role_name};
