//! Strings that are written piece by piece.

use super::{Exhausted, Heap, Value};

/// A string being written behind everything else on the heap.
pub(crate) struct Writer<'h, 'm> {
    pub(super) heap: &'h mut Heap<'m>,
    pub(super) at: u32,
    pub(super) len: usize,
    pub(super) full: bool,
}

impl Writer<'_, '_> {
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        let start = self.at as usize + 1;
        let room = (self.heap.limit - start) * 8;
        if self.full || bytes.len() > room - self.len || self.len + bytes.len() > u32::MAX as usize {
            self.full = true;
            return;
        }
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.heap.words[start..]);
        all[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Whether something did not fit: what is written from now on goes nowhere.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether what was written so far is UTF-8; of what did not fit, sealing tells.
    pub(crate) fn is_text(&self) -> bool {
        let all: &[u8] = bytemuck::cast_slice(&self.heap.words[self.at as usize + 1..]);
        self.full || core::str::from_utf8(&all[..self.len]).is_ok()
    }

    pub(crate) fn seal(self) -> Result<Value, Exhausted> {
        if self.full {
            return Err(Exhausted);
        }
        let words = self.len.div_ceil(8);
        let start = self.at as usize + 1;
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.heap.words[start..start + words]);
        all[self.len..].fill(0);
        self.heap.top = start + words;
        Ok(self.heap.string_seal(self.at, self.len))
    }

    /// The heap, to print its values from while writing: reads only.
    pub(crate) fn heap(&self) -> &Heap<'_> {
        self.heap
    }

    /// Appends the text of a string, symbol or keyword.
    pub(crate) fn push_text(&mut self, v: Value) {
        let len = self.heap.bytes(v).len();
        let mut done = 0;
        let mut buffer = [0u8; 128];
        while done < len {
            let n = buffer.len().min(len - done);
            buffer[..n].copy_from_slice(&self.heap.bytes(v)[done..done + n]);
            self.push_bytes(&buffer[..n]);
            done += n;
        }
    }
}

impl core::fmt::Write for Writer<'_, '_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.push_bytes(s.as_bytes());
        if self.full { Err(core::fmt::Error) } else { Ok(()) }
    }
}
