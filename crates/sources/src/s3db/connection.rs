//! Connection strings of s3db.js: where a database is, and the keys to it.
//!
//! Keys are in the string, so nothing here prints one: not `Debug`, not `Display`, not an error.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

const FORMS: &str = "s3://KEY:SECRET@BUCKET/PREFIX, s3://BUCKET/PREFIX or http(s)://KEY:SECRET@HOST:PORT/BUCKET/PREFIX, \
                     then ?OPTION=VALUE&… with the options region, forcePathStyle, endpoint, profile";

/// What stays readable in a printed bucket.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A parsed connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The bucket.
    pub bucket: String,
    /// The key prefix of the database as its keys have it, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The server, `http(s)://HOST:PORT`, where it isn't AWS.
    pub endpoint: Option<String>,
    /// The region, where one is named.
    pub region: Option<String>,
    /// Whether the bucket goes into the path of a request rather than its host name; by default only with an endpoint.
    pub force_path_style: bool,
    /// The profile of the AWS configuration files to use.
    pub profile: Option<String>,
    /// The keys; without them the default chain of AWS applies.
    pub credentials: Option<Keys>,
}

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("access_key", &"***")
            .field("secret_key", &"***")
            .finish()
    }
}

/// Why a connection string can't be used. It names the part at fault and never quotes the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionError {
    fault: String,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection string: {}; expected {FORMS}", self.fault)
    }
}

impl std::error::Error for ConnectionError {}

fn fault(fault: impl Into<String>) -> ConnectionError {
    ConnectionError {
        fault: fault.into(),
    }
}

impl std::str::FromStr for Connection {
    type Err = ConnectionError;

    /// # Errors
    /// Where the string has none of the known forms, or an unknown option.
    fn from_str(text: &str) -> Result<Self, ConnectionError> {
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| fault("it has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "s3" | "http" | "https") {
            return Err(fault("the scheme is none of s3, http and https"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (userinfo, place) = split_userinfo(place)?;
        if query.contains('@') && userinfo.is_none() {
            return Err(fault("a ? in a key must be written as %3F"));
        }
        let credentials = userinfo.map(parse_keys).transpose()?;
        let (host, path) = place.split_once('/').unwrap_or((place, ""));

        let mut connection = if scheme == "s3" {
            Self {
                bucket: decoded(host, "bucket")?,
                prefix: key_prefix(&scheme, path)?,
                ..Self::empty()
            }
        } else {
            check_host(host)?;
            let (bucket, prefix) = path
                .trim_start_matches('/')
                .split_once('/')
                .unwrap_or((path, ""));
            let bucket = decoded(bucket.trim_matches('/'), "bucket")?;
            let endpoint = Some(format!("{scheme}://{host}"));
            Self {
                bucket,
                prefix: key_prefix(&scheme, prefix)?,
                endpoint,
                ..Self::empty()
            }
        };
        connection.credentials = credentials;
        if connection.bucket.is_empty() || connection.bucket.contains(['/', ':', '@']) {
            return Err(fault(
                "the bucket is missing or isn't a name (an @ in a key must be written as %40)",
            ));
        }
        connection.set_options(query)?;
        Ok(connection)
    }
}

impl Connection {
    fn empty() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            force_path_style: false,
            profile: None,
            credentials: None,
        }
    }

    fn set_options(&mut self, query: &str) -> Result<(), ConnectionError> {
        let mut force_path_style = None;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let text = decoded(value, "options")?;
            if text.is_empty() {
                return Err(fault("an option has no value"));
            }
            match name {
                "region" => self.region = Some(text),
                "profile" => self.profile = Some(text),
                "forcePathStyle" => force_path_style = Some(parse_flag(&text)?),
                "endpoint" if self.endpoint.is_some() => {
                    return Err(fault(
                        "the option endpoint doesn't go with http(s)://, which names the server already",
                    ));
                }
                "endpoint" => self.endpoint = Some(parse_endpoint(&text)?),
                _ => {
                    return Err(fault(
                        "it has an option that is none of region, forcePathStyle, endpoint and profile",
                    ));
                }
            }
        }
        self.force_path_style = force_path_style.unwrap_or(self.endpoint.is_some());
        Ok(())
    }
}

/// The string again, with the keys masked.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mask = if self.credentials.is_some() {
            "***:***@"
        } else {
            ""
        };
        let bucket = utf8_percent_encode(&self.bucket, PLAIN);
        match self
            .endpoint
            .as_deref()
            .and_then(|endpoint| endpoint.split_once("://"))
        {
            Some((scheme, host)) => write!(f, "{scheme}://{mask}{host}/{bucket}")?,
            None => write!(f, "s3://{mask}{bucket}")?,
        }
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

/// Splits `KEY:SECRET@` off. Secrets of AWS hold `/`, so the first slash doesn't always end the keys: where no @ comes
/// before it, but a colon does and an @ follows, the keys end at the last @.
fn split_userinfo(place: &str) -> Result<(Option<&str>, &str), ConnectionError> {
    let first = place.find('/').unwrap_or(place.len());
    let (head, tail) = place.split_at(first);
    let at = match (head.rfind('@'), tail.rfind('@')) {
        (None, None) => return Ok((None, place)),
        // Which of them ends the keys can't be told, and a wrong guess would print a part of the secret.
        (Some(_), Some(_)) => {
            return Err(fault(
                "it has more than one @: one in a key must be written as %40, and beside a prefix with one the keys \
                 can't be in the string, only in the environment or a profile",
            ));
        }
        (Some(at), None) => at,
        (None, Some(at)) if head.contains(':') => first + at,
        (None, Some(_)) => return Ok((None, place)),
    };
    Ok((Some(&place[..at]), &place[at + 1..]))
}

fn parse_keys(userinfo: &str) -> Result<Keys, ConnectionError> {
    let (access_key, secret_key) = userinfo
        .split_once(':')
        .ok_or_else(|| fault("the secret key is missing"))?;
    let keys = Keys {
        access_key: decoded(access_key, "access key")?,
        secret_key: decoded(secret_key, "secret key")?,
    };
    if keys.access_key.is_empty() {
        return Err(fault("the access key is empty"));
    }
    if keys.secret_key.is_empty() {
        return Err(fault("the secret key is empty"));
    }
    Ok(keys)
}

fn check_host(host: &str) -> Result<(), ConnectionError> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let valid = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    if !valid {
        return Err(fault("the host isn't a name or an address"));
    }
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()
    }) {
        return Err(fault("the port isn't a number up to 65535"));
    }
    Ok(())
}

fn parse_endpoint(text: &str) -> Result<String, ConnectionError> {
    let endpoint = text.trim_end_matches('/');
    let (scheme, host) = endpoint
        .split_once("://")
        .ok_or_else(|| fault("the option endpoint isn't http(s)://HOST:PORT"))?;
    if !matches!(scheme, "http" | "https") {
        return Err(fault("the option endpoint isn't http(s)://HOST:PORT"));
    }
    check_host(host)?;
    Ok(endpoint.to_owned())
}

fn parse_flag(text: &str) -> Result<bool, ConnectionError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(fault("the option forcePathStyle is neither true nor false")),
    }
}

/// The key prefix that s3db.js makes of a path: the path as URLs have it, percent-encoded, which it doesn't decode. So what
/// is typed as `São Paulo` is `S%C3%A3o%20Paulo` in every key.
fn key_prefix(scheme: &str, path: &str) -> Result<String, ConnectionError> {
    let url = Url::parse(&format!("{scheme}://host/{path}"));
    let url = url.map_err(|_| fault("the prefix isn't a path"))?;
    let steps: Vec<&str> = url.path().split('/').filter(|s| !s.is_empty()).collect();
    Ok(steps.join("/"))
}

fn decoded(text: &str, part: &str) -> Result<String, ConnectionError> {
    let broken = || fault(format!("the percent-encoding of the {part} is broken"));
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let hex = rest.get(at + 1..at + 3).ok_or_else(broken)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return Err(broken());
        }
        rest = &rest[at + 3..];
    }
    Ok(percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| broken())?
        .into_owned())
}

#[cfg(test)]
mod tests;
