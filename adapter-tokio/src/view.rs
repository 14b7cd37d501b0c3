//! What the runtime tells about its vigies.

use std::fmt;

use vigy_core::record::{ConditionStatus, Level, Place};
use vigy_core::{ActionKey, ActionKind, Checkpoint, ResultStatus, RunKey, Timestamp, Vigy, VigyId};
use vigy_lisp::Data;

/// A vigy that the runtime knows.
#[derive(Clone, PartialEq, Debug)]
pub struct Registered {
    /// Derived from the name.
    pub id: VigyId,
    /// As it was declared last.
    pub vigy: Vigy,
    /// How often the declaration changed, from 1.
    pub revision: u64,
    /// When it was registered first.
    pub created_at: Timestamp,
    /// When the declaration changed last.
    pub updated_at: Timestamp,
    /// Where it stands.
    pub checkpoint: Checkpoint,
}

/// One run, as stored.
#[derive(Clone, PartialEq)]
pub struct Run {
    /// Its name.
    pub key: RunKey,
    /// Whose run.
    pub vigy: VigyId,
    /// When it began.
    pub started_at: Timestamp,
    /// When its last action had its outcome; nothing while some have none.
    pub ended_at: Option<Timestamp>,
    /// `Ok`, or `Failed` when the evaluation failed. What came of the actions stands with each of them.
    pub result: ResultStatus,
    /// Why the evaluation failed.
    pub error: Option<String>,
    /// Where in the program, when that is known.
    pub place: Option<Place>,
    /// What it asked to have changed, in order; also of a failed run, which undoes none of it.
    pub writes: Vec<RunWrite>,
    /// What it wanted done. Empty for a failed run, whose actions are dropped.
    pub actions: Vec<RunAction>,
    /// What it logged and printed, in order.
    pub logs: Vec<LogLine>,
    /// What it told, in order.
    pub events: Vec<RunEvent>,
    /// Fuel used.
    pub fuel: u64,
    /// The canonical record.
    pub record: Vec<u8>,
}

/// Without the bytes of the record, which are long.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut run = f.debug_struct("Run");
        run.field("key", &self.key).field("vigy", &self.vigy).field("started_at", &self.started_at).field("ended_at", &self.ended_at);
        run.field("result", &self.result)
            .field("error", &self.error)
            .field("place", &self.place)
            .field("writes", &self.writes)
            .field("actions", &self.actions)
            .field("logs", &self.logs);
        run.field("events", &self.events).field("fuel", &self.fuel).finish_non_exhaustive()
    }
}

/// A write that a run asked for, and what came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct RunWrite {
    /// What the receiver deduplicates by.
    pub key: ActionKey,
    /// The operation, as `k8s/patch-pvc`.
    pub operation: String,
    /// Its arguments: a list.
    pub arguments: Data,
    /// `Ok`, or `Failed` when it was refused; nothing when a crash cut the run there and it could not go on: it may have been done.
    pub result: Option<ResultStatus>,
    /// Why it was refused; empty otherwise.
    pub message: String,
}

/// An action and what came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct RunAction {
    /// What was asked for.
    pub kind: ActionKind,
    /// With which payload.
    pub payload: Option<Data>,
    /// What came of it; nothing while it is in flight.
    pub result: Option<ResultStatus>,
    /// Details; empty when there are none.
    pub message: String,
}

/// A line a program logged; printed text is a line of its own at `info`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Severity.
    pub level: Level,
    /// The line.
    pub message: String,
}

impl LogLine {
    /// Adds printed text to the lines, each of its lines as one.
    pub(crate) fn append_output(lines: &mut Vec<Self>, text: &str) {
        lines.extend(text.lines().map(|line| Self { level: Level::Info, message: line.to_owned() }));
    }
}

/// An event a program told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunEvent {
    /// Its kind.
    pub kind: String,
    /// Details.
    pub message: String,
}

/// A condition, as it was said last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Its name.
    pub name: String,
    /// What it says.
    pub status: ConditionStatus,
    /// One word why; possibly empty.
    pub reason: String,
    /// Details; possibly empty.
    pub message: String,
    /// When the status changed last.
    pub last_transition: Timestamp,
}

/// What is known of a vigy's work between ticks. Every list is ordered by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct State {
    /// Its kv store, the runtime's own keys included.
    pub kv: Vec<(String, Data)>,
    /// What it wants, by part.
    pub desired: Vec<(String, Data)>,
    /// What it saw, by part.
    pub observed: Vec<(String, Data)>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its metrics: the last value each.
    pub metrics: Vec<(String, f64)>,
    /// The actions of its last run that have no outcome yet.
    pub pending: Vec<RunAction>,
    /// When this was read.
    pub captured_at: Timestamp,
}

/// A declaration of a vigy.
#[derive(Clone, PartialEq, Debug)]
pub struct Revision {
    /// Which: from 1.
    pub number: u64,
    /// When it was declared.
    pub declared_at: Timestamp,
    /// BLAKE3 of the program's image, by which records name it; nothing for what was declared by an earlier version of the runtime.
    pub image: Option<[u8; 32]>,
    /// The declaration. Whether the vigy is enabled stands elsewhere, in [`Registered`].
    pub vigy: Vigy,
}
