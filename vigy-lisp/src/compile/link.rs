//! What global names mean, what of the library is reached, and the image made of it all.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::constants::Constants;
use super::emit::{Emitter, Meaning};
use super::ir::Ir;
use super::{CompileError, Compiler, Library, PRELUDE, Result, USER};
use crate::arity::HostFn;
use crate::builtins;
use crate::image::{Image, SECTIONS, Section, assemble};
use crate::machine::Tag;
use crate::reader::Sym;
use crate::span::Span;
use crate::value::{Value, tag};

/// Globals that need a place in memory, and what they are before the program defines them.
type Slots = Vec<(u32, Option<Meaning>)>;

impl Compiler<'_> {
    /// What a name means that the program itself does not define.
    fn library(&mut self, name: Sym, hosts: &mut Vec<HostFn>, user: bool) -> Result<Option<Meaning>> {
        let text = self.arena.names.get(name);
        if user {
            let host = self.options.hosts.iter().flat_map(|t| t.iter()).find(|h| h.name == text);
            if let Some(host) = host {
                let id = match hosts.iter().position(|known| known.name == text) {
                    Some(id) => id,
                    None => {
                        hosts.push(*host);
                        hosts.len() - 1
                    }
                };
                return Ok(Some(Meaning::Host(id as u32)));
            }
            if text.starts_with('%') && text != "%macro-args" {
                return Ok(None);
            }
        }
        let builtin = builtins::find(text);
        if self.options.library == Library::Portable
            && (builtin.is_some() || !user)
            && let Some(meaning) = self.portable(name)?
        {
            return Ok(Some(meaning));
        }
        if let Some(id) = builtin {
            return Ok(Some(Meaning::Builtin(id)));
        }
        self.prelude(name)
    }

    /// Finds out what every global name means, pulling in what is reached of the prelude.
    fn resolve(&mut self, hosts: &mut Vec<HostFn>) -> Result<(Vec<Meaning>, Slots)> {
        let mut meanings: Vec<Meaning> = Vec::new();
        let mut slots = Vec::new();
        // Nodes that come from here on are the prelude's.
        let nodes = self.tree.len();
        self.note_early(&mut meanings);
        let mut g = 0;
        while g < self.globals.len() {
            if meanings.len() <= g {
                meanings.push(Meaning::Unbound);
            }
            let (namespace, name, defs, sets) = {
                let global = &self.globals[g];
                (global.namespace, global.name, global.defs, global.sets)
            };
            if !matches!(meanings[g], Meaning::Unbound) {
                g += 1;
                continue;
            }
            let library = self.library(name, hosts, namespace != PRELUDE)?;
            meanings.resize(self.globals.len().max(meanings.len()), Meaning::Unbound);
            meanings[g] = if defs > 0 || (sets > 0 && library.is_some()) {
                slots.push((g as u32, library));
                Meaning::Slot(slots.len() as u32 - 1)
            } else {
                library.unwrap_or(Meaning::Unbound)
            };
            g += 1;
        }
        if !self.options.force {
            self.find_unknown(&meanings)?;
            self.find_wrong_calls(&meanings, nodes)?;
        }
        Ok((meanings, slots))
    }

    /// Functions and constants defined before anything else runs, once and for all, need no code.
    fn note_early(&self, meanings: &mut Vec<Meaning>) {
        meanings.resize(self.globals.len(), Meaning::Unbound);
        for node in &self.main {
            match self.tree.get(*node) {
                Ir::Define(g, value) if self.globals[g as usize].defs == 1 && self.globals[g as usize].sets == 0 => {
                    match self.tree.get(value) {
                        Ir::Lambda(f) if self.tree.funcs[f as usize].captures.is_empty() => {
                            meanings[g as usize] = Meaning::Function(f);
                        }
                        Ir::Word(_) | Ir::Datum(_) => {
                            meanings[g as usize] = Meaning::Constant(value);
                        }
                        _ => return,
                    }
                }
                Ir::Word(_) | Ir::Datum(_) => {}
                _ => return,
            }
        }
    }

    /// Makes the image, and says what it calls of the host.
    pub(super) fn link(&mut self) -> Result<(Image, super::Calls)> {
        self.define_environments()?;
        let mut hosts = Vec::new();
        let (meanings, mut slots) = self.resolve(&mut hosts)?;
        if let Some(wrong) = CompileError::all(core::mem::take(&mut self.notes.found)) {
            return Err(wrong);
        }
        if self.options.exports {
            let own = self.globals.iter().zip(&meanings).enumerate().filter(|(_, (global, _))| global.namespace == USER);
            let fixed = own.filter(|(_, (_, meaning))| matches!(meaning, Meaning::Function(_) | Meaning::Constant(_)));
            slots.extend(fixed.map(|(g, (_, meaning))| (g as u32, Some(*meaning))));
        }
        let calls = self.globals.iter().zip(&meanings).filter_map(|(global, meaning)| match meaning {
            Meaning::Host(id) => Some((hosts.get(*id as usize)?.name.to_string(), (global.namespace == USER).then_some(global.first))),
            _ => None,
        });
        let calls = calls.collect();
        let body = {
            let nodes = self.tree.nodes(&self.main);
            self.tree.add(Ir::Seq(nodes), Span::default())
        };
        self.tree.funcs[0].body = if self.main.is_empty() { self.tree.add(Ir::Word(Value::NIL), Span::default()) } else { body };
        let mut constants = Constants::new(self.building_macro);
        constants.globals = self.globals.iter().map(|g| g.name).collect();
        constants.imports = hosts.iter().map(|host| host.name.to_string()).collect();
        let arities: Vec<_> = hosts.iter().map(|host| (usize::from(host.arity.min), host.arity.max.map(usize::from))).collect();
        let mut e = Emitter::new(&mut self.tree, &self.arena, &meanings, &mut constants, &arities, self.options.force);
        e.row(0);
        let mut globals = Vec::new();
        for (_, initial) in &slots {
            globals.push(match initial {
                Some(Meaning::Builtin(id)) => Value::make(tag::BUILTIN, *id, 0).0,
                Some(Meaning::Host(id)) => Value::make(tag::HOST, *id, 0).0,
                Some(Meaning::Function(f)) => Value::function(e.row(*f), e.tree.funcs[*f as usize].stands).0,
                Some(Meaning::Constant(node)) => match e.tree.get(*node) {
                    Ir::Word(v) => v.0,
                    Ir::Datum(id) => e.constants.datum(e.arena, id).0,
                    _ => Value::UNBOUND.0,
                },
                _ => Value::UNBOUND.0,
            });
        }
        e.drain()?;
        let (code, functions, spans, params) = (e.code, e.functions, e.spans, e.params);
        if globals.len() > 0xffff {
            return Err(CompileError::new(
                Tag::NotImplemented,
                Span::default(),
                format_args!("a program has more than 65,536 global variables"),
            ));
        }
        let mut sections: [Vec<u64>; SECTIONS] = Default::default();
        let mut put = |s: Section, words: Vec<u64>| sections[s as usize] = words;
        put(Section::Functions, pairs(functions.iter().flat_map(|f| f.pack())));
        // Code is padded with instructions that lie behind every function.
        put(Section::Code, pairs(code.into_iter()));
        let name_of = |g: u32| {
            let global = &self.globals[g as usize];
            let name = self.arena.names.get(global.name);
            // The host finds what the program itself defines, and nothing of the same name in a module.
            let hidden = self.options.exports && global.namespace != USER;
            if hidden { alloc::format!("%{name}") } else { name.to_string() }
        };
        let names: Vec<u32> = slots.iter().map(|(g, _)| constants.name(&name_of(*g))).collect();
        put(Section::GlobalNames, pairs(names.into_iter()));
        let imports: Vec<u32> = hosts.iter().flat_map(|host| [constants.name(host.name), crate::image::import_word(host)]).collect();
        put(Section::Imports, pairs(imports.into_iter()));
        put(Section::Params, pairs(params.into_iter()));
        put(
            Section::Spans,
            pairs(spans.iter().flat_map(|(pc, s)| [*pc, s.start, s.end, s.line.min(0xf_ffff) << 12 | s.column.min(0xfff)])),
        );
        put(Section::Globals, globals);
        let (index, bytes, table) = constants.names_sections();
        put(Section::NameIndex, pairs(index.into_iter()));
        put(Section::NameBytes, bytes);
        put(Section::NameTable, pairs(table.into_iter()));
        put(Section::Constants, constants.values);
        put(Section::Frozen, constants.frozen);
        Image::assembled(assemble(&sections))
            .map(|image| (image, calls))
            .map_err(|e| CompileError::new(Tag::NotImplemented, Span::default(), format_args!("the compiler made a wrong image: {e}")))
    }
}

/// 32-bit words in pairs, the first in the lower half. An odd one out is followed by ones: no table takes that for a row.
pub(super) fn pairs(words: impl Iterator<Item = u32>) -> Vec<u64> {
    let mut out: Vec<u64> = Vec::with_capacity(words.size_hint().0.div_ceil(2));
    let mut low = None;
    for word in words {
        match low.take() {
            None => low = Some(word),
            Some(l) => out.push(u64::from(l) | u64::from(word) << 32),
        }
    }
    out.extend(low.map(|l| u64::from(l) | u64::from(u32::MAX) << 32));
    out
}
