//! Text → place. Written by hand rather than with a URL parser, since secret access keys hold `/` and `+`, which people
//! paste as they are.
//!
//! The rules: the first `?` begins the query; the first `@` before it ends `KEY:SECRET`; every other `?` and `@` is
//! written percent-encoded. Everything is percent-decoded, and a `+` is a plus.

use std::path::PathBuf;

use teeline_core::{ObjectKey, PathTemplate};
use url::Url;

use super::{Place, S3Place, Secret};

/// What is accepted, for messages.
pub(super) const FORMS: &str = "a path, file:///path, s3://[KEY:SECRET@]bucket/prefix?region=…&endpoint=…, s3://./prefix (the database's own bucket), \
     http(s)://[KEY:SECRET@]host:port/bucket/prefix; each with name= before it to name it";

const PARAMETERS: [&str; 5] = [
    "region",
    "endpoint",
    "profile",
    "path_style",
    "session_token",
];
/// Stands for the bucket of the database that is backed up. No bucket is called so.
pub(super) const OWN_BUCKET: &str = ".";
const BUCKET_CHARACTERS_MAX: usize = 255;

/// Why the text is no place. Never quotes it, save the scheme and names of parameters that can't be secrets.
type Refusal = String;

pub(super) fn place(text: &str) -> Result<Place, Refusal> {
    let measured = ["null:", "memory:", "sim:"];
    if let Some(kind) = measured.iter().find(|kind| text.starts_with(**kind)) {
        return Err(format!(
            "{kind} keeps nothing, and is for teeline bench only; for a folder of that name write ./ before it"
        ));
    }
    no_variables(text)?;
    match scheme(text) {
        None => folder(text).map(Place::Folder),
        Some((scheme, rest)) => match scheme.as_str() {
            "file" => file_url(text).map(Place::Folder),
            "s3" => s3(rest, None),
            "http" | "https" => s3(rest, Some(&scheme)),
            _ => Err(format!("the scheme {scheme}:// isn't supported")),
        },
    }
}

/// Refuses a place that would be meant to be another one for each backup.
pub(crate) fn no_variables(text: &str) -> Result<(), Refusal> {
    match PathTemplate::is_looked_for_in(text) {
        true => Err(
            "it has a variable such as {date} in it; a destination is one place, and where in it a backup goes is \
             said by `path` in `[backup]`"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

/// The scheme in lower case and what follows `://`.
pub(crate) fn scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    fits.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// A path, checked for what is likely a mistake.
pub(crate) fn folder(text: &str) -> Result<PathBuf, Refusal> {
    if text.is_empty() || text == "-" {
        return Err("no path is given".to_owned());
    }
    if text.starts_with('-') {
        return Err(
            "a path that begins with '-' is rather an option; for a folder of that name write ./ before it".to_owned(),
        );
    }
    if text.chars().any(char::is_control) {
        return Err("a path with control characters isn't supported".to_owned());
    }
    if text == "~" || text.starts_with("~/") {
        return Err(
            "'~' at the beginning of a path is expanded by the shell only, where it isn't quoted nor after \
             name=; write the whole path"
                .to_owned(),
        );
    }
    // A URL whose scheme was forgotten or mistyped would become a folder whose name shows the secret.
    let first = text.split('/').next().unwrap_or_default();
    let like_a_url = ["s3:", "http:", "https:", "file:"]
        .iter()
        .any(|scheme| text.to_ascii_lowercase().starts_with(scheme));
    if like_a_url || (first.contains(':') && text.contains('@')) {
        return Err(
            "this looks like a URL without '://'; for a folder of that name write ./ before it"
                .to_owned(),
        );
    }
    Ok(PathBuf::from(text))
}

/// The path of a file URL.
pub(crate) fn file_url(text: &str) -> Result<PathBuf, Refusal> {
    let form = || "a file URL holds a whole path after three slashes: file:///path".to_owned();
    let url = Url::parse(text).map_err(|_| form())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("in a file URL '?' is written %3F and '#' is written %23".to_owned());
    }
    if url.host_str().is_some_and(|host| host != "localhost") {
        return Err(form());
    }
    url.to_file_path().map_err(|()| form())
}

/// The rest of `s3://` or, with a web scheme, of `http://` and `https://`.
fn s3(rest: &str, web_scheme: Option<&str>) -> Result<Place, Refusal> {
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    if query.is_some_and(|query| query.contains('@')) {
        return Err(
            "a '?' before '@' is written %3F, and an '@' after '?' is written %40".to_owned(),
        );
    }
    let (keys, path) = split_keys(before_query, web_scheme.is_some())?;
    let mut place = S3Place::default();
    let keys_given = keys.is_some();
    if let Some((key_id, secret)) = keys {
        place.access_key_id = Some(decoded(key_id, "the access key id")?);
        place.secret_access_key = Some(Secret::new(decoded(secret, "the secret access key")?));
    }
    let path = match web_scheme {
        None => path,
        Some(scheme) => {
            let (host, path) = path.split_once('/').unwrap_or((path, ""));
            place.endpoint = Some(endpoint(&format!("{scheme}://{host}"))?);
            path
        }
    };
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    // An empty name may be a variable of a shell that isn't set, so the database's own bucket has one.
    if web_scheme.is_some() || keys_given || bucket != OWN_BUCKET {
        place.bucket = bucket_name(bucket)?;
    }
    if !prefix.is_empty() {
        place.prefix = key_prefix(&decoded(prefix, "the prefix")?)?;
    }
    let parameters = query.unwrap_or_default().split('&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        set_parameter(&mut place, parameter, web_scheme.is_some())?;
    }
    place.check().map_err(str::to_owned)?;
    Ok(Place::S3(place))
}

type Keys<'a> = Option<(&'a str, &'a str)>;

/// Splits `KEY:SECRET@` off. The secret may hold raw slashes.
fn split_keys(text: &str, after_web_scheme: bool) -> Result<(Keys<'_>, &str), Refusal> {
    let Some((user, rest)) = text.split_once('@') else {
        return Ok((None, text));
    };
    if rest.contains('@') {
        return Err(
            "there is more than one '@'; within a secret or a prefix it is written %40".to_owned(),
        );
    }
    match user.split_once(':') {
        Some((key_id, secret))
            if !key_id.contains('/') && !key_id.is_empty() && !secret.is_empty() =>
        {
            // Either credentials, or a server's port, a bucket, and a prefix with an '@'.
            let port = secret.split_once('/').map_or("", |(port, _)| port);
            let may_be_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            if after_web_scheme && may_be_port {
                return Err(
                    "what stands before '@' is either KEY:SECRET or host:port/bucket; \
                     write a '/' of a secret as %2F, or an '@' of a prefix as %40"
                        .to_owned(),
                );
            }
            Ok((Some((key_id, secret)), rest))
        }
        _ => Err(
            "what stands before '@' isn't KEY:SECRET; within a prefix '@' is written %40"
                .to_owned(),
        ),
    }
}

fn set_parameter(
    place: &mut S3Place,
    parameter: &str,
    after_web_scheme: bool,
) -> Result<(), Refusal> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let Some(name) = PARAMETERS.into_iter().find(|known| *known == name) else {
        // The name may be the rest of a secret that holds a raw '&' or '?', so only what it resembles is shown.
        let nearest = crate::config::nearest(name, &PARAMETERS);
        let hint = nearest.map_or(String::new(), |known| format!("; did you mean {known}?"));
        let accepted = PARAMETERS.join(", ");
        return Err(format!(
            "unknown parameter after '?'; accepted: {accepted}{hint}"
        ));
    };
    let value = decoded(value, name)?;
    let twice = match name {
        "region" => place.region.replace(value).is_some(),
        "profile" => place.profile.replace(value).is_some(),
        "session_token" => place.session_token.replace(Secret::new(value)).is_some(),
        "endpoint" if after_web_scheme => {
            return Err(
                "endpoint is a parameter of s3:// only; here the server stands before the bucket"
                    .to_owned(),
            );
        }
        "endpoint" => place.endpoint.replace(endpoint(&value)?).is_some(),
        _ => {
            let value = match value.as_str() {
                "true" => true,
                "false" => false,
                _ => return Err("path_style is neither true nor false".to_owned()),
            };
            place.path_style.replace(value).is_some()
        }
    };
    if twice {
        return Err(format!("the parameter {name} is given twice"));
    }
    Ok(())
}

/// A server's address in one spelling: lower case, no default port, no slash at the end.
pub(crate) fn endpoint(text: &str) -> Result<String, Refusal> {
    let refuse = || Err("the server isn't of the form http://host:port or https://host".to_owned());
    let Ok(url) = Url::parse(text) else {
        return refuse();
    };
    let plain = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
        return refuse();
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the server's address must not hold credentials; they have settings of their own"
                .to_owned(),
        );
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A bucket's name, checked as far as all servers agree.
pub(crate) fn bucket_name(text: &str) -> Result<String, Refusal> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if text.is_empty() {
        return Err("no bucket is named".to_owned());
    }
    if text.len() > BUCKET_CHARACTERS_MAX || !text.bytes().all(fits) || matches!(text, "." | "..") {
        return Err("the bucket's name isn't made of letters, digits, '.', '-' and '_'".to_owned());
    }
    Ok(text.to_owned())
}

/// A prefix without slashes at its ends.
pub(crate) fn key_prefix(text: &str) -> Result<String, Refusal> {
    let trimmed = text.trim_matches('/');
    if trimmed.is_empty() || ObjectKey::new(trimmed).is_ok() {
        return Ok(trimmed.to_owned());
    }
    Err(
        "the prefix isn't made of names between single slashes, none of them '.' or '..'"
            .to_owned(),
    )
}

/// Percent-decodes; `what` names it in messages.
fn decoded(text: &str, what: &str) -> Result<String, Refusal> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(format!(
                "in {what} a '%' isn't followed by two hexadecimal digits; write it as %25"
            ));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{what} isn't UTF-8"))?;
    check_text(&text).map_err(|message| format!("{what} {message}"))?;
    Ok(text)
}

/// Refuses what no setting can be: it would break headers, keys or logs.
pub(crate) fn check_text(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.chars().any(char::is_control) {
        return Err("holds control characters, such as a line break at its end");
    }
    Ok(())
}
