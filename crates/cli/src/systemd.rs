//! Units and timers by which systemd runs schedules (`systemd.service(5)`, `systemd.timer(5)`).

use std::path::{Path, PathBuf};

use serde::Serialize;
use teeline::{BackupError, Class, Engine, Schedule, Span, Work, exit};

use crate::output::{Problem, Shown};

/// What systemd takes.
#[derive(Debug, Serialize)]
pub(crate) struct Units {
    units: Vec<Unit>,
}

/// A file of it.
#[derive(Debug, Serialize)]
struct Unit {
    /// Where it belongs; `~` is the home of the user.
    file: String,
    content: String,
}

/// Where units run.
struct Place<'a> {
    user: bool,
    folder: String,
    program: String,
    config: &'a str,
}

impl Units {
    /// A service and a timer for each schedule of the engine, which are those of `config`.
    pub(crate) fn new(engine: &Engine, config: &Path, user: bool) -> Result<Self, BackupError> {
        let absolute = std::path::absolute(config).map_err(|error| no_path("--config", error))?;
        let folder =
            std::env::current_dir().map_err(|error| no_path("the working directory", error))?;
        let program = std::env::current_exe().map_err(|error| no_path("teeline", error))?;
        let place = Place {
            user,
            folder: text(folder)?,
            program: text(program)?,
            config: &text(absolute)?,
        };
        let mut units = Vec::new();
        for schedule in engine.schedules() {
            units.push(place.unit(schedule.name(), "service", place.service(&schedule)));
            units.push(place.unit(schedule.name(), "timer", timer(&schedule)?));
        }
        Ok(Units { units })
    }
}

impl Place<'_> {
    fn unit(&self, name: &str, kind: &str, content: String) -> Unit {
        let folder = match self.user {
            true => "~/.config/systemd/user",
            false => "/etc/systemd/system",
        };
        let file = format!("{folder}/teeline-{name}.{kind}");
        Unit { file, content }
    }

    fn service(&self, schedule: &Schedule) -> String {
        let name = schedule.name();
        // A backup that not all destinations have is one; what other work couldn't do somewhere, somebody has to look at.
        let degraded = format!("SuccessExitStatus={}\n", exit::DEGRADED);
        let (what, command, succeeds) = match schedule.work() {
            Work::Backup(_) => (
                "backup".to_owned(),
                format!("backup --schedule {name} --resume latest"),
                degraded.as_str(),
            ),
            other => (
                other.label().to_string(),
                format!("schedule run {name}"),
                "",
            ),
        };
        // The manager of a user doesn't know of the network.
        let network = match self.user {
            true => "",
            false => "Wants=network-online.target\nAfter=network-online.target\n",
        };
        // A service of the system has no home.
        let state = match self.user {
            true => "",
            false => "Environment=XDG_STATE_HOME=%S\n",
        };
        let (program, config) = (word(&self.program), word(self.config));
        let folder = specifiers(&self.folder);
        format!(
            "[Unit]\n\
             Description=teeline {what} by the schedule {name}\n\
             {network}\n\
             [Service]\n\
             Type=oneshot\n\
             WorkingDirectory={folder}\n\
             {state}EnvironmentFile=-%E/teeline/environment\n\
             ExecStart={program} {command} --config {config}\n\
             {succeeds}"
        )
    }
}

fn timer(schedule: &Schedule) -> Result<String, BackupError> {
    let (name, timing) = (schedule.name(), schedule.timing());
    let events = timing.cron.calendar_events(timing.time_zone);
    let events = events.map_err(|error| {
        let message = format!("{:?} can't be translated: {error}", timing.cron.to_string());
        BackupError::usage(format!("schedules.{name}.cron"), message)
            .suggest("`teeline run` runs it as it is")
    })?;
    let calendar: String = events
        .iter()
        .map(|event| format!("OnCalendar={event}\n"))
        .collect();
    let delay = match timing.jitter == Span::default() {
        true => String::new(),
        false => format!("RandomizedDelaySec={}\n", timing.jitter),
    };
    Ok(format!(
        "[Unit]\n\
         Description=Times of the schedule {name}\n\
         \n\
         [Timer]\n\
         {calendar}{delay}AccuracySec=1s\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n"
    ))
}

/// A word of a command line, quoted where it needs to be.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:,=".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", specifiers(&escaped).replace('$', "$$"))
}

/// What begins with a percent sign stands for something else.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A path as it can stand in a unit.
fn text(path: PathBuf) -> Result<String, BackupError> {
    let is_line = |text: &str| !text.contains(char::is_control);
    path.into_os_string()
        .into_string()
        .ok()
        .filter(|text| is_line(text))
        .ok_or_else(|| {
            let message = "a path isn't text of one line, so it can't stand in a unit";
            BackupError::usage("schedule systemd", message)
                .suggest("move the configuration, or run this in another folder")
        })
}

fn no_path(of: &str, error: std::io::Error) -> BackupError {
    BackupError::new(Class::Permanent, "find", of, &error).because(error)
}

impl Shown for Units {
    fn exit_code(&self) -> u8 {
        exit::DONE
    }

    fn text(&self) -> String {
        let unit = |unit: &Unit| format!("# {}\n{}", unit.file, unit.content);
        self.units.iter().map(unit).collect::<Vec<_>>().join("\n")
    }

    fn problems(&self, _: &mut Vec<Problem>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_systemd_would_take_them_apart() {
        assert_eq!(word("/etc/teeline/shop.toml"), "/etc/teeline/shop.toml");
        assert_eq!(word("/my shop/50%.toml"), "\"/my shop/50%%.toml\"");
        assert_eq!(word("a$b\"c\\"), "\"a$$b\\\"c\\\\\"");
    }
}
