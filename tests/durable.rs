//! What an operator does with a runtime that keeps everything: schedules, failures, revisions, dead letters, replays, copies, cursors,
//! metrics. Each on the store itself and through a daemon, where that can differ.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use common::{Daemon, Home, PATIENCE};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

/// What is asked on the store itself, and then through a daemon.
fn both(home: &Home, ask: impl Fn()) {
    ask();
    let daemon = home.serve(&[]);
    ask();
    assert!(daemon.stop().success());
}

/// A home with a disabled vigy of this program.
fn with(name: &str, program: &str) -> Home {
    let home = Home::new();
    home.does(&["register", &home.file("p.tlisp", program), "--name", name, "--disabled"]);
    home
}

#[test]
fn schedules_are_declared_and_shown() {
    let home = Home::new();
    let hello = home.hello();
    let declared = |args: &[&str]| home.json(&[&["register", &hello, "--name", "h", "--disabled"], args].concat());
    let sharp = declared(&["--every", "1m", "--sharp", "--park-after", "5"]);
    assert_eq!(
        (&sharp["tick_interval_ms"], &sharp["schedule"]["pace"], &sharp["policy"]["park_after"]),
        (&json!(60_000), &json!("sharp"), &json!(5))
    );
    let idle = declared(&["--idle", "--initial-delay", "5s", "--jitter", "0"]);
    assert_eq!((&idle["schedule"]["initial_delay_ms"], &idle["schedule"]["jitter_ms"]), (&json!(5000), &json!(0)));
    let cron = declared(&["--cron", "0 3 * * *", "--tz", "Europe/Berlin"]);
    assert_eq!((&cron["tick_interval_ms"], &cron["schedule"]), (&Value::Null, &json!({"cron": "0 3 * * *", "time_zone": "Europe/Berlin"})));
    assert!(home.does(&["list"]).contains("at 0 3 * * *, Europe/Berlin"));
    // 3:00 in Berlin is 1:00 or 2:00 in UTC.
    let due = home.json(&["inspect", "h"])["due_at"].as_str().unwrap().to_owned();
    assert!(due.contains("T01:00:00.000Z") || due.contains("T02:00:00.000Z"), "{due}");
}

#[test]
fn schedules_that_contradict_themselves_are_refused() {
    let home = Home::new();
    let hello = home.hello();
    let refused = |args: &[&str], word: &str| home.refuses(&[&["register", hello.as_str()], args].concat(), 2, &[word]);
    refused(&["--sharp", "--idle"], "--idle");
    refused(&["--sharp", "--jitter", "1s"], "--jitter");
    refused(&["--cron", "@hourly", "--every", "1s"], "--every");
    refused(&["--cron", "@hourly", "--idle"], "--idle");
    refused(&["--tz", "Europe/Berlin"], "--cron");
    refused(&["--cron", "0 3 * * *", "--tz", "Mars/Olympus"], "Mars/Olympus");
    refused(&["--cron", "sometimes"], "no schedule");
    refused(&["--every", "1 week"], "10s");
    refused(&["--every", "1s", "--jitter", "2s"], "longer than the interval");
    assert_eq!(home.json(&["list"]), json!([]));
}

#[test]
fn a_paused_vigy_is_ticked_by_force_only() {
    let home = Home::new();
    home.does(&["register", &home.hello(), "--name", "hello", "--every", "1h"]);
    home.does(&["tick", "hello", "--wait"]);
    both(&home, || {
        assert!(home.does(&["pause", "hello"]).contains("disabled hello"));
        home.refuses(&["tick", "hello"], 1, &["paused", "resume it, or force the tick"]);
        home.does(&["tick", "hello", "--force"]);
        assert!(home.does(&["resume", "hello"]).contains("enabled hello"));
        home.does(&["tick", "hello"]);
    });
}

#[test]
fn a_vigy_that_fails_too_often_is_parked_until_it_is_resumed() {
    let home = Home::new();
    let daemon = home.serve(&[]);
    let tail = home.tail(&[]);
    home.does(&["register", &home.file("f.tlisp", "(vigy-fail \"for good\")"), "--name", "f", "--every", "100"]);
    assert_eq!(tail.next_of("parked")["name"], "f");
    assert!(home.does(&["list"]).contains("parked"));
    assert!(home.does(&["inspect", "f"]).contains("`vigy resume f` lets it go on"));
    home.does(&["register", &home.hello(), "--name", "f", "--every", "100"]);
    assert_eq!(home.json(&["resume", "f"])["parked"], json!(false));
    assert_eq!(tail.next_of("resumed")["name"], "f");
    assert!(daemon.stop().success());
}

#[test]
fn a_revision_can_be_gone_back_to() {
    let home = with("r", "(vigy-log :info \"one\")");
    home.does(&["tick", "r", "--force"]);
    home.does(&["register", &home.file("p.tlisp", "(vigy-log :info \"two\")"), "--name", "r", "--disabled"]);
    both(&home, || {
        let before = home.json(&["revisions", "r"]);
        let newest = before[0]["revision"].as_u64().unwrap();
        assert_eq!(home.json(&["rollback", "r", "--to", "1"])["revision"], json!(newest + 1));
        let run = home.json(&["tick", "r", "--force"]);
        assert_eq!(run["logs"][0]["message"], "one");
        home.does(&["rollback", "r", "--to", "2"]);
        assert_eq!(home.json(&["tick", "r", "--force"])["logs"][0]["message"], "two");
        home.refuses(&["rollback", "r", "--to", "99"], 3, &["revision 99"]);
    });
    assert!(home.json(&["inspect", "r"])["ticks"] == json!(5), "the history stays");
}

#[test]
fn a_dead_letter_is_redriven_under_its_key_or_discarded() {
    let home = Home::new();
    let program = home.file("p.tlisp", "(vigy-push {:n 1}) (vigy-push {:n 2})");
    // Exit code 65 is a failure for good.
    let handler = "exec:test -e go && echo $VIGY_ACTION_KEY >> keys || exit 65";
    home.does(&["register", &program, "--name", "p", "--disabled", "--on-action", handler]);
    home.does(&["tick", "p", "--force"]);
    let letters = home.json(&["dead-letters"]);
    let key = |n: usize| letters[n]["key"].as_str().unwrap().to_owned();
    assert_eq!((&letters[0]["payload"], &letters[1]["payload"]), (&json!({"n": 1}), &json!({"n": 2})));
    assert!(home.does(&["inspect", "p"]).contains(&key(0)));
    let again = home.vigy(&["redrive", &key(0)]);
    assert!(again.code == Some(1) && again.out.contains("failed"), "{again:#?}");
    home.file("go", "");
    let daemon = home.serve(&[]);
    assert_eq!(home.json(&["redrive", &key(0)])[0]["result"], "ok");
    assert_eq!(std::fs::read_to_string(home.path("keys")).unwrap().trim(), key(0), "the receiver sees the old key");
    home.refuses(&["redrive", &key(0)], 3, &["no dead letter"]);
    assert_eq!(home.json(&["discard", "p"]), json!({"discarded": [key(1)]}));
    assert_eq!(home.json(&["dead-letters", "p"]), json!([]));
    assert!(daemon.stop().success());
}

#[test]
fn runs_are_replayed_and_say_again_what_they_said() {
    let home =
        with("r", "(vigy-set \"k\" (+ 1 (or (vigy-get \"k\") 0))) (vigy-log :info (str (vigy-tick))) (vigy-push {:n (vigy-get \"k\")})");
    for _ in 0..3 {
        home.does(&["tick", "r", "--force"]);
    }
    both(&home, || {
        let replayed = home.json(&["replay", "r"]);
        assert_eq!(replayed.as_array().unwrap().len(), 3);
        assert!(replayed.as_array().unwrap().iter().all(|replay| replay["divergence"].is_null() && replay["entries"].as_u64() > Some(3)));
        let run = replayed[1]["run"].as_str().unwrap();
        assert!(home.does(&["replay", "r@1", run]).contains("same"));
        home.refuses(&["replay", "r@9"], 3, &["run"]);
        home.refuses(&["replay", "nobody"], 3, &["nobody"]);
    });
}

#[test]
fn a_diff_shows_what_an_edited_program_would_have_done() {
    let home = with("d", "(vigy-set \"k\" 1) (vigy-log :info \"old\") (vigy-push {:n 1})");
    home.does(&["tick", "d", "--force"]);
    let edited = home.file("new.tlisp", "(vigy-set \"k\" 2) (vigy-log :info \"new\") (vigy-push {:n 1})");
    let same = home.file("same.tlisp", ";; tidied up\n(vigy-set \"k\" (+ 0 1)) (vigy-log :info \"old\") (vigy-push {:n 1})");
    let asks = home.file("asks.tlisp", "(vigy-get \"other\")");
    let broken = home.file("broken.tlisp", "(vigy-noop");
    both(&home, || {
        let diff = home.does(&["diff", "d", "--program", &edited]);
        let changes: Vec<_> = diff.lines().filter(|line| line.starts_with("  - ") || line.starts_with("  + ")).collect();
        assert_eq!(changes.len(), 4, "{diff}");
        assert!(diff.contains("old") && diff.contains("new") && !diff.contains("push"), "{diff}");
        assert_eq!(home.json(&["diff", "d@1", "--program", &same])[0]["differences"], json!([]));
        assert!(home.does(&["diff", "d", "--program", &asks]).contains("unknown-input"));
        home.refuses(&["diff", "d", "--program", &broken], 1, &["broken.tlisp:1"]);
    });
    assert_eq!(home.json(&["inspect", "d"])["state"]["kv"]["k"], json!(1), "nothing is written");
}

#[test]
fn a_store_is_checked_copied_and_restored() {
    let home = with("s", "(vigy-incr \"n\") (vigy-push {})");
    home.does(&["tick", "s", "--force"]);
    let (n, store) = (std::cell::Cell::new(0), home.db());
    both(&home, || {
        assert_eq!(home.json(&["store", "check"]), json!([]));
        n.set(n.get() + 1);
        let copy = format!("copy-{}.redb", n.get());
        home.does(&["store", "backup", &copy]);
        home.refuses(&["store", "backup", &copy], 1, &["is there already"]);
        let restored = format!("restored-{}.redb", n.get());
        home.does(&["--db", &restored, "store", "restore", &copy]);
        home.refuses(&["--db", &restored, "store", "restore", &copy], 1, &["is there already"]);
        let there = home.json(&["--db", &restored, "inspect", "s"]);
        assert_eq!((&there["state"]["kv"]["n"], &there["ticks"]), (&json!(1), &json!(1)));
        assert_eq!(home.json(&["--db", &restored, "store", "check"]), json!([]));
        // A new life: no key of the first one comes back.
        let life = |args: &[&str]| home.json(args)["id"].as_str().unwrap().split('-').next().unwrap().to_owned();
        let first = home.json(&["runs", "s"])[0]["id"].as_str().unwrap().split('-').next().unwrap().to_owned();
        assert_ne!(life(&["--db", &restored, "tick", "s", "--force"]), first);
        // Whoever followed the first one's events is told that these are others.
        let daemon = home.serve(&["--db", &restored]);
        let tail = home.tail(&["--db", &restored, "--since", "2"]);
        assert_eq!((&tail.next()["event"], &tail.next()["event"]), (&json!("reset"), &json!("run")));
        assert!(daemon.stop().success());
    });
    home.refuses(&["--db", store.to_str().unwrap(), "store", "restore", "nothing.redb"], 1, &["is there already"]);
}

/// The queries that upstream's README tells an operator to use, word for word.
#[test]
fn the_export_answers_the_queries_of_upstreams_readme() {
    let home = with("s", "(vigy-incr \"n\") (vigy-noop)");
    home.does(&["tick", "s", "--force"]);
    home.does(&["tick", "s", "--force"]);
    let n = std::cell::Cell::new(0);
    both(&home, || {
        n.set(n.get() + 1);
        let name = format!("vigy-{}.sqlite", n.get());
        home.does(&["store", "export", &name]);
        home.refuses(&["store", "export", &name], 1, &["cannot export"]);
        let database = rusqlite::Connection::open(home.path(&name)).unwrap();
        let texts = |sql: &str, columns: usize| -> Vec<Vec<String>> {
            let mut statement = database.prepare(sql).unwrap();
            let row = |row: &rusqlite::Row<'_>| {
                (0..columns)
                    .map(|n| row.get_ref(n)?.as_str().map(str::to_owned).or_else(|_| row.get::<_, i64>(n).map(|n| n.to_string())))
                    .collect()
            };
            statement.query_map([], row).unwrap().map(Result::unwrap).collect()
        };
        // `.schema` of the sqlite3 shell.
        assert!(texts("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL", 1).iter().any(|sql| sql[0].contains("CREATE TABLE vigies")));
        let vigies = texts("SELECT id, name, enabled FROM vigies;", 3);
        assert_eq!((vigies.len(), vigies[0][1].as_str(), vigies[0][2].as_str()), (1, "s", "0"));
        let runs = texts("SELECT vigy_id, result, started_at FROM vigy_runs ORDER BY started_at DESC LIMIT 10;", 3);
        assert_eq!(runs.len(), 2);
        assert!(runs.iter().all(|run| run[0] == vigies[0][0] && run[1] == "ok") && runs[0][2] >= runs[1][2]);
        let events = texts("SELECT seq, event FROM vigy_events ORDER BY seq", 2);
        assert_eq!(events[0], ["1", "registered"]);

        let name = format!("vigy-{}.jsonl", n.get());
        home.does(&["store", "export", &name]);
        let text = std::fs::read_to_string(home.path(&name)).unwrap();
        let kinds: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone()).collect();
        assert_eq!(&kinds[..5], ["vigy", "revision", "state", "run", "run"]);
        home.refuses(&["store", "export", "vigy.txt"], 2, &["FILE.jsonl", "FILE.sqlite"]);
    });
}

#[test]
fn a_listener_goes_on_where_it_was() {
    let home = with("l", "(vigy-noop)");
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    for _ in 0..3 {
        home.does(&["tick", "l", "--force"]);
    }
    let first = home.tail(&["--since", "0"]);
    assert_eq!((&first.next()["seq"], &first.next_of("run")["tick"]), (&json!(1), &json!(1)));
    let seen = first.next()["seq"].as_u64().unwrap();
    drop(first);
    let on = home.tail(&["--since", &seen.to_string()]).next();
    assert_eq!((&on["seq"], &on["tick"]), (&json!(seen + 1), &json!(3)));
    // As a browser does whose connection broke.
    let address = daemon.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {address}\r\nLast-Event-ID: {seen}\r\n\r\n").unwrap();
    let mut told = String::new();
    while !told.contains(&format!("id: {}", seen + 1)) {
        let mut part = [0; 4096];
        let n = stream.read(&mut part).unwrap();
        assert!(n > 0, "{told}");
        told.push_str(&String::from_utf8_lossy(&part[..n]));
    }
    assert!(!told.contains(&format!("id: {seen}\n")));
    // What was deleted is told as gone.
    home.does(&["delete", "l"]);
    let tail = home.tail(&["--since", "0"]);
    assert_eq!((&tail.next()["what"], &tail.next_of("deleted")["name"]), (&json!("registered"), &json!("l")));
    assert!(daemon.stop().success());
}

fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_daemon_counts_what_it_does() {
    let home = with("counted", "(vigy-noop)");
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    home.does(&["tick", "counted", "--force"]);
    home.does(&["tick", "counted", "--force"]);
    let answer = get(daemon.url(), "/metrics");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    let lines = ["vigy_reconcile_total{vigy=\"counted\",result=\"ok\"} 2", "vigy_reconcile_time_seconds_count 2", "vigy_disabled 1"];
    for line in lines {
        assert!(answer.lines().any(|found| found == line), "`{line}` is missing in\n{answer}");
    }
    assert!(daemon.stop().success());
}

/// How many bytes of a file the daemon may write from now on.
fn may_write(daemon: &Daemon, bytes: Option<u64>) {
    let pid = Pid::from_raw(daemon.pid().cast_signed()).unwrap();
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[test]
fn a_daemon_goes_on_when_its_disk_has_room_again() {
    let home = Home::new();
    home.does(&["register", &home.file("p.tlisp", "(vigy-incr \"n\")"), "--name", "n", "--every", "100"]);
    // A file that may not grow any more is as good as a full disk, for a process that takes the error and not the signal.
    let serve = home.command(&["serve", "--json"]);
    let mut shell = Command::new("bash");
    shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "bash"]).arg(serve.get_program()).args(serve.get_args()).current_dir(home.dir.path());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // Its log is on that disk, too.
    shell.stderr(std::fs::File::create(home.path("log")).unwrap());
    let daemon = home.daemon(shell);
    let tick = || home.vigy(&["tick", "n", "--force"]);
    assert_eq!(tick().code, Some(0));

    may_write(&daemon, Some(0));
    let refused = std::iter::repeat_with(tick).take(1000).find(|ran| ran.code != Some(0)).unwrap();
    assert!(refused.code == Some(1) && refused.err.contains("the store failed"), "{refused:#?}");
    // It says so to whoever asks, and is not gone.
    let refused = tick();
    assert!(refused.code == Some(1) && refused.err.contains("the store failed"), "{refused:#?}");

    may_write(&daemon, None);
    let begun = Instant::now();
    let ran = std::iter::repeat_with(tick).find(|ran| ran.code == Some(0) || begun.elapsed() > PATIENCE).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    // By itself, too.
    home.tail(&[]).next_of("run");
    assert!(daemon.stop().success());
    let inspected = home.json(&["inspect", "n"]);
    assert_eq!(inspected["state"]["kv"]["n"], inspected["ticks"], "no tick is lost, and none is there twice");
    assert_eq!(home.json(&["store", "check"]), json!([]));
}

#[test]
fn what_only_the_owner_may_do_is_not_done_over_tcp() {
    let home = with("o", "(vigy-noop)");
    home.does(&["tick", "o", "--force"]);
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let checked = get(daemon.url(), "/v1/store/check");
    assert!(checked.starts_with("HTTP/1.1 403") && checked.contains("the socket of the store's owner"), "{checked}");
    assert!(daemon.stop().success());
}
