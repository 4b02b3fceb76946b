//! `cargo xtask kernel`: the sandbox's tests on a kernel whose control groups are all version 2, as they
//! are on most machines today, whatever this machine's are.
//!
//! Owns a virtual machine made of this machine's own files, Debian's kernel and two tests' programs. It
//! is emulated, so it is slow, needs no rights, and works inside another virtual machine. Never part of
//! CI: it wants QEMU, and what it runs CI runs too on the kernel that it has.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    clients::{pyenv_root, run as run_program, unpack_debian},
    target,
};

/// What control groups do, and takes no longer than emulation permits.
const TESTS: &[&str] = &["memory", "the_cpu_is_shared", "background_threads", "fork_bomb"];

/// Debian's name for its kernel of virtual machines.
const KERNEL: &str = "linux-image-cloud-amd64";

/// For the disk, each after what it needs.
const MODULES: &[&str] = &[
    "virtio/virtio_ring",
    "virtio/virtio",
    // Older kernels have the two the other way round.
    "virtio/virtio_ring",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
];

/// Finds the disk and hands over to [`SYSTEM`].
const EARLY: &str = "\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in $($b cat /modules); do $b insmod /lib/$module.ko 2> /dev/null; done
until [ -b /dev/vda ]; do $b sleep 0.1; done
$b mount -t ext4 /dev/vda /new
for folder in proc sys dev; do $b mount --move /$folder /new/$folder; done
$b mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
$b mkdir -p /new/dev/shm /new/dev/pts
$b mount -t devpts devpts /new/dev/pts
$b mount -t tmpfs tmpfs /new/dev/shm; $b mount -t tmpfs tmpfs /new/run
$b ifconfig lo 127.0.0.1 up
exec $b switch_root /new /kernel/system
";

/// Runs the tests as root and as an ordinary user, below a group that systemd would have delegated.
const SYSTEM: &str = "\
#!/bin/bash
export PATH=/usr/bin:/usr/sbin HOME=/root INSTA_WORKSPACE_ROOT=/kernel
exec > /dev/ttyS0 2>&1
cd /kernel; . ./settings
groups=/sys/fs/cgroup
mkdir -p $groups/user/app/test.scope
for folder in $groups $groups/user $groups/user/app; do
    echo '+cpu +memory +pids' > $folder/cgroup.subtree_control
done
echo 0 > $groups/user/app/test.scope/cgroup.procs
tests() { \"$@\" ./unit cgroup; \"$@\" ./sandbox --test-threads 2 $TESTS; }
echo \"== $(uname -sr), as root\"
tests env
chown -R 1000:1000 $groups/user/app
mkdir /tmp/home; chown 1000:1000 /tmp/home; export HOME=/tmp/home
echo \"== $(uname -sr), as a user\"
tests setpriv --reuid 1000 --regid 1000 --clear-groups
echo \"== control groups left: $(find $groups -name 'layercake-*' | wc -l)\"
sync; /kernel/busybox poweroff -f
";

/// Runs the tests whose names contain one of these words, or those of [`TESTS`].
pub(crate) fn run(words: &[&str]) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("not implemented: `kernel` on this processor; it takes Debian's kernel for x86-64");
    }
    let missing: Vec<_> =
        [("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("mke2fs", "e2fsprogs")]
            .iter()
            .filter(|(program, _)| Command::new(program).arg("--version").output().is_err())
            .map(|(_, package)| *package)
            .chain((!Path::new("/bin/busybox").exists()).then_some("busybox-static"))
            .collect();
    if !missing.is_empty() {
        bail!("missing here: {0}\n  hint: `apt-get install {0}`", missing.join(" "));
    }
    let work = target().join("kernel");
    let (kernel, modules) = kernel(&work)?;
    let tests = if words.is_empty() { TESTS } else { words };
    let disk = disk(&work, tests)?;
    let early = early(&work, &modules)?;
    judge(&boot(&kernel, &early, &disk)?)
}

/// Debian's kernel and the folder of its modules.
fn kernel(work: &Path) -> Result<(PathBuf, PathBuf)> {
    let unpacked = work.join("debian");
    if !unpacked.join("boot").exists() {
        let depends = output(Command::new("apt-cache").args(["depends", KERNEL]))?;
        let package = depends
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .with_context(|| format!("no package here is {KERNEL}\n  hint: `apt-get update`"))?;
        unpack_debian(package, &unpacked)?;
    }
    let kernel = only(&unpacked.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    let modules = only(&unpacked.join("lib/modules"), |_| true)?.join("kernel/drivers");
    Ok((kernel, modules))
}

/// The one entry of a folder that has such a name.
fn only(folder: &Path, is_it: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it))
        .with_context(|| format!("{} does not hold what was expected", folder.display()))
}

/// A disk with this machine's programs, libraries and Pythons, and the tests.
fn disk(work: &Path, tests: &[&str]) -> Result<PathBuf> {
    let root = work.join("root");
    let _ = fs::remove_dir_all(&root);
    for folder in ["proc", "sys", "dev", "run", "tmp", "root", "usr/lib", "kernel"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    for folder in ["/usr/bin", "/usr/sbin", "/usr/lib64", "/usr/lib/x86_64-linux-gnu"] {
        copy(Path::new(folder), &root)?;
    }
    for file in ["passwd", "group", "nsswitch.conf", "hosts", "ld.so.cache"] {
        copy(&Path::new("/etc").join(file), &root)?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link))?;
    }
    let pyenv = pyenv_root().context("neither PYENV_ROOT nor HOME is set")?;
    let pythons = fs::read_dir(pyenv.join("versions"))
        .with_context(|| format!("there are no Pythons in `{}`\n  hint: set PYENV_ROOT", pyenv.display()))?;
    for python in pythons.flatten() {
        copy(&python.path(), &root)?;
    }
    let inside = root.join("kernel");
    for (name, options) in [("unit", ["--lib"].as_slice()), ("sandbox", &["--test", "sandbox"])] {
        fs::copy(test_program(options)?, inside.join(name))?;
    }
    fs::copy("/bin/busybox", inside.join("busybox"))?;
    fs::write(
        inside.join("settings"),
        format!("export PYENV_ROOT='{}'\nTESTS='{}'\n", pyenv.display(), tests.join(" ")),
    )?;
    executable(&inside.join("system"), SYSTEM)?;
    let disk = work.join("disk");
    fs::File::create(&disk)?.set_len(8 << 30)?;
    run_program(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).args([&root, &disk]))?;
    fs::remove_dir_all(&root)?;
    Ok(disk)
}

/// Copies a file or folder to the same place below another root.
fn copy(path: &Path, root: &Path) -> Result<()> {
    let parent = path.parent().and_then(|folder| folder.strip_prefix("/").ok()).context("no whole path")?;
    let parent = root.join(parent);
    fs::create_dir_all(&parent)?;
    run_program(Command::new("cp").arg("--archive").args([path, &parent]))
}

fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Builds tests of the local cloud and answers where they are.
fn test_program(options: &[&str]) -> Result<PathBuf> {
    let told = output(
        Command::new("cargo")
            .args(["test", "-p", "layercake-local", "--no-run", "--locked", "--message-format", "json"])
            .args(options)
            .current_dir(crate::root()),
    )?;
    let mut programs = told.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["profile"]["test"].as_bool()?.then(|| Some(message["executable"].as_str()?.to_owned()))?
    });
    Ok(programs.next_back().context("cargo named no test")?.into())
}

/// What the kernel starts with.
fn early(work: &Path, modules: &Path) -> Result<PathBuf> {
    let root = work.join("early");
    let _ = fs::remove_dir_all(&root);
    for folder in ["bin", "proc", "sys", "dev", "new", "lib"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    let mut names = Vec::new();
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        let file = modules.join(format!("{module}.ko"));
        // What is missing is built into the kernel.
        if file.exists() {
            fs::copy(file, root.join(format!("lib/{name}.ko")))?;
            names.push(name);
        }
    }
    if !names.contains(&"virtio_blk") {
        bail!("not implemented: a kernel whose modules are packed otherwise than Debian 12's");
    }
    fs::write(root.join("modules"), names.join("\n"))?;
    executable(&root.join("init"), EARLY)?;
    let archive = work.join("early.cpio");
    let pack = "find . | cpio --quiet -o -H newc > \"$0\"";
    run_program(Command::new("sh").args(["-c", pack]).arg(&archive).current_dir(&root))?;
    Ok(archive)
}

/// Runs the machine to its end, shows what it says, and answers that.
fn boot(kernel: &Path, early: &Path, disk: &Path) -> Result<String> {
    let drive = format!("file={},if=virtio,format=raw", disk.display());
    let mut machine = Command::new("timeout")
        .args(["1800", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
        .args(["-m", "4G", "-nographic", "-no-reboot", "-nic", "none", "-drive", &drive])
        .args(["-append", "console=ttyS0 quiet panic=1"])
        .args(["-kernel".as_ref(), kernel.as_os_str(), "-initrd".as_ref(), early.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("QEMU cannot be started")?;
    let mut told = String::new();
    for line in BufReader::new(machine.stdout.take().context("no output")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        println!("{line}");
        told.push_str(&line);
        told.push('\n');
    }
    let status = machine.wait()?;
    if !status.success() {
        bail!("the machine did not come to its end ({status})");
    }
    Ok(told)
}

/// Fails unless both programs have passed as both users, and nothing is left.
fn judge(told: &str) -> Result<()> {
    let passed = told.matches("test result: ok. ").count();
    let empty = told.matches("test result: ok. 0 passed").count();
    if passed != 4 || empty > 0 || told.contains("test result: FAILED") {
        bail!("{passed} of 4 runs passed, {empty} of them without a test");
    }
    if !told.contains("== control groups left: 0\n") {
        bail!("control groups are left");
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("{name} cannot be started"))?;
    if !output.status.success() {
        bail!("{name} failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_test_is_a_failure() {
        let good = "test result: ok. 4 passed; 0 failed\n".repeat(4);
        let end = "== control groups left: 0\n";
        assert!(judge(&format!("{good}{end}")).is_ok());
        assert!(judge(&good).is_err());
        assert!(judge(&format!("{good}{}", end.replace('0', "2"))).is_err());
        assert!(judge(&format!("{good}test result: FAILED. 1 passed\n{end}")).is_err());
        assert!(judge(&format!("{}{end}", good.replacen("4 passed", "0 passed", 1))).is_err());
        assert!(judge(end).is_err());
    }
}
