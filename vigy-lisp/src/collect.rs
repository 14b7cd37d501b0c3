//! The collector: marks what a run can still reach, then slides it together, in place.
//!
//! Most objects are older than what points at them, so they are scanned from the highest address down: what is found lies ahead of
//! the cursor. Only what is written to after it was made (cells, promises, channels, fibers) moves the cursor up again. So marking
//! needs no stack: two bits per word say what was found, and what of it is still to be scanned. Then one bit per word says what lives;
//! counting those bits gives every object its new place.
//!
//! The work is counted, in numbers that are the same on every host, and the run pays for it.

use crate::heap::{BUCKETS, Heap, count_of, move_down, size_of_header};
use crate::map::table_words;
use crate::value::{FROZEN, tag};

/// Words whose bits share one word of a table.
const BLOCK: usize = 64;

/// The collector's own memory, beside the heap.
pub(crate) struct Tables<'m> {
    /// Starts of objects that can be reached.
    marked: &'m mut [u64],
    /// While marking: starts of objects whose fields are still to be looked at. Then: the words of all objects that live.
    live: &'m mut [u64],
    /// How many words live in front of each block.
    before: &'m mut [u32],
}

impl<'m> Tables<'m> {
    /// Words of memory for a heap of `words` words.
    pub(crate) const fn words(words: usize) -> usize {
        let blocks = words.div_ceil(BLOCK);
        2 * blocks + blocks.div_ceil(2)
    }

    /// The tables of a heap of `words` words, in memory of the size that [`Self::words`] says.
    pub(crate) fn new(memory: &'m mut [u64], words: usize) -> Self {
        let blocks = words.div_ceil(BLOCK);
        let (marked, rest) = memory.split_at_mut(blocks);
        let (live, before) = rest.split_at_mut(blocks);
        Self { marked, live, before: bytemuck::cast_slice_mut(before) }
    }

    /// Where the object that starts at `at` will be.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    fn moved(&self, at: usize) -> usize {
        let block = at / BLOCK;
        let ahead = self.live[block] & (bit(at) - 1);
        BUCKETS + (self.before[block] + ones(ahead)) as usize
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    fn is_marked(&self, at: usize) -> bool {
        self.marked[at / BLOCK] & bit(at) != 0
    }

    /// Makes `words` refer to the new places.
    fn redirect(&self, words: &mut [u64]) {
        for word in words {
            if let Some(at) = object(*word) {
                *word = (self.moved(at) as u64) << 32 | *word & 0xffff_ffff;
            }
        }
    }
}

/// Marks what `words` refer to, and has what was not marked looked at: the cursor goes up to it.
#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
fn found(words: &[u64], marked: &mut [u64], pending: &mut [u64], cursor: &mut usize) {
    for at in words.iter().filter_map(|word| object(*word)) {
        let (block, bit) = (at / BLOCK, bit(at));
        if marked[block] & bit == 0 {
            marked[block] |= bit;
            pending[block] |= bit;
            *cursor = block.max(*cursor);
        }
    }
}

/// The bit of a word in its block.
#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
const fn bit(at: usize) -> u64 {
    1 << (at % BLOCK)
}

#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
const fn ones(bits: u64) -> u32 {
    bits.count_ones()
}

/// The start of the object of the heap that a word refers to. Whatever is no such reference has another tag, belongs to the image, or has
/// an index below the first object: so do the hashes in tables.
#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
fn object(word: u64) -> Option<usize> {
    const TAGS: u32 = {
        let tags = [
            tag::SYMBOL,
            tag::KEYWORD,
            tag::LIST,
            tag::STRING,
            tag::MAP,
            tag::CLOSURE,
            tag::INT,
            tag::FLOAT,
            tag::ERROR,
            tag::PROMISE,
            tag::CELL,
            tag::CHANNEL,
            tag::FIBER,
            tag::BUFFER,
            tag::TABLE,
            tag::FRAMES,
        ];
        let (mut set, mut i) = (0, 0);
        while i < tags.len() {
            set |= 1 << (tags[i] >> 2);
            i += 1;
        }
        set
    };
    let (kind, index) = (word as u8, (word >> 32) as u32);
    let refers = kind & 3 == 1 && kind < 0x80 && TAGS >> (kind >> 2) & 1 == 1;
    (refers && index & FROZEN == 0 && index as usize >= BUCKETS).then_some(index as usize)
}

/// How many words behind a header are values, and how many words the object has.
#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
fn extent(header: u64) -> (usize, usize) {
    let (count, size) = (count_of(header), size_of_header(header));
    match header as u8 {
        tag::LIST => (1 + count, 2 + count),
        tag::BUFFER => (1 + count, 2 + size),
        tag::CLOSURE => (count, 1 + count),
        tag::CELL | tag::PROMISE | tag::MAP => (1, 2),
        tag::ERROR => (3, 4),
        tag::CHANNEL | tag::FIBER => (5, 6),
        tag::FRAMES => (size, 1 + size),
        tag::TABLE => (3 * count, table_words(size)),
        tag::STRING => (0, 1 + size.div_ceil(8)),
        tag::NAME => (0, 3 + size.div_ceil(8)),
        // Boxed numbers; nothing else is left.
        _ => (0, 2),
    }
}

impl Heap<'_> {
    /// Starts a collection: nothing is marked. What it costs is returned by every phase, in words looked at.
    pub(crate) fn unmark(&mut self) -> usize {
        self.note_peak();
        let blocks = self.top.div_ceil(BLOCK);
        self.tables.marked[..blocks].fill(0);
        self.tables.live[..blocks].fill(0);
        2 * blocks
    }

    /// Marks what `roots` refer to, and all that can be reached from there.
    pub(crate) fn mark(&mut self, roots: &[&[u64]]) -> usize {
        let (marked, pending) = (&mut *self.tables.marked, &mut *self.tables.live);
        let words = &*self.words;
        let (mut looked, mut cursor) = (0, 0);
        for words in roots {
            looked += words.len();
            found(words, marked, pending, &mut cursor);
        }
        loop {
            let bits = pending[cursor];
            looked += 1;
            if bits != 0 {
                let at = cursor * BLOCK + BLOCK - 1 - bits.leading_zeros() as usize;
                pending[cursor] = bits & !bit(at);
                let (values, _) = extent(words[at]);
                looked += values;
                found(&words[at + 1..][..values], marked, pending, &mut cursor);
            } else if cursor == 0 {
                return looked;
            } else {
                cursor -= 1;
            }
        }
    }

    /// Works out the new places of all that is marked. Names are kept by whatever uses them, not by being findable.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn plan(&mut self) -> usize {
        let blocks = self.top.div_ceil(BLOCK);
        let (mut at, mut looked) = (0, 2 * blocks);
        while let Some(start) = next_bit(self.tables.marked, at, blocks) {
            let (_, size) = extent(self.words[start]);
            set_bits(self.tables.live, start, size);
            at = start + size;
            looked += 1;
        }
        let mut before = 0;
        for (count, bits) in self.tables.before.iter_mut().zip(&self.tables.live[..blocks]) {
            *count = before;
            before += ones(*bits);
        }
        self.made = 0;
        for bucket in 0..BUCKETS {
            // The link that leads to the name at hand: its bucket, or the name in front of it.
            let mut link = bucket;
            let mut next = self.words[bucket] as usize;
            while next != 0 {
                let after = self.words[next + 2] as usize;
                if self.tables.is_marked(next) {
                    self.words[link] = self.tables.moved(next) as u64;
                    link = next + 2;
                    self.made += 1;
                }
                next = after;
                looked += 1;
            }
            self.words[link] = 0;
        }
        looked
    }

    /// Makes `roots` refer to the new places.
    pub(crate) fn redirect(&self, roots: &mut [u64]) {
        self.tables.redirect(roots);
    }

    /// Moves everything to its new place.
    pub(crate) fn slide(&mut self) -> usize {
        let blocks = self.top.div_ceil(BLOCK);
        let (mut at, mut to) = (0, BUCKETS);
        while let Some(start) = next_bit(self.tables.marked, at, blocks) {
            let (values, size) = extent(self.words[start]);
            self.tables.redirect(&mut self.words[start + 1..][..values]);
            if start != to {
                move_down(self.words, start, size, to);
            }
            to += size;
            at = start + size;
        }
        self.top = to;
        self.limit = self.words.len();
        to - BUCKETS
    }
}

/// The first bit at `at` or behind it that is set.
#[cfg_attr(not(target_os = "none"), inline)]
#[cfg_attr(target_os = "none", inline(never))]
fn next_bit(bits: &[u64], at: usize, blocks: usize) -> Option<usize> {
    let mut block = at / BLOCK;
    if block >= blocks {
        return None;
    }
    let mut word = bits[block] & (u64::MAX << (at % BLOCK));
    while word == 0 {
        block += 1;
        if block >= blocks {
            return None;
        }
        word = bits[block];
    }
    Some(block * BLOCK + word.trailing_zeros() as usize)
}

/// Sets `n` bits from `at` on.
fn set_bits(bits: &mut [u64], at: usize, n: usize) {
    let (mut block, mut bit, mut left) = (at / BLOCK, at % BLOCK, n);
    while left > 0 {
        let here = left.min(BLOCK - bit);
        bits[block] |= (u64::MAX >> (BLOCK - here)) << bit;
        left -= here;
        block += 1;
        bit = 0;
    }
}
