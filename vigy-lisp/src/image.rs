//! Compiled programs: words that run in place.
//!
//! ```text
//! word 0   magic
//! word 1   version · number of words
//! word 2   checksum of everything behind it
//! word 3…  name: BLAKE3 of everything behind it, 4 words
//! word 7…  section table: one word per section, offset · length
//!          sections, each starting at a whole word
//! ```
//!
//! Words are little-endian. [`Program::load`] checks every index, jump and register once, as `verify.rs` says; what it leaves is a
//! fault of the run ([`crate::FaultKind::Damaged`]). So nothing in an image can make the machine stumble, whoever made it. Only who says
//! so goes without: [`Program::load_trusted`].

use core::fmt;

use crate::budget::Budget;
use crate::builtins::LOOKUP;
use crate::code::byte;
use crate::heap::{Heap, hash_bytes};
use crate::span::Span;
use crate::value::{FROZEN, Value, tag};

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"vigylisp");
/// Version of the format and of the instruction set.
pub(crate) const VERSION: u32 = 3;
/// Words in front of what the checksum covers.
const UNCHECKED: usize = 3;
/// Words in front of what the name covers: the section table.
const HEADER: usize = UNCHECKED + 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Section {
    Code,
    Functions,
    Constants,
    Frozen,
    NameIndex,
    NameBytes,
    NameTable,
    Imports,
    Globals,
    GlobalNames,
    Spans,
    Params,
}
pub(crate) const SECTIONS: usize = 12;

/// Why bytes are not a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// Not an image at all.
    NotAnImage,
    /// An image of another version of the format.
    Version {
        /// The version found.
        found: u32,
        /// The version that this machine runs.
        expected: u32,
    },
    /// Fewer or more bytes than the header says.
    Length,
    /// The checksum does not agree.
    Checksum,
    /// A table, index, jump or register is out of range.
    Damaged(&'static str),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => f.write_str("not a compiled program"),
            Self::Version { found, expected } => write!(f, "a compiled program of format {found}; this machine runs format {expected}"),
            Self::Length => f.write_str("the compiled program is cut off or has bytes behind its end"),
            Self::Checksum => f.write_str("the compiled program is damaged: its checksum does not agree"),
            Self::Damaged(what) => write!(f, "the compiled program is damaged: {what}"),
        }
    }
}

impl core::error::Error for ImageError {}

/// Names of symbols, keywords, functions and imports, by number and by text.
#[derive(Clone, Copy)]
pub(crate) struct Names<'i> {
    pub(crate) index: &'i [u32],
    pub(crate) bytes: &'i [u8],
    pub(crate) table: &'i [u32],
}

impl<'i> Names<'i> {
    pub(crate) fn bytes(&self, id: u32) -> &'i [u8] {
        let i = 2 * id as usize;
        &self.bytes[self.index[i] as usize..][..self.index[i + 1] as usize]
    }

    pub(crate) fn text(&self, id: u32) -> &'i str {
        // Checked when the image was loaded.
        core::str::from_utf8(self.bytes(id)).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len() / 2
    }

    pub(crate) fn find(&self, name: &[u8], hash: u32) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.table[slot] {
                0 => return None,
                n if self.bytes(n - 1) == name => return Some(n - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// The hash table over `names`: at most half full, so that every search ends.
    #[cfg(feature = "compiler")]
    pub(crate) fn table_for<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> alloc::vec::Vec<u32> {
        let size = (2 * names.len() + 2).next_power_of_two();
        let mut table = alloc::vec![0u32; size];
        for (id, name) in names.enumerate() {
            let mut slot = hash_bytes(name.as_bytes()) as usize & (size - 1);
            while table[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            table[slot] = id as u32 + 1;
        }
        table
    }
}

/// One row of the function table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    pub(crate) entry: u32,
    pub(crate) end: u32,
    pub(crate) required: u8,
    pub(crate) optional: u8,
    pub(crate) rest: bool,
    pub(crate) registers: u8,
    pub(crate) captures: u16,
    /// A function of the prelude: prints as a builtin does.
    pub(crate) native: bool,
    /// Stands for a builtin: errors are told of whoever calls it, as they are with a builtin.
    pub(crate) stands: bool,
    pub(crate) name: u32,
    pub(crate) params: (u32, u32),
}

pub(crate) const FUNCTION_U32S: usize = 8;

impl Function {
    #[cfg(feature = "compiler")]
    pub(crate) fn pack(&self) -> [u32; FUNCTION_U32S] {
        [
            self.entry,
            self.end,
            u32::from_le_bytes([self.required, self.optional, self.rest as u8, self.registers]),
            u32::from(self.captures) | (self.native as u32) << 16 | (self.stands as u32) << 17,
            self.name,
            self.params.0,
            self.params.1,
            0,
        ]
    }

    #[inline]
    fn unpack(row: &[u32; FUNCTION_U32S]) -> Self {
        let [required, optional, rest, registers] = row[2].to_le_bytes();
        Self {
            entry: row[0],
            end: row[1],
            required,
            optional,
            rest: rest != 0,
            registers,
            captures: row[3] as u16,
            native: row[3] >> 16 != 0,
            stands: row[3] >> 17 != 0,
            name: row[4],
            params: (row[5], row[6]),
        }
    }
}

/// A verified program: cheap to copy, runs where its words lie.
#[derive(Clone, Copy)]
pub struct Program<'i> {
    pub(crate) words: &'i [u64],
    pub(crate) code: &'i [u32],
    pub(crate) functions: &'i [[u32; FUNCTION_U32S]],
    pub(crate) constants: &'i [u64],
    pub(crate) frozen: &'i [u64],
    pub(crate) names: Names<'i>,
    pub(crate) imports: &'i [u32],
    pub(crate) globals: &'i [u64],
    pub(crate) global_names: &'i [u32],
    pub(crate) spans: &'i [u32],
    pub(crate) params: &'i [u32],
}

impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} words, {} functions)", self.words.len(), self.function_count())
    }
}

pub(crate) fn checksum(words: &[u64]) -> u64 {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let half = bytes.len() / 16 * 8;
    u64::from(hash_bytes(bytes)) << 32 | u64::from(hash_bytes(&bytes[half..]))
}

impl<'i> Program<'i> {
    /// Checks `words` and makes them runnable in place. Takes time linear in their number.
    ///
    /// # Errors
    /// [`ImageError`], when the words are not an image of this version or anything in them is out of range.
    pub fn load(words: &'i [u64]) -> Result<Self, ImageError> {
        let program = Self::load_trusted(words)?;
        crate::verify::verify(&program)?;
        Ok(program)
    }

    /// [`Self::load`] without looking at what lies in the sections: for an image that the build of the firmware compiled, on a device that
    /// has no room for the code that looks. Takes time linear in the number of words.
    ///
    /// An image that no compiler made may loop without using fuel, or make a machine panic. It cannot harm memory: there is no unsafe code.
    ///
    /// # Errors
    /// [`ImageError`], when the words are not an image of this version, or are damaged: their checksum is looked at.
    pub fn load_trusted(words: &'i [u64]) -> Result<Self, ImageError> {
        if words.first() != Some(&MAGIC) {
            return Err(ImageError::NotAnImage);
        }
        if words.len() < HEADER + SECTIONS {
            return Err(ImageError::Length);
        }
        let version = words[1] as u32;
        if version != VERSION {
            return Err(ImageError::Version { found: version, expected: VERSION });
        }
        if (words[1] >> 32) as usize != words.len() {
            return Err(ImageError::Length);
        }
        if words[2] != checksum(&words[UNCHECKED..]) {
            return Err(ImageError::Checksum);
        }
        Self::sections(words)
    }

    /// The sections of an image, unchecked but for where they lie. O(1).
    fn sections(words: &'i [u64]) -> Result<Self, ImageError> {
        let section = |s: Section| -> Result<&'i [u64], ImageError> {
            let entry = words[HEADER + s as usize];
            let (at, len) = ((entry >> 32) as usize, entry as u32 as usize);
            words.get(at..).and_then(|w| w.get(..len)).ok_or(ImageError::Damaged("a section lies outside the image"))
        };
        let u32s = |s: Section| -> Result<&'i [u32], ImageError> { Ok(bytemuck::cast_slice(section(s)?)) };
        Ok(Self {
            words,
            code: u32s(Section::Code)?,
            functions: bytemuck::try_cast_slice(section(Section::Functions)?).map_err(|_| ImageError::Damaged("the table of functions"))?,
            constants: section(Section::Constants)?,
            frozen: section(Section::Frozen)?,
            names: Names {
                index: u32s(Section::NameIndex)?,
                bytes: bytemuck::cast_slice(section(Section::NameBytes)?),
                table: u32s(Section::NameTable)?,
            },
            imports: u32s(Section::Imports)?,
            globals: section(Section::Globals)?,
            global_names: u32s(Section::GlobalNames)?,
            spans: u32s(Section::Spans)?,
            params: u32s(Section::Params)?,
        })
    }

    /// Names of the host functions that the program may call, in the order of [`crate::HostCall::import`].
    pub fn imports(&self) -> impl Iterator<Item = &'i str> + use<'i> {
        let names = self.names;
        self.imports.chunks_exact(2).filter(|row| row[0] != u32::MAX).map(move |row| names.text(row[0]))
    }

    /// Numbers of the builtins that the program may call, repeated. Linear in the image.
    pub fn builtins(&self) -> impl Iterator<Item = u32> + use<'i> {
        let code = self.code;
        let mut at = 0;
        let called = core::iter::from_fn(move || {
            let call = *code.get(at)?;
            let instruction = at;
            at += crate::code::length(code, at).unwrap_or(1);
            Some(match call as u8 {
                byte::Builtin => code.get(instruction + 1).copied(),
                byte::Get | byte::Field => Some(LOOKUP),
                _ => None,
            })
        });
        // What lies in the objects is data: no compiler puts a function there.
        let words = self.constants.iter().chain(self.globals);
        let values = words.map(|word| Value(*word)).filter_map(|value| match value.object_tag() {
            tag::BUILTIN => Some(value.index_of()),
            tag::MAP => Some(LOOKUP),
            _ => None,
        });
        // What the host answers may be maps, and what lists of the image hold.
        let holds_maps = !self.imports.is_empty() || self.frozen.iter().any(|word| Value(*word).is(tag::MAP));
        called.flatten().chain(values).chain(holds_maps.then_some(LOOKUP))
    }

    /// Words of memory that a [`crate::Machine`] needs to run this program within `budget`.
    #[must_use]
    pub fn words_needed(&self, budget: &Budget) -> usize {
        self.globals.len() + stack_len(budget) + Heap::words_for(budget.heap_bytes)
    }

    /// The name of the program: BLAKE3 of its code and data, as the compiler stored it in the image. The same on every host.
    ///
    /// Loading checks it against the content only as far as the image's checksum goes; [`Image::from_bytes`] recomputes it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut name = [0; 32];
        name.copy_from_slice(bytemuck::cast_slice(&self.words[UNCHECKED..HEADER]));
        name
    }

    /// The words of the image.
    #[must_use]
    pub fn words(&self) -> &'i [u64] {
        self.words
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn function(&self, i: u32) -> Function {
        Function::unpack(&self.functions[i as usize])
    }

    /// The entry of function `i`, when it takes exactly `n` arguments.
    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn entry_for(&self, i: u32, n: usize) -> Option<usize> {
        let [entry, _, arity, ..] = self.functions[i as usize];
        // Required, optional and rest, in the order of `pack`.
        (arity & 0x00ff_ffff == n as u32).then_some(entry as usize)
    }

    pub(crate) fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// The place in the source of the instruction at `pc`, when it belongs to the program and not to the prelude.
    pub(crate) fn span_at(&self, pc: u32) -> Option<Span> {
        let rows = self.spans.len() / 4;
        let (mut low, mut high) = (0, rows);
        while low < high {
            let mid = (low + high) / 2;
            if self.spans[4 * mid] <= pc {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        let row = self.spans.get(4 * low.checked_sub(1)?..)?;
        if row[3] == 0 {
            return None;
        }
        Some(Span { start: row[1], end: row[2], line: row[3] >> 12, column: row[3] & 0xfff })
    }

    pub(crate) fn global_name(&self, g: usize) -> &'i str {
        self.global_names.get(g).map_or("?", |n| self.names.text(*n))
    }

    pub(crate) fn import_name(&self, i: u32) -> &'i str {
        self.imports.get(2 * i as usize).map_or("?", |n| self.names.text(*n))
    }

    /// The fewest and the most arguments of an import.
    pub(crate) fn import_arity(&self, i: u32) -> (usize, Option<usize>) {
        let word = self.imports.get(2 * i as usize + 1).map_or(0, |word| *word);
        ((word & 0xff) as usize, Some((word >> 16) as usize).filter(|max| *max != 0xffff))
    }

    /// Whether the import of that number was declared as one that [writes](crate::HostFn::writes).
    #[must_use]
    pub fn import_writes(&self, i: u32) -> bool {
        self.import_says(i, IMPORT_WRITES)
    }

    /// Whether the import of that number was declared as one with a [secret](crate::HostFn::secret) answer.
    #[must_use]
    pub fn import_secret(&self, i: u32) -> bool {
        self.import_says(i, IMPORT_SECRET)
    }

    fn import_says(&self, i: u32, what: u32) -> bool {
        self.imports.get(2 * i as usize + 1).is_some_and(|word| word & what != 0)
    }
}

/// What an import says beside its name: the fewest arguments in bits 0 to 7, whether its answer is secret and whether it writes, the most arguments in bits 16 to 31
/// (0xffff for any number).
#[cfg(feature = "compiler")]
pub(crate) fn import_word(host: &crate::HostFn) -> u32 {
    let writes = if host.writes { IMPORT_WRITES } else { 0 };
    let secret = if host.secret { IMPORT_SECRET } else { 0 };
    u32::from(host.arity.min) | secret | writes | host.arity.max.map_or(0xffff, u32::from) << 16
}

const IMPORT_SECRET: u32 = 1 << 14;
const IMPORT_WRITES: u32 = 1 << 15;

/// Words of the stack: what the budget says, but never less than the main program needs, and a window behind it.
pub(crate) fn stack_len(budget: &Budget) -> usize {
    (budget.stack_words as usize).max(2) + WINDOW
}

/// Registers that one frame may address.
pub(crate) const WINDOW: usize = 256;

/// The words of an image under construction.
#[cfg(feature = "compiler")]
pub(crate) fn assemble(sections: &[alloc::vec::Vec<u64>; SECTIONS]) -> alloc::vec::Vec<u64> {
    let mut words = alloc::vec![0u64; HEADER + SECTIONS];
    for (i, section) in sections.iter().enumerate() {
        words[HEADER + i] = (words.len() as u64) << 32 | section.len() as u64;
        words.extend_from_slice(section);
    }
    words[0] = MAGIC;
    words[1] = u64::from(VERSION) | (words.len() as u64) << 32;
    let name = blake3::hash(bytemuck::cast_slice(&words[HEADER..]));
    for (word, bytes) in words[UNCHECKED..HEADER].iter_mut().zip(name.as_bytes().chunks_exact(8)) {
        *word = bytemuck::pod_read_unaligned(bytes);
    }
    words[2] = checksum(&words[UNCHECKED..]);
    words
}

/// A compiled program that owns its words.
#[cfg(feature = "compiler")]
#[derive(Clone)]
pub struct Image {
    words: alloc::vec::Vec<u64>,
}

#[cfg(feature = "compiler")]
impl Image {
    /// An image from what [`assemble`] made: its header is as it should be.
    pub(crate) fn assembled(words: alloc::vec::Vec<u64>) -> Result<Self, ImageError> {
        crate::verify::verify(&Program::sections(&words)?)?;
        Ok(Self { words })
    }

    fn from_words(words: alloc::vec::Vec<u64>) -> Result<Self, ImageError> {
        Program::load(&words)?;
        Ok(Self { words })
    }

    /// An image from the bytes that [`Self::as_bytes`] gave, verified.
    ///
    /// # Errors
    /// [`ImageError`], when they are not an image of this version, damaged, or not what their name says.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.get(..8) != Some(&MAGIC.to_le_bytes()[..]) {
            return Err(ImageError::NotAnImage);
        }
        if !bytes.len().is_multiple_of(8) {
            return Err(ImageError::Length);
        }
        let words = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        let image = Self::from_words(words)?;
        let body = bytemuck::cast_slice(&image.words[HEADER..]);
        if image.hash() != *blake3::hash(body).as_bytes() {
            return Err(ImageError::Checksum);
        }
        Ok(image)
    }

    /// The bytes of the image, to store or send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The program, ready to run. O(1).
    ///
    /// # Panics
    /// Never: the image was verified when it was made, and nothing changes it.
    #[must_use]
    pub fn program(&self) -> Program<'_> {
        Program::sections(&self.words).expect("an image is verified when it is made")
    }

    /// The name of the program: see [`Program::hash`].
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut name = [0; 32];
        name.copy_from_slice(bytemuck::cast_slice(&self.words[UNCHECKED..HEADER]));
        name
    }
}

#[cfg(feature = "compiler")]
impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} bytes)", self.words.len() * 8)
    }
}

impl Value {
    pub(crate) const fn frozen(self) -> bool {
        self.index_of() & FROZEN != 0
    }
}
