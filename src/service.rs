//! What can be done with vigies, whoever does it: the runtime in this process ([`crate::Local`]) or a daemon ([`crate::Remote`]). Every
//! surface (command line, REST, later ones) stands on this trait alone.
//!
//! A `vigy` argument is an id, a name, or an unambiguous prefix of one.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::api::{Change, Event, INSPECTED_RUNS, Inspection, RegisterVigy, UpdateVigy, Vigy, VigyRun, VigyState};

/// Events from now on. It ends when the service does.
pub type Events = BoxStream<'static, Result<Event, Error>>;

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
    /// Those that a selector (`k=v,…`) means, by name, at most `limit`.
    async fn list(&self, selector: &str, limit: Option<usize>) -> Result<Vec<Vigy>, Error>;
    /// What is known of its work between ticks.
    async fn state(&self, vigy: &str) -> Result<VigyState, Error>;
    /// Its last runs, newest first.
    async fn runs(&self, vigy: &str, limit: usize) -> Result<Vec<VigyRun>, Error>;
    /// Ticks it now, enabled or not, and waits until every action has its outcome.
    async fn tick(&self, vigy: &str) -> Result<VigyRun, Error>;
    /// Lets it tick on its own.
    async fn enable(&self, vigy: &str) -> Result<Vigy, Error>;
    /// Stops it from ticking on its own.
    async fn disable(&self, vigy: &str) -> Result<Vigy, Error>;
    /// Removes it with its kv store and its history.
    async fn delete(&self, vigy: &str) -> Result<(), Error>;
    /// Events from now on, of one vigy or of all.
    async fn events(&self, vigy: Option<&str>) -> Result<Events, Error>;

    /// Everything known of it.
    async fn inspect(&self, vigy: &str) -> Result<Inspection, Error> {
        let vigy = self.get(vigy).await?;
        let state = self.state(&vigy.id).await?;
        let runs = self.runs(&vigy.id, INSPECTED_RUNS).await?;
        Ok(Inspection { vigy, state, runs })
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
