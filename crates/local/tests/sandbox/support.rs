//! One sandbox in a temporary folder, and the functions to put into it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use layercake_core::target::Runtime;
use layercake_local::{
    interpreters::{Interpreters, SearchPlaces},
    sandbox::{
        Call, EnvironmentSpec, FeatureState, FunctionRuntime, Isolation, LogFormat, Network, Outcome,
        Sandbox, SandboxConfig, SandboxError, Tuning, log_group,
    },
};

/// Every Python of this machine that a runtime can use.
pub(crate) fn interpreters() -> Interpreters {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = variable("HOME").map(Utf8PathBuf::from);
    let places = SearchPlaces {
        named: variable("LAYERCAKE_TEST_PYTHON").into_iter().map(Utf8PathBuf::from).collect(),
        path: variable("PATH").unwrap_or_default().split(':').map(Utf8PathBuf::from).collect(),
        pyenv_root: variable("PYENV_ROOT")
            .map(Utf8PathBuf::from)
            .or(home.as_ref().map(|home| home.join(".pyenv"))),
        uv_pythons: home.map(|home| home.join(".local/share/uv/python")),
        homebrew: Vec::new(),
        memory: None,
    };
    let found = Interpreters::discover(&places);
    assert!(
        found.newest_runtime().is_some(),
        "these tests need a CPython 3.6 to 3.15 in PATH, pyenv or uv's folder; none was found"
    );
    found
}

/// Each runtime that this machine has a Python for, oldest first.
pub(crate) fn runtimes() -> Vec<Runtime> {
    let found = interpreters();
    Runtime::all().filter(|runtime| found.for_runtime(*runtime).is_ok()).collect()
}

/// Those of them that stand for all: the oldest, one of each of AWS's systems, and a new one.
pub(crate) fn oldest_to_newest() -> Vec<Runtime> {
    runtimes().into_iter().filter(|runtime| [6, 9, 12, 13].contains(&runtime.minor())).collect()
}

/// Whether environments have this feature of the isolation report.
pub(crate) fn gives(lab: &Lab, feature: &str) -> bool {
    let report = lab.sandbox.isolation();
    let found = report.features.iter().find(|one| one.name == feature);
    found.unwrap_or_else(|| panic!("no feature `{feature}`")).state == FeatureState::Given
}

/// The newest of them.
pub(crate) fn newest() -> Runtime {
    interpreters().newest_runtime().expect("a Python")
}

/// A sandbox and its folder.
pub(crate) struct Lab {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Isolation::Best, Tuning::default())
    }

    pub(crate) fn with(isolation: Isolation, tuning: Tuning) -> Self {
        Self::on(interpreters(), isolation, tuning)
    }

    pub(crate) fn on(interpreters: Interpreters, isolation: Isolation, tuning: Tuning) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = Utf8Path::from_path(folder.path()).expect("UTF-8 path").join("work");
        let sandbox = Sandbox::with(SandboxConfig { work, interpreters, isolation }, tuning);
        Self { sandbox, folder }
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8 path")
    }

    /// A function with this `app.py`.
    pub(crate) fn function(&self, runtime: impl Into<FunctionRuntime>, code: &str) -> Function {
        let name = format!("f{}", uuid::Uuid::new_v4().simple());
        let task = self.path().join("task").join(&name);
        fs_err::create_dir_all(&task).expect("a folder");
        fs_err::write(task.join("app.py"), code).expect("a file");
        let function_name = name.parse().expect("a name");
        let spec = EnvironmentSpec {
            region: "eu-west-1".parse().expect("a region"),
            account: "123456789012".parse().expect("an account"),
            log_group: log_group(&function_name),
            log_format: LogFormat::Text,
            function_name,
            version: "$LATEST".into(),
            revision: "1".into(),
            runtime: runtime.into(),
            handler: "app.handler".into(),
            memory_mb: 1024,
            timeout: Duration::from_secs(10),
            tmp_mb: 512,
            variables: BTreeMap::new(),
            task,
            opt: None,
            network: Network::Host,
        };
        Function { sandbox: Arc::clone(&self.sandbox), spec }
    }

    /// A folder with these files.
    pub(crate) fn files(&self, files: &[(&str, &str)]) -> Utf8PathBuf {
        let folder = self.path().join("files").join(uuid::Uuid::new_v4().simple().to_string());
        for (path, content) in files {
            let path = folder.join(path);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs_err::write(path, content).expect("a file");
        }
        folder
    }
}

/// A function under test.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) spec: EnvironmentSpec,
}

impl Function {
    pub(crate) async fn try_call(&self, event: &str) -> Result<Outcome, SandboxError> {
        let trace_id = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
        self.try_call_in(trace_id, event).await
    }

    async fn try_call_in(&self, trace_id: &str, event: &str) -> Result<Outcome, SandboxError> {
        let arn = self.spec.function_arn();
        let call = Call {
            request_id: uuid::Uuid::new_v4().to_string(),
            payload: Bytes::copy_from_slice(event.as_bytes()),
            invoked_arn: arn,
            client_context: None,
            trace_id: trace_id.into(),
        };
        self.sandbox.invoke(Arc::new(self.spec.clone()), call).await
    }

    /// A call with this trace header.
    pub(crate) async fn traced(&self, trace_id: &str) -> Outcome {
        self.try_call_in(trace_id, "{}").await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) async fn call(&self, event: &str) -> Outcome {
        self.try_call(event).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// The payload of a call that must succeed.
    pub(crate) async fn value(&self, event: &str) -> serde_json::Value {
        let outcome = self.call(event).await;
        assert_eq!(outcome.function_error, None, "{}", show(&outcome));
        serde_json::from_slice(&outcome.payload).expect("JSON")
    }
}

/// Everything a caller can see of an outcome, with ids, times and places taken out.
pub(crate) fn show(outcome: &Outcome) -> String {
    let log: String = outcome.log.iter().map(|event| event.text.as_str()).collect();
    let error = outcome.function_error.as_deref().unwrap_or("-");
    let text = format!("{error} {}\n{log}", String::from_utf8_lossy(&outcome.payload));
    scrub(&text)
}

/// Takes out what differs from run to run.
pub(crate) fn scrub(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        // Ids, numbers with decimals, times: each word that has one becomes a name.
        let words = line.split_inclusive([' ', '\t', '"', '\n']);
        for word in words {
            let end = word.len()
                - word.chars().next_back().map_or(0, |c| if " \t\"\n".contains(c) { 1 } else { 0 });
            let (word, separator) = word.split_at(end);
            let is_id = word.len() == 36 && word.bytes().filter(|&b| b == b'-').count() == 4;
            let is_time = word.len() == 24 && word.ends_with('Z') && word.contains('T');
            let is_figure = word.split_once('.').is_some_and(|(a, b)| {
                b.len() == 2 && !a.is_empty() && (a.to_owned() + b).bytes().all(|b| b.is_ascii_digit())
            });
            out.push_str(match word {
                _ if is_id => "<id>",
                _ if is_time => "<time>",
                _ if is_figure => "<n>",
                word => word,
            });
            out.push_str(separator);
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for line in out.lines() {
        let mut line = line.replace('\t', "→").replace('\r', "␍").replace('\u{a0}', "·");
        for (before, after) in [("Billed Duration: ", " ms"), ("Max Memory Used: ", " MB")] {
            if let Some(start) = line.find(before).map(|at| at + before.len())
                && let Some(length) = line[start..].find(after)
            {
                line.replace_range(start..start + length, "<n>");
            }
        }
        if let Some(at) = line.find("::runtime:") {
            line.truncate(at + "::runtime:".len());
            line.push_str("<hash>");
        }
        lines.push(line);
    }
    lines.join("\n")
}
