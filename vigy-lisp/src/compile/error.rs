//! Why a text is not a program.

use alloc::string::String;
use core::fmt;

use crate::machine::Tag;
use crate::span::Span;

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text cannot be read: unmatched delimiters, numbers that do not fit, …
    Reader,
    /// A name that nothing defines.
    Unbound,
    /// A function of the host whose capability is not granted.
    NotGranted,
    /// A known function with the wrong number of arguments.
    Arity,
    /// A form that is not written as it should be.
    Form,
    /// A macro failed, or rewrote too often.
    Macro,
    /// A module cannot be loaded.
    Module,
    /// The program is larger than an image can be.
    Limit,
}

/// Why a text is not a program, and where.
#[derive(Clone, Debug)]
pub struct CompileError {
    /// What kind of mistake it is.
    pub kind: ErrorKind,
    /// One line for people.
    pub message: String,
    /// Where it is.
    pub span: Span,
    pub(crate) tag: Tag,
}

impl CompileError {
    pub(crate) fn new(tag: Tag, span: Span, message: fmt::Arguments<'_>) -> Self {
        let kind = match tag {
            Tag::Reader => ErrorKind::Reader,
            Tag::UnboundSymbol => ErrorKind::Unbound,
            Tag::ArityMismatch => ErrorKind::Arity,
            Tag::BadSpecialForm => ErrorKind::Form,
            Tag::NotImplemented => ErrorKind::Limit,
            Tag::NotExported | Tag::NotDefined | Tag::ModuleNotFound | Tag::CircularRequire | Tag::ModuleDenied => ErrorKind::Module,
            _ => ErrorKind::Macro,
        };
        Self { kind, message: alloc::fmt::format(message), span, tag }
    }

    /// The tag of the error that a program would meet at run time.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        self.tag.text()
    }

    /// The error as people like it: file, line and column, the line itself, and a caret under the place.
    pub fn render<'a>(&'a self, name: &'a str, source: &'a str) -> impl fmt::Display + 'a {
        Rendered { error: self, name, source }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.span, self.message)
    }
}

impl core::error::Error for CompileError {}

struct Rendered<'a> {
    error: &'a CompileError,
    name: &'a str,
    source: &'a str,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.error.span;
        writeln!(f, "{}:{span}: {}", self.name, self.error.message)?;
        span.excerpt(self.source).fmt(f)
    }
}

/// The candidate that is most like `name`, when one is like it: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).clamp(1, 3);
    candidates.map(|c| (distance(name, c, most), c)).filter(|(d, _)| *d <= most).min().map(|(_, c)| c)
}

/// Letters to insert, delete or change to make one name the other; anything above `most` when there are more.
fn distance(a: &str, b: &str, most: usize) -> usize {
    if a.len().abs_diff(b.len()) > most * 4 {
        return most + 1;
    }
    let b: alloc::vec::Vec<char> = b.chars().collect();
    let mut row: alloc::vec::Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
