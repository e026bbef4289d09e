//! Saying everywhere that a run is taken up, and looking once more whether what was seen of it is all that there is.

use std::collections::BTreeSet;

use bytes::Bytes;
use teeline_actors::{are_gone, claim, is_there, put_checked};
use teeline_core::{
    BackupError, BackupId, Class, Hex32, ObjectKey, ResumptionMarker, document, layout,
};

use super::look::Left;
use super::{Otherwise, is_written_to};
use crate::backup::Run;
use crate::open::Opened;

/// A run that is being taken up.
pub(super) struct Taking<'a> {
    pub(super) id: &'a BackupId,
    pub(super) path: &'a ObjectKey,
    /// The key of its entry in the catalogue.
    pub(super) entry: &'a ObjectKey,
    /// Its claim, as it is stored.
    pub(super) claim: &'a Bytes,
    /// Which time it is taken up, from 1.
    pub(super) attempt: u32,
}

impl Taking<'_> {
    /// The numbers up to this one that come after the `last` that is there, with their keys.
    fn numbers_after(
        &self,
        last: u32,
    ) -> impl Iterator<Item = Result<(u32, ObjectKey), BackupError>> {
        let numbers = last.saturating_add(1)..=self.attempt;
        numbers.map(|number| Ok((number, self.path.join(&layout::resumption(number))?)))
    }
}

impl Run<'_> {
    /// Numbers the run at each destination that has something of it or takes part, one after the other, so that of two that do it
    /// at the same time only one gets beyond the first. Where it has no claim yet, that is made before: whoever was taken for dead
    /// may be about to begin there. Gives the names of those where it can't be made: there that one may begin all the same, and finds
    /// no number.
    pub(super) async fn number_all(
        &self,
        taking: &Taking<'_>,
        left: &[Option<Left>],
        active: &BTreeSet<usize>,
    ) -> Result<Vec<String>, Otherwise> {
        let mut unclaimed = Vec::new();
        let mut by = [0; 32];
        (self.engine.0.random)(&mut by)?;
        let marker = document::seal(&ResumptionMarker {
            id: taking.id.clone(),
            at: (self.engine.0.clock)(),
            by: Hex32::new(by),
        });
        for (index, (opened, left)) in self.opened.iter().zip(left).enumerate() {
            let Some(left) = left else { continue };
            if left.claim.is_none() {
                if !active.contains(&index) {
                    continue;
                }
                let sink = opened.sink.as_ref();
                let read_back = sink.capabilities().read_back.has_documents();
                let claimed = claim(sink, taking.path, taking.claim.clone(), read_back).await;
                if claimed.is_err() {
                    unclaimed.push(opened.name.clone());
                    continue;
                }
            }
            number(opened, taking, left.attempts, &marker).await?;
        }
        Ok(unclaimed)
    }

    /// That nothing of the run has changed since it was looked at first. Whoever has had it until then and has looked for a
    /// number before it was there had written all its files by then, so they were seen; whoever looks later finds the number.
    pub(super) async fn look_again(
        &self,
        taking: &Taking<'_>,
        left: &[Option<Left>],
    ) -> Result<(), Otherwise> {
        let again = self.look_at_all(taking.id, taking.path).await?;
        for ((opened, before), now) in self.opened.iter().zip(left).zip(again) {
            let Some(before) = before else { continue };
            let Some(now) = now else {
                let message = format!("{} can't be asked any more what it has of it", opened.name);
                return Err(Otherwise::Afresh(message));
            };
            let has_claim = before.claim.is_some();
            let is_ours = |file: &str| {
                let number = layout::resumption_number(file);
                number.is_some_and(|number| number <= taking.attempt)
                    || (file == layout::RUN_CLAIM && !has_claim)
            };
            let before = before.trace.without(taking.path, is_ours);
            if before != now.trace.without(taking.path, is_ours) {
                return Err(is_written_to(taking.id).into());
            }
        }
        Ok(())
    }

    /// Removes the numbers again of a run that isn't taken up, where it was swept or withdrawn meanwhile: there they are nobody's, and
    /// whoever removed the rest may have looked before. Elsewhere they go with the run.
    pub(super) async fn take_back_numbers(&self, taking: &Taking<'_>, left: &[Option<Left>]) {
        for (opened, left) in self.opened.iter().zip(left) {
            let Some(left) = left else { continue };
            let taken_back = async {
                match is_being_removed(opened, taking).await? {
                    true => take_back(opened, taking, left.attempts).await,
                    false => Ok(()),
                }
            };
            if let Err(error) = taken_back.await {
                let (id, at) = (taking.id, &opened.name);
                tracing::warn!(run = %id, at, %error, "a mark of a run that isn't taken up may be left");
            }
        }
    }
}

/// Writes each number that is missing up to this one: whoever was at work before looks for the one after its own only.
async fn number(
    opened: &Opened,
    taking: &Taking<'_>,
    last: u32,
    marker: &Bytes,
) -> Result<(), Otherwise> {
    let sink = opened.sink.as_ref();
    let read_back = sink.capabilities().read_back.has_documents();
    for key in taking.numbers_after(last) {
        let (number, key) = key?;
        match put_checked(sink, &key, marker.clone(), read_back).await {
            // Whoever has a lower one finds the next.
            Err(error) if error.class() == Class::Conflict && number < taking.attempt => {}
            Err(error) if error.class() == Class::Conflict => {
                let message = "another process has taken it up at the same time";
                return Err(BackupError::new(Class::Conflict, "resume", taking.id, message).into());
            }
            written => written?,
        }
    }
    Ok(())
}

/// Whether a run has no claim any more, or not for long.
async fn is_being_removed(opened: &Opened, taking: &Taking<'_>) -> Result<bool, BackupError> {
    let sink = opened.sink.as_ref();
    let (withdrawal, sweep) = (
        layout::withdrawal(taking.entry)?,
        layout::sweep(taking.entry)?,
    );
    let claim = taking.path.join(layout::RUN_CLAIM)?;
    Ok(is_there(sink, &withdrawal).await?
        || is_there(sink, &sweep).await?
        || are_gone(sink, taking.path, &[claim]).await?)
}

/// Removes the numbers again that were written after this one.
async fn take_back(opened: &Opened, taking: &Taking<'_>, last: u32) -> Result<(), BackupError> {
    for key in taking.numbers_after(last) {
        opened.sink.delete(&key?.1).await?;
    }
    Ok(())
}
