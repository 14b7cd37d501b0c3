//! The loop over instructions.

use super::frames::{Called, place, place_word};
use super::{HostCall, Machine, Message, State, Step, Stop, Tag};
use crate::builtins;
use crate::code::{a, b, bx, byte, c, sabc, sbx};
use crate::equal::{self, Numbers};
use crate::heap::move_down;
use crate::image::WINDOW;
use crate::value::{Value, tag};
use core::cmp::Ordering;
use core::fmt::Write;

type Window = [u64; WINDOW];

/// The registers of the frame at `base`. Frames are only entered where a window fits.
#[cfg_attr(target_os = "none", inline(never))]
fn window(stack: &mut [u64], base: usize) -> &mut Window {
    match stack.get_mut(base..).and_then(|s| s.first_chunk_mut()) {
        Some(w) => w,
        None => unreachable!("a frame is entered only where its window fits"),
    }
}

/// The words of a frame: callee, return address, registers.
const FRAME: usize = 2 + WINDOW;

#[cfg_attr(target_os = "none", inline(never))]
fn frame(stack: &mut [u64], at: usize) -> &mut [u64; FRAME] {
    match stack.get_mut(at..).and_then(|s| s.first_chunk_mut()) {
        Some(frame) => frame,
        None => unreachable!("it was checked that the frame fits"),
    }
}

impl Machine<'_> {
    #[allow(clippy::too_many_lines, reason = "one arm per instruction, in one loop: that is what is fast")]
    pub(super) fn execute(&mut self, slice: u64) -> Step {
        if self.pc == usize::MAX {
            self.pc = 0;
            self.state = State::Failed;
            return Step::Failed;
        }
        let p = self.program;
        let code = p.code;
        let mut fuel = self.fuel;
        let stop_at = fuel.saturating_sub(i64::try_from(slice).unwrap_or(i64::MAX)).max(0);
        let mut pc = self.pc;
        let mut base = self.base;
        let mut regs = window(self.stack, base);

        // Leaves the loop with its state written back.
        macro_rules! leave {
            ($pc:expr) => {{
                self.pc = $pc;
                self.base = base;
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
                        base = self.base;
                        fuel = self.fuel;
                        regs = window(self.stack, base);
                        continue;
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
                        regs = window(self.stack, base);
                        v
                    }
                    Err(stop) => stop!(stop),
                }
            }};
        }
        macro_rules! arith {
            ($word:expr, $checked:ident, $slow:expr) => {{
                let (x, y) = (regs[b($word)], regs[c($word)]);
                if (x | y) & 3 == 0
                    && let Some(r) = (x as i64).$checked(y as i64)
                {
                    regs[a($word)] = r as u64;
                } else {
                    let v = with_machine!(builtins::number::arith(self, $slow, Value(x), Value(y)));
                    regs[a($word)] = v.0;
                }
                pc += 1;
            }};
        }
        // A comparison of two registers' words, by a test on small ints and one on orders.
        macro_rules! compare {
            ($x:expr, $y:expr, $small:expr, $order:expr) => {{
                let (x, y): (u64, u64) = ($x, $y);
                if (x | y) & 3 == 0 {
                    $small(x as i64, y as i64)
                } else {
                    with_machine!(builtins::number::order(self, Value(x), Value(y))).is_some_and($order)
                }
            }};
        }
        macro_rules! branch {
            ($taken:expr, $len:expr) => {
                if $taken {
                    pc += $len;
                } else {
                    pc = pc.wrapping_add_signed(code[pc + 1] as i32 as isize);
                }
            };
        }
        macro_rules! enter_known {
            ($word:expr, $tail:expr) => {{
                tick!();
                let f = code[pc + 1];
                let at = a($word);
                if $tail {
                    // The arguments move down to the start of this frame.
                    move_down(self.stack, base + at + 2, b($word), base);
                    self.stack[base - 2] = Value::make(tag::FUNCTION, f, 0).0;
                } else {
                    let end = base + at + FRAME;
                    if self.depth >= self.budget.depth || (end > self.written && !self.write_stack(end)) {
                        stop!(self.too_deep());
                    }
                    self.depth += 1;
                    let frame = frame(self.stack, base + at);
                    frame[0] = Value::make(tag::FUNCTION, f, 0).0;
                    frame[1] = place_word(pc + 2, at + 2);
                    base += at + 2;
                }
                pc = p.functions[f as usize * crate::image::FUNCTION_U32S] as usize;
                regs = window(self.stack, base);
            }};
        }
        // A call of whatever there is. What takes just these arguments and no more is entered here, everything else elsewhere.
        macro_rules! call_value {
            ($callee:expr, $at:expr, $n:expr, $tail:expr) => {{
                let callee = Value($callee);
                let at = base + $at;
                if (callee.is(tag::CLOSURE) || callee.is(tag::FUNCTION))
                    && let Some(entry) = p.entry_for(self.heap.function_of(callee), $n)
                    && ($tail || (self.depth < self.budget.depth && at + FRAME <= self.written))
                {
                    if $tail {
                        move_down(self.stack, at + 2, $n, base);
                        self.stack[base - 2] = callee.0;
                    } else {
                        self.depth += 1;
                        frame(self.stack, at)[1] = place_word(pc + 1, $at + 2);
                        base = at + 2;
                    }
                    pc = entry;
                    regs = window(self.stack, base);
                    continue;
                }
                leave!(pc);
                let called = self.call_value(at, $n, $tail, base, pc + 1);
                settle!(called);
                match called {
                    Ok(Called::Entered) => {
                        pc = self.pc;
                        base = self.base;
                        regs = window(self.stack, base);
                    }
                    Ok(Called::Answered) => {
                        pc += 1;
                        regs = window(self.stack, base);
                    }
                    Ok(Called::Host(call)) => {
                        leave!(pc + 1);
                        self.state = State::Calling(call);
                        return Step::Call;
                    }
                    Err(Stop::Output(text)) => {
                        self.stack[at] = Value::NIL.0;
                        leave!(pc + 1);
                        return self.give_output(text);
                    }
                    Err(stop) => stop!(stop),
                }
            }};
        }

        loop {
            let word = code[pc];
            match word as u8 {
                byte::Move => {
                    regs[a(word)] = regs[b(word)];
                    pc += 1;
                }
                byte::Const => {
                    regs[a(word)] = p.constants[bx(word)];
                    pc += 1;
                }
                byte::Int => {
                    regs[a(word)] = (i64::from(sbx(word)) << 2) as u64;
                    pc += 1;
                }
                byte::Imm => {
                    regs[a(word)] = (b(word) as u64) << 8 | 1;
                    pc += 1;
                }
                byte::Global => {
                    let v = self.globals[bx(word)];
                    if v == Value::UNBOUND.0 {
                        let name = p.global_name(bx(word));
                        stop!(self.error(Tag::UnboundSymbol, format_args!("`{name}` is not defined")));
                    }
                    regs[a(word)] = v;
                    pc += 1;
                }
                byte::SetGlobal => {
                    if self.globals[bx(word)] == Value::UNBOUND.0 {
                        let name = p.global_name(bx(word));
                        stop!(self.error(Tag::UnboundSymbol, format_args!("`{name}` is not defined")));
                    }
                    self.globals[bx(word)] = regs[a(word)];
                    pc += 1;
                }
                byte::Define => {
                    self.globals[bx(word)] = regs[a(word)];
                    pc += 1;
                }
                byte::Own => {
                    let own = self.stack[base - 2];
                    regs = window(self.stack, base);
                    regs[a(word)] = own;
                    pc += 1;
                }
                byte::Capture => {
                    let own = Value(self.stack[base - 2]);
                    let v = self.heap.word(own.index_of() + 1 + b(word) as u32);
                    regs = window(self.stack, base);
                    regs[a(word)] = v;
                    pc += 1;
                }
                byte::Cell => match self.heap.cell(Value(regs[a(word)])) {
                    Ok(cell) => {
                        regs[a(word)] = cell.0;
                        pc += 1;
                    }
                    Err(e) => stop!(e.into()),
                },
                byte::CellGet => match self.heap.cell_word(Value(regs[b(word)])) {
                    Some(content) => {
                        regs[a(word)] = *content;
                        pc += 1;
                    }
                    None => stop!(Stop::Damaged),
                },
                byte::CellSet => match self.heap.cell_word(Value(regs[a(word)])) {
                    Some(content) => {
                        *content = regs[b(word)];
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
                        let own = Value(self.stack[base - 2]);
                        regs = window(self.stack, base);
                        let at = match self.heap.closure(f, n) {
                            Ok(at) => at,
                            Err(e) => stop!(e.into()),
                        };
                        for (i, capture) in code[pc + 2..pc + 2 + n].iter().enumerate() {
                            let from = (capture & 0xff) as u8;
                            let v = if capture >> 8 == 0 {
                                regs[usize::from(from)]
                            } else {
                                self.heap.word(own.index_of() + 1 + u32::from(from))
                            };
                            self.heap.words[at as usize + 1 + i] = v;
                        }
                        Value::make(tag::CLOSURE, at, 0)
                    };
                    regs[a(word)] = v.0;
                    pc += 2 + n;
                }
                byte::Jump => pc = pc.wrapping_add_signed(sabc(word) as isize),
                byte::Loop => {
                    tick!();
                    pc = pc.wrapping_add_signed(sabc(word) as isize);
                }
                byte::JumpFalse => {
                    let to = if Value(regs[a(word)]).is_true() { 1 } else { sbx(word) };
                    pc = pc.wrapping_add_signed(to as isize);
                }
                byte::JumpTrue => {
                    let to = if Value(regs[a(word)]).is_true() { sbx(word) } else { 1 };
                    pc = pc.wrapping_add_signed(to as isize);
                }
                byte::JumpNil => {
                    let to = if Value(regs[a(word)]).is_nil() { sbx(word) } else { 1 };
                    pc = pc.wrapping_add_signed(to as isize);
                }
                byte::JumpSome => {
                    let to = if Value(regs[a(word)]).is_nil() { 1 } else { sbx(word) };
                    pc = pc.wrapping_add_signed(to as isize);
                }
                byte::NotLess => {
                    let yes = compare!(regs[a(word)], regs[b(word)], |x, y| x < y, Ordering::is_lt);
                    branch!(yes, 2);
                }
                byte::NotAtMost => {
                    let yes = compare!(regs[a(word)], regs[b(word)], |x, y| x <= y, Ordering::is_le);
                    branch!(yes, 2);
                }
                byte::NotEqual => {
                    let (x, y) = (regs[a(word)], regs[b(word)]);
                    let yes = if (x | y) & 3 == 0 { x == y } else { with_machine!(self.same(Value(x), Value(y))) };
                    branch!(yes, 2);
                }
                byte::NotLessInt => {
                    let y = (i64::from(sbx(word)) << 2) as u64;
                    let yes = compare!(regs[a(word)], y, |x, y| x < y, Ordering::is_lt);
                    branch!(yes, 2);
                }
                byte::NotAtMostInt => {
                    let y = (i64::from(sbx(word)) << 2) as u64;
                    let yes = compare!(regs[a(word)], y, |x, y| x <= y, Ordering::is_le);
                    branch!(yes, 2);
                }
                byte::NotMoreInt => {
                    let y = (i64::from(sbx(word)) << 2) as u64;
                    let yes = compare!(regs[a(word)], y, |x, y| x > y, Ordering::is_gt);
                    branch!(yes, 2);
                }
                byte::NotAtLeastInt => {
                    let y = (i64::from(sbx(word)) << 2) as u64;
                    let yes = compare!(regs[a(word)], y, |x, y| x >= y, Ordering::is_ge);
                    branch!(yes, 2);
                }
                byte::NotEqualInt => {
                    let (x, y) = (regs[a(word)], (i64::from(sbx(word)) << 2) as u64);
                    let yes = if x & 3 == 0 { x == y } else { with_machine!(self.same(Value(x), Value(y))) };
                    branch!(yes, 2);
                }
                byte::Add => arith!(word, checked_add, builtins::number::Arith::Add),
                byte::Sub => arith!(word, checked_sub, builtins::number::Arith::Sub),
                byte::Mul => {
                    let (x, y) = (regs[b(word)], regs[c(word)]);
                    if (x | y) & 3 == 0
                        && let Some(r) = (x as i64 >> 2).checked_mul(y as i64)
                    {
                        regs[a(word)] = r as u64;
                    } else {
                        let v = with_machine!(builtins::number::arith(self, builtins::number::Arith::Mul, Value(x), Value(y)));
                        regs[a(word)] = v.0;
                    }
                    pc += 1;
                }
                byte::AddInt => {
                    let x = regs[b(word)];
                    let y = i64::from(c(word) as u8 as i8) << 2;
                    if x & 3 == 0
                        && let Some(r) = (x as i64).checked_add(y)
                    {
                        regs[a(word)] = r as u64;
                    } else {
                        let y = Value(y as u64);
                        let v = with_machine!(builtins::number::arith(self, builtins::number::Arith::Add, Value(x), y));
                        regs[a(word)] = v.0;
                    }
                    pc += 1;
                }
                byte::Mod => {
                    let (x, y) = (regs[b(word)], regs[c(word)]);
                    // Words are four times their ints, so their rests are, too.
                    if (x | y) & 3 == 0
                        && let Some(r) = (x as i64).checked_rem_euclid(y as i64)
                    {
                        regs[a(word)] = r as u64;
                    } else {
                        let v = with_machine!(builtins::number::modulo_of(self, Value(x), Value(y)));
                        regs[a(word)] = v.0;
                    }
                    pc += 1;
                }
                byte::Less => {
                    let yes = compare!(regs[b(word)], regs[c(word)], |x, y| x < y, Ordering::is_lt);
                    regs[a(word)] = Value::bool(yes).0;
                    pc += 1;
                }
                byte::AtMost => {
                    let yes = compare!(regs[b(word)], regs[c(word)], |x, y| x <= y, Ordering::is_le);
                    regs[a(word)] = Value::bool(yes).0;
                    pc += 1;
                }
                byte::Equal => {
                    let (x, y) = (regs[b(word)], regs[c(word)]);
                    let yes = if (x | y) & 3 == 0 { x == y } else { with_machine!(self.same(Value(x), Value(y))) };
                    regs[a(word)] = Value::bool(yes).0;
                    pc += 1;
                }
                byte::Not => {
                    regs[a(word)] = Value::bool(!Value(regs[b(word)]).is_true()).0;
                    pc += 1;
                }
                byte::IsNil => {
                    regs[a(word)] = Value::bool(Value(regs[b(word)]).is_nil()).0;
                    pc += 1;
                }
                byte::Cons => {
                    let (first, rest) = (Value(regs[b(word)]), Value(regs[c(word)]));
                    if !rest.is_list() {
                        stop!(self.mismatch("list", rest));
                    }
                    match self.heap.cons(first, rest) {
                        Ok(v) => regs[a(word)] = v.0,
                        Err(e) => stop!(e.into()),
                    }
                    pc += 1;
                }
                byte::Car => {
                    let v = Value(regs[b(word)]);
                    if !v.is_pair() {
                        stop!(self.no_pair("car", v));
                    }
                    regs[a(word)] = self.heap.first(v).0;
                    pc += 1;
                }
                byte::Cdr => {
                    let v = Value(regs[b(word)]);
                    if !v.is_pair() {
                        stop!(self.no_pair("cdr", v));
                    }
                    regs[a(word)] = self.heap.rest(v).0;
                    pc += 1;
                }
                byte::Push => {
                    let buffer = Value(regs[b(word)]);
                    if buffer.is(tag::BUFFER) {
                        self.heap.buffer_push(buffer, Value(regs[c(word)]));
                    }
                    regs[a(word)] = Value::NIL.0;
                    pc += 1;
                }
                byte::Get => {
                    let (map, key) = (Value(regs[b(word)]), Value(regs[c(word)]));
                    let v = with_machine!(builtins::map::get_from(self, map, key));
                    regs[a(word)] = v.0;
                    pc += 1;
                }
                byte::Field => {
                    let (map, key) = (Value(regs[b(word)]), Value(p.constants[c(word)]));
                    if map.is(tag::MAP)
                        && key.is(tag::KEYWORD)
                        && let Some(found) = self.heap.map_get_word(map, key)
                    {
                        regs[a(word)] = found.unwrap_or(Value::NIL).0;
                    } else {
                        let v = with_machine!(builtins::map::lookup(self, map, key, Value::NIL));
                        regs[a(word)] = v.0;
                    }
                    pc += 1;
                }
                byte::CallKnown => enter_known!(word, false),
                byte::TailKnown => enter_known!(word, true),
                byte::Call => {
                    tick!();
                    let (callee, map) = (Value(regs[a(word)]), Value(regs[a(word) + 2]));
                    if callee.is(tag::KEYWORD)
                        && b(word) == 1
                        && map.is(tag::MAP)
                        && let Some(found) = self.heap.map_get_word(map, callee)
                    {
                        regs[a(word)] = found.unwrap_or(Value::NIL).0;
                        pc += 1;
                        continue;
                    }
                    call_value!(regs[a(word)], a(word), b(word), false);
                }
                byte::TailCall => {
                    tick!();
                    call_value!(regs[a(word)], a(word), b(word), true);
                }
                byte::Apply | byte::TailApply => {
                    tick!();
                    let at = base + a(word);
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
                    let run = self.builtins.code[code[pc + 1] as usize];
                    leave!(pc);
                    let result = run(self, base + a(word), b(word));
                    settle!(result);
                    match result {
                        Ok(v) => {
                            regs = window(self.stack, base);
                            regs[c(word)] = v.0;
                            pc += 2;
                        }
                        Err(Stop::Output(text)) => {
                            self.stack[base + c(word)] = Value::NIL.0;
                            leave!(pc + 2);
                            return self.give_output(text);
                        }
                        Err(stop) => stop!(stop),
                    }
                }
                byte::Host => {
                    tick!();
                    let call = HostCall { import: code[pc + 1], args: b(word), at: base + a(word), result: base + c(word) };
                    leave!(pc + 2);
                    self.state = State::Calling(call);
                    return Step::Call;
                }
                byte::Return => {
                    let v = regs[a(word)];
                    let frame = frame(self.stack, base - 2);
                    let back = frame[1];
                    frame[0] = v;
                    if base == 2 {
                        leave!(pc);
                        self.state = State::Done(Value(v));
                        return Step::Done(Value(v));
                    }
                    self.depth -= 1;
                    let (after, distance) = place(back);
                    pc = after;
                    base -= distance;
                    regs = window(self.stack, base);
                }
                byte::Try => {
                    // Two words: how far below the handler outside this one lies, then where to go and how far below the frame lies.
                    let handler = base + a(word);
                    regs[a(word)] = place_word(0, handler - self.handler);
                    let to = pc.wrapping_add_signed(code[pc + 1] as i32 as isize);
                    regs[a(word) + 1] = place_word(to, a(word));
                    self.handler = handler;
                    pc += 2;
                }
                byte::EndTry => {
                    self.handler = base + a(word) - place(regs[a(word)]).1;
                    pc += 1;
                }
                byte::Raise => {
                    let kind = Tag::from_code(a(word)).unwrap_or(Tag::NotImplemented);
                    let message = Value(p.constants[code[pc + 1] as usize]);
                    let mut text = Message::default();
                    // A message keeps what fits.
                    let _ = text.write_str(self.heap.text(message));
                    let stop = self.error(kind, format_args!("{text}"));
                    // What modules say is thrown by the library, not by the language.
                    stop!(match stop {
                        Stop::Raised(e) if kind.is_thrown() => Stop::Thrown(e),
                        stop => stop,
                    });
                }
                _ => unreachable!("the image was verified"),
            }
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

    fn give_output(&mut self, text: Value) -> Step {
        // The text is the newest object: it is given back when the run goes on.
        let top = text.index_of() as usize;
        self.state = State::Output { text, top };
        Step::Output
    }
}
