//! `layercake cache`.

use std::{process::ExitCode, sync::Arc};

use crate::{
    args::{Common, Cache},
    error::{CommandError, Kind},
    ui::Ui,
};

/// Runs the command.
pub(crate) async fn run(_common: &Common, _arguments: Cache, _ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(Kind::User, "not implemented: `layercake cache`", "use another command"))
}
