//! The table of codes. A code keeps its number and its meaning for good: a new mistake gets a new one.

use super::Severity;
use crate::machine::{FaultKind, Tag};

macro_rules! codes {
    ($($name:ident $text:literal $title:literal,)*) => {
        /// Which mistake it is: `E0001` and so on for errors, `W0001` and so on for warnings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $title] $name,)* }

        const CODES: &[(Code, &str, &str)] = &[$((Code::$name, $text, $title),)*];
    };
}

codes! {
    // The reader.
    Unclosed "E0001" "a list that is never closed",
    Mismatched "E0002" "a list that is closed by another delimiter than it was opened by",
    Unopened "E0003" "a closing delimiter that closes nothing",
    UnendedString "E0004" "a string that does not end",
    Escape "E0005" "an escape in a string that names no character",
    UnendedComment "E0006" "a comment that does not end",
    Prefix "E0007" "a prefix in front of nothing",
    OddMap "E0008" "a map with a key without a value",
    NumberSize "E0009" "a number that does not fit",
    Nesting "E0010" "a text that is nested too deeply",
    TextLength "E0011" "a text that is too long",
    // Names and calls.
    UnknownName "E0012" "a name that nothing defines",
    WrongArity "E0013" "a function with the wrong number of arguments",
    // Forms.
    MalformedForm "E0014" "a form that is not written as it should be",
    NotInTailPosition "E0015" "a loop that goes on from where it cannot",
    NotAtTopLevel "E0016" "a declaration that is accepted only at top level",
    OutsideQuasiquote "E0017" "an unquote outside of a quasiquote",
    // Macros.
    MacroDefinition "E0019" "a macro that is not written as it should be",
    MacroArguments "E0020" "a macro that is used with what it does not take",
    MacroFailed "E0021" "a macro that fails",
    MacroLimit "E0022" "a macro that does not come to an end",
    MacroResult "E0023" "a macro that gives no form",
    MacroAssigns "E0024" "a macro that changes a variable of the program",
    // Modules.
    ModuleNotFound "E0025" "a module that is not there",
    NotProvided "E0026" "a name that its module keeps to itself",
    NotInModule "E0027" "a name that its module does not define",
    CircularRequire "E0028" "a module that requires itself",
    ModuleDepth "E0029" "modules that require each other too deeply",
    // What a program may be and may ask.
    ProgramSize "E0030" "a program that is too large",
    NotGranted "E0031" "a function of the host that was not granted",
    // The machine.
    WrongType "E0032" "a value of another type than expected",
    DivisionByZero "E0033" "a division by zero",
    Overflow "E0034" "an integer that does not fit",
    NotCallable "E0035" "a call of what is no function",
    WrongArgument "E0036" "an argument that the function cannot work with",
    OutOfRange "E0037" "a value outside of its range",
    TooDeep "E0038" "calls within calls, too many",
    Thrown "E0039" "a value that was thrown and not caught",
    FiberFailed "E0040" "a fiber that failed or waits in vain",
    Tagged "E0041" "an error of the host or of the library",
    OutOfFuel "E0042" "a run that used up its fuel",
    OutOfHeap "E0043" "a run that used up its heap",
    OutOfOutput "E0044" "a run that printed too much",
    DamagedImage "E0045" "an image that no compiler made",
    // Warnings.
    UnusedBinding "W0001" "a binding that is never used",
    UnusedDefinition "W0002" "a definition that is never used",
    ShadowedName "W0003" "a definition that hides a function of the language",
    Unreachable "W0004" "a clause that is never reached",
}

/// The long explanations, a section per code.
const EXPLANATIONS: &str = include_str!("codes.md");

impl Code {
    /// All codes, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.iter().map(|row| row.0)
    }

    /// As it is written: `E0012`.
    #[must_use]
    pub fn text(self) -> &'static str {
        CODES[self as usize].1
    }

    /// The code that is written so, in any case of letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        CODES.iter().find(|row| row.1.eq_ignore_ascii_case(text)).map(|row| row.0)
    }

    /// The mistake in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        CODES[self as usize].2
    }

    /// The mistake explained, in Markdown: an example of it in a block `wrong`, and one without it in a block `right`.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        let section = EXPLANATIONS.split("\n## ").find_map(|section| section.strip_prefix(self.text()));
        section.unwrap_or_default().trim()
    }

    /// Whether it is an error or a warning.
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.text().starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// The code of what the compiler finds, unless it knows better.
    pub(crate) const fn of_mistake(tag: Tag) -> Self {
        match tag {
            Tag::UnboundSymbol => Self::UnknownName,
            Tag::ArityMismatch => Self::WrongArity,
            Tag::BadSpecialForm | Tag::Reader => Self::MalformedForm,
            Tag::NotImplemented => Self::ProgramSize,
            Tag::NotExported => Self::NotProvided,
            Tag::NotDefined => Self::NotInModule,
            Tag::ModuleNotFound => Self::ModuleNotFound,
            Tag::CircularRequire => Self::CircularRequire,
            Tag::ModuleDenied => Self::ModuleDepth,
            Tag::SetSealed => Self::MacroAssigns,
            Tag::MacroExpansionLimit => Self::MacroLimit,
            _ => Self::MacroFailed,
        }
    }

    /// The code of how a run ended.
    #[must_use]
    pub fn of_fault(kind: &FaultKind) -> Self {
        match kind {
            FaultKind::OutOfFuel => Self::OutOfFuel,
            FaultKind::OutOfHeap => Self::OutOfHeap,
            FaultKind::OutOfOutput => Self::OutOfOutput,
            FaultKind::Damaged => Self::DamagedImage,
            FaultKind::Raised { tag } => Self::of_tag(tag),
        }
    }

    /// The code of an error that a program met, by its tag; [`Self::Tagged`] for tags that are not the language's own.
    #[must_use]
    pub fn of_tag(tag: &str) -> Self {
        match Tag::from_text(tag) {
            _ if tag == "deadlock" => Self::FiberFailed,
            Some(Tag::UnboundSymbol) => Self::UnknownName,
            Some(Tag::ArityMismatch) => Self::WrongArity,
            Some(Tag::TypeMismatch) => Self::WrongType,
            Some(Tag::DivisionByZero) => Self::DivisionByZero,
            Some(Tag::IntegerOverflow) => Self::Overflow,
            Some(Tag::NotCallable) => Self::NotCallable,
            Some(Tag::BadSpecialForm | Tag::Reader) => Self::MalformedForm,
            Some(Tag::NativeFn) => Self::WrongArgument,
            Some(Tag::SetSealed) => Self::MacroAssigns,
            Some(Tag::MacroExpansionLimit) => Self::MacroLimit,
            Some(Tag::DepthExceeded) => Self::TooDeep,
            Some(Tag::User) => Self::Thrown,
            Some(Tag::OutOfRange) => Self::OutOfRange,
            Some(Tag::FiberError) => Self::FiberFailed,
            Some(Tag::NotImplemented) => Self::ProgramSize,
            Some(Tag::NotExported) => Self::NotProvided,
            Some(Tag::NotDefined) => Self::NotInModule,
            Some(Tag::ModuleNotFound) => Self::ModuleNotFound,
            Some(Tag::CircularRequire) => Self::CircularRequire,
            Some(Tag::ModuleDenied) => Self::ModuleDepth,
            _ => Self::Tagged,
        }
    }
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}
