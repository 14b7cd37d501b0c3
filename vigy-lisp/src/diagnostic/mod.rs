//! What is wrong with a program, said to people and to tools: by the reader, the compiler and the machine alike.

mod codes;
mod render;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Serialize, Serializer};

pub use codes::Code;
pub use render::Rendered;

use crate::image::Program;
use crate::machine::{Fault, FaultKind};
use crate::span::Span;

/// Errors, and likewise warnings, that are told of one text; further ones are not: 50.
pub const MAX_DIAGNOSTICS: usize = 50;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The program does not run, or did not end well.
    Error,
    /// The program runs, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something that is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Which mistake it is: `vigy explain` tells more.
    #[serde(serialize_with = "as_text")]
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One line for people.
    pub message: String,
    /// The module where it is, when it is not the program itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Where it is, when the place is in the text.
    pub span: Option<Span>,
    /// What is said right at the place: what was expected there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What the text at the place was perhaps meant to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What else helps to understand it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// The calls that were not over, innermost first, when a run failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

/// A call that was not over when a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The name of the function, when it has one.
    pub function: Option<String>,
    /// Whether it is no function, but the program itself.
    pub program: bool,
    /// How far it was.
    pub span: Span,
}

/// Something beside a diagnostic that helps to understand it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// One line for people.
    pub message: String,
    /// The place that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

fn as_text<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.text())
}

impl Diagnostic {
    /// A diagnostic with nothing but a message. How bad it is follows from the code.
    #[must_use]
    pub fn new(code: Code, span: Option<Span>, message: impl fmt::Display) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: alloc::format!("{message}"),
            module: None,
            // A place without a line is none.
            span: span.filter(|span| span.line > 0),
            label: None,
            help: None,
            suggestion: None,
            notes: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// With something said right at the place.
    #[must_use]
    pub fn label(mut self, label: impl fmt::Display) -> Self {
        self.label = Some(alloc::format!("{label}"));
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(alloc::format!("{help}"));
        self
    }

    /// With what was perhaps meant.
    #[must_use]
    pub fn meant(mut self, name: Option<&str>) -> Self {
        self.suggestion = name.map(String::from);
        self
    }

    /// With something else that helps to understand it.
    #[must_use]
    pub fn note(mut self, message: impl fmt::Display, span: Option<Span>) -> Self {
        self.notes.push(Note { message: alloc::format!("{message}"), span: span.filter(|span| span.line > 0) });
        self
    }

    /// The diagnostic as people like it: what is wrong and where, the text with a mark under the place, what to do. `name` and `source` are
    /// those of the program; text of a module is not shown. Ends without a line break.
    #[must_use]
    pub const fn render<'a>(&'a self, name: &'a str, source: &'a str) -> Rendered<'a> {
        Rendered::new(self, name, source)
    }
}

/// On one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(module) = &self.module {
            write!(f, "{module}:")?;
        }
        if let Some(span) = self.span {
            write!(f, "{span}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

impl<'i> Program<'i> {
    /// The name of a function, by the number that a [`crate::Frame`] has of it; nothing for one without a name.
    #[must_use]
    pub fn function_name(&self, number: u32) -> Option<&'i str> {
        if number as usize >= self.function_count() {
            return None;
        }
        let name = self.function(number).name;
        ((name as usize) < self.names.len()).then(|| self.names.text(name))
    }
}

impl Fault {
    /// The fault as a diagnostic, with the calls that led there. `program` is the one that ran.
    #[must_use]
    pub fn diagnostic(&self, program: Program<'_>) -> Diagnostic {
        let code = Code::of_fault(&self.kind);
        let mut d = match &self.kind {
            // What a program throws says by itself what it is.
            FaultKind::Raised { .. } if code == Code::Thrown => Diagnostic::new(code, self.span, &self.message),
            kind => Diagnostic::new(code, self.span, format_args!("{}: {}", kind.name(), self.message)),
        };
        d.calls.extend(self.chain.iter().map(|frame| Call {
            function: program.function_name(frame.function).map(String::from),
            program: frame.function == 0,
            span: frame.span,
        }));
        d
    }
}
