//! Calling a function of a program whose top level has run.

use super::{Machine, State, Stop};
use crate::heap::hash_bytes;
use crate::value::{Value, tag};

impl Machine<'_> {
    /// The value that the program gave to `name` at its top level. Functions and constants are there by name only in a program that was
    /// compiled to keep them (`exports` of the compiler's options). Linear in the number of globals.
    #[must_use]
    pub fn global(&self, name: &str) -> Option<Value> {
        let id = self.program.names.find(name.as_bytes(), hash_bytes(name.as_bytes()))?;
        let at = self.program.global_names.iter().position(|n| *n == id)?;
        self.globals.get(at).map(|word| Value(*word)).filter(|v| *v != Value::UNBOUND)
    }

    /// The names that [`Self::global`] knows of functions that [`Self::enter`] can call.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        let named = self.globals.iter().enumerate().filter(|(_, word)| matches!(Value(**word).object_tag(), tag::CLOSURE | tag::FUNCTION));
        named.map(|(g, _)| self.program.global_name(g)).filter(|name| !name.starts_with('%'))
    }

    /// Makes the next [`Self::run`] call `function` with the elements of the list `args` instead of starting the program: with fresh
    /// fuel and output, in the globals and the heap that the runs before left. [`Step::Done`](crate::Step::Done) then has its result.
    ///
    /// False, and nothing happens, when `function` is no function written in the language or `args` no list.
    pub fn enter(&mut self, function: Value, args: Value) -> bool {
        if !matches!(function.object_tag(), tag::CLOSURE | tag::FUNCTION) || !args.is_list() {
            return false;
        }
        self.start();
        self.failure = None;
        self.state = State::Ready;
        // A call that cannot begin fails where the function begins.
        self.pc = self.program.function(self.heap.function_of(function)).entry as usize;
        self.stack[0] = function.0;
        self.stack[2] = args.0;
        let entered = self.spread(2, 1).and_then(|n| self.call_value(0, n, true, 2, 0));
        if let Err(stop) = entered {
            let _ = self.fail(stop);
            self.state = State::Raised;
        }
        true
    }

    /// Ends the run because the answer to the pending host call does not fit into the heap; without one, nothing happens.
    pub fn exhaust(&mut self) {
        if matches!(self.state, State::Calling(_)) {
            self.pc = self.pc.saturating_sub(1);
            let _ = self.fail(Stop::OutOfHeap);
            self.state = State::Raised;
        }
    }
}
