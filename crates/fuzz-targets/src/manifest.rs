//! Stored documents.

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use teeline_core::{
    CatalogEntry, DestinationMarker, Document, Reconstruction, RestoreMarker, RunClaim, RunRecord,
    SealedManifest, Timestamp, Withdrawal, document, layout,
    published_marker::{self, Told},
};

use crate::parts::{chosen, first_part, with_digest};

/// Takes a document without its end; of a claim with the names and the bytes of files behind it.
pub(crate) fn manifest(input: &[u8]) {
    let Some((choice, rest)) = chosen(input) else {
        return;
    };
    match choice % 8 {
        0 => as_manifest(rest),
        1 => as_entry(rest),
        2 => {
            reads_back::<RunRecord>(rest);
        }
        3 => {
            reads_back::<RunClaim>(rest);
        }
        4 => {
            reads_back::<Withdrawal>(rest);
        }
        5 => {
            reads_back::<DestinationMarker>(rest);
        }
        6 => {
            reads_back::<RestoreMarker>(rest);
        }
        _ => as_run(rest),
    }
}

/// What is read is what is written of it: nothing is lost on the way.
fn reads_back<D: Document + Debug>(body: &[u8]) -> Option<D> {
    // As it is, which mostly has no digest.
    let _ = document::open::<D>("a document", body);
    let read = document::open::<D>("a document", &with_digest(body)).ok()?;
    let written = document::seal(&read);
    let again = document::open::<D>("a document", &written);
    let again = again.expect("what was written is read");
    assert_eq!(format!("{read:?}"), format!("{again:?}"));
    Some(read)
}

/// An entry, which its marker says again; or the text of a marker.
fn as_entry(body: &[u8]) {
    let id = "full-2026-11-23T02-00-00-k3j9x0q2mz"
        .parse()
        .expect("an id");
    let key = layout::catalog_entry(&id, Timestamp::from_unix_ms(0)).expect("a key");
    let folder = published_marker::folder_of(&key).expect("a key");
    let folded = published_marker::folded_folder_of(&key).expect("a key");
    for folder in [folder, folded] {
        if let Ok(marker) = folder.join(&String::from_utf8_lossy(body)) {
            let _ = published_marker::told([&marker]);
            let _ = published_marker::unfolded([&marker]);
        }
    }
    let Some(entry) = reads_back::<CatalogEntry>(body) else {
        return;
    };
    let key = layout::catalog_entry(&entry.id, entry.started_at).expect("a key");
    let marker = published_marker::key_of(&key, &document::seal(&entry)).expect("a key");
    let document = document::seal(&entry);
    if let Some(folded) = published_marker::folded_key_of(&key, &document).expect("a key") {
        let unfolded = published_marker::unfolded([&folded]).map(|(_, bytes)| bytes);
        assert_eq!(unfolded, entry.is_of_its_time().then_some(document));
    }
    match published_marker::told([&marker]) {
        None => assert!(!entry.is_of_its_time(), "what was written is read"),
        Some(Told::SeeEntry) => {}
        Some(Told::Entry(told)) => {
            assert!(entry.is_of_its_time(), "its id names another time");
            assert_eq!(format!("{told:?}"), format!("{entry:?}"));
        }
    }
}

fn as_manifest(body: &[u8]) {
    let _ = SealedManifest::open("a manifest", Bytes::copy_from_slice(body));
    let Ok(sealed) = SealedManifest::open("a manifest", with_digest(body).into()) else {
        return;
    };
    let manifest = &sealed.manifest;
    for resource in manifest.all_resources() {
        for segment in &resource.segments {
            let _ = manifest.sealed_place(&segment.file);
        }
    }
    let _ = manifest.plan.in_part();
    let entry = document::seal(&sealed.entry("a/b"));
    document::open::<CatalogEntry>("an entry", &entry).expect("an entry of it is read");
}

/// A claim, then names of files, one a line, then the bytes of those that are wanted.
fn as_run(input: &[u8]) {
    let (claim, rest) = first_part(input);
    let Some(claim) = reads_back::<RunClaim>(claim) else {
        return;
    };
    let (names, mut rest) = first_part(rest);
    let names = String::from_utf8_lossy(names);
    let files: BTreeSet<String> = names.lines().map(str::to_owned).collect();
    let mut reconstruction = Reconstruction::new(claim, &files, None);
    while let Some(file) = reconstruction.wanted() {
        let (bytes, following) = first_part(rest);
        rest = following;
        if reconstruction
            .give(&file, &Bytes::copy_from_slice(bytes))
            .is_err()
        {
            return;
        }
    }
    let _ = reconstruction.finish();
}
