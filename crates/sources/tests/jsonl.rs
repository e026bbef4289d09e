//! Files of JSON lines, as a backup reads them.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::Path;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use teeline_core::{
    BackupError, Basis, Class, Item, ResourceKind, ResumePoint, SampleLimits, Scan, Selection,
    Source, SourceKind, check_lines,
};
use teeline_sources::{Io, JsonlSource};

/// Each resource with its bytes, and the batches' origins with how many lines they have.
#[derive(Debug, Default, PartialEq)]
struct Read {
    resources: Vec<(String, Vec<u8>)>,
    origins: Vec<(String, u64, usize)>,
}

async fn read(source: &JsonlSource, selection: Selection) -> Result<Read, BackupError> {
    read_all(source.scan(selection).await?).await
}

async fn read_all(mut scan: Box<dyn Scan>) -> Result<Read, BackupError> {
    let planned = scan.plan().resources.clone();
    let mut read = Read::default();
    let mut open = None;
    while let Some(item) = scan.next().await? {
        match item {
            Item::Begin(id) => {
                assert_eq!(open.replace(id), None);
                assert_eq!(id.0 as usize, read.resources.len(), "in the plan's order");
                let ResourceKind::Records(name) = planned[id.0 as usize].kind.clone() else {
                    panic!("lines are records");
                };
                read.resources.push((name, Vec::new()));
            }
            Item::Records(id, batch) => {
                assert_eq!(open, Some(id));
                let origin = batch.origin.unwrap();
                read.origins
                    .push((origin.file.to_string(), origin.line, batch.ends.len()));
                assert_eq!(batch.ends.last(), Some(&batch.bytes.len()));
                read.resources
                    .last_mut()
                    .unwrap()
                    .1
                    .extend_from_slice(&batch.bytes);
            }
            Item::End(id, counts) => {
                assert_eq!(open.take(), Some(id));
                assert_eq!(counts, Default::default());
            }
        }
    }
    assert_eq!(open, None);
    Ok(read)
}

async fn read_path(path: &Path) -> Result<Read, BackupError> {
    read(&JsonlSource::path(path), Selection::everything()).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[tokio::test]
async fn a_file_is_a_resource() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.jsonl");
    std::fs::write(&path, "{\"id\":1}\r\n{\"id\":2}").unwrap();
    let source = JsonlSource::path(&path);
    assert_eq!(
        (source.kind(), source.is_rereadable()),
        (SourceKind::Jsonl, true)
    );
    assert_eq!(source.to_string(), path.display().to_string());
    assert_eq!(source.resource_names().await.unwrap(), ["users"]);
    for io in [Io::Pool, Io::Inline] {
        let source = JsonlSource::path(&path).io(io);
        let read = read(&source, Selection::everything()).await.unwrap();
        let lines = b"{\"id\":1}\r\n{\"id\":2}\n".to_vec();
        assert_eq!(read.resources, [("users".to_owned(), lines)]);
        assert_eq!(read.origins, [(path.display().to_string(), 1, 2)]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_of_lines_whose_name_is_not_utf8_is_not_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &[u8]| {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, "{}\n").unwrap();
        path
    };
    write(b"users.jsonl");
    write(b"no-lines-\xff.txt");
    assert!(read_path(folder.path()).await.is_ok());
    let path = write(b"caf\xe9.JSONL");
    for path in [folder.path(), &path] {
        let error = read_path(path).await.unwrap_err();
        assert!(error.to_string().contains("isn't UTF-8"), "{error}");
        assert_eq!(error.class(), Class::Usage);
    }
}

#[tokio::test]
async fn a_file_that_is_not_packed_as_its_name_says_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, word) in [
        ("a.jsonl.gz", b"{\"a\":1}\n".to_vec(), "gzip"),
        ("a.jsonl.gz", zstd(b"{}\n"), "gzip"),
        ("a.jsonl.zst", b"\n".to_vec(), "zstd"),
        ("a.jsonl.zst", gzip(b"{}\n"), "zstd"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = read_path(&path).await.unwrap_err().to_string();
        let words = format!("{name}: its first bytes aren't those of {word}");
        assert!(error.contains(&words), "{error}");
    }
    // A frame that is to be skipped comes before the lines.
    let path = folder.path().join("b.jsonl.zst");
    let skipped = [0x5a, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7];
    std::fs::write(&path, [&skipped[..], &zstd(b"{}\n")].concat()).unwrap();
    assert_eq!(read_path(&path).await.unwrap().resources[0].1, b"{}\n");
}

#[tokio::test]
async fn a_folder_has_resources_in_order_and_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    write("b.ndjson", b"{\"b\":1}\n");
    write(
        "a.jsonl.gz",
        &[gzip(b"{\"a\":1}\n{\"a\""), gzip(b":2}\n"), gzip(b"")].concat(),
    );
    write(
        "c.jsonl.zst",
        &[zstd(b"{\"c\":1}\n"), zstd(b""), zstd(b"{\"c\":2}")].concat(),
    );
    write("empty.jsonl", b"");
    write("nothing.jsonl.gz", &gzip(b""));
    write("readme.txt", b"not this");
    write("users.json", b"[]");
    std::fs::create_dir(folder.path().join("sub.jsonl")).unwrap();

    let read_all = read_path(folder.path()).await.unwrap();
    let expected: [(&str, &[u8]); 5] = [
        ("a", b"{\"a\":1}\n{\"a\":2}\n"),
        ("b", b"{\"b\":1}\n"),
        ("c", b"{\"c\":1}\n{\"c\":2}\n"),
        ("empty", b""),
        ("nothing", b""),
    ];
    let expected = expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    assert_eq!(read_all.resources, expected);

    let selection = Selection::new(true, |name| name == "b");
    let only = read(&JsonlSource::path(folder.path()), selection)
        .await
        .unwrap();
    assert_eq!(only.resources, [expected[1].clone()]);
}

#[tokio::test]
async fn paths_without_resources_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_path(folder.path()).await.unwrap_err();
    assert!(
        error.to_string().contains("no file of JSON lines"),
        "{error}"
    );

    let error = read_path(&folder.path().join("none.jsonl"))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
    assert!(
        error.to_string().contains("none.jsonl: no such file"),
        "{error}"
    );

    let other = folder.path().join("users.csv");
    std::fs::write(&other, "a,b\n").unwrap();
    let error = read_path(&other).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage);

    for name in ["users.jsonl", "users.jsonl.gz"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let error = read_path(folder.path()).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    for part in ["users.jsonl and ", "users.jsonl.gz are both", "\"users\""] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn damaged_archives_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let lines = b"{\"id\":\"one\"}\n{\"id\":\"two\"}\n".repeat(50);
    for (name, packed, cuts_between) in [
        ("a.jsonl.gz", gzip(&lines), false),
        ("b.jsonl.gz", [gzip(&lines), gzip(&lines)].concat(), true),
        ("c.jsonl.zst", zstd(&lines), false),
    ] {
        let path = folder.path().join(name);
        for length in 0..packed.len() {
            std::fs::write(&path, &packed[..length]).unwrap();
            if cuts_between && length == packed.len() / 2 {
                // Where one member ends and no other follows the file is whole.
                assert!(read_path(&path).await.is_ok());
                continue;
            }
            let error = read_path(&path).await.unwrap_err();
            assert!(error.to_string().contains(name), "{length}: {error}");
        }
        let mut damaged = packed.clone();
        damaged.extend_from_slice(b"garbage");
        std::fs::write(&path, &damaged).unwrap();
        let error = read_path(&path).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_cut_short_while_it_is_read_is_no_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(99_991));
    let lines = line.repeat(20);
    // Some lines are read; then somebody writes.
    let read_while = async |write: &dyn Fn()| {
        std::fs::write(&path, &lines).unwrap();
        let mut scan = JsonlSource::path(&path)
            .scan(Selection::everything())
            .await
            .unwrap();
        for _ in 0..2 {
            assert!(scan.next().await.unwrap().is_some());
        }
        write();
        let mut records = 0;
        loop {
            match scan.next().await {
                Ok(Some(Item::Records(_, batch))) => records += batch.ends.len(),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(records),
                Err(error) => return Err(error),
            }
        }
    };
    let rewrite = |bytes: &str| std::fs::write(&path, bytes).unwrap();
    for shorter in ["", &line, &lines[..lines.len() - 1]] {
        let error = read_while(&|| rewrite(shorter)).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        let message = error.to_string();
        for part in ["a.jsonl", "2000000 bytes", "try again"] {
            let there =
                message.contains(part) || error.suggestion().is_some_and(|s| s.contains(part));
            assert!(there, "{part}: {message}");
        }
    }
    // What it had when it was opened is there, whatever came later.
    let whole = read_while(&|| ()).await.unwrap();
    let appended = read_while(&|| rewrite(&line.repeat(21))).await.unwrap();
    assert!(appended >= whole);
    let other = folder.path().join("b");
    std::fs::write(&other, &line).unwrap();
    let replace = || std::fs::rename(&other, &path).unwrap();
    assert_eq!(read_while(&replace).await.unwrap(), whole);
}

#[tokio::test]
async fn a_huge_line_is_carried_or_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.jsonl.gz");
    let huge = format!("{{}}\n\"{}\"\n{{}}\n", "x".repeat(3 << 20));
    std::fs::write(&path, gzip(huge.as_bytes())).unwrap();
    let carried = read_path(&path).await.unwrap();
    assert!(carried.resources[0].1 == huge.as_bytes());
    let label = path.display().to_string();
    let (lines, batches) = (
        carried.origins.iter().map(|origin| origin.2).sum::<usize>(),
        carried.origins.len(),
    );
    assert_eq!(lines, 3, "{batches} batches");
    assert_eq!(carried.origins[1], (label.clone(), 2, carried.origins[1].2));

    let source = JsonlSource::path(&path).record_bytes_max(1 << 20);
    let error = read(&source, Selection::everything()).await.unwrap_err();
    assert!(
        error.to_string().contains(&format!("{label}, line 2")),
        "{error}"
    );
}

#[tokio::test]
async fn the_origin_finds_the_line_that_is_no_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.jsonl");
    let mut text = format!("{{\"text\":\"{}\"}}\n", "y".repeat(100)).repeat(20_000);
    text.push_str("{\"broken\":\n");
    std::fs::write(&path, text).unwrap();
    let source = JsonlSource::path(&path);
    let mut scan = source.scan(Selection::everything()).await.unwrap();
    let mut found = None;
    while let Some(item) = scan.next().await.unwrap() {
        if let Item::Records(_, batch) = item {
            found = check_lines(&batch.bytes, &batch.origin.unwrap())
                .err()
                .or(found);
        }
    }
    let error = found.unwrap();
    assert!(
        error.to_string().contains("many.jsonl, line 20001, column"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reader_is_read_once() {
    let lines = Cursor::new(b"{}\n{}".to_vec());
    let source = JsonlSource::from_reader("things", Box::new(lines));
    assert!(!source.is_rereadable());
    assert_eq!(source.resource_names().await.unwrap(), ["things"]);
    let got = read(&source, Selection::everything()).await.unwrap();
    assert_eq!(got.resources, [("things".to_owned(), b"{}\n{}\n".to_vec())]);
    assert_eq!(got.origins[0].0, "the lines of things");
    let error = read(&source, Selection::everything()).await.unwrap_err();
    assert!(error.to_string().contains("read already"), "{error}");
    assert_eq!(JsonlSource::stdin("things").to_string(), "standard input");
}

#[tokio::test]
async fn lines_in_memory_are_read_again_from_their_beginning_and_sampled() {
    let lines = |text: &str| Bytes::from(text.to_owned());
    let source = JsonlSource::from_lines([
        ("users".to_owned(), lines("{\"u\":1}\n")),
        (
            "events".to_owned(),
            lines("{\"e\":1}\n{\"e\":2}\n{\"e\":3}"),
        ),
    ]);
    assert_eq!(source.resource_names().await.unwrap(), ["events", "users"]);
    assert!(source.is_rereadable());
    for _ in 0..2 {
        let got = read(&source, Selection::everything()).await.unwrap();
        let events = b"{\"e\":1}\n{\"e\":2}\n{\"e\":3}\n".to_vec();
        assert_eq!(got.resources[0], ("events".to_owned(), events));
        assert_eq!(got.resources[1].1, b"{\"u\":1}\n");
    }
    let scan = source.scan(Selection::everything()).await.unwrap();
    // They may have been others in between.
    let point = ResumePoint {
        resource: "events".to_owned(),
        basis: Basis::State(scan.plan().states["events"]),
        records: 2,
        plain_bytes: 16,
        is_whole: false,
        kept_raw: 0,
    };
    let scan = source.scan_on(Selection::everything(), vec![point]).await;
    let got = read_all(scan.unwrap()).await.unwrap();
    assert_eq!(got.resources[0].1, b"{\"e\":1}\n{\"e\":2}\n{\"e\":3}\n");
    let limits = SampleLimits {
        records: 10,
        bytes: 1 << 20,
    };
    let sample = source
        .sample(Selection::everything(), limits)
        .await
        .unwrap();
    let shares: Vec<_> = sample
        .shares
        .iter()
        .map(|it| (it.bytes, it.sampled_bytes))
        .collect();
    assert_eq!(shares, [(23, 23), (8, 8)]);
}

/// A pipe whose other end is silent keeps neither the scan's caller nor the runtime from going on.
#[test]
fn a_silent_pipe_holds_up_nobody() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let source = JsonlSource::from_reader("things", Box::new(reader));
        let mut scan = source.scan(Selection::everything()).await.unwrap();
        assert!(matches!(scan.next().await, Ok(Some(Item::Begin(_)))));
        let next = tokio::time::timeout(std::time::Duration::from_millis(20), scan.next());
        assert!(next.await.is_err());
        // What the abandoned call was reading is gone, and that isn't the end of the lines.
        assert!(scan.next().await.is_err());
    });
    drop(runtime);
}
