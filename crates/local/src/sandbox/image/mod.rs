//! AWS's own base images as the root of environments, without a container engine.
//!
//! Owns which image a runtime gets, and that a registry out of reach never keeps a function from
//! running: then it runs on this machine's own files, and that is said once.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use layercake_core::target::Arch;
use tokio::sync::watch;

use super::FunctionRuntime;

mod layout;
mod pull;
mod source;
mod unpack;

#[cfg(test)]
mod tests;

pub(super) use layout::FILES as LAYOUT_FILES;
pub(super) use pull::ImageRoot;
pub use source::{ImageSource, NoRegistry};

use pull::{Folder, ImageError, Wanted};
use unpack::Bounds;

/// After how long a registry that could not be reached is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(300);

/// Which files the functions of a local cloud see as their system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RootFileSystem {
    /// This machine's own, with a Python of this machine.
    #[default]
    Host,
    /// AWS's base image of the runtime, with AWS's Python and AWS's runtime client.
    Image(ImageSource),
}

/// The images of one sandbox.
#[derive(Debug)]
pub(super) struct Images {
    source: ImageSource,
    folder: Folder,
    asked: Mutex<HashMap<FunctionRuntime, Arc<Answer>>>,
    stop: watch::Sender<bool>,
}

/// What came of asking for one image. Who asks meanwhile waits for the same answer.
type Answer = tokio::sync::Mutex<Option<Asked>>;

#[derive(Debug)]
enum Asked {
    Had(Arc<ImageRoot>),
    Failed { at: Instant, reason: String },
}

impl Images {
    /// Images below a folder that is made when there is something to put into it.
    pub(super) fn new(source: ImageSource, folder: Utf8PathBuf) -> Self {
        Self { source, folder: Folder(folder), asked: Mutex::default(), stop: watch::Sender::new(false) }
    }

    /// Nothing is fetched any more, so that an end need not wait for a registry.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The root for a runtime; none when its image cannot be had, which has then been said.
    pub(super) async fn root(&self, runtime: FunctionRuntime) -> Option<Arc<ImageRoot>> {
        let answer = Arc::clone(self.answers().entry(runtime).or_default());
        let mut asked = answer.lock().await;
        let said_before = match &*asked {
            Some(Asked::Had(root)) => return Some(Arc::clone(root)),
            Some(Asked::Failed { at, .. }) if at.elapsed() < ASK_AGAIN => return None,
            Some(Asked::Failed { .. }) => true,
            None => false,
        };
        let mut stop = self.stop.subscribe();
        let result = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => return None,
            result = self.ask(runtime) => result,
        };
        match result {
            Ok(root) => {
                *asked = Some(Asked::Had(Arc::clone(&root)));
                Some(root)
            }
            Err(error) => {
                let reason = chain(&error);
                if !said_before {
                    tracing::warn!(
                        "functions of {runtime} run on this machine's files, not on AWS's image: {reason}"
                    );
                }
                *asked = Some(Asked::Failed { at: Instant::now(), reason });
                None
            }
        }
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<FunctionRuntime, Arc<Answer>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, runtime: FunctionRuntime) -> Result<Arc<ImageRoot>, ImageError> {
        let wanted = Wanted {
            reference: self.source.image(runtime),
            encrypted: self.source.encrypted(),
            arch: if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 },
            bounds: Bounds::default(),
        };
        match pull::pull(&self.folder, &wanted).await {
            Ok(root) => Ok(Arc::new(root)),
            // What was pulled before is as good as it was then.
            Err(ImageError::Registry { reference, source }) => match self.folder.remembered(&wanted) {
                Some(root) => {
                    tracing::info!(%source, "the registry was not asked about `{reference}`; its last image is used");
                    Ok(Arc::new(root))
                }
                None => Err(ImageError::Registry { reference, source }),
            },
            Err(error) => Err(error),
        }
    }

    /// The runtimes whose image could not be had, and why; those that are being asked about are not
    /// waited for.
    pub(super) fn failures(&self) -> Vec<(FunctionRuntime, String)> {
        let failed = |asked: &Option<Asked>| match asked {
            Some(Asked::Failed { reason, .. }) => Some(reason.clone()),
            _ => None,
        };
        let answers = self.answers();
        let reasons = answers.iter().filter_map(|(runtime, answer)| {
            Some((*runtime, answer.try_lock().ok().as_deref().and_then(failed)?))
        });
        reasons.collect()
    }
}

/// An error and its causes in one line.
fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
