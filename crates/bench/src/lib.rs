//! Measures backups: generated or real records, to any set of destinations, over sweeps of settings, several times each.
//!
//! [`Sweep`] says what is measured, [`measure`] does it with the engine as a host would use it, and the [`BenchReport`] says
//! for each [`Cell`] of the sweep how fast it was and which stage held it up. [`table`], [`csv`] and [`plot`] show a report,
//! [`compare`] two.
//!
//! ```
//! use teeline_bench::{BenchPlace, Data, Generated, Sweep, measure};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), teeline::BackupError> {
//! let data = Data::Generated(Generated { records: 1_000, ..Generated::default() });
//! let mut sweep = Sweep::new(data, vec![BenchPlace::parse("null:")?]);
//! sweep.compressions = vec!["gzip".parse()?, "zstd".parse()?];
//! let report = measure(&sweep, |_| ()).await?;
//! assert_eq!(report.cells.len(), 2);
//! println!("{}", teeline_bench::table(&report, true));
//! # Ok(())
//! # }
//! ```

mod bottleneck;
mod compare;
mod csv;
mod data;
mod measure;
mod place;
mod plot;
mod process;
mod report;
mod simulation;
mod stats;
mod sweep;
mod table;

pub use compare::{Change, Comparison, compare};
pub use csv::csv;
pub use data::{Data, Generated};
pub use measure::{Progress, measure};
pub use place::BenchPlace;
pub use plot::plot;
pub use report::{BenchReport, Cell, MeasuredData, Repetition, Settings, Stage, Work};
pub use stats::Spread;
pub use sweep::Sweep;
pub use table::table;
