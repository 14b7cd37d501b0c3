//! Channels and fibers.

use super::Answer;
use crate::heap::size_of_header;
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};

const UNBOUNDED: usize = u32::MAX as usize;

fn channel_arg(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::CHANNEL) { Ok(v) } else { Err(m.mismatch("channel", v)) }
}

fn fiber_arg(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::FIBER) { Ok(v) } else { Err(m.mismatch("fiber", v)) }
}

fn length(m: &Machine<'_>, c: Value) -> usize {
    m.heap.field(c, 2).as_small_int().unwrap_or(0) as usize
}

pub(super) fn make(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if n == 0 {
        return Ok(m.heap.channel(None)?);
    }
    let v = m.at(at);
    let capacity = super::number::int(m, v)?;
    match u32::try_from(capacity) {
        Ok(c) if c != u32::MAX => Ok(m.heap.channel(Some(c))?),
        _ => Err(m.error(Tag::NativeFn, format_args!("`chan`: a capacity of {capacity}"))),
    }
}

pub(super) fn is_closed(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    Ok(Value::bool(m.heap.count(c) == 1))
}

pub(super) fn len(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    Ok(Value::index(length(m, c)))
}

fn room(m: &Machine<'_>, c: Value) -> usize {
    size_of_header(m.heap.word(c.index_of()))
}

pub(super) fn capacity(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    match room(m, c) {
        UNBOUNDED => Ok(m.heap.intern(tag::KEYWORD, "unbounded")?),
        n => Ok(Value::index(n)),
    }
}

pub(super) fn send(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    let v = m.at(at + 1);
    let n = length(m, c);
    if m.heap.count(c) == 1 || n >= room(m, c) {
        return Ok(Value::FALSE);
    }
    // Two lists make the queue: sent values gather in the back, newest first.
    let back = m.heap.field(c, 1);
    let back = m.heap.cons(v, back)?;
    m.heap.set_field(c, 1, back);
    m.heap.set_field(c, 2, Value::index(n + 1));
    Ok(Value::TRUE)
}

/// Moves the back of the queue to its front, when the front is empty.
fn turn(m: &mut Machine<'_>, c: Value) -> Result<(), Stop> {
    if m.heap.field(c, 0).is_nil() {
        let mut back = m.heap.field(c, 1);
        let n = m.heap.length(back);
        m.charge(n / 8)?;
        let buffer = m.heap.buffer(n)?;
        let start = buffer.index_of() as usize + 2;
        for i in (0..n).rev() {
            m.heap.words[start + i] = m.heap.first(back).0;
            back = m.heap.rest(back);
        }
        m.heap.words[buffer.index_of() as usize] += (n as u64) << 8;
        let front = m.heap.buffer_seal(buffer, Value::NIL);
        m.heap.set_field(c, 0, front);
        m.heap.set_field(c, 1, Value::NIL);
    }
    Ok(())
}

pub(super) fn receive(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    let n = length(m, c);
    if n == 0 {
        let name = if m.heap.count(c) == 1 { "closed" } else { "empty" };
        return Ok(m.heap.intern(tag::KEYWORD, name)?);
    }
    turn(m, c)?;
    let front = m.heap.field(c, 0);
    let rest = m.heap.rest(front);
    m.heap.set_field(c, 0, rest);
    m.heap.set_field(c, 2, Value::index(n - 1));
    Ok(m.heap.first(front))
}

pub(super) fn close(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    m.heap.set_count(c, 1);
    Ok(Value::NIL)
}

pub(super) fn drain(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    let front = m.heap.field(c, 0);
    m.heap.set_field(c, 0, Value::NIL);
    turn(m, c)?;
    let back = m.heap.field(c, 0);
    let n = m.heap.length(front);
    let buffer = m.heap.buffer(n)?;
    let mut list = front;
    while list.is_pair() {
        let v = m.heap.first(list);
        m.heap.buffer_push(buffer, v);
        list = m.heap.rest(list);
    }
    let all = m.heap.buffer_seal(buffer, back);
    m.heap.set_field(c, 0, Value::NIL);
    m.heap.set_field(c, 2, Value::index(0));
    m.heap.set_count(c, 1);
    Ok(all)
}

const PENDING: usize = 0;
const RUNNING: usize = 1;
const DONE: usize = 2;
const ERRORED: usize = 3;

pub(super) fn go(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let thunk = m.at(at);
    if !thunk.is_callable() {
        return Err(m.mismatch("callable", thunk));
    }
    Ok(m.heap.fiber(thunk)?)
}

pub(super) fn status(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    let name = match m.heap.count(f) {
        PENDING => "pending",
        RUNNING => "running",
        DONE => "done",
        _ => "errored",
    };
    Ok(m.heap.intern(tag::KEYWORD, name)?)
}

pub(super) fn result(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    Ok(if m.heap.count(f) == DONE { m.heap.field(f, 0) } else { Value::NIL })
}

pub(super) fn error(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    Ok(if m.heap.count(f) == ERRORED { m.heap.field(f, 0) } else { Value::NIL })
}

/// `(%go-begin f)`: the thunk to run; nil when the fiber is over.
pub(super) fn begin(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    match m.heap.count(f) {
        PENDING => {
            m.heap.set_count(f, RUNNING);
            Ok(m.heap.field(f, 0))
        }
        RUNNING => Err(m.error(Tag::NativeFn, format_args!("`go-run`: the fiber is already running"))),
        _ => Ok(Value::NIL),
    }
}

/// `(%go-end f result failed?)`: what the fiber ended with.
pub(super) fn end(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    let (v, raised) = (m.at(at + 1), m.at(at + 2));
    let v = if raised == Value::TRUE && v.is(tag::ERROR) {
        let kind = m.heap.intern(tag::KEYWORD, Tag::FiberError.text())?;
        let message = m.heap.field(v, 1);
        m.heap.error(kind, message, Value::NIL)?
    } else {
        v
    };
    // nil: it ended well; false: it threw; true: the language raised.
    m.heap.set_field(f, 0, v);
    m.heap.set_count(f, if raised.is_nil() { DONE } else { ERRORED });
    Ok(v)
}
