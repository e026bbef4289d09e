//! `teeline key generate`: a key, or a pair of halves of which one only seals.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use teeline::{BackupError, generate_key, generate_pair};

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Generated {
    /// Where the secret is; absent where it is here.
    pub(crate) file: Option<String>,
    /// The half that seals, of a pair.
    pub(crate) recipient: Option<String>,
    /// The secret, where no file was named for it.
    pub(crate) secret: Option<String>,
}

/// Makes a key or a pair. The secret goes to the file, where one is named.
pub(crate) fn generate(is_pair: bool, out: Option<&Path>) -> Result<Generated, BackupError> {
    let (secret, recipient) = match is_pair {
        true => {
            let pair = generate_pair()?;
            (pair.to_text(), Some(pair.public().to_string()))
        }
        false => (generate_key()?.to_text(), None),
    };
    if let Some(path) = out {
        write_secret(path, &secret).map_err(|error| {
            let message = format!("can't be written: {error}");
            BackupError::usage(path.display().to_string(), message)
        })?;
    }
    Ok(Generated {
        file: out.map(|path| path.display().to_string()),
        recipient,
        secret: out.is_none().then(|| secret.to_string()),
    })
}

fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(format!("{secret}\n").as_bytes())?;
    file.sync_all()
}
