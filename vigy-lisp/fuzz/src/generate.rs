//! Programs out of bytes: every sequence of bytes is a program that reads and, forced, compiles.

use std::fmt::Write;
use std::sync::LazyLock;

/// Bytes, and zeros when there are no more: then everything generated is a leaf.
pub struct Bytes<'d> {
    data: std::slice::Iter<'d, u8>,
}

impl<'d> Bytes<'d> {
    /// Those of `data`.
    #[must_use]
    pub fn new(data: &'d [u8]) -> Self {
        Self { data: data.iter() }
    }

    /// The next one.
    pub fn byte(&mut self) -> u8 {
        self.data.next().copied().unwrap_or(0)
    }

    fn below(&mut self, n: usize) -> usize {
        let byte = usize::from(self.byte());
        if n > 256 { (byte << 8 | usize::from(self.byte())) % n } else { byte % n }
    }

    fn one<'s>(&mut self, of: &[&'s str]) -> &'s str {
        of[self.below(of.len())]
    }
}

/// Every name of the library: the builtins, those that only the prelude calls among them, and the prelude's functions.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let builtins =
        include_str!("../../src/builtins/mod.rs").lines().filter_map(|line| line.trim().strip_prefix("row(\"")?.split('"').next());
    const PRELUDE: &[&str] = &[
        include_str!("../../src/prelude/lists.tlisp"),
        include_str!("../../src/prelude/maps.tlisp"),
        include_str!("../../src/prelude/patterns.tlisp"),
    ];
    let functions =
        PRELUDE.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("(define (")?.split([' ', ')']).next());
    builtins.chain(functions).filter(|name| !name.is_empty()).collect()
});

const LEAVES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "2305843009213693951",
    "2305843009213693952",
    "-2305843009213693953",
    "65536",
    "1.5",
    "-0.0",
    "1e300",
    "1e-300",
    "+inf.0",
    "-inf.0",
    "+nan.0",
    "#t",
    "#f",
    "()",
    "\"\"",
    "\"a\"",
    "\"héllo wörld\"",
    "\"日本\\u{1F600}\"",
    "\"(1 [2 {3 4}] \\\"x\\\")\"",
    "\"{\\\"a\\\": [1, 2.5, null]}\"",
    "\"a(b|c)*\"",
    "\"0123456789abcdef0123456789abcdef\"",
    ":a",
    ":b",
    "'x",
    "'(1 2 3)",
    "'(a (b (c)) \"d\")",
    "'{:a 1 :b 2}",
    "[1 2 3]",
    "{:a 1}",
    "car",
    "list",
    "+",
    "str",
    "(chan)",
    "(chan 1)",
    "(ask)",
    "(tell 1)",
];
const VARIABLES: &[&str] = &["a", "b", "c", "d", "g"];
const HIGHER: &[&str] = &[
    "map",
    "filter",
    "for-each",
    "any?",
    "every?",
    "take-while",
    "drop-while",
    "group-by",
    "sort-by",
    "partition",
    "mapcat",
    "find",
    "keep",
    "remove",
];

/// A program of a few forms.
#[must_use]
pub fn program(bytes: &mut Bytes<'_>) -> String {
    let mut out =
        String::from("(define a 1) (define b \"b\") (define c (list 1 2 3)) (define d (hash-map :a 1)) (define (f x y) (list x y))\n");
    for _ in 0..1 + bytes.below(4) {
        form(bytes, &mut out, 6);
        out.push('\n');
    }
    out
}

fn forms(bytes: &mut Bytes<'_>, out: &mut String, n: usize, depth: usize) {
    for _ in 0..n {
        out.push(' ');
        form(bytes, out, depth);
    }
}

/// Opens `head`, puts `n` forms behind it, and closes.
fn call(bytes: &mut Bytes<'_>, out: &mut String, head: &str, n: usize, depth: usize) {
    out.push('(');
    out.push_str(head);
    forms(bytes, out, n, depth);
    out.push(')');
}

fn form(bytes: &mut Bytes<'_>, out: &mut String, depth: usize) {
    let Some(depth) = depth.checked_sub(1).filter(|_| out.len() < 4_000) else {
        out.push_str(if bytes.byte().is_multiple_of(2) { bytes.one(LEAVES) } else { bytes.one(VARIABLES) });
        return;
    };
    let var = bytes.one(VARIABLES);
    match bytes.below(32) {
        0..5 => out.push_str(bytes.one(LEAVES)),
        5 | 6 => out.push_str(var),
        7..12 => {
            let name = NAMES[bytes.below(NAMES.len())];
            let n = bytes.below(5);
            call(bytes, out, name, n, depth);
        }
        12 => call(bytes, out, "if", 3, depth),
        13 => {
            write!(out, "(let* ((a 1) ({var} ").expect("a string takes everything");
            form(bytes, out, depth);
            out.push_str("))");
            forms(bytes, out, 2, depth);
            out.push(')');
        }
        14 => call(bytes, out, &format!("lambda ({var})"), 1, depth),
        15 => call(bytes, out, "lambda (x . rest) (set! x rest)", 1, depth),
        16 => {
            let n = bytes.below(4);
            call(bytes, out, var, n, depth);
        }
        17 => {
            out.push_str("(try");
            forms(bytes, out, 1, depth);
            write!(out, " (catch ({var})").expect("a string takes everything");
            forms(bytes, out, 1, depth);
            out.push_str("))");
        }
        18 => {
            out.push_str("(try");
            forms(bytes, out, 1, depth);
            out.push_str(" (catch (e) e) (finally");
            forms(bytes, out, 1, depth);
            out.push_str("))");
        }
        19 => call(bytes, out, "throw", 1, depth),
        20 => {
            write!(out, "(loop [i 0 {var} ").expect("a string takes everything");
            form(bytes, out, depth);
            write!(out, "] (if (< i {}) (recur (+ i 1)", bytes.below(20)).expect("a string takes everything");
            forms(bytes, out, 1, depth);
            write!(out, ") {var}))").expect("a string takes everything");
        }
        21 => call(bytes, out, &format!("set! {var}"), 1, depth),
        22 => {
            call(bytes, out, &format!("define (f {var} y)"), 2, depth);
        }
        23 => call(bytes, out, "f", 2, depth),
        24 => {
            let head =
                bytes.one(&["list", "vector", "str", "begin", "and", "or", "append", "string-append", "println", "hash-map", "+", "="]);
            let n = bytes.below(6);
            call(bytes, out, head, n, depth);
        }
        25 => {
            let head = bytes.one(HIGHER);
            write!(out, "({head} (lambda ({var})").expect("a string takes everything");
            forms(bytes, out, 1, depth);
            out.push(')');
            forms(bytes, out, 1, depth);
            out.push(')');
        }
        26 => {
            out.push_str("`(a ,");
            form(bytes, out, depth);
            out.push_str(" ,@(list ");
            form(bytes, out, depth);
            out.push_str("))");
        }
        27 => {
            let head = bytes.one(&[
                "go-run (go (lambda ()",
                "force (delay (begin",
                "go-result (go (lambda ()",
                "map (lambda (x) (list x)) (list (begin",
            ]);
            call(bytes, out, head, 2, depth);
            out.push_str("))");
        }
        28 => {
            let head = bytes.one(&[
                ">! (chan 2)",
                "<! (chan)",
                "close! c",
                "apply list",
                "apply +",
                "apply f",
                "reduce +",
                "foldl (lambda (p q) (cons q p)) ()",
            ]);
            call(bytes, out, head, 1, depth);
        }
        29 => call(bytes, out, bytes_host(depth), 2, depth),
        30 => call(bytes, out, "let [h (fn [n] (if (< n 1) 0 (+ 1 (h (- n 1)))))] h", 1, depth),
        _ => call(bytes, out, "while (< a 10) (set! a (+ 1 a))", 1, depth),
    }
}

/// A function of the host.
fn bytes_host(depth: usize) -> &'static str {
    if depth.is_multiple_of(2) { "ask" } else { "tell" }
}
