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
    // Log events are kept in chunks: those of one stream that came in together are one row, in the
    // form and within the bounds that `log_chunk` owns. Groups and streams have numbers, so that
    // chunks need not repeat their names.
    "
    ALTER TABLE log_groups RENAME TO former_log_groups;
    ALTER TABLE log_streams RENAME TO former_log_streams;
    CREATE TABLE log_groups (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        created INTEGER NOT NULL, retention INTEGER, tags TEXT NOT NULL DEFAULT '{}',
        settings TEXT NOT NULL DEFAULT '{}', stored_bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE (account, region, name)
    );
    CREATE TABLE log_streams (
        key INTEGER PRIMARY KEY AUTOINCREMENT, group_key INTEGER NOT NULL, name TEXT NOT NULL,
        created INTEGER NOT NULL, first_event INTEGER, last_event INTEGER, last_ingestion INTEGER,
        UNIQUE (group_key, name)
    );
    CREATE TABLE log_chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        group_key INTEGER NOT NULL, stream_key INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, ingested INTEGER NOT NULL,
        count INTEGER NOT NULL, bytes INTEGER NOT NULL, expired INTEGER NOT NULL DEFAULT 0,
        body BLOB NOT NULL
    );
    INSERT INTO log_groups (account, region, name, created, retention, tags, settings, stored_bytes)
        SELECT account, region, name, created, retention, tags, settings, stored_bytes
        FROM former_log_groups;
    INSERT INTO log_streams (group_key, name, created, first_event, last_event, last_ingestion)
        SELECT log_groups.key, former.name, former.created, first_event, last_event, last_ingestion
        FROM former_log_streams AS former JOIN log_groups
          ON log_groups.account = former.account AND log_groups.region = former.region
          AND log_groups.name = former.log_group;
    INSERT INTO log_chunks (group_key, stream_key, first, last, ingested, count, bytes, body)
        WITH events AS (
            SELECT log_events.id AS id, log_streams.group_key AS group_key, log_streams.key AS stream_key,
                time, ingested, time / 60000 AS minute, message,
                LENGTH(CAST(message AS BLOB)) AS size
            FROM log_events
            JOIN log_groups ON log_groups.account = log_events.account
                AND log_groups.region = log_events.region AND log_groups.name = log_events.log_group
            JOIN log_streams ON log_streams.group_key = log_groups.key
                AND log_streams.name = log_events.stream
        ), parted AS (
            SELECT *, (ROW_NUMBER() OVER earlier - 1) / 4096 AS part,
                (SUM(size) OVER earlier - size) / 262144 AS weight
            FROM events
            WINDOW earlier AS (
                PARTITION BY stream_key, ingested, minute ORDER BY time, id ROWS UNBOUNDED PRECEDING)
        ), placed AS (
            SELECT *, MAX(time) OVER (PARTITION BY stream_key, ingested, minute, part, weight) AS last
            FROM parted
        )
        SELECT group_key, stream_key, MIN(time), last, ingested, COUNT(*), SUM(size + 26),
            CAST(GROUP_CONCAT((last - time) || ' ' || size || CHAR(10) || message, '' ORDER BY time, id)
                AS BLOB)
        FROM placed GROUP BY stream_key, ingested, minute, part, weight ORDER BY MIN(id);
    CREATE INDEX log_chunks_by_stream ON log_chunks (stream_key, first, last);
    CREATE INDEX log_chunks_by_group ON log_chunks (group_key, first, last, stream_key);
    DROP TABLE log_events;
    DROP TABLE former_log_streams;
    DROP TABLE former_log_groups;
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

    #[test]
    fn log_events_from_before_chunks_are_the_same_events() {
        let mut connection = written_by(6);
        connection
            .execute_batch(
                "INSERT INTO log_groups (account, region, name, created, retention, tags, stored_bytes)
                     VALUES ('1', 'r', 'g', 1, 5, '{\"a\":\"b\"}', 99), ('1', 's', 'g', 2, NULL, '{}', 0);
                 INSERT INTO log_streams VALUES
                     ('1', 'r', 'g', 'a', 3, 10, 70000, 8), ('1', 'r', 'g', 'b', 4, NULL, NULL, NULL),
                     ('1', 's', 'g', 'a', 5, 20, 20, 9);
                 INSERT INTO log_events (account, region, log_group, stream, time, ingested, message) VALUES
                     ('1', 'r', 'g', 'a', 10, 7, 'first' || CHAR(10)),
                     ('1', 'r', 'g', 'a', 70000, 8, 'a minute later'),
                     ('1', 's', 'g', 'a', 20, 9, 'elsewhere'),
                     ('1', 'r', 'g', 'a', 30, 7, 'ein Stück 1 2' || CHAR(0) || '3'),
                     ('1', 'r', 'g', 'a', 30, 7, ''),
                     ('1', 'r', 'g', 'a', 15, 8, 'came later');",
            )
            .expect("events");
        prepare(&mut connection, Utf8Path::new("cloud.sqlite")).expect("migrated");
        let list = |sql: &str| -> String {
            let mut statement = connection.prepare(sql).expect("SQL");
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
            rows.map(|row| row.expect("a row") + "\n").collect()
        };
        insta::assert_snapshot!(list("SELECT CONCAT_WS(' ', key, account, region, name, created, retention, tags, settings, stored_bytes) FROM log_groups"), @r#"
        1 1 r g 1 5 {"a":"b"} {} 99
        2 1 s g 2 {} {} 0
        "#);
        insta::assert_snapshot!(list("SELECT CONCAT_WS(' ', key, group_key, name, created, first_event, last_event, last_ingestion) FROM log_streams"), @r"
        1 1 a 3 10 70000 8
        2 1 b 4
        3 2 a 5 20 20 9
        ");
        insta::assert_snapshot!(list("SELECT CONCAT_WS(' ', id, group_key, stream_key, first, last, ingested, count, bytes, expired) FROM log_chunks"), @r"
        1 1 1 10 30 7 3 100 0
        2 1 1 70000 70000 8 1 40 0
        3 2 3 20 20 9 1 35 0
        4 1 1 15 15 8 1 36 0
        ");
        let (last, body): (i64, Vec<u8>) = connection
            .query_row("SELECT last, body FROM log_chunks WHERE id = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("a chunk");
        assert_eq!(
            crate::store::log_chunk::unpack(last, &body).expect("whole"),
            [(10, "first\n"), (30, "ein Stück 1 2\u{0}3"), (30, "")]
        );
    }

    #[test]
    fn chunks_made_of_older_events_have_bounds_too() {
        let mut connection = written_by(6);
        connection
            .execute_batch(
                "INSERT INTO log_groups (account, region, name, created) VALUES ('1', 'r', 'g', 1);
                 INSERT INTO log_streams VALUES ('1', 'r', 'g', 'a', 3, 1, 1, 1);
                 WITH RECURSIVE numbers (number) AS (
                     SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 5002)
                 INSERT INTO log_events (account, region, log_group, stream, time, ingested, message)
                     SELECT '1', 'r', 'g', 'a', 1, 1,
                         CASE WHEN number < 5000 THEN 'x' ELSE HEX(ZEROBLOB(100000)) END
                     FROM numbers;",
            )
            .expect("events");
        prepare(&mut connection, Utf8Path::new("cloud.sqlite")).expect("migrated");
        let counts: String = connection
            .query_row(
                "SELECT GROUP_CONCAT(count || ' in ' || bytes, ', ' ORDER BY id) FROM log_chunks",
                [],
                |row| row.get(0),
            )
            .expect("chunks");
        insta::assert_snapshot!(counts, @"4096 in 110592, 906 in 424460, 1 in 200026");
    }
}
