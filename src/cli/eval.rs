//! A program's value, without a vigy around it.

use std::io::{IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::json;
use vigy::Vigy;

use super::args::{self, Eval};
use super::failure::{Exit, Failure};
use super::print::clean;
use super::session::{Session, Unevaluated};

pub(crate) fn eval(eval: &Eval, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let (name, source, directory) = source(eval)?;
    let mut session = Session::new(eval.budget.budget(), directory, Some(name));
    let mut printed = String::new();
    let evaluated = session.evaluate(&source, &AtomicBool::new(false), |text| {
        if json {
            printed.push_str(text);
            return Ok(());
        }
        say(out, text)
    });
    match (evaluated, json) {
        (Ok(done), true) => {
            let result = json!({ "value": done.value, "output": printed, "fuel": done.fuel, "heap_bytes": done.heap_bytes });
            writeln!(out, "{result}")?;
        }
        (Ok(done), false) => writeln!(out, "=> {}", clean(&done.value))?,
        (Err(failed), true) => {
            let diagnostics = if let Unevaluated::Failed { diagnostics, .. } = &failed { diagnostics.as_slice() } else { &[] };
            writeln!(out, "{}", json!({ "value": null, "output": printed, "diagnostics": diagnostics }))?;
            return Err(failed.into());
        }
        (Err(failed), false) => return Err(failed.into()),
    }
    Ok(Exit::Done)
}

/// Prints what a program printed: as it is, or without what would act on a terminal.
pub(crate) fn say(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    if std::io::stdout().is_terminal() {
        for line in text.split_inclusive('\n') {
            let end = if line.ends_with('\n') { "\n" } else { "" };
            write!(out, "{}{end}", clean(line.trim_end_matches('\n')))?;
        }
    } else {
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

/// The name of a program, its text, and the directory of its modules.
fn source(eval: &Eval) -> Result<(String, String, PathBuf), Failure> {
    if let Some(expression) = &eval.expression {
        return Ok(("-e".to_owned(), expression.clone(), PathBuf::new()));
    }
    // clap asks for one of the two.
    let file = eval.file.as_deref().unwrap_or_else(|| Path::new("-"));
    if file != Path::new("-") {
        let directory = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
        return Ok((file.display().to_string(), args::read(file, "program")?, directory));
    }
    let mut text = String::new();
    // One byte more than there may be shows that it is too long.
    let most = Vigy::MAX_PROGRAM_BYTES as u64 + 1;
    std::io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("cannot read the program from standard input: {error}")))?;
    if text.len() as u64 == most {
        return Err(Failure::new(Exit::Usage, format_args!("a program has at most {} bytes", Vigy::MAX_PROGRAM_BYTES)));
    }
    Ok(("-".to_owned(), text, PathBuf::new()))
}
