//! Values as bytes: exactly what postcard writes for `Data`, written and read without an allocator.

use core::fmt;

use crate::heap::Exhausted;
use crate::machine::{Full, Machine};
use crate::map::MapError;
use crate::value::{Value, tag};

/// Lists and maps within each other that may cross the door.
pub const MAX_NESTING: usize = 64;

/// Why a value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The bytes do not fit into the buffer.
    TooLarge,
    /// Nested deeper than [`MAX_NESTING`].
    TooDeep,
    /// Something in it is not data: the name of its type.
    NotData(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the value is larger than the buffer"),
            Self::TooDeep => write!(f, "the value is nested deeper than {MAX_NESTING}"),
            Self::NotData(name) => write!(f, "a {name} is not data"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end too early.
    Short,
    /// There are bytes behind the value.
    Trailing,
    /// A tag, length or number that nothing writes.
    Malformed,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Nested deeper than [`MAX_NESTING`].
    TooDeep,
    /// The heap budget is used up.
    Exhausted,
}

impl From<Exhausted> for DecodeError {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

impl Full for DecodeError {
    fn is_full(&self) -> bool {
        *self == Self::Exhausted
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the bytes end within a value"),
            Self::Trailing => f.write_str("bytes follow the value"),
            Self::Malformed => f.write_str("the bytes are not a value"),
            Self::NotUtf8 => f.write_str("text that is not UTF-8"),
            Self::TooDeep => write!(f, "the value is nested deeper than {MAX_NESTING}"),
            Self::Exhausted => Exhausted.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The first byte of a value: the variant of `Data`.
pub(crate) mod kind {
    pub(crate) const NIL: u8 = 0;
    pub(crate) const BOOL: u8 = 1;
    pub(crate) const INT: u8 = 2;
    pub(crate) const FLOAT: u8 = 3;
    pub(crate) const STR: u8 = 4;
    pub(crate) const SYMBOL: u8 = 5;
    pub(crate) const KEYWORD: u8 = 6;
    pub(crate) const LIST: u8 = 7;
    pub(crate) const MAP: u8 = 8;
}

struct Sink<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end).ok_or(EncodeError::TooLarge)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn varint(&mut self, mut n: u64) -> Result<(), EncodeError> {
        while n >= 0x80 {
            self.put(&[n as u8 | 0x80])?;
            n >>= 7;
        }
        self.put(&[n as u8])
    }

    fn text(&mut self, kind: u8, text: &[u8]) -> Result<(), EncodeError> {
        self.put(&[kind])?;
        self.varint(text.len() as u64)?;
        self.put(text)
    }
}

struct Source<'b> {
    bytes: &'b [u8],
    /// Whether texts are known to be UTF-8.
    trusted: bool,
}

impl<'b> Source<'b> {
    fn take(&mut self, n: usize) -> Result<&'b [u8], DecodeError> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or(DecodeError::Short)?;
        self.bytes = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        // Most lengths and many numbers take one byte.
        if let Some((&byte, rest)) = self.bytes.split_first()
            && byte < 0x80
        {
            self.bytes = rest;
            return Ok(u64::from(byte));
        }
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(DecodeError::Malformed);
            }
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(DecodeError::Malformed)
    }

    /// A number of things of which each takes at least `least` bytes.
    fn length(&mut self, least: usize) -> Result<usize, DecodeError> {
        let n = usize::try_from(self.varint()?).map_err(|_| DecodeError::Short)?;
        if n.checked_mul(least).is_none_or(|bytes| bytes > self.bytes.len()) {
            return Err(DecodeError::Short);
        }
        Ok(n)
    }

    fn text(&mut self) -> Result<&'b str, DecodeError> {
        let n = self.length(1)?;
        core::str::from_utf8(self.take(n)?).map_err(|_| DecodeError::NotUtf8)
    }

    /// The bytes of a text.
    fn text_bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        if !self.trusted {
            return self.text().map(str::as_bytes);
        }
        let n = self.length(1)?;
        self.take(n)
    }
}

/// Keywords met of late: records have the same ones again and again.
struct Recent<'b>([(&'b [u8], Value); RECENT]);

const RECENT: usize = 16;

impl<'b> Recent<'b> {
    const NONE: Self = Self([(&[], Value::NIL); RECENT]);

    /// Where a keyword of that name is, if it is there.
    fn place(&mut self, name: &[u8]) -> &mut (&'b [u8], Value) {
        let mix = name.len() + name.first().map_or(0, |b| 5 * usize::from(*b)) + name.last().map_or(0, |b| 3 * usize::from(*b));
        &mut self.0[mix % RECENT]
    }
}

/// A list or map that is being made.
#[derive(Clone, Copy)]
struct Open {
    into: Value,
    left: usize,
    key: Option<Value>,
}

#[cfg(feature = "compiler")]
impl crate::Data {
    /// The data that `bytes` stand for.
    ///
    /// # Errors
    /// [`DecodeError`]: not a value, or nested too deeply.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut source = Source { bytes, trusted: false };
        let data = Self::read(&mut source, 0)?;
        if source.bytes.is_empty() { Ok(data) } else { Err(DecodeError::Trailing) }
    }

    fn read(source: &mut Source<'_>, depth: usize) -> Result<Self, DecodeError> {
        if depth > MAX_NESTING {
            return Err(DecodeError::TooDeep);
        }
        Ok(match source.byte()? {
            kind::NIL => Self::Nil,
            kind::BOOL => match source.byte()? {
                0 => Self::Bool(false),
                1 => Self::Bool(true),
                _ => return Err(DecodeError::Malformed),
            },
            kind::INT => {
                let n = source.varint()?;
                Self::Int((n >> 1) as i64 ^ -((n & 1) as i64))
            }
            kind::FLOAT => {
                let mut eight = [0; 8];
                eight.copy_from_slice(source.take(8)?);
                Self::Float(f64::from_le_bytes(eight))
            }
            kind::STR => Self::Str(source.text()?.into()),
            kind::SYMBOL => Self::Symbol(source.text()?.into()),
            kind::KEYWORD => Self::Keyword(source.text()?.into()),
            kind::LIST => {
                let n = source.length(1)?;
                Self::List((0..n).map(|_| Self::read(source, depth + 1)).collect::<Result<_, _>>()?)
            }
            kind::MAP => {
                let n = source.length(2)?;
                let mut entry = || Ok::<_, DecodeError>((Self::read(source, depth + 1)?, Self::read(source, depth + 1)?));
                Self::Map((0..n).map(|_| entry()).collect::<Result<_, _>>()?)
            }
            _ => return Err(DecodeError::Malformed),
        })
    }
}

impl Machine<'_> {
    /// Writes `v` into `into` as postcard writes `Data`; the number of bytes written.
    ///
    /// # Errors
    /// [`EncodeError`]: the buffer is too small, the value nested too deeply, or not data.
    pub fn encode(&self, v: Value, into: &mut [u8]) -> Result<usize, EncodeError> {
        let heap = &self.heap;
        let mut sink = Sink { bytes: into, len: 0 };
        let mut stack: heapless::Vec<(Value, usize), MAX_NESTING> = heapless::Vec::new();
        let mut current = v;
        loop {
            if let Some(i) = heap.as_int(current) {
                sink.put(&[kind::INT])?;
                sink.varint(((i << 1) ^ (i >> 63)) as u64)?;
            } else if let Some(f) = heap.as_float(current) {
                sink.put(&[kind::FLOAT])?;
                sink.put(&f.to_le_bytes())?;
            } else {
                match current.tag() {
                    tag::CONST => match current {
                        Value::TRUE => sink.put(&[kind::BOOL, 1])?,
                        Value::FALSE => sink.put(&[kind::BOOL, 0])?,
                        _ => sink.put(&[kind::NIL])?,
                    },
                    tag::STRING => sink.text(kind::STR, heap.bytes(current))?,
                    tag::SYMBOL => sink.text(kind::SYMBOL, heap.bytes(current))?,
                    tag::KEYWORD => sink.text(kind::KEYWORD, heap.bytes(current))?,
                    tag::LIST => {
                        sink.put(&[kind::LIST])?;
                        sink.varint(heap.length(current) as u64)?;
                        stack.push((current, 0)).map_err(|_| EncodeError::TooDeep)?;
                    }
                    tag::MAP => {
                        sink.put(&[kind::MAP])?;
                        sink.varint(heap.map_count(current) as u64)?;
                        stack.push((current, 0)).map_err(|_| EncodeError::TooDeep)?;
                    }
                    _ => return Err(EncodeError::NotData(crate::print::type_name(current))),
                }
            }
            loop {
                let Some((open, next)) = stack.last_mut() else {
                    return Ok(sink.len);
                };
                if open.is(tag::LIST) {
                    current = heap.first(*open);
                    *open = heap.rest(*open);
                    break;
                }
                if open.is(tag::MAP) && *next < 2 * heap.map_count(*open) {
                    let (k, v) = heap.map_entry(*open, *next / 2);
                    current = if *next % 2 == 0 { k } else { v };
                    *next += 1;
                    break;
                }
                stack.pop();
            }
        }
    }

    /// The value that `bytes` stand for. Lengths are checked before anything is made.
    ///
    /// While a host call waits and the heap is full, the heap is collected. Values that were got before are void then: hold one answer at
    /// a time, and ask for [`Machine::arg`] again.
    ///
    /// # Errors
    /// [`DecodeError`]: not a value, nested too deeply, or the heap budget is used up.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Value, DecodeError> {
        self.or_collect(|m| m.decode_once(bytes, false))
    }

    /// [`Self::decode`] of bytes whose texts are UTF-8: they were `str`s.
    #[cfg(feature = "embed")]
    pub(crate) fn decode_trusted(&mut self, bytes: &[u8]) -> Result<Value, DecodeError> {
        self.or_collect(|m| m.decode_once(bytes, true))
    }

    fn decode_once(&mut self, bytes: &[u8], trusted: bool) -> Result<Value, DecodeError> {
        let mut source = Source { bytes, trusted };
        let mut recent = Recent::NONE;
        let mut stack: heapless::Vec<Open, MAX_NESTING> = heapless::Vec::new();
        loop {
            let mut done = match source.byte()? {
                kind::NIL => Value::NIL,
                kind::BOOL => match source.byte()? {
                    0 => Value::FALSE,
                    1 => Value::TRUE,
                    _ => return Err(DecodeError::Malformed),
                },
                kind::INT => {
                    let n = source.varint()?;
                    self.heap.int((n >> 1) as i64 ^ -((n & 1) as i64))?
                }
                kind::FLOAT => {
                    let mut eight = [0; 8];
                    eight.copy_from_slice(source.take(8)?);
                    self.heap.float(f64::from_le_bytes(eight))?
                }
                kind::STR => self.heap.string_bytes(source.text_bytes()?)?,
                kind::SYMBOL => self.intern(tag::SYMBOL, source.text()?)?,
                kind::KEYWORD => {
                    let n = source.length(1)?;
                    let name = source.take(n)?;
                    let place = recent.place(name);
                    if place.0 != name || place.1.is_nil() {
                        let text = core::str::from_utf8(name).map_err(|_| DecodeError::NotUtf8)?;
                        *place = (name, self.intern(tag::KEYWORD, text)?);
                    }
                    place.1
                }
                kind::LIST => match source.length(1)? {
                    0 => Value::NIL,
                    left => {
                        let into = self.heap.buffer(left)?;
                        stack.push(Open { into, left, key: None }).map_err(|_| DecodeError::TooDeep)?;
                        continue;
                    }
                },
                kind::MAP => {
                    let left = source.length(2)?;
                    let into = self.heap.map(left)?;
                    if left > 0 {
                        stack.push(Open { into, left: 2 * left, key: None }).map_err(|_| DecodeError::TooDeep)?;
                        continue;
                    }
                    into
                }
                _ => return Err(DecodeError::Malformed),
            };
            loop {
                let Some(open) = stack.last_mut() else {
                    return if source.bytes.is_empty() { Ok(done) } else { Err(DecodeError::Trailing) };
                };
                if open.into.is(tag::BUFFER) {
                    self.heap.buffer_push(open.into, done);
                } else {
                    match open.key.take() {
                        None => open.key = Some(done),
                        Some(key) if key.is(tag::KEYWORD) && self.heap.map_put_name(open.into, key, done) => {}
                        Some(key) => {
                            // Keys are data, so hashing them is bounded by the bytes.
                            let mut fuel = i64::MAX;
                            open.into = self.heap.map_put(open.into, key, done, &mut fuel).map_err(|e| match e {
                                MapError::Exhausted => DecodeError::Exhausted,
                                MapError::Unhashable(_) => DecodeError::Malformed,
                                MapError::Work(_) => DecodeError::TooDeep,
                            })?;
                        }
                    }
                }
                open.left -= 1;
                if open.left > 0 {
                    break;
                }
                let open = *open;
                stack.pop();
                done = if open.into.is(tag::BUFFER) { self.heap.buffer_seal(open.into, Value::NIL) } else { open.into };
            }
        }
    }
}
