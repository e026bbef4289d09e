//! The short form of `cargo xtask bitflips`.

use teeline_simulation::bitflips::flip_bits;

/// Only so many bits apart, and of each byte another one.
const EVERY: u64 = 4_001;

#[test]
fn a_flipped_bit_is_found_and_named_plain_and_sealed() {
    for is_sealed in [false, true] {
        let flipped = flip_bits(is_sealed, EVERY, &|_| {}).expect("it is found");
        assert!(flipped.stored_bytes >= 64 << 10, "{flipped:?}");
        assert!(flipped.refused > 100, "{flipped:?}");
    }
}
