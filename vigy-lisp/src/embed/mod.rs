//! The language inside an application: functions of typed arguments, scripts, results of the types asked for.

mod answer;
mod argument;
mod convert;
mod de;
mod error;
mod function;
mod host;
mod script;
mod ser;

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

pub use answer::{IntoValue, Maker, NoValue, Raise};
pub use argument::{Argument, Arguments, Keywords, Mismatch, Rest, Takes};
pub use convert::ConvertError;
pub use error::ScriptError;
pub use function::{Ctx, Function};
pub use host::{About, Host, LoadOptions, Registered};
pub use script::{CallArgs, Next, Script};

use crate::data::Data;
use crate::machine::Machine;
use crate::value::Value;
use de::{At, Held};

/// An argument or an answer of any type that serde reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serde<T>(pub T);

impl Machine<'_> {
    /// The value of whatever serde writes: structs and maps become maps with keyword keys, sequences lists, enums the keyword of
    /// the variant or a map from it to what it holds.
    ///
    /// # Errors
    /// [`NoValue`]: serde cannot write it, an int needs more than 64 bits, it is nested too deeply, or the heap budget is used up.
    pub fn to_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Value, NoValue> {
        Maker { machine: self, bytes: &mut Vec::new() }.serde(value)
    }

    /// A value as serde reads it, the other way round as [`Self::to_value`]. Texts can be borrowed.
    ///
    /// # Errors
    /// [`ConvertError`]: the value is not what `T` takes.
    pub fn from_value<'a, T: Deserialize<'a>>(&'a self, value: Value) -> Result<T, ConvertError> {
        T::deserialize(At::new(Held { machine: self, value }))
    }
}

impl Data {
    /// The data of whatever serde writes, as [`Machine::to_value`] gives it.
    ///
    /// # Errors
    /// [`ConvertError`]: serde cannot write it, an int needs more than 64 bits, or it is nested too deeply.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, ConvertError> {
        Self::decode(&Self::bytes_of(value)?).map_err(ConvertError::new)
    }

    /// The bytes of what [`Self::of`] gives, as postcard writes it: what crosses the door of a vigy.
    ///
    /// # Errors
    /// [`ConvertError`]: serde cannot write it, or an int needs more than 64 bits.
    pub fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, ConvertError> {
        let mut bytes = Vec::new();
        ser::write(value, &mut bytes)?;
        Ok(bytes)
    }

    /// The data as serde reads it, the other way round as [`Self::of`].
    ///
    /// # Errors
    /// [`ConvertError`]: the data are not what `T` takes.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, ConvertError> {
        T::deserialize(At::new(self))
    }
}
