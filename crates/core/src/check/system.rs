//! What the runtimes' operating systems bring: shared libraries and what is known of absent ones.
//!
//! Owns the reading of the lists in `data/`, which name their sources.

use std::collections::BTreeSet;

use super::table::{cells, rows};
use crate::target::{Arch, OperatingSystem, Target};

/// The libraries in a runtime.
pub(super) struct SystemLibraries {
    sonames: BTreeSet<&'static str>,
    minor: u8,
}

/// What is known of a library that runtimes do not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct AbsentLibrary {
    /// Who usually asks for it.
    pub(super) brought_by: &'static str,
    /// What to do.
    pub(super) advice: &'static str,
}

impl SystemLibraries {
    pub(super) fn of(target: Target) -> Self {
        let text = match target.runtime.operating_system() {
            OperatingSystem::AmazonLinux1 => include_str!("data/system-libraries-al1.txt"),
            OperatingSystem::AmazonLinux2 => include_str!("data/system-libraries-al2.txt"),
            OperatingSystem::AmazonLinux2023 => include_str!("data/system-libraries-al2023.txt"),
        };
        let sonames = rows(text).filter_map(|row| match row.split_once(' ') {
            None => Some(row),
            Some((soname, arch)) => (arch == target.arch.as_str()).then_some(soname),
        });
        let mut sonames: BTreeSet<_> = sonames.collect();
        // The list for Amazon Linux 1 is that of x86_64; the loader's name is the one that differs.
        if target.arch == Arch::Arm64 {
            sonames.insert("ld-linux-aarch64.so.1");
        }
        Self { sonames, minor: target.runtime.minor() }
    }

    /// Whether the runtime has it: the system, or the interpreter's own folder, which holds the
    /// shared library of Python itself.
    pub(super) fn have(&self, soname: &str) -> bool {
        // Python up to 3.7 marks its name with the flag `m` (PEP 3149).
        let flag = if self.minor <= 7 { "m" } else { "" };
        self.sonames.contains(soname)
            || soname == "libpython3.so"
            || soname == format!("libpython3.{}{flag}.so.1.0", self.minor)
    }

    /// Whether the interpreter's own folder may have it. No list of that folder is published; the
    /// interpreters 3.10 and 3.11 need a newer OpenSSL than Amazon Linux 2 has (PEP 644), so theirs
    /// lies there or is part of them.
    pub(super) fn may_have(&self, soname: &str) -> bool {
        matches!(self.minor, 10 | 11) && matches!(soname, "libssl.so.1.1" | "libcrypto.so.1.1")
    }
}

/// What is known of a library that a runtime does not have.
pub(super) fn absent_library(soname: &str) -> Option<AbsentLibrary> {
    rows(include_str!("data/absent-libraries.txt")).find_map(|row| {
        let [name, brought_by, advice] = cells(row)?;
        let fits = match name.strip_suffix('*') {
            Some(start) => soname.starts_with(start),
            None => soname == name,
        };
        fits.then_some(AbsentLibrary { brought_by, advice })
    })
}

/// What to do about a missing library, for packages of which another form does without.
pub(super) fn advice_for(package: &str) -> Option<&'static str> {
    rows(include_str!("data/package-advice.txt"))
        .filter_map(cells::<2>)
        .find(|[name, _]| *name == package)
        .map(|[_, advice]| advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Runtime;

    fn missing(runtime: Runtime, arch: Arch, sonames: &[&str]) -> String {
        let system = SystemLibraries::of(Target { runtime, arch });
        sonames.iter().filter(|soname| !system.have(soname)).copied().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_the_manylinux_policies_allow_is_not_always_there() {
        const ALLOWED: [&str; 20] = [
            "libgcc_s.so.1",
            "libstdc++.so.6",
            "libm.so.6",
            "libdl.so.2",
            "librt.so.1",
            "libc.so.6",
            "libnsl.so.1",
            "libutil.so.1",
            "libpthread.so.0",
            "libresolv.so.2",
            "libX11.so.6",
            "libXext.so.6",
            "libXrender.so.1",
            "libICE.so.6",
            "libSM.so.6",
            "libGL.so.1",
            "libgobject-2.0.so.0",
            "libgthread-2.0.so.0",
            "libglib-2.0.so.0",
            "libexpat.so.1",
        ];
        let table: Vec<_> = [6, 9, 12]
            .into_iter()
            .filter_map(Runtime::from_minor)
            .map(|runtime| format!("{runtime}: {}", missing(runtime, Arch::X86_64, &ALLOWED)))
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        python3.6: 
        python3.9: libX11.so.6 libXext.so.6 libXrender.so.1 libICE.so.6 libSM.so.6 libGL.so.1
        python3.12: libnsl.so.1 libX11.so.6 libXext.so.6 libXrender.so.1 libICE.so.6 libSM.so.6 libGL.so.1 libexpat.so.1
        ");
    }

    #[test]
    fn an_interpreter_has_its_own_library_and_no_other() {
        let names = ["libpython3.6m.so.1.0", "libpython3.8.so.1.0", "libpython3.12.so.1.0", "libpython3.so"];
        assert_eq!(
            missing(Runtime::PYTHON3_6, Arch::X86_64, &names),
            "libpython3.8.so.1.0 libpython3.12.so.1.0"
        );
        let newest = Runtime::from_minor(12).expect("a runtime");
        assert_eq!(missing(newest, Arch::Arm64, &names), "libpython3.6m.so.1.0 libpython3.8.so.1.0");
    }

    #[test]
    fn each_architecture_has_its_loader() {
        for minor in [8, 12] {
            let runtime = Runtime::from_minor(minor).expect("a runtime");
            let loaders = ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
            assert_eq!(missing(runtime, Arch::X86_64, &loaders), "ld-linux-aarch64.so.1");
            assert_eq!(missing(runtime, Arch::Arm64, &loaders), "ld-linux-x86-64.so.2");
        }
    }

    #[test]
    fn every_row_of_the_table_is_whole() {
        for row in rows(include_str!("data/absent-libraries.txt")) {
            assert!(cells::<3>(row).is_some_and(|cells| cells.iter().all(|cell| !cell.is_empty())), "{row}");
        }
        assert!(absent_library("libGL.so.1").is_some_and(|absent| absent.brought_by == "opencv-python"));
        assert!(absent_library("libcudart.so.12").is_some());
        assert!(absent_library("libGL.so.10").is_none());
    }
}
