//! Why a text is not a program.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::shapes;
use crate::diagnostic::{Code, Diagnostic, MAX_DIAGNOSTICS};
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
    /// All mistakes that were found, in the order of the text; at most [`MAX_DIAGNOSTICS`]. The first is this one.
    pub diagnostics: Vec<Diagnostic>,
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
        let message = alloc::fmt::format(message);
        let diagnostics = alloc::vec![Diagnostic::new(Code::of_mistake(tag), Some(span), &message)];
        Self { kind, message, span, diagnostics, tag }
    }

    /// The same error with a code that says more than its tag.
    pub(crate) fn coded(mut self, code: Code) -> Self {
        if let Some(own) = self.diagnostics.first_mut() {
            own.code = code;
        }
        self
    }

    /// The same error with more said about it.
    pub(crate) fn with(mut self, more: impl FnOnce(Diagnostic) -> Diagnostic) -> Self {
        if let Some(own) = self.diagnostics.pop() {
            self.diagnostics.push(more(own));
        }
        self
    }

    /// The same error, with how `form` is written.
    pub(crate) fn shaped(self, form: &str) -> Self {
        match shapes::of(form) {
            Some(shape) => self.with(|d| d.help(format_args!("it is written `{shape}`"))),
            None => self,
        }
    }

    /// What the reader found.
    pub(crate) fn of_reading(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| d.span.map(|span| span.start));
        let first = diagnostics.first();
        let (message, span) = first.map_or_else(Default::default, |d| (d.message.clone(), d.span.unwrap_or_default()));
        Self { kind: ErrorKind::Reader, message, span, diagnostics, tag: Tag::Reader }
    }

    /// One error for all of them; `None` without any.
    pub(crate) fn all(mut errors: Vec<Self>) -> Option<Self> {
        // Stable: what is found at one place stays in order. Modules stand where they were read, behind the program.
        errors.sort_by_key(|e| (e.diagnostics.first().is_some_and(|d| d.module.is_some()), e.span.start));
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        first.diagnostics.extend(errors.flat_map(|e| e.diagnostics));
        first.diagnostics.truncate(MAX_DIAGNOSTICS);
        Some(first)
    }

    /// The tag of the error that a program would meet at run time.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        self.tag.text()
    }

    /// All that is wrong, as people like it: see [`Diagnostic::render`].
    pub fn render<'a>(&'a self, name: &'a str, source: &'a str) -> impl fmt::Display + 'a {
        All { diagnostics: &self.diagnostics, name, source }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnostics.first() {
            Some(own) => own.fmt(f),
            None => write!(f, "{}: {}", self.span, self.message),
        }
    }
}

impl core::error::Error for CompileError {}

struct All<'a> {
    diagnostics: &'a [Diagnostic],
    name: &'a str,
    source: &'a str,
}

impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.diagnostics.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "\n\n" })?;
            d.render(self.name, self.source).fmt(f)?;
        }
        Ok(())
    }
}

/// The candidate that is most like `name`, when one is like it: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = name.chars().count();
    let most = (letters / 3).clamp(1, 3);
    // In a short name, another letter is another name; a letter too many, too few or swapped is not.
    let same = |c: &str| letters >= 4 || c.chars().count() != letters || sorted(c) == sorted(name);
    let near = candidates.filter(|c| *c != name && same(c)).map(|c| (distance(name, c, most), c));
    near.filter(|(d, c)| *d <= most && *d < c.chars().count()).min().map(|(_, c)| c)
}

fn sorted(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters
}

/// Letters to insert, delete, change, or to swap with their neighbour, to make one name the other; anything above `most` when there are more.
fn distance(a: &str, b: &str, most: usize) -> usize {
    if a.len().abs_diff(b.len()) > most * 4 {
        return most + 1;
    }
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    // The rows of the table for the last two letters, and for this one.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, x) in a.iter().enumerate() {
        let mut row = alloc::vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised() {
        let near = |name| nearest(name, ["length", "car", "cdr", "+", "filter", "list"].into_iter());
        assert_eq!(near("lenght"), Some("length"));
        assert_eq!(near("acr"), Some("car"));
        assert_eq!(near("fliter"), Some("filter"));
        assert_eq!(near("lists"), Some("list"));
        assert_eq!(near("cat"), None, "that is another name");
        assert_eq!(near("x"), None, "nothing of it is right");
        assert_eq!(near("elephant"), None);
    }
}
