//! `cargo xtask disk-full`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use teeline_simulation::disk_full::{Room, fill};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Bytes between two sizes of the disk
    #[arg(long, default_value_t = 64 << 10, value_parser = clap::value_parser!(u64).range(1..))]
    step: u64,
    /// Files between two numbers of files that the disk has room for
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    files_step: u64,
    /// A folder for the disk to be mounted in, which is made where it isn't there
    #[arg(long, default_value = "target/disk-full")]
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let began = Instant::now();
    let kinds = [
        ("sizes", arguments.step, Room::Bytes as fn(u64) -> Room),
        ("numbers of files", arguments.files_step, Room::Files),
    ];
    for (kind, step, room) in kinds {
        let filled = fill(&arguments.folder, step, room)?;
        let filled = filled.ok_or("a tmpfs can't be mounted here: run it as root")?;
        println!(
            "{} {kind}, {step} apart, at which the disk was full: nothing half listed, and with room the next backup was whole; \
             and {} at which it wasn't",
            filled.full, filled.enough
        );
    }
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}
