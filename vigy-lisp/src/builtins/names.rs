//! Symbols and keywords, to and from their text.

use super::Answer;
use super::string::{build, text};
use crate::machine::Machine;
use crate::value::{Value, tag};

pub(super) fn symbol_to_string(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    if v.is(tag::SYMBOL) { name_text(m, v) } else { Err(m.mismatch("symbol", v)) }
}

pub(super) fn keyword_to_string(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    if v.is(tag::KEYWORD) { name_text(m, v) } else { Err(m.mismatch("keyword", v)) }
}

/// `(name x)`: the text of a string, symbol or keyword.
pub(super) fn name(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    match v.object_tag() {
        tag::STRING => Ok(v),
        tag::SYMBOL | tag::KEYWORD => name_text(m, v),
        _ => Err(m.mismatch("string, symbol or keyword", v)),
    }
}

fn name_text(m: &mut Machine<'_>, v: Value) -> Answer {
    build(m, |w| w.push_text(v))
}

pub(super) fn to_symbol(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at)?;
    Ok(m.intern_value(tag::SYMBOL, v)?)
}

pub(super) fn to_keyword(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at)?;
    Ok(m.intern_value(tag::KEYWORD, v)?)
}

/// `(symbol x)` and `(keyword x)` take strings, symbols and keywords.
pub(super) fn symbol(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = name(m, at, n)?;
    Ok(m.intern_value(tag::SYMBOL, v)?)
}

pub(super) fn keyword(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = name(m, at, n)?;
    Ok(m.intern_value(tag::KEYWORD, v)?)
}
