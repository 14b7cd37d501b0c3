//! What the codes of diagnostics mean.

use std::io::Write;

use serde_json::json;
use vigy_lisp::Code;

use super::failure::{Exit, Failure};
use super::print;

/// Tells of one code, or lists all.
pub(crate) fn explain(code: Option<&str>, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let Some(code) = code else {
        let row = |code: Code| json!({ "code": code.text(), "title": code.title() });
        if json {
            writeln!(out, "{}", Code::all().map(row).collect::<Vec<_>>().into_iter().collect::<serde_json::Value>())?;
            return Ok(Exit::Done);
        }
        Code::all().try_for_each(|code| print::code(out, code))?;
        return Ok(Exit::Done);
    };
    let known = Code::parse(code).ok_or_else(|| {
        let shown = code.escape_debug();
        Failure::new(Exit::NotFound, format_args!("there is no code `{shown}`: `vigy explain` lists all, from E0001 on"))
    })?;
    if json {
        let (code, title, text) = (known.text(), known.title(), known.explanation());
        writeln!(out, "{}", json!({ "code": code, "title": title, "explanation": text }))?;
    } else {
        print::code(out, known)?;
        print::explanation(out, known.explanation())?;
    }
    Ok(Exit::Done)
}
