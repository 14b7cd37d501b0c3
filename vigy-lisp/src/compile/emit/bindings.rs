//! Variables: bound, looped over, captured, put into cells.

use core::ops::Range;

use super::{Emitter, Task, abc, abx, limit};
use crate::code::{MAX_REGISTERS, Op};
use crate::compile::Result;
use crate::compile::ir::{Binds, Ir, Node, Nodes};
use crate::span::Span;
use crate::value::{Value, tag};

impl<'c> Emitter<'c> {
    /// Tasks that put variables into cells, where a closure and somebody else see them change.
    pub(super) fn cells(&mut self, vars: Range<usize>, span: Span) {
        for v in &self.turning[vars] {
            let var = &self.tree.vars[*v as usize];
            if var.in_cell() {
                let reg = usize::from(var.reg);
                self.tasks.push(Task::Op(abc(Op::Cell, reg, 0, 0), span));
            }
        }
    }

    /// Binds variables to their initial values, and then does the task that `body` makes of the first register behind them.
    pub(super) fn bind(&mut self, binds: Binds, top: usize, span: Span, body: impl FnOnce(usize) -> Task) -> Result<()> {
        let mark = self.tasks.len();
        let next = self.initial_values(binds, top, span)?;
        self.tasks.push(body(next));
        self.turn(mark);
        Ok(())
    }

    /// The same for a loop: `recur` comes back to the body.
    pub(super) fn open_loop(&mut self, id: u32, binds: Binds, top: usize, span: Span, body: impl FnOnce(usize) -> Task) -> Result<()> {
        let mark = self.tasks.len();
        let next = self.initial_values(binds, top, span)?;
        let start = self.label();
        let vars = self.turning.len()..self.turning.len() + binds.len as usize;
        self.turning.extend(self.tree.binds(binds).iter().map(|(v, _)| *v));
        self.loops.insert(id, (start, vars.clone()));
        // Every turn starts with cells of its own; for the first one, they are there.
        if self.turning[vars.clone()].iter().any(|v| self.tree.vars[*v as usize].in_cell()) {
            let entry = self.label();
            self.tasks.extend([Task::Jump(entry), Task::Label(start)]);
            self.cells(vars, span);
            self.tasks.push(Task::Label(entry));
        } else {
            self.tasks.push(Task::Label(start));
        }
        self.tasks.push(body(next));
        self.turn(mark);
        Ok(())
    }

    fn initial_values(&mut self, binds: Binds, top: usize, span: Span) -> Result<usize> {
        for i in 0..binds.len as usize {
            let (v, init) = self.tree.binds(binds)[i];
            let reg = top + i;
            self.need(reg + 2, span)?;
            let var = &mut self.tree.vars[v as usize];
            var.reg = reg as u8;
            self.tasks.push(match init {
                Some(init) => Task::Expr(init, reg, reg + 1),
                None => Task::Op(abc(Op::Imm, reg, 0, 0), span),
            });
            // At once: the next initial value may already see the variable.
            if var.in_cell() {
                self.tasks.push(Task::Op(abc(Op::Cell, reg, 0, 0), span));
            }
        }
        Ok(top + binds.len as usize)
    }

    pub(super) fn recur(&mut self, id: u32, args: Nodes, top: usize, span: Span) -> Result<()> {
        let vars = self.loops[&id].1.clone();
        let mark = self.tasks.len();
        let n = args.len as usize;
        let mut free = top;
        // What is computed beside its place, and moved there when all is computed.
        let mut beside: heapless::Vec<(u8, u8), { MAX_REGISTERS as usize }> = heapless::Vec::new();
        for (i, at) in vars.take(n).enumerate() {
            let (node, var) = (self.tree.list(args)[i], self.tree.vars[self.turning[at] as usize]);
            let target = usize::from(var.reg);
            // A variable that stays what it is needs nothing.
            if self.in_place(node) == Some(target) {
                continue;
            }
            // The last one can go where it belongs at once: nothing reads the old value any more.
            if i + 1 == n && !var.in_cell() && self.writes_last(node) {
                self.tasks.push(Task::Expr(node, target, free.max(target + 2)));
                continue;
            }
            self.need(free + 1, span)?;
            self.tasks.push(Task::Expr(node, free, free + 1));
            // There are no more of them than registers, as was just made sure of.
            let _ = beside.push((var.reg, free as u8));
            free += 1;
        }
        self.tasks.extend(beside.iter().map(|(target, reg)| Task::Op(abc(Op::Move, usize::from(*target), usize::from(*reg), 0), span)));
        self.tasks.push(Task::LoopBack(id, span));
        self.turn(mark);
        Ok(())
    }

    /// Whether evaluating the node writes its result only when everything in it has been read.
    pub(super) fn writes_last(&self, node: Node) -> bool {
        matches!(self.tree.get(node), Ir::Call(..) | Ir::Var(_) | Ir::Word(_) | Ir::Datum(_) | Ir::Global(_))
    }

    pub(super) fn closure(&mut self, f: u32, dst: usize) -> Result<()> {
        let span = self.tree.funcs[f as usize].span;
        let row = self.row(f);
        let captures = self.tree.funcs[f as usize].captures.len();
        if captures == 0 {
            let v = Value::make(tag::FUNCTION, row, 0);
            return self.load(v, dst, span);
        }
        if row > 0xffff || captures > 255 {
            return Err(limit(span, "a program has more than 65,536 functions, or one of them captures more than 255 variables"));
        }
        self.op(abx(Op::Closure, dst, row as usize), span);
        self.code.push(captures as u32);
        for i in 0..captures {
            let word = self.capture_word(self.tree.funcs[f as usize].captures[i]);
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
