//! Layers that run: nothing is found in them.

use super::*;

/// What a wheel of numpy looks like for a runtime.
fn numpy(root: &str, minor: u8, arch: Arch, glibc: &str) -> Zip {
    let flag = if minor <= 7 { "m" } else { "" };
    let machine = machines::elf_machine(arch);
    let module =
        format!("{root}/numpy/core/_multiarray_umath.cpython-3{minor}{flag}-{}-linux-gnu.so", arch.machine());
    let loader = if arch == Arch::X86_64 { "ld-linux-x86-64.so.2" } else { "ld-linux-aarch64.so.1" };
    let facts =
        elf_for(machine, &["libopenblas-1234.so", "libm.so.6", "libpthread.so.0", "libc.so.6", loader])
            .wants("libc.so.6", glibc)
            .runs_from("$ORIGIN/../../numpy.libs");
    Zip::new("layer.zip")
        .distribution(root, "numpy", "1.0")
        .files(&[&format!("{root}/numpy/__init__.py"), &format!("{root}/numpy/core/__init__.py")])
        .elf(&module, facts)
        .elf(
            &format!("{root}/numpy.libs/libopenblas-1234.so"),
            elf_for(machine, &["libgfortran-5678.so.5", "libgcc_s.so.1", "libc.so.6"]),
        )
        .elf(&format!("{root}/numpy.libs/libgfortran-5678.so.5"), elf_for(machine, &["libm.so.6"]))
}

#[test]
fn nothing_is_found_in_a_layer_made_for_the_runtime() {
    for runtime in Runtime::all() {
        for arch in [Arch::X86_64, Arch::Arm64] {
            let minor = runtime.minor();
            let glibc = format!("GLIBC_2.{}", runtime.glibc_minor());
            // The library that only its parent reaches must be found through the parent.
            for root in ["python".to_owned(), format!("python/lib/{runtime}/site-packages")] {
                let zip = numpy(&root, minor, arch, &glibc);
                let zip = zip.entry(&format!("{root}/numpy/x.py"), |file| file.permissions = 0);
                let mut found = Case::layers([zip]).verdict(minor, arch).findings;
                found.retain(|finding| {
                    finding.code != Code::NotOffered && finding.code != Code::UnreachableLibrary
                });
                assert_eq!(found, [], "{runtime} {arch} {root}");
            }
        }
    }
}

#[test]
fn what_packages_carry_for_others_is_no_finding() {
    let zip = Zip::new("layer.zip")
        .distribution("python", "setuptools", "70.0")
        .files(&["python/setuptools/__init__.py", "python/setuptools/cli-64.exe"])
        .distribution("python", "debugpy", "1.8")
        .file("python/debugpy/__init__.py")
        .elf("python/debugpy/attach_linux_amd64.so", elf(&["libc.so.6"]))
        .elf("python/debugpy/attach_linux_x86.so", elf_for(3, &["libc.so.6"]))
        .distribution("python", "google-cloud", "1.0")
        .file("python/google/cloud/__init__.py")
        .distribution("python", "ruff", "0.1")
        .entry("python/bin/ruff", |file| {
            file.permissions = 0o755;
            file.elf = Some(elf(&["libc.so.6"]).program());
        });
    assert_eq!(check(zip), "");
}

#[test]
fn layers_need_not_hold_packages() {
    let zip = Zip::new("tools.zip")
        .entry("bin/jq", |file| {
            file.permissions = 0o755;
            file.elf = Some(elf(&["libm.so.6"]).program());
        })
        .mode("extensions/agent", 0o755)
        .elf("lib/libGL.so.1", elf(&["libc.so.6"]));
    assert_eq!(check(zip), "");
}

#[test]
fn function_and_layers_work_together() {
    let layer = Zip::new("layer.zip")
        .distribution("python", "cv", "1.0")
        .elf(
            "python/cv/core.abi3.so",
            elf(&["libGL.so.1"]).wants("libstdc++.so.6", "GLIBCXX_3.4.99").runs_from("$ORIGIN/../cv.libs"),
        )
        .elf("python/cv.libs/libstdc++.so.6", elf(&[]));
    let libraries = Zip::new("libraries.zip").elf("lib/libGL.so.1", elf(&["libc.so.6"]));
    let function = Zip::new("code.zip").files(&["app.py", "helpers/__init__.py"]);
    let case =
        Case::layers([layer, libraries]).function(function).handler("app.handler").variable("STAGE", "test");
    assert_eq!(case.found(), "");
    assert!(case.verdict(12, Arch::X86_64).runs);
}
