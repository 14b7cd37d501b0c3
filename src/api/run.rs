//! Runs, as JSON carries them.

use adapter_tokio::{Run, RunAction, RunWrite};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vigy_core::record::{Place, Record};
use vigy_programs::json;

use super::{hex, rfc3339};

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
        let program = Record::parse(&run.record).ok().map(|record| hex(record.header().program));
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
