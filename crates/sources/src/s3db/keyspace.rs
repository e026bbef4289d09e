//! Where to cut a long listing into ranges that can be listed side by side.
//!
//! Pure: keys go in, and keys to ask the server about come out. Where a range really begins is for the server to say, in its
//! own order; a bad cut only makes ranges of different lengths.

use std::collections::BTreeSet;

/// Characters that a cut is computed from. More wouldn't fit into its arithmetic, nor make it better.
const DIGITS: usize = 8;

/// Greater than every character of a key that is cut.
const BEYOND: char = '\u{7f}';

/// What is known of the keys of a listing: those of its first pages.
pub(super) struct Keyspace {
    /// The characters after what all of them begin with, in the order of their codes.
    alphabet: Vec<u8>,
    /// The last key.
    last: String,
}

impl Keyspace {
    /// The space that these keys, in their order, are the beginning of. `None` where it can't be told: they don't ascend as
    /// bytes, or hold others than ASCII characters.
    pub(super) fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut keys = keys.into_iter();
        let first = keys.next().filter(|first| first.is_ascii())?;
        let mut common = first;
        let mut last = first;
        let mut alphabet = BTreeSet::new();
        for key in keys {
            if !key.is_ascii() || key <= last {
                return None;
            }
            last = key;
            let shared = common.bytes().zip(key.bytes()).take_while(|(a, b)| a == b);
            common = &common[..shared.count()];
            alphabet.extend(key.bytes().skip(common.len()));
        }
        alphabet.extend(first.bytes().skip(common.len()));
        if alphabet.is_empty() {
            return None;
        }
        Some(Keyspace {
            alphabet: alphabet.into_iter().collect(),
            last: last.to_owned(),
        })
    }

    /// How many characters of the last key there are to put a fence behind.
    pub(super) fn length(&self) -> usize {
        self.last.len()
    }

    /// A text behind all keys that begin with the last key's first `length` characters.
    pub(super) fn fence(&self, length: usize) -> String {
        format!("{}{BEYOND}", &self.last[..length])
    }

    /// Which characters the keys behind the last one may have after its first `length`, in ascending order.
    pub(super) fn steps(&self, length: usize) -> Vec<u8> {
        let at = self.last.as_bytes().get(length).copied();
        let behind = |step: &u8| at.is_none_or(|at| *step >= at);
        self.alphabet.iter().copied().filter(behind).collect()
    }

    /// A text behind all keys that begin with the last key's first `length` characters and then `step`.
    pub(super) fn step_fence(&self, length: usize, step: u8) -> String {
        format!("{}{}{BEYOND}", &self.last[..length], char::from(step))
    }

    /// `count` texts that cut what is behind the last key into parts of about the same size, where the keys behind it begin
    /// with its first `length` characters, and then with `step` at the most.
    pub(super) fn cuts(&self, length: usize, step: u8, count: usize) -> Vec<String> {
        let largest = self.alphabet.last().copied().unwrap_or(step);
        let end: Vec<u8> = std::iter::once(step)
            .chain(std::iter::repeat_n(largest, DIGITS))
            .collect();
        let from = number(&self.last.as_bytes()[length..], &self.alphabet);
        let to = number(&end, &self.alphabet);
        let parts = count as u128 + 1;
        let mut cuts: Vec<String> = (1..parts)
            .map(|part| from + to.saturating_sub(from) * part / parts)
            .map(|at| format!("{}{}", &self.last[..length], text(at, &self.alphabet)))
            .filter(|cut| *cut > self.last)
            .collect();
        cuts.dedup();
        cuts
    }
}

fn number(digits: &[u8], alphabet: &[u8]) -> u128 {
    let base = alphabet.len() as u128;
    (0..DIGITS).fold(0, |number, index| {
        let digit = digits.get(index).and_then(|digit| {
            let rank = alphabet.binary_search(digit).ok()?;
            Some(rank as u128)
        });
        number * base + digit.unwrap_or(0)
    })
}

fn text(mut number: u128, alphabet: &[u8]) -> String {
    let base = alphabet.len() as u128;
    let mut digits = Vec::with_capacity(DIGITS);
    for _ in 0..DIGITS {
        let rank = usize::try_from(number % base).unwrap_or(0);
        digits.push(char::from(alphabet[rank]));
        number /= base;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
        numbers.map(|number| format!("bulk-{number:06}")).collect()
    }

    #[test]
    fn cuts_are_even_where_keys_are() {
        let keys = numbered(0..4_000);
        let space = Keyspace::of(keys.iter().map(String::as_str)).unwrap();
        assert_eq!(space.fence(7), "bulk-00\u{7f}");
        assert_eq!(space.steps(6), b"0123456789");
        assert_eq!(space.step_fence(6, b'1'), "bulk-01\u{7f}");
        // Of 20,000 keys the last one begins with bulk-01.
        let cuts = space.cuts(6, b'1', 3);
        let cut_numbers: Vec<u32> = cuts.iter().map(|cut| cut[5..11].parse().unwrap()).collect();
        assert_eq!(cut_numbers, [7_999, 11_999, 15_999]);
    }

    #[test]
    fn what_has_no_order_has_no_cuts() {
        for keys in [&["b", "a"][..], &["a", "é"], &["é", "z"], &["a"], &[]] {
            assert!(Keyspace::of(keys.iter().copied()).is_none(), "{keys:?}");
        }
    }

    proptest! {
        #[test]
        fn cuts_ascend_behind_the_last_key(
            keys in proptest::collection::btree_set("[ -~]{1,12}", 2..50),
            length in 0_usize..12,
            step in 0x20_u8..0x7f,
            count in 1_usize..9,
        ) {
            let Some(space) = Keyspace::of(keys.iter().map(String::as_str)) else { return Ok(()) };
            let length = length.min(space.length());
            let cuts = space.cuts(length, step, count);
            prop_assert!(cuts.len() <= count);
            prop_assert!(cuts.iter().all(|cut| Some(cut) > keys.last()));
            prop_assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
