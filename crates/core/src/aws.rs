//! AWS names as types that cannot be wrong: regions, accounts, functions, layers and their ARNs.
//!
//! Shapes and lengths are those of Lambda's API model and FACTS.md §3.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the AWS name it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a valid {what}: {rule}")]
pub struct InvalidName {
    /// What the text should have been.
    pub what: &'static str,
    /// What was given.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// Declares a checked text type with the conversions every name needs.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, text: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

checked_text!(
    /// A region such as `us-east-1`.
    Region,
    "region",
    "lower-case words and a number joined by hyphens, such as us-east-1",
    |text| {
        let mut parts = text.split('-').rev();
        let number = parts.next().is_some_and(|last| (1..=2).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_digit()));
        let words: Vec<_> = parts.collect();
        number && words.len() >= 2 && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
    }
);

checked_text!(
    /// An account number: twelve digits.
    AccountId,
    "account id",
    "twelve digits",
    |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
);

checked_text!(
    /// The name of a function, without account or region.
    FunctionName,
    "function name",
    "1 to 64 letters, digits, hyphens and underscores",
    |text| is_word(text, 64)
);

checked_text!(
    /// The name of a layer, without account or region.
    LayerName,
    "layer name",
    "1 to 140 letters, digits, hyphens and underscores",
    |text| is_word(text, 140)
);

checked_text!(
    /// The name of an IAM role.
    RoleName,
    "role name",
    "1 to 64 letters, digits and any of +=,.@-_",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_".contains(&b))
);

checked_text!(
    /// The name of an S3 bucket.
    BucketName,
    "bucket name",
    "3 to 63 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends",
    |text| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = text.as_bytes();
        (3..=63).contains(&bytes.len())
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(b))
            && !text.contains("..")
    }
);

checked_text!(
    /// What a function calls first: `module.function`.
    Handler,
    "handler",
    "`module.function`, up to 128 characters without spaces",
    |text| text.len() <= 128
        && text.rsplit_once('.').is_some_and(|(module, function)| !module.is_empty() && !function.is_empty())
        && !text.contains(char::is_whitespace)
);

/// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerArn {
    /// Where the layer lives.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// Its name.
    pub name: LayerName,
}

/// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerVersionArn {
    /// The layer.
    pub layer: LayerArn,
    /// The version, counted from 1 and never reused.
    pub version: u64,
}

const LAYER_ARN_RULE: &str = "arn:aws:lambda:REGION:ACCOUNT:layer:NAME";
const LAYER_VERSION_ARN_RULE: &str = "arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION";

impl fmt::Display for LayerArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:lambda:{}:{}:layer:{}", self.region, self.account, self.name)
    }
}

impl FromStr for LayerArn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = || InvalidName { what: "layer ARN", text: text.to_owned(), rule: LAYER_ARN_RULE };
        let parts: Vec<_> = text.split(':').collect();
        let ["arn", "aws", "lambda", region, account, "layer", name] = parts[..] else {
            return Err(refuse());
        };
        Ok(Self {
            region: region.parse().map_err(|_| refuse())?,
            account: account.parse().map_err(|_| refuse())?,
            name: name.parse().map_err(|_| refuse())?,
        })
    }
}

impl fmt::Display for LayerVersionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.layer, self.version)
    }
}

impl FromStr for LayerVersionArn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse =
            || InvalidName { what: "layer version ARN", text: text.to_owned(), rule: LAYER_VERSION_ARN_RULE };
        let (layer, version) = text.rsplit_once(':').ok_or_else(refuse)?;
        Ok(Self {
            layer: layer.parse().map_err(|_| refuse())?,
            version: version.parse().ok().filter(|&number| number > 0).ok_or_else(refuse)?,
        })
    }
}

/// Declares the text conversions that serde uses for a type with `FromStr` and `Display`.
macro_rules! text_conversions {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(arn: $name) -> Self {
                arn.to_string()
            }
        }
    )*};
}

text_conversions!(LayerArn, LayerVersionArn);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = InvalidName> + fmt::Display>(text: &str) -> String {
        match text.parse::<T>() {
            Ok(name) => format!("ok {name}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn good_names_print_as_they_were_read() {
        assert_eq!(check::<Region>("eu-central-1"), "ok eu-central-1");
        assert_eq!(check::<Region>("us-gov-west-1"), "ok us-gov-west-1");
        assert_eq!(check::<AccountId>("123456789012"), "ok 123456789012");
        assert_eq!(check::<BucketName>("layercake-1a"), "ok layercake-1a");
        assert_eq!(check::<Handler>("pkg.mod.handler"), "ok pkg.mod.handler");
        let arn = "arn:aws:lambda:us-east-1:123456789012:layer:pandas:3";
        assert_eq!(check::<LayerVersionArn>(arn), format!("ok {arn}"));
        let arn = "arn:aws:lambda:us-east-1:123456789012:layer:pandas";
        assert_eq!(check::<LayerArn>(arn), format!("ok {arn}"));
    }

    #[test]
    fn bad_names_are_refused_with_the_rule() {
        insta::assert_snapshot!(check::<FunctionName>("a b"), @"`a b` is not a valid function name: 1 to 64 letters, digits, hyphens and underscores");
        insta::assert_snapshot!(check::<Region>("useast1"), @"`useast1` is not a valid region: lower-case words and a number joined by hyphens, such as us-east-1");
        insta::assert_snapshot!(check::<LayerVersionArn>("arn:aws:lambda:us-east-1:123456789012:layer:pandas"), @"`arn:aws:lambda:us-east-1:123456789012:layer:pandas` is not a valid layer version ARN: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION");
        insta::assert_snapshot!(check::<LayerVersionArn>("arn:aws:lambda:us-east-1:123456789012:layer:p:0"), @"`arn:aws:lambda:us-east-1:123456789012:layer:p:0` is not a valid layer version ARN: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION");
        insta::assert_snapshot!(check::<Handler>("app"), @"`app` is not a valid handler: `module.function`, up to 128 characters without spaces");
        for text in ["", "ab", "-abc", "abc-", "a..b", "Abc"] {
            assert!(text.parse::<BucketName>().is_err(), "{text}");
        }
    }
}
