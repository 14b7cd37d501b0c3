//! Builtin functions: a row in the table and a function each.
//!
//! A builtin gets the machine, where its arguments start on the stack, and their number, which fits its row. Names that start
//! with `%` are for the prelude only.

mod basic;
mod bits;
mod channel;
mod encode;
mod json;
mod linked;
mod list;
pub(crate) mod map;
mod names;
pub(crate) mod number;
mod read;
mod real;
mod regex;
mod search;
mod string;
mod types;

pub use linked::{Builtin, Builtins};

use crate::equal::Work;
use crate::machine::{Machine, Stop, Tag};
use crate::map::MapError;
use crate::value::Value;

/// What a builtin answers.
pub(crate) type Answer = Result<Value, Stop>;

/// What a builtin does.
type Run = fn(&mut Machine<'_>, usize, usize) -> Answer;

/// One builtin. Seen by the compiler of this crate alone, so that what [`TABLE`] is asked at run time links no code.
struct Row {
    name: &'static str,
    min: u8,
    max: u8,
    run: Run,
    /// Whether it makes maps or looks into them.
    #[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "a host has all there is to maps"))]
    maps: bool,
}

impl Row {
    const fn maps(self) -> Self {
        Self { maps: true, ..self }
    }
}

/// A builtin, but for its code.
#[derive(Clone, Copy)]
struct Signature {
    /// Where its name ends in [`NAMES`]. It begins where that of the builtin before ends.
    name_end: u16,
    min: u8,
    max: u8,
}

const ANY: u8 = u8::MAX;

const fn row(name: &'static str, min: u8, max: u8, run: Run) -> Row {
    Row { name, min, max, run, maps: false }
}

/// All builtins. The position of a row is its number in images: rows are only ever added at the end.
const ROWS: &[Row] = &[
    row("+", 0, ANY, number::add),
    row("-", 1, ANY, number::sub),
    row("*", 0, ANY, number::mul),
    row("/", 1, ANY, number::div),
    row("modulo", 2, 2, number::modulo),
    row("mod", 2, 2, number::modulo),
    row("rem", 2, 2, number::modulo),
    row("quotient", 2, 2, number::quotient),
    row("remainder", 2, 2, number::remainder),
    row("abs", 1, 1, number::abs),
    row("min", 1, ANY, number::min),
    row("max", 1, ANY, number::max),
    row("expt", 2, 2, number::expt),
    row("sqrt", 1, 1, real::sqrt),
    row("floor", 1, 1, real::floor),
    row("ceiling", 1, 1, real::ceiling),
    row("round", 1, 1, real::round),
    row("truncate", 1, 1, real::truncate),
    row("gcd", 0, ANY, number::gcd),
    row("lcm", 0, ANY, number::lcm),
    row("sin", 1, 1, real::sin),
    row("cos", 1, 1, real::cos),
    row("tan", 1, 1, real::tan),
    row("asin", 1, 1, real::asin),
    row("acos", 1, 1, real::acos),
    row("atan", 1, 1, real::atan),
    row("atan2", 2, 2, real::atan2),
    row("hypot", 2, 2, real::hypot),
    row("log", 1, 2, real::log),
    row("exp", 1, 1, real::exp),
    row("wrapping-add", 0, ANY, bits::wrapping_add),
    row("wrapping-sub", 1, ANY, bits::wrapping_sub),
    row("wrapping-mul", 0, ANY, bits::wrapping_mul),
    row("bit-and", 0, ANY, bits::bit_and),
    row("bit-or", 0, ANY, bits::bit_or),
    row("bit-xor", 0, ANY, bits::bit_xor),
    row("bit-not", 1, 1, bits::bit_not),
    row("bit-shift-left", 2, 2, bits::shift_left),
    row("bit-shift-right", 2, 2, bits::shift_right),
    row("<", 2, ANY, number::less),
    row("<=", 2, ANY, number::at_most),
    row(">", 2, ANY, number::more),
    row(">=", 2, ANY, number::at_least),
    row("compare", 2, 2, number::compare),
    row("nan?", 1, 1, real::is_nan),
    row("parse-int", 1, 1, number::parse_int),
    row("parse-float", 1, 1, number::parse_float),
    row("->float", 1, 1, real::to_float),
    row("math/floor", 1, 1, real::floor),
    row("math/ceil", 1, 1, real::ceiling),
    row("math/round", 1, 1, real::round),
    row("math/abs", 1, 1, number::abs),
    row("math/sqrt", 1, 1, real::sqrt),
    row("math/pow", 2, 2, number::expt),
    row("math/min", 1, ANY, number::min),
    row("math/max", 1, ANY, number::max),
    row("=", 2, ANY, basic::same),
    row("==", 2, ANY, basic::same),
    row("equal?", 2, 2, basic::equal),
    row("not=", 2, 2, basic::not_equal),
    row("eq?", 2, 2, basic::identical),
    row("not", 1, 1, basic::not),
    row("null?", 1, 1, basic::is_null),
    row("nil?", 1, 1, basic::is_null),
    row("some?", 1, 1, basic::is_some),
    row("pair?", 1, 1, basic::is_pair),
    row("list?", 1, 1, basic::is_list),
    row("symbol?", 1, 1, basic::is_symbol),
    row("string?", 1, 1, basic::is_string),
    row("keyword?", 1, 1, basic::is_keyword),
    row("integer?", 1, 1, basic::is_integer),
    row("int?", 1, 1, basic::is_integer),
    row("float?", 1, 1, basic::is_float),
    row("number?", 1, 1, basic::is_number),
    row("boolean?", 1, 1, basic::is_boolean),
    row("procedure?", 1, 1, basic::is_procedure),
    row("fn?", 1, 1, basic::is_procedure),
    row("hash-map?", 1, 1, basic::is_map),
    row("map?", 1, 1, basic::is_map),
    row("promise?", 1, 1, basic::is_promise),
    row("error?", 1, 1, basic::is_error),
    row("chan?", 1, 1, basic::is_channel),
    row("go?", 1, 1, basic::is_fiber),
    row("foreign?", 1, 1, basic::is_foreign),
    row("atom?", 1, 1, basic::is_atom),
    row("type-of", 1, 1, basic::type_of),
    row("throw", 1, 1, basic::throw),
    row("error", 2, 3, basic::error),
    row("ex-info", 1, 2, basic::ex_info),
    row("error-tag", 1, 1, basic::error_tag),
    row("error-message", 1, 1, basic::error_message),
    row("error-data", 1, 1, basic::error_data),
    row("error-data-get", 2, 2, basic::error_data_get),
    row("plist-get", 2, 2, basic::plist_get),
    row("gensym", 0, 1, basic::gensym),
    row("list", 0, ANY, list::list),
    row("vector", 0, ANY, list::list),
    row("cons", 2, 2, list::cons),
    row("list*", 1, ANY, list::list_star),
    row("car", 1, 1, list::car),
    row("cdr", 1, 1, list::cdr),
    row("first", 1, 1, list::first),
    row("rest", 1, 1, list::rest),
    row("next", 1, 1, list::rest),
    row("second", 1, 1, list::second),
    row("third", 1, 1, list::third),
    row("last", 1, 1, list::last),
    row("butlast", 1, 1, list::butlast),
    row("length", 1, 1, list::length),
    row("count", 1, 1, list::count),
    row("empty?", 1, 1, list::is_empty),
    row("not-empty?", 1, 1, list::not_empty),
    row("append", 0, ANY, list::append),
    row("concat", 0, ANY, list::append),
    row("reverse", 1, 1, list::reverse),
    row("take", 2, 2, list::take),
    row("drop", 2, 2, list::drop),
    row("nth", 2, 2, list::nth),
    row("safe-nth", 2, 2, list::nth),
    row("range", 1, 3, list::range),
    row("seq", 1, 1, list::seq),
    row("vec", 1, 1, list::seq),
    row("member?", 2, 2, list::member),
    row("position", 2, 2, list::position),
    row("hash-map", 0, ANY, map::hash_map).maps(),
    row("hash-map-count", 1, 1, map::count),
    row("hash-map-empty?", 1, 1, map::is_empty),
    row("hash-map-has?", 2, 2, map::has).maps(),
    row("contains?", 2, 2, map::contains).maps(),
    row("hash-map-get", 2, 2, map::get_strict).maps(),
    row("hash-map-get-or", 3, 3, map::get_strict).maps(),
    row("get", 2, 3, map::get).maps(),
    row("get-in", 2, 3, map::get_in).maps(),
    row("hash-map-set", 3, 3, map::set_strict).maps(),
    row("assoc", 3, ANY, map::assoc).maps(),
    row("hash-map-remove", 2, 2, map::remove).maps(),
    row("dissoc", 1, ANY, map::dissoc).maps(),
    row("hash-map-keys", 1, 1, map::keys).maps(),
    row("hash-map-values", 1, 1, map::values).maps(),
    row("hash-map-entries", 1, 1, map::entries).maps(),
    row("keys", 1, 1, map::keys_lenient).maps(),
    row("vals", 1, 1, map::values_lenient).maps(),
    row("hash-map-merge", 1, ANY, map::merge_strict).maps(),
    row("merge", 0, ANY, map::merge).maps(),
    row("select-keys", 2, 2, map::select_keys).maps(),
    row("zipmap", 2, 2, map::zipmap).maps(),
    row("into-hash-map", 1, 1, map::into_map).maps(),
    row("str", 0, ANY, string::str),
    row("string", 1, 1, string::string),
    row("pr-str", 1, 1, string::pr_str),
    row("display", 1, 1, string::display),
    row("print", 1, 1, string::println),
    row("println", 0, ANY, string::println),
    row("newline", 0, 0, string::println),
    row("pr", 1, ANY, string::pr),
    row("prn", 0, ANY, string::prn),
    row("string-length", 1, 1, string::length),
    row("string-append", 0, ANY, string::append),
    row("subs", 2, 3, string::subs),
    row("substring", 2, 3, string::subs),
    row("string-ref", 2, 2, string::string_ref),
    row("string-contains?", 2, 2, search::contains),
    row("string-starts-with?", 2, 2, search::starts_with),
    row("string-ends-with?", 2, 2, search::ends_with),
    row("string-index", 2, 2, search::index),
    row("string-replace", 3, 3, search::replace),
    row("string-split", 2, 2, search::split),
    row("string-chars", 1, 1, string::chars),
    row("string->list", 1, 1, string::chars),
    row("string-bytes", 1, 1, string::bytes),
    row("string-join", 2, 2, string::join),
    row("string-format", 1, ANY, string::format),
    row("format", 1, ANY, string::format),
    row("string-uppercase", 1, 1, string::upper),
    row("string-lowercase", 1, 1, string::lower),
    row("string-upcase", 1, 1, string::upper),
    row("string-downcase", 1, 1, string::lower),
    row("string-trim", 1, 1, string::trim),
    row("string-repeat", 2, 2, string::repeat),
    row("string-reverse", 1, 1, string::reverse),
    row("string->number", 1, 1, string::to_number),
    row("symbol->string", 1, 1, names::symbol_to_string),
    row("keyword->string", 1, 1, names::keyword_to_string),
    row("name", 1, 1, names::name),
    row("string->symbol", 1, 1, names::to_symbol),
    row("string->keyword", 1, 1, names::to_keyword),
    row("symbol", 1, 1, names::symbol),
    row("keyword", 1, 1, names::keyword),
    row("str/contains?", 2, 2, search::contains),
    row("str/starts-with?", 2, 2, search::starts_with),
    row("str/ends-with?", 2, 2, search::ends_with),
    row("str/replace", 3, 3, regex::str_replace),
    row("str/split", 2, 2, search::split),
    row("str/join", 2, 2, string::join),
    row("str/upper", 1, 1, string::upper),
    row("str/lower", 1, 1, string::lower),
    row("str/trim", 1, 1, string::trim),
    row("str/index", 2, 2, search::index),
    row("str/repeat", 2, 2, string::repeat),
    row("str/reverse", 1, 1, string::reverse),
    row("chan", 0, 1, channel::make),
    row("chan-closed?", 1, 1, channel::is_closed),
    row("chan-len", 1, 1, channel::len),
    row("chan-capacity", 1, 1, channel::capacity),
    row("<!", 1, 1, channel::receive),
    row(">!", 2, 2, channel::send),
    row("close!", 1, 1, channel::close),
    row("drain!", 1, 1, channel::drain),
    row("go", 1, 1, channel::go),
    row("go-status", 1, 1, channel::fiber_status),
    row("go-result", 1, 1, channel::result),
    row("go-error", 1, 1, channel::error),
    row("is?", 2, 2, types::is),
    row("the", 2, 2, types::the),
    row("cast", 2, 2, types::cast),
    row("%buf", 1, 1, list::buffer),
    row("%push", 2, 2, list::push),
    row("%seal", 1, 1, list::seal),
    row("%part", 2, 2, list::part),
    row("%parts", 2, 2, list::parts),
    row("%count-into", 2, 2, map::count_into).maps(),
    row("%put", 3, 3, map::put_own).maps(),
    row("%absent?", 1, 1, basic::is_absent),
    row("%delay", 1, 1, basic::delay),
    row("%forced?", 1, 1, basic::is_forced),
    row("%promised", 1, 1, basic::promised),
    row("%fulfil", 2, 2, basic::fulfil),
    row("%rethrow", 2, 2, basic::rethrow),
    row("%fail", 2, 1 + basic::PARTS as u8, basic::fail),
    row("%mismatch", 2, 2, basic::mismatch),
    row("%shape", 2, 2, list::shape),
    row("%go-next", 1, 1, channel::next),
    row("%go-end", 2, 2, channel::end),
    row("read-string", 1, 1, read::read_string).maps(),
    row("read-all", 1, 1, read::read_all).maps(),
    row("re-match?", 2, 2, regex::is_match),
    row("re-find", 2, 2, regex::find),
    row("re-find-all", 2, 2, regex::find_all),
    row("re-captures", 2, 2, regex::captures),
    row("re-split", 2, 2, regex::split),
    row("re-replace", 3, 3, regex::replace),
    row("json-parse", 1, 1, json::json_parse).maps(),
    row("json-stringify", 1, 1, json::json_stringify),
    row("json/parse", 1, 1, json::parse_maps).maps(),
    row("json/write", 1, 1, json::write_maps),
    row("json/array", 1, 1, json::array),
    row("base64-encode", 1, 1, encode::base64_encode),
    row("base64-decode", 1, 1, encode::base64_decode),
    row("base64url-encode", 1, 1, encode::base64url_encode),
    row("base64url-decode", 1, 1, encode::base64url_decode),
    row("hex-encode", 1, 1, encode::hex_encode),
    row("hex-decode", 1, 1, encode::hex_decode),
    row("url-encode", 1, 1, encode::url_encode),
    row("url-decode", 1, 1, encode::url_decode),
    row("sha256", 1, 1, encode::sha256),
    row("sha512", 1, 1, encode::sha512),
    row("path-join", 1, ANY, encode::path_join),
    row("path-basename", 1, 1, encode::path_basename),
    row("path-dirname", 1, 1, encode::path_dirname),
    row("path-extension", 1, 1, encode::path_extension),
    row("slugify", 2, 2, encode::slugify),
    row("%bracket?", 1, 1, list::is_bracket),
    row("sha1", 1, 1, encode::sha1),
    row("hmac-sha256", 2, 2, encode::hmac_sha256),
    row("%type-name", 1, 1, types::name),
    row("%show", 2, 2, string::show),
    row("%output", 1, 1, string::print),
    row("%find-text", 3, 3, search::find_from),
    row("%entry", 2, 2, map::entry),
    row("%divide", 2, 2, number::divide),
    row("%next-name", 0, 0, basic::next_name),
    row("%new-error", 3, 3, basic::make_error),
    row("%character", 1, 1, string::character),
    row("%bits", 1, 1, real::bits),
    row("%from-bits", 1, 1, real::from_bits),
    row("%same?", 2, 2, basic::same_word),
    row("%complain", 1, basic::PARTS as u8, basic::complain),
    row("%new-map", 0, 0, map::empty),
    row("%codes", 1, 1, string::codes),
    row("%join", 1, 1, string::join_all),
    row("%text-order", 2, 2, basic::compare_texts),
];

/// The names and arities of all builtins.
static TABLE: [Signature; ROWS.len()] = {
    let mut table = [Signature { name_end: 0, min: 0, max: 0 }; ROWS.len()];
    let (mut at, mut name_end) = (0, 0);
    while at < table.len() {
        name_end += ROWS[at].name.len() as u16;
        table[at] = Signature { name_end, min: ROWS[at].min, max: ROWS[at].max };
        at += 1;
    }
    table
};

/// The names of all builtins, one behind the other: every program can print them, and so many `&str` take as much again.
static NAMES: &str = {
    const LEN: usize = TABLE[ROWS.len() - 1].name_end as usize;
    const BYTES: [u8; LEN] = {
        let mut bytes = [0; LEN];
        let (mut row, mut at) = (0, 0);
        while at < LEN {
            let name = ROWS[row].name.as_bytes();
            let (_, rest) = bytes.split_at_mut(at);
            rest.split_at_mut(name.len()).0.copy_from_slice(name);
            at += name.len();
            row += 1;
        }
        bytes
    };
    match core::str::from_utf8(&BYTES) {
        Ok(names) => names,
        Err(_) => panic!("names are text"),
    }
};

/// What looks into maps: programs that can do so without a builtin need it all the same.
pub(crate) const LOOKUP: u32 = {
    let mut at = 0;
    while !is(ROWS[at].name.as_bytes(), b"hash-map-get-or") {
        at += 1;
    }
    at as u32
};

const fn is(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

pub(crate) fn exists(id: u32) -> bool {
    (id as usize) < TABLE.len()
}

/// Whether builtin `id` exists and takes `n` arguments.
pub(crate) fn accepts(id: u32, n: usize) -> bool {
    TABLE.get(id as usize).is_some_and(|row| n >= row.min as usize && (row.max == ANY || n <= row.max as usize))
}

pub(crate) fn name(id: u32) -> &'static str {
    let end = |id: usize| TABLE.get(id).map(|row| usize::from(row.name_end));
    let start = (id as usize).checked_sub(1).map_or(Some(0), end);
    start.zip(end(id as usize)).and_then(|(start, end)| NAMES.get(start..end)).unwrap_or("?")
}

/// The names of all builtins, by their numbers.
#[cfg(feature = "compiler")]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

#[cfg(any(feature = "compiler", not(target_os = "none")))]
pub(crate) fn arity(id: u32) -> (usize, Option<usize>) {
    let row = &TABLE[id as usize];
    (row.min as usize, (row.max != ANY).then_some(row.max as usize))
}

/// How many arguments builtin `id` takes.
#[cfg(feature = "compiler")]
pub(crate) fn signature(id: u32) -> crate::Arity {
    let row = &TABLE[id as usize];
    crate::Arity { min: row.min, max: (row.max != ANY).then_some(row.max) }
}

/// The number of the builtin of that name.
#[cfg(feature = "compiler")]
pub(crate) fn find(name: &str) -> Option<u32> {
    INDEX.find(name, |number| ROWS[number].name).map(|number| number as u32)
}

#[cfg(feature = "compiler")]
static INDEX: crate::compile::table::Index<1024> = {
    let mut index = crate::compile::table::Index::EMPTY;
    let mut at = 0;
    while at < ROWS.len() {
        index = index.with(ROWS[at].name.as_bytes(), at);
        at += 1;
    }
    index
};

/// What a comparison that could not be finished means to the program.
#[cold]
pub(crate) fn work(m: &mut Machine<'_>, w: Work) -> Stop {
    match w {
        Work::OutOfFuel => Stop::OutOfFuel,
        Work::NoMaps => m.error(Tag::NativeFn, &["this machine does not have maps"]),
        Work::TooDeep => m.error(Tag::DepthExceeded, &["a value is nested too deeply to compare"]),
    }
}

#[cold]
pub(crate) fn map_error(m: &mut Machine<'_>, e: MapError) -> Stop {
    match e {
        MapError::Exhausted => Stop::OutOfHeap,
        MapError::Work(w) => work(m, w),
        MapError::Unhashable(v) => {
            let got = crate::print::type_name(v);
            m.error(Tag::NativeFn, &["a ", got, " cannot be a key of a map"])
        }
    }
}
