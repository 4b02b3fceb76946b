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
    // Published versions of functions, their aliases, and what each version needs on disk. The
    // index holds the sizes of the code, so that their sum needs no record.
    "
    CREATE TABLE function_counters (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        last_version INTEGER NOT NULL,
        PRIMARY KEY (account, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE function_versions (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (account, region, name, version)
    ) WITHOUT ROWID;
    CREATE TABLE function_aliases (
        account TEXT NOT NULL, region TEXT NOT NULL, function TEXT NOT NULL, name TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (account, region, function, name)
    ) WITHOUT ROWID;

    ALTER TABLE function_uses RENAME TO function_uses_of_latest;
    DROP INDEX function_uses_by_key;
    CREATE TABLE function_uses (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
        kind TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (account, region, name, version, kind, key)
    ) WITHOUT ROWID;
    CREATE INDEX function_uses_by_key ON function_uses (key);
    INSERT INTO function_uses SELECT account, region, name, 0, kind, key FROM function_uses_of_latest;
    DROP TABLE function_uses_of_latest;

    CREATE INDEX functions_by_code_size ON functions (account, region,
        CASE WHEN json_valid(record) THEN json_extract(record, '$.settings.code_size') ELSE 0 END);
    CREATE INDEX function_versions_by_code_size ON function_versions (account, region,
        CASE WHEN json_valid(record) THEN json_extract(record, '$.settings.code_size') ELSE 0 END);
    CREATE INDEX layer_versions_by_code_size ON layer_versions (account, region,
        CASE WHEN json_valid(record) THEN json_extract(record, '$.code_size') ELSE 0 END);
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
    // Objects have versions: of one key the newest version has the least `place`. What was kept
    // before is the version called `null`. A delete marker has neither bytes nor a record.
    "
    ALTER TABLE buckets ADD COLUMN versioning TEXT;
    CREATE TABLE bucket_settings (
        bucket TEXT NOT NULL, name TEXT NOT NULL, value TEXT,
        PRIMARY KEY (bucket, name)
    ) WITHOUT ROWID;
    CREATE TABLE object_versions (
        bucket TEXT NOT NULL, key TEXT NOT NULL, place INTEGER NOT NULL,
        version TEXT NOT NULL, latest INTEGER NOT NULL, modified INTEGER NOT NULL,
        sha256 TEXT, record TEXT,
        PRIMARY KEY (bucket, key, place)
    ) WITHOUT ROWID;
    INSERT INTO object_versions
        SELECT bucket, key, 0, 'null', 1, json_extract(record, '$.modified'), sha256, record FROM objects;
    DROP TABLE objects;
    CREATE UNIQUE INDEX object_versions_by_version ON object_versions (bucket, key, version);
    CREATE INDEX object_versions_by_sha256 ON object_versions (sha256);
    CREATE INDEX current_objects ON object_versions (bucket, key) WHERE latest = 1 AND sha256 IS NOT NULL;
    CREATE UNIQUE INDEX uploads_by_id ON uploads (id);
    CREATE TABLE object_parts (
        bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, number INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (bucket, key, version, number)
    ) WITHOUT ROWID;
",
    // What is configured beside functions and layer versions.
    "
    CREATE TABLE function_settings (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, qualifier TEXT NOT NULL,
        kind TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (account, region, name, qualifier, kind)
    ) WITHOUT ROWID;
    CREATE INDEX function_settings_by_kind ON function_settings (account, region, kind, name, qualifier);
    CREATE TABLE layer_policies (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (account, region, name, version)
    ) WITHOUT ROWID;
    CREATE TABLE event_source_mappings (
        account TEXT NOT NULL, region TEXT NOT NULL, uuid TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (account, region, uuid)
    ) WITHOUT ROWID;
    CREATE TABLE code_signing_configs (
        account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (account, region, id)
    ) WITHOUT ROWID;
",
    // Events that wait to be run. The payload is last, so that nobody reads it who looks for the
    // rest. Numbers are never used twice: who remembers one must not find another event by it.
    "
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, function TEXT NOT NULL,
        due INTEGER NOT NULL, record TEXT NOT NULL, payload BLOB NOT NULL
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

/// The tables of the first version, for the tests of what came after it.
#[cfg(test)]
pub(super) const FIRST_STEP: &str = STEPS[0];

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as a version wrote it that knew so many steps.
    fn written_by(steps: usize) -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        for step in &STEPS[..steps] {
            connection.execute_batch(step).expect("a step");
        }
        connection.pragma_update(None, "user_version", steps as i64).expect("its version");
        connection
    }

    #[test]
    fn uses_of_an_older_database_are_those_of_latest() {
        let mut connection = written_by(2);
        connection
            .execute("INSERT INTO function_uses VALUES ('a', 'r', 'f', 'code', 'key')", [])
            .expect("a row");
        prepare(&mut connection, Utf8Path::new("database")).expect("the newest schema");
        let row: (String, i64, String) = connection
            .query_row("SELECT name, version, key FROM function_uses", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .expect("the row");
        assert_eq!(row, ("f".to_owned(), 0, "key".to_owned()));
    }

    #[test]
    fn objects_from_before_versions_are_the_version_null() {
        let mut connection = written_by(2);
        connection
            .execute_batch(
                r#"INSERT INTO buckets VALUES ('b', '123456789012', 'us-east-1', 5);
                   INSERT INTO objects VALUES ('b', 'k', 'aa', '{"sha256":"aa","modified":7}');"#,
            )
            .expect("an object");
        prepare(&mut connection, Utf8Path::new("cloud.sqlite")).expect("migrated");
        let row: String = connection
            .query_row(
                "SELECT bucket || ' ' || key || ' ' || place || ' ' || version || ' ' || latest || ' ' ||
                    modified || ' ' || sha256 || ' ' || record FROM object_versions",
                [],
                |row| row.get(0),
            )
            .expect("one version");
        insta::assert_snapshot!(row, @r#"b k 0 null 1 7 aa {"sha256":"aa","modified":7}"#);
        let versioning: Option<String> =
            connection.query_row("SELECT versioning FROM buckets", [], |row| row.get(0)).expect("one bucket");
        assert_eq!(versioning, None);
    }
}
