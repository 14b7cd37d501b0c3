//! Quantities, held against a model with wider integers.

mod common;

use common::{check, run};

/// What a decimal number times `multiplier`, divided by ten to the power `divides`, is as a whole number of bytes, rounded up.
fn model(whole: u64, fraction: &str, multiplier: u128, divides: u32) -> Option<i64> {
    let places = fraction.len() as u32;
    let digits = u128::from(whole) * 10u128.pow(places) + fraction.parse::<u128>().unwrap_or(0);
    // What 128 bits do not hold is at least 2^128 / 10^9, for only a multiplier of 1 comes with a division.
    i64::try_from(digits.checked_mul(multiplier)?.div_ceil(10u128.pow(places + divides))).ok()
}

const SUFFIXES: &[(&str, u128, u32)] = &[
    ("", 1, 0),
    ("k", 1_000, 0),
    ("M", 1_000_000, 0),
    ("G", 1_000_000_000, 0),
    ("T", 1_000_000_000_000, 0),
    ("P", 1_000_000_000_000_000, 0),
    ("E", 1_000_000_000_000_000_000, 0),
    ("Ki", 1 << 10, 0),
    ("Mi", 1 << 20, 0),
    ("Gi", 1 << 30, 0),
    ("Ti", 1 << 40, 0),
    ("Pi", 1 << 50, 0),
    ("Ei", 1 << 60, 0),
    ("m", 1, 3),
    ("u", 1, 6),
    ("n", 1, 9),
    ("e0", 1, 0),
    ("e3", 1_000, 0),
    ("E+6", 1_000_000, 0),
    ("e-2", 1, 2),
    ("E-12", 1, 12),
];

/// Parses many quantities in one run: their numbers, nil for what is refused.
fn parsed(quantities: &[String]) -> Vec<Option<i64>> {
    let list: String = quantities.iter().map(|text| format!("{text:?} ")).collect();
    let out = run(&format!("(map (fn [q] (try (quantity/parse q) (catch (e) nil))) (list {list}))")).unwrap();
    out.trim_matches(['(', ')']).replace("()", "nil").split(' ').map(|word| word.trim_matches(['(', ')']).parse().ok()).collect()
}

/// xorshift64: the same numbers in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn quantities_are_what_wider_integers_say() {
    let mut state = 0x005e_ed0f_9a17;
    let mut cases = Vec::new();
    for round in 0..2_000 {
        let (suffix, multiplier, divides) = SUFFIXES[round % SUFFIXES.len()];
        // From a handful to all of 63 bits, so that some go beyond 64 bits under their suffix.
        let whole = random(&mut state) >> (1 + random(&mut state) % 63);
        let digits = random(&mut state) % 10;
        let fraction: String = (0..digits).map(|_| char::from(b'0' + (random(&mut state) % 10) as u8)).collect();
        let point = if fraction.is_empty() && round % 3 != 0 { "" } else { "." };
        cases.push((format!("{whole}{point}{fraction}{suffix}"), model(whole, &fraction, multiplier, divides)));
    }
    assert!(cases.iter().any(|(_, value)| value.is_none()), "some are too large");
    let texts: Vec<_> = cases.iter().map(|(text, _)| text.clone()).collect();
    for (batch, cases) in texts.chunks(200).zip(cases.chunks(200)) {
        let got = parsed(batch);
        assert_eq!(got.len(), cases.len());
        for ((text, expected), got) in cases.iter().zip(got) {
            assert_eq!(got, *expected, "{text}");
        }
    }
}

#[test]
fn what_is_no_quantity_is_refused() {
    let wrong = ["", ".", "+", "-1", "1.2.3", "Gi", "1gi", "1K", "1 Gi", "1e", "1e+", "1e1.5", "0x10", "1Gi ", "e3", "+.", "½", "1Ein"];
    let wrong: Vec<String> = wrong.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(parsed(&wrong), vec![None; wrong.len()]);
    check(
        "(try (quantity/parse \"9Ei\") (catch (e) (list (error-tag e) (error-message e))))",
        r#"(:invalid-quantity "\"9Ei\" is no quantity: it goes beyond 64 bits")"#,
    );
    check("(try (quantity/parse nil) (catch (e) (error-tag e)))", ":invalid-quantity");
}

#[test]
fn the_edges_of_quantities() {
    check("(map quantity/parse '(\"7.999999999Ei\" \"8191Pi\" \"0e99\" \"1e-99\" \".5Gi\" \"5.\" \"+1Ki\" \"0.0000000001\" 42))", {
        "(9223372035701854304 9222246136947933184 0 1 536870912 5 1024 1 42)"
    });
}

#[test]
fn bytes_are_written_shortly() {
    check("(map quantity/format '(0 1 1000 1024 1536 1610612736 40802189312))", r#"("0" "1" "1000" "1Ki" "1536" "1536Mi" "38Gi")"#);
    check("(map quantity/format-gibibytes '(1 1073741824 1073741825 40265318400))", r#"("1Gi" "1Gi" "2Gi" "38Gi")"#);
}
