use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use futures::TryStreamExt;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

fn with_modes(modes: Modes) -> FilesystemOptions {
    FilesystemOptions {
        io: Io::Inline,
        modes,
    }
}

fn inline(root: &Path) -> FilesystemSink {
    FilesystemSink::new(root.to_owned(), with_modes(Modes::default()))
}

fn in_folder() -> (TempDir, FilesystemSink) {
    let folder = tempfile::tempdir().unwrap();
    let sink = inline(folder.path());
    (folder, sink)
}

/// Every file below a folder, temporary ones included.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found
}

#[tokio::test]
async fn a_root_that_is_a_file_is_an_error_and_not_empty() {
    let (folder, _) = in_folder();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let sink = inline(&file);
    for below in [None, Some(&key("catalog"))] {
        let listed: Result<Vec<_>, _> = sink.list(below).try_collect().await;
        let error = listed.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.to_string().contains("it is a file"), "{error}");
    }
    let written = sink.put(&key("a"), Bytes::new()).await.unwrap_err();
    assert!(written.to_string().contains("it is a file"), "{written}");
    // A file within a destination is none of its folders.
    let sink = inline(folder.path());
    let listed: Vec<_> = sink.list(Some(&key("file"))).try_collect().await.unwrap();
    assert!(listed.is_empty());
}

#[tokio::test]
async fn no_temporary_file_is_left() {
    let (folder, sink) = in_folder();
    let mut aborted = sink.begin(&key("a/one"), 1).await.unwrap();
    aborted.write(Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    aborted.abort().await.unwrap();
    drop(sink.begin(&key("a/two"), 1).await.unwrap());
    assert!(files(folder.path()).is_empty());

    let mut first = sink.begin(&key("a/three"), 1).await.unwrap();
    let mut second = sink.begin(&key("a/three"), 1).await.unwrap();
    first.commit().await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(second.commit().await.unwrap_err().class(), Class::Conflict);
    drop(second);
    let put = sink
        .put(&key("a/three"), Bytes::from_static(b"other"))
        .await;
    assert_eq!(put.unwrap_err().class(), Class::Conflict);
    let expected = folder.path().join("a/three");
    assert_eq!(files(folder.path()), [expected.to_str().unwrap()]);
}

#[tokio::test]
async fn a_pool_upload_leaves_no_temporary_file_either() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let runtime = std::thread::spawn(move || {
        // Dropped, a runtime waits for its blocking jobs.
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let sink = FilesystemSink::new(root, FilesystemOptions::default());
            let mut upload = sink.begin(&key("a/one"), 1).await.unwrap();
            upload.write(Bytes::from_static(b"1")).await.unwrap();
            drop(upload);
        });
    });
    runtime.join().unwrap();
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn files_are_for_their_owner() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("new/root");
    let sink = inline(&root);
    sink.put(&key("a/b"), Bytes::from_static(b"x"))
        .await
        .unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root.join("a/b")), 0o600);
    for folder in [root.join("a"), root.clone(), parent.path().join("new")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
}

#[tokio::test]
async fn files_and_folders_are_made_with_what_was_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("new/root");
    // More than a umask leaves, so that it has to be set.
    let modes = Modes {
        file: Some(0o666),
        folder: Some(0o777),
    };
    let sink = FilesystemSink::new(root.clone(), with_modes(modes));
    let mut upload = sink.begin(&key("a/data"), 1).await.unwrap();
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    sink.put(&key("a/b"), Bytes::from_static(b"x"))
        .await
        .unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let written = files(&root);
    assert_eq!(written.len(), 2);
    assert!(written.iter().any(|path| path.contains(".tmp-")));
    for path in written {
        assert_eq!(mode(Path::new(&path)), 0o666, "{path}");
    }
    for folder in [root.join("a"), root.clone(), parent.path().join("new")] {
        assert_eq!(mode(&folder), 0o777, "{}", folder.display());
    }
    upload.commit().await.unwrap();
    assert_eq!(mode(&root.join("a/data")), 0o666);
    // What is there already is as somebody made it.
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
    sink.put(&key("a/c"), Bytes::new()).await.unwrap();
    assert_eq!(mode(&root.join("a")), 0o700);
}

#[tokio::test]
async fn symbolic_links_lead_nowhere() {
    let (folder, sink) = in_folder();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), folder.path().join("out")).unwrap();
    symlink(outside.path().join("target"), folder.path().join("file")).unwrap();
    for name in ["out/object", "out/deeper/object", "file"] {
        let put = sink.put(&key(name), Bytes::from_static(b"x")).await;
        assert_eq!(put.unwrap_err().class(), Class::Conflict, "{name}");
    }
    assert!(files(outside.path()).is_empty());
    let listed: Vec<_> = sink.list(None).try_collect().await.unwrap();
    assert!(listed.is_empty());

    // Nor is what is outside read, looked at or deleted.
    let secret = outside.path().join("object");
    fs::write(&secret, "x").unwrap();
    symlink(&secret, folder.path().join("direct")).unwrap();
    for name in ["out/object", "direct"] {
        let key = key(name);
        for class in [
            sink.read(&key, 0..1).await.unwrap_err().class(),
            sink.head(&key).await.unwrap_err().class(),
        ] {
            assert_eq!(class, Class::Corrupt, "{name}");
        }
    }
    let below: Result<Vec<_>, _> = sink.list(Some(&key("out"))).try_collect().await;
    assert_eq!(below.unwrap_err().class(), Class::Corrupt);
    let deleted = sink.delete(&key("out/object")).await.unwrap_err();
    assert_eq!(deleted.class(), Class::Corrupt);
    sink.delete(&key("direct")).await.unwrap();
    assert!(secret.exists());
}

#[tokio::test]
async fn a_pipe_is_no_object_and_nobody_waits_for_it() {
    let (folder, sink) = in_folder();
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, folder.path().join("pipe"), FileType::Fifo, mode, 0).unwrap();
    let pipe = key("pipe");
    for class in [
        sink.read(&pipe, 0..1).await.unwrap_err().class(),
        sink.head(&pipe).await.unwrap_err().class(),
    ] {
        assert_eq!(class, Class::Corrupt);
    }
    let listed: Vec<_> = sink.list(None).try_collect().await.unwrap();
    assert!(listed.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_is_not_begun() {
    let (folder, sink) = in_folder();
    let error = sink.begin(&key("a"), u64::MAX).await.err().unwrap();
    assert_eq!(error.class(), Class::Permanent);
    assert!(
        error
            .message()
            .starts_with("no space: 18446744073709551615 bytes are expected, ")
    );
    assert!(error.suggestion().unwrap().contains("choose another place"));
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn temporary_names_are_reserved() {
    let (folder, sink) = in_folder();
    for name in [".tmp-1", "a/.tmp-1", ".tmp-1/a"] {
        let put = sink.put(&key(name), Bytes::new()).await;
        assert_eq!(put.unwrap_err().class(), Class::Usage, "{name}");
    }
    fs::write(folder.path().join(".tmp-left-behind"), "x").unwrap();
    fs::write(folder.path().join("new\nline"), "x").unwrap();
    sink.put(&key(".tmp"), Bytes::new()).await.unwrap();
    let listed: Vec<_> = sink.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, key(".tmp"));
    assert!(listed[0].modified_at.is_some());
}

#[tokio::test]
async fn a_folder_is_no_object() {
    let (_folder, sink) = in_folder();
    sink.put(&key("a/b"), Bytes::from_static(b"x"))
        .await
        .unwrap();
    for class in [
        sink.read(&key("a"), 0..1).await.unwrap_err().class(),
        sink.head(&key("a")).await.unwrap_err().class(),
        sink.read(&key("a/b/c"), 0..1).await.unwrap_err().class(),
        sink.head(&key("a/b/c")).await.unwrap_err().class(),
    ] {
        assert_eq!(class, Class::NotFound);
    }
    for name in ["a", "a/b/c"] {
        sink.delete(&key(name)).await.unwrap();
        let put = sink.put(&key(name), Bytes::new()).await;
        assert_eq!(put.unwrap_err().class(), Class::Conflict, "{name}");
    }
    let below: Vec<_> = sink.list(Some(&key("a/b"))).try_collect().await.unwrap();
    assert!(below.is_empty());
}

#[tokio::test]
async fn deleting_removes_empty_folders_and_writing_makes_them_again() {
    let (folder, sink) = in_folder();
    for _ in 0..2 {
        sink.put(&key("a/b/c"), Bytes::new()).await.unwrap();
        sink.put(&key("a/d"), Bytes::new()).await.unwrap();
        sink.delete(&key("a/b/c")).await.unwrap();
        assert!(!folder.path().join("a/b").exists());
        sink.delete(&key("a/d")).await.unwrap();
        assert!(!folder.path().join("a").exists());
        assert!(folder.path().exists());
    }
}

#[tokio::test]
async fn displays_its_path() {
    let sink = inline(Path::new("/some/where"));
    assert_eq!(sink.to_string(), "/some/where");
    let error = sink.read(&key("a"), 0..1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "read /some/where/a: no such file or directory"
    );
}

#[tokio::test]
async fn a_write_that_was_dropped_is_not_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FilesystemSink::new(folder.path().to_owned(), FilesystemOptions::default());
    let mut upload = sink.begin(&key("a"), 6).await.unwrap();
    let bytes = Bytes::from_static(b"abc");
    // Polled once, the write is on its way; then the caller loses patience.
    let mut first = upload.write(bytes.clone());
    let was_dropped = futures::poll!(&mut first).is_pending();
    drop(first);
    if was_dropped {
        upload.write(bytes).await.unwrap();
    }
    upload.write(Bytes::from_static(b"def")).await.unwrap();
    let mut first = upload.commit();
    let _ = futures::poll!(&mut first);
    drop(first);
    upload.commit().await.unwrap();
    assert_eq!(sink.head(&key("a")).await.unwrap().bytes, 6);
    assert_eq!(sink.read(&key("a"), 0..6).await.unwrap(), "abcdef");
}
