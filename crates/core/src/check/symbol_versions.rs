//! Symbol versions: which of the system's libraries have, and which are asked for.
//!
//! Owns the newest versions that each operating system's libraries define.

use crate::{elf::ElfFacts, target::OperatingSystem};

/// A family of versions that one library defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Family {
    /// How its versions begin: `GLIBC_`.
    prefix: &'static str,
    /// Newest version on Amazon Linux 1, 2 and 2023.
    newest: [&'static str; 3],
    /// What the library is called.
    pub(super) library: &'static str,
}

/// glibc: FACTS.md §5. C++ library: the names in the lists of `data/` (libstdc++ 6.0.24 of GCC 7.2
/// and 7.3, 6.0.33 of GCC 14), to which libstdc++'s manual gives the versions, as to its runtime
/// (`CXXABI`); GCC's library comes of the same releases. zlib: 1.2.8, 1.2.7 and 1.2.11 by the same
/// lists, and the versions in its own `zlib.map`.
const FAMILIES: [Family; 5] = [
    Family { prefix: "GLIBC_", newest: ["2.17", "2.26", "2.34"], library: "glibc" },
    Family { prefix: "GLIBCXX_", newest: ["3.4.24", "3.4.24", "3.4.33"], library: "libstdc++" },
    Family { prefix: "CXXABI_", newest: ["1.3.11", "1.3.11", "1.3.15"], library: "libstdc++" },
    Family { prefix: "GCC_", newest: ["7.0.0", "7.0.0", "14.0.0"], library: "libgcc" },
    Family { prefix: "ZLIB_", newest: ["1.2.7.1", "1.2.5.2", "1.2.9"], library: "zlib" },
];

/// A version that is newer than the system's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooNew {
    /// As the file asks for it: `GLIBC_2.28`.
    pub(super) asked: String,
    /// The newest that there is: `GLIBC_2.26`.
    pub(super) newest: String,
    /// Its family.
    pub(super) family: Family,
}

impl TooNew {
    /// Whether that system's library has it.
    pub(super) fn is_on(&self, system: OperatingSystem) -> bool {
        number(self.asked_number()) <= number(self.family.newest_on(system))
    }

    fn asked_number(&self) -> &str {
        self.asked.strip_prefix(self.family.prefix).unwrap_or_default()
    }
}

impl Family {
    fn newest_on(&self, system: OperatingSystem) -> &'static str {
        match system {
            OperatingSystem::AmazonLinux1 => self.newest[0],
            OperatingSystem::AmazonLinux2 => self.newest[1],
            OperatingSystem::AmazonLinux2023 => self.newest[2],
        }
    }
}

/// The newest version of each family that a file asks for and the system does not have. Only
/// libraries for which `is_systems` holds count: what a layer brings itself is taken to fit.
pub(super) fn too_new(
    elf: &ElfFacts,
    system: OperatingSystem,
    mut is_systems: impl FnMut(&str) -> bool,
) -> Vec<TooNew> {
    let mut found: Vec<TooNew> = Vec::new();
    for (library, versions) in &elf.versions_needed {
        if versions.is_empty() || !is_systems(library) {
            continue;
        }
        for family in FAMILIES {
            let newest = family.newest_on(system);
            let limit = number(newest);
            let asked = versions
                .iter()
                .filter_map(|version| {
                    // glibc 2.36 defines it for files with packed relocations.
                    let version = if version == "GLIBC_ABI_DT_RELR" { "GLIBC_2.36" } else { version };
                    let rest = version.strip_prefix(family.prefix)?;
                    // Others, such as `GLIBC_PRIVATE` or `CXXABI_TM_1`, are no numbers.
                    let asked = number(rest)?;
                    (Some(&asked) > limit.as_ref()).then_some((asked, rest))
                })
                .max();
            let Some((number_asked, rest)) = asked else { continue };
            let new = TooNew {
                asked: format!("{}{rest}", family.prefix),
                newest: format!("{}{newest}", family.prefix),
                family,
            };
            match found.iter_mut().find(|known| known.family == family) {
                Some(known) if number(known.asked_number()) >= Some(number_asked) => {}
                Some(known) => *known = new,
                None => found.push(new),
            }
        }
    }
    found
}

/// `2.28` as numbers that compare.
fn number(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn check(system: OperatingSystem, needed: &[(&str, &[&str])]) -> String {
        let versions_needed: BTreeMap<String, BTreeSet<String>> = needed
            .iter()
            .map(|(library, versions)| {
                ((*library).to_owned(), versions.iter().map(|version| (*version).to_owned()).collect())
            })
            .collect();
        let elf = ElfFacts {
            machine: 62,
            is_64_bit_little_endian: true,
            soname: None,
            needed: Vec::new(),
            run_paths: Vec::new(),
            versions_needed,
            is_program: false,
        };
        too_new(&elf, system, |library| !library.contains("bundled"))
            .into_iter()
            .map(|new| format!("{} > {} of {}", new.asked, new.newest, new.family.library))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn versions_compare_as_numbers() {
        use OperatingSystem::{AmazonLinux1, AmazonLinux2, AmazonLinux2023};
        let glibc: &[(&str, &[&str])] =
            &[("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.28", "GLIBC_2.9", "GLIBC_PRIVATE"])];
        assert_eq!(check(AmazonLinux2023, glibc), "");
        assert_eq!(check(AmazonLinux2, glibc), "GLIBC_2.28 > GLIBC_2.26 of glibc");
        assert_eq!(check(AmazonLinux1, glibc), "GLIBC_2.28 > GLIBC_2.17 of glibc");
        let two: &[(&str, &[&str])] = &[("libc.so.6", &["GLIBC_2.35"]), ("libm.so.6", &["GLIBC_2.38"])];
        assert_eq!(check(AmazonLinux2023, two), "GLIBC_2.38 > GLIBC_2.34 of glibc");
        let packed: &[(&str, &[&str])] = &[("libc.so.6", &["GLIBC_2.2.5", "GLIBC_ABI_DT_RELR"])];
        assert_eq!(check(AmazonLinux2023, packed), "GLIBC_2.36 > GLIBC_2.34 of glibc");
    }

    #[test]
    fn every_family_has_its_limit() {
        use OperatingSystem::{AmazonLinux2, AmazonLinux2023};
        let needed: &[(&str, &[&str])] = &[
            ("libstdc++.so.6", &["GLIBCXX_3.4.9", "GLIBCXX_3.4.26", "CXXABI_1.3.13", "CXXABI_TM_1"]),
            ("libgcc_s.so.1", &["GCC_3.0", "GCC_12.0.0"]),
            ("libz.so.1", &["ZLIB_1.2.9"]),
            ("libbundled.so.1", &["GLIBC_2.99"]),
        ];
        insta::assert_snapshot!(check(AmazonLinux2, needed), @r"
        GCC_12.0.0 > GCC_7.0.0 of libgcc
        GLIBCXX_3.4.26 > GLIBCXX_3.4.24 of libstdc++
        CXXABI_1.3.13 > CXXABI_1.3.11 of libstdc++
        ZLIB_1.2.9 > ZLIB_1.2.5.2 of zlib
        ");
        assert_eq!(check(AmazonLinux2023, needed), "");
    }
}
