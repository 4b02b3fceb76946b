//! The rules for tags of buckets and objects (S3 User Guide, "Categorizing your storage using
//! tags").

use std::collections::BTreeMap;

use super::{ObjectError, TagFault};

const MOST_OF_OBJECT: usize = 10;
const MOST_OF_BUCKET: usize = 50;
/// In characters.
const LONGEST_KEY: usize = 128;
/// In characters.
const LONGEST_VALUE: usize = 256;

/// An object's tags, by key.
pub(crate) fn check_object_tags(
    tags: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, ObjectError> {
    let tags = check(tags, TagFault::OfAwsOnObject)?;
    if tags.len() > MOST_OF_OBJECT {
        return Err(ObjectError::TooManyTags { most: MOST_OF_OBJECT, of_bucket: false });
    }
    Ok(tags)
}

/// A bucket's tags, by key.
pub(crate) fn check_bucket_tags(
    tags: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, ObjectError> {
    let tags = check(tags, TagFault::OfAwsOnBucket)?;
    if tags.len() > MOST_OF_BUCKET {
        return Err(ObjectError::TooManyTags { most: MOST_OF_BUCKET, of_bucket: true });
    }
    Ok(tags)
}

fn check(
    tags: impl IntoIterator<Item = (String, String)>,
    of_aws: TagFault,
) -> Result<BTreeMap<String, String>, ObjectError> {
    let mut checked = BTreeMap::new();
    for (key, value) in tags {
        let fault = if checked.contains_key(&key) {
            Some(TagFault::Twice)
        } else if key.starts_with("aws:") {
            Some(of_aws)
        } else if key.is_empty() || !fits(&key, LONGEST_KEY) {
            Some(TagFault::Key)
        } else if !fits(&value, LONGEST_VALUE) {
            Some(TagFault::Value)
        } else {
            None
        };
        if let Some(why) = fault {
            let value = (why == TagFault::Value).then_some(value);
            return Err(ObjectError::InvalidTag { key, value, why });
        }
        checked.insert(key, value);
    }
    Ok(checked)
}

fn fits(text: &str, longest: usize) -> bool {
    text.chars().count() <= longest
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tags: &[(&str, &str)]) -> String {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        match check_object_tags(tags) {
            Ok(tags) => format!("{tags:?}"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn tags_follow_the_rules() {
        insta::assert_snapshot!(shown(&[("b", "1"), ("a", "")]), @r#"{"a": "", "b": "1"}"#);
        insta::assert_snapshot!(shown(&[("a", "1"), ("a", "2")]), @r#"InvalidTag { key: "a", value: None, why: Twice }"#);
        insta::assert_snapshot!(shown(&[("a,b", "1")]), @r#"InvalidTag { key: "a,b", value: None, why: Key }"#);
        insta::assert_snapshot!(shown(&[("a", "1,2")]), @r#"InvalidTag { key: "a", value: Some("1,2"), why: Value }"#);
        insta::assert_snapshot!(shown(&[("aws:a", "1")]), @r#"InvalidTag { key: "aws:a", value: None, why: OfAwsOnObject }"#);
        let eleven: Vec<_> =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"].map(|key| (key, "")).into();
        insta::assert_snapshot!(shown(&eleven), @"TooManyTags { most: 10, of_bucket: false }");
    }
}
