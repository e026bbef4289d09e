//! Who can open backups, as people read it, and what `teeline key generate` made.

use std::fmt::Write;

use teeline::{KdfFunction, KeyObject, KeysReport};

use super::words::table;
use super::{Problem, Shown};
use crate::generate::Generated;

impl Shown for KeysReport {
    fn exit_code(&self) -> u8 {
        KeysReport::exit_code(self)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for backup in &self.backups {
            let _ = writeln!(text, "{}", backup.id);
            for at in &backup.destinations {
                let _ = writeln!(
                    text,
                    "  {}{}",
                    at.name,
                    if at.sealed || at.error.is_some() {
                        ""
                    } else {
                        ": not sealed"
                    }
                );
                let rows: Vec<Vec<String>> = at
                    .keys
                    .iter()
                    .map(|key| {
                        let is_new = at.added.contains(&key.name);
                        let new = if is_new { "added" } else { "" };
                        vec![format!("    {}", key.name), said(key), new.to_owned()]
                    })
                    .chain(at.removed.iter().map(|name| {
                        vec![format!("    {name}"), String::new(), "removed".to_owned()]
                    }))
                    .collect();
                text.push_str(&table(&rows));
            }
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for failed in &self.errors {
            problems.push(Problem::of(&failed.destination, &failed.error));
        }
        for at in self.backups.iter().flat_map(|backup| &backup.destinations) {
            let of_keys = at.keys.iter().filter_map(|key| key.error.as_ref());
            let errors = at.error.iter().chain(of_keys);
            problems.extend(errors.map(|error| Problem::of(&at.name, error)));
        }
    }
}

/// What is known of a recipient.
fn said(key: &KeyObject) -> String {
    match (&key.recipient, key.kdf) {
        (Some(recipient), _) => recipient.clone(),
        (
            None,
            Some(KdfFunction::Argon2id {
                memory_kib,
                iterations,
                parallelism,
            }),
        ) => format!(
            "Argon2id, {memory_kib} KiB, {iterations} iterations, parallelism {parallelism}"
        ),
        (None, Some(KdfFunction::Pbkdf2Sha256 { iterations })) => {
            format!("PBKDF2-SHA256, {iterations} iterations")
        }
        (None, None) => String::new(),
    }
}

impl Shown for Generated {
    fn exit_code(&self) -> u8 {
        teeline::exit::DONE
    }

    fn text(&self) -> String {
        let lines = [&self.secret, &self.recipient].into_iter().flatten();
        lines.map(|line| format!("{line}\n")).collect()
    }

    fn problems(&self, _: &mut Vec<Problem>) {}
}
