//! What the benches read: lines of JSON of one length, the same in every run, that compress about as records do.

use std::fmt::Write;

use teeline_core::Random;

const WORDS: u64 = 6_000;

/// `count` lines of `line_bytes` bytes each, with the newline.
pub(crate) fn lines(count: usize, line_bytes: usize) -> Vec<u8> {
    let random = Random::new(7);
    let words: Vec<String> = (0..WORDS).map(|_| word(&random)).collect();
    let mut lines = Vec::with_capacity(count * line_bytes);
    for number in 0..count {
        let token = random.next();
        let mut line = format!(r#"{{"id":"rec-{number:09}","token":"{token:016x}","note":""#);
        while line.len() + r#""}"#.len() + 1 < line_bytes {
            // The first words are the most frequent.
            let place = random.below(random.below(WORDS) + 1);
            let word = usize::try_from(place).map_or("", |place| &words[place]);
            write!(line, "{word} ").expect("a string takes everything");
        }
        line.truncate(line_bytes - r#""}"#.len() - 1);
        line.push_str("\"}\n");
        lines.extend_from_slice(line.as_bytes());
    }
    lines
}

fn word(random: &Random) -> String {
    let letter = || char::from(b'a' + u8::try_from(random.below(26)).unwrap_or(0));
    (0..2 + random.below(10)).map(|_| letter()).collect()
}
