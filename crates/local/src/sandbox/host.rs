//! This machine, as far as environments need it: interpreters, templates, means of isolation.
//!
//! Turns a spec into the plan of a cell. One per sandbox.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use camino::Utf8PathBuf;
use tokio::net::unix::pipe;

use super::{
    EnvironmentSpec, RuntimeClient, SandboxError,
    isolation::{self, Isolation, IsolationReport, Means},
    variables::{Outside, variables},
};
use crate::interpreters::{Interpreter, Interpreters};

#[cfg(target_os = "linux")]
pub(super) use super::cell::Cell;
#[cfg(not(target_os = "linux"))]
pub(super) use super::cell_plain::Cell;
#[cfg(target_os = "linux")]
use super::{
    jail::{JailPlan, RuntimeCommand},
    root::{self, Template},
};

const BOOTSTRAP: &str = include_str!("bootstrap/bootstrap.py");
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
}

/// A runtime process, decided but for its place.
struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: Utf8PathBuf,
}

impl Host {
    pub(super) fn new(work: Utf8PathBuf, interpreters: Interpreters, isolation: Isolation, client: RuntimeClient) -> Self {
        let (means, report) = isolation::detect(isolation, &work.join("trial"));
        Self {
            work,
            interpreters,
            client,
            means,
            report,
            #[cfg(target_os = "linux")]
            templates: Mutex::new(HashMap::new()),
        }
    }

    /// A cell for one environment. Its runtime does not run yet.
    pub(super) async fn cell(
        &self,
        spec: &EnvironmentSpec,
        log_stream: &str,
        runtime_api: &str,
    ) -> Result<(Cell, pipe::Receiver), SandboxError> {
        let interpreter = self.interpreters.for_runtime(spec.runtime)?;
        let start = |step: &str| {
            let step = step.to_owned();
            move |source| SandboxError::Start { step, source }
        };
        #[cfg(target_os = "linux")]
        if self.means.root {
            let template = self.template(interpreter).map_err(start("prepare the file system"))?;
            let environment = variables(spec, log_stream, runtime_api, None).into_iter().collect();
            let arguments = self.arguments("/var/runtime/bootstrap.py", &[]);
            let command =
                Command { program: template.interpreter(), arguments, environment, directory: "/var/task".into() };
            let plan = self.jail(command, template.steps(spec, self.means));
            return Cell::start(plan, None).await.map_err(start("start a process in new namespaces"));
        }
        let (command, temporary) =
            self.outside(spec, interpreter, log_stream, runtime_api).map_err(start("prepare a folder"))?;
        #[cfg(target_os = "linux")]
        let plan = self.jail(command, Vec::new());
        #[cfg(not(target_os = "linux"))]
        let plan = super::cell_plain::PlainPlan {
            program: command.program,
            arguments: command.arguments,
            environment: command.environment,
            directory: command.directory,
        };
        Cell::start(plan, Some(temporary)).await.map_err(start("start a process"))
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
        log_stream: &str,
        runtime_api: &str,
    ) -> io::Result<(Command, Utf8PathBuf)> {
        let temporary = self.work.join("tmp").join(uuid::Uuid::new_v4().simple().to_string());
        let folder = self.work.join("runtime");
        fs_err::create_dir_all(&temporary)?;
        fs_err::create_dir_all(&folder)?;
        let bootstrap = folder.join("bootstrap.py");
        if fs_err::read_to_string(&bootstrap).ok().as_deref() != Some(BOOTSTRAP) {
            fs_err::write(&bootstrap, BOOTSTRAP)?;
        }
        let library = interpreter.libpython.as_ref().and_then(|path| path.parent()).map(|path| path.as_str());
        let outside = Outside { library, temporary: temporary.as_str() };
        let environment = variables(spec, log_stream, runtime_api, Some(&outside)).into_iter().collect();
        // Neither this machine's packages (-S, -s) nor bytecode beside the user's files (-B).
        let arguments = self.arguments(bootstrap.as_str(), &["-s", "-S", "-B"]);
        let program = interpreter.executable.to_string();
        Ok((Command { program, arguments, environment, directory: spec.task.clone() }, temporary))
    }
}

#[cfg(target_os = "linux")]
impl Host {
    fn template(&self, interpreter: &Interpreter) -> io::Result<Arc<Template>> {
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = templates.get(&interpreter.version.1) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(Template::write(&self.work, interpreter, BOOTSTRAP, self.means)?);
        templates.insert(interpreter.version.1, Arc::clone(&template));
        Ok(template)
    }

    fn jail(&self, command: Command, steps: Vec<super::jail::Step>) -> JailPlan {
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
                environment: command.environment.iter().map(|(key, value)| text(&format!("{key}={value}"))).collect(),
                directory: text(command.directory.as_str()),
                identity: root::identity(self.means),
                most_processes: self.means.pids.then_some(MOST_PROCESSES),
            },
        }
    }
}
