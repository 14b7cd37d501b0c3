//! Compiles the program on the host: what goes into the firmware is its image.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[path = "src/vigy.rs"]
#[allow(dead_code, reason = "the build asks for the limits alone")]
mod vigy;

const PROGRAM: &str = "../../programs/hello-vigy/main.tlisp";

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let image = vigy_core::lisp::compile(&fs::read_to_string(PROGRAM)?, &[])?;
    let program = image.program();
    let words = program.words();
    // Words, not bytes: so they lie in flash as the machine reads them, eight bytes aligned.
    let mut source = format!("/// The image of the program.\npub(crate) static IMAGE: [u64; {}] = [\n", words.len());
    for word in words {
        writeln!(source, "    {word:#018x},")?;
    }
    source += "];\n";
    let builtins: BTreeSet<u32> = program.builtins().collect();
    writeln!(source, "/// The builtins that it may call; no others are linked.")?;
    let only = format_args!("Builtins::only(&{:?})", Vec::from_iter(builtins));
    writeln!(source, "pub(crate) static BUILTINS: Builtins = {only};")?;
    let needed = vigy_core::lisp::words_needed(program, &vigy::LIMITS);
    writeln!(source, "/// Words of memory it needs.\npub(crate) const WORDS: usize = {needed};")?;
    fs::write(out.join("image.rs"), source)?;

    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    for input in [PROGRAM, "memory.x", "src/vigy.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    Ok(())
}
