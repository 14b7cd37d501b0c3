//! The API's shapes, as JSON carries them. Times are RFC 3339; fields that upstream's API does not have come after those that it has.

use std::collections::BTreeMap;

use adapter_tokio::{Registered, Run, RunAction, RunWrite, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vigy_core::record::{Place, Record};
use vigy_core::{TickInterval, Timestamp};
use vigy_lisp::Data;
use vigy_programs::json;

/// A registered vigy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Vigy {
    /// 16 hex digits.
    pub id: String,
    /// Unique.
    pub name: String,
    /// The program's text.
    pub program: String,
    /// Milliseconds between ticks.
    pub tick_interval_ms: u64,
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
    /// Ticks so far.
    pub ticks: u64,
    /// Failed ticks in a row.
    pub failures: u32,
    /// When the last tick began.
    pub last_tick_at: Option<String>,
    /// When the next tick is due; nothing while it is disabled.
    pub next_tick_at: Option<String>,
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
    #[serde(default = "default_interval")]
    pub tick_interval_ms: u64,
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

fn default_interval() -> u64 {
    TickInterval::default().as_millis()
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

/// An action and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReconcileAction {
    /// What is asked for.
    pub kind: String,
    /// With which payload.
    pub payload: Value,
    /// `ok`, `failed` or `skipped`; null while it is in flight.
    pub result: Option<String>,
    /// Details.
    pub message: Option<String>,
}

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VigyRun {
    /// `INCARNATION-TICK`.
    pub id: String,
    /// Whose run.
    pub vigy_id: String,
    /// When it began.
    pub started_at: String,
    /// When its last action had its outcome; null while one has none.
    pub ended_at: Option<String>,
    /// `ok` or `failed`.
    pub result: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Where in the program it failed, when that is known.
    #[serde(default)]
    pub place: Option<Place>,
    /// What it asked to have changed, in order; also of a failed run, which undoes none of it.
    #[serde(default)]
    pub writes: Vec<Write>,
    /// What it wanted done. Empty for a failed run, whose actions are dropped.
    pub actions: Vec<ReconcileAction>,
    /// Number of the tick, from 1.
    pub tick: u64,
    /// What it logged and printed, in order.
    pub logs: Vec<LogLine>,
    /// What it told, in order.
    pub events: Vec<ToldEvent>,
    /// Fuel used.
    pub fuel: u64,
    /// BLAKE3 of the program's image.
    pub program: Option<String>,
}

/// A write that a run asked for, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Write {
    /// What the receiver deduplicates by: `INCARNATION-TICK-INDEX`.
    pub key: String,
    /// The operation, as `k8s/patch-pvc`.
    pub operation: String,
    /// Its arguments: an array.
    pub arguments: Value,
    /// `ok`, or `failed` when it was refused; null when a crash cut the run there and it could not go on: it may have been done.
    pub result: Option<String>,
    /// Why it was refused.
    pub message: Option<String>,
}

/// A line a program logged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The line.
    pub message: String,
}

/// An event a program told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToldEvent {
    /// Its kind.
    pub kind: String,
    /// Details.
    pub message: String,
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
}

/// How many runs an [`Inspection`] holds: 5.
pub const INSPECTED_RUNS: usize = 5;

/// Something that happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
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
    /// The listener was too slow, and this many events are lost to it.
    Missed {
        /// How many.
        events: u64,
    },
}

/// A time as the API writes it.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let ms = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}

impl From<Registered> for Vigy {
    fn from(registered: Registered) -> Self {
        let Registered { id, vigy, revision, created_at, updated_at, checkpoint } = registered;
        Self {
            id: id.to_string(),
            name: vigy.name.to_string(),
            program: vigy.program,
            tick_interval_ms: vigy.schedule.interval().map_or(0, TickInterval::as_millis),
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
            ticks: checkpoint.ticks,
            failures: checkpoint.failures,
            last_tick_at: checkpoint.last.map(rfc3339),
            next_tick_at: (vigy.enabled && !checkpoint.parked).then(|| rfc3339(checkpoint.due)),
        }
    }
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

impl From<RunAction> for ReconcileAction {
    fn from(action: RunAction) -> Self {
        Self {
            kind: action.kind.name().to_owned(),
            payload: action.payload.as_ref().map_or(Value::Null, json::show),
            result: action.result.map(|result| result.name().to_owned()),
            message: Some(action.message).filter(|message| !message.is_empty()),
        }
    }
}

impl From<RunWrite> for Write {
    fn from(write: RunWrite) -> Self {
        Self {
            key: write.key.to_string(),
            operation: write.operation,
            arguments: json::show(&write.arguments),
            result: write.result.map(|result| result.name().to_owned()),
            message: Some(write.message).filter(|message| !message.is_empty()),
        }
    }
}

impl From<Run> for VigyRun {
    fn from(run: Run) -> Self {
        let program = Record::parse(&run.record).ok().map(|record| blake3::Hash::from(record.header().program).to_hex().to_string());
        Self {
            id: run.key.to_string(),
            vigy_id: run.vigy.to_string(),
            started_at: rfc3339(run.started_at),
            ended_at: run.ended_at.map(rfc3339),
            result: run.result.name().to_owned(),
            error: run.error,
            place: run.place,
            writes: run.writes.into_iter().map(Into::into).collect(),
            actions: run.actions.into_iter().map(Into::into).collect(),
            tick: run.key.tick,
            logs: run.logs.into_iter().map(|line| LogLine { level: line.level.name().to_owned(), message: line.message }).collect(),
            events: run.events.into_iter().map(|event| ToldEvent { kind: event.kind, message: event.message }).collect(),
            fuel: run.fuel,
            program,
        }
    }
}
