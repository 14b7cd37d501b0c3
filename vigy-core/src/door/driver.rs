//! The driver's side of the door: what the evaluation waits for, what it is given, and what it leaves behind.

use super::{Ask, Door, Request, VerbError, Wanted, content, cut};
use crate::memory::END_RESERVE;
use crate::record::{Content, Entry, Refusal, Resource, Verdict, entries};
#[cfg(feature = "alloc")]
use crate::replay::{Inputs, Missing};
use crate::values::Kept;
use crate::{ActionKey, ReconcileAction, RunKey};

impl Door<'_> {
    /// What the evaluation waits for, with the memory that takes the answer.
    pub(crate) fn wanted(&mut self) -> Option<Wanted<'_>> {
        match &self.request {
            Request::Key(key) => Some(Wanted::Key { key, into: self.values.free() }),
            Request::Ask(at) => {
                let Some(Entry::Ask { operation, arguments, .. }) = self.record.entry(*at) else { return None };
                let (kept, into) = self.values.split();
                let arguments = kept.bytes(arguments).unwrap_or_default();
                let run = RunKey { incarnation: self.header.incarnation, tick: self.header.tick };
                let secret = self.secret;
                let key = self.writing.then(|| ActionKey { run, index: ActionKey::FIRST_WRITE + (self.writes - 1) });
                Some(Wanted::Ask { ask: Ask { run, sequence: self.asks - 1, key, secret, operation, arguments }, into })
            }
            Request::None | Request::Answered(_) => None,
        }
    }

    /// Whether the evaluation waits for the driver.
    pub(crate) const fn waits(&self) -> bool {
        matches!(self.request, Request::Key(_) | Request::Ask(_))
    }

    /// Whether the last thing that passed the door is a write, or its answer that has not been taken.
    pub(crate) const fn writing(&self) -> bool {
        self.writing
    }

    /// Whether the run that is evaluated again does not say what it said before.
    pub(crate) const fn diverged(&self) -> bool {
        self.record.diverged()
    }

    /// Whether it did not, because of a secret answer.
    pub(crate) fn lost_secret(&self) -> bool {
        let expected = self.record.known().map(|(entry, _)| entry);
        self.diverged() && matches!(expected, Some(Entry::Answer { answer: Ok(Content::Secret { .. }) }))
    }

    /// Gives a run that is evaluated again what it was given before. False when it waits for nothing, for something new, or for what the
    /// record only has the hash of: that the driver asks for again, and the door compares.
    pub(crate) fn recall(&mut self) -> bool {
        if !self.waits() || !self.record.recalls() {
            return false;
        }
        let Some((entry, len)) = self.record.known() else {
            self.record.diverge();
            return true;
        };
        let content = entry.content();
        let known = content.is_none_or(|content| self.values.kept().bytes(content).is_some());
        let asked_again = match content {
            // The answer of a secret write is not worth a second write.
            Some(Content::Secret { .. }) => self.record.is_whole() || !self.writing,
            _ => self.record.is_whole() && !known,
        };
        let at = self.record.len;
        match (&self.request, entry) {
            (Request::Ask(_), Entry::Answer { .. }) if asked_again => return false,
            (Request::Key(wanted), Entry::KvRead { key, .. }) if asked_again && wanted == key => return false,
            (Request::Ask(_), Entry::Answer { .. }) if known => {
                self.record.len += len;
                self.request = Request::Answered(at);
            }
            (Request::Key(wanted), Entry::KvRead { key, .. }) if known && wanted == key => {
                let wanted = wanted.clone();
                self.request = Request::None;
                self.record.len += len;
                if let Err(VerbError::Exhausted(resource)) = self.index_key(&wanted, at) {
                    self.exhausted = Some(resource);
                }
            }
            // What it was told here did not fit in the record, so it is not known, and nothing came of it.
            (_, Entry::End { verdict: Verdict::Exhausted(Resource::Record), .. }) => {
                self.request = Request::None;
                self.exhausted = Some(Resource::Record);
            }
            _ => {
                self.record.diverge();
            }
        }
        true
    }

    /// Gives a run that is replayed what its record has only the hash of.
    #[cfg(feature = "alloc")]
    pub(crate) fn recall_from(&mut self, inputs: &mut dyn Inputs) -> Result<(), Missing> {
        match self.record.known().and_then(|(entry, _)| entry.content()) {
            Some(Content::Stored { hash, .. }) => {
                let into = self.values.free();
                let room = into.len();
                let len = inputs.value(&hash, into).filter(|len| *len <= room).ok_or(Missing::Value(hash))?;
                let kept = self.values.keep(len);
                if matches!(kept, Content::Stored { hash: kept, .. } if kept == hash) { Ok(()) } else { Err(Missing::Value(hash)) }
            }
            _ => {
                let Some(Wanted::Ask { ask, into }) = self.wanted() else { return Err(Missing::Secret) };
                let room = into.len();
                let len = inputs.secret(&ask, into).filter(|len| *len <= room).ok_or(Missing::Secret)?;
                self.answered(Ok(len));
                Ok(())
            }
        }
    }

    /// Where a run that is replayed goes another way than its record: the entry's number, what the record says there, and what was said
    /// instead.
    #[cfg(feature = "alloc")]
    pub(crate) fn parting(&self) -> Option<(usize, Entry<'_>, Option<Entry<'_>>)> {
        let number = entries(&self.record()[self.record.first..]).count();
        self.record.known().map(|(expected, _)| (number, expected, self.record.instead()))
    }

    /// The key that the evaluation waits for.
    #[cfg(feature = "alloc")]
    pub(crate) fn wanted_key(&self) -> Option<&str> {
        if let Request::Key(key) = &self.request { Some(key) } else { None }
    }

    /// The last entry: the ask, while the evaluation waits for its answer.
    #[cfg(feature = "alloc")]
    pub(crate) fn wanted_ask(&self) -> Option<Entry<'_>> {
        if let Request::Ask(at) = self.request { self.record.entry(at) } else { None }
    }

    /// The store's answer to [`Wanted::Key`]: `len` bytes lie in the memory it was given.
    pub(crate) fn key_loaded(&mut self, len: Option<usize>) {
        let Request::Key(key) = core::mem::replace(&mut self.request, Request::None) else { return };
        let value = len.map(|len| content(&mut self.values, len));
        let outcome = match self.record.write(&Entry::KvRead { key: &key, value }) {
            Ok(at) => self.index_key(&key, at),
            Err(resource) => Err(resource.into()),
        };
        if let Err(VerbError::Exhausted(resource)) = outcome {
            self.exhausted = Some(resource);
        }
    }

    /// The host's answer to [`Wanted::Ask`]: `len` bytes lie in the memory it was given, or a refusal.
    pub(crate) fn answered(&mut self, answer: Result<usize, Refusal<'_>>) {
        let answer = match (answer, self.secret, &self.secret_key) {
            (Ok(_), true, None) => Err(Refusal { tag: "denied", message: "this host has no key for secret answers" }),
            // As in `Values::keep`, `len` fits.
            (Ok(len), true, Some(key)) => Ok(Content::Secret { hash: key.hash(self.values.written(len)), len: len as u32 }),
            (answer, ..) => answer.map(|len| content(&mut self.values, len)),
        };
        self.request = match self.record.write(&Entry::Answer { answer }) {
            Ok(at) => Request::Answered(at),
            Err(resource) => {
                self.exhausted = Some(resource);
                Request::None
            }
        };
    }

    /// Writes the last entry. A message is cut to what the reserve holds.
    pub(crate) fn close(&mut self, fuel: u64, verdict: Verdict<'_>) {
        self.record.open_reserve(END_RESERVE);
        let verdict = match verdict {
            Verdict::Raised { tag, message, place } => {
                Verdict::Raised { tag: cut(tag, 128), message: cut(message, crate::MESSAGE_BYTES), place }
            }
            Verdict::Retry { after_ms, message, place } => Verdict::Retry { after_ms, message: cut(message, crate::MESSAGE_BYTES), place },
            Verdict::Permanent { message, place } => Verdict::Permanent { message: cut(message, crate::MESSAGE_BYTES), place },
            Verdict::Ok | Verdict::Exhausted(_) => verdict,
        };
        // 128 + 256 bytes of text and at most 40 of numbers: the reserve holds it.
        let _ = self.record.write(&Entry::End { fuel, verdict });
    }

    /// The record so far; a whole one after [`Door::close`].
    pub(crate) fn record(&self) -> &[u8] {
        &self.record.bytes[..self.record.len]
    }

    /// The entries so far, each with its offset.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, Entry<'_>)> {
        let first = self.record.first;
        entries(&self.record()[first..]).map(move |(at, entry)| (first + at, entry))
    }

    /// Whether an entry so far tells of a state.
    pub(crate) const fn tells_states(&self) -> bool {
        self.record.states
    }

    /// Whether a key was read or written so far.
    pub(crate) const fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(crate) fn values(&self) -> Kept<'_> {
        self.values.kept()
    }

    /// Keeps a value that a restored record refers to. Of a run that is evaluated again only what it was told: the rest it says again.
    pub(crate) fn restore_value(&mut self, value: &[u8], again: bool) -> Result<(), Resource> {
        if again {
            let name = *blake3::hash(value).as_bytes();
            let told = entries(self.record.all()).any(|(_, entry)| match entry {
                Entry::KvRead { .. } | Entry::Answer { .. } => {
                    matches!(entry.content(), Some(Content::Stored { hash, .. }) if hash == name)
                }
                _ => false,
            });
            if !told {
                return Ok(());
            }
        }
        self.values.put(value).map(|_| ())
    }

    /// Whether the entry at this offset is the last word on its key.
    pub(crate) fn is_last_write(&self, key: &str, at: usize) -> bool {
        self.keys.find(key, |at| self.key_at(at)) == Some(at)
    }

    pub(crate) fn action(&self, index: u16) -> Option<ReconcileAction<'_>> {
        let at = *self.actions[..usize::from(self.queued)].get(usize::from(index))?;
        let Entry::Action { kind, payload, message } = self.record.entry(at as usize)? else { return None };
        let run = RunKey { incarnation: self.header.incarnation, tick: self.header.tick };
        let payload = payload.and_then(|payload| self.values.kept().bytes(payload));
        Some(ReconcileAction { key: ActionKey { run, index }, kind, payload, message })
    }
}
