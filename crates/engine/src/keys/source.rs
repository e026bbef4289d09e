//! Where a secret comes from: a variable, a file, a descriptor or a command, never an argument, which everybody on the
//! machine can read.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use teeline_core::seal::KeySecret;
use teeline_core::{BackupError, Class, plain_words};
use tokio::process::Command;

use crate::destination::Secret;

/// No secret is larger.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// How long a command may take: somebody may have to touch a key.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A variable of the environment.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A file descriptor that this process was started with.
    Descriptor(u32),
    /// What a command prints: the program and its arguments, no shell's.
    Command(Vec<String>),
    /// The text itself.
    Given(Secret),
}

/// What the text of a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// What it begins with says it, as [`KeySecret::parse`] has it.
    Any,
    /// A passphrase, whatever it begins with.
    Passphrase,
}

impl KeySource {
    /// Reads the secret. Line breaks at its end don't belong to it.
    ///
    /// # Errors
    /// [`Class::Usage`] where there is none, it isn't text or no secret of that form; the place is named, the text never
    /// quoted.
    pub async fn read(&self, form: KeyForm) -> Result<KeySecret, BackupError> {
        let text = match self {
            KeySource::Env(name) => from_variable(name)?,
            KeySource::File(path) => {
                check_private(path)?;
                read_file(path).map_err(|message| BackupError::usage(self, message))?
            }
            KeySource::Descriptor(number) => {
                let path = PathBuf::from(format!("/dev/fd/{number}"));
                read_file(&path).map_err(|message| BackupError::usage(self, message))?
            }
            KeySource::Command(words) => self.run(words).await?,
            KeySource::Given(secret) => secret.expose().to_owned(),
        };
        let text = zeroize::Zeroizing::new(text);
        let trimmed = text.trim_end_matches(['\r', '\n']);
        let secret = match form {
            KeyForm::Any => KeySecret::parse(trimmed),
            KeyForm::Passphrase => KeySecret::passphrase(trimmed),
        };
        secret.map_err(|error| {
            let said = BackupError::usage(self, format!("{} {}", error.subject(), error.message()));
            match error.suggestion() {
                Some(suggestion) => said.suggest(suggestion),
                None => said,
            }
        })
    }

    async fn run(&self, words: &[String]) -> Result<String, BackupError> {
        let failed = |message: String| BackupError::new(Class::Permanent, "run", self, message);
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| BackupError::usage(self, "it has no program"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await;
        let output = output
            .map_err(|_| failed("it didn't end within a minute".to_owned()))?
            .map_err(|error| failed(plain_words(&error)))?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        if output.stdout.len() as u64 > SECRET_BYTES_MAX {
            return Err(failed("it printed more than 64 KiB".to_owned()));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| failed("what it printed isn't UTF-8".to_owned()))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Env(name) => write!(f, "the variable {name}"),
            KeySource::File(path) => write!(f, "{}", path.display()),
            KeySource::Descriptor(number) => write!(f, "descriptor {number}"),
            // Its arguments may say more than they should.
            KeySource::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                write!(f, "the command {program}")
            }
            KeySource::Given(_) => f.write_str("the configuration's key"),
        }
    }
}

fn from_variable(name: &str) -> Result<String, BackupError> {
    let subject = format!("the variable {name}");
    match std::env::var(name) {
        Ok(text) => Ok(text),
        Err(std::env::VarError::NotPresent) => Err(BackupError::usage(subject, "isn't set")),
        Err(std::env::VarError::NotUnicode(_)) => Err(BackupError::usage(subject, "isn't UTF-8")),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("can't be read: {}", plain_words(&error)))?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err("is larger than 64 KiB, so no key".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "isn't UTF-8".to_owned())
}

/// That nobody but its owner can read a file with a secret in it.
#[cfg(unix)]
pub(crate) fn check_private(path: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::PermissionsExt;

    let subject = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| {
        let message = format!("can't be read: {}", plain_words(&error));
        BackupError::usage(subject.to_string(), message)
    })?;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let message =
        "others than its owner may read or write it, so what it holds is no secret, and isn't used";
    Err(BackupError::usage(subject.to_string(), message).suggest(format!(
        "chmod 600 {subject}; or, where its permissions are somebody else's, have a command print it"
    )))
}

#[cfg(not(unix))]
pub(crate) fn check_private(_: &Path) -> Result<(), BackupError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_secret_is_read_from_wherever_it_is_and_named_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "CANARY\r\n").unwrap();
        let open = KeySource::File(file.clone()).read(KeyForm::Any).await;
        let error = open.unwrap_err();
        assert!(
            error.suggestion().unwrap().starts_with("chmod 600"),
            "{error}"
        );

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let words = ["printf", "base64:CANARY"].map(str::to_owned).to_vec();
        for (source, form, is_read) in [
            (KeySource::File(file.clone()), KeyForm::Any, true),
            (
                KeySource::File(folder.path().join("none")),
                KeyForm::Any,
                false,
            ),
            (KeySource::Command(words.clone()), KeyForm::Passphrase, true),
            (KeySource::Command(words), KeyForm::Any, false),
            (
                KeySource::Command(vec!["false".to_owned()]),
                KeyForm::Any,
                false,
            ),
            (KeySource::Command(Vec::new()), KeyForm::Any, false),
            (
                KeySource::Env("TEELINE_NO_SUCH_VARIABLE".to_owned()),
                KeyForm::Any,
                false,
            ),
            (KeySource::Descriptor(987_654), KeyForm::Any, false),
        ] {
            match source.read(form).await {
                Ok(secret) => {
                    assert!(is_read, "{source}");
                    assert_eq!(format!("{secret:?}"), "Passphrase(…)");
                }
                Err(error) => {
                    assert!(!is_read, "{error}");
                    assert_eq!(error.subject(), source.to_string());
                    assert!(!error.to_string().contains("CANARY"), "{error}");
                }
            }
        }
    }
}
