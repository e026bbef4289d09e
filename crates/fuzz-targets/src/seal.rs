//! What is sealed.

use teeline_core::seal::{
    Base64, Context, DataKey, Epoch, KeySecret, SealedFor, SealedKey, Sealer, open_rows,
};
use teeline_core::{BackupId, Encoder, ResourceId, document};

use crate::parts::{chosen, first_part, with_digest};

const ID: &str = "full-2026-11-23T02-00-00-k3j9x0q2mz";
const RAW_KEY: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const X25519_KEY: &str = "x25519-secret:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Takes a key object, a key as text, something sealed, or an index with its rows.
pub(crate) fn seal(input: &[u8]) {
    let Some((choice, rest)) = chosen(input) else {
        return;
    };
    match choice % 6 {
        0 => as_key_object(rest),
        1 => as_secret(rest),
        2 => as_sealed(rest),
        3 => as_index(rest),
        4 => as_rows(rest),
        _ => as_document(rest),
    }
}

fn sealer() -> Sealer {
    let id: BackupId = ID.parse().expect("an id");
    Sealer::new(&id, &DataKey::new([7; 32]), &Epoch::new([9; 32]))
}

/// No secret is derived from a passphrase: what that may take is bounded, but not small.
fn as_key_object(body: &[u8]) {
    let Ok(sealed) = document::open::<SealedKey>("a key", &with_digest(body)) else {
        return;
    };
    if let SealedFor::Passphrase { kdf } = &sealed.recipient {
        let _ = kdf.function.check();
    }
    let (_, _) = (sealed.recipient.work(), sealed.recipient.kind());
    for text in [RAW_KEY, X25519_KEY] {
        let secret = KeySecret::parse(text).expect("a key");
        let _ = sealed.open(&secret).expect("nothing is derived");
    }
}

/// Nothing of a secret is in what is printed of it.
fn as_secret(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = KeySecret::passphrase(text);
    match KeySecret::parse(text) {
        Ok(secret) => not_in(text, &format!("{secret:?}")),
        Err(error) => not_in(text, &format!("{error} {error:?}")),
    }
}

/// The part of a key behind its kind, where it is long enough to be found in nothing by chance.
fn not_in(text: &str, printed: &str) {
    let secret = text.split_once(':').map_or(text, |(_, secret)| secret);
    let secret = secret.trim();
    let is_telling = secret.len() >= 20 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(!is_telling || !printed.contains(secret), "{printed}");
}

/// What nobody has sealed opens in no place.
fn as_sealed(bytes: &[u8]) {
    let context = Context::File("s3db.json");
    let sealer = sealer();
    assert!(sealer.open("a file", context, bytes).is_err());
    let sealed = sealer.seal(context, bytes);
    let opened = sealer.open("a file", context, &sealed);
    assert_eq!(opened.expect("it was sealed for this place"), bytes);
    assert!(sealer.open("a file", Context::Claim, &sealed).is_err());
}

fn as_index(bytes: &[u8]) {
    let sealer = sealer();
    assert!(sealer.open_index("an index", bytes).is_err());
    let packed = Encoder::gzip(1).encode(bytes);
    let packed = packed.expect("a small text is packed");
    assert!(sealer.open_index("an index", &packed).is_err());
    let _ = open_rows(&sealer, "an index", &packed, |_, _| Ok(()));
}

/// Rows that whoever has the key has sealed, in an index whose header and chunk are right: whatever they are, it is an error or
/// rows.
fn as_rows(input: &[u8]) {
    let sealer = sealer();
    let (lines, rows) = first_part(input);
    let context = Context::Rows {
        resource: ResourceId(0),
        number: 0,
        part: 0,
        is_last: true,
    };
    let mut gzip = Encoder::gzip(1);
    let packed = gzip.encode(rows).expect("small rows are packed");
    for part in [rows, &packed] {
        let sealed = sealer.seal(context, part);
        let mut index = lines.to_vec();
        let sealed = Base64::new(sealed.to_vec());
        let sealed = serde_json::json!({ "sealed": sealed });
        index.extend_from_slice(format!("\n{sealed}\n").as_bytes());
        let index = gzip.encode(&index).expect("a small text is packed");
        let _ = open_rows(&sealer, "an index", &index, |_, _| Ok(()));
    }
}

/// A document that is whole isn't authentic for it.
fn as_document(body: &[u8]) {
    let bytes = with_digest(body);
    let checked = sealer().check_document("a document", Context::Claim, &bytes);
    assert!(checked.is_err());
    let _ = document::authenticated(&bytes);
}
