//! `up --watch`: every change of the app goes live as soon as it is written.
//!
//! A change of the code alone replaces the code alone; anything else goes through the stages of
//! `up`, which find out themselves what has to be done again.

use std::{process::ExitCode, sync::Arc, time::Instant};

use layercake_core::{
    journal::Resource,
    report::{Change as FunctionChange, Invocation},
};
use layercake_deploy::{FunctionSpec, JournalFile, ensure_function};
use tokio::sync::watch;

use super::{
    build::{Built, build, rebuild_code},
    changes::{Change, Changes},
    deploy::{ran, test_run},
    interrupted, on_endpoint, open_journal,
    prepare::{Wanted, prepare_with},
    show,
};
use crate::{
    cloud::Cloud,
    error::{CommandError, Kind},
    invoke::failed,
    registry::Registry,
    settings::Settings,
    stages,
    ui::{SharedUi, Talk, Ui, duration},
};

/// What is live, and what is needed to bring the next change there.
pub(super) struct Watch<'a> {
    pub(super) wanted: Arc<Wanted>,
    pub(super) built: Built,
    pub(super) spec: FunctionSpec,
    pub(super) cloud: &'a Cloud,
    pub(super) settings: &'a Settings,
    pub(super) ui: &'a SharedUi,
}

impl Watch<'_> {
    /// Brings one change after the other live until it is interrupted.
    pub(super) async fn run(mut self, mut changes: Changes) -> Result<ExitCode, CommandError> {
        // One listener for all of the time: a signal that comes while nobody listens would be lost.
        let (stop, mut stopped) = watch::channel(false);
        tokio::spawn(async move {
            interrupted().await;
            stop.send_replace(true);
        });
        let app = self.wanted.arguments.app.clone();
        if let Some(url) = &self.cloud.url {
            self.ui.say(&format!("\n  endpoint {url}, for `layercake invoke`, aws and SDKs"));
        }
        self.ui.say(&format!("  watching {app}; Ctrl-C ends it"));
        let mut is_broken = false;
        loop {
            let change = tokio::select! {
                change = changes.next() => change?,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            match self.round(&change, &mut stopped, is_broken).await {
                Ok(()) => is_broken = false,
                Err(error) if error.kind == Kind::Interrupted => break,
                // A file that was there and is not any more, or is half written: the rest of the
                // change is on its way.
                Err(_) if changes.has_more() => is_broken = true,
                Err(error) => {
                    is_broken = true;
                    self.ui.error(&error);
                    self.ui.say("  still watching; the function is as it was");
                }
            }
            if *stopped.borrow() {
                break;
            }
        }
        self.ui.say(&format!("\nwhat was made stays; remove it with: layercake down {app}"));
        Ok(ExitCode::SUCCESS)
    }

    /// Brings one change live. `is_broken` says that the change before could not be.
    async fn round(
        &mut self,
        change: &Change,
        stopped: &mut watch::Receiver<bool>,
        is_broken: bool,
    ) -> Result<(), CommandError> {
        let arguments = self.wanted.arguments.clone();
        let interpreters = self.wanted.interpreters.clone();
        let (settings, built) = (self.settings, &mut self.built);
        let known = layer_inputs(&self.wanted)?;
        let (wanted, is_code_alone) = tokio::task::block_in_place(|| {
            let wanted = prepare_with(arguments, settings, interpreters)?;
            let is_code_alone = layer_inputs(&wanted)? == known && is_up(&wanted)?;
            if is_code_alone {
                // Its stages are not told: there is one line for all of it.
                rebuild_code(&wanted, built, settings, &Ui::new(Talk::Quiet))?;
            }
            Ok::<_, CommandError>((Arc::new(wanted), is_code_alone))
        })?;
        let names: Vec<_> = change.files.iter().map(String::as_str).take(3).collect();
        let more = if change.files.len() > names.len() { " and others" } else { "" };
        let what = format!("{}{more}", names.join(", "));
        if is_code_alone {
            self.replace_code(&wanted, &what, change.begun, stopped, is_broken).await?;
        } else {
            self.ui.say(&format!("\n   Changed {what}"));
            self.do_all(&wanted, change.begun, stopped).await?;
        }
        self.wanted = wanted;
        Ok(())
    }

    async fn replace_code(
        &mut self,
        wanted: &Wanted,
        what: &str,
        begun: Instant,
        stopped: &mut watch::Receiver<bool>,
        is_broken: bool,
    ) -> Result<(), CommandError> {
        let code = &self.built.code;
        let spec = FunctionSpec {
            handler: wanted.handler.clone(),
            zip: code.path.clone(),
            zip_size: code.size,
            zip_sha256: code.sha256,
            ..self.spec.clone()
        };
        if !is_broken && (spec.zip_sha256, &spec.handler) == (self.spec.zip_sha256, &self.spec.handler) {
            return Ok(());
        }
        let mut journal = open_journal(wanted, self.cloud, &Registry::at(&self.settings.registry))?;
        let stop = journal.stop();
        let endpoint = &self.cloud.endpoint;
        let (ui, function) = (self.ui, &spec);
        let mut work = std::pin::pin!(async {
            let (_, changed) = ensure_function(endpoint, &mut journal, function).await?;
            let live = duration(begun.elapsed());
            ui.say(&match changed {
                FunctionChange::Unchanged => format!("\n Unchanged {what}: the same as before"),
                _ => format!("\n   Updated {what}: live after {live}"),
            });
            test_run(wanted, endpoint, &journal).await
        });
        let invocation = tokio::select! {
            done = &mut work => done,
            _ = stopped.wait_for(|stopped| *stopped) => {
                // The request under way comes to its end, as in `up`.
                stop.now();
                work.await
            }
        };
        let invocation = invocation?;
        self.spec = spec.clone();
        self.ui.say(&format!("   Invoked {}", ran(&invocation)));
        self.tell(&invocation);
        Ok(())
    }

    /// All stages, of which most find that there is nothing to do.
    async fn do_all(
        &mut self,
        wanted: &Arc<Wanted>,
        begun: Instant,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), CommandError> {
        let mut times = Vec::new();
        self.built = tokio::select! {
            built = build(Arc::clone(wanted), self.settings, self.ui, &mut times) => built?,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
        };
        let (report, spec) =
            on_endpoint(wanted, &self.built, self.cloud, self.settings, self.ui, &mut times).await?;
        self.spec = spec;
        self.ui.say(&format!("      Done after {}", duration(begun.elapsed())));
        self.tell(&report.invocation);
        Ok(())
    }

    /// Shows a run as `up` does, but for a failure, which does not end anything.
    fn tell(&self, invocation: &Invocation) {
        match &invocation.function_error {
            Some(kind) => {
                self.ui.print(&invocation.log);
                self.ui.error(&failed(kind, &invocation.payload));
            }
            None => show(invocation, self.ui),
        }
    }
}

/// Everything that the layer is made of, as a text to compare: while it is the same, so is the layer.
fn layer_inputs(wanted: &Wanted) -> Result<String, CommandError> {
    let Wanted { asked, lock, target, configuration, .. } = wanted;
    let imported = stages::imported(&wanted.app)?;
    Ok(format!("{asked:?} {lock:?} {target:?} {configuration:?} {imported:?}"))
}

/// Whether the function is still there as far as the journal knows: somebody may have taken it down.
fn is_up(wanted: &Wanted) -> Result<bool, CommandError> {
    let function = Resource::Function { name: wanted.function.clone() };
    let journal = JournalFile::peek(&wanted.journal)?;
    Ok(journal
        .is_some_and(|journal| journal.newest(|resource| (*resource == function).then_some(())).is_some()))
}
