//! Rust values → bytes as [`Machine::decode`](crate::Machine::decode) takes them: what postcard writes for `Data`.
//!
//! | Rust | value |
//! |---|---|
//! | unit, `None` | nil |
//! | numbers, `bool` | int, float, bool |
//! | `char`, `str` | string |
//! | sequences, tuples, bytes | list |
//! | structs, maps | map; text keys become keywords |
//! | enums | the keyword of the variant, or a map from it to what it holds |

use alloc::vec::Vec;

use serde::ser::{self, Serialize};

use super::ConvertError;
use crate::codec::kind;
use crate::data::SERDE_NAME;

type Result<T> = core::result::Result<T, ConvertError>;

/// What the next thing written is to become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// A key: text becomes a keyword.
    Key,
    Symbol,
    /// A sequence of pairs that becomes a map.
    Pairs,
    /// A pair of such a sequence: its two parts and nothing around them.
    Pair,
}

pub(super) struct Writer<'b> {
    bytes: &'b mut Vec<u8>,
    next: Next,
}

/// Writes `value` behind what is in `bytes`.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    value.serialize(&mut Writer { bytes, next: Next::Value })
}

fn varint(mut n: u64, out: &mut impl FnMut(u8)) {
    while n >= 0x80 {
        out(n as u8 | 0x80);
        n >>= 7;
    }
    out(n as u8);
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        let kind = match core::mem::replace(&mut self.next, Next::Value) {
            Next::Key => kind::KEYWORD,
            Next::Symbol => kind::SYMBOL,
            _ => kind::STR,
        };
        match text.len() {
            len @ 0..0x80 => self.bytes.extend_from_slice(&[kind, len as u8]),
            len => {
                self.bytes.push(kind);
                varint(len as u64, &mut |byte| self.bytes.push(byte));
            }
        }
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn keyword(&mut self, name: &str) {
        self.next = Next::Key;
        self.text(name);
    }

    fn plain(&mut self, kind: u8, bytes: &[u8]) {
        self.next = Next::Value;
        self.bytes.push(kind);
        self.bytes.extend_from_slice(bytes);
    }

    fn int(&mut self, i: i64) {
        match ((i << 1) ^ (i >> 63)) as u64 {
            n @ 0..0x80 => self.plain(kind::INT, &[n as u8]),
            n => {
                self.plain(kind::INT, &[]);
                varint(n, &mut |byte| self.bytes.push(byte));
            }
        }
    }

    /// A map with one entry, whose value follows.
    fn tagged(&mut self, variant: &str) {
        self.plain(kind::MAP, &[1]);
        self.keyword(variant);
    }
}

/// A list or map that is being written. Its length is known at its end.
pub(super) struct Open<'w, 'b> {
    writer: &'w mut Writer<'b>,
    kind: u8,
    /// Where it starts; `None` for a pair, which has nothing around it.
    start: Option<usize>,
    count: u64,
    /// Whether what is added are pairs.
    pairs: bool,
}

impl<'w, 'b> Open<'w, 'b> {
    fn new(writer: &'w mut Writer<'b>, kind: u8) -> Self {
        let next = core::mem::replace(&mut writer.next, Next::Value);
        let start = Some(writer.bytes.len()).filter(|_| next != Next::Pair);
        let pairs = next == Next::Pairs;
        let kind = if pairs { kind::MAP } else { kind };
        if start.is_some() {
            // One byte for the length: mostly it is enough.
            writer.bytes.extend([kind, 0]);
        }
        Self { writer, kind, start, count: 0, pairs }
    }

    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        self.count += 1;
        self.writer.next = if self.pairs { Next::Pair } else { Next::Value };
        item.serialize(&mut *self.writer).map_err(|e| e.within(self.count - 1))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        self.count += 1;
        self.writer.keyword(name);
        value.serialize(&mut *self.writer).map_err(|e| e.within(format_args!(":{name}")))
    }

    fn finish(self) -> Result<()> {
        let Some(start) = self.start else { return Ok(()) };
        let bytes = &mut *self.writer.bytes;
        match self.count {
            0 if self.kind == kind::LIST => {
                bytes.truncate(start);
                bytes.push(kind::NIL);
            }
            0..0x80 => bytes[start + 1] = self.count as u8,
            count => {
                let mut length = Vec::new();
                varint(count, &mut |byte| length.push(byte));
                bytes.splice(start + 1..start + 2, length);
            }
        }
        Ok(())
    }
}

macro_rules! ints {
    ($($method:ident $type:ty,)*) => {$(
        fn $method(self, i: $type) -> Result<()> {
            let i = i64::try_from(i).map_err(|_| ConvertError::new(format_args!("{i} does not fit into an int")))?;
            self.int(i);
            Ok(())
        }
    )*};
}

impl<'w, 'b> ser::Serializer for &'w mut Writer<'b> {
    type Ok = ();
    type Error = ConvertError;
    type SerializeSeq = Open<'w, 'b>;
    type SerializeTuple = Open<'w, 'b>;
    type SerializeTupleStruct = Open<'w, 'b>;
    type SerializeTupleVariant = Open<'w, 'b>;
    type SerializeMap = Open<'w, 'b>;
    type SerializeStruct = Open<'w, 'b>;
    type SerializeStructVariant = Open<'w, 'b>;

    ints! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128,
    }

    fn serialize_bool(self, b: bool) -> Result<()> {
        self.plain(kind::BOOL, &[u8::from(b)]);
        Ok(())
    }

    fn serialize_f32(self, x: f32) -> Result<()> {
        self.serialize_f64(f64::from(x))
    }

    fn serialize_f64(self, x: f64) -> Result<()> {
        self.plain(kind::FLOAT, &x.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, c: char) -> Result<()> {
        self.text(c.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<()> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        bytes.serialize(self)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.plain(kind::NIL, &[]);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Result<()> {
        if name == SERDE_NAME {
            return self.serialize_unit();
        }
        self.keyword(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, name: &'static str, _: u32, variant: &'static str, value: &T) -> Result<()> {
        if name == SERDE_NAME {
            self.next = match variant {
                "Symbol" => Next::Symbol,
                "Keyword" => Next::Key,
                "Map" => Next::Pairs,
                _ => Next::Value,
            };
            return value.serialize(self);
        }
        self.tagged(variant);
        value.serialize(self).map_err(|e| e.within(format_args!(":{variant}")))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'w, 'b>> {
        Ok(Open::new(self, kind::LIST))
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'w, 'b>> {
        Ok(Open::new(self, kind::LIST))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'w, 'b>> {
        Ok(Open::new(self, kind::LIST))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Open<'w, 'b>> {
        self.tagged(variant);
        Ok(Open::new(self, kind::LIST))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'w, 'b>> {
        Ok(Open::new(self, kind::MAP))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'w, 'b>> {
        Ok(Open::new(self, kind::MAP))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Open<'w, 'b>> {
        self.tagged(variant);
        Ok(Open::new(self, kind::MAP))
    }
}

macro_rules! sequences {
    ($($trait:ident $method:ident,)*) => {$(
        impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = ConvertError;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
                self.item(item)
            }

            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

sequences! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! records {
    ($($trait:ident,)*) => {$(
        impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = ConvertError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.field(name, value)
            }

            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

records! { SerializeStruct, SerializeStructVariant, }

impl ser::SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = ConvertError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.count += 1;
        self.writer.next = Next::Key;
        key.serialize(&mut *self.writer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.next = Next::Value;
        value.serialize(&mut *self.writer).map_err(|e| e.within(format_args!("entry {}", self.count - 1)))
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}
