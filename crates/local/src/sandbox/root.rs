//! The file system and identity of an environment: which folders of the host appear where.
//!
//! Owns the layout and turns it into the steps of a jail. Decides everything before the fork;
//! mounts nothing itself.

use std::{ffi::CString, io, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use nix::libc::{self, c_int};

use super::{
    EnvironmentSpec,
    client::ClientFiles,
    image::{ImageRoot, LAYOUT_FILES},
    isolation::Means,
    jail::{IdMaps, Identity, Step, attribute},
};
use crate::interpreters::Interpreter;

/// The uid and gid that a function sees as its own.
const FUNCTION_ID: (u32, u32) = (993, 990);
/// Who that is outside when the server is root: somebody that no host knows.
const STRANGER: u32 = 2_000_000_993;
const ALL_IDS: u64 = 4_294_967_295;

const CONFINED: u64 = attribute::READ_ONLY | attribute::NO_SUID | attribute::NO_DEV;

/// Host folders that every environment sees as they are.
const SYSTEM: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/etc/ssl", "/etc/pki"];
/// Folders of the host whose content is the user's and not the system's.
const HIDDEN: &[&str] = &["/usr/local", "/usr/lib/python3/dist-packages"];
/// Homebrew's programs name their libraries by absolute paths below this one.
const HOMEBREW: &str = "/home/linuxbrew/.linuxbrew";
/// What holds programs and libraries there; the rest (`etc`, `var`) is the user's.
const HOMEBREW_FOLDERS: &[&str] = &["Cellar", "opt", "lib"];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// Small files that are taken over from the host when they exist.
const COPIED: &[&str] = &[
    "ld.so.cache",
    "nsswitch.conf",
    "protocols",
    "services",
    "localtime",
    "gai.conf",
    "host.conf",
    "mime.types",
];

pub(super) fn c_string(text: &str) -> CString {
    // A path with a zero byte names no file on any host; a cut one fails as missing would.
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

/// Whether something can be mounted here. A link to a folder (`/usr/local` on Silverblue, Homebrew's
/// `site-packages`) leads elsewhere inside, and out of what is visible there.
fn is_real_folder(path: &Utf8Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// The folders that are there whatever runs.
const FOLDERS: &str = "dev etc etc/alternatives opt proc tmp empty var var/task var/runtime";

/// A folder of mount points and small files, the same for all environments of one interpreter.
#[derive(Debug)]
pub(super) struct Template {
    root: Utf8PathBuf,
    binds: Vec<(Utf8PathBuf, String)>,
}

/// `python3.12`.
pub(super) fn interpreter_name(interpreter: &Interpreter) -> String {
    format!("python3.{}", interpreter.version.1)
}

impl Template {
    /// Writes the template of a Python below `work`, over whatever is there.
    pub(super) fn python(
        work: &Utf8Path,
        interpreter: &Interpreter,
        client: &ClientFiles,
        means: Means,
    ) -> io::Result<Self> {
        let mut template = Self::provided_in(work, &interpreter_name(interpreter), means)?;
        for folder in ["var/lang", "var/lang/bin", "var/lang/lib"] {
            template.folder(folder)?;
        }
        template.interpreter(interpreter)?;
        template.file("var/runtime/bootstrap.py", fs_err::read(&client.source)?)?;
        if let Some(bytecode) = &client.bytecode {
            template.file("var/runtime/bootstrap.pyc", fs_err::read(bytecode)?)?;
        }
        Ok(template)
    }

    /// The same without a language: for a `bootstrap` of the function's own.
    pub(super) fn provided(work: &Utf8Path, means: Means) -> io::Result<Self> {
        Self::provided_in(work, "provided", means)
    }

    fn provided_in(work: &Utf8Path, name: &str, means: Means) -> io::Result<Self> {
        let root = work.join("roots").join(name);
        if root.exists() {
            fs_err::remove_dir_all(&root)?;
        }
        let mut template = Self { root, binds: Vec::new() };
        template.folder("")?;
        for folder in FOLDERS.split(' ') {
            template.folder(folder)?;
        }
        template.system()?;
        template.etc(means)?;
        template.devices()?;
        Ok(template)
    }

    /// The template of an image, whose files stay as they are: what an environment adds to them lies
    /// in a folder below `work` and is shown in their place.
    pub(super) fn image(work: &Utf8Path, image: &ImageRoot, means: Means) -> io::Result<Self> {
        let own = Self { root: work.join("roots").join(format!("image-{}", image.id)), binds: Vec::new() };
        if own.root.exists() {
            fs_err::remove_dir_all(&own.root)?;
        }
        for folder in ["", "dev", "etc"] {
            own.folder(folder)?;
        }
        own.devices()?;
        let before = |name: &str| {
            let mut text = fs_err::read_to_string(image.folder.join(name)).unwrap_or_default();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text
        };
        own.names(means, &before("etc/passwd"), &before("etc/group"))?;
        let mut binds = vec![(own.root.join("dev"), "dev".to_owned())];
        for file in LAYOUT_FILES {
            if own.root.join(file).exists() {
                binds.push((own.root.join(file), file.to_owned()));
            }
        }
        if Utf8Path::new("/etc/resolv.conf").exists() {
            binds.push(("/etc/resolv.conf".into(), "etc/resolv.conf".into()));
        }
        Ok(Self { root: image.folder.clone(), binds })
    }

    fn devices(&self) -> io::Result<()> {
        for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
            self.link(&format!("dev/{name}"), &format!("/proc/self/{target}"))?;
        }
        for device in DEVICES {
            self.file(&format!("dev/{device}"), "")?;
        }
        Ok(())
    }

    fn folder(&self, path: &str) -> io::Result<()> {
        fs_err::create_dir_all(self.root.join(path))?;
        // Whatever the umask is, the function is another user and must be able to enter.
        for folder in Utf8Path::new(path).ancestors() {
            fs_err::set_permissions(self.root.join(folder), std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.root.join(path);
        fs_err::write(&path, content)?;
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644))
    }

    fn link(&self, path: &str, target: &str) -> io::Result<()> {
        fs_err::os::unix::fs::symlink(target, self.root.join(path))
    }

    fn bind(&mut self, source: &Utf8Path, target: &str) -> io::Result<()> {
        if source.is_dir() {
            self.folder(target)?;
        } else {
            self.file(target, "")?;
        }
        self.binds.push((source.to_owned(), target.to_owned()));
        Ok(())
    }

    fn hide(&mut self, target: &str) {
        self.binds.push((self.root.join("empty"), target.to_owned()));
    }

    fn system(&mut self) -> io::Result<()> {
        for path in SYSTEM.iter().map(Utf8Path::new) {
            let inside = path.as_str().trim_start_matches('/');
            match path.read_link_utf8() {
                Ok(target) => self.link(inside, target.as_str())?,
                Err(_) if path.is_dir() => self.bind(path, inside)?,
                Err(_) => {}
            }
        }
        for path in HIDDEN.iter().filter(|path| is_real_folder(Utf8Path::new(path))) {
            self.hide(path.trim_start_matches('/'));
        }
        Ok(())
    }

    fn etc(&mut self, means: Means) -> io::Result<()> {
        for name in COPIED {
            if let Ok(content) = fs_err::read(Utf8Path::new("/etc").join(name)) {
                self.file(&format!("etc/{name}"), content)?;
            }
        }
        if let Ok(entries) = Utf8Path::new("/etc/alternatives").read_dir_utf8() {
            for entry in entries.filter_map(Result::ok) {
                if let Ok(target) = entry.path().read_link_utf8() {
                    self.link(&format!("etc/alternatives/{}", entry.file_name()), target.as_str())?;
                }
            }
        }
        self.names(means, "root:x:0:0:root:/root:/bin/bash\n", "root:x:0:\n")?;
        // A resolver may be rewritten while the server runs (a VPN comes up), so it is no copy.
        if Utf8Path::new("/etc/resolv.conf").exists() {
            self.bind(Utf8Path::new("/etc/resolv.conf"), "etc/resolv.conf")?;
        }
        Ok(())
    }

    /// The names of hosts, and of users after those that are there.
    fn names(&self, means: Means, users: &str, groups: &str) -> io::Result<()> {
        let hosts = fs_err::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1\tlocalhost\n".into());
        // The name by which extensions let telemetry be sent to them.
        self.file("etc/hosts", format!("{}\n127.0.0.1\tsandbox.localdomain sandbox\n", hosts.trim_end()))?;
        let (uid, gid) = if means.users { FUNCTION_ID } else { (STRANGER, STRANGER) };
        let own = format!("sbx_user1051:x:{uid}:{gid}::/home/sbx_user1051:/sbin/nologin\n");
        self.file("etc/passwd", format!("{users}{own}"))?;
        self.file("etc/group", format!("{groups}sbx_group:x:{gid}:\n"))
    }

    /// An interpreter finds its library relative to itself, so one put together at `/var/lang`
    /// has that prefix, wherever its parts come from, and nobody's site-packages.
    fn interpreter(&mut self, interpreter: &Interpreter) -> io::Result<()> {
        let name = interpreter_name(interpreter);
        self.bind(&interpreter.executable, &format!("var/lang/bin/{name}"))?;
        for alias in ["python3", "python"] {
            self.link(&format!("var/lang/bin/{alias}"), &name)?;
        }
        let library = format!("var/lang/lib/{name}");
        self.bind(&interpreter.stdlib, &library)?;
        for packages in ["site-packages", "dist-packages"] {
            if is_real_folder(&interpreter.stdlib.join(packages)) {
                self.hide(&format!("{library}/{packages}"));
            }
        }
        if let Some(path) = &interpreter.libpython {
            self.bind(path, &format!("var/lang/lib/{}", path.file_name().unwrap_or_default()))?;
        }
        if interpreter.prefix.starts_with(HOMEBREW) {
            self.homebrew(Utf8Path::new(HOMEBREW))?;
        }
        Ok(())
    }

    fn homebrew(&mut self, source: &Utf8Path) -> io::Result<()> {
        for name in HOMEBREW_FOLDERS.iter().filter(|name| source.join(name).is_dir()) {
            self.bind(&source.join(name), &format!("{}/{name}", HOMEBREW.trim_start_matches('/')))?;
        }
        Ok(())
    }

    /// The steps that turn this template into the root of one environment.
    pub(super) fn steps(&self, spec: &EnvironmentSpec, means: Means) -> Vec<Step> {
        let inside = |path: &str| c_string(self.root.join(path).as_str());
        let bind = |source: &Utf8Path, target: &str, attributes| Step::Bind {
            source: c_string(source.as_str()),
            target: inside(target),
            attributes,
        };
        let mut steps = vec![Step::PrivateMounts, bind(&self.root, "", CONFINED)];
        steps.extend(self.binds.iter().map(|(source, target)| bind(source, target, CONFINED)));
        steps.extend(DEVICES.iter().map(|device| {
            let attributes = attribute::NO_SUID | attribute::NO_EXEC;
            bind(&Utf8Path::new("/dev").join(device), &format!("dev/{device}"), attributes)
        }));
        steps.push(bind(&spec.task, "var/task", CONFINED));
        if let Some(opt) = &spec.opt {
            steps.push(bind(opt, "opt", CONFINED));
        }
        steps.push(Step::Tmpfs {
            target: inside("tmp"),
            options: c_string(&format!("size={}m,mode=1777", spec.tmp_mb)),
            attributes: attribute::NO_SUID | attribute::NO_DEV,
        });
        steps.push(processes(means, inside("proc")));
        steps.push(Step::Pivot { root: inside("") });
        steps.push(Step::HostName { name: c"sandbox".into() });
        steps
    }
}

/// Where `/proc` comes from.
pub(super) fn processes(means: Means, target: CString) -> Step {
    if means.pids {
        Step::Proc { target }
    } else {
        Step::Bind { source: c"/proc".into(), target, attributes: attribute::NO_SUID }
    }
}

/// The `CLONE_NEW*` flags.
pub(super) fn namespaces(means: Means) -> c_int {
    let mut flags = 0;
    if means.root {
        flags |= libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    }
    if means.root && means.users {
        flags |= libc::CLONE_NEWUSER;
    }
    if means.pids {
        flags |= libc::CLONE_NEWPID;
    }
    flags
}

/// How the function's ids map to the host's.
///
/// A root server maps root to itself, since it must reach all sources of mounts, and the
/// function to a stranger: a function that were root outside could write to `/proc/sys` without
/// any capability. An ordinary user can map only itself.
pub(super) fn id_maps(means: Means) -> Option<IdMaps> {
    if !(means.root && means.users) {
        return None;
    }
    if !means.as_root {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        return Some(IdMaps {
            uid_map: format!("{} {uid} 1\n", FUNCTION_ID.0),
            gid_map: format!("{} {gid} 1\n", FUNCTION_ID.1),
            deny_setgroups: true,
        });
    }
    let map = |file: &str, id: u32| map_for_root(id, &fs_err::read_to_string(file).unwrap_or_default());
    Some(IdMaps {
        uid_map: map("/proc/self/uid_map", FUNCTION_ID.0),
        gid_map: map("/proc/self/gid_map", FUNCTION_ID.1),
        deny_setgroups: false,
    })
}

/// All ids stay what they are, but the function's is the stranger. A server that is root only in
/// a container has fewer ids to give.
fn map_for_root(id: u32, own: &str) -> String {
    let first: Vec<u64> =
        own.lines().next().unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect();
    if first == [0, 0, ALL_IDS] {
        let (id, stranger) = (u64::from(id), u64::from(STRANGER));
        return format!("0 0 {id}\n{id} {stranger} 1\n{} {} {}\n", id + 1, id + 1, stranger - id - 1);
    }
    let ids: u64 = own.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    format!("0 0 1\n{id} {} 1\n", ids.saturating_sub(2).max(1))
}

/// Who the runtime becomes in the end.
pub(super) fn identity(means: Means) -> Option<Identity> {
    let identity = |(uid, gid)| Identity { uid, gid, drop_groups: true };
    match means {
        Means { root: true, users: true, as_root: true, .. } => Some(identity(FUNCTION_ID)),
        Means { root: true, users: false, as_root: true, .. } => Some(identity((STRANGER, STRANGER))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8 path").to_owned();
        (folder, path)
    }

    fn template(root: &Utf8Path) -> Template {
        Template { root: root.join("root"), binds: Vec::new() }
    }

    #[test]
    fn of_homebrew_only_programs_and_libraries_are_seen() {
        let (_folder, root) = temporary();
        let brew = root.join("brew");
        for name in ["Cellar", "lib", "etc", "var", "bin"] {
            fs_err::create_dir_all(brew.join(name)).expect("a folder");
        }
        let mut template = template(&root);
        template.homebrew(&brew).expect("bound");
        let targets: Vec<_> = template.binds.iter().map(|(_, target)| target.as_str()).collect();
        assert_eq!(targets, ["home/linuxbrew/.linuxbrew/Cellar", "home/linuxbrew/.linuxbrew/lib"]);
    }

    #[test]
    fn a_linked_folder_is_not_a_place_to_mount_at() {
        let (_folder, root) = temporary();
        let stdlib = root.join("python3.12");
        fs_err::create_dir_all(stdlib.join("dist-packages")).expect("a folder");
        fs_err::create_dir_all(root.join("elsewhere")).expect("a folder");
        fs_err::os::unix::fs::symlink("../elsewhere", stdlib.join("site-packages")).expect("a link");
        fs_err::write(root.join("python"), "").expect("a file");
        let mut template = template(&root);
        for folder in ["var/lang/bin", "var/lang/lib"] {
            template.folder(folder).expect("a folder");
        }
        let interpreter = Interpreter {
            version: (3, 12, 0),
            executable: root.join("python"),
            prefix: root.clone(),
            stdlib,
            libpython: None,
            source: crate::interpreters::FoundIn::Named,
        };
        template.interpreter(&interpreter).expect("put together");
        let hidden: Vec<_> = template.binds.iter().filter(|(source, _)| source.ends_with("empty")).collect();
        assert_eq!(hidden.len(), 1, "{hidden:?}");
        assert_eq!(hidden[0].1, "var/lang/lib/python3.12/dist-packages");
    }

    #[test]
    fn a_root_server_gives_the_function_a_stranger() {
        assert_eq!(
            map_for_root(993, "         0          0 4294967295\n"),
            "0 0 993\n993 2000000993 1\n994 994 1999999999\n"
        );
        assert_eq!(map_for_root(993, "0 1000 1\n1 100000 65536\n"), "0 0 1\n993 65535 1\n");
    }
}
