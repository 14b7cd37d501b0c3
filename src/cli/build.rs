//! A program as a wasm module of its own.

use std::io::Write;

use serde_json::json;
use vigy::{HostEffects as _, Platform};

use super::args::Build;
use super::failure::{Exit, Failure};

pub(crate) fn build(build: &Build, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let (source, shown) = (build.program()?, build.output.display());
    let image = vigy_core::lisp::compile(&source, Platform::default().operations())
        .map_err(|error| Failure::new(Exit::Usage, format_args!("{}: {error}", build.file.display())))?;
    let module = adapter_wasm::bundle(&image).map_err(|error| Failure::new(Exit::Failed, error))?;
    std::fs::write(&build.output, &module).map_err(|error| Failure::new(Exit::Failed, format_args!("cannot write {shown}: {error}")))?;

    let operations: Vec<_> = vigy_core::lisp::operations(image.program()).collect();
    if json {
        let program: String = image.hash().iter().map(|byte| format!("{byte:02x}")).collect();
        let built = json!({ "file": build.output, "bytes": module.len(), "program": program, "operations": operations });
        writeln!(out, "{built}")?;
    } else {
        let asks = if operations.is_empty() { "nothing".to_owned() } else { operations.join(", ") };
        writeln!(out, "built {shown}: {} bytes, asks {asks}", module.len())?;
    }
    Ok(Exit::Done)
}
