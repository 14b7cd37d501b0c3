//! What is known of the names that programs have: the language's, the verbs of a vigy, the operations of the platform.

use std::io::Write;

use serde_json::{Value, json};
use vigy::{HostEffects as _, Platform};
use vigy_core::lisp::VERB_FUNCTIONS;
use vigy_lisp::reference::{self, Entry, Example, Kind};
use vigy_lisp::{Arity, HostFn};

use super::failure::{Exit, Failure};

/// One name and what is known of it.
pub(crate) struct Page {
    name: String,
    /// As `(name argument …)`.
    signatures: Vec<String>,
    /// One line: what it is.
    is: String,
    arity: Option<Arity>,
    /// What has to be granted with `--allow`, for an operation.
    capability: Option<&'static str>,
    /// As Markdown.
    text: String,
    examples: Vec<Value>,
}

pub(crate) fn doc(name: Option<&str>, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let Some(name) = name else { return list(json, out) };
    let Some(page) = page(name) else {
        let near = reference::nearest(name, names());
        let meant = near.map_or_else(|| "`vigy doc` lists all names".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Failure::new(Exit::NotFound, format_args!("there is nothing called `{name}`; {meant}")));
    };
    if json {
        writeln!(out, "{}", page.json())?;
    } else {
        write!(out, "{}", page.text())?;
    }
    Ok(Exit::Done)
}

/// Every name there is something to say about.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    chapters().flat_map(|(_, names)| names)
}

/// How a function is written, when it has a signature.
pub(crate) fn signature(name: &str) -> Option<String> {
    page(name)?
        .signatures
        .into_iter()
        .find(|signature| signature.strip_prefix('(').is_some_and(|rest| rest.split([' ', ')']).next() == Some(name)))
}

/// The names, by chapter.
fn chapters() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let of = |text: &'static str| {
        let mut names: Vec<_> = reference::entries(text).flat_map(|entry| entry.names()).collect();
        // One that is written in several ways stands there several times.
        names.dedup();
        names
    };
    let language = reference::CHAPTERS.iter().map(move |(chapter, text)| (*chapter, of(text)));
    let verbs = VERB_FUNCTIONS.iter().map(|verb| verb.name).collect();
    let platform = Platform::default().operations().iter().map(|operation| operation.name).collect();
    language.chain([("verbs of a vigy", verbs), ("operations of the platform", platform)]).filter(|(_, names)| !names.is_empty())
}

fn list(json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    if json {
        let chapters: serde_json::Map<_, _> = chapters().map(|(chapter, names)| (chapter.to_owned(), json!(names))).collect();
        writeln!(out, "{}", Value::Object(chapters))?;
        return Ok(Exit::Done);
    }
    for (chapter, names) in chapters() {
        writeln!(out, "{chapter}")?;
        let mut line = String::new();
        for name in names {
            // Lines of at most 100 columns.
            if !line.is_empty() && line.len() + name.len() > 97 {
                writeln!(out, "  {line}")?;
                line.clear();
            }
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(name);
        }
        writeln!(out, "  {line}\n")?;
    }
    writeln!(out, "`vigy doc NAME` says more, as `vigy doc map` does.")?;
    Ok(Exit::Done)
}

/// What is known of `name`.
pub(crate) fn page(name: &str) -> Option<Page> {
    if let Some(verb) = VERB_FUNCTIONS.iter().find(|verb| verb.name == name) {
        let entry = reference::entries(vigy_core::lisp::VERB_REFERENCE).find(|entry| entry.names().any(|known| known == name));
        return Some(Page::of_host(verb, "verb of a vigy", None, entry));
    }
    if let Some(operation) = Platform::default().operations().iter().find(|operation| operation.name == name) {
        let what = if operation.writes { "operation that writes" } else { "operation that reads" };
        return Some(Page::of_host(operation, what, vigy_programs::needs(name), None));
    }
    let (entry, kind) = (reference::find(name)?, reference::kind(name)?);
    let arity = match kind {
        Kind::Builtin(arity) => Some(arity),
        Kind::Prelude(arity) => arity,
        _ => None,
    };
    Some(Page {
        name: name.to_owned(),
        signatures: entry.signatures().map(str::to_owned).collect(),
        is: kind.describe(),
        arity,
        capability: None,
        text: entry.text.to_owned(),
        examples: entry.examples().iter().map(example).collect(),
    })
}

impl Page {
    fn of_host(function: &HostFn, what: &str, capability: Option<&'static str>, entry: Option<Entry<'static>>) -> Self {
        // A doc line begins with the signature: `(fs/list path): …`.
        let (signature, doc) = function.doc.split_once("): ").unwrap_or((function.name, function.doc));
        let signature = if signature.starts_with('(') { format!("{signature})") } else { signature.to_owned() };
        Self {
            name: function.name.to_owned(),
            signatures: entry.map_or_else(|| vec![signature], |entry| entry.signatures().map(str::to_owned).collect()),
            is: format!("{what}, {}", function.arity),
            arity: Some(function.arity),
            capability,
            text: entry.map_or_else(|| format!("{doc}.\n"), |entry| entry.text.to_owned()),
            examples: entry.map_or_else(Vec::new, |entry| entry.examples().iter().map(example).collect()),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let granted = self.capability.map_or_else(String::new, |capability| format!(", granted with --allow {capability}"));
        format!("{}\n{}{granted}\n\n{}", self.signatures.join("\n"), self.is, reference::plain(&self.text))
    }

    fn json(&self) -> Value {
        let arity = self.arity.map(|arity| json!({ "min": arity.min, "max": arity.max }));
        json!({
            "name": self.name, "signatures": self.signatures, "is": self.is, "arity": arity, "capability": self.capability,
            "text": self.text, "examples": self.examples,
        })
    }
}

fn example(example: &Example<'_>) -> Value {
    let mut json = json!({ "given": example.given, "form": example.form, "prints": example.prints });
    match example.gives {
        Ok(value) => json["value"] = value.into(),
        Err(tag) => json["error"] = tag.into(),
    }
    json
}
