//! Maps keep the order of insertion. A map is a count and a table; several versions share one table as long as each grew
//! out of the one before it, and a version sees only its first `count` entries. Inserting into the newest version appends in
//! place, so that a map built by folding `assoc` costs amortised O(1) per key. Replacing and removing copy.
//!
//! Up to eight entries are searched one by one; larger tables carry an index of twice their capacity.

use crate::equal::{Work, hash_key, hash_plain_key, same_key};
use crate::heap::{Exhausted, Heap, MAX_COUNT, count_of, header, size_of_header};
use crate::value::{FROZEN, Value, tag};

const SMALL: usize = 8;

/// Why a map operation did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    Exhausted,
    Unhashable(Value),
    /// Keys are nested too deeply to compare, or comparing them used up the fuel.
    Work(Work),
}

impl From<Exhausted> for MapError {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}
impl From<Work> for MapError {
    fn from(w: Work) -> Self {
        Self::Work(w)
    }
}

/// A map and its table, as they are looked at.
struct Parts<'h> {
    /// Entries that the map sees.
    count: usize,
    table: u32,
    /// Entries that the table has.
    used: usize,
    /// Hash, key and value of each; as many as there is room for.
    entries: &'h [[u64; 3]],
    /// Where they are by their hashes, in a large table.
    index: &'h [u32],
}

impl Parts<'_> {
    /// Whether the table takes one more entry, seen by this map and by no other.
    fn has_room(&self) -> bool {
        self.count == self.used && self.used < self.entries.len() && self.table & FROZEN == 0
    }
}

/// What a search comes to.
enum Found {
    /// The number of the entry, and its value.
    Entry(usize, Value),
    /// Where the index of a large table is free for it.
    Nothing(usize),
}

/// Words of a table: three per entry, and an index of two halves per entry when it is not small.
pub(crate) const fn table_words(capacity: usize) -> usize {
    1 + 3 * capacity + if capacity > SMALL { capacity } else { 0 }
}

/// The capacity of a table that is made for `n` entries: a small one has no room to spare, unless nothing is known.
const fn fitting(n: usize) -> usize {
    match n {
        0 => 4,
        1..=SMALL => n,
        _ => n.next_power_of_two(),
    }
}

/// A search of a map that is linked where a builtin is that has to do with maps.
#[cfg(target_os = "none")]
pub(crate) fn look(heap: &Heap<'_>, map: Value, key: Value, fuel: &mut i64) -> Result<Option<Value>, MapError> {
    heap.map_look(map, key, fuel)
}

/// How maps are looked into on bare metal: by nothing where no builtin is linked that has to do with maps.
#[cfg(target_os = "none")]
pub(crate) type Lookup = fn(&Heap<'_>, Value, Value, &mut i64) -> Result<Option<Value>, MapError>;

#[cfg(target_os = "none")]
pub(crate) fn no_maps(_: &Heap<'_>, _: Value, _: Value, _: &mut i64) -> Result<Option<Value>, MapError> {
    Err(MapError::Work(Work::NoMaps))
}

impl Heap<'_> {
    /// An empty map with room for `capacity` entries.
    pub(crate) fn map(&mut self, capacity: usize) -> Result<Value, Exhausted> {
        let table = self.table(fitting(capacity))?;
        self.map_of(table, 0)
    }

    fn table(&mut self, capacity: usize) -> Result<u32, Exhausted> {
        if capacity > MAX_COUNT {
            return Err(Exhausted);
        }
        let at = self.alloc(table_words(capacity))?;
        let start = at as usize;
        self.words[start] = header(tag::TABLE, 0, capacity);
        // The collector reads keys and values only up to the used count; the index must start empty.
        if capacity > SMALL {
            self.words[start + 1 + 3 * capacity..][..capacity].fill(0);
        }
        Ok(at)
    }

    fn map_of(&mut self, table: u32, count: usize) -> Result<Value, Exhausted> {
        let at = self.alloc(2)?;
        self.words[at as usize] = header(tag::MAP, count, 0);
        self.words[at as usize + 1] = Value::make(tag::TABLE, table, 0).0;
        Ok(Value::make(tag::MAP, at, 0))
    }

    /// A map of keys and values in turn, when they are few, and the keys plain and all different: what most literals are.
    pub(crate) fn map_of_plain(&mut self, pairs: &[u64]) -> Result<Option<Value>, Exhausted> {
        let (pairs, _) = pairs.as_chunks::<2>();
        let plain = |i: usize| Value(pairs[i][0]).is_plain_key() && pairs[..i].iter().all(|p| p[0] != pairs[i][0]);
        if pairs.len() > SMALL || !(0..pairs.len()).all(plain) {
            return Ok(None);
        }
        let map = self.map(pairs.len())?;
        let table = self.field(map, 0).index_of() as usize;
        for (i, [key, value]) in pairs.iter().enumerate() {
            let hash = hash_plain_key(self, Value(*key));
            self.words[table + 1 + 3 * i..][..3].copy_from_slice(&[u64::from(hash), *key, *value]);
        }
        self.words[table] |= (pairs.len() as u64) << 8;
        self.set_count(map, pairs.len());
        Ok(Some(map))
    }

    pub(crate) fn map_count(&self, map: Value) -> usize {
        count_of(self.word(map.index_of()))
    }

    /// Entry `i`, in order of insertion. `i` must be below the count.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn map_entry(&self, map: Value, i: usize) -> (Value, Value) {
        let table = self.field(map, 0).index_of();
        let at = table + 1 + 3 * i as u32;
        (self.value_at(at + 1), self.value_at(at + 2))
    }

    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn map_parts(&self, map: Value) -> Parts<'_> {
        let map = self.slice(map.index_of(), 2);
        let table = Value(map[1]).index_of();
        let (head, words) = self.object(table);
        let capacity = size_of_header(head);
        let (entries, rest) = words.split_at(3 * capacity);
        let index = if capacity > SMALL { &rest[..capacity] } else { &[] };
        let (entries, index) = (entries.as_chunks().0, bytemuck::cast_slice(index));
        Parts { count: count_of(map[0]), table, used: count_of(head), entries, index }
    }

    /// The entries of a map, in order of insertion.
    pub(crate) fn map_entries(&self, map: Value) -> &[[u64; 3]] {
        let parts = self.map_parts(map);
        &parts.entries[..parts.count]
    }

    /// Where `key` is, or where it would go.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn map_find(&self, parts: &Parts<'_>, key: Value, hash: u32, fuel: &mut i64) -> Result<Found, Work> {
        let Parts { count, entries, index, .. } = *parts;
        if index.is_empty() {
            for (i, e) in entries[..count].iter().enumerate() {
                if self.is_entry(e, key, hash, fuel)? {
                    return Ok(Found::Entry(i, Value(e[2])));
                }
            }
            return Ok(Found::Nothing(0));
        }
        let mask = index.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = index[slot] as usize;
            if entry == 0 {
                return Ok(Found::Nothing(slot));
            }
            if entry <= count {
                let e = &entries[entry - 1];
                if self.is_entry(e, key, hash, fuel)? {
                    return Ok(Found::Entry(entry - 1, Value(e[2])));
                }
            }
            slot = (slot + 1) & mask;
            *fuel -= 1;
        }
    }

    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn is_entry(&self, entry: &[u64; 3], key: Value, hash: u32, fuel: &mut i64) -> Result<bool, Work> {
        Ok(entry[0] == u64::from(hash) && (entry[1] == key.0 || same_key(self, Value(entry[1]), key, fuel)?))
    }

    /// Looks a plain key up in a map small enough to need no hash: by comparing words and nothing else. `None` when map or key is not so.
    #[inline]
    pub(crate) fn map_get_plain(&self, map: Value, key: Value) -> Option<Option<Value>> {
        if key.is_plain_key() { self.map_get_word(map, key) } else { None }
    }

    /// The same for a key that is known to be plain.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(crate) fn map_get_word(&self, map: Value, key: Value) -> Option<Option<Value>> {
        let map = self.slice(map.index_of(), 2);
        let table = self.slice(Value(map[1]).index_of(), 1 + 3 * count_of(map[0]));
        if size_of_header(table[0]) > SMALL {
            return None;
        }
        let (entries, _) = table[1..].as_chunks::<3>();
        Some(entries.iter().find(|e| e[1] == key.0).map(|e| Value(e[2])))
    }

    /// What a map has under a key.
    #[inline]
    pub(crate) fn map_get(&self, map: Value, key: Value, fuel: &mut i64) -> Result<Option<Value>, MapError> {
        #[cfg(target_os = "none")]
        return (self.lookup)(self, map, key, fuel);
        #[cfg(not(target_os = "none"))]
        self.map_look(map, key, fuel)
    }

    fn map_look(&self, map: Value, key: Value, fuel: &mut i64) -> Result<Option<Value>, MapError> {
        if !key.is(tag::STRING)
            && let Some(found) = self.map_get_plain(map, key)
        {
            return Ok(found);
        }
        let hash = hash_key(self, key, fuel)?;
        Ok(match self.map_find(&self.map_parts(map), key, hash, fuel)? {
            Found::Entry(_, value) => Some(value),
            Found::Nothing(_) => None,
        })
    }

    /// Appends an entry to a table with room for it; `slot` of the index, which only large tables have, is free.
    #[cfg_attr(not(target_os = "none"), inline)]
    fn table_append(&mut self, table: u32, slot: usize, hash: u32, key: Value, value: Value) {
        let start = table as usize;
        let head = self.words[start];
        let (used, capacity) = (count_of(head), size_of_header(head));
        let at = start + 1 + 3 * used;
        self.words[at] = u64::from(hash);
        self.words[at + 1] = key.0;
        self.words[at + 2] = value.0;
        self.words[start] = header(tag::TABLE, used + 1, capacity);
        if capacity > SMALL {
            self.table_index(table, capacity)[slot] = used as u32 + 1;
        }
    }

    fn table_index(&mut self, table: u32, capacity: usize) -> &mut [u32] {
        bytemuck::cast_slice_mut(&mut self.words[table as usize + 1 + 3 * capacity..][..capacity])
    }

    /// Appends an entry whose key the table does not have.
    fn table_add(&mut self, table: u32, hash: u32, key: Value, value: Value) {
        let capacity = size_of_header(self.words[table as usize]);
        let mut slot = 0;
        if capacity > SMALL {
            let (index, mask) = (self.table_index(table, capacity), 2 * capacity - 1);
            slot = hash as usize & mask;
            while index[slot] != 0 {
                slot = (slot + 1) & mask;
            }
        }
        self.table_append(table, slot, hash, key, value);
    }

    /// A new table with the first `n` entries of `map`, without entry `skip`.
    fn table_copy(&mut self, map: Value, n: usize, capacity: usize, skip: usize) -> Result<u32, Exhausted> {
        let table = self.table(capacity)?;
        let from = self.field(map, 0).index_of();
        for i in (0..n).filter(|i| *i != skip) {
            let e = from + 1 + 3 * i as u32;
            let (hash, key, value) = (self.word(e) as u32, self.value_at(e + 1), self.value_at(e + 2));
            self.table_add(table, hash, key, value);
        }
        Ok(table)
    }

    /// `map` with `key` → `value`.
    pub(crate) fn map_set(&mut self, map: Value, key: Value, value: Value, fuel: &mut i64) -> Result<Value, MapError> {
        let hash = hash_key(self, key, fuel)?;
        let parts = self.map_parts(map);
        let (n, table, has_room) = (parts.count, parts.table, parts.has_room());
        let slot = match self.map_find(&parts, key, hash, fuel)? {
            Found::Entry(i, _) => {
                *fuel -= n as i64 / 8;
                let copy = self.table_copy(map, n, fitting(n), usize::MAX)?;
                self.words[copy as usize + 1 + 3 * i + 2] = value.0;
                return Ok(self.map_of(copy, n)?);
            }
            Found::Nothing(slot) => slot,
        };
        if has_room {
            // The map object is made first: when the heap is full, nothing has changed yet.
            let new = self.map_of(table, n + 1)?;
            self.table_append(table, slot, hash, key, value);
            return Ok(new);
        }
        *fuel -= n as i64 / 8;
        let capacity = (n + 1).max(4).next_power_of_two();
        let copy = self.table_copy(map, n, capacity, usize::MAX)?;
        self.table_add(copy, hash, key, value);
        Ok(self.map_of(copy, n + 1)?)
    }

    /// Sets a key of a map that nobody else has seen yet: replaces in place, grows without leaving a version behind.
    pub(crate) fn map_put(&mut self, map: Value, key: Value, value: Value, fuel: &mut i64) -> Result<Value, MapError> {
        let hash = hash_key(self, key, fuel)?;
        let parts = self.map_parts(map);
        let (n, table, own) = (parts.count, parts.table, parts.count == parts.used && parts.table & FROZEN == 0);
        let has_room = parts.has_room();
        match self.map_find(&parts, key, hash, fuel)? {
            Found::Entry(i, _) if own => self.set(table + 1 + 3 * i as u32 + 2, value.0),
            Found::Nothing(slot) if has_room => {
                self.table_append(table, slot, hash, key, value);
                self.words[map.index_of() as usize] = header(tag::MAP, n + 1, 0);
            }
            // Where others see the table, too, which no compiler lets happen; and where it is full.
            _ => return self.map_set(map, key, value, fuel),
        }
        Ok(map)
    }

    /// [`Self::map_put`] of a key that is equal only to itself, into a small map with room, that does not have it: as nearly all keys of
    /// records are. False, and nothing happens, when it is not so.
    pub(crate) fn map_put_name(&mut self, map: Value, key: Value, value: Value) -> bool {
        let table = self.field(map, 0).index_of() as usize;
        let (used, capacity) = (count_of(self.words[table]), size_of_header(self.words[table]));
        let (at, hash) = (table + 1 + 3 * used, hash_key(self, key, &mut 0));
        let (Ok(hash), true) = (hash, capacity <= SMALL && used < capacity) else {
            return false;
        };
        if self.words[table + 1..at].chunks_exact(3).any(|entry| entry[1] == key.0) {
            return false;
        }
        self.words[at..at + 3].copy_from_slice(&[u64::from(hash), key.0, value.0]);
        self.words[table] = header(tag::TABLE, used + 1, capacity);
        self.words[map.index_of() as usize] = header(tag::MAP, used + 1, 0);
        true
    }

    /// `map` without `key`; the same map when it is not there.
    pub(crate) fn map_remove(&mut self, map: Value, key: Value, fuel: &mut i64) -> Result<Value, MapError> {
        let hash = hash_key(self, key, fuel)?;
        let Found::Entry(i, _) = self.map_find(&self.map_parts(map), key, hash, fuel)? else {
            return Ok(map);
        };
        let n = self.map_count(map);
        *fuel -= n as i64 / 8;
        let copy = self.table_copy(map, n, fitting(n), i)?;
        Ok(self.map_of(copy, n - 1)?)
    }
}
