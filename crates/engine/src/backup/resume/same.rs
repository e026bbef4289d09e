//! Whether a run was begun by the same request.

use serde_json::Value;
use teeline_core::{RunClaim, RunHead};

use crate::backup::Run;
use crate::backup::extent::Extent;

impl Run<'_> {
    /// That a run was begun by this request, of the same source.
    ///
    /// # Errors
    /// What is other.
    pub(super) fn check_same(&self, claim: &RunClaim) -> Result<(), String> {
        let source = &self.request.source;
        if claim.source.kind != source.kind() || claim.source.location != source.to_string() {
            return Err(format!(
                "it was of another source: {}",
                claim.source.location
            ));
        }
        let head = &claim.head;
        let of = (head.id.clone(), head.started_at);
        let required = self.request.required();
        let attempt = self.new_attempt(of, &Extent::Everything, None, &required);
        let mut expected = attempt.map_err(|error| error.to_string())?.head;
        // What it goes on from is compared once that is known.
        expected.parent.clone_from(&head.parent);
        expected.since = head.since;
        if self.request.recipients.is_empty() == head.plan.seal.is_none() {
            expected.plan.seal.clone_from(&head.plan.seal);
        }
        match differing(head, &expected).as_slice() {
            [] => Ok(()),
            names => Err(format!(
                "it was begun otherwise than it is asked for now: {}",
                names.join(", ")
            )),
        }
    }
}

/// The names of what is other in two heads, as stored documents have them.
fn differing(one: &RunHead, other: &RunHead) -> Vec<String> {
    let members = |head: &RunHead| {
        let value = serde_json::to_value(head).unwrap_or_default();
        let (mut all, mut plan) = (serde_json::Map::new(), serde_json::Map::new());
        if let Value::Object(members) = value {
            all = members;
        }
        if let Some(Value::Object(members)) = all.remove("plan") {
            plan = members;
        }
        all.extend(plan);
        all
    };
    let (one, other) = (members(one), members(other));
    let names = one
        .keys()
        .chain(other.keys().filter(|name| !one.contains_key(*name)));
    let differs = |name: &&String| one.get(*name) != other.get(*name);
    names.filter(differs).cloned().collect()
}
