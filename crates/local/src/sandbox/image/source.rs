//! Where AWS's base images come from: a registry, and the folder in it.
//!
//! Owns the one name of a registry that this program holds. Speaks to nobody.

use std::{fmt, str::FromStr};

use crate::sandbox::FunctionRuntime;

/// Where AWS publishes the images of Lambda's runtimes, for everybody.
const AWS_IMAGES: &str = "public.ecr.aws/lambda";

/// A registry with AWS's base images: AWS's own, or a mirror of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSource {
    /// `host[:port][/folder]`.
    base: String,
    encrypted: bool,
}

/// A text that is no registry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` names no registry of images; write HOST[:PORT][/FOLDER], or a URL of it")]
pub struct NoRegistry {
    /// What was given.
    pub text: String,
}

impl Default for ImageSource {
    fn default() -> Self {
        Self { base: AWS_IMAGES.to_owned(), encrypted: true }
    }
}

impl ImageSource {
    /// The image of a runtime: `HOST/FOLDER/python:3.12`.
    pub(super) fn image(&self, runtime: FunctionRuntime) -> String {
        format!("{}/{}", self.base, runtime.image())
    }

    /// Whether the registry speaks HTTPS, as all but those on one's own machine do.
    pub(super) const fn encrypted(&self) -> bool {
        self.encrypted
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl FromStr for ImageSource {
    type Err = NoRegistry;

    fn from_str(text: &str) -> Result<Self, NoRegistry> {
        let wrong = || NoRegistry { text: text.to_owned() };
        let (encrypted, base) = match text.split_once("://") {
            Some(("https", base)) => (true, base),
            Some(("http", base)) => (false, base),
            Some(_) => return Err(wrong()),
            None => (true, text),
        };
        let base = base.trim_end_matches('/');
        let (host, folder) = base.split_once('/').unwrap_or((base, ""));
        // A first part like this is what tells a registry from a folder of Docker's own.
        let is_host = host == "localhost" || host.contains(['.', ':']);
        let plain = |text: &str| !text.contains(['@', '?', '#', ' ', '\\']) && !text.contains("//");
        if !is_host || !plain(base) || folder.contains(':') || base.contains("..") {
            return Err(wrong());
        }
        Ok(Self { base: base.to_owned(), encrypted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        match text.parse::<ImageSource>() {
            Ok(source) => {
                let runtime = "python3.12".parse().expect("a runtime");
                format!("{} {}", source.image(runtime), source.encrypted())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn registries_are_read_from_hosts_and_urls() {
        insta::assert_snapshot!(check("localhost:5000/lambda"), @"localhost:5000/lambda/python:3.12 true");
        insta::assert_snapshot!(check("http://127.0.0.1:5000"), @"127.0.0.1:5000/python:3.12 false");
        insta::assert_snapshot!(check("https://mirror.example/aws/lambda/"), @"mirror.example/aws/lambda/python:3.12 true");
        for wrong in [
            "",
            "lambda",
            "ftp://mirror.example",
            "user@mirror.example",
            "mirror.example/a:b",
            "mirror.example/../a",
        ] {
            assert!(wrong.parse::<ImageSource>().is_err(), "{wrong}");
        }
        insta::assert_snapshot!(check("lambda"), @"`lambda` names no registry of images; write HOST[:PORT][/FOLDER], or a URL of it");
    }
}
