//! The program's own macros: functions from data to data, run by a machine while compiling.
//!
//! A macro's code sees the definitions in front of where it is used. Forms that pass through a macro unchanged keep their places and their
//! delimiters.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::table::HashMap;

use super::{CompileError, CompileOptions, Compiler, Result};
use crate::arity::Arity;
use crate::arity::HostFn;
use crate::budget::Budget;
use crate::diagnostic::Code;
use crate::image::Image;
use crate::machine::{FaultKind, Machine, Step, Tag};
use crate::reader::{Arena, Datum, Id, Shape, Sym};
use crate::span::Span;
use crate::value::{Value, tag};

/// What one expansion may use. Its fuel is less when not so much is left of the program's; its heap is what the limits say.
const BUDGET: Budget = Budget { fuel: 2_000_000, heap_bytes: 0, depth: 5_000, stack_words: 1 << 16, output_bytes: 1 << 16 };
/// Fuel that a word of a macro's image takes: what compiling it costs, in steps.
const WORD_FUEL: u64 = 16;

const HOSTS: &[&[HostFn]] = &[&[HostFn {
    name: "%macro-args",
    arity: Arity::exactly(0),
    writes: false,
    secret: false,
    doc: "The arguments of the macro that is being expanded.",
}]];

pub(super) struct Macro {
    params: Id,
    body: Vec<Id>,
    required: usize,
    most: Option<usize>,
    image: Option<Image>,
    /// How many definitions stood in front of the use that it was compiled for, and the names that matter to it.
    seen: usize,
    uses: BTreeSet<Sym>,
}

fn malformed(span: Span, reason: &str) -> CompileError {
    CompileError::new(Tag::Reader, span, format_args!("`defmacro`: {reason}")).coded(Code::MacroDefinition)
}

impl Compiler<'_> {
    pub(super) fn define_macro(&mut self, form: Id) -> Result<()> {
        let span = self.arena.span(form);
        let items = self.arena.items(form).to_vec();
        if items.len() < 4 {
            return Err(malformed(span, "a name, parameters and a body are expected"));
        }
        let name = self.arena.as_symbol(items[1]).ok_or_else(|| malformed(span, "a name is expected"))?;
        if !self.arena.is_list(items[2]) {
            return Err(malformed(span, "parameters are expected"));
        }
        let mut required = 0;
        let mut optional = None;
        let mut rest = false;
        let params = self.arena.items(items[2]);
        for (i, param) in params.iter().enumerate() {
            match self.arena.symbol_text(*param) {
                Some("&optional") if optional.is_none() => optional = Some(0),
                Some("&optional") => return Err(malformed(span, "`&optional` comes twice")),
                Some("&rest" | "&" | "&body") => {
                    if i + 2 != params.len() || self.arena.as_symbol(params[i + 1]).is_none() {
                        return Err(malformed(span, "one name is expected after `&rest`, the last"));
                    }
                    rest = true;
                    break;
                }
                None if !self.arena.is_list(*param) => return Err(malformed(span, "a parameter is a name")),
                _ => match &mut optional {
                    Some(n) => *n += 1,
                    None => required += 1,
                },
            }
        }
        let most = (!rest).then_some(required + optional.unwrap_or(0));
        let made = Macro { params: items[2], body: items[3..].to_vec(), required, most, image: None, seen: 0, uses: BTreeSet::new() };
        self.macros.insert((self.namespace, name), made);
        Ok(())
    }

    /// The form rewritten by the macro its head names; `None` when it names none.
    pub(super) fn expand_macro(&mut self, head: Sym, form: Id) -> Result<Option<Id>> {
        let key = (self.namespace, head);
        let Some(m) = self.macros.get(&key) else {
            return Ok(None);
        };
        let span = self.arena.span(form);
        let args = self.arena.items(form)[1..].to_vec();
        let name = self.arena.names.get(head).to_string();
        if args.len() < m.required || m.most.is_some_and(|most| args.len() > most) {
            let mut wants = String::new();
            let _ = crate::arity::write(&mut wants, m.required, m.most);
            let got = args.len();
            let e = CompileError::new(Tag::NativeFn, span, format_args!("macro `{name}` expected {wants}, got {got}"));
            let params = self.arena.items(m.params).iter().map(|p| self.arena.symbol_text(*p).unwrap_or("…"));
            let shape: String = params.flat_map(|param| [" ", param]).collect();
            return Err(e.coded(Code::MacroArguments).with(|d| d.help(format_args!("it is `({name}{shape})`"))));
        }
        self.expansions += 1;
        let limit = self.options.limits.macro_uses;
        if self.expansions > limit {
            return Err(CompileError::new(
                Tag::MacroExpansionLimit,
                span,
                format_args!("macro `{name}`: more than {limit} uses of macros in one program"),
            ));
        }
        let fresh = self.definitions.get(m.seen..).is_some_and(|new| !new.iter().any(|(name, _)| m.uses.contains(name)));
        if m.image.is_none() || !fresh {
            let image = self.compile_macro(key, span)?;
            self.charge_macros(WORD_FUEL * image.program().words().len() as u64, span)?;
            if let Some(m) = self.macros.get_mut(&key) {
                m.image = Some(image);
            }
        }
        let Some(image) = self.macros.get_mut(&key).and_then(|m| m.image.take()) else {
            return Ok(None);
        };
        self.note_expansion(span);
        let result = self.run_macro(&image, &args, span, &name);
        if let Some(m) = self.macros.get_mut(&key) {
            m.image = Some(image);
        }
        result.map(Some)
    }

    /// Gives a macro a second name; whether there is one.
    pub(super) fn share_macro(&mut self, from: (u16, Sym), to: (u16, Sym)) -> bool {
        let Some(m) = self.macros.get(&from) else {
            return false;
        };
        let copy = Macro { body: m.body.clone(), image: None, uses: BTreeSet::new(), ..*m };
        self.macros.insert(to, copy);
        true
    }

    /// Name, parameters and body of every macro of a namespace.
    pub(super) fn macro_bodies(&self, namespace: u16) -> Vec<(String, Id, Vec<Id>)> {
        let own = self.macros.iter().filter(|((n, _), _)| *n == namespace);
        own.map(|((_, name), m)| (self.arena.names.get(*name).to_string(), m.params, m.body.clone())).collect()
    }

    /// Names that occur in a datum.
    pub(super) fn names_in(&self, id: Id, into: &mut BTreeSet<Sym>) {
        let mut work = alloc::vec![id];
        while let Some(id) = work.pop() {
            match self.arena.get(id) {
                Datum::Symbol(s) => {
                    into.insert(s);
                }
                Datum::List { .. } => work.extend_from_slice(self.arena.items(id)),
                _ => {}
            }
        }
    }

    /// The image of a macro: the definitions it reaches, then its function applied to its arguments.
    fn compile_macro(&mut self, key: (u16, Sym), span: Span) -> Result<Image> {
        let limit = self.options.limits.macro_depth;
        if self.macro_depth >= limit {
            return Err(CompileError::new(
                Tag::MacroExpansionLimit,
                span,
                format_args!("macros use macros that use macros, more than {limit} deep"),
            ));
        }
        let Some(m) = self.macros.get(&key) else {
            return Err(malformed(span, "it is gone"));
        };
        let (params, body) = (m.params, m.body.clone());
        let mut names = BTreeSet::new();
        for form in &body {
            self.names_in(*form, &mut names);
        }
        self.names_in(params, &mut names);
        // Reached definitions and macros, again and again until no new one is reached.
        let mut reached = alloc::vec![false; self.definitions.len()];
        let mut scanned = BTreeSet::new();
        loop {
            let mut changed = false;
            let used: Vec<Sym> = names.iter().copied().filter(|n| !scanned.contains(n)).collect();
            for name in used {
                scanned.insert(name);
                for form in self.macros.get(&(key.0, name)).map(|m| m.body.clone()).unwrap_or_default() {
                    changed = true;
                    self.names_in(form, &mut names);
                }
            }
            for (reached, (name, form)) in reached.iter_mut().zip(self.definitions.clone()) {
                if !*reached && names.contains(&name) {
                    *reached = true;
                    changed = true;
                    self.names_in(form, &mut names);
                }
            }
            if !changed {
                break;
            }
        }
        let mut forms: Vec<Id> = self.definitions.iter().zip(&reached).filter(|(_, r)| **r).map(|((_, form), _)| *form).collect();
        let seen = self.definitions.len();
        if let Some(m) = self.macros.get_mut(&key) {
            (m.seen, m.uses) = (seen, names);
        }
        let mut make = self.make(span);
        let mut lambda = alloc::vec![params];
        lambda.extend(body);
        let lambda = make.form("lambda", &lambda);
        let args = make.form("%macro-args", &[]);
        forms.push(make.form("%apply", &[lambda, args]));
        let options = CompileOptions { hosts: HOSTS, force: true, limits: self.options.limits, ..CompileOptions::default() };
        let mut sub = Compiler::new(&options);
        sub.arena = core::mem::take(&mut self.arena);
        sub.macros = core::mem::take(&mut self.macros);
        sub.macro_memory = core::mem::take(&mut self.macro_memory);
        sub.optional_params = true;
        sub.building_macro = true;
        sub.sealed = true;
        sub.macro_depth = self.macro_depth + 1;
        sub.fresh = self.fresh;
        sub.expansions = self.expansions;
        sub.macro_fuel = self.macro_fuel;
        let analyzed = sub.program(forms);
        self.fresh = sub.fresh;
        self.expansions = sub.expansions;
        self.macro_fuel = sub.macro_fuel;
        self.macros = core::mem::take(&mut sub.macros);
        self.macro_memory = core::mem::take(&mut sub.macro_memory);
        // Linking needs the texts; the arena comes back afterwards.
        let image = analyzed.and_then(|()| sub.link()).map(|(image, _)| image);
        self.arena = core::mem::take(&mut sub.arena);
        image
    }

    fn run_macro(&mut self, image: &Image, args: &[Id], span: Span, name: &str) -> Result<Id> {
        let program = image.program();
        let limits = &self.options.limits;
        let budget = Budget {
            fuel: BUDGET.fuel.min(limits.macro_fuel.saturating_sub(self.macro_fuel)),
            heap_bytes: limits.macro_heap_bytes,
            ..BUDGET
        };
        let needed = program.words_needed(&budget);
        let mut memory = core::mem::take(&mut self.macro_memory);
        if memory.len() < needed {
            memory.resize(needed, 0);
        }
        let result = match Machine::new(program, &mut memory, &budget) {
            Ok(mut machine) => {
                let made = self.drive(&mut machine, args, span, name);
                // What it took is charged whether or not it came to anything.
                self.charge_macros(1 + machine.fuel_used(), span).and(made)
            }
            Err(e) => Err(CompileError::new(Tag::NotImplemented, span, format_args!("{e}"))),
        };
        self.macro_memory = memory;
        result
    }

    fn drive(&mut self, machine: &mut Machine<'_>, args: &[Id], span: Span, name: &str) -> Result<Id> {
        let fail = |what: &str| CompileError::new(Tag::NativeFn, span, format_args!("macro `{name}`: {what}"));
        let mut places: HashMap<u64, Id> = HashMap::default();
        machine.gensym_base = self.gensyms;
        // Places are noted by where lists lie.
        machine.collects = false;
        loop {
            match machine.run(u64::MAX) {
                Step::Call => {
                    let mut items = Vec::new();
                    for arg in args {
                        items.push(to_value(&self.arena, *arg, machine, &mut places).map_err(|_| fail("its arguments are too large"))?.0);
                    }
                    let list = machine.heap.list(&items, Value::NIL).map_err(|_| fail("its arguments are too large"))?;
                    machine.resume(list);
                }
                Step::Output | Step::Paused => {}
                Step::Done(v) => {
                    self.gensyms = machine.gensyms;
                    return to_datum(&mut self.arena, v, machine, &places, args, span)
                        .map_err(|what| fail(&alloc::format!("it returned a {what}, which is no form")).coded(Code::MacroResult));
                }
                Step::Failed => {
                    let (tag, code, message) = match machine.fault() {
                        Some(fault) => {
                            let (tag, code) = match &fault.kind {
                                FaultKind::Raised { tag } if tag == Tag::SetSealed.text() => (Tag::SetSealed, Code::MacroAssigns),
                                FaultKind::Raised { tag } => (Tag::from_text(tag).unwrap_or(Tag::User), Code::MacroFailed),
                                _ => (Tag::MacroExpansionLimit, Code::MacroLimit),
                            };
                            (tag, code, fault.message)
                        }
                        None => (Tag::NotImplemented, Code::MacroFailed, crate::machine::Message::default()),
                    };
                    return Err(CompileError::new(tag, span, format_args!("in macro `{name}`: {message}")).coded(code));
                }
            }
        }
    }
}

const fn shape_number(shape: Shape) -> u64 {
    match shape {
        Shape::Paren => 0,
        Shape::Bracket => 1,
        Shape::Brace => 2,
    }
}

/// A datum as a value of the machine. Where each list came from is noted.
fn to_value(
    arena: &Arena,
    id: Id,
    m: &mut Machine<'_>,
    places: &mut HashMap<u64, Id>,
) -> core::result::Result<Value, crate::heap::Exhausted> {
    let mut work = alloc::vec![(id, false)];
    let mut done: Vec<Value> = Vec::new();
    while let Some((id, parts_done)) = work.pop() {
        let v = match arena.get(id) {
            Datum::Bool(b) => Value::bool(b),
            Datum::Int(i) => m.heap.int(i)?,
            Datum::Float(f) => m.heap.float(f)?,
            Datum::Str(s) => m.heap.string(arena.names.get(s))?,
            Datum::Symbol(s) => m.heap.intern(tag::SYMBOL, arena.names.get(s))?,
            Datum::Keyword(s) => m.heap.intern(tag::KEYWORD, arena.names.get(s))?,
            Datum::List { shape, .. } => {
                let items = arena.items(id);
                if !parts_done {
                    work.push((id, true));
                    work.extend(items.iter().rev().map(|i| (*i, false)));
                    continue;
                }
                if items.is_empty() && shape == Shape::Brace {
                    // As a list it would be nil, and come back as such.
                    done.push(m.heap.map(0)?);
                    continue;
                }
                let parts: Vec<u64> = done.split_off(done.len() - items.len()).iter().map(|v| v.0).collect();
                let list = m.heap.list(&parts, Value::NIL)?;
                m.heap.mark_shape(list, shape_number(shape));
                if !list.is_nil() {
                    places.insert(list.0, id);
                }
                list
            }
        };
        done.push(v);
    }
    Ok(done.pop().unwrap_or(Value::NIL))
}

/// A value as a datum; the name of its type when it cannot be one.
fn to_datum(
    arena: &mut Arena,
    v: Value,
    m: &Machine<'_>,
    places: &HashMap<u64, Id>,
    args: &[Id],
    span: Span,
) -> core::result::Result<Id, &'static str> {
    /// Nodes that one expansion may produce: shared parts count every time.
    const MOST: usize = 1 << 20;
    enum Work {
        /// A value, and the datum that it perhaps came from.
        Visit(Value, Option<Id>),
        Join(usize, Shape, Span, Option<Id>),
    }
    let heap = &m.heap;
    let mut work = alloc::vec![Work::Visit(v, None)];
    let mut done: Vec<Id> = Vec::new();
    let before = arena.len();
    while let Some(next) = work.pop() {
        let (v, from) = match next {
            Work::Visit(v, from) => (v, from),
            Work::Join(n, shape, span, from) => {
                let items = done.split_off(done.len() - n);
                // What came through unchanged is the same datum, with the places of all that is in it.
                let same = from.filter(|from| arena.items(*from) == items);
                done.push(same.unwrap_or_else(|| arena.list(&items, shape, span)));
                continue;
            }
        };
        if arena.len() - before > MOST || work.len() > MOST {
            return Err("form that is too large");
        }
        let datum = if let Some(i) = heap.as_int(v) {
            Datum::Int(i)
        } else if let Some(f) = heap.as_float(v) {
            Datum::Float(f)
        } else {
            match v.tag() {
                tag::CONST if v == Value::TRUE || v == Value::FALSE => Datum::Bool(v == Value::TRUE),
                tag::CONST => {
                    done.push(arena.list(&[], Shape::Paren, span));
                    continue;
                }
                tag::STRING => Datum::Str(arena.names.intern(heap.text(v))),
                tag::SYMBOL => Datum::Symbol(arena.names.intern(heap.text(v))),
                tag::KEYWORD => Datum::Keyword(arena.names.intern(heap.text(v))),
                tag::LIST => {
                    let from = places.get(&v.0).copied().filter(|from| arena.is_list(*from));
                    let at = from.map_or(span, |from| arena.span(from));
                    let shape = match heap.shape(v) {
                        1 => Shape::Bracket,
                        2 => Shape::Brace,
                        _ => Shape::Paren,
                    };
                    let items: Vec<Value> = heap.items(v).collect();
                    let shape = if shape == Shape::Brace && !items.len().is_multiple_of(2) { Shape::Paren } else { shape };
                    let from = from.filter(|from| arena.items(*from).len() == items.len());
                    work.push(Work::Join(items.len(), shape, at, from));
                    let parts = items.into_iter().enumerate().rev();
                    work.extend(parts.map(|(i, item)| Work::Visit(item, from.map(|from| arena.item(from, i)))));
                    continue;
                }
                tag::MAP => {
                    let n = heap.map_count(v);
                    work.push(Work::Join(2 * n, Shape::Brace, span, None));
                    for i in (0..n).rev() {
                        let (k, x) = heap.map_entry(v, i);
                        work.push(Work::Visit(x, None));
                        work.push(Work::Visit(k, None));
                    }
                    continue;
                }
                _ => return Err(crate::print::type_name(v)),
            }
        };
        // An argument that is a name alone has no list to be found by.
        let alone = || args.iter().copied().find(|arg| arena.get(*arg) == datum).map_or(span, |arg| arena.span(arg));
        done.push(match from {
            Some(from) if arena.get(from) == datum => from,
            _ => {
                let at = if matches!(datum, Datum::Symbol(_)) { alone() } else { span };
                arena.add(datum, at)
            }
        });
    }
    done.pop().ok_or("nothing")
}
