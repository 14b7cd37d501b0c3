//! Values as text.

use core::fmt::{self, Write};

use crate::builtins::Builtins;
use crate::escape::is_spelled;
use crate::heap::{Heap, Writer};
use crate::image::{Names, Program};
use crate::machine::Machine;
use crate::number::{digits, write_float};
use crate::value::{FROZEN, Value, tag};

/// How strings inside values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As they are, at every depth: what `display` and `str` do.
    Raw,
    /// Quoted and escaped, so that the reader reads them back: what `pr` and `pr-str` do.
    Readable,
}

/// Nesting up to which values are written; what is deeper is written as `…`.
const PRINT_DEPTH: usize = 128;

/// The name of a value's type in messages.
pub(crate) fn type_name(v: Value) -> &'static str {
    match v.tag() {
        0 | tag::INT => "int",
        2 | tag::FLOAT => "float",
        tag::CONST if v.is_nil() => "nil",
        tag::CONST => "bool",
        tag::SYMBOL => "symbol",
        tag::KEYWORD => "keyword",
        tag::LIST => "list",
        tag::STRING => "string",
        tag::MAP => "map",
        tag::FUNCTION if v.stands_for_builtin() => "native-fn",
        tag::CLOSURE | tag::FUNCTION => "closure",
        tag::BUILTIN | tag::HOST => "native-fn",
        tag::ERROR => "error",
        tag::PROMISE => "promise",
        _ => "foreign",
    }
}

/// Where functions have their names.
#[derive(Clone, Copy)]
pub(crate) struct Functions<'m> {
    pub(crate) program: Program<'m>,
    pub(crate) builtins: &'m Builtins,
}

/// The name of a function; nothing of what is none.
fn function_name<'m>(heap: &Heap<'_>, program: &Program<'m>, builtins: &'m Builtins, v: Value) -> Option<&'m str> {
    Some(match v.object_tag() {
        tag::BUILTIN => builtins.name(v.index_of()),
        tag::HOST => program.import_name(v.index_of()),
        tag::CLOSURE | tag::FUNCTION => name(&program.names, program.function(heap.function_of(v)).name),
        _ => return None,
    })
}

/// What is still to be written of a list, map or error.
#[derive(Clone, Copy)]
struct Open {
    v: Value,
    next: u32,
    close: &'static str,
}

/// Where text goes, and where the values are that it tells of: both may be in the same heap.
pub(crate) trait Sink: Write {
    fn heap(&self) -> &Heap<'_>;
}

/// Text that goes somewhere else.
struct Outside<'h, 'o> {
    heap: &'h Heap<'h>,
    out: &'o mut dyn Write,
}

impl Write for Outside<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.out.write_str(s)
    }
}

impl Sink for Outside<'_, '_> {
    fn heap(&self) -> &Heap<'_> {
        self.heap
    }
}

impl Sink for Writer<'_, '_> {
    fn heap(&self) -> &Heap<'_> {
        Writer::heap(self)
    }
}

/// Writes a value to somewhere outside the heap.
pub(crate) fn write(m: &Machine<'_>, v: Value, style: Style, out: &mut dyn Write) -> fmt::Result {
    write_to(&mut Outside { heap: &m.heap, out }, m.named(), v, style)
}

/// The text of a string or name, as it is or quoted. It is copied through a buffer, because it may go where it comes from.
fn write_text(out: &mut dyn Sink, v: Value, quoted: bool) -> fmt::Result {
    let len = out.heap().bytes(v).len();
    let mut at = 0;
    let mut buffer = [0u8; 128];
    if quoted {
        out.write_char('"')?;
    }
    while at < len {
        let mut n = buffer.len().min(len - at);
        // A stretch ends where a character does.
        while at + n < len && out.heap().bytes(v)[at + n] & 0xc0 == 0x80 {
            n -= 1;
        }
        buffer[..n].copy_from_slice(&out.heap().bytes(v)[at..at + n]);
        at += n;
        let text = core::str::from_utf8(&buffer[..n]).unwrap_or_default();
        if quoted {
            for c in text.chars() {
                match c {
                    '\0' => out.write_str("\\0")?,
                    '\t' => out.write_str("\\t")?,
                    '\r' => out.write_str("\\r")?,
                    '\n' => out.write_str("\\n")?,
                    '"' => out.write_str("\\\"")?,
                    '\\' => out.write_str("\\\\")?,
                    ' '..='~' => out.write_char(c)?,
                    _ if c > '~' && !is_spelled(c) => out.write_char(c)?,
                    _ => c.escape_unicode().try_for_each(|c| out.write_char(c))?,
                }
            }
        } else {
            out.write_str(text)?;
        }
    }
    if quoted { out.write_char('"') } else { Ok(()) }
}

/// Writes a value.
pub(crate) fn write_to(out: &mut dyn Sink, functions: Functions<'_>, v: Value, style: Style) -> fmt::Result {
    let mut stack: heapless::Vec<Open, PRINT_DEPTH> = heapless::Vec::new();
    let mut current = Some(v);
    loop {
        if let Some(v) = current.take() {
            let open = match v.object_tag() {
                tag::LIST => {
                    out.write_char('(')?;
                    Some(Open { v, next: 0, close: ")" })
                }
                tag::MAP => {
                    out.write_char('{')?;
                    Some(Open { v, next: 0, close: "}" })
                }
                tag::ERROR => {
                    let (tag, message, data) = {
                        let heap = out.heap();
                        (heap.field(v, 0), heap.field(v, 1), heap.field(v, 2))
                    };
                    out.write_str("#<error :")?;
                    write_text(out, tag, false)?;
                    out.write_char(' ')?;
                    write_text(out, message, true)?;
                    if data.is_pair() {
                        out.write_str(" {")?;
                        Some(Open { v: data, next: 0, close: "}>" })
                    } else {
                        out.write_char('>')?;
                        None
                    }
                }
                tag::PROMISE if out.heap().count(v) == 1 => {
                    out.write_str("#<promise ")?;
                    Some(Open { v, next: 0, close: ">" })
                }
                _ => {
                    write_leaf(&functions, v, style, out)?;
                    None
                }
            };
            if let Some(open) = open
                && stack.push(open).is_err()
            {
                out.write_str("…")?;
                out.write_str(open.close)?;
            }
        }
        let Some(open) = stack.last_mut() else {
            return Ok(());
        };
        let heap = out.heap();
        let part = match open.v.object_tag() {
            tag::LIST => {
                let first = heap.first(open.v);
                open.v = heap.rest(open.v);
                Some(first)
            }
            tag::MAP if (open.next as usize) < 2 * heap.map_count(open.v) => {
                let (k, v) = heap.map_entry(open.v, open.next as usize / 2);
                Some(if open.next % 2 == 0 { k } else { v })
            }
            tag::PROMISE if open.next == 0 => Some(heap.field(open.v, 0)),
            _ => None,
        };
        match part {
            Some(part) => {
                if open.next > 0 {
                    out.write_str(if open.v.is(tag::MAP) && open.next % 2 == 0 { ", " } else { " " })?;
                }
                open.next += 1;
                current = Some(part);
            }
            None => {
                out.write_str(open.close)?;
                stack.pop();
            }
        }
    }
}

// Within the loop of `write_to`, what it needs for each kind of value would be worked out for every value.
#[cfg_attr(target_os = "none", inline(never))]
fn write_leaf(functions: &Functions<'_>, v: Value, style: Style, out: &mut dyn Sink) -> fmt::Result {
    let program = &functions.program;
    let int = out.heap().as_int(v);
    if let Some(i) = int {
        return out.write_str(&digits(i));
    }
    let float = out.heap().as_float(v);
    if let Some(f) = float {
        return write_float(f, out);
    }
    match v.object_tag() {
        tag::CONST => out.write_str(match v {
            Value::TRUE => "#t",
            Value::FALSE => "#f",
            _ => "()",
        }),
        tag::SYMBOL => write_text(out, v, false),
        tag::KEYWORD => {
            out.write_char(':')?;
            write_text(out, v, false)
        }

        tag::STRING => write_text(out, v, style == Style::Readable),
        tag::CLOSURE | tag::FUNCTION => {
            let f = program.function(out.heap().function_of(v));
            // A function that the library itself made is as nameless as the program's own.
            if f.native && f.name != u32::MAX {
                out.write_str("#<native ")?;
                out.write_str(name(&program.names, f.name))?;
            } else {
                out.write_str("#<closure")?;
                let params = &program.params[f.params.0 as usize..][..f.params.1 as usize];
                let fixed = params.len() - usize::from(f.rest);
                // A rest parameter alone is not shown, behind others it is.
                for (i, param) in params.iter().enumerate().filter(|_| fixed > 0) {
                    out.write_str(if i == 0 { " (" } else { " " })?;
                    if i == fixed {
                        out.write_str(". ")?;
                    }
                    out.write_str(name(&program.names, *param))?;
                }
                if fixed > 0 {
                    out.write_char(')')?;
                }
            }
            out.write_char('>')
        }
        tag::BUILTIN | tag::HOST => {
            out.write_str("#<native ")?;
            let name = function_name(out.heap(), program, functions.builtins, v);
            out.write_str(name.unwrap_or_default())?;
            out.write_char('>')
        }
        tag::PROMISE => out.write_str("#<promise pending>"),
        _ => out.write_str("#<foreign>"),
    }
}

pub(crate) fn name<'i>(names: &Names<'i>, id: u32) -> &'i str {
    if id == u32::MAX { "lambda" } else { names.text(id & !FROZEN) }
}

/// The name in messages of what is called.
pub(crate) fn callee<'m>(heap: &Heap<'_>, program: &Program<'m>, builtins: &'m Builtins, v: Value) -> &'m str {
    function_name(heap, program, builtins, v).unwrap_or_else(|| type_name(v))
}
