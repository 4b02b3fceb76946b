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
    EnvironmentSpec, FunctionRuntime, RuntimeClient, SandboxError,
    client::{self, ClientFiles},
    entrypoint::{self, Entrypoint},
    image::{ImageRoot, Images, RootFileSystem},
    isolation::{self, Isolation, IsolationReport, Means},
    runtime_api::Admission,
    variables::{Contact, Outside, Place, variables},
};
use crate::interpreters::{Interpreter, Interpreters};

#[cfg(target_os = "linux")]
pub(super) use super::cell::{Cell, Launched};
#[cfg(not(target_os = "linux"))]
pub(super) use super::cell_plain::{Cell, Launched};
#[cfg(target_os = "linux")]
use super::{
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
    /// Where environments are to run on images.
    images: Option<Images>,
    pub(super) report: IsolationReport,
    #[cfg(target_os = "linux")]
    templates: Mutex<HashMap<String, Arc<Template>>>,
}

/// A runtime process, decided but for its place.
struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: Utf8PathBuf,
    entrypoint: Entrypoint,
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
        let (means, report) = isolation::detect(isolation, &work.join("trial"));
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
            #[cfg(target_os = "linux")]
            templates: Mutex::new(HashMap::new()),
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

    /// Whose connections a cell's Runtime API takes.
    pub(super) fn admission(&self, cell: &Cell) -> Admission {
        if self.means.peers { Admission::Own { keeper: cell.keeper() } } else { Admission::Everybody }
    }

    /// A cell for one environment, and what it starts. Its runtime does not run yet.
    pub(super) async fn cell(
        self: &Arc<Self>,
        spec: Arc<EnvironmentSpec>,
        log_stream: String,
        runtime_api: String,
    ) -> Result<(Cell, Entrypoint, pipe::Receiver), SandboxError> {
        let image = match &self.images {
            Some(images) => images.root(spec.runtime).await,
            None => None,
        };
        let host = Arc::clone(self);
        // Off the async threads: files are written, and a fork copies the server's page tables.
        let task = tokio::task::spawn_blocking(move || {
            host.launch(&spec, image, &Contact { log_stream, runtime_api })
        });
        let launched = task.await.map_err(|error| start("start a process")(io::Error::other(error)))??;
        let (launched, entrypoint) = launched;
        let (cell, output) = Cell::attach(launched).map_err(start("read from a process"))?;
        Ok((cell, entrypoint, output))
    }

    fn launch(
        &self,
        spec: &EnvironmentSpec,
        image: Option<Arc<ImageRoot>>,
        contact: &Contact,
    ) -> Result<(Launched, Entrypoint), SandboxError> {
        let ground = match image {
            Some(image) => Ground::Image(image),
            None => self.ground(spec)?,
        };
        #[cfg(target_os = "linux")]
        if self.means.root {
            let template = self.template(&ground).map_err(start("prepare the file system"))?;
            let command = self.inside(spec, &ground, contact);
            let plan = self.jail(&command, template.steps(spec, self.means));
            let launched = Cell::launch(plan, None).map_err(start("start a process in new namespaces"))?;
            return Ok((launched, command.entrypoint));
        }
        let (command, temporary) = self.outside(spec, &ground, contact).map_err(start("prepare a folder"))?;
        let entrypoint = command.entrypoint.clone();
        #[cfg(target_os = "linux")]
        let plan = self.jail(&command, Vec::new());
        #[cfg(not(target_os = "linux"))]
        let plan = super::cell_plain::PlainPlan {
            program: command.program,
            arguments: command.arguments,
            environment: command.environment,
            directory: command.directory,
        };
        let launched = Cell::launch(plan, Some(temporary)).map_err(start("start a process"))?;
        Ok((launched, entrypoint))
    }

    /// What a function runs on without an image.
    fn ground(&self, spec: &EnvironmentSpec) -> Result<Ground<'_>, SandboxError> {
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
            RuntimeClient::Command(arguments) => arguments.clone(),
        }
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
        let environment = variables(spec, contact, &place).into_iter().collect();
        let command = Command { program, arguments, environment, directory: spec.task.clone(), entrypoint };
        Ok((command, temporary))
    }
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
            environment: variables(spec, contact, &place).into_iter().collect(),
            directory: "/var/task".into(),
            entrypoint,
        }
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

    fn jail(&self, command: &Command, steps: Vec<super::jail::Step>) -> JailPlan {
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
            },
        }
    }
}
