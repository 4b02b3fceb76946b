//! `layercake check`.

use std::{process::ExitCode, sync::Arc};

use crate::{
    args::{Common, Check},
    error::{CommandError, Kind},
    ui::Ui,
};

/// Runs the command.
pub(crate) async fn run(_common: &Common, _arguments: Check, _ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(Kind::User, "not implemented: `layercake check`", "use another command"))
}
