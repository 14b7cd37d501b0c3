//! The verbs of a vigy: a row each.

use core::fmt::Write;
use core::task::Poll;

use vigy_lisp::{Arity, HostFn, Machine, Style, Value, View};

use super::{Answer, Encoded, Run, Verb, decoded};
use crate::door::{Encode, LAST_OUTCOMES, RESERVED_PREFIX, check_wait};
use crate::record::{ConditionStatus, Level, Resource};
use crate::time::backoff_ms;
use crate::{ActionKind, Door, KEY_BYTES, MESSAGE_BYTES, Message, VerbError};

const fn verb(name: &'static str, min: u8, max: u8, run: Run, doc: &'static str) -> Verb {
    // Only who compiles programs shows it to people.
    let doc = if cfg!(feature = "compiler") { doc } else { "" };
    Verb { function: HostFn { name, arity: Arity::between(min, max), writes: false, secret: false, doc }, run }
}

/// All verbs. To add one, add a row. Seen by the compiler alone: what a run looks up lies in tables of its own.
#[rustfmt::skip]
pub(crate) const VERBS: &[Verb] = &[
    verb("vigy-emit", 1, 2, emit, "(vigy-emit kind payload?): queues an action of that kind"),
    verb("vigy-noop", 0, 0, noop, "(vigy-noop): queues an action that asks for nothing"),
    verb("vigy-defer", 1, 1, defer, "(vigy-defer reason): queues a note that something is put off; it is skipped"),
    verb("vigy-pull", 1, 1, |m, d| act(m, d, ActionKind::Pull), "(vigy-pull payload): queues a pull"),
    verb("vigy-push", 1, 1, |m, d| act(m, d, ActionKind::Push), "(vigy-push payload): queues a push"),
    verb("vigy-create", 1, 1, |m, d| act(m, d, ActionKind::Create), "(vigy-create payload): queues a create"),
    verb("vigy-update", 1, 1, |m, d| act(m, d, ActionKind::Update), "(vigy-update payload): queues an update"),
    verb("vigy-delete", 1, 1, |m, d| act(m, d, ActionKind::Delete), "(vigy-delete payload): queues a delete"),
    verb("vigy-delete-action", 1, 1, |m, d| act(m, d, ActionKind::Delete), "(vigy-delete-action payload): as vigy-delete"),
    verb("vigy-apply", 1, 1, |m, d| act(m, d, ActionKind::Apply), "(vigy-apply payload): queues an apply"),
    verb("vigy-restart", 1, 1, |m, d| act(m, d, ActionKind::Restart), "(vigy-restart payload): queues a restart"),
    verb("vigy-pending", 0, 0, pending, "(vigy-pending): how many actions this tick has queued"),
    verb("vigy-last-outcomes", 0, 0, last_outcomes,
        "(vigy-last-outcomes): a map {:index :kind :result :message :attempts} per action of the tick before; nil on the first"),
    verb("vigy-desired", 2, 2, desired, "(vigy-desired key value): tells a part of the desired state"),
    verb("vigy-observed", 2, 2, observed, "(vigy-observed key value): tells a part of the observed state"),
    verb("vigy-condition", 2, 4, condition, "(vigy-condition name status reason? message?): status is true, false or unknown"),
    verb("vigy-get", 1, 2, get, "(vigy-get key default?): the value of a kv key, else the default, else nil"),
    verb("vigy-set", 2, 2, set, "(vigy-set key value): sets a kv key"),
    verb("vigy-incr", 1, 2, incr, "(vigy-incr key delta?): adds to a kv key that holds an int, 0 when it has no value; the new int"),
    verb("vigy-has?", 1, 1, has, "(vigy-has? key): whether a kv key has a value"),
    verb("vigy-del", 1, 1, del, "(vigy-del key): removes a kv key; whether it had a value"),
    verb("vigy-once", 1, 1, once, "(vigy-once key): true the first time in the life of the vigy, then false"),
    verb("vigy-mark-converged", 1, 1, mark_converged, "(vigy-mark-converged key): notes the tick's time for vigy-converged?"),
    verb("vigy-converged?", 1, 1, converged, "(vigy-converged? key): whether the key was marked"),
    verb("vigy-tick", 0, 0, tick, "(vigy-tick): milliseconds since the epoch at the tick's start"),
    verb("now-epoch", 0, 0, now_epoch, "(now-epoch): seconds since the epoch at the tick's start"),
    verb("vigy-tick-count", 0, 0, tick_count, "(vigy-tick-count): number of the tick, from 1"),
    verb("vigy-since-last-tick", 0, 0, since_last_tick, "(vigy-since-last-tick): milliseconds since the tick before began, -1 on the first"),
    verb("vigy-rate-limited?", 2, 2, rate_limited,
        "(vigy-rate-limited? key ms): false, and starts a window of ms, when none is open for the key; else true"),
    verb("vigy-backoff-ms", 1, 1, backoff, "(vigy-backoff-ms attempt): 1, 2, 4, 8, 16, then 30 seconds, in milliseconds"),
    verb("vigy-next-in", 1, 1, next_in, "(vigy-next-in ms): asks for the next tick in ms milliseconds, whatever the schedule says"),
    verb("vigy-retry", 1, 2, retry, "(vigy-retry ms message?): ends the tick as failed; the next one comes in ms milliseconds"),
    verb("vigy-fail", 1, 1, fail, "(vigy-fail message): ends the tick as failed for good: the vigy is parked until somebody resumes it"),
    verb("vigy-log", 2, 2, log, "(vigy-log level message): level is trace, debug, info, warn or error"),
    verb("vigy-trace", 2, 2, trace, "(vigy-trace key value): notes a value for whoever debugs the run"),
    verb("vigy-metric", 2, 2, metric, "(vigy-metric name number): notes a measurement"),
    verb("vigy-event", 2, 2, event, "(vigy-event kind message): tells an event"),
    verb("emit-event", 2, 2, emit_event,
        "(emit-event kind details): tells an event, and queues it as a custom action {:event kind :details details}"),
];

const READY_NIL: Answer = Ok(Poll::Ready(Value::NIL));

const fn bool(value: bool) -> Value {
    if value { Value::TRUE } else { Value::FALSE }
}

fn int(machine: &mut Machine<'_>, value: i64) -> Answer {
    int_value(machine, value).map(Poll::Ready)
}

/// An int, with room for a large one. Values of the machine that are at hand are void afterwards.
fn int_value(machine: &mut Machine<'_>, value: i64) -> Result<Value, VerbError> {
    machine.reserve(16).and_then(|()| machine.int(value)).map_err(|_| Resource::Heap.into())
}

fn mistake(tag: &'static str, message: &'static str) -> VerbError {
    VerbError::Raise { tag, message }
}

/// The text of argument `index`: a string, or the name of a symbol or keyword.
fn text<'a>(machine: &'a Machine<'_>, index: usize, message: &'static str) -> Result<&'a str, VerbError> {
    machine.text(machine.arg(index)).ok_or_else(|| mistake("type-mismatch", message))
}

const KEY: &str = "a key is a string, symbol or keyword";

/// Argument 0 as a kv key that the program may write.
fn key<'a>(machine: &'a Machine<'_>) -> Result<&'a str, VerbError> {
    let key = text(machine, 0, KEY)?;
    if key.starts_with(RESERVED_PREFIX) {
        return Err(mistake("reserved-key", "kv keys that begin with __ belong to the runtime"));
    }
    Ok(key)
}

/// Argument 0 below a prefix of the runtime's own.
fn reserved(machine: &Machine<'_>, prefix: &str) -> Result<heapless::String<KEY_BYTES>, VerbError> {
    let mut key = heapless::String::new();
    let name = text(machine, 0, KEY)?;
    key.push_str(prefix).and_then(|()| key.push_str(name)).map_err(|_| mistake("bad-key", "a kv key has at most 256 bytes"))?;
    Ok(key)
}

fn int_argument(machine: &Machine<'_>, index: usize, message: &'static str) -> Result<i64, VerbError> {
    match machine.view(machine.arg(index)) {
        View::Int(value) => Ok(value),
        _ => Err(mistake("type-mismatch", message)),
    }
}

/// Bytes of the details of an event: 512. Longer ones are cut at a character.
const DETAIL_BYTES: usize = 512;

/// Any value as text: raw when it is text, displayed and cut to a message's length otherwise.
fn with_text<R>(machine: &Machine<'_>, index: usize, use_text: impl FnOnce(&str) -> R) -> R {
    let value = machine.arg(index);
    match machine.text(value) {
        Some(text) => use_text(text),
        None => use_text(&displayed::<MESSAGE_BYTES>(machine, value, Style::Raw)),
    }
}

/// Argument `index` as a message; empty when there is none.
pub(super) fn said(machine: &Machine<'_>, index: usize) -> Message {
    if index < machine.arg_count() { with_text(machine, index, crate::message) } else { Message::new() }
}

/// A value displayed, cut to `N` bytes.
fn displayed<const N: usize>(machine: &Machine<'_>, value: Value, style: Style) -> heapless::String<N> {
    struct Cut<const N: usize>(heapless::String<N>);
    impl<const N: usize> Write for Cut<N> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            let room = self.0.capacity() - self.0.len();
            self.0.push_str(crate::door::cut(text, room)).map_err(|_| core::fmt::Error)
        }
    }
    let mut cut = Cut(heapless::String::new());
    // What does not fit is cut.
    let _ = machine.display(value, style, &mut cut);
    cut.0
}

// ---- actions -------------------------------------------------------------------------------------------------------------------

fn act(machine: &mut Machine<'_>, door: &mut Door<'_>, kind: ActionKind) -> Answer {
    door.act(kind, Some(Encoded(machine, machine.arg(0))), None)?;
    READY_NIL
}

fn emit(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let unknown = "the kinds of action are noop defer pull push create update delete apply restart custom";
    let kind = text(machine, 0, unknown)?.parse().map_err(|_| mistake("native-fn", unknown))?;
    let payload = (machine.arg_count() > 1).then(|| Encoded(machine, machine.arg(1)));
    door.act(kind, payload, None)?;
    READY_NIL
}

fn noop(_: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    door.act(ActionKind::Noop, None::<&[u8]>, None)?;
    READY_NIL
}

fn defer(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    with_text(machine, 0, |reason| door.act(ActionKind::Defer, None::<&[u8]>, Some(reason)))?;
    READY_NIL
}

fn pending(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    int(machine, door.pending().into())
}

fn last_outcomes(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    match door.get(LAST_OUTCOMES)? {
        Poll::Ready(Some(bytes)) => decoded(machine, bytes),
        Poll::Ready(None) => READY_NIL,
        Poll::Pending => Ok(Poll::Pending),
    }
}

// ---- what is told -------------------------------------------------------------------------------------------------------------

fn desired(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    door.desired(text(machine, 0, KEY)?, Encoded(machine, machine.arg(1)))?;
    READY_NIL
}

fn observed(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    door.observed(text(machine, 0, KEY)?, Encoded(machine, machine.arg(1)))?;
    READY_NIL
}

fn condition(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let wrong = "the status of a condition is true, false or unknown";
    let status = match machine.view(machine.arg(1)) {
        View::Bool(true) => Some(ConditionStatus::True),
        View::Bool(false) => Some(ConditionStatus::False),
        _ => ConditionStatus::parse(text(machine, 1, wrong)?),
    };
    let status = status.ok_or_else(|| mistake("native-fn", wrong))?;
    let optional = |index| match machine.view(machine.arg(index)) {
        View::Nil => Ok(""),
        _ => text(machine, index, "the reason and message of a condition are text"),
    };
    door.condition(text(machine, 0, "the name of a condition is text")?, status, optional(2)?, optional(3)?)?;
    READY_NIL
}

fn log(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let wrong = "the levels are trace debug info warn error";
    let level = Level::parse(text(machine, 0, wrong)?).ok_or_else(|| mistake("native-fn", wrong))?;
    with_text(machine, 1, |message| door.log(level, message))?;
    READY_NIL
}

fn trace(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    door.trace(text(machine, 0, KEY)?, Encoded(machine, machine.arg(1)))?;
    READY_NIL
}

fn metric(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let value = match machine.view(machine.arg(1)) {
        View::Int(value) => value as f64,
        View::Float(value) => value,
        _ => return Err(mistake("type-mismatch", "a metric is a number")),
    };
    door.metric(text(machine, 0, "the name of a metric is text")?, value)?;
    READY_NIL
}

fn event(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let kind = text(machine, 0, "the kind of an event is text")?;
    with_text(machine, 1, |message| door.event(kind, message))?;
    READY_NIL
}

fn emit_event(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let (kind, details) = (text(machine, 0, "the kind of an event is text")?, machine.arg(1));
    door.event(kind, &displayed::<DETAIL_BYTES>(machine, details, Style::Readable))?;
    door.act(ActionKind::Custom, Some(Emitted(kind, Encoded(machine, details))), None)?;
    READY_NIL
}

/// An event as the payload of an action: `{:event KIND :details …}`.
struct Emitted<'a, 'm>(&'a str, Encoded<'a, 'm>);

impl Encode for Emitted<'_, '_> {
    fn encode(self, into: &mut [u8]) -> Result<usize, VerbError> {
        let head = crate::action::write_event(self.0, into).ok_or(Resource::Values)?;
        Ok(head + self.1.encode(&mut into[head..])?)
    }
}

// ---- kv -----------------------------------------------------------------------------------------------------------------------

fn get(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    match door.get(text(machine, 0, KEY)?)? {
        Poll::Ready(Some(bytes)) => decoded(machine, bytes),
        Poll::Ready(None) => Ok(Poll::Ready(machine.arg(1))),
        Poll::Pending => Ok(Poll::Pending),
    }
}

fn set(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    door.set(key(machine)?, Encoded(machine, machine.arg(1)))?;
    READY_NIL
}

fn incr(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let delta = if machine.arg_count() > 1 { int_argument(machine, 1, "the delta of vigy-incr is an int")? } else { 1 };
    let before = match door.get(key(machine)?)? {
        Poll::Pending => return Ok(Poll::Pending),
        Poll::Ready(None) => 0,
        Poll::Ready(Some(bytes)) => match decoded(machine, bytes)? {
            Poll::Ready(value) => match machine.view(value) {
                View::Int(value) => value,
                _ => return Err(mistake("type-mismatch", "vigy-incr counts in a key that holds an int")),
            },
            Poll::Pending => 0,
        },
    };
    let after = before.checked_add(delta).ok_or_else(|| mistake("integer-overflow", "vigy-incr goes beyond 64 bits"))?;
    let value = int_value(machine, after)?;
    door.set(key(machine)?, Encoded(machine, value))?;
    Ok(Poll::Ready(value))
}

fn has(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    Ok(door.get(text(machine, 0, KEY)?)?.map(|value| bool(value.is_some())))
}

fn del(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let Poll::Ready(existed) = door.get(key(machine)?)?.map(|value| value.is_some()) else { return Ok(Poll::Pending) };
    if existed {
        door.remove(key(machine)?)?;
    }
    Ok(Poll::Ready(bool(existed)))
}

fn once(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let key = reserved(machine, "__once::")?;
    let Poll::Ready(done) = door.get(&key)?.map(|value| value.is_some()) else { return Ok(Poll::Pending) };
    if !done {
        door.set(&key, Encoded(machine, Value::TRUE))?;
    }
    Ok(Poll::Ready(bool(!done)))
}

fn mark_converged(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    stamp(machine, door, &reserved(machine, "__converged::")?)?;
    READY_NIL
}

fn converged(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    Ok(door.get(&reserved(machine, "__converged::")?)?.map(|value| bool(value.is_some())))
}

/// Sets a key to the tick's time.
fn stamp(machine: &mut Machine<'_>, door: &mut Door<'_>, key: &str) -> Result<(), VerbError> {
    let now = int_value(machine, door.header().at.0 as i64)?;
    door.set(key, Encoded(machine, now))
}

// ---- time ---------------------------------------------------------------------------------------------------------------------

fn tick(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    int(machine, door.header().at.0 as i64)
}

fn now_epoch(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    int(machine, (door.header().at.0 / 1000) as i64)
}

fn tick_count(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    int(machine, door.header().tick as i64)
}

fn since_last_tick(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let header = door.header();
    int(machine, header.previous.map_or(-1, |previous| header.at.since(previous) as i64))
}

fn rate_limited(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let window = int_argument(machine, 1, "the window of vigy-rate-limited? is an int of milliseconds")?;
    let key = reserved(machine, "__ratelimit::")?;
    let now = door.header().at.0 as i64;
    let last = match door.get(&key)? {
        Poll::Pending => return Ok(Poll::Pending),
        Poll::Ready(None) => None,
        Poll::Ready(Some(bytes)) => match decoded(machine, bytes)? {
            Poll::Ready(value) => match machine.view(value) {
                View::Int(last) => Some(last),
                _ => None,
            },
            Poll::Pending => None,
        },
    };
    // A window that begins in the future comes from a clock that jumped back: it is over.
    if last.is_some_and(|last| (0..window).contains(&now.saturating_sub(last))) {
        return Ok(Poll::Ready(Value::TRUE));
    }
    stamp(machine, door, &key)?;
    Ok(Poll::Ready(Value::FALSE))
}

/// Argument 0 as the time to the next tick.
fn wait(machine: &Machine<'_>, wrong: &'static str) -> Result<u64, VerbError> {
    // What is negative is out of bounds anyway.
    let ms = u64::try_from(int_argument(machine, 0, wrong)?).unwrap_or(0);
    check_wait(ms)?;
    Ok(ms)
}

fn next_in(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    door.next_in(wait(machine, "the wait of vigy-next-in is an int of milliseconds")?)?;
    READY_NIL
}

fn retry(machine: &mut Machine<'_>, _: &mut Door<'_>) -> Answer {
    Err(VerbError::Retry(wait(machine, "the wait of vigy-retry is an int of milliseconds")?))
}

const fn fail(_: &mut Machine<'_>, _: &mut Door<'_>) -> Answer {
    Err(VerbError::Permanent)
}

fn backoff(machine: &mut Machine<'_>, _: &mut Door<'_>) -> Answer {
    let attempt = int_argument(machine, 0, "the attempt of vigy-backoff-ms is an int")?;
    int(machine, backoff_ms(attempt) as i64)
}
