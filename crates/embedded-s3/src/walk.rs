//! Walking a bucket's keys in byte order, reading only directories that can hold wanted keys.
//!
//! Every directory is read whole once it is reached, and its names kept in a heap: a page that needs
//! a thousand of fifty thousand names doesn't pay for sorting the rest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::key_path::{self, Kind};

/// A walk over keys; see [`Walk::next_key`].
#[derive(Debug)]
pub(crate) struct Walk {
    objects: PathBuf,
    prefix: Vec<u8>,
    after: Vec<u8>,
    /// Keys that begin with this are passed over.
    skipped: Option<Vec<u8>>,
    /// The directories between the top and the current one, each with its names not yet visited.
    levels: Vec<BinaryHeap<Reverse<Entry>>>,
}

/// The bytes from the beginning of the key that a name stands for, and what the name is.
type Entry = (Vec<u8>, Kind);

impl Walk {
    /// Walks below `objects` the keys that begin with `prefix` and are greater than `after`.
    pub(crate) fn new(objects: PathBuf, prefix: Vec<u8>, after: Vec<u8>) -> Walk {
        let top = BinaryHeap::from([Reverse((Vec::new(), Kind::Directory))]);
        Walk {
            objects,
            prefix,
            after,
            skipped: None,
            levels: vec![top],
        }
    }

    /// Passes over every key that begins with `start` from now on.
    pub(crate) fn skip(&mut self, start: Vec<u8>) {
        self.skipped = Some(start);
    }

    /// The next key, or `None` after the last.
    pub(crate) fn next_key(&mut self) -> io::Result<Option<String>> {
        while let Some(level) = self.levels.last_mut() {
            let Some(Reverse((bytes, kind))) = level.pop() else {
                self.levels.pop();
                continue;
            };
            if !self.may_hold(&bytes, kind) {
                continue;
            }
            match kind {
                Kind::Directory => {
                    let names = self.read(&bytes)?;
                    self.levels.push(names);
                }
                Kind::Object => {
                    // Every key came in as text; other bytes are a file that isn't ours.
                    if let Ok(key) = String::from_utf8(bytes) {
                        return Ok(Some(key));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The names in the directory of the keys that begin with `start`.
    fn read(&self, start: &[u8]) -> io::Result<BinaryHeap<Reverse<Entry>>> {
        let entries = match fs::read_dir(self.objects.join(key_path::directory_path(start))) {
            Ok(entries) => entries,
            // The last object in it was deleted a moment ago.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BinaryHeap::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        let mut bytes = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            bytes.clear();
            bytes.extend_from_slice(start);
            if let Some(kind) = key_path::append(&mut bytes, name.as_encoded_bytes())
                && self.may_hold(&bytes, kind)
            {
                names.push(Reverse((bytes.clone(), kind)));
            }
        }
        Ok(BinaryHeap::from(names))
    }

    /// Whether a wanted key can be this object, or lie in this directory.
    fn may_hold(&self, bytes: &[u8], kind: Kind) -> bool {
        if self
            .skipped
            .as_ref()
            .is_some_and(|skipped| bytes.starts_with(skipped))
        {
            return false;
        }
        match kind {
            Kind::Object => bytes.starts_with(&self.prefix) && *bytes > *self.after,
            Kind::Directory => {
                (bytes.starts_with(&self.prefix) || self.prefix.starts_with(bytes))
                    && (*bytes > *self.after || self.after.starts_with(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every wanted key, in the order of the walk.
    fn keys(objects: &std::path::Path, prefix: &str, after: &str) -> Vec<String> {
        let mut walk = Walk::new(objects.to_owned(), prefix.into(), after.into());
        std::iter::from_fn(|| walk.next_key().expect("walk")).collect()
    }

    #[test]
    fn order_prefix_and_start_are_those_of_the_sorted_keys() {
        let folder = tempfile::tempdir().expect("folder");
        let long = "l".repeat(80);
        let mut all = vec![
            "a".to_owned(),
            "a!".into(),
            "a/".into(),
            "a//".into(),
            "a/1".into(),
            "a/1/child".into(),
            "a/10".into(),
            "a0".into(),
            "A".into(),
            "/".into(),
            "é".into(),
            long.clone(),
            format!("{long}!"),
            format!("{long}/x"),
            format!("{long}z"),
            format!("{}/y", "l".repeat(79)),
            "l".repeat(160),
        ];
        for key in &all {
            let path = folder.path().join(key_path::object_path(key.as_bytes()));
            fs::create_dir_all(path.parent().expect("parent")).expect("directories");
            fs::write(path, "").expect("object");
        }
        fs::write(folder.path().join("foreign"), "").expect("foreign file");
        fs::create_dir(folder.path().join("empty+")).expect("empty directory");
        all.sort();

        for prefix in ["", "a", "a/", "a/1", "l", &long, "zzz"] {
            for after in std::iter::once("")
                .chain(all.iter().map(String::as_str))
                .chain(["a/5", "~"])
            {
                let wanted: Vec<&String> = all
                    .iter()
                    .filter(|key| key.starts_with(prefix) && key.as_str() > after)
                    .collect();
                let walked = keys(folder.path(), prefix, after);
                assert_eq!(
                    walked.iter().collect::<Vec<_>>(),
                    wanted,
                    "{prefix:?} {after:?}"
                );
            }
        }
    }

    #[test]
    fn a_missing_folder_has_no_keys() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(keys(&folder.path().join("objects"), "", "").is_empty());
    }
}
