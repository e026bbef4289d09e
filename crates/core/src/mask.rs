//! Text that may quote what somebody typed, without the secrets of URLs.
//!
//! A connection string can land anywhere: in another option, in a variable that holds something else, in a file's name. So
//! nobody who makes a message decides whether it may hold one: all messages go through here.

use std::borrow::Cow;

/// What stands where a secret stood.
const MASK: &str = "***";

/// User information that is none: masked already, or in the form of a URL as messages explain it.
const HARMLESS: [&str; 2] = ["***:***", "KEY:SECRET"];

/// The parameter of a URL that is a secret.
const TOKEN: &str = "session_token=";

/// `text` without the user information and the session tokens of the URLs in it. Also of broken ones: a slash is enough to
/// make it a URL, and the user information goes up to the last `@` of the word, since secrets hold slashes.
///
/// ```
/// use teeline_core::masked;
///
/// assert_eq!(masked("no `s3://KEY:SEC/RET@bucket` here"), "no `s3://***@bucket` here");
/// assert_eq!(masked("ask me@example.com, or http://host/path"), "ask me@example.com, or http://host/path");
/// ```
pub fn masked(text: &str) -> Cow<'_, str> {
    if !text.contains(":/") {
        return Cow::Borrowed(text);
    }
    let words = text.split_inclusive(char::is_whitespace);
    Cow::Owned(words.map(masked_word).collect())
}

/// Whether `text`, which is to be the name of something, is rather a URL, or a broken one with secrets in it.
pub fn looks_like_url(text: &str) -> bool {
    text.contains("://") || masked(text) != text
}

fn masked_word(word: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = word.split_once(":/") else {
        return Cow::Borrowed(word);
    };
    let place = rest.trim_start_matches('/');
    let slashes = &rest[..rest.len() - place.len()];
    let place = without_tokens(place);
    let (mask, place) = match place.rfind('@') {
        Some(at) if !HARMLESS.contains(&place[..at].trim_start_matches('[')) => {
            (MASK, &place[at..])
        }
        _ => ("", &*place),
    };
    Cow::Owned(format!("{scheme}:/{slashes}{mask}{place}"))
}

fn without_tokens(place: &str) -> String {
    let mut parts = place.split(TOKEN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = |c: char| c == '&' || c.is_whitespace() || "\"'`".contains(c);
        let end = part.find(is_end).unwrap_or(part.len());
        text.push_str(TOKEN);
        text.push_str(MASK);
        text.push_str(&part[end..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "a@b and s3://bucket/x\n",
            "write /mnt/a@b/c: no space left on device",
            "http://127.0.0.1:9000/bucket/copies",
            "backup.toml:3:1: `backup.level` is 13",
            "read s3://***:***@bucket/shop: no such object",
            "accepted: s3://[KEY:SECRET@]bucket/prefix, http://KEY:SECRET@host:port/bucket",
        ] {
            assert_eq!(masked(text), text);
        }
        assert_eq!(
            masked("'s3://b/p?region=r&session_token=abc/+=&path_style=true' isn't a path"),
            "'s3://b/p?region=r&session_token=***&path_style=true' isn't a path"
        );
        assert_eq!(masked("s3:/key:secret@bucket"), "s3:/***@bucket");
    }

    #[test]
    fn names_are_told_from_urls() {
        for name in ["users", "a:b@c", "C:/in/users.jsonl", "./a@b", ""] {
            assert!(!looks_like_url(name), "{name}");
        }
        for url in ["s3://bucket", "s3:/key:secret@bucket"] {
            assert!(looks_like_url(url), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_is_left_and_nothing_else_is_lost(
            before in "([^:\\s]{0,8} ){0,3}[\"'`(=]?",
            scheme in "[a-z][a-z0-9+.-]{0,5}",
            slashes in "/{1,3}",
            around in ("\\S{0,8}", "\\S{0,8}"),
            host in "[a-z][a-z0-9.:/-]{0,20}",
            after in "[\"'`),;]?( [^:\\s]{0,8}){0,3}",
        ) {
            let user = format!("{}CANARY{}", around.0, around.1);
            let text = format!("{before}{scheme}:{slashes}{user}@{host}{after}");
            let shown = masked(&text);
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
            let (begin, end) = (format!("{before}{scheme}:/"), format!("@{host}{after}"));
            prop_assert!(shown.starts_with(&begin) && shown.ends_with(&end), "{}", shown);
            prop_assert_eq!(masked(&shown), shown.as_ref());
        }

        #[test]
        fn no_token_is_left(around in ("[^&\"'`\\s]{0,8}", "[^&\"'`\\s]{0,8}"), after in "(&[a-z=@]{0,9})?") {
            let text = format!("x s3://b/p?session_token={}CANARY{}{after} y", around.0, around.1);
            let shown = masked(&text);
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
        }

        #[test]
        fn text_without_urls_is_kept(text in "[^:]{0,40}") {
            prop_assert_eq!(masked(&text), text.as_str());
        }
    }
}
