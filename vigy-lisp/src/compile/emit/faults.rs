//! What is caught, and what is raised.

use alloc::vec::Vec;

use super::{Emitter, Label, Task, abc};
use crate::code::Op;
use crate::compile::Result;
use crate::compile::ir::Node;
use crate::machine::Tag;
use crate::span::Span;

impl<'c> Emitter<'c> {
    pub(super) fn raise(&mut self, tag: Tag, message: crate::reader::Sym, span: Span) -> Result<()> {
        let text = self.constants.string(self.arena.names.get(message));
        let i = self.constant(text, span)?;
        self.op(abc(Op::Raise, tag as usize, 0, 0), span);
        self.code.push(i as u32);
        Ok(())
    }

    pub(super) fn unbound(&mut self, g: u32, span: Span) -> Result<()> {
        let name = self.constants.global_name(self.arena, g);
        let text = self.constants.string(&alloc::format!("`{name}` is not defined"));
        let i = self.constant(text, span)?;
        self.op(abc(Op::Raise, Tag::UnboundSymbol as usize, 0, 0), span);
        self.code.push(i as u32);
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one form")]
    pub(super) fn try_(
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
}
