//! Archives in the plugin's exact form, and others.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file as the plugin puts it into an archive.
fn file(name: &str, bytes: &[u8]) -> Value {
    let content = String::from_utf8_lossy(bytes);
    let size = content.encode_utf16().count();
    json!({ "name": name, "size": size, "content": content })
}

fn archive(files: &[Value]) -> Vec<u8> {
    let created = "2026-01-31T10:20:30.400Z";
    json!({ "version": "1.0", "created": created, "files": files })
        .to_string()
        .into_bytes()
}

fn records() -> Vec<u8> {
    let lines = (0..1000).map(|n| format!("{{\"id\":\"t{n:05}\",\"label\":\"ação {n}\"}}\n"));
    gzip(lines.collect::<String>().as_bytes())
}

fn export() -> Vec<u8> {
    let truth = json!({
        "name": "truth", "attributes": {}, "partitions": {}, "timestamps": false, "recordCount": 1000,
        "exportFile": "truth.jsonl.gz", "compression": "gzip", "format": "jsonl", "bytesWritten": 35000,
    });
    let export = json!({
        "version": "1.0", "backupType": "full", "exportedAt": "2026-01-31T10:20:30.399Z",
        "database": { "bucket": "shop" }, "resources": { "truth": truth },
    });
    format!("{export:#}").into_bytes()
}

/// An archive of one resource, as the plugin makes it.
fn usual() -> Vec<u8> {
    archive(&[
        file("truth.jsonl.gz", &records()),
        file("s3db.json", &export()),
    ])
}

fn fault(bytes: &[u8]) -> ArchiveFault {
    read_plugin_archive(bytes).fault.unwrap()
}

#[test]
fn an_archive_says_what_is_in_it() {
    for (form, bytes) in [
        (ArchiveForm::Gzip, gzip(&usual())),
        (ArchiveForm::Json, usual()),
    ] {
        let archive = read_plugin_archive(&bytes[..]);
        assert!(archive.fault.is_none(), "{archive:?}");
        assert_eq!(archive.form, Some(form));
        assert_eq!(archive.version.as_deref(), Some("1.0"));
        assert_eq!(archive.created.as_deref(), Some("2026-01-31T10:20:30.400Z"));
        let [data, described] = &archive.files[..] else {
            panic!("{archive:?}")
        };
        assert_eq!(data.name, "truth.jsonl.gz");
        assert_eq!(data.declared_size, Some(data.content.size));
        assert!(data.content.replaced > 100 && data.content.lines.is_err());
        assert_eq!(
            (&described.name[..], described.content.replaced),
            ("s3db.json", 0)
        );
        let export = archive.export.unwrap().unwrap();
        assert_eq!(export.resources[0].record_count, Some(1000));
        assert_eq!(export.bucket.as_deref(), Some("shop"));
    }
}

#[test]
fn the_order_of_members_does_not_matter() {
    let text = String::from_utf8(export()).unwrap();
    let file =
        json!({ "content": text, "extra": [1, {"a": null}], "size": "none", "name": "s3db.json" });
    let bytes =
        json!({ "files": [file, { "name": 7, "content": 8 }], "version": 2, "other": true });
    let archive = read_plugin_archive(bytes.to_string().as_bytes());
    assert!(archive.fault.is_none(), "{archive:?}");
    assert_eq!(archive.files[0].declared_size, None);
    assert_eq!(archive.files[1].name, "");
    assert!(archive.export.unwrap().is_ok());
}

#[test]
fn what_is_no_archive_is_named() {
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, found) in [
        (Vec::new(), "it is empty"),
        (gzip(&tar), "it is gzip of a tar file"),
        (tar, "it is a tar file"),
        (b"damaged".to_vec(), "begins with \"damaged\""),
        (b"\x00\xff\n".to_vec(), "begins with \"\\x00\\xff\\n\""),
        (gzip(b""), "it is gzip of nothing"),
        (
            gzip(b"[1]"),
            "it is gzip of something that begins with \"[1]\"",
        ),
        (b"{\"a\": 1}".to_vec(), "a JSON object without `files`"),
    ] {
        let ArchiveFault::Foreign(message) = fault(&bytes) else {
            panic!("{found}")
        };
        assert!(message.contains(found), "{message}");
    }
}

#[test]
fn damage_is_found_and_what_precedes_it_is_kept() {
    let whole = gzip(&usual());
    for cut in [3, whole.len() / 2, whole.len() - 1] {
        assert!(
            matches!(fault(&whole[..cut]), ArchiveFault::CutShort),
            "{cut}"
        );
    }
    let plain = usual();
    let cut = read_plugin_archive(&plain[..plain.len() - 20]);
    assert!(matches!(cut.fault, Some(ArchiveFault::CutShort)));
    assert_eq!(cut.files[0].name, "truth.jsonl.gz");

    let mut changed = whole.clone();
    let checksum = whole.len() - 5;
    changed[checksum] ^= 1;
    let damaged = read_plugin_archive(&changed[..]);
    assert!(
        matches!(damaged.fault, Some(ArchiveFault::Damaged(_))),
        "{damaged:?}"
    );
    assert_eq!(damaged.files.len(), 2);

    let more = [&plain[..], b"x"].concat();
    let ArchiveFault::Damaged(message) = fault(&more) else {
        panic!("accepted")
    };
    assert!(message.contains("'x' where the end"), "{message}");
}

#[test]
fn an_input_that_fails_is_no_damage() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("a disk died"))
        }
    }
    let plain = usual();
    let archive = read_plugin_archive(plain[..plain.len() / 2].chain(Failing));
    assert!(
        matches!(archive.fault, Some(ArchiveFault::Unreadable(_))),
        "{archive:?}"
    );
}

#[test]
fn a_bomb_is_given_up() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b' ');
            Ok(buffer.len())
        }
    }
    let mut bounded = Bounded {
        input: Endless,
        left: 1 << 20,
    };
    let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
    assert!(matches!(
        ArchiveFault::from(error),
        ArchiveFault::Damaged(_)
    ));

    let name = "n".repeat(2 << 10);
    let long_name = archive(&[json!({ "name": name, "size": 0, "content": "" })]);
    assert!(matches!(fault(&long_name), ArchiveFault::Damaged(_)));
    let many = vec![json!({ "name": "a" }); FILES_MAX + 1];
    assert!(matches!(fault(&archive(&many)), ArchiveFault::Damaged(_)));
    let large = " ".repeat(EXPORT_BYTES_MAX + 1);
    let large =
        read_plugin_archive(&archive(&[json!({ "name": "s3db.json", "content": large })])[..]);
    assert!(large.fault.is_none() && large.export.unwrap().is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(at: proptest::sample::Index, bytes in proptest::collection::vec(any::<u8>(), 1..20), packed: bool) {
        let mut archive = if packed { gzip(&usual()) } else { usual() };
        let at = at.index(archive.len());
        for (place, byte) in archive[at..].iter_mut().zip(&bytes) {
            *place = *byte;
        }
        let read = read_plugin_archive(&archive[..]);
        // What is packed and damaged may come out as more of them, until its checksum says so.
        prop_assert!(read.files.len() <= 2 || packed && read.fault.is_some());
        read_plugin_archive(&bytes[..]);
    }
}
