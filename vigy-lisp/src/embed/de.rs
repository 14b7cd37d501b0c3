//! Values → Rust: serde over the values of a machine, or over [`Data`]. Texts are borrowed.
//!
//! The other way round as in `ser`; beside that, texts are taken from strings, symbols and keywords alike, nil is an empty list or
//! map, a map is also the list of its entries, and the unit takes anything.

use serde::Deserializer;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor};

use super::ConvertError;
use crate::codec::MAX_NESTING;
use crate::data::{Data, SERDE_NAME};
use crate::machine::Machine;
use crate::value::Value;
use crate::view::{self, View};

type Result<T> = core::result::Result<T, ConvertError>;

/// A value and what it takes to look into it.
pub(super) trait Node<'de>: Copy {
    type Items: ExactSizeIterator<Item = Self>;
    type Entries: Iterator<Item = (Self, Self)>;

    fn shape(self) -> Shape<'de, Self::Items, Self::Entries>;
}

pub(super) enum Shape<'de, I, E> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Kind, &'de str),
    List(I),
    Map(E),
    Other(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Str,
    Symbol,
    Keyword,
}

/// A value of a machine.
#[derive(Clone, Copy)]
pub(super) struct Held<'de> {
    pub(super) machine: &'de Machine<'de>,
    pub(super) value: Value,
}

pub(super) struct HeldItems<'de>(&'de Machine<'de>, view::Items<'de>);
pub(super) struct HeldEntries<'de>(&'de Machine<'de>, view::Entries<'de>);

impl<'de> Iterator for HeldItems<'de> {
    type Item = Held<'de>;

    fn next(&mut self) -> Option<Held<'de>> {
        Some(Held { machine: self.0, value: self.1.next()? })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1.size_hint()
    }
}

impl ExactSizeIterator for HeldItems<'_> {}

impl<'de> Iterator for HeldEntries<'de> {
    type Item = (Held<'de>, Held<'de>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.1.next()?;
        Some((Held { machine: self.0, value: key }, Held { machine: self.0, value }))
    }
}

impl<'de> Node<'de> for Held<'de> {
    type Items = HeldItems<'de>;
    type Entries = HeldEntries<'de>;

    fn shape(self) -> Shape<'de, Self::Items, Self::Entries> {
        match self.machine.view(self.value) {
            View::Nil => Shape::Nil,
            View::Bool(b) => Shape::Bool(b),
            View::Int(i) => Shape::Int(i),
            View::Float(x) => Shape::Float(x),
            View::Str(s) => Shape::Text(Kind::Str, s),
            View::Symbol(s) => Shape::Text(Kind::Symbol, s),
            View::Keyword(s) => Shape::Text(Kind::Keyword, s),
            View::List(items) => Shape::List(HeldItems(self.machine, items)),
            View::Map(entries) => Shape::Map(HeldEntries(self.machine, entries)),
            View::Other(name) => Shape::Other(name),
        }
    }
}

pub(super) struct DataEntries<'de>(core::slice::Iter<'de, (Data, Data)>);

impl<'de> Iterator for DataEntries<'de> {
    type Item = (&'de Data, &'de Data);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }
}

impl<'de> Node<'de> for &'de Data {
    type Items = core::slice::Iter<'de, Data>;
    type Entries = DataEntries<'de>;

    fn shape(self) -> Shape<'de, Self::Items, Self::Entries> {
        match self {
            Data::Nil => Shape::Nil,
            Data::Bool(b) => Shape::Bool(*b),
            Data::Int(i) => Shape::Int(*i),
            Data::Float(x) => Shape::Float(*x),
            Data::Str(s) => Shape::Text(Kind::Str, s),
            Data::Symbol(s) => Shape::Text(Kind::Symbol, s),
            Data::Keyword(s) => Shape::Text(Kind::Keyword, s),
            Data::List(items) => Shape::List(items.iter()),
            Data::Map(entries) => Shape::Map(DataEntries(entries.iter())),
        }
    }
}

/// What serde reads from: a node, and how many lists and maps are around it.
pub(super) struct At<N> {
    node: N,
    depth: usize,
}

impl<N> At<N> {
    pub(super) fn new(node: N) -> Self {
        Self { node, depth: 0 }
    }
}

impl<'de, N: Node<'de>> At<N> {
    fn inside(&self) -> Result<usize> {
        if self.depth < MAX_NESTING {
            Ok(self.depth + 1)
        } else {
            Err(ConvertError::new(format_args!("the value is nested deeper than {MAX_NESTING}")))
        }
    }

    #[cold]
    fn unexpected<V: Visitor<'de>>(&self, visitor: &V) -> ConvertError {
        let got = match self.node.shape() {
            Shape::Nil => Unexpected::Unit,
            Shape::Bool(b) => Unexpected::Bool(b),
            Shape::Int(i) => Unexpected::Signed(i),
            Shape::Float(x) => Unexpected::Float(x),
            Shape::Text(_, s) => Unexpected::Str(s),
            Shape::List(_) => Unexpected::Seq,
            Shape::Map(_) => Unexpected::Map,
            Shape::Other(name) => Unexpected::Other(name),
        };
        ConvertError::invalid_type(got, visitor)
    }
}

/// How a key is named in a path.
struct Named<N>(N);

impl<'de, N: Node<'de>> core::fmt::Display for Named<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.shape() {
            Shape::Bool(b) => f.write_str(if b { "#t" } else { "#f" }),
            Shape::Int(i) => write!(f, "{i}"),
            Shape::Float(x) => write!(f, "{x:?}"),
            Shape::Text(Kind::Keyword, s) => write!(f, ":{s}"),
            Shape::Text(Kind::Symbol, s) => f.write_str(s),
            Shape::Text(Kind::Str, s) => write!(f, "{s:?}"),
            _ => f.write_str("…"),
        }
    }
}

impl<'de, N: Node<'de>> Deserializer<'de> for At<N> {
    type Error = ConvertError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let depth = self.inside();
        match self.node.shape() {
            Shape::Nil => visitor.visit_unit(),
            Shape::Bool(b) => visitor.visit_bool(b),
            Shape::Int(i) => visitor.visit_i64(i),
            Shape::Float(x) => visitor.visit_f64(x),
            Shape::Text(_, s) => visitor.visit_borrowed_str(s),
            Shape::List(items) => visitor.visit_seq(Sequence { items, depth: depth?, next: 0 }),
            Shape::Map(entries) => visitor.visit_map(Table { entries, depth: depth?, value: None }),
            Shape::Other(name) => Err(ConvertError::new(format_args!("a {name} is not data"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if matches!(self.node.shape(), Shape::Nil) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let depth = self.inside()?;
        match self.node.shape() {
            Shape::Nil => visitor.visit_seq(Sequence { items: core::iter::empty::<N>(), depth, next: 0 }),
            Shape::List(items) => visitor.visit_seq(Sequence { items, depth, next: 0 }),
            Shape::Map(entries) => visitor.visit_seq(Pairs { entries, depth }),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        let depth = self.inside()?;
        match self.node.shape() {
            Shape::List(items) if items.len() != len => Err(ConvertError::invalid_length(items.len(), &visitor)),
            Shape::Nil if len == 0 => visitor.visit_seq(Sequence { items: core::iter::empty::<N>(), depth, next: 0 }),
            Shape::List(items) => visitor.visit_seq(Sequence { items, depth, next: 0 }),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let depth = self.inside()?;
        match self.node.shape() {
            Shape::Nil => visitor.visit_map(Table { entries: core::iter::empty::<(N, N)>(), depth, value: None }),
            Shape::Map(entries) => visitor.visit_map(Table { entries, depth, value: None }),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        match self.node.shape() {
            Shape::Map(_) => self.deserialize_map(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, name: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        if name == SERDE_NAME {
            return visitor.visit_enum(AsData(self));
        }
        let depth = self.inside()?;
        match self.node.shape() {
            Shape::Text(_, variant) => visitor.visit_enum(Variant::<N> { variant, content: None }),
            Shape::Map(mut entries) => match (entries.next(), entries.next()) {
                (Some((key, node)), None) if matches!(key.shape(), Shape::Text(..)) => {
                    let Shape::Text(_, variant) = key.shape() else { return Err(self.unexpected(&visitor)) };
                    visitor.visit_enum(Variant { variant, content: Some(Self { node, depth }) })
                }
                _ => Err(ConvertError::new("expected the name of a variant, or a map from it to what it holds")),
            },
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node.shape() {
            Shape::Text(_, text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string identifier
    }
}

struct Sequence<I> {
    items: I,
    depth: usize,
    next: usize,
}

impl<'de, N: Node<'de>, I: Iterator<Item = N>> SeqAccess<'de> for Sequence<I> {
    type Error = ConvertError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(node) = self.items.next() else { return Ok(None) };
        self.next += 1;
        seed.deserialize(At { node, depth: self.depth }).map(Some).map_err(|e| e.within(self.next - 1))
    }

    fn size_hint(&self) -> Option<usize> {
        self.items.size_hint().1
    }
}

/// The entries of a map as a list of pairs.
struct Pairs<E> {
    entries: E,
    depth: usize,
}

impl<'de, N: Node<'de>, E: Iterator<Item = (N, N)>> SeqAccess<'de> for Pairs<E> {
    type Error = ConvertError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        seed.deserialize(Pair { both: [key, value], depth: self.depth }).map(Some).map_err(|e| e.within(Named(key)))
    }
}

struct Pair<N> {
    both: [N; 2],
    depth: usize,
}

impl<'de, N: Node<'de>> Deserializer<'de> for Pair<N> {
    type Error = ConvertError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Sequence { items: self.both.into_iter(), depth: self.depth, next: 0 })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Table<N, E> {
    entries: E,
    depth: usize,
    value: Option<(N, N)>,
}

impl<'de, N: Node<'de>, E: Iterator<Item = (N, N)>> MapAccess<'de> for Table<N, E> {
    type Error = ConvertError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(At { node: key, depth: self.depth }).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let Some((key, node)) = self.value.take() else {
            return Err(ConvertError::new("the value of an entry was read before its key"));
        };
        seed.deserialize(At { node, depth: self.depth }).map_err(|e| e.within(Named(key)))
    }
}

/// A variant by name, and what it holds.
struct Variant<'de, N> {
    variant: &'de str,
    content: Option<At<N>>,
}

impl<'de, N: Node<'de>> EnumAccess<'de> for Variant<'de, N> {
    type Error = ConvertError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self)> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.variant))?;
        Ok((variant, self))
    }
}

impl<'de, N: Node<'de>> Variant<'de, N> {
    fn content<T>(self, read: impl FnOnce(At<N>) -> Result<T>) -> Result<T> {
        let variant = self.variant;
        match self.content {
            Some(at) => read(at).map_err(|e| e.within(format_args!(":{variant}"))),
            None => Err(ConvertError::new(format_args!("expected a map from `:{variant}` to what it holds"))),
        }
    }
}

impl<'de, N: Node<'de>> VariantAccess<'de> for Variant<'de, N> {
    type Error = ConvertError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.content(|at| seed.deserialize(at))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.content(|at| at.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.content(|at| at.deserialize_struct("", fields, visitor))
    }
}

/// A value as the variant of [`Data`] that it is.
struct AsData<N>(At<N>);

impl<'de, N: Node<'de>> EnumAccess<'de> for AsData<N> {
    type Error = ConvertError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self)> {
        let variant = match self.0.node.shape() {
            Shape::Nil => "Nil",
            Shape::Bool(_) => "Bool",
            Shape::Int(_) => "Int",
            Shape::Float(_) => "Float",
            Shape::Text(Kind::Str, _) => "Str",
            Shape::Text(Kind::Symbol, _) => "Symbol",
            Shape::Text(Kind::Keyword, _) => "Keyword",
            Shape::List(_) => "List",
            Shape::Map(_) => "Map",
            Shape::Other(name) => return Err(ConvertError::new(format_args!("a {name} is not data"))),
        };
        let variant = seed.deserialize(BorrowedStrDeserializer::new(variant))?;
        Ok((variant, self))
    }
}

impl<'de, N: Node<'de>> VariantAccess<'de> for AsData<N> {
    type Error = ConvertError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.0.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.0.deserialize_map(visitor)
    }
}
