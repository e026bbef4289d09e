//! Keys: what opens backups, for whom they are sealed, and the requests of `teeline key`.

use std::path::PathBuf;

use teeline::{
    BackupError, Cancel, KeyChange, KeyForm, KeySecret, KeySource, Keys, KeysRequest, LocalIndex,
    Recipient, Which, WhichBackups,
};

use super::requests::places;
use super::setting::Setting;
use crate::args::{KeyArguments, KeyCommand, NewKeyArguments, OpeningArguments, WhichArguments};
use crate::output::Output;

/// What is needed of keys to make a backup.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// For whom it is sealed.
    pub(crate) recipients: Vec<Recipient>,
    /// What opens the backups that it goes on from.
    pub(crate) keys: Keys,
    /// Where what it goes on from is kept, where nothing opens that.
    pub(crate) local_index: Option<LocalIndex>,
}

/// What opens backups: what was typed, and what the configuration says.
pub(crate) async fn keys(typed: &KeyArguments, setting: &Setting) -> Result<Keys, BackupError> {
    Ok(access(typed, &[], setting).await?.keys)
}

/// The same, where a backup that isn't sealed may be refused.
pub(crate) async fn opening(
    typed: &OpeningArguments,
    setting: &Setting,
) -> Result<Keys, BackupError> {
    let mut keys = keys(&typed.keys, setting).await?;
    keys.allow_unsealed = typed.allow_unsealed;
    Ok(keys)
}

/// Whoever was typed, or else as the configuration says. Each secret is read once: a descriptor gives it no second time.
pub(crate) async fn access(
    typed: &KeyArguments,
    others: &[String],
    setting: &Setting,
) -> Result<Access, BackupError> {
    let encryption = setting.config.encryption.as_ref();
    let function = encryption.map(|it| it.function()).unwrap_or_default();
    let mut secrets = read(typed.sources()).await?;
    let mut recipients: Vec<Recipient> = secrets
        .iter()
        .map(|secret| Recipient::of(secret, function))
        .collect();
    for text in others {
        recipients.push(Recipient::X25519(text.parse()?));
    }
    if let Some(encryption) = encryption {
        let configured = encryption.read().await?;
        if recipients.is_empty() {
            recipients = encryption.recipients(&configured);
        }
        secrets.extend(configured);
    }
    Ok(Access {
        recipients,
        keys: Keys::new(secrets),
        local_index: None,
    })
}

async fn read(sources: Vec<(KeySource, KeyForm)>) -> Result<Vec<KeySecret>, BackupError> {
    let mut secrets = Vec::new();
    for (source, form) in sources {
        secrets.push(source.read(form).await?);
    }
    Ok(secrets)
}

/// The request of `teeline key`, other than `generate`.
pub(crate) async fn key(
    typed: &KeyCommand,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<KeysRequest, BackupError> {
    let (at, which, opens, change) = match typed {
        KeyCommand::Generate { .. } => {
            return Err(BackupError::usage("generate", "asks no destination"));
        }
        KeyCommand::List { which } => (&which.places, backups(which)?, None, KeyChange::List),
        KeyCommand::Add { which, keys, new } => {
            let added = new_recipients(new, setting).await?;
            (
                &which.places,
                backups(which)?,
                Some(keys),
                KeyChange::Add(added),
            )
        }
        KeyCommand::Rotate { which, keys, new } => {
            let now = new_recipients(new, setting).await?;
            (
                &which.places,
                backups(which)?,
                Some(keys),
                KeyChange::Rotate(now),
            )
        }
        KeyCommand::Remove { id, name, places } => {
            let which = match id.parse()? {
                Which::Latest => {
                    let error = BackupError::usage("ID", "remove takes the id of a backup");
                    return Err(error.suggest("`teeline list` shows the ids"));
                }
                one => WhichBackups::One(one),
            };
            (places, which, None, KeyChange::Remove(name.clone()))
        }
    };
    let mut request = KeysRequest::new(places(at, setting, output)?);
    request.which = which;
    request.change = change;
    if let Some(opens) = opens {
        request.keys = keys(opens, setting).await?;
    }
    request.cancel = cancel.clone();
    Ok(request)
}

fn backups(typed: &WhichArguments) -> Result<WhichBackups, BackupError> {
    Ok(match typed.all {
        true => WhichBackups::All,
        false => WhichBackups::One(typed.id.parse()?),
    })
}

async fn new_recipients(
    typed: &NewKeyArguments,
    setting: &Setting,
) -> Result<Vec<Recipient>, BackupError> {
    let new = typed.keys();
    let recipients = access(&new, &typed.recipient, setting).await?.recipients;
    match recipients.is_empty() {
        false => Ok(recipients),
        true => Err(BackupError::usage("key", "nobody is named who is to be able to open it")
            .suggest("--recipient x25519:…, --new-key-file FILE, --new-passphrase-file FILE and others name somebody; or [encryption] in a configuration")),
    }
}

impl KeyArguments {
    /// Where the secrets are, in the order of the options.
    fn sources(&self) -> Vec<(KeySource, KeyForm)> {
        let any = of(
            KeyForm::Any,
            &self.key_file,
            &self.key_env,
            &self.key_fd,
            &self.key_command,
        );
        let passphrases = of(
            KeyForm::Passphrase,
            &self.passphrase_file,
            &self.passphrase_env,
            &self.passphrase_fd,
            &self.passphrase_command,
        );
        any.into_iter().chain(passphrases).collect()
    }
}

fn of(
    form: KeyForm,
    files: &[PathBuf],
    variables: &[String],
    descriptors: &[u32],
    commands: &[String],
) -> Vec<(KeySource, KeyForm)> {
    let words = |text: &String| text.split_whitespace().map(str::to_owned).collect();
    let files = files.iter().cloned().map(KeySource::File);
    let variables = variables.iter().cloned().map(KeySource::Env);
    let descriptors = descriptors.iter().copied().map(KeySource::Descriptor);
    let commands = commands.iter().map(words).map(KeySource::Command);
    let all = files.chain(variables).chain(descriptors).chain(commands);
    all.map(|source| (source, form)).collect()
}

impl NewKeyArguments {
    /// The secrets of new recipients, as those that open are typed.
    fn keys(&self) -> KeyArguments {
        KeyArguments {
            key_file: self.new_key_file.clone(),
            key_env: self.new_key_env.clone(),
            key_fd: self.new_key_fd.clone(),
            key_command: self.new_key_command.clone(),
            passphrase_file: self.new_passphrase_file.clone(),
            passphrase_env: self.new_passphrase_env.clone(),
            passphrase_fd: self.new_passphrase_fd.clone(),
            passphrase_command: self.new_passphrase_command.clone(),
        }
    }
}
