//! The machine's memory when it runs short: more of the stack, room on the heap.

use super::{Machine, State, Step, Stop};
use crate::code::{self, Op};
use crate::heap::Exhausted;
use crate::image::WINDOW;
use crate::value::{Value, tag};

/// Words that the collector looks at for one unit of fuel.
const WORDS_PER_FUEL: usize = 8;
/// Words of the stack that are written at a time.
const STRETCH: usize = 512;

impl Machine<'_> {
    /// Makes the words of the stack up to `end` well-formed, whatever the memory held before; whether there are so many.
    #[cold]
    pub(super) fn write_stack(&mut self, end: usize) -> bool {
        if end > self.stack.len() {
            return false;
        }
        if end > self.written {
            let end = self.stack.len().min(end + STRETCH);
            self.stack[self.written..end].fill(Value::NIL.0);
            self.written = end;
        }
        true
    }

    /// Where the registers of the frame that runs end. What lies behind is not used.
    pub(super) fn frame_end(&self) -> usize {
        let own = self.at(self.base - 2);
        let function = if matches!(own.object_tag(), tag::FUNCTION | tag::CLOSURE) { self.heap.function_of(own) } else { 0 };
        let end = self.base + usize::from(self.program.function(function).registers);
        match self.state {
            State::Calling(call) => end.max(call.at + call.args),
            _ => end,
        }
    }

    /// Slides together what the run can still reach. Values that the host holds are void afterwards.
    pub(super) fn collect(&mut self) {
        let end = self.frame_end();
        let mut fibers = self.fibers.words();
        let mut looked = self.heap.unmark();
        looked += self.heap.mark(&[self.globals, &self.stack[..end], &fibers]);
        looked += self.heap.plan();
        self.heap.redirect(self.globals);
        self.heap.redirect(&mut self.stack[..end]);
        self.heap.redirect(&mut fibers);
        self.fibers.set_words(fibers);
        looked += self.heap.slide();
        // What lies behind the frame refers to where things were. Below it, a frame may have more registers than this one.
        self.written = end.max(self.base + WINDOW);
        self.stack[end..self.written].fill(Value::NIL.0);
        let cost = (1 + looked / WORDS_PER_FUEL) as u64;
        self.collector_fuel += cost;
        self.fuel = self.fuel.saturating_sub_unsigned(cost).max(0);
    }

    /// Collects, so that the instruction at `pc` can be run again, from the start. It has changed nothing that it will look at.
    #[cold]
    pub(super) fn again(&mut self) -> Result<(), Step> {
        let word = self.program.code[self.pc];
        match Op::decode(word) {
            Some(Op::Call | Op::TailCall | Op::CallKnown | Op::TailKnown | Op::Builtin) => self.fuel += 1,
            Some(Op::Apply | Op::TailApply) => {
                let fixed = code::b(word) - 1;
                self.stack[self.base + code::a(word) + 2 + fixed] = self.spread.0.0;
                self.fuel += 1 + self.spread.1;
            }
            _ => {}
        }
        if !self.collects || self.starved == Some((self.pc, self.base, self.fuel)) {
            return Err(self.fail(Stop::OutOfHeap));
        }
        self.collect();
        if self.fuel == 0 {
            return Err(self.fail(Stop::OutOfFuel));
        }
        self.starved = Some((self.pc, self.base, self.fuel));
        Ok(())
    }

    /// What `make` makes for the host, after a collection if there is no room for it. While no host call waits, nothing is moved.
    pub(crate) fn or_collect<T, E: Full>(&mut self, mut make: impl FnMut(&mut Self) -> Result<T, E>) -> Result<T, E> {
        match make(self) {
            Err(e) if e.is_full() && self.collects && matches!(self.state, State::Calling(_)) => {
                self.collect();
                make(self)
            }
            made => made,
        }
    }

    /// Makes room for `bytes` more on the heap, while a host call waits. Values that were got before may be void afterwards, the arguments
    /// of the call among them: ask [`Machine::arg`] again.
    ///
    /// # Errors
    /// [`Exhausted`], when there are not so many.
    pub fn reserve(&mut self, bytes: u32) -> Result<(), Exhausted> {
        let words = (bytes as usize).div_ceil(8);
        self.or_collect(|m| if words > m.heap.limit - m.heap.top { Err(Exhausted) } else { Ok(()) })
    }

    /// For tests: the heap has only so many free words until the next collection. Right after one, nothing happens.
    #[doc(hidden)]
    pub fn squeeze(&mut self, words: usize) {
        if self.starved != Some((self.pc, self.base, self.fuel)) {
            self.heap.limit = self.heap.words.len().min(self.heap.top + words);
        }
    }
}

/// An error that may say that the heap is full.
pub(crate) trait Full {
    fn is_full(&self) -> bool;
}

impl Full for Exhausted {
    fn is_full(&self) -> bool {
        true
    }
}
