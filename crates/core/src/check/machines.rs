//! Processors and operating systems, as ELF headers and people name them.

use crate::{
    elf::ElfFacts,
    target::{Arch, OperatingSystem, Target},
};

/// `e_machine` of the ELF files that run on an architecture (System V ABI).
pub(super) const fn elf_machine(arch: Arch) -> u16 {
    match arch {
        Arch::X86_64 => 62,
        Arch::Arm64 => 183,
    }
}

/// What an ELF file is made for, in words.
pub(super) fn made_for(elf: &ElfFacts) -> String {
    match elf.machine {
        3 => "32-bit x86".to_owned(),
        20 | 21 => "PowerPC".to_owned(),
        22 => "s390".to_owned(),
        40 => "32-bit ARM".to_owned(),
        62 if elf.is_64_bit_little_endian => "x86_64".to_owned(),
        62 => "x86_64 with 32-bit addresses".to_owned(),
        183 => "arm64".to_owned(),
        243 => "RISC-V".to_owned(),
        258 => "LoongArch".to_owned(),
        other => format!("the processor with ELF number {other}"),
    }
}

/// Whether an ELF file is made for an architecture.
pub(super) fn runs_on(elf: &ElfFacts, arch: Arch) -> bool {
    elf.is_64_bit_little_endian && elf.machine == elf_machine(arch)
}

/// Whether a path names a processor, as files do of which a package carries one for each.
pub(super) fn names_a_processor(path: &str) -> bool {
    const WORDS: [&str; 16] = [
        "x86",
        "x64",
        "amd64",
        "i386",
        "i486",
        "i586",
        "i686",
        "arm",
        "aarch",
        "ppc",
        "powerpc",
        "s390",
        "riscv",
        "win32",
        "loongarch",
        "mips",
    ];
    let path = path.to_ascii_lowercase();
    WORDS.iter().any(|word| path.contains(word))
}

/// What people call the operating system.
pub(super) const fn system_name(system: OperatingSystem) -> &'static str {
    match system {
        OperatingSystem::AmazonLinux1 => "Amazon Linux 1",
        OperatingSystem::AmazonLinux2 => "Amazon Linux 2",
        OperatingSystem::AmazonLinux2023 => "Amazon Linux 2023",
    }
}

/// `layercake build NAME --runtime python3.12 --arch x86_64`, as a next step.
pub(super) fn build_command(package: Option<&str>, target: Target) -> String {
    let Target { runtime, arch } = target;
    match package {
        Some(name) => format!("`layercake build {name} --runtime {runtime} --arch {arch}`"),
        None => format!("`layercake build` with `--runtime {runtime} --arch {arch}`"),
    }
}
