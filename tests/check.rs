//! `vigy check` and `vigy explain`: what an operator reads before a program runs.

mod common;

use common::{Home, Ran};
use serde_json::{Value, json};

const UNIT: &str = "apiVersion: wasm.pleme.io/v1alpha1\nkind: ComputeUnit\nmetadata: {name: reads}\nspec:\n  module: {source: reads.tlisp}\n  \
    trigger: {oneShot: {}}\n  capabilities: [CAPABILITIES]\n";
const READS: &str = "(vigy-log :info \"now\")\n(vigy-push (fs/list \"/srv\"))\n";

/// A check of one program, in its directory.
fn check(program: &str, options: &[&str]) -> Ran {
    let home = Home::new();
    home.file("main.tlisp", program);
    home.vigy(&[&["check", "main.tlisp"], options].concat())
}

/// What is found, as tools read it: a code and a line each.
#[track_caller]
fn found(program: &str, options: &[&str], expected: &[(&str, u64)]) {
    let ran = check(program, &[options, &["--json"]].concat());
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"));
    let diagnostics = report["files"][0]["diagnostics"].as_array().unwrap().iter();
    let found: Vec<_> = diagnostics.map(|d| (d["code"].as_str().unwrap(), d["span"]["line"].as_u64().unwrap())).collect();
    assert_eq!(found, expected, "{report:#}");
}

#[test]
fn a_program_is_shown_with_what_is_wrong_in_it() {
    let ran = check("(vigy-log :info \"hello\")\n(vigy-nop)\n", &[]);
    let expected = "\
error[E0012]: `vigy-nop` is not defined
 --> main.tlisp:2:2
  |
2 | (vigy-nop)
  |  ^^^^^^^^ did you mean `vigy-noop`?

1 file checked: 1 error, 0 warnings
";
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), expected));
}

#[test]
fn everything_is_found_before_anything_runs() {
    found("(vigy-noop)\n(nowhere)\n(if)\n(vigy-log :info)\n(println \"never said\")", &[], &[("E0012", 2), ("E0014", 3), ("E0013", 4)]);
    found("(vigy-log :info \"a)\n", &[], &[("E0004", 1)]);
    found("(let [a 1]\n  (vigy-noop))", &[], &[("W0001", 1)]);
    found(READS, &["--allow", "kube-pvc-list"], &[("E0031", 2)]);
    found(READS, &["--grant", "fs:/srv:r"], &[]);
    found(READS, &[], &[]);
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let unused = "(let [a 1] (vigy-noop))";
    let ran = check(unused, &[]);
    assert!(ran.code == Some(0) && ran.out.contains("warning[W0001]") && ran.out.contains("0 errors, 1 warning"), "{ran:#?}");
    assert_eq!(check(unused, &["--deny-warnings"]).code, Some(1));
    assert_eq!(check("(vigy-noop)", &["--deny-warnings"]).code, Some(0));
}

#[test]
fn all_files_are_checked() {
    let home = Home::new();
    let (wrong, right) = (home.file("wrong.tlisp", "(if)"), home.hello());
    let ran = home.vigy(&["check", &wrong, "nowhere.tlisp", &right]);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    for words in ["error[E0014]", "cannot read the program nowhere.tlisp", "2 files checked: 1 error, 0 warnings; 1 file not readable"] {
        assert!(ran.out.contains(words), "`{words}` is missing in {ran:#?}");
    }
    let report: Value = serde_json::from_str(&home.vigy(&["check", &wrong, &right, "--json"]).out).unwrap();
    assert_eq!((&report["errors"], &report["warnings"]), (&json!(1), &json!(0)));
    assert_eq!(report["files"][1], json!({"file": right, "diagnostics": [], "needs": []}));
}

#[test]
fn a_compute_unit_grants_what_its_program_needs_or_not() {
    let home = Home::new();
    home.file("reads.tlisp", READS);
    let granted = home.file("granted.yaml", &UNIT.replace("CAPABILITIES", "\"fs:/srv:r\""));
    assert!(home.does(&["check", &granted]).contains("needs fs:PATH:r"));
    let refused = home.file("refused.yaml", &UNIT.replace("CAPABILITIES", "kube-pvc-list"));
    let ran = home.vigy(&["check", &refused]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    for words in ["error[E0031]: `fs/list` needs the capability `fs:PATH:r`", "reads.tlisp:2:13", "spec.capabilities"] {
        assert!(ran.out.contains(words), "`{words}` is missing in {ran:#?}");
    }
    home.refuses(&["check", &home.file("no-unit.yaml", "a: 1")], 2, &[]);
}

#[test]
fn nothing_is_said_of_the_programs_that_come_along() {
    let home = Home::new();
    let root = env!("CARGO_MANIFEST_DIR");
    let programs = ["hello-vigy/main.tlisp", "mirror-dir/main.tlisp", "pvc-autoresizer/main.tlisp", "pvc-autoresizer/computeunit.yaml"];
    let programs = programs.map(|program| format!("{root}/programs/{program}"));
    let mut arguments = vec!["check", "--deny-warnings"];
    arguments.extend(programs.iter().map(String::as_str));
    assert!(home.does(&arguments).starts_with("4 files checked: 0 errors, 0 warnings\n"));
}

#[test]
fn codes_are_explained() {
    let home = Home::new();
    let told = home.does(&["explain", "e0012"]);
    for words in ["E0012  a name that nothing defines", "wrong\n  | (println (lenght", "right\n  | (println (length"] {
        assert!(told.contains(words), "`{words}` is missing in {told}");
    }
    let all = home.does(&["explain"]);
    assert!(all.starts_with("E0001  ") && all.contains("\nW0001  a binding that is never used\n"), "{all}");
    assert_eq!(home.json(&["explain"]).as_array().unwrap().len(), all.lines().count());
    assert_eq!(home.json(&["explain", "E0033"])["title"], "a division by zero");
    home.refuses(&["explain", "E9999"], 3, &["there is no code `E9999`"]);
}

/// The example of the code that only a host can give.
#[test]
fn the_example_of_a_missing_grant_gives_its_code() {
    let explanation = vigy_lisp::Code::NotGranted.explanation();
    let example = |word: &str| explanation.split_once(&format!("```{word}\n")).unwrap().1.split_once("\n```").unwrap().0.to_owned();
    found(&example("wrong"), &["--allow", "kube-pvc-list"], &[("E0031", 2)]);
    found(&example("right"), &["--allow", "fs:/srv:r"], &[]);
}

#[test]
fn a_failed_run_says_where_to_read_on() {
    let home = Home::new();
    let fails = home.file("fails.tlisp", "(vigy-noop)\n(car 1)\n");
    let ran = home.vigy(&["run", &fails, "--once"]);
    for words in ["fails.tlisp:2:1", "2 | (car 1)", "`vigy explain E0032` tells more"] {
        assert!(ran.out.contains(words), "`{words}` is missing in {ran:#?}");
    }
    home.refuses(&["run", &home.file("bad.tlisp", "(nowhere)\n(if)"), "--once"], 1, &["error[E0012]", "bad.tlisp:1:2", "error[E0014]"]);
}
