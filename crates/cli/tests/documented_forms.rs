//! The command in the forms that s3db.js's backup plugin documents.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use shared::shop::Shop;

#[test]
fn backups_are_made_listed_and_restored_by_the_connection_alone() {
    let shop = Shop::open();
    let url = shop.database("shop");
    let teeline = |code, arguments: &[&str]| {
        let arguments = [arguments, &["--connection", &url, "--json"]].concat();
        shop.scratch.teeline(code, &arguments).json()
    };
    let made = teeline(0, &["backup", "full"]);
    let id = made["id"].as_str().unwrap();
    assert!(made["recordCount"].as_u64().unwrap() > 100);
    assert!(
        made["path"]
            .as_str()
            .unwrap()
            .starts_with("./backups/full-")
    );
    assert!(
        shop.scratch
            .path(made["metadataFile"].as_str().unwrap())
            .is_file()
    );

    let listed = teeline(0, &["backup", "--list"]);
    assert_eq!(listed["backups"][0]["id"], id);
    let status = teeline(0, &["backup", "--status", id]);
    assert_eq!(
        (&status["status"], &status["size"]),
        (&"completed".into(), &made["size"])
    );
    assert_eq!(status["checksum"], made["checksum"]);

    // The database is there, so it isn't written over unless that is said.
    let refused = teeline(1, &["restore", id]);
    let message = refused["error"].to_string();
    assert!(message.contains("--overwrite"), "{message}");
    let restored = teeline(0, &["restore", id, "--overwrite"]);
    assert_eq!(restored["backupId"], id);
    let of_each = restored["restored"].as_array().unwrap();
    let names = of_each.iter().map(|one| &one["name"]);
    assert!(
        names.eq(made["resources"].as_array().unwrap()),
        "{restored}"
    );
    let records = |member: &str| {
        let counts = of_each.iter().map(|one| one[member].as_u64().unwrap());
        counts.sum::<u64>()
    };
    let total = made["recordCount"].as_u64().unwrap();
    assert_eq!(
        [records("recordsRestored"), records("totalRecords")],
        [total; 2]
    );

    shop.bucket("other");
    let other = shop.database("other");
    shop.scratch
        .teeline(0, &["restore", id, "--connection", &other]);
    let copy = shop
        .scratch
        .teeline(
            0,
            &["backup", "--connection", &other, "--to", "again", "--json"],
        )
        .json();
    assert_eq!(copy["recordCount"], made["recordCount"]);
}

#[test]
fn an_unknown_id_is_not_found() {
    let shop = Shop::open();
    let url = shop.database("shop");
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--connection", &url, "--json"]].concat();
        shop.scratch.teeline(1, &arguments).json()
    };
    let id = "full-2024-01-15T00-00-00-abc123abcd";
    assert_eq!(run(&["backup", "--status", id])["status"], "unknown");
    let failure = &run(&["restore", id, "--overwrite"])["failure"];
    assert_eq!(
        (&failure["statusCode"], &failure["operation"]),
        (&404.into(), &"restore".into())
    );
}
