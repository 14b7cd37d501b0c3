//! Diagnostics as people read them.

use core::fmt::{self, Write};

use unicode_width::UnicodeWidthChar;

use super::{Diagnostic, Severity};
use crate::span::Span;

/// A diagnostic as people like it. Made by [`Diagnostic::render`].
#[derive(Clone, Copy, Debug)]
pub struct Rendered<'a> {
    diagnostic: &'a Diagnostic,
    name: &'a str,
    source: &'a str,
    coloured: bool,
}

impl<'a> Rendered<'a> {
    pub(super) const fn new(diagnostic: &'a Diagnostic, name: &'a str, source: &'a str) -> Self {
        Self { diagnostic, name, source, coloured: false }
    }

    /// With colours, as ANSI escape sequences.
    #[must_use]
    pub const fn coloured(mut self, coloured: bool) -> Self {
        self.coloured = coloured;
        self
    }
}

// SGR sequences.
const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[1;33m";
const CYAN: &str = "\u{1b}[1;36m";
const BLUE: &str = "\u{1b}[1;34m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// Columns that a tab takes.
const TAB: usize = 4;
/// Columns of a line that are shown, and how many of them lie in front of the place: a line may be very long.
const SHOWN: usize = 140;
const IN_FRONT: usize = 60;
/// A place of more lines than this is shown by its first two and its last.
const LINES: usize = 4;

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.diagnostic;
        let colour = if d.severity == Severity::Error { RED } else { YELLOW };
        self.paint(f, colour, format_args!("{}[{}]", d.severity.name(), d.code))?;
        self.paint(f, BOLD, format_args!(": {}", Clean(&d.message)))?;
        // The numbers of all lines that are shown stand below each other.
        let spans = d.span.iter().chain(d.notes.iter().filter_map(|note| note.span.as_ref()));
        let width = spans.map(|span| digits(self.last_line(*span))).max().unwrap_or(1);
        let suggestion = d.suggestion.as_deref().map(|name| alloc::format!("did you mean `{}`?", Clean(name)));
        if let Some(span) = d.span {
            let label = d.label.as_deref().or(suggestion.as_deref()).unwrap_or("");
            self.place(f, span, width, colour, label)?;
        }
        // What is said at the place is not said again.
        let below = suggestion.as_deref().filter(|_| d.label.is_some() || d.span.is_none());
        for help in d.help.as_deref().into_iter().chain(below) {
            write!(f, "\n{:width$} ", "")?;
            self.paint(f, BLUE, format_args!("="))?;
            self.paint(f, BOLD, format_args!(" help"))?;
            write!(f, ": {}", Clean(help))?;
        }
        for note in &d.notes {
            f.write_char('\n')?;
            self.paint(f, CYAN, format_args!("note"))?;
            write!(f, ": {}", Clean(&note.message))?;
            if let Some(span) = note.span {
                self.place(f, span, width, CYAN, "")?;
            }
        }
        self.calls(f)
    }
}

impl Rendered<'_> {
    fn paint(&self, f: &mut fmt::Formatter<'_>, style: &str, text: fmt::Arguments<'_>) -> fmt::Result {
        if self.coloured { write!(f, "{style}{text}{PLAIN}") } else { f.write_fmt(text) }
    }

    /// Who called whom. A program that calls nothing has nothing to tell.
    fn calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = &self.diagnostic.calls;
        if let [only] = &calls[..]
            && only.program
        {
            return Ok(());
        }
        for (i, call) in calls.iter().enumerate() {
            f.write_str(if i == 0 { "\n  in " } else { "\n  called from " })?;
            match &call.function {
                _ if call.program => f.write_str("the program")?,
                Some(name) => self.paint(f, BOLD, format_args!("{}", Clean(name)))?,
                None => f.write_str("a function without a name")?,
            }
            write!(f, ", {}:{}", Clean(self.file(call.span)), call.span)?;
        }
        f.write_str(if calls.len() == crate::machine::CHAIN { "\n  called from …" } else { "" })
    }

    /// The text that a place lies in, when it is at hand.
    fn text(&self) -> Option<&str> {
        self.diagnostic.module.is_none().then_some(self.source)
    }

    /// Whether a place is in the program's own text: the offsets of its modules lie behind those.
    fn in_source(&self, span: Span) -> bool {
        span.start as usize <= self.source.len()
    }

    /// The name of the file where a place is. A run does not know the names of its modules.
    fn file(&self, span: Span) -> &str {
        match &self.diagnostic.module {
            Some(module) => module,
            None if self.in_source(span) => self.name,
            None => "(module)",
        }
    }

    fn last_line(&self, span: Span) -> u32 {
        let more = self.marked(span).map_or(0, |text| text.matches('\n').count());
        span.line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
    }

    /// The text at a place, as far as its offsets agree with its line.
    fn marked(&self, span: Span) -> Option<&str> {
        let source = self.text()?;
        let (start, end) = (span.start as usize, span.end as usize);
        let text = source.get(start..end)?;
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        (source.lines().nth(span.line.saturating_sub(1) as usize)?.as_ptr() == source[line_start..].as_ptr()).then_some(text)
    }

    fn gutter(&self, f: &mut fmt::Formatter<'_>, width: usize, number: Option<u32>) -> fmt::Result {
        match number {
            Some(number) => self.paint(f, BLUE, format_args!("\n{number:width$} |")),
            None => self.paint(f, BLUE, format_args!("\n{:width$} |", "")),
        }
    }

    /// Where something is: file, line, column, and the text there with a mark under the place.
    fn place(&self, f: &mut fmt::Formatter<'_>, span: Span, width: usize, colour: &str, label: &str) -> fmt::Result {
        self.paint(f, BLUE, format_args!("\n{:width$}-->", ""))?;
        write!(f, " {}:{span}", Clean(self.file(span)))?;
        let text = self.text().filter(|_| self.in_source(span));
        let Some(line) = text.and_then(|text| text.lines().nth(span.line.saturating_sub(1) as usize)) else {
            return if label.is_empty() { Ok(()) } else { write!(f, " {}", Clean(label)) };
        };
        let marked = self.marked(span).unwrap_or("");
        let start = match self.marked(span) {
            // Counted anew: a column is not kept beyond some thousands.
            Some(_) => self.source[..span.start as usize].rfind('\n').map_or(span.start as usize, |at| span.start as usize - at - 1),
            None => line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(line.len(), |(at, _)| at),
        };
        let start = start.min(line.len());
        self.gutter(f, width, None)?;
        let lines = marked.lines().count();
        if lines <= 1 {
            self.gutter(f, width, Some(span.line))?;
            // A window of the line, around the place.
            let (from, cut) = window(line, start);
            let shown = Shown { text: &line[from..], most: SHOWN };
            write!(f, " {}{shown}", if cut { "…" } else { "" })?;
            self.gutter(f, width, None)?;
            let before = columns(&line[from..start]) + usize::from(cut);
            let carets = columns(marked).clamp(1, SHOWN.saturating_sub(before).max(1));
            write!(f, " {:before$}", "")?;
            self.paint(f, colour, format_args!("{:^<carets$}", ""))?;
        } else {
            self.several(f, span, width, colour, marked, start)?;
        }
        if label.is_empty() { Ok(()) } else { self.paint(f, colour, format_args!(" {}", Clean(label))) }
    }

    /// A place of several lines, with a bar at their left.
    fn several(&self, f: &mut fmt::Formatter<'_>, span: Span, width: usize, colour: &str, marked: &str, start: usize) -> fmt::Result {
        let count = marked.lines().count();
        let first = span.line.saturating_sub(1) as usize;
        for (i, line) in self.source.lines().skip(first).take(count).enumerate() {
            if count > LINES && i >= 2 && i + 1 < count {
                if i == 2 {
                    f.write_str("\n...")?;
                    write!(f, "{:1$} ", "", width.saturating_sub(1))?;
                    self.paint(f, colour, format_args!("|"))?;
                }
                continue;
            }
            self.gutter(f, width, Some(span.line + i as u32))?;
            let opens = i == 0 && line[..start].trim_start().is_empty();
            f.write_char(' ')?;
            match (i, opens) {
                (0, true) => self.paint(f, colour, format_args!("/"))?,
                (0, false) => f.write_char(' ')?,
                _ => self.paint(f, colour, format_args!("|"))?,
            }
            write!(f, " {}", Shown { text: line, most: SHOWN })?;
            if i == 0 && !opens {
                self.gutter(f, width, None)?;
                self.paint(f, colour, format_args!("  {:_<1$}^", "", columns(&line[..start]) + 1))?;
            }
        }
        let last = columns(marked.lines().last().unwrap_or("")).min(SHOWN);
        self.gutter(f, width, None)?;
        self.paint(f, colour, format_args!(" |{:_<last$}^", ""))
    }
}

/// Where the part of a line begins that is shown, and whether that cuts something off.
fn window(line: &str, start: usize) -> (usize, bool) {
    if columns(&line[..start]) <= SHOWN - IN_FRONT {
        return (0, false);
    }
    let back = line[..start].char_indices().rev().nth(IN_FRONT - 1);
    back.map_or((0, false), |(at, _)| (at, at > 0))
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// What is shown of a character: nothing that would move the cursor or turn the text around.
fn shown(c: char) -> char {
    match c {
        '\u{7f}' => '\u{2421}',
        c if (c as u32) < 0x20 => char::from_u32(0x2400 + c as u32).unwrap_or('?'),
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

fn width(c: char) -> usize {
    if c == '\t' { TAB } else { shown(c).width().unwrap_or(1) }
}

/// Columns that a text takes.
fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// A line of a text: tabs as spaces, at most so many columns.
struct Shown<'a> {
    text: &'a str,
    most: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.most;
        for c in self.text.trim_end().chars() {
            let Some(rest) = left.checked_sub(width(c)) else { return f.write_char('…') };
            left = rest;
            if c == '\t' { write!(f, "{:TAB$}", "")? } else { f.write_char(shown(c))? }
        }
        Ok(())
    }
}

/// A text that does nothing to a terminal.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(shown(c)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;
    use alloc::string::{String, ToString};

    /// The text under the heading when `marked` in `source` is wrong.
    fn place(source: &str, marked: &str) -> String {
        let start = source.find(marked).expect("the text has it");
        let before = &source[..start];
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u32 + 1;
        let span = Span { start: start as u32, end: (start + marked.len()) as u32, line, column };
        let d = Diagnostic::new(Code::UnknownName, Some(span), "m");
        let text = d.render("f", source).to_string();
        text.split_once("|\n").expect("an excerpt").1.to_string()
    }

    #[test]
    fn the_caret_is_under_the_place() {
        assert_eq!(place("(a b c)", "b"), "1 | (a b c)\n  |    ^");
        assert_eq!(place("(a\n  (long name))", "long"), "2 |   (long name))\n  |    ^^^^");
        assert_eq!(place("\t(a b)", "b"), "1 |     (a b)\n  |        ^", "a tab is four columns");
        assert_eq!(place("(日本 b)", "b"), "1 | (日本 b)\n  |       ^", "wide characters are two columns");
        assert_eq!(place("(e\u{301} b)", "b"), "1 | (e\u{301} b)\n  |    ^", "a combining mark is none");
        assert_eq!(place("(\"\u{1b}[2J\" b)", "b"), "1 | (\"␛[2J\" b)\n  |         ^", "nothing reaches a terminal as a command");
    }

    #[test]
    fn places_of_several_lines_have_a_bar() {
        assert_eq!(place("(a\n b)", "(a\n b)"), "1 | / (a\n2 | |  b)\n  | |___^");
        assert_eq!(place("(x (a\n b))", "(a\n b)"), "1 |   (x (a\n  |  ____^\n2 | |  b))\n  | |___^");
        assert_eq!(place("(a\n b\n c\n d\n e)", "(a\n b\n c\n d\n e)"), "1 | / (a\n2 | |  b\n... |\n5 | |  e)\n  | |___^");
    }

    #[test]
    fn of_a_very_long_line_a_part_is_shown() {
        let line = alloc::format!("{}here{}", "x ".repeat(3_000), " y".repeat(3_000));
        let shown = place(&line, "here");
        let (text, carets) = shown.split_once('\n').expect("two lines");
        assert!(text.chars().count() < 160, "{text}");
        assert_eq!(text.split("here").next().map(|t| t.chars().count()), carets.find('^'));
    }

    #[test]
    fn a_place_that_is_not_in_the_text_has_no_excerpt() {
        let span = Span { start: 5, end: 9, line: 3, column: 7 };
        let d = Diagnostic::new(Code::UnknownName, Some(span), "m");
        assert_eq!(d.render("f", "(a) (b)\n").to_string(), "error[E0012]: m\n --> f:3:7");
        let d = Diagnostic { module: Some("lib".into()), ..d };
        assert_eq!(d.render("f", "(a)\n\n(b c d e)").to_string(), "error[E0012]: m\n --> lib:3:7");
    }
}
