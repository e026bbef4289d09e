//! Inputs of several parts.

/// Between the parts of an input. It is in no text that is worth reading.
const BETWEEN: u8 = 0;

/// The first byte of an input, which chooses what the rest is, and that.
pub(crate) fn chosen(input: &[u8]) -> Option<(u8, &[u8])> {
    let (choice, rest) = input.split_first()?;
    Some((*choice, rest))
}

/// The part before the first byte between parts, and what follows.
pub(crate) fn first_part(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input.iter().position(|byte| *byte == BETWEEN);
    match at {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

/// A stored document without its end, given the right one: no fuzzer finds a digest.
pub(crate) fn with_digest(body: &[u8]) -> Vec<u8> {
    let digest = teeline_core::Digest::of(body);
    let mut document = body.to_vec();
    document.extend_from_slice(format!(",\"blake3\":\"{digest}\"}}\n").as_bytes());
    document
}
