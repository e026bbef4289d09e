//! Restoring to where something is already, under other names, and again after a restore that broke off.

use serde_json::{Value, json};
use teeline_core::{Class, ResourceKind, RestoreCounts, Restoring, Target, layout};
use teeline_sources::s3db::{RestoreMode, S3dbTarget, WriteBackOptions};

use crate::server::{
    Objects, Scanned, Server, catalogue, catalogue_object, entry, noise, record, restoring, scan,
    typed, write_back,
};

const MODES: [RestoreMode; 3] = [
    RestoreMode::Merge,
    RestoreMode::SkipExisting,
    RestoreMode::Replace,
];

/// A database at `backup/`, which is scanned, and another at `there/`, which has the same record 1 of both resources, an
/// older record 2, a record 3 that the backup lacks, and a resource of its own.
async fn two_databases() -> (Server, Scanned) {
    let server = Server::start().await;
    let of_backup = catalogue(&[("log", "user-managed"), ("users", "user-managed")]);
    let mut objects = Objects::from([("s3db.json".to_owned(), catalogue_object(&of_backup))]);
    for resource in ["log", "users"] {
        for (id, name) in [("1", "a"), ("2", "new")] {
            let document = json!({ "id": id, "name": name, "size": 2 });
            objects.extend([record(&of_backup, resource, document)]);
            let key = format!("resource={resource}/partition=byName/name={name}/id={id}");
            objects.insert(key, entry());
        }
    }
    objects.insert("plugin=x/large".to_owned(), typed("a/b", noise(9 << 20)));
    server.put_all("backup/", &objects).await;
    let scanned = scan(&server.connection("backup")).await.unwrap();

    let there = catalogue(&[
        ("log", "user-managed"),
        ("users", "user-managed"),
        ("own", "user-managed"),
    ]);
    let mut objects = Objects::from([("s3db.json".to_owned(), catalogue_object(&there))]);
    for (resource, id, name) in [
        ("log", "1", "a"),
        ("log", "2", "old"),
        ("log", "3", "only there"),
        ("users", "1", "a"),
        ("own", "1", "a"),
    ] {
        let document = json!({ "id": id, "name": name, "size": 2 });
        objects.extend([record(&there, resource, document)]);
        let key = format!("resource={resource}/partition=byName/name={name}/id={id}");
        objects.insert(key, entry());
    }
    objects.insert("plugin=x/theirs".to_owned(), typed("a/b", "c"));
    objects.insert("notes.txt".to_owned(), typed("a/b", "c"));
    server.put_all("there/", &objects).await;
    (server, scanned)
}

fn target(server: &Server, prefix: &str, mode: Option<RestoreMode>) -> S3dbTarget {
    let options = WriteBackOptions {
        mode,
        ..WriteBackOptions::default()
    };
    S3dbTarget::new(server.connection(prefix), options)
}

fn records(resource: &str) -> ResourceKind {
    ResourceKind::Records(resource.to_owned())
}

fn counts(created: u64, replaced: u64, left: u64, deleted: u64) -> RestoreCounts {
    RestoreCounts {
        created,
        replaced,
        left,
        deleted,
    }
}

/// The resources of the catalogue, sorted.
fn names_of(objects: &Objects) -> Vec<String> {
    let catalogue: Value = serde_json::from_slice(&objects["s3db.json"].body).unwrap();
    let resources = catalogue["resources"].as_object().unwrap();
    let mut names: Vec<String> = resources.keys().cloned().collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn each_mode_does_what_it_says_and_a_dry_run_says_the_same() {
    for mode in MODES {
        let (server, scanned) = two_databases().await;
        let before = server.objects("there/").await;
        let source = server.objects("backup/").await;
        // Records of `log`, records of `users`, and objects that are no record.
        let expected = match mode {
            // Of log's 2, the entry that it had goes.
            RestoreMode::Merge => [counts(0, 1, 1, 0), counts(1, 0, 1, 0), counts(3, 0, 2, 1)],
            // Of log's 2, the entry that it has in the backup doesn't come.
            RestoreMode::SkipExisting => {
                [counts(0, 0, 2, 0), counts(1, 0, 1, 0), counts(2, 0, 3, 0)]
            }
            // The entries of log's 2 and 3, those of `own`, and the plugin's object.
            RestoreMode::Replace => [counts(0, 1, 1, 1), counts(1, 0, 1, 0), counts(3, 0, 2, 4)],
        };
        let mut dry = restoring(&scanned, &[]);
        dry.dry_run = true;
        for restoring in [dry, restoring(&scanned, &[])] {
            let mut target = target(&server, "there", Some(mode));
            write_back(&scanned, &mut target, &restoring).await.unwrap();
            let kinds = [records("log"), records("users"), ResourceKind::Objects];
            let found = kinds.map(|kind| target.counts(&kind).unwrap());
            assert_eq!(found, expected, "{mode:?}, dry run: {}", restoring.dry_run);
            if restoring.dry_run {
                assert_eq!(server.objects("there/").await, before, "{mode:?}");
            }
        }
        let found = server.objects("there/").await;
        let is_there = |key: &str| found.get(key);
        let of_backup = |key: &str| source.get(key);
        let of_before = |key: &str| before.get(key);
        let changed = "resource=log/data/id=2";
        let older = mode == RestoreMode::SkipExisting;
        assert_eq!(
            is_there(changed),
            if older {
                of_before(changed)
            } else {
                of_backup(changed)
            }
        );
        for (name, is_of_older) in [("old", true), ("new", false)] {
            let key = format!("resource=log/partition=byName/name={name}/id=2");
            assert_eq!(
                is_there(&key).is_some(),
                is_of_older == older,
                "{mode:?}: {key}"
            );
        }
        for key in ["resource=users/data/id=2", "plugin=x/large"] {
            assert_eq!(is_there(key), of_backup(key), "{mode:?}: {key}");
        }
        for key in [
            "resource=log/data/id=3",
            "resource=own/data/id=1",
            "plugin=x/theirs",
        ] {
            let stays = mode != RestoreMode::Replace;
            assert_eq!(
                is_there(key),
                of_before(key).filter(|_| stays),
                "{mode:?}: {key}"
            );
        }
        assert_eq!(is_there("notes.txt"), of_before("notes.txt"), "{mode:?}");
        assert!(is_there(layout::RESTORE_MARKER).is_none());
        let names = names_of(&found);
        match mode {
            RestoreMode::Replace => assert_eq!(names, ["log", "users"]),
            _ => assert_eq!(names, ["log", "own", "users"]),
        }
    }
}

#[tokio::test]
async fn a_replaced_resource_leaves_the_others_alone() {
    let (server, scanned) = two_databases().await;
    let before = server.objects("there/").await;
    let mut target = target(&server, "there", Some(RestoreMode::Replace));
    write_back(&scanned, &mut target, &restoring(&scanned, &["log"]))
        .await
        .unwrap();
    assert_eq!(target.counts(&records("log")), Some(counts(0, 1, 1, 1)));
    let found = server.objects("there/").await;
    for (key, object) in &before {
        if !key.starts_with("resource=log/") && key != "s3db.json" {
            assert_eq!(found.get(key), Some(object), "{key}");
        }
    }
    let source = server.objects("backup/").await;
    let of_log = |objects: &Objects| -> Objects {
        let of_log = objects
            .iter()
            .filter(|(key, _)| key.starts_with("resource=log/"));
        of_log
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    };
    assert_eq!(of_log(&found), of_log(&source));
}

#[tokio::test]
async fn single_records_do_not_replace_a_resource() {
    let (server, scanned) = two_databases().await;
    let mut some = restoring(&scanned, &["log"]);
    some.ids = Some(vec!["1".to_owned()]);
    let mut target = target(&server, "there", Some(RestoreMode::Replace));
    let error = target.check(&some).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    assert!(error.to_string().contains("single ids"), "{error}");
}

#[tokio::test]
async fn a_renamed_resource_is_the_same_under_another_name() {
    let (server, scanned) = two_databases().await;
    let mut renamed = restoring(&scanned, &[]);
    renamed.resources[0].restored_as = Some("diary".to_owned());
    let old = renamed.resources[0].name.clone();
    let mut target = target(&server, "new", None);
    write_back(&scanned, &mut target, &renamed).await.unwrap();
    assert_eq!(target.counts(&records(&old)), Some(counts(2, 0, 0, 0)));
    let (found, source) = (
        server.objects("new/").await,
        server.objects("backup/").await,
    );
    assert_eq!(found.len(), source.len());
    for (key, object) in &source {
        let key = key.replace(&format!("resource={old}/"), "resource=diary/");
        if key != "s3db.json" {
            assert_eq!(found.get(&key), Some(object), "{key}");
        }
    }
    let mut expected = ["diary", if old == "log" { "users" } else { "log" }];
    expected.sort_unstable();
    assert_eq!(names_of(&found), expected);
    let again = scan(&server.connection("new")).await.unwrap();
    assert_eq!(
        again.resource("diary").documents(),
        scanned.resource(&old).documents()
    );
}

#[tokio::test]
async fn a_restore_that_broke_off_writes_only_what_is_missing_when_run_again() {
    let (server, scanned) = two_databases().await;
    let whole = restoring(&scanned, &[]);
    let begun = || async {
        let mut broken_off = target(&server, "half", None);
        broken_off.check(&whole).await.unwrap();
        broken_off.begin(&whole).await.unwrap();
        let lines = scanned.resource("log").batches[0].clone();
        broken_off.lines("log", lines).await.unwrap();
        // The records are written at the latest here.
        broken_off.frames(Vec::new()).await.unwrap();
    };
    begun().await;
    let half = server.objects("half/").await;
    assert!(half.contains_key(layout::RESTORE_MARKER));
    assert!(!half.contains_key("s3db.json"));

    let some: Restoring = restoring(&scanned, &["users"]);
    let error = target(&server, "half", None)
        .check(&some)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Conflict);
    assert!(
        error.to_string().contains("a part of another restore"),
        "{error}"
    );

    let written: u64 = half.len() as u64 - 1;
    let mut again = target(&server, "half", None);
    write_back(&scanned, &mut again, &whole).await.unwrap();
    assert_eq!(
        again.counts(&records("log")),
        Some(counts(2 - written, 0, written, 0))
    );
    assert_eq!(again.counts(&records("users")), Some(counts(2, 0, 0, 0)));
    assert_same_database(&server, "half/").await;

    // In another mode it is finished just as well.
    for key in server.objects("half/").await.keys() {
        server.delete(&format!("half/{key}")).await;
    }
    begun().await;
    let mut again = target(&server, "half", Some(RestoreMode::Merge));
    write_back(&scanned, &mut again, &whole).await.unwrap();
    assert_same_database(&server, "half/").await;
}

#[tokio::test]
async fn a_restore_that_only_lacked_the_end_of_its_marker_writes_nothing_again() {
    let (server, scanned) = two_databases().await;
    let whole = restoring(&scanned, &[]);
    let mut first = target(&server, "done", None);
    first.check(&whole).await.unwrap();
    first.begin(&whole).await.unwrap();
    let begun = server.objects("done/").await;
    let marker = begun[layout::RESTORE_MARKER].clone();
    write_back(&scanned, &mut target(&server, "done", None), &whole)
        .await
        .unwrap();

    // It died right before it took its marker away, and somebody has used the database since.
    let key = |name: &str| format!("done/{name}");
    server
        .put(&key(layout::RESTORE_MARKER), marker.clone())
        .await;
    server.delete(&key("resource=users/data/id=2")).await;
    let used = server.objects("done/").await;
    let mut again = target(&server, "done", None);
    write_back(&scanned, &mut again, &whole).await.unwrap();
    assert_eq!(again.counts(&records("users")), Some(counts(0, 0, 2, 0)));
    let mut found = server.objects("done/").await;
    assert!(!found.contains_key(layout::RESTORE_MARKER));
    found.insert(
        layout::RESTORE_MARKER.to_owned(),
        used[layout::RESTORE_MARKER].clone(),
    );
    assert_eq!(found, used);

    // Where somebody has made another database of it, it is theirs.
    server
        .put(&key(layout::RESTORE_MARKER), marker.clone())
        .await;
    server
        .put(&key("s3db.json"), typed("application/json", "{}"))
        .await;
    let theirs = server.objects("done/").await;
    let error = target(&server, "done", None).check(&whole).await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), Class::Conflict);
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert_eq!(server.objects("done/").await, theirs);
}

#[tokio::test]
async fn what_a_restore_left_is_nobodys_half_once_another_has_replaced_it() {
    let (server, scanned) = two_databases().await;
    let whole = restoring(&scanned, &[]);
    let mut broken_off = target(&server, "half", None);
    broken_off.check(&whole).await.unwrap();
    broken_off.begin(&whole).await.unwrap();
    let some = restoring(&scanned, &["users"]);
    let mut over = target(&server, "half", Some(RestoreMode::Merge));
    write_back(&scanned, &mut over, &some).await.unwrap();
    let found = server.objects("half/").await;
    assert!(!found.contains_key(layout::RESTORE_MARKER));
    let error = target(&server, "half", None).check(&whole).await;
    assert!(error.unwrap_err().to_string().contains("is not empty"));
}

#[tokio::test]
async fn who_came_while_the_backup_was_read_is_not_written_over() {
    let (server, scanned) = two_databases().await;
    let whole = restoring(&scanned, &[]);
    let mut late = target(&server, "new", None);
    late.check(&whole).await.unwrap();
    let record = "new/resource=users/data/id=1";
    server.put(record, typed("application/json", "{}")).await;
    let theirs = server.objects("new/").await;
    let error = late.begin(&whole).await.unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert_eq!(server.objects("new/").await, theirs);
}

#[tokio::test]
async fn of_two_restores_that_begin_at_once_one_goes_on() {
    let (server, scanned) = two_databases().await;
    let (whole, some) = (restoring(&scanned, &[]), restoring(&scanned, &["users"]));
    for round in 0..16 {
        let place = format!("new{round}");
        let [mut one, mut other] = [target(&server, &place, None), target(&server, &place, None)];
        one.check(&whole).await.unwrap();
        other.check(&some).await.unwrap();
        let begun = tokio::join!(one.begin(&whole), other.begin(&some));
        let refused = match begun {
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
            both => panic!("{both:?}"),
        };
        assert_eq!(refused.class(), Class::Conflict);
        assert!(
            refused.to_string().contains("a part of another restore"),
            "{refused}"
        );
    }
}

/// Whether what is at `prefix` is, object for object, what is at `backup/`.
async fn assert_same_database(server: &Server, prefix: &str) {
    let found = server.objects(prefix).await;
    let source = server.objects("backup/").await;
    assert_eq!(found, source);
}
