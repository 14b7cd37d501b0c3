//! Text as data: nodes in an arena, so that neither building nor dropping nor walking one needs the native stack.

use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::heap::hash_bytes;
use crate::span::Span;

/// An interned text: a name, or the content of a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub(crate) struct Sym(pub(crate) u32);

/// The table looks at both ends of a hash.
fn table_hash(text: &[u8]) -> u64 {
    let hash = u64::from(hash_bytes(text));
    hash << 32 | hash
}

/// Interned texts.
#[derive(Default)]
pub(crate) struct Interner {
    text: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
}

impl Interner {
    pub(crate) fn intern(&mut self, text: &str) -> Sym {
        let hash = table_hash(text.as_bytes());
        if let Some(id) = self.table.find(hash, |id| self.bytes(*id) == text.as_bytes()) {
            return Sym(*id);
        }
        let id = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        let (texts, ends) = (&self.text, &self.ends);
        self.table.insert_unique(hash, id, |id| {
            let start = if *id == 0 { 0 } else { ends[*id as usize - 1] as usize };
            table_hash(&texts.as_bytes()[start..ends[*id as usize] as usize])
        });
        Sym(id)
    }

    fn reserve(&mut self, names: usize) {
        self.ends.reserve(names);
        self.text.reserve(8 * names);
        let (texts, ends) = (&self.text, &self.ends);
        self.table.reserve(names, |id| {
            let start = if *id == 0 { 0 } else { ends[*id as usize - 1] as usize };
            table_hash(&texts.as_bytes()[start..ends[*id as usize] as usize])
        });
    }

    /// All texts, in the order in which they came.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len() as u32).map(|i| self.get(Sym(i)))
    }

    fn bytes(&self, id: u32) -> &[u8] {
        let i = id as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.text.as_bytes()[start..self.ends[i] as usize]
    }

    pub(crate) fn get(&self, sym: Sym) -> &str {
        let i = sym.0 as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.text[start..self.ends[i] as usize]
    }
}

/// Which delimiters a list was written with. Only the compiler sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Paren,
    Bracket,
    Brace,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Datum {
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Sym),
    Symbol(Sym),
    Keyword(Sym),
    /// `len` ids from `start` on in the arena's items; nil when empty.
    List {
        start: u32,
        len: u32,
        shape: Shape,
    },
}

/// A node of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct Id(pub(crate) u32);

#[derive(Default)]
pub(crate) struct Arena {
    nodes: Vec<(Datum, Span)>,
    items: Vec<Id>,
    pub(crate) names: Interner,
}

impl Arena {
    /// Makes room for about `nodes`, up to what a text of usual size needs, when there are none yet.
    pub(crate) fn reserve(&mut self, nodes: usize) {
        if !self.nodes.is_empty() {
            return;
        }
        let nodes = nodes.min(1 << 14);
        self.nodes.reserve(nodes);
        self.items.reserve(nodes);
        self.names.reserve(nodes / 4);
    }

    pub(crate) fn add(&mut self, datum: Datum, span: Span) -> Id {
        self.nodes.push((datum, span));
        Id(self.nodes.len() as u32 - 1)
    }

    pub(crate) fn list(&mut self, items: &[Id], shape: Shape, span: Span) -> Id {
        let start = self.items.len() as u32;
        self.items.extend_from_slice(items);
        self.add(Datum::List { start, len: items.len() as u32, shape }, span)
    }

    /// A list of `head` and `items`.
    pub(crate) fn list_of(&mut self, head: Id, items: &[Id], shape: Shape, span: Span) -> Id {
        let start = self.items.len() as u32;
        self.items.push(head);
        self.items.extend_from_slice(items);
        self.add(Datum::List { start, len: items.len() as u32 + 1, shape }, span)
    }

    /// A list of what the list `of` has from `from` on, behind `head`, when there is one.
    pub(crate) fn list_from(&mut self, head: Option<Id>, of: Id, from: usize, shape: Shape, span: Span) -> Id {
        let start = self.items.len() as u32;
        self.items.extend(head);
        if let Datum::List { start, len, .. } = self.get(of) {
            let (start, len) = (start as usize, len as usize);
            self.items.extend_from_within(start + from.min(len)..start + len);
        }
        let len = self.items.len() as u32 - start;
        self.add(Datum::List { start, len, shape }, span)
    }

    pub(crate) fn symbol(&mut self, name: &str, span: Span) -> Id {
        let sym = self.names.intern(name);
        self.add(Datum::Symbol(sym), span)
    }

    pub(crate) fn get(&self, id: Id) -> Datum {
        self.nodes[id.0 as usize].0
    }

    pub(crate) fn span(&self, id: Id) -> Span {
        self.nodes[id.0 as usize].1
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Nodes, and elements of lists.
    pub(crate) fn parts(&self) -> usize {
        self.nodes.len() + self.items.len()
    }

    /// The elements of a list; none for everything else.
    pub(crate) fn items(&self, id: Id) -> &[Id] {
        match self.get(id) {
            Datum::List { start, len, .. } => &self.items[start as usize..][..len as usize],
            _ => &[],
        }
    }

    pub(crate) fn item(&self, id: Id, i: usize) -> Id {
        self.items(id)[i]
    }

    pub(crate) fn as_symbol(&self, id: Id) -> Option<Sym> {
        if let Datum::Symbol(s) = self.get(id) { Some(s) } else { None }
    }

    pub(crate) fn symbol_text(&self, id: Id) -> Option<&str> {
        self.as_symbol(id).map(|s| self.names.get(s))
    }

    pub(crate) fn is_symbol(&self, id: Id, name: &str) -> bool {
        self.symbol_text(id) == Some(name)
    }

    pub(crate) fn is_list(&self, id: Id) -> bool {
        matches!(self.get(id), Datum::List { .. })
    }

    pub(crate) fn is_bracket(&self, id: Id) -> bool {
        matches!(self.get(id), Datum::List { shape: Shape::Bracket, .. })
    }

    pub(crate) fn is_brace(&self, id: Id) -> bool {
        matches!(self.get(id), Datum::List { shape: Shape::Brace, .. })
    }

    /// The name of the symbol at the head of a list.
    pub(crate) fn head(&self, id: Id) -> Option<&str> {
        self.items(id).first().and_then(|h| self.symbol_text(*h))
    }
}
