//! Where a host that can't read its backups keeps what it goes on from.

use std::path::PathBuf;

use teeline::config::{LocalIndexConfig, LocalIndexPlace};
use teeline::{BackupError, KeyForm, LocalIndex, Recipient};

use super::keys::Access;
use super::setting::Setting;
use crate::args::LocalIndexArguments;

/// The folder below that of a user's state.
const FOLDER: &str = "teeline/local-index";

/// What was typed, or else what the configuration says, or else the usual folder, where there are public keys only.
pub(super) async fn local_index(
    typed: &LocalIndexArguments,
    access: &Access,
    setting: &Setting,
) -> Result<Option<LocalIndex>, BackupError> {
    let configured = setting.config.encryption.as_ref();
    let configured = configured.map(|encryption| &encryption.local_index);
    let Some(folder) = folder(typed, configured, access)? else {
        return Ok(None);
    };
    let mut local = LocalIndex::new(folder);
    if let Some(source) = configured.and_then(|configured| configured.key.as_ref()) {
        local.key = Some(source.read(KeyForm::Any).await?);
    }
    Ok(Some(local))
}

fn folder(
    typed: &LocalIndexArguments,
    configured: Option<&LocalIndexConfig>,
    access: &Access,
) -> Result<Option<PathBuf>, BackupError> {
    if typed.no_local_index {
        return Ok(None);
    }
    if let Some(folder) = &typed.local_index {
        return match folder.as_os_str().is_empty() {
            true => Err(BackupError::usage("--local-index", "no folder is given")),
            false => Ok(Some(folder.clone())),
        };
    }
    let usual = || usual_folder(|name| std::env::var_os(name).map(PathBuf::from));
    match configured.map(|configured| &configured.place) {
        Some(LocalIndexPlace::Off) => Ok(None),
        Some(LocalIndexPlace::Folder(folder)) => Ok(Some(folder.clone())),
        Some(LocalIndexPlace::Usual) => usual().map(Some).ok_or_else(|| {
            let message =
                "the usual folder isn't known: neither XDG_STATE_HOME nor HOME is an absolute path";
            BackupError::usage("encryption.local_index", message)
                .suggest("name a folder: local_index = \"/var/lib/teeline/local-index\"")
        }),
        Some(LocalIndexPlace::Unsaid) | None => Ok(usual().filter(|_| only_seals(access))),
    }
}

/// Whether there is nothing by which the host could read what it makes.
fn only_seals(access: &Access) -> bool {
    let is_public = |recipient: &Recipient| matches!(recipient, Recipient::X25519(_));
    access.keys.secrets.is_empty()
        && !access.recipients.is_empty()
        && access.recipients.iter().all(is_public)
}

/// Below the folder for the state of a user's programs, as the XDG base directory specification has it.
fn usual_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")));
    state.map(|state| state.join(FOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_folder_is_that_of_the_users_state() {
        let usual = |state: Option<&str>, home: Option<&str>| {
            let of = |name: &str| match name {
                "XDG_STATE_HOME" => state.map(PathBuf::from),
                _ => home.map(PathBuf::from),
            };
            usual_folder(of).map(|folder| folder.display().to_string())
        };
        let at = |folder: &str| Some(folder.to_owned());
        assert_eq!(
            usual(Some("/state"), Some("/home/me")),
            at("/state/teeline/local-index")
        );
        for not_said in [None, Some(""), Some("relative")] {
            assert_eq!(
                usual(not_said, Some("/home/me")),
                at("/home/me/.local/state/teeline/local-index")
            );
        }
        assert_eq!(usual(None, None), None);
    }
}
