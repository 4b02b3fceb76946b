//! `layercake lock`.

use std::{process::ExitCode, sync::Arc};

use crate::{
    args::{Common, Lock},
    error::{CommandError, Kind},
    ui::Ui,
};

/// Runs the command.
pub(crate) async fn run(_common: &Common, _arguments: Lock, _ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(Kind::User, "not implemented: `layercake lock`", "use another command"))
}
