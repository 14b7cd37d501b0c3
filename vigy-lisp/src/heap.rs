//! The words of a run: objects behind values, in the program's image and in the caller's memory.
//!
//! Every object starts with one header word, from which its size and the place of its fields follow:
//!
//! ```text
//! header   high 32 bits: size or total length · 2 bits: shape of a list · 22 bits: count · 8 bits: tag
//! list     header(count of run, total length)  tail  e0 … e(n-1)
//! string   header(ascii?, bytes)               bytes, padded to words
//! closure  header(count, function)             captures
//! int      header  i64          float  header  f64          cell  header  value
//! error    header(raised?)  tag  message  data
//! promise  header(forced?)  value or thunk
//! map      header(count)    table
//! table    header(used, capacity)  (hash key value) × capacity  index, when the capacity is above 8
//! channel  header(closed?, capacity)  front  back  length  first and last fiber that waits
//! fiber    header(status)   thunk, frames or result  next  previous  value to send  first fiber that waits for its end
//! frames   header(size)     place  parked registers
//! buffer   header(used, capacity)  nil  e0 …
//! name     header(0, bytes)  hash  next  bytes
//! ```
//!
//! Allocation bumps one index. What was allocated is charged before it is made: the size of the memory is the budget. When it is used
//! up, what can still be reached is slid together (`collect.rs`), so that an index is only good until the next collection.

mod writer;

use crate::collect::Tables;
use crate::image::Names;
use crate::value::{FROZEN, Value, tag};
pub(crate) use writer::Writer;

/// The heap budget of the run is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl core::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the heap budget is used up")
    }
}

impl core::error::Error for Exhausted {}

/// The largest count a header can hold: elements of one run of a list, entries of a map.
pub(crate) const MAX_COUNT: usize = (1 << 22) - 1;
/// Above the count, the header of a list says which delimiters it was written with. Only macros' results are read with it.
pub(crate) const SHAPE_SHIFT: u32 = 30;

pub(crate) const fn header(tag: u8, count: usize, size: usize) -> u64 {
    ((size as u64) << 32) | ((count as u64) << 8) | tag as u64
}
pub(crate) const fn count_of(header: u64) -> usize {
    (header >> 8) as usize & MAX_COUNT
}
pub(crate) const fn size_of_header(header: u64) -> usize {
    (header >> 32) as usize
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes one more word into a hash.
#[inline]
pub(crate) const fn hash_word(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(MIX)
}

/// Ends a hash. A product's lower bits know nothing of the upper bits of its factors, and tables look at the lower ones: so the
/// upper half is folded in and mixed once more.
#[inline]
pub(crate) const fn hash_end(hash: u64) -> u32 {
    ((hash ^ hash >> 32).wrapping_mul(MIX) >> 32) as u32
}

/// A 32-bit hash of bytes, the same on every host.
pub(crate) const fn hash_bytes(bytes: &[u8]) -> u32 {
    let mut hash = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((word, more)) = rest.split_first_chunk() {
        hash = hash_word(hash, u64::from_le_bytes(*word));
        rest = more;
    }
    if !rest.is_empty() {
        // As if zeros followed.
        let (mut word, mut shift) = (0, 0);
        if let Some((four, more)) = rest.split_first_chunk() {
            word = u32::from_le_bytes(*four) as u64;
            (shift, rest) = (32, more);
        }
        let n = rest.len();
        if n > 0 {
            // Of three, two or one: the first, the one in the middle and the last are all, and some of them twice.
            let (middle, last) = (n / 2, n - 1);
            let three = rest[0] as u64 | (rest[middle] as u64) << (8 * middle) | (rest[last] as u64) << (8 * last);
            word |= three << shift;
        }
        hash = hash_word(hash, word);
    }
    hash_end(hash)
}

/// Moves `n` words down, from one place of `words` to another. They are few: a loop takes less than a call of `memmove`, and less flash.
pub(crate) fn move_down(words: &mut [u64], from: usize, n: usize, to: usize) {
    for i in 0..n {
        words[to + i] = words[from + i];
    }
}

/// Words in front of the objects: where names made at run time are found, by hash.
pub(crate) const BUCKETS: usize = 64;

pub(crate) struct Heap<'m> {
    frozen: &'m [u64],
    pub(crate) names: Names<'m>,
    pub(crate) words: &'m mut [u64],
    pub(crate) tables: Tables<'m>,
    #[cfg(target_os = "none")]
    pub(crate) lookup: crate::map::Lookup,
    pub(crate) top: usize,
    /// Where the free words end.
    pub(crate) limit: usize,
    /// Names made at run time.
    pub(crate) made: u32,
    peak: usize,
}

impl<'m> Heap<'m> {
    /// A heap in memory of the size that [`Self::words_for`] says.
    pub(crate) fn new(frozen: &'m [u64], names: Names<'m>, memory: &'m mut [u64], bytes: u32) -> Self {
        let (words, tables) = memory.split_at_mut(Self::own_words(bytes));
        let tables = Tables::new(tables, words.len());
        let mut heap = Self {
            frozen,
            names,
            words,
            tables,
            #[cfg(target_os = "none")]
            lookup: crate::map::no_maps,
            top: 0,
            limit: 0,
            made: 1,
            peak: 0,
        };
        heap.rewind();
        heap
    }

    /// Words of memory for a heap of so many bytes, the tables of the collector among them.
    pub(crate) const fn words_for(bytes: u32) -> usize {
        Self::own_words(bytes) + Tables::words(Self::own_words(bytes))
    }

    const fn own_words(bytes: u32) -> usize {
        BUCKETS + bytes as usize / 8
    }

    /// Forgets every object. O(1): only the buckets of run-time names are cleared.
    pub(crate) fn rewind(&mut self) {
        self.top = BUCKETS;
        self.limit = self.words.len();
        // Without names, no bucket was filled.
        if core::mem::take(&mut self.made) > 0 {
            self.words[..BUCKETS].fill(0);
        }
        self.peak = BUCKETS;
    }

    /// The most bytes that were in use so far.
    pub(crate) fn peak_bytes(&self) -> u64 {
        (self.peak.max(self.top).saturating_sub(BUCKETS) * 8) as u64
    }

    pub(crate) fn note_peak(&mut self) {
        self.peak = self.peak.max(self.top);
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn word(&self, index: u32) -> u64 {
        if index & FROZEN != 0 { self.frozen[(index & !FROZEN) as usize] } else { self.words[index as usize] }
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn value_at(&self, index: u32) -> Value {
        Value(self.word(index))
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn slice(&self, index: u32, len: usize) -> &[u64] {
        if index & FROZEN != 0 { &self.frozen[(index & !FROZEN) as usize..][..len] } else { &self.words[index as usize..][..len] }
    }

    /// The header of the object at an index, and all words behind it.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn object(&self, index: u32) -> (u64, &[u64]) {
        let words = if index & FROZEN != 0 { &self.frozen[(index & !FROZEN) as usize..] } else { &self.words[index as usize..] };
        (words[0], &words[1..])
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn alloc(&mut self, words: usize) -> Result<u32, Exhausted> {
        let at = self.top;
        if words > self.limit - at {
            return Err(Exhausted);
        }
        self.top = at + words;
        Ok(at as u32)
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn set(&mut self, index: u32, word: u64) {
        if index & FROZEN == 0 {
            self.words[index as usize] = word;
        }
    }

    // Numbers.

    pub(crate) fn int(&mut self, i: i64) -> Result<Value, Exhausted> {
        match Value::small_int(i) {
            Some(v) => Ok(v),
            None => self.boxed(tag::INT, i as u64),
        }
    }

    pub(crate) fn float(&mut self, f: f64) -> Result<Value, Exhausted> {
        match Value::small_float(f) {
            Some(v) => Ok(v),
            None => self.boxed(tag::FLOAT, if f.is_nan() { crate::value::NAN } else { f }.to_bits()),
        }
    }

    fn boxed(&mut self, tag: u8, word: u64) -> Result<Value, Exhausted> {
        let at = self.alloc(2)?;
        self.words[at as usize] = header(tag, 0, 0);
        self.words[at as usize + 1] = word;
        Ok(Value::make(tag, at, 0))
    }

    pub(crate) fn cell(&mut self, v: Value) -> Result<Value, Exhausted> {
        self.boxed(tag::CELL, v.0)
    }

    /// The content of a cell; `None` for what is none.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn cell_word(&mut self, v: Value) -> Option<&mut u64> {
        if v.is(tag::CELL) { self.words.get_mut(v.index_of() as usize + 1) } else { None }
    }

    pub(crate) fn promise(&mut self, thunk: Value) -> Result<Value, Exhausted> {
        self.boxed(tag::PROMISE, thunk.0)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn as_int(&self, v: Value) -> Option<i64> {
        match v.as_small_int() {
            Some(i) => Some(i),
            None if v.is(tag::INT) => Some(self.word(v.index_of() + 1) as i64),
            None => None,
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn as_float(&self, v: Value) -> Option<f64> {
        if v.is_small_float() {
            Some(v.small_float_value())
        } else if v.is(tag::FLOAT) {
            Some(f64::from_bits(self.word(v.index_of() + 1)))
        } else {
            None
        }
    }

    // Strings and names.

    pub(crate) fn string(&mut self, text: &str) -> Result<Value, Exhausted> {
        self.string_bytes(text.as_bytes())
    }

    /// The bytes must be UTF-8: they come from a `str` or from whole strings.
    pub(crate) fn string_bytes(&mut self, bytes: &[u8]) -> Result<Value, Exhausted> {
        let at = self.string_space(bytes.len())?;
        self.string_bytes_mut(at, bytes.len()).copy_from_slice(bytes);
        Ok(self.string_seal(at, bytes.len()))
    }

    /// Room for a string of `len` bytes, to be filled through [`Self::string_bytes_mut`] and sealed.
    pub(crate) fn string_space(&mut self, len: usize) -> Result<u32, Exhausted> {
        if len > u32::MAX as usize {
            return Err(Exhausted);
        }
        let words = len.div_ceil(8);
        let at = self.alloc(1 + words)?;
        if words > 0 {
            self.words[at as usize + words] = 0;
        }
        Ok(at)
    }

    pub(crate) fn string_bytes_mut(&mut self, at: u32, len: usize) -> &mut [u8] {
        let words = len.div_ceil(8);
        &mut bytemuck::cast_slice_mut(&mut self.words[at as usize + 1..][..words])[..len]
    }

    pub(crate) fn string_seal(&mut self, at: u32, len: usize) -> Value {
        let ascii = self.string_bytes_mut(at, len).is_ascii();
        self.words[at as usize] = header(tag::STRING, ascii as usize, len);
        Value::make(tag::STRING, at, 0)
    }

    /// The string of all parts, one behind the other. What does not fit into so many bytes is cut off. Errors of the language are made without
    /// `core::fmt`, which is large.
    pub(crate) fn joined<'p>(&mut self, parts: impl Iterator<Item = &'p &'p str>, bytes: usize) -> Result<Value, Exhausted> {
        let (mut writer, mut room) = (self.writer()?, bytes);
        for part in parts {
            let fits = part.floor_char_boundary(room);
            writer.push_bytes(&part.as_bytes()[..fits]);
            room -= fits;
            if fits < part.len() {
                break;
            }
        }
        writer.seal()
    }

    /// Starts a string of unknown length in the free words behind everything else. Nothing may be allocated before it is sealed.
    pub(crate) fn writer(&mut self) -> Result<Writer<'_, 'm>, Exhausted> {
        let at = self.alloc(1)?;
        Ok(Writer { heap: self, at, len: 0, full: false })
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn bytes(&self, v: Value) -> &[u8] {
        let at = v.index_of();
        match v.tag() {
            tag::STRING => {
                let (head, words) = self.object(at);
                &bytemuck::cast_slice(words)[..size_of_header(head)]
            }
            tag::SYMBOL | tag::KEYWORD => self.name_bytes(at),
            _ => &[],
        }
    }

    /// Length and words of a string: the same for equal ones, since what is behind the last byte is zero.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(crate) fn string_words(&self, v: Value) -> (usize, &[u64]) {
        let (head, words) = self.object(v.index_of());
        let len = size_of_header(head);
        (len, &words[..len.div_ceil(8)])
    }

    /// What [`hash_bytes`] makes of the bytes of a string.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(crate) fn hash_string(&self, v: Value) -> u32 {
        let (len, words) = self.string_words(v);
        hash_end(words.iter().fold(len as u64, |hash, word| hash_word(hash, u64::from_le(*word))))
    }

    pub(crate) fn is_ascii(&self, v: Value) -> bool {
        count_of(self.word(v.index_of())) == 1
    }

    /// The text of a string, symbol or keyword; empty for everything else.
    pub(crate) fn text(&self, v: Value) -> &str {
        // The bytes were a `str` when they were stored, so the default is never taken.
        core::str::from_utf8(self.bytes(v)).unwrap_or_default()
    }

    fn name_bytes(&self, id: u32) -> &[u8] {
        if id & FROZEN != 0 {
            self.names.bytes(id & !FROZEN)
        } else {
            let len = size_of_header(self.words[id as usize]);
            &bytemuck::cast_slice(&self.words[id as usize + 3..][..len.div_ceil(8)])[..len]
        }
    }

    /// Fuel for finding a name: a unit for each four that a bucket holds on average.
    pub(crate) fn name_cost(&self) -> i64 {
        i64::from(self.made / (4 * BUCKETS as u32))
    }

    /// The symbol or keyword (by `tag`) of that name. Names are unique, so that equality is equality of words.
    pub(crate) fn intern(&mut self, tag: u8, name: &str) -> Result<Value, Exhausted> {
        let (name, hash) = (name.as_bytes(), hash_bytes(name.as_bytes()));
        let id = match self.find_name(name, hash) {
            Some(id) => id,
            None => {
                let at = self.new_name(name.len(), hash)?;
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words[at as usize + 3..]);
                bytes[..name.len()].copy_from_slice(name);
                at
            }
        };
        Ok(Value::make(tag, id, 0))
    }

    /// The symbol or keyword with the name of the string, symbol or keyword `v`.
    pub(crate) fn intern_value(&mut self, tag: u8, v: Value) -> Result<Value, Exhausted> {
        if !v.is(tag::STRING) {
            return Ok(Value::make(tag, v.index_of(), 0));
        }
        let (len, hash) = (self.bytes(v).len(), hash_bytes(self.bytes(v)));
        let id = match self.find_name(self.bytes(v), hash) {
            Some(id) => id,
            None => {
                let at = self.new_name(len, hash)?;
                for i in 0..len.div_ceil(8) as u32 {
                    self.words[(at + 3 + i) as usize] = self.word(v.index_of() + 1 + i);
                }
                at
            }
        };
        Ok(Value::make(tag, id, 0))
    }

    /// The name with these bytes, of the image or made at run time.
    fn find_name(&self, name: &[u8], hash: u32) -> Option<u32> {
        if let Some(id) = self.names.find(name, hash) {
            return Some(id | FROZEN);
        }
        let mut at = self.words[hash as usize % BUCKETS] as u32;
        while at != 0 && (self.words[at as usize + 1] as u32 != hash || self.name_bytes(at) != name) {
            at = self.words[at as usize + 2] as u32;
        }
        (at != 0).then_some(at)
    }

    /// A name of `len` bytes that are still to be copied behind its first three words.
    fn new_name(&mut self, len: usize, hash: u32) -> Result<u32, Exhausted> {
        let words = len.div_ceil(8);
        let at = self.alloc(3 + words)? as usize;
        if words > 0 {
            self.words[at + 2 + words] = 0;
        }
        self.words[at] = header(tag::NAME, 0, len);
        self.words[at + 1] = u64::from(hash);
        let bucket = hash as usize % BUCKETS;
        self.words[at + 2] = self.words[bucket];
        self.words[bucket] = at as u64;
        self.made += 1;
        Ok(at as u32)
    }

    // Closures, errors.

    pub(crate) fn closure(&mut self, function: u32, captures: usize) -> Result<u32, Exhausted> {
        let at = self.alloc(1 + captures)?;
        self.words[at as usize] = header(tag::CLOSURE, captures, function as usize);
        Ok(at)
    }

    /// The function of a closure or captureless function.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn function_of(&self, v: Value) -> u32 {
        if v.is(tag::CLOSURE) { size_of_header(self.word(v.index_of())) as u32 } else { v.index_of() }
    }

    pub(crate) fn error(&mut self, tag: Value, message: Value, data: Value) -> Result<Value, Exhausted> {
        let at = self.alloc(4)? as usize;
        self.words[at] = header(tag::ERROR, 0, 0);
        self.words[at + 1] = tag.0;
        self.words[at + 2] = message.0;
        self.words[at + 3] = data.0;
        Ok(Value::make(tag::ERROR, at as u32, 0))
    }

    /// Field `i` (from 0) of an error, promise, cell, channel or fiber.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn field(&self, v: Value, i: u32) -> Value {
        self.value_at(v.index_of() + 1 + i)
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn set_field(&mut self, v: Value, i: u32, to: Value) {
        self.set(v.index_of() + 1 + i, to.0);
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn count(&self, v: Value) -> usize {
        count_of(self.word(v.index_of()))
    }

    pub(crate) fn channel(&mut self, capacity: Option<u32>) -> Result<Value, Exhausted> {
        let at = self.alloc(6)? as usize;
        self.words[at] = header(tag::CHANNEL, 0, capacity.map_or(u32::MAX as usize, |c| c as usize));
        self.words[at + 1..at + 6].fill(Value::NIL.0);
        self.words[at + 3] = Value::index(0).0;
        Ok(Value::make(tag::CHANNEL, at as u32, 0))
    }

    pub(crate) fn fiber(&mut self, thunk: Value) -> Result<Value, Exhausted> {
        let at = self.alloc(6)? as usize;
        self.words[at] = header(tag::FIBER, 0, 0);
        self.words[at + 1..at + 6].fill(Value::NIL.0);
        self.words[at + 1] = thunk.0;
        Ok(Value::make(tag::FIBER, at as u32, 0))
    }

    /// The count field of a header doubles as a small state.
    pub(crate) fn set_count(&mut self, v: Value, count: usize) {
        let old = self.word(v.index_of());
        self.set(v.index_of(), header(old as u8, count, size_of_header(old)));
    }
}
