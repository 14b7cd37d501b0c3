//! Instructions: 32 bits each, some followed by a second word.
//!
//! ```text
//! cccccccc bbbbbbbb aaaaaaaa oooooooo     a b c: registers or small numbers; bx: b and c as one 16-bit number
//! ```
//!
//! A call puts the callee into register `a`, leaves `a + 1` to the machine and has its arguments from `a + 2` on: there the
//! window of the callee starts, so nothing is copied. The result arrives in `a`.

use crate::image::{Function, Program};
use core::ops::Range;

/// Registers of one function. The rest of a window is slack for the calls it makes.
pub(crate) const MAX_REGISTERS: u8 = 250;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $len:literal,)*) => {
        /// What an instruction does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Op { $($(#[$doc])* $name,)* }

        /// The same as bytes, for the machine: matching on them needs no table but the jump's own.
        #[allow(non_upper_case_globals, reason = "named like what they are the bytes of")]
        pub(crate) mod byte {
            $(pub(crate) const $name: u8 = super::Op::$name as u8;)*
        }

        const OPS: &[Op] = &[$(Op::$name,)*];
        const LENGTHS: &[u8] = &[$($len,)*];
    };
}

ops! {
    /// a := b
    Move = 1,
    /// a := b, then a + 1 := c
    MoveTwo = 1,
    /// a := constant bx
    Const = 1,
    /// a := the int bx
    Int = 1,
    /// a := nil, false, true, unbound or absent by b
    Imm = 1,
    /// a := global bx, which must be bound
    Global = 1,
    /// global bx, which must be bound, := a
    SetGlobal = 1,
    /// global bx := a
    Define = 1,
    /// a := capture b
    Capture = 1,
    /// a := the closure that runs
    Own = 1,
    /// a := a new cell around a
    Cell = 1,
    /// a := content of the cell in b
    CellGet = 1,
    /// content of the cell in a := b
    CellSet = 1,
    /// a := closure of function bx; one word per capture follows
    Closure = 1,
    /// Forward by abc.
    Jump = 1,
    /// Back by abc; costs fuel.
    Loop = 1,
    /// a := b, then back by the next word; costs fuel.
    LoopMove = 2,
    /// Jump by bx when a is false.
    JumpFalse = 1,
    /// Jump by bx when a is true.
    JumpTrue = 1,
    /// Jump by bx when a is nil.
    JumpNil = 1,
    /// Jump by bx when a is not nil.
    JumpSome = 1,
    /// Jump by the next word unless a < b.
    NotLess = 2,
    /// … unless a <= b
    NotAtMost = 2,
    /// … unless a = b
    NotEqual = 2,
    /// … unless a < bx
    NotLessInt = 2,
    /// … unless a <= bx
    NotAtMostInt = 2,
    /// … unless a > bx
    NotMoreInt = 2,
    /// … unless a >= bx
    NotAtLeastInt = 2,
    /// … unless a = bx
    NotEqualInt = 2,
    /// a := b + c
    Add = 1,
    /// a := b - c
    Sub = 1,
    /// a := b * c
    Mul = 1,
    /// a := b modulo c
    Mod = 1,
    /// a := b + the int c
    AddInt = 1,
    /// a := b < c
    Less = 1,
    /// a := b <= c
    AtMost = 1,
    /// a := b = c
    Equal = 1,
    /// a := not b
    Not = 1,
    /// a := whether b is nil
    IsNil = 1,
    /// a := cons b c
    Cons = 1,
    /// a := car b
    Car = 1,
    /// a := cdr b
    Cdr = 1,
    /// a := what the map b has under c; nil has nothing
    Get = 1,
    /// a := what the map b has under constant c, nil when b is no map
    Field = 1,
    /// The buffer b takes c; a := nil
    Push = 1,
    /// Call a with b arguments.
    Call = 1,
    /// Call a with b arguments instead of going on here; for what is no closure, the result arrives in a.
    TailCall = 1,
    /// Call function bx, which takes just the arguments that are there.
    CallKnown = 1,
    /// The same instead of going on here.
    TailKnown = 1,
    /// c := builtin (next word) of b arguments from a on
    Builtin = 2,
    /// c := host function (next word) of b arguments from a on; stops the machine
    Host = 2,
    /// Call a with b arguments, of which the last is a list of more.
    Apply = 1,
    /// The same instead of going on here.
    TailApply = 1,
    /// The result of the function is a.
    Return = 1,
    /// From here to the matching `EndTry`, errors arrive in a at the next word's distance; a and a + 1 are taken.
    Try = 2,
    /// The `Try` with register a is over.
    EndTry = 1,
    /// Raises what the compiler found: kind a, message constant in the next word.
    Raise = 2,
}

impl Op {
    #[inline]
    pub(crate) fn decode(word: u32) -> Option<Self> {
        OPS.get((word & 0xff) as usize).copied()
    }

    /// Whether control never goes on behind the instruction.
    pub(crate) const fn ends(self) -> bool {
        matches!(self, Self::Return | Self::Jump | Self::Loop | Self::LoopMove | Self::Raise)
    }

    /// Whether the frame is over, or another function's, behind the instruction.
    pub(crate) const fn leaves(self) -> bool {
        matches!(self, Self::Return | Self::TailCall | Self::TailKnown | Self::TailApply)
    }
}

#[inline]
pub(crate) const fn a(word: u32) -> usize {
    (word >> 8) as u8 as usize
}
#[inline]
pub(crate) const fn b(word: u32) -> usize {
    (word >> 16) as u8 as usize
}
#[inline]
pub(crate) const fn c(word: u32) -> usize {
    (word >> 24) as usize
}
#[inline]
pub(crate) const fn bx(word: u32) -> usize {
    (word >> 16) as usize
}
#[inline]
pub(crate) const fn sbx(word: u32) -> i32 {
    (word as i32) >> 16
}
#[inline]
pub(crate) const fn sabc(word: u32) -> i32 {
    (word as i32) >> 8
}

/// Words of the instruction at `at`; `None` when the code ends before them.
pub(crate) fn length(code: &[u32], at: usize) -> Option<usize> {
    let op = Op::decode(*code.get(at)?)?;
    // A closure says with its second word how many captures follow.
    let len = if op == Op::Closure { (*code.get(at + 1)? as usize).checked_add(2)? } else { usize::from(LENGTHS[op as usize]) };
    (len <= code.len() - at).then_some(len)
}

/// Where the jump at `at` leads, when it is one.
pub(crate) fn target(code: &[u32], at: usize) -> Option<i64> {
    let word = code[at];
    let offset = match Op::decode(word)? {
        Op::Jump | Op::Loop => sabc(word),
        Op::JumpFalse | Op::JumpTrue | Op::JumpNil | Op::JumpSome => sbx(word),
        Op::LoopMove
        | Op::NotLess
        | Op::NotAtMost
        | Op::NotEqual
        | Op::NotLessInt
        | Op::NotAtMostInt
        | Op::NotMoreInt
        | Op::NotAtLeastInt
        | Op::NotEqualInt
        | Op::Try => code[at + 1] as i32,
        _ => return None,
    };
    Some(at as i64 + i64::from(offset))
}

/// The registers that the instruction writes, itself. `Try` and `EndTry` are looked at apart.
pub(crate) fn written(op: Op, word: u32) -> Range<usize> {
    match op {
        Op::Builtin | Op::Host => c(word)..c(word) + 1,
        Op::MoveTwo => a(word)..a(word) + 2,
        Op::Move
        | Op::LoopMove
        | Op::Const
        | Op::Int
        | Op::Imm
        | Op::Global
        | Op::Capture
        | Op::Own
        | Op::Cell
        | Op::CellGet
        | Op::Closure
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Mod
        | Op::AddInt
        | Op::Less
        | Op::AtMost
        | Op::Equal
        | Op::Not
        | Op::IsNil
        | Op::Cons
        | Op::Car
        | Op::Cdr
        | Op::Get
        | Op::Field
        | Op::Push
        | Op::Call
        | Op::TailCall
        | Op::Apply
        | Op::TailApply => a(word)..a(word) + 1,
        _ => 0..0,
    }
}

/// The first of the registers that a call may use up, from there on: for the callee's window, or as scratch.
pub(crate) fn clobbers_from(op: Op, word: u32) -> Option<usize> {
    match op {
        Op::Call | Op::TailCall | Op::CallKnown | Op::TailKnown | Op::Apply | Op::TailApply | Op::Builtin => Some(a(word)),
        _ => None,
    }
}

/// Whether every operand of the instruction is in range. Jumps are checked apart.
pub(crate) fn operands_fit(p: &Program<'_>, code: &[u32], at: usize, op: Op, function: &Function) -> bool {
    let word = code[at];
    let (registers, captures) = (function.registers, function.captures);
    let (ra, rb, rc) = (a(word), b(word), c(word));
    let n = usize::from(registers);
    let (fa, fb, fc) = (ra < n, rb < n, rc < n);
    match op {
        Op::MoveTwo => ra + 1 < n && fb && fc,
        Op::Move | Op::LoopMove | Op::Not | Op::IsNil | Op::Car | Op::Cdr | Op::CellGet | Op::CellSet | Op::AddInt => fa && fb,
        Op::NotLess | Op::NotAtMost | Op::NotEqual => fa && fb,
        Op::Field => fa && fb && rc < p.constants.len(),
        Op::Const => fa && bx(word) < p.constants.len(),
        Op::Int | Op::Own | Op::Cell | Op::Return | Op::EndTry => fa,
        Op::JumpFalse | Op::JumpTrue | Op::JumpNil | Op::JumpSome => fa,
        Op::NotLessInt | Op::NotAtMostInt | Op::NotMoreInt | Op::NotAtLeastInt | Op::NotEqualInt => fa,
        Op::Imm => fa && rb < 5,
        Op::Global | Op::SetGlobal | Op::Define => fa && bx(word) < p.globals.len(),
        Op::Capture => fa && rb < usize::from(captures),
        Op::Closure => {
            let f = bx(word);
            let count = code[at + 1] as usize;
            fa && f < p.function_count()
                && usize::from(p.function(f as u32).captures) == count
                && code[at + 2..at + 2 + count].iter().all(|w| match w >> 8 {
                    0 => (w & 0xff) < u32::from(registers),
                    1 => (w & 0xff) < u32::from(captures),
                    _ => false,
                })
        }
        Op::Jump | Op::Loop => true,
        Op::Add | Op::Sub | Op::Mul | Op::Mod | Op::Less | Op::AtMost | Op::Equal | Op::Cons | Op::Get | Op::Push => fa && fb && fc,
        Op::Call | Op::TailCall | Op::Apply | Op::TailApply => ra + 2 + rb <= n && (rb > 0 || matches!(op, Op::Call | Op::TailCall)),
        Op::CallKnown | Op::TailKnown => {
            let f = bx(word);
            f < p.function_count() && {
                let f = p.function(f as u32);
                ra + 2 + usize::from(f.required) <= n && f.optional == 0 && !f.rest && f.captures == 0
            }
        }
        Op::Builtin => ra + rb <= n && fc && crate::builtins::accepts(code[at + 1], rb),
        Op::Host => {
            ra + rb <= n && fc && (code[at + 1] as usize) < p.imports.len() / 2 && {
                let (min, max) = p.import_arity(code[at + 1]);
                rb >= min && max.is_none_or(|max| rb <= max)
            }
        }
        Op::Try => ra + 1 < n,
        Op::Raise => (code[at + 1] as usize) < p.constants.len() && crate::machine::Tag::from_code(ra).is_some(),
    }
}
