//! The form between expander and emitter: names resolved, macros gone, places kept.

use alloc::vec::Vec;

use crate::machine::Tag;
use crate::reader::{Id, Sym};
use crate::span::Span;
use crate::value::Value;

/// A node.
pub(crate) type Node = u32;
/// Nodes in [`Tree::lists`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nodes {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ir {
    /// A constant from the text.
    Datum(Id),
    /// A constant without memory.
    Word(Value),
    Var(u32),
    Global(u32),
    SetVar(u32, Node),
    SetGlobal(u32, Node),
    Define(u32, Node),
    If(Node, Node, Node),
    Seq(Nodes),
    And(Nodes),
    Or(Nodes),
    /// Binds variables in order, then the body. A variable without an initial value is nil.
    Let(Binds, Node),
    /// The same; `Recur` comes back to the start of the body.
    Loop(u32, Binds, Node),
    Recur(u32, Nodes),
    Lambda(u32),
    Call(Node, Nodes),
    /// Body, variable of the error, variable of whether the language raised it, handler.
    Try(Node, u32, u32, Node),
    /// What is wrong here, met at run time.
    Raise(Tag, Sym),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Binds {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Var {
    pub(crate) func: u32,
    pub(crate) captured: bool,
    /// Changed after its closure could have been made.
    pub(crate) assigned: bool,
    pub(crate) reg: u8,
}

impl Var {
    /// Whether it lives in a cell, because a closure and somebody else see it change.
    pub(crate) fn in_cell(&self) -> bool {
        self.captured && self.assigned
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Func {
    pub(crate) name: Option<Sym>,
    pub(crate) params: Vec<(Sym, u32)>,
    pub(crate) required: usize,
    pub(crate) optional: usize,
    pub(crate) rest: bool,
    pub(crate) native: bool,
    /// Stands for a builtin, or helps to.
    pub(crate) stands: bool,
    pub(crate) captures: Vec<u32>,
    pub(crate) body: Node,
    /// The loop that `recur` without another one goes back to.
    pub(crate) target: u32,
    pub(crate) span: Span,
}

#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<(Ir, Span)>,
    pub(crate) lists: Vec<Node>,
    pub(crate) binds: Vec<(u32, Option<Node>)>,
    pub(crate) vars: Vec<Var>,
    pub(crate) funcs: Vec<Func>,
}

impl Tree {
    /// Makes room for about `nodes`, up to what a program of usual size needs.
    pub(crate) fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve(nodes.min(1 << 14));
    }

    pub(crate) fn add(&mut self, ir: Ir, span: Span) -> Node {
        self.nodes.push((ir, span));
        self.nodes.len() as u32 - 1
    }

    pub(crate) fn len(&self) -> Node {
        self.nodes.len() as u32
    }

    /// Nodes, and places for nodes.
    pub(crate) fn parts(&self) -> usize {
        self.nodes.len() + self.lists.len()
    }

    pub(crate) fn get(&self, node: Node) -> Ir {
        self.nodes[node as usize].0
    }

    pub(crate) fn span(&self, node: Node) -> Span {
        self.nodes[node as usize].1
    }

    pub(crate) fn nodes(&mut self, nodes: &[Node]) -> Nodes {
        let start = self.lists.len() as u32;
        self.lists.extend_from_slice(nodes);
        Nodes { start, len: nodes.len() as u32 }
    }

    pub(crate) fn list(&self, nodes: Nodes) -> &[Node] {
        &self.lists[nodes.start as usize..][..nodes.len as usize]
    }

    pub(crate) fn bind(&mut self, binds: &[(u32, Option<Node>)]) -> Binds {
        let start = self.binds.len() as u32;
        self.binds.extend_from_slice(binds);
        Binds { start, len: binds.len() as u32 }
    }

    pub(crate) fn binds(&self, binds: Binds) -> &[(u32, Option<Node>)] {
        &self.binds[binds.start as usize..][..binds.len as usize]
    }

    pub(crate) fn var(&mut self, func: u32) -> u32 {
        self.vars.push(Var { func, captured: false, assigned: false, reg: 0 });
        self.vars.len() as u32 - 1
    }
}
