//! The code that grows: words, labels, constants, and registers handed out as a stack.

use super::{Emitter, Label, Meaning, Task};
use crate::code::{self, MAX_REGISTERS, Op, byte};
use crate::compile::ir::{Ir, Node};
use crate::compile::{CompileError, Result};
use crate::machine::Tag;
use crate::reader::Datum;
use crate::span::Span;
use crate::value::{Value, tag};

pub(super) fn abc(op: Op, a: usize, b: usize, c: usize) -> u32 {
    op as u32 | (a as u32 & 0xff) << 8 | (b as u32 & 0xff) << 16 | (c as u32 & 0xff) << 24
}

pub(super) fn abx(op: Op, a: usize, bx: usize) -> u32 {
    op as u32 | (a as u32 & 0xff) << 8 | (bx as u32 & 0xffff) << 16
}

pub(super) fn limit(span: Span, what: &str) -> CompileError {
    CompileError::new(Tag::NotImplemented, span, format_args!("{what}"))
}

impl<'c> Emitter<'c> {
    pub(super) fn need(&mut self, registers: usize, span: Span) -> Result<()> {
        if registers > usize::from(MAX_REGISTERS) {
            return Err(limit(span, "a function needs more than 250 variables and intermediate values at once"));
        }
        self.most = self.most.max(registers);
        Ok(())
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        self.labels.len() - 1
    }

    pub(super) fn op(&mut self, word: u32, span: Span) {
        if word as u8 == byte::Move {
            return self.move_(word, span);
        }
        self.emit(word, span);
    }

    /// A move; the one in front of it takes it along when the registers follow each other.
    fn move_(&mut self, word: u32, span: Span) {
        let at = self.code.len();
        let last = self.moved.take().filter(|last| last + 1 == at).map(|last| &mut self.code[last]);
        match last {
            Some(last) if code::a(*last) + 1 == code::a(word) => {
                *last = abc(Op::MoveTwo, code::a(*last), code::b(*last), code::b(word));
            }
            _ => {
                self.emit(word, span);
                self.moved = Some(at);
            }
        }
    }

    /// Takes back the last instruction, when it is a move.
    pub(super) fn take_move(&mut self) -> Option<u32> {
        let at = self.moved.take().filter(|last| last + 1 == self.code.len())?;
        self.spans.pop_if(|(pc, _)| *pc as usize == at);
        self.code.pop()
    }

    fn emit(&mut self, word: u32, span: Span) {
        let span = if self.native { Span::default() } else { span };
        if self.spans.last().is_none_or(|(_, s)| *s != span) {
            self.spans.push((self.code.len() as u32, span));
        }
        self.code.push(word);
    }

    pub(super) fn fix(&mut self, at: usize, label: Label, span: Span) -> Result<()> {
        let Some(target) = self.labels[label] else {
            return Ok(());
        };
        let offset = target as i64 - at as i64;
        let word = self.code[at];
        let too_long = || limit(span, "a function is too large: a jump in it is too long");
        match Op::decode(word) {
            Some(Op::Jump | Op::Loop) => {
                let offset = i32::try_from(offset).ok().filter(|o| o.abs() < 1 << 23).ok_or_else(too_long)?;
                self.code[at] = word & 0xff | (offset as u32) << 8;
            }
            Some(Op::JumpFalse | Op::JumpTrue | Op::JumpNil | Op::JumpSome) => {
                let offset = i16::try_from(offset).map_err(|_| too_long())?;
                self.code[at] = word & 0xffff | (offset as u16 as u32) << 16;
            }
            _ => self.code[at + 1] = offset as i32 as u32,
        }
        Ok(())
    }

    pub(super) fn constant(&mut self, v: Value, span: Span) -> Result<usize> {
        let i = self.constants.value(v);
        if i > 0xffff {
            return Err(limit(span, "a program has more than 65,536 different constants"));
        }
        Ok(i)
    }

    /// The word of a constant node.
    pub(super) fn constant_word(&mut self, node: Node) -> Option<Value> {
        match self.tree.get(node) {
            Ir::Word(v) => Some(v),
            Ir::Datum(id) => Some(self.constants.datum(self.arena, id)),
            Ir::Global(g) => match self.meanings[g as usize] {
                Meaning::Constant(n) => self.constant_word(n),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn load(&mut self, v: Value, dst: usize, span: Span) -> Result<()> {
        let word = match v.as_small_int() {
            Some(i) if i16::try_from(i).is_ok() => abx(Op::Int, dst, i as u16 as usize),
            _ if v.tag() == tag::CONST => abc(Op::Imm, dst, (v.0 >> 8) as usize, 0),
            _ => abx(Op::Const, dst, self.constant(v, span)?),
        };
        self.op(word, span);
        Ok(())
    }

    /// The small int that a constant node is.
    pub(super) fn small_int(&mut self, node: Node) -> Option<i64> {
        match self.tree.get(node) {
            Ir::Word(v) => v.as_small_int(),
            Ir::Datum(id) => match self.arena.get(id) {
                Datum::Int(i) => Some(i),
                _ => None,
            },
            Ir::Global(g) => match self.meanings[g as usize] {
                Meaning::Constant(n) => self.small_int(n),
                _ => None,
            },
            _ => None,
        }
    }

    /// The register where a variable of this function already is, when reading it there later is as good as now.
    pub(super) fn in_place(&self, node: Node) -> Option<usize> {
        let Ir::Var(v) = self.tree.get(node) else {
            return None;
        };
        let var = &self.tree.vars[v as usize];
        (var.func == self.current && !var.assigned).then_some(usize::from(var.reg))
    }

    /// Where an operand will be: in its place, or in the next free register, for which a task is added.
    pub(super) fn operand(&mut self, node: Node, top: &mut usize) -> usize {
        if let Some(reg) = self.in_place(node) {
            return reg;
        }
        let reg = *top;
        *top += 1;
        self.tasks.push(Task::Expr(node, reg, *top));
        reg
    }

    /// Has the tasks from `mark` on done in the order in which they were added.
    pub(super) fn turn(&mut self, mark: usize) {
        self.tasks[mark..].reverse();
    }

    /// Has tasks done next, in this order.
    pub(super) fn schedule<T: IntoIterator<Item = Task, IntoIter: DoubleEndedIterator>>(&mut self, tasks: T) {
        self.tasks.extend(tasks.into_iter().rev());
    }
}
