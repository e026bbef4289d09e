//! What goes wrong, and when.

use teeline_core::Class;

/// What goes wrong, and when.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    /// Decides what is left to chance.
    pub seed: u64,
    /// The first one that applies to a call does.
    pub rules: Vec<Fault>,
}

impl FaultPlan {
    /// A plan by which nothing goes wrong.
    pub fn new(seed: u64) -> Self {
        FaultPlan {
            seed,
            rules: Vec::new(),
        }
    }

    /// The plan with one more rule.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.rules.push(fault);
        self
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    /// In which calls.
    pub operation: Operation,
    /// In which of those whose key holds this text; for a list, the folder's. `None` is all of them.
    pub key_part: Option<String>,
    /// In which of those.
    pub when: When,
    /// What happens instead.
    pub what: What,
}

impl Fault {
    /// `what` happens to `operation`, `when`, whatever the key.
    pub fn new(operation: Operation, when: When, what: What) -> Self {
        Fault {
            operation,
            key_part: None,
            when,
            what,
        }
    }

    /// The same, but only for keys that hold `text`.
    #[must_use]
    pub fn on_keys_with(mut self, text: impl Into<String>) -> Self {
        self.key_part = Some(text.into());
        self
    }
}

/// A call that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`Sink::begin`](teeline_core::Sink::begin)
    Begin,
    /// [`Upload::write`](teeline_core::Upload::write)
    Write,
    /// [`Upload::commit`](teeline_core::Upload::commit)
    Commit,
    /// [`Sink::put`](teeline_core::Sink::put)
    Put,
    /// [`Sink::read`](teeline_core::Sink::read)
    Read,
    /// [`Sink::head`](teeline_core::Sink::head) and [`Sink::availability`](teeline_core::Sink::availability)
    Head,
    /// [`Sink::thaw`](teeline_core::Sink::thaw)
    Thaw,
    /// [`Sink::list`](teeline_core::Sink::list): each item is a call, and so is finding the end.
    List,
    /// [`Sink::delete`](teeline_core::Sink::delete)
    Delete,
    /// [`Sink::drop_cached`](teeline_core::Sink::drop_cached)
    DropCached,
    /// [`Sink::unfinished`](teeline_core::Sink::unfinished), as [`Operation::List`]
    Unfinished,
    /// [`Sink::discard`](teeline_core::Sink::discard)
    Discard,
}

/// Which calls go wrong, among those of the operation and key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Only this one; the first is 1.
    Nth(u64),
    /// This one and all that follow.
    From(u64),
    /// Each with this probability.
    Probability(f64),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// An error, without any effect.
    Fail(Class),
    /// The call never ends.
    Stall,
    /// One bit of what is read, or of what is stored, is another. Calls without bytes go well.
    FlipBit,
    /// The last byte of what is read, or of what is stored, is missing. Calls without bytes go well.
    LoseByte,
    /// It takes effect, and fails with [`Class::Transient`] all the same.
    LoseReply,
    /// A call that writes or deletes whole objects is made a second time once it is done, and the second answer is the one that
    /// is had, as where a request is sent again on its way. Other calls go well.
    Duplicate,
    /// The code panics.
    Panic,
}

impl What {
    /// Whether calls of this operation are any different for it.
    pub fn has_effect_in(self, operation: Operation) -> bool {
        match self {
            What::Fail(_) | What::Stall | What::LoseReply | What::Panic => true,
            What::FlipBit | What::LoseByte => matches!(
                operation,
                Operation::Write | Operation::Put | Operation::Read
            ),
            What::Duplicate => matches!(
                operation,
                Operation::Commit | Operation::Put | Operation::Delete
            ),
        }
    }
}
