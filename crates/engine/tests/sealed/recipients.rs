//! Who can open a backup, and how that changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use teeline::sinks::Operation;
use teeline::{
    DestinationSpec, Engine, KeyChange, KeySecret, KeysReport, KeysRequest, Recipient,
    RepairRequest, Sink, SyncRequest, WhichBackups, X25519Secret, exit,
};
use teeline_core::ObjectKey;
use teeline_core::document::{self, Document};
use teeline_core::seal::{KeyId, SealedKey};

use super::common::watched::watched;
use super::common::{objects, padded, store, whole};
use super::{Made, key, keys, made, made_by, recipient};

fn all() -> Vec<(Recipient, KeySecret)> {
    let pair = X25519Secret::new([9; 32]);
    let secrets = [
        key(1),
        KeySecret::parse("correct horse battery staple").unwrap(),
        KeySecret::parse(&pair.to_text()).unwrap(),
    ];
    secrets.map(|secret| (recipient(&secret), secret)).to_vec()
}

#[tokio::test]
async fn each_recipient_opens_it_alone() {
    let (recipients, secrets): (Vec<_>, Vec<_>) = all().into_iter().unzip();
    let made = made_by(|request| request.recipients = recipients).await;
    for secret in &secrets {
        made.assert_restores(&made.at, secret).await;
    }
    let stranger = KeySecret::parse(&X25519Secret::new([8; 32]).to_text()).unwrap();
    let (report, _) = made.restore(&made.at, keys(&[stranger])).await;
    assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");
}

#[tokio::test]
async fn a_host_that_can_only_seal_backs_up() {
    let pair = X25519Secret::new([9; 32]);
    let public = pair.public().to_string().parse().unwrap();
    let made = made_by(|request| request.recipients = vec![Recipient::X25519(public)]).await;
    let secret = KeySecret::parse(&pair.to_text()).unwrap();
    made.assert_restores(&made.at, &secret).await;
}

async fn change(made: &Made, change: KeyChange, opens: &[KeySecret]) -> KeysReport {
    let mut asked = KeysRequest::new(made.at.clone());
    asked.which = WhichBackups::All;
    asked.keys = keys(opens);
    asked.change = change;
    Box::pin(made.engine.keys(asked)).await
}

/// Every object but the key objects.
async fn without_keys(made: &Made, destination: usize) -> Vec<(ObjectKey, Vec<u8>)> {
    let mut objects = objects(&made.sinks[destination]).await;
    objects.retain(|(key, _)| !key.as_str().contains("/keys/"));
    objects
}

#[tokio::test]
async fn recipients_change_and_nothing_else_does() {
    let made = made().await;
    let before = [without_keys(&made, 0).await, without_keys(&made, 1).await];
    let [passphrase, pair] = [1, 2].map(|number| all()[number].clone());

    // Adding takes a key, and the right to write.
    let refused = change(&made, KeyChange::Add(vec![passphrase.0.clone()]), &[key(2)]).await;
    assert_eq!(refused.exit_code(), exit::WRONG_KEY, "{refused:?}");
    let added = change(&made, KeyChange::Add(vec![passphrase.0.clone()]), &[key(1)]).await;
    assert_eq!(added.exit_code(), exit::DONE, "{added:?}");
    for at in &added.backups[0].destinations {
        assert_eq!((at.added.len(), at.keys.len()), (1, 2), "{at:?}");
    }
    made.assert_restores(&made.at, &passphrase.1).await;
    made.assert_restores(&made.at, &key(1)).await;

    // Removing takes its name, and no key.
    let listed = change(&made, KeyChange::List, &[]).await;
    let kinds: Vec<_> = listed.backups[0].destinations[1]
        .keys
        .iter()
        .map(|it| it.kind)
        .collect();
    assert_eq!(kinds, [Some("key"), Some("passphrase")]);
    let name = listed.backups[0].destinations[0].keys[0].name.clone();
    let removed = change(&made, KeyChange::Remove(name.clone()), &[]).await;
    assert_eq!(removed.exit_code(), exit::DONE, "{removed:?}");
    let (report, _) = made.restore(&made.at, keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");
    made.assert_restores(&made.at, &passphrase.1).await;
    let again = change(&made, KeyChange::Remove(name), &[]).await;
    assert_eq!(again.exit_code(), exit::FAILED, "{again:?}");

    // The last one stays.
    let last = change(&made, KeyChange::List, &[]).await.backups[0].destinations[0].keys[0]
        .name
        .clone();
    let refused = change(&made, KeyChange::Remove(last), &[]).await;
    assert_eq!(refused.exit_code(), exit::FAILED, "{refused:?}");

    let rotated = change(
        &made,
        KeyChange::Rotate(vec![pair.0.clone()]),
        std::slice::from_ref(&passphrase.1),
    )
    .await;
    assert_eq!(rotated.exit_code(), exit::DONE, "{rotated:?}");
    for at in &rotated.backups[0].destinations {
        assert_eq!(
            (at.added.len(), at.removed.len(), at.keys.len()),
            (1, 1, 1),
            "{at:?}"
        );
        assert_eq!(
            at.keys[0].recipient.as_deref(),
            Some(&*X25519Secret::new([9; 32]).public().to_string())
        );
    }
    made.assert_restores(&made.at, &pair.1).await;
    let (report, _) = made.restore(&made.at, keys(&[passphrase.1])).await;
    assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");

    assert!(before == [without_keys(&made, 0).await, without_keys(&made, 1).await]);
    let verified = made.verify(keys(&[pair.1]), true).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
}

/// At the call of this number of one change of a backup's keys somebody else makes another; whether it came to that.
async fn changed_at_once(one: &KeyChange, other: &KeyChange, call: u64) -> bool {
    let [first, second] = [0, 2].map(|number| all()[number].clone());
    let both = vec![first.0, second.0];
    let made = made_by(|request| request.recipients = both).await;
    let listed = change(&made, KeyChange::List, &[]).await;
    // What is to be removed is named by its place.
    let named = |of: &KeyChange| match of {
        KeyChange::Remove(place) => {
            let place: usize = place.parse().unwrap();
            KeyChange::Remove(listed.backups[0].destinations[0].keys[place].name.clone())
        }
        of => of.clone(),
    };
    let asked = |at: DestinationSpec, change: &KeyChange| {
        let mut asked = KeysRequest::new(vec![at]);
        asked.which = WhichBackups::All;
        asked.keys = keys(std::slice::from_ref(&first.1));
        asked.change = named(change);
        asked
    };
    let meanwhile = asked(made.at[0].clone(), other);
    let (calls, meanwhile) = (AtomicU64::new(0), Mutex::new(Some(meanwhile)));
    let has_met = Arc::new(AtomicBool::new(false));
    let meets = {
        let has_met = Arc::clone(&has_met);
        move |_: Operation, _: Option<&ObjectKey>| {
            if calls.fetch_add(1, Ordering::Relaxed) == call
                && let Some(asked) = meanwhile.lock().unwrap().take()
            {
                has_met.store(true, Ordering::Relaxed);
                let changes = || drop(Engine::new().unwrap().keys_blocking(asked));
                std::thread::spawn(changes).join().unwrap();
            }
            Ok(())
        }
    };
    let at = watched(&made.sinks[0], "meeting", meets);
    let (engine, asked) = (made.engine.clone(), asked(at, one));
    let changes = move || drop(engine.keys_blocking(asked));
    tokio::task::spawn_blocking(changes).await.unwrap();

    let opens = keys(&[first.1, second.1, key(7), key(8)]);
    let (report, _) = made.restore(&made.at[..1], opens).await;
    assert_eq!(
        report.exit_code(),
        exit::DONE,
        "{other:?} at call {call} of {one:?}: {report:?}"
    );
    has_met.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_keys_at_the_same_time_leaves_one_that_opens_it() {
    let rotate = |secret| KeyChange::Rotate(vec![recipient(&secret)]);
    let remove = |place: &str| KeyChange::Remove(place.to_owned());
    for (one, other) in [
        (remove("0"), remove("1")),
        (rotate(key(7)), remove("0")),
        (remove("0"), rotate(key(7))),
        (rotate(key(7)), rotate(key(8))),
    ] {
        let mut call = 0;
        while changed_at_once(&one, &other, call).await {
            call += 1;
        }
        assert!(call > 5, "{other:?} at {call} calls of {one:?}");
    }
}

#[tokio::test]
async fn a_backup_that_is_not_sealed_has_no_keys() {
    let made = made_by(|request| request.recipients = Vec::new()).await;
    let added = change(&made, KeyChange::Add(vec![recipient(&key(1))]), &[key(1)]).await;
    assert_eq!(added.exit_code(), exit::DONE, "{added:?}");
    let at = &added.backups[0].destinations[0];
    assert!(
        !at.sealed && at.keys.is_empty() && at.added.is_empty(),
        "{at:?}"
    );
}

#[tokio::test]
async fn a_copy_takes_its_key_objects_along() {
    let made = made().await;
    let (sink, third) = store("third");
    let mut all = made.at.clone();
    all.push(third.clone());
    // No key is needed for that.
    let synced = made.engine.sync(SyncRequest::new(all)).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    made.assert_restores(&[third], &key(1)).await;
    assert!(objects(&sink).await == objects(&made.sinks[0]).await);
}

#[tokio::test]
async fn key_objects_that_are_lost_or_another_backups_are_damage() {
    let made = made().await;
    let names = made.names(0);
    let name = names.iter().find(|name| name.starts_with("keys/")).unwrap();
    let object = made.file(name);
    let right = whole(&made.sinks[0], &object).await;

    let other = made_by(|_| ()).await;
    let theirs = other
        .names(0)
        .into_iter()
        .find(|name| name.starts_with("keys/"))
        .unwrap();
    let theirs = whole(&other.sinks[0], &other.file(&theirs)).await;
    made.sinks[0].overwrite(&object, &theirs);
    let verified = made.verify(keys(&[]), false).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    let (report, _) = made.restore(&made.at[..1], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");

    made.sinks[0].delete(&object).await.unwrap();
    let verified = made.verify(keys(&[]), false).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    let (report, _) = made.restore(&made.at[..1], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    // The data of that copy is as good as ever.
    let (report, lines) = made.restore(&made.at, keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert!(lines == made.lines);
    made.sinks[0].overwrite(&object, &right);
    made.assert_restores(&made.at[..1], &key(1)).await;
}

#[tokio::test]
async fn where_a_copy_is_damaged_or_begun_its_keys_are_said_to_stay() {
    let passphrase = all()[1].clone();
    let made = made_by(|request| request.recipients.push(passphrase.0)).await;
    let list = change(&made, KeyChange::List, &[]).await;
    let name = &list.backups[0].destinations[0].keys[0].name;
    let remove = || KeyChange::Remove(name.clone());
    let failed = |report: &KeysReport| {
        let at = &report.backups[0].destinations[1];
        assert_eq!((at.name.as_str(), at.removed.len()), ("second", 0));
        at.error.clone().unwrap()
    };
    let sink = &made.sinks[1];
    let manifest = made.file("manifest.json");
    let right = whole(sink, &manifest).await;
    sink.delete(&manifest).await.unwrap();
    let rotated = change(
        &made,
        KeyChange::Rotate(vec![recipient(&key(7))]),
        &[key(1)],
    )
    .await;
    assert_eq!(rotated.exit_code(), exit::DAMAGED, "{rotated:?}");
    let error = failed(&rotated);
    assert!(error.message.contains("is damaged here"), "{error:?}");
    let suggestion = error.suggestion.unwrap();
    assert!(suggestion.contains("repair"), "{suggestion}");
    assert_eq!(rotated.backups[0].destinations[0].removed.len(), 2);

    // What has nothing left that lists it may still be made whole, and so may what was never completed.
    for object in sink.keys() {
        if ["catalog/", "runs/"]
            .iter()
            .any(|of| object.as_str().starts_with(of))
        {
            sink.delete(&object).await.unwrap();
        }
    }
    let removed = change(&made, remove(), &[]).await;
    let error = failed(&removed);
    assert!(error.message.contains("isn't listed here"), "{error:?}");

    sink.put(&manifest, right).await.unwrap();
    let repaired = RepairRequest::everything(made.at.clone());
    let repaired = made.engine.repair(repaired).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    let rotated = change(
        &made,
        KeyChange::Rotate(vec![recipient(&key(7))]),
        &[key(7)],
    )
    .await;
    let of_second = &rotated.backups[0].destinations[1];
    assert!(of_second.error.is_none(), "{rotated:?}");
    let (report, _) = made.restore(&made.at[1..], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::WRONG_KEY, "{report:?}");
}

#[tokio::test]
async fn key_objects_of_another_key_are_none() {
    let made = made().await;
    let sink = &made.sinks[0];
    let names = made.names(0).into_iter();
    let mut names = names.filter(|name| name.starts_with("keys/"));
    let object = made.file(&names.next().unwrap());
    let right = whole(sink, &object).await;
    let mut others: SealedKey = document::open("it", &right).unwrap();
    others.key = KeyId::new([5; 32]);
    sink.overwrite(&object, &document::seal(&others));

    let verified = made.verify(keys(&[]), false).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    let damage = &verified.backups[0].destinations[0].damage;
    assert!(damage[0].message.contains("no key object"), "{damage:?}");
    let (report, _) = made.restore(&made.at[..1], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");

    let alone = RepairRequest::heal(made.at[..1].to_vec());
    let alone = made.engine.repair(alone).await;
    assert_eq!(alone.exit_code(), exit::DAMAGED, "{alone:?}");
    let repaired = made
        .engine
        .repair(RepairRequest::heal(made.at.clone()))
        .await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    assert!(whole(sink, &object).await == right);
    made.assert_restores(&made.at[..1], &key(1)).await;

    // One beside the right one is in nobody's way.
    others.name = "key-0123456789".to_owned();
    let beside = made.file("keys/key-0123456789");
    sink.overwrite(&beside, &document::seal(&others));
    let repaired = made
        .engine
        .repair(RepairRequest::heal(made.at.clone()))
        .await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    let verified = made.verify(keys(&[key(1)]), true).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    assert!(sink.keys().contains(&beside));
}

/// Whoever can write to a destination can put key objects there, each of which would cost a passphrase its time.
#[tokio::test]
async fn a_key_object_that_is_too_large_for_one_is_not_read() {
    let made = made().await;
    let names = made.names(0);
    let name = names.iter().find(|name| name.starts_with("keys/")).unwrap();
    let object = made.file(name);
    let right = whole(&made.sinks[0], &object).await;
    made.sinks[0].overwrite(&object, &padded(&right, 1));
    made.assert_restores(&made.at[..1], &key(1)).await;

    made.sinks[0].overwrite(&object, &padded(&right, SealedKey::BYTES_MAX));
    let verified = made.verify(keys(&[]), false).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    let (report, _) = made.restore(&made.at[..1], keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    let message = report.error.unwrap().message;
    assert!(message.ends_with("is too large for it"), "{message}");
    let (report, lines) = made.restore(&made.at, keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert!(lines == made.lines);
}

#[tokio::test]
async fn more_key_objects_than_are_tried_are_refused_until_they_are_gone() {
    let made = made().await;
    let (sink, at) = (&made.sinks[0], &made.at[..1]);
    let surplus: Vec<ObjectKey> = (1..=64)
        .map(|number| made.file(&format!("keys/surplus-{number:02}")))
        .collect();
    // With the right one these are as many as are tried.
    for object in &surplus[..63] {
        sink.overwrite(object, b"no key object");
    }
    made.assert_restores(at, &key(1)).await;

    sink.overwrite(&surplus[63], b"no key object");
    let (report, lines) = made.restore(at, keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert!(lines.is_empty());
    let refused = "/keys: 65 key objects are more than the 64 that are tried";
    let error = report.error.unwrap();
    assert!(error.message.ends_with(refused), "{error:?}");
    assert!(error.suggestion.unwrap().starts_with("delete there"));
    let verified = made.verify(keys(&[]), false).await;
    assert_eq!(verified.exit_code(), exit::DAMAGED, "{verified:?}");
    let [damage] = &verified.backups[0].destinations[0].damage[..] else {
        panic!("{verified:?}")
    };
    assert!(damage.message.ends_with(refused), "{damage:?}");
    // The other copy has its own.
    let (report, lines) = made.restore(&made.at, keys(&[key(1)])).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert!(lines == made.lines);

    // One less is few enough, and without any all is well.
    sink.delete(&surplus[0]).await.unwrap();
    made.assert_restores(at, &key(1)).await;
    for object in &surplus[1..] {
        sink.delete(object).await.unwrap();
    }
    let verified = made.verify(keys(&[key(1)]), false).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
}

#[tokio::test]
async fn a_deleted_backup_leaves_no_key_object() {
    let made = made().await;
    // Something of somebody else's beside them.
    let note = made.file("keys/notes/mine");
    made.sinks[0].put(&note, "x".into()).await.unwrap();
    let mut asked = teeline::DeleteRequest::new(made.at.clone(), made.report.id.clone().unwrap());
    asked.retention.grace = teeline::Span::from_days(0);
    let deleted = made.engine.delete(asked).await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
    assert_eq!(made.names(0), ["keys/notes/mine"]);
    assert_eq!(made.names(1), [""; 0]);
}
