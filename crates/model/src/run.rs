//! A run: its strategy, and the lane of each destination, which does one thing after the other as its driver does.

use teeline_core::commit::PublishStep;
use teeline_core::{Command, DestinationId, DestinationStatus, Event, Outcome, Strategy};

use crate::publishing::{self, Publisher, Step};
use crate::scene::{Planted, Scene};
use crate::taking_up::Stage;
use crate::world::{BackupNumber, Call, Content, File, Place};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) number: usize,
    pub(crate) backup: BackupNumber,
    /// The number of the run whose claim it writes: another one's, where it takes that up.
    pub(crate) claims_as: usize,
    /// How often the run had been taken up, with this time.
    pub(crate) attempt: u8,
    pub(crate) stage: Stage,
    /// What it makes.
    pub(crate) content: Content,
    /// The segments that each destination had of it when it was taken up, each a bit.
    pub(crate) held: Vec<u8>,
    /// Which claim each destination has shown to it: see `Copy::claims`.
    pub(crate) claims_seen: Vec<u8>,
    /// What each destination was to have: under `priority` each pass has another one.
    pub(crate) of_lanes: Vec<BackupNumber>,
    pub(crate) strategy: Strategy,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) source: Source,
    /// The verdict, once there is one.
    pub(crate) verdict: Option<Outcome>,
    pub(crate) is_dead: bool,
    /// Whether nothing was heard of it for as long as runs are taken for dead after.
    pub(crate) sleeps: bool,
    /// Whether it ever was so.
    pub(crate) has_slept: bool,
    /// Destinations that its record went to, or couldn't go to.
    pub(crate) recorded: u8,
    /// Whether something was published before the verdict could be a success.
    pub(crate) published_early: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Gives,
    Ended,
    Failed,
}

/// What the driver of a destination does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Nothing, under `priority`.
    NotTried,
    Claim,
    Segment(u8),
    /// It has every segment, and waits for the source to end.
    Whole,
    Prepared,
    /// A step of publishing, by its place in their order.
    Publish(usize),
    Ended(DestinationStatus),
}

/// Every destination, as bits.
fn everywhere(scene: &Scene) -> u8 {
    (1 << scene.required.len()) - 1
}

impl Run {
    pub(crate) fn new(scene: &Scene, number: usize, backup: BackupNumber) -> Self {
        let strategy = Strategy::new(scene.strategy, &scene.required).expect("a strategy");
        let active = strategy.active();
        let lanes = (0..scene.required.len()).map(|at| match active.contains(&DestinationId(at)) {
            true => Lane::Claim,
            false => Lane::NotTried,
        });
        let mut run = Run {
            number,
            backup,
            claims_as: number,
            attempt: 0,
            stage: Stage::Works,
            content: scene.content_of(number),
            held: vec![0; scene.required.len()],
            claims_seen: vec![0; scene.required.len()],
            of_lanes: vec![backup; scene.required.len()],
            lanes: lanes.collect(),
            strategy,
            source: Source::Gives,
            verdict: None,
            is_dead: false,
            sleeps: false,
            has_slept: false,
            recorded: if scene.janitors.is_empty() {
                everywhere(scene)
            } else {
                0
            },
            published_early: false,
        };
        if scene.has_read {
            run.source_ends(scene);
        }
        run
    }

    /// Whether it has nothing more to do; one that has yet to be taken up may never be.
    pub(crate) fn is_over(&self) -> bool {
        let all = (1u8 << self.lanes.len()) - 1;
        let is_out = matches!(self.stage, Stage::Waits | Stage::Refused);
        self.is_dead || is_out || (self.has_reported() && self.recorded == all)
    }

    /// Whether it has said what became of it.
    pub(crate) fn has_reported(&self) -> bool {
        let ended = |lane: &Lane| matches!(lane, Lane::Ended(_) | Lane::NotTried);
        self.verdict.is_some() && self.lanes.iter().all(ended)
    }

    /// What it says of a destination.
    pub(crate) fn status(&self, at: usize) -> DestinationStatus {
        match self.lanes[at] {
            Lane::Ended(status) => status,
            _ => DestinationStatus::Skipped,
        }
    }

    pub(crate) fn source_ends(&mut self, scene: &Scene) {
        self.source = Source::Ended;
        let segments = u64::from(scene.segments);
        self.happened(scene, Event::SourceEnded { segments });
    }

    pub(crate) fn source_fails(&mut self, scene: &Scene) {
        self.source = Source::Failed;
        self.happened(scene, Event::SourceFailed);
    }

    pub(crate) fn falls_behind(&mut self, scene: &Scene, at: usize) {
        self.happened(scene, Event::FellBehind(DestinationId(at)));
    }

    /// Whether the lane of a destination has something to do now.
    pub(crate) fn can_step(&self, at: usize) -> bool {
        match self.lanes[at] {
            _ if self.stage != Stage::Works => false,
            Lane::Claim | Lane::Segment(_) | Lane::Publish(_) => true,
            Lane::Whole => self.source == Source::Ended,
            Lane::Prepared | Lane::NotTried | Lane::Ended(_) => false,
        }
    }

    /// Whether that is a call which changes something, so that it may be done without an answer.
    pub(crate) fn writes(&self, at: usize) -> bool {
        match self.lanes[at] {
            Lane::Claim => true,
            // What was there already is read back.
            Lane::Segment(segment) => self.held[at] & (1 << segment) == 0,
            Lane::Publish(step) => matches!(
                PublishStep::ORDER[step],
                PublishStep::Entry | PublishStep::Manifest
            ),
            _ => false,
        }
    }

    /// Whether it has looked there, and is about to write the manifest.
    pub(crate) fn has_looked(&self, at: usize) -> bool {
        let is_next = matches!(self.lanes[at], Lane::Publish(step) if publishing::has_looked(step));
        is_next && !self.is_over()
    }

    /// The lane of a destination does what is next.
    pub(crate) fn step(&mut self, scene: &Scene, place: &mut Place, at: usize, call: Call) {
        self.sleeps = false;
        let id = DestinationId(at);
        let mut is_conflict = false;
        let goes_on = match self.lanes[at] {
            Lane::Claim => self.claim(place, at, call).then_some(Lane::Segment(0)),
            Lane::Segment(segment) => {
                let is_there = self.segment(place, at, segment, call);
                let is_believed = scene.planted == Some(Planted::FailedSegmentIsBelieved);
                (is_there || is_believed).then(|| {
                    self.happened(scene, Event::SegmentCommitted(id));
                    match segment + 1 == scene.segments {
                        true => Lane::Whole,
                        false => Lane::Segment(segment + 1),
                    }
                })
            }
            Lane::Whole => Some(Lane::Prepared),
            Lane::Publish(step) => {
                let publisher = Publisher {
                    attempt: Some(self.attempt),
                    claims_seen: self.claims_seen[at],
                    content: self.content,
                };
                let done =
                    publisher.step(scene, place, self.backup, PublishStep::ORDER[step], call);
                is_conflict = done == Step::Conflict;
                let next = match publishing::after(scene, self.backup, step) {
                    None => Lane::Ended(DestinationStatus::Committed),
                    Some(next) => Lane::Publish(next),
                };
                (done == Step::Done).then_some(next)
            }
            Lane::Prepared | Lane::NotTried | Lane::Ended(_) => return,
        };
        // A verdict may have ended it meanwhile.
        if matches!(self.lanes[at], Lane::Ended(_)) {
            return;
        }
        match goes_on {
            Some(lane) => {
                self.lanes[at] = lane;
                match lane {
                    Lane::Prepared => self.prepared(scene, at),
                    Lane::Ended(_) => self.happened(scene, Event::Published(id)),
                    _ => {}
                }
            }
            None => {
                let status = match is_conflict {
                    true => DestinationStatus::Failed,
                    false => self.status_of_failure(scene, at),
                };
                self.lanes[at] = Lane::Ended(status);
                self.happened(scene, Event::Down(id));
            }
        }
    }

    fn prepared(&mut self, scene: &Scene, at: usize) {
        if scene.planted == Some(Planted::NobodyWaitsForTheVerdict) {
            self.published_early |= !self.may_publish(scene);
            self.lanes[at] = Lane::Publish(0);
            return;
        }
        self.happened(scene, Event::Prepared(DestinationId(at)));
    }

    /// Claims the id, where no other run has.
    fn claim(&mut self, place: &mut Place, at: usize, call: Call) -> bool {
        let copy = &mut place.copies[self.backup];
        let is_taken = copy.claimed_by.is_some_and(|by| by != self.claims_as);
        if is_taken {
            return false;
        }
        if call.is_done() {
            copy.put(File::Claim, self.content);
            copy.claimed_by = Some(self.claims_as);
            self.claims_seen[at] = copy.claims;
        }
        call == Call::Answered
    }

    /// Writes a segment; or, where it was there when the run was taken up, reads it.
    fn segment(&self, place: &mut Place, at: usize, segment: u8, call: Call) -> bool {
        let copy = &mut place.copies[self.backup];
        let file = File::Segment(segment);
        let is_there = match self.held[at] & (1 << segment) != 0 {
            true => copy.is_right(file, self.content),
            false => call.is_done() && copy.put(file, self.content),
        };
        is_there && call == Call::Answered
    }

    /// Whatever goes wrong once the manifest's write has begun leaves open whether it is there.
    fn status_of_failure(&self, scene: &Scene, at: usize) -> DestinationStatus {
        let manifest = PublishStep::ORDER
            .iter()
            .position(|step| *step == PublishStep::Manifest);
        let is_failed = scene.planted == Some(Planted::LostReplyIsFailure);
        match self.lanes[at] {
            Lane::Publish(step) if Some(step) >= manifest && !is_failed => {
                DestinationStatus::Unknown
            }
            _ => DestinationStatus::Failed,
        }
    }

    /// The supervisor: feeds the strategy, and carries its commands out.
    fn happened(&mut self, scene: &Scene, event: Event) {
        if self.verdict.is_some() {
            return;
        }
        let mut commands = Vec::new();
        self.strategy.step(event, &mut commands);
        for command in commands {
            match command {
                Command::Publish(DestinationId(at)) => {
                    self.published_early |= !self.may_publish(scene);
                    self.lanes[at] = Lane::Publish(0);
                }
                Command::Detach(_) => {}
                Command::LeaveBehind(DestinationId(at)) => {
                    self.lanes[at] = Lane::Ended(DestinationStatus::Behind);
                }
                Command::NextPass(DestinationId(at)) => {
                    self.backup += 1;
                    self.of_lanes[at] = self.backup;
                    self.source = Source::Gives;
                    self.lanes[at] = Lane::Claim;
                }
                Command::Finish(outcome) => self.wind_up(outcome),
            }
        }
    }

    /// Whoever is still at work is told to stop. One whose manifest is being written ends with that call.
    fn wind_up(&mut self, outcome: Outcome) {
        self.verdict = Some(outcome);
        for lane in &mut self.lanes {
            let is_in_doubt = match lane {
                Lane::Publish(step) => matches!(
                    PublishStep::ORDER[*step],
                    PublishStep::Manifest | PublishStep::LookAgain
                ),
                Lane::Ended(_) | Lane::NotTried => true,
                _ => false,
            };
            if !is_in_doubt {
                *lane = Lane::Ended(DestinationStatus::Failed);
            }
        }
    }

    /// What is abandoned while its manifest is written: it is there then, or it isn't.
    pub(crate) fn abandon(&mut self, place: &mut Place, at: usize, call: Call) {
        let is_manifest =
            |step: usize| PublishStep::ORDER[step] == PublishStep::Manifest && call.is_done();
        if let Lane::Publish(step) = self.lanes[at]
            && is_manifest(step)
        {
            place.copies[self.backup].put(File::Manifest, self.content);
        }
        self.lanes[at] = Lane::Ended(DestinationStatus::Unknown);
    }

    /// Leaves the run's record at a destination, or doesn't.
    pub(crate) fn record(&mut self, place: &mut Place, at: usize, call: Call) {
        self.recorded |= 1 << at;
        let copy = &mut place.copies[self.backup];
        // What took nothing wasn't claimed.
        if call.is_done() && copy.claimed_by == Some(self.claims_as) {
            copy.record = Some(self.status(at));
        }
    }

    /// Whether the verdict can be a success, by who is prepared or further: said in another way than the strategy does.
    pub(crate) fn may_publish(&self, scene: &Scene) -> bool {
        let is_ready = |lane: &Lane| match lane {
            Lane::Prepared | Lane::Publish(_) => true,
            Lane::Ended(status) => *status == DestinationStatus::Committed,
            _ => false,
        };
        let ready = self.lanes.iter().filter(|lane| is_ready(lane)).count();
        let required = self.lanes.iter().zip(&scene.required);
        let mut required =
            required.filter(|(lane, is_required)| **is_required && **lane != Lane::NotTried);
        ready >= scene.needed() && required.all(|(lane, _)| is_ready(lane))
    }
}
