//! Whom a command talks to: the daemon when one is up, else the store itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vigy::service::Service;
use vigy::{Builder, Local, OpenError, Platform, Remote, RuntimeHandle, socket};

use super::failure::{Exit, Failure};

/// How long a command waits for a store that another process has: 5 seconds.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How long it waits before it looks for a daemon again: whoever has the store may be about to listen.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long a command takes at most to close its store.
const CLOSE: Duration = Duration::from_secs(10);

pub(crate) enum Connection {
    Daemon(Remote),
    Store(Local),
}

/// The daemon, or the store by itself.
pub(crate) async fn connect(store: &Path) -> Result<Connection, Failure> {
    let platform = || RuntimeHandle::builder().effects(Arc::new(Platform::default()));
    let socket = socket::path(store);
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        if socket::is_up(&socket).await {
            return Ok(Connection::Daemon(Remote::new(&socket)?));
        }
        match platform().scheduling(false).lock_wait(LOOK_AGAIN).open(store).await {
            Ok(runtime) => return Ok(Connection::Store(Local::new(runtime))),
            Err(OpenError::Busy { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The store, for a runtime that no daemon is: with other effects, or another engine.
pub(crate) async fn own(store: &Path, builder: Builder) -> Result<Connection, Failure> {
    let runtime = builder.scheduling(false).lock_wait(LOCK_WAIT).open(store).await?;
    Ok(Connection::Store(Local::new(runtime)))
}

impl Connection {
    pub(crate) fn service(&self) -> &dyn Service {
        match self {
            Self::Daemon(remote) => remote,
            Self::Store(local) => local,
        }
    }

    /// Closes the store, whatever came of the command.
    pub(crate) async fn finish(&self, done: Result<Exit, Failure>) -> Result<Exit, Failure> {
        if let Self::Store(local) = self {
            local.runtime().shutdown(CLOSE).await;
        }
        done
    }
}
