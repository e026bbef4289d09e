//! `cargo xtask bitflips`.

use std::panic::resume_unwind;
use std::thread;
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
    let began = Instant::now();
    let flip = |(what, is_sealed)| {
        let told = |bits: u64| {
            eprintln!(
                "{what}: {bits} bits, {:.0} s",
                began.elapsed().as_secs_f64()
            );
        };
        flip_bits(is_sealed, arguments.every, &told)
    };
    let kinds = [("plain", false), ("sealed", true)];
    let flipped = thread::scope(|scope| {
        let running = kinds.map(|kind| scope.spawn(move || flip(kind)));
        running.map(|running| running.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    for ((what, _), flipped) in kinds.into_iter().zip(flipped) {
        let flipped = flipped?;
        let bits: u64 = flipped.bits.values().sum();
        println!(
            "{what}: {} stored bytes, {bits} bits flipped, each found and named; {} refused by restores, {} in what they don't read",
            flipped.stored_bytes, flipped.refused, flipped.harmless
        );
        for (file, bits) in &flipped.bits {
            println!("  {bits:>9}  {file}");
        }
    }
    println!("{:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
