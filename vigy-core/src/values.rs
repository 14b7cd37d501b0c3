//! Values stored once, by content, within one tick's memory.
//!
//! ```text
//! hash (32) | length (4, little-endian) | bytes | hash | length | bytes | … | free
//! ```

use crate::Resource;
use crate::memory::VALUE_HEADER;
use crate::record::{Bytes, Content};

#[derive(Debug)]
pub(crate) struct Values<'m> {
    bytes: &'m mut [u8],
    used: usize,
}

impl<'m> Values<'m> {
    pub(crate) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Where a value of unknown size may be written before [`Values::keep`].
    pub(crate) fn free(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.used + VALUE_HEADER..).unwrap_or_default()
    }

    /// The kept values and the free end, at once.
    pub(crate) fn split(&mut self) -> (Kept<'_>, &mut [u8]) {
        let (kept, free) = self.bytes.split_at_mut(self.used);
        (Kept { rest: kept }, free.get_mut(VALUE_HEADER..).unwrap_or_default())
    }

    /// The first `len` bytes of [`Values::free`], which are overwritten by the next value.
    pub(crate) fn written(&self, len: usize) -> &[u8] {
        let start = self.used + VALUE_HEADER;
        &self.bytes[start..start + len]
    }

    /// Keeps the first `len` bytes of [`Values::free`] as a value.
    pub(crate) fn keep(&mut self, len: usize) -> Content<'static> {
        let hash = *blake3::hash(self.written(len)).as_bytes();
        // `len` fits: the bytes lie in a slice whose size comes from a u32 limit or were checked against it.
        let content = Content::Stored { hash, len: len as u32 };
        if self.kept().find(|(known, _)| **known == hash).is_none() {
            self.bytes[self.used..self.used + 32].copy_from_slice(&hash);
            self.bytes[self.used + 32..self.used + VALUE_HEADER].copy_from_slice(&(len as u32).to_le_bytes());
            self.used += VALUE_HEADER + len;
        }
        content
    }

    /// Keeps a copy of `value`, or refers to it in place when it is small.
    pub(crate) fn put<'a>(&mut self, value: &'a [u8]) -> Result<Content<'a>, Resource> {
        if value.len() <= Content::INLINE {
            return Ok(Content::Inline(Bytes(value)));
        }
        self.free().get_mut(..value.len()).ok_or(Resource::Values)?.copy_from_slice(value);
        Ok(self.keep(value.len()))
    }

    /// Bytes in use.
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// What was kept since [`Values::used`] was this.
    pub(crate) fn since(&self, used: usize) -> &[u8] {
        &self.bytes[used..self.used]
    }

    pub(crate) fn kept(&self) -> Kept<'_> {
        Kept { rest: &self.bytes[..self.used] }
    }
}

/// The values a tick keeps, each with its hash.
#[derive(Clone, Debug)]
pub struct Kept<'a> {
    rest: &'a [u8],
}

impl<'a> Kept<'a> {
    /// Values that lie one after the other in `bytes`.
    pub(crate) const fn over(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all are read; what is left otherwise does not decode.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes of a content, nothing if its value is not kept here. Linear in the number of values.
    pub(crate) fn bytes(mut self, content: Content<'a>) -> Option<&'a [u8]> {
        match content {
            Content::Inline(Bytes(bytes)) => Some(bytes),
            Content::Stored { hash, .. } => self.find(|(known, _)| **known == hash).map(|(_, bytes)| bytes),
            Content::Secret { .. } => None,
        }
    }
}

impl<'a> Iterator for Kept<'a> {
    type Item = (&'a [u8; 32], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (hash, rest) = self.rest.split_first_chunk::<32>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.rest = rest;
        Some((hash, bytes))
    }
}
