//! Intermediate form → instructions. A list of tasks instead of recursion; registers are handed out as a stack.

use alloc::vec::Vec;

use super::table::HashMap;

use super::ir::{Ir, Node, Nodes, Tree};
use super::{CompileError, Constants, Result};
use crate::builtins;
use crate::code::{MAX_REGISTERS, Op};
use crate::image::Function;
use crate::machine::Tag;
use crate::reader::{Arena, Datum};
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

/// From this register on, calls use registers sparingly.
const SCARCE: usize = 100;

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
    rows: HashMap<u32, u32>,
    queue: Vec<u32>,
    tasks: Vec<Task>,
    labels: Vec<Option<usize>>,
    /// Places in the code that wait for a label: 8, 16 or 32 says how wide the offset is.
    fixups: Vec<(usize, Label, Span)>,
    loops: HashMap<u32, (Label, Vec<u32>)>,
    current: u32,
    most: usize,
    native: bool,
    /// Tasks of a binding, before they are scheduled.
    pending: Vec<Task>,
}

fn abc(op: Op, a: usize, b: usize, c: usize) -> u32 {
    op as u32 | (a as u32 & 0xff) << 8 | (b as u32 & 0xff) << 16 | (c as u32 & 0xff) << 24
}

fn abx(op: Op, a: usize, bx: usize) -> u32 {
    op as u32 | (a as u32 & 0xff) << 8 | (bx as u32 & 0xffff) << 16
}

fn limit(span: Span, what: &str) -> CompileError {
    CompileError::new(Tag::NotImplemented, span, format_args!("{what}"))
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
        Self {
            tree,
            arena,
            meanings,
            constants,
            hosts,
            force,
            code: Vec::new(),
            spans: Vec::new(),
            functions: Vec::new(),
            params: Vec::new(),
            rows: HashMap::default(),
            queue: Vec::new(),
            tasks: Vec::new(),
            labels: Vec::new(),
            fixups: Vec::new(),
            loops: HashMap::default(),
            current: 0,
            most: 0,
            native: false,
            pending: Vec::new(),
        }
    }

    /// The row of a function of the tree in the image's table; it is emitted in its turn.
    pub(super) fn row(&mut self, f: u32) -> u32 {
        if let Some(row) = self.rows.get(&f) {
            return *row;
        }
        let func = &self.tree.funcs[f as usize];
        let params = (self.params.len() as u32, func.params.len() as u32);
        let names: Vec<u32> = func.params.iter().map(|(s, _)| s.0).collect();
        let function = Function {
            entry: 0,
            end: 0,
            required: func.required.min(255) as u8,
            optional: func.optional.min(255) as u8,
            rest: func.rest,
            registers: 0,
            captures: func.captures.len() as u16,
            native: func.native,
            name: func.name.map_or(u32::MAX, |n| self.constants.name(self.arena.names.get(n))),
            params,
        };
        for name in names {
            let id = self.constants.name(self.arena.names.get(crate::reader::Sym(name)));
            self.params.push(id);
        }
        let row = self.functions.len() as u32;
        self.functions.push(function);
        self.rows.insert(f, row);
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
        let row = self.rows[&f] as usize;
        let func = self.tree.funcs[f as usize].clone();
        self.current = f;
        self.native = func.native;
        self.most = 2;
        self.labels.clear();
        let entry = self.code.len();
        if func.params.len() > 200 {
            return Err(limit(func.span, "a function has more than 200 parameters"));
        }
        let vars: Vec<u32> = func.params.iter().map(|(_, v)| *v).collect();
        for (i, v) in vars.iter().enumerate() {
            self.tree.vars[*v as usize].reg = i as u8;
        }
        let start = self.label();
        self.loops.insert(func.target, (start, vars.clone()));
        self.tasks.push(Task::Tail(func.body, vars.len()));
        self.cells(&vars, func.span);
        self.tasks.push(Task::Label(start));
        self.need(vars.len() + 1, func.span)?;
        while let Some(task) = self.tasks.pop() {
            self.step(task)?;
        }
        for (at, label, span) in core::mem::take(&mut self.fixups) {
            self.fix(at, label, span)?;
        }
        let function = &mut self.functions[row];
        function.entry = entry as u32;
        function.end = self.code.len() as u32;
        function.registers = self.most as u8;
        Ok(())
    }

    /// Tasks that put variables into cells, where a closure and somebody else see them change.
    fn cells(&mut self, vars: &[u32], span: Span) {
        for v in vars.iter().rev() {
            let var = &self.tree.vars[*v as usize];
            if var.in_cell() {
                let reg = usize::from(var.reg);
                self.tasks.push(Task::Op(abc(Op::Cell, reg, 0, 0), span));
            }
        }
    }

    fn need(&mut self, registers: usize, span: Span) -> Result<()> {
        if registers > usize::from(MAX_REGISTERS) {
            return Err(limit(span, "a function needs more than 250 variables and intermediate values at once"));
        }
        self.most = self.most.max(registers);
        Ok(())
    }

    fn label(&mut self) -> Label {
        self.labels.push(None);
        self.labels.len() - 1
    }

    fn op(&mut self, word: u32, span: Span) {
        let span = if self.native { Span::default() } else { span };
        if self.spans.last().is_none_or(|(_, s)| *s != span) {
            self.spans.push((self.code.len() as u32, span));
        }
        self.code.push(word);
    }

    fn fix(&mut self, at: usize, label: Label, span: Span) -> Result<()> {
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

    fn constant(&mut self, v: Value, span: Span) -> Result<usize> {
        let i = self.constants.value(v);
        if i > 0xffff {
            return Err(limit(span, "a program has more than 65,536 different constants"));
        }
        Ok(i)
    }

    /// The word of a constant node.
    fn constant_word(&mut self, node: Node) -> Option<Value> {
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

    fn load(&mut self, v: Value, dst: usize, span: Span) -> Result<()> {
        let word = match v.as_small_int() {
            Some(i) if i16::try_from(i).is_ok() => abx(Op::Int, dst, i as u16 as usize),
            _ if v.tag() == tag::CONST => abc(Op::Imm, dst, (v.0 >> 8) as usize, 0),
            _ => abx(Op::Const, dst, self.constant(v, span)?),
        };
        self.op(word, span);
        Ok(())
    }

    /// The small int that a constant node is.
    fn small_int(&mut self, node: Node) -> Option<i64> {
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
    fn in_place(&self, node: Node) -> Option<usize> {
        let Ir::Var(v) = self.tree.get(node) else {
            return None;
        };
        let var = &self.tree.vars[v as usize];
        (var.func == self.current && !var.assigned).then_some(usize::from(var.reg))
    }

    /// Where an operand will be: in its place, or in the next free register, for which a task is added to `before`.
    fn operand(&mut self, node: Node, top: &mut usize, before: &mut Vec<Task>) -> usize {
        if let Some(reg) = self.in_place(node) {
            return reg;
        }
        let reg = *top;
        *top += 1;
        before.push(Task::Expr(node, reg, *top));
        reg
    }

    fn schedule(&mut self, tasks: Vec<Task>) {
        self.tasks.extend(tasks.into_iter().rev());
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
            Task::Label(label) => self.labels[label] = Some(self.code.len()),
            Task::LoopBack(target, span) => {
                let (label, _) = self.loops[&target].clone();
                self.fixups.push((self.code.len(), label, span));
                self.op(Op::Loop as u32, span);
            }
            Task::Closure(f, dst) => self.closure(f, dst)?,
        }
        Ok(())
    }

    fn closure(&mut self, f: u32, dst: usize) -> Result<()> {
        let span = self.tree.funcs[f as usize].span;
        let row = self.row(f);
        let captures = self.tree.funcs[f as usize].captures.clone();
        if captures.is_empty() {
            let v = Value::make(tag::FUNCTION, row, 0);
            return self.load(v, dst, span);
        }
        if row > 0xffff || captures.len() > 255 {
            return Err(limit(span, "a program has more than 65,536 functions, or one of them captures more than 255 variables"));
        }
        self.op(abx(Op::Closure, dst, row as usize), span);
        self.code.push(captures.len() as u32);
        for v in captures {
            let word = self.capture_word(v);
            self.code.push(word);
        }
        Ok(())
    }

    fn capture_word(&self, v: u32) -> u32 {
        let var = &self.tree.vars[v as usize];
        if var.func == self.current { u32::from(var.reg) } else { 1 << 8 | self.capture_index(v) }
    }

    fn capture_index(&self, v: u32) -> u32 {
        self.tree.funcs[self.current as usize].captures.iter().position(|c| *c == v).unwrap_or(0) as u32
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
                let var = self.tree.vars[v as usize].clone();
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
                    self.load(Value::make(tag::FUNCTION, row, 0), dst, span)?;
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
                self.schedule(alloc::vec![
                    Task::Branch(test, top, else_, false),
                    Task::Expr(yes, dst, top),
                    Task::Jump(end),
                    Task::Label(else_),
                    Task::Expr(no, dst, top),
                    Task::Label(end),
                ]);
            }
            Ir::Seq(nodes) => {
                let nodes = self.tree.list(nodes).to_vec();
                let mut tasks: Vec<Task> = nodes.iter().map(|n| Task::Effect(*n, top)).collect();
                if let (Some(last), Some(node)) = (tasks.last_mut(), nodes.last()) {
                    *last = Task::Expr(*node, dst, top);
                }
                self.schedule(tasks);
            }
            Ir::And(nodes) | Ir::Or(nodes) => {
                let is_and = matches!(self.tree.get(node), Ir::And(_));
                let nodes = self.tree.list(nodes).to_vec();
                let end = self.label();
                let mut tasks = Vec::new();
                for (i, n) in nodes.iter().enumerate() {
                    tasks.push(Task::Expr(*n, dst, top));
                    if i + 1 < nodes.len() {
                        tasks.push(Task::JumpIf(if is_and { Op::JumpFalse } else { Op::JumpTrue }, dst, end));
                    }
                }
                tasks.push(Task::Label(end));
                self.schedule(tasks);
            }
            Ir::Let(binds, body) => {
                let top = self.bind(binds, top, span)?;
                self.insert_after_binds(alloc::vec![Task::Expr(body, dst, top)]);
            }
            Ir::Loop(id, binds, body) => {
                let top = self.open_loop(id, binds, top, span)?;
                self.insert_after_binds(alloc::vec![Task::Expr(body, dst, top)]);
            }
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

    fn raise(&mut self, tag: Tag, message: crate::reader::Sym, span: Span) -> Result<()> {
        let text = self.constants.string(self.arena.names.get(message));
        let i = self.constant(text, span)?;
        self.op(abc(Op::Raise, tag as usize, 0, 0), span);
        self.code.push(i as u32);
        Ok(())
    }

    fn unbound(&mut self, g: u32, span: Span) -> Result<()> {
        let name = self.constants.global_name(g);
        let text = self.constants.string(&alloc::format!("unbound symbol `{name}`"));
        let i = self.constant(text, span)?;
        self.op(abc(Op::Raise, Tag::UnboundSymbol as usize, 0, 0), span);
        self.code.push(i as u32);
        Ok(())
    }

    /// Tasks (in order) that follow those of the binding that was just scheduled.
    fn insert_after_binds(&mut self, tasks: Vec<Task>) {
        let binds = core::mem::take(&mut self.pending);
        self.schedule(tasks);
        self.schedule(binds);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one form")]
    fn try_(
        &mut self,
        body: Node,
        e: u32,
        raised: u32,
        dst: usize,
        top: usize,
        span: Span,
        handler: Vec<Task>,
        end: Option<Label>,
    ) -> Result<()> {
        self.need(top + 3, span)?;
        let catch = self.label();
        self.tree.vars[e as usize].reg = top as u8;
        self.tree.vars[raised as usize].reg = top as u8 + 1;
        let mut tasks = alloc::vec![
            Task::Compare(abc(Op::Try, top, 0, 0), catch, span),
            Task::Expr(body, dst, (top + 2).max(dst + 1)),
            Task::Op(abc(Op::EndTry, top, 0, 0), span),
        ];
        match end {
            Some(end) => tasks.push(Task::Jump(end)),
            None => tasks.push(Task::Op(abc(Op::Return, dst, 0, 0), span)),
        }
        tasks.push(Task::Label(catch));
        for v in [e, raised] {
            let var = &self.tree.vars[v as usize];
            if var.in_cell() {
                tasks.push(Task::Op(abc(Op::Cell, usize::from(var.reg), 0, 0), span));
            }
        }
        tasks.extend(handler);
        self.schedule(tasks);
        Ok(())
    }

    /// Tasks for initial values go to `pending`; the first register behind the variables is the answer.
    fn bind(&mut self, binds: super::ir::Binds, top: usize, span: Span) -> Result<usize> {
        let list = self.tree.binds(binds).to_vec();
        let mut tasks = Vec::new();
        for (i, (v, init)) in list.iter().enumerate() {
            let reg = top + i;
            self.need(reg + 2, span)?;
            self.tree.vars[*v as usize].reg = reg as u8;
            match init {
                Some(init) => tasks.push(Task::Expr(*init, reg, reg + 1)),
                None => tasks.push(Task::Op(abc(Op::Imm, reg, 0, 0), span)),
            }
        }
        for (v, _) in &list {
            let var = &self.tree.vars[*v as usize];
            if var.in_cell() {
                tasks.push(Task::Op(abc(Op::Cell, usize::from(var.reg), 0, 0), span));
            }
        }
        self.pending = tasks;
        Ok(top + list.len())
    }

    fn open_loop(&mut self, id: u32, binds: super::ir::Binds, top: usize, span: Span) -> Result<usize> {
        let list = self.tree.binds(binds).to_vec();
        let start = self.label();
        let vars: Vec<u32> = list.iter().map(|(v, _)| *v).collect();
        let next = self.bind(binds, top, span)?;
        let at = self.pending.iter().position(|t| matches!(t, Task::Op(w, _) if Op::decode(*w) == Some(Op::Cell)));
        let at = at.unwrap_or(self.pending.len());
        self.pending.insert(at, Task::Label(start));
        self.loops.insert(id, (start, vars));
        Ok(next)
    }

    fn recur(&mut self, id: u32, args: Nodes, top: usize, span: Span) -> Result<()> {
        let (_, vars) = self.loops[&id].clone();
        let nodes = self.tree.list(args).to_vec();
        let mut tasks = Vec::new();
        let mut moves = Vec::new();
        for (i, (node, v)) in nodes.iter().zip(&vars).enumerate() {
            let target = usize::from(self.tree.vars[*v as usize].reg);
            // A variable that stays what it is needs nothing.
            if self.in_place(*node) == Some(target) {
                continue;
            }
            // The last one can go where it belongs at once: nothing reads the old value any more.
            if i + 1 == nodes.len() && !self.tree.vars[*v as usize].in_cell() && self.writes_last(*node) {
                let free = top + moves.len();
                tasks.push(Task::Expr(*node, target, free.max(target + 2)));
                continue;
            }
            let reg = top + moves.len();
            self.need(reg + 1, span)?;
            tasks.push(Task::Expr(*node, reg, reg + 1));
            moves.push(Task::Op(abc(Op::Move, target, reg, 0), span));
        }
        tasks.append(&mut moves);
        tasks.push(Task::LoopBack(id, span));
        self.schedule(tasks);
        Ok(())
    }

    /// Whether evaluating the node writes its result only when everything in it has been read.
    fn writes_last(&self, node: Node) -> bool {
        matches!(self.tree.get(node), Ir::Call(..) | Ir::Var(_) | Ir::Word(_) | Ir::Datum(_) | Ir::Global(_))
    }

    fn effect(&mut self, node: Node, top: usize) -> Result<()> {
        let span = self.tree.span(node);
        self.need(top + 1, span)?;
        match self.tree.get(node) {
            Ir::Word(_) | Ir::Datum(_) | Ir::Var(_) | Ir::Lambda(_) => {}
            Ir::SetVar(v, value) => {
                let var = self.tree.vars[v as usize].clone();
                let reg = usize::from(var.reg);
                let mut tasks = Vec::new();
                if var.func == self.current && !var.in_cell() {
                    if self.writes_last(value) {
                        // The register is read until it is written: nothing may be made in it.
                        tasks.push(Task::Expr(value, reg, top.max(reg + 2)));
                    } else {
                        tasks.push(Task::Expr(value, top, top + 1));
                        tasks.push(Task::Op(abc(Op::Move, reg, top, 0), span));
                    }
                } else {
                    tasks.push(Task::Expr(value, top, top + 1));
                    if var.func == self.current {
                        tasks.push(Task::Op(abc(Op::CellSet, reg, top, 0), span));
                    } else {
                        self.need(top + 2, span)?;
                        let i = self.capture_index(v) as usize;
                        tasks.push(Task::Op(abc(Op::Capture, top + 1, i, 0), span));
                        tasks.push(Task::Op(abc(Op::CellSet, top + 1, top, 0), span));
                    }
                }
                self.schedule(tasks);
            }
            Ir::SetGlobal(g, value) | Ir::Define(g, value) => {
                let op = if matches!(self.tree.get(node), Ir::Define(..)) { Op::Define } else { Op::SetGlobal };
                match self.meanings[g as usize] {
                    Meaning::Slot(slot) => {
                        self.schedule(alloc::vec![Task::Expr(value, top, top + 1), Task::Op(abx(op, top, slot as usize), span),]);
                    }
                    // Defined before anything runs.
                    Meaning::Function(_) | Meaning::Constant(_) => {}
                    _ => {
                        self.tasks.push(Task::Expr(value, top, top + 1));
                        // What is set was never defined: the value is computed, then it is an error.
                        let name = self.constants.global_name(g);
                        let text = self.constants.string(&alloc::format!("unbound symbol `{name}`"));
                        let i = self.constant(text, span)?;
                        let at = self.tasks.len() - 1;
                        self.tasks.insert(at, Task::Op2(abc(Op::Raise, Tag::UnboundSymbol as usize, 0, 0), i as u32, span));
                    }
                }
            }
            Ir::If(test, yes, no) => {
                let (else_, end) = (self.label(), self.label());
                self.schedule(alloc::vec![
                    Task::Branch(test, top, else_, false),
                    Task::Effect(yes, top),
                    Task::Jump(end),
                    Task::Label(else_),
                    Task::Effect(no, top),
                    Task::Label(end),
                ]);
            }
            Ir::Seq(nodes) => {
                let tasks = self.tree.list(nodes).iter().map(|n| Task::Effect(*n, top)).collect();
                self.schedule(tasks);
            }
            Ir::Let(binds, body) => {
                let top = self.bind(binds, top, span)?;
                self.insert_after_binds(alloc::vec![Task::Effect(body, top)]);
            }
            Ir::Loop(id, binds, body) => {
                let top = self.open_loop(id, binds, top, span)?;
                self.insert_after_binds(alloc::vec![Task::Effect(body, top)]);
            }
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
                self.schedule(alloc::vec![
                    Task::Branch(test, top, else_, false),
                    Task::Tail(yes, top),
                    Task::Label(else_),
                    Task::Tail(no, top),
                ]);
            }
            Ir::Seq(nodes) => {
                let nodes = self.tree.list(nodes).to_vec();
                let mut tasks: Vec<Task> = nodes.iter().map(|n| Task::Effect(*n, top)).collect();
                if let (Some(last), Some(node)) = (tasks.last_mut(), nodes.last()) {
                    *last = Task::Tail(*node, top);
                }
                self.schedule(tasks);
            }
            Ir::And(nodes) | Ir::Or(nodes) => {
                let is_and = matches!(self.tree.get(node), Ir::And(_));
                let nodes = self.tree.list(nodes).to_vec();
                let end = self.label();
                let mut tasks = Vec::new();
                for (i, n) in nodes.iter().enumerate() {
                    if i + 1 < nodes.len() {
                        tasks.push(Task::Expr(*n, top, top + 1));
                        tasks.push(Task::JumpIf(if is_and { Op::JumpFalse } else { Op::JumpTrue }, top, end));
                    } else {
                        tasks.push(Task::Tail(*n, top));
                    }
                }
                tasks.push(Task::Label(end));
                tasks.push(Task::Op(abc(Op::Return, top, 0, 0), span));
                self.schedule(tasks);
            }
            Ir::Let(binds, body) => {
                let top = self.bind(binds, top, span)?;
                self.insert_after_binds(alloc::vec![Task::Tail(body, top)]);
            }
            Ir::Loop(id, binds, body) => {
                let top = self.open_loop(id, binds, top, span)?;
                self.insert_after_binds(alloc::vec![Task::Tail(body, top)]);
            }
            Ir::Recur(id, args) => self.recur(id, args, top, span)?,
            Ir::Call(head, args) => self.call(head, args, None, top, span)?,
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

    /// The builtin that a call's head names.
    fn builtin_head(&self, head: Node) -> Option<&'static str> {
        let Ir::Global(g) = self.tree.get(head) else {
            return None;
        };
        match self.meanings[g as usize] {
            Meaning::Builtin(id) => Some(builtins::name(id)),
            _ => None,
        }
    }

    fn branch(&mut self, node: Node, top: usize, label: Label, sense: bool) -> Result<()> {
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
                let nodes = self.tree.list(nodes).to_vec();
                let end = self.label();
                let mut tasks = Vec::new();
                for (i, n) in nodes.iter().enumerate() {
                    let last = i + 1 == nodes.len();
                    // All but the last leave early: `and` when false, `or` when true.
                    if last || is_and != sense {
                        tasks.push(Task::Branch(*n, top, label, sense));
                    } else {
                        tasks.push(Task::Branch(*n, top, end, !sense));
                    }
                }
                tasks.push(Task::Label(end));
                self.schedule(tasks);
            }
            Ir::Call(head, args) => {
                let list = self.tree.list(args).to_vec();
                match (self.builtin_head(head), list.as_slice()) {
                    (Some("not"), [x]) => self.tasks.push(Task::Branch(*x, top, label, !sense)),
                    (Some("null?" | "nil?"), [x]) => {
                        let mut t = top;
                        let mut tasks = Vec::new();
                        let reg = self.operand(*x, &mut t, &mut tasks);
                        tasks.push(Task::JumpIf(if sense { Op::JumpNil } else { Op::JumpSome }, reg, label));
                        self.schedule(tasks);
                    }
                    (Some(name @ ("<" | ">" | "<=" | ">=" | "=" | "==")), [x, y]) if !sense => {
                        self.compare(name, *x, *y, top, label, span);
                    }
                    _ => self.test(node, top, label, sense),
                }
            }
            _ => self.test(node, top, label, sense),
        }
        Ok(())
    }

    fn test(&mut self, node: Node, top: usize, label: Label, sense: bool) {
        let mut t = top;
        let mut tasks = Vec::new();
        let reg = self.operand(node, &mut t, &mut tasks);
        tasks.push(Task::JumpIf(if sense { Op::JumpTrue } else { Op::JumpFalse }, reg, label));
        self.schedule(tasks);
    }

    /// A comparison that jumps when it does not hold.
    fn compare(&mut self, name: &str, x: Node, y: Node, top: usize, label: Label, span: Span) {
        let mut t = top;
        let mut tasks = Vec::new();
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
                let a = self.operand(x, &mut t, &mut tasks);
                abx(op, a, i)
            }
            None => {
                let a = self.operand(x, &mut t, &mut tasks);
                let b = self.operand(y, &mut t, &mut tasks);
                match name {
                    "<" => abc(Op::NotLess, a, b, 0),
                    "<=" => abc(Op::NotAtMost, a, b, 0),
                    ">" => abc(Op::NotLess, b, a, 0),
                    ">=" => abc(Op::NotAtMost, b, a, 0),
                    _ => abc(Op::NotEqual, a, b, 0),
                }
            }
        };
        tasks.push(Task::Compare(word, label, span));
        self.schedule(tasks);
    }

    /// A call; its result goes to `dst`, or is what the function returns.
    fn call(&mut self, head: Node, args: Nodes, dst: Option<usize>, top: usize, span: Span) -> Result<()> {
        let nodes = self.tree.list(args).to_vec();
        let n = nodes.len();
        // A result that goes right below the free registers can be made where it goes.
        let top = match dst {
            Some(d) if d + 1 == top => d,
            _ => top,
        };
        self.need(top + n + 3, span)?;
        let mut tasks: Vec<Task> = Vec::new();
        let result = dst.unwrap_or(top);
        if let Ir::Global(g) = self.tree.get(head) {
            match self.meanings[g as usize] {
                Meaning::Builtin(id) => {
                    if !builtins::accepts(id, n) {
                        let (min, max) = builtins::arity(id);
                        return self.wrong_arity(builtins::name(id), min, max, &nodes, top, span);
                    }
                    if !self.inline(builtins::name(id), &nodes, result, top, &mut tasks, span) {
                        for (i, node) in nodes.iter().enumerate() {
                            tasks.push(Task::Expr(*node, top + i, top + i + 1));
                        }
                        tasks.push(Task::Op2(abc(Op::Builtin, top, n, result), id, span));
                    }
                    if dst.is_none() {
                        tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
                    }
                    self.schedule(tasks);
                    return Ok(());
                }
                Meaning::Host(id) => {
                    let (min, max) = self.hosts[id as usize];
                    if n < min || max.is_some_and(|max| n > max) {
                        let name = self.constants.import_name(id);
                        return self.wrong_arity(&name, min, max, &nodes, top, span);
                    }
                    for (i, node) in nodes.iter().enumerate() {
                        tasks.push(Task::Expr(*node, top + i, top + i + 1));
                    }
                    tasks.push(Task::Op2(abc(Op::Host, top, n, result), id, span));
                    if dst.is_none() {
                        tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
                    }
                    self.schedule(tasks);
                    return Ok(());
                }
                Meaning::Function(f) => {
                    let func = &self.tree.funcs[f as usize];
                    let (required, optional, rest) = (func.required, func.optional, func.rest);
                    if n < required || (!rest && n > required + optional) {
                        let name = func.name.map_or("lambda", |s| self.arena.names.get(s));
                        let max = (!rest).then_some(required + optional);
                        return self.wrong_arity(name, required, max, &nodes, top, span);
                    }
                    if func.native && func.name.is_some_and(|s| self.arena.names.get(s) == "apply") {
                        return self.apply(&nodes, dst, top, span);
                    }
                    if func.native && n == 1 {
                        let step = match func.name.map(|s| self.arena.names.get(s)) {
                            Some("inc") => 1,
                            Some("dec") => 0xff,
                            _ => 0,
                        };
                        if step != 0 {
                            let mut t = top;
                            let x = self.operand(nodes[0], &mut t, &mut tasks);
                            tasks.push(Task::Op(abc(Op::AddInt, result, x, step), span));
                            if dst.is_none() {
                                tasks.push(Task::Op(abc(Op::Return, result, 0, 0), span));
                            }
                            self.schedule(tasks);
                            return Ok(());
                        }
                    }
                    let row = self.row(f);
                    if !rest && optional == 0 {
                        // When registers become scarce, a first argument is computed where the call
                        // itself will be, so that (f (f (f …))) needs no more of them with every level.
                        let early = usize::from(top > SCARCE && n > 0);
                        if early == 1 {
                            tasks.push(Task::Expr(nodes[0], top, top + 1));
                            tasks.push(Task::Op(abc(Op::Move, top + 2, top, 0), span));
                        }
                        for (i, node) in nodes.iter().enumerate().skip(early) {
                            tasks.push(Task::Expr(*node, top + 2 + i, top + 3 + i));
                        }
                        let op = if dst.is_none() { Op::TailKnown } else { Op::CallKnown };
                        tasks.push(Task::Op2(abc(op, top, n, 0), row, span));
                        match dst {
                            Some(dst) if dst != top => {
                                tasks.push(Task::Op(abc(Op::Move, dst, top, 0), span));
                            }
                            Some(_) => {}
                            // A function must not end with a call, however final it is.
                            None => tasks.push(Task::Op(abc(Op::Return, top, 0, 0), span)),
                        }
                        self.schedule(tasks);
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        tasks.push(Task::Expr(head, top, top + 1));
        for (i, node) in nodes.iter().enumerate() {
            tasks.push(Task::Expr(*node, top + 2 + i, top + 3 + i));
        }
        self.finish_call(tasks, Op::Call, n, dst, top, span);
        Ok(())
    }

    fn finish_call(&mut self, mut tasks: Vec<Task>, op: Op, n: usize, dst: Option<usize>, top: usize, span: Span) {
        let op = match (op, dst) {
            (Op::Call, None) => Op::TailCall,
            (Op::Apply, None) => Op::TailApply,
            (op, _) => op,
        };
        tasks.push(Task::Op(abc(op, top, n, 0), span));
        match dst {
            Some(dst) if dst != top => tasks.push(Task::Op(abc(Op::Move, dst, top, 0), span)),
            Some(_) => {}
            None => tasks.push(Task::Op(abc(Op::Return, top, 0, 0), span)),
        }
        self.schedule(tasks);
    }

    fn apply(&mut self, nodes: &[Node], dst: Option<usize>, top: usize, span: Span) -> Result<()> {
        let mut tasks = alloc::vec![Task::Expr(nodes[0], top, top + 1)];
        for (i, node) in nodes[1..].iter().enumerate() {
            tasks.push(Task::Expr(*node, top + 2 + i, top + 3 + i));
        }
        self.finish_call(tasks, Op::Apply, nodes.len() - 1, dst, top, span);
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
        let mut tasks: Vec<Task> = nodes.iter().map(|n| Task::Effect(*n, top)).collect();
        tasks.push(Task::Op2(abc(Op::Raise, Tag::ArityMismatch as usize, 0, 0), i as u32, span));
        self.schedule(tasks);
        Ok(())
    }

    /// Builtins that are instructions.
    fn inline(&mut self, name: &str, nodes: &[Node], dst: usize, top: usize, tasks: &mut Vec<Task>, span: Span) -> bool {
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
                    let a = self.operand(node, &mut t, tasks);
                    tasks.push(Task::Op(abc(Op::AddInt, dst, a, i as u8 as usize), span));
                } else {
                    let op = if name == "+" { Op::Add } else { Op::Sub };
                    self.three(op, *x, *y, dst, top, tasks, span, false);
                }
            }
            ("*", [x, y]) => self.three(Op::Mul, *x, *y, dst, top, tasks, span, false),
            ("<", [x, y]) => self.three(Op::Less, *x, *y, dst, top, tasks, span, false),
            ("<=", [x, y]) => self.three(Op::AtMost, *x, *y, dst, top, tasks, span, false),
            (">", [x, y]) => self.three(Op::Less, *x, *y, dst, top, tasks, span, true),
            (">=", [x, y]) => self.three(Op::AtMost, *x, *y, dst, top, tasks, span, true),
            ("=" | "==", [x, y]) => self.three(Op::Equal, *x, *y, dst, top, tasks, span, false),
            ("cons", [x, y]) => self.three(Op::Cons, *x, *y, dst, top, tasks, span, false),
            ("car" | "cdr" | "not" | "null?" | "nil?", [x]) => {
                let op = match name {
                    "car" => Op::Car,
                    "cdr" => Op::Cdr,
                    "not" => Op::Not,
                    _ => Op::IsNil,
                };
                let a = self.operand(*x, &mut t, tasks);
                tasks.push(Task::Op(abc(op, dst, a, 0), span));
            }
            _ => return false,
        }
        true
    }

    #[allow(clippy::too_many_arguments, reason = "the operands of one instruction")]
    fn three(&mut self, op: Op, x: Node, y: Node, dst: usize, top: usize, tasks: &mut Vec<Task>, span: Span, swap: bool) {
        let mut t = top;
        let a = self.operand(x, &mut t, tasks);
        let b = self.operand(y, &mut t, tasks);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        tasks.push(Task::Op(abc(op, dst, a, b), span));
    }
}
