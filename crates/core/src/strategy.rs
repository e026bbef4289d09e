//! What makes a run a success. The strategy sees destinations and segments, not chunks: it decides membership and
//! publishing, and does nothing itself.
//!
//! Invariants, tested below against a small model over any order of events:
//! - nothing is published before the verdict could be a success: `needed` destinations are prepared, all required ones
//!   among them, and none of the required ones is down;
//! - `Finish` is the last command and comes once;
//! - a destination is published at most once, and never after it went down or fell behind;
//! - nobody is let go for being slow whom the verdict can't do without.

use std::fmt;
use std::str::FromStr;

use crate::error::BackupError;
use crate::records::DestinationStatus;

/// The number of a destination within a run, in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationId(pub usize);

/// What makes a run a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StrategyKind {
    /// Every required destination has the backup; all are required unless said.
    #[default]
    All,
    /// At least one destination has it; the run waits for all to end or fail.
    Any,
    /// The first destination that can have it; the others aren't tried.
    Priority,
    /// At least this many have it.
    Quorum(usize),
}

impl StrategyKind {
    /// How many destinations must have the backup, whatever is required.
    fn needed(self) -> usize {
        match self {
            StrategyKind::All | StrategyKind::Any | StrategyKind::Priority => 1,
            StrategyKind::Quorum(n) => n,
        }
    }

    /// What a run comes to of which this became at each of its destinations, beside whether that was required.
    ///
    /// ```
    /// use teeline_core::{DestinationStatus::{Behind, Committed, Skipped}, Outcome, StrategyKind};
    /// let two = StrategyKind::Quorum(2);
    /// assert_eq!(two.verdict(&[(false, Committed), (false, Behind)]), Outcome::Failed);
    /// assert_eq!(two.verdict(&[(false, Committed), (false, Behind), (false, Committed)]), Outcome::Degraded);
    /// assert_eq!(two.verdict(&[(false, Committed), (false, Committed), (true, Skipped)]), Outcome::Completed);
    /// ```
    pub fn verdict(self, ended: &[(bool, DestinationStatus)]) -> Outcome {
        let lacks = |status| {
            !matches!(
                status,
                DestinationStatus::Committed | DestinationStatus::Skipped
            )
        };
        let committed = ended
            .iter()
            .filter(|(_, status)| *status == DestinationStatus::Committed);
        let required_lacks = ended
            .iter()
            .any(|(required, status)| *required && lacks(*status));
        if required_lacks || committed.count() < self.needed() {
            Outcome::Failed
        } else if ended.iter().any(|(_, status)| lacks(*status)) {
            Outcome::Degraded
        } else {
            Outcome::Completed
        }
    }
}

impl FromStr for StrategyKind {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text
            .split_once(':')
            .map_or((text, None), |(name, n)| (name, Some(n)))
        {
            ("all", None) => Ok(StrategyKind::All),
            ("any", None) => Ok(StrategyKind::Any),
            ("priority", None) => Ok(StrategyKind::Priority),
            ("quorum", Some(n)) if n.parse::<usize>().is_ok_and(|n| n > 0) => {
                Ok(StrategyKind::Quorum(n.parse().unwrap_or(1)))
            }
            _ => Err(BackupError::usage(
                "strategy",
                format!(
                    "unknown strategy {text:?}; accepted: all, any, priority, quorum:N with N from 1"
                ),
            )),
        }
    }
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StrategyKind::All => f.write_str("all"),
            StrategyKind::Any => f.write_str("any"),
            StrategyKind::Priority => f.write_str("priority"),
            StrategyKind::Quorum(n) => write!(f, "quorum:{n}"),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A whole segment is visible under its key there.
    SegmentCommitted(DestinationId),
    /// The source has ended; the backup has this many segments.
    SourceEnded {
        /// Segments of the backup.
        segments: u64,
    },
    /// The source has failed, or the run was abandoned: there will be no backup.
    SourceFailed,
    /// Everything but the manifest is there, and was verified as asked.
    Prepared(DestinationId),
    /// The manifest is visible there.
    Published(DestinationId),
    /// It holds the others up.
    FellBehind(DestinationId),
    /// It failed, and is out for the rest of the run.
    Down(DestinationId),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Make the manifest visible there.
    Publish(DestinationId),
    /// Send it nothing more.
    Detach(DestinationId),
    /// Send it nothing more, and keep what it has for later.
    LeaveBehind(DestinationId),
    /// Begin a new pass with this destination alone.
    NextPass(DestinationId),
    /// The run is over.
    Finish(Outcome),
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every destination has the backup.
    Completed,
    /// The strategy is met, but not every destination has it.
    Degraded,
    /// The strategy isn't met.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    /// Not tried, under `priority`.
    Waiting,
    Active,
    Prepared,
    Publishing,
    Published,
    /// It was too slow for this pass: neither down nor prepared.
    Behind,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Member {
    required: bool,
    state: State,
    segments: u64,
}

/// The state machine of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Strategy {
    kind: StrategyKind,
    members: Vec<Member>,
    segments: Option<u64>,
    finished: bool,
}

impl Strategy {
    /// A run over destinations, each of them required or not.
    ///
    /// # Errors
    /// Where there is no destination, or the quorum is larger than their number.
    pub fn new(kind: StrategyKind, required: &[bool]) -> Result<Self, BackupError> {
        let refuse = |message: String| Err(BackupError::usage("strategy", message));
        if required.is_empty() {
            return refuse("there is no destination".to_owned());
        }
        if let StrategyKind::Quorum(n) = kind
            && n > required.len()
        {
            return refuse(format!(
                "quorum:{n} of {} destinations can't be reached",
                required.len()
            ));
        }
        let state_of = |index: usize| match kind {
            StrategyKind::Priority if index > 0 => State::Waiting,
            _ => State::Active,
        };
        let members = required
            .iter()
            .enumerate()
            .map(|(index, required)| Member {
                required: *required,
                state: state_of(index),
                segments: 0,
            })
            .collect();
        Ok(Strategy {
            kind,
            members,
            segments: None,
            finished: false,
        })
    }

    /// The destinations of the pass that is under way.
    pub fn active(&self) -> Vec<DestinationId> {
        let active =
            |member: &Member| !matches!(member.state, State::Waiting | State::Behind | State::Down);
        self.members
            .iter()
            .enumerate()
            .filter(|(_, m)| active(m))
            .map(|(i, _)| DestinationId(i))
            .collect()
    }

    /// Whether the run is over.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes one event and adds what follows from it to `out`.
    ///
    /// # Panics
    /// Where an event breaks the order that the supervisor keeps: a destination is prepared before it has every segment.
    pub fn step(&mut self, event: Event, out: &mut Vec<Command>) {
        if self.finished {
            return;
        }
        match event {
            Event::SegmentCommitted(DestinationId(index)) => self.members[index].segments += 1,
            Event::SourceEnded { segments } => self.segments = Some(segments),
            Event::SourceFailed => return self.finish(Outcome::Failed, out),
            Event::Prepared(DestinationId(index)) => {
                let member = &mut self.members[index];
                assert_eq!(
                    Some(member.segments),
                    self.segments,
                    "prepared with every segment committed"
                );
                if member.state == State::Active {
                    member.state = State::Prepared;
                }
            }
            Event::Published(DestinationId(index)) => {
                if self.members[index].state == State::Publishing {
                    self.members[index].state = State::Published;
                }
            }
            Event::FellBehind(id) => {
                if self.can_do_without(id) {
                    self.members[id.0].state = State::Behind;
                    out.push(Command::LeaveBehind(id));
                }
            }
            Event::Down(id) => {
                if !matches!(self.members[id.0].state, State::Published | State::Down) {
                    self.members[id.0].state = State::Down;
                    out.push(Command::Detach(id));
                }
            }
        }
        self.decide(out);
    }

    fn decide(&mut self, out: &mut Vec<Command>) {
        if self.kind == StrategyKind::Priority {
            self.try_next(out);
        }
        if !self.finished && !self.reachable() {
            return self.finish(Outcome::Failed, out);
        }
        if self.gate_open() {
            for (index, member) in self.members.iter_mut().enumerate() {
                if member.state == State::Prepared {
                    member.state = State::Publishing;
                    out.push(Command::Publish(DestinationId(index)));
                }
            }
        }
        let under_way =
            |m: &Member| matches!(m.state, State::Active | State::Prepared | State::Publishing);
        if !self.members.iter().any(under_way) && !self.finished {
            self.finish(self.verdict(), out);
        }
    }

    /// Under `priority`: where the pass has lost its destination, the next one gets a pass of its own.
    fn try_next(&mut self, out: &mut Vec<Command>) {
        if self
            .members
            .iter()
            .any(|m| !matches!(m.state, State::Waiting | State::Down))
        {
            return;
        }
        if self
            .members
            .iter()
            .any(|m| m.required && m.state == State::Down)
        {
            return;
        }
        if let Some(index) = self.members.iter().position(|m| m.state == State::Waiting) {
            self.members[index].state = State::Active;
            self.segments = None;
            out.push(Command::NextPass(DestinationId(index)));
        }
    }

    fn count(&self, states: &[State]) -> usize {
        self.members
            .iter()
            .filter(|m| states.contains(&m.state))
            .count()
    }

    fn required_down(&self) -> bool {
        self.members
            .iter()
            .any(|m| m.required && m.state == State::Down)
    }

    /// Whether a destination may be left behind: it isn't required, has work to do, and success is possible without it.
    fn can_do_without(&self, id: DestinationId) -> bool {
        let member = &self.members[id.0];
        if member.required || member.state != State::Active {
            return false;
        }
        let taking_part = [
            State::Active,
            State::Prepared,
            State::Publishing,
            State::Published,
        ];
        self.kind != StrategyKind::Priority && self.count(&taking_part) > self.kind.needed()
    }

    /// Whether success is still possible. Once something is published, publishing goes on: more copies are better.
    fn reachable(&self) -> bool {
        let published = self.count(&[State::Published, State::Publishing]);
        let possible = published + self.count(&[State::Active, State::Prepared]);
        published > 0 || (!self.required_down() && possible >= self.kind.needed())
    }

    fn gate_open(&self) -> bool {
        let ready = [State::Prepared, State::Publishing, State::Published];
        let published = self.count(&[State::Publishing, State::Published]) > 0;
        let required_ready = self
            .members
            .iter()
            .all(|m| !m.required || m.state == State::Waiting || ready.contains(&m.state));
        published || (required_ready && self.count(&ready) >= self.kind.needed())
    }

    fn verdict(&self) -> Outcome {
        let ended = self.members.iter().map(|member| {
            let status = match member.state {
                State::Waiting => DestinationStatus::Skipped,
                State::Published => DestinationStatus::Committed,
                State::Behind => DestinationStatus::Behind,
                // Nothing is under way any more.
                State::Active | State::Prepared | State::Publishing | State::Down => {
                    DestinationStatus::Failed
                }
            };
            (member.required, status)
        });
        self.kind.verdict(&Vec::from_iter(ended))
    }

    fn finish(&mut self, outcome: Outcome, out: &mut Vec<Command>) {
        self.finished = true;
        out.push(Command::Finish(outcome));
    }
}

#[cfg(test)]
mod tests;
