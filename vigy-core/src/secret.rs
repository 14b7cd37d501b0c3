//! The key of a host, under which secret answers are hashed.

use core::fmt;

/// A host's key for the hashes of secret answers: 32 random bytes, made once per store and never in a record. Who has a record but not the
/// key cannot try out what the answer was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretKey(pub [u8; 32]);

impl SecretKey {
    /// Keyed BLAKE3 of an answer.
    #[must_use]
    pub fn hash(&self, answer: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, answer).as_bytes()
    }
}

/// Says that it is one, and no more.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}
