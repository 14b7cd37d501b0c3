//! Calls of values: arguments, frames, arities.

use super::{HostCall, Machine, Stop, Tag};
use crate::builtins;
use crate::heap::move_down;
use crate::image::WINDOW;
use crate::number::digits;
use crate::print;
use crate::value::{Value, tag};

/// A place in the code and a distance on the stack, as a word that reads as a small int: where to go on, and how far below the frame
/// lies. So are return addresses written, and handlers.
#[inline]
pub(super) const fn place_word(pc: usize, distance: usize) -> u64 {
    ((pc as u64) << 32) | (distance as u64) << 2
}

/// What [`place_word`] put together.
#[inline]
pub(super) const fn place(word: u64) -> (usize, usize) {
    ((word >> 32) as usize, (word as u32 >> 2) as usize)
}

/// What calling a value led to.
pub(super) enum Called {
    /// A frame was entered.
    Entered,
    /// It was done on the spot; the result is where the callee was.
    Answered,
    /// The host has to answer.
    Host(HostCall),
}

impl Machine<'_> {
    #[cold]
    pub(super) fn no_pair(&mut self, name: &str, v: Value) -> Stop {
        if v.is_nil() { self.error(Tag::NativeFn, &["`", name, "`: expected pair, got the empty list"]) } else { self.mismatch("pair", v) }
    }

    #[cold]
    pub(super) fn too_deep(&mut self) -> Stop {
        let limit = i64::from(self.budget.depth);
        self.error(Tag::DepthExceeded, &["more than ", &digits(limit), " calls within each other"])
    }

    /// Replaces the list in the last of `n` arguments by its elements; the number of arguments then.
    pub(super) fn spread(&mut self, at: usize, n: usize) -> Result<usize, Stop> {
        let last = self.at(at + n - 1);
        self.spread = (last, 0);
        if !last.is_list() {
            return Err(self.mismatch("list", last));
        }
        let more = self.heap.length(last);
        let start = at + n - 1;
        if !self.write_stack(start + more + WINDOW) {
            return Err(self.too_deep());
        }
        let (heap, stack) = (&self.heap, &mut *self.stack);
        let mut to = start;
        let mut list = last;
        while list.is_pair() {
            let (run, tail) = heap.run(list);
            stack[to..to + run.len()].copy_from_slice(run);
            to += run.len();
            list = tail;
        }
        self.spread.1 = (to - at) as i64 / 8;
        Ok(to - at)
    }

    /// Calls the value at `at` with the `n` arguments from `at + 2` on.
    pub(super) fn call_value(&mut self, at: usize, n: usize, tail: bool, base: usize, after: usize) -> Result<Called, Stop> {
        let callee = self.at(at);
        self.base = base;
        match callee.object_tag() {
            tag::CLOSURE | tag::FUNCTION => {
                let f = self.program.function(self.heap.function_of(callee));
                let (required, optional) = (usize::from(f.required), usize::from(f.optional));
                let fixed = required + optional;
                if n < required || (n > fixed && !f.rest) {
                    return Err(self.wrong_arity(callee, n));
                }
                // The window of the callee must fit, and what is spread behind it may be long.
                let next = if tail { base } else { at + 2 };
                let window = at + 2 + WINDOW;
                if (window > self.written && !self.write_stack(window)) || (!tail && self.depth >= self.budget.depth) {
                    return Err(self.too_deep());
                }
                if fixed > n {
                    self.stack[at + 2 + n..at + 2 + fixed].fill(Value::ABSENT.0);
                }
                if f.rest {
                    let more = n.saturating_sub(fixed);
                    let (args, heap) = self.args_and_heap(at + 2 + fixed, more);
                    let rest = heap.list(args, Value::NIL)?;
                    self.stack[at + 2 + fixed] = rest.0;
                    self.fuel -= more as i64 / 8;
                }
                if tail {
                    let moved = fixed + usize::from(f.rest);
                    move_down(self.stack, at + 2, moved, base);
                    self.stack[base - 2] = callee.0;
                } else {
                    self.depth += 1;
                    self.stack[at + 1] = place_word(after, next - base);
                }
                self.base = next;
                self.pc = f.entry as usize;
                Ok(Called::Entered)
            }
            tag::BUILTIN => {
                if !self.builtins.accepts(callee.index_of(), n) {
                    return Err(self.wrong_arity(callee, n));
                }
                let v = self.builtins.code(callee.index_of())(self, at + 2, n)?;
                self.stack[at] = v.0;
                Ok(Called::Answered)
            }
            tag::HOST => {
                let import = callee.index_of();
                let (min, max) = self.program.import_arity(import);
                if n < min || max.is_some_and(|max| n > max) {
                    return Err(self.wrong_arity(callee, n));
                }
                Ok(Called::Host(HostCall { import, args: n, at: at + 2, result: at }))
            }
            tag::KEYWORD | tag::MAP if n == 1 || n == 2 => {
                let (first, default) = (self.at(at + 2), if n == 2 { self.at(at + 3) } else { Value::NIL });
                let (map, key) = if callee.is(tag::MAP) { (callee, first) } else { (first, callee) };
                let v = builtins::map::lookup(self, map, key, default)?;
                self.stack[at] = v.0;
                Ok(Called::Answered)
            }
            tag::KEYWORD | tag::MAP => Err(self.wrong_arity(callee, n)),
            tag::FRAMES => self.unpark(callee, at, base, after),
            _ => {
                let got = print::type_name(callee);
                Err(self.error(Tag::NotCallable, &["expected function, got ", got]))
            }
        }
    }

    #[cold]
    fn wrong_arity(&mut self, callee: Value, n: usize) -> Stop {
        let name = print::callee(&self.heap, &self.program, self.builtins, callee);
        let (min, max) = match callee.object_tag() {
            tag::BUILTIN => self.builtins.arity(callee.index_of()),
            tag::HOST => self.program.import_arity(callee.index_of()),
            tag::CLOSURE | tag::FUNCTION => {
                let f = self.program.function(self.heap.function_of(callee));
                let required = usize::from(f.required);
                (required, (!f.rest).then_some(required + usize::from(f.optional)))
            }
            _ => (1, Some(2)),
        };
        let (fewest, most) = (digits(min as i64), digits(max.unwrap_or(min) as i64));
        let wants = crate::arity::parts(min, max, &fewest, &most);
        self.error_in(
            Tag::ArityMismatch,
            &["`", name, "` expected "],
            &[wants[0], wants[1], wants[2], wants[3], wants[4], ", got ", &digits(n as i64)],
        )
    }
}
