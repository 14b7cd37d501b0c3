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
mod link;
mod lint;
mod macros;
mod make;
mod modules;
mod options;
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
pub use limits::CompileLimits;
pub use modules::Loader;
pub use options::{Checked, CompileOptions, Library, check, compile};
pub(crate) use prelude::{is_portable, library, names as library_names};
pub(crate) use shapes::names as form_names;

use crate::builtins;
use crate::image::Image;
use crate::machine::Tag;
use crate::reader::{self, Arena, Datum, Id, Sym};
use crate::span::Span;
use crate::value::Value;
use constants::Constants;
use emit::Meaning;
use ir::{Ir, Node, Tree};
use table::{HashMap, HashSet};

type Result<T> = core::result::Result<T, CompileError>;

/// Functions of the host, and where a program names each first; no place for one that only a module names.
type Calls = Vec<(String, Option<Span>)>;

/// What comes of a text.
struct Made {
    image: Image,
    forms: Vec<Id>,
    calls: Calls,
}

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
            stands: false,
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
}
