//! What a configuration comes to.

use std::fmt::Write;

use teeline::printable::one_line;

use super::words::table;
use super::{Problem, Shown};
use crate::output::json::Checked;

impl Shown for Checked {
    fn exit_code(&self) -> u8 {
        teeline::exit::DONE
    }

    fn text(&self) -> String {
        let mut text = format!("{} can be used\n", self.file);
        let source = self
            .source
            .as_deref()
            .unwrap_or("none: enough to list, verify and restore");
        let _ = writeln!(text, "  source       {source}");
        let _ = writeln!(text, "  strategy     {}", self.strategy);
        let _ = writeln!(text, "  compression  {}", self.compression);
        if let Some(encryption) = &self.encryption {
            let _ = writeln!(text, "  encryption   {encryption}");
        }
        let rows: Vec<Vec<String>> = self
            .destinations
            .iter()
            .map(|destination| {
                let required = if destination.required {
                    "required"
                } else {
                    "optional"
                };
                let taken = destination.resources.as_ref();
                let taken = taken.map(|taken| format!("takes {}", one_line(&taken.join(", "))));
                let mut row = vec![
                    format!("  {}", destination.name),
                    required.to_owned(),
                    destination.location.clone(),
                ];
                row.extend(taken);
                row
            })
            .collect();
        match rows.is_empty() {
            true => text.push_str("  destinations none: ./backups is used\n"),
            false => text.push_str(&format!("\n{}", table(&rows))),
        }
        let targets = self.targets.iter();
        let rows: Vec<Vec<String>> = targets
            .map(|target| {
                vec![
                    format!("  {}", target.name),
                    "target".to_owned(),
                    target.location.clone(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            text.push_str(&format!("\n{}", table(&rows)));
        }
        for warning in &self.warnings {
            let _ = writeln!(
                text,
                "\nwarning: {}\n  help: {}",
                warning.message, warning.help
            );
        }
        text
    }

    fn problems(&self, _: &mut Vec<Problem>) {}
}
