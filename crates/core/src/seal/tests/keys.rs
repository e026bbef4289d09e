//! A data key opens for its recipients, and secrets are shown nowhere.

use super::*;
use crate::document;
use crate::time::Timestamp;

fn recipients() -> Vec<(Recipient, KeySecret)> {
    let cheap = KdfFunction::Pbkdf2Sha256 { iterations: 1_000 };
    let memory = KdfFunction::Argon2id {
        memory_kib: 8 << 10,
        iterations: 1,
        parallelism: 1,
    };
    let with = |text: &str, function| {
        let secret = KeySecret::parse(text).unwrap();
        (Recipient::of(&secret, function), secret)
    };
    let pair = X25519Secret::new([9; 32]);
    let public: X25519Public = pair.public().to_string().parse().unwrap();
    vec![
        with("correct horse", cheap),
        with("battery staple", memory),
        with(&RawKey::new([5; 32]).to_text(), cheap),
        (
            Recipient::X25519(public),
            KeySecret::parse(&pair.to_text()).unwrap(),
        ),
    ]
}

#[test]
fn a_data_key_opens_for_its_recipient_and_for_nobody_else() {
    let (backup, data_key, random) = (id(ID), DataKey::new([7; 32]), random(1));
    let key_id = sealer().key_id();
    let all = recipients();
    for (index, (recipient, _)) in all.iter().enumerate() {
        let at = Timestamp::from_unix_ms(1_795_399_200_000);
        let made = SealedKey::seal((&backup, &data_key, key_id), recipient, at, &random).unwrap();
        let stored = document::seal(&made);
        let read: SealedKey = document::open("key", &stored).unwrap();
        assert_eq!(read, made);
        let text = String::from_utf8(stored.to_vec()).unwrap();
        for secret in ["horse", "staple", "CQkJCQ", "BQUFBQ", "BwcHBw"] {
            assert!(!text.contains(secret), "{text}");
        }
        for (other, (_, secret)) in all.iter().enumerate() {
            let opened = read.open(secret).unwrap();
            assert_eq!(opened.is_some(), other == index, "{secret:?}");
            if let Some(opened) = opened {
                let opened = Sealer::new(&backup, &opened, &epoch(1));
                assert_eq!(opened.key_id(), key_id);
            }
        }
        // That of one backup isn't that of another.
        let moved = SealedKey {
            backup: id(OTHER_ID),
            ..read
        };
        assert!(moved.open(&all[index].1).unwrap().is_none());
    }
}

#[test]
fn two_objects_for_one_recipient_have_nothing_in_common() {
    let (backup, data_key, random) = (id(ID), DataKey::new([7; 32]), random(1));
    for (recipient, _) in recipients() {
        let make = || {
            let of = (&backup, &data_key, sealer().key_id());
            SealedKey::seal(of, &recipient, Timestamp::from_unix_ms(0), &random).unwrap()
        };
        let (one, two) = (make(), make());
        assert_ne!(one.name, two.name);
        assert_ne!(one.sealed, two.sealed);
        assert_ne!(one.recipient, two.recipient);
    }
}

#[test]
fn the_key_is_committed_to() {
    let entry = SealEntry {
        algorithm: SealAlgorithm::default(),
        epoch: epoch(1),
        key: sealer().key_id(),
        previous: None,
    };
    assert!(Sealer::of(&id(ID), &DataKey::new([7; 32]), &entry).is_ok());
    let error = Sealer::of(&id(ID), &DataKey::new([8; 32]), &entry).unwrap_err();
    assert_eq!(error.class(), Class::WrongKey);
    let text = serde_json::to_string(&entry).unwrap();
    assert!(
        text.starts_with(r#"{"algorithm":"AES-256-GCM","epoch":"0101"#),
        "{text}"
    );
}

#[test]
fn what_a_key_object_asks_for_is_bounded() {
    let sealed_for = |kdf: &str| {
        let text = format!(
            r#"{{"backup":"{ID}","key":"{}","name":"passphrase-x","addedAt":"2026-11-23T02:00:00.000Z",
            "recipient":{{"kind":"passphrase","kdf":{kdf}}},"sealed":""}}"#,
            epoch(0)
        );
        serde_json::from_str::<SealedKey>(&text).unwrap()
    };
    let secret = KeySecret::parse("x").unwrap();
    let salt = r#""salt":"AAAAAAAAAAAAAAAAAAAAAA==""#;
    for kdf in [
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":67108864,"iterations":3,"parallelism":1,{salt}}}"#
        ),
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":8,"iterations":3,"parallelism":1,{salt}}}"#
        ),
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":65536,"iterations":4000000000,"parallelism":1,{salt}}}"#
        ),
        format!(
            r#"{{"algorithm":"argon2id","memoryKib":65536,"iterations":3,"parallelism":255,{salt}}}"#
        ),
        format!(r#"{{"algorithm":"pbkdf2-sha256","iterations":4294967295,{salt}}}"#),
        format!(r#"{{"algorithm":"pbkdf2-sha256","iterations":0,{salt}}}"#),
        r#"{"algorithm":"pbkdf2-sha256","iterations":600000,"salt":"AAAA"}"#.to_owned(),
    ] {
        let error = sealed_for(&kdf).open(&secret).unwrap_err();
        assert!(error.message().contains("accepted: "), "{kdf}: {error}");
    }
}

#[test]
fn weak_derivations_are_known_and_raised() {
    let weak = KdfFunction::Pbkdf2Sha256 {
        iterations: 100_000,
    };
    assert_eq!(weak.strength(), KdfStrength::Weak);
    let floor = KdfFunction::Pbkdf2Sha256 {
        iterations: PBKDF2_ITERATIONS_FLOOR,
    };
    assert_eq!(weak.raised(), floor);
    let weak = KdfFunction::Argon2id {
        memory_kib: 8 << 10,
        iterations: 1,
        parallelism: 4,
    };
    assert_eq!(weak.raised().strength(), KdfStrength::Enough);
    for enough in [floor, KdfFunction::default()] {
        assert_eq!(
            (enough.strength(), enough.raised()),
            (KdfStrength::Enough, enough)
        );
    }
}

#[test]
fn the_key_derivations_are_those_of_others() {
    let KeySecret::Passphrase(passphrase) = KeySecret::parse("passwd").unwrap() else {
        panic!("a passphrase")
    };
    let derive = |function| {
        let salt = Base64::new(b"sixteen bytes so".to_vec());
        let key = Kdf { function, salt }.derive(&passphrase).unwrap();
        Epoch::new(*key).to_string()
    };
    // As Python's hashlib and cryptography give them.
    assert_eq!(
        derive(KdfFunction::Pbkdf2Sha256 { iterations: 1_000 }),
        "975572bbaf38dffaa72e6a3a68e86955dff38f9a0d6ae03ce94a45df21d45d71"
    );
    assert_eq!(
        derive(KdfFunction::Argon2id {
            memory_kib: 8 << 10,
            iterations: 2,
            parallelism: 2
        }),
        "e856663d547de56a08c455256bba744afc0867694caf4ece0227f382f99e8347"
    );
}

#[test]
fn secrets_are_read_and_never_shown() {
    let hex = format!("hex:{}", "0a".repeat(32));
    assert!(matches!(KeySecret::parse(&hex), Ok(KeySecret::Key(_))));
    for wrong in [
        "",
        "hex:0a",
        "hex:zz",
        "base64:AAAA",
        "x25519-secret:CANARY",
        "x25519:AAAA",
    ] {
        let error = KeySecret::parse(wrong).unwrap_err();
        assert_eq!(error.class(), Class::Usage, "{wrong}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    assert!(matches!(
        KeySecret::passphrase(&hex),
        Ok(KeySecret::Passphrase(_))
    ));
    for (recipient, secret) in recipients() {
        let shown = format!(
            "{secret:?} {recipient:?} {:?} {:?}",
            DataKey::new([7; 32]),
            sealer()
        );
        for canary in ["horse", "staple", "CQkJ", "BQUF", "[7", "[5", "[9"] {
            assert!(!shown.contains(canary), "{shown}");
        }
    }
}

#[test]
fn documents_are_authenticated() {
    let (backup, data_key, random) = (id(ID), DataKey::new([7; 32]), random(1));
    let recipient = &recipients()[2].0;
    let of = (&backup, &data_key, sealer().key_id());
    let document = SealedKey::seal(of, recipient, Timestamp::from_unix_ms(0), &random).unwrap();
    let mac = |body: &[u8]| sealer().mac(Context::Claim, body);
    let bytes = document::seal_authenticated(&document, mac);
    assert_eq!(document::open::<SealedKey>("it", &bytes).unwrap(), document);
    let check = |bytes: &[u8]| sealer().check_document("it", Context::Claim, bytes);
    assert!(check(&bytes).is_ok());
    assert!(
        sealer()
            .check_document("it", Context::Manifest, &bytes)
            .is_err()
    );
    assert!(check(&document::seal(&document)).is_err());
    // One that says something else, and whose digest is right.
    let other = SealedKey {
        added_at: Timestamp::from_unix_ms(1),
        ..document
    };
    let forged = document::seal_authenticated(&other, |_| epoch(3));
    assert!(document::open::<SealedKey>("it", &forged).is_ok());
    assert_eq!(check(&forged).unwrap_err().class(), Class::Corrupt);
    assert!(check(b"").is_err());
}
