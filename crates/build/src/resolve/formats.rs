//! `--no-binary` and `--only-binary`: which packages may come as wheels, which as source.
//!
//! Owns pip's rules for the two. Never says what becomes of a package that may come as neither.

use std::collections::BTreeSet;

use layercake_core::wheel::normalised_name;

/// Which of the two options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    /// `--no-binary`.
    Source,
    /// `--only-binary`.
    Wheels,
}

/// The options in the order in which they were given: of two that name one package, the later one
/// counts, as in pip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormatControl {
    steps: Vec<(Only, String)>,
}

/// In which forms a package may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formats {
    /// Nobody said: as a wheel, and from source where there is no wheel at all.
    Either,
    /// As a wheel only.
    Wheels,
    /// From source only.
    Source,
}

/// What the options come to.
#[derive(Debug, Default)]
struct Sets {
    source: BTreeSet<String>,
    wheels: BTreeSet<String>,
}

const ALL: &str = ":all:";
const NONE: &str = ":none:";

impl FormatControl {
    /// Adds a `--no-binary`: names, with commas between them, or `:all:`, or `:none:`.
    pub fn no_binary(&mut self, value: &str) {
        self.steps.push((Only::Source, value.to_owned()));
    }

    /// Adds an `--only-binary`: names, with commas between them, or `:all:`, or `:none:`.
    pub fn only_binary(&mut self, value: &str) {
        self.steps.push((Only::Wheels, value.to_owned()));
    }

    /// These options, and after them the others.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.steps.extend(later.steps);
        self
    }

    /// The forms of a package, whose name is normalised.
    pub(super) fn of(&self, package: &str) -> Formats {
        let sets = self.sets();
        if sets.wheels.contains(package) {
            Formats::Wheels
        } else if sets.source.contains(package) {
            Formats::Source
        } else if sets.wheels.contains(ALL) {
            Formats::Wheels
        } else if sets.source.contains(ALL) {
            Formats::Source
        } else {
            Formats::Either
        }
    }

    /// Whether every package that is not named comes from source.
    pub(super) fn is_source_for_all(&self) -> bool {
        self.sets().source.contains(ALL)
    }

    /// The packages that are named as coming from source only.
    pub(super) fn source_names(&self) -> BTreeSet<String> {
        let mut names = self.sets().source;
        names.remove(ALL);
        names
    }

    /// The packages that are named as coming as wheels only.
    pub(super) fn wheel_names(&self) -> BTreeSet<String> {
        let mut names = self.sets().wheels;
        names.remove(ALL);
        names
    }

    /// pip's `FormatControl.handle_mutual_excludes`: `:all:` forgets everything before it in both
    /// options, `:none:` what this option named, and a name leaves the other option.
    fn sets(&self) -> Sets {
        let mut sets = Sets::default();
        for (only, value) in &self.steps {
            let (this, other) = match only {
                Only::Source => (&mut sets.source, &mut sets.wheels),
                Only::Wheels => (&mut sets.wheels, &mut sets.source),
            };
            let names: Vec<&str> = value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            let after_all = names.iter().rposition(|name| *name == ALL).map_or(0, |index| index + 1);
            if after_all > 0 {
                other.clear();
                this.clear();
                this.insert(ALL.to_owned());
                if !names[after_all..].contains(&NONE) {
                    continue;
                }
            }
            for name in &names[after_all..] {
                if *name == NONE {
                    this.clear();
                } else {
                    let name = normalised_name(name);
                    other.remove(&name);
                    this.insert(name);
                }
            }
        }
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str]) -> String {
        let mut control = FormatControl::default();
        for option in options {
            match option.split_once('=') {
                Some(("no", value)) => control.no_binary(value),
                Some((_, value)) => control.only_binary(value),
                None => {}
            }
        }
        ["numpy", "ruamel-yaml", "six"].map(|name| format!("{name} {:?}", control.of(name))).join(", ")
    }

    #[test]
    fn the_options_mean_what_they_mean_to_pip() {
        let mut table = String::new();
        for options in [
            &[][..],
            &["no=numpy"],
            &["no=:all:"],
            &["only=:all:"],
            &["only=:all:", "no=Ruamel.Yaml"],
            &["no=:all:", "only=numpy,six"],
            &["no=numpy", "only=:all:"],
            &["no=numpy", "only=numpy"],
            &["no=numpy,six", "no=:none:"],
            &["no=:all:,:none:,six"],
        ] {
            table.push_str(&format!("{}: {}\n", options.join(" "), check(options)));
        }
        insta::assert_snapshot!(table, @r"
        : numpy Either, ruamel-yaml Either, six Either
        no=numpy: numpy Source, ruamel-yaml Either, six Either
        no=:all:: numpy Source, ruamel-yaml Source, six Source
        only=:all:: numpy Wheels, ruamel-yaml Wheels, six Wheels
        only=:all: no=Ruamel.Yaml: numpy Wheels, ruamel-yaml Source, six Wheels
        no=:all: only=numpy,six: numpy Wheels, ruamel-yaml Source, six Wheels
        no=numpy only=:all:: numpy Wheels, ruamel-yaml Wheels, six Wheels
        no=numpy only=numpy: numpy Wheels, ruamel-yaml Either, six Either
        no=numpy,six no=:none:: numpy Either, ruamel-yaml Either, six Either
        no=:all:,:none:,six: numpy Either, ruamel-yaml Either, six Source
        ");
    }
}
