//! What was typed of `teeline bench`.

use std::path::PathBuf;

use clap::Args;

use super::size;

/// `teeline bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// A destination: null:, memory:, sim:rate=50MB/s,latency=20ms,stall=5s@30%,errors=0.1%,of=DEST, or one as backup takes it,
    /// where backups go to a folder of their own that is removed again; may be repeated. Without any, null:
    #[arg(long, value_name = "DEST")]
    pub(crate) to: Vec<String>,
    /// Real records: a file or folder of JSON lines. Without it they are generated
    #[arg(long, value_name = "PATH", conflicts_with_all = ["records", "record_size", "redundancy", "seed"])]
    pub(crate) from: Option<PathBuf>,
    /// How many records are generated
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) records: u64,
    /// Bytes of each, about
    #[arg(long, value_name = "SIZE", default_value = "1000", value_parser = |text: &str| size(text, 1, 16 << 20))]
    pub(crate) record_size: u64,
    /// The part of their text that is words, which compress, from 0 to 1; the rest is random
    #[arg(long, value_name = "PART", default_value_t = 0.7, value_parser = part)]
    pub(crate) redundancy: f64,
    /// What they are made from: the same for the same number
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Compressions to measure: gzip, zstd, deflate, brotli, none
    #[arg(
        long,
        value_name = "C,…",
        value_delimiter = ',',
        default_value = "gzip"
    )]
    pub(crate) compression: Vec<String>,
    /// Levels to measure, for each compression that has them
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub(crate) level: Vec<u8>,
    /// Sizes of blocks to measure, such as 1MiB,2MiB
    #[arg(long, value_name = "SIZE,…", value_delimiter = ',', value_parser = |text: &str| size(text, 4 << 10, 16 << 20))]
    pub(crate) block_bytes: Vec<u64>,
    /// Numbers of compressing threads to measure
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) workers: Vec<u64>,
    /// Numbers of destinations to measure, from the first one given
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) destinations: Vec<u64>,
    /// Bytes of records that may be in memory at once
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, 8 << 20, 1 << 40))]
    pub(crate) budget_bytes: Option<u64>,
    /// Backups of each combination that aren't counted
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) warm_up: u64,
    /// Backups of each combination that are
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) repeats: u64,
    /// Show each stage of each combination; as with a single one
    #[arg(long)]
    pub(crate) stages: bool,
    /// Write the figures as comma-separated values as well
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Draw them as well, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Say what has changed since figures that were printed with --json
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Exit with 1 where a combination takes longer than that by more than this, beyond the noise
    #[arg(long, value_name = "PERCENT", requires = "compare", value_parser = percent)]
    pub(crate) fail_if_slower: Option<f64>,
    /// Print the figures as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "accepted: a number from 0 to 1".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text
        .strip_suffix('%')
        .and_then(|digits| digits.parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=10_000.0).contains(percent));
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "accepted: a percentage such as 10%".to_owned())
}
