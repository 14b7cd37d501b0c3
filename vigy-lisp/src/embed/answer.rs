//! Answers: from what a function of the host gives back to what the program sees.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use super::{ConvertError, Serde};
use crate::codec::DecodeError;
use crate::data::Data;
use crate::heap::Exhausted;
use crate::machine::Machine;
use crate::value::Value;

/// A failure of a host function: an error that the program may catch.
///
/// Every error type becomes one by `?` or `into()`, tagged `native-fn`. Therefore it is none itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    tag: Cow<'static, str>,
    message: String,
}

impl Raise {
    /// An error with a tag, without its colon: `(try … (catch (e) (error-tag e)))` gives it as a keyword.
    #[must_use]
    pub fn new(tag: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self { tag: tag.into(), message: message.to_string() }
    }

    /// The tag, without a colon.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// One line for people. The program sees its first 256 bytes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tag, self.message)
    }
}

impl<E: core::error::Error> From<E> for Raise {
    fn from(error: E) -> Self {
        Self::new("native-fn", error)
    }
}

/// Why an answer did not become a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoValue {
    /// The program meets this error instead.
    Raise(Raise),
    /// It does not fit into the heap: the run ends.
    OutOfHeap,
}

impl From<Exhausted> for NoValue {
    fn from(_: Exhausted) -> Self {
        Self::OutOfHeap
    }
}

impl From<Raise> for NoValue {
    fn from(raise: Raise) -> Self {
        Self::Raise(raise)
    }
}

impl From<ConvertError> for NoValue {
    fn from(error: ConvertError) -> Self {
        Self::Raise(Raise::new("not-data", error))
    }
}

impl From<DecodeError> for NoValue {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Exhausted => Self::OutOfHeap,
            error => Self::Raise(Raise::new("not-data", error)),
        }
    }
}

/// A type that functions of the host may give back: see the [table](crate#answers).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value of the language",
    note = "give back `Serde({Self})` for a type that serde writes; `Result<_, E>` takes any error, or a `Raise`"
)]
pub trait IntoValue {
    /// The value.
    ///
    /// # Errors
    /// [`NoValue`]: the program meets an error, or the run is out of heap.
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue>;
}

/// What values are made with.
pub struct Maker<'r, 'm> {
    /// The machine that will hold the value. Only one value may be made by its constructors: the next one may move the first.
    pub machine: &'r mut Machine<'m>,
    pub(super) bytes: &'r mut Vec<u8>,
}

impl Maker<'_, '_> {
    /// The value of whatever serde writes.
    ///
    /// # Errors
    /// [`NoValue`].
    pub fn serde<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Value, NoValue> {
        self.bytes.clear();
        super::ser::write(value, self.bytes)?;
        Ok(self.machine.decode_trusted(self.bytes)?)
    }
}

/// Answers the pending host call.
#[inline]
pub(super) fn settle(answer: Result<Value, NoValue>, machine: &mut Machine<'_>) {
    match answer {
        Ok(value) => machine.resume(value),
        Err(NoValue::Raise(raise)) => machine.raise(&raise.tag, &raise.message),
        Err(NoValue::OutOfHeap) => machine.exhaust(),
    }
}

impl IntoValue for () {
    fn into_value(self, _: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        Ok(Value::NIL)
    }
}

impl IntoValue for bool {
    fn into_value(self, _: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        Ok(Value::bool(self))
    }
}

macro_rules! small {
    ($($type:ty)*) => {$(
        impl IntoValue for $type {
            #[inline]
            fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
                Ok(to.machine.int(i64::from(self))?)
            }
        }
    )*};
}

small! { i8 i16 i32 i64 u8 u16 u32 }

macro_rules! large {
    ($($type:ty)*) => {$(
        impl IntoValue for $type {
            fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
                let Ok(i) = i64::try_from(self) else {
                    return Err(Raise::new("integer-overflow", format_args!("{self} does not fit into an int")).into());
                };
                Ok(to.machine.int(i)?)
            }
        }
    )*};
}

large! { isize u64 usize }

impl IntoValue for f64 {
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        Ok(to.machine.float(self)?)
    }
}

impl IntoValue for &str {
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        match to.machine.string(self) {
            Ok(value) => Ok(value),
            // Room is made for what is decoded, if there is any.
            Err(Exhausted) => to.serde(self),
        }
    }
}

impl IntoValue for String {
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        self.as_str().into_value(to)
    }
}

impl IntoValue for Value {
    fn into_value(self, _: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        Ok(self)
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        self.map_or(Ok(Value::NIL), |value| value.into_value(to))
    }
}

impl<T: IntoValue, E: Into<Raise>> IntoValue for Result<T, E> {
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        self.map_err(Into::into)?.into_value(to)
    }
}

impl<T: Serialize> IntoValue for Serde<T> {
    fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
        to.serde(&self.0)
    }
}

macro_rules! by_serde {
    ($($type:ty $([$($bounds:tt)*])?,)*) => {$(
        impl$(<$($bounds)*>)? IntoValue for $type {
            fn into_value(self, to: &mut Maker<'_, '_>) -> Result<Value, NoValue> {
                to.serde(&self)
            }
        }
    )*};
}

by_serde! {
    Data,
    Vec<T> [T: Serialize],
    &[T] [T: Serialize],
    BTreeMap<K, V> [K: Serialize, V: Serialize],
    (A, B) [A: Serialize, B: Serialize],
    (A, B, C) [A: Serialize, B: Serialize, C: Serialize],
    (A, B, C, D) [A: Serialize, B: Serialize, C: Serialize, D: Serialize],
}
