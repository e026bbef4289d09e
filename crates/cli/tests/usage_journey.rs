//! The six levels of the journey that s3db.js's backup plugin documents, walked with the command. Each begins with the
//! configuration that the document has, but for where its absolute paths and its servers are.
//!
//! The database is a shop's, on a server of the test; its connection string is in the variable SHOP.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs;

use serde_json::Value;
use shared::shop::Shop;
use shared::{Run, workspace};

/// A folder with the configuration of a level, and a database to back up.
struct Journey {
    shop: Shop,
}

impl Journey {
    /// Begins with `config/plugin/<level>.json5`, at the test's server.
    fn begin(level: &str, buckets: &[&str]) -> Self {
        let shop = Shop::open();
        for bucket in buckets {
            shop.bucket(bucket);
        }
        let file = workspace().join(format!("config/plugin/{level}.json5"));
        let at_the_test = format!("endpoint: '{}', bucket: '", shop.endpoint());
        let text = fs::read_to_string(file).unwrap();
        let text = text
            .replace("'/mnt/", "'./mnt/")
            .replace("bucket: '", &at_the_test);
        shop.scratch.write("backup.json5", text);
        Journey { shop }
    }

    /// Runs the command with the configuration and the database, and expects this exit code.
    #[track_caller]
    fn teeline(&self, code: i32, arguments: &str) -> Value {
        let words: Vec<&str> = arguments.split(' ').collect();
        let mut command = self.shop.scratch.command(&words);
        command
            .args(["--config", "backup.json5", "--json"])
            .env("SHOP", self.shop.database("shop"))
            .env("EMPTY", self.shop.database("empty"));
        Run::of(code, command.output().unwrap(), arguments).json()
    }

    /// Makes a backup, and gives its report.
    #[track_caller]
    fn backup(&self, arguments: &str) -> Value {
        self.teeline(0, &format!("backup {arguments} --connection-env SHOP"))
    }

    #[track_caller]
    fn list(&self) -> Vec<Value> {
        let list = self.teeline(0, "list --connection-env SHOP");
        list["backups"].as_array().unwrap().clone()
    }
}

#[test]
fn level_1_simple_daily_backups() {
    let journey = Journey::begin("journey-1-simple", &["empty"]);
    // Run the daily backup.
    let made = journey.backup("full");
    assert_eq!(made["status"], "completed");
    assert!(
        journey
            .shop
            .scratch
            .path(made["path"].as_str().unwrap())
            .is_dir()
    );
    // Every byte of it was read back before it counted.
    assert_eq!(made["destinations"][0]["verified"], "read");
    // List backups.
    let backups = journey.list();
    assert_eq!(backups.len(), 1);
    assert_eq!(backups[0]["id"], made["id"]);
    // Restore if needed: what is there isn't written over by mistake.
    let id = backups[0]["id"].as_str().unwrap();
    journey.teeline(1, &format!("restore {id} --connection-env SHOP"));
    let restored = journey.teeline(0, &format!("restore {id} --connection-env EMPTY"));
    let records = restored["restored"].as_array().unwrap().iter();
    let records: u64 = records
        .map(|one| one["recordsRestored"].as_u64().unwrap())
        .sum();
    assert_eq!(records, made["recordCount"].as_u64().unwrap());
}

#[test]
fn level_2_compression_and_retention() {
    let journey = Journey::begin("journey-2-retention", &[]);
    let made: Vec<Value> = (0..9).map(|_| journey.backup("full")).collect();
    // Compressed.
    assert!(made[0]["size"].as_u64() < made[0]["plainBytes"].as_u64());
    // The newest seven are kept, without anybody asking for it.
    let backups = journey.list();
    assert_eq!(backups.len(), 7);
    assert_eq!(backups[0]["id"], made[8]["id"]);
    assert_eq!(backups[6]["id"], made[2]["id"]);
}

#[test]
fn level_3_production_in_a_bucket() {
    let journey = Journey::begin("journey-3-s3", &["my-backups"]);
    let made = journey.backup("full");
    assert_eq!(made["driverInfo"]["bucket"], "my-backups");
    let path = made["path"].as_str().unwrap();
    assert!(path.contains("/my-backups/production/db/full-"), "{path}");
    // The backup of today is kept as that of the day, the week and the month.
    let cleanup = journey.teeline(0, "cleanup --dry-run --connection-env SHOP");
    assert_eq!(cleanup["kept"][0], made["id"]);
    let rules = cleanup["destinations"][0]["backups"][0]["keptBy"].to_string();
    for rule in ["daily", "weekly", "monthly"] {
        assert!(rules.contains(rule), "{rules}");
    }
}

#[test]
fn level_4_several_destinations() {
    let buckets = ["backups-us-east-1", "backups-eu-west-1", "empty"];
    let journey = Journey::begin("journey-4-multi", &buckets);
    let made = journey.backup("full");
    // Read once, and there are three copies.
    let copies = made["destinations"].as_array().unwrap();
    assert_eq!(copies.len(), 3);
    assert!(copies.iter().all(|copy| copy["status"] == "committed"));
    assert_eq!(
        journey.list()[0]["destinations"].as_array().unwrap().len(),
        3
    );
    // Each of them is enough, if the others are gone.
    fs::remove_dir_all(journey.shop.scratch.path("mnt")).unwrap();
    journey.shop.scratch.write("mnt/backups/keep", "");
    let id = made["id"].as_str().unwrap();
    let restored = journey.teeline(0, &format!("restore {id} --connection-env EMPTY"));
    assert_eq!(restored["status"], "completed");
    // And the lost one comes back from the others.
    journey.teeline(0, "sync --connection-env SHOP");
    assert_eq!(
        journey.list()[0]["destinations"].as_array().unwrap().len(),
        3
    );
}

#[test]
fn level_5_automated_and_monitored() {
    let buckets = ["backups-primary", "backups-secondary"];
    let journey = Journey::begin("journey-5-automated", &buckets);
    let made = journey.backup("full");
    assert!(made["duration"].is_u64());
    // Whether there are as many as there should be, and young enough.
    journey.teeline(0, "check --max-age 25h --connection-env SHOP");
    let alarm = journey.teeline(1, "check --min-count 7 --connection-env SHOP");
    let problem = alarm["destinations"][0]["problems"][0]["message"].to_string();
    assert!(problem.contains("at least 7 are expected"), "{problem}");
    // The monthly restore test.
    let report = journey.teeline(0, "validate --last 10 --connection-env SHOP");
    assert_eq!(
        (&report["totalBackups"], &report["passed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["validations"][0]["checks"]["restore"], "pass");
    // A failure says what to do.
    fs::remove_dir_all(journey.shop.scratch.path("mnt")).unwrap();
    journey.shop.scratch.write("mnt", "a file is in the way");
    let failed = journey.teeline(1, "backup full --connection-env SHOP");
    assert_eq!(failed["failure"]["retriable"], true);
    assert!(
        failed["failure"]["suggestion"]
            .as_str()
            .is_some_and(|help| !help.is_empty())
    );
}

#[test]
fn level_6_selective_and_incremental() {
    let journey = Journey::begin("journey-6-selective", &["backups", "empty"]);
    // Only what is needed.
    let selective = journey.backup("selective --resources customers,orders --exclude cache_*");
    assert_eq!(
        selective["resources"],
        serde_json::json!(["customers", "orders"])
    );
    // What is seconds old may change within the second that its time has, so it would be read again.
    std::thread::sleep(std::time::Duration::from_secs(7));
    let full = journey.backup("full");
    assert!(selective["size"].as_u64() < full["size"].as_u64());
    // Only what has changed since: nothing has, so there is little to it.
    let link = journey.backup("incremental");
    assert_eq!(link["parent"]["id"], full["id"]);
    assert!(link["size"].as_u64() < full["size"].as_u64());
    // It is restored with all that it builds on.
    let id = link["id"].as_str().unwrap();
    let restored = journey.teeline(0, &format!("restore {id} --connection-env EMPTY"));
    let records = restored["restored"].as_array().unwrap().iter();
    let records: u64 = records
        .map(|one| one["recordsRestored"].as_u64().unwrap())
        .sum();
    assert_eq!(records, full["recordCount"].as_u64().unwrap());
}
