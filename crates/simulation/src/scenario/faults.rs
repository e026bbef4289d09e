//! What goes wrong in a life, as the seed has it.

use std::sync::Arc;

use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};
use teeline::{Class, DestinationSpec};

use super::Scenario;
use crate::oracle::destination;
use crate::store::Way;

impl Scenario {
    /// The stores, with what goes wrong on the way to them in this life.
    pub(super) fn faulty_destinations(
        &self,
        can_go: &mut bool,
    ) -> Result<Vec<DestinationSpec>, String> {
        let staleness = match self.chance(15) {
            true => 0.3,
            false => 0.0,
        };
        *can_go = staleness == 0.0;
        let mut destinations = Vec::new();
        for (store, shelf) in self.oracle.shelves.iter().enumerate() {
            let latency_max_ms = self.pick(&[0, 3, 40, 900]);
            shelf.set_staleness(staleness);
            let witness = Arc::clone(&self.world);
            let faulty = FaultSink::witnessed(
                Arc::new(shelf.clone()),
                self.fault_plan(),
                move |operation, what| witness.went_wrong(operation, what),
            );
            let way = Way {
                inner: Arc::new(faulty),
                world: Arc::clone(&self.world),
                store,
                latency_max_ms,
            };
            let mut destination = destination(store, way)?;
            destination.required = self.required[store];
            destinations.push(destination);
        }
        Ok(destinations)
    }

    fn fault_plan(&self) -> FaultPlan {
        let mut plan = FaultPlan::new(self.random.next());
        for _ in 0..self.pick(&[0, 0, 1, 1, 2, 4]) {
            plan = plan.with(self.fault());
        }
        plan
    }

    fn fault(&self) -> Fault {
        let operation = self.pick(&[
            Operation::Begin,
            Operation::Write,
            Operation::Commit,
            Operation::Commit,
            Operation::Put,
            Operation::Put,
            Operation::Put,
            Operation::Read,
            Operation::Read,
            Operation::Head,
            Operation::List,
            Operation::Delete,
            Operation::DropCached,
        ]);
        let when = match self.random.below(10) {
            0..6 => When::Nth(1 + self.random.below(12)),
            6 | 7 => When::From(1 + self.random.below(20)),
            _ => When::Probability(self.pick(&[0.02, 0.1, 0.4])),
        };
        let what = match self.random.below(10) {
            0..4 => What::Fail(self.pick(&[
                Class::Transient,
                Class::Transient,
                Class::Throttled,
                Class::Permanent,
                // Nobody promises anything where a store doesn't find what it has.
                Class::Permanent,
                Class::Conflict,
                Class::Corrupt,
                Class::Cancelled,
                Class::Archived,
            ])),
            4 | 5 => What::LoseReply,
            6 => What::Stall,
            7 => self.pick(&[What::FlipBit, What::LoseByte]),
            8 => What::Duplicate,
            _ => What::Panic,
        };
        let fault = Fault::new(operation, when, what);
        let part = self.pick(&[
            "",
            "",
            "manifest.json",
            "run.json",
            "catalog",
            ".index",
            ".jsonl",
            "runs",
            "teeline.json",
        ]);
        match part {
            "" => fault,
            part => fault.on_keys_with(part),
        }
    }
}
