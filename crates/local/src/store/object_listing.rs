//! Listings of objects, of their versions, and of unfinished uploads: one walk along an index
//! that folds keys at a delimiter and jumps behind what it has folded.

use rusqlite::{OptionalExtension as _, Row, Statement, params, params_from_iter, types::Value};

use super::{ObjectRecord, Store, StoreError, UploadRecord, from_json};

/// What a listing asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListingQuery {
    /// How the keys begin.
    pub(crate) prefix: String,
    /// Keys that hold it behind the prefix count once for all that share what stands before it.
    /// Empty for none.
    pub(crate) delimiter: String,
    /// The key, or common prefix, that the listing goes on behind.
    pub(crate) after: String,
    /// How many at most, common prefixes included.
    pub(crate) limit: usize,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Listed<T> {
    /// In order of their keys.
    pub(crate) items: Vec<T>,
    /// By name.
    pub(crate) common_prefixes: Vec<String>,
    /// Whether the page ends with a common prefix and not with an item.
    pub(crate) ends_with_prefix: bool,
    /// Whether there is more behind it.
    pub(crate) more: bool,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { items: Vec::new(), common_prefixes: Vec::new(), ends_with_prefix: false, more: false }
    }
}

/// A version in a listing.
#[derive(Clone, Debug)]
pub(crate) struct ListedVersion {
    /// The key.
    pub(crate) key: String,
    /// Its id.
    pub(crate) id: String,
    /// Whether it is the newest of its key.
    pub(crate) latest: bool,
    /// In milliseconds since 1970.
    pub(crate) modified: i64,
    /// Nothing for a delete marker.
    pub(crate) record: Option<ObjectRecord>,
}

/// The version that a listing goes on behind.
#[derive(Clone, Debug)]
pub(crate) struct VersionMarker {
    /// Its id.
    pub(crate) id: String,
    /// When the id was made, in milliseconds since 1970; says where it was when it is gone.
    pub(crate) made: Option<i64>,
}

// Of a bucket (`?1`), from a key (`?2`, and there from a place `?4`) to before another (`?3`). The
// keys bound the walk along the index at both ends; a condition on key and place together would
// leave it open at the end.
const OBJECTS: &str = "SELECT key, 0, record FROM object_versions INDEXED BY current_objects
    WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND latest = 1 AND sha256 IS NOT NULL
      AND ?4 IS NOT NULL
    ORDER BY key";
const VERSIONS: &str = "SELECT key, place, version, latest, modified, record FROM object_versions
    WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND (key > ?2 OR place >= ?4) ORDER BY key, place";
const UPLOADS: &str = "SELECT key, id, record FROM uploads
    WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND (key > ?2 OR id >= ?4) ORDER BY key, id";

impl Store {
    /// One page of a bucket's current objects: key and record.
    pub(crate) fn list_objects(
        &self,
        bucket: &str,
        query: &ListingQuery,
    ) -> Result<Listed<(String, ObjectRecord)>, StoreError> {
        self.read(|connection| {
            let statement = connection.prepare_cached(OBJECTS)?;
            let least = Value::Integer(0);
            let start = Start { key: behind_key(&query.after), within: least.clone() };
            walk(statement, bucket, query, start, &least, |row, key| {
                let text: String = row.get(2)?;
                let record = from_json(&text, &format!("object `{bucket}/{key}`"))?;
                Ok((key, record))
            })
        })
    }

    /// One page of a bucket's versions and delete markers, newest first within a key. With a
    /// marker, from behind that version of the key `after`.
    pub(crate) fn list_versions(
        &self,
        bucket: &str,
        query: &ListingQuery,
        marker: Option<&VersionMarker>,
    ) -> Result<Listed<ListedVersion>, StoreError> {
        self.read(|connection| {
            let least = Value::Integer(i64::MIN);
            let mut start = Start { key: behind_key(&query.after), within: least.clone() };
            if let Some(marker) = marker {
                let place: Option<i64> = connection
                    .prepare_cached(
                        "SELECT place + 1 FROM object_versions
                         WHERE bucket = ?1 AND key = ?2 AND version = ?3",
                    )?
                    .query_row(params![bucket, query.after, marker.id], |row| row.get(0))
                    .optional()?;
                let place = match place {
                    Some(place) => Some(place),
                    None => connection
                        .prepare_cached(
                            "SELECT MIN(place) FROM object_versions
                             WHERE bucket = ?1 AND key = ?2 AND modified < ?3",
                        )?
                        .query_row(params![bucket, query.after, marker.made], |row| row.get(0))?,
                };
                if let Some(place) = place {
                    start = Start { key: query.after.clone(), within: Value::Integer(place) };
                }
            }
            let statement = connection.prepare_cached(VERSIONS)?;
            walk(statement, bucket, query, start, &least, |row, key| {
                let record: Option<String> = row.get(5)?;
                Ok(ListedVersion {
                    id: row.get(2)?,
                    latest: row.get(3)?,
                    modified: row.get(4)?,
                    record: record
                        .map(|text| from_json(&text, &format!("object `{bucket}/{key}`")))
                        .transpose()?,
                    key,
                })
            })
        })
    }

    /// One page of a bucket's unfinished uploads: key, id and record. With an id, from behind
    /// that upload of the key `after`.
    pub(crate) fn list_uploads(
        &self,
        bucket: &str,
        query: &ListingQuery,
        id: Option<&str>,
    ) -> Result<Listed<(String, String, UploadRecord)>, StoreError> {
        self.read(|connection| {
            let statement = connection.prepare_cached(UPLOADS)?;
            let least = Value::Text(String::new());
            let start = match id {
                Some(id) => Start { key: query.after.clone(), within: Value::Text(behind_key(id)) },
                None => Start { key: behind_key(&query.after), within: least.clone() },
            };
            walk(statement, bucket, query, start, &least, |row, key| {
                let (id, text): (String, String) = (row.get(1)?, row.get(2)?);
                let record = from_json(&text, &format!("upload `{id}`"))?;
                Ok((key, id, record))
            })
        })
    }
}

/// Where a walk begins: at a key and, of several rows of that key, at one of them.
struct Start {
    key: String,
    within: Value,
}

/// Walks along an index. The statement gives rows from `?2` (of that key from `?4`) to before
/// `?3`, with the key first; `read` makes an item of a row.
fn walk<T>(
    mut statement: rusqlite::CachedStatement<'_>,
    bucket: &str,
    query: &ListingQuery,
    mut start: Start,
    least: &Value,
    read: impl Fn(&Row<'_>, String) -> Result<T, StoreError>,
) -> Result<Listed<T>, StoreError> {
    let ListingQuery { prefix, delimiter, after, limit } = query;
    let mut page = Listed::default();
    if query.after.is_empty() || start.key < *prefix {
        start = Start { key: prefix.clone(), within: least.clone() };
    }
    // What a marker is folded into is behind us as a whole.
    if let Some(common) = common_prefix(after, prefix, delimiter) {
        match behind_all(common) {
            Some(key) => start = Start { key, within: least.clone() },
            None => return Ok(page),
        }
    }
    // Bytes are greater than any text, so nothing ends the walk when no text can.
    let end = behind_all(prefix).map_or(Value::Blob(Vec::new()), Value::Text);
    loop {
        let Some(common) = items(&mut statement, bucket, &start, &end, |row| {
            let key: String = row.get(0)?;
            let full = page.items.len() + page.common_prefixes.len() >= *limit;
            if full {
                page.more = true;
                return Ok(Step::Stop);
            }
            if let Some(common) = common_prefix(&key, prefix, delimiter) {
                return Ok(Step::Fold(common.to_owned()));
            }
            page.items.push(read(row, key)?);
            page.ends_with_prefix = false;
            Ok(Step::Next)
        })?
        else {
            return Ok(page);
        };
        let behind = behind_all(&common);
        page.common_prefixes.push(common);
        page.ends_with_prefix = true;
        match behind {
            Some(key) => start = Start { key, within: least.clone() },
            None => return Ok(page),
        }
    }
}

enum Step {
    Next,
    Fold(String),
    Stop,
}

/// Shows rows to `see` until it has enough; gives the prefix that it wants to fold.
fn items(
    statement: &mut Statement<'_>,
    bucket: &str,
    start: &Start,
    end: &Value,
    mut see: impl FnMut(&Row<'_>) -> Result<Step, StoreError>,
) -> Result<Option<String>, StoreError> {
    let from = Value::Text(start.key.clone());
    let parameters = [Value::Text(bucket.to_owned()), from, end.clone(), start.within.clone()];
    let mut rows = statement.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        match see(row)? {
            Step::Next => {}
            Step::Fold(common) => return Ok(Some(common)),
            Step::Stop => return Ok(None),
        }
    }
    Ok(None)
}

/// What stands in a key up to the first delimiter behind the prefix, with both.
fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(prefix)?;
    let cut = rest.find(delimiter)?;
    key.get(..prefix.len() + cut + delimiter.len())
}

/// The least text that is greater than this one.
fn behind_key(key: &str) -> String {
    format!("{key}\0")
}

/// The least text that is greater than everything that begins with `prefix`; nothing when there
/// is none.
fn behind_all(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // Between U+D7FF and U+E000 there are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use layercake_core::hash::Sha256;

    use super::*;
    use crate::store::{BucketRecord, NewVersion, ObjectHeaders, ObjectTraits, Versioning};

    #[test]
    fn the_text_behind_all_that_begin_alike() {
        assert_eq!(behind_all("a/").as_deref(), Some("a0"));
        assert_eq!(behind_all("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(behind_all("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(behind_all("\u{10ffff}"), None);
        assert_eq!(behind_all(""), None);
    }

    #[test]
    fn keys_are_folded_behind_the_prefix() {
        assert_eq!(common_prefix("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(common_prefix("a/b", "a/", "/"), None);
        assert_eq!(common_prefix("a//b", "a/", "/"), Some("a//"));
        assert_eq!(common_prefix("a--b--c", "", "--"), Some("a--"));
        assert_eq!(common_prefix("b", "a", ""), None);
    }

    fn store() -> (tempfile::TempDir, Arc<Store>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = camino::Utf8PathBuf::try_from(folder.path().join("data")).expect("UTF-8");
        let store = Store::open(&path).expect("a new store");
        let bucket = BucketRecord {
            name: "bucket".to_owned(),
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            created: 0,
            versioning: None,
        };
        store.create_bucket(&bucket).expect("a bucket");
        (folder, store)
    }

    fn record() -> ObjectRecord {
        ObjectRecord {
            sha256: Sha256::of(b""),
            size: 0,
            etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            modified: 1,
            headers: ObjectHeaders::default(),
            checksums: [("crc64nvme".to_owned(), "AAAAAAAAAAA=".to_owned())].into(),
            composite: false,
            traits: ObjectTraits::default(),
            parts: 0,
        }
    }

    fn put(store: &Store, key: &str, id: &str) {
        let new = NewVersion { bucket: "bucket", key, id, record: &record(), parts: &[] };
        store.put_object(&new, &mut |_, _| true).expect("room").expect("a version");
    }

    #[test]
    fn every_listing_walks_along_an_index() {
        let (_folder, store) = store();
        let plan = |sql: &str| {
            store.read(|connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let parameters = ["bucket", "a", "b", "0"];
                let rows = statement.query_map(parameters, |row| row.get::<_, String>(3))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?.join("; "))
            })
        };
        insta::assert_snapshot!(plan(OBJECTS).expect("a plan"), @"SEARCH object_versions USING INDEX current_objects (bucket=? AND key>? AND key<?)");
        insta::assert_snapshot!(plan(VERSIONS).expect("a plan"), @"SEARCH object_versions USING PRIMARY KEY (bucket=? AND key>? AND key<?)");
        insta::assert_snapshot!(plan(UPLOADS).expect("a plan"), @"SEARCH uploads USING PRIMARY KEY (bucket=? AND key>? AND key<?)");
    }

    /// Pages of a listing, one line each.
    fn check(store: &Store, prefix: &str, delimiter: &str, limit: usize) -> String {
        let mut query = ListingQuery {
            prefix: prefix.to_owned(),
            delimiter: delimiter.to_owned(),
            after: String::new(),
            limit,
        };
        let mut lines = Vec::new();
        loop {
            let page = store.list_objects("bucket", &query).expect("a page");
            let keys: Vec<_> = page.items.iter().map(|(key, _)| key.as_str()).collect();
            lines.push(format!("{} | {}", keys.join(" "), page.common_prefixes.join(" ")));
            if !page.more {
                return lines.join("\n");
            }
            query.after = match page.ends_with_prefix {
                true => page.common_prefixes.last().cloned().unwrap_or_default(),
                false => page.items.last().map(|(key, _)| key.clone()).unwrap_or_default(),
            };
        }
    }

    #[test]
    fn pages_of_objects() {
        let (_folder, store) = store();
        for key in ["a", "a/1", "a/2", "a/b/3", "b", "c/1", "\u{10ffff}"] {
            put(&store, key, "v");
        }
        insta::assert_snapshot!(check(&store, "", "/", 2), @"
        a | a/
        b | c/
        \u{10ffff} |
        ");
        insta::assert_snapshot!(check(&store, "a/", "/", 1), @"
        a/1 | 
        a/2 | 
         | a/b/
        ");
        insta::assert_snapshot!(check(&store, "a", "", 10), @"a a/1 a/2 a/b/3 |");
        insta::assert_snapshot!(check(&store, "", "", 3), @"
        a a/1 a/2 | 
        a/b/3 b c/1 | 
        \u{10ffff} |
        ");
    }

    #[test]
    fn old_versions_are_in_no_listing_of_objects() {
        let (_folder, store) = store();
        store.set_versioning("bucket", Versioning::Enabled).expect("set");
        for id in ["1", "2", "3"] {
            put(&store, "k", id);
        }
        assert_eq!(check(&store, "", "", 10), "k | ");
        let query = ListingQuery { limit: 2, ..ListingQuery::default() };
        let page = store.list_versions("bucket", &query, None).expect("a page");
        let ids: Vec<_> = page.items.iter().map(|item| (item.id.as_str(), item.latest)).collect();
        assert_eq!(ids, [("3", true), ("2", false)]);
        assert!(page.more);
        let query = ListingQuery { after: "k".to_owned(), ..query };
        let marker = VersionMarker { id: "2".to_owned(), made: None };
        let page = store.list_versions("bucket", &query, Some(&marker)).expect("a page");
        assert_eq!(page.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["1"]);
    }

    #[test]
    fn a_page_of_a_large_bucket_costs_what_a_page_of_a_small_one_costs() {
        let (_folder, store) = store();
        let text = crate::store::to_json(&record()).expect("JSON");
        store
            .write(|transaction| {
                transaction.execute(
                    "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 99999)
                     INSERT INTO object_versions
                     SELECT 'bucket', printf('%02d/%05d', n % 50, n), 0, 'null', 1, 1, 'hash', ?1 FROM numbers",
                    [text],
                )?;
                Ok(())
            })
            .expect("objects");
        let timed = |prefix: &str, delimiter: &str, after: &str, limit: usize| {
            let query = ListingQuery {
                prefix: prefix.to_owned(),
                delimiter: delimiter.to_owned(),
                after: after.to_owned(),
                limit,
            };
            let begin = std::time::Instant::now();
            let page = store.list_objects("bucket", &query).expect("a page");
            (begin.elapsed(), page)
        };
        let (_, page) = timed("", "", "49/90000", 1000);
        assert_eq!(page.items.len(), 200);
        let (took, page) = timed("", "/", "", 1000);
        assert_eq!(page.common_prefixes.len(), 50);
        // Stepping over all 100,000 rows takes a hundred times as long, also on a busy machine.
        assert!(took.as_millis() < 100, "{took:?}");
        let (took, page) = timed("49/", "", "49/99900", 1000);
        assert_eq!(page.items.len(), 2);
        assert!(took.as_millis() < 100, "{took:?}");
    }
}
