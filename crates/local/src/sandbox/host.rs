//! This machine, as far as environments need it: interpreters, templates, means of isolation.
//!
//! Turns a spec into the plan of a cell. One per sandbox.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
#[cfg(target_os = "linux")]
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    EnvironmentSpec, FunctionRuntime, LateLog, LogEvent, Network, RuntimeClient, SandboxError,
    cell_event::{CellEvent, Outputs},
    client::{self, ClientFiles},
    entrypoint::{self, Entrypoint},
    extensions::external_names,
    image::{ImageRoot, Images, RootFileSystem},
    isolation::{self, Isolation, IsolationReport, Means},
    open::{Program, ProgramStreams, PythonInside},
    platform_event::Initialization,
    runtime_api::Admission,
    variables::{Contact, Outside, Place, of_extensions, variables},
};
use tokio::net::TcpListener;

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
    jail::{JailPlan, RuntimeCommand, Step},
    root::{self, Template},
};

/// The port of the Runtime API in a network of an environment's own, as on AWS (FACTS.md §5).
const OWN_PORT: u16 = 9001;

/// Processes and threads that a function may have (FACTS.md §1).
#[cfg(target_os = "linux")]
const MOST_PROCESSES: u64 = 1024;

/// The init phase of a cold start (FACTS.md §7).
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// This machine.
#[derive(Debug)]
pub(super) struct Host {
    work: Utf8PathBuf,
    interpreters: Interpreters,
    client: RuntimeClient,
    means: Means,
    /// Where environments are to run on images.
    images: Option<Images>,
    pub(super) report: IsolationReport,
    late_log: OnceLock<LateLog>,
    #[cfg(target_os = "linux")]
    templates: Mutex<HashMap<String, Arc<Template>>>,
    #[cfg(target_os = "linux")]
    groups: Groups,
    #[cfg(target_os = "linux")]
    filters: Vec<seccompiler::BpfProgram>,
}

/// A cell and what belongs to it.
pub(super) struct Furnished {
    pub(super) cell: Cell,
    pub(super) entrypoint: Entrypoint,
    pub(super) outputs: Outputs,
    /// Where its Runtime API is spoken.
    pub(super) listener: TcpListener,
    /// The external extensions, the first of which is program 1.
    pub(super) extensions: Vec<String>,
}

/// A process, decided but for its place.
pub(super) struct Command {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: Utf8PathBuf,
    pub(super) entrypoint: Entrypoint,
    /// Its standard streams, where they are not nothing and the log.
    pub(super) streams: Option<ProgramStreams>,
}

/// What a function runs on.
enum Ground<'a> {
    /// A Python of this machine, with our runtime client.
    Python { interpreter: &'a Interpreter, client: ClientFiles },
    /// This machine's system folders.
    Provided,
    /// An image.
    Image(Arc<ImageRoot>),
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
        (client, root): (RuntimeClient, RootFileSystem),
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
        let images = match root {
            RootFileSystem::Host => None,
            RootFileSystem::Image(source) => Some(Images::new(source, work.join("images"))),
        };
        if images.is_some() && !means.root {
            tracing::warn!(
                "functions run on this machine's files, not on AWS's images: it gives no file system of their own"
            );
        }
        Self {
            work,
            interpreters,
            client,
            means,
            images: images.filter(|_| means.root),
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

    /// The runtimes whose images could not be had, and why.
    pub(super) fn missing_images(&self) -> Vec<(FunctionRuntime, String)> {
        self.images.as_ref().map(Images::failures).unwrap_or_default()
    }

    /// Fetches nothing any more.
    pub(super) fn stop_fetching(&self) {
        if let Some(images) = &self.images {
            images.stop();
        }
    }

    /// Removes what no environment needs any more.
    pub(super) fn close(&self) {
        #[cfg(target_os = "linux")]
        self.groups.close();
    }

    /// How long an init phase may take before it is tried again within the call.
    pub(super) fn init_timeout(&self, spec: &EnvironmentSpec) -> Duration {
        match self.client {
            // Somebody looks at it.
            RuntimeClient::Debugged { .. } => spec.timeout,
            RuntimeClient::Ours | RuntimeClient::Command(_) => INIT_TIMEOUT,
        }
    }

    /// Whose connections a cell's Runtime API takes.
    pub(super) fn admission(&self, cell: &Cell) -> Admission {
        // Nobody else is in a network of its own.
        let anybody = cell.loopback().is_own() || !self.means.peers;
        if anybody { Admission::Everybody } else { Admission::Own { keeper: cell.keeper() } }
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
        initialization: Initialization,
    ) -> Result<Furnished, SandboxError> {
        self.check_network(&spec)?;
        let (listener, runtime_api) = match spec.network {
            Network::None => (None, format!("127.0.0.1:{OWN_PORT}")),
            Network::Host => {
                let bind = async {
                    let listener = TcpListener::bind("127.0.0.1:0").await?;
                    let address = listener.local_addr()?;
                    io::Result::Ok((Some(listener), address.to_string()))
                };
                bind.await.map_err(start("open a port on 127.0.0.1"))?
            }
        };
        let image = self.image(spec.runtime).await;
        let host = Arc::clone(self);
        let contact = Contact { log_stream, runtime_api, initialization };
        // Off the async threads: files are written, and a fork copies the server's page tables.
        let task = tokio::task::spawn_blocking(move || {
            let extensions = external_names(spec.opt.as_deref());
            let (launched, entrypoint) = host.launch(&spec, image, &extensions, &contact)?;
            Ok::<_, SandboxError>((launched, entrypoint, extensions))
        });
        let (launched, entrypoint, extensions) =
            task.await.map_err(|error| start("start a process")(io::Error::other(error)))??;
        let (mut cell, outputs) = Cell::attach(launched).map_err(start("read from a process"))?;
        let listener = match listener {
            Some(listener) => listener,
            None => match cell.loopback().listener().await {
                Ok(listener) => listener,
                // A keeper that gives none has ended, and has said why.
                Err(source) => {
                    return Err(match cell.event().await {
                        CellEvent::Failed { step, source } => SandboxError::Start { step, source },
                        _ => start("open a port of its own")(source),
                    });
                }
            },
        };
        Ok(Furnished { cell, entrypoint, outputs, listener, extensions })
    }

    /// A function that is to have no network does not run where it would have one.
    fn check_network(&self, spec: &EnvironmentSpec) -> Result<(), SandboxError> {
        match spec.network {
            Network::None if !self.means.network => Err(SandboxError::NoOwnNetwork),
            Network::None | Network::Host => Ok(()),
        }
    }

    /// The image that a function is to run on, if it is to run on one and it can be had.
    pub(super) async fn image(&self, runtime: FunctionRuntime) -> Option<Arc<ImageRoot>> {
        match &self.images {
            Some(images) => images.root(runtime).await,
            None => None,
        }
    }

    fn launch(
        &self,
        spec: &EnvironmentSpec,
        image: Option<Arc<ImageRoot>>,
        extensions: &[String],
        contact: &Contact,
    ) -> Result<(Launched, Entrypoint), SandboxError> {
        let ground = self.ground(spec, image)?;
        #[cfg(target_os = "linux")]
        if self.means.root {
            let command = self.inside(spec, &ground, contact);
            let entrypoint = command.entrypoint.clone();
            let extensions = extension_commands("/opt", extensions, &command);
            return Ok((self.launch_inside(spec, &ground, command, &extensions)?, entrypoint));
        }
        let (command, temporary) = self.outside(spec, &ground, contact).map_err(start("prepare a folder"))?;
        let entrypoint = command.entrypoint.clone();
        let opt = spec.opt.as_ref().map_or("/opt", |opt| opt.as_str());
        let extensions = extension_commands(opt, extensions, &command);
        Ok((self.launch_outside(spec, &ground, (command, extensions), &temporary)?, entrypoint))
    }

    /// A cell with a program of somebody's choice in place of the runtime.
    pub(super) fn launch_program(
        &self,
        spec: &EnvironmentSpec,
        image: Option<Arc<ImageRoot>>,
        program: &Program,
        streams: ProgramStreams,
    ) -> Result<Launched, SandboxError> {
        self.check_network(spec)?;
        let ground = self.ground(spec, image)?;
        // Nobody answers there.
        let contact = Contact {
            log_stream: String::new(),
            runtime_api: String::new(),
            initialization: Initialization::OnDemand,
        };
        let has_path = spec.variables.contains_key("PYTHONPATH");
        #[cfg(target_os = "linux")]
        if self.means.root {
            let runtime = self.inside(spec, &ground, &contact);
            let python = match (&ground, spec.runtime) {
                (Ground::Python { interpreter, .. }, _) => Some(root::interpreter_name(interpreter)),
                (Ground::Image(_), FunctionRuntime::Python(python)) => {
                    Some(format!("python{}", python.python_version()))
                }
                _ => None,
            };
            let python = python.map(|name| PythonInside {
                executable: format!("/var/lang/bin/{name}"),
                layers: (!has_path).then_some("/opt"),
            });
            let command = program.command(runtime, python, streams);
            return self.launch_inside(spec, &ground, command, &[]);
        }
        let (runtime, temporary) =
            self.outside(spec, &ground, &contact).map_err(start("prepare a folder"))?;
        let opt = spec.opt.as_ref().map_or("/opt", |opt| opt.as_str());
        let python = match &ground {
            Ground::Python { interpreter, .. } => Some(PythonInside {
                executable: interpreter.executable.to_string(),
                layers: (!has_path).then_some(opt),
            }),
            Ground::Provided | Ground::Image(_) => None,
        };
        let command = program.command(runtime, python, streams);
        self.launch_outside(spec, &ground, (command, Vec::new()), &temporary)
    }

    #[cfg(target_os = "linux")]
    fn launch_inside(
        &self,
        spec: &EnvironmentSpec,
        ground: &Ground<'_>,
        command: Command,
        extensions: &[Command],
    ) -> Result<Launched, SandboxError> {
        let template = self.template(ground).map_err(start("prepare the file system"))?;
        let mut steps = template.steps(spec, self.means);
        let mut namespaces = root::namespaces(self.means);
        if spec.network == Network::None {
            namespaces |= nix::libc::CLONE_NEWNET;
            steps.insert(0, Step::Network { port: OWN_PORT });
        }
        let plan = self.jail(command, extensions, namespaces, steps);
        let (group, confinement) = self.confinement(spec, None)?;
        Cell::launch(plan, &confinement, group, None).map_err(start("start a process in new namespaces"))
    }

    fn launch_outside(
        &self,
        spec: &EnvironmentSpec,
        ground: &Ground<'_>,
        (command, extensions): (Command, Vec<Command>),
        temporary: &Utf8Path,
    ) -> Result<Launched, SandboxError> {
        #[cfg(target_os = "linux")]
        let launched = {
            let reach = self.reach(spec, ground, temporary);
            let (group, confinement) = self.confinement(spec, Some(&reach))?;
            let plan = self.jail(command, &extensions, root::namespaces(self.means), Vec::new());
            Cell::launch(plan, &confinement, group, Some(temporary.to_owned()))
        };
        #[cfg(not(target_os = "linux"))]
        let launched = {
            let _ = (spec, ground);
            let programs = std::iter::once(command)
                .chain(extensions)
                .map(|command| super::cell_plain::PlainProgram {
                    program: command.program,
                    arguments: command.arguments,
                    environment: command.environment,
                    directory: command.directory,
                    streams: command.streams,
                })
                .collect();
            Cell::launch(super::cell_plain::PlainPlan { programs }, Some(temporary.to_owned()))
        };
        launched.map_err(start("start a process"))
    }

    /// What a function runs on.
    fn ground(
        &self,
        spec: &EnvironmentSpec,
        image: Option<Arc<ImageRoot>>,
    ) -> Result<Ground<'_>, SandboxError> {
        if let Some(image) = image {
            return Ok(Ground::Image(image));
        }
        match spec.runtime {
            FunctionRuntime::Python(python) => {
                let interpreter = self.interpreters.for_runtime(python)?;
                let client =
                    client::prepare(&self.work, interpreter).map_err(start("prepare the runtime client"))?;
                Ok(Ground::Python { interpreter, client })
            }
            FunctionRuntime::Provided(_) => Ok(Ground::Provided),
        }
    }

    fn arguments(&self, bootstrap: &str, flags: &[&str]) -> Vec<String> {
        let flags = flags.iter().map(|&flag| flag.to_owned());
        match &self.client {
            RuntimeClient::Ours => flags.chain([bootstrap.to_owned()]).collect(),
            RuntimeClient::Debugged { port } => {
                let debugged = ["-c", client::DEBUGGED, bootstrap].map(str::to_owned);
                flags.chain(debugged).chain([port.to_string()]).collect()
            }
            RuntimeClient::Command(arguments) => arguments.clone(),
        }
    }

    /// The variables of a runtime client. Python's, when it is not ours, takes a descriptor for frames,
    /// which mark where a message ends; in the same pipe as all the rest they keep their place in it.
    fn environment(
        &self,
        spec: &EnvironmentSpec,
        ground: &Ground<'_>,
        mut variables: BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        let is_other = matches!(self.client, RuntimeClient::Command(_));
        let ours = matches!(ground, Ground::Python { .. }) && !is_other;
        if matches!(spec.runtime, FunctionRuntime::Python(_)) && !ours {
            variables.insert("_LAMBDA_TELEMETRY_LOG_FD".into(), "1".into());
        }
        variables.into_iter().collect()
    }

    /// The runtime as an ordinary process on this machine's file system.
    fn outside(
        &self,
        spec: &EnvironmentSpec,
        ground: &Ground<'_>,
        contact: &Contact,
    ) -> io::Result<(Command, Utf8PathBuf)> {
        let temporary = self.work.join("tmp").join(uuid::Uuid::new_v4().simple().to_string());
        fs_err::create_dir_all(&temporary)?;
        let (mut library, mut program, mut arguments, entrypoint);
        match ground {
            Ground::Python { interpreter, client } => {
                library = interpreter.libpython.as_ref().and_then(|path| path.parent()).map(Utf8Path::as_str);
                program = interpreter.executable.to_string();
                // Neither this machine's packages (-S, -s) nor bytecode beside the user's files (-B).
                arguments = self.arguments(client.program().as_str(), &["-s", "-S", "-B"]);
                entrypoint = Entrypoint::Ours;
                if let Some(wrapper) = entrypoint::wrapper(spec) {
                    let wrapper = entrypoint::on_this_machine(spec, wrapper);
                    (program, arguments) = entrypoint::wrapped(&wrapper, program, arguments);
                }
            }
            // An image needs a root of its own, and so no process outside has one.
            Ground::Provided | Ground::Image(_) => {
                let inside;
                (inside, entrypoint) = entrypoint::bootstrap(spec);
                (library, arguments) = (None, Vec::new());
                program = entrypoint::on_this_machine(spec, inside);
            }
        }
        let place = Place::Machine(Outside { library: library.take(), temporary: temporary.as_str() });
        let environment = self.environment(spec, ground, variables(spec, contact, &place));
        let command = Command {
            program,
            arguments,
            environment,
            directory: spec.task.clone(),
            entrypoint,
            streams: None,
        };
        Ok((command, temporary))
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
        entrypoint: Entrypoint::Ours,
        streams: None,
    };
    names.iter().map(command).collect()
}

#[cfg(target_os = "linux")]
impl Host {
    /// The runtime as an environment with a root of its own sees it.
    fn inside(&self, spec: &EnvironmentSpec, ground: &Ground<'_>, contact: &Contact) -> Command {
        let (program, arguments, entrypoint) = match ground {
            Ground::Python { interpreter, client } => {
                let (program, arguments) = self.python_inside(spec, interpreter, client);
                (program, arguments, Entrypoint::Ours)
            }
            Ground::Image(image) if matches!(spec.runtime, FunctionRuntime::Python(_)) => {
                entrypoint::of_image(spec, &image.process.entrypoint)
            }
            Ground::Provided | Ground::Image(_) => {
                let (program, entrypoint) = entrypoint::bootstrap(spec);
                (program.to_owned(), Vec::new(), entrypoint)
            }
        };
        let place = match ground {
            Ground::Image(image) => Place::Image(&image.process.env),
            Ground::Python { .. } | Ground::Provided => Place::Root,
        };
        Command {
            program,
            arguments,
            environment: self.environment(spec, ground, variables(spec, contact, &place)),
            directory: "/var/task".into(),
            entrypoint,
            streams: None,
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
            let (doors, cradle) = (group.doors()?, group.cradle()?);
            let confinement = Confinement { doors, cradle, filters: self.filters.clone(), fence };
            Ok((Some(group), confinement))
        };
        make().map_err(start("make a control group"))
    }

    /// What a function without a root of its own may reach.
    fn reach<'a>(
        &self,
        spec: &'a EnvironmentSpec,
        ground: &'a Ground<'_>,
        temporary: &'a Utf8Path,
    ) -> Reach<'a> {
        const SYSTEM: &[&str] =
            &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
        const SETTINGS: &[&str] = &["/etc", "/proc", "/sys/devices/system/cpu", "/run/systemd/resolve"];
        const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
        let fixed = SYSTEM.iter().chain(SETTINGS).map(|path| Utf8Path::new(*path));
        let mut read: Vec<&Utf8Path> =
            fixed.chain([spec.task.as_path()]).chain(spec.opt.as_deref()).collect();
        if let Ground::Python { interpreter, client } = ground {
            read.extend([interpreter.executable.as_path(), &interpreter.prefix, &interpreter.stdlib]);
            read.push(&client.source);
            read.extend(client.bytecode.as_deref());
            read.extend(interpreter.libpython.as_deref().and_then(Utf8Path::parent));
        }
        let write = DEVICES.iter().map(|path| Utf8Path::new(*path)).chain([temporary]).collect();
        Reach { read, write }
    }

    fn python_inside(
        &self,
        spec: &EnvironmentSpec,
        interpreter: &Interpreter,
        client: &ClientFiles,
    ) -> (String, Vec<String>) {
        let program = format!("/var/lang/bin/{}", root::interpreter_name(interpreter));
        if let Some(wrapper) = entrypoint::wrapper(spec) {
            // A wrapper is given the command line that it would be given by AWS.
            let arguments = self.arguments("/var/runtime/bootstrap.py", &[]);
            return entrypoint::wrapped(wrapper, program, arguments);
        }
        let name = if client.bytecode.is_some() { "bootstrap.pyc" } else { "bootstrap.py" };
        // A user's PYTHONPATH may hold a sitecustomize, which only site would run.
        let flags: &[&str] = if spec.variables.contains_key("PYTHONPATH") { &[] } else { &["-S"] };
        (program, self.arguments(&format!("/var/runtime/{name}"), flags))
    }

    fn template(&self, ground: &Ground<'_>) -> io::Result<Arc<Template>> {
        let name = match ground {
            Ground::Python { interpreter, .. } => root::interpreter_name(interpreter),
            Ground::Provided => "provided".to_owned(),
            Ground::Image(image) => image.id.clone(),
        };
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = templates.get(&name) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(match ground {
            Ground::Python { interpreter, client } => {
                Template::python(&self.work, interpreter, client, self.means)?
            }
            Ground::Provided => Template::provided(&self.work, self.means)?,
            Ground::Image(image) => Template::image(&self.work, image, self.means)?,
        });
        templates.insert(name, Arc::clone(&template));
        Ok(template)
    }

    fn jail(
        &self,
        mut runtime: Command,
        extensions: &[Command],
        namespaces: i32,
        steps: Vec<Step>,
    ) -> JailPlan {
        let streams = runtime.streams.take();
        JailPlan {
            namespaces,
            id_maps: root::id_maps(self.means),
            steps,
            runtime: RuntimeCommand { streams, ..self.program(&runtime) },
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
            streams: None,
        }
    }
}
