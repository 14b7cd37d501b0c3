//! What the compiler notices beside the code it makes: all mistakes of a text, not only the first, and what is no mistake and yet hardly meant.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::emit::Meaning;
use super::error::nearest;
use super::ir::{Ir, Node};
use super::shapes;
use super::table::{HashMap, HashSet};
use super::{CompileError, Compiler, ErrorKind, PRELUDE, Result, USER, prelude};
use crate::arity;
use crate::builtins;
use crate::diagnostic::{Code, Diagnostic, MAX_DIAGNOSTICS};
use crate::machine::Tag;
use crate::reader::{Datum, Id, Sym};
use crate::span::Span;

/// What was noticed so far.
#[derive(Default)]
pub(super) struct Notes {
    /// Mistakes that the rest of the text was read on after.
    pub(super) found: Vec<CompileError>,
    warnings: Vec<Diagnostic>,
    /// How many data the program's own text has: those are the first of the arena.
    text: u32,
    locals: Vec<Local>,
    /// Where macros were used, by their offsets: what stands at just such a place is the macro's.
    expanded: HashSet<(u32, u32)>,
    /// Whether something reads a variable, by its number.
    used: Vec<bool>,
    /// Names that nobody has to use: they hold a place in a pattern.
    exempt: HashSet<Id>,
    /// Names that a broken form would perhaps have defined.
    lost: HashSet<Sym>,
    /// A module could not be loaded, so nobody knows what it defines.
    lost_module: bool,
}

/// A name that is bound somewhere inside the program.
struct Local {
    namespace: u16,
    name: Sym,
    at: Option<Id>,
    var: u32,
    within: Span,
}

const DEFINERS: [&str; 5] = ["define", "defn", "defn-", "def", "defmacro"];

impl Compiler<'_> {
    /// What is met at run time in the place of a mistake. The mistake is noted; too many are the end.
    pub(super) fn survive(&mut self, e: CompileError) -> Result<(Ir, Span)> {
        if !self.force {
            return Err(e);
        }
        let e = self.in_module(self.namespace, e);
        let met = (Ir::Raise(e.tag, self.arena.names.intern(&e.message)), e.span);
        if !self.options.force {
            if self.notes.found.len() + 1 >= MAX_DIAGNOSTICS {
                return Err(e);
            }
            self.notes.found.push(e);
        }
        Ok(met)
    }

    /// The mistake, with the module whose text it is in.
    pub(super) fn in_module(&self, namespace: u16, mut e: CompileError) -> CompileError {
        let Some((path, base)) = (namespace > USER).then(|| self.module_text(namespace)).flatten() else { return e };
        for d in e.diagnostics.iter_mut().filter(|d| d.module.is_none()) {
            d.module = Some(path.to_string());
            for span in d.span.iter_mut().chain(d.notes.iter_mut().filter_map(|note| note.span.as_mut())) {
                (span.start, span.end) = (span.start.saturating_sub(base), span.end.saturating_sub(base));
            }
        }
        e
    }

    /// From here on, everything in the arena is made by the compiler, or read for it.
    pub(super) fn note_text(&mut self) {
        self.notes.text = self.arena.len() as u32;
    }

    fn in_text(&self, id: Id) -> bool {
        id.0 < self.notes.text && !self.building_macro
    }

    /// Notes that a variable is bound by the name at `at`, visible in the form at `within`. Without `at`, nobody has to use it.
    pub(super) fn note_local(&mut self, name: Sym, at: Option<Id>, var: u32, within: Span) {
        self.notes.locals.push(Local { namespace: self.namespace, name, at, var, within });
    }

    pub(super) fn note_expansion(&mut self, span: Span) {
        self.notes.expanded.insert((span.start, span.end));
    }

    pub(super) fn note_use(&mut self, var: u32) {
        let (used, var) = (&mut self.notes.used, var as usize);
        if used.len() <= var {
            used.resize(var + 1, false);
        }
        used[var] = true;
    }

    pub(super) fn note_exempt(&mut self, name: Id) {
        self.notes.exempt.insert(name);
    }

    /// Names that a broken top-level form would have defined are not reported as unknown.
    pub(super) fn note_lost(&mut self, form: Id) {
        let items = self.arena.items(form);
        if self.arena.head(form) == Some("require") {
            self.notes.lost_module = true;
            let names = items.iter().flat_map(|i| self.arena.items(*i)).filter_map(|i| self.arena.as_symbol(*i));
            self.notes.lost.extend(names);
        }
        self.notes.lost.extend(items.get(1).and_then(|name| self.arena.as_symbol(*name)));
    }

    /// Warns of a clause that stands behind one that always applies.
    pub(super) fn warn_unreachable(&mut self, clause: Id, form: &str) {
        if self.in_text(clause) {
            let span = self.arena.span(clause);
            let d = Diagnostic::new(Code::Unreachable, Some(span), format_args!("this clause of `{form}` is never reached"));
            self.warn(d.help("a clause in front of it always applies"));
        }
    }

    fn warn(&mut self, d: Diagnostic) {
        if self.notes.warnings.len() < MAX_DIAGNOSTICS && !self.notes.warnings.contains(&d) {
            self.notes.warnings.push(d);
        }
    }

    /// All warnings, in the order of the text.
    pub(super) fn warnings(&mut self, forms: &[Id]) -> Vec<Diagnostic> {
        self.unused_locals();
        self.definitions_of(forms);
        let mut warnings = core::mem::take(&mut self.notes.warnings);
        warnings.sort_by_key(|d| d.span.map(|span| span.start));
        warnings
    }

    fn unused_locals(&mut self) {
        for local in core::mem::take(&mut self.notes.locals) {
            let Some(at) = local.at else { continue };
            let name = self.arena.names.get(local.name);
            let used = self.notes.used.get(local.var as usize) == Some(&true);
            let meant = used || name.starts_with('_') || self.notes.exempt.contains(&at);
            if meant || !self.in_text(at) || self.notes.expanded.contains(&(local.within.start, local.within.end)) {
                continue;
            }
            let d = Diagnostic::new(Code::UnusedBinding, Some(self.arena.span(at)), format_args!("`{name}` is never used"));
            let d = d.help(format_args!("`_{name}` says that this is meant"));
            self.warn(d);
        }
    }

    /// Definitions that nothing uses, and those that hide something of the language or of the host.
    fn definitions_of(&mut self, forms: &[Id]) {
        let mut names = Vec::new();
        let mut runs = false;
        for form in forms {
            match self.arena.head(*form) {
                Some(head) if DEFINERS.contains(&head) => names.extend(self.defined_name(*form)),
                Some("require" | "comment" | "use-domain" | "use-library") => {}
                // A module is used by others.
                Some("provide") => return,
                _ => runs = true,
            }
        }
        let mut mentions: HashMap<Sym, u32> = HashMap::default();
        for id in (0..self.notes.text).map(Id) {
            if let Datum::Symbol(name) = self.arena.get(id) {
                *mentions.entry(name).or_default() += 1;
            }
        }
        let mut definitions: HashMap<Sym, u32> = HashMap::default();
        names.iter().for_each(|(_, name)| *definitions.entry(*name).or_default() += 1);
        let library: HashSet<&str> = prelude::names().collect();
        for (at, name) in &names {
            let text = self.arena.names.get(*name);
            let span = Some(self.arena.span(*at));
            let hidden = if self.options.hosts.iter().any(|table| table.iter().any(|h| h.name == text)) {
                "a function of the host"
            } else if builtins::find(text).is_some() || library.contains(text) {
                "a function of the language"
            } else if shapes::of(text).is_some() {
                "a form of the language"
            } else {
                ""
            };
            let unused = runs && !text.starts_with('_') && mentions.get(name) <= definitions.get(name);
            let unused = unused.then(|| Diagnostic::new(Code::UnusedDefinition, span, format_args!("`{text}` is defined and never used")));
            let hides = Diagnostic::new(Code::ShadowedName, span, format_args!("`{text}` hides {hidden}"));
            let hides = hides.help("everything behind this definition means the new one");
            unused.into_iter().for_each(|d| self.warn(d));
            if !hidden.is_empty() {
                self.warn(hides);
            }
        }
    }

    /// The name that a form defines, and where it stands.
    fn defined_name(&self, form: Id) -> Option<(Id, Sym)> {
        let target = *self.arena.items(form).get(1)?;
        let at = if self.arena.is_list(target) { *self.arena.items(target).first()? } else { target };
        Some((at, self.arena.as_symbol(at)?))
    }

    /// Notes every name that nothing defines.
    pub(super) fn find_unknown(&mut self, meanings: &[Meaning]) -> Result<()> {
        let mut unknown: Vec<(u16, Sym, Span)> = Vec::new();
        for (global, meaning) in self.globals.iter().zip(meanings) {
            let text = self.arena.names.get(global.name);
            let lost = self.defined.contains(&(global.namespace, global.name))
                || self.notes.lost.contains(&global.name)
                || self.notes.lost_module && text.contains('/');
            if matches!(meaning, Meaning::Unbound) && !lost {
                unknown.push((global.namespace, global.name, global.first));
            }
        }
        // What another lisp calls otherwise binds names that are therefore unknown, too.
        let foreign: Vec<Span> = unknown.iter().filter(|u| shapes::elsewhere(self.arena.names.get(u.1)).is_some()).map(|u| u.2).collect();
        let forms: Vec<Span> = foreign.iter().filter_map(|head| self.form_at(*head)).collect();
        let inside = |span: Span| forms.iter().any(|form| form.start + 1 < span.start && span.end <= form.end);
        unknown.retain(|u| foreign.contains(&u.2) || !inside(u.2));
        for (namespace, name, span) in unknown {
            let e = self.unknown(namespace, name, span);
            self.find(e)?;
        }
        Ok(())
    }

    /// The place of the form whose head is at `head`.
    fn form_at(&self, head: Span) -> Option<Span> {
        let form = (0..self.notes.text).map(Id).find(|id| self.arena.items(*id).first().is_some_and(|h| self.arena.span(*h) == head))?;
        Some(self.arena.span(form))
    }

    fn find(&mut self, e: CompileError) -> Result<()> {
        if self.notes.found.len() + 1 >= MAX_DIAGNOSTICS {
            return Err(e);
        }
        self.notes.found.push(e);
        Ok(())
    }

    pub(super) fn unknown(&self, namespace: u16, name: Sym, span: Span) -> CompileError {
        let text = self.arena.names.get(name);
        let text = text.strip_prefix('%').unwrap_or(text);
        if let Some((_, needs)) = self.options.denied.iter().find(|(denied, _)| *denied == text) {
            let refused = format_args!("`{text}` needs the capability `{needs}`, which is not granted");
            let e = CompileError::new(Tag::UnboundSymbol, span, refused).coded(Code::NotGranted);
            return self.in_module(namespace, CompileError { kind: ErrorKind::NotGranted, ..e });
        }
        let e = CompileError::new(Tag::UnboundSymbol, span, format_args!("`{text}` is not defined"));
        if let Some(shape) = shapes::of(text) {
            let e = CompileError::new(Tag::UnboundSymbol, span, format_args!("`{text}` is a form and no value"));
            return self.in_module(namespace, e.with(|d| d.help(format_args!("it is written `{shape}`"))));
        }
        let mut candidates: Vec<&str> = Vec::new();
        let inside = |local: &&Local| local.within.start <= span.start && span.end <= local.within.end;
        candidates.extend(self.notes.locals.iter().filter(inside).map(|local| self.arena.names.get(local.name)));
        let own = self.defined.iter().chain(self.macros.keys()).filter(|(n, _)| *n == namespace);
        candidates.extend(own.map(|(_, s)| self.arena.names.get(*s)));
        let hosts = || self.options.hosts.iter().flat_map(|t| t.iter()).map(|h| h.name);
        let hosted = |name: &str| hosts().any(|host| host == name);
        for name in hosts().chain(builtins::names().filter(|n| !n.starts_with('%'))).chain(prelude::names()).chain(shapes::names()) {
            candidates.push(name);
        }
        // Perhaps only the front of a name of the host is missing: `list` of `disk/list`.
        let whole = candidates.iter().copied().find(|c| c.strip_suffix(text).is_some_and(|front| front.ends_with(['/', '-']) && hosted(c)));
        let near = shapes::elsewhere(text).or(whole).or_else(|| nearest(text, candidates.into_iter()));
        self.in_module(namespace, e.with(|d| d.meant(near)))
    }

    /// Notes every call of a known function with the wrong number of arguments, those included that nothing reaches.
    pub(super) fn find_wrong_calls(&mut self, meanings: &[Meaning], nodes: Node) -> Result<()> {
        let globals = self.known_globals();
        let locals = self.known_locals(nodes);
        for node in 0..nodes {
            let Ir::Call(head, args) = self.tree.get(node) else { continue };
            let n = args.len as usize;
            let (namespace, name, meaning) = match self.tree.get(head) {
                Ir::Global(g) => {
                    let global = &self.globals[g as usize];
                    let known = matches!(meanings[g as usize], Meaning::Slot(_)).then(|| globals.get(&g)).flatten();
                    (global.namespace, self.arena.names.get(global.name), known.map_or(meanings[g as usize], |f| Meaning::Function(*f)))
                }
                Ir::Var(v) => {
                    let Some((namespace, name, f)) = locals.get(&v) else { continue };
                    (*namespace, self.arena.names.get(*name), Meaning::Function(*f))
                }
                _ => continue,
            };
            if namespace == PRELUDE {
                continue;
            }
            let (min, max, shape, place) = match meaning {
                Meaning::Function(f) => {
                    let f = &self.tree.funcs[f as usize];
                    let max = (!f.rest).then_some(f.required + f.optional);
                    // Only where it begins.
                    let place = (!f.native).then_some(Span { end: f.span.start + 1, ..f.span });
                    (f.required, max, Some(self.signature(name, f)), place)
                }
                Meaning::Builtin(id) => {
                    let (min, max) = builtins::arity(id);
                    (min, max, None, None)
                }
                Meaning::Host(_) => {
                    let Some(host) = self.options.hosts.iter().flat_map(|t| t.iter()).find(|h| h.name == name) else { continue };
                    (usize::from(host.arity.min), host.arity.max.map(usize::from), Some(host.doc.to_string()), None)
                }
                _ => continue,
            };
            if n >= min && max.is_none_or(|max| n <= max) {
                continue;
            }
            let mut wants = alloc::string::String::new();
            // A string takes everything.
            let _ = arity::write(&mut wants, min, max);
            let span = self.tree.span(node);
            let e = CompileError::new(Tag::ArityMismatch, span, format_args!("`{name}` expected {wants}, got {n}"));
            let e = e.with(|d| match (shape, place) {
                (Some(shape), Some(place)) => d.note(format_args!("it is `{shape}`"), Some(place)),
                (Some(shape), None) => d.help(format_args!("it is `{shape}`")),
                _ => d,
            });
            let e = self.in_module(namespace, e);
            self.find(e)?;
        }
        Ok(())
    }

    /// Global names that the program defines once, as a function.
    fn known_globals(&self) -> HashMap<u32, u32> {
        let mut known = HashMap::default();
        for node in &self.main {
            if let Ir::Define(g, value) = self.tree.get(*node)
                && let (Ir::Lambda(f), 1, 0) = (self.tree.get(value), self.globals[g as usize].defs, self.globals[g as usize].sets)
            {
                known.insert(g, f);
            }
        }
        known
    }

    /// Variables that are given a value once, a function: with the namespace and the name that they were bound in and by.
    fn known_locals(&self, nodes: Node) -> HashMap<u32, (u16, Sym, u32)> {
        /// Given more than one value, or one that is no function.
        const OTHER: u32 = u32::MAX;
        let mut given: HashMap<u32, u32> = HashMap::default();
        let mut give = |var: u32, value: Option<Node>| {
            let function = match value.map(|value| self.tree.get(value)) {
                Some(Ir::Lambda(f)) => f,
                _ => OTHER,
            };
            given.entry(var).and_modify(|known| *known = OTHER).or_insert(function);
        };
        self.tree.funcs.iter().flat_map(|f| &f.params).for_each(|(_, var)| give(*var, None));
        for node in 0..nodes {
            match self.tree.get(node) {
                Ir::SetVar(var, value) => give(var, Some(value)),
                Ir::Let(binds, _) => self.tree.binds(binds).iter().filter(|b| b.1.is_some()).for_each(|(var, value)| give(*var, *value)),
                Ir::Loop(_, binds, _) => self.tree.binds(binds).iter().for_each(|(var, _)| give(*var, None)),
                _ => {}
            }
        }
        let known = |local: &Local| Some((local.var, (local.namespace, local.name, *given.get(&local.var).filter(|f| **f != OTHER)?)));
        self.notes.locals.iter().filter_map(known).collect()
    }

    /// A function as it is called: `(f x y)`.
    fn signature(&self, name: &str, f: &super::ir::Func) -> alloc::string::String {
        let mut text = alloc::format!("({name}");
        for (i, (param, _)) in f.params.iter().enumerate() {
            let param = self.arena.names.get(*param);
            // A pattern has no name of its own.
            let param = if param.starts_with(' ') { "…" } else { param };
            text.push_str(if f.rest && i + 1 == f.params.len() { " & " } else { " " });
            text.push_str(param);
            text.push_str(if (f.required..f.required + f.optional).contains(&i) { "?" } else { "" });
        }
        text.push(')');
        text
    }
}
