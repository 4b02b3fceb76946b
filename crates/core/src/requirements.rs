//! What the user asks for, and where each line of it stands.
//!
//! Also reads the dependencies that a single-file script carries in itself (PEP 723).

use serde::{Deserialize, Serialize};

use crate::Hint;

/// Requirements in the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// The lines.
    pub lines: Vec<RequirementLine>,
}

/// One requirement as it was written (PEP 508).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementLine {
    /// The requirement.
    pub text: String,
    /// Where it was written: `requirements.txt:3`, `--with`, `handler.py (PEP 723)`.
    pub origin: String,
}

impl Requirements {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// The block of metadata in a script (PEP 723).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptMetadata {
    /// `requires-python`, as written.
    pub requires_python: Option<String>,
    /// `dependencies`, as written.
    pub dependencies: Vec<String>,
}

/// A script's metadata block that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptMetadataError {
    /// PEP 723: "When there are multiple comment blocks of the same TYPE defined, tools MUST
    /// produce an error."
    #[error("the script has more than one `# /// script` block")]
    Twice,
    /// No closing line.
    #[error("the `# /// script` block in line {line} is never closed")]
    Unclosed {
        /// Where it starts, counted from 1.
        line: usize,
    },
    /// Not TOML, or not of the right shape.
    #[error("the `# /// script` block in line {line} is not valid: {reason}")]
    Invalid {
        /// Where it starts, counted from 1.
        line: usize,
        /// What the TOML reader said.
        reason: String,
    },
}

impl Hint for ScriptMetadataError {
    fn hint(&self) -> Option<String> {
        Some(
            "the block starts with `# /// script`, ends with `# ///`, and holds TOML such as \
             `# dependencies = [\"pandas\"]` (PEP 723)"
                .to_owned(),
        )
    }
}

/// Reads the PEP 723 block of a script, if it has one.
///
/// # Errors
/// [`ScriptMetadataError`] when there is a block but it cannot be read.
pub fn script_metadata(source: &str) -> Result<Option<ScriptMetadata>, ScriptMetadataError> {
    let mut found: Option<(usize, String)> = None;
    let mut lines = source.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim_end() != "# /// script" {
            continue;
        }
        if found.is_some() {
            return Err(ScriptMetadataError::Twice);
        }
        // The block runs to the last `# ///` among the comment lines that follow, so that the
        // TOML may itself hold such a line (PEP 723's reference expression is greedy).
        let comments: Vec<&str> = source.lines().skip(index + 1).take_while(|l| is_comment(l)).collect();
        let Some(end) = comments.iter().rposition(|comment| comment.trim_end() == "# ///") else {
            return Err(ScriptMetadataError::Unclosed { line: index + 1 });
        };
        let toml: Vec<&str> = comments[..end].iter().map(|comment| comment.get(2..).unwrap_or("")).collect();
        found = Some((index + 1, toml.join("\n")));
        for _ in 0..=end {
            lines.next();
        }
    }
    found.map(|(line, toml)| parse_block(line, &toml)).transpose()
}

fn is_comment(line: &str) -> bool {
    line == "#" || line.starts_with("# ")
}

fn parse_block(line: usize, text: &str) -> Result<ScriptMetadata, ScriptMetadataError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Block {
        requires_python: Option<String>,
        #[serde(default)]
        dependencies: Vec<String>,
    }
    let block: Block = toml::from_str(text)
        .map_err(|error| ScriptMetadataError::Invalid { line, reason: error.message().to_owned() })?;
    Ok(ScriptMetadata { requires_python: block.requires_python, dependencies: block.dependencies })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_dependencies_and_python() {
        let source = "import x\n# /// script\n# requires-python = \">=3.9\"\n# dependencies = [\n#   \"pandas<3\",\n# ]\n# ///\nprint()\n";
        insta::assert_debug_snapshot!(script_metadata(source), @r#"
        Ok(
            Some(
                ScriptMetadata {
                    requires_python: Some(
                        ">=3.9",
                    ),
                    dependencies: [
                        "pandas<3",
                    ],
                },
            ),
        )
        "#);
    }

    #[test]
    fn no_block_is_no_metadata() {
        assert_eq!(script_metadata("# script\nprint()\n"), Ok(None));
    }

    #[test]
    fn bad_blocks_are_named() {
        assert_eq!(script_metadata("# /// script\nx\n"), Err(ScriptMetadataError::Unclosed { line: 1 }));
        assert_eq!(
            script_metadata("# /// script\n# ///\n\n# /// script\n# ///\n"),
            Err(ScriptMetadataError::Twice)
        );
        let error = script_metadata("\n# /// script\n# dependencies = 3\n# ///\n").expect_err("3 is no list");
        insta::assert_snapshot!(error, @"the `# /// script` block in line 2 is not valid: invalid type: integer `3`, expected a sequence");
    }
}
