//! What the programs of `programs/` take as wasm modules, and how long `vigy build` works on each:
//!
//! ```text
//! cargo run --release --example module-sizes
//! ```
//!
//! The first program's time has the prelude's in it, which is compiled once per process.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use adapter_wasm::{Manifest, bundle};
use vigy::{HostEffects as _, Platform};

fn main() -> Result<(), Box<dyn Error>> {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let platform = Platform::default();
    println!("{:<20} {:>8} {:>8} {:>8} {:>11} {:>10}  asks", "program", "source B", "image B", "module B", "compile ms", "bundle ms");
    let mut directories = std::fs::read_dir(programs)?.collect::<Result<Vec<_>, _>>()?;
    directories.sort_by_key(std::fs::DirEntry::file_name);
    for directory in directories {
        let Ok(source) = std::fs::read_to_string(directory.path().join("main.tlisp")) else { continue };
        let begun = Instant::now();
        let image = vigy_core::lisp::compile(&source, platform.operations())?;
        let compiled = begun.elapsed();
        let module = bundle(&image)?;
        let bundled = begun.elapsed() - compiled;
        let asks = Manifest::of(&module)?.operations.join(", ");
        let name = directory.file_name();
        let (image, module) = (image.as_bytes().len(), module.len());
        let (compiled, bundled) = (compiled.as_secs_f64() * 1e3, bundled.as_secs_f64() * 1e3);
        println!("{:<20} {:>8} {image:>8} {module:>8} {compiled:>11.2} {bundled:>10.2}  {asks}", name.display(), source.len());
    }
    Ok(())
}
