//! What is wanted, decided before anything is done: app, target, handler, names.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use fs_err as fs;
use layercake_build::{
    app::App,
    inputs::{Given, LockFile, Wanted as Inputs},
    resolve::{Asked, PackageIndex, python_fits},
    syntax::check_syntax,
};
use layercake_core::{
    app::{SourceFile, check_handler, find_handler},
    aws::{FunctionName, Handler, LayerName},
    configuration::Configuration,
    journal::{JOURNAL_FORMAT, Journal, Opening, Place},
    lock::Scope,
    report::{JsonText, StageTime},
    resolution::Resolution,
    target::{Arch, Runtime, Target},
};
use layercake_local::interpreters::Interpreters;

use crate::{
    args::{On, Up},
    error::{CommandError, Kind},
    journals::{AppPath, journal_path},
    settings::{Settings, host_arch},
    stages,
    ui::Ui,
};

/// The runtime when neither the user nor an interpreter names one, on AWS.
const NEWEST_ON_AWS: u8 = 14;

/// Everything the stages need to know.
pub(crate) struct Wanted {
    pub(crate) arguments: Up,
    pub(crate) path: AppPath,
    pub(crate) app: App,
    /// Folders that are no part of it, though they may lie in it.
    pub(crate) without: Vec<Utf8PathBuf>,
    pub(crate) asked: Asked,
    /// The app's lock, when that is what says which wheels it needs.
    pub(crate) lock: Option<LockFile>,
    pub(crate) target: Target,
    pub(crate) handler: Handler,
    pub(crate) function: FunctionName,
    pub(crate) layer: LayerName,
    pub(crate) event: JsonText,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) journal: Utf8PathBuf,
    pub(crate) interpreters: Interpreters,
    pub(crate) configuration: Configuration,
    pub(crate) notes: Vec<String>,
}

/// Reads the app and decides. Nothing is written, nothing is asked over the network.
pub(crate) fn prepare(arguments: Up, settings: &Settings) -> Result<Wanted, CommandError> {
    prepare_with(arguments, settings, settings.interpreters())
}

/// The same with these Pythons.
pub(crate) fn prepare_with(
    arguments: Up,
    settings: &Settings,
    interpreters: Interpreters,
) -> Result<Wanted, CommandError> {
    if arguments.no_network && arguments.on == On::Aws {
        return Err(CommandError::new(
            Kind::Usage,
            "--no-network is for the local cloud: on AWS a function's network is that of its VPC",
            "leave --no-network out, or try the function with `--on local` first",
        ));
    }
    let event = event(&arguments.event)?;
    // Both may lie in the app's folder, and are no part of it.
    let without: Vec<_> =
        arguments.state.iter().cloned().chain([settings.cloud_or(None), settings.cache.clone()]).collect();
    let app = App::read_without(&arguments.app, &without)?;
    let path = AppPath::find(&arguments.app)?;
    let configuration = stages::configuration(arguments.layer.config.as_deref(), &app.folder)?;
    let target = target(&arguments, &app, &configuration, &interpreters)?;
    let handler = handler(&arguments, &app)?;
    let function = match &arguments.name {
        Some(name) => name.clone(),
        None => path.function_name().ok_or_else(|| {
            CommandError::new(
                Kind::User,
                "no function name can be made of the app's name",
                "give one with --name",
            )
        })?,
    };
    let layer = layer_name(&function)?;
    let mut notes = Vec::new();
    match interpreters.for_runtime(target.runtime) {
        Ok(interpreter) => check_syntax(&interpreter.executable, &app.files)?,
        Err(error) if arguments.on == On::Local => return Err(error.into()),
        Err(_) => notes.push(format!(
            "no Python {} here, so the code's syntax was not checked",
            target.runtime.python_version()
        )),
    }
    if target.runtime.is_retired() && arguments.on == On::Local {
        notes.push(format!("AWS no longer creates functions of {}; the local cloud does", target.runtime));
    }
    let journal = journal_path(&path.state(arguments.state.as_deref()), &function, arguments.on);
    let (asked, lock) = needs(&arguments, &app, &configuration)?;
    let variables = arguments.env.iter().cloned().collect();
    Ok(Wanted {
        arguments,
        path,
        app,
        without,
        asked,
        lock,
        target,
        handler,
        function,
        layer,
        event,
        variables,
        journal,
        interpreters,
        configuration,
        notes,
    })
}

impl Wanted {
    /// Whether the app needs a layer at all.
    pub(crate) fn has_requirements(&self) -> bool {
        self.lock.is_some() || !self.asked.is_empty()
    }

    /// The wheels that the app needs: from its lock, or from the index.
    pub(crate) fn resolution(
        &self,
        index: &PackageIndex,
        ui: &Ui,
        times: &mut Vec<StageTime>,
    ) -> Result<Resolution, CommandError> {
        let Some(lock) = &self.lock else {
            return stages::resolve(index, &self.asked, self.target, ui, times);
        };
        let stage = ui.stage("lock", "reading the lock");
        let scope = Scope {
            extras: self.configuration.extras.clone(),
            groups: self.configuration.groups.clone(),
            package: None,
        };
        let resolution = lock.select(self.target, &scope)?;
        times.push(stage.done("Locked", &stages::resolved(&resolution)));
        Ok(resolution)
    }

    /// The first record of a new journal.
    pub(crate) fn opening(&self, place: &Place) -> Opening {
        Opening {
            format: JOURNAL_FORMAT,
            app: self.name_in_journal(),
            place: place.clone(),
            token: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Refuses to mix two apps or two places in one journal.
    pub(crate) fn check_journal(&self, journal: &Journal, place: &Place) -> Result<(), CommandError> {
        let app = &self.arguments.app;
        if journal.opening.app != self.name_in_journal() {
            return Err(CommandError::new(
                Kind::User,
                format!(
                    "the function `{}` belongs to another app here: `{}`",
                    self.function, journal.opening.app
                ),
                "choose another name with --name",
            ));
        }
        let same = match (&journal.opening.place, place) {
            (Place::Aws { region, account, .. }, Place::Aws { region: now, account: ours, .. }) => {
                region == now && account == ours
            }
            (known, now) => known == now,
        };
        if same {
            return Ok(());
        }
        Err(CommandError::new(
            Kind::User,
            format!("`{app}` is up somewhere else already: {}", describe(&journal.opening.place)),
            format!("remove it there first with `layercake down {app}`, or give this one another --name"),
        ))
    }

    fn name_in_journal(&self) -> String {
        self.path.name_in_journal(self.arguments.state.as_deref())
    }
}

fn describe(place: &Place) -> String {
    match place {
        Place::Local { data, region } => format!("on the local cloud in `{data}`, region {region}"),
        Place::Aws { region, account, .. } => format!("in account {account}, region {region}"),
    }
}

fn event(text: &str) -> Result<JsonText, CommandError> {
    let error = match JsonText::parse(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let hint = "give JSON such as '{\"rows\": 3}', or a file that holds it";
    let Ok(file) = fs::read_to_string(text) else {
        return Err(CommandError::new(
            Kind::Usage,
            format!("the event `{text}` is neither JSON ({error}) nor a file that can be read"),
            hint,
        ));
    };
    JsonText::parse(&file).map_err(|error| {
        CommandError::new(Kind::User, format!("the event in `{text}` is not JSON: {error}"), hint)
    })
}

fn target(
    arguments: &Up,
    app: &App,
    configuration: &Configuration,
    interpreters: &Interpreters,
) -> Result<Target, CommandError> {
    let host = host_arch();
    let arch = arguments.arch.or(configuration.arch).or(host).unwrap_or_default();
    if arguments.on == On::Local && Some(arch) != host {
        return Err(CommandError::new(
            Kind::User,
            format!("the local cloud runs functions on this machine, and it is not {arch}"),
            "leave out --arch, or use --on aws",
        ));
    }
    let runtime = match arguments.runtime.or(configuration.runtimes.first().copied()) {
        Some(runtime) => runtime,
        None => newest_fitting(arguments.on, app, arch, interpreters)?,
    };
    let target = Target { runtime, arch };
    if let Some(required) = &app.requires_python
        && !python_fits(required, target)?
    {
        return Err(CommandError::new(
            Kind::User,
            format!("the app requires Python {required}, which {runtime} is not"),
            "choose another --runtime, or change `requires-python` in the script",
        ));
    }
    if arguments.on == On::Aws && runtime.is_retired() {
        return Err(CommandError::new(
            Kind::User,
            format!("AWS no longer creates functions of {runtime}"),
            "choose a newer --runtime, or leave out `--on aws`: the local cloud still runs it",
        ));
    }
    Ok(target)
}

/// The newest runtime that this machine has an interpreter for and the app accepts; for AWS, which
/// needs none here, else the newest that AWS has.
fn newest_fitting(
    on: On,
    app: &App,
    arch: Arch,
    interpreters: &Interpreters,
) -> Result<Runtime, CommandError> {
    let here: Vec<Runtime> =
        interpreters.all().iter().filter_map(|one| Runtime::from_minor(one.version.1)).collect();
    let offered = |runtime: &Runtime| !runtime.is_retired() && runtime.minor() <= NEWEST_ON_AWS;
    let candidates: Vec<Runtime> = match on {
        On::Local => here.clone(),
        On::Aws => here.iter().copied().filter(offered).chain(Runtime::all().rev().filter(offered)).collect(),
    };
    for &runtime in &candidates {
        let fits = match &app.requires_python {
            Some(required) => python_fits(required, Target { runtime, arch })?,
            None => true,
        };
        if fits {
            return Ok(runtime);
        }
    }
    if let Some(required) = &app.requires_python {
        let mut found: Vec<_> = candidates.iter().map(ToString::to_string).collect();
        found.dedup();
        if !found.is_empty() {
            return Err(CommandError::new(
                Kind::User,
                format!("the app requires Python {required}; there are {}", found.join(", ")),
                "install another Python, name one with --python, or change `requires-python`",
            ));
        }
    }
    // Which error tells what was found and what to install.
    let newest = Runtime::from_minor(NEWEST_ON_AWS).unwrap_or(Runtime::PYTHON3_15);
    match interpreters.for_runtime(newest) {
        Err(error) => Err(error.into()),
        Ok(_) => Err(CommandError::new(Kind::Bug, "an interpreter was both found and not found", "")),
    }
}

/// Files that say what a folder needs when it has no requirements.txt, in this order.
const LOCKS_AND_PROJECTS: [&str; 3] = ["pylock.toml", "uv.lock", "pyproject.toml"];

/// What the app asks for, or the lock that says it.
fn needs(
    arguments: &Up,
    app: &App,
    configuration: &Configuration,
) -> Result<(Asked, Option<LockFile>), CommandError> {
    let with = Asked::with("--with", &arguments.with);
    let is_folder = arguments.app.is_dir();
    let found = LOCKS_AND_PROJECTS.iter().map(|name| app.folder.join(name)).find(|path| path.is_file());
    let Some(path) = found.filter(|_| is_folder && !app.folder.join("requirements.txt").exists()) else {
        return Ok((app.asked.clone().and(with), None));
    };
    let scope =
        Scope { extras: configuration.extras.clone(), groups: configuration.groups.clone(), package: None };
    match (Given { inputs: vec![path.to_string()], scope, ..Given::default() }).read()? {
        Inputs::Lock(_) if !with.is_empty() => Err(CommandError::new(
            Kind::User,
            format!("`{path}` already says which wheels the app needs, so --with cannot add to them"),
            "add the requirement to the project and lock it again",
        )),
        Inputs::Lock(lock) => Ok((Asked::default(), Some(*lock))),
        Inputs::Asked(asked) => Ok((asked.asked.and(with), None)),
    }
}

fn handler(arguments: &Up, app: &App) -> Result<Handler, CommandError> {
    if let Some(handler) = &arguments.handler {
        check_handler(handler, app.files.iter().map(|file| file.path.as_str()))?;
        return Ok(handler.clone());
    }
    let sources = app.python_sources()?;
    let files: Vec<_> = sources.iter().map(|(path, text)| SourceFile { path, text }).collect();
    Ok(find_handler(&files)?)
}

fn layer_name(function: &FunctionName) -> Result<LayerName, CommandError> {
    format!("{function}-layer").parse().map_err(|error| CommandError {
        kind: Kind::Bug,
        error: Box::<dyn std::error::Error + Send + Sync>::from(error),
        hints: Vec::new(),
    })
}
