//! The door: the only way in and out of an evaluation.

mod ask;
mod driver;
pub mod relay;
mod writer;

use core::task::Poll;

use crate::keys::KeyTable;
use crate::memory::{MemoryTooSmall, TickMemory};
use crate::record::{Access, ConditionStatus, Content, Entry, Header, Level, RECORD_VERSION, Record, Refusal, Resource, entries};
use crate::values::Values;
use crate::{ActionKey, ActionKind, KEY_BYTES, SecretKey, TickInterval};
use writer::RecordWriter;

pub use ask::{Ask, AskError};

/// Keys that start with this belong to the runtime: programs read them, verbs write them, `vigy-set` does not.
pub const RESERVED_PREFIX: &str = "__";

/// The key under which a store hands out the settlement of the run before, byte for byte as it was committed.
pub const LAST_OUTCOMES: &str = "__sys::last_outcomes";

/// Why a verb did not do what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VerbError {
    /// The program made a mistake that it can catch.
    Raise {
        /// The error's tag.
        tag: &'static str,
        /// What to do better.
        message: &'static str,
    },
    /// The tick is over: a limit is used up.
    Exhausted(Resource),
    /// The tick is over: the program asked for the next one in so many milliseconds.
    Retry(u64),
    /// The tick is over: the program gave up.
    Permanent,
}

impl From<Resource> for VerbError {
    fn from(resource: Resource) -> Self {
        Self::Exhausted(resource)
    }
}

/// A value on its way into the record as data bytes.
pub trait Encode {
    /// Writes the bytes into the front of `into` and says how many.
    ///
    /// # Errors
    /// [`Resource::Values`] when `into` is too short, or a mistake of the program's when the value is not data.
    fn encode(self, into: &mut [u8]) -> Result<usize, VerbError>;
}

/// Bytes that are data already.
impl Encode for &[u8] {
    fn encode(self, into: &mut [u8]) -> Result<usize, VerbError> {
        into.get_mut(..self.len()).ok_or(Resource::Values)?.copy_from_slice(self);
        Ok(self.len())
    }
}

/// What the evaluation waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Request {
    None,
    Key(heapless::String<KEY_BYTES>),
    /// The [`Entry::Ask`] at this offset.
    Ask(usize),
    /// The [`Entry::Answer`] at this offset has not been taken yet.
    Answered(usize),
}

/// A request that the driver answers.
#[derive(Debug)]
pub(crate) enum Wanted<'a> {
    Key { key: &'a str, into: &'a mut [u8] },
    Ask { ask: Ask<'a>, into: &'a mut [u8] },
}

/// Everything one evaluation reads and says.
///
/// A verb appends an entry to the record; nothing outside happens before the commit. Two verbs need something from outside,
/// [`Door::get`] and [`Door::ask`]: they answer [`Poll::Pending`], the evaluator returns [`crate::Step::Waiting`], the driver fetches
/// what is asked for, and the evaluator makes the same call again, which is then ready.
#[derive(Debug)]
pub struct Door<'m> {
    header: Header,
    record: RecordWriter<'m>,
    values: Values<'m>,
    actions: &'m mut [u32],
    queued: u16,
    next_in: Option<u64>,
    keys: KeyTable<'m>,
    log_lines: u16,
    output_bytes: u32,
    asks: u32,
    writes: u16,
    /// Whether the last ask is a write whose answer has not been taken.
    writing: bool,
    /// Whether the answer to the last ask is for the program alone.
    secret: bool,
    secret_key: Option<SecretKey>,
    request: Request,
    pub(crate) exhausted: Option<Resource>,
}

fn draft<'v>(values: &'v mut Values<'_>, value: impl Encode) -> Result<Content<'v>, VerbError> {
    let len = value.encode(values.free())?;
    Ok(content(values, len))
}

/// The content that lies in the first `len` free bytes.
fn content<'v>(values: &'v mut Values<'_>, len: usize) -> Content<'v> {
    if len <= Content::INLINE { Content::Inline(crate::record::Bytes(values.written(len))) } else { values.keep(len) }
}

impl<'m> Door<'m> {
    pub(crate) fn open(header: Header, memory: TickMemory<'m>) -> Self {
        let mut door = Self::empty(header, memory);
        door.record.bytes[0] = RECORD_VERSION;
        // A header is at most 120 bytes and the reserve behind the limit is larger, so this fits whatever the limit is.
        let written = postcard::to_slice(&header, &mut door.record.bytes[1..]).map_or(0, |bytes| bytes.len());
        door.record.len = 1 + written;
        door.record.first = door.record.len;
        door.record.limit = door.record.limit.max(door.record.len);
        door
    }

    /// A door that has already seen the run `record`: its queue is what is left to do.
    pub(crate) fn restore(record: &Record<'_>, bytes: &[u8], memory: TickMemory<'m>) -> Result<Self, MemoryTooSmall> {
        let mut door = Self::empty(*record.header(), memory);
        let given = door.record.bytes.len();
        let into = door.record.bytes.get_mut(..bytes.len());
        into.ok_or(MemoryTooSmall { part: "record", needed: bytes.len(), given })?.copy_from_slice(bytes);
        door.record.len = bytes.len();
        let first = bytes.len() - record.entry_bytes().len();
        door.record.first = first;
        door.record.limit = door.record.limit.max(first);
        Ok(door)
    }

    /// The queue of a restored run whose evaluation is over.
    pub(crate) fn restore_queue(&mut self) -> Result<(), MemoryTooSmall> {
        let Self { record, actions, queued, next_in, .. } = self;
        for (at, entry) in entries(record.all()) {
            if let Entry::NextIn { after_ms } = entry {
                *next_in = Some(after_ms);
            }
            if matches!(entry, Entry::Action { .. }) {
                let slots = actions.len();
                let slot = actions.get_mut(usize::from(*queued));
                *slot.ok_or(MemoryTooSmall { part: "actions", needed: slots + 1, given: slots })? = (record.first + at) as u32;
                *queued += 1;
            }
        }
        Ok(())
    }

    /// A restored run whose evaluation was cut is evaluated again: what it was told it is told again, what it said it must say again.
    pub(crate) fn rewind(&mut self) {
        self.record.bytes[0] = RECORD_VERSION;
        self.record.rewind(false);
    }

    /// [`Door::rewind`] for a run that is known to its end.
    #[cfg(feature = "alloc")]
    pub(crate) fn replay(&mut self) {
        self.record.rewind(true);
    }

    /// Secret answers are hashed under this key.
    pub(crate) const fn hash_secrets_under(&mut self, key: Option<SecretKey>) {
        self.secret_key = key;
    }

    /// A door over a memory that [`TickMemory::fits`] the limits.
    fn empty(header: Header, memory: TickMemory<'m>) -> Self {
        let limits = header.limits;
        let limit = memory.record.len().min(limits.record_bytes as usize);
        Self {
            header,
            record: RecordWriter::new(memory.record, limit),
            values: Values::new(&mut memory.values[..limits.value_bytes as usize]),
            actions: &mut memory.actions[..usize::from(limits.actions.min(ActionKey::FIRST_WRITE))],
            queued: 0,
            next_in: None,
            keys: KeyTable::new(&mut memory.keys[..usize::from(limits.kv_keys) * 2]),
            log_lines: 0,
            output_bytes: 0,
            asks: 0,
            writes: 0,
            writing: false,
            secret: false,
            secret_key: None,
            request: Request::None,
            exhausted: None,
        }
    }

    // ---- what the run started from -------------------------------------------------------------------------------------------

    /// What the run started from.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    // ---- verbs: in -----------------------------------------------------------------------------------------------------------

    /// The value of a key: what this run wrote last, else what the store held. O(1) once the key was read or written.
    ///
    /// # Errors
    /// `bad-key` for a key that is empty, longer than [`KEY_BYTES`] or has control characters; the limit `kv_keys`.
    pub fn get(&mut self, key: &str) -> Result<Poll<Option<&[u8]>>, VerbError> {
        check_key(key)?;
        let Some(at) = self.keys.find(key, |at| self.key_at(at)) else {
            if self.keys.is_full() {
                return Err(Resource::KvKeys.into());
            }
            // `check_key` has seen that it fits.
            self.request = Request::Key(heapless::String::try_from(key).unwrap_or_default());
            return Ok(Poll::Pending);
        };
        let value = match self.record.entry(at) {
            Some(Entry::KvRead { value, .. } | Entry::KvWrite { value, .. }) => value,
            _ => None,
        };
        Ok(Poll::Ready(value.and_then(|value| self.values.kept().bytes(value))))
    }

    /// Asks the host. `arguments` are the data of a list. Make the same call again when the answer is there.
    ///
    /// # Errors
    /// A limit.
    pub fn ask(&mut self, operation: &str, access: Access, arguments: impl Encode) -> Result<Poll<Result<&[u8], Refusal<'_>>>, VerbError> {
        if !matches!(self.request, Request::Answered(_)) {
            let arguments = draft(&mut self.values, arguments)?;
            let at = self.record.write(&Entry::Ask { operation, access, arguments })?;
            self.asked(at, access)?;
            return Ok(Poll::Pending);
        }
        Ok(Poll::Ready(self.take_answer().unwrap_or(Ok(&[]))))
    }

    /// The ask at this offset waits for its answer.
    fn asked(&mut self, at: usize, access: Access) -> Result<(), Resource> {
        self.secret = access.is_secret();
        if access.writes() {
            // As many as there are actions: what is left of the keys' indexes.
            self.writes = self.writes.checked_add(1).filter(|writes| *writes <= ActionKey::FIRST_WRITE).ok_or(Resource::Actions)?;
            self.writing = true;
        }
        self.request = Request::Ask(at);
        self.asks += 1;
        Ok(())
    }

    /// The answer to the last ask, once.
    fn take_answer(&mut self) -> Option<Result<&[u8], Refusal<'_>>> {
        let Request::Answered(at) = self.request else { return None };
        self.request = Request::None;
        self.writing = false;
        let Some(Entry::Answer { answer }) = self.record.entry(at) else { return None };
        Some(answer.map(|value| match value {
            // Not kept: it lies where the host has written it.
            Content::Secret { len, .. } => self.values.written(len as usize),
            value => self.values.kept().bytes(value).unwrap_or_default(),
        }))
    }

    // ---- verbs: out ----------------------------------------------------------------------------------------------------------

    /// Sets a key.
    ///
    /// # Errors
    /// As [`Door::get`]; a limit.
    pub fn set(&mut self, key: &str, value: impl Encode) -> Result<(), VerbError> {
        check_key(key)?;
        let value = draft(&mut self.values, value)?;
        let at = self.record.write(&Entry::KvWrite { key, value: Some(value) })?;
        self.index_key(key, at)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`Door::get`]; a limit.
    pub fn remove(&mut self, key: &str) -> Result<(), VerbError> {
        check_key(key)?;
        let at = self.record.write(&Entry::KvWrite { key, value: None })?;
        self.index_key(key, at)
    }

    /// Queues an action. O(payload).
    ///
    /// # Errors
    /// A limit.
    pub fn act(&mut self, kind: ActionKind, payload: Option<impl Encode>, message: Option<&str>) -> Result<(), VerbError> {
        let slot = self.actions.get_mut(usize::from(self.queued)).ok_or(Resource::Actions)?;
        let payload = match payload {
            Some(payload) => Some(draft(&mut self.values, payload)?),
            None => None,
        };
        // A record's length is bounded by a u32 limit.
        *slot = self.record.write(&Entry::Action { kind, payload, message })? as u32;
        self.queued += 1;
        Ok(())
    }

    /// How many actions this run has queued.
    #[must_use]
    pub const fn pending(&self) -> u16 {
        self.queued
    }

    /// Asks for the next tick in so many milliseconds, whatever the schedule says; the last word counts. Nothing comes of it when the
    /// evaluation fails.
    ///
    /// # Errors
    /// `bad-interval` for what is no [`TickInterval`]; a limit.
    pub fn next_in(&mut self, after_ms: u64) -> Result<(), VerbError> {
        check_wait(after_ms)?;
        self.say(&Entry::NextIn { after_ms })?;
        self.next_in = Some(after_ms);
        Ok(())
    }

    /// What [`Door::next_in`] was told last.
    pub(crate) const fn asked_next_in(&self) -> Option<u64> {
        self.next_in
    }

    /// Writes a log line.
    ///
    /// # Errors
    /// A limit.
    pub fn log(&mut self, level: Level, message: &str) -> Result<(), VerbError> {
        self.line()?;
        self.say(&Entry::Log { level, message })
    }

    /// Keeps printed text.
    ///
    /// # Errors
    /// A limit.
    pub fn output(&mut self, text: &str) -> Result<(), VerbError> {
        let total = self.output_bytes as usize + text.len();
        if total > self.header.limits.output_bytes as usize {
            return Err(Resource::Output.into());
        }
        self.output_bytes = total as u32;
        self.say(&Entry::Output { text })
    }

    /// Notes a value for whoever debugs the run.
    ///
    /// # Errors
    /// A limit.
    pub fn trace(&mut self, key: &str, value: impl Encode) -> Result<(), VerbError> {
        let value = draft(&mut self.values, value)?;
        self.record.write(&Entry::Trace { key, value })?;
        Ok(())
    }

    /// Notes a measurement.
    ///
    /// # Errors
    /// A limit.
    pub fn metric(&mut self, name: &str, value: f64) -> Result<(), VerbError> {
        self.say(&Entry::Metric { name, value })
    }

    /// Tells an event.
    ///
    /// # Errors
    /// A limit.
    pub fn event(&mut self, kind: &str, message: &str) -> Result<(), VerbError> {
        self.line()?;
        self.say(&Entry::Event { kind, message })
    }

    /// Says a condition.
    ///
    /// # Errors
    /// A limit.
    pub fn condition(&mut self, name: &str, status: ConditionStatus, reason: &str, message: &str) -> Result<(), VerbError> {
        self.say(&Entry::Condition { name, status, reason, message })
    }

    /// Tells a part of the desired state.
    ///
    /// # Errors
    /// A limit.
    pub fn desired(&mut self, key: &str, value: impl Encode) -> Result<(), VerbError> {
        let value = draft(&mut self.values, value)?;
        self.record.write(&Entry::Desired { key, value })?;
        Ok(())
    }

    /// Tells a part of the observed state.
    ///
    /// # Errors
    /// A limit.
    pub fn observed(&mut self, key: &str, value: impl Encode) -> Result<(), VerbError> {
        let value = draft(&mut self.values, value)?;
        self.record.write(&Entry::Observed { key, value })?;
        Ok(())
    }

    fn say(&mut self, entry: &Entry<'_>) -> Result<(), VerbError> {
        self.record.write(entry)?;
        Ok(())
    }

    fn line(&mut self) -> Result<(), VerbError> {
        if self.log_lines == self.header.limits.log_lines {
            return Err(Resource::LogLines.into());
        }
        self.log_lines += 1;
        Ok(())
    }

    fn index_key(&mut self, key: &str, at: usize) -> Result<(), VerbError> {
        let Self { keys, record, .. } = self;
        keys.insert(key, at, |at| key_of(record.entry(at))).ok_or(VerbError::Exhausted(Resource::KvKeys))
    }

    fn key_at(&self, at: usize) -> &str {
        key_of(self.record.entry(at))
    }
}

fn key_of(entry: Option<Entry<'_>>) -> &str {
    match entry {
        Some(Entry::KvRead { key, .. } | Entry::KvWrite { key, .. }) => key,
        _ => "",
    }
}

fn check_key(key: &str) -> Result<(), VerbError> {
    let message = match key {
        "" => "a kv key cannot be empty",
        _ if key.len() > KEY_BYTES => "a kv key has at most 256 bytes",
        _ if key.chars().any(char::is_control) => "a kv key has no control characters",
        _ => return Ok(()),
    };
    Err(VerbError::Raise { tag: "bad-key", message })
}

/// Whether a program may ask for its next tick in so many milliseconds.
pub(crate) fn check_wait(after_ms: u64) -> Result<(), VerbError> {
    let message = "the next tick comes in 100 ms at the earliest and in 365 days at the latest";
    TickInterval::from_millis(after_ms).map(|_| ()).map_err(|_| VerbError::Raise { tag: "bad-interval", message })
}

/// The longest prefix of `text` of at most `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
