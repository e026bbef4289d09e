//! What was typed of keys: those that open, those that seal, and `teeline key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::PlacesArguments;

/// What opens sealed backups, beside what the configuration says. Never a secret itself.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArguments {
    /// A file with a key: hex: or base64: and 32 bytes, x25519-secret:…, or a passphrase; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Vec<PathBuf>,
    /// A variable with a key
    #[arg(long, value_name = "NAME")]
    pub(crate) key_env: Vec<String>,
    /// A file descriptor with a key
    #[arg(long, value_name = "N")]
    pub(crate) key_fd: Vec<u32>,
    /// A command that prints a key: words with spaces between, no shell's
    #[arg(long, value_name = "COMMAND")]
    pub(crate) key_command: Vec<String>,
    /// The same of a passphrase, whatever it begins with
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Vec<PathBuf>,
    /// A variable with a passphrase
    #[arg(long, value_name = "NAME")]
    pub(crate) passphrase_env: Vec<String>,
    /// A file descriptor with a passphrase
    #[arg(long, value_name = "N")]
    pub(crate) passphrase_fd: Vec<u32>,
    /// A command that prints a passphrase
    #[arg(long, value_name = "COMMAND")]
    pub(crate) passphrase_command: Vec<String>,
}

impl KeyArguments {
    /// Those that can be read once more, as they were typed: each option with its value. A descriptor can't.
    pub(crate) fn again(&self) -> impl Iterator<Item = (&'static str, String)> {
        let files = [
            ("--key-file", &self.key_file),
            ("--passphrase-file", &self.passphrase_file),
        ];
        let files = files.map(|(option, files)| {
            let shown = files.iter().map(|file| file.display().to_string());
            (option, shown.collect())
        });
        let others = [
            ("--key-env", self.key_env.clone()),
            ("--key-command", self.key_command.clone()),
            ("--passphrase-env", self.passphrase_env.clone()),
            ("--passphrase-command", self.passphrase_command.clone()),
        ];
        let all: Vec<(&'static str, Vec<String>)> = files.into_iter().chain(others).collect();
        all.into_iter()
            .flat_map(|(option, values)| values.into_iter().map(move |value| (option, value)))
    }
}

/// Where a host that can't read its backups keeps what an incremental one goes on from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct LocalIndexArguments {
    /// Where a host that can't open its backups keeps, sealed for itself, what an incremental one goes on from. Without, as the
    /// configuration says; or $XDG_STATE_HOME/teeline/local-index, where there are recipients' public keys and no secret
    #[arg(long, value_name = "FOLDER")]
    pub(crate) local_index: Option<PathBuf>,
    /// Keep nothing there, by which each backup of such a host is a full one
    #[arg(long, conflicts_with = "local_index")]
    pub(crate) no_local_index: bool,
}

/// What opens sealed backups, where one that isn't sealed is refused if there is a key.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OpeningArguments {
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    /// Take a backup that isn't sealed although a key is given: whoever can write to the destination may have made it
    #[arg(long, help_heading = "Keys")]
    pub(crate) allow_unsealed: bool,
}

/// Who is to be able to open backups that aren't yet. Without, as the configuration says.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "New recipients")]
pub(crate) struct NewKeyArguments {
    /// The holder of the secret half of this: x25519:…; may be repeated
    #[arg(long, value_name = "x25519:…")]
    pub(crate) recipient: Vec<String>,
    /// Who has the key in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Vec<PathBuf>,
    /// Who has the key in this variable
    #[arg(long, value_name = "NAME")]
    pub(crate) new_key_env: Vec<String>,
    /// Who has the key in this file descriptor
    #[arg(long, value_name = "N")]
    pub(crate) new_key_fd: Vec<u32>,
    /// Who has the key that this command prints
    #[arg(long, value_name = "COMMAND")]
    pub(crate) new_key_command: Vec<String>,
    /// Who knows the passphrase in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Vec<PathBuf>,
    /// Who knows the passphrase in this variable
    #[arg(long, value_name = "NAME")]
    pub(crate) new_passphrase_env: Vec<String>,
    /// Who knows the passphrase in this file descriptor
    #[arg(long, value_name = "N")]
    pub(crate) new_passphrase_fd: Vec<u32>,
    /// Who knows the passphrase that this command prints
    #[arg(long, value_name = "COMMAND")]
    pub(crate) new_passphrase_command: Vec<String>,
}

/// `teeline key`.
#[derive(Debug, Args)]
pub(crate) struct KeyCommandArguments {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

/// What can be done about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key, or a pair for a host that can back up and not read
    Generate {
        /// A pair: the public half is for `recipients`, the secret half opens
        #[arg(long)]
        x25519: bool,
        /// The file for the secret, which only its owner can read and must not be there. Without, standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print the result as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Say who can open backups
    List {
        #[command(flatten)]
        which: WhichArguments,
    },
    /// Let others open backups as well
    Add {
        #[command(flatten)]
        which: WhichArguments,
        #[command(flatten)]
        keys: Box<KeyArguments>,
        #[command(flatten)]
        new: Box<NewKeyArguments>,
    },
    /// Take the right to open a backup away. Needs the right to delete; who has read the key object before keeps it
    Remove {
        /// The backup: its id
        id: String,
        /// The key object, as `teeline key list` names it
        name: String,
        #[command(flatten)]
        places: PlacesArguments,
    },
    /// Let others open backups, and nobody else any more
    Rotate {
        #[command(flatten)]
        which: WhichArguments,
        #[command(flatten)]
        keys: Box<KeyArguments>,
        #[command(flatten)]
        new: Box<NewKeyArguments>,
    },
}

/// Which backups.
#[derive(Debug, Args)]
pub(crate) struct WhichArguments {
    /// The backup: its id, or latest
    #[arg(default_value = "latest")]
    pub(crate) id: String,
    /// Every backup
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

impl KeyCommand {
    /// Whether the report is to be printed as JSON.
    pub(super) fn json(&self) -> bool {
        match self {
            KeyCommand::Generate { json, .. } => *json,
            KeyCommand::List { which }
            | KeyCommand::Add { which, .. }
            | KeyCommand::Rotate { which, .. } => which.places.json,
            KeyCommand::Remove { places, .. } => places.json,
        }
    }
}
