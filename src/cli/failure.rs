//! How a command ends when it does not do what was asked.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use vigy::service::{Error, ErrorKind};
use vigy::{NoWasm3, OpenError};

use super::print::{self, clean};

/// Exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Done = 0,
    /// It was tried and failed; a failed run too.
    Failed = 1,
    /// What was asked for makes no sense.
    Usage = 2,
    /// There is no such vigy.
    NotFound = 3,
    /// No daemon, or a store or a port that another process has.
    NoConnection = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Error,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl ToString) -> Self {
        let kind = match exit {
            Exit::Done | Exit::Failed => ErrorKind::Failed,
            Exit::Usage => ErrorKind::Invalid,
            Exit::NotFound => ErrorKind::NotFound,
            Exit::NoConnection => ErrorKind::Unavailable,
        };
        Self { exit, error: Error::new(kind, error) }
    }

    /// Says why, to people or to programs.
    pub(crate) fn report(&self, json: bool, out: &mut impl Write) -> ExitCode {
        if self.exit != Exit::Done {
            // Where errors cannot be written, nobody reads them.
            _ = self.write(json, out);
        }
        self.exit.into()
    }

    fn write(&self, json: bool, out: &mut impl Write) -> io::Result<()> {
        if json {
            return writeln!(out, "{}", serde_json::to_string(&self.error)?);
        }
        // The detail says all of it, and that it is an error.
        match &self.error.detail {
            Some(text) => text.trim_end().lines().try_for_each(|line| writeln!(out, "{}", clean(line))),
            None => print::error(out, self),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind {
            ErrorKind::Invalid | ErrorKind::Ambiguous | ErrorKind::TooLarge | ErrorKind::Forbidden => Exit::Usage,
            ErrorKind::Program | ErrorKind::Conflict | ErrorKind::Failed => Exit::Failed,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Unavailable => Exit::NoConnection,
        };
        Self { exit, error }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = if matches!(error, OpenError::Busy { .. }) { Exit::NoConnection } else { Exit::Failed };
        Self::new(exit, error)
    }
}

impl From<NoWasm3> for Failure {
    fn from(error: NoWasm3) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<io::Error> for Failure {
    /// Output that cannot be written. When the reader has left, as in `vigy list | head`, there is nothing more to do.
    fn from(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Failed };
        Self::new(exit, error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}
