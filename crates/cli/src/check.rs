//! `layercake check`: will a layer run on Lambda, told before it is uploaded.
//!
//! Owns reading the zips and the page that is printed. What is a finding, `core::check` decides.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode, sync::Arc};

use camino::Utf8PathBuf;
use layercake_build::{inspect::inspect, resolve::installed::unfulfilled};
use layercake_core::{
    check::{
        CheckReport, Finding, NamedContents, Severity, Subject, Verdict, guess_runtimes, verdict,
        visible_distributions,
    },
    target::{Runtime, Target},
};

use crate::{
    args::{Check, Common},
    error::{CommandError, Kind},
    ui::{Ui, size},
};

/// Files that are named of one finding, and findings of one kind, before "and N more".
const EXAMPLES: usize = 3;

/// Runs the command.
pub(crate) async fn run(_common: &Common, arguments: Check, ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    let (strict, json) = (arguments.strict, arguments.json);
    let own_ui = Arc::clone(ui);
    let report = tokio::task::spawn_blocking(move || look(&arguments, &own_ui))
        .await
        .map_err(|error| CommandError { kind: Kind::Bug, error: Box::new(error), hints: Vec::new() })??;
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| CommandError {
            kind: Kind::Bug,
            error: Box::new(error),
            hints: Vec::new(),
        })?;
        ui.print(&text);
    } else {
        let pages: Vec<_> = report.verdicts.iter().map(|verdict| page(verdict, strict)).collect();
        ui.print(&pages.join("\n"));
    }
    Ok(if report.passes(strict) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn look(arguments: &Check, ui: &Ui) -> Result<CheckReport, CommandError> {
    let paths: Vec<&Utf8PathBuf> = arguments.layers.iter().chain(&arguments.with).collect();
    let layers = paths.iter().map(|path| read(path, &paths)).collect::<Result<Vec<_>, _>>()?;
    let function = arguments.function.as_ref().map(|path| read(path, &[path])).transpose()?;
    let runtimes = runtimes(&arguments.runtime, &layers, function.as_ref(), ui)?;
    let environment: BTreeMap<String, String> = arguments.env.iter().cloned().collect();
    let verdicts = runtimes.into_iter().map(|runtime| {
        let target = Target { runtime, arch: arguments.arch };
        let visible = visible_distributions(target, &layers, function.as_ref());
        Ok(verdict(&Subject {
            target,
            layers: &layers,
            function: function.as_ref(),
            environment: &environment,
            handler: arguments.handler.as_ref(),
            unfulfilled: &unfulfilled(target, &visible)?,
        }))
    });
    Ok(CheckReport::new(verdicts.collect::<Result<_, CommandError>>()?))
}

/// Reads a zip. It is called by its file name, or by its path where two have one name.
fn read(path: &Utf8PathBuf, all: &[&Utf8PathBuf]) -> Result<NamedContents, CommandError> {
    let inspected = inspect(path)?;
    let name = path.file_name().unwrap_or(path.as_str());
    let is_single = all.iter().filter(|other| other.file_name() == Some(name)).count() <= 1;
    let name = if is_single { name } else { path.as_str() };
    Ok(NamedContents { name: name.to_owned(), contents: inspected.contents, zip_bytes: inspected.size })
}

/// The runtimes asked for, or those that the zips seem to be made for.
fn runtimes(
    asked: &[Runtime],
    layers: &[NamedContents],
    function: Option<&NamedContents>,
    ui: &Ui,
) -> Result<Vec<Runtime>, CommandError> {
    let mut runtimes = asked.to_vec();
    if runtimes.is_empty() {
        let Some(guess) = guess_runtimes(layers.iter().chain(function)) else {
            return Err(CommandError::new(
                Kind::Usage,
                "nothing in the zips tells which runtime they are for",
                "name it, as with --runtime python3.12",
            ));
        };
        let names: Vec<_> = guess.runtimes.iter().map(ToString::to_string).collect();
        ui.say(&format!("checking for {}: {}", names.join(", "), guess.because));
        runtimes = guess.runtimes;
    }
    let mut seen = Vec::new();
    runtimes.retain(|runtime| {
        let is_new = !seen.contains(runtime);
        seen.push(*runtime);
        is_new
    });
    Ok(runtimes)
}

/// What is printed for one target.
fn page(verdict: &Verdict, strict: bool) -> String {
    let mut page = String::new();
    let cases = cases(&verdict.findings);
    let mut told: BTreeMap<_, usize> = BTreeMap::new();
    for case in &cases {
        let kind = (case[0].severity, case[0].code);
        let count = told.entry(kind).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            tell(&mut page, case);
        }
        let of_kind = cases.iter().filter(|other| (other[0].severity, other[0].code) == kind).count();
        if *count == of_kind && of_kind > EXAMPLES {
            let _ = writeln!(page, "  and {} more of this kind; --json has them all\n", of_kind - EXAMPLES);
        }
    }
    sizes(&mut page, verdict);
    page.push_str(&last_line(verdict, strict));
    page.push('\n');
    page
}

/// Findings that differ in the file only, together. They stand beside each other already.
fn cases(findings: &[Finding]) -> Vec<&[Finding]> {
    findings
        .chunk_by(|one, other| {
            (one.severity, one.code, &one.why, &one.fix)
                == (other.severity, other.code, &other.why, &other.fix)
        })
        .collect()
}

fn tell(page: &mut String, case: &[Finding]) {
    let first = &case[0];
    let severity = match first.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let _ = writeln!(page, "{severity}: {} [{}]", first.why, first.code.as_str());
    let places: Vec<_> = case
        .iter()
        .filter_map(|finding| match (&finding.in_zip, &finding.file) {
            (Some(zip), Some(file)) => Some(format!("{file} ({zip})")),
            (Some(zip), None) => Some(zip.clone()),
            _ => None,
        })
        .collect();
    for place in places.iter().take(EXAMPLES) {
        let _ = writeln!(page, "  in:  {place}");
    }
    if places.len() > EXAMPLES {
        let _ = writeln!(page, "       and {} more", places.len() - EXAMPLES);
    }
    let _ = writeln!(page, "  fix: {}\n", first.fix);
}

fn sizes(page: &mut String, verdict: &Verdict) {
    for zip in &verdict.sizes.zips {
        let _ = writeln!(page, "{}: {} zipped, {} unzipped", zip.name, size(zip.zipped), size(zip.unzipped));
    }
    let (unzipped, limit) = (verdict.sizes.unzipped, verdict.sizes.limit);
    let _ = writeln!(
        page,
        "together {} of {} unzipped, {} left",
        size(unzipped),
        size(limit),
        size(verdict.sizes.left)
    );
}

fn last_line(verdict: &Verdict, strict: bool) -> String {
    let Target { runtime, arch } = verdict.target;
    let on = format!("on {runtime} ({arch})");
    let count = |severity| verdict.findings.iter().filter(|finding| finding.severity == severity).count();
    let counted = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let counts: Vec<_> = [
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(count(Severity::Note), "note"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    match (verdict.runs, verdict.passes(strict)) {
        (true, true) => format!("will run {on}{counts}"),
        (true, false) => format!("will run {on}, but --strict counts warnings{counts}"),
        (false, _) => format!("will NOT run {on}{counts}"),
    }
}
