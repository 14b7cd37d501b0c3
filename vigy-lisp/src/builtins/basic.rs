//! Equality, predicates, errors, promises and what the prelude needs of the machine.

use super::{Answer, work};
use crate::equal::{self, Numbers};
use crate::machine::{Machine, Stop, Tag};
use crate::number::digits;
use crate::value::{Value, tag};

/// Parts of a message of the prelude, at most.
pub(super) const PARTS: usize = 8;

pub(super) fn equal_values(m: &mut Machine<'_>, x: Value, y: Value, numbers: Numbers) -> Result<bool, Stop> {
    let mut fuel = m.fuel;
    let answer = equal::equal(&m.heap, x, y, numbers, &mut fuel);
    m.fuel = fuel;
    answer.map_err(|w| work(m, w))
}

/// `=`: any values; numbers by value.
pub(super) fn same(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut all = true;
    for i in 1..n {
        let (x, y) = (m.at(at + i - 1), m.at(at + i));
        all &= equal_values(m, x, y, Numbers::Value)?;
    }
    Ok(Value::bool(all))
}

pub(super) fn equal(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    Ok(Value::bool(equal_values(m, x, y, Numbers::Kind)?))
}
pub(super) fn not_equal(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    Ok(Value::bool(!equal_values(m, x, y, Numbers::Kind)?))
}

/// `eq?`: atoms by value, everything else by identity.
pub(super) fn identical(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    let atom = |v: Value| matches!(v.tag(), 0 | 2 | tag::INT | tag::FLOAT | tag::STRING);
    if atom(x) && atom(y) { Ok(Value::bool(equal_values(m, x, y, Numbers::Kind)?)) } else { Ok(Value::bool(x == y)) }
}

pub(super) fn not(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    Ok(Value::bool(!m.at(at).is_true()))
}

macro_rules! predicates {
    ($($name:ident($m:ident, $v:ident) = $test:expr;)*) => {
        $(pub(super) fn $name(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
            let $m = &m.heap;
            let $v = m.at(at);
            let _ = $m;
            Ok(Value::bool($test))
        })*
    };
}

predicates! {
    is_null(h, v) = v.is_nil();
    is_some(h, v) = !v.is_nil();
    is_pair(h, v) = v.is_pair();
    is_list(h, v) = v.is_list();
    is_symbol(h, v) = v.is(tag::SYMBOL);
    is_string(h, v) = v.is(tag::STRING);
    is_keyword(h, v) = v.is(tag::KEYWORD);
    is_integer(h, v) = h.as_int(v).is_some();
    is_float(h, v) = h.as_float(v).is_some();
    is_number(h, v) = h.as_int(v).is_some() || h.as_float(v).is_some();
    is_boolean(h, v) = v == Value::TRUE || v == Value::FALSE;
    is_procedure(h, v) = v.is_callable();
    is_map(h, v) = v.is(tag::MAP);
    is_promise(h, v) = v.is(tag::PROMISE);
    is_error(h, v) = v.is(tag::ERROR);
    is_channel(h, v) = v.is(tag::CHANNEL);
    is_fiber(h, v) = v.is(tag::FIBER);
    is_foreign(h, v) = matches!(v.object_tag(), tag::CHANNEL | tag::FIBER);
    is_atom(h, v) = !v.is_list() && !v.is(tag::MAP) && !v.is_callable();
    is_absent(h, v) = v == Value::ABSENT;
    is_forced(h, v) = v.is(tag::PROMISE) && h.count(v) == 1;
}

/// `(type-of x)`
pub(super) fn type_of(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let name = match crate::print::type_name(m.at(at)) {
        "closure" | "native-fn" => "procedure",
        name => name,
    };
    Ok(m.intern(tag::KEYWORD, name)?)
}

pub(super) fn throw(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    Err(m.stop(Stop::Thrown, v))
}

/// `(%rethrow e raised?)`: passes on what a handler caught, as what it was.
pub(super) fn rethrow(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    let raised = m.at(at + 1) == Value::TRUE && v.is(tag::ERROR);
    Err(m.stop(if raised { Stop::Raised } else { Stop::Thrown }, v))
}

/// The text of `place`, and behind it of `n` arguments: texts and ints. Who complains of a number needs no printer.
fn message(m: &mut Machine<'_>, place: &[&str], at: usize, n: usize) -> Answer {
    let mut parts = [Value::NIL; PARTS];
    parts.iter_mut().zip(at..at + n).for_each(|(part, at)| *part = m.at(at));
    super::string::build(m, |w| {
        place.iter().for_each(|part| w.push_bytes(part.as_bytes()));
        for part in parts {
            if let Some(i) = w.heap().as_int(part) {
                w.push_bytes(digits(i).as_bytes());
            } else if part.is(tag::STRING) {
                w.push_text(part);
            }
        }
    })
}

/// `(%fail "tag" "message" …)`: an error of the language, raised by the prelude. The message may have several parts.
pub(super) fn fail(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let kind = super::string::text(m, at)?;
    let message = if n == 2 { super::string::text(m, at + 1)? } else { message(m, &[], at + 1, n - 1)? };
    let kind = m.intern_value(tag::KEYWORD, kind)?;
    let e = m.heap.error(kind, message, Value::NIL)?;
    Err(m.stop(Stop::Raised, e))
}

/// `(%mismatch "expected" value)`
pub(super) fn mismatch(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (expected, got) = (m.at(at), m.at(at + 1));
    let got = crate::print::type_name(got);
    let mut text = crate::machine::Message::default();
    let _ = core::fmt::Write::write_str(&mut text, m.heap.text(expected));
    Err(m.complain(Tag::TypeMismatch, &["expected ", text.as_str(), ", got ", got]))
}

fn plist(m: &mut Machine<'_>, at: usize) -> Answer {
    let v = m.at(at);
    if v.is_list() { Ok(v) } else { Err(m.mismatch("list", v)) }
}

/// The data of an error: keys and values in turn.
fn data(m: &mut Machine<'_>, at: usize) -> Answer {
    let v = plist(m, at)?;
    if m.heap.length(v).is_multiple_of(2) { Ok(v) } else { Err(m.error(Tag::NativeFn, &["a key without a value"])) }
}

/// `(error tag message)`, `(error tag message plist)`: an error value; nothing is raised.
pub(super) fn error(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = m.at(at);
    if !matches!(v.object_tag(), tag::KEYWORD | tag::STRING | tag::SYMBOL) {
        return Err(m.mismatch("keyword, string or symbol", v));
    }
    let kind = m.intern_value(tag::KEYWORD, v)?;
    let message = super::string::text(m, at + 1)?;
    let data = if n == 3 { data(m, at + 2)? } else { Value::NIL };
    Ok(m.heap.error(kind, message, data)?)
}

/// `(ex-info message)`, `(ex-info message plist)`
pub(super) fn ex_info(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let message = super::string::text(m, at)?;
    let data = if n == 2 { data(m, at + 1)? } else { Value::NIL };
    let kind = m.intern(tag::KEYWORD, "ex-info")?;
    Ok(m.heap.error(kind, message, data)?)
}

fn error_field(m: &mut Machine<'_>, at: usize, field: u32) -> Answer {
    let v = m.at(at);
    if v.is(tag::ERROR) { Ok(m.heap.field(v, field)) } else { Err(m.mismatch("error", v)) }
}
pub(super) fn error_tag(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    error_field(m, at, 0)
}
pub(super) fn error_message(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    error_field(m, at, 1)
}
pub(super) fn error_data(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    error_field(m, at, 2)
}
pub(super) fn error_data_get(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let data = error_field(m, at, 2)?;
    let key = m.at(at + 1);
    plist_lookup(m, data, key)
}
pub(super) fn plist_get(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let data = plist(m, at)?;
    let key = m.at(at + 1);
    plist_lookup(m, data, key)
}

fn plist_lookup(m: &mut Machine<'_>, mut list: Value, key: Value) -> Answer {
    while list.is_pair() {
        let k = m.heap.first(list);
        list = m.heap.rest(list);
        if !list.is_pair() {
            break;
        }
        if equal_values(m, k, key, Numbers::Kind)? {
            return Ok(m.heap.first(list));
        }
        m.charge(1)?;
        list = m.heap.rest(list);
    }
    Ok(Value::NIL)
}

/// `(gensym)`, `(gensym prefix)`
pub(super) fn gensym(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut name = heapless::String::<128>::new();
    if n == 1 {
        let v = m.at(at);
        if !matches!(v.object_tag(), tag::STRING | tag::SYMBOL) {
            return Err(m.mismatch("string or symbol", v));
        }
        for c in m.heap.text(v).chars() {
            if name.len() > 96 || name.push(c).is_err() {
                break;
            }
        }
    } else {
        // A short prefix fits.
        let _ = name.push('g');
    }
    let number = digits(m.gensyms as i64 + 1);
    let _ = ["__", &number, "__auto"].iter().try_for_each(|part| name.push_str(part));
    let symbol = m.intern(tag::SYMBOL, &name)?;
    m.gensyms += 1;
    Ok(symbol)
}

/// `(%delay thunk)`
pub(super) fn delay(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let thunk = m.at(at);
    Ok(m.heap.promise(thunk)?)
}
/// `(%promised p)`: the value of a forced promise, the thunk of another.
pub(super) fn promised(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    if v.is(tag::PROMISE) { Ok(m.heap.field(v, 0)) } else { Err(m.mismatch("promise", v)) }
}
/// `(%fulfil p v)`: unless it was forced meanwhile.
pub(super) fn fulfil(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (p, v) = (m.at(at), m.at(at + 1));
    if !p.is(tag::PROMISE) {
        return Err(m.mismatch("promise", p));
    }
    if m.heap.count(p) == 0 {
        m.heap.set_field(p, 0, v);
        m.heap.set_count(p, 1);
    }
    Ok(m.heap.field(p, 0))
}

/// `(%next-name)`: the number of the next generated name.
pub(super) fn next_name(m: &mut Machine<'_>, _: usize, _: usize) -> Answer {
    let number = m.heap.int(m.gensyms as i64 + 1)?;
    m.gensyms += 1;
    Ok(number)
}

/// `(%text-order x y)`: the order of two strings, symbols or keywords by their bytes: -1, 0 or 1.
pub(super) fn compare_texts(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    if x.tag() != y.tag() || !matches!(x.tag(), tag::STRING | tag::SYMBOL | tag::KEYWORD) {
        return Err(m.mismatch("two texts", x));
    }
    let order = m.heap.bytes(x).cmp(m.heap.bytes(y));
    Ok(Value::small_int(order as i64).unwrap_or(Value::NIL))
}

/// `(%new-error kind message plist)`
pub(super) fn make_error(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let [kind, message, data] = [0, 1, 2].map(|i| m.at(at + i));
    // Whoever reads an error trusts its parts.
    let named = matches!(kind.tag(), tag::KEYWORD | tag::STRING | tag::SYMBOL);
    if !named || !message.is(tag::STRING) || !data.is_list() {
        return Err(m.mismatch("keyword, string and list", kind));
    }
    let kind = m.intern_value(tag::KEYWORD, kind)?;
    Ok(m.heap.error(kind, message, data)?)
}

/// `(%complain "message" …)`: values of the wrong type, told of the function of the library that runs. The message may have several parts.
pub(super) fn complain(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let name = m.running();
    let place = ["`", name, "`: "];
    let message = message(m, if name.is_empty() { &[] } else { &place }, at, n)?;
    Err(m.raised(Tag::TypeMismatch, message))
}

/// `(%same? x y)`: whether two values are one word: the same object, or the same small number.
pub(super) fn same_word(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    Ok(Value::bool(m.at(at) == m.at(at + 1)))
}
