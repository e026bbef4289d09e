//! What the configurations in `config/plugin` say, as the document of s3db.js's backup plugin has it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::fmt::Write;
use std::path::Path;

use teeline::config::{BackupConfig, EncryptionConfig};
use teeline::{Config, DestinationSpec, Place, RetentionPolicy};
use teeline_sinks::Modes;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/plugin")
}

fn variable(name: &str) -> Option<String> {
    Some(format!("the value of {name}"))
}

fn destination(spec: &DestinationSpec) -> String {
    let mut said = match &spec.place {
        Place::S3(place) => {
            let storing = &place.storing;
            let mut said = format!("s3 {}/{}", place.bucket, place.prefix);
            said += &place
                .region
                .as_ref()
                .map_or(String::new(), |it| format!(" {it}"));
            said += &storing
                .class
                .as_ref()
                .map_or(String::new(), |it| format!(" {it:?}"));
            said += &storing
                .encryption
                .as_ref()
                .map_or(String::new(), |it| format!(" {it:?}"));
            said
        }
        place => format!("folder {}", place.location()),
    };
    if spec.modes != Modes::default() {
        let [file, folder] = [spec.modes.file, spec.modes.folder].map(Option::unwrap_or_default);
        let _ = write!(said, " {file:o} {folder:o}");
    }
    said
}

fn summary(config: &Config) -> String {
    let mut said = String::new();
    for spec in &config.destinations {
        let _ = writeln!(said, "{}", destination(spec));
    }
    let RetentionPolicy { rules, .. } = config.retention;
    let counts = [rules.daily, rules.weekly, rules.monthly, rules.yearly];
    let BackupConfig {
        strategy,
        concurrency,
        compression,
        verification,
        include,
        exclude,
        partitions,
        cleanup,
        path,
        ..
    } = &config.backup;
    let _ = writeln!(
        said,
        "{strategy} {concurrency} {compression} {verification:?} path {path:?}"
    );
    let _ = writeln!(
        said,
        "gfs {counts:?} count {} cleanup {cleanup}",
        rules.count
    );
    let _ = writeln!(
        said,
        "include {include:?} exclude {exclude:?} all records: {}",
        partitions.is_empty()
    );
    for schedule in &config.schedules {
        let _ = writeln!(
            said,
            "{} {} {}",
            schedule.name, schedule.backup_type, schedule.cron
        );
    }
    if let Some(EncryptionConfig {
        kdf,
        kdf_salt,
        secrets,
        ..
    }) = &config.encryption
    {
        let _ = writeln!(said, "encryption {} {kdf:?} {kdf_salt:?}", secrets.len());
    }
    let usual = std::env::temp_dir().join("s3db/backups");
    let is_usual = config.engine.temp_dir.as_deref() == Some(&*usual);
    let _ = writeln!(
        said,
        "log {:?}, the plugin's temporary folder: {is_usual}",
        config.engine.log_level
    );
    said
}

#[test]
fn each_documented_configuration_says_what_the_document_says() {
    let files = std::fs::read_dir(folder()).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut said = String::new();
    for file in files {
        let config = Config::load(&file, &variable, std::iter::empty()).unwrap();
        let name = file.file_stem().unwrap().display();
        let _ = writeln!(said, "{name}\n{}", summary(&config));
    }
    let expected = include_str!("documented_configurations.txt");
    for (said, expected) in said.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(said, expected);
    }
    assert_eq!(said, expected);
}
