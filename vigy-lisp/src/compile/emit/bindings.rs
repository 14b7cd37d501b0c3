//! Variables: bound, looped over, captured, put into cells.

use alloc::vec::Vec;

use super::{Emitter, Task, abc, abx, limit};
use crate::code::Op;
use crate::compile::Result;
use crate::compile::ir::{Binds, Ir, Node, Nodes};
use crate::span::Span;
use crate::value::{Value, tag};

impl<'c> Emitter<'c> {
    /// Tasks that put variables into cells, where a closure and somebody else see them change.
    pub(super) fn cells(&mut self, vars: &[u32], span: Span) {
        for v in vars.iter().rev() {
            let var = &self.tree.vars[*v as usize];
            if var.in_cell() {
                let reg = usize::from(var.reg);
                self.tasks.push(Task::Op(abc(Op::Cell, reg, 0, 0), span));
            }
        }
    }

    /// Tasks for initial values go to `pending`; the first register behind the variables is the answer.
    pub(super) fn bind(&mut self, binds: Binds, top: usize, span: Span) -> Result<usize> {
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
            // At once: the next initial value may already see the variable.
            if self.tree.vars[*v as usize].in_cell() {
                tasks.push(Task::Op(abc(Op::Cell, reg, 0, 0), span));
            }
        }
        self.pending = tasks;
        Ok(top + list.len())
    }

    /// Tasks (in order) that follow those of the binding that was just scheduled.
    pub(super) fn insert_after_binds<const N: usize>(&mut self, tasks: [Task; N]) {
        let binds = core::mem::take(&mut self.pending);
        self.schedule(tasks);
        self.schedule(binds);
    }

    pub(super) fn open_loop(&mut self, id: u32, binds: Binds, top: usize, span: Span) -> Result<usize> {
        let list = self.tree.binds(binds).to_vec();
        let start = self.label();
        let vars: Vec<u32> = list.iter().map(|(v, _)| *v).collect();
        let next = self.bind(binds, top, span)?;
        // Every turn starts with cells of its own; for the first one, they are there.
        let cells: Vec<usize> =
            vars.iter().map(|v| &self.tree.vars[*v as usize]).filter(|v| v.in_cell()).map(|v| usize::from(v.reg)).collect();
        if cells.is_empty() {
            self.pending.push(Task::Label(start));
        } else {
            let body = self.label();
            self.pending.extend([Task::Jump(body), Task::Label(start)]);
            self.pending.extend(cells.into_iter().map(|reg| Task::Op(abc(Op::Cell, reg, 0, 0), span)));
            self.pending.push(Task::Label(body));
        }
        self.loops.insert(id, (start, vars));
        Ok(next)
    }

    pub(super) fn recur(&mut self, id: u32, args: Nodes, top: usize, span: Span) -> Result<()> {
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
    pub(super) fn writes_last(&self, node: Node) -> bool {
        matches!(self.tree.get(node), Ir::Call(..) | Ir::Var(_) | Ir::Word(_) | Ir::Datum(_) | Ir::Global(_))
    }

    pub(super) fn closure(&mut self, f: u32, dst: usize) -> Result<()> {
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

    pub(super) fn capture_index(&self, v: u32) -> u32 {
        self.tree.funcs[self.current as usize].captures.iter().position(|c| *c == v).unwrap_or(0) as u32
    }
}
