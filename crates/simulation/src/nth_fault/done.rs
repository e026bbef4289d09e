//! What must be true of what was done, whatever went wrong: what is said of it, and what there is.

use std::collections::BTreeSet;

use bytes::Bytes;
use teeline::{BackupId, RestoreRequest, RestoreTarget, Which, exit};
use teeline_core::{ObjectKey, layout};

use super::Doing;
use super::scene::{Came, Listed, Scene};
use crate::data::Restored;
use crate::oracle::{
    Happened, Made, Told, left_of, name, restore, says_the_truth, verdict_is_the_strategys,
};
use crate::secrets::opened_by;

impl Scene<'_> {
    /// Each destination lists what is to stay there.
    pub(super) fn stays(&self, listed: &Listed, to_stay: &Listed) -> Result<(), String> {
        for (number, (now, to_stay)) in listed.iter().zip(to_stay).enumerate() {
            if let Some(lost) = to_stay.difference(now).next() {
                return Err(format!("P3: {} has lost {lost}", name(number)));
            }
        }
        Ok(())
    }

    /// What is said of each destination is so.
    pub(super) async fn says_the_truth(&self, came: &Came, listed: &Listed) -> Result<(), String> {
        for (number, now) in listed.iter().enumerate() {
            let name = name(number);
            if let Some(reported) = &came.reported {
                let both = [&BTreeSet::new(), now];
                says_the_truth(&name, reported, both, &Happened::default())?;
            }
            let keys: Vec<ObjectKey> = self.stores.objects(number).await?.into_keys().collect();
            for told in came.told.iter().filter(|told| told.name == name) {
                // What is listed was restored.
                told.is_so(now, &keys, |_| false)?;
            }
        }
        came.reported
            .as_ref()
            .map_or(Ok(()), verdict_is_the_strategys)
    }

    /// It is done. What a cleanup says that it has kept since it couldn't ask for something is there: `told`.
    ///
    /// # Errors
    /// What isn't as it is to be then.
    pub(super) async fn is_done(
        &self,
        listed: &Listed,
        made: &Made,
        told: &[Told],
    ) -> Result<(), String> {
        for (number, now) in listed.iter().enumerate() {
            let name = name(number);
            if let Some(lacking) = self.set.in_the_end.difference(now).next() {
                return Err(format!("{name} lacks {lacking}"));
            }
            if let (Doing::Cleanup, Some(older)) = (self.set.doing, &self.set.older) {
                let keys: Vec<ObjectKey> = self.stores.objects(number).await?.into_keys().collect();
                let is_kept =
                    |told: &Told| told.name == name && told.id == *older && told.is_of_a_listed();
                if let Some(left) = left_of(older, false, &keys)
                    && !told.iter().any(is_kept)
                {
                    return Err(format!("{name} still has {left}"));
                }
            }
            if let (Doing::KeyChange, Some(newer)) = (self.set.doing, &self.set.newer) {
                self.only_the_new_key_opens(number, newer, made).await?;
            }
        }
        Ok(())
    }

    async fn only_the_new_key_opens(
        &self,
        number: usize,
        id: &BackupId,
        made: &Made,
    ) -> Result<(), String> {
        let alone = vec![self.stores.destinations()?.swap_remove(number)];
        restore(&self.engine, &alone, id, made, &opened_by(&[2]))
            .await?
            .map_err(|wrong| format!("the new key doesn't open it at {}: {wrong}", name(number)))?;
        let target = RestoreTarget::Custom(Box::new(Restored::default()));
        let mut request = RestoreRequest::new(Which::Id(id.clone()), alone, target);
        request.keys = opened_by(&[1]);
        let report = self.engine.restore(request).await;
        match report.exit_code() {
            exit::WRONG_KEY => Ok(()),
            _ => Err(format!(
                "{} with the old key comes to {report:?}",
                name(number)
            )),
        }
    }

    /// What there was of backups that stay is there, byte for byte: in its place, or below `damaged/`.
    pub(super) async fn loses_no_byte(&self) -> Result<(), String> {
        for number in 0..self.set.objects.len() {
            let there = self.stores.objects(number).await?;
            for (key, bytes) in self.set.files_to_stay(number) {
                let is_it = |(at, now): (&ObjectKey, &Bytes)| {
                    let is_its_place = at == key || layout::damaged_at(at).as_ref() == Some(key);
                    is_its_place && *now == *bytes
                };
                if !there.iter().any(is_it) {
                    let name = name(number);
                    return Err(format!("P3: what {key} was at {name} is nowhere any more"));
                }
            }
        }
        Ok(())
    }
}
