//! Channels and fibers. On the main line sending and receiving never wait; a fiber waits until it is answered.
//!
//! Fibers wait at a channel either to receive, when it is empty, or to send, when it is full: so all that wait want the same.

use super::Answer;
use crate::heap::size_of_header;
use crate::machine::fibers::{field, status};
use crate::machine::{Machine, Stop, Tag};
use crate::number::digits;
use crate::value::{Value, tag};

const UNBOUNDED: usize = u32::MAX as usize;

const FRONT: u32 = 0;
const BACK: u32 = 1;
const LENGTH: u32 = 2;
const FIRST_WAITING: u32 = 3;
const LAST_WAITING: u32 = 4;

fn channel_arg(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::CHANNEL) { Ok(v) } else { Err(m.mismatch("channel", v)) }
}

fn fiber_arg(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::FIBER) { Ok(v) } else { Err(m.mismatch("fiber", v)) }
}

fn length(m: &Machine<'_>, c: Value) -> usize {
    m.heap.field(c, LENGTH).as_small_int().unwrap_or(0) as usize
}

fn room(m: &Machine<'_>, c: Value) -> usize {
    size_of_header(m.heap.word(c.index_of()))
}

fn closed(m: &Machine<'_>, c: Value) -> bool {
    m.heap.count(c) == 1
}

pub(super) fn make(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if n == 0 {
        return Ok(m.heap.channel(None)?);
    }
    let v = m.at(at);
    let capacity = super::number::int(m, v)?;
    match u32::try_from(capacity) {
        Ok(c) if c != u32::MAX => Ok(m.heap.channel(Some(c))?),
        _ => Err(m.error(Tag::NativeFn, &["`chan`: a capacity of ", &digits(capacity)])),
    }
}

pub(super) fn is_closed(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    Ok(Value::bool(closed(m, c)))
}

pub(super) fn len(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    Ok(Value::index(length(m, c)))
}

pub(super) fn capacity(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    match room(m, c) {
        UNBOUNDED => Ok(m.intern(tag::KEYWORD, "unbounded")?),
        n => Ok(Value::index(n)),
    }
}

/// The fiber that waits at the channel for the longest time, when it waits for that.
fn waiting(m: &Machine<'_>, c: Value, wants: usize) -> Option<Value> {
    let fiber = m.heap.field(c, FIRST_WAITING);
    (fiber.is(tag::FIBER) && m.heap.count(fiber) == wants).then_some(fiber)
}

/// Answers that fiber: it waits no longer.
fn release(m: &mut Machine<'_>, c: Value, fiber: Value, answer: Value) {
    let next = m.heap.field(fiber, field::NEXT);
    m.heap.set_field(c, FIRST_WAITING, next);
    if next.is_nil() {
        m.heap.set_field(c, LAST_WAITING, next);
    }
    m.answer_fiber(fiber, answer);
}

/// Makes the fiber that runs wait at the channel.
fn wait(m: &mut Machine<'_>, c: Value, wants: usize, sends: Value) -> Stop {
    let fiber = match m.park(wants) {
        Ok(fiber) => fiber,
        Err(stop) => return stop,
    };
    m.heap.set_field(fiber, field::SENDS, sends);
    m.heap.set_field(fiber, field::NEXT, Value::NIL);
    let last = m.heap.field(c, LAST_WAITING);
    m.heap.set_field(c, LAST_WAITING, fiber);
    if last.is_nil() {
        m.heap.set_field(c, FIRST_WAITING, fiber);
    } else {
        m.heap.set_field(last, field::NEXT, fiber);
    }
    Stop::Parked
}

/// `(>! c v)`: whether the channel took it.
pub(super) fn send(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    let v = m.at(at + 1);
    if closed(m, c) {
        return Ok(Value::FALSE);
    }
    if let Some(receiver) = waiting(m, c, status::RECEIVING) {
        release(m, c, receiver, v);
        return Ok(Value::TRUE);
    }
    let n = length(m, c);
    if n < room(m, c) {
        // Two lists make the queue: sent values gather in the back, newest first.
        let back = m.heap.field(c, BACK);
        let back = m.heap.cons(v, back)?;
        m.heap.set_field(c, BACK, back);
        m.heap.set_field(c, LENGTH, Value::index(n + 1));
        return Ok(Value::TRUE);
    }
    if m.fibers.running.is_nil() { Ok(Value::FALSE) } else { Err(wait(m, c, status::SENDING, v)) }
}

/// Moves the back of the queue to its front, when the front is empty.
fn turn(m: &mut Machine<'_>, c: Value) -> Result<(), Stop> {
    if m.heap.field(c, FRONT).is_nil() {
        let back = m.heap.field(c, BACK);
        let front = super::list::reversed(m, back)?;
        m.heap.set_field(c, FRONT, front);
        m.heap.set_field(c, BACK, Value::NIL);
    }
    Ok(())
}

/// `(<! c)`: the value that was sent first; `:empty` or `:closed` when there is none.
pub(super) fn receive(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    let n = length(m, c);
    let sender = waiting(m, c, status::SENDING);
    if n > 0 {
        turn(m, c)?;
        let mut left = n - 1;
        if let Some(sender) = sender {
            // What it sends takes the room that becomes free.
            let (v, back) = (m.heap.field(sender, field::SENDS), m.heap.field(c, BACK));
            let back = m.heap.cons(v, back)?;
            m.heap.set_field(c, BACK, back);
            left = n;
            release(m, c, sender, Value::TRUE);
        }
        let front = m.heap.field(c, FRONT);
        let rest = m.heap.rest(front);
        m.heap.set_field(c, FRONT, rest);
        m.heap.set_field(c, LENGTH, Value::index(left));
        return Ok(m.heap.first(front));
    }
    if let Some(sender) = sender {
        release(m, c, sender, Value::TRUE);
        return Ok(m.heap.field(sender, field::SENDS));
    }
    if closed(m, c) {
        return Ok(m.intern(tag::KEYWORD, "closed")?);
    }
    if m.fibers.running.is_nil() { Ok(m.intern(tag::KEYWORD, "empty")?) } else { Err(wait(m, c, status::RECEIVING, Value::NIL)) }
}

/// Closes the channel: nobody waits for it any longer.
fn shut(m: &mut Machine<'_>, c: Value) -> Result<(), Stop> {
    let closed = m.intern(tag::KEYWORD, "closed")?;
    m.heap.set_count(c, 1);
    while let Some(fiber) = Some(m.heap.field(c, FIRST_WAITING)).filter(|f| f.is(tag::FIBER)) {
        let answer = if m.heap.count(fiber) == status::SENDING { Value::FALSE } else { closed };
        release(m, c, fiber, answer);
        m.charge(1)?;
    }
    Ok(())
}

pub(super) fn close(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    shut(m, c)?;
    Ok(Value::NIL)
}

/// `(drain! c)`: all that is in the channel, which closes.
pub(super) fn drain(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let c = channel_arg(m, at)?;
    let back = m.heap.field(c, BACK);
    let back = super::list::reversed(m, back)?;
    let mut front = m.heap.field(c, FRONT);
    let n = m.heap.length(front);
    m.charge(n / 8)?;
    let buffer = m.heap.buffer(n)?;
    while front.is_pair() {
        let v = m.heap.first(front);
        m.heap.buffer_push(buffer, v);
        front = m.heap.rest(front);
    }
    shut(m, c)?;
    m.heap.set_field(c, FRONT, Value::NIL);
    m.heap.set_field(c, BACK, Value::NIL);
    m.heap.set_field(c, LENGTH, Value::index(0));
    Ok(m.heap.buffer_seal(buffer, back))
}

pub(super) fn go(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let thunk = m.at(at);
    if !thunk.is_callable() {
        return Err(m.mismatch("callable", thunk));
    }
    Ok(m.make_fiber(thunk)?)
}

/// `(go-status f)`: `:pending`, `:running`, `:parked`, `:ready` (it waited, and has its answer), `:done` or `:errored`.
pub(super) fn fiber_status(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    let name = match m.heap.count(f) {
        status::PENDING => "pending",
        status::RUNNING => "running",
        status::DONE => "done",
        status::ERRORED => "errored",
        status::READY => "ready",
        _ => "parked",
    };
    Ok(m.intern(tag::KEYWORD, name)?)
}

pub(super) fn result(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    Ok(if m.heap.count(f) == status::DONE { m.heap.field(f, field::VALUE) } else { Value::NIL })
}

pub(super) fn error(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    Ok(if m.heap.count(f) == status::ERRORED { m.heap.field(f, field::VALUE) } else { Value::NIL })
}

/// `(%go-next f)`: what `go-run` has to call so that `f` gets on; nil when `f` is over. Within a fiber it waits for that.
pub(super) fn next(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let f = fiber_arg(m, at)?;
    let now = m.heap.count(f);
    if matches!(now, status::DONE | status::ERRORED) {
        return Ok(Value::NIL);
    }
    if m.fibers.running.is_nil() {
        return match m.next_fiber(f) {
            Some(callee) => Ok(callee),
            None => Err(m.error(Tag::Deadlock, &["`go-run`: every fiber waits"])),
        };
    }
    if f == m.fibers.running {
        return Err(m.error(Tag::NativeFn, &["`go-run`: the fiber is already running"]));
    }
    let own = m.park(status::JOINING)?;
    let others = m.heap.field(f, field::AWAITED);
    m.heap.set_field(own, field::NEXT, others);
    m.heap.set_field(f, field::AWAITED, own);
    if now == status::PENDING {
        m.hurry(f);
    }
    Err(Stop::Parked)
}

/// `(%go-end v failed?)`: what the fiber that ran ended with. When it waits, nothing happens.
pub(super) fn end(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (v, raised) = (m.at(at), m.at(at + 1));
    if m.fibers.running.is_nil() {
        return Ok(Value::NIL);
    }
    let v = if raised == Value::TRUE && v.is(tag::ERROR) {
        let kind = m.intern(tag::KEYWORD, Tag::FiberError.text())?;
        let message = m.heap.field(v, 1);
        m.heap.error(kind, message, Value::NIL)?
    } else {
        v
    };
    let f = core::mem::replace(&mut m.fibers.running, Value::NIL);
    m.heap.set_field(f, field::VALUE, v);
    // nil: it ended well; false: it threw; true: the language raised.
    m.heap.set_count(f, if raised.is_nil() { status::DONE } else { status::ERRORED });
    let mut waiting = m.heap.field(f, field::AWAITED);
    m.heap.set_field(f, field::AWAITED, Value::NIL);
    while waiting.is(tag::FIBER) {
        let next = m.heap.field(waiting, field::NEXT);
        m.answer_fiber(waiting, Value::NIL);
        m.charge(1)?;
        waiting = next;
    }
    Ok(Value::NIL)
}
