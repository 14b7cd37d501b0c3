//! The language of vigies: text → [`Image`] → [`Program`] → [`Machine`].
//!
//! A program is compiled once, into an image of words that run where they lie. A machine runs it in memory that the caller
//! owns, within a [`Budget`], and never calls out: it stops and says why ([`Step`]).
//!
//! `eval` of a quoted form is compiled with the program. Any other form is evaluated by an evaluator in the language itself, which sees the
//! program's globals, its macros and the library: the image of a program that does so carries both (about 120 KB), and needs no compiler
//! where it runs. Such a form may not hold `match`, `for`, `with-gensyms` or a definition of a record, machine or typed function.
//!
//! The feature `compiler` (default) brings reader, compiler, owned images and owned data, and needs an allocator. Without it, this
//! crate is the machine alone: no allocator, no text, for a firmware that is sent images.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "compiler")]
extern crate alloc;

mod arity;
mod budget;
mod builtins;
mod code;
mod codec;
#[cfg(feature = "compiler")]
mod compile;
#[cfg(feature = "compiler")]
mod data;
mod equal;
mod heap;
mod image;
mod list;
mod machine;
mod map;
mod number;
mod print;
#[cfg(feature = "compiler")]
mod reader;
mod span;
mod value;
mod verify;
mod view;

pub use arity::{Arity, HostFn};
pub use budget::Budget;
pub use builtins::Builtins;
pub use codec::{DecodeError, EncodeError, MAX_NESTING};
#[cfg(feature = "compiler")]
pub use compile::{CompileError, CompileOptions, ErrorKind, Loader, compile};
#[cfg(feature = "compiler")]
pub use data::Data;
pub use heap::Exhausted;
#[cfg(feature = "compiler")]
pub use image::Image;
pub use image::{ImageError, Program};
pub use machine::{CHAIN, Fault, FaultKind, HostCall, Machine, MemoryTooSmall, Message, Step};
pub use print::Style;
pub use span::{Excerpt, Span};
pub use value::Value;
pub use view::{Entries, Items, View};
