//! Values that a host makes, lists and maps part by part, without bytes in between.

use super::Machine;
use crate::heap::Exhausted;
use crate::map::MapError;
use crate::value::{Value, tag};

/// Why a map could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The heap budget is used up.
    Exhausted,
    /// A key that is no data, or is nested too deeply.
    NotAKey,
}

impl core::fmt::Display for KeyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exhausted => Exhausted.fmt(f),
            Self::NotAKey => f.write_str("only data that is not nested deeply can be a key"),
        }
    }
}

impl core::error::Error for KeyError {}

impl Machine<'_> {
    /// A string.
    ///
    /// # Errors
    /// [`Exhausted`], when the heap is full. So for all constructors: they move nothing, so that what the host holds stays good. Ask
    /// [`Self::reserve`] for room before the first of them.
    pub fn string(&mut self, text: &str) -> Result<Value, Exhausted> {
        self.heap.string(text)
    }

    /// The keyword of that name, written without the colon.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn keyword(&mut self, name: &str) -> Result<Value, Exhausted> {
        self.intern(tag::KEYWORD, name)
    }

    /// The symbol of that name.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn symbol(&mut self, name: &str) -> Result<Value, Exhausted> {
        self.intern(tag::SYMBOL, name)
    }

    /// An int.
    ///
    /// # Errors
    /// [`Exhausted`], only for ints that need more than 62 bits.
    pub fn int(&mut self, i: i64) -> Result<Value, Exhausted> {
        self.heap.int(i)
    }

    /// A double; every NaN becomes the one NaN of the language.
    ///
    /// # Errors
    /// [`Exhausted`], only for zeros, infinities, NaN and numbers beyond 2^±255.
    pub fn float(&mut self, f: f64) -> Result<Value, Exhausted> {
        self.heap.float(f)
    }

    /// The list of `items`.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn list(&mut self, items: &[Value]) -> Result<Value, Exhausted> {
        let buffer = self.heap.buffer(items.len())?;
        for item in items {
            self.heap.buffer_push(buffer, *item);
        }
        Ok(self.heap.buffer_seal(buffer, Value::NIL))
    }

    /// The map of `entries`, in their order; of two with one key, the later value counts.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn map(&mut self, entries: &[(Value, Value)]) -> Result<Value, KeyError> {
        // Keys are no longer than what made them, so hashing needs no limit.
        let mut fuel = i64::MAX;
        let mut map = self.heap.map(entries.len()).map_err(|_| KeyError::Exhausted)?;
        for (key, value) in entries {
            map = self.heap.map_put(map, *key, *value, &mut fuel).map_err(|e| match e {
                MapError::Exhausted => KeyError::Exhausted,
                MapError::Unhashable(_) | MapError::Work(_) => KeyError::NotAKey,
            })?;
        }
        Ok(map)
    }
}
