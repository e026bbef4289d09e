//! Secrets that were typed.

use crate::output::Output;

/// Options that showed a secret to everyone on the machine.
#[derive(Debug, Default)]
pub(super) struct Exposed(Vec<&'static str>);

impl Exposed {
    pub(super) fn note(&mut self, is_secret: bool, option: &'static str) {
        if is_secret && !self.0.contains(&option) {
            self.0.push(option);
        }
    }

    pub(super) fn warn(&self, output: &Output) {
        if self.0.is_empty() {
            return;
        }
        output.stderr.warn(
            &format!("{} has a secret in it, which everyone on this machine can see in the list of processes", self.0.join(", ")),
            "use --connection-env NAME or --connection-file FILE for a database, and ${NAME} in a configuration for destinations and targets",
        );
    }
}
