//! Stored documents that say something else than they did, with digests that fit.

use std::fs;
use std::path::Path;

use serde_json::Value;
use teeline_core::Digest;

/// A document as it is stored.
pub(crate) fn seal(mut document: Value) -> String {
    document.as_object_mut().unwrap().remove("blake3");
    let mut text = document.to_string();
    text.pop();
    let digest = Digest::of(text.as_bytes());
    format!("{text},\"blake3\":\"{digest}\"}}\n")
}

/// Changes a stored document, and gives what is stored now.
pub(crate) fn change(path: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut document);
    let sealed = seal(document);
    fs::write(path, &sealed).unwrap();
    sealed
}

/// Lets an entry of a catalogue lead to another manifest.
pub(crate) fn lead_to(entry: &Path, manifest: &str) {
    change(entry, |it| {
        it["checksum"] = Digest::of(manifest.as_bytes()).to_string().into();
        it["manifestBytes"] = manifest.len().into();
    });
}
