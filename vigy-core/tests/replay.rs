//! Runs evaluated again from their records: nothing differs, or the place where it does is told.
#![cfg(all(feature = "sim", feature = "compiler"))]

mod world;

use vigy_core::record::{Content, Entry, Record};
use vigy_core::replay::{Divergence, Found, ReplayError};
use vigy_core::{SecretKey, Unfinished};
use world::World;

/// Reads, asks, writes, acts and talks; some values are large.
const RICH: &str = r#"
    (def count (vigy-incr "count"))
    (vigy-set "long" (list (vigy-get "long" "") "a line of forty characters, more or less"))
    (vigy-log :info (str "seen " (echo/read "a") " " count))
    (vigy-condition "Ready" true "Fine")
    (vigy-metric "count" count)
    (display (echo/write "b"))
    (vigy-push {:count count :at (vigy-tick)})
    (vigy-trace "outcomes" (vigy-last-outcomes))"#;

#[test]
fn every_run_says_again_what_it_said() {
    let mut world = World::new(RICH);
    for _ in 0..20 {
        assert!(world.tick(), "{}", world.end());
    }
    assert!(world.disk().values.len() > 10, "large values are in the records by their hashes");
    for run in world.runs() {
        let replayed = world.replay(run).unwrap();
        assert!(!replayed.cut && replayed.entries > 10);
    }
}

/// What replaying the last run of `program` with `other` says.
#[track_caller]
fn diverges(program: &str, other: &str) -> Divergence {
    let mut world = World::new(program);
    world.tick();
    world.edit(other);
    match world.replay(1) {
        Err(ReplayError::Diverged(divergence)) => *divergence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_difference_is_told_with_its_place() {
    let text = |program, other| diverges(program, other).to_string();
    assert_eq!(
        text("(vigy-log :info \"a\")\n(vigy-push 1)", "(vigy-log :info \"a\")\n  (vigy-push (list 1 :two \"3\"))"),
        "2:3: entry 1 differs: the record says `push 1`, now it is `push (1 :two \"3\")`"
    );
    assert_eq!(text("(vigy-push 1)", "(vigy-get \"k\")"), "1:1: entry 0 differs: the record says `push 1`, now the program reads k");
    assert_eq!(
        text("(vigy-get \"a\")", "(vigy-get \"b\")"),
        "1:1: entry 0 differs: the record says `read a: nothing`, now the program reads b"
    );
    assert!(text("(vigy-noop)", "(vigy-noop) (vigy-tick)").contains("the record says `end: ok, "), "fuel is part of a run");
    assert!(text("(vigy-noop)", "(vigy-noop) (throw 1)").contains("now it is `end: "));
    assert!(matches!(diverges("(vigy-noop)", "(echo/read 1)").found, Found::Said(_)));
}

#[test]
fn a_run_that_used_up_a_limit_uses_it_up_again() {
    for program in [
        "(while true (vigy-metric \"m\" 1))",
        "(while true nil)",
        "(while true (display \"0123456789\"))",
        "(while true (vigy-noop))",
        "(while true (vigy-log :info \"again\"))",
        "(let [n (vigy-incr \"n\")] (loop [i 0] (vigy-get (str \"key\" i)) (recur (+ i 1))))",
        "(loop [s \"0123456789\"] (vigy-trace \"t\" s) (recur (str s s)))",
        "(vigy-trace \"t\" (echo/read \"x\")) (throw \"over\")",
        "(loop [i 0] (echo/write i) (recur (+ i 1)))",
    ] {
        let mut world = World::new(program);
        assert!(!world.tick(), "{program}");
        let replayed = world.replay(1).unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(!replayed.cut);
    }
}

#[test]
fn a_value_that_is_not_there_or_is_another_one_is_told() {
    let mut world = World::new("(vigy-set \"k\" (echo/large 1))");
    world.tick();
    let hash = *world.disk().values.keys().next().unwrap();
    for damage in [|value: &mut Vec<u8>| value.clear(), |value: &mut Vec<u8>| value[100] ^= 1] {
        let mut damaged = World::new("(vigy-set \"k\" (echo/large 1))");
        damaged.tick();
        damaged.disk_mut().values.values_mut().for_each(damage);
        let Err(ReplayError::Diverged(divergence)) = damaged.replay(1) else { panic!("it was noticed") };
        assert_eq!(divergence.found, Found::NoValue(hash));
    }
}

#[test]
fn a_run_that_was_cut_is_replayed_up_to_the_cut() {
    let mut world = World::new(RICH);
    world.crash_after_writes(1);
    assert!(world.try_tick().is_err());
    world.restart();
    assert_eq!(world.checkpoint.unfinished, Unfinished::Evaluation);
    let before = world.image.clone();
    world.edit("(vigy-noop)");
    assert!(!world.tick(), "the program changed while the tick was cut");
    world.image = before;
    assert!(world.replay(1).unwrap().cut);
}

#[test]
fn a_damaged_record_is_refused_or_differs_and_nothing_else() {
    let mut world = World::new(RICH);
    assert!(world.tick() && world.tick());
    let whole = world.record(2).to_vec();
    let mut same = 0;
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let record = &mut world.record_mut(2)[at];
            *record ^= flip;
            same += usize::from(world.replay(2).is_ok());
            let _ = world.try_what_if(2);
            world.record_mut(2)[at] ^= flip;
        }
    }
    // This program does not look at its hash and its seed, of 32 and at most 10 bytes; and version 2 reads the same.
    let not_looked_at = (32 + 10) * 3 + 1;
    assert!(same <= not_looked_at, "{same} damages went unnoticed");
    assert!(world.replay(2).is_ok());
}

// ---- secrets -------------------------------------------------------------------------------------------------------------------

const SECRET: &str =
    "(def token (echo/secret)) (vigy-log :info (str \"it has \" (count token))) (echo/write 1) (vigy-push (= token \"hunter2\"))";

#[test]
fn a_secret_answer_is_in_no_record_and_in_no_value() {
    let mut world = World::new(SECRET);
    assert!(world.tick(), "{}", world.end());
    let record = world.disk().runs.values().next().unwrap();
    assert!(!record.windows(7).any(|bytes| bytes == b"hunter2"));
    assert!(world.disk().values.values().all(|value| !value.windows(7).any(|bytes| bytes == b"hunter2")));
    let answer = |entry| if let Entry::Answer { answer: Ok(content) } = entry { Some(content) } else { None };
    let secret = Record::parse(record).unwrap().entries().find_map(answer);
    let answer = postcard::to_allocvec(&vigy_lisp::Data::from("hunter2")).unwrap();
    assert_eq!(secret, Some(Content::Secret { hash: world::KEY.hash(&answer), len: answer.len() as u32 }));
    assert_eq!(format!("{:?}", world::KEY), "SecretKey(…)");
}

#[test]
fn a_replay_asks_for_a_secret_again() {
    let mut world = World::new(SECRET);
    world.tick();
    assert!(!world.replay(1).unwrap().cut);
    world.echo().secret = "hunter3".to_owned();
    let Err(ReplayError::Diverged(divergence)) = world.replay(1) else { panic!("it was noticed") };
    assert!(divergence.to_string().contains("the record says `answer a secret of 9 bytes, "), "{divergence}");
    world.echo().key = Some(SecretKey([1; 32]));
    world.echo().secret = "hunter2".to_owned();
    assert!(world.replay(1).is_err(), "under another key it is another hash");
    world.echo().key = None;
    assert!(world.replay(1).is_err(), "without a key there is none");
}

#[test]
fn without_a_key_a_secret_is_refused() {
    let mut world = World::new(SECRET);
    world.echo().key = None;
    assert!(!world.tick());
    assert!(world.end().contains("denied: this host has no key for secret answers"), "{}", world.end());
    assert!(!world.replay(1).unwrap().cut);
}

#[test]
fn a_cut_tick_asks_for_its_secrets_again_and_goes_on_if_they_are_the_same() {
    for (secret, end) in
        [("hunter2", "ok"), ("hunter3", "diverged: cut in two and evaluated again, the tick was not given the secret answer")]
    {
        let mut world = World::new(SECRET);
        world.crash_after_writes(1);
        assert!(world.try_tick().is_err());
        world.restart();
        world.echo().secret = secret.to_owned();
        world.tick();
        assert!(world.end().starts_with(end), "{}", world.end());
        assert_eq!(world.echo().sent.len(), if end == "ok" { 2 } else { 1 }, "only the write in flight goes out again");
    }
}

#[test]
fn the_answer_of_a_secret_write_is_not_worth_a_second_write() {
    const MINT: &str = "(def token (echo/mint)) (echo/write (count token)) (vigy-noop)";
    let mut world = World::new(MINT);
    assert!(world.tick(), "{}", world.end());
    assert!(!world.replay(1).unwrap().cut);
    for writes in 0..4 {
        let mut world = World::new(MINT);
        world.crash_after_writes(writes);
        assert!(world.try_tick().is_err());
        world.restart();
        world.tick();
        let minted = world.echo().sent.iter().filter(|(operation, _)| operation == "echo/mint").count();
        // Its answer was durable, as a hash: the tick cannot go on from that.
        let lost = writes >= 2;
        assert_eq!(world.end().starts_with("diverged: "), lost, "{writes}: {}", world.end());
        assert_eq!(minted, if writes == 1 { 2 } else { 1 }, "only the write in flight goes out again");
    }
}

#[test]
fn behind_a_wall_the_records_are_the_same_and_replay() {
    for program in [RICH, SECRET, "(echo/mint) (echo/write 1)", "(while true (echo/read 1))", "(while true (echo/secret))"] {
        let (mut here, mut there) = (World::new(program), World::new(program));
        there.wall = true;
        for tick in 1..4 {
            assert_eq!(here.tick(), there.tick());
            assert_eq!(here.record(tick), there.record(tick), "{program}");
            here.wall = !here.wall;
            assert!(here.replay(tick).is_ok() && there.replay(tick).is_ok(), "{program}");
            here.wall = false;
        }
    }
}

// ---- another program -----------------------------------------------------------------------------------------------------------

/// What `other` does otherwise on the inputs of the second run of `program`.
#[track_caller]
fn what_if(program: &str, other: &str) -> Vec<String> {
    let mut world = World::new(program);
    assert!(world.tick() && world.tick(), "{}", world.end());
    world.edit(other);
    world.what_if(2).differences.iter().map(ToString::to_string).collect()
}

#[test]
fn an_edited_program_is_shown_what_it_would_have_done() {
    let none: [&str; 0] = [];
    assert_eq!(what_if(RICH, RICH), none);
    assert_eq!(what_if("(vigy-push (vigy-incr \"n\"))", "(let [n (vigy-incr \"n\")] (vigy-push n))"), none, "with other fuel");
    assert_eq!(what_if("(vigy-push (vigy-incr \"n\"))", "(vigy-push (* 10 (vigy-incr \"n\")))"), ["- push 2", "+ push 20"]);
    assert_eq!(
        what_if("(vigy-incr \"n\") (vigy-push 1) (vigy-push 2)", "(vigy-incr \"n\" 5) (vigy-push 2) (vigy-restart :db)"),
        ["- set n to 2\n+ set n to 6", "- push 1", "+ restart :db"]
    );
    assert_eq!(
        what_if("(vigy-condition :Up true) (vigy-log :info (echo/read 1))", "(vigy-condition :Up false) (vigy-log :warn (echo/read 1))"),
        ["- condition Up: true  \n+ condition Up: false  ", "- log info: 1", "+ log warn: 1"]
    );
    assert_eq!(
        what_if("(vigy-push 1)", "(vigy-push 1) (throw 1)").len(),
        2,
        "a failed tick carries out nothing, so the push is gone and the end is another one"
    );
}

#[test]
fn an_input_that_the_run_did_not_have_ends_it_with_the_place() {
    let end = |program, other| what_if(program, other).remove(0);
    let unknown = end("(vigy-get \"a\")", "(vigy-get \"a\")\n (try (vigy-get \"b\") (catch (e) 1))");
    assert!(unknown.contains("+ end: 2:7: unknown-input: the run did not read b"), "{unknown}");
    let unknown = end("(echo/read 1)", "(echo/read 1) (echo/read 1)");
    assert!(unknown.contains("+ end: 1:15: unknown-input: the run did not ask echo/read so"), "{unknown}");
    let none: [&str; 0] = [];
    assert_eq!(what_if("(echo/read 1) (echo/read 2)", "(echo/read 2) (echo/read 1)"), none, "in another order they are the same inputs");
}
