//! `[hooks.<name>]`: a command, a webhook or a ping, and when it is called.

use std::time::Duration;

use teeline_core::BackupError;

use super::blame::Blame;
use super::node::{KeyPath, Node};
use super::reader::{Known, Table};
use crate::destination::{NAME_FORM, Secret, is_name};
use crate::hooks::{CommandHook, HOOK_TIMEOUT_MS_DEFAULT, Hooks, Moment, PingHook, WebhookHook};

const HOOK: Known = Known {
    keys: &["on", "command", "url", "secret", "ping", "timeout_ms"],
    hints: &[
        ("webhook", "a webhook's address is `url`"),
        ("events", "when it is called is `on`"),
    ],
};

/// Somebody who is told of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookConfig {
    /// Its name.
    pub name: String,
    /// When it is called; empty for always, or of a ping for [all moments of backups](Moment::OF_BACKUPS).
    pub on: Vec<Moment>,
    /// What is called.
    pub call: HookCall,
    /// Milliseconds that a call may take, 1 to 3,600,000. Default: 30,000.
    pub timeout_ms: u64,
}

/// What a hook calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookCall {
    /// A command: the program and its arguments.
    Command(Vec<String>),
    /// A webhook.
    Webhook {
        /// Where.
        url: Secret,
        /// What its calls are signed with, each: none, one, or more while one takes the place of another.
        secrets: Vec<Secret>,
    },
    /// A ping of this address.
    Ping(Secret),
}

impl HookConfig {
    /// These hooks, and it after them.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where what it calls can't be called; their subject is the key.
    pub fn after(&self, hooks: Hooks) -> Result<Hooks, BackupError> {
        let timeout = Duration::from_millis(self.timeout_ms);
        let (name, on) = (&self.name, &self.on);
        Ok(match &self.call {
            HookCall::Command(words) => {
                hooks.with(name, on, timeout, CommandHook::new(words.clone())?)
            }
            HookCall::Webhook { url, secrets } => {
                let hook = WebhookHook::new(url.expose(), secrets)?;
                hooks.with(name, on, timeout, hook)
            }
            HookCall::Ping(url) => {
                // A monitor that waits for backups must not be content with a restore.
                let on = match on.is_empty() {
                    true => &Moment::OF_BACKUPS[..],
                    false => on,
                };
                hooks.with(name, on, timeout, PingHook::new(url.expose())?)
            }
        })
    }
}

/// Reads the hooks, which are called in the order of the file.
pub(super) fn hooks(
    entries: Vec<(KeyPath, String, Node)>,
    blame: &Blame,
) -> Result<Vec<HookConfig>, BackupError> {
    let mut hooks = Vec::new();
    for (key, name, node) in entries {
        if !is_name(&name) {
            let message = format!("`{key}` isn't a name for a hook; accepted: {NAME_FORM}");
            return Err(blame.error(&key, message));
        }
        let mut table = Table::open(blame, key, node, &HOOK)?;
        hooks.push(hook(&mut table, name)?);
    }
    Ok(hooks)
}

fn hook(table: &mut Table<'_>, name: String) -> Result<HookConfig, BackupError> {
    let timeout_ms = table.integer("timeout_ms", 1..=3_600_000)?;
    let on = moments(table)?;
    let hook = HookConfig {
        name,
        on,
        call: call(table)?,
        timeout_ms: timeout_ms.unwrap_or(HOOK_TIMEOUT_MS_DEFAULT),
    };
    let built = hook.after(Hooks::default());
    built.map_err(|error| {
        table.error_at(
            error.subject(),
            &format!("isn't usable: {}", error.message()),
        )
    })?;
    Ok(hook)
}

fn moments(table: &mut Table<'_>) -> Result<Vec<Moment>, BackupError> {
    let parse = |text: &str| text.parse::<Moment>();
    let check = |text: &str| {
        let known = parse(text).map(drop);
        known.map_err(|error| error.message().to_owned())
    };
    match table.texts("on", check)? {
        None => Ok(Vec::new()),
        Some(names) if names.is_empty() => Err(table.error_at("on", "names no moment")),
        Some(names) => names.iter().map(|name| parse(name)).collect(),
    }
}

fn call(table: &mut Table<'_>) -> Result<HookCall, BackupError> {
    let kinds = ["command", "url", "ping"].into_iter();
    if kinds.filter(|kind| table.has(kind)).count() != 1 {
        return Err(table.error("needs one of command, url (a webhook) and ping"));
    }
    if table.has("secret") && !table.has("url") {
        return Err(table.error_at("secret", "goes with `url`, whose calls it signs"));
    }
    if let Some(words) = table.texts("command", |_| Ok(()))? {
        return Ok(HookCall::Command(words));
    }
    if let Some(url) = table.text("ping")? {
        return Ok(HookCall::Ping(url.into()));
    }
    let secrets = table.text_or_texts("secret")?;
    if secrets.as_ref().is_some_and(Vec::is_empty) {
        return Err(table.error_at("secret", "names no secret"));
    }
    Ok(HookCall::Webhook {
        url: table.needed_text("url")?.into(),
        secrets: secrets.into_iter().flatten().map(Secret::from).collect(),
    })
}
