//! Compiles the programs on the host: what goes into the firmware are their images.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use vigy_core::Limits;
use vigy_core::lisp::{compile, words_needed};
use vigy_lisp::{Arity, Budget, Builtins, CompileOptions, HostFn, Image, Library};

mod programs;
#[path = "src/vigy.rs"]
#[allow(dead_code, reason = "the build asks for the limits alone")]
mod vigy;
#[path = "src/wake.rs"]
#[allow(dead_code, reason = "the build asks for the limits alone")]
mod wake;

use programs::{PROGRAMS, Program};

/// Where the device finds its programs: for each its image, as `IMAGE_n`, and its builtins, as `BUILTINS_n`; and the words of memory that
/// the hungriest needs.
fn images(programs: &[Program], limits: &Limits) -> Result<String, Box<dyn Error>> {
    let (mut source, mut needed) = (String::new(), 0);
    for (index, Program { name, text, operations }) in programs.iter().enumerate() {
        let image = compile(text, operations)?;
        let program = image.program();
        // Words, not bytes: so they lie in flash as the machine reads them, eight bytes aligned.
        writeln!(source, "/// The image of {name}.\nstatic IMAGE_{index}: [u64; {}] = [", program.words().len())?;
        for word in program.words() {
            writeln!(source, "    {word:#018x},")?;
        }
        let builtins: BTreeSet<u32> = program.builtins().collect();
        let only = linked(&Vec::from_iter(builtins));
        writeln!(source, "];\n/// The builtins that it may call; no others are linked.\nstatic BUILTINS_{index}: Builtins = {only};")?;
        needed = needed.max(words_needed(program, limits));
    }
    writeln!(source, "/// Words of memory that a program needs.\nconst WORDS: usize = {needed};")?;
    let rows: String = (0..programs.len()).map(|index| format!("(&IMAGE_{index}, &BUILTINS_{index}), ")).collect();
    let row = "(&[u64], &Builtins)";
    writeln!(source, "/// All of them.\nstatic PROGRAMS: [{row}; {}] = [{}];", programs.len(), rows.trim_end_matches(", "))?;
    Ok(source)
}

/// A table of the builtins with these numbers: in a `static`, no others are linked.
fn linked(builtins: &[u32]) -> String {
    format!("Builtins::only(&const {{ Builtin::rows({builtins:?}) }})")
}

/// What a machine in 8 KB may use: `vigy_lisp::Budget`, as text and as a value.
macro_rules! budget {
    ($($field:ident: $value:expr),*) => {
        const BUDGET: Budget = Budget { $($field: $value),* };
        const BUDGET_TEXT: &str = concat!("Budget { ", $(stringify!($field), ": ", stringify!($value), ", "),*, "}");
    };
}
budget!(fuel: 10_000, heap_bytes: 1_536, depth: 32, stack_words: 128, output_bytes: 256);

/// What the smaller library has: arithmetic, rounding, comparison and bits, and what lists are made and taken apart with. Powers and roots
/// are the core library's, and so are `seq` and `compare`, which are for maps and texts, too.
const NUMBERS_AND_LISTS: &str = "+ - * / modulo quotient remainder abs min max floor ceiling round truncate gcd lcm \
    bit-and bit-or bit-xor bit-not bit-shift-left bit-shift-right < <= > >= = equal? eq? not null? pair? list? symbol? \
    string? keyword? integer? float? number? boolean? procedure? type-of throw error error-tag error-message list cons car cdr first \
    rest second third last butlast length count empty? append reverse take drop nth range member? position %buf %push %seal";

/// Whether a builtin belongs to the core library: what programs need to compute, without what scripts need to talk to the world.
fn is_core(name: &str) -> bool {
    let script = ["re-", "json", "yaml", "toml", "base64", "hex-", "url-", "sha", "hmac", "path-", "slugify", "str/replace"];
    !script.iter().any(|prefix| name.starts_with(prefix))
}

/// A program that reaches all the builtins that are wanted: the image carries those that have a definition in the language.
fn reaching(options: &CompileOptions<'_>, wanted: impl Fn(&str) -> bool) -> Result<Image, Box<dyn Error>> {
    let names = Vec::from_iter(Builtins::names().filter(|name| wanted(name)));
    let lists: String = names.chunks(50).map(|names| format!("(list {})", names.join(" "))).collect();
    Ok(vigy_lisp::compile(&format!("(list {lists})"), options)?)
}

/// The program of the language alone, and its two libraries: of each, what a device must have that runs programs with
/// [`Library::Portable`], and how large an image is that carries all the rest.
fn language() -> Result<String, Box<dyn Error>> {
    let host = |name, arguments| HostFn { name, arity: Arity::exactly(arguments), writes: false, secret: false, doc: "" };
    let functions = [host("log", 2), host("noop", 0)];
    let options = CompileOptions { hosts: &[&functions], library: Library::Portable, ..CompileOptions::default() };
    let image = vigy_lisp::compile("(log \"info\" \"hello from a vigy\") (noop)", &options)?;
    let program = image.program();
    let core = reaching(&options, is_core)?;
    let small = reaching(&options, |name| NUMBERS_AND_LISTS.split(' ').any(|n| n == name))?;
    let library = |image: &Image| {
        let builtins = BTreeSet::from_iter(image.program().builtins());
        (linked(&Vec::from_iter(builtins)), image.as_bytes().len())
    };
    let ((core, core_bytes), (small, small_bytes)) = (library(&core), library(&small));
    Ok(format!(
        "/// The program.\nstatic IMAGE: [u64; {}] = {:?};\n\
         /// What it may use.\nconst BUDGET: Budget = {BUDGET_TEXT};\n\
         /// Words of memory that it needs.\nconst WORDS: usize = {};\n\
         /// The core library, and the bytes of an image that carries the rest of it.\n\
         pub(crate) static CORE: (Builtins, u32) = ({core}, {core_bytes});\n\
         /// Numbers and lists.\npub(crate) static SMALL: (Builtins, u32) = ({small}, {small_bytes});\n",
        program.words().len(),
        program.words(),
        program.words_needed(&BUDGET),
    ))
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    fs::write(out.join("hello.rs"), images(&PROGRAMS[..1], &vigy::LIMITS)?)?;
    fs::write(out.join("scenarios.rs"), images(&PROGRAMS, &wake::LIMITS)?)?;

    fs::write(out.join("language.rs"), language()?)?;

    for script in ["memory.x", "device.x"] {
        fs::copy(script, out.join(script))?;
    }
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    for input in ["../../programs", "memory.x", "device.x", "programs.rs", "src/vigy.rs", "src/wake.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    Ok(())
}
