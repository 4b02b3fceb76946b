//! This machine, as far as environments need it: interpreters, templates, means of isolation.
//!
//! Turns a spec into the plan of a cell. One per sandbox.

#[cfg(target_os = "linux")]
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use std::{io, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::unix::pipe;

use super::{
    EnvironmentSpec, RuntimeClient, SandboxError,
    client::{self, ClientFiles},
    isolation::{self, Isolation, IsolationReport, Means},
    runtime_api::Admission,
    variables::{Outside, variables},
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
    jail::{JailPlan, RuntimeCommand, Streams},
    open::Program,
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
    #[cfg(target_os = "linux")]
    templates: Mutex<HashMap<u8, Arc<Template>>>,
    #[cfg(target_os = "linux")]
    groups: Groups,
    #[cfg(target_os = "linux")]
    filters: Vec<seccompiler::BpfProgram>,
}

/// A runtime process, decided but for its place.
pub(super) struct Command {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Utf8PathBuf,
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

    /// A cell for one environment. Its runtime does not run yet.
    pub(super) async fn cell(
        self: &Arc<Self>,
        spec: Arc<EnvironmentSpec>,
        log_stream: String,
        runtime_api: String,
    ) -> Result<(Cell, pipe::Receiver), SandboxError> {
        let host = Arc::clone(self);
        // Off the async threads: files are written, and a fork copies the server's page tables.
        let task = tokio::task::spawn_blocking(move || host.launch(&spec, &log_stream, &runtime_api));
        let launched = task.await.map_err(|error| start("start a process")(io::Error::other(error)))??;
        Cell::attach(launched).map_err(start("read from a process"))
    }

    fn launch(
        &self,
        spec: &EnvironmentSpec,
        log_stream: &str,
        runtime_api: &str,
    ) -> Result<Launched, SandboxError> {
        let interpreter = self.interpreters.for_runtime(spec.runtime)?;
        let client = client::prepare(&self.work, interpreter).map_err(start("prepare the runtime client"))?;
        #[cfg(target_os = "linux")]
        if self.means.root {
            let template = self.template(interpreter, &client).map_err(start("prepare the file system"))?;
            let command = self.inside(spec, &template, &client, log_stream, runtime_api);
            let plan = self.jail(&command, template.steps(spec, self.means), None);
            let (group, confinement) = self.confinement(spec, None)?;
            return Cell::launch(plan, &confinement, group, None)
                .map_err(start("start a process in new namespaces"));
        }
        let (command, temporary) = self
            .outside(spec, interpreter, &client, log_stream, runtime_api)
            .map_err(start("prepare a folder"))?;
        #[cfg(target_os = "linux")]
        {
            let reach = self.reach(spec, interpreter, &client, &temporary);
            let (group, confinement) = self.confinement(spec, Some(&reach))?;
            let plan = self.jail(&command, Vec::new(), None);
            return Cell::launch(plan, &confinement, group, Some(temporary.clone()))
                .map_err(start("start a process"));
        }
        #[cfg(not(target_os = "linux"))]
        let plan = super::cell_plain::PlainPlan {
            program: command.program,
            arguments: command.arguments,
            environment: command.environment,
            directory: command.directory,
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
        let environment = variables(spec, log_stream, runtime_api, Some(&outside)).into_iter().collect();
        // Neither this machine's packages (-S, -s) nor bytecode beside the user's files (-B).
        let arguments = self.arguments(client.program().as_str(), &["-s", "-S", "-B"]);
        let program = interpreter.executable.to_string();
        Ok((Command { program, arguments, environment, directory: spec.task.clone() }, temporary))
    }
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
            environment: variables(spec, log_stream, runtime_api, None).into_iter().collect(),
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

    /// A cell with a program of somebody's choice in place of the runtime.
    pub(super) fn launch_program(
        &self,
        spec: &EnvironmentSpec,
        program: &Program,
        streams: Streams,
    ) -> Result<Launched, SandboxError> {
        let interpreter = self.interpreters.for_runtime(spec.runtime)?;
        let client = client::prepare(&self.work, interpreter).map_err(start("prepare the runtime client"))?;
        let has_path = spec.variables.contains_key("PYTHONPATH");
        if self.means.root {
            let template = self.template(interpreter, &client).map_err(start("prepare the file system"))?;
            let command = self.inside(spec, &template, &client, "", "");
            let python = template.interpreter();
            let command = program.command(command, &python, (!has_path).then_some("/opt"));
            let plan = self.jail(&command, template.steps(spec, self.means), Some(streams));
            let (group, confinement) = self.confinement(spec, None)?;
            return Cell::launch(plan, &confinement, group, None)
                .map_err(start("start a process in new namespaces"));
        }
        let (command, temporary) =
            self.outside(spec, interpreter, &client, "", "").map_err(start("prepare a folder"))?;
        let opt = spec.opt.as_ref().map_or("/opt", |opt| opt.as_str());
        let command =
            program.command(command, interpreter.executable.as_str(), (!has_path).then_some(opt));
        let reach = self.reach(spec, interpreter, &client, &temporary);
        let (group, confinement) = self.confinement(spec, Some(&reach))?;
        let plan = self.jail(&command, Vec::new(), Some(streams));
        Cell::launch(plan, &confinement, group, Some(temporary.clone())).map_err(start("start a process"))
    }

    fn jail(
        &self,
        command: &Command,
        steps: Vec<super::jail::Step>,
        streams: Option<Streams>,
    ) -> JailPlan {
        let text = |text: &str| root::c_string(text);
        let program = text(&command.program);
        let arguments = command.arguments.iter().map(|argument| text(argument));
        JailPlan {
            namespaces: root::namespaces(self.means),
            id_maps: root::id_maps(self.means),
            steps,
            runtime: RuntimeCommand {
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
                streams,
            },
        }
    }
}
