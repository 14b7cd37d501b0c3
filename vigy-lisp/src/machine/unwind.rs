//! From where something went wrong to its handler, or to the fault that the host sees.

use core::fmt::Write;

use super::fault::beginning;
use super::frames::place;
use super::{CHAIN, Fault, FaultKind, Frame, Machine, Message, NO_HANDLER, State, Step, Stop, Tag};
use crate::number::digits;
use crate::print;
use crate::value::{Value, tag};

fn short(text: &str) -> heapless::String<48> {
    // What does not fit is cut off.
    heapless::String::try_from(beginning(text, 48)).unwrap_or_default()
}

impl Machine<'_> {
    /// Goes on after an instruction that did not finish: at the innermost handler, at the instruction again, in another fiber. Or fails.
    pub(super) fn unwind(&mut self, stop: Stop) -> Result<(), Step> {
        match stop {
            Stop::Raised | Stop::Thrown if self.handler != NO_HANDLER => {}
            Stop::OutOfHeap => return self.again(),
            Stop::Parked => {
                self.leave_fiber();
                return Ok(());
            }
            stop => return Err(self.fail(stop)),
        }
        let at = self.handler;
        let (_, outside) = place(self.stack[at]);
        let (pc, below) = place(self.stack[at + 1]);
        let base = at - below;
        while self.base > base {
            self.base -= place(self.stack[self.base - 1]).1;
            self.depth -= 1;
        }
        self.pc = pc;
        self.handler = at - outside;
        self.stack[at] = self.cause.0;
        // The second word says whether the language raised it: a handler that passes it on keeps that.
        self.stack[at + 1] = Value::bool(matches!(stop, Stop::Raised)).0;
        Ok(())
    }

    /// Ends the run, and leaves everything where it is: [`Self::fault`] tells why, if somebody asks.
    #[cold]
    pub(super) fn fail(&mut self, stop: Stop) -> Step {
        self.fuel = self.fuel.max(0);
        self.failure = Some(stop);
        self.state = State::Failed;
        Step::Failed
    }

    /// Why the last run failed. It is told from where the run ended, each time it is asked for.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let (stop, v) = (self.failure?, self.cause);
        let mut message = Message::default();
        let kind = match stop {
            Stop::OutOfFuel => FaultKind::OutOfFuel,
            // A fiber that waits is no failure: `unwind` sees to it.
            Stop::OutOfHeap | Stop::Parked => FaultKind::OutOfHeap,
            Stop::OutOfOutput | Stop::Output => FaultKind::OutOfOutput,
            Stop::Damaged => FaultKind::Damaged,
            Stop::Thrown => FaultKind::Raised { tag: short(Tag::User.text()) },
            Stop::Raised => FaultKind::Raised { tag: short(self.heap.text(self.heap.field(v, 0))) },
        };
        // Messages keep what fits and never fail.
        let mut limit = |of: i64, what: &str| ["the limit is ", &digits(of), what].iter().try_for_each(|part| message.write_str(part));
        let _ = match stop {
            Stop::OutOfFuel => limit(i64::try_from(self.budget.fuel).unwrap_or(i64::MAX), " steps"),
            Stop::OutOfHeap | Stop::Parked => limit(self.budget.heap_bytes.into(), " bytes"),
            Stop::OutOfOutput | Stop::Output => limit(self.budget.output_bytes.into(), " bytes"),
            Stop::Damaged => message.write_str("the program is not what a compiler made"),
            Stop::Raised => message.write_str(self.heap.text(self.heap.field(v, 1))),
            Stop::Thrown if v.is(tag::ERROR) => self.tell_error(v, &mut message),
            Stop::Thrown => message.write_str("uncaught: ").and_then(|()| print::write(self, v, print::Style::Readable, &mut message)),
        };
        let mut chain = heapless::Vec::<_, CHAIN>::new();
        let (mut pc, mut base) = (self.pc, self.base);
        loop {
            if let Some(span) = self.program.span_at(pc as u32)
                && chain.push(Frame { function: self.number_at(base), span }).is_err()
            {
                break;
            }
            if base <= 2 {
                break;
            }
            let (back, distance) = place(self.stack[base - 1]);
            // The return address lies behind the call.
            pc = back.saturating_sub(1);
            base -= distance;
        }
        let thrown = match stop {
            Stop::Thrown if v.is(tag::ERROR) => Some(short(self.heap.text(self.heap.field(v, 0)))),
            _ => None,
        };
        Some(Fault { kind, message, span: chain.first().map(|frame| frame.span), thrown, chain })
    }

    /// Writes an error as `tag: message`, and its data behind that.
    fn tell_error(&self, v: Value, out: &mut Message) -> core::fmt::Result {
        let [tag, message, data] = [0, 1, 2].map(|i| self.heap.field(v, i));
        [self.heap.text(tag), ": ", self.heap.text(message)].iter().try_for_each(|part| out.write_str(part))?;
        if data.is_nil() {
            return Ok(());
        }
        out.write_char(' ')?;
        print::write(self, data, print::Style::Readable, out)
    }

    /// The number of the function whose registers start at `base`.
    fn number_at(&self, base: usize) -> u32 {
        let callee = self.at(base - 2);
        match callee.object_tag() {
            tag::FUNCTION | tag::CLOSURE => self.heap.function_of(callee),
            _ => 0,
        }
    }
}
