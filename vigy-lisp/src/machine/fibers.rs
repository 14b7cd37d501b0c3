//! Fibers: computations that wait without holding up the machine.
//!
//! All fibers run right above the frame of the `go-run` that the main line is in. When one waits, its part of the stack moves into an
//! object, and `go-run` goes on with the next one that is ready. Everything on the stack is relative, but for two words: where the lowest
//! frame returns to, and which handler lies outside the fiber's own. Those are set when the part is put back.

use super::frames::{Called, place, place_word};
use super::{Machine, Stop, Tag};
use crate::code::{self, Op};
use crate::heap::{Exhausted, header};
use crate::image::WINDOW;
use crate::value::{Value, tag};

/// What a fiber does: the count in its header.
pub(crate) mod status {
    /// It has not begun.
    pub(crate) const PENDING: usize = 0;
    pub(crate) const RUNNING: usize = 1;
    pub(crate) const DONE: usize = 2;
    pub(crate) const ERRORED: usize = 3;
    /// It waits for a value from a channel,
    pub(crate) const RECEIVING: usize = 4;
    /// for a channel to take its value,
    pub(crate) const SENDING: usize = 5;
    /// for another fiber to end.
    pub(crate) const JOINING: usize = 6;
    /// What it waited for is there.
    pub(crate) const READY: usize = 7;
}

/// Fields of a fiber.
pub(crate) mod field {
    /// The thunk of a pending fiber, the frames of one that waits, the result of one that is over.
    pub(crate) const VALUE: u32 = 0;
    /// The next fiber of the queue it is in.
    pub(crate) const NEXT: u32 = 1;
    /// The one in front of it, among the ready ones.
    pub(super) const PREVIOUS: u32 = 2;
    /// What it wants to send.
    pub(crate) const SENDS: u32 = 3;
    /// The first fiber that waits for its end.
    pub(crate) const AWAITED: u32 = 4;
}

/// Words of frames in front of the registers: where it goes on and how far above the start its frame lies, the places of the answer and of
/// the innermost handler, the number of frames and the place of the outermost handler.
const STATE: u32 = 3;

/// The fiber that runs, and the queue of those that could.
#[derive(Clone, Copy)]
pub(crate) struct Fibers {
    /// Nil on the main line.
    pub(crate) running: Value,
    first: Value,
    last: Value,
    /// The frame of the `go-run` that runs it.
    home: usize,
}

impl Fibers {
    pub(super) const NONE: Self = Self { running: Value::NIL, first: Value::NIL, last: Value::NIL, home: 0 };

    pub(super) const fn words(&self) -> [u64; 3] {
        [self.running.0, self.first.0, self.last.0]
    }

    pub(super) const fn set_words(&mut self, words: [u64; 3]) {
        [self.running.0, self.first.0, self.last.0] = words;
    }
}

/// The part of the stack that belongs to the fiber that runs.
struct Part {
    start: usize,
    /// The frame at its start.
    base: usize,
    frames: u32,
    /// Its outermost handler; the one outside when it has none.
    handler: usize,
    outside: usize,
}

impl Machine<'_> {
    /// `None` when nothing above the frame of `go-run` runs.
    fn part(&self) -> Option<Part> {
        let (mut base, mut frames) = (self.base, 1);
        loop {
            if base <= self.fibers.home {
                return None;
            }
            let below = base - place(self.stack[base - 1]).1;
            if below == self.fibers.home {
                break;
            }
            base = below;
            frames += 1;
        }
        let start = base - 2;
        let (mut handler, mut outside) = (self.handler, self.handler);
        while outside > start {
            handler = outside;
            outside -= place(self.stack[outside]).1;
        }
        Some(Part { start, base, frames, handler, outside })
    }

    /// Makes the fiber that runs wait; its answer will be that of the builtin at `pc`. Nothing has changed when the heap is full.
    pub(crate) fn park(&mut self, status: usize) -> Result<Value, Stop> {
        let fiber = self.fibers.running;
        let Some(part) = self.part() else {
            return Err(self.error(Tag::NativeFn, &["only a fiber can wait"]));
        };
        let registers = &self.stack[part.start..self.frame_end()];
        let word = self.program.code[self.pc];
        let (after, answer) = match Op::decode(word) {
            Some(Op::Builtin) => (self.pc + 2, self.base + code::c(word)),
            _ => (self.pc + 1, self.base + code::a(word)),
        };
        let above = |place: usize| place.saturating_sub(part.start);
        let size = STATE as usize + registers.len();
        let at = self.heap.alloc(1 + size)? as usize;
        let object = &mut self.heap.words[at..=at + size];
        object[0] = header(tag::FRAMES, 0, size);
        object[1] = place_word(after, above(self.base));
        object[2] = place_word(above(answer), above(self.handler));
        object[3] = place_word(part.frames as usize, above(part.handler));
        object[4..].copy_from_slice(registers);
        let cost = size / 8;
        self.heap.set_field(fiber, field::VALUE, Value::make(tag::FRAMES, at as u32, 0));
        self.heap.set_count(fiber, status);
        self.charge(cost)?;
        Ok(fiber)
    }

    /// Takes the fiber that waits from now on off the stack. `go-run` goes on, as if its call had returned.
    pub(super) fn leave_fiber(&mut self) {
        // `park` has found it.
        let Some(part) = self.part() else { return };
        self.pc = place(self.stack[part.base - 1]).0;
        self.base = self.fibers.home;
        self.depth -= part.frames;
        self.handler = part.outside;
        self.stack[part.start] = Value::NIL.0;
        self.fibers.running = Value::NIL;
    }

    /// Puts the frames of a fiber onto the stack, where `go-run` calls them.
    pub(super) fn unpark(&mut self, frames: Value, at: usize, base: usize, after: usize) -> Result<Called, Stop> {
        let size = crate::heap::size_of_header(self.heap.word(frames.index_of())) - STATE as usize;
        let state = |i: u32| place(self.heap.field(frames, i).0);
        let ((pc, top), (_, inner), (count, outer)) = (state(0), state(1), state(2));
        let deep = self.depth as usize + count > self.budget.depth as usize;
        if deep || !self.write_stack(at + size + WINDOW) {
            return Err(self.too_deep());
        }
        self.charge(size / 8)?;
        self.stack[at..at + size].copy_from_slice(self.heap.slice(frames.index_of() + 1 + STATE, size));
        self.stack[at + 1] = place_word(after, at + 2 - base);
        if inner != 0 {
            self.stack[at + outer] = place_word(0, at + outer - self.handler);
            self.handler = at + inner;
        }
        self.depth += count as u32;
        self.base = at + top;
        self.pc = pc;
        Ok(Called::Entered)
    }

    /// Puts a fiber at the end of those that are ready.
    pub(crate) fn enqueue(&mut self, fiber: Value) {
        let last = core::mem::replace(&mut self.fibers.last, fiber);
        self.heap.set_field(fiber, field::NEXT, Value::NIL);
        self.heap.set_field(fiber, field::PREVIOUS, last);
        if last.is_nil() {
            self.fibers.first = fiber;
        } else {
            self.heap.set_field(last, field::NEXT, fiber);
        }
    }

    /// Takes a fiber out of those that are ready.
    fn dequeue(&mut self, fiber: Value) {
        let (next, previous) = (self.heap.field(fiber, field::NEXT), self.heap.field(fiber, field::PREVIOUS));
        if previous.is_nil() {
            self.fibers.first = next;
        } else {
            self.heap.set_field(previous, field::NEXT, next);
        }
        if next.is_nil() {
            self.fibers.last = previous;
        } else {
            self.heap.set_field(next, field::PREVIOUS, previous);
        }
        self.heap.set_field(fiber, field::NEXT, Value::NIL);
    }

    /// Gives a fiber that waits its answer: it is ready.
    pub(crate) fn answer_fiber(&mut self, fiber: Value, answer: Value) {
        let frames = self.heap.field(fiber, field::VALUE);
        let (place, _) = place(self.heap.field(frames, 1).0);
        self.heap.set_field(frames, STATE + place as u32, answer);
        self.heap.set_count(fiber, status::READY);
        self.enqueue(fiber);
    }

    /// Begins or goes on with a fiber: what `go-run`, which runs in this frame, is to call. The goal itself when it has not begun, else the
    /// first that is ready; `None` when there is none.
    pub(crate) fn next_fiber(&mut self, goal: Value) -> Option<Value> {
        let fiber = if self.heap.count(goal) == status::PENDING { goal } else { self.fibers.first };
        if fiber.is_nil() {
            return None;
        }
        self.dequeue(fiber);
        self.heap.set_count(fiber, status::RUNNING);
        self.fibers.running = fiber;
        self.fibers.home = self.base;
        Some(self.heap.field(fiber, field::VALUE))
    }

    /// Lets a fiber that has not begun be the next one.
    pub(crate) fn hurry(&mut self, fiber: Value) {
        let first = self.fibers.first;
        if first != fiber {
            self.dequeue(fiber);
            self.heap.set_field(fiber, field::NEXT, first);
            self.heap.set_field(fiber, field::PREVIOUS, Value::NIL);
            self.heap.set_field(first, field::PREVIOUS, fiber);
            self.fibers.first = fiber;
        }
    }

    /// A fiber with a thunk, ready to begin.
    pub(crate) fn make_fiber(&mut self, thunk: Value) -> Result<Value, Exhausted> {
        let fiber = self.heap.fiber(thunk)?;
        self.enqueue(fiber);
        Ok(fiber)
    }
}
