//! Hash tables of the compiler: one hasher, the same on every host.

use core::hash::{BuildHasherDefault, Hasher};

use crate::heap::hash_bytes;

pub(super) type HashMap<K, V> = hashbrown::HashMap<K, V, BuildHasherDefault<Mix>>;
pub(super) type HashSet<K> = hashbrown::HashSet<K, BuildHasherDefault<Mix>>;

/// Names in a program of usual size: tables that hold most of them start with room for so many.
pub(super) const USUAL: usize = 56;

/// Mixes words by multiplication. Not proof against chosen keys: a compiler's limits are sizes, not times.
#[derive(Clone, Copy, Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(u64::from(hash_bytes(bytes)));
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Names that are known when this crate is compiled, found by their hash: numbers in an open table, 0 where there is none.
pub(crate) struct Index<const SLOTS: usize>([u16; SLOTS]);

impl<const SLOTS: usize> Index<SLOTS> {
    pub(crate) const EMPTY: Self = Self([0; SLOTS]);

    /// With one more name. Of two numbers with one name, the first is found.
    pub(crate) const fn with(mut self, name: &[u8], number: usize) -> Self {
        let mut slot = hash_bytes(name) as usize % SLOTS;
        while self.0[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        // A table that becomes crowded does not compile: searches must end, and soon.
        assert!(number < SLOTS / 2);
        self.0[slot] = number as u16 + 1;
        self
    }

    /// The number of a name, by what the names of numbers are.
    pub(crate) fn find(&self, name: &str, name_of: impl Fn(usize) -> &'static str) -> Option<usize> {
        let mut slot = hash_bytes(name.as_bytes()) as usize % SLOTS;
        loop {
            let number = usize::from(self.0[slot]).checked_sub(1)?;
            if name_of(number) == name {
                return Some(number);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}
