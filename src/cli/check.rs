//! What is wrong with programs, before they run.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use vigy::{Capability, ComputeUnit, HostEffects as _, Platform};
use vigy_lisp::{Code, Diagnostic, Severity};

use super::args::{Check, read};
use super::failure::{Exit, Failure};
use super::print;

/// A file that was looked at.
#[derive(Serialize)]
struct Checked {
    /// The program: a ComputeUnit names it.
    file: String,
    diagnostics: Vec<Diagnostic>,
    /// The capabilities that the program needs, as they are written.
    needs: Vec<&'static str>,
    #[serde(skip)]
    source: String,
}

impl Checked {
    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }
}

pub(crate) fn check(check: &Check, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let granted = check.allow.iter().map(|text| text.parse().map_err(|error| Failure::new(Exit::Usage, error)));
    let granted: Vec<Capability> = granted.collect::<Result<_, _>>()?;
    let mut checked = Vec::new();
    let mut unreadable = Vec::new();
    for file in &check.files {
        match one(file, &granted) {
            Ok(one) => checked.push(one),
            // The others are looked at all the same.
            Err(failure) => unreadable.push(failure),
        }
    }
    let count = |severity| checked.iter().map(|one| one.count(severity)).sum::<usize>();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if json {
        let refused: Vec<_> = unreadable.iter().map(ToString::to_string).collect();
        writeln!(out, "{}", json!({ "files": checked, "unreadable": refused, "errors": errors, "warnings": warnings }))?;
    } else {
        for one in &checked {
            for d in &one.diagnostics {
                writeln!(out, "{}\n", d.render(&one.file, &one.source).coloured(true))?;
            }
        }
        for failure in &unreadable {
            print::error(out, failure)?;
        }
        print::checked(out, checked.len(), unreadable.len(), errors, warnings)?;
        for one in checked.iter().filter(|one| !one.needs.is_empty() && one.count(Severity::Error) == 0) {
            writeln!(out, "{} needs {}", print::clean(&one.file), one.needs.join(", "))?;
        }
    }
    Ok(match () {
        () if !unreadable.is_empty() => Exit::Usage,
        () if errors > 0 || (check.deny_warnings && warnings > 0) => Exit::Failed,
        () => Exit::Done,
    })
}

/// A program, or the one of a ComputeUnit with what that grants. What nothing is said about, is not asked for.
fn one(file: &Path, granted: &[Capability]) -> Result<Checked, Failure> {
    let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let (file, granted) = if yaml {
        let unit: ComputeUnit = read(file, "ComputeUnit")?
            .parse()
            .map_err(|error| Failure::new(Exit::Usage, format_args!("the ComputeUnit {}: {error}", file.display())))?;
        (file.parent().unwrap_or_else(|| Path::new("")).join(&unit.source), Some([granted, &unit.capabilities].concat()))
    } else {
        (file.to_owned(), (!granted.is_empty()).then(|| granted.to_vec()))
    };
    let source = read(&file, "program")?;
    let vigy_lisp::Checked { mut diagnostics, calls } = vigy_core::lisp::check(&source, Platform::default().operations());
    let mut needs = Vec::new();
    for (operation, span) in &calls {
        let Some(needed) = vigy_programs::needs(operation) else { continue };
        if !needs.contains(&needed) {
            needs.push(needed);
        }
        if granted.as_ref().is_some_and(|granted| !granted.iter().any(|capability| capability.is_for(operation))) {
            let missing = format_args!("`{operation}` needs the capability `{needed}`, which is not granted");
            let help = if yaml { "add it to `spec.capabilities`" } else { "grant it with `--allow`" };
            diagnostics.push(Diagnostic::new(Code::NotGranted, *span, missing).help(help));
        }
    }
    diagnostics.sort_by_key(|d| d.span.map(|span| span.start));
    Ok(Checked { file: file.display().to_string(), diagnostics, needs, source })
}
