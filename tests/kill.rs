//! `kill -9` at random moments: what a tick did is there whole, or not at all.

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Home;
use serde_json::{Value, json};

/// How often the daemon is killed. `VIGY_KILLS` says otherwise.
const KILLS: u64 = 50;

#[test]
fn counters_ticks_and_runs_agree_after_every_kill() {
    let kills = std::env::var("VIGY_KILLS").map_or(KILLS, |kills| kills.parse().expect("VIGY_KILLS is a number"));
    let home = Home::new();
    let program = "(doseq [key (list \"a\" \"b\" \"c\" \"d\" \"e\")] (vigy-incr key)) (vigy-push {:n (vigy-tick-count)}) (vigy-noop)";
    home.does(&["register", &home.file("five.tlisp", program), "--name", "five", "--every", "100"]);

    let mut random = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("the seed is {random}");
    let (mut ticks, mut survived) = (0, 0);
    for kill in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The moment is what is tested: some kills hit the start, most hit one of the ticks.
        let life = Duration::from_micros(5_000 + random % 350_000);
        let born = Instant::now();
        let mut daemon = home.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(life.saturating_sub(born.elapsed()));
        daemon.kill().unwrap();
        daemon.wait().unwrap();

        let five = home.json(&["inspect", "five"]);
        let now = five["ticks"].as_u64().unwrap();
        assert!(now >= ticks, "kill {kill}: what was committed is gone: {now} < {ticks}");
        survived += u64::from(now > ticks);
        ticks = now;
        for key in ["a", "b", "c", "d", "e"] {
            let counter = &five["state"]["kv"][key];
            assert!(*counter == json!(ticks) || ticks == 0 && counter.is_null(), "kill {kill}: {key} is {counter} after {ticks} ticks");
        }
        let runs = home.json(&["runs", "five", "--limit", "1000"]);
        let recorded: Vec<u64> = runs.as_array().unwrap().iter().map(|run| run["tick"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (1..=ticks).rev().take(1000).collect();
        assert_eq!(recorded, expected, "kill {kill}: the runs have a gap");
    }
    assert!(survived * 2 > kills, "most lives are long enough for a tick: {survived} of {kills}");

    // The next daemon carries on where the last one was killed, and settles what that left behind.
    let daemon = home.serve(&[]);
    let tail = home.tail(&["five"]);
    tail.next_of("run");
    assert!(daemon.stop().success());
    let runs = home.json(&["runs", "five", "--limit", "1000"]);
    let unsettled = |run: &&Value| run["actions"].as_array().unwrap().iter().any(|action| action["result"].is_null());
    assert_eq!(runs.as_array().unwrap().iter().find(unsettled), None, "every action has its outcome");
}
