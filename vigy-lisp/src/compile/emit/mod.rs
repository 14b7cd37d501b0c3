//! Intermediate form → instructions. A list of tasks instead of recursion; registers are handed out as a stack.

mod bindings;
mod branches;
mod buffer;
mod calls;
mod faults;

use alloc::vec::Vec;
use core::ops::Range;

use buffer::{abc, abx, limit};

use super::ir::{Ir, Node, Nodes, Tree};
use super::table::HashMap;
use super::{Constants, Result};
use crate::code::Op;
use crate::image::Function;
use crate::machine::Tag;
use crate::reader::Arena;
use crate::span::Span;
use crate::value::{Value, tag};

/// What a global name came out to mean.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    Builtin(u32),
    Host(u32),
    /// A function that is there before anything runs and never changes.
    Function(u32),
    /// A constant that never changes.
    Constant(Node),
    /// A variable of the program, by its place in the image.
    Slot(u32),
    Unbound,
}

type Label = usize;

enum Task {
    Expr(Node, usize, usize),
    /// Evaluated for what it does; registers from here on are free.
    Effect(Node, usize),
    Tail(Node, usize),
    /// Jumps when the truth of the node is as said.
    Branch(Node, usize, Label, bool),
    Op(u32, Span),
    Op2(u32, u32, Span),
    Jump(Label),
    JumpIf(Op, usize, Label),
    Compare(u32, Label, Span),
    Label(Label),
    LoopBack(u32, Span),
    Closure(u32, usize),
}

pub(super) struct Emitter<'c> {
    pub(super) tree: &'c mut Tree,
    pub(super) arena: &'c Arena,
    pub(super) meanings: &'c [Meaning],
    pub(super) constants: &'c mut Constants,
    /// Arities of host functions, by import.
    pub(super) hosts: &'c [(usize, Option<usize>)],
    pub(super) force: bool,
    pub(super) code: Vec<u32>,
    pub(super) spans: Vec<(u32, Span)>,
    pub(super) functions: Vec<Function>,
    pub(super) params: Vec<u32>,
    /// Rows of the function table, by function of the tree.
    rows: Vec<Option<u32>>,
    queue: Vec<u32>,
    tasks: Vec<Task>,
    /// Arguments of the call that is being emitted.
    nodes: Vec<Node>,
    labels: Vec<Option<usize>>,
    /// Places in the code that wait for a label: 8, 16 or 32 says how wide the offset is.
    fixups: Vec<(usize, Label, Span)>,
    /// Where loops start, and which of the variables in `turning` they turn over.
    loops: HashMap<u32, (Label, Range<usize>)>,
    turning: Vec<u32>,
    current: u32,
    most: usize,
    native: bool,
    /// Where the last instruction lies, when it is a `Move` and nothing jumps behind it.
    moved: Option<usize>,
}

impl<'c> Emitter<'c> {
    pub(super) fn new(
        tree: &'c mut Tree,
        arena: &'c Arena,
        meanings: &'c [Meaning],
        constants: &'c mut Constants,
        hosts: &'c [(usize, Option<usize>)],
        force: bool,
    ) -> Self {
        // An instruction for every node is what most programs come to.
        let nodes = tree.len() as usize;
        Self {
            tree,
            arena,
            meanings,
            constants,
            hosts,
            force,
            code: Vec::with_capacity(nodes),
            spans: Vec::with_capacity(nodes),
            functions: Vec::new(),
            params: Vec::new(),
            rows: Vec::new(),
            queue: Vec::new(),
            tasks: Vec::new(),
            nodes: Vec::new(),
            labels: Vec::new(),
            fixups: Vec::new(),
            loops: HashMap::default(),
            turning: Vec::new(),
            current: 0,
            most: 0,
            native: false,
            moved: None,
        }
    }

    /// The row of a function of the tree in the image's table; it is emitted in its turn.
    pub(super) fn row(&mut self, f: u32) -> u32 {
        if let Some(Some(row)) = self.rows.get(f as usize) {
            return *row;
        }
        let func = &self.tree.funcs[f as usize];
        let params = (self.params.len() as u32, func.params.len() as u32);
        let function = Function {
            entry: 0,
            end: 0,
            required: func.required.min(255) as u8,
            optional: func.optional.min(255) as u8,
            rest: func.rest,
            registers: 0,
            captures: func.captures.len() as u16,
            native: func.native,
            stands: func.stands,
            name: func.name.map_or(u32::MAX, |n| self.constants.name_of(self.arena, n)),
            params,
        };
        for (name, _) in &func.params {
            self.params.push(self.constants.name_of(self.arena, *name));
        }
        let row = self.functions.len() as u32;
        self.functions.push(function);
        self.rows.resize(self.rows.len().max(self.tree.funcs.len()), None);
        self.rows[f as usize] = Some(row);
        self.queue.push(f);
        row
    }

    /// Emits everything that was asked for, and what that asks for.
    pub(super) fn drain(&mut self) -> Result<()> {
        let mut next = 0;
        while next < self.queue.len() {
            let f = self.queue[next];
            next += 1;
            self.function(f)?;
        }
        self.queue.clear();
        Ok(())
    }

    fn function(&mut self, f: u32) -> Result<()> {
        let row = self.row(f) as usize;
        let func = &self.tree.funcs[f as usize];
        let (body, target, span) = (func.body, func.target, func.span);
        self.current = f;
        self.native = func.native;
        self.most = 2;
        self.labels.clear();
        let entry = self.code.len();
        if func.params.len() > 200 {
            return Err(limit(span, "a function has more than 200 parameters"));
        }
        let params = func.params.len();
        self.turning.clear();
        for (i, (_, v)) in func.params.iter().enumerate() {
            self.turning.push(*v);
            self.tree.vars[*v as usize].reg = i as u8;
        }
        let start = self.label();
        self.loops.insert(target, (start, 0..params));
        self.tasks.push(Task::Label(start));
        self.cells(0..params, span);
        self.tasks.push(Task::Tail(body, params));
        self.turn(0);
        self.need(params + 1, span)?;
        while let Some(task) = self.tasks.pop() {
            self.step(task)?;
        }
        while let Some((at, label, span)) = self.fixups.pop() {
            self.fix(at, label, span)?;
        }
        let function = &mut self.functions[row];
        function.entry = entry as u32;
        function.end = self.code.len() as u32;
        function.registers = self.most as u8;
        Ok(())
    }

    fn step(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Expr(node, dst, top) => self.expr(node, dst, top)?,
            Task::Effect(node, top) => self.effect(node, top)?,
            Task::Tail(node, top) => self.tail(node, top)?,
            Task::Branch(node, top, label, sense) => self.branch(node, top, label, sense)?,
            Task::Op(word, span) => self.op(word, span),
            Task::Op2(word, second, span) => {
                self.op(word, span);
                self.code.push(second);
            }
            Task::Jump(label) => {
                self.fixups.push((self.code.len(), label, Span::default()));
                self.code.push(Op::Jump as u32);
            }
            Task::JumpIf(op, reg, label) => {
                self.fixups.push((self.code.len(), label, Span::default()));
                self.code.push(abc(op, reg, 0, 0));
            }
            Task::Compare(word, label, span) => {
                self.fixups.push((self.code.len(), label, span));
                self.op(word, span);
                self.code.push(0);
            }
            Task::Label(label) => {
                self.labels[label] = Some(self.code.len());
                self.moved = None;
            }
            Task::LoopBack(target, span) => {
                let label = self.loops[&target].0;
                if let Some(word) = self.take_move() {
                    self.fixups.push((self.code.len(), label, span));
                    self.op(word & !0xff | Op::LoopMove as u32, span);
                    self.code.push(0);
                } else {
                    self.fixups.push((self.code.len(), label, span));
                    self.op(Op::Loop as u32, span);
                }
            }
            Task::Closure(f, dst) => self.closure(f, dst)?,
        }
        Ok(())
    }

    #[allow(clippy::too_many_lines, reason = "one arm per node")]
    fn expr(&mut self, node: Node, dst: usize, top: usize) -> Result<()> {
        let span = self.tree.span(node);
        self.need(top.max(dst + 1), span)?;
        if let Some(v) = self.constant_word(node) {
            return self.load(v, dst, span);
        }
        match self.tree.get(node) {
            Ir::Word(v) => self.load(v, dst, span)?,
            Ir::Datum(id) => {
                let v = self.constants.datum(self.arena, id);
                self.load(v, dst, span)?;
            }
            Ir::Var(v) => {
                let var = self.tree.vars[v as usize];
                if var.func == self.current {
                    let op = if var.in_cell() { Op::CellGet } else { Op::Move };
                    if op == Op::CellGet || usize::from(var.reg) != dst {
                        self.op(abc(op, dst, usize::from(var.reg), 0), span);
                    }
                } else {
                    let i = self.capture_index(v) as usize;
                    self.op(abc(Op::Capture, dst, i, 0), span);
                    if var.in_cell() {
                        self.op(abc(Op::CellGet, dst, dst, 0), span);
                    }
                }
            }
            Ir::Global(g) => match self.meanings[g as usize] {
                Meaning::Builtin(id) => self.load(Value::make(tag::BUILTIN, id, 0), dst, span)?,
                Meaning::Host(id) => self.load(Value::make(tag::HOST, id, 0), dst, span)?,
                Meaning::Function(f) => {
                    let row = self.row(f);
                    self.load(Value::function(row, self.tree.funcs[f as usize].stands), dst, span)?;
                }
                Meaning::Slot(slot) => self.op(abx(Op::Global, dst, slot as usize), span),
                Meaning::Constant(_) => {}
                Meaning::Unbound => self.unbound(g, span)?,
            },
            Ir::SetVar(..) | Ir::SetGlobal(..) | Ir::Define(..) => {
                self.tasks.push(Task::Op(abc(Op::Imm, dst, 0, 0), span));
                self.tasks.push(Task::Effect(node, top));
            }
            Ir::If(test, yes, no) => {
                let (else_, end) = (self.label(), self.label());
                self.schedule([
                    Task::Branch(test, top, else_, false),
                    Task::Expr(yes, dst, top),
                    Task::Jump(end),
                    Task::Label(else_),
                    Task::Expr(no, dst, top),
                    Task::Label(end),
                ]);
            }
            Ir::Seq(nodes) => {
                self.sequence(nodes, top, |last| Task::Expr(last, dst, top));
            }
            Ir::And(nodes) | Ir::Or(nodes) => {
                let is_and = matches!(self.tree.get(node), Ir::And(_));
                self.junction(is_and, nodes, dst, top, None);
            }
            Ir::Let(binds, body) => self.bind(binds, top, span, |top| Task::Expr(body, dst, top))?,
            Ir::Loop(id, binds, body) => self.open_loop(id, binds, top, span, |top| Task::Expr(body, dst, top))?,
            Ir::Recur(id, args) => self.recur(id, args, top, span)?,
            Ir::Lambda(f) => self.tasks.push(Task::Closure(f, dst)),
            Ir::Call(head, args) => self.call(head, args, Some(dst), top, span)?,
            Ir::Try(body, e, raised, handler) => {
                let end = self.label();
                self.try_(body, e, raised, dst, top, span, alloc::vec![Task::Expr(handler, dst, top + 2), Task::Label(end),], Some(end))?;
            }
            Ir::Raise(tag, message) => self.raise(tag, message, span)?,
        }
        Ok(())
    }

    /// Nodes in order: all but the last for what they do.
    fn sequence(&mut self, nodes: Nodes, top: usize, last: impl Fn(Node) -> Task) {
        if let Some((end, before)) = self.tree.list(nodes).split_last() {
            self.tasks.push(last(*end));
            self.tasks.extend(before.iter().rev().map(|n| Task::Effect(*n, top)));
        }
    }

    /// `and` or `or`: every node but the last may settle it. In tail position, the last one may return by itself.
    fn junction(&mut self, is_and: bool, nodes: Nodes, dst: usize, top: usize, tail: Option<Span>) {
        let mark = self.tasks.len();
        let end = self.label();
        if let Some((last, before)) = self.tree.list(nodes).split_last() {
            for n in before {
                self.tasks.push(Task::Expr(*n, dst, top));
                self.tasks.push(Task::JumpIf(if is_and { Op::JumpFalse } else { Op::JumpTrue }, dst, end));
            }
            self.tasks.push(if tail.is_some() { Task::Tail(*last, dst) } else { Task::Expr(*last, dst, top) });
        }
        self.tasks.push(Task::Label(end));
        self.tasks.extend(tail.map(|span| Task::Op(abc(Op::Return, dst, 0, 0), span)));
        self.turn(mark);
    }

    fn effect(&mut self, node: Node, top: usize) -> Result<()> {
        let span = self.tree.span(node);
        self.need(top + 1, span)?;
        match self.tree.get(node) {
            Ir::Word(_) | Ir::Datum(_) | Ir::Var(_) | Ir::Lambda(_) => {}
            Ir::SetVar(v, value) => {
                let var = self.tree.vars[v as usize];
                let reg = usize::from(var.reg);
                let mark = self.tasks.len();
                if var.func == self.current && !var.in_cell() {
                    if self.writes_last(value) {
                        // The register is read until it is written: nothing may be made in it.
                        self.tasks.push(Task::Expr(value, reg, top.max(reg + 2)));
                    } else {
                        self.tasks.push(Task::Expr(value, top, top + 1));
                        self.tasks.push(Task::Op(abc(Op::Move, reg, top, 0), span));
                    }
                } else {
                    self.tasks.push(Task::Expr(value, top, top + 1));
                    if var.func == self.current {
                        self.tasks.push(Task::Op(abc(Op::CellSet, reg, top, 0), span));
                    } else {
                        self.need(top + 2, span)?;
                        let i = self.capture_index(v) as usize;
                        self.tasks.push(Task::Op(abc(Op::Capture, top + 1, i, 0), span));
                        self.tasks.push(Task::Op(abc(Op::CellSet, top + 1, top, 0), span));
                    }
                }
                self.turn(mark);
            }
            Ir::SetGlobal(g, value) | Ir::Define(g, value) => {
                let op = if matches!(self.tree.get(node), Ir::Define(..)) { Op::Define } else { Op::SetGlobal };
                match self.meanings[g as usize] {
                    Meaning::Slot(slot) => {
                        self.schedule([Task::Expr(value, top, top + 1), Task::Op(abx(op, top, slot as usize), span)]);
                    }
                    // Defined before anything runs.
                    Meaning::Function(_) | Meaning::Constant(_) => {}
                    _ => {
                        self.tasks.push(Task::Expr(value, top, top + 1));
                        // What is set was never defined: the value is computed, then it is an error.
                        let name = self.constants.global_name(self.arena, g);
                        let text = self.constants.string(&alloc::format!("`{name}` is not defined"));
                        let i = self.constant(text, span)?;
                        let at = self.tasks.len() - 1;
                        self.tasks.insert(at, Task::Op2(abc(Op::Raise, Tag::UnboundSymbol as usize, 0, 0), i as u32, span));
                    }
                }
            }
            Ir::If(test, yes, no) => {
                let (else_, end) = (self.label(), self.label());
                self.schedule([
                    Task::Branch(test, top, else_, false),
                    Task::Effect(yes, top),
                    Task::Jump(end),
                    Task::Label(else_),
                    Task::Effect(no, top),
                    Task::Label(end),
                ]);
            }
            Ir::Seq(nodes) => {
                self.tasks.extend(self.tree.list(nodes).iter().rev().map(|n| Task::Effect(*n, top)));
            }
            Ir::Let(binds, body) => self.bind(binds, top, span, |top| Task::Effect(body, top))?,
            Ir::Loop(id, binds, body) => self.open_loop(id, binds, top, span, |top| Task::Effect(body, top))?,
            Ir::Recur(id, args) => self.recur(id, args, top, span)?,
            Ir::Global(g) if !matches!(self.meanings[g as usize], Meaning::Slot(_) | Meaning::Unbound) => {}
            _ => self.expr(node, top, top + 1)?,
        }
        Ok(())
    }

    fn tail(&mut self, node: Node, top: usize) -> Result<()> {
        let span = self.tree.span(node);
        self.need(top + 1, span)?;
        match self.tree.get(node) {
            Ir::If(test, yes, no) => {
                let else_ = self.label();
                self.schedule([Task::Branch(test, top, else_, false), Task::Tail(yes, top), Task::Label(else_), Task::Tail(no, top)]);
            }
            Ir::Seq(nodes) => {
                self.sequence(nodes, top, |last| Task::Tail(last, top));
            }
            Ir::And(nodes) | Ir::Or(nodes) => {
                let is_and = matches!(self.tree.get(node), Ir::And(_));
                self.junction(is_and, nodes, top, top + 1, Some(span));
            }
            Ir::Let(binds, body) => self.bind(binds, top, span, |top| Task::Tail(body, top))?,
            Ir::Loop(id, binds, body) => self.open_loop(id, binds, top, span, |top| Task::Tail(body, top))?,
            Ir::Recur(id, args) => self.recur(id, args, top, span)?,
            Ir::Call(head, args) if !self.stands(head, args) => self.call(head, args, None, top, span)?,
            Ir::Try(body, e, raised, handler) => {
                // The result of the body must outlive the two words of the `try`.
                self.try_(body, e, raised, top + 2, top, span, alloc::vec![Task::Tail(handler, top + 2)], None)?;
            }
            Ir::Raise(tag, message) => self.raise(tag, message, span)?,
            _ => {
                if let Some(reg) = self.in_place(node) {
                    self.op(abc(Op::Return, reg, 0, 0), span);
                } else {
                    self.tasks.push(Task::Op(abc(Op::Return, top, 0, 0), span));
                    self.tasks.push(Task::Expr(node, top, top + 1));
                }
            }
        }
        Ok(())
    }
}
