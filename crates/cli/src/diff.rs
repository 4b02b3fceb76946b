//! `layercake diff`.

use std::{process::ExitCode, sync::Arc};

use crate::{
    args::{Common, Diff},
    error::{CommandError, Kind},
    ui::Ui,
};

/// Runs the command.
pub(crate) async fn run(_common: &Common, _arguments: Diff, _ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(Kind::User, "not implemented: `layercake diff`", "use another command"))
}
