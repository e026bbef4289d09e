//! `cargo xtask bitflips`.

use std::time::Instant;

use clap::Args;
use teeline_simulation::bitflips::flip_bits;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only every so manyth bit
    #[arg(long, default_value_t = 1)]
    every: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    for (what, is_sealed) in [("plain", false), ("sealed", true)] {
        let began = Instant::now();
        let flipped = flip_bits(is_sealed, arguments.every)?;
        let bits: u64 = flipped.bits.values().sum();
        println!(
            "{what}: {} stored bytes, {bits} bits flipped, each found and named; {} refused by restores, {} in what they don't read; {:.1} s",
            flipped.stored_bytes,
            flipped.refused,
            flipped.harmless,
            began.elapsed().as_secs_f64()
        );
        for (file, bits) in &flipped.bits {
            println!("  {bits:>9}  {file}");
        }
    }
    Ok(())
}
