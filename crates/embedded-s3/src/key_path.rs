//! Where a key's object lies below a bucket's `objects` folder, and which key a file name stands for.
//!
//! The layout has to give keys back in byte order without opening the files, and without an index
//! that another process could make stale. So the folders are the index: a key is cut at each `/`
//! into nested directories, and a name is the escaped bytes plus one last character that says what
//! it is, which lets an object `a/1` lie beside the directory of `a/1/child`:
//!
//! - `name@`: the object whose key ends here;
//! - `name+`: the directory of the keys that go on with `/`;
//! - `name~`: exactly 80 bytes of a longer piece, which goes on inside. Escaped, a piece of any
//!   length would not fit the 255 bytes that file systems allow.
//!
//! A listing page then reads only the directories that can hold its keys: a prefix or a delimiter
//! prunes whole subtrees. The kept characters are the lower-case ones, so keys that differ in case
//! or in Unicode form stay apart on file systems that would fold them together. A key of 1024 bytes
//! becomes a path of at most about 3.1 KiB.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode_byte};

const OBJECT: char = '@';
const DIRECTORY: char = '+';
const LONGER: char = '~';

/// Bytes of a piece per [`LONGER`] level; three times this plus one must stay below 255.
const PIECE_BYTES: usize = 80;

/// What a file name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An object: the bytes so far are its whole key.
    Object,
    /// A directory: every key below begins with the bytes so far.
    Directory,
}

/// The path of the object `key`, relative to the bucket's `objects` folder.
pub(crate) fn object_path(key: &[u8]) -> PathBuf {
    let (mut path, rest) = descend(key);
    path.push(escape(rest, OBJECT));
    path
}

/// The path of the directory that stands for `start`, as [`append`] spelled it out.
pub(crate) fn directory_path(start: &[u8]) -> PathBuf {
    descend(start).0
}

/// Appends to `bytes` what the file name `name` stands for; `None` for a name that isn't ours.
pub(crate) fn append(bytes: &mut Vec<u8>, name: &[u8]) -> Option<Kind> {
    let (mark, escaped) = name.split_last()?;
    let kind = match char::from(*mark) {
        OBJECT => Kind::Object,
        DIRECTORY | LONGER => Kind::Directory,
        _ => return None,
    };
    bytes.extend(percent_decode(escaped));
    if char::from(*mark) == DIRECTORY {
        bytes.push(b'/');
    }
    Some(kind)
}

/// The directories that `bytes` leads through, and the bytes left over, fewer than [`PIECE_BYTES`].
fn descend(bytes: &[u8]) -> (PathBuf, &[u8]) {
    let mut path = PathBuf::new();
    let mut pieces = bytes.split(|byte| *byte == b'/').peekable();
    let mut rest: &[u8] = &[];
    while let Some(mut piece) = pieces.next() {
        // A full piece always goes one level down, also when nothing follows: names of one
        // directory then never overlap in order, which walking in key order relies on.
        while let Some((full, more)) = piece.split_at_checked(PIECE_BYTES) {
            path.push(escape(full, LONGER));
            piece = more;
        }
        if pieces.peek().is_some() {
            path.push(escape(piece, DIRECTORY));
        } else {
            rest = piece;
        }
    }
    (path, rest)
}

fn escape(piece: &[u8], mark: char) -> String {
    let mut name = String::with_capacity(piece.len() + 8);
    for &byte in piece {
        if byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'-' | b'.' | b'_' | b'=')
        {
            name.push(char::from(byte));
        } else {
            name.push_str(percent_encode_byte(byte));
        }
    }
    name.push(mark);
    name
}

/// Percent-encodes `text` the way S3 does in listings with `encoding-type=url`: `/` stays.
pub(crate) fn url_encode(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a path back into a key, as a walk does.
    fn read_back(path: &std::path::Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        for component in path.components() {
            append(&mut bytes, component.as_os_str().as_encoded_bytes()).expect("ours");
        }
        bytes
    }

    #[test]
    fn every_key_reads_back_and_fits_a_file_name() {
        let keys = [
            "a".to_owned(),
            "a/1".into(),
            "a/1/child".into(),
            "/".into(),
            "//".into(),
            "..".into(),
            "../x/./y/".into(),
            "A%2fé\u{0}\n\u{1f600}".into(),
            "x".repeat(80),
            "x".repeat(81),
            format!("{}/", "x".repeat(160)),
            "X".repeat(1024),
            "/".repeat(1024),
            "\u{1f600}".repeat(256),
        ];
        for key in keys {
            let path = object_path(key.as_bytes());
            assert_eq!(read_back(&path), key.as_bytes(), "{key}");
            assert!(
                path.as_os_str().len() < 3200,
                "{} bytes for {key}",
                path.as_os_str().len()
            );
            for component in path.components() {
                assert!(component.as_os_str().len() <= 255, "{key}");
            }
            let parent = path.parent().expect("a parent");
            assert_eq!(directory_path(&read_back(parent)), parent, "{key}");
        }
    }

    #[test]
    fn different_keys_have_different_paths() {
        assert_ne!(object_path(b"a"), object_path(b"A"));
        assert_ne!(object_path(b"a/"), object_path(b"a"));
        assert_ne!(object_path(b"a//b"), object_path(b"a/b"));
        assert_ne!(object_path(b"%41"), object_path(b"A"));
    }

    #[test]
    fn foreign_names_are_told_apart() {
        assert_eq!(append(&mut Vec::new(), b"lost+found"), None);
        assert_eq!(append(&mut Vec::new(), b""), None);
    }
}
