//! The kv overlay's table: from key to the last entry about it.

/// Open addressing over a slice of the caller's. A slot holds the offset of an entry in the record, 0 is free.
#[derive(Debug)]
pub(crate) struct KeyTable<'m> {
    slots: &'m mut [u32],
    used: usize,
}

impl<'m> KeyTable<'m> {
    /// A table that takes half as many keys as there are slots.
    pub(crate) fn new(slots: &'m mut [u32]) -> Self {
        slots.fill(0);
        Self { slots, used: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used * 2 >= self.slots.len()
    }

    /// The offset for a key. `key_at` tells the key of an entry.
    pub(crate) fn find<'k>(&self, key: &str, key_at: impl Fn(usize) -> &'k str) -> Option<usize> {
        let slot = self.slot(key, &key_at)?;
        let at = self.slots[slot] as usize;
        (at != 0).then_some(at)
    }

    /// Sets the offset for a key; nothing when the table is full and the key is new.
    pub(crate) fn insert<'k>(&mut self, key: &str, at: usize, key_at: impl Fn(usize) -> &'k str) -> Option<()> {
        let slot = self.slot(key, &key_at)?;
        if self.slots[slot] == 0 {
            if self.is_full() {
                return None;
            }
            self.used += 1;
        }
        // Offsets lie in a record, whose size is a u32 limit.
        self.slots[slot] = at as u32;
        Some(())
    }

    /// The key's slot, or the free one where it belongs; nothing when there are no slots at all.
    fn slot<'k>(&self, key: &str, key_at: &impl Fn(usize) -> &'k str) -> Option<usize> {
        let len = self.slots.len();
        let start = fnv1a(key) as usize % len.max(1);
        (0..len).map(|step| (start + step) % len).find(|&slot| {
            let at = self.slots[slot] as usize;
            at == 0 || key_at(at) == key
        })
    }
}

/// FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/): short keys, no need for more.
fn fnv1a(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
