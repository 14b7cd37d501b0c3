//! The record as it grows, or as it grows again: a run that a crash cut in two is evaluated from its beginning, and must say what it
//! said before, byte for byte, up to where it was cut.

use postcard::ser_flavors::Flavor;

use crate::record::{Entry, Resource};

#[derive(Debug)]
pub(super) struct RecordWriter<'m> {
    pub(super) bytes: &'m mut [u8],
    pub(super) len: usize,
    pub(super) limit: usize,
    /// Where the first entry begins.
    pub(super) first: usize,
    /// Up to here the run is known from before.
    known: usize,
    /// Whether it is known to its end: then nothing comes behind that.
    whole: bool,
    diverged: bool,
    /// Whether an entry tells of a state.
    pub(super) states: bool,
    /// Length of the entry that was said instead of the known one; it lies behind what is known.
    instead: usize,
}

impl<'m> RecordWriter<'m> {
    pub(super) fn new(bytes: &'m mut [u8], limit: usize) -> Self {
        Self { bytes, len: 0, limit, first: 0, known: 0, whole: false, diverged: false, states: false, instead: 0 }
    }

    /// What has been written is known from before, and is written once more.
    pub(super) fn rewind(&mut self, whole: bool) {
        self.known = self.len;
        self.whole = whole;
        self.len = self.first;
    }

    /// Appends an entry and returns its offset.
    pub(super) fn write(&mut self, entry: &Entry<'_>) -> Result<usize, Resource> {
        let at = self.len;
        self.states |= entry.is_state();
        if self.recalls() {
            if self.diverged {
                return Err(Resource::Record);
            }
            // A run that filled its record fills it again, and at the same place.
            let room = self.limit.saturating_sub(at);
            let compared = Same { expected: &self.bytes[at..self.known], room, len: 0, differs: false };
            let (len, same) = postcard::serialize_with_flavor(entry, compared).map_err(|_| Resource::Record)?;
            if !same {
                if self.whole {
                    self.instead = postcard::to_slice(entry, &mut self.bytes[self.known..]).map_or(0, |bytes| bytes.len());
                }
                return Err(self.diverge());
            }
            self.len += len;
        } else {
            let written = postcard::to_slice(entry, &mut self.bytes[at..self.limit]).map_err(|_| Resource::Record)?;
            self.len += written.len();
        }
        Ok(at)
    }

    /// Whether the run is known to its end.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// What was said instead of the known entry; nothing when it did not fit.
    #[cfg(feature = "alloc")]
    pub(super) fn instead(&self) -> Option<Entry<'_>> {
        postcard::from_bytes(self.bytes.get(self.known..self.known + self.instead)?).ok()
    }

    /// All entries, also those that are known and not yet written again.
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes[self.first..self.len.max(self.known)]
    }

    /// The entry that the run said or was told next when it ran before, with its length.
    pub(super) fn known(&self) -> Option<(Entry<'_>, usize)> {
        let rest = &self.bytes[self.len..self.known.max(self.len)];
        let (entry, after) = postcard::take_from_bytes(rest).ok()?;
        Some((entry, rest.len() - after.len()))
    }

    /// Whether the run is still in what is known of it.
    pub(super) const fn recalls(&self) -> bool {
        self.len < self.known
    }

    /// The run does not say what it said before: what is known of it stays, and nothing is added but its end.
    pub(super) fn diverge(&mut self) -> Resource {
        self.diverged = true;
        Resource::Record
    }

    pub(super) const fn diverged(&self) -> bool {
        self.diverged
    }

    /// Opens the room that is kept for the last entry.
    pub(super) fn open_reserve(&mut self, reserve: usize) {
        if !self.whole {
            self.len = self.len.max(self.known);
        }
        self.limit = (self.len + reserve).min(self.bytes.len());
    }

    pub(super) fn entry(&self, at: usize) -> Option<Entry<'_>> {
        postcard::from_bytes(&self.bytes[at..self.len]).ok()
    }
}

/// Compares an entry with the bytes that are expected, as far as there is room for it.
struct Same<'b> {
    expected: &'b [u8],
    room: usize,
    len: usize,
    differs: bool,
}

impl Flavor for Same<'_> {
    type Output = (usize, bool);

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let end = self.len + bytes.len();
        if end > self.room {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.differs |= self.expected.get(self.len..end) != Some(bytes);
        self.len = end;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<(usize, bool)> {
        Ok((self.len, !self.differs))
    }
}
