//! The checksums a client states, and computing them to see whether they hold.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto;
use serde::{Deserialize, Serialize};

/// Checksums of a body, each in base64 as S3 shows it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Checksums {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc32: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crc64nvme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

/// The checksums stated in a request's fields; every input that has them names them alike.
macro_rules! stated_checksums {
    ($input:expr) => {
        $crate::checksums::Checksums {
            crc32: $input.checksum_crc32.clone(),
            crc32c: $input.checksum_crc32c.clone(),
            crc64nvme: $input.checksum_crc64nvme.clone(),
            sha1: $input.checksum_sha1.clone(),
            sha256: $input.checksum_sha256.clone(),
        }
    };
}

/// Puts checksums into a reply's fields.
macro_rules! show_checksums {
    ($output:expr, $checksums:expr) => {{
        let checksums: $crate::checksums::Checksums = $checksums;
        $output.checksum_crc32 = checksums.crc32;
        $output.checksum_crc32c = checksums.crc32c;
        $output.checksum_crc64nvme = checksums.crc64nvme;
        $output.checksum_sha1 = checksums.sha1;
        $output.checksum_sha256 = checksums.sha256;
    }};
}

pub(crate) use {show_checksums, stated_checksums};

impl Checksums {
    /// Whether none is stated.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Checksums::default()
    }

    /// Adds those that came in the trailer, after the body.
    pub(crate) fn add_trailer(&mut self, trailer: &HeaderMap) {
        let get = |name: &str| trailer.get(name)?.to_str().ok().map(str::to_owned);
        for (field, name) in [
            (&mut self.crc32, "x-amz-checksum-crc32"),
            (&mut self.crc32c, "x-amz-checksum-crc32c"),
            (&mut self.crc64nvme, "x-amz-checksum-crc64nvme"),
            (&mut self.sha1, "x-amz-checksum-sha1"),
            (&mut self.sha256, "x-amz-checksum-sha256"),
        ] {
            if let Some(value) = get(name) {
                *field = Some(value);
            }
        }
    }

    /// Whether every checksum that `self` states has the same value in `computed`.
    pub(crate) fn hold_in(&self, computed: &Checksums) -> bool {
        let pairs = [
            (&self.crc32, &computed.crc32),
            (&self.crc32c, &computed.crc32c),
            (&self.crc64nvme, &computed.crc64nvme),
            (&self.sha1, &computed.sha1),
            (&self.sha256, &computed.sha256),
        ];
        pairs
            .iter()
            .all(|(stated, computed)| stated.is_none() || stated == computed)
    }
}

/// Computes the MD5 and the chosen checksums of a body.
pub(crate) struct Digests {
    md5: Md5,
    checksums: ChecksumHasher,
}

/// What [`Digests`] found.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) md5: [u8; 16],
    pub(crate) checksums: Checksums,
}

impl Computed {
    /// The ETag of an object put in one request.
    pub(crate) fn etag(&self) -> String {
        hex(&self.md5)
    }

    /// The value a matching `Content-MD5` header has.
    pub(crate) fn content_md5(&self) -> String {
        BASE64_STANDARD.encode(self.md5)
    }
}

impl Digests {
    /// Begins the checksums that `stated` has, and that of `algorithm`, if any.
    pub(crate) fn new(stated: &Checksums, algorithm: Option<&str>) -> Digests {
        fn begin<T: s3s::crypto::Checksum>(wanted: bool) -> Option<T> {
            wanted.then(T::new)
        }
        let is = |name| algorithm == Some(name);
        let checksums = ChecksumHasher {
            crc32: begin(stated.crc32.is_some() || is(dto::ChecksumAlgorithm::CRC32)),
            crc32c: begin(stated.crc32c.is_some() || is(dto::ChecksumAlgorithm::CRC32C)),
            crc64nvme: begin(stated.crc64nvme.is_some() || is(dto::ChecksumAlgorithm::CRC64NVME)),
            sha1: begin(stated.sha1.is_some() || is(dto::ChecksumAlgorithm::SHA1)),
            sha256: begin(stated.sha256.is_some() || is(dto::ChecksumAlgorithm::SHA256)),
        };
        Digests {
            md5: Md5::new(),
            checksums,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksums.update(bytes);
    }

    pub(crate) fn finish(self) -> Computed {
        let checksums = self.checksums.finalize();
        Computed {
            md5: self.md5.finalize(),
            checksums: stated_checksums!(checksums),
        }
    }
}

/// The ETag of an object made of parts: the MD5 of the parts' MD5s, and how many there were.
pub(crate) fn etag_of_parts(etags: &[String]) -> Option<String> {
    let mut md5 = Md5::new();
    for etag in etags {
        md5.update(&unhex(etag)?);
    }
    Some(format!("{}-{}", hex(&md5.finalize()), etags.len()))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<Vec<_>>>()?;
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair.get(1)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_what_s3_gives() {
        let mut digests = Digests::new(&Checksums::default(), None);
        digests.update(b"hello");
        let computed = digests.finish();
        assert_eq!(computed.etag(), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(computed.content_md5(), "XUFAKrxLKna5cZ2REBfFkg==");
        assert!(computed.checksums.is_empty());
        // printf hello | md5sum | xxd -r -p, twice, | md5sum
        let etag = etag_of_parts(&[computed.etag(), computed.etag()]).expect("hex");
        assert_eq!(etag, "616b22817b80eed9f65c3aa38cd29054-2");
        assert_eq!(etag_of_parts(&["xyz".into()]), None);
    }

    #[test]
    fn stated_checksums_are_compared() {
        let stated = Checksums {
            crc32: Some("NhCmhg==".into()),
            ..Checksums::default()
        };
        let mut digests = Digests::new(&stated, Some("SHA1"));
        digests.update(b"hello");
        let computed = digests.finish();
        assert!(stated.hold_in(&computed.checksums), "{computed:?}");
        assert_eq!(
            computed.checksums.sha1.as_deref(),
            Some("qvTGHdzF6KLavt4PO0gs2a6pQ00=")
        );
        let wrong = Checksums {
            sha256: Some("AAAA".into()),
            ..Checksums::default()
        };
        assert!(!wrong.hold_in(&computed.checksums));
    }
}
