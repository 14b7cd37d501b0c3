//! Compiles the programs on the host: what goes into the firmware are their images.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use vigy_core::Limits;
use vigy_core::lisp::{compile, words_needed};

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
        let only = format_args!("Builtins::only(&{:?})", Vec::from_iter(builtins));
        writeln!(source, "];\n/// The builtins that it may call; no others are linked.\nstatic BUILTINS_{index}: Builtins = {only};")?;
        needed = needed.max(words_needed(program, limits));
    }
    writeln!(source, "/// Words of memory that a program needs.\nconst WORDS: usize = {needed};")?;
    let rows: String = (0..programs.len()).map(|index| format!("(&IMAGE_{index}, &BUILTINS_{index}), ")).collect();
    let row = "(&[u64], &Builtins)";
    writeln!(source, "/// All of them.\nstatic PROGRAMS: [{row}; {}] = [{}];", programs.len(), rows.trim_end_matches(", "))?;
    Ok(source)
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    fs::write(out.join("hello.rs"), images(&PROGRAMS[..1], &vigy::LIMITS)?)?;
    fs::write(out.join("scenarios.rs"), images(&PROGRAMS, &wake::LIMITS)?)?;

    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    for input in ["../../programs", "memory.x", "programs.rs", "src/vigy.rs", "src/wake.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    Ok(())
}
