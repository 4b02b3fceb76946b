//! The tables, and how an older database becomes a newer one.

use camino::Utf8Path;
use rusqlite::Connection;

use super::StoreError;

/// One step for each version; step N turns a database of version N into one of version N + 1.
/// Steps are only ever added.
const STEPS: &[&str] = &[
    "
    CREATE TABLE layer_counters (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        last_version INTEGER NOT NULL,
        PRIMARY KEY (account, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE layer_versions (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
        sha256 TEXT NOT NULL, runtimes TEXT, architectures TEXT, record TEXT NOT NULL,
        PRIMARY KEY (account, region, name, version)
    ) WITHOUT ROWID;
    CREATE INDEX layer_versions_by_sha256 ON layer_versions (sha256);

    CREATE TABLE functions (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (account, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE function_uses (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        kind TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (account, region, name, kind, key)
    ) WITHOUT ROWID;
    CREATE INDEX function_uses_by_key ON function_uses (key);

    CREATE TABLE roles (
        account TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ) WITHOUT ROWID;
    CREATE TABLE role_policies (
        account TEXT NOT NULL, role TEXT NOT NULL, arn TEXT NOT NULL,
        PRIMARY KEY (account, role, arn)
    ) WITHOUT ROWID;

    CREATE TABLE log_groups (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        created INTEGER NOT NULL, retention INTEGER,
        PRIMARY KEY (account, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE log_streams (
        account TEXT NOT NULL, region TEXT NOT NULL, log_group TEXT NOT NULL, name TEXT NOT NULL,
        created INTEGER NOT NULL, first_event INTEGER, last_event INTEGER, last_ingestion INTEGER,
        PRIMARY KEY (account, region, log_group, name)
    ) WITHOUT ROWID;
    CREATE TABLE log_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, log_group TEXT NOT NULL, stream TEXT NOT NULL,
        time INTEGER NOT NULL, ingested INTEGER NOT NULL, message TEXT NOT NULL
    );
    CREATE INDEX log_events_by_stream ON log_events (account, region, log_group, stream, time, id);
    CREATE INDEX log_events_by_group ON log_events (account, region, log_group, time, id);

    CREATE TABLE buckets (
        name TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, created INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE objects (
        bucket TEXT NOT NULL, key TEXT NOT NULL, sha256 TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID;
    CREATE INDEX objects_by_sha256 ON objects (sha256);
    CREATE TABLE uploads (
        bucket TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (bucket, key, id)
    ) WITHOUT ROWID;
    CREATE TABLE parts (
        upload TEXT NOT NULL, number INTEGER NOT NULL, sha256 TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (upload, number)
    ) WITHOUT ROWID;
    CREATE INDEX parts_by_sha256 ON parts (sha256);
",
    "
    ALTER TABLE log_groups ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
",
    "
    CREATE TABLE secrets (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE sessions (
        key TEXT NOT NULL PRIMARY KEY, expires INTEGER NOT NULL, record TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE inline_policies (
        account TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (account, role, name)
    ) WITHOUT ROWID;
    CREATE TABLE policies (
        account TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ) WITHOUT ROWID;
    CREATE INDEX role_policies_by_arn ON role_policies (account, arn, role);
    ALTER TABLE log_groups ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE log_groups ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE log_groups SET stored_bytes = (
        SELECT COALESCE(SUM(LENGTH(CAST(message AS BLOB)) + 26), 0) FROM log_events
        WHERE log_events.account = log_groups.account AND log_events.region = log_groups.region
          AND log_events.log_group = log_groups.name
    );
",
];

/// Sets the connection up and brings the tables to the newest version.
pub(super) fn prepare(connection: &mut Connection, path: &Utf8Path) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let known = STEPS.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    for (version, step) in (0_i64..).zip(STEPS).skip(usize::try_from(found).unwrap_or(0)) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
