//! Injective file names: two resources never share a file, whatever they are called.
//!
//! ASCII letters, digits, `-`, `_` and `.` stand for themselves, save a leading `_` or `.` (names that begin so are ours,
//! or hidden); every other byte of the UTF-8 is written `=XX`. A name that gets too long for a file system keeps its
//! beginning and ends in `==` and a digest, and so does one that another differs from in case only; `==` occurs in no other
//! name, since two digits follow each `=`.

use std::collections::HashSet;

use crate::digest::Digest;

const STEM_BYTES_MAX: usize = 180;
const STEM_BYTES_KEPT: usize = 120;

/// The file name, less its suffix, for a resource.
fn file_stem(resource: &str) -> String {
    let mut stem = String::with_capacity(resource.len());
    for (index, byte) in resource.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || byte == b'-'
            || (index > 0 && (byte == b'_' || byte == b'.'));
        if plain {
            stem.push(char::from(byte));
        } else {
            stem.push_str(&format!("={byte:02X}"));
        }
    }
    if stem.len() <= STEM_BYTES_MAX && !stem.is_empty() {
        stem
    } else {
        with_digest(&stem, resource)
    }
}

fn with_digest(stem: &str, resource: &str) -> String {
    let digest = Digest::of(resource.as_bytes()).to_string();
    let kept = stem.len().min(STEM_BYTES_KEPT);
    format!("{}=={}", &stem[..kept], &digest[..32])
}

/// Stems of the resources of one backup, no two of them the same, not even to file systems that take upper and lower case
/// for the same: there, the later one gets a digest.
///
/// ```
/// use teeline_core::Stems;
/// let mut stems = Stems::default();
/// assert_eq!(stems.take("users"), "users");
/// assert_eq!(stems.take("_objects"), "=5Fobjects");
/// assert_eq!(stems.take("a b/c"), "a=20b=2Fc");
/// assert!(stems.take("Users").starts_with("Users=="));
/// ```
#[derive(Debug, Default)]
pub struct Stems(HashSet<String>);

impl Stems {
    /// The stem of the next resource. The same resources in the same order have the same stems.
    pub fn take(&mut self, resource: &str) -> String {
        let plain = file_stem(resource);
        let stem = match self.0.contains(&plain.to_lowercase()) {
            true => with_digest(&plain, resource),
            false => plain,
        };
        self.0.insert(stem.to_lowercase());
        stem
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reserved_names_are_escaped() {
        for name in [
            "_objects",
            "_database",
            ".",
            "..",
            ".hidden",
            "a~0002",
            "CON:",
        ] {
            let stem = file_stem(name);
            assert!(
                !stem.starts_with(['_', '.']) && !stem.contains(['~', '/', ':']),
                "{stem}"
            );
        }
    }

    proptest! {
        #[test]
        fn different_names_have_different_stems(a in "\\PC{0,300}", b in "\\PC{0,300}") {
            prop_assert_eq!(a == b, file_stem(&a) == file_stem(&b));
            prop_assert!(file_stem(&a).len() <= STEM_BYTES_MAX);
        }

        #[test]
        fn stems_of_one_backup_differ_whatever_the_case(names in proptest::collection::hash_set("[aAbB]{1,3}|[sS]{190}", 0..40)) {
            let mut stems = Stems::default();
            let taken: HashSet<String> = names.iter().map(|name| stems.take(name).to_lowercase()).collect();
            prop_assert_eq!(taken.len(), names.len());
        }

        #[test]
        fn short_stems_can_be_read_back(name in "\\PC{1,40}") {
            let stem = file_stem(&name);
            prop_assume!(!stem.contains("=="));
            let mut bytes = Vec::new();
            let mut rest = stem.as_bytes();
            while let Some((first, tail)) = rest.split_first() {
                if *first == b'=' {
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
                    rest = &tail[2..];
                } else {
                    bytes.push(*first);
                    rest = tail;
                }
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), name);
        }
    }
}
