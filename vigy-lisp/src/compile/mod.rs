//! Text → image.
//!
//! ```text
//! reader ─► expand (forms, macros) ─► analyze: intermediate form ─► resolve: what global names mean ─► emit ─► image
//! ```

mod analyze;
mod constants;
mod destructure;
mod emit;
mod error;
mod evaluate;
mod expand;
mod forms;
mod ir;
mod limits;
mod lint;
mod macros;
mod make;
mod modules;
mod patterns;
mod prelude;
mod quasiquote;
mod shapes;
pub(crate) mod table;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(crate) use error::nearest;
pub use error::{CompileError, ErrorKind};
pub(crate) use forms::FORMS;
pub use limits::CompileLimits;
pub use modules::Loader;
pub(crate) use prelude::{library, names as library_names};

use crate::arity::HostFn;
use crate::builtins;
use crate::diagnostic::Diagnostic;
use crate::image::{Image, SECTIONS, Section, assemble};
use crate::machine::Tag;
use crate::reader::{self, Arena, Datum, Id, Sym};
use crate::span::Span;
use crate::value::{Value, tag};
use constants::Constants;
use emit::{Emitter, Meaning};
use ir::{Ir, Node, Tree};
use table::{HashMap, HashSet};

type Result<T> = core::result::Result<T, CompileError>;

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
/// [`CompileError`]: the text cannot be read, a name is unknown, a known function gets the wrong number of arguments, a form
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

/// Functions of the host, and where a program names each first; no place for one that only a module names.
type Calls = Vec<(String, Option<Span>)>;

/// Finds everything that is wrong with a program, and what is hardly meant: [`compile`] without the image.
#[must_use]
pub fn check(source: &str, options: &CompileOptions<'_>) -> Checked {
    let mut c = Compiler::new(options);
    match c.compile(source) {
        Ok(made) => Checked { diagnostics: c.warnings(&made.forms), calls: made.calls },
        Err(e) => Checked { diagnostics: e.diagnostics, calls: Vec::new() },
    }
}

/// What comes of a text.
struct Made {
    image: Image,
    forms: Vec<Id>,
    calls: Calls,
}

/// Globals that need a place in memory, and what they are before the program defines them.
type Slots = Vec<(u32, Option<Meaning>)>;

/// The namespace of the prelude.
const PRELUDE: u16 = 0;
/// The namespace of the program.
const USER: u16 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Named {
    Var(u32),
    /// The name of a loop: calling it goes on with it.
    Loop(u32),
}

struct Binding {
    name: Sym,
    named: Named,
}

/// Where `recur` goes.
#[derive(Clone, Copy)]
struct Target {
    id: u32,
    vars: usize,
}

/// What definitions inside a body belong to.
#[derive(Default)]
struct Frame {
    vars: Vec<(Sym, u32)>,
    params: Vec<(Sym, u32)>,
    scope: usize,
}

struct Global {
    namespace: u16,
    name: Sym,
    defs: u32,
    sets: u32,
    first: Span,
}

struct Compiler<'o> {
    options: &'o CompileOptions<'o>,
    /// Mistakes become code that raises them.
    force: bool,
    notes: lint::Notes,
    /// Where the offsets of the next text start.
    offset: u32,
    arena: Arena,
    tree: Tree,
    globals: Vec<Global>,
    global_index: HashMap<(u16, Sym), u32>,
    /// Names that the program defines at top level, as far as its text shows them.
    defined: HashSet<(u16, Sym)>,
    macros: HashMap<(u16, Sym), macros::Macro>,
    /// Definitions so far, for macros that use them.
    definitions: Vec<(Sym, Id)>,
    main: Vec<Node>,
    namespace: u16,
    modules: modules::Modules,
    /// Namespaces that evaluate forms at run time, and whether in a sandbox.
    evaluates: BTreeSet<(u16, bool)>,
    // Analysis.
    tasks: Vec<analyze::Task>,
    out: Vec<Node>,
    /// Elements of the form that is being analyzed.
    items: Vec<Id>,
    scope: Vec<Binding>,
    frames: Vec<Frame>,
    functions: Vec<u32>,
    targets: Vec<Target>,
    pending_params: Vec<(Sym, u32)>,
    next_target: u32,
    fresh: u64,
    /// `&optional` is known: in macros and in the prelude.
    optional_params: bool,
    /// Code of macros may not change globals.
    sealed: bool,
    building_macro: bool,
    macro_depth: u32,
    expansions: u32,
    /// Fuel that macros took.
    macro_fuel: u64,
    macro_memory: Vec<u64>,
    gensyms: u64,
    prelude_known: HashMap<Sym, Option<Meaning>>,
    /// Heads that name neither a form nor a macro of the library.
    plain_heads: Vec<bool>,
    /// What the program's own functions say of themselves.
    docs: HashMap<Sym, Sym>,
}

impl<'o> Compiler<'o> {
    fn new(options: &'o CompileOptions<'o>) -> Self {
        let mut tree = Tree::default();
        // Function 0 is the main program.
        tree.funcs.push(ir::Func {
            name: None,
            params: Vec::new(),
            required: 0,
            optional: 0,
            rest: false,
            native: false,
            captures: Vec::new(),
            body: 0,
            target: 0,
            span: Span::default(),
        });
        Self {
            options,
            force: true,
            notes: lint::Notes::default(),
            offset: 0,
            arena: Arena::default(),
            tree,
            globals: Vec::new(),
            global_index: HashMap::with_capacity_and_hasher(table::USUAL, Default::default()),
            defined: HashSet::default(),
            macros: HashMap::default(),
            definitions: Vec::new(),
            main: Vec::new(),
            namespace: USER,
            modules: modules::Modules::default(),
            evaluates: BTreeSet::new(),
            tasks: Vec::new(),
            out: Vec::new(),
            items: Vec::new(),
            scope: Vec::new(),
            frames: Vec::new(),
            functions: Vec::new(),
            targets: Vec::new(),
            pending_params: Vec::new(),
            next_target: 1,
            fresh: 0,
            optional_params: false,
            sealed: false,
            building_macro: false,
            macro_depth: 0,
            expansions: 0,
            macro_fuel: 0,
            macro_memory: Vec::new(),
            gensyms: 0,
            prelude_known: HashMap::default(),
            plain_heads: Vec::new(),
            docs: HashMap::default(),
        }
    }

    /// The image of a program; or else every mistake in it.
    fn compile(&mut self, source: &str) -> Result<Made> {
        self.tree.reserve(source.len() / 4);
        let made = self.read_next(source).and_then(|forms| {
            self.note_text();
            self.program(forms.clone())?;
            let (image, calls) = self.link()?;
            Ok(Made { image, forms, calls })
        });
        let mut found = core::mem::take(&mut self.notes.found);
        let made = match made {
            Ok(made) => Some(made),
            Err(last) => {
                found.push(last);
                None
            }
        };
        match (CompileError::all(found), made) {
            (None, Some(made)) => Ok(made),
            (error, _) => {
                Err(error.unwrap_or_else(|| CompileError::new(Tag::NotImplemented, Span::default(), format_args!("nothing was made"))))
            }
        }
    }

    fn read(&mut self, source: &str) -> Result<Vec<Id>> {
        self.read_at(0, source)
    }

    /// The data of the program, or of a module: their offsets lie behind those of all texts before.
    fn read_next(&mut self, source: &str) -> Result<Vec<Id>> {
        let base = self.offset;
        self.offset = base.saturating_add(source.len() as u32).saturating_add(1);
        self.read_at(base, source)
    }

    fn read_at(&mut self, base: u32, source: &str) -> Result<Vec<Id>> {
        reader::read(source, base, &self.options.limits, &mut self.arena).map_err(CompileError::of_reading)
    }

    fn fresh_target(&mut self) -> u32 {
        self.next_target += 1;
        self.next_target - 1
    }

    /// The number of a global name; `%name` means the prelude's or a builtin, whatever the program defines.
    fn global(&mut self, name: Sym, span: Span) -> u32 {
        let text = self.arena.names.get(name);
        let (namespace, name) = match text.strip_prefix('%') {
            Some(plain) if builtins::find(text).is_none() && !plain.is_empty() && plain != "macro-args" => {
                let plain = plain.to_string();
                (PRELUDE, self.arena.names.intern(&plain))
            }
            Some(_) if text != "%macro-args" => (PRELUDE, name),
            _ => (self.namespace, name),
        };
        self.global_in(namespace, name, span)
    }

    fn global_in(&mut self, namespace: u16, name: Sym, span: Span) -> u32 {
        if let Some(g) = self.global_index.get(&(namespace, name)) {
            return *g;
        }
        let g = self.globals.len() as u32;
        self.globals.push(Global { namespace, name, defs: 0, sets: 0, first: span });
        self.global_index.insert((namespace, name), g);
        g
    }

    /// Whether the program uses the name of a library form for something of its own.
    fn shadowed(&self, name: Sym) -> bool {
        self.lookup(name).is_some() || self.defined.contains(&(self.namespace, name))
    }

    /// Notes the names that the forms of a text define.
    fn note_definitions(&mut self, forms: &[Id]) {
        for form in forms {
            if !matches!(self.arena.head(*form), Some("define" | "defn" | "def")) {
                continue;
            }
            if let Some(target) = self.arena.items(*form).get(1).copied() {
                let name = self.arena.as_symbol(target).or_else(|| self.arena.items(target).first().and_then(|n| self.arena.as_symbol(*n)));
                self.defined.extend(name.map(|n| (self.namespace, n)));
            }
        }
    }

    /// Analyzes the forms of a text, in order, into the main program.
    fn program(&mut self, forms: Vec<Id>) -> Result<()> {
        self.note_definitions(&forms);
        let mut work: VecDeque<Id> = forms.into();
        while let Some(form) = work.pop_front() {
            if let Err(e) = self.top_form(form, &mut work) {
                self.note_lost(form);
                // What was begun is given up.
                self.out.clear();
                self.scope.clear();
                self.frames.clear();
                self.functions.clear();
                self.targets.clear();
                let (met, span) = self.survive(e)?;
                let node = self.tree.add(met, span);
                self.main.push(node);
            }
        }
        Ok(())
    }

    fn top_form(&mut self, form: Id, work: &mut VecDeque<Id>) -> Result<()> {
        let mut form = self.expand(form)?;
        let span = self.arena.span(form);
        match self.arena.head(form) {
            Some("defmacro" | "defcheck" | "defpoint-template") => {
                self.define_macro(form)?;
                let nil = self.tree.add(Ir::Word(Value::NIL), span);
                self.main.push(nil);
                return Ok(());
            }
            Some("require") => return self.require(form),
            Some("provide") => return self.provide(form),
            Some("begin") if self.arena.items(form).len() > 1 => {
                let items = self.arena.items(form)[1..].to_vec();
                self.note_definitions(&items);
                for item in items.into_iter().rev() {
                    work.push_front(item);
                }
                return Ok(());
            }
            // What runs when every other form of the text has.
            Some("%at-end") => {
                work.extend(self.arena.items(form)[1..].iter().copied());
                return Ok(());
            }
            Some("define") => {
                let args = self.arena.items(form)[1..].to_vec();
                if let Ok((name, value)) = self.definition(&args, span) {
                    self.defined.insert((self.namespace, name));
                    let mut make = self.make(span);
                    let name_id = make.c.arena.add(Datum::Symbol(name), span);
                    let plain = make.form("define", &[name_id, value]);
                    self.definitions.push((name, plain));
                    form = plain;
                }
            }
            _ => {}
        }
        let node = self.analyze(form)?;
        self.main.push(node);
        Ok(())
    }

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
        if let Some(id) = builtins::find(text) {
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

    /// What is known of a name: of the program's own, of the host's, of the language's.
    fn doc(&self, name: Sym, span: Span) -> Result<String> {
        let text = self.arena.names.get(name);
        if let Some(own) = self.docs.get(&name) {
            return Ok(alloc::format!("{text}\n\n{}\n", self.arena.names.get(*own)));
        }
        if let Some(host) = self.options.hosts.iter().flat_map(|t| t.iter()).find(|h| h.name == text) {
            return Ok(alloc::format!("{text}\nfunction of the host, {}\n\n{}\n", host.arity, host.doc));
        }
        crate::reference::describe(text).ok_or_else(|| self.unknown(USER, name, span))
    }

    /// Makes the image, and says what it calls of the host.
    fn link(&mut self) -> Result<(Image, Calls)> {
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
                Some(Meaning::Function(f)) => Value::make(tag::FUNCTION, e.row(*f), 0).0,
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
fn pairs(words: impl Iterator<Item = u32>) -> Vec<u64> {
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
