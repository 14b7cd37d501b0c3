//! Tests that jump.

use super::{Emitter, Label, Meaning, Task, abc, abx};
use crate::builtins;
use crate::code::Op;
use crate::compile::Result;
use crate::compile::ir::{Ir, Node};
use crate::span::Span;

impl<'c> Emitter<'c> {
    /// The builtin that a call's head names.
    fn builtin_head(&self, head: Node) -> Option<&'static str> {
        let Ir::Global(g) = self.tree.get(head) else {
            return None;
        };
        match self.meanings[g as usize] {
            Meaning::Builtin(id) => Some(builtins::name(id)),
            Meaning::Function(f) => {
                let f = &self.tree.funcs[f as usize];
                let name = f.name.filter(|_| f.stands)?;
                builtins::find(self.arena.names.get(name)).map(builtins::name)
            }
            _ => None,
        }
    }

    pub(super) fn branch(&mut self, node: Node, top: usize, label: Label, sense: bool) -> Result<()> {
        let span = self.tree.span(node);
        self.need(top + 2, span)?;
        match self.tree.get(node) {
            Ir::Word(v) => {
                if v.is_true() == sense {
                    self.tasks.push(Task::Jump(label));
                }
            }
            Ir::Datum(_) => {
                if sense {
                    self.tasks.push(Task::Jump(label));
                }
            }
            Ir::And(nodes) | Ir::Or(nodes) => {
                let is_and = matches!(self.tree.get(node), Ir::And(_));
                let mark = self.tasks.len();
                let end = self.label();
                let nodes = self.tree.list(nodes);
                for (i, n) in nodes.iter().enumerate() {
                    let last = i + 1 == nodes.len();
                    // All but the last leave early: `and` when false, `or` when true.
                    self.tasks.push(if last || is_and != sense {
                        Task::Branch(*n, top, label, sense)
                    } else {
                        Task::Branch(*n, top, end, !sense)
                    });
                }
                self.tasks.push(Task::Label(end));
                self.turn(mark);
            }
            Ir::Call(head, args) => match (self.builtin_head(head), self.tree.list(args)) {
                (Some("not"), [x]) => self.tasks.push(Task::Branch(*x, top, label, !sense)),
                (Some("null?" | "nil?"), [x]) => {
                    self.jump(if sense { Op::JumpNil } else { Op::JumpSome }, *x, top, label);
                }
                (Some(name @ ("<" | ">" | "<=" | ">=" | "=" | "==")), [x, y]) if !sense => {
                    self.compare(name, *x, *y, top, label, span);
                }
                _ => self.test(node, top, label, sense),
            },
            _ => self.test(node, top, label, sense),
        }
        Ok(())
    }

    pub(super) fn test(&mut self, node: Node, top: usize, label: Label, sense: bool) {
        self.jump(if sense { Op::JumpTrue } else { Op::JumpFalse }, node, top, label);
    }

    /// A jump by the value of a node.
    fn jump(&mut self, op: Op, node: Node, mut top: usize, label: Label) {
        let mark = self.tasks.len();
        let reg = self.operand(node, &mut top);
        self.tasks.push(Task::JumpIf(op, reg, label));
        self.turn(mark);
    }

    /// A comparison that jumps when it does not hold.
    fn compare(&mut self, name: &str, x: Node, y: Node, top: usize, label: Label, span: Span) {
        let mut t = top;
        let mark = self.tasks.len();
        let small = |i: Option<i64>| i.and_then(|i| i16::try_from(i).ok()).map(|i| i as u16 as usize);
        let int = small(self.small_int(y));
        let word = match int {
            Some(i) => {
                let op = match name {
                    "<" => Op::NotLessInt,
                    "<=" => Op::NotAtMostInt,
                    ">" => Op::NotMoreInt,
                    ">=" => Op::NotAtLeastInt,
                    _ => Op::NotEqualInt,
                };
                let a = self.operand(x, &mut t);
                abx(op, a, i)
            }
            None => {
                let a = self.operand(x, &mut t);
                let b = self.operand(y, &mut t);
                match name {
                    "<" => abc(Op::NotLess, a, b, 0),
                    "<=" => abc(Op::NotAtMost, a, b, 0),
                    ">" => abc(Op::NotLess, b, a, 0),
                    ">=" => abc(Op::NotAtMost, b, a, 0),
                    _ => abc(Op::NotEqual, a, b, 0),
                }
            }
        };
        self.tasks.push(Task::Compare(word, label, span));
        self.turn(mark);
    }
}
