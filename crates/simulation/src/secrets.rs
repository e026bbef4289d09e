//! Keys of simulations, by their numbers.

use teeline::{KdfFunction, KeySecret, Keys, RawKey, Recipient};

/// Whoever has these keys.
pub(crate) fn opened_by(numbers: &[u8]) -> Keys {
    Keys::new(numbers.iter().map(|number| secret(*number)).collect())
}

/// Who has this key.
pub(crate) fn recipient(number: u8) -> Recipient {
    // There is nothing to be guessed of a random key, so this isn't used.
    let unused = KdfFunction::Pbkdf2Sha256 { iterations: 1_000 };
    Recipient::of(&secret(number), unused)
}

fn secret(number: u8) -> KeySecret {
    let text = RawKey::new([number; 32]).to_text();
    KeySecret::parse(&text).expect("it is the text of a key")
}
