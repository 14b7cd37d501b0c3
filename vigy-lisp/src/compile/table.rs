//! Hash tables of the compiler: one hasher, the same on every host.

use core::hash::{BuildHasherDefault, Hasher};

use crate::heap::hash_bytes;

pub(super) type HashMap<K, V> = hashbrown::HashMap<K, V, BuildHasherDefault<Mix>>;
pub(super) type HashSet<K> = hashbrown::HashSet<K, BuildHasherDefault<Mix>>;

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
