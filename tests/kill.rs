//! `kill -9` at random moments: what a tick did is there whole, or not at all.
//!
//! `VIGY_KILLS=N` kills a daemon N times instead of 50, `VIGY_SEED=N` chooses the moments. Prints a line of JSON: what was acknowledged and
//! lost, ticks that were torn, stores that could not be opened, and how many milliseconds a store of 10,000 vigies takes to open.

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Home, PATIENCE};
use serde_json::{Value, json};
use vigy::{Cadence, RuntimeHandle, TickInterval, Vigy};

/// How often the daemon is killed.
const KILLS: u64 = 50;

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn counters_ticks_and_runs_agree_after_every_kill() {
    let kills = number("VIGY_KILLS").unwrap_or(KILLS);
    let home = Home::new();
    let program = "(doseq [key (list \"a\" \"b\" \"c\" \"d\" \"e\")] (vigy-incr key)) (vigy-push {:n (vigy-tick-count)}) (vigy-noop)";
    home.does(&["register", &home.file("five.tlisp", program), "--name", "five", "--every", "100"]);

    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("VIGY_SEED").unwrap_or_else(clock) | 1;
    println!("the seed is {seed}");
    let mut random = seed;
    let (mut ticks, mut survived) = (0u64, 0);
    let (mut lost, mut torn, mut unopenable) = (0, 0, 0);
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

        let opened = home.vigy(&["inspect", "five", "--json"]);
        if opened.code != Some(0) {
            println!("kill {kill}: the store does not open: {opened:#?}");
            unopenable += 1;
            break;
        }
        let five: Value = serde_json::from_str(&opened.out).unwrap();
        let now = five["ticks"].as_u64().unwrap();
        lost += ticks.saturating_sub(now);
        survived += u64::from(now > ticks);
        ticks = now;
        let kv = &five["state"]["kv"];
        let whole = |key: &&str| kv[key] == json!(ticks) || ticks == 0 && kv[key].is_null();
        let runs = home.json(&["runs", "five", "--limit", "1000"]);
        let recorded: Vec<u64> = runs.as_array().unwrap().iter().map(|run| run["tick"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (1..=ticks).rev().take(1000).collect();
        if !["a", "b", "c", "d", "e"].iter().all(whole) || recorded != expected {
            println!("kill {kill}: after {ticks} ticks there is {kv}, and runs {recorded:?}");
            torn += 1;
        }
    }
    let line = json!({
        "name": "kill", "seed": seed, "runs": kills, "failures": lost + torn + unopenable,
        "lost": lost, "torn": torn, "unopenable": unopenable, "reopen_ms_10000": reopen_ms(10_000),
    });
    println!("{line}");
    assert_eq!((lost, torn, unopenable), (0, 0, 0), "{line}");
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

/// How many milliseconds a store of so many vigies takes to open, until they tick.
fn reopen_ms(vigies: usize) -> u128 {
    let home = Home::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let runtime = RuntimeHandle::builder().scheduling(false).open(&home.db()).await.unwrap();
        let cadence = Cadence { initial_delay_ms: 3_600_000, ..Cadence::every(TickInterval::from_millis(3_600_000).unwrap()) };
        let register = |n| runtime.register_or_update(Vigy::new(&format!("vigy-{n}"), "(vigy-noop)", cadence).unwrap());
        for first in (0..vigies).step_by(500) {
            let registered = futures_util::future::join_all((first..vigies.min(first + 500)).map(register)).await;
            assert!(registered.iter().all(Result::is_ok));
        }
        runtime.shutdown(PATIENCE).await;
    });
    runtime.block_on(async {
        let begun = Instant::now();
        let runtime = RuntimeHandle::builder().open(&home.db()).await.unwrap();
        let opened = begun.elapsed().as_millis();
        assert_eq!(runtime.census().await.unwrap().ticking, vigies as u64);
        runtime.shutdown(PATIENCE).await;
        opened
    })
}
