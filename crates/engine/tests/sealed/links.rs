//! Chains of encrypted backups: who has a key goes on from what is there, and who has none begins anew.

use teeline::{
    BackupReport, BackupRequest, Connection, ConsolidateRequest, JsonlSource, KeySecret,
    RestoreRequest, RestoreTarget, S3dbSource, ScanOptions, Sink, Source, VerifyRequest, Which,
    WhichBackups, exit,
};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

use super::common::store;
use super::site::Site;
use super::{database, key, keys, recipient};

impl Site {
    fn lines(&self, lines: &str) -> JsonlSource {
        let file = self.folder.path().join("events.jsonl");
        std::fs::write(&file, lines).unwrap();
        JsonlSource::path(file)
    }

    /// An incremental backup for the holder of `key(1)`, by a host that opens backups with these.
    async fn back_up(&self, source: impl Source, opens: &[KeySecret]) -> BackupReport {
        let mut asked = BackupRequest::new(source, self.at.clone());
        asked.backup_type = "incremental".parse().unwrap();
        asked.recipients = vec![recipient(&key(1))];
        asked.keys = keys(opens);
        let report = Box::pin(self.engine.backup(asked)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        report
    }

    async fn restored(&self, opens: &[KeySecret]) -> (u8, String) {
        let to = self.folder.path().join("restored");
        let target = RestoreTarget::Folder(to.clone());
        let mut asked = RestoreRequest::new(Which::Latest, self.at.clone(), target);
        asked.keys = keys(opens);
        let report = Box::pin(self.engine.restore(asked)).await;
        let lines = std::fs::read_to_string(to.join("events.jsonl")).unwrap_or_default();
        let _ = std::fs::remove_dir_all(to);
        (report.exit_code(), lines)
    }

    async fn verified(&self) -> u8 {
        let mut asked = VerifyRequest::new(self.at.clone());
        asked.which = WhichBackups::All;
        asked.keys = keys(&[key(1)]);
        asked.deep = true;
        let report = Box::pin(self.engine.verify(asked)).await;
        report.exit_code()
    }
}

#[tokio::test]
async fn a_host_with_the_key_goes_on_from_what_is_there() {
    let site = Site::new();
    let mine = [key(1)];
    let full = site
        .back_up(site.lines("{\"n\":1}\n{\"n\":2}\n"), &mine)
        .await;
    assert!(full.parent.is_none(), "{full:?}");
    let link = site
        .back_up(site.lines("{\"n\":2}\n{\"n\":3}\n"), &mine)
        .await;
    assert_eq!(
        link.parent.as_ref().map(|it| &it.id),
        full.id.as_ref(),
        "{link:?}"
    );
    assert_eq!(
        site.restored(&mine).await,
        (exit::DONE, "{\"n\":2}\n{\"n\":3}\n".to_owned())
    );
    assert_eq!(site.restored(&[]).await, (exit::WRONG_KEY, String::new()));
    assert_eq!(site.verified().await, exit::DONE);

    // What is made of a chain is as sealed as that.
    let mut asked = ConsolidateRequest::new(site.at.clone(), link.id.unwrap());
    asked.keys = keys(&mine);
    let refused = Box::pin(site.engine.consolidate(asked.clone())).await;
    assert_eq!(refused.exit_code(), exit::USAGE, "{refused:?}");
    asked.recipients = vec![recipient(&key(1))];
    let whole = Box::pin(site.engine.consolidate(asked)).await;
    assert_eq!(whole.exit_code(), exit::DONE, "{whole:?}");
    assert_eq!(
        site.restored(&mine).await,
        (exit::DONE, "{\"n\":2}\n{\"n\":3}\n".to_owned())
    );
    assert_eq!(site.verified().await, exit::DONE);
}

#[tokio::test]
async fn a_host_that_can_not_read_makes_a_full_backup() {
    let site = Site::new();
    for opens in [&[][..], &[], &[key(2)]] {
        let report = site.back_up(site.lines("{\"n\":1}\n"), opens).await;
        assert!(report.parent.is_none(), "{report:?}");
    }
    let report = site.back_up(site.lines("{\"n\":2}\n"), &[]).await;
    let because = report.whole_because.unwrap();
    assert!(because.contains("no key opens"), "{because}");
    assert_eq!(
        site.restored(&[key(1)]).await,
        (exit::DONE, "{\"n\":2}\n".to_owned())
    );
}

#[tokio::test]
async fn a_database_goes_on_from_the_sealed_rows_of_its_parent() {
    let site = Site::new();
    let credentials = Credentials {
        access_key: "me".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(site.folder.path().join("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let connection: Connection = server.url("bucket", "db").parse().unwrap();
    let source = || S3dbSource::new(connection.clone(), ScanOptions::default());
    let mine = [key(1)];
    database::before().write(&connection).await;
    let full = site.back_up(source(), &mine).await;
    assert!(full.parent.is_none(), "{full:?}");
    database::after().write(&connection).await;
    let link = site.back_up(source(), &mine).await;
    assert_eq!(link.parent.map(|it| it.id), full.id);
    assert_eq!(site.verified().await, exit::DONE);
    let mut asked = ConsolidateRequest::new(site.at.clone(), link.id.unwrap());
    asked.keys = keys(&mine);
    asked.recipients = vec![recipient(&key(1))];
    let whole = Box::pin(site.engine.consolidate(asked)).await;
    assert_eq!(whole.exit_code(), exit::DONE, "{whole:?}");
    let files = site.sink.keys();
    let export = format!("{}/s3db.json.sealed", whole.folder.unwrap());
    assert!(
        files.iter().any(|file| file.as_str() == export),
        "{files:?}"
    );

    let again: Connection = server.url("bucket", "again").parse().unwrap();
    let target = RestoreTarget::Database(again.clone());
    let mut asked = RestoreRequest::new(Which::Latest, site.at.clone(), target);
    asked.keys = keys(&mine);
    let restored = Box::pin(site.engine.restore(asked)).await;
    assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
    let lines = async |source: S3dbSource| {
        let (sink, at) = store("plain");
        let made = site
            .engine
            .backup(BackupRequest::new(source, vec![at.clone()]))
            .await;
        assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
        assert!(!sink.keys().is_empty() && sink.capabilities().read_back.has_data());
        let to = site.folder.path().join("plain");
        let target = RestoreTarget::Folder(to.clone());
        let report = site
            .engine
            .restore(RestoreRequest::new(Which::Latest, vec![at], target))
            .await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        let users = std::fs::read_to_string(to.join("users.jsonl")).unwrap();
        std::fs::remove_dir_all(to).unwrap();
        let mut users: Vec<String> = users.lines().map(str::to_owned).collect();
        users.sort();
        users
    };
    let there = Box::pin(lines(S3dbSource::new(again, ScanOptions::default()))).await;
    assert_eq!(there, Box::pin(lines(source())).await);
    assert!(there.iter().any(|line| line.contains("Bert")), "{there:?}");
}
