//! Why a script does not do what its host wants.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::ConvertError;
use crate::compile::CompileError;
use crate::image::Program;
use crate::machine::Fault;

/// Why a script did not load, run, or give what was asked for. Its text is for people, with the place in the program where there is one;
/// `{:?}` is the same, so that `fn main() -> Result<(), ScriptError>` shows it well.
#[derive(Clone)]
#[non_exhaustive]
pub enum ScriptError {
    /// The text is no program, or uses what is not granted.
    Refused {
        /// What is wrong.
        error: CompileError,
        /// The same with the line of the program and a caret.
        rendered: String,
    },
    /// The run failed.
    Failed {
        /// How.
        fault: Box<Fault>,
        /// The same with the lines of the program, carets and the calls that led there.
        rendered: String,
    },
    /// The script has no function of that name.
    NoFunction {
        /// The name.
        name: String,
        /// A name like it that there is.
        near: Option<String>,
    },
    /// The script defines nothing of that name.
    NotDefined {
        /// The name.
        name: String,
    },
    /// The top level of the script has not run: nothing is defined yet.
    NotRun,
    /// No run is under way: nothing can be stepped or answered.
    NotRunning,
    /// Arguments or a result do not fit the types asked for.
    Convert(ConvertError),
}

impl ScriptError {
    /// The fault of a failed run.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        if let Self::Failed { fault, .. } = self { Some(fault) } else { None }
    }

    pub(super) fn refused(error: CompileError, name: &str, source: &str) -> Self {
        let rendered = alloc::format!("{}", error.render(name, source));
        Self::Refused { error, rendered }
    }

    #[cold]
    pub(super) fn failed(fault: Fault, program: Program<'_>, name: &str, source: &str) -> Self {
        let rendered = alloc::format!("{}", fault.diagnostic(program).render(name, source));
        Self::Failed { fault: Box::new(fault), rendered }
    }
}

impl From<ConvertError> for ScriptError {
    fn from(error: ConvertError) -> Self {
        Self::Convert(error)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { rendered, .. } | Self::Failed { rendered, .. } => f.write_str(rendered),
            Self::NoFunction { name, near: Some(near) } => write!(f, "the script has no function `{name}`; did you mean `{near}`?"),
            Self::NoFunction { name, near: None } => write!(f, "the script has no function `{name}`"),
            Self::NotDefined { name } => write!(f, "the script defines no `{name}`"),
            Self::NotRun => f.write_str("the top level of the script has not run yet"),
            Self::NotRunning => f.write_str("no run of the script is under way"),
            Self::Convert(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for ScriptError {}
