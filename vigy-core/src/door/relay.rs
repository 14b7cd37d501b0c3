//! One door in two places: the evaluation stands behind a wall that only bytes pass (a wasm module), the tick before it.
//!
//! ```text
//!   Tick ── Door ── Near ══ Told ══► Far ── Door ── Evaluator
//!                     ◄═════ Said ═══╝
//! ```
//!
//! [`Far`] has a door of its own, under the same limits, so the evaluation stops where it would without the wall. At every stop it
//! says what was written into that door's record since the last one, and [`Near`] says the same at the tick's door. What is far is
//! not trusted: every entry is checked against the limits again. So the record is the same bytes, and never more than allowed.

use core::fmt;
use core::task::Poll;

use serde::{Deserialize, Serialize};

use super::{Door, Request, Wanted, check_key, check_wait, cut};
use crate::record::{Bytes, Content, Entry, Header, Place, Refusal, Resource, Verdict, entries};
use crate::values::Kept;
use crate::{Evaluator, Failure, KEY_BYTES, MESSAGE_BYTES, MemoryTooSmall, SecretKey, Step, TickMemory, VerbError};

/// To the far side: go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Told<'a> {
    /// For about so much fuel.
    pub slice: u64,
    /// What the last stop asked for.
    #[serde(borrow)]
    pub answer: Answer<'a>,
}

/// What came from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// Nothing was asked for.
    None,
    /// The value of the key, if it has one.
    Key(#[serde(borrow)] Option<Bytes<'a>>),
    /// The answer to the ask.
    Ask(#[serde(borrow)] Result<Bytes<'a>, Refusal<'a>>),
}

/// From the far side: how far the evaluation got.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Said<'a> {
    /// Fuel used so far.
    pub fuel: u64,
    /// Why it stopped.
    #[serde(borrow)]
    pub stop: Stop<'a>,
    /// What was said at the door since the last stop, as in the [record](crate::record).
    #[serde(borrow)]
    pub entries: Bytes<'a>,
    /// The values kept since the last stop, each behind its hash and length.
    #[serde(borrow)]
    pub values: Bytes<'a>,
}

/// Why the far side stopped.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Stop<'a> {
    /// It needs the value of this key.
    Key(&'a str),
    /// It needs the answer to the ask that is the last entry.
    Ask,
    /// The slice is used up.
    Paused,
    /// It is over, like this.
    Over(#[serde(borrow)] Verdict<'a>),
}

/// The far side said what no evaluation says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonsense(&'static str);

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Nonsense {}

/// Why [`Near::hear`] could not say what the far side said.
enum Unheard {
    Exhausted(Resource),
    Nonsense(Nonsense),
}

impl From<Resource> for Unheard {
    fn from(resource: Resource) -> Self {
        Self::Exhausted(resource)
    }
}

impl From<VerbError> for Unheard {
    fn from(error: VerbError) -> Self {
        match error {
            VerbError::Exhausted(resource) => Self::Exhausted(resource),
            VerbError::Raise { message, .. } => Self::Nonsense(Nonsense(message)),
            VerbError::Retry(_) | VerbError::Permanent => Self::Nonsense(Nonsense("it ended in the middle")),
        }
    }
}

/// The side where the evaluation is.
#[derive(Debug)]
pub struct Far<'m> {
    door: Door<'m>,
    failure: Option<Failure>,
}

impl<'m> Far<'m> {
    /// A door for the run that this header begins.
    ///
    /// # Errors
    /// [`MemoryTooSmall`] when the memory does not hold what the limits promise.
    pub fn open(header: Header, memory: TickMemory<'m>) -> Result<Self, MemoryTooSmall> {
        memory.fits(&header.limits)?;
        let mut door = Door::open(header, memory);
        // The record that counts is the near one. This key makes entries here as long as they are there.
        door.hash_secrets_under(Some(SecretKey([0; 32])));
        Ok(Self { door, failure: None })
    }

    /// Goes on with the evaluation for one slice.
    pub fn step<E: Evaluator + ?Sized>(&mut self, evaluator: &mut E, told: &Told<'_>) -> Said<'_> {
        let Self { door, failure } = self;
        answer(door, told.answer);
        let (entries, values) = (door.record.len, door.values.used());
        let step = match door.exhausted {
            Some(resource) => Step::Failed(Failure::Exhausted(resource)),
            None => evaluator.step(door, told.slice),
        };
        let over = match step {
            Step::Done => Some(Verdict::Ok),
            Step::Failed(why) => Some(failure.insert(why).verdict()),
            Step::Waiting | Step::Paused => None,
        };
        let stop = match (over, &door.request) {
            (Some(verdict), _) => Stop::Over(verdict),
            (None, Request::Key(key)) => Stop::Key(key),
            (None, Request::Ask(_)) => Stop::Ask,
            (None, _) => Stop::Paused,
        };
        let entries = Bytes(&door.record.bytes[entries..door.record.len]);
        Said { fuel: evaluator.fuel_used(), stop, entries, values: Bytes(door.values.since(values)) }
    }
}

/// Gives a far door what the near one was given.
fn answer(door: &mut Door<'_>, answer: Answer<'_>) {
    let bytes = match answer {
        Answer::None | Answer::Ask(Err(_)) => None,
        Answer::Key(value) => value,
        Answer::Ask(Ok(value)) => Some(value),
    };
    let len = bytes.map(|Bytes(bytes)| bytes.len());
    if let (Some(Bytes(bytes)), Some(Wanted::Key { into, .. } | Wanted::Ask { into, .. })) = (bytes, door.wanted()) {
        match into.get_mut(..bytes.len()) {
            Some(into) => into.copy_from_slice(bytes),
            None => return door.exhausted = Some(Resource::Values),
        }
    }
    match answer {
        Answer::None => {}
        Answer::Key(_) => door.key_loaded(len),
        Answer::Ask(answer) => door.answered(answer.map(|Bytes(bytes)| bytes.len())),
    }
}

/// The side where the tick is.
#[derive(Debug, Default)]
pub struct Near {
    fuel: u64,
    waits: Waits,
}

#[derive(Debug, Default)]
enum Waits {
    #[default]
    Nothing,
    Key(heapless::String<KEY_BYTES>),
    Ask,
}

impl Near {
    /// Fuel that the far side says it has used.
    #[must_use]
    pub const fn fuel_used(&self) -> u64 {
        self.fuel
    }

    /// What to tell the far side next; nothing while the driver has not answered yet.
    pub fn tell<'d>(&self, door: &'d mut Door<'_>, slice: u64) -> Option<Told<'d>> {
        let answer = match &self.waits {
            Waits::Nothing => Answer::None,
            Waits::Key(key) => match door.get(key) {
                Ok(Poll::Ready(value)) => Answer::Key(value.map(Bytes)),
                // The same call was made when the far side asked, so its key is right and has room.
                Ok(Poll::Pending) | Err(_) => return None,
            },
            Waits::Ask => Answer::Ask(door.take_answer()?.map(Bytes)),
        };
        Some(Told { slice, answer })
    }

    /// Says at the tick's door what the far side said. `declared` tells whether it may ask an operation at all.
    ///
    /// # Errors
    /// [`Nonsense`], which no evaluation behind a [`Far`] says.
    pub fn hear(&mut self, door: &mut Door<'_>, said: &Said<'_>, slice: u64, declared: impl Fn(&str) -> bool) -> Result<Step, Nonsense> {
        let before = core::mem::replace(&mut self.fuel, said.fuel);
        if said.fuel < before || (said.stop == Stop::Paused && said.fuel - before < slice) {
            return Err(Nonsense("it counts its fuel wrong"));
        }
        if said.fuel > door.header.limits.fuel.saturating_add(slice) {
            return Ok(Step::Failed(Failure::Exhausted(Resource::Fuel)));
        }
        match self.say(door, said, declared) {
            Ok(step) => Ok(step),
            Err(Unheard::Exhausted(resource)) => Ok(Step::Failed(Failure::Exhausted(resource))),
            Err(Unheard::Nonsense(nonsense)) => Err(nonsense),
        }
    }

    fn say(&mut self, door: &mut Door<'_>, said: &Said<'_>, declared: impl Fn(&str) -> bool) -> Result<Step, Unheard> {
        let mut values = Kept::over(said.values.0);
        for (_, value) in values.by_ref() {
            door.values.put(value)?;
        }
        if !values.is_empty() {
            return nonsense("its values do not decode");
        }
        let mut rest = said.entries.0.len();
        for (at, entry) in entries(said.entries.0) {
            if let Entry::Ask { operation, .. } = entry
                && !declared(operation)
            {
                return nonsense("it asked an operation that it does not declare");
            }
            if matches!(door.request, Request::Ask(_)) {
                return nonsense("it went on after an ask");
            }
            let len = door.say_again(&entry)?;
            rest = said.entries.0.len() - at - len;
        }
        if rest != 0 {
            return nonsense("its entries do not decode");
        }
        let asks = matches!(door.request, Request::Ask(_));
        if asks != (said.stop == Stop::Ask) {
            return nonsense("it stopped for an ask without asking, or the other way round");
        }
        self.waits = Waits::Nothing;
        match said.stop {
            Stop::Ask => {
                self.waits = Waits::Ask;
                Ok(Step::Waiting)
            }
            Stop::Key(key) => {
                let known = door.get(key)?.is_ready();
                // `get` has seen that it fits.
                self.waits = Waits::Key(heapless::String::try_from(key).unwrap_or_default());
                if known { nonsense("it asked twice for a key") } else { Ok(Step::Waiting) }
            }
            Stop::Paused => Ok(Step::Paused),
            Stop::Over(Verdict::Ok) => Ok(Step::Done),
            Stop::Over(Verdict::Exhausted(resource)) => Ok(Step::Failed(Failure::Exhausted(resource))),
            Stop::Over(Verdict::Raised { tag, message, place }) => Ok(Step::Failed(Failure::raised(tag, message, place))),
            Stop::Over(Verdict::Retry { after_ms, message, place }) => {
                check_wait(after_ms)?;
                Ok(Step::Failed(Failure::Retry { after_ms, message: crate::message(message), place }))
            }
            Stop::Over(Verdict::Permanent { message, place }) => {
                Ok(Step::Failed(Failure::Permanent { message: crate::message(message), place }))
            }
        }
    }
}

const fn nonsense(what: &'static str) -> Result<Step, Unheard> {
    Err(Unheard::Nonsense(Nonsense(what)))
}

impl Failure {
    /// An error that nobody caught; tag and message are cut to what the record holds.
    #[must_use]
    pub fn raised(tag: &str, message: &str, place: Option<Place>) -> Self {
        // `cut` leaves at most as many bytes as there is room for.
        let tag = cut(tag, 128).try_into().unwrap_or_default();
        Self::Raised { tag, message: cut(message, MESSAGE_BYTES).try_into().unwrap_or_default(), place }
    }
}

impl Door<'_> {
    /// Says an entry that was said at another door, under the same limits as a verb, and tells how long it is. Its value is kept here.
    fn say_again(&mut self, entry: &Entry<'_>) -> Result<usize, Unheard> {
        let wrong = |what| Err(Unheard::Nonsense(Nonsense(what)));
        let known = match entry.content() {
            Some(Content::Inline(Bytes(bytes))) => bytes.len() <= Content::INLINE,
            Some(stored @ Content::Stored { len, .. }) => self.values.kept().bytes(stored).is_some_and(|bytes| bytes.len() == len as usize),
            // Only what the host answers is secret.
            Some(Content::Secret { .. }) => false,
            None => true,
        };
        if !known {
            return wrong("it refers to a value that it does not have");
        }
        let before = self.record.len;
        match entry {
            Entry::KvWrite { key, .. } => {
                check_key(key)?;
                let at = self.record.write(entry)?;
                self.index_key(key, at)?;
            }
            Entry::Action { .. } => {
                let slot = self.actions.get_mut(usize::from(self.queued)).ok_or(Resource::Actions)?;
                *slot = self.record.write(entry)? as u32;
                self.queued += 1;
            }
            Entry::Ask { access, .. } => {
                let at = self.record.write(entry)?;
                self.asked(at, *access)?;
            }
            Entry::Log { .. } | Entry::Event { .. } => {
                self.line()?;
                self.say(entry)?;
            }
            Entry::Output { text } => self.output(text)?,
            Entry::NextIn { after_ms } => self.next_in(*after_ms)?,
            Entry::Trace { .. } | Entry::Metric { .. } | Entry::Condition { .. } | Entry::Desired { .. } | Entry::Observed { .. } => {
                self.say(entry)?;
            }
            Entry::KvRead { .. } | Entry::Answer { .. } | Entry::End { .. } => return wrong("it said what only a host says"),
        }
        Ok(self.record.len - before)
    }
}
