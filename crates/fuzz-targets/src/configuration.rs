//! Configuration files.

use std::path::PathBuf;
use std::sync::LazyLock;

use teeline::Config;
use tempfile::TempDir;

use crate::parts::{chosen, first_part};

/// Where a file is when it is read: as a user has it.
static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is a temporary folder"));

/// Takes a file, and behind it the value of every variable that it asks for.
pub(crate) fn configuration(input: &[u8]) {
    let Some((choice, rest)) = chosen(input) else {
        return;
    };
    let extension = ["toml", "yaml", "json", "json5"][usize::from(choice % 4)];
    let (text, variable) = first_part(rest);
    let variable = String::from_utf8_lossy(variable);
    let path: PathBuf = FOLDER.path().join(format!("teeline.{extension}"));
    std::fs::write(&path, text).expect("the temporary folder is written");
    let environment = |_: &str| Some(variable.to_string());
    match Config::load(&path, &environment, std::iter::empty()) {
        Ok(config) => {
            let _ = config.hooks();
            let _ = format!("{config:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
