//! One page of `ListObjectsV2`: keys and common prefixes, in byte order.
//!
//! A continuation token names the last thing shown, so pages stay right while objects come and go,
//! and any server over the same folder can go on with it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{CommonPrefix, ETag, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object};
use s3s::{S3Result, s3_error};

use crate::key_path::url_encode;
use crate::store::{OrInternal as _, Store};

/// Entries on a page, at most and unless told otherwise.
pub(crate) const PAGE_MAX: usize = 1000;

/// Where a page begins.
#[derive(Debug, Default, PartialEq, Eq)]
struct Start {
    /// Keys up to and including this are over.
    after: String,
    /// So are all that begin with it: it was shown as a common prefix.
    whole_prefix: bool,
}

impl Start {
    fn token(&self) -> String {
        let kind = if self.whole_prefix { 'p' } else { 'k' };
        BASE64_URL_SAFE_NO_PAD.encode(format!("{kind}{}", self.after))
    }

    fn parse(token: &str) -> S3Result<Start> {
        let parsed = (|| {
            let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            let whole_prefix = match text.get(..1)? {
                "p" => true,
                "k" => false,
                _ => return None,
            };
            Some(Start {
                after: text.get(1..)?.to_owned(),
                whole_prefix,
            })
        })();
        parsed.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not valid"))
    }
}

/// The page that `input` asks for.
///
/// # Errors
///
/// `NoSuchBucket`, or `InvalidArgument` for a token that isn't one or a negative `max-keys`.
pub(crate) fn page(store: &Store, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let bucket = store.bucket(&input.bucket)?;
    let limit = page_limit(input.max_keys)?;
    let encode = encoder(input.encoding_type.as_ref())?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let start = match &input.continuation_token {
        Some(token) => Start::parse(token)?,
        None => Start {
            after: input.start_after.clone().unwrap_or_default(),
            whole_prefix: false,
        },
    };

    let mut walk = store.walk(&bucket, prefix.clone().into(), start.after.clone().into());
    if start.whole_prefix {
        walk.skip(start.after.into());
    }
    let mut contents = Vec::new();
    let mut common_prefixes = Vec::new();
    let mut next = None;
    let mut last = Start::default();
    while limit > 0
        && let Some(key) = walk.next_key().or_internal()?
    {
        let full = contents.len() + common_prefixes.len() == limit;
        if let Some(common) = common_prefix(&key, &prefix, delimiter.as_deref()) {
            if full {
                next = Some(last.token());
                break;
            }
            common_prefixes.push(CommonPrefix {
                prefix: Some(encode(common)),
            });
            walk.skip(common.into());
            last = Start {
                after: common.to_owned(),
                whole_prefix: true,
            };
        } else {
            let Some(opened) = store.open_listed(&bucket, &key).or_internal()? else {
                continue;
            };
            if full {
                next = Some(last.token());
                break;
            }
            contents.push(Object {
                key: Some(encode(&key)),
                size: i64::try_from(opened.size).ok(),
                last_modified: Some(opened.header.modified()),
                storage_class: Some(opened.header.attributes.shown_class().into()),
                e_tag: Some(ETag::Strong(opened.header.etag)),
                ..Object::default()
            });
            last = Start {
                after: key,
                whole_prefix: false,
            };
        }
    }

    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode(&prefix)),
        delimiter: delimiter.as_deref().map(&encode),
        start_after: input.start_after.as_deref().map(&encode),
        encoding_type: input.encoding_type,
        continuation_token: input.continuation_token,
        max_keys: i32::try_from(limit).ok(),
        key_count: i32::try_from(contents.len() + common_prefixes.len()).ok(),
        is_truncated: Some(next.is_some()),
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        ..ListObjectsV2Output::default()
    })
}

/// How many entries a page may have.
pub(crate) fn page_limit(asked: Option<i32>) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(PAGE_MAX),
        Some(Ok(asked)) => Ok(asked.min(PAGE_MAX)),
        Some(Err(_)) => Err(s3_error!(
            InvalidArgument,
            "a page can't have fewer than no entries"
        )),
    }
}

/// How keys are written into a listing.
pub(crate) fn encoder(encoding: Option<&EncodingType>) -> S3Result<fn(&str) -> String> {
    match encoding.map(EncodingType::as_str) {
        None => Ok(str::to_owned),
        Some(EncodingType::URL) => Ok(url_encode),
        Some(_) => Err(s3_error!(InvalidArgument, "the only encoding type is url")),
    }
}

/// The common prefix that stands for `key`, if it has the delimiter beyond the listing's prefix.
pub(crate) fn common_prefix<'k>(
    key: &'k str,
    prefix: &str,
    delimiter: Option<&str>,
) -> Option<&'k str> {
    let delimiter = delimiter?;
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_others_are_refused() {
        for start in [
            Start {
                after: "a/b\né".into(),
                whole_prefix: false,
            },
            Start {
                after: "a/".into(),
                whole_prefix: true,
            },
        ] {
            assert_eq!(Start::parse(&start.token()).expect("own token"), start);
        }
        for token in ["", "!", "eHg", "w6k"] {
            assert!(Start::parse(token).is_err(), "{token}");
        }
    }

    #[test]
    fn common_prefixes_end_at_the_first_delimiter() {
        assert_eq!(common_prefix("a/b/c", "", Some("/")), Some("a/"));
        assert_eq!(common_prefix("a/b/c", "a/", Some("/")), Some("a/b/"));
        assert_eq!(common_prefix("a/b/c", "a", Some("/")), Some("a/"));
        assert_eq!(common_prefix("a/b", "a/", Some("/")), None);
        assert_eq!(common_prefix("axxbxxc", "a", Some("xx")), Some("axx"));
        assert_eq!(common_prefix("a/b", "", None), None);
    }
}
