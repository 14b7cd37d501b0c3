//! The language reference: Markdown for people, and what `(doc name)` and `vigy doc` look up.
//!
//! A heading of the third level that shows signatures in backticks, as ``### `(mod n d)` `(rem n d)` ``, opens an entry: what stands
//! below it, up to the next heading, tells of those names. In a block of `lisp`, a comment behind a form says what comes of it:
//! `; => value`, `; raises :tag` or `; ends outcome`, and before these perhaps `prints "text"`. Such a form sees the forms above it in its
//! block that have no such comment. A block of `lisp module NAME` is a module, for the blocks behind it in the same text.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use crate::arity::Arity;
use crate::builtins;
use crate::compile::{form_names, library, library_names};
use crate::reader::{TokenKind, tokens};

/// The chapters, by name.
pub const CHAPTERS: &[(&str, &str)] = &[
    ("language", include_str!("../reference/language.md")),
    ("forms", include_str!("../reference/forms.md")),
    ("numbers", include_str!("../reference/numbers.md")),
    ("values", include_str!("../reference/values.md")),
    ("lists", include_str!("../reference/lists.md")),
    ("functions", include_str!("../reference/functions.md")),
    ("maps", include_str!("../reference/maps.md")),
    ("strings", include_str!("../reference/strings.md")),
    ("data", include_str!("../reference/data.md")),
    ("patterns", include_str!("../reference/patterns.md")),
    ("declarations", include_str!("../reference/declarations.md")),
];

const LITERALS: &[&str] = &["nil", "true", "false", "#t", "#f"];

/// What a name of the language is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A word that is a value.
    Literal,
    /// A form: the compiler knows it; its arguments are not values.
    Form,
    /// A macro of the library, written in the language.
    Macro,
    /// A function of the machine.
    Builtin(Arity),
    /// A function or a value of the library, written in the language.
    Prelude(Option<Arity>),
}

impl Kind {
    /// One line for people: `builtin, 2 arguments`.
    #[must_use]
    pub fn describe(self) -> String {
        let (what, arity) = match self {
            Self::Literal => ("literal", None),
            Self::Form => ("form", None),
            Self::Macro => ("macro of the library", None),
            Self::Builtin(arity) => ("builtin", Some(arity)),
            Self::Prelude(arity) => ("function of the library", arity),
        };
        arity.map_or_else(|| what.to_string(), |arity| alloc::format!("{what}, {arity}"))
    }
}

/// What `name` is, when the language has it.
#[must_use]
pub fn kind(name: &str) -> Option<Kind> {
    if name.starts_with('%') {
        return None;
    }
    if LITERALS.contains(&name) {
        return Some(Kind::Literal);
    }
    if form_names().any(|form| form == name) {
        return Some(Kind::Form);
    }
    if let Some(id) = builtins::find(name) {
        return Some(Kind::Builtin(builtins::signature(id)));
    }
    library(name)
}

/// Every name that the language has, in no order.
pub fn names() -> impl Iterator<Item = &'static str> {
    LITERALS.iter().copied().chain(form_names()).chain(builtins::names()).chain(library_names()).filter(|name| !name.starts_with('%'))
}

/// What the reference says of one name, or of several that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The signatures, each in backticks.
    heading: &'t str,
    /// What is said of it, as Markdown, examples included.
    pub text: &'t str,
}

impl<'t> Entry<'t> {
    /// How it is written: `(mod n d)`.
    pub fn signatures(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.heading.split('`').skip(1).step_by(2)
    }

    /// The names it tells of.
    pub fn names(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.signatures().map(|signature| {
            let name = signature.trim_start_matches('(');
            name.split([' ', ')']).next().unwrap_or(name)
        })
    }

    /// What programs give, by its examples.
    #[must_use]
    pub fn examples(&self) -> Vec<Example<'t>> {
        examples(self.text)
    }
}

/// The entries of a text of the reference's shape.
pub fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.split("\n### ").skip(1).filter(|section| section.starts_with('`')).map(|section| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        let end = text.find("\n#").unwrap_or(text.len());
        Entry { heading, text: text[..end].trim() }
    })
}

/// What the reference says of `name`.
#[must_use]
pub fn find(name: &str) -> Option<Entry<'static>> {
    CHAPTERS.iter().flat_map(|(_, text)| entries(text)).find(|entry| entry.names().any(|known| known == name))
}

/// The candidate that is most like `name`, when one is like it.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    crate::compile::nearest(name, candidates)
}

/// What `(doc name)` prints: signatures, what it is, and what the reference says.
#[must_use]
pub fn describe(name: &str) -> Option<String> {
    let (entry, kind) = (find(name)?, kind(name)?);
    let mut text = String::new();
    for signature in entry.signatures() {
        text.push_str(signature);
        text.push('\n');
    }
    // A string takes everything.
    let _ = write!(text, "{}\n\n{}", kind.describe(), plain(entry.text));
    Some(text)
}

/// Markdown without what only Markdown needs: fences are gone, and what stood between them is indented.
#[must_use]
pub fn plain(markdown: &str) -> String {
    let (mut out, mut code) = (String::new(), false);
    for line in markdown.lines() {
        if line.starts_with("```") {
            code = !code;
            if code && !out.ends_with("\n\n") {
                out.push('\n');
            }
            continue;
        }
        if code && !line.is_empty() {
            out.push_str("  ");
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A program and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example<'t> {
    /// Definitions in front of it, in the same block.
    pub given: String,
    /// The form.
    pub form: &'t str,
    /// What it prints.
    pub prints: Option<&'t str>,
    /// Its value, as `pr-str` writes it; or the tag of its error, or its outcome.
    pub gives: Result<&'t str, &'t str>,
}

/// The examples of a text of the reference's shape.
#[must_use]
pub fn examples(text: &str) -> Vec<Example<'_>> {
    blocks(text).filter(|(info, _)| *info == "lisp").flat_map(|(_, code)| block_examples(code)).collect()
}

/// The modules of a text of the reference's shape: their names and texts.
pub fn modules(text: &str) -> impl Iterator<Item = (&str, &str)> {
    blocks(text).filter_map(|(info, code)| Some((info.strip_prefix("lisp module ")?, code)))
}

/// Fenced blocks: what stands behind the fence, and the code.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

fn block_examples(code: &str) -> Vec<Example<'_>> {
    let mut examples = Vec::new();
    let mut given = String::new();
    // The form that is being walked through, and the last one that ended.
    let (mut depth, mut start, mut ended) = (0_usize, None, None);
    for token in tokens(code) {
        let (from, to) = (token.span.start as usize, token.span.end as usize);
        match token.kind {
            TokenKind::Space if depth == 0 && code[from..to].contains('\n') => {
                if let Some(form) = ended.take() {
                    given.push_str(form);
                    given.push('\n');
                }
            }
            TokenKind::Comment => {
                let form = if depth == 0 { ended.take() } else { None };
                match (form, claim(&code[from..to])) {
                    (Some(form), Some((prints, gives))) => examples.push(Example { given: given.clone(), form, prints, gives }),
                    (form, _) => ended = form,
                }
            }
            TokenKind::Space => {}
            kind => {
                let begin = *start.get_or_insert(from);
                match kind {
                    TokenKind::Open => depth += 1,
                    TokenKind::Close => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 && !matches!(kind, TokenKind::Prefix | TokenKind::Skip) {
                    // Several forms on one line are one example.
                    let begin = ended.map_or(begin, |form: &str| form.as_ptr() as usize - code.as_ptr() as usize);
                    ended = Some(&code[begin..to]);
                    start = None;
                }
            }
        }
    }
    examples
}

/// What a comment claims of the form before it: what is printed, and what comes of it.
fn claim(comment: &str) -> Option<(Option<&str>, Result<&str, &str>)> {
    let text = comment.trim_start_matches([';', ' ']);
    let (prints, text) = match text.strip_prefix("prints ") {
        Some(rest) => {
            let string = tokens(rest).into_iter().next().filter(|token| token.kind == TokenKind::Str)?;
            let end = string.span.end as usize;
            (Some(&rest[..end]), rest[end..].trim_start())
        }
        None => (None, text),
    };
    if text.is_empty() && prints.is_some() {
        return Some((prints, Ok("()")));
    }
    let gives = match text.split_once(' ')? {
        ("=>", value) => Ok(value.trim()),
        ("raises", tag) => Err(tag.trim().trim_start_matches(':')),
        ("ends", outcome) => Err(outcome.trim()),
        _ => return None,
    };
    Some((prints, gives))
}
