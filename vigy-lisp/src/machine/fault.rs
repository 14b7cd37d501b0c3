//! How a run ends when it does not end well.

use core::fmt::{self, Write};

use crate::span::Span;

macro_rules! tags {
    ($($name:ident $text:literal,)*) => {
        /// The kinds of errors that the language itself raises.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Tag { $($name,)* }

        const TAGS: &[(Tag, &str)] = &[$((Tag::$name, $text),)*];
    };
}

tags! {
    UnboundSymbol "unbound-symbol",
    ArityMismatch "arity-mismatch",
    TypeMismatch "type-mismatch",
    DivisionByZero "division-by-zero",
    IntegerOverflow "integer-overflow",
    NotCallable "not-callable",
    BadSpecialForm "bad-special-form",
    NativeFn "native-fn",
    Reader "reader",
    SetSealed "set-sealed",
    MacroExpansionLimit "macro-expansion-limit",
    DepthExceeded "depth-exceeded",
    User "user",
    OutOfRange "out-of-range",
    FiberError "fiber-error",
    Match "match",
    NotImplemented "not-implemented",
    NotExported "not-exported",
    NotDefined "not-defined",
    ModuleNotFound "module-not-found",
    CircularRequire "circular-require",
    ModuleDenied "module-denied",
    NotData "not-data",
    Deadlock "deadlock",
}

impl Tag {
    pub(crate) fn text(self) -> &'static str {
        TAGS[self as usize].1
    }

    pub(crate) fn from_code(code: usize) -> Option<Self> {
        TAGS.get(code).map(|t| t.0)
    }

    /// Errors that the library throws as values: uncaught, they are the program's own.
    pub(crate) fn is_thrown(self) -> bool {
        matches!(self, Self::NotExported | Self::NotDefined | Self::ModuleNotFound | Self::CircularRequire | Self::ModuleDenied)
    }

    #[cfg(feature = "compiler")]
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        TAGS.iter().find(|t| t.1 == text).map(|t| t.0)
    }
}

/// The most bytes of a message.
pub(super) const MESSAGE_BYTES: usize = 256;

/// Text of at most 256 bytes; what does not fit is cut off.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message(heapless::String<MESSAGE_BYTES>);

impl Message {
    /// The parts of a message, one behind the other. Errors of the language are made without `core::fmt`, which is large.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut message = Self::default();
        // A message keeps what fits and never fails.
        let _ = parts.iter().try_for_each(|part| message.write_str(part));
        message
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As many whole characters of `text` as fit into `room` bytes.
pub(crate) fn beginning(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or_default()
}

impl Write for Message {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let fits = beginning(s, self.0.capacity() - self.0.len());
        // What does not fit is cut off, and whoever writes may stop.
        self.0.push_str(fits).map_err(|_| fmt::Error)?;
        if fits.len() < s.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What kind of end it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The fuel of the run is used up. Not catchable.
    OutOfFuel,
    /// The heap budget is used up. Not catchable.
    OutOfHeap,
    /// More was printed than the budget allows. Not catchable.
    OutOfOutput,
    /// The image does what no compiler lets it do. Not catchable. Its checksum was right, so somebody made it.
    Damaged,
    /// An error that the program did not catch, by its tag: `type-mismatch`, `user` for what the program threw itself, …
    Raised {
        /// The tag, without a colon; cut off at 48 bytes.
        tag: heapless::String<48>,
    },
}

impl FaultKind {
    /// The tag of an error, or the name of an outcome.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::OutOfFuel => "out-of-fuel",
            Self::OutOfHeap => "out-of-heap",
            Self::OutOfOutput => "out-of-output",
            Self::Damaged => "damaged-image",
            Self::Raised { tag } => tag,
        }
    }
}

/// Frames of the call chain that a fault remembers.
pub const CHAIN: usize = 8;

/// Why a run failed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of end it was.
    pub kind: FaultKind,
    /// One line for people.
    pub message: Message,
    /// Where, when the place is in the program's own text.
    pub span: Option<Span>,
    /// The tag of the error that the program threw itself, when it threw one: the kind of such an end is `user` all the same, and the message
    /// names the tag.
    pub thrown: Option<heapless::String<48>>,
    /// The calls that led there, innermost first, at most [`CHAIN`]; those within the library are left out.
    pub chain: heapless::Vec<Frame, CHAIN>,
}

/// A call that was not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, by its number in the program; 0 is the program itself.
    pub function: u32,
    /// How far it was.
    pub span: Span,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = self.span {
            write!(f, "{span}: ")?;
        }
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl core::error::Error for Fault {}

/// Why an instruction did not finish. The value that comes with some of these waits in the machine (`cause`).
// As wide as a value, so that what is one or the other is handed back in registers.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Stop {
    /// A failure of a builtin, already made into an error value.
    Raised,
    /// A value thrown by the program.
    Thrown,
    OutOfFuel,
    OutOfHeap,
    OutOfOutput,
    /// What no compiled program does.
    Damaged,
    /// The fiber waits; another goes on.
    Parked,
    /// Text for the host to print; the instruction is done and its result is nil.
    Output,
}

impl From<crate::heap::Exhausted> for Stop {
    fn from(_: crate::heap::Exhausted) -> Self {
        Self::OutOfHeap
    }
}
