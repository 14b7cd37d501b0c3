//! The language of vigies: text → [`Image`] → [`Program`] → [`Machine`].
//!
//! A program is compiled once, into an image of words that run where they lie. A machine runs it in memory that the caller
//! owns, within a [`Budget`], and never calls out: it stops and says why ([`Step`]).
//!
//! `eval` of a quoted form is compiled with the program. Any other form is evaluated by an evaluator in the language itself, which sees the
//! program's globals, its macros and the library: the image of a program that does so carries both (about 120 KB), and needs no compiler
//! where it runs. Such a form may not hold `match`, `for`, `with-gensyms` or a definition of a record, machine or typed function.
//!
//! The feature `compiler` (default) brings reader, compiler, owned images and owned data, and needs an allocator; `embed` (default) brings
//! `Host` and `Script`, and needs atomics that swap. Without both, this
//! crate is the machine alone: no allocator, no text, for a firmware that is sent images. On bare metal, what is small and called from
//! everywhere is kept out of line: flash counts there, and elsewhere time.
#![cfg_attr(feature = "embed", doc = include_str!("embed/guide.md"))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "compiler")]
extern crate alloc;

mod arity;
mod budget;
mod builtins;
mod case;
mod code;
mod codec;
mod collect;
#[cfg(feature = "compiler")]
mod compile;
#[cfg(feature = "compiler")]
mod data;
mod decimal;
#[cfg(feature = "compiler")]
mod diagnostic;
mod division;
#[cfg(feature = "embed")]
mod embed;
mod equal;
mod escape;
mod heap;
mod image;
mod list;
mod machine;
mod map;
mod number;
mod print;
#[cfg(feature = "compiler")]
mod reader;
#[cfg(feature = "compiler")]
pub mod reference;
mod shortest;
mod span;
mod value;
mod verify;
mod view;

pub use arity::{Arity, HostFn};
pub use budget::Budget;
pub use builtins::{Builtin, Builtins};
pub use codec::{DecodeError, EncodeError, MAX_NESTING};
#[cfg(feature = "compiler")]
pub use compile::{Checked, CompileError, CompileLimits, CompileOptions, ErrorKind, Library, Loader, check, compile};
#[cfg(feature = "compiler")]
pub use data::Data;
#[cfg(feature = "compiler")]
pub use diagnostic::{Call, Code, Diagnostic, MAX_DIAGNOSTICS, Note, Rendered, Severity};
#[cfg(feature = "embed")]
pub use embed::{
    About, Argument, Arguments, CallArgs, ConvertError, Ctx, Function, Host, IntoValue, Keywords, LoadOptions, Maker, Mismatch, Next,
    NoValue, Raise, Registered, Rest, Script, ScriptError, Serde, Takes,
};
pub use heap::Exhausted;
#[cfg(feature = "compiler")]
pub use image::Image;
pub use image::{ImageError, Program};
pub use machine::{CHAIN, Fault, FaultKind, Frame, HostCall, KeyError, Machine, MemoryTooSmall, Message, Step};
pub use print::Style;
#[cfg(feature = "compiler")]
pub use reader::{Token, TokenKind, is_unfinished, tokens};
pub use span::{Excerpt, Span};
pub use value::Value;
pub use view::{Entries, Items, View};
