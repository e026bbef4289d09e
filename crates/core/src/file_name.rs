//! Injective file names: two resources never share a file, whatever they are called.
//!
//! ASCII letters, digits, `-`, `_` and `.` stand for themselves, save a leading `_` or `.` (names that begin so are ours,
//! or hidden); every other byte of the UTF-8 is written `=XX`. A name that gets too long for a file system keeps its
//! beginning and ends in `==` and a digest; `==` occurs in no other name, since two digits follow each `=`.

use crate::digest::Digest;

const STEM_BYTES_MAX: usize = 180;
const STEM_BYTES_KEPT: usize = 120;

/// The file name, less its suffix, for a resource.
///
/// ```
/// use teeline_core::file_stem;
/// assert_eq!(file_stem("users"), "users");
/// assert_eq!(file_stem("_objects"), "=5Fobjects");
/// assert_eq!(file_stem("a b/c"), "a=20b=2Fc");
/// ```
pub fn file_stem(resource: &str) -> String {
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
        return stem;
    }
    let digest = Digest::of(resource.as_bytes()).to_string();
    let kept = stem.len().min(STEM_BYTES_KEPT);
    format!("{}=={}", &stem[..kept], &digest[..32])
}

/// As [`file_stem`], with upper-case letters escaped too: for a resource whose stem differs from another's in case only,
/// which some file systems take for the same.
pub fn file_stem_case_escaped(resource: &str) -> String {
    file_stem(resource)
        .split_inclusive('=')
        .enumerate()
        .map(|(index, part)| {
            // What follows a `=` starts with its two hexadecimal digits, which are upper-case by design.
            let (escape, rest) = if index == 0 {
                ("", part)
            } else {
                part.split_at(part.len().min(2))
            };
            let rest: String = rest
                .chars()
                .map(|c| {
                    if c.is_ascii_uppercase() {
                        format!("={:02X}", u32::from(c))
                    } else {
                        c.to_string()
                    }
                })
                .collect();
            format!("{escape}{rest}")
        })
        .collect()
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
        assert_eq!(file_stem_case_escaped("Users é"), "=55sers=20=C3=A9");
    }

    proptest! {
        #[test]
        fn different_names_have_different_stems(a in "\\PC{0,300}", b in "\\PC{0,300}") {
            prop_assert_eq!(a == b, file_stem(&a) == file_stem(&b));
            prop_assert!(file_stem(&a).len() <= STEM_BYTES_MAX);
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
