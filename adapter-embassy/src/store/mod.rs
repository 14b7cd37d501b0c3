//! The store in NOR flash.
//!
//! ```text
//! slot 0   part 0 | part 1 | part 2         a whole state: checkpoint, last run, outcomes, every key
//! slot 1   part 0                           the one before it, or one that the power cut short
//!
//! part     sequence number (8) | length of the state (4) | CRC (4) | up to CHUNK bytes of the state
//! ```
//!
//! A batch writes a whole new state into the slot that does not count: parts 1, 2, …, then part 0, which closes it. **The newest
//! complete state counts**; complete means that all its parts carry the same sequence number, length and CRC, and that the CRC is that
//! of the bytes. So a batch is there as a whole or not at all, and the state before it is untouched until the new one has been read
//! back.
//!
//! Parts are items of a `sequential_storage` map, which levels wear, moves live items out of the way before it erases a page, and
//! repairs pages that a power cut left half done.
//!
//! This is made for the few kilobytes that a device keeps: a state has at most [`MAX_PARTS`] parts, and each batch writes all of it.
//!
//! What is assumed of the flash: a word that was written reads as it was written, an erase erases, and a word or an erase that the
//! power cuts off spoils nothing but its own page.

mod planted;
mod state;
#[cfg(test)]
mod tests;
mod words;

use core::fmt;
use core::ops::Range;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use vigy_core::{AsyncStorage, Batch, Checkpoint, Draft, LAST_OUTCOMES, Piece, RunKey, Settlement};

use planted::{Bug, planted};
use state::{Entry, Full, STATE_VERSION, entries};
pub use words::{Words, WordsError};

/// What sequential-storage has to say about a flash.
pub type FlashError<E> = sequential_storage::Error<WordsError<E>>;

/// Bytes of the largest item in flash, its one-byte key included: 256. A page must hold at least one.
pub const PART_BYTES: usize = 256;

/// Bytes of a part before its piece of the state.
const HEAD: usize = 16;
/// Bytes of the state in one part.
const CHUNK: usize = PART_BYTES - 1 - HEAD;
/// Parts of the largest state: what a one-byte key tells apart, in two slots.
const MAX_PARTS: usize = 128;
/// Item and longest word (32 bytes), as sequential-storage asks for.
const BUFFER: usize = PART_BYTES + 32;
/// Bytes that sequential-storage puts before each item.
const ITEM_HEADER: usize = 8;

/// Small rather than fast: a kilobyte of table is not worth it here.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Why the store cannot do what it should.
#[derive(Debug)]
pub enum StoreError<E> {
    /// The flash failed, or holds something that is no store ([`Store::format`] makes it one). Open the store again after this: only
    /// the flash knows whether the write landed.
    Flash(FlashError<E>),
    /// The flash does not hold what was just written. Open the store again after this.
    ReadBack,
    /// An earlier write failed, and the store was not opened again.
    NotReopened,
    /// The state after this batch needs more than `room` bytes. Nothing was written.
    TooLarge {
        /// Bytes that a state may have.
        room: usize,
    },
    /// The value of a key is larger than the place for it.
    ValueTooLarge {
        /// Its bytes.
        len: usize,
    },
    /// The range is not made of whole pages of the flash, or too small for two states of `room` bytes.
    Range {
        /// Bytes that a state may have.
        room: usize,
    },
    /// A newer version of this crate wrote the state.
    Version(u8),
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::ReadBack => f.write_str("the flash does not hold what was written"),
            Self::NotReopened => f.write_str("the store must be opened again after a failed write"),
            Self::TooLarge { room } => write!(f, "the state does not fit in {room} bytes: give the store more memory, or keep less"),
            Self::ValueTooLarge { len } => write!(f, "a value of {len} bytes does not fit in the tick's memory"),
            Self::Range { room } => write!(f, "the range of flash does not hold two states of {room} bytes: whole pages, and more of them"),
            Self::Version(version) => write!(f, "the state has version {version}, this program reads {STATE_VERSION}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

impl<E> From<FlashError<E>> for StoreError<E> {
    fn from(error: FlashError<E>) -> Self {
        match error {
            FlashError::Storage { value: WordsError::ReadBack } => Self::ReadBack,
            error => Self::Flash(error),
        }
    }
}

/// What every part of one state begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Head {
    sequence: u64,
    len: u32,
    crc: u32,
}

impl Head {
    fn of(sequence: u64, state: &[u8]) -> Self {
        let mut digest = CRC.digest();
        digest.update(&sequence.to_le_bytes());
        digest.update(state);
        // A state has at most MAX_PARTS * CHUNK bytes.
        Self { sequence, len: state.len() as u32, crc: digest.finalize() }
    }

    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// A part's head and its piece of the state.
    fn split(part: &[u8]) -> Option<(Self, &[u8])> {
        let (sequence, rest) = part.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (crc, chunk) = rest.split_first_chunk()?;
        let head = Self { sequence: u64::from_le_bytes(*sequence), len: u32::from_le_bytes(*len), crc: u32::from_le_bytes(*crc) };
        Some((head, chunk))
    }
}

/// Which item is the part `index` of `slot`.
const fn key(slot: u8, index: usize) -> u8 {
    // `index` is below MAX_PARTS.
    slot << 7 | index as u8
}

/// Parts of a state of `len` bytes.
const fn parts(len: usize) -> usize {
    if len == 0 { 1 } else { len.div_ceil(CHUNK) }
}

/// Keeps one vigy's state in a range of flash. A batch is there as a whole or not at all.
pub struct Store<'m, F: NorFlash> {
    // No cache: what is read back comes from the flash.
    map: MapStorage<u8, Words<F>, Cache<Uncached, Uncached, Uncached, u8>>,
    part: [u8; BUFFER],
    /// The state that counts, in its first `len` bytes.
    now: &'m mut [u8],
    next: &'m mut [u8],
    len: usize,
    sequence: u64,
    slot: u8,
    /// A write has begun and not ended.
    dirty: bool,
}

impl<'m, F: NorFlash> Store<'m, F> {
    /// Opens the store in `range` of a flash. The memory is for two states, so a state may have half its bytes.
    ///
    /// Reads all of the range, and repairs what a power cut left half done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(flash: F, range: Range<u32>, memory: &'m mut [u8]) -> Result<Self, StoreError<F::Error>> {
        let half = memory.len() / 2;
        let (now, next) = memory.split_at_mut(half);
        let fits = range.end as usize <= flash.capacity();
        let Some(config) = config::<F>(range, half).filter(|_| fits) else { return Err(StoreError::Range { room: half }) };
        let map = MapStorage::new(Words(flash), config, Cache::new_uncached());
        let next = &mut next[..half];
        let mut store = Self { map, part: [0; BUFFER], now, next, len: 0, sequence: 0, slot: 0, dirty: false };
        for slot in [0, 1] {
            if let Some(head) = store.load(slot).await? {
                store.take_next(slot, head);
            }
        }
        match store.now[..store.len].first() {
            Some(&version) if version != STATE_VERSION => Err(StoreError::Version(version)),
            _ => Ok(store),
        }
    }

    /// Erases `range` of a flash, whatever is there. For a flash that never held a store, or shall forget it.
    ///
    /// # Errors
    /// The flash's own.
    pub async fn format(flash: &mut F, range: Range<u32>) -> Result<(), F::Error> {
        flash.erase(range.start, range.end).await
    }

    /// The flash, for the next [`Store::open`].
    pub fn close(self) -> F {
        self.map.destroy().0.0
    }

    /// Where the vigy stands, if it has ever ticked.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.entries().find_map(|entry| if let Entry::Checkpoint(checkpoint) = entry { Some(checkpoint) } else { None })
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        entries(&self.now[..self.len])
    }

    /// The state in `next` counts from now on, if it is newer.
    fn take_next(&mut self, slot: u8, head: Head) {
        if head.sequence > self.sequence {
            core::mem::swap(&mut self.now, &mut self.next);
            (self.len, self.sequence, self.slot) = (head.len as usize, head.sequence, slot);
        }
    }

    /// Reads the state of a slot into `next`: nothing when it is not complete.
    async fn load(&mut self, slot: u8) -> Result<Option<Head>, StoreError<F::Error>> {
        let mut whole: Option<Head> = None;
        let mut index = 0;
        while index < whole.map_or(1, |head| parts(head.len as usize)) {
            let part: Option<&[u8]> = self.map.fetch_item(&mut self.part, &key(slot, index)).await?;
            let Some((head, chunk)) = part.and_then(Head::split) else { return Ok(None) };
            let expected = *whole.get_or_insert(head);
            let from = index * CHUNK;
            let to = (from + CHUNK).min(expected.len as usize);
            let Some(into) = self.next.get_mut(from..to) else { return Ok(None) };
            if chunk.len() != into.len() || (head != expected && !planted(Bug::AnyParts)) {
                return Ok(None);
            }
            into.copy_from_slice(chunk);
            index += 1;
        }
        let complete = |head: &Head| *head == Head::of(head.sequence, &self.next[..head.len as usize]);
        Ok(whole.filter(|head| complete(head) || planted(Bug::AnyParts)))
    }

    /// Makes the state that `compose` writes durable.
    async fn replace(&mut self, compose: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, Full>) -> Result<(), StoreError<F::Error>> {
        if self.dirty {
            return Err(StoreError::NotReopened);
        }
        let room = self.next.len();
        let len = compose(&self.now[..self.len], self.next).map_err(|Full| StoreError::TooLarge { room })?;
        let slot = if planted(Bug::OneSlot) { self.slot } else { 1 - self.slot };
        let head = Head::of(self.sequence + 1, &self.next[..len]);
        self.dirty = true;
        if planted(Bug::ClosingPartFirst) {
            self.write(slot, head, 0).await?;
        }
        for index in (1..parts(len)).chain([0]) {
            self.write(slot, head, index).await?;
        }
        if !planted(Bug::NoReadBack) {
            for index in 0..parts(len) {
                self.read_back(slot, head, index).await?;
            }
        }
        self.dirty = false;
        self.take_next(slot, head);
        Ok(())
    }

    /// The piece of `next` that the part `index` holds.
    fn chunk(next: &[u8], head: Head, index: usize) -> &[u8] {
        let len = head.len as usize;
        &next[index * CHUNK..((index + 1) * CHUNK).min(len)]
    }

    async fn write(&mut self, slot: u8, head: Head, index: usize) -> Result<(), StoreError<F::Error>> {
        let chunk = Self::chunk(self.next, head, index);
        let mut part = [0; PART_BYTES - 1];
        let len = HEAD + chunk.len();
        part[..HEAD].copy_from_slice(&head.to_bytes());
        part[HEAD..len].copy_from_slice(chunk);
        Ok(self.map.store_item(&mut self.part, &key(slot, index), &&part[..len]).await?)
    }

    async fn read_back(&mut self, slot: u8, head: Head, index: usize) -> Result<(), StoreError<F::Error>> {
        let part: Option<&[u8]> = self.map.fetch_item(&mut self.part, &key(slot, index)).await?;
        let found = part.and_then(Head::split);
        if found == Some((head, Self::chunk(self.next, head, index))) { Ok(()) } else { Err(StoreError::ReadBack) }
    }
}

/// The map over `range`, if it holds two states of `room` bytes: one page is always free, and one more so that moving items about
/// ends soon.
fn config<F: NorFlash>(range: Range<u32>, room: usize) -> Option<MapConfig<Words<F>>> {
    let word = Words::<F>::WRITE_SIZE;
    let item = ITEM_HEADER.next_multiple_of(word) + PART_BYTES.next_multiple_of(word);
    let per_page = F::ERASE_SIZE.checked_sub(2 * word)? / item;
    let pages = (range.end.checked_sub(range.start)? as usize / F::ERASE_SIZE).checked_sub(2)?;
    let enough = parts(room) <= MAX_PARTS && 2 * parts(room) <= pages * per_page;
    MapConfig::try_new(range).ok().filter(|_| enough)
}

impl<F: NorFlash> AsyncStorage for Store<'_, F> {
    type Error = StoreError<F::Error>;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        if self.dirty {
            return Err(StoreError::NotReopened);
        }
        let value = self.entries().find_map(|entry| match entry {
            Entry::Outcomes(bytes) if key == LAST_OUTCOMES => Some(bytes.0),
            Entry::Pair(known, bytes) if known == key => Some(bytes.0),
            _ => None,
        });
        let Some(value) = value else { return Ok(None) };
        let len = value.len();
        into.get_mut(..len).ok_or(StoreError::ValueTooLarge { len })?.copy_from_slice(value);
        Ok(Some(len))
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), Self::Error> {
        self.replace(|now, next| state::after_draft(now, draft, next)).await
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        self.replace(|now, next| state::after_batch(now, batch, next)).await
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Self::Error> {
        self.replace(|now, next| state::after_settlement(now, settlement, next)).await
    }

    async fn unfinished(&mut self, run: RunKey, mut visit: impl FnMut(Piece<'_>)) -> Result<(), Self::Error> {
        let Some(last) = self.checkpoint().filter(|last| last.incarnation == run.incarnation) else { return Ok(()) };
        let (draft, ended) = (run.tick == last.ticks + 1, run.tick == last.ticks);
        let record = self.entries().find_map(|entry| match entry {
            Entry::Record(record) if ended => Some(record.0),
            Entry::Draft(record) if draft => Some(record.0),
            _ => None,
        });
        let Some(record) = record else { return Ok(()) };
        visit(Piece::Record(record));
        self.entries().for_each(|entry| match entry {
            Entry::Value(value) if ended => visit(Piece::Value(value.0)),
            Entry::DraftValue(value) if draft => visit(Piece::Value(value.0)),
            _ => {}
        });
        Ok(())
    }
}
