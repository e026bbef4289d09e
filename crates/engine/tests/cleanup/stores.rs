//! The same at a folder and at a server that speaks S3, whose clocks are real.

use std::path::Path;
use std::time::SystemTime;

use futures::TryStreamExt;
use teeline::{
    CleanupRequest, DestinationSpec, Engine, RemovalStatus, Retention, RetentionPolicy, Span,
    Timestamp, exit,
};
use teeline_core::{layout, published_marker};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use super::{DAY_MS, HOUR_MS, World, count, key, removals};

fn system_time() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap())
}

struct Stores {
    root: tempfile::TempDir,
    _server: EmbeddedS3,
    at: Vec<DestinationSpec>,
}

impl Stores {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            access_key: "key".into(),
            secret_key: "secret".into(),
        };
        let server = EmbeddedS3::start(root.path().join("s3"), credentials).unwrap();
        server.create_bucket("bucket").unwrap();
        let folder = format!("folder={}", root.path().join("folder").display());
        let bucket = format!(
            "bucket=http://key:secret@{}/bucket/copies",
            server.address()
        );
        let at = [folder, bucket].map(|text| DestinationSpec::parse(&text).unwrap());
        Stores {
            root,
            _server: server,
            at: at.to_vec(),
        }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.root.path().join("folder")
    }
}

/// A cleanup for which what is ten minutes old is dead, and without grace.
async fn swift_cleanup(
    world: &World,
    at: &[DestinationSpec],
    rules: Retention,
) -> teeline::CleanupReport {
    let policy = RetentionPolicy {
        grace: Span::default(),
        dead_after: Span::from_ms(600_000),
        ..RetentionPolicy::new(rules)
    };
    world
        .engine
        .cleanup(CleanupRequest::new(at.to_vec(), policy))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_is_gone_at_every_kind_of_store() {
    let stores = Stores::start();
    let world = World::at(Timestamp::from_unix_ms(
        system_time().unix_ms() - 3 * DAY_MS,
    ));
    let made = world.daily(3, &stores.at).await;
    // As a cleanup leaves it that breaks off while it looks at the clock.
    let probed = stores.folder().join("probes/objects-0123456789abcdef");
    std::fs::create_dir_all(&probed).unwrap();
    let probes = [
        stores.folder().join("runs/clock-0123456789abcdef"),
        probed.join("listed"),
    ];
    for probe in &probes {
        std::fs::write(probe, b"").unwrap();
        age(probe);
    }
    let report = swift_cleanup(&world, &stores.at, count(1)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(report.count, 2);
    assert!(
        removals(&report)
            .iter()
            .all(|it| it.status == RemovalStatus::Removed)
    );
    world.assert_listed_and_whole(&stores.at, &made[2..]).await;
    for id in &made[..2] {
        assert!(
            !stores.folder().join(id.as_str()).exists(),
            "not even an empty folder"
        );
    }
    let again = swift_cleanup(&world, &stores.at, count(1)).await;
    assert!(removals(&again).is_empty(), "{again:?}");
    let runs = std::fs::read_dir(stores.folder().join("runs"))
        .unwrap()
        .count();
    assert_eq!(
        runs, 1,
        "the records went with them, and nothing else is left there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_one_key_in_its_catalogue_for_what_is_old_and_a_folder_its_entry() {
    let stores = Stores::start();
    let world = World::at(system_time());
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, world.backup(&stores.at).await);
        world.wait(1);
    }
    // Later than anything was written, however slow the machine is.
    world.wait(HOUR_MS / 2);
    let policy = RetentionPolicy {
        dead_after: Span::default(),
        ..RetentionPolicy::default()
    };
    let request = CleanupRequest::new(stores.at.clone(), policy);
    let report = world.engine.cleanup(request).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let mut keys = Vec::new();
    for at in &stores.at {
        let sink = world.engine.open(at).await.unwrap();
        let objects = sink.list(Some(&key(layout::CATALOG)));
        let objects = objects.map_ok(|object| object.key);
        keys.push(objects.try_collect::<Vec<_>>().await.unwrap());
    }
    assert_eq!([keys[0].len(), keys[1].len()], [6, 3]);
    assert!(!keys[0].iter().any(published_marker::is_folded));
    assert!(keys[1].iter().all(published_marker::is_folded));
    for at in stores.at.chunks(1) {
        world.assert_listed_and_whole(at, &made).await;
    }
    let report = swift_cleanup(&world, &stores.at, count(1)).await;
    assert_eq!(
        (report.count, report.exit_code()),
        (2, exit::DONE),
        "{report:?}"
    );
    world.assert_listed_and_whole(&stores.at, &made[..1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_a_crash_left_are_ended() {
    let stores = Stores::start();
    let world = World::at(system_time());
    let id = world.backup(&stores.at).await;
    let engine = Engine::new().unwrap();
    let begin = async |name: String| {
        for spec in &stores.at {
            let sink = engine.open(spec).await.unwrap();
            let mut upload = sink.begin(&key(&name), 11 << 20).await.unwrap();
            upload.write(vec![1; 11 << 20].into()).await.unwrap();
            // As a crash leaves it.
            std::mem::forget(upload);
        }
    };
    begin(format!("{id}/events~0009.jsonl.gz")).await;
    begin("notes/events.jsonl.gz".to_owned()).await;
    let unfinished = async || {
        let mut found = Vec::new();
        for spec in &stores.at {
            let sink = engine.open(spec).await.unwrap();
            let uploads: Vec<_> = futures::TryStreamExt::try_collect(sink.unfinished(None))
                .await
                .unwrap();
            found.push(uploads.len());
        }
        found
    };
    assert_eq!(unfinished().await, [2, 2]);
    let early = swift_cleanup(&world, &stores.at, Retention::default()).await;
    assert_eq!(early.exit_code(), exit::DONE, "{early:?}");
    assert_eq!(unfinished().await, [2, 2], "they may be going on");

    world.wait(HOUR_MS / 2);
    let late = swift_cleanup(&world, &stores.at, Retention::default()).await;
    assert_eq!(late.exit_code(), exit::DONE, "{late:?}");
    for at in &late.destinations {
        assert_eq!(at.uploads.len(), 1, "{late:?}");
        assert!(at.uploads[0].key.as_str().starts_with(id.as_str()));
    }
    assert_eq!(
        unfinished().await,
        [1, 1],
        "what teeline didn't write stays"
    );
    world.assert_listed_and_whole(&stores.at, &[id]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_wrong_clock_nothing_is_removed() {
    let stores = Stores::start();
    let world = World::at(system_time());
    let mut made = world.daily(3, &stores.at).await;
    // Three days ahead of the stores now.
    let report = swift_cleanup(&world, &stores.at, count(1)).await;
    assert_eq!(
        (report.count, report.exit_code()),
        (0, exit::FAILED),
        "{report:?}"
    );
    for at in &report.destinations {
        assert!(at.errors[0].message.contains("clock"), "{:?}", at.errors);
    }
    made.reverse();
    world.assert_listed_and_whole(&stores.at, &made).await;
    let runs = std::fs::read_dir(stores.folder().join("runs"))
        .unwrap()
        .count();
    assert_eq!(runs, 3, "nothing else is left there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_dead_by_the_store_s_word_as_well() {
    let stores = Stores::start();
    // By what it says it is old; by when its files were written it isn't.
    let world = World::at(Timestamp::from_unix_ms(
        system_time().unix_ms() - 30 * DAY_MS,
    ));
    let id = world.backup(&stores.at[..1]).await;
    world.wait(30 * DAY_MS);
    let folder = stores.folder().join(id.as_str());
    for lost in ["manifest.json", "events~0002.index"] {
        std::fs::remove_file(folder.join(lost)).unwrap();
    }
    std::fs::remove_dir_all(stores.folder().join("runs")).unwrap();
    let report = swift_cleanup(&world, &stores.at[..1], Retention::default()).await;
    assert!(removals(&report).is_empty(), "{report:?}");
    for entry in std::fs::read_dir(&folder).unwrap() {
        age(&entry.unwrap().path());
    }
    let report = swift_cleanup(&world, &stores.at[..1], Retention::default()).await;
    assert_eq!(
        removals(&report)[0].status,
        RemovalStatus::Removed,
        "{report:?}"
    );
    assert!(!folder.exists());

    // Whoever took it up had looked before, marked it, and died.
    std::fs::create_dir(&folder).unwrap();
    let mark = folder.join("resumed-0001.json");
    std::fs::write(&mark, "{}").unwrap();
    swift_cleanup(&world, &stores.at[..1], Retention::default()).await;
    assert!(mark.exists(), "somebody may be at work");
    age(&mark);
    let report = swift_cleanup(&world, &stores.at[..1], Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(!mark.exists());
}

/// Makes a file an hour older.
fn age(path: &Path) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - std::time::Duration::from_secs(3_600))
        .unwrap();
}
