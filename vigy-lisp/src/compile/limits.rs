//! What compiling may use.

use super::{CompileError, Compiler, Result};
use crate::machine::Tag;
use crate::span::Span;

/// What compiling one program may use, its modules among it, so that no text makes the compiler work or grow without end.
///
/// Nothing here needs native stack: reader, expander and compiler keep what is open in lists of their own. What an image can hold
/// is limited besides, whoever compiles: 250 registers, 200 parameters, 255 captured variables and 4,096 `try` forms in a function,
/// 65,536 functions, different constants and global variables in a program. Beyond that, the error is one of [`super::ErrorKind::Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of one text. Default 4 MiB; an error of [`super::ErrorKind::Reader`].
    pub text_bytes: u32,
    /// Delimiters and prefixes within each other. Default 1,000; an error of [`super::ErrorKind::Reader`].
    pub nesting: u32,
    /// Data, elements of lists, and what the compiler makes of them. Default 4,194,304; an error of [`super::ErrorKind::Macro`].
    pub parts: u32,
    /// Rewrites of one form in a row. Default 2,000; an error of [`super::ErrorKind::Macro`].
    pub rewrites: u32,
    /// Uses of macros, those that macros make included. Default 4,000; an error of [`super::ErrorKind::Macro`].
    pub macro_uses: u32,
    /// Macros whose code uses macros. Default 8 deep; an error of [`super::ErrorKind::Macro`].
    pub macro_depth: u32,
    /// Fuel for all uses of macros together, their compilation included. Default 20,000,000; an error of [`super::ErrorKind::Macro`].
    pub macro_fuel: u64,
    /// Bytes of heap that one use of a macro may have. Default 4 MiB; an error of [`super::ErrorKind::Macro`].
    pub macro_heap_bytes: u32,
    /// Modules that require modules. Default 16 deep; an error of [`super::ErrorKind::Module`].
    pub module_depth: u32,
}

impl CompileLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        text_bytes: 4 << 20,
        nesting: 1_000,
        parts: 1 << 22,
        rewrites: 2_000,
        macro_uses: 4_000,
        macro_depth: 8,
        macro_fuel: 20_000_000,
        macro_heap_bytes: 4 << 20,
        module_depth: 16,
    };
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Compiler<'_> {
    /// Refuses to go on with a program that has become too large.
    pub(super) fn check_parts(&self, span: Span) -> Result<()> {
        let limit = self.options.limits.parts;
        if self.arena.parts().max(self.tree.parts()) <= limit as usize {
            return Ok(());
        }
        Err(CompileError::new(Tag::MacroExpansionLimit, span, format_args!("the program has more than {limit} parts")))
    }

    /// Takes fuel for macros; what is left of it is never less than nothing.
    pub(super) fn charge_macros(&mut self, cost: u64, span: Span) -> Result<()> {
        let limit = self.options.limits.macro_fuel;
        self.macro_fuel += cost;
        if self.macro_fuel <= limit {
            return Ok(());
        }
        Err(CompileError::new(Tag::MacroExpansionLimit, span, format_args!("the macros of the program took more than {limit} steps")))
    }
}
