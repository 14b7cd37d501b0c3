//! Strings, names and output.

use super::value::Style;
use super::{Answer, Bug, Native, Oracle, Stop, V, mismatch, raise};

const MANY: usize = usize::MAX;

pub(super) const NATIVES: &[Native] = &[
    Native {
        name: "str",
        min: 0,
        max: MANY,
        run: |_, a| Ok(V::str(&a.iter().filter(|v| !matches!(v, V::Nil)).map(|v| v.written(Style::Raw)).collect::<String>())),
    },
    Native { name: "pr-str", min: 1, max: 1, run: |_, a| Ok(V::str(&a[0].written(Style::Readable))) },
    Native { name: "display", min: 1, max: 1, run: |o, a| print(o, a, Style::Raw, "") },
    Native { name: "println", min: 0, max: MANY, run: |o, a| print(o, a, Style::Raw, "\n") },
    Native { name: "prn", min: 0, max: MANY, run: |o, a| print(o, a, Style::Readable, "\n") },
    Native { name: "string-length", min: 1, max: 1, run: length },
    Native {
        name: "string-append",
        min: 0,
        max: MANY,
        run: |_, a| a.iter().map(V::text).collect::<Result<Vec<_>, _>>().map(|parts| V::str(&parts.concat())),
    },
    Native { name: "subs", min: 2, max: 3, run: subs },
    Native { name: "string-contains?", min: 2, max: 2, run: |_, a| Ok(V::Bool(script(&a[0])?.contains(script(&a[1])?))) },
    Native { name: "string-starts-with?", min: 2, max: 2, run: |_, a| Ok(V::Bool(script(&a[0])?.starts_with(script(&a[1])?))) },
    Native { name: "string-ends-with?", min: 2, max: 2, run: |_, a| Ok(V::Bool(script(&a[0])?.ends_with(script(&a[1])?))) },
    Native {
        name: "string-index",
        min: 2,
        max: 2,
        run: |_, a| {
            let (s, part) = (script(&a[0])?, script(&a[1])?);
            Ok(s.find(part).map_or(V::Nil, |at| V::Int(s[..at].chars().count() as i64)))
        },
    },
    Native {
        name: "string-replace",
        min: 3,
        max: 3,
        run: |_, a| {
            let (s, from, to) = (script(&a[0])?, script(&a[1])?, script(&a[2])?);
            if (s.len() + 1) * (to.len() + 1) > 1 << 20 { Err(Stop::TooLong) } else { Ok(V::str(&s.replace(from, to))) }
        },
    },
    Native { name: "string-split", min: 2, max: 2, run: |_, a| Ok(V::list(script(&a[0])?.split(script(&a[1])?).map(V::str).collect())) },
    Native { name: "string-join", min: 2, max: 2, run: join },
    Native {
        name: "string-chars",
        min: 1,
        max: 1,
        run: |_, a| Ok(V::list(script(&a[0])?.chars().map(|c| V::str(&c.to_string())).collect())),
    },
    Native { name: "string-uppercase", min: 1, max: 1, run: |_, a| each_char(a, |c| c.to_uppercase().collect()) },
    Native { name: "string-lowercase", min: 1, max: 1, run: |_, a| each_char(a, |c| c.to_lowercase().collect()) },
    Native { name: "string-trim", min: 1, max: 1, run: |_, a| Ok(V::str(script(&a[0])?.trim())) },
    Native { name: "string-reverse", min: 1, max: 1, run: |_, a| Ok(V::str(&script(&a[0])?.chars().rev().collect::<String>())) },
    Native {
        name: "string-repeat",
        min: 2,
        max: 2,
        run: |_, a| {
            let (s, V::Int(n)) = (script(&a[0])?, &a[1]) else { return raise("native-fn") };
            if *n > 1_000 { Err(Stop::TooLong) } else { Ok(V::str(&s.repeat(usize::try_from(*n).unwrap_or(0)))) }
        },
    },
    Native {
        name: "string->number",
        min: 1,
        max: 1,
        run: |_, a| {
            let s = script(&a[0])?.trim();
            let float = || s.parse().ok().filter(|f: &f64| f.is_finite()).map(V::Float);
            s.parse().ok().map(V::Int).or_else(float).map_or_else(|| raise("native-fn"), Ok)
        },
    },
    Native { name: "string->symbol", min: 1, max: 1, run: |_, a| Ok(V::Symbol(a[0].text()?.into())) },
    Native { name: "string->keyword", min: 1, max: 1, run: |_, a| Ok(V::Keyword(a[0].text()?.into())) },
    Native {
        name: "symbol->string",
        min: 1,
        max: 1,
        run: |_, a| if let V::Symbol(s) = &a[0] { Ok(V::Str(s.clone())) } else { mismatch() },
    },
    Native {
        name: "keyword->string",
        min: 1,
        max: 1,
        run: |_, a| if let V::Keyword(s) = &a[0] { Ok(V::Str(s.clone())) } else { mismatch() },
    },
    Native {
        name: "name",
        min: 1,
        max: 1,
        run: |_, a| if let V::Keyword(s) | V::Symbol(s) | V::Str(s) = &a[0] { Ok(V::Str(s.clone())) } else { mismatch() },
    },
];

/// A string, for functions of the script library, whose failures have a tag of their own.
fn script(v: &V) -> Result<&str, Stop> {
    if let V::Str(s) = v { Ok(s) } else { raise("native-fn") }
}

fn print(o: &mut Oracle, a: &[V], style: Style, end: &str) -> Answer {
    let texts: Vec<String> = a.iter().map(|v| v.written(style)).collect();
    o.printed.push_str(&texts.join(" "));
    o.printed.push_str(end);
    if o.printed.len() > 60_000 { Err(Stop::TooLong) } else { Ok(V::Nil) }
}

fn length(o: &mut Oracle, a: &[V]) -> Answer {
    let s = a[0].text()?;
    Ok(V::Int(if o.has(Bug::LengthInBytes) { s.len() } else { s.chars().count() } as i64))
}

fn subs(_: &mut Oracle, a: &[V]) -> Answer {
    let chars: Vec<char> = a[0].text()?.chars().collect();
    let from = a[1].int()?;
    let to = a.get(2).map_or(Ok(chars.len() as i64), V::int)?;
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    match range.and_then(|(from, to)| chars.get(from..to)) {
        Some(part) => Ok(V::str(&part.iter().collect::<String>())),
        None => raise("out-of-range"),
    }
}

fn join(_: &mut Oracle, a: &[V]) -> Answer {
    let between = script(&a[0])?;
    let Ok(items) = a[1].items() else { return raise("native-fn") };
    let plain = |v: &V| match v {
        V::Nil => String::new(),
        V::Bool(b) => b.to_string(),
        V::Keyword(s) | V::Symbol(s) => s.to_string(),
        v => v.written(Style::Raw),
    };
    Ok(V::str(&items.iter().map(plain).collect::<Vec<_>>().join(between)))
}

fn each_char(a: &[V], f: fn(char) -> String) -> Answer {
    Ok(V::str(&script(&a[0])?.chars().map(f).collect::<String>()))
}
