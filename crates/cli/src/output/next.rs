//! The commands to try after a backup, as they must be typed to work.

use std::fmt;
use std::path::Path;

use teeline::{BackupId, DestinationSpec, Place, masked};

use crate::args::KeyArguments;

/// How the places of a run are named again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    program: String,
    /// The configuration, as it is typed.
    config: Option<String>,
    /// The destinations by their names, each as it is typed; those are left out that would show a secret.
    destinations: Vec<(String, String)>,
    /// The options that name what opens it, each with a space before it.
    keys: String,
    id: Option<BackupId>,
}

impl Next {
    /// After a run with a configuration, or to these destinations. What can't be said without a secret isn't said.
    pub(crate) fn new(config: Option<&Path>, destinations: &[DestinationSpec]) -> Self {
        let typed = |to: &DestinationSpec| Some((to.name.clone(), named(to)?));
        Next {
            program: program(),
            config: config.map(|path| quoted(&path.display().to_string())),
            destinations: destinations.iter().filter_map(typed).collect(),
            keys: String::new(),
            id: None,
        }
    }

    /// With what opens the backup, as far as that can be typed again.
    pub(crate) fn opened_by(self, keys: &KeyArguments) -> Self {
        let typed =
            |(option, value): (&str, String)| format!(" {option} {}", quoted(&masked(&value)));
        Next {
            keys: keys.again().map(typed).collect(),
            ..self
        }
    }

    /// After this backup was made, at the destinations that `has_it` is true of.
    pub(crate) fn made(mut self, id: Option<BackupId>, has_it: impl Fn(&str) -> bool) -> Self {
        self.destinations.retain(|(name, _)| has_it(name));
        Next { id, ..self }
    }

    /// `--config FILE`, or `--at DEST`s; empty where there is nothing to say.
    fn places(&self) -> String {
        let at = |(_, typed): &(String, String)| format!("--at {typed}");
        match &self.config {
            Some(config) => format!("--config {config}"),
            None => self
                .destinations
                .iter()
                .map(at)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, places) = (&self.program, self.places());
        let Some(id) = self.id.as_ref().filter(|_| !places.is_empty()) else {
            return Ok(());
        };
        writeln!(f, "\nnext:")?;
        writeln!(f, "  {program} list {places}")?;
        let places = format!("{places}{}", self.keys);
        writeln!(f, "  {program} verify {id} {places}")?;
        writeln!(
            f,
            "  {program} restore {id} --target ./backups/restored/{id} {places}"
        )
    }
}

/// The command that this process was called with, about the backup `id`, to be typed again; secrets are masked.
pub(crate) fn again(id: &BackupId) -> String {
    typed_again(std::env::args().skip(1), id)
}

fn typed_again(arguments: impl Iterator<Item = String>, id: &BackupId) -> String {
    let mut command = program();
    for argument in arguments {
        let argument = match argument.as_str() {
            "latest" => id.to_string(),
            other => masked(other).into_owned(),
        };
        command.push(' ');
        command.push_str(&quoted(&argument));
    }
    command
}

/// A destination as it may be typed again; none where that takes a secret.
fn named(destination: &DestinationSpec) -> Option<String> {
    let Place::Folder(path) = &destination.place else {
        // Without its keys and options it may not work.
        return None;
    };
    // A path with a name before it could be taken for another.
    Some(quoted(&format!("{}={}", destination.name, path.display())))
}

/// How this program was called.
fn program() -> String {
    let from_cargo =
        std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == env!("CARGO_PKG_NAME"));
    match std::env::args_os().next() {
        Some(path) if !(from_cargo && is_under_target(Path::new(&path))) => {
            quoted(&path.to_string_lossy())
        }
        _ if from_cargo && cfg!(debug_assertions) => "cargo run --".to_owned(),
        _ if from_cargo => "cargo run --release --".to_owned(),
        _ => "teeline".to_owned(),
    }
}

/// Whether a program is where cargo puts it: a folder down from `target`.
fn is_under_target(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .any(|folder| folder.file_name().is_some_and(|name| name == "target"))
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (text, word) in [
            ("a/b-1.toml", "a/b-1.toml"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("é", "é"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }

    #[test]
    fn secrets_are_never_part_of_a_command() {
        let destinations = ["local=/a b", "far=http://key:secret@h:1/bucket"]
            .map(|text| DestinationSpec::parse(text).unwrap());
        let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        let made = |id, has_it: fn(&str) -> bool| {
            Next::new(None, &destinations)
                .made(Some(id), has_it)
                .to_string()
        };
        let next = made(id.clone(), |_| true);
        assert!(
            next.contains("--at 'local=/a b'\n") && !next.contains("secret"),
            "{next}"
        );
        assert_eq!(made(id, |name| name != "local"), "", "it isn't there");
    }

    #[test]
    fn a_command_is_typed_again_without_its_secrets() {
        let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        let typed = [
            "restore",
            "latest",
            "--thaw",
            "--target",
            "s3://k:secret@b/x",
            "a b",
        ];
        let again = typed_again(typed.map(str::to_owned).into_iter(), &id);
        let (_, arguments) = again.split_once(" restore ").unwrap();
        assert!(
            arguments.starts_with(&format!("{id} --thaw --target "))
                && arguments.ends_with(" 'a b'"),
            "{again}"
        );
        assert!(!again.contains("secret"), "{again}");
    }

    #[test]
    fn cargo_is_known_by_its_folder() {
        assert!(is_under_target(Path::new("/x/target/release/teeline")));
        assert!(is_under_target(Path::new("target/debug/teeline")));
        assert!(!is_under_target(Path::new("target")));
        assert!(!is_under_target(Path::new("/usr/bin/teeline")));
    }
}
