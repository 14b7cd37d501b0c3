//! What a program is compiled against, and the two ways in: [`compile`] and [`check`].

use alloc::string::String;
use alloc::vec::Vec;

use super::{CompileLimits, Compiler, Loader, Result};
use crate::arity::HostFn;
use crate::diagnostic::Diagnostic;
use crate::image::Image;
use crate::span::Span;

/// How a program has the functions that are builtins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Library {
    /// All of them as the machine's own code.
    #[default]
    Native,
    /// Those that have a definition in the language as that: the image carries what the program reaches of them, and the machine
    /// needs only [`crate::Builtins::primitives`]. For devices without room for the others.
    ///
    /// Results and errors are the same as with [`Self::Native`]. Such a function takes more fuel and heap, and while it runs, a few
    /// calls of the depth that the [`crate::Budget`] allows. Where a program calls one as a value and is itself done then, an error is
    /// told without the place of that call.
    Portable,
}

/// What a text is compiled against.
#[derive(Clone, Copy, Default)]
pub struct CompileOptions<'a> {
    /// Functions of the host; of two with one name, the first counts. They take precedence over builtins.
    pub hosts: &'a [&'a [HostFn]],
    /// Where modules come from; without one, `require` is an error.
    pub loader: Option<&'a dyn Loader>,
    /// Functions that the host has but does not grant, each with the capability it needs. Using one is refused, and says so.
    pub denied: &'a [(&'a str, &'a str)],
    /// Keeps every function and constant of the program in the image, so that the host finds it by name
    /// ([`crate::Machine::global`]); else only what the program itself reaches is kept.
    pub exports: bool,
    /// Turns every mistake but one of reading into code that raises it when it is reached.
    pub force: bool,
    /// How the program has the functions that are builtins; default: as the machine's own code.
    pub library: Library,
    /// What compiling may use.
    pub limits: CompileLimits,
}

impl core::fmt::Debug for CompileOptions<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CompileOptions").field("hosts", &self.hosts).field("force", &self.force).finish_non_exhaustive()
    }
}

/// Compiles a program.
///
/// # Errors
/// [`CompileError`](crate::CompileError): the text cannot be read, a name is unknown, a known function gets the wrong number of arguments, a form
/// is not written as it should be, a macro fails, a module is missing, or the program is larger than an image can be.
pub fn compile(source: &str, options: &CompileOptions<'_>) -> Result<Image> {
    Compiler::new(options).compile(source).map(|made| made.image)
}

/// What is to be said of a program before it runs.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Errors, or else warnings, in the order of the text: at most [`MAX_DIAGNOSTICS`](crate::MAX_DIAGNOSTICS).
    pub diagnostics: Vec<Diagnostic>,
    /// The functions of the host that the program may call, and where it names each first; nothing when there are errors.
    pub calls: Vec<(String, Option<Span>)>,
}

/// Finds everything that is wrong with a program, and what is hardly meant: [`compile`] without the image.
#[must_use]
pub fn check(source: &str, options: &CompileOptions<'_>) -> Checked {
    let mut c = Compiler::new(options);
    match c.compile(source) {
        Ok(made) => Checked { diagnostics: c.warnings(&made.forms), calls: made.calls },
        Err(e) => Checked { diagnostics: e.diagnostics, calls: Vec::new() },
    }
}
