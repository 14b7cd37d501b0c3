//! The API's shapes, as JSON carries them. Times are RFC 3339; fields that upstream's API does not have come after those that it has.

mod replay;
mod run;
mod schedule;

use std::collections::BTreeMap;

use adapter_tokio::store::DeadLetter as Letter;
use adapter_tokio::{Registered, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vigy_core::{Policy, Timestamp, VigyId};
use vigy_lisp::Data;
use vigy_programs::json;

pub use replay::{Diff, Difference, Divergence, Replay, ReplayOf, WhatIf};
pub use run::{LogLine, ReconcileAction, ToldEvent, VigyRun, Write};
pub use schedule::{InvalidSchedule, Schedule};

/// A registered vigy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Vigy {
    /// 16 hex digits.
    pub id: String,
    /// Unique.
    pub name: String,
    /// The program's text.
    pub program: String,
    /// Milliseconds between ticks; null when a calendar says when it ticks.
    pub tick_interval_ms: Option<u64>,
    /// Whether it ticks on its own.
    pub enabled: bool,
    /// When the name was registered first.
    pub created_at: String,
    /// When the declaration changed last.
    pub updated_at: String,
    /// For people and selectors.
    pub labels: BTreeMap<String, String>,
    /// How often the declaration changed, from 1.
    pub revision: u64,
    /// Who carries out its actions.
    pub on_action: String,
    /// Its capabilities.
    pub allow: Vec<String>,
    /// What its `(current-config)` decodes; null when there is none.
    #[serde(default)]
    pub config: Value,
    /// What a tick of it may use.
    #[serde(default)]
    pub limits: TickLimits,
    /// When it ticks, beyond its interval.
    #[serde(default)]
    pub schedule: Schedule,
    /// What follows its failures.
    #[serde(default)]
    pub policy: Policy,
    /// Ticks so far.
    pub ticks: u64,
    /// Failed ticks in a row.
    pub failures: u32,
    /// Whether it failed too often to go on by itself, until it is resumed.
    #[serde(default)]
    pub parked: bool,
    /// Ticks that were skipped, because their time passed before the vigy could tick.
    #[serde(default)]
    pub missed: u64,
    /// When the last tick began.
    pub last_tick_at: Option<String>,
    /// When the next tick is due; nothing while it is disabled or parked.
    pub next_tick_at: Option<String>,
    /// The host that it is for, when that is another one: it does not tick here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
    /// When the next tick is due, or would be if it ticked on its own.
    #[serde(default)]
    pub due_at: String,
}

/// What it takes to register a vigy, or to declare the one of that name anew.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterVigy {
    /// Unique.
    pub name: String,
    /// The program's text.
    pub program: String,
    /// Milliseconds between ticks: 100 or more, 1,000 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_interval_ms: Option<u64>,
    /// When it ticks, beyond its interval; or by the calendar.
    #[serde(default)]
    pub schedule: Schedule,
    /// What follows its failures; what is left out is as for any vigy.
    #[serde(default)]
    pub policy: Policy,
    /// Whether it ticks on its own; true when left out. A name that is registered already keeps its state.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// For people and selectors.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Who carries out its actions; `log` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_action: Option<String>,
    /// Its capabilities; none when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// What its `(current-config)` decodes; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// What a tick of it may use; what is left out is as for any vigy.
    #[serde(default)]
    pub limits: TickLimits,
    /// What error messages call the program, as a file's name; the vigy's name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `tatara-lisp`, the only language there is. For clients of upstream's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// What a tick may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TickLimits {
    /// Steps of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Bytes of heap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap_bytes: Option<u32>,
}

const fn yes() -> bool {
    true
}

/// What is to change; what is left out stays.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateVigy {
    /// The program's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Milliseconds between ticks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_interval_ms: Option<u64>,
    /// When it ticks, all of it: with the interval, or by the calendar. A new interval alone leaves the pace as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What follows its failures, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// All labels, not only those that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Who carries out its actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_action: Option<String>,
    /// All capabilities, not only those that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
}

/// The answer to a registration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// As it is now.
    #[serde(flatten)]
    pub vigy: Vigy,
    /// What the registration did.
    pub change: Change,
}

/// What a registration did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The name is new.
    Registered,
    /// The declaration of a known name changed.
    Updated,
    /// Nothing was different.
    Unchanged,
}

impl Change {
    /// The change as a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What is known of a vigy's work between ticks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VigyState {
    /// Whose state.
    pub vigy_id: String,
    /// What it wants, by part.
    pub desired: Map<String, Value>,
    /// What it saw, by part.
    pub observed: Map<String, Value>,
    /// The actions of its last run that have no outcome yet.
    pub pending: Vec<ReconcileAction>,
    /// When this was read.
    pub captured_at: String,
    /// Its kv store, by key.
    pub kv: Map<String, Value>,
    /// Its conditions, by name.
    pub conditions: Vec<Condition>,
    /// The last value of each metric, by name.
    pub metrics: Map<String, Value>,
}

/// A condition, as it was said last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Its name.
    pub name: String,
    /// `true`, `false` or `unknown`.
    pub status: String,
    /// One word why; possibly empty.
    pub reason: String,
    /// Details; possibly empty.
    pub message: String,
    /// When the status changed last.
    pub last_transition_at: String,
}

/// Everything known of a vigy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// As it was declared, and where it stands.
    #[serde(flatten)]
    pub vigy: Vigy,
    /// What is kept between its ticks.
    pub state: VigyState,
    /// Its last runs, newest first.
    pub runs: Vec<VigyRun>,
    /// Its actions that failed for good, oldest first.
    #[serde(default)]
    pub dead_letters: Vec<DeadLetter>,
}

/// How many runs an [`Inspection`] holds: 5.
pub const INSPECTED_RUNS: usize = 5;

/// A declaration of a vigy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Revision {
    /// Which: from 1.
    pub revision: u64,
    /// When it was declared.
    pub declared_at: String,
    /// The program's text.
    pub program: String,
    /// BLAKE3 of the program's image, by which runs name it, when that is known.
    pub image: Option<String>,
    /// Milliseconds between ticks; null when a calendar says when it ticks.
    pub tick_interval_ms: Option<u64>,
    /// When it ticks, beyond its interval.
    pub schedule: Schedule,
    /// For people and selectors.
    pub labels: BTreeMap<String, String>,
    /// Who carries out its actions.
    pub on_action: String,
    /// Its capabilities.
    pub allow: Vec<String>,
}

/// Which revision a vigy goes back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Its number.
    pub to: u64,
}

/// An action that failed for good, kept until somebody carries it out by hand, under its key, or discards it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What its receiver deduplicates by: `INCARNATION-TICK-INDEX`.
    pub key: String,
    /// Whose action.
    pub vigy_id: String,
    /// What was asked for.
    pub kind: String,
    /// With which payload.
    pub payload: Value,
    /// Why it failed.
    pub message: String,
    /// How often it was tried.
    pub attempts: u16,
    /// When it failed.
    pub at: String,
}

/// What came of a dead letter that was carried out once more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Redriven {
    /// Its key.
    pub key: String,
    /// `ok`: it is no dead letter any more; `failed`: it still is one.
    pub result: String,
    /// Details.
    pub message: Option<String>,
}

/// Something in a store that should not be so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreFinding {
    /// Whose rows; null for the store's own.
    pub vigy_id: Option<String>,
    /// What is wrong, for people.
    pub problem: String,
}

/// Where a copy of the store goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// A new file, as the daemon sees it: an absolute path.
    pub path: std::path::PathBuf,
}

/// Something that happened, and its place in the log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Its number in the log, to go on from; null for what is not in it.
    pub seq: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the variants are their names")]
pub enum Event {
    Registered(Vigy),
    Updated(Vigy),
    Enabled(Vigy),
    Disabled(Vigy),
    /// It has failed too often to go on by itself.
    Parked(Vigy),
    /// It is not parked any more.
    Resumed(Vigy),
    Deleted {
        /// Its id.
        id: String,
        /// What it was called.
        name: String,
        /// When it was deleted.
        at: String,
    },
    /// A run is over: every action has its outcome.
    Run(VigyRun),
    /// An action failed for good.
    DeadLettered {
        /// Whose action.
        vigy_id: String,
        /// Its key.
        key: String,
        /// When it failed.
        at: String,
    },
    /// Something happened to a vigy that is not there any more, or to a run that is not kept any more.
    Gone {
        /// Whose event it was.
        vigy_id: String,
        /// What happened.
        what: String,
        /// When.
        at: String,
    },
    /// This many events happened after the listener's cursor that are not kept any more.
    Missed {
        /// How many.
        events: u64,
    },
    /// The listener's cursor is not one of this log: the store was made of a backup since. Everything that the log keeps follows.
    Reset {},
}

/// A time as the API writes it: in UTC, always with milliseconds, so that what is later also sorts later.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let ms = i64::try_from(time.0).unwrap_or(i64::MAX);
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX))
}

impl From<Registered> for Vigy {
    fn from(registered: Registered) -> Self {
        let Registered { id, vigy, revision, created_at, updated_at, checkpoint } = registered;
        let (tick_interval_ms, schedule) = Schedule::of(&vigy.schedule);
        Self {
            id: id.to_string(),
            name: vigy.name.to_string(),
            program: vigy.program,
            tick_interval_ms,
            enabled: vigy.enabled,
            created_at: rfc3339(created_at),
            updated_at: rfc3339(updated_at),
            labels: vigy.labels.into(),
            revision,
            on_action: vigy.on_action,
            allow: vigy.allow,
            // What is stored was data when it was registered.
            config: postcard::from_bytes(&vigy.config).map_or(Value::Null, |config| json::show(&config)),
            limits: TickLimits { fuel: Some(vigy.limits.fuel), heap_bytes: Some(vigy.limits.heap_bytes) },
            schedule,
            policy: vigy.policy,
            ticks: checkpoint.ticks,
            failures: checkpoint.failures,
            parked: checkpoint.parked,
            missed: checkpoint.missed,
            last_tick_at: checkpoint.last.map(rfc3339),
            next_tick_at: (vigy.enabled && !checkpoint.parked).then(|| rfc3339(checkpoint.due)),
            elsewhere: None,
            due_at: rfc3339(checkpoint.due),
        }
    }
}

impl From<adapter_tokio::Revision> for Revision {
    fn from(revision: adapter_tokio::Revision) -> Self {
        let adapter_tokio::Revision { number, declared_at, image, vigy } = revision;
        let (tick_interval_ms, schedule) = Schedule::of(&vigy.schedule);
        Self {
            revision: number,
            declared_at: rfc3339(declared_at),
            program: vigy.program,
            image: image.map(hex),
            tick_interval_ms,
            schedule,
            labels: vigy.labels.into(),
            on_action: vigy.on_action,
            allow: vigy.allow,
        }
    }
}

impl DeadLetter {
    /// A dead letter of the vigy `id`.
    #[must_use]
    pub fn new(id: VigyId, letter: Letter) -> Self {
        let Letter { key, kind, payload, message, at, attempts } = letter;
        // What is stored was data when it was queued.
        let payload = payload.and_then(|payload| postcard::from_bytes(&payload).ok());
        Self {
            key: key.to_string(),
            vigy_id: id.to_string(),
            kind: kind.name().to_owned(),
            payload: payload.as_ref().map_or(Value::Null, json::show),
            message,
            attempts,
            at: rfc3339(at),
        }
    }
}

/// A hash as hex digits.
fn hex(hash: [u8; 32]) -> String {
    blake3::Hash::from(hash).to_hex().to_string()
}

impl VigyState {
    /// The state of the vigy `id`.
    #[must_use]
    pub fn new(id: String, state: State) -> Self {
        let parts =
            |parts: Vec<(String, Data)>| -> Map<_, _> { parts.iter().map(|(key, value)| (key.clone(), json::show(value))).collect() };
        Self {
            vigy_id: id,
            desired: parts(state.desired),
            observed: parts(state.observed),
            pending: state.pending.into_iter().map(Into::into).collect(),
            captured_at: rfc3339(state.captured_at),
            kv: parts(state.kv),
            conditions: state.conditions.into_iter().map(Into::into).collect(),
            metrics: state.metrics.into_iter().map(|(name, value)| (name, json::show(&Data::Float(value)))).collect(),
        }
    }
}

impl From<adapter_tokio::Condition> for Condition {
    fn from(condition: adapter_tokio::Condition) -> Self {
        let adapter_tokio::Condition { name, status, reason, message, last_transition } = condition;
        Self { name, status: status.name().to_owned(), reason, message, last_transition_at: rfc3339(last_transition) }
    }
}
