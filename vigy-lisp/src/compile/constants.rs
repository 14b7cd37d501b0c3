//! Constants of an image: values, frozen objects, names.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::table::{HashMap, USUAL};

use crate::equal;
use crate::heap::{Heap, SHAPE_SHIFT, header};
use crate::image::Names;
use crate::reader::{Arena, Datum, Id, Interner, Shape, Sym};
use crate::value::{FROZEN, Value, tag};

pub(super) struct Constants {
    pub(super) values: Vec<u64>,
    index: HashMap<u64, usize>,
    pub(super) frozen: Vec<u64>,
    strings: HashMap<String, Value>,
    numbers: HashMap<(u8, u64), Value>,
    data: HashMap<Id, Value>,
    names: Interner,
    /// Numbers among the names, by symbol.
    known: Vec<Option<u32>>,
    /// Names of globals, as the program has them.
    pub(super) globals: Vec<Sym>,
    pub(super) imports: Vec<String>,
    /// Maps stay marked lists, as macros want them.
    for_macro: bool,
}

impl Constants {
    pub(super) fn new(for_macro: bool) -> Self {
        Self {
            values: Vec::new(),
            index: HashMap::with_capacity_and_hasher(USUAL, Default::default()),
            frozen: Vec::new(),
            strings: HashMap::default(),
            numbers: HashMap::default(),
            data: HashMap::default(),
            names: Interner::default(),
            known: Vec::new(),
            globals: Vec::new(),
            imports: Vec::new(),
            for_macro,
        }
    }

    /// The place of a value among the constants.
    pub(super) fn value(&mut self, v: Value) -> usize {
        *self.index.entry(v.0).or_insert_with(|| {
            self.values.push(v.0);
            self.values.len() - 1
        })
    }

    /// The number of a name that the compiler has as a symbol.
    pub(super) fn name_of(&mut self, arena: &Arena, name: Sym) -> u32 {
        let at = name.0 as usize;
        if let Some(Some(id)) = self.known.get(at) {
            return *id;
        }
        let id = self.name(arena.names.get(name));
        self.known.resize(self.known.len().max(at + 1), None);
        self.known[at] = Some(id);
        id
    }

    pub(super) fn name(&mut self, text: &str) -> u32 {
        self.names.intern(text).0
    }

    pub(super) fn global_name<'a>(&self, arena: &'a Arena, g: u32) -> &'a str {
        self.globals.get(g as usize).map_or("", |name| arena.names.get(*name))
    }

    pub(super) fn import_name(&self, i: u32) -> String {
        self.imports.get(i as usize).cloned().unwrap_or_default()
    }

    fn freeze(&mut self, tag: u8, words: &[u64]) -> Value {
        let at = self.frozen.len() as u32;
        self.frozen.extend_from_slice(words);
        Value::make(tag, at | FROZEN, 0)
    }

    pub(super) fn string(&mut self, text: &str) -> Value {
        if let Some(v) = self.strings.get(text) {
            return *v;
        }
        let mut words = alloc::vec![0u64; 1 + text.len().div_ceil(8)];
        words[0] = header(tag::STRING, text.is_ascii() as usize, text.len());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words[1..]);
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let v = self.freeze(tag::STRING, &words);
        self.strings.insert(text.to_string(), v);
        v
    }

    fn boxed(&mut self, tag: u8, word: u64) -> Value {
        if let Some(v) = self.numbers.get(&(tag, word)) {
            return *v;
        }
        let v = self.freeze(tag, &[header(tag, 0, 0), word]);
        self.numbers.insert((tag, word), v);
        v
    }

    fn leaf(&mut self, arena: &Arena, datum: Datum) -> Option<Value> {
        Some(match datum {
            Datum::Bool(b) => Value::bool(b),
            Datum::Int(i) => Value::small_int(i).unwrap_or_else(|| self.boxed(tag::INT, i as u64)),
            Datum::Float(f) => Value::small_float(f).unwrap_or_else(|| self.boxed(tag::FLOAT, f.to_bits())),
            Datum::Str(s) => self.string(arena.names.get(s)),
            Datum::Symbol(s) => Value::make(tag::SYMBOL, self.name_of(arena, s) | FROZEN, 0),
            Datum::Keyword(s) => Value::make(tag::KEYWORD, self.name_of(arena, s) | FROZEN, 0),
            Datum::List { len: 0, shape: Shape::Paren | Shape::Bracket, .. } => Value::NIL,
            Datum::List { .. } => return None,
        })
    }

    /// The frozen value of a datum.
    pub(super) fn datum(&mut self, arena: &Arena, id: Id) -> Value {
        if let Some(v) = self.leaf(arena, arena.get(id)) {
            return v;
        }
        let mut work = alloc::vec![(id, false)];
        let mut done: Vec<Value> = Vec::new();
        while let Some((id, parts_done)) = work.pop() {
            if let Some(v) = self.data.get(&id) {
                done.push(*v);
                continue;
            }
            if let Some(v) = self.leaf(arena, arena.get(id)) {
                done.push(v);
                continue;
            }
            let items = arena.items(id);
            if !parts_done {
                work.push((id, true));
                work.extend(items.iter().rev().map(|i| (*i, false)));
                continue;
            }
            let parts = done.split_off(done.len() - items.len());
            let brace = arena.is_brace(id);
            let v = if brace && !self.for_macro {
                self.map(&parts)
            } else if parts.is_empty() {
                Value::NIL
            } else {
                let shape = if brace { 2 } else { u64::from(arena.is_bracket(id)) };
                let mut words = alloc::vec![header(tag::LIST, parts.len(), parts.len()) | shape << SHAPE_SHIFT, Value::NIL.0];
                words.extend(parts.iter().map(|v| v.0));
                self.freeze(tag::LIST, &words)
            };
            self.data.insert(id, v);
            done.push(v);
        }
        done.pop().unwrap_or(Value::NIL)
    }

    /// A frozen map: entries in order, a later one with the same key replaces the value.
    fn map(&mut self, parts: &[Value]) -> Value {
        let mut entries: Vec<(u32, Value, Value)> = Vec::new();
        let mut no_words = [0; Heap::words_for(0)];
        {
            let names = Names { index: &[], bytes: &[], table: &[] };
            let heap = Heap::new(&self.frozen, names, &mut no_words, 0);
            let mut fuel = i64::MAX;
            for pair in parts.chunks_exact(2) {
                // A datum is hashable; one nested too deeply to hash stays a key that nothing finds.
                let hash = equal::hash_key(&heap, pair[0], &mut fuel).unwrap_or(0);
                let same =
                    entries.iter_mut().find(|(h, k, _)| *h == hash && equal::same_key(&heap, *k, pair[0], &mut fuel).unwrap_or(false));
                match same {
                    Some(entry) => entry.2 = pair[1],
                    None => entries.push((hash, pair[0], pair[1])),
                }
            }
        }
        let capacity = entries.len().max(4).next_power_of_two();
        let mut words = alloc::vec![header(tag::TABLE, entries.len(), capacity)];
        for (hash, k, v) in &entries {
            words.extend([u64::from(*hash), k.0, v.0]);
        }
        words.resize(1 + 3 * capacity, 0);
        if capacity > 8 {
            let mut index = alloc::vec![0u32; 2 * capacity];
            for (i, (hash, ..)) in entries.iter().enumerate() {
                let mut slot = *hash as usize & (2 * capacity - 1);
                while index[slot] != 0 {
                    slot = (slot + 1) & (2 * capacity - 1);
                }
                index[slot] = i as u32 + 1;
            }
            words.extend_from_slice(bytemuck::cast_slice(&super::link::pairs(index.into_iter())));
        }
        let table = self.freeze(tag::TABLE, &words);
        self.freeze(tag::MAP, &[header(tag::MAP, entries.len(), 0), table.0])
    }

    /// Index, bytes and hash table of the names.
    pub(super) fn names_sections(&self) -> (Vec<u32>, Vec<u64>, Vec<u32>) {
        let mut index = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        for name in self.names.iter() {
            index.extend([bytes.len() as u32, name.len() as u32]);
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let words = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        (index, words, Names::table_for(self.names.iter()))
    }
}
