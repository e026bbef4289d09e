//! `cargo xtask nth-fault`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use teeline_simulation::nth_fault::{Doing, Set, Swept, Wrong, of_folders, of_stores, sweep};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only every so manyth call of a kind goes wrong
    #[arg(long, default_value_t = 1)]
    step: u64,
    /// A folder for those of the filesystem, which is made where it isn't there
    #[arg(long, default_value = "target/nth-fault")]
    folder: PathBuf,
    /// Go on after a failure
    #[arg(long)]
    keep_going: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut failed = 0;
    for (where_to, wrongs) in [("stores", of_stores()), ("folders", of_folders())] {
        for doing in Doing::ALL {
            failed += sweep_all(arguments, where_to, doing, &wrongs)?;
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} sweeps failed")),
    }
}

/// Sweeps everything that may go wrong with one thing that is done, and says how many sweeps failed.
fn sweep_all(
    arguments: &Arguments,
    where_to: &str,
    doing: Doing,
    wrongs: &[Wrong],
) -> Result<u64, String> {
    let began = Instant::now();
    let set = Set::of(doing)?;
    let (mut all, mut failed) = (Swept::default(), 0);
    for wrong in wrongs {
        match sweep(&set, *wrong, arguments.step, &arguments.folder) {
            Ok(swept) => {
                all.runs += swept.runs;
                all.successes += swept.successes;
            }
            Err(broken) if arguments.keep_going => {
                println!("{broken}");
                failed += 1;
            }
            Err(broken) => return Err(broken),
        }
    }
    println!(
        "{doing:?} at {where_to}: {} kinds of faults, {} runs with one, {} of them a success, then one without; {:.1} s",
        wrongs.len(),
        all.runs,
        all.successes,
        began.elapsed().as_secs_f64()
    );
    Ok(failed)
}
