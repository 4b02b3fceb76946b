//! Making a layer fit: the levers, from the most harmless on.
//!
//! Owns the order of the levers and what each does to a policy. Whoever builds pulls one after the
//! other and plans anew, until the layer is small enough or no lever is left.

use serde::{Deserialize, Serialize};

use super::policy::{Bytecode, Policy, Profile};

/// One way to make a layer smaller that costs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lever {
    /// The profile `lean` in place of `faithful`.
    Lean,
    /// Bytecode in place of sources.
    SourcesOut,
    /// No docstrings in bytecode, in packages that are known to bear it.
    DocstringsOut,
    /// Without parts of packages that nothing asked for.
    OptionalPartsOut,
    /// No bytecode, where sources are still there.
    BytecodeOut,
}

/// A lever that was pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// Which.
    pub lever: Lever,
    /// Unzipped bytes that it gained.
    pub gained: u64,
}

impl Lever {
    /// Every lever, the most harmless first.
    pub const ALL: [Self; 5] =
        [Self::Lean, Self::SourcesOut, Self::DocstringsOut, Self::OptionalPartsOut, Self::BytecodeOut];

    /// In words, with the price.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Lean => "the profile `lean`: tests, sources of C code and symbols go",
            Self::SourcesOut => "bytecode in place of sources: tracebacks have no lines of code",
            Self::DocstringsOut => "no docstrings in packages that bear it: `help()` is empty",
            Self::OptionalPartsOut => "parts of packages that nothing asked for go",
            Self::BytecodeOut => "no bytecode: cold starts compile every module again",
        }
    }

    /// The policy with this lever pulled; nothing when that changes nothing. Without an interpreter
    /// of the target's Python there is no bytecode to put in place of sources.
    pub fn pull(self, policy: &Policy, has_interpreter: bool) -> Option<Policy> {
        let mut pulled = policy.clone();
        match self {
            Self::Lean if policy.profile == Profile::Faithful => {
                pulled.profile = Profile::Lean;
                pulled.strip = true;
            }
            Self::SourcesOut if has_interpreter && policy.bytecode != Bytecode::Only => {
                pulled.bytecode = Bytecode::Only;
            }
            Self::DocstringsOut if policy.bytecode == Bytecode::Only => pulled.docstrings_out = true,
            Self::OptionalPartsOut => pulled.optional_parts_out = true,
            Self::BytecodeOut if policy.bytecode == Bytecode::Beside => pulled.bytecode = Bytecode::None,
            Self::Lean | Self::SourcesOut | Self::DocstringsOut | Self::BytecodeOut => {}
        }
        (pulled != *policy).then_some(pulled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(profile: Profile, has_interpreter: bool) -> String {
        let mut policy = Policy::of(profile);
        let mut pulled = Vec::new();
        for lever in Lever::ALL {
            if let Some(next) = lever.pull(&policy, has_interpreter) {
                policy = next;
                pulled.push(format!("{lever:?}"));
            }
        }
        pulled.join(" ")
    }

    #[test]
    fn only_levers_that_change_something_are_pulled() {
        insta::assert_snapshot!(check(Profile::Faithful, true), @"Lean SourcesOut DocstringsOut OptionalPartsOut");
        insta::assert_snapshot!(check(Profile::Lean, true), @"SourcesOut DocstringsOut OptionalPartsOut");
        insta::assert_snapshot!(check(Profile::Smallest, true), @"OptionalPartsOut");
        insta::assert_snapshot!(check(Profile::Lean, false), @"OptionalPartsOut BytecodeOut");
    }
}
