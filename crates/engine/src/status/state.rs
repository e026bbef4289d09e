//! What a backup is worth as a whole, by what each destination has of it: it is never better than what it has to be.

use teeline_core::{PlanEntry, RunRecord, StrategyKind};

use crate::report::{BackupState, CopyState, CopyStatus};

/// Where copies are looked at, and which of them there have to be.
pub(super) struct Expected<'a> {
    /// The plan of the backup, where a manifest could be read.
    pub(super) plan: Option<&'a PlanEntry>,
    /// The runs that are recorded of it.
    pub(super) runs: &'a [RunRecord],
}

impl Expected<'_> {
    /// What these copies come to. `None`: nobody knows anything of it.
    pub(super) fn state(&self, copies: &[CopyStatus]) -> Option<BackupState> {
        let any = |status| copies.iter().any(|copy| copy.status == status);
        let is = |copy: &CopyStatus, status| copy.status == status;
        let whole = copies.iter().filter(|copy| is(copy, CopyState::Ok)).count();
        let needed = || copies.iter().filter(|copy| self.has_to_be_at(copy));
        let known = match () {
            () if needed().any(|copy| is(copy, CopyState::Damaged)) => BackupState::Damaged,
            // One that was withdrawn isn't wanted there any more, nor is one where such isn't taken any more.
            () if whole > 0
                && needed().all(|copy| {
                    let states = [CopyState::Ok, CopyState::Withdrawn, CopyState::NotTaken];
                    states.contains(&copy.status)
                })
                && whole >= self.at_least(copies) =>
            {
                BackupState::Completed
            }
            () if any(CopyState::Damaged) && whole < self.at_least(copies) => BackupState::Damaged,
            () if whole > 0 => BackupState::Incomplete,
            () if any(CopyState::Withdrawn) => BackupState::Withdrawn,
            () if !self.runs.is_empty() => BackupState::Failed,
            () => return None,
        };
        Some(known)
    }

    /// Whether the backup was to be there, come what may: as it was planned under that name, or recorded of that place.
    fn has_to_be_at(&self, copy: &CopyStatus) -> bool {
        let planned = self.plan.into_iter().flat_map(|plan| &plan.destinations);
        let mut planned = planned.filter(|to| to.name == copy.name);
        let mut recorded = self.recorded_at(copy);
        planned.any(|to| to.required) || recorded.any(|required| required)
    }

    /// How many whole copies the strategy asks for, of the destinations that it was about.
    fn at_least(&self, copies: &[CopyStatus]) -> usize {
        let Some(plan) = self.plan else {
            return 1;
        };
        let wanted = match plan.strategy.parse() {
            Ok(StrategyKind::Quorum(count)) => count,
            _ => 1,
        };
        let is_planned = |copy: &&CopyStatus| {
            let mut planned = plan.destinations.iter();
            planned.any(|to| to.name == copy.name) || self.recorded_at(copy).next().is_some()
        };
        wanted.min(copies.iter().filter(is_planned).count()).max(1)
    }

    /// Whether it had to be at this place, as each run there says.
    fn recorded_at(&self, copy: &CopyStatus) -> impl Iterator<Item = bool> {
        let recorded = self.runs.iter().flat_map(|run| &run.destinations);
        recorded
            .filter(|at| at.location == copy.location)
            .map(|at| at.required)
    }
}

#[cfg(test)]
mod tests {
    use teeline_core::PlannedDestination;

    use super::*;
    use CopyState::{Absent, Damaged, Ok as Whole, Unreachable, Withdrawn};

    fn state(strategy: &str, copies: &[(bool, CopyState)]) -> Option<BackupState> {
        let plan: PlanEntry = serde_json::from_value(serde_json::json!({
            "strategy": strategy, "destinations": [], "compression": {"name": "none"}, "blockBytes": 1, "segmentBytes": 1,
            "include": [], "exclude": []
        }))
        .unwrap();
        let planned = |(number, (required, _)): (usize, &(bool, CopyState))| PlannedDestination {
            name: number.to_string(),
            required: *required,
        };
        let found = |(number, (_, status)): (usize, &(bool, CopyState))| CopyStatus {
            name: number.to_string(),
            location: String::new(),
            status: *status,
            withdrawn_at: None,
            last_verified: None,
            error: None,
        };
        let expected = Expected {
            plan: Some(&PlanEntry {
                destinations: copies.iter().enumerate().map(planned).collect(),
                ..plan
            }),
            runs: &[],
        };
        expected.state(&copies.iter().enumerate().map(found).collect::<Vec<_>>())
    }

    #[test]
    fn it_is_what_its_required_destinations_have_and_never_what_the_luckiest_has() {
        use BackupState::{Completed, Incomplete};
        let all = |first, second| state("all", &[(true, first), (true, second)]);
        assert_eq!(all(Whole, Whole), Some(Completed));
        assert_eq!(all(Whole, Damaged), Some(BackupState::Damaged));
        assert_eq!(all(Absent, Damaged), Some(BackupState::Damaged));
        assert_eq!(all(Whole, Absent), Some(Incomplete));
        assert_eq!(all(Unreachable, Whole), Some(Incomplete));
        assert_eq!(all(Withdrawn, Whole), Some(Completed));
        assert_eq!(all(Withdrawn, Absent), Some(BackupState::Withdrawn));
        assert_eq!(all(Absent, Absent), None);
    }

    #[test]
    fn where_none_is_required_there_are_as_many_as_the_strategy_asks_for() {
        use BackupState::{Completed, Incomplete};
        let any = |first, second| state("any", &[(false, first), (false, second)]);
        assert_eq!(any(Whole, Damaged), Some(Completed));
        assert_eq!(any(Absent, Damaged), Some(BackupState::Damaged));
        let two_of = |copies: [CopyState; 3]| state("quorum:2", &copies.map(|copy| (false, copy)));
        assert_eq!(two_of([Whole, Whole, Damaged]), Some(Completed));
        assert_eq!(two_of([Whole, Absent, Damaged]), Some(BackupState::Damaged));
        assert_eq!(two_of([Whole, Absent, Unreachable]), Some(Incomplete));
        assert_eq!(state("quorum:2", &[(false, Whole)]), Some(Completed));
        let one_required = [(true, Absent), (false, Whole)];
        assert_eq!(state("any", &one_required), Some(Incomplete));
    }
}
