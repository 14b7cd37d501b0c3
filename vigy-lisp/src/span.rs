//! Places in a program's text.

use core::fmt;

/// A stretch of source text: byte offsets, and the line and column (both from 1, columns in characters) of its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: u32,
    /// Byte offset behind the last byte.
    pub end: u32,
    /// Line of the start, from 1.
    pub line: u32,
    /// Column of the start in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Span {
    /// The line of `source` where the place is, with carets under it. Nothing, when `source` has no such line.
    #[must_use]
    pub const fn excerpt<'s>(&self, source: &'s str) -> Excerpt<'s> {
        Excerpt { span: *self, source }
    }
}

/// A line of a text, with carets under a place in it. Made by [`Span::excerpt`].
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'s> {
    span: Span,
    source: &'s str,
}

/// Columns of the line number, unless the formatter says otherwise.
const MARGIN: usize = 4;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { start, end, line: number, column } = self.span;
        let Some(line) = self.source.lines().nth(number.saturating_sub(1) as usize) else {
            return Ok(());
        };
        let margin = f.width().unwrap_or(MARGIN);
        writeln!(f, "{number:margin$} | {line}")?;
        write!(f, "{:margin$} | ", "")?;
        for c in line.chars().take(column.saturating_sub(1) as usize) {
            f.write_str(if c == '\t' { "\t" } else { " " })?;
        }
        let marked = self.source.get(start as usize..end as usize).and_then(|text| text.lines().next());
        let carets = marked.map_or(1, |text| text.chars().count().max(1));
        (0..carets).try_for_each(|_| f.write_str("^"))
    }
}
