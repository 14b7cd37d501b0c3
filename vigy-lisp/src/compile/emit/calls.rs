//! Calls, and the builtins that are instructions.

use super::{Emitter, Meaning, Task, abc, abx, limit};
use crate::builtins;
use crate::code::Op;
use crate::compile::ir::{Func, Ir, Node, Nodes};
use crate::compile::{CompileError, Result};
use crate::machine::Tag;
use crate::span::Span;
use crate::value::tag;

/// From this register on, calls use registers sparingly.
const SCARCE: usize = 100;

impl<'c> Emitter<'c> {
    /// The function that a name means, when it always does.
    fn known(&self, node: Node) -> Option<&Func> {
        let Ir::Global(g) = self.tree.get(node) else { return None };
        let Meaning::Function(f) = self.meanings[g as usize] else { return None };
        Some(&self.tree.funcs[f as usize])
    }

    /// Whether a call is of what stands for a builtin. Such a call never takes the place of its caller: whose it is, errors tell.
    pub(super) fn stands(&self, head: Node, args: Nodes) -> bool {
        let is_apply = |f: &Func| f.native && f.name.is_some_and(|name| self.arena.names.get(name) == "apply");
        let callee = match self.known(head) {
            Some(f) if is_apply(f) => self.tree.list(args).first().and_then(|f| self.known(*f)),
            callee => callee,
        };
        callee.is_some_and(|f| f.stands)
    }

    /// A call; its result goes to `dst`, or is what the function returns.
    pub(super) fn call(&mut self, head: Node, args: Nodes, dst: Option<usize>, top: usize, span: Span) -> Result<()> {
        // One buffer for the arguments of every call.
        let mut nodes = core::mem::take(&mut self.nodes);
        nodes.clear();
        nodes.extend_from_slice(self.tree.list(args));
        let done = self.call_of(head, &nodes, dst, top, span);
        self.nodes = nodes;
        done
    }

    fn call_of(&mut self, head: Node, nodes: &[Node], dst: Option<usize>, top: usize, span: Span) -> Result<()> {
        let n = nodes.len();
        // A result that goes right below the free registers can be made where it goes.
        let top = match dst {
            Some(d) if d + 1 == top => d,
            _ => top,
        };
        self.need(top + n + 3, span)?;
        let mark = self.tasks.len();
        let result = dst.unwrap_or(top);
        if let Ir::Global(g) = self.tree.get(head) {
            match self.meanings[g as usize] {
                Meaning::Builtin(id) => {
                    if !builtins::accepts(id, n) {
                        let (min, max) = builtins::arity(id);
                        return self.wrong_arity(builtins::name(id), min, max, nodes, top, span);
                    }
                    if !self.inline(builtins::name(id), nodes, result, top, span) {
                        for (i, node) in nodes.iter().enumerate() {
                            self.tasks.push(Task::Expr(*node, top + i, top + i + 1));
                        }
                        self.tasks.push(Task::Op2(abc(Op::Builtin, top, n, result), id, span));
                    }
                    if dst.is_none() {
                        self.tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
                    }
                    self.turn(mark);
                    return Ok(());
                }
                Meaning::Host(id) => {
                    let (min, max) = self.hosts[id as usize];
                    if n < min || max.is_some_and(|max| n > max) {
                        let name = self.constants.import_name(id);
                        return self.wrong_arity(&name, min, max, nodes, top, span);
                    }
                    for (i, node) in nodes.iter().enumerate() {
                        self.tasks.push(Task::Expr(*node, top + i, top + i + 1));
                    }
                    self.tasks.push(Task::Op2(abc(Op::Host, top, n, result), id, span));
                    if dst.is_none() {
                        self.tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
                    }
                    self.turn(mark);
                    return Ok(());
                }
                Meaning::Function(f) => {
                    let func = &self.tree.funcs[f as usize];
                    let (required, optional, rest) = (func.required, func.optional, func.rest);
                    if n < required || (!rest && n > required + optional) {
                        let name = func.name.map_or("lambda", |s| self.arena.names.get(s));
                        let max = (!rest).then_some(required + optional);
                        return self.wrong_arity(name, required, max, nodes, top, span);
                    }
                    if func.stands
                        && let Some(name) = func.name
                    {
                        let arena = self.arena;
                        if self.inline(arena.names.get(name), nodes, result, top, span) {
                            self.turn(mark);
                            return Ok(());
                        }
                    }
                    let func = &self.tree.funcs[f as usize];
                    if func.native && func.name.is_some_and(|s| self.arena.names.get(s) == "apply") {
                        return self.apply(nodes, dst, top, span);
                    }
                    if func.native && n == 1 {
                        let step = match func.name.map(|s| self.arena.names.get(s)) {
                            Some("inc") => 1,
                            Some("dec") => 0xff,
                            _ => 0,
                        };
                        if step != 0 {
                            let mut t = top;
                            let x = self.operand(nodes[0], &mut t);
                            self.tasks.push(Task::Op(abc(Op::AddInt, result, x, step), span));
                            if dst.is_none() {
                                self.tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
                            }
                            self.turn(mark);
                            return Ok(());
                        }
                    }
                    let row = self.row(f);
                    if !rest && optional == 0 {
                        // When registers become scarce, a first argument is computed where the call
                        // itself will be, so that (f (f (f …))) needs no more of them with every level.
                        let early = usize::from(top > SCARCE && n > 0);
                        if early == 1 {
                            self.tasks.push(Task::Expr(nodes[0], top, top + 1));
                            self.tasks.push(Task::Op(abc(Op::Move, top + 2, top, 0), span));
                        }
                        for (i, node) in nodes.iter().enumerate().skip(early) {
                            self.tasks.push(Task::Expr(*node, top + 2 + i, top + 3 + i));
                        }
                        let op = if dst.is_none() { Op::TailKnown } else { Op::CallKnown };
                        if row > 0xffff {
                            return Err(limit(span, "a program has more than 65,536 functions"));
                        }
                        self.tasks.push(Task::Op(abx(op, top, row as usize), span));
                        match dst {
                            Some(dst) if dst != top => {
                                self.tasks.push(Task::Op(abc(Op::Move, dst, top, 0), span));
                            }
                            Some(_) => {}
                            // A function must not end with a call, however final it is.
                            None => self.tasks.push(Task::Op(abc(Op::Return, top, 0, 0), span)),
                        }
                        self.turn(mark);
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        // A keyword looks itself up. When constants become many, it does so as any other function.
        if let [map] = *nodes
            && let Some(key) = self.constant_word(head).filter(|v| v.is(tag::KEYWORD))
            && let Ok(key) = u8::try_from(self.constant(key, span)?)
        {
            let mut t = top;
            let map = self.operand(map, &mut t);
            self.tasks.push(Task::Op(abc(Op::Field, result, map, usize::from(key)), span));
            if dst.is_none() {
                self.tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
            }
            self.turn(mark);
            return Ok(());
        }
        self.tasks.push(Task::Expr(head, top, top + 1));
        for (i, node) in nodes.iter().enumerate() {
            self.tasks.push(Task::Expr(*node, top + 2 + i, top + 3 + i));
        }
        // What is called by its own name is told of by that name: see `Machine::running`.
        let named = self.known(head).is_some_and(|f| f.stands);
        self.finish_call(mark, abc(if dst.is_none() { Op::TailCall } else { Op::Call }, top, n, usize::from(named)), dst, top, span);
        Ok(())
    }

    fn finish_call(&mut self, mark: usize, call: u32, dst: Option<usize>, top: usize, span: Span) {
        self.tasks.push(Task::Op(call, span));
        match dst {
            Some(dst) if dst != top => self.tasks.push(Task::Op(abc(Op::Move, dst, top, 0), span)),
            Some(_) => {}
            None => self.tasks.push(Task::Op(abc(Op::Return, top, 0, 0), span)),
        }
        self.turn(mark);
    }

    fn apply(&mut self, nodes: &[Node], dst: Option<usize>, top: usize, span: Span) -> Result<()> {
        let mark = self.tasks.len();
        self.tasks.push(Task::Expr(nodes[0], top, top + 1));
        for (i, node) in nodes[1..].iter().enumerate() {
            self.tasks.push(Task::Expr(*node, top + 2 + i, top + 3 + i));
        }
        let op = if dst.is_none() { Op::TailApply } else { Op::Apply };
        self.finish_call(mark, abc(op, top, nodes.len() - 1, 0), dst, top, span);
        Ok(())
    }

    fn wrong_arity(&mut self, name: &str, min: usize, max: Option<usize>, nodes: &[Node], top: usize, span: Span) -> Result<()> {
        let mut wants = alloc::string::String::new();
        let _ = crate::arity::write(&mut wants, min, max);
        let message = alloc::format!("`{name}` expected {wants}, got {}", nodes.len());
        if !self.force {
            return Err(CompileError::new(Tag::ArityMismatch, span, format_args!("{message}")));
        }
        let text = self.constants.string(&message);
        let i = self.constant(text, span)?;
        let mark = self.tasks.len();
        self.tasks.extend(nodes.iter().map(|n| Task::Effect(*n, top)));
        self.tasks.push(Task::Op2(abc(Op::Raise, Tag::ArityMismatch as usize, 0, 0), i as u32, span));
        self.turn(mark);
        Ok(())
    }

    /// Builtins that are instructions.
    fn inline(&mut self, name: &str, nodes: &[Node], dst: usize, top: usize, span: Span) -> bool {
        let mut t = top;
        match (name, nodes) {
            ("+" | "-", [x, y]) => {
                let byte = |i: Option<i64>| i.and_then(|i| i8::try_from(i).ok());
                let (xi, yi) = (byte(self.small_int(*x)), byte(self.small_int(*y)));
                let by = match (name, xi, yi) {
                    ("+", _, Some(i)) => Some((*x, i)),
                    ("+", Some(i), None) => Some((*y, i)),
                    ("-", _, Some(i)) if i != i8::MIN && i != 0 => Some((*x, -i)),
                    _ => None,
                };
                if let Some((node, i)) = by {
                    let a = self.operand(node, &mut t);
                    self.tasks.push(Task::Op(abc(Op::AddInt, dst, a, i as u8 as usize), span));
                } else {
                    let op = if name == "+" { Op::Add } else { Op::Sub };
                    self.three(op, *x, *y, dst, top, span, false);
                }
            }
            ("*", [x, y]) => self.three(Op::Mul, *x, *y, dst, top, span, false),
            ("modulo" | "mod" | "rem", [x, y]) => self.three(Op::Mod, *x, *y, dst, top, span, false),
            ("<", [x, y]) => self.three(Op::Less, *x, *y, dst, top, span, false),
            ("<=", [x, y]) => self.three(Op::AtMost, *x, *y, dst, top, span, false),
            (">", [x, y]) => self.three(Op::Less, *x, *y, dst, top, span, true),
            (">=", [x, y]) => self.three(Op::AtMost, *x, *y, dst, top, span, true),
            ("=" | "==", [x, y]) => self.three(Op::Equal, *x, *y, dst, top, span, false),
            ("get", [x, y]) => self.three(Op::Get, *x, *y, dst, top, span, false),
            ("%push", [x, y]) => self.three(Op::Push, *x, *y, dst, top, span, false),
            ("cons", [x, y]) => self.three(Op::Cons, *x, *y, dst, top, span, false),
            ("car" | "cdr" | "not" | "null?" | "nil?", [x]) => {
                let op = match name {
                    "car" => Op::Car,
                    "cdr" => Op::Cdr,
                    "not" => Op::Not,
                    _ => Op::IsNil,
                };
                let a = self.operand(*x, &mut t);
                self.tasks.push(Task::Op(abc(op, dst, a, 0), span));
            }
            _ => return false,
        }
        true
    }

    #[allow(clippy::too_many_arguments, reason = "the operands of one instruction")]
    fn three(&mut self, op: Op, x: Node, y: Node, dst: usize, top: usize, span: Span, swap: bool) {
        let mut t = top;
        let a = self.operand(x, &mut t);
        let b = self.operand(y, &mut t);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        self.tasks.push(Task::Op(abc(op, dst, a, b), span));
    }
}
