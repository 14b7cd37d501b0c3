//! Lists are chunks: a run of elements and a tail. A list value names a chunk and an offset into its run, so that `cdr`
//! allocates nothing, `length` reads one header, and `append` shares its last argument.

use crate::heap::{Exhausted, Heap, MAX_COUNT, count_of, header, size_of_header};
use crate::value::{Value, tag};

impl Heap<'_> {
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn cons(&mut self, first: Value, rest: Value) -> Result<Value, Exhausted> {
        let total = 1 + self.length(rest);
        let at = self.alloc(3)?;
        let chunk = &mut self.words[at as usize..at as usize + 3];
        chunk[0] = header(tag::LIST, 1, total);
        chunk[1] = rest.0;
        chunk[2] = first.0;
        Ok(Value::make(tag::LIST, at, 0))
    }

    /// The list of `items` and then those of the list `tail`.
    pub(crate) fn list(&mut self, items: &[u64], tail: Value) -> Result<Value, Exhausted> {
        if items.is_empty() {
            return Ok(tail);
        }
        let total = items.len() + self.length(tail);
        if items.len() > MAX_COUNT || total > u32::MAX as usize {
            return Err(Exhausted);
        }
        let at = self.alloc(2 + items.len())?;
        self.words[at as usize] = header(tag::LIST, items.len(), total);
        self.words[at as usize + 1] = tail.0;
        self.words[at as usize + 2..][..items.len()].copy_from_slice(items);
        Ok(Value::make(tag::LIST, at, 0))
    }

    /// Elements of a list; 0 for everything else.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn length(&self, v: Value) -> usize {
        if v.is(tag::LIST) { size_of_header(self.word(v.index_of())) - v.offset() as usize } else { 0 }
    }

    /// The first element. `v` must be a pair.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn first(&self, v: Value) -> Value {
        self.value_at(v.index_of() + 2 + v.offset())
    }

    /// What follows the first element. `v` must be a pair.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn rest(&self, v: Value) -> Value {
        let at = v.index_of();
        let next = v.offset() + 1;
        if (next as usize) < count_of(self.word(at)) { Value::make(tag::LIST, at, next) } else { self.value_at(at + 1) }
    }

    /// The rest of the run that `v` is in, and what follows the run.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn run(&self, v: Value) -> (&[u64], Value) {
        if !v.is(tag::LIST) {
            return (&[], Value::NIL);
        }
        let at = v.index_of();
        let n = count_of(self.word(at)) - v.offset() as usize;
        (self.slice(at + 2 + v.offset(), n), self.value_at(at + 1))
    }

    /// The shape a list is marked with; 0 for what is not marked.
    pub(crate) fn shape(&self, v: Value) -> u64 {
        if v.is(tag::LIST) && v.offset() == 0 { self.word(v.index_of()) >> crate::heap::SHAPE_SHIFT & 3 } else { 0 }
    }

    /// Marks a list that nobody else has seen yet.
    pub(crate) fn mark_shape(&mut self, v: Value, shape: u64) {
        if v.is(tag::LIST) && v.offset() == 0 {
            let head = self.word(v.index_of()) & !(3 << crate::heap::SHAPE_SHIFT);
            self.set(v.index_of(), head | (shape & 3) << crate::heap::SHAPE_SHIFT);
        }
    }

    pub(crate) fn items(&self, v: Value) -> Items<'_> {
        Items { heap: self, at: v }
    }

    /// The list without its first `n` elements.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn drop_first(&self, mut v: Value, mut n: usize) -> Value {
        while n > 0 && v.is(tag::LIST) {
            let at = v.index_of();
            let left = count_of(self.word(at)) - v.offset() as usize;
            if n < left {
                return Value::make(tag::LIST, at, v.offset() + n as u32);
            }
            n -= left;
            v = self.value_at(at + 1);
        }
        v
    }

    /// Room for a list of at most `capacity` elements, filled by [`Self::buffer_push`] and sealed by [`Self::buffer_seal`].
    pub(crate) fn buffer(&mut self, capacity: usize) -> Result<Value, Exhausted> {
        if capacity > MAX_COUNT {
            return Err(Exhausted);
        }
        let at = self.alloc(2 + capacity)?;
        self.words[at as usize] = header(tag::BUFFER, 0, capacity);
        self.words[at as usize + 1] = Value::NIL.0;
        Ok(Value::make(tag::BUFFER, at, 0))
    }

    /// Appends `v`; a full buffer takes nothing.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn buffer_push(&mut self, buffer: Value, v: Value) {
        let at = buffer.index_of() as usize;
        let head = self.words[at];
        let n = count_of(head);
        if n < size_of_header(head) {
            self.words[at + 2 + n] = v.0;
            self.words[at] = head + (1 << 8);
        }
    }

    /// Whether `v` is a buffer that is not sealed yet.
    pub(crate) fn is_open_buffer(&self, v: Value) -> bool {
        v.is(tag::BUFFER) && self.word(v.index_of()) as u8 == tag::BUFFER
    }

    /// The list of what was pushed. Words that were not needed are given back when they are the last, else by the next collection.
    pub(crate) fn buffer_seal(&mut self, buffer: Value, tail: Value) -> Value {
        let at = buffer.index_of() as usize;
        let head = self.words[at];
        let (n, capacity) = (count_of(head), size_of_header(head));
        if at + 2 + capacity == self.top {
            self.note_peak();
            self.top = at + 2 + n;
        }
        if n == 0 {
            // A register may still name the buffer: it stays an object.
            self.words[at] = header(tag::BUFFER, 0, 0);
            return tail;
        }
        self.words[at] = header(tag::LIST, n, n + self.length(tail));
        self.words[at + 1] = tail.0;
        Value::make(tag::LIST, at as u32, 0)
    }
}

/// The elements of a list, in order.
#[derive(Clone, Copy)]
pub(crate) struct Items<'h> {
    heap: &'h Heap<'h>,
    at: Value,
}

impl Iterator for Items<'_> {
    type Item = Value;

    #[inline]
    fn next(&mut self) -> Option<Value> {
        if !self.at.is(tag::LIST) {
            return None;
        }
        let first = self.heap.first(self.at);
        self.at = self.heap.rest(self.at);
        Some(first)
    }
}
