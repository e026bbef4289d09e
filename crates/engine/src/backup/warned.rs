//! What a report warns of: destinations that were found not to keep what teeline relies on.

use tokio::time::timeout;

use super::Run;
use super::record::RECORDS_TIMEOUT;
use crate::probes;
use crate::report::{BackupReport, DestinationWarning};

impl Run<'_> {
    /// What the newest probe of each destination found wanting. One that can't be asked is passed over: whoever needs to know
    /// asks again.
    pub(super) async fn warnings(&self, report: &BackupReport) -> Vec<DestinationWarning> {
        let now = (self.engine.0.clock)();
        let looks = self.reachable(report).map(|(_, opened)| async move {
            let looked = timeout(RECORDS_TIMEOUT, probes::latest(opened, now)).await;
            let probe = looked.ok()?.ok()??;
            let weaknesses = probe.promises.weaknesses().into_iter();
            let warnings = weaknesses.map(|message| DestinationWarning {
                destination: opened.name.clone(),
                message: message.to_owned(),
            });
            Some(warnings.collect::<Vec<_>>())
        });
        let found = futures::future::join_all(looks).await;
        found.into_iter().flatten().flatten().collect()
    }
}
