//! Numbers as text.

/// What a text spells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Parsed {
    Int(i64),
    Float(f64),
}

/// The number that `text` spells; `Err` when it is one that does not fit, `None` when it is none.
pub(crate) fn parse(text: &str) -> Option<Result<Parsed, ()>> {
    match text {
        "+nan.0" | "-nan.0" => return Some(Ok(Parsed::Float(crate::value::NAN))),
        "+inf.0" => return Some(Ok(Parsed::Float(f64::INFINITY))),
        "-inf.0" => return Some(Ok(Parsed::Float(f64::NEG_INFINITY))),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let first = digits.chars().next()?;
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map(Parsed::Int).map_err(|_| ()));
    }
    let f: f64 = text.parse().ok()?;
    let spelled = first.is_ascii_digit() || first == '.';
    if f.is_infinite() && spelled {
        return Some(Err(()));
    }
    Some(Ok(Parsed::Float(if f.is_nan() { crate::value::NAN } else { f })))
}
