//! `layercake build`.

use std::{process::ExitCode, sync::Arc};

use crate::{
    args::{Common, Build},
    error::{CommandError, Kind},
    ui::Ui,
};

/// Runs the command.
pub(crate) async fn run(_common: &Common, _arguments: Build, _ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(Kind::User, "not implemented: `layercake build`", "use another command"))
}
