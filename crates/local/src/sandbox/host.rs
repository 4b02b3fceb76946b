//! This machine, as far as environments need it: interpreters, templates, means of isolation.
//!
//! Turns a spec into the plan of a cell. One per sandbox.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, OnceLock},
};
#[cfg(target_os = "linux")]
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    EnvironmentSpec, LateLog, LogEvent, RuntimeClient, SandboxError,
    cell_event::Outputs,
    client::{self, ClientFiles},
    extensions::external_names,
    isolation::{self, Isolation, IsolationReport, Means},
    runtime_api::Admission,
    variables::{Outside, of_extensions, variables},
};
use crate::interpreters::{Interpreter, Interpreters};

#[cfg(target_os = "linux")]
pub(super) use super::cell::{Cell, Launched};
#[cfg(not(target_os = "linux"))]
pub(super) use super::cell_plain::{Cell, Launched};
#[cfg(target_os = "linux")]
use super::{
    cgroup::{Group, Groups, Limits},
    confine::{self, Confinement, Reach},
    filter,
    jail::{JailPlan, RuntimeCommand},
    root::{self, Template},
};

/// Processes and threads that a function may have (FACTS.md §1).
#[cfg(target_os = "linux")]
const MOST_PROCESSES: u64 = 1024;

/// This machine.
#[derive(Debug)]
pub(super) struct Host {
    work: Utf8PathBuf,
    interpreters: Interpreters,
    client: RuntimeClient,
    means: Means,
    pub(super) report: IsolationReport,
    late_log: OnceLock<LateLog>,
    #[cfg(target_os = "linux")]
    templates: Mutex<HashMap<u8, Arc<Template>>>,
    #[cfg(target_os = "linux")]
    groups: Groups,
    #[cfg(target_os = "linux")]
    filters: Vec<seccompiler::BpfProgram>,
}

/// A cell and what belongs to it.
pub(super) struct Furnished {
    pub(super) cell: Cell,
    pub(super) outputs: Outputs,
    /// The external extensions, the first of which is program 1.
    pub(super) extensions: Vec<String>,
}

/// A process, decided but for its place.
struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: Utf8PathBuf,
}

fn start(step: &str) -> impl FnOnce(io::Error) -> SandboxError {
    let step = step.to_owned();
    move |source| SandboxError::Start { step, source }
}

impl Host {
    pub(super) fn new(
        work: Utf8PathBuf,
        interpreters: Interpreters,
        isolation: Isolation,
        client: RuntimeClient,
    ) -> Self {
        // What a server that was killed has left behind; the folder is ours alone.
        let _ = fs_err::remove_dir_all(work.join("tmp"));
        #[cfg(target_os = "linux")]
        let groups = match isolation {
            Isolation::Best => Groups::detect(),
            Isolation::ProcessOnly => Groups::default(),
        };
        #[cfg(target_os = "linux")]
        let means = Means::of_groups(&groups);
        #[cfg(not(target_os = "linux"))]
        let means = Means::default();
        let (means, report) = isolation::detect(isolation, means, &work.join("trial"));
        Self {
            work,
            interpreters,
            client,
            means,
            report,
            late_log: OnceLock::new(),
            #[cfg(target_os = "linux")]
            templates: Mutex::new(HashMap::new()),
            #[cfg(target_os = "linux")]
            groups,
            #[cfg(target_os = "linux")]
            filters: if means.filter { filter::programs() } else { Vec::new() },
        }
    }

    /// Whose connections a cell's Runtime API takes.
    pub(super) fn admission(&self, cell: &Cell) -> Admission {
        if self.means.peers { Admission::Own { keeper: cell.keeper() } } else { Admission::Everybody }
    }

    /// Sets, once, where lines go that come outside a call.
    pub(super) fn set_late_log(&self, late_log: LateLog) {
        // A second one has no place: the first keeps the order of all lines.
        let _ = self.late_log.set(late_log);
    }

    /// Whether there is such a place.
    pub(super) fn has_late_log(&self) -> bool {
        self.late_log.get().is_some()
    }

    /// Hands over lines that belong to no outcome.
    pub(super) fn log_late(
        &self,
        spec: &Arc<EnvironmentSpec>,
        log_stream: &Arc<str>,
        events: Arc<Vec<LogEvent>>,
    ) {
        if let (Some(late_log), false) = (self.late_log.get(), events.is_empty()) {
            (late_log.0)(spec, log_stream, events);
        }
    }

    /// A cell for one environment. Nothing runs in it yet.
    pub(super) async fn cell(
        self: &Arc<Self>,
        spec: Arc<EnvironmentSpec>,
        log_stream: String,
        runtime_api: String,
    ) -> Result<Furnished, SandboxError> {
        let host = Arc::clone(self);
        // Off the async threads: files are written, and a fork copies the server's page tables.
        let task = tokio::task::spawn_blocking(move || {
            let extensions = external_names(spec.opt.as_deref());
            let launched = host.launch(&spec, &extensions, &log_stream, &runtime_api)?;
            Ok::<_, SandboxError>((launched, extensions))
        });
        let (launched, extensions) =
            task.await.map_err(|error| start("start a process")(io::Error::other(error)))??;
        let (cell, outputs) = Cell::attach(launched).map_err(start("read from a process"))?;
        Ok(Furnished { cell, outputs, extensions })
    }

    fn launch(
        &self,
        spec: &EnvironmentSpec,
        extensions: &[String],
        log_stream: &str,
        runtime_api: &str,
    ) -> Result<Launched, SandboxError> {
        let interpreter = self.interpreters.for_runtime(spec.runtime)?;
        let client = client::prepare(&self.work, interpreter).map_err(start("prepare the runtime client"))?;
        #[cfg(target_os = "linux")]
        if self.means.root {
            let template = self.template(interpreter, &client).map_err(start("prepare the file system"))?;
            let command = self.inside(spec, &template, &client, log_stream, runtime_api);
            let extensions = extension_commands("/opt", extensions, &command);
            let plan = self.jail(&command, &extensions, template.steps(spec, self.means));
            let (group, confinement) = self.confinement(spec, None)?;
            return Cell::launch(plan, &confinement, group, None)
                .map_err(start("start a process in new namespaces"));
        }
        let (command, temporary) = self
            .outside(spec, interpreter, &client, log_stream, runtime_api)
            .map_err(start("prepare a folder"))?;
        let opt = spec.opt.as_ref().map_or("/opt", |opt| opt.as_str());
        let extensions = extension_commands(opt, extensions, &command);
        #[cfg(target_os = "linux")]
        {
            let reach = self.reach(spec, interpreter, &client, &temporary);
            let (group, confinement) = self.confinement(spec, Some(&reach))?;
            let plan = self.jail(&command, &extensions, Vec::new());
            return Cell::launch(plan, &confinement, group, Some(temporary.clone()))
                .map_err(start("start a process"));
        }
        #[cfg(not(target_os = "linux"))]
        let plan = super::cell_plain::PlainPlan {
            programs: std::iter::once(command)
                .chain(extensions)
                .map(|command| super::cell_plain::PlainProgram {
                    program: command.program,
                    arguments: command.arguments,
                    environment: command.environment,
                    directory: command.directory,
                })
                .collect(),
        };
        #[cfg(not(target_os = "linux"))]
        Cell::launch(plan, Some(temporary)).map_err(start("start a process"))
    }

    fn arguments(&self, bootstrap: &str, flags: &[&str]) -> Vec<String> {
        let flags = flags.iter().map(|&flag| flag.to_owned());
        match &self.client {
            RuntimeClient::Ours => flags.chain([bootstrap.to_owned()]).collect(),
            RuntimeClient::Command(arguments) => arguments.clone(),
        }
    }

    /// The variables of a runtime client. Others than ours take a descriptor for frames, which mark
    /// where a message ends; in the same pipe as all the rest they keep their place in it.
    fn environment(&self, mut variables: BTreeMap<String, String>) -> Vec<(String, String)> {
        if self.client != RuntimeClient::Ours {
            variables.insert("_LAMBDA_TELEMETRY_LOG_FD".into(), "1".into());
        }
        variables.into_iter().collect()
    }

    /// The runtime as an ordinary process on this machine's file system.
    fn outside(
        &self,
        spec: &EnvironmentSpec,
        interpreter: &Interpreter,
        client: &ClientFiles,
        log_stream: &str,
        runtime_api: &str,
    ) -> io::Result<(Command, Utf8PathBuf)> {
        let temporary = self.work.join("tmp").join(uuid::Uuid::new_v4().simple().to_string());
        fs_err::create_dir_all(&temporary)?;
        let library = interpreter.libpython.as_ref().and_then(|path| path.parent()).map(Utf8Path::as_str);
        let outside = Outside { library, temporary: temporary.as_str() };
        let environment = self.environment(variables(spec, log_stream, runtime_api, Some(&outside)));
        // Neither this machine's packages (-S, -s) nor bytecode beside the user's files (-B).
        let arguments = self.arguments(client.program().as_str(), &["-s", "-S", "-B"]);
        let program = interpreter.executable.to_string();
        Ok((Command { program, arguments, environment, directory: spec.task.clone() }, temporary))
    }
}

/// The extensions beside a runtime: the same place, their own programs, fewer variables.
fn extension_commands(opt: &str, names: &[String], runtime: &Command) -> Vec<Command> {
    let command = |name: &String| Command {
        program: format!("{opt}/extensions/{name}"),
        arguments: Vec::new(),
        environment: of_extensions(&runtime.environment),
        // As the supervisor's own: AWS's extensions start at the root.
        directory: "/".into(),
    };
    names.iter().map(command).collect()
}

#[cfg(target_os = "linux")]
impl Host {
    /// The runtime as an environment with a root of its own sees it.
    fn inside(
        &self,
        spec: &EnvironmentSpec,
        template: &Template,
        client: &ClientFiles,
        log_stream: &str,
        runtime_api: &str,
    ) -> Command {
        let name = if client.bytecode.is_some() { "bootstrap.pyc" } else { "bootstrap.py" };
        // A user's PYTHONPATH may hold a sitecustomize, which only site would run.
        let flags: &[&str] = if spec.variables.contains_key("PYTHONPATH") { &[] } else { &["-S"] };
        Command {
            program: template.interpreter(),
            arguments: self.arguments(&format!("/var/runtime/{name}"), flags),
            environment: self.environment(variables(spec, log_stream, runtime_api, None)),
            directory: "/var/task".into(),
        }
    }

    /// What confines the programs of one environment, and the groups that they belong to.
    fn confinement(
        &self,
        spec: &EnvironmentSpec,
        reach: Option<&Reach<'_>>,
    ) -> Result<(Option<Group>, Confinement), SandboxError> {
        let limits = Limits { memory_mb: spec.memory_mb, tmp_mb: spec.tmp_mb, processes: MOST_PROCESSES };
        let make = || -> io::Result<_> {
            let group = self.groups.make(limits)?;
            let fence = match reach {
                Some(reach) if self.means.fence => confine::fence(reach)?,
                _ => None,
            };
            let confinement = Confinement { doors: group.doors()?, filters: self.filters.clone(), fence };
            Ok((Some(group), confinement))
        };
        make().map_err(start("make a control group"))
    }

    /// What a function without a root of its own may reach.
    fn reach<'a>(
        &self,
        spec: &'a EnvironmentSpec,
        interpreter: &'a Interpreter,
        client: &'a ClientFiles,
        temporary: &'a Utf8Path,
    ) -> Reach<'a> {
        const SYSTEM: &[&str] =
            &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
        const SETTINGS: &[&str] = &["/etc", "/proc", "/sys/devices/system/cpu", "/run/systemd/resolve"];
        const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
        let fixed = SYSTEM.iter().chain(SETTINGS).map(|path| Utf8Path::new(*path));
        let own = [Some(interpreter.executable.as_path()), Some(interpreter.prefix.as_path())];
        let files = [Some(client.source.as_path()), client.bytecode.as_deref()];
        let code = [Some(spec.task.as_path()), spec.opt.as_deref(), Some(interpreter.stdlib.as_path())];
        let library = interpreter.libpython.as_deref().and_then(Utf8Path::parent);
        let read = fixed.chain([own, files].into_iter().flatten().chain(code).chain([library]).flatten());
        let write = DEVICES.iter().map(|path| Utf8Path::new(*path)).chain([temporary]);
        Reach { read: read.collect(), write: write.collect() }
    }

    fn template(&self, interpreter: &Interpreter, client: &ClientFiles) -> io::Result<Arc<Template>> {
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = templates.get(&interpreter.version.1) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(Template::write(&self.work, interpreter, client, self.means)?);
        templates.insert(interpreter.version.1, Arc::clone(&template));
        Ok(template)
    }

    fn jail(&self, runtime: &Command, extensions: &[Command], steps: Vec<super::jail::Step>) -> JailPlan {
        JailPlan {
            namespaces: root::namespaces(self.means),
            id_maps: root::id_maps(self.means),
            steps,
            runtime: self.program(runtime),
            extensions: extensions.iter().map(|extension| self.program(extension)).collect(),
        }
    }

    fn program(&self, command: &Command) -> RuntimeCommand {
        let text = |text: &str| root::c_string(text);
        let program = text(&command.program);
        let arguments = command.arguments.iter().map(|argument| text(argument));
        RuntimeCommand {
            arguments: std::iter::once(program.clone()).chain(arguments).collect(),
            program,
            environment: command
                .environment
                .iter()
                .map(|(key, value)| text(&format!("{key}={value}")))
                .collect(),
            directory: text(command.directory.as_str()),
            identity: root::identity(self.means),
            most_processes: self.means.process_limit.then_some(MOST_PROCESSES),
        }
    }
}
