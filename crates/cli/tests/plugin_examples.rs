//! Every configuration that s3db.js's backup plugin documents, in `config/plugin`: as it is, but for the address of the server
//! and where absolute paths begin, it makes a backup that is listed, whole and restored.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs;
use std::process::Command;

use serde_json::Value;
use shared::shop::Shop;
use shared::{Run, workspace};

/// The buckets that are named in the examples, and exist.
const BUCKETS: [&str; 12] = [
    "backups",
    "prod-backups",
    "my-backups",
    "my-backup-bucket",
    "backups-us-east-1",
    "backups-eu-west-1",
    "backups-primary",
    "backups-secondary",
    "secure-backups",
    "remote-backup",
    "remote-backups",
    "remote",
];
const BUCKETS_OF_PARALLEL_RUNS: [&str; 2] = ["backup-users", "backup-events"];

/// The example whose bucket doesn't exist.
const FAILING: &str = "error-multi";

/// Absolute paths where they begin, and each bucket at the test's server.
fn at_the_test(text: &str, endpoint: &str) -> String {
    text.replace("'/", "'./root/")
        .replace("bucket: '", &format!("endpoint: '{endpoint}', bucket: '"))
}

struct Example<'a> {
    shop: &'a Shop,
    file: String,
}

impl Example<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.shop.scratch.command(arguments);
        command
            .args(["--config", &self.file, "--json"])
            .env("BACKUP_ENCRYPTION_KEY", "a passphrase that nobody guesses")
            .env("BACKUP_SALT", "salt");
        command
    }

    #[track_caller]
    fn run(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().unwrap();
        Run::of(code, output, &format!("{}: {arguments:?}", self.file)).json()
    }
}

#[test]
fn every_documented_configuration_makes_backups_that_can_be_restored() {
    let shop = Shop::open();
    for bucket in BUCKETS.iter().chain(&BUCKETS_OF_PARALLEL_RUNS) {
        shop.bucket(bucket);
    }
    let connection = shop.database("shop");
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace().join("config/plugin")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = at_the_test(&fs::read_to_string(&path).unwrap(), &shop.endpoint());
        // The place that nobody says anything of is the same for all of them.
        let file = format!("{name}.json5");
        shop.scratch.write(&file, text);
        let example = Example { shop: &shop, file };
        let made = ["backup", "full", "--connection", &connection];
        if name == FAILING {
            let failed = example.run(1, &made);
            assert_eq!(failed["failure"]["driver"], "multi");
            assert_eq!(
                failed["failure"]["metadata"]["destinations"][1]["status"],
                "failed"
            );
            continue;
        }
        let report = example.run(0, &made);
        let id = report["id"].as_str().unwrap();
        let at = ["--connection", &connection];
        let listed = example.run(0, &[&["list", "--limit", "1"][..], &at].concat());
        assert_eq!(listed["backups"][0]["id"], id, "{name}");
        let target = format!("./restored/{name}");
        // Where all of the data is archived, it has to be thawed.
        let restore = ["restore", id, "--target", &target, "--thaw", "--wait"];
        let restored = example.run(0, &[&restore[..], &at].concat());
        assert_eq!(restored["status"], "completed", "{name}");
        names.push(name);
    }
    assert_eq!(names.len(), 34, "{names:?}");
}
