//! Label selectors: kubectl's grammar, beside a model that knows no grammar.
#![cfg(all(feature = "sim", feature = "alloc"))]

use std::collections::BTreeMap;
use std::fmt::Write;

use vigy_core::sim::Random;
use vigy_core::{Labels, Selector};

const LABELS: [(&str, &str); 4] = [("host", "local"), ("app.kubernetes.io/name", "a b"), ("in", "notin"), ("empty", "")];

#[track_caller]
fn selects(selector: &str) -> bool {
    let labels = Labels::try_from(LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<BTreeMap<_, _>>());
    Selector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}")).matches(&labels.unwrap())
}

#[track_caller]
fn wrong(selector: &str) -> (usize, &'static str) {
    let error = Selector::parse(selector).unwrap_err();
    (error.at, error.expected)
}

#[test]
fn every_requirement_means_what_it_means_to_kubectl() {
    for selector in ["", " , ", "host", "host=local", "host==local", "host = local", "host!=other", "!gone", "gone!=x", "gone notin (a)"] {
        assert!(selects(selector), "{selector}");
    }
    for selector in ["gone", "!host", "host=other", "host!=local", "gone=local", "gone in (local)", "host notin (other, local)", "gone="] {
        assert!(!selects(selector), "{selector}");
    }
    assert!(selects("host in (other,local)") && selects("host in(local)") && selects("empty=") && selects("empty in ()"));
    assert!(selects("app.kubernetes.io/name=\"a b\"") && selects("app.kubernetes.io/name in (\"a b\", c)"));
}

#[test]
fn requirements_stand_between_commas_or_spaces() {
    assert!(selects("host=local,in=notin") && selects("host=local in=notin") && selects("host , in empty=,!gone"));
    assert!(selects("in in (notin)") && selects("in notin (x) in") && selects("host in") && !selects("host notin"));
}

#[test]
fn a_mistake_has_a_place() {
    let operator = "`=`, `!=`, `in (…)`, `notin (…)`, or the next key";
    assert_eq!(wrong("a=b,!=c"), (5, "a label's key"));
    assert_eq!(wrong("a in (b"), (7, "`,` or `)`"));
    assert_eq!(wrong("a in (b c)"), (8, "`,` or `)`"));
    assert_eq!(wrong("a (b)"), (2, operator));
    assert_eq!(wrong("a>1"), (1, operator));
    assert_eq!(wrong("a=b=c"), (3, "a label's key"));
    assert_eq!(wrong("a=\"b"), (4, "a closing `\"`"));
    assert_eq!(wrong(&"a,".repeat(3000)), (4096, "the end: a selector has at most 4,096 bytes"));
    let text = Selector::parse("a in b,").map(|_| ());
    assert_eq!(text, Ok(()), "three keys");
}

fn one_of<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

fn space(random: &mut Random) -> &'static str {
    one_of(random, &["", "", " ", "  ", "\t"])
}

const KEYS: [&str; 5] = ["a", "b", "in", "notin", "x/y-z"];
const VALUES: [&str; 7] = ["", "v", "w", "in", "a b", "\\\"", "(,)"];

/// A value as it is written.
fn written(random: &mut Random, value: &str) -> String {
    let word = value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if word && random.below(3) > 0 {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A requirement as it is written, and whether these labels meet it.
fn requirement(random: &mut Random, labels: &BTreeMap<String, String>) -> (String, bool) {
    let key = one_of(random, &KEYS);
    let found = labels.get(key);
    let (before, after) = (space(random), space(random));
    match random.below(6) {
        0 => (key.to_owned(), found.is_some()),
        1 => (format!("!{before}{key}"), found.is_none()),
        kind @ 2..4 => {
            let value = one_of(random, &VALUES);
            let (operator, negated) = if kind == 2 { (one_of(random, &["=", "=="]), false) } else { ("!=", true) };
            let meets = found.is_some_and(|found| found == value) != negated;
            // An empty value is followed by a comma, or it would be the next word.
            (format!("{key}{before}{operator}{after}{}", written(random, value)), meets)
        }
        kind => {
            let values: Vec<_> = (0..1 + random.below(3)).map(|_| one_of(random, &VALUES)).collect();
            let negated = kind == 5;
            let mut text = format!("{key} {}{before}(", if negated { "notin" } else { "in" });
            for (n, value) in values.iter().enumerate() {
                let comma = if n == 0 { "" } else { "," };
                write!(text, "{comma}{after}{}{before}", written(random, value)).unwrap();
            }
            (text + ")", found.is_some_and(|found| values.contains(&found.as_str())) != negated)
        }
    }
}

#[test]
fn selectors_at_random_select_what_they_say() {
    let mut selected = 0;
    for seed in 0..50_000 {
        let mut random = Random(seed);
        let labels: BTreeMap<_, _> =
            (0..random.below(5)).map(|_| (one_of(&mut random, &KEYS).to_owned(), one_of(&mut random, &VALUES).to_owned())).collect();
        let (mut text, mut meets) = (String::new(), true);
        for _ in 0..random.below(4) {
            let (requirement, met) = requirement(&mut random, &labels);
            let between = if requirement.ends_with(['=', ' ', '\t']) { "," } else { one_of(&mut random, &[",", " ", " , "]) };
            text += &requirement;
            text += between;
            meets &= met;
        }
        let selector = Selector::parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {text:?}: {error}"));
        assert_eq!(selector.matches(&Labels::try_from(labels.clone()).unwrap()), meets, "seed {seed}: {text:?} on {labels:?}");
        selected += u32::from(meets);
    }
    assert!((5_000..45_000).contains(&selected), "{selected}");
}

#[test]
fn any_text_is_read_or_refused_at_a_place() {
    let pieces = ["a", "in", "notin", "(", ")", ",", "=", "!", "\"", "\\", " ", "ü", "<", "\u{3000}"];
    for seed in 0..50_000 {
        let mut random = Random(seed);
        let text: String = (0..random.below(12)).map(|_| one_of(&mut random, &pieces)).collect();
        if let Err(error) = Selector::parse(&text) {
            assert!(text.is_char_boundary(error.at), "{text:?}: {error}");
        }
    }
}
