//! The loop over instructions.

use super::frames::{Called, place, place_word};
use super::{HostCall, Machine, State, Step, Stop, Tag};
use crate::builtins;
use crate::builtins::number::{self, Arith};
use crate::code::{a, b, bx, byte, c, sabc, sbx};
use crate::equal::{self, Numbers};
use crate::heap::move_down;
use crate::image::WINDOW;
use crate::value::{Value, tag};
use core::cmp::Ordering;

/// On bare metal, flash counts: what can also be done out of line is done there alone.
const SHORT: bool = cfg!(target_os = "none");

/// The words of a frame: callee, return address, registers.
const FRAME: usize = 2 + WINDOW;
const CALLEE: usize = 0;
const BACK: usize = 1;

/// The frame at `at`. Frames are only entered where they fit.
#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
fn frame_at(stack: &mut [u64], at: usize) -> &mut [u64; FRAME] {
    // A stack has so few words that the cut changes nothing, and shows that the sum below is larger.
    let at = at as u32 as usize;
    match stack.get_mut(at..at.wrapping_add(FRAME)).and_then(|frame| frame.first_chunk_mut()) {
        Some(frame) => frame,
        None => unreachable!("a frame is entered only where it fits"),
    }
}

/// Where the registers that an instruction names lie in the frame.
#[inline]
const fn ra(word: u32) -> usize {
    2 + a(word)
}
#[inline]
const fn rb(word: u32) -> usize {
    2 + b(word)
}
#[inline]
const fn rc(word: u32) -> usize {
    2 + c(word)
}

/// The int that an instruction carries, as a word.
#[inline]
const fn int(word: u32) -> u64 {
    ((sbx(word) as i64) << 2) as u64
}

impl Machine<'_> {
    #[allow(clippy::too_many_lines, reason = "one arm per instruction, in one loop: that is what is fast")]
    #[allow(clippy::manual_range_patterns, reason = "a range is a comparison of its own, numbers are rows of the jump's table")]
    pub(super) fn execute(&mut self, slice: u64) -> Step {
        if self.pc == usize::MAX {
            self.pc = 0;
            self.state = State::Failed;
            return Step::Failed;
        }
        let code = self.program.code;
        let mut fuel = self.fuel;
        let stop_at = fuel.saturating_sub(i64::try_from(slice).unwrap_or(i64::MAX)).max(0);
        let mut pc = self.pc;
        // Where the frame lies whose code runs. Its registers start behind callee and return address, at `base`.
        let mut here = self.base - 2;
        let mut frame = frame_at(self.stack, here);

        let mut word = code[pc];
        loop {
            // Labels are known only to macros that are written inside of what they name: so all of them stand here.
            'done: {
                // Leaves the loop with its state written back.
                macro_rules! leave {
                    ($pc:expr) => {{
                        self.pc = $pc;
                        self.base = here + 2;
                        self.fuel = fuel;
                    }};
                }
                // Something went wrong at `pc`: find a handler or fail.
                macro_rules! stop {
                    ($stop:expr) => {{
                        leave!(pc);
                        let stop = $stop;
                        match self.unwind(stop) {
                            Ok(()) => {
                                pc = self.pc;
                                here = self.base - 2;
                                fuel = self.fuel;
                                frame = frame_at(self.stack, here);
                                break 'done;
                            }
                            Err(step) => return step,
                        }
                    }};
                }
                macro_rules! tick {
                    () => {
                        if fuel <= stop_at {
                            leave!(pc);
                            if fuel <= 0 {
                                return self.fail(Stop::OutOfFuel);
                            }
                            return Step::Paused;
                        }
                        fuel -= 1;
                    };
                }
                // Takes over what a method used up, unless it will be run again: then it is charged then.
                macro_rules! settle {
                    ($result:expr) => {
                        if !matches!($result, Err(Stop::OutOfHeap)) {
                            fuel = self.fuel;
                        }
                    };
                }
                // Runs a method of the machine that may fail, with registers and fuel handed over and taken back.
                macro_rules! with_machine {
                    ($call:expr) => {{
                        leave!(pc);
                        let result = $call;
                        settle!(result);
                        match result {
                            Ok(v) => {
                                frame = frame_at(self.stack, here);
                                v
                            }
                            Err(stop) => stop!(stop),
                        }
                    }};
                }
                macro_rules! jump {
                    ($by:expr) => {{
                        pc = pc.wrapping_add_signed($by as isize);
                    }};
                }
                macro_rules! branch {
                    ($goes_on:expr) => {{
                        if $goes_on {
                            pc += 2;
                        } else {
                            jump!(code[pc + 1] as i32);
                        }
                    }};
                }
                macro_rules! enter_known {
                    ($tail:expr) => {{
                        tick!();
                        let function = bx(word);
                        let [entry, _, arity, ..] = self.program.functions[function];
                        let callee = Value::make(tag::FUNCTION, function as u32, 0).0;
                        if $tail {
                            // The arguments move down to the start of this frame.
                            frame[CALLEE] = callee;
                            let mut from = ra(word) + 2;
                            for to in 2..2 + (arity & 0xff) as usize {
                                frame[to] = frame[from];
                                from += 1;
                            }
                        } else {
                            let at = here + ra(word);
                            if self.depth >= self.budget.depth || (at + FRAME > self.written && !self.write_stack(at + FRAME)) {
                                stop!(self.too_deep());
                            }
                            self.depth += 1;
                            here = at;
                            frame = frame_at(self.stack, here);
                            frame[CALLEE] = callee;
                            frame[BACK] = place_word(pc + 1, ra(word));
                        }
                        pc = entry as usize;
                    }};
                }
                // A call of whatever there is. What takes just these arguments and no more is entered here, everything else elsewhere.
                macro_rules! call_value {
                    ($callee:expr, $at:expr, $n:expr, $tail:expr) => {{
                        let callee = Value($callee);
                        let at = here + 2 + $at;
                        if !SHORT
                            && (callee.is(tag::CLOSURE) || callee.is(tag::FUNCTION))
                            && let Some(entry) = self.program.entry_for(self.heap.function_of(callee), $n)
                            && ($tail || (self.depth < self.budget.depth && at + FRAME <= self.written))
                        {
                            if $tail {
                                move_down(self.stack, at + 2, $n, here + 2);
                                frame = frame_at(self.stack, here);
                                frame[CALLEE] = callee.0;
                            } else {
                                self.depth += 1;
                                here = at;
                                frame = frame_at(self.stack, here);
                                frame[BACK] = place_word(pc + 1, $at + 2);
                            }
                            pc = entry;
                            break 'done;
                        }
                        leave!(pc);
                        let called = self.call_value(at, $n, $tail, here + 2, pc + 1);
                        settle!(called);
                        match called {
                            Ok(Called::Entered) => {
                                pc = self.pc;
                                here = self.base - 2;
                                frame = frame_at(self.stack, here);
                            }
                            Ok(Called::Answered) => {
                                pc += 1;
                                frame = frame_at(self.stack, here);
                            }
                            Ok(Called::Host(call)) => {
                                leave!(pc + 1);
                                self.state = State::Calling(call);
                                return Step::Call;
                            }
                            Err(Stop::Output) => {
                                self.stack[at] = Value::NIL.0;
                                leave!(pc + 1);
                                return self.give_output();
                            }
                            Err(stop) => stop!(stop),
                        }
                    }};
                }

                // What is done here goes on with the next instruction. What takes longer leaves the two values that it is about.
                let (x, y) = 'slow: {
                    // Instructions of two words: done at once when they are small ints, else slowly.
                    macro_rules! arith {
                        ($x:expr, $y:expr, $small:expr) => {{
                            let (x, y): (u64, u64) = ($x, $y);
                            if SHORT || (x | y) & 3 != 0 {
                                break 'slow (x, y);
                            }
                            let Some(r) = $small(x as i64, y as i64) else { break 'slow (x, y) };
                            let r: i64 = r;
                            frame[ra(word)] = r as u64;
                            pc += 1;
                        }};
                    }
                    macro_rules! test {
                        ($small:expr) => {{
                            let (x, y) = (frame[rb(word)], frame[rc(word)]);
                            if SHORT || (x | y) & 3 != 0 {
                                break 'slow (x, y);
                            }
                            frame[ra(word)] = Value::bool($small(&(x as i64), &(y as i64))).0;
                            pc += 1;
                        }};
                    }
                    macro_rules! unless {
                        ($x:expr, $y:expr, $small:expr) => {{
                            let (x, y): (u64, u64) = ($x, $y);
                            if SHORT || (x | y) & 3 != 0 {
                                break 'slow (x, y);
                            }
                            branch!($small(&(x as i64), &(y as i64)));
                        }};
                    }
                    // Every number of six bits has an arm, so that the jump needs no check.
                    match word as u8 & 63 {
                        byte::Move => {
                            frame[ra(word)] = frame[rb(word)];
                            pc += 1;
                        }
                        byte::MoveTwo => {
                            frame[ra(word)] = frame[rb(word)];
                            frame[ra(word) + 1] = frame[rc(word)];
                            pc += 1;
                        }
                        byte::Const => {
                            frame[ra(word)] = self.program.constants[bx(word)];
                            pc += 1;
                        }
                        byte::Int => {
                            frame[ra(word)] = int(word);
                            pc += 1;
                        }
                        byte::Imm => {
                            frame[ra(word)] = (b(word) as u64) << 8 | 1;
                            pc += 1;
                        }
                        byte::Global => {
                            let v = self.globals[bx(word)];
                            if v == Value::UNBOUND.0 {
                                let name = self.program.global_name(bx(word));
                                stop!(self.error(Tag::UnboundSymbol, &["`", name, "` is not defined"]));
                            }
                            frame[ra(word)] = v;
                            pc += 1;
                        }
                        byte::SetGlobal => {
                            if self.globals[bx(word)] == Value::UNBOUND.0 {
                                let name = self.program.global_name(bx(word));
                                stop!(self.error(Tag::UnboundSymbol, &["`", name, "` is not defined"]));
                            }
                            self.globals[bx(word)] = frame[ra(word)];
                            pc += 1;
                        }
                        byte::Define => {
                            self.globals[bx(word)] = frame[ra(word)];
                            pc += 1;
                        }
                        byte::Own => {
                            frame[ra(word)] = frame[CALLEE];
                            pc += 1;
                        }
                        byte::Capture => {
                            frame[ra(word)] = self.heap.word(Value(frame[CALLEE]).index_of() + 1 + b(word) as u32);
                            pc += 1;
                        }
                        byte::Cell => match self.heap.cell(Value(frame[ra(word)])) {
                            Ok(cell) => {
                                frame[ra(word)] = cell.0;
                                pc += 1;
                            }
                            Err(e) => stop!(e.into()),
                        },
                        byte::CellGet => match self.heap.cell_word(Value(frame[rb(word)])) {
                            Some(content) => {
                                frame[ra(word)] = *content;
                                pc += 1;
                            }
                            None => stop!(Stop::Damaged),
                        },
                        byte::CellSet => match self.heap.cell_word(Value(frame[ra(word)])) {
                            Some(content) => {
                                *content = frame[rb(word)];
                                pc += 1;
                            }
                            None => stop!(Stop::Damaged),
                        },
                        byte::Closure => {
                            let f = bx(word) as u32;
                            let n = code[pc + 1] as usize;
                            let v = if n == 0 {
                                Value::make(tag::FUNCTION, f, 0)
                            } else {
                                let own = Value(frame[CALLEE]);
                                let at = match self.heap.closure(f, n) {
                                    Ok(at) => at,
                                    Err(e) => stop!(e.into()),
                                };
                                for (i, capture) in code[pc + 2..pc + 2 + n].iter().enumerate() {
                                    let from = (capture & 0xff) as u8;
                                    let v = if capture >> 8 == 0 {
                                        frame[2 + usize::from(from)]
                                    } else {
                                        self.heap.word(own.index_of() + 1 + u32::from(from))
                                    };
                                    self.heap.words[at as usize + 1 + i] = v;
                                }
                                Value::make(tag::CLOSURE, at, 0)
                            };
                            frame[ra(word)] = v.0;
                            pc += 2 + n;
                        }
                        byte::Jump => jump!(sabc(word)),
                        byte::Loop => {
                            tick!();
                            jump!(sabc(word));
                        }
                        byte::LoopMove => {
                            tick!();
                            frame[ra(word)] = frame[rb(word)];
                            jump!(code[pc + 1] as i32);
                        }
                        byte::JumpFalse => {
                            jump!(if Value(frame[ra(word)]).is_true() { 1 } else { sbx(word) });
                        }
                        byte::JumpTrue => {
                            jump!(if Value(frame[ra(word)]).is_true() { sbx(word) } else { 1 });
                        }
                        byte::JumpNil => {
                            jump!(if Value(frame[ra(word)]).is_nil() { sbx(word) } else { 1 });
                        }
                        byte::JumpSome => {
                            jump!(if Value(frame[ra(word)]).is_nil() { 1 } else { sbx(word) });
                        }
                        byte::NotLess => unless!(frame[ra(word)], frame[rb(word)], i64::lt),
                        byte::NotAtMost => unless!(frame[ra(word)], frame[rb(word)], i64::le),
                        byte::NotEqual => unless!(frame[ra(word)], frame[rb(word)], i64::eq),
                        byte::NotLessInt => unless!(frame[ra(word)], int(word), i64::lt),
                        byte::NotAtMostInt => unless!(frame[ra(word)], int(word), i64::le),
                        byte::NotMoreInt => unless!(frame[ra(word)], int(word), i64::gt),
                        byte::NotAtLeastInt => unless!(frame[ra(word)], int(word), i64::ge),
                        byte::NotEqualInt => unless!(frame[ra(word)], int(word), i64::eq),
                        byte::Add => arith!(frame[rb(word)], frame[rc(word)], i64::checked_add),
                        byte::Sub => arith!(frame[rb(word)], frame[rc(word)], i64::checked_sub),
                        byte::Mul => arith!(frame[rb(word)], frame[rc(word)], |x: i64, y| (x >> 2).checked_mul(y)),
                        byte::AddInt => arith!(frame[rb(word)], (i64::from(c(word) as u8 as i8) << 2) as u64, i64::checked_add),
                        // Words are four times their ints, so their rests are, too.
                        byte::Mod => arith!(frame[rb(word)], frame[rc(word)], crate::division::modulo),
                        byte::Less => test!(i64::lt),
                        byte::AtMost => test!(i64::le),
                        byte::Equal => test!(i64::eq),
                        byte::Not => {
                            frame[ra(word)] = Value::bool(!Value(frame[rb(word)]).is_true()).0;
                            pc += 1;
                        }
                        byte::IsNil => {
                            frame[ra(word)] = Value::bool(Value(frame[rb(word)]).is_nil()).0;
                            pc += 1;
                        }
                        byte::Cons => {
                            let (first, rest) = (Value(frame[rb(word)]), Value(frame[rc(word)]));
                            if !rest.is_list() {
                                stop!(self.mismatch("list", rest));
                            }
                            match self.heap.cons(first, rest) {
                                Ok(v) => frame[ra(word)] = v.0,
                                Err(e) => stop!(e.into()),
                            }
                            pc += 1;
                        }
                        byte::Car => {
                            let v = Value(frame[rb(word)]);
                            if !v.is_pair() {
                                stop!(self.no_pair("car", v));
                            }
                            frame[ra(word)] = self.heap.first(v).0;
                            pc += 1;
                        }
                        byte::Cdr => {
                            let v = Value(frame[rb(word)]);
                            if !v.is_pair() {
                                stop!(self.no_pair("cdr", v));
                            }
                            frame[ra(word)] = self.heap.rest(v).0;
                            pc += 1;
                        }
                        byte::Push => {
                            let buffer = Value(frame[rb(word)]);
                            if buffer.is(tag::BUFFER) {
                                self.heap.buffer_push(buffer, Value(frame[rc(word)]));
                            }
                            frame[ra(word)] = Value::NIL.0;
                            pc += 1;
                        }
                        byte::Get => break 'slow (frame[rb(word)], frame[rc(word)]),
                        byte::Field => {
                            let (map, key) = (Value(frame[rb(word)]), Value(self.program.constants[c(word)]));
                            if !SHORT
                                && map.is(tag::MAP)
                                && key.is(tag::KEYWORD)
                                && let Some(found) = self.heap.map_get_word(map, key)
                            {
                                frame[ra(word)] = found.unwrap_or(Value::NIL).0;
                                pc += 1;
                            } else {
                                break 'slow (map.0, key.0);
                            }
                        }
                        byte::CallKnown => enter_known!(false),
                        byte::TailKnown => enter_known!(true),
                        byte::Call => {
                            tick!();
                            let (callee, map) = (Value(frame[ra(word)]), Value(frame[ra(word) + 2]));
                            if !SHORT
                                && callee.is(tag::KEYWORD)
                                && b(word) == 1
                                && map.is(tag::MAP)
                                && let Some(found) = self.heap.map_get_word(map, callee)
                            {
                                frame[ra(word)] = found.unwrap_or(Value::NIL).0;
                                pc += 1;
                            } else {
                                call_value!(frame[ra(word)], a(word), b(word), false);
                            }
                        }
                        byte::TailCall => {
                            tick!();
                            call_value!(frame[ra(word)], a(word), b(word), true);
                        }
                        byte::Apply | byte::TailApply => {
                            tick!();
                            let at = here + ra(word);
                            // Who complains looks at where the machine is.
                            leave!(pc);
                            let n = match self.spread(at + 2, b(word)) {
                                Ok(n) => n,
                                Err(stop) => stop!(stop),
                            };
                            fuel -= self.spread.1;
                            call_value!(self.stack[at], a(word), n, word as u8 == byte::TailApply);
                        }
                        byte::Builtin => {
                            tick!();
                            let run = self.builtins.code(code[pc + 1]);
                            leave!(pc);
                            let result = run(self, here + ra(word), b(word));
                            settle!(result);
                            match result {
                                Ok(v) => {
                                    frame = frame_at(self.stack, here);
                                    frame[rc(word)] = v.0;
                                    pc += 2;
                                }
                                Err(Stop::Output) => {
                                    self.stack[here + rc(word)] = Value::NIL.0;
                                    leave!(pc + 2);
                                    return self.give_output();
                                }
                                Err(stop) => stop!(stop),
                            }
                        }
                        byte::Host => {
                            tick!();
                            let call = HostCall { import: code[pc + 1], args: b(word), at: here + ra(word), result: here + rc(word) };
                            leave!(pc + 2);
                            self.state = State::Calling(call);
                            return Step::Call;
                        }
                        byte::Return => {
                            let (v, back) = (frame[ra(word)], frame[BACK]);
                            // That is where the caller had the callee.
                            frame[CALLEE] = v;
                            if here == 0 {
                                leave!(pc);
                                self.state = State::Done(Value(v));
                                return Step::Done(Value(v));
                            }
                            self.depth -= 1;
                            let (after, distance) = place(back);
                            pc = after;
                            here -= distance;
                            frame = frame_at(self.stack, here);
                        }
                        byte::Try => {
                            // Two words: how far below the handler outside this one lies, then where to go and how far below the frame lies.
                            let handler = here + ra(word);
                            frame[ra(word)] = place_word(0, handler - self.handler);
                            let to = pc.wrapping_add_signed(code[pc + 1] as i32 as isize);
                            frame[ra(word) + 1] = place_word(to, a(word));
                            self.handler = handler;
                            pc += 2;
                        }
                        byte::EndTry => {
                            self.handler = here + ra(word) - place(frame[ra(word)]).1;
                            pc += 1;
                        }
                        byte::Raise => {
                            let kind = Tag::from_code(a(word)).unwrap_or(Tag::NotImplemented);
                            let message = Value(self.program.constants[code[pc + 1] as usize]);
                            stop!(self.raised(kind, message));
                        }
                        57 | 58 | 59 | 60 | 61 | 62 | 63 => stop!(Stop::Damaged),
                        _ => unreachable!("six bits"),
                    }
                    break 'done;
                };
                let v = with_machine!(self.operate(word as u8, Value(x), Value(y)));
                if matches!(word as u8, byte::NotLess..=byte::NotEqualInt) {
                    branch!(v.is_true());
                } else {
                    frame[ra(word)] = v.0;
                    pc += 1;
                }
            }
            // A loop with one way back stays one loop: of one with several, LLVM makes two, and computes ahead what only calls need.
            word = code[pc];
        }
    }

    /// What an instruction of two values comes out as, whatever they are; for one that jumps, whether it does not.
    #[inline(never)]
    fn operate(&mut self, op: u8, x: Value, y: Value) -> Result<Value, Stop> {
        let order = |m: &mut Self, test: fn(Ordering) -> bool| {
            let order = number::order(m, x, y)?;
            Ok(Value::bool(order.is_some_and(test)))
        };
        match op {
            byte::Add | byte::AddInt => number::arith(self, Arith::Add, x, y),
            byte::Sub => number::arith(self, Arith::Sub, x, y),
            byte::Mul => number::arith(self, Arith::Mul, x, y),
            byte::Mod => number::modulo_of(self, x, y),
            byte::Less | byte::NotLess | byte::NotLessInt => order(self, Ordering::is_lt),
            byte::AtMost | byte::NotAtMost | byte::NotAtMostInt => order(self, Ordering::is_le),
            byte::NotMoreInt => order(self, Ordering::is_gt),
            byte::NotAtLeastInt => order(self, Ordering::is_ge),
            byte::Get => builtins::map::get_from(self, x, y),
            byte::Field => builtins::map::lookup(self, x, y, Value::NIL),
            _ => self.same(x, y).map(Value::bool),
        }
    }

    /// `=` of any two values.
    fn same(&mut self, x: Value, y: Value) -> Result<bool, Stop> {
        if x.is(tag::STRING) && y.is(tag::STRING) {
            let (x, y) = (self.heap.string_words(x), self.heap.string_words(y));
            self.fuel -= x.0 as i64 / 64;
            return Ok(x == y);
        }
        let mut fuel = self.fuel;
        let answer = equal::equal(&self.heap, x, y, Numbers::Value, &mut fuel);
        self.fuel = fuel;
        answer.map_err(|w| builtins::work(self, w))
    }

    fn give_output(&mut self) -> Step {
        let text = self.cause;
        // The text is the newest object: it is given back when the run goes on.
        let top = text.index_of() as usize;
        self.state = State::Output { text, top };
        Step::Output
    }
}
