//! Every bit of every byte that a destination has of a backup, another one each time: `verify` names the destination and the
//! file, and a restore from there gives what was backed up, or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use teeline::sinks::MemorySink;
use teeline::{
    BackupRequest, DestinationSpec, Engine, Keys, RestoreRequest, RestoreStatus, RestoreTarget,
    VerifyRequest, Which, exit,
};
use teeline_core::{ObjectKey, Random};

use crate::data::{Lines, Records, Restored, lines, whole};
use crate::life;
use crate::oracle::{destination, name};
use crate::secrets::{opened_by, recipient};
use crate::world::{World, about};

/// Bytes of the records: stored, and with what else there is of a backup, they are 64 KiB and some.
const LINES_BYTES: usize = 190_000;

/// What flipping bits came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flipped {
    /// Bytes that the destination had.
    pub stored_bytes: u64,
    /// Bits that were flipped, each by itself: every one was found and named. By the kind of the file.
    pub bits: BTreeMap<&'static str, u64>,
    /// Of these, those after which a restore gave nothing.
    pub refused: u64,
    /// The others: what a restore doesn't read. It gave what was backed up.
    pub harmless: u64,
}

/// How far it is, after so many bits.
const TOLD_EVERY: u64 = 10_000;

/// Makes a backup, sealed or not, and flips each bit of it whose number can be divided by `every`. `told` hears now and then
/// how many were flipped.
///
/// # Errors
/// The first bit that wasn't found or named, or after which a restore gave anything else than what was backed up.
pub fn flip_bits(
    is_sealed: bool,
    every: u64,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Flipped, String> {
    life::on_a_thread(|| flip_in_a_life(is_sealed, every, told))
}

fn flip_in_a_life(is_sealed: bool, every: u64, told: &dyn Fn(u64)) -> Result<Flipped, String> {
    let world = World::new(1, false);
    let flipping = async {
        let random = Arc::new(Random::new(1));
        let engine = life::engine(&world, &random, 64 << 20)?;
        flip_all(&engine, is_sealed, every.max(1), told).await
    };
    match life::live(&world, None, flipping)? {
        Some(flipped) => flipped,
        None => Err("the process died".to_owned()),
    }
}

/// A backup at one destination.
struct Backup<'a> {
    engine: &'a Engine,
    sink: MemorySink,
    at: Vec<DestinationSpec>,
    lines: Arc<Lines>,
    keys: Keys,
}

async fn flip_all(
    engine: &Engine,
    is_sealed: bool,
    every: u64,
    told: &dyn Fn(u64),
) -> Result<Flipped, String> {
    let backup = Backup::make(engine, is_sealed).await?;
    let mut flipped = Flipped::default();
    let mut bit = 0;
    for key in backup.sink.keys() {
        let stored = whole(&backup.sink, &key).await?;
        for at in 0..stored.len() * 8 {
            bit += 1;
            if !u64::is_multiple_of(bit, every) {
                continue;
            }
            let mut damaged = stored.to_vec();
            damaged[at / 8] ^= 1 << (at % 8);
            backup.sink.overwrite(&key, &damaged);
            let is_refused = backup
                .is_found_and_refused(&key)
                .await
                .map_err(|wrong| format!("bit {at} of {key}: {wrong}"))?;
            match is_refused {
                true => flipped.refused += 1,
                false => flipped.harmless += 1,
            }
            *flipped.bits.entry(about(Some(&key))).or_default() += 1;
            let flips = flipped.refused + flipped.harmless;
            if flips.is_multiple_of(TOLD_EVERY) {
                told(flips);
            }
        }
        backup.sink.overwrite(&key, &stored);
        flipped.stored_bytes += stored.len() as u64;
    }
    match engine.is_idle() {
        true => Ok(flipped),
        false => Err("the engine isn't idle".to_owned()),
    }
}

impl<'a> Backup<'a> {
    async fn make(engine: &'a Engine, is_sealed: bool) -> Result<Self, String> {
        let sink = MemorySink::new(name(0));
        let at = vec![destination(0, sink.clone())?];
        let lines = Arc::new(lines(&Random::new(1), 1, LINES_BYTES));
        let mut request = BackupRequest::new(Records::of(&lines), at.clone());
        request.block_bytes = Some(8 << 10);
        request.segment_bytes = 16 << 10;
        if is_sealed {
            request.recipients = vec![recipient(1)];
        }
        let report = engine.backup(request).await;
        if report.exit_code() != exit::DONE {
            return Err(format!("the backup came to {report:?}"));
        }
        let keys = match is_sealed {
            true => opened_by(&[1]),
            false => Keys::default(),
        };
        Ok(Backup {
            engine,
            sink,
            at,
            lines,
            keys,
        })
    }

    /// Checks that the damage of this file is found and named, and says whether a restore refuses it.
    async fn is_found_and_refused(&self, key: &ObjectKey) -> Result<bool, String> {
        let mut request = VerifyRequest::new(self.at.clone());
        request.keys = self.keys.clone();
        let verified = self.engine.verify(request).await;
        let copies = verified.backups.iter().flat_map(|it| &it.destinations);
        let mut damage = copies.flat_map(|copy| &copy.damage);
        let is_named =
            damage.any(|found| found.destination == name(0) && found.file == key.as_str());
        if !is_named || verified.exit_code() != exit::DAMAGED {
            return Err(format!("it isn't named: {verified:?}"));
        }
        let restored = Restored::default();
        let target = RestoreTarget::Custom(Box::new(restored.clone()));
        let mut request = RestoreRequest::new(Which::Latest, self.at.clone(), target);
        request.keys = self.keys.clone();
        let report = self.engine.restore(request).await;
        let emitted = restored.emitted();
        if report.status == RestoreStatus::Completed {
            return match emitted.is_finished && emitted.lines == *self.lines {
                true => Ok(false),
                false => Err("it was restored".to_owned()),
            };
        }
        let is_whole = |(name, emitted): (&String, &Vec<u8>)| {
            let expected = self.lines.get(name);
            expected.is_some_and(|expected| expected.starts_with(emitted))
        };
        match emitted.lines.iter().all(is_whole) && !emitted.is_finished {
            true => Ok(true),
            false => Err("a byte of it was emitted".to_owned()),
        }
    }
}
