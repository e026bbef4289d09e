//! The parts that a server holds of an upload that was begun before. object_store uploads parts but doesn't list them.

use std::collections::BTreeMap;

use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use md5::{Digest as _, Md5};
use object_store::multipart::PartId;
use object_store::path::Path;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use teeline_core::{BackupError, Class, ObjectKey};

use super::failure::find;
use super::rejected::Rejected;
use super::signed::generic;
use super::store::Store;

/// The parts of an upload, by their numbers from 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HeldParts(BTreeMap<usize, HeldPart>);

#[derive(Debug, Default, PartialEq, Eq)]
struct HeldPart {
    bytes: u64,
    etag: String,
    sha256: Option<String>,
}

impl HeldParts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the server calls the part of this number, where that is exactly these bytes: their MD5, which is the ETag of a part
    /// unless the server encrypts with keys of a customer's.
    pub(super) fn id_of(&self, index: usize, bytes: &[u8]) -> Option<PartId> {
        let part = self.0.get(&index)?;
        let has_size = part.bytes == bytes.len() as u64;
        let is_equal = has_size && part.etag.trim_matches('"') == md5_of(bytes);
        is_equal.then(|| part.id())
    }
}

impl HeldPart {
    /// As object_store makes it of the answer to a part that is sent with a checksum, which the end of the upload has to name too.
    fn id(&self) -> PartId {
        let etag = &self.etag;
        let content_id = match &self.sha256 {
            None => etag.clone(),
            Some(sha256) => format!(
                "<PartMetadata><e_tag>{etag}</e_tag><checksum_sha256>{sha256}</checksum_sha256></PartMetadata>"
            ),
        };
        PartId { content_id }
    }
}

/// In hexadecimal digits.
fn md5_of(bytes: &[u8]) -> String {
    let digest = u128::from_be_bytes(Md5::digest(bytes).into());
    format!("{digest:032x}")
}

impl Store {
    /// What the server holds of an upload; nothing, where it doesn't know of it any more, or can't say.
    pub(super) async fn held_parts(
        &self,
        key: &ObjectKey,
        upload: &str,
    ) -> Result<HeldParts, BackupError> {
        let Some(s3) = &self.s3 else {
            return Ok(HeldParts::default());
        };
        let path: Path = self.path("list parts", key)?;
        let failed = |error: object_store::Error| self.failure("list parts", key, &error);
        let (mut held, mut after) = (HeldParts::default(), None);
        loop {
            let query = parts_query(upload, after);
            let response = match s3
                .signed
                .to_object("GET", &path, &query, String::new())
                .await
            {
                Err(error)
                    if find::<Rejected>(&error).is_some_and(Rejected::is_not_implemented) =>
                {
                    return Ok(HeldParts::default());
                }
                Err(error) => {
                    let failure = failed(error);
                    return match failure.class() {
                        Class::NotFound => Ok(HeldParts::default()),
                        _ => Err(failure),
                    };
                }
                Ok(response) => response,
            };
            let body = response.into_body().bytes().await;
            let body = body.map_err(|error| failed(generic(error)))?;
            let page = parse(&String::from_utf8_lossy(&body)).ok_or_else(|| {
                let message = "its list of an upload's parts can't be read";
                BackupError::new(Class::Permanent, "list parts", self.subject(key), message)
            })?;
            held.0.extend(page.parts.0);
            match page.next {
                Some(next) if after.is_none_or(|after| after < next) => after = Some(next),
                _ => return Ok(held),
            }
        }
    }
}

fn parts_query(upload: &str, after: Option<u32>) -> String {
    let upload = utf8_percent_encode(upload, NON_ALPHANUMERIC);
    match after {
        None => format!("?uploadId={upload}"),
        Some(after) => format!("?part-number-marker={after}&uploadId={upload}"),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    parts: HeldParts,
    /// The number from 1 of the last part of the page, where another one follows.
    next: Option<u32>,
}

/// Reads a page; none, where it is no list of parts.
fn parse(body: &str) -> Option<Page> {
    let mut document = Document::new(body);
    let mut root = document.root_element().ok()?;
    if !root.start_el().matches("ListPartsResult") {
        return None;
    }
    let (mut page, mut next, mut is_truncated) = (Page::default(), None, false);
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            "Part" => page.parts.0.extend(part(&mut tag)?),
            "IsTruncated" => is_truncated = try_data(&mut tag).ok()? == "true",
            "NextPartNumberMarker" => next = try_data(&mut tag).ok()?.parse().ok(),
            _ => {}
        }
    }
    page.next = next.filter(|_| is_truncated);
    Some(page)
}

/// A part with its number; `Some(None)` for one that can't be told from others.
fn part(listed: &mut ScopedDecoder<'_, '_>) -> Option<Option<(usize, HeldPart)>> {
    let (mut number, mut part) = (None, HeldPart::default());
    while let Some(mut tag) = listed.next_tag() {
        match tag.start_el().local() {
            "PartNumber" => number = try_data(&mut tag).ok()?.parse::<usize>().ok(),
            "Size" => part.bytes = try_data(&mut tag).ok()?.parse().ok()?,
            "ETag" => part.etag = try_data(&mut tag).ok()?.into_owned(),
            "ChecksumSHA256" => part.sha256 = Some(try_data(&mut tag).ok()?.into_owned()),
            _ => {}
        }
    }
    let index = number.and_then(|number| number.checked_sub(1));
    // Both go into XML as they are.
    let is_base64 = |text: &String| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    };
    let is_usable = part.sha256.as_ref().is_none_or(is_base64);
    Some(index.filter(|_| is_usable).map(|index| (index, part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "<?xml version=\"1.0\"?><ListPartsResult xmlns=\"x\"><Bucket>b</Bucket><Key>k</Key>\
        <IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>\
        <Part><PartNumber>1</PartNumber><ETag>&quot;900150983cd24fb0d6963f7d28e17f72&quot;</ETag><Size>3</Size></Part>\
        <Part><PartNumber>2</PartNumber><ETag>\"900150983cd24fb0d6963f7d28e17f72\"</ETag><Size>3</Size>\
        <ChecksumSHA256>ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=</ChecksumSHA256></Part></ListPartsResult>";

    #[test]
    fn a_page_is_read_and_nothing_else_is_taken_for_one() {
        let page = parse(BODY).unwrap();
        assert_eq!(page.next, Some(2));
        assert_eq!(page.parts.0.len(), 2);
        for body in [
            "",
            "<html>gateway</html>",
            "<ListBucketResult></ListBucketResult>",
            "<",
        ] {
            assert_eq!(parse(body), None, "{body}");
        }
        assert_eq!(parse(&BODY.replace("true", "false")).unwrap().next, None);
    }

    /// The digests of `abc` are those of RFC 1321 and of FIPS 180-2.
    #[test]
    fn a_part_is_held_where_it_is_exactly_these_bytes() {
        let held = parse(BODY).unwrap().parts;
        let id = |index, bytes| held.id_of(index, bytes).map(|id| id.content_id);
        let plain = "\"900150983cd24fb0d6963f7d28e17f72\"";
        assert_eq!(id(0, b"abc").as_deref(), Some(plain));
        let named = id(1, b"abc").unwrap();
        assert!(
            named.contains(plain) && named.contains("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
        );
        for (index, bytes) in [(0, b"abd".as_slice()), (0, b"ab"), (2, b"abc")] {
            assert_eq!(id(index, bytes), None, "{index}");
        }
    }

    #[test]
    fn a_checksum_that_is_none_is_not_passed_on() {
        let body = BODY.replace("ungWv48Bz", "&lt;/e_tag&gt;");
        assert_eq!(parse(&body).unwrap().parts.0.len(), 1);
    }
}
