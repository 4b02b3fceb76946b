//! `layercake show`.

use std::{process::ExitCode, sync::Arc};

use crate::{
    args::{Common, Show},
    error::{CommandError, Kind},
    ui::Ui,
};

/// Runs the command.
pub(crate) async fn run(_common: &Common, _arguments: Show, _ui: &Arc<Ui>) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(Kind::User, "not implemented: `layercake show`", "use another command"))
}
