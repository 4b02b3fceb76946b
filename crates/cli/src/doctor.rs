//! `layercake doctor`: what this machine gives, as a table. Looks, and changes nothing.

use std::{process::ExitCode, sync::Arc};

use camino::Utf8PathBuf;
use layercake_core::{Hint as _, target::Runtime};
use layercake_local::{
    Interpreters, find_running, free_space,
    interpreters::FoundIn,
    sandbox::{ControlGroup, FeatureState, Survey, survey},
};
use serde::Serialize;

use crate::{
    args::{Common, Doctor},
    cloud::served_by_default,
    error::{CommandError, Kind},
    settings::{AwsSetup, Settings},
    ui::{Ui, size},
    up::json,
};

/// The version of the document that `--json` prints.
const DOCTOR_FORMAT: u32 = 1;

/// Everything that was found out.
#[derive(Serialize)]
struct Findings {
    format: u32,
    layercake: &'static str,
    system: System,
    pythons: Vec<Python>,
    isolation: IsolationFindings,
    cloud: CloudFindings,
    aws: AwsFindings,
}

#[derive(Serialize)]
struct System {
    os: &'static str,
    arch: &'static str,
    root: bool,
}

/// The Python of one runtime.
#[derive(Serialize)]
struct Python {
    runtime: Runtime,
    version: Option<String>,
    path: Option<Utf8PathBuf>,
    found_in: Option<&'static str>,
    /// How to get one, where there is none.
    hint: Option<String>,
}

#[derive(Serialize)]
struct IsolationFindings {
    features: Vec<Feature>,
    refusal: Option<String>,
    advice: Vec<String>,
    control_groups: Vec<Group>,
}

#[derive(Serialize)]
struct Feature {
    name: &'static str,
    state: &'static str,
    without: &'static str,
}

#[derive(Serialize)]
struct Group {
    limits: &'static str,
    version: u8,
    folder: Utf8PathBuf,
}

#[derive(Serialize)]
struct CloudFindings {
    data: Utf8PathBuf,
    exists: bool,
    free_bytes: Option<u64>,
    cache: Utf8PathBuf,
    running: Option<Running>,
}

#[derive(Serialize)]
struct Running {
    address: String,
    layercake: String,
    presence: String,
    signatures: bool,
}

#[derive(Serialize)]
struct AwsFindings {
    credentials: Vec<String>,
    region: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(common: &Common, doctor: &Doctor, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let settings = Settings::new(common, None)?;
    let looked = tokio::task::spawn_blocking(survey).await.map_err(std::io::Error::other);
    let survey = looked.and_then(|survey| survey).map_err(|error| {
        CommandError::new(
            Kind::User,
            format!("this machine's isolation cannot be tried: {error}"),
            "a temporary folder is needed: set TMPDIR to one that can be written",
        )
    })?;
    let findings = Findings {
        format: DOCTOR_FORMAT,
        layercake: env!("CARGO_PKG_VERSION"),
        system: System { os: std::env::consts::OS, arch: std::env::consts::ARCH, root: survey.is_root },
        pythons: pythons(&settings.interpreters()),
        isolation: isolation(survey),
        cloud: cloud(&settings).await,
        aws: aws(AwsSetup::find()),
    };
    ui.print(&if doctor.json { json(&findings)? } else { findings.table() });
    Ok(ExitCode::SUCCESS)
}

fn pythons(interpreters: &Interpreters) -> Vec<Python> {
    let one = |runtime: Runtime| match interpreters.for_runtime(runtime) {
        Ok(found) => Python {
            runtime,
            version: Some(format!("{}.{}.{}", found.version.0, found.version.1, found.version.2)),
            path: Some(found.executable.clone()),
            found_in: Some(match found.source {
                FoundIn::Named => "named",
                FoundIn::Pyenv => "pyenv",
                FoundIn::Uv => "uv",
                FoundIn::Homebrew => "homebrew",
                FoundIn::Path => "PATH",
            }),
            hint: None,
        },
        Err(missing) => Python { runtime, version: None, path: None, found_in: None, hint: missing.hint() },
    };
    Runtime::all().rev().map(one).collect()
}

fn isolation(survey: Survey) -> IsolationFindings {
    let Survey { isolation, groups, advice, .. } = survey;
    let features = isolation.features.into_iter().map(|feature| Feature {
        name: feature.name,
        state: match feature.state {
            FeatureState::Given => "given",
            FeatureState::Lacking => "lacking",
        },
        without: feature.without,
    });
    let group = |ControlGroup { limits, version, folder }| Group { limits, version, folder };
    IsolationFindings {
        features: features.collect(),
        refusal: isolation.refusal,
        advice,
        control_groups: groups.into_iter().map(group).collect(),
    }
}

async fn cloud(settings: &Settings) -> CloudFindings {
    let data = settings.cloud_or(served_by_default().await);
    let running = find_running(&data).await.map(|(address, health)| Running {
        address: address.to_string(),
        layercake: health.layercake,
        presence: health.presence,
        signatures: health.signatures,
    });
    CloudFindings {
        exists: data.is_dir(),
        free_bytes: free_space(&data),
        cache: settings.cache.clone(),
        data,
        running,
    }
}

fn aws(setup: AwsSetup) -> AwsFindings {
    AwsFindings { credentials: setup.sources, region: setup.region }
}

impl Findings {
    /// For people: what is there, what is missing, and what that means.
    fn table(&self) -> String {
        let mut lines = vec![format!(
            "layercake {} on {} {}{}",
            self.layercake,
            self.system.os,
            self.system.arch,
            if self.system.root { ", as root" } else { "" }
        )];
        lines.extend(["".to_owned(), "Pythons".to_owned()]);
        let (there, missing): (Vec<_>, Vec<_>) =
            self.pythons.iter().partition(|python| python.version.is_some());
        for python in &there {
            let [version, found_in] =
                [python.version.as_deref(), python.found_in].map(Option::unwrap_or_default);
            let path = python.path.as_deref().map(ToString::to_string).unwrap_or_default();
            lines.push(format!("  yes  {:<12} {version:<8} {path} ({found_in})", python.runtime.to_string()));
        }
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|python| python.runtime.to_string()).collect();
            lines.push(format!("  no   {}", names.join(", ")));
            let version = missing.first().map(|python| python.runtime.python_version());
            let version = version.unwrap_or_default();
            lines.push(format!(
                "       functions of these cannot run here: `uv python install {version}`, `pyenv install {version}`, or name one with --python"
            ));
        }
        lines.extend(["".to_owned(), "Isolation of functions".to_owned()]);
        lines.extend(self.isolation.lines());
        lines.extend(["".to_owned(), "Local cloud".to_owned()]);
        lines.extend(self.cloud.lines());
        lines.extend(["".to_owned(), "AWS (not contacted)".to_owned()]);
        lines.extend(self.aws.lines());
        lines.join("\n")
    }
}

impl IsolationFindings {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for feature in &self.features {
            lines.push(match feature.state {
                "given" => format!("  yes  {}", feature.name),
                _ => format!("  no   {}: {}", feature.name, feature.without),
            });
        }
        if let Some(refusal) = &self.refusal {
            lines.push(format!("  this machine refuses more: {refusal}"));
        }
        lines.extend(self.advice.iter().map(|advice| format!("  to change that: {advice}")));
        if self.control_groups.is_empty() {
            lines.push("  control groups: none can be made here".to_owned());
        }
        for group in &self.control_groups {
            lines.push(format!(
                "  control groups, {}: version {}, {}",
                group.limits, group.version, group.folder
            ));
        }
        lines
    }
}

impl CloudFindings {
    fn lines(&self) -> Vec<String> {
        let state = if self.exists { "" } else { " (made at the first use)" };
        let free = self.free_bytes.map(|bytes| format!(", {} free", size(bytes))).unwrap_or_default();
        let running = match &self.running {
            Some(running) => {
                let signed = if running.signatures { ", requests must be signed" } else { "" };
                let what = if running.presence == "embedded" { ", inside another command" } else { "" };
                format!("http://{} (layercake {}{what}{signed})", running.address, running.layercake)
            }
            None => "none; commands start one for themselves, `layercake local` serves one".to_owned(),
        };
        vec![
            format!("  folder   {}{state}{free}", self.data),
            format!("  cache    {}", self.cache),
            format!("  running  {running}"),
        ]
    }
}

impl AwsFindings {
    fn lines(&self) -> Vec<String> {
        let credentials = if self.credentials.is_empty() {
            "none found: `aws configure` or `aws sso login` makes some; the local cloud needs none".to_owned()
        } else {
            self.credentials.join("; ")
        };
        let region = self.region.as_deref().unwrap_or("none configured: give --region or set AWS_REGION");
        vec![format!("  credentials  {credentials}"), format!("  region       {region}")]
    }
}
