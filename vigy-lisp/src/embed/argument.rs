//! Arguments: from what a program passes to what a function of the host takes.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::de::{At, Held};
use super::{ConvertError, Raise, Serde};
use crate::data::Data;
use crate::machine::Machine;
use crate::print;
use crate::value::Value;
use crate::view::View;

/// A type that functions of the host may take: see the [table](crate#arguments).
#[diagnostic::on_unimplemented(
    message = "a function of the host cannot take `{Self}`",
    note = "take `Serde<{Self}>` for a type that serde reads, `Value` or `View` for the value itself"
)]
pub trait Argument {
    /// The argument as the function sees it, borrowed from the machine for the time of the call.
    type As<'a>;
    /// How many arguments of the call it stands for.
    const TAKES: Takes = Takes::One;

    /// The names that it takes as keywords.
    #[must_use]
    fn keywords() -> &'static [&'static str] {
        &[]
    }

    /// Takes it from the arguments that are left.
    ///
    /// # Errors
    /// What is wrong with it, in one line for people.
    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self::As<'a>, Mismatch>;
}

/// How many arguments of a call a parameter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// One.
    One,
    /// One, which may be left out when it is the last.
    Optional,
    /// All that are left.
    Rest,
}

/// Why a program's argument is not what a function takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Whether it is about the argument as a whole, so that its number helps.
    numbered: bool,
    message: String,
}

impl Mismatch {
    /// One line for people, as "expected a port, got 70000".
    #[must_use]
    pub fn new(message: impl fmt::Display) -> Self {
        Self { numbered: true, message: message.to_string() }
    }

    /// The error that the program meets.
    #[cold]
    pub(super) fn raise(&self, function: &str, params: &[&str], at: usize) -> Raise {
        let message = match (self.numbered, params.get(at.wrapping_sub(1))) {
            (true, Some(name)) => alloc::format!("`{function}`: argument {at} (`{name}`): {}", self.message),
            (true, None) => alloc::format!("`{function}`: argument {at}: {}", self.message),
            (false, _) => alloc::format!("`{function}`: {}", self.message),
        };
        Raise::new("type-mismatch", message)
    }
}

/// The arguments of a call that no parameter has taken yet.
pub struct Arguments<'a> {
    machine: &'a Machine<'a>,
    words: &'a [u64],
    taken: usize,
}

impl<'a> Arguments<'a> {
    /// All arguments of the pending call.
    #[inline]
    pub(super) fn of(machine: &'a Machine<'_>) -> Self {
        Self { machine, words: machine.args(), taken: 0 }
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The machine that holds the values.
    #[must_use]
    pub fn machine(&self) -> &'a Machine<'a> {
        self.machine
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.words.len() - self.taken
    }

    /// The next one; nil when none is left.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends: what is not there is nil")]
    pub fn next(&mut self) -> Value {
        let Some(word) = self.words.get(self.taken) else {
            return Value::NIL;
        };
        self.taken += 1;
        Value(*word)
    }

    /// The complaint that `value` is not an `expected`.
    #[cold]
    #[must_use]
    pub fn mismatch(&self, expected: &str, value: Value) -> Mismatch {
        match self.machine.view(value) {
            View::Int(i) => Mismatch::new(format_args!("expected {expected}, got {i}")),
            View::Float(x) => Mismatch::new(format_args!("expected {expected}, got {x:?}")),
            _ => Mismatch::new(format_args!("expected {expected}, got {}", print::type_name(value))),
        }
    }

    /// The next one, as serde reads it.
    fn serde<T: DeserializeOwned>(&mut self) -> Result<T, Mismatch> {
        let value = self.next();
        T::deserialize(At::new(Held { machine: self.machine, value })).map_err(Mismatch::new)
    }
}

macro_rules! ints {
    ($($type:ty)*) => {$(
        impl Argument for $type {
            type As<'a> = Self;

            #[inline]
            fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
                let value = args.next();
                let View::Int(i) = args.machine.view(value) else {
                    return Err(args.mismatch("int", value));
                };
                i.try_into().map_err(|_| {
                    Mismatch::new(format_args!("expected an int from {} to {}, got {i}", Self::MIN, Self::MAX))
                })
            }
        }
    )*};
}

ints! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

impl Argument for f64 {
    type As<'a> = Self;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        let value = args.next();
        match args.machine.view(value) {
            View::Float(x) => Ok(x),
            View::Int(i) => Ok(i as Self),
            _ => Err(args.mismatch("number", value)),
        }
    }
}

impl Argument for bool {
    type As<'a> = Self;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        let value = args.next();
        let View::Bool(b) = args.machine.view(value) else {
            return Err(args.mismatch("bool", value));
        };
        Ok(b)
    }
}

impl Argument for &str {
    type As<'a> = &'a str;

    #[inline]
    fn take<'a>(args: &mut Arguments<'a>) -> Result<&'a str, Mismatch> {
        let value = args.next();
        args.machine.text(value).ok_or_else(|| args.mismatch("string", value))
    }
}

impl Argument for String {
    type As<'a> = Self;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        <&str>::take(args).map(ToString::to_string)
    }
}

impl Argument for Value {
    type As<'a> = Self;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        Ok(args.next())
    }
}

impl Argument for View<'_> {
    type As<'a> = View<'a>;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<View<'a>, Mismatch> {
        let value = args.next();
        Ok(args.machine.view(value))
    }
}

impl<T: Argument> Argument for Option<T> {
    type As<'a> = Option<T::As<'a>>;
    const TAKES: Takes = Takes::Optional;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self::As<'a>, Mismatch> {
        let given = args.words.get(args.taken).is_some_and(|word| !Value(*word).is_nil());
        if !given {
            args.next();
            return Ok(None);
        }
        T::take(args).map(Some)
    }
}

macro_rules! by_serde {
    ($($type:ty $([$($bounds:tt)*])?,)*) => {$(
        impl$(<$($bounds)*>)? Argument for $type {
            type As<'a> = Self;

            fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
                args.serde()
            }
        }
    )*};
}

by_serde! {
    Data,
    Vec<T> [T: DeserializeOwned],
    BTreeMap<K, V> [K: DeserializeOwned + Ord, V: DeserializeOwned],
}

impl<T: DeserializeOwned> Argument for Serde<T> {
    type As<'a> = Self;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        args.serde().map(Self)
    }
}

/// The arguments that are left, in order. Goes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest<T>(pub Vec<T>);

impl<T: DeserializeOwned> Argument for Rest<T> {
    type As<'a> = Self;
    const TAKES: Takes = Takes::Rest;

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        let mut rest = Vec::new();
        while args.left() > 0 {
            rest.push(args.serde()?);
        }
        Ok(Self(rest))
    }
}

/// Keyword arguments, as `:limit 10 :namespace "web"`: the fields of a struct that serde reads. Goes last.
///
/// A field that is an `Option`, or has a `#[serde(default)]`, may be left out. An unknown or repeated keyword, one without a
/// value, and one that is missing are errors. `#[serde(rename_all = "kebab-case")]` gives fields the names of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keywords<T>(pub T);

impl<T: DeserializeOwned> Argument for Keywords<T> {
    type As<'a> = Self;
    const TAKES: Takes = Takes::Rest;

    fn keywords() -> &'static [&'static str] {
        let mut names: &[&str] = &[];
        // It is an error by design: a struct says what its fields are before it asks for them.
        let _ = T::deserialize(FieldsOf(&mut names));
        names
    }

    fn take<'a>(args: &mut Arguments<'a>) -> Result<Self, Mismatch> {
        let named = Named { machine: args.machine, from: args.taken, count: args.words.len(), value: None };
        args.taken = args.words.len();
        T::deserialize(named).map(Self).map_err(|e| Mismatch { numbered: false, message: e.to_string() })
    }
}

/// Nothing to read, but a place for the names of what was to be read.
struct FieldsOf<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = ConvertError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ConvertError> {
        Err(ConvertError::new("there is nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConvertError> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Keyword arguments as serde reads a struct.
struct Named<'de> {
    machine: &'de Machine<'de>,
    from: usize,
    count: usize,
    /// The keyword whose value is read next.
    value: Option<&'de str>,
}

impl<'de> Named<'de> {
    /// The keyword at `i`.
    fn key(&self, i: usize) -> Result<&'de str, ConvertError> {
        match self.machine.view(self.machine.arg(i)) {
            View::Keyword(name) if i + 1 < self.count => Ok(name),
            View::Keyword(name) => Err(ConvertError::new(format_args!("`:{name}` has no value"))),
            _ => {
                let got = print::type_name(self.machine.arg(i));
                Err(ConvertError::new(format_args!("argument {}: expected a keyword, got {got}", i + 1)))
            }
        }
    }
}

impl<'de> Deserializer<'de> for Named<'de> {
    type Error = ConvertError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConvertError> {
        for i in (self.from..self.count).step_by(2) {
            let name = self.key(i)?;
            if (self.from..i).step_by(2).any(|before| self.key(before) == Ok(name)) {
                return Err(ConvertError::new(format_args!("`:{name}` is given twice")));
            }
        }
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConvertError> {
        for i in (self.from..self.count).step_by(2) {
            let name = self.key(i)?;
            if !fields.contains(&name) {
                return Err(ConvertError::unknown_field(name, fields));
            }
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Named<'de> {
    type Error = ConvertError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConvertError> {
        if self.from >= self.count {
            return Ok(None);
        }
        let name = self.key(self.from)?;
        self.value = Some(name);
        self.from += 1;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ConvertError> {
        let value = self.machine.arg(self.from);
        let name = self.value.take().unwrap_or_default();
        self.from += 1;
        seed.deserialize(At::new(Held { machine: self.machine, value })).map_err(|e| e.within(format_args!(":{name}")))
    }
}
