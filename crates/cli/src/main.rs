//! The `teeline` command: makes backups, lists, checks, restores, repairs and deletes them, inspects those of s3db.js's plugin, and
//! measures how fast it is ([`bench`]).
//!
//! It has no logic of its own. Arguments ([`args`]) become requests ([`resolve`]), the engine carries them out, and its
//! reports are printed ([`output`]). Signals end a run early ([`signals`]); [`progress`] shows how far it is;
//! [`embedded`] runs the S3 server that a configuration may bring along.

mod args;
mod bench;
mod embedded;
mod generate;
mod logging;
mod output;
mod progress;
mod resolve;
mod run;
#[cfg(feature = "embedded-s3")]
mod sample;
mod signals;
mod systemd;

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use teeline::{
    BackupError, BackupReport, BackupType, Class, DestinationStatus, Engine, Operation, masked,
};

use crate::args::{
    Arguments, BackupArguments, Command, ConfigArguments, ConfigCommand, KeyCommand,
    RestoreArguments, ScheduleCommand,
};
use crate::generate::generate;
use crate::logging::Logging;
use crate::output::{Made, Next, Output, Problem};
use crate::progress::Progress;
use crate::resolve::Setting;
use crate::signals::Signals;

fn main() -> ExitCode {
    leave_no_core();
    std::panic::set_hook(Box::new(|panic| {
        // Where there is nobody to tell, nothing can be done about it.
        let _ = writeln!(io::stderr(), "{}", said_of(panic));
    }));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => Arguments {
            command: arguments.command.plain(),
            ..arguments
        },
        Err(error) => {
            // What was typed isn't known, so how the answer is to look is read off the words.
            let json = std::env::args_os().any(|word| word == "--json");
            let output = Output::new(json, Operation::ValidateConfig);
            let code = output.refused(&error);
            return ExitCode::from(output.end(code));
        }
    };
    let mut output = Output::new(arguments.command.json(), arguments.command.operation());
    let code = begin(arguments, &mut output).unwrap_or_else(|error| output.failed(&error));
    ExitCode::from(output.end(code))
}

/// What a crash would leave on disk has keys in it, and records in the clear.
fn leave_no_core() {
    let now = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        ..now
    };
    // Lowering it is allowed everywhere.
    let _ = setrlimit(Resource::Core, none);
}

/// What is said of a panic, which is a defect of teeline: without the secrets that may be in it.
fn said_of(panic: &PanicHookInfo<'_>) -> String {
    let said = masked(&panic.to_string()).into_owned();
    format!("error: teeline has a defect: {said}")
}

/// Sets up what every command needs, and runs the one that was asked for.
fn begin(arguments: Arguments, output: &mut Output) -> Result<u8, BackupError> {
    output.logging = Logging::begin(arguments.log_level.as_deref(), &output.stderr)?;
    let signals = Signals::listen(output.stderr.clone())?;
    // The engine has a runtime of its own; this one only waits for it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            BackupError::new(Class::Permanent, "start", "the command", &error).because(error)
        })?;
    runtime.block_on(carry_out(arguments.command, output, &signals))
}

/// Runs a command to its report, prints that, and returns the exit code.
async fn carry_out(
    command: Command,
    output: &mut Output,
    signals: &Signals,
) -> Result<u8, BackupError> {
    match command {
        Command::Backup(typed) => backup(&typed, output, signals).await,
        Command::Init(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::init(&typed, &setting, output, &signals.cancel)?;
            let progress = Progress::start(output, "trying");
            let report = setting.plain_engine()?.init(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::List(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::list(&typed, &setting, output)?;
            let engine = setting.plain_engine()?;
            let report = signals.guard(engine.list(request)).await?;
            Ok(output.report(&report))
        }
        Command::Status(typed) => {
            let id = resolve::status(&typed)?;
            let setting = Setting::of(&typed.places, output, signals).await?;
            let places = resolve::places(&typed.places, &setting, output)?;
            let engine = setting.plain_engine()?;
            let report = signals.guard(engine.status(&places, &id)).await?;
            Ok(output.report(&report))
        }
        Command::Check(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::monitor(&typed, &setting, output)?;
            let engine = setting.plain_engine()?;
            let report = signals.guard(engine.monitor(request)).await?;
            Ok(output.report(&report))
        }
        Command::Verify(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::verify(&typed, &setting, output, &signals.cancel).await?;
            let progress = Progress::start(output, "verifying");
            let report = setting.plain_engine()?.verify(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Validate(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::validate(&typed, &setting, output, &signals.cancel).await?;
            let progress = Progress::start(output, "validating");
            let report = setting.plain_engine()?.validate(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Scrub(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::scrub(&typed, &setting, output, &signals.cancel).await?;
            let progress = Progress::start(output, "scrubbing");
            let report = setting.plain_engine()?.scrub(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Drill(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::drill(&typed, &setting, output, &signals.cancel).await?;
            let progress = Progress::start(output, "drilling");
            let report = setting.plain_engine()?.drill(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Restore(typed) => restore(&typed, output, signals).await,
        Command::Repair(typed) => {
            let id = resolve::repair_id(&typed)?;
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::repair(&typed, id, &setting, output, &signals.cancel).await?;
            let progress = Progress::start(output, "repairing");
            let report = setting.plain_engine()?.repair(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Sync(typed) => {
            let id = resolve::sync_id(&typed)?;
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::sync(&typed, id, &setting, output, &signals.cancel)?;
            let progress = Progress::start(output, "copying");
            let report = setting.plain_engine()?.sync(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Consolidate(typed) => {
            let id = resolve::consolidate_id(&typed)?;
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request =
                resolve::consolidate(&typed, id, &setting, output, &signals.cancel).await?;
            let next = Next::new(setting.path(), &request.destinations).opened_by(&typed.keys);
            let progress = Progress::start(output, "consolidating");
            let report = setting.plain_engine()?.consolidate(request).await;
            drop(progress);
            Ok(output.report(&made(report, next)))
        }
        Command::Delete(typed) => {
            let id = resolve::delete_id(&typed)?;
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::delete(&typed, id, &setting, output, &signals.cancel)?;
            let report = setting.plain_engine()?.delete(request).await;
            Ok(output.report(&report))
        }
        Command::Cleanup(typed) => {
            let setting = Setting::of(&typed.places, output, signals).await?;
            let request = resolve::cleanup(&typed, &setting, output, &signals.cancel)?;
            let progress = Progress::start(output, "cleaning up");
            let report = setting.plain_engine()?.cleanup(request).await;
            drop(progress);
            Ok(output.report(&report))
        }
        Command::Key(typed) => key(&typed.command, output, signals).await,
        Command::Run(typed) => run::run(&typed, output, signals).await,
        Command::Schedule(typed) => schedule(&typed.command, output, signals).await,
        Command::InspectPlugin(typed) => {
            let request = resolve::inspect_plugin(&typed, &signals.cancel)?;
            let report = Engine::new()?.inspect_plugin(request).await?;
            Ok(output.report(&report))
        }
        Command::Bench(typed) => bench::bench(&typed, output, &signals.cancel).await,
        Command::Config(ConfigArguments {
            command: ConfigCommand::Check { file, .. },
        }) => Ok(output.report(&resolve::check(&file).await?)),
    }
}

async fn key(typed: &KeyCommand, output: &Output, signals: &Signals) -> Result<u8, BackupError> {
    let places = match typed {
        KeyCommand::Generate { x25519, out, .. } => {
            return Ok(output.report(&generate(*x25519, out.as_deref())?));
        }
        KeyCommand::Remove { places, .. } => places,
        KeyCommand::List { which }
        | KeyCommand::Add { which, .. }
        | KeyCommand::Rotate { which, .. } => &which.places,
    };
    let setting = Setting::of(places, output, signals).await?;
    let request = resolve::key(typed, &setting, output, &signals.cancel).await?;
    let report = setting.plain_engine()?.keys(request).await;
    Ok(output.report(&report))
}

async fn schedule(
    typed: &ScheduleCommand,
    output: &Output,
    signals: &Signals,
) -> Result<u8, BackupError> {
    match typed {
        ScheduleCommand::List { config, .. } => {
            let setting = Setting::open(config.as_deref(), output, signals).await?;
            let engine = resolve::schedules_to_look_at(&setting)?;
            let report = signals.guard(engine.list_schedules()).await?;
            Ok(output.report(&report))
        }
        ScheduleCommand::Run {
            name,
            config,
            engine,
            ..
        } => {
            let setting = Setting::open(config.as_deref(), output, signals).await?;
            let schedule = resolve::named(&setting.config, name, "NAME")?;
            let engine = match resolve::scheduled(&setting, engine, Some(name)).await {
                Err(error) if schedule.upkeep.is_none() => {
                    let run = (schedule.backup_type.clone(), Some(name.as_str()));
                    return Err(not_begun(&setting, run, error, output).await);
                }
                engine => engine?,
            };
            let progress = Progress::start(output, "running");
            let report = engine.run_schedule(name, &signals.cancel).await;
            drop(progress);
            Ok(output.report(&report?))
        }
        ScheduleCommand::Systemd { config, user, .. } => {
            let engine = resolve::schedules_in(config)?;
            Ok(output.report(&systemd::Units::new(&engine, config, *user)?))
        }
    }
}

async fn backup(
    typed: &BackupArguments,
    output: &Output,
    signals: &Signals,
) -> Result<u8, BackupError> {
    let setting = Setting::open(typed.config.as_deref(), output, signals).await?;
    let resolved = match resolve::backup(typed, &setting, output, &signals.cancel).await {
        Err(error) if !typed.dry_run => {
            let backup_type = resolve::type_of_unresolved(typed, &setting);
            let run = (backup_type, typed.schedule.as_deref());
            return Err(not_begun(&setting, run, error, output).await);
        }
        resolved => resolved?,
    };
    let resolve::Backup {
        engine,
        mut request,
    } = resolved;
    if typed.dry_run {
        let progress = Progress::start(output, "looking");
        let report = engine.dry_run(request).await;
        drop(progress);
        return Ok(output.report(&report));
    }
    let next = Next::new(setting.path(), &request.destinations).opened_by(&typed.keys);
    let progress = Progress::start(output, "starting");
    request.observer = Some(progress.observer());
    let report = engine.backup(request).await;
    drop(progress);
    Ok(output.report(&made(report, next)))
}

/// Tells the hooks why a backup couldn't even be asked for; gives that back.
async fn not_begun(
    setting: &Setting,
    (backup_type, schedule): (BackupType, Option<&str>),
    error: BackupError,
    output: &Output,
) -> BackupError {
    let told = async {
        let hooks = setting.config.hooks()?;
        let engine = setting.plain_engine()?;
        let telling = engine.tell_not_begun(&hooks, backup_type, schedule, &error);
        Ok::<_, BackupError>(telling.await)
    };
    match told.await {
        Ok(failures) => {
            for failure in &failures {
                output.stderr.problem(&Problem::of_hook(failure));
            }
        }
        Err(untold) => output.stderr.problem(&Problem::of("", &(&untold).into())),
    }
    error
}

/// A backup that was made, with what to try next where it is.
fn made(report: BackupReport, next: Next) -> Made {
    let next = next.made(report.id.clone(), |name| {
        let mut destinations = report.destinations.iter();
        destinations.any(|at| at.name == name && at.status == DestinationStatus::Committed)
    });
    Made { report, next }
}

async fn restore(
    typed: &RestoreArguments,
    output: &mut Output,
    signals: &Signals,
) -> Result<u8, BackupError> {
    let restored = resolve::restored(typed)?;
    let setting = Setting::of(&restored.places, output, signals).await?;
    let request = resolve::restore(typed, restored, &setting, output, &signals.cancel).await?;
    let progress = Progress::start(output, "restoring");
    let report = setting.plain_engine()?.restore(request).await;
    drop(progress);
    Ok(output.report(&report))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn what_a_panic_says_has_no_secret() {
        let said = Arc::new(Mutex::new(String::new()));
        let before = std::panic::take_hook();
        let hears = Arc::clone(&said);
        std::panic::set_hook(Box::new(move |panic| {
            *hears.lock().expect("nobody panics with it") = said_of(panic);
        }));
        let panics = || panic!("at http://key:hidden-secret@host/bucket, for once");
        let ended = std::panic::catch_unwind(panics);
        std::panic::set_hook(before);
        assert!(ended.is_err());
        let said = said.lock().expect("nobody panics with it");
        assert!(
            said.contains("main.rs") && said.contains("for once"),
            "{said}"
        );
        assert!(said.contains("http://***@host/bucket"), "{said}");
    }
}
