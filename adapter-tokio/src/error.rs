//! What can go wrong, one error per operation.

use std::path::PathBuf;

use vigy_core::{InvalidVigy, VigyId};
use vigy_lisp::CompileError;

/// A store that cannot be opened. Whatever the reason, the file is untouched.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store {path} is in use by {owner}", path = path.display(), owner = owner_name(*pid))]
    Busy {
        /// The store.
        path: PathBuf,
        /// Who has it, when that is known.
        pid: Option<u32>,
    },
    /// The file is no store.
    #[error("{path} is no vigy store: {reason}; choose another file", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The store was written by another version.
    #[error("the store {path} has format {found}, this version reads format {known}: use the vigy that wrote it, or another file", path = path.display())]
    Format {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format this version reads.
        known: u32,
    },
    /// The system refused.
    #[error("cannot open the store {path}: {source}", path = path.display())]
    Io {
        /// The store.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn owner_name(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The store failed: the disk is full, gone, or its content is damaged. Nothing of what failed was kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

/// A vigy that is not registered. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Its declaration is malformed.
    #[error(transparent)]
    Invalid(#[from] InvalidVigy),
    /// Its program does not compile.
    #[error("the program does not compile: {0}")]
    Program(CompileError),
    /// The host does not take it: an unknown handler, a missing capability.
    #[error("{0}")]
    Refused(String),
    /// There is no vigy of that name to change.
    #[error("there is no vigy `{0}`")]
    NotFound(String),
    /// Another name has the same id (one chance in 2^64): choose another name.
    #[error("the name's id is taken by `{0}`: choose another name")]
    Collision(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An operation on a vigy that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum VigyError {
    /// There is no such vigy.
    #[error("there is no vigy `{0}`")]
    NotFound(String),
    /// A prefix that several vigies share.
    #[error("`{prefix}` could be {}", candidates.join(" or "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// Who it could be.
        candidates: Vec<String>,
    },
    /// It is disabled: it ticks by force only.
    #[error("the vigy {0} is paused: resume it, or force the tick")]
    Paused(VigyId),
    /// It is for another host, by its label.
    #[error("the vigy {id} ticks on the host `{host}`, and not here")]
    Elsewhere {
        /// The vigy.
        id: VigyId,
        /// The host it is for.
        host: String,
    },
    /// The host cannot run it, for instance because its limits need more memory than there is.
    #[error("{0}")]
    Host(String),
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
