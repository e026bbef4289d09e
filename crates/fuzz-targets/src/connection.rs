//! Connection strings and places.

use std::fmt::{Debug, Display};

use teeline::DestinationSpec;
use teeline_sources::s3db::Connection;

/// A secret that is in inputs, and must be in nothing that is printed of them.
const SECRET: &str = "Zq7SecretKeyOfTheFuzzersZq7";

/// Takes a connection string, which may be the text of a destination as well.
pub(crate) fn connection(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let has_secret = has_secret(text);
    let keeps = |printed: String| assert!(!has_secret || !printed.contains(SECRET), "{printed}");
    keeps(printed(text.parse::<Connection>()));
    keeps(printed(DestinationSpec::parse(text)));
}

fn printed<T: Debug, E: Display + Debug>(parsed: Result<T, E>) -> String {
    match parsed {
        Ok(parsed) => format!("{parsed:?}"),
        Err(error) => format!("{error} {error:?}"),
    }
}

/// Whether the secret stands where a secret does, and nowhere else.
fn has_secret(text: &str) -> bool {
    let mut around = text.split(SECRET);
    let (Some(before), Some(after), None) = (around.next(), around.next(), around.next()) else {
        return false;
    };
    let Some((scheme, key)) = before.split_once("://") else {
        return false;
    };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_key = key.strip_suffix(':').is_some_and(is_plain);
    is_plain(scheme) && is_key && after.starts_with('@')
}
