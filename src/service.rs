//! What can be done with vigies, whoever does it: the runtime in this process ([`crate::Local`]) or a daemon ([`crate::Remote`]). Every
//! surface (command line, REST, later ones) stands on this trait alone.
//!
//! A `vigy` argument is an id, a name, or an unambiguous prefix of one; a `run` is `INCARNATION-TICK`, or `VIGY@TICK`.

use std::path::Path;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::api::{
    Change, DeadLetter, Diff, INSPECTED_RUNS, Inspection, Redriven, RegisterVigy, Replay, ReplayOf, Revision, StoreFinding, Told,
    UpdateVigy, Vigy, VigyRun, VigyState, WhatIf,
};

/// Events, one after the other. It ends when the service does.
pub type Events = BoxStream<'static, Result<Told, Error>>;

/// The operations.
#[async_trait]
#[allow(clippy::missing_errors_doc, reason = "the kinds of `Error` say what they are for")]
pub trait Service: Send + Sync + 'static {
    /// Registers a vigy, or declares the one of that name anew: it keeps id, kv, history, time of creation and enabled state.
    async fn register(&self, vigy: RegisterVigy) -> Result<(Vigy, Change), Error>;
    /// Changes parts of a declaration.
    async fn update(&self, vigy: &str, changes: UpdateVigy) -> Result<Vigy, Error>;
    /// One vigy.
    async fn get(&self, vigy: &str) -> Result<Vigy, Error>;
    /// Those that a selector (`k=v k!=v k in (a,b) !k`) means, by name, at most `limit`.
    async fn list(&self, selector: &str, limit: Option<usize>) -> Result<Vec<Vigy>, Error>;
    /// What is known of its work between ticks.
    async fn state(&self, vigy: &str) -> Result<VigyState, Error>;
    /// Its last runs, newest first.
    async fn runs(&self, vigy: &str, limit: usize) -> Result<Vec<VigyRun>, Error>;
    /// Ticks it now, and waits until every action has its outcome. A paused one is ticked by `force` only.
    async fn tick(&self, vigy: &str, force: bool) -> Result<VigyRun, Error>;
    /// Lets it tick on its own. One that was parked is not any more.
    async fn enable(&self, vigy: &str) -> Result<Vigy, Error>;
    /// Stops it from ticking on its own.
    async fn disable(&self, vigy: &str) -> Result<Vigy, Error>;
    /// Removes it with its kv store and its history.
    async fn delete(&self, vigy: &str) -> Result<(), Error>;
    /// Its declarations, newest first.
    async fn revisions(&self, vigy: &str) -> Result<Vec<Revision>, Error>;
    /// Declares it as an earlier revision did, which makes a new one.
    async fn rollback(&self, vigy: &str, to: u64) -> Result<Vigy, Error>;
    /// The actions that failed for good, oldest first, of one vigy or of all.
    async fn dead_letters(&self, vigy: Option<&str>) -> Result<Vec<DeadLetter>, Error>;
    /// Carries out a dead letter once more, under its old key.
    async fn redrive(&self, key: &str) -> Result<Redriven, Error>;
    /// Discards a dead letter.
    async fn discard(&self, key: &str) -> Result<(), Error>;
    /// Evaluates a run again and compares it with its record.
    async fn replay(&self, run: &str, how: ReplayOf) -> Result<Replay, Error>;
    /// What another program would have done in a run.
    async fn what_if(&self, run: &str, how: WhatIf) -> Result<Diff, Error>;
    /// What is wrong with the store; nothing when it is whole.
    async fn check(&self) -> Result<Vec<StoreFinding>, Error>;
    /// Copies the store into a new file, while vigies go on ticking.
    async fn backup(&self, path: &Path) -> Result<(), Error>;
    /// What was done since the service started, as [`OPEN_METRICS`](crate::metrics::OPEN_METRICS).
    async fn metrics(&self) -> Result<String, Error>;
    /// Events of one vigy or of all: after the one with the number `since`, or from now on.
    async fn events(&self, vigy: Option<&str>, since: Option<u64>) -> Result<Events, Error>;

    /// Everything known of it.
    async fn inspect(&self, vigy: &str) -> Result<Inspection, Error> {
        let vigy = self.get(vigy).await?;
        let state = self.state(&vigy.id).await?;
        let runs = self.runs(&vigy.id, INSPECTED_RUNS).await?;
        let dead_letters = self.dead_letters(Some(&vigy.id)).await?;
        Ok(Inspection { vigy, state, runs, dead_letters })
    }
}

/// Why an operation did not happen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct Error {
    /// One line for people: what is wrong and what to do.
    pub error: String,
    /// What kind of trouble it is.
    pub kind: ErrorKind,
    /// More lines, as a program's line with a caret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The input is malformed.
    Invalid,
    /// The program does not compile.
    Program,
    /// Not over this connection.
    Forbidden,
    /// There is no such vigy.
    NotFound,
    /// Several vigies are meant.
    Ambiguous,
    /// Not as things stand: the vigy is paused, or is for another host, or the file is there already.
    Conflict,
    /// The input is too large.
    TooLarge,
    /// Nobody is there to do it, or is shutting down.
    Unavailable,
    /// The host could not.
    Failed,
}

impl Error {
    /// Trouble of a kind.
    pub fn new(kind: ErrorKind, error: impl ToString) -> Self {
        Self { error: error.to_string(), kind, detail: None }
    }

    /// Malformed input.
    pub fn invalid(error: impl ToString) -> Self {
        Self::new(ErrorKind::Invalid, error)
    }
}
