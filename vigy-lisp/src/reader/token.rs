//! Text → tokens, with nothing left out: the tokens of a text, one behind the other, are the text. What colours or formats
//! programs, or asks whether a form is finished, stands on this; [`super::read`] follows the same rules.

use alloc::vec::Vec;

use super::{Cursor, block_comment, is_delimiter};
use crate::number;
use crate::span::Span;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenKind {
    /// White space, and commas that mean nothing.
    Space,
    /// `; …` to the end of its line, `#| … |#`, or a first line that starts with `#!`.
    Comment,
    /// `#;`, which skips the datum behind it.
    Skip,
    /// `'`, `` ` ``, `,` or `,@`.
    Prefix,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// A string with its quotes.
    Str,
    /// A number.
    Number,
    /// A keyword with its colon.
    Keyword,
    /// A name, or one of `#t #f true false nil`.
    Name,
    /// A string or a comment that the text does not end.
    Unfinished,
}

impl TokenKind {
    /// Whether the reader passes over it.
    #[must_use]
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Space | Self::Comment)
    }
}

/// A token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is: `&text[start..end]`.
    pub span: Span,
}

/// The tokens of `text`, in order. O(length).
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let mut c = Cursor { text, at: 0, base: 0, line: 1, line_start: 0 };
    let (mut tokens, mut open) = (Vec::new(), Vec::new());
    while let Some(next) = c.peek() {
        let from = c.place();
        let kind = token(&mut c, next, from, &mut open);
        tokens.push(Token { kind, span: c.to_here(from) });
    }
    tokens
}

/// Whether `text` ends inside a form, a string or a comment, so that more text may finish it.
#[must_use]
pub fn is_unfinished(text: &str) -> bool {
    let (mut depth, mut waiting) = (0_usize, false);
    for token in tokens(text) {
        match token.kind {
            TokenKind::Space | TokenKind::Comment => continue,
            TokenKind::Open => depth += 1,
            // Too many of them: that is for the reader to say.
            TokenKind::Close if depth == 0 => return false,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
        waiting = matches!(token.kind, TokenKind::Prefix | TokenKind::Skip | TokenKind::Unfinished);
    }
    depth > 0 || waiting
}

fn token(c: &mut Cursor<'_>, next: char, from: Span, open: &mut Vec<char>) -> TokenKind {
    match next {
        '#' if c.at == 0 && c.rest().starts_with("#!") => to_line_end(c),
        ';' => to_line_end(c),
        '#' if c.rest().starts_with("#;") => {
            c.next();
            c.next();
            TokenKind::Skip
        }
        '#' if c.rest().starts_with("#|") => match block_comment(c, from) {
            Ok(()) => TokenKind::Comment,
            Err(_) => TokenKind::Unfinished,
        },
        '(' | '[' | '{' => {
            c.next();
            open.push(next);
            TokenKind::Open
        }
        ')' | ']' | '}' => {
            c.next();
            open.pop();
            TokenKind::Close
        }
        '"' => string(c),
        '\'' | '`' => {
            c.next();
            TokenKind::Prefix
        }
        ',' => {
            c.next();
            let blank = c.peek().is_none_or(char::is_whitespace) && matches!(open.last(), Some('[' | '{'));
            if c.peek() == Some('@') {
                c.next();
            }
            if blank { TokenKind::Space } else { TokenKind::Prefix }
        }
        _ if next.is_whitespace() => {
            while c.peek().is_some_and(char::is_whitespace) {
                c.next();
            }
            TokenKind::Space
        }
        _ => {
            while c.peek().is_some_and(|c| !is_delimiter(c)) {
                c.next();
            }
            let text = &c.text[from.start as usize..c.at];
            match number::parse(text) {
                _ if text.starts_with(':') => TokenKind::Keyword,
                Some(_) => TokenKind::Number,
                None => TokenKind::Name,
            }
        }
    }
}

fn string(c: &mut Cursor<'_>) -> TokenKind {
    c.next();
    while let Some(next) = c.next() {
        match next {
            '"' => return TokenKind::Str,
            '\\' => _ = c.next(),
            _ => {}
        }
    }
    TokenKind::Unfinished
}

fn to_line_end(c: &mut Cursor<'_>) -> TokenKind {
    while c.peek().is_some_and(|c| c != '\n') {
        c.next();
    }
    TokenKind::Comment
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn tokens_are_the_whole_text() {
        let text = "#!/bin/x\n(a 'b `(c ,d ,@e) [1, 2] {:k \"s\\n\"}) ; end\n#| x #| y |# |# #;(z) ü\u{a0}+inf.0 \"open";
        let mut end = 0;
        for token in tokens(text) {
            assert_eq!(token.span.start, end, "{token:?}");
            end = token.span.end;
        }
        assert_eq!(end as usize, text.len());
    }

    #[test]
    fn every_token_has_its_kind() {
        use TokenKind::*;
        let kinds = |text: &str| tokens(text).iter().filter(|t| t.kind != Space).map(|t| t.kind).collect::<Vec<_>>();
        assert_eq!(kinds("(a :b 1.5 \"s\")"), [Open, Name, Keyword, Number, Str, Close]);
        assert_eq!(kinds("'a ,@b #;c ; d"), [Prefix, Name, Prefix, Name, Skip, Name, Comment]);
        assert_eq!(kinds("[1, 2] (1 ,2)"), [Open, Number, Number, Close, Open, Number, Prefix, Number, Close]);
        assert_eq!(kinds("\"\\u41\" \"\\\""), [Str, Unfinished]);
    }

    #[test]
    fn more_text_may_finish_a_form() {
        for text in ["(", "(a [b", "'", "#;", "\"abc", "\"a\\\"", "#| a", "(a ; b)", "\"", "(f \"\n"] {
            assert!(is_unfinished(text), "{text}");
        }
        for text in ["", "a", "(a)", ")", "(a))(", "\"a\"", "; (", "#| a |#", "\"\\u41\""] {
            assert!(!is_unfinished(text), "{text}");
        }
    }

    #[test]
    fn the_reader_and_the_tokens_agree() {
        // The atoms of what the reader reads are the tokens that are neither delimiters, prefixes nor trivia.
        let text = "(define (f [a b] & c) `(,a ,@b #t nil -1 .5 :k \"x\")) {:a [1, 2, 'q]} #| no |# 日本";
        let mut arena = crate::reader::Arena::default();
        let mut atoms: Vec<String> = Vec::new();
        let mut work = crate::reader::read(text, 0, &crate::CompileLimits::default(), &mut arena).expect("it reads");
        while let Some(id) = work.pop() {
            let span = arena.span(id);
            match arena.get(id) {
                crate::reader::Datum::List { .. } if !arena.items(id).is_empty() => work.extend_from_slice(arena.items(id)),
                _ => atoms.push(text[span.start as usize..span.end as usize].into()),
            }
        }
        atoms.retain(|atom| !matches!(atom.chars().next(), Some('`' | ',' | '\'')));
        let kinds = [TokenKind::Name, TokenKind::Number, TokenKind::Keyword, TokenKind::Str];
        let words = tokens(text).into_iter().filter(|t| kinds.contains(&t.kind));
        let mut words: Vec<String> = words.map(|t| text[t.span.start as usize..t.span.end as usize].into()).collect();
        atoms.sort();
        words.sort();
        assert_eq!(atoms, words);
    }
}
