//! The forms of the library, each rewritten into simpler ones.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::analyze::bad;
use super::make::Make;
use super::{CompileError, Compiler, Result};
use crate::diagnostic::Code;
use crate::machine::Tag;
use crate::reader::{Datum, Id, Shape};
use crate::span::Span;

/// `name`, `args` rewritten; `None` when it is no form of the library.
pub(super) fn rewrite(c: &mut Compiler<'_>, name: &str, args: &[Id], span: Span) -> Result<Option<Id>> {
    let mut m = c.make(span);
    let n = args.len();
    Ok(Some(match name {
        "do" => m.form("begin", args),
        "fn" => {
            // (fn name? [params] body…)
            if n == 0 {
                return Err(macro_arity(&m, name, "parameters and a body are expected"));
            }
            match args.first().filter(|a| m.c.arena.as_symbol(**a).is_some()) {
                None => m.form("lambda", args),
                // Its name is known in its body.
                Some(name) => {
                    let lambda = m.form("lambda", &args[1..]);
                    let binding = m.list(&[*name, lambda]);
                    let bindings = m.list(&[binding]);
                    m.form("letrec", &[bindings, *name])
                }
            }
        }
        "def" => m.form("define", args),
        "defn" | "defn-" => {
            let doc = match args.get(1).map(|a| m.c.arena.get(*a)) {
                Some(Datum::Str(text)) => Some(text),
                _ => None,
            };
            let params = if doc.is_some() { 2 } else { 1 };
            if n < params + 2 || m.c.arena.as_symbol(args[0]).is_none() || !m.c.arena.is_list(args[params]) {
                return Err(bad(span, name, "a name, parameters and a body are expected"));
            }
            if let (Some(name), Some(text)) = (m.c.arena.as_symbol(args[0]), doc) {
                m.c.docs.insert(name, text);
            }
            let lambda = m.form("lambda", &args[params..]);
            m.form("define", &[args[0], lambda])
        }
        "->" | "->>" => thread(&mut m, args, name == "->>")?,
        "if-let" | "when-let" | "unless-let" => conditional_let(&mut m, name, args)?,
        "dotimes" => {
            let pairs = m.c.binding_or_pair(args, name, span)?;
            let (i, count) = pairs[0];
            // (let ((end count)) (loop (i 0) (if (< i end) (begin body… (recur (+ i 1))) nil)))
            let end = m.fresh();
            let (one, zero) = (m.int(1), m.int(0));
            let test = m.form("%<", &[i, end]);
            let next = m.form("%+", &[i, one]);
            let again = m.form("recur", &[next]);
            let mut body = args[1..].to_vec();
            body.push(again);
            let body = m.form("begin", &body);
            let nil = m.nil();
            let turn = m.form("if", &[test, body, nil]);
            let bindings = m.c.arena.list(&[i, zero], Shape::Bracket, span);
            let looped = m.form("loop", &[bindings, turn]);
            m.let_one(end, count, &[looped])
        }
        "doseq" | "dolist" => {
            let pairs = m.c.binding_or_pair(args, name, span)?;
            let (pattern, list) = pairs[0];
            let mut body = args[1..].to_vec();
            if pairs.len() > 1 {
                let mut rest: Vec<Id> = Vec::new();
                for (p, v) in &pairs[1..] {
                    rest.extend([*p, *v]);
                }
                let rest = m.c.arena.list(&rest, Shape::Bracket, span);
                let mut inner = alloc::vec![rest];
                inner.extend(body);
                body = alloc::vec![m.form("doseq", &inner)];
            }
            // (let ((all list)) (if (list? all) (loop (l all) (if (null? l) nil (begin (let ((pattern (car l))) body…) (recur (cdr l))))) …))
            let (all, l) = (m.fresh(), m.fresh());
            let (first, rest, nil) = (m.form("%car", &[l]), m.form("%cdr", &[l]), m.nil());
            let (body, again) = (m.let_one(pattern, first, &body), m.form("recur", &[rest]));
            let (end, turn) = (m.form("%null?", &[l]), m.form("begin", &[body, again]));
            let turn = m.form("if", &[end, nil, turn]);
            let bindings = m.c.arena.list(&[l, all], Shape::Bracket, span);
            let (test, looped) = (m.form("%list?", &[all]), m.form("loop", &[bindings, turn]));
            let expected = m.str("list");
            let wrong = m.form("%mismatch", &[expected, all]);
            let checked = m.form("if", &[test, looped, wrong]);
            m.let_one(all, list, &[checked])
        }
        "for" => comprehension(&mut m, args)?,
        "while" => {
            if n == 0 {
                return Err(macro_arity(&m, name, "a test is expected"));
            }
            let again = m.form("recur", &[]);
            let mut body = args[1..].to_vec();
            body.push(again);
            let body = m.form("begin", &body);
            let nil = m.nil();
            let turn = m.form("if", &[args[0], body, nil]);
            let none = m.c.arena.list(&[], Shape::Bracket, span);
            m.form("loop", &[none, turn])
        }
        "case" => case(&mut m, args)?,
        "match" => super::patterns::rewrite(&mut m, args)?,
        "comment" => m.nil(),
        "doc" => {
            let name = match args {
                [name] => m.c.arena.as_symbol(*name),
                _ => None,
            };
            let Some(name) = name else { return Err(bad(span, "doc", "a name is expected")) };
            let text = m.c.doc(name, span)?;
            let text = m.str(&text);
            m.form("%display", &[text])
        }
        "assert" => {
            if n != 2 {
                return Err(macro_arity(&m, name, "a test and a message are expected"));
            }
            let not = m.form("not", &[args[0]]);
            let nil = m.nil();
            let info = m.form("ex-info", &[args[1], nil]);
            let throw = m.form("throw", &[info]);
            m.form("when", &[not, throw])
        }
        "lazy-cons" => {
            if n != 2 {
                return Err(macro_arity(&m, name, "a head and a tail are expected"));
            }
            let tail = m.form("delay", &[args[1]]);
            m.form("list", &[args[0], tail])
        }
        "with-gensyms" => {
            let Some(names) = args.first() else {
                return Err(bad(span, name, "names and a body are expected"));
            };
            let mut bindings = Vec::new();
            for name in m.c.arena.items(*names).to_vec() {
                let text = m.c.arena.symbol_text(name).unwrap_or("g").to_string();
                let prefix = m.str(&text);
                let value = m.form("gensym", &[prefix]);
                bindings.push(m.list(&[name, value]));
            }
            let bindings = m.list(&bindings);
            let mut items = alloc::vec![bindings];
            items.extend_from_slice(&args[1..]);
            m.form("let", &items)
        }
        "defflow" => {
            if n == 0 {
                return Err(macro_arity(&m, name, "a name is expected"));
            }
            let flow = m.form("pipe", &args[1..]);
            m.form("define", &[args[0], flow])
        }
        "define-record" => record(&mut m, args)?,
        "defn-typed" => typed(&mut m, args)?,
        "defsm" | "defactor" | "defstrategy" | "defvisitor" => {
            if n == 0 {
                return Err(macro_arity(&m, name, "a name is expected"));
            }
            let maker = alloc::format!("make-{}", &name[3..]);
            let made = if name == "defsm" {
                let spec = m.form("sm-spec", &args[1..]);
                m.form(&maker, &[spec])
            } else {
                m.form(&maker, &args[1..])
            };
            m.form("define", &[args[0], made])
        }
        // The arguments of the run: the host's, where it offers them.
        "parse-args" if n == 1 => {
            let offered = m.c.options.hosts.iter().flat_map(|t| t.iter()).any(|h| h.name == "current-args");
            let given = if offered { m.form("current-args", &[]) } else { m.nil() };
            m.form("%parse-args", &[given, args[0]])
        }
        "eval-sexp" => return m.c.sandboxed(args, span).map(Some),
        "defcommand" | "defquery" => {
            if n < 4 {
                return Err(bad(span, name, "a bus, a name, parameters and a body are expected"));
            }
            let lambda = m.form("lambda", &args[2..]);
            let register = if name == "defcommand" { "register-command!" } else { "register-query!" };
            m.form(register, &[args[0], args[1], lambda])
        }
        _ => return Ok(None),
    }))
}

/// One step of a form of the library as people would write it, where the compiler takes another way to the same meaning.
pub(super) fn shown(c: &mut Compiler<'_>, name: &str, args: &[Id], span: Span) -> Option<Id> {
    let mut m = c.make(span);
    Some(match (name, args) {
        ("->" | "->>", [value, step, rest @ ..]) => {
            let once = m.form(&alloc::format!("{name}1"), &[*value, *step]);
            let mut items = alloc::vec![once];
            items.extend_from_slice(rest);
            m.form(name, &items)
        }
        ("->1" | "->>1", [_, step]) if !m.c.arena.is_list(*step) || !m.c.arena.items(*step).is_empty() => {
            thread(&mut m, args, name == "->>1").ok()?
        }
        ("when-let" | "unless-let", [binding, body @ ..]) => {
            let [name_id, value] = m.c.arena.items(*binding).to_vec()[..] else { return None };
            m.c.arena.as_symbol(name_id)?;
            let (body, nil) = (m.form("begin", body), m.nil());
            let test = if name == "when-let" { m.form("if", &[name_id, body, nil]) } else { m.form("if", &[name_id, nil, body]) };
            m.let_one(name_id, value, &[test])
        }
        ("dotimes", [binding, body @ ..]) => {
            let [i, count] = m.c.arena.items(*binding).to_vec()[..] else { return None };
            let (lambda, range) = (m.lambda(&[i], body), m.form("range", &[count]));
            m.form("for-each", &[lambda, range])
        }
        ("doseq", [binding, ..]) if !m.c.arena.is_bracket(*binding) => m.form("dolist", args),
        ("dolist", [binding, body @ ..]) if !m.c.arena.is_bracket(*binding) => {
            let [x, xs] = m.c.arena.items(*binding).to_vec()[..] else { return None };
            let lambda = m.lambda(&[x], body);
            m.form("for-each", &[lambda, xs])
        }
        _ => return None,
    })
}

pub(super) fn macro_arity(m: &Make<'_, '_>, name: &str, reason: &str) -> CompileError {
    let e = CompileError::new(Tag::NativeFn, m.span, format_args!("macro `{name}`: {reason}"));
    e.coded(Code::MacroArguments).shaped(name)
}

fn mismatch(m: &Make<'_, '_>, part: Id, form: &str, reason: &str) -> CompileError {
    CompileError::new(Tag::TypeMismatch, m.c.arena.span(part), format_args!("`{form}`: {reason}")).coded(Code::MalformedForm).shaped(form)
}

fn thread(m: &mut Make<'_, '_>, args: &[Id], last: bool) -> Result<Id> {
    let Some(first) = args.first() else {
        return Err(macro_arity(m, if last { "->>" } else { "->" }, "a value is expected"));
    };
    let mut value = *first;
    for step in &args[1..] {
        let items = m.c.arena.items(*step).to_vec();
        value = if items.is_empty() && m.c.arena.is_list(*step) {
            return Err(macro_arity(m, if last { "->>" } else { "->" }, "a step is a function or a call"));
        } else if items.is_empty() {
            m.list(&[*step, value])
        } else {
            let mut call = items;
            let at = if last { call.len() } else { 1 };
            call.insert(at, value);
            m.list(&call)
        };
    }
    Ok(value)
}

fn conditional_let(m: &mut Make<'_, '_>, name: &str, args: &[Id]) -> Result<Id> {
    let pairs = m.c.binding_or_pair(args, name, m.span)?;
    let [(pattern, value)] = pairs[..] else {
        return Err(bad(m.span, name, "one binding is expected"));
    };
    let whole = if m.c.arena.as_symbol(pattern).is_some() { pattern } else { m.fresh() };
    let bound = |m: &mut Make<'_, '_>, body: &[Id]| {
        if whole == pattern {
            return m.body(body);
        }
        let bindings = m.c.arena.list(&[pattern, whole], Shape::Bracket, m.span);
        let mut items = alloc::vec![bindings];
        items.extend_from_slice(body);
        m.form("let", &items)
    };
    let nil = m.nil();
    let form = match name {
        "if-let" => {
            if args.len() != 3 {
                return Err(macro_arity(m, name, "a binding and two branches are expected"));
            }
            let yes = bound(m, &args[1..2]);
            m.form("if", &[whole, yes, args[2]])
        }
        "when-let" => {
            let yes = bound(m, &args[1..]);
            m.form("if", &[whole, yes, nil])
        }
        _ => {
            let no = m.body(&args[1..]);
            m.form("if", &[whole, nil, no])
        }
    };
    Ok(m.let_one(whole, value, &[form]))
}

/// `(for [x xs y ys :when test] body)`: a list.
fn comprehension(m: &mut Make<'_, '_>, args: &[Id]) -> Result<Id> {
    let Some(bindings) = args.first() else {
        return Err(bad(m.span, "for", "bindings and a body are expected"));
    };
    let flat = m.c.arena.is_bracket(*bindings) || m.c.arena.items(*bindings).iter().any(|b| !m.c.arena.is_list(*b));
    let items: Vec<Id> = if flat {
        m.c.arena.items(*bindings).to_vec()
    } else {
        m.c.arena.items(*bindings).iter().flat_map(|p| m.c.arena.items(*p).to_vec()).collect()
    };
    if !items.len().is_multiple_of(2) || items.is_empty() {
        return Err(bad(m.span, "for", "a name without a value"));
    }
    // From the inside out: every level is a list of lists that are joined; the innermost is a list of one.
    let body = m.body(&args[1..]);
    let mut form = m.form("%list", &[body]);
    let mut last_list = true;
    for (i, pair) in items.chunks_exact(2).enumerate().rev() {
        match m.c.arena.get(pair[0]) {
            Datum::Keyword(k) => {
                let what = m.c.arena.names.get(k).to_string();
                form = match what.as_str() {
                    "when" => {
                        let nil = m.nil();
                        m.form("if", &[pair[1], form, nil])
                    }
                    "let" => m.form("let", &[pair[1], form]),
                    other => {
                        let near = super::error::nearest(other, ["when", "let"].into_iter()).map(|near| alloc::format!(":{near}"));
                        let e = bad(m.c.arena.span(pair[0]), "for", "`:when` and `:let` are known");
                        return Err(e.with(|d| d.meant(near.as_deref())));
                    }
                };
                last_list = false;
            }
            _ => {
                // The last of all without conditions needs no joining.
                if last_list && i * 2 + 2 == items.len() {
                    let lambda = m.lambda(&[pair[0]], &[body]);
                    form = m.form("%map", &[lambda, pair[1]]);
                } else {
                    let lambda = m.lambda(&[pair[0]], &[form]);
                    form = m.form("%mapcat", &[lambda, pair[1]]);
                }
                last_list = false;
            }
        }
    }
    Ok(form)
}

fn case(m: &mut Make<'_, '_>, args: &[Id]) -> Result<Id> {
    let Some(key) = args.first() else {
        return Err(macro_arity(m, "case", "a key is expected"));
    };
    let value = m.fresh();
    let mut form = m.nil();
    for (i, clause) in args.iter().enumerate().skip(1).rev() {
        let items = m.c.arena.items(*clause).to_vec();
        let Some(data) = items.first().copied() else {
            return Err(mismatch(m, *clause, "case", "a clause is a datum and a body"));
        };
        let body = if items.len() == 1 { m.nil() } else { m.body(&items[1..]) };
        if m.c.arena.is_symbol(data, "else") {
            args.get(i + 1).into_iter().for_each(|next| m.c.warn_unreachable(*next, "case"));
            form = body;
            continue;
        }
        let choices = if m.c.arena.items(data).is_empty() { alloc::vec![data] } else { m.c.arena.items(data).to_vec() };
        let tests: Vec<Id> = choices
            .into_iter()
            .map(|d| {
                let quoted = m.quote(d);
                m.form("%equal?", &[value, quoted])
            })
            .collect();
        let test = if let [one] = tests[..] { one } else { m.form("or", &tests) };
        form = m.form("if", &[test, body, form]);
    }
    Ok(m.let_one(value, *key, &[form]))
}

/// `(define-record name (field…))`
fn record(m: &mut Make<'_, '_>, args: &[Id]) -> Result<Id> {
    let [name, fields] = args[..] else {
        return Err(macro_arity(m, "define-record", "a name and fields are expected"));
    };
    let Some(text) = m.c.arena.symbol_text(name).map(ToString::to_string) else {
        return Err(mismatch(m, name, "define-record", "a name is expected"));
    };
    let fields = m.c.arena.items(fields).to_vec();
    let mut forms = Vec::new();
    let (kind, tag) = (m.keyword("tatara-record-type"), m.keyword(&text));
    let mut entries = alloc::vec![kind, tag];
    let mut names = Vec::new();
    for field in &fields {
        let Some(field_text) = m.c.arena.symbol_text(*field).map(ToString::to_string) else {
            return Err(bad(m.span, "define-record", "a field is a name"));
        };
        let key = m.keyword(&field_text);
        entries.extend([key, *field]);
        names.push((field_text, key));
    }
    let make_map = m.form("%hash-map", &entries);
    let make = m.sym(&alloc::format!("make-{text}"));
    let lambda = m.lambda(&fields, &[make_map]);
    forms.push(m.form("define", &[make, lambda]));
    let (r, v) = (m.sym("r"), m.sym("v"));
    let got = m.form("%get-or-nil", &[r, kind]);
    let same = m.form("%equal?", &[got, tag]);
    let lambda = m.lambda(&[r], &[same]);
    let test = m.sym(&alloc::format!("{text}?"));
    forms.push(m.form("define", &[test, lambda]));
    for (field, key) in names {
        let get = m.form("%hash-map-get", &[r, key]);
        let lambda = m.lambda(&[r], &[get]);
        let accessor = m.sym(&alloc::format!("{text}-{field}"));
        forms.push(m.form("define", &[accessor, lambda]));
        let set = m.form("%hash-map-set", &[r, key, v]);
        let lambda = m.lambda(&[r, v], &[set]);
        let setter = m.sym(&alloc::format!("{text}-set-{field}"));
        forms.push(m.form("define", &[setter, lambda]));
    }
    let to_map = m.sym(&alloc::format!("{text}->map"));
    let lambda = m.lambda(&[r], &[r]);
    forms.push(m.form("define", &[to_map, lambda]));
    Ok(m.form("begin", &forms))
}

/// `(defn-typed name ((arg type)…) -> type body…)`
fn typed(m: &mut Make<'_, '_>, args: &[Id]) -> Result<Id> {
    let refuse = |m: &Make<'_, '_>| {
        CompileError::new(Tag::User, m.span, format_args!("defn-typed: a name, typed parameters, `->`, a type and a body are expected"))
            .coded(Code::MalformedForm)
            .shaped("defn-typed")
    };
    if args.len() < 5 || !m.c.arena.is_symbol(args[2], "->") {
        return Err(refuse(m));
    }
    let mut params = Vec::new();
    let mut body = Vec::new();
    for param in m.c.arena.items(args[1]).to_vec() {
        let [name, kind] = m.c.arena.items(param) else {
            return Err(mismatch(m, param, "defn-typed", "a parameter is a name and a type"));
        };
        let (name, kind) = (*name, *kind);
        params.push(name);
        body.push(m.form("the", &[kind, name]));
    }
    let result = m.body(&args[4..]);
    body.push(m.form("the", &[args[3], result]));
    let lambda = m.lambda(&params, &body);
    Ok(m.form("define", &[args[0], lambda]))
}

impl Compiler<'_> {
    /// The bindings of `(form (name value) …)`, `(form [name value …] …)`.
    pub(super) fn binding_or_pair(&mut self, args: &[Id], form: &str, span: Span) -> Result<Vec<(Id, Id)>> {
        let Some(bindings) = args.first().copied() else {
            return Err(bad(span, form, "a binding is expected"));
        };
        let items = self.arena.items(bindings).to_vec();
        if !self.arena.is_bracket(bindings) {
            // (name value), or ((name value))
            return match items[..] {
                [name, value] if self.arena.as_symbol(name).is_some() || self.arena.is_bracket(name) => Ok(alloc::vec![(name, value)]),
                [] if !self.arena.is_list(bindings) => {
                    let span = self.arena.span(bindings);
                    Err(CompileError::new(Tag::TypeMismatch, span, format_args!("`{form}`: a binding is a name and a value")))
                }
                [] | [_] => Err(CompileError::new(Tag::NativeFn, span, format_args!("macro `{form}`: a name and a value are expected"))),
                _ => self.binding_pairs(bindings, form),
            };
        }
        if items.is_empty() || !items.len().is_multiple_of(2) {
            return Err(bad(span, form, "a name and a value are expected"));
        }
        Ok(items.chunks_exact(2).map(|c| (c[0], c[1])).collect())
    }
}
