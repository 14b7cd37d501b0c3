//! Text → data. One pass, no recursion; every datum knows its place.

mod datum;
mod token;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::compile::CompileLimits;
use crate::diagnostic::{Code, Diagnostic, MAX_DIAGNOSTICS};

pub(crate) use datum::{Arena, Datum, Id, Interner, Shape, Sym};
pub use token::{Token, TokenKind, is_unfinished, tokens};

use crate::number::{self, Parsed};
use crate::span::Span;

/// Where the reader is.
struct Cursor<'s> {
    text: &'s str,
    at: usize,
    /// What the offset of the first byte is.
    base: u32,
    line: u32,
    /// Where the line would have begun if every character in it were one byte: so only the others need counting.
    line_start: usize,
}

impl Cursor<'_> {
    #[inline]
    fn peek(&self) -> Option<char> {
        match self.text.as_bytes().get(self.at)? {
            byte if byte.is_ascii() => Some(char::from(*byte)),
            _ => self.rest().chars().next(),
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    #[inline]
    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line_start += c.len_utf8() - 1;
        if c == '\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        Some(c)
    }

    /// Passes what `accept` takes, to the first character that it does not.
    #[inline]
    fn skip(&mut self, accept: impl Fn(char) -> bool) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !byte.is_ascii() {
                if !self.peek().is_some_and(&accept) {
                    return;
                }
                self.next();
                continue;
            }
            if !accept(char::from(*byte)) {
                return;
            }
            self.at += 1;
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.at;
            }
        }
    }

    fn offset(&self) -> u32 {
        self.base.saturating_add(self.at as u32)
    }

    fn place(&self) -> Span {
        Span { start: self.offset(), end: self.offset(), line: self.line, column: (self.at - self.line_start) as u32 + 1 }
    }

    fn to_here(&self, from: Span) -> Span {
        Span { end: self.offset(), ..from }
    }
}

/// What encloses the datum that is being read.
enum Open {
    List { shape: Shape, span: Span, first: usize },
    Prefix { name: &'static str, span: Span },
    Skip { span: Span },
}

fn closes(shape: Shape) -> char {
    match shape {
        Shape::Paren => ')',
        Shape::Bracket => ']',
        Shape::Brace => '}',
    }
}

/// What ends a name or a number, among the bytes of ASCII.
const DELIMITERS: [bool; 128] = {
    let mut delimiters = [false; 128];
    let mut rest: &[u8] = b"()[]{}'`,\";\t\n\x0b\x0c\r ";
    while let Some((byte, more)) = rest.split_first() {
        delimiters[*byte as usize] = true;
        rest = more;
    }
    delimiters
};

fn is_delimiter(c: char) -> bool {
    DELIMITERS.get(c as usize).copied().unwrap_or_else(|| c.is_whitespace())
}

/// All data of `text`, in order, when it keeps to the limits; or everything that is wrong with it. What is wrong only with itself does not
/// keep the rest from being read. Offsets are counted from `base` on, so that those of several texts differ.
pub(crate) fn read(text: &str, base: u32, limits: &CompileLimits, arena: &mut Arena) -> Result<Vec<Id>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    match read_all(text, base, limits, arena, &mut errors) {
        Ok(data) if errors.is_empty() => Ok(data),
        Ok(_) => Err(errors),
        Err(last) => {
            errors.push(*last);
            Err(errors)
        }
    }
}

fn read_all(
    text: &str,
    base: u32,
    limits: &CompileLimits,
    arena: &mut Arena,
    errors: &mut Vec<Diagnostic>,
) -> Result<Vec<Id>, Box<Diagnostic>> {
    let CompileLimits { text_bytes: max_bytes, nesting: max_nesting, .. } = *limits;
    let mut c = Cursor { text, at: 0, base, line: 1, line_start: 0 };
    if text.len() > max_bytes as usize {
        return Err(Box::new(error(Code::TextLength, c.place(), format_args!("the text is longer than {max_bytes} bytes"))));
    }
    if text.starts_with("#!") {
        c.skip(|c| c != '\n');
    }
    arena.reserve(text.len() / 2);
    let mut open: Vec<Open> = Vec::new();
    let mut done: Vec<Id> = Vec::new();
    let mut depth = 0u32;
    // Where a list opens at the left margin within another one: there somebody began something new. And the list that was open then.
    let mut margin: Option<(Shape, Span, Span)> = None;
    loop {
        c.skip(char::is_whitespace);
        let Some(next) = c.peek() else { break };
        let (begin, from) = (c.at, c.place());
        if errors.len() >= MAX_DIAGNOSTICS {
            break;
        }
        let datum = match next {
            ';' => {
                c.skip(|c| c != '\n');
                continue;
            }
            '#' if c.rest().starts_with("#;") => {
                c.next();
                c.next();
                open.push(Open::Skip { span: c.to_here(from) });
                continue;
            }
            '#' if c.rest().starts_with("#|") => {
                block_comment(&mut c, from)?;
                continue;
            }
            '(' | '[' | '{' => {
                c.next();
                depth += 1;
                if depth > max_nesting {
                    return Err(Box::new(error(Code::Nesting, c.to_here(from), format_args!("nested deeper than {max_nesting}"))));
                }
                if open.is_empty() {
                    margin = None;
                } else if let (Some(Open::List { shape, span, .. }), 1, None) = (open.last(), from.column, margin) {
                    margin = Some((*shape, *span, c.to_here(from)));
                }
                let shape = match next {
                    '(' => Shape::Paren,
                    '[' => Shape::Bracket,
                    _ => Shape::Brace,
                };
                open.push(Open::List { shape, span: from, first: done.len() });
                continue;
            }
            ')' | ']' | '}' => {
                c.next();
                while let Some(Open::Prefix { span, .. } | Open::Skip { span }) = open.last() {
                    errors.push(nothing_follows(*span));
                    depth -= u32::from(matches!(open.pop(), Some(Open::Prefix { .. })));
                }
                let Some(Open::List { shape, span, first }) = open.pop() else {
                    errors.push(error(Code::Unopened, c.to_here(from), format_args!("unmatched `{next}`")).label("this closes nothing"));
                    continue;
                };
                depth -= 1;
                let wanted = closes(shape);
                if wanted != next {
                    let opener = Span { end: span.start + 1, ..span };
                    let wrong = error(Code::Mismatched, c.to_here(from), format_args!("`{next}` where `{wanted}` is expected"));
                    if errors.last().is_none_or(|e| e.span != wrong.span) {
                        errors.push(wrong.label(format_args!("`{wanted}` is expected")).note("this is what it would close", Some(opener)));
                    }
                    // Perhaps it closes a list further out; then it ends all lists in between.
                    if open.iter().any(|o| matches!(o, Open::List { shape, .. } if closes(*shape) == next)) {
                        c.at = begin;
                    }
                }
                let span = c.to_here(span);
                if wanted == next && shape == Shape::Brace && !(done.len() - first).is_multiple_of(2) {
                    let wrong = error(Code::OddMap, span, format_args!("a map with a key without a value"));
                    errors.push(wrong.help("`{key value …}` has an even number of parts"));
                }
                let id = arena.list(&done[first..], shape, span);
                done.truncate(first);
                id
            }
            '\'' | '`' | ',' => {
                c.next();
                let in_brackets = open.iter().rev().find_map(|o| match o {
                    Open::List { shape, .. } => Some(*shape != Shape::Paren),
                    _ => None,
                });
                if next == ',' && in_brackets == Some(true) && c.peek().is_none_or(char::is_whitespace) {
                    continue;
                }
                let name = match next {
                    '\'' => "quote",
                    '`' => "quasiquote",
                    _ if c.peek() == Some('@') => {
                        c.next();
                        "unquote-splice"
                    }
                    _ => "unquote",
                };
                depth += 1;
                if depth > max_nesting {
                    return Err(Box::new(error(Code::Nesting, c.to_here(from), format_args!("nested deeper than {max_nesting}"))));
                }
                open.push(Open::Prefix { name, span: c.to_here(from) });
                continue;
            }
            '"' => {
                let text = string(&mut c, from, errors)?;
                let sym = arena.names.intern(&text);
                arena.add(Datum::Str(sym), c.to_here(from))
            }
            _ => {
                c.skip(|c| !is_delimiter(c));
                let span = c.to_here(from);
                atom(&text[begin..c.at], span, arena, errors)
            }
        };
        // A finished datum finishes the prefixes in front of it.
        let mut datum = Some(datum);
        loop {
            match open.last() {
                Some(Open::Prefix { name, span }) => {
                    let span = c.to_here(*span);
                    let head = arena.symbol(name, span);
                    datum = datum.map(|d| arena.list(&[head, d], Shape::Paren, span));
                    depth -= 1;
                }
                Some(Open::Skip { .. }) => datum = None,
                _ => break,
            }
            open.pop();
            if datum.is_none() {
                break;
            }
        }
        if let Some(datum) = datum {
            done.push(datum);
        }
    }
    match open.pop() {
        None => Ok(done),
        Some(Open::List { shape, span, .. }) => Err(Box::new(match margin {
            None => unclosed(shape, span),
            Some((shape, span, next)) => unclosed(shape, span).note("something new seems to begin here", Some(next)),
        })),
        Some(Open::Prefix { span, .. } | Open::Skip { span }) => Err(Box::new(nothing_follows(span))),
    }
}

fn error(code: Code, span: Span, message: fmt::Arguments<'_>) -> Diagnostic {
    Diagnostic::new(code, Some(span), message)
}

fn unclosed(shape: Shape, span: Span) -> Diagnostic {
    let wanted = closes(shape);
    // Only the opener is shown.
    let opener = Span { end: span.start + 1, ..span };
    error(Code::Unclosed, opener, format_args!("the text ends before the `{wanted}` that belongs to this")).label("this is never closed")
}

fn nothing_follows(span: Span) -> Diagnostic {
    error(Code::Prefix, span, format_args!("nothing follows the prefix")).label("a datum is expected behind this")
}

fn block_comment(c: &mut Cursor<'_>, from: Span) -> Result<(), Box<Diagnostic>> {
    let mut depth = 0;
    loop {
        if c.rest().starts_with("#|") {
            c.next();
            depth += 1;
        } else if c.rest().starts_with("|#") {
            c.next();
            depth -= 1;
        }
        if c.next().is_none() {
            let opener = Span { end: from.start + 2, ..from };
            let wrong = error(Code::UnendedComment, opener, format_args!("the comment does not end"));
            return Err(Box::new(wrong.help("`#|` ends with `|#`, and nests")));
        }
        if depth == 0 {
            return Ok(());
        }
    }
}

fn string(c: &mut Cursor<'_>, from: Span, errors: &mut Vec<Diagnostic>) -> Result<String, Box<Diagnostic>> {
    let mut text = String::new();
    c.next();
    loop {
        let escape = c.place();
        match c.next() {
            None => return Err(Box::new(unended(from))),
            Some('"') => return Ok(text),
            Some('\\') => match c.next() {
                None => return Err(Box::new(unended(from))),
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('u') => {
                    let code = c.rest().strip_prefix('{').and_then(|r| r.split_once('}')).map(|(hex, _)| hex);
                    let char = code.filter(|h| !h.is_empty() && h.len() <= 8).and_then(|h| u32::from_str_radix(h, 16).ok());
                    match (code, char.and_then(char::from_u32)) {
                        (Some(hex), Some(ch)) => {
                            for _ in 0..hex.len() + 2 {
                                c.next();
                            }
                            text.push(ch);
                        }
                        _ => errors.push(error(
                            Code::Escape,
                            c.to_here(escape),
                            format_args!("`\\u` needs a character's number in braces, as in `\\u{{e9}}`"),
                        )),
                    }
                }
                Some(other) => text.push(other),
            },
            Some(other) => text.push(other),
        }
    }
}

fn unended(from: Span) -> Diagnostic {
    let opener = Span { end: from.start + 1, ..from };
    error(Code::UnendedString, opener, format_args!("the string does not end")).label("the string begins here")
}

fn atom(text: &str, span: Span, arena: &mut Arena, errors: &mut Vec<Diagnostic>) -> Id {
    let datum = match text {
        "#t" | "true" => Datum::Bool(true),
        "#f" | "false" => Datum::Bool(false),
        "nil" => return arena.list(&[], Shape::Paren, span),
        _ if text.starts_with(':') => Datum::Keyword(arena.names.intern(&text[1..])),
        _ => match number::parse(text) {
            Some(Ok(Parsed::Int(i))) => Datum::Int(i),
            Some(Ok(Parsed::Float(f))) => Datum::Float(f),
            Some(Err(())) => {
                let wrong = error(Code::NumberSize, span, format_args!("the number {text} does not fit"));
                errors.push(wrong.help(format_args!("integers lie between {} and {}", i64::MIN, i64::MAX)));
                Datum::Int(0)
            }
            None => Datum::Symbol(arena.names.intern(text)),
        },
    };
    arena.add(datum, span)
}
