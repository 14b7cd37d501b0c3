//! Data and JSON.
//!
//! | data | JSON |
//! |---|---|
//! | nil | null |
//! | keyword | string: its name, without the colon |
//! | symbol, string | string |
//! | list | array |
//! | map | object; a key is its string, its name, or else its printed form |
//! | NaN, infinities | none: an error |
//!
//! The way back: null is nil, an object is a map with keyword keys, an integer beyond 64 bits is a float.

use std::fmt::Write;

use serde_json::{Map, Number, Value};
use vigy_lisp::Data;

/// How deep values may nest: 64.
pub const MAX_DEPTH: usize = vigy_lisp::MAX_NESTING;

/// A value that the other side cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    /// JSON has no such number.
    #[error("JSON has no NaN and no infinity")]
    NotFinite,
    /// Deeper than [`MAX_DEPTH`].
    #[error("the value nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The JSON of a value.
///
/// # Errors
/// [`JsonError`].
pub fn from_data(data: &Data) -> Result<Value, JsonError> {
    write(data, &|_| Err(JsonError::NotFinite), MAX_DEPTH)
}

/// The JSON of a value for people to look at: what JSON cannot hold stands there as text.
#[must_use]
pub fn show(data: &Data) -> Value {
    write(data, &|number| Ok(Value::String(float_text(number))), MAX_DEPTH).unwrap_or_else(|error| Value::String(error.to_string()))
}

/// The value that a JSON text's value stands for.
///
/// # Errors
/// [`JsonError::TooDeep`].
pub fn to_data(json: &Value) -> Result<Data, JsonError> {
    read(json, MAX_DEPTH)
}

fn write(data: &Data, not_finite: &impl Fn(f64) -> Result<Value, JsonError>, depth: usize) -> Result<Value, JsonError> {
    let deeper = || depth.checked_sub(1).ok_or(JsonError::TooDeep);
    Ok(match data {
        Data::Nil => Value::Null,
        Data::Bool(b) => Value::Bool(*b),
        Data::Int(i) => Value::Number((*i).into()),
        Data::Float(f) => match Number::from_f64(*f) {
            Some(number) => Value::Number(number),
            None => not_finite(*f)?,
        },
        Data::Str(text) | Data::Symbol(text) | Data::Keyword(text) => Value::String(text.clone()),
        Data::List(items) => {
            let depth = deeper()?;
            Value::Array(items.iter().map(|item| write(item, not_finite, depth)).collect::<Result<_, _>>()?)
        }
        Data::Map(entries) => {
            let depth = deeper()?;
            let entry = |(key, value)| Ok((key_text(key, depth)?, write(value, not_finite, depth)?));
            Value::Object(entries.iter().map(|(key, value)| (key, value)).map(entry).collect::<Result<Map<_, _>, _>>()?)
        }
    })
}

fn read(json: &Value, depth: usize) -> Result<Data, JsonError> {
    let deeper = || depth.checked_sub(1).ok_or(JsonError::TooDeep);
    Ok(match json {
        Value::Null => Data::Nil,
        Value::Bool(b) => Data::Bool(*b),
        // A number is an i64, or else what a double makes of it: without arbitrary precision, serde_json has no third kind.
        Value::Number(number) => number.as_i64().map_or_else(|| Data::Float(number.as_f64().unwrap_or_default()), Data::Int),
        Value::String(text) => Data::Str(text.clone()),
        Value::Array(items) => {
            let depth = deeper()?;
            Data::from(items.iter().map(|item| read(item, depth)).collect::<Result<Vec<_>, _>>()?)
        }
        Value::Object(entries) => {
            let depth = deeper()?;
            let entry = |(key, value): (&String, &Value)| Ok((Data::Keyword(key.clone()), read(value, depth)?));
            Data::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}

fn key_text(key: &Data, depth: usize) -> Result<String, JsonError> {
    let mut text = String::new();
    match key.text() {
        Some(name) => text.push_str(name),
        None => print(key, &mut text, depth)?,
    }
    Ok(text)
}

/// The printed form of a value.
fn print(data: &Data, out: &mut String, depth: usize) -> Result<(), JsonError> {
    let deeper = || depth.checked_sub(1).ok_or(JsonError::TooDeep);
    match data {
        Data::Nil => out.push_str("()"),
        Data::Bool(true) => out.push_str("#t"),
        Data::Bool(false) => out.push_str("#f"),
        Data::Int(i) => _ = write!(out, "{i}"), // writing to a String cannot fail
        Data::Float(f) => out.push_str(&float_text(*f)),
        Data::Str(text) => _ = write!(out, "{text:?}"),
        Data::Symbol(name) => out.push_str(name),
        Data::Keyword(name) => _ = write!(out, ":{name}"),
        Data::List(items) => {
            let depth = deeper()?;
            out.push('(');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { " " });
                print(item, out, depth)?;
            }
            out.push(')');
        }
        Data::Map(entries) => {
            let depth = deeper()?;
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { " " });
                print(key, out, depth)?;
                out.push(' ');
                print(value, out, depth)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn float_text(number: f64) -> String {
    if number.is_nan() {
        "+nan.0".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "+inf.0".to_owned() } else { "-inf.0".to_owned() }
    } else {
        format!("{number:?}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn writes(data: Data, expected: Value) {
        assert_eq!(from_data(&data), Ok(expected));
    }

    #[test]
    fn data_becomes_json() {
        writes(Data::Nil, json!(null));
        writes(Data::keyword("ok"), json!("ok"));
        writes(Data::symbol("x"), json!("x"));
        writes(Data::from(vec![Data::Int(1), Data::Float(0.5)]), json!([1, 0.5]));
        let keys = [Data::keyword("a"), Data::from("b"), Data::Int(1), Data::List(vec![Data::keyword("k"), Data::from("s")])];
        writes(
            Data::Map(keys.into_iter().map(|key| (key, Data::Bool(true))).collect()),
            json!({"a": true, "b": true, "1": true, "(:k \"s\")": true}),
        );
    }

    #[test]
    fn json_becomes_data() {
        let json = json!({"a": [1, 2.5, null, "s"], "big": u64::MAX});
        let list = Data::List(vec![Data::Int(1), Data::Float(2.5), Data::Nil, Data::from("s")]);
        assert_eq!(to_data(&json), Ok(Data::map([("a", list), ("big", Data::Float(u64::MAX as f64))])));
        assert_eq!(to_data(&json!([])), Ok(Data::Nil), "there is one empty");
    }

    #[test]
    fn what_json_cannot_hold_is_an_error_or_shown_as_text() {
        assert_eq!(from_data(&Data::Float(f64::NAN)), Err(JsonError::NotFinite));
        assert_eq!(show(&Data::List(vec![Data::Float(f64::NEG_INFINITY)])), json!(["-inf.0"]));
        let nested = (0..=MAX_DEPTH).fold(Data::Nil, |inner, _| Data::List(vec![inner]));
        assert_eq!(from_data(&nested), Err(JsonError::TooDeep));
        let nested = (0..=MAX_DEPTH).fold(json!(0), |inner, _| json!([inner]));
        assert_eq!(to_data(&nested), Err(JsonError::TooDeep));
    }
}
