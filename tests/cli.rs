//! The real binary, as its operator meets it.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Home, PATIENCE, signal};
use rustix::process::Signal;
use serde_json::{Value, json};

// ---- the seed's quick start ------------------------------------------------------------------------------------------------------

#[test]
fn the_quick_start_works_line_by_line() {
    let home = Home::new();
    let hello = home.hello();
    let registered = home.does(&["register", &hello, "--name", "hello", "--every", "1000", "--label", "host=local"]);
    assert!(registered.contains("registered hello") && registered.contains("1000 ms"), "{registered}");
    let list = home.does(&["list"]);
    assert!(list.contains("hello") && list.contains("host=local") && list.contains("enabled"), "{list}");
    let id = home.json(&["list"])[0]["id"].as_str().unwrap().to_owned();
    assert!(home.does(&["inspect", &id]).contains("1000 ms"));

    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    assert!(daemon.url().starts_with("http://127.0.0.1:"));
    // Labelled, registered before the daemon started: it ticks.
    let run = home.tail(&[]).next_of("run");
    assert_eq!((&run["vigy_id"], &run["result"]), (&json!(id), &json!("ok")));
    assert_eq!(run["logs"], json!([{"level": "info", "message": "hello from a vigy"}]));
    assert_eq!(run["actions"], json!([{"kind": "noop", "payload": null, "result": "ok", "message": null}]));

    let tick = home.does(&["tick", &id]);
    assert!(tick.contains("hello from a vigy") && tick.contains("noop"), "{tick}");
    assert!(home.does(&["disable", &id]).contains("disabled hello"));
    assert!(home.does(&["enable", &id]).contains("enabled hello"));
    assert!(home.does(&["delete", &id]).contains("deleted hello"));
    assert_eq!(home.json(&["list"]), json!([]));
}

#[test]
fn a_program_becomes_a_module() {
    let home = Home::new();
    let directory = tempfile::tempdir().unwrap();
    let module = directory.path().join("hello.wasm");
    let module = module.to_str().unwrap();
    assert!(home.does(&["build", &home.hello(), "-o", module]).ends_with("asks nothing\n"));
    assert!(std::fs::read(module).unwrap().starts_with(b"\0asm"));
    let mirror = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/mirror-dir/main.tlisp");
    let built = home.json(&["build", mirror, "-o", module]);
    assert_eq!(built["operations"], json!(["fs/hash", "fs/list", "fs/read"]));
}

#[test]
fn a_program_runs_in_the_foreground() {
    let home = Home::new();
    let hello = home.hello();
    let out = home.does(&["run", &hello, "--once"]);
    for words in ["tick 1", "ok", "hello from a vigy", "noop"] {
        assert!(out.contains(words), "{out}");
    }
    let out = home.does(&["run", &hello, "--every", "100", "--ticks", "3", "--json"]);
    let ticks: Vec<_> = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tick"].clone()).collect();
    assert_eq!(ticks, [1, 2, 3]);
    assert!(!home.db().exists(), "nothing is stored");

    let fails = home.file("fails.tlisp", "(vigy-noop)\n(car 1)\n");
    let ran = home.vigy(&["run", &fails, "--once"]);
    assert!(ran.code == Some(1) && ran.out.contains("failed") && ran.out.contains("2:"), "{ran:#?}");
    home.refuses(
        &["run", &home.file("bad.tlisp", "(vigy-noop)\n(no-such-thing)\n"), "--once"],
        1,
        &["bad.tlisp:2:2", "no-such-thing", "^"],
    );
}

/// What a run of three ticks prints, without what differs from run to run: ids and times.
fn printed(home: &Home, engine: &str, program: &[&str]) -> Vec<Value> {
    let out = home.does(&[&["run", "--engine", engine, "--every", "100", "--ticks", "3", "--json"], program].concat());
    let runs = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let same = |mut run: Value| {
        for key in ["id", "started_at", "ended_at"] {
            run.as_object_mut().unwrap().remove(key).unwrap();
        }
        run
    };
    runs.map(same).collect()
}

#[test]
fn a_module_does_what_its_program_does() {
    let home = Home::new();
    let counts =
        home.file("counts.tlisp", "(vigy-log :info (vigy-incr :n)) (display (vigy-last-outcomes)) (vigy-push {:tick (vigy-tick-count)})");
    let directory = home.dir.path().canonicalize().unwrap().display().to_string();
    let reads = home.file("reads.tlisp", &format!("(vigy-push (fs/list \"{directory}\"))"));
    let granted = format!("fs:{directory}:r");
    let engines = if cfg!(feature = "wasm3") { vec!["wasmi", "wasm3"] } else { vec!["wasmi"] };
    for program in [vec![counts.as_str()], vec![reads.as_str(), "--allow", &granted]] {
        let native = printed(&home, "native", &program);
        assert_eq!(native.len(), 3);
        for engine in &engines {
            assert_eq!(printed(&home, engine, &program), native, "{engine}");
        }
    }
    for engine in engines {
        home.refuses(&["run", &reads, "--engine", engine, "--once"], 2, &["fs/list", "--allow fs:PATH:r"]);
        home.refuses(&["run", &home.file("bad.tlisp", "(no-such-thing)"), "--engine", engine, "--once"], 1, &["bad.tlisp:1:2", "^"]);
    }
    if !cfg!(feature = "wasm3") {
        home.refuses(&["run", &counts, "--engine", "wasm3", "--once"], 2, &["has no wasm3", "--features wasm3"]);
    }
}

#[test]
fn ctrl_c_ends_a_run_cleanly() {
    let home = Home::new();
    let mut child = home.command(&["run", &home.hello(), "--every", "100"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

// ---- what is refused -------------------------------------------------------------------------------------------------------------

#[test]
fn bad_input_is_refused_and_nothing_is_stored() {
    let home = Home::new();
    let hello = home.hello();
    let open = home.file("open.tlisp", "(((");
    home.refuses(&["register", &open, "--name", "open"], 1, &["open.tlisp:1:", "(((", "^"]);
    home.refuses(&["register", &hello, "--name", "x", "--every", "99"], 2, &["99 ms", "100 ms"]);
    home.refuses(&["register", &hello, "--name", "x", "--every", "18446744073709551615"], 2, &["365 days"]);
    home.refuses(&["register", &hello, "--name", ""], 2, &["empty"]);
    home.refuses(&["register", &hello, "--name", &"n".repeat(129)], 2, &["longer than 128 bytes"]);
    home.refuses(&["register", &hello, "--name", "a\nb"], 2, &["control"]);
    home.refuses(&["register", &hello, "--name", "\u{1b}[31mred"], 2, &["control"]);
    home.refuses(&["register", &home.file("blank.tlisp", " \n"), "--name", "x"], 2, &["blank"]);
    home.refuses(&["register", "nowhere.tlisp", "--name", "x"], 2, &["nowhere.tlisp", "cannot read"]);
    home.refuses(&["register", &hello, "--name", "x", "--label", "novalue"], 2, &["KEY=VALUE"]);
    home.refuses(&["register", &hello, "--name", "x", "--on-action", "shout"], 2, &["is no handler", "exec:COMMAND"]);
    home.refuses(&["register", &hello, "--name", "x", "--on-action", "https://example.org"], 2, &["TLS"]);
    home.refuses(&["register", &hello, "--name", "x", "--allow", "fs:/etc"], 2, &["fs:PATH:r"]);
    let reads = home.file("reads.tlisp", "(fs/list \"/etc\")");
    home.refuses(&["register", &reads, "--name", "x"], 2, &["fs/list", "--allow fs:PATH:r"]);
    home.refuses(&["list", "--selector", "host in (a"], 2, &["selector"]);
    home.refuses(&["list", "--limit", "0"], 2, &[]);
    home.refuses(&["frobnicate"], 2, &[]);
    assert_eq!(home.json(&["list"]), json!([]));
}

#[test]
fn what_is_not_there_is_not_found() {
    let home = Home::new();
    for command in ["inspect", "runs", "logs", "tick", "enable", "disable", "delete"] {
        home.refuses(&[command, "nobody"], 3, &["there is no vigy `nobody`"]);
    }
    home.refuses(&["tail"], 4, &["vigy serve"]);
    let ran = home.vigy(&["inspect", "\u{1b}[31mred"]);
    assert!(ran.code == Some(3) && !ran.err.contains('\u{1b}'), "{ran:#?}");
}

#[test]
fn a_failing_run_is_recorded_and_harms_nobody() {
    let home = Home::new();
    let forever = home.file("forever.tlisp", "(define (f) (f)) (f)");
    home.does(&["register", &forever, "--name", "forever"]);
    home.does(&["register", &home.hello(), "--name", "hello"]);
    let ran = home.vigy(&["tick", "forever"]);
    assert!(ran.code == Some(1) && ran.out.contains("out-of-fuel"), "{ran:#?}");
    assert_eq!(home.json(&["runs", "forever"])[0]["result"], "failed");
    assert_eq!(home.json(&["tick", "hello"])["result"], "ok");
}

#[test]
fn a_vigy_that_never_ends_does_not_keep_a_daemon_from_ending() {
    let home = Home::new();
    let mut daemon = home.serve(&[]);
    let tail = home.tail(&[]);
    home.does(&["register", &home.file("forever.tlisp", "(define (f) (f)) (f)"), "--name", "forever", "--every", "100"]);
    assert_eq!(tail.next_of("run")["result"], "failed");
    home.does(&["register", &home.hello(), "--name", "hello", "--every", "100"]);
    std::iter::repeat_with(|| tail.next_of("run")).find(|run| run["result"] == "ok").unwrap();
    signal(&daemon.child, Signal::INT);
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn what_a_program_prints_is_a_part_of_its_run() {
    let home = Home::new();
    let out = home.does(&["run", &home.file("prints.tlisp", "(println \"a\" 1) (display \"b\")"), "--once", "--json"]);
    let run: Value = serde_json::from_str(&out).expect("nothing but JSON");
    let printed: Vec<_> = run["logs"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(printed, ["a 1", "b"]);
}

#[test]
fn a_run_that_fails_shows_where() {
    let home = Home::new();
    let ran = home.vigy(&["run", &home.file("adds.tlisp", "(define (f x)\n  (+ x \"a\"))\n(f 1)"), "--once"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("2:3: type-mismatch") && ran.out.contains("2 |   (+ x \"a\"))") && ran.out.contains("|   ^"), "{}", ran.out);
}

#[test]
fn commands_wait_for_each_other() {
    let home = Home::new();
    home.does(&["register", &home.file("counter.tlisp", "(vigy-incr \"n\")"), "--name", "counter"]);
    let children: Vec<_> = (0..8).map(|_| home.command(&["tick", "counter"]).stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(home.json(&["inspect", "counter"])["state"]["kv"]["n"], 8);
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let home = Home::new();
    home.file("vigy.redb", "dear diary");
    home.refuses(&["list"], 1, &["vigy.redb"]);
    assert_eq!(std::fs::read_to_string(home.db()).unwrap(), "dear diary");
}

#[test]
fn only_loopback_is_served_and_a_busy_port_says_so() {
    let home = Home::new();
    home.refuses(&["serve", "--bind", "0.0.0.0:38821"], 2, &["loopback"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    home.refuses(&["serve", "--bind", &taken.local_addr().unwrap().to_string()], 4, &["cannot listen", "another process has the port"]);
}

// ---- declarations ----------------------------------------------------------------------------------------------------------------

#[test]
fn registering_again_edits() {
    let home = Home::new();
    let counter = home.file("counter.tlisp", "(vigy-incr \"n\")");
    let first = home.json(&["register", &counter, "--name", "counter"]);
    assert_eq!((&first["change"], &first["revision"]), (&json!("registered"), &json!(1)));
    home.does(&["tick", "counter"]);
    home.does(&["disable", "counter"]);
    let same = home.json(&["register", &counter, "--name", "counter"]);
    assert_eq!((&same["change"], &same["enabled"]), (&json!("unchanged"), &json!(false)));
    let edited = home.json(&["register", &home.file("counter.tlisp", "(vigy-incr \"n\" 10)"), "--name", "counter", "--every", "500"]);
    assert_eq!((&edited["change"], &edited["revision"], &edited["tick_interval_ms"]), (&json!("updated"), &json!(2), &json!(500)));
    assert_eq!((&edited["id"], &edited["created_at"], &edited["enabled"]), (&first["id"], &first["created_at"], &json!(false)));
    home.does(&["tick", "count", "--force"]);
    let inspection = home.json(&["inspect", "counter"]);
    assert_eq!(inspection["state"]["kv"]["n"], 11, "an edit keeps the kv store");
    assert_eq!(inspection["runs"].as_array().unwrap().len(), 2, "and the history");

    home.does(&["delete", "counter"]);
    home.does(&["register", &counter, "--name", "counter"]);
    home.does(&["tick", "counter"]);
    assert_eq!(home.json(&["inspect", "counter"])["state"]["kv"]["n"], 10, "deleting removes it");
}

#[test]
fn a_prefix_will_do_when_it_is_clear() {
    let home = Home::new();
    let hello = home.hello();
    for name in ["alpha", "alpine", "zeta"] {
        home.does(&["register", &hello, "--name", name]);
    }
    assert_eq!(home.json(&["inspect", "z"])["name"], "zeta");
    home.refuses(&["inspect", "alp"], 2, &["could be", "alpha", "alpine"]);
    let id = home.json(&["inspect", "zeta"])["id"].as_str().unwrap().to_owned();
    assert_eq!(home.json(&["inspect", &id[..12]])["name"], "zeta");
}

#[test]
fn actions_are_carried_out_and_their_outcomes_come_back() {
    let home = Home::new();
    let program = "(vigy-set \"seen\" (vigy-last-outcomes)) (vigy-push {:n 1}) (vigy-pull {:n 2}) (vigy-defer \"later\")";
    let program = home.file("acts.tlisp", program);
    let handler = "exec:cat >> got; echo >> got; test $VIGY_ACTION_KIND = push || { echo no pulls >&2; exit 65; }";
    home.does(&["register", &program, "--name", "acts", "--on-action", handler]);
    let run = home.json(&["tick", "acts"]);
    let outcomes: Vec<_> = run["actions"].as_array().unwrap().iter().map(|a| (a["result"].as_str(), a["message"].as_str())).collect();
    assert_eq!(outcomes, [(Some("ok"), None), (Some("failed"), Some("exit code 65: no pulls")), (Some("skipped"), Some("later"))]);
    let got = std::fs::read_to_string(home.path("got")).unwrap();
    let got: Vec<Value> = got.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(got.len(), 2);
    assert_eq!((&got[0]["vigy"], &got[0]["kind"], &got[0]["payload"]), (&json!("acts"), &json!("push"), &json!({"n": 1})));
    assert_eq!(got[0]["key"], format!("{}-0", run["id"].as_str().unwrap()));

    assert!(home.does(&["runs", "acts"]).contains("exit code 65: no pulls"));
    home.does(&["tick", "acts"]);
    let seen = home.json(&["inspect", "acts"])["state"]["kv"]["seen"].clone();
    assert_eq!((&seen[0]["result"], &seen[1]["result"]), (&json!("ok"), &json!("failed")));
}

// ---- with a daemon ---------------------------------------------------------------------------------------------------------------

#[test]
fn a_daemon_takes_up_every_change_at_once_and_tail_shows_it() {
    let home = Home::new();
    let daemon = home.serve(&[]);
    let tail = home.tail(&[]);
    let hello = home.hello();
    let begun = Instant::now();
    home.does(&["register", &hello, "--name", "hello", "--every", "60000"]);
    assert_eq!(tail.next()["event"], "registered");
    assert_eq!(tail.next()["event"], "run", "the first tick does not wait");
    assert!(begun.elapsed() < Duration::from_secs(10));
    home.does(&["register", &hello, "--name", "hello", "--every", "100"]);
    assert_eq!(tail.next()["tick_interval_ms"], 100);
    // A minute would have to pass if the edit had not taken hold.
    let ticks: Vec<_> = (0..3).map(|_| tail.next_of("run")["tick"].as_u64().unwrap()).collect();
    assert_eq!(ticks, [2, 3, 4]);
    home.does(&["disable", "hello"]);
    tail.next_of("disabled");
    let ticks = home.json(&["inspect", "hello"])["ticks"].as_u64().unwrap();
    // Nothing but the forced tick comes after it.
    home.does(&["tick", "hello", "--force"]);
    let last = std::iter::repeat_with(|| tail.next_of("run")["tick"].as_u64().unwrap()).find(|tick| *tick > ticks).unwrap();
    assert_eq!(last, ticks + 1);
    home.does(&["delete", "hello"]);
    assert_eq!(tail.next()["event"], "deleted");
    assert!(daemon.stop().success());
    assert_eq!(tail.end().code(), Some(4));
}

#[test]
fn a_command_gives_the_same_with_and_without_a_daemon() {
    let home = Home::new();
    let program = home
        .file("p.tlisp", "(vigy-set \"k\" {:a 1.5}) (vigy-metric \"m\" 2) (vigy-condition \"C\" \"true\" \"R\" \"M\") (vigy-push {:x ()})");
    home.does(&["register", &program, "--name", "p", "--disabled", "--label", "a=b"]);
    home.does(&["tick", "p", "--force"]);
    let looks: [&[&str]; 6] =
        [&["list"], &["list", "--selector", "a=b"], &["list", "--selector", "a=c"], &["inspect", "p"], &["runs", "p"], &["logs", "p"]];
    let look = || {
        looks.map(|args| {
            let mut json = home.json(args);
            if let Some(state) = json.get_mut("state") {
                state["captured_at"] = Value::Null;
            }
            json
        })
    };
    let fails = || {
        let commands: [&[&str]; 4] = [&["inspect", "nobody"], &["list", "--selector", "x in (a"], &["tick", ""], &["runs", ".."]];
        commands.map(|args| {
            let ran = home.vigy(args);
            (ran.code, ran.err)
        })
    };
    let (alone, alone_fails) = (look(), fails());
    let bad = home.file("bad.tlisp", "(a\n  (b]");
    let alone_bad = home.vigy(&["register", &bad, "--name", "bad"]).err;
    let _daemon = home.serve(&[]);
    assert_eq!((look(), fails()), (alone, alone_fails));
    assert_eq!(home.vigy(&["register", &bad, "--name", "bad"]).err, alone_bad);
    assert!(alone_bad.contains("bad.tlisp:"), "{alone_bad}");
}

#[test]
fn a_store_has_one_daemon() {
    let home = Home::new();
    let daemon = home.serve(&[]);
    let pid = daemon.pid().to_string();
    home.refuses(&["serve"], 4, &["in use", &pid]);
    home.refuses(&["serve", "--bind", "127.0.0.1:0"], 4, &["in use", &pid]);
    // Its socket is gone, and the store is still its own.
    std::fs::remove_file(daemon.socket()).unwrap();
    home.refuses(&["list"], 4, &["in use", &pid]);
    assert!(daemon.stop().success());
    home.does(&["list"]);
}

#[test]
fn a_stale_socket_is_in_nobodys_way() {
    let home = Home::new();
    // Closed, but still lying there, as after a crash.
    drop(UnixListener::bind(home.path("vigy.sock")).unwrap());
    home.does(&["list"]);
    assert!(home.path("vigy.sock").exists(), "only a daemon replaces it");
    let daemon = home.serve(&[]);
    home.does(&["list"]);
    let socket = daemon.socket().to_owned();
    assert!(daemon.stop().success());
    assert!(!socket.exists());
}

#[test]
fn a_store_far_away_is_served_all_the_same() {
    let home = Home::new();
    let deep = home.path(&"d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let db = deep.join("vigy.redb").display().to_string();
    let runtime_directory = home.path("run").display().to_string();
    std::fs::create_dir(&runtime_directory).unwrap();
    let at = |args: &[&str]| {
        let mut command = home.command(&[args, &["--db", &db]].concat());
        command.env("XDG_RUNTIME_DIR", &runtime_directory);
        command
    };
    let mut daemon = at(&["serve"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = common::lines(daemon.stdout.take().unwrap());
    let listening = std::iter::repeat_with(|| lines.recv_timeout(PATIENCE).unwrap()).find(|line| line.contains("listening on")).unwrap();
    assert!(listening.contains(&runtime_directory), "{listening}");
    let listed = at(&["list", "--json"]).output().unwrap();
    assert!(listed.status.success() && listed.stdout == b"[]\n", "{listed:?}");
    signal(&daemon, Signal::TERM);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn sigterm_ends_a_daemon_in_the_middle_of_its_work() {
    let home = Home::new();
    let program = home.file("slow.tlisp", "(vigy-push {})");
    let started = home.path("started");
    assert!(std::process::Command::new("mkfifo").arg(&started).status().unwrap().success());
    let handler = format!("exec:echo > {}; sleep 0.3", started.display());
    let daemon = home.serve(&[]);
    home.does(&["register", &program, "--name", "slow", "--every", "60000", "--on-action", &handler]);
    // The handler is at work once this returns.
    std::fs::read(started).unwrap();
    let begun = Instant::now();
    assert!(daemon.stop().success());
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(home.json(&["runs", "slow"])[0]["actions"][0]["result"], "ok", "what could be settled is");
}

// ---- the API over TCP ------------------------------------------------------------------------------------------------------------

/// One request over TCP: its status, and its body as JSON.
#[track_caller]
fn http(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: {address}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request.push_str("content-type: application/json\r\n");
    }
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    // A server that refuses the head of a request need not read its body.
    _ = stream.write_all(format!("{request}\r\n{body}").as_bytes());
    let mut response = Vec::new();
    _ = stream.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {response}")) })
}

#[test]
fn the_api_does_what_it_says() {
    let home = Home::new();
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let ask = |method, path: &str, body: &str| http(daemon.url(), method, path, &[], body);
    let declare = r#"{"name": "a b", "program": "(vigy-incr \"n\") (vigy-desired :x {:y 1}) (vigy-noop)", "tick_interval_ms": 3600000}"#;

    let (status, vigy) = ask("POST", "/v1/vigies", declare);
    assert_eq!((status, &vigy["name"], &vigy["enabled"], &vigy["change"]), (201, &json!("a b"), &json!(true), &json!("registered")));
    assert_eq!(ask("POST", "/v1/vigies", declare).0, 200);
    let id = vigy["id"].as_str().unwrap();
    assert_eq!(ask("GET", "/v1/vigies?label_selector=&limit=1", "").1[0]["id"], id);
    for reference in [id, "a%20b", "a"] {
        assert_eq!(ask("GET", &format!("/v1/vigies/{reference}"), "").1["id"], id);
    }
    let path = |rest: &str| format!("/v1/vigies/{id}{rest}");
    let (status, run) = ask("POST", &path("/tick"), "");
    assert_eq!((status, &run["result"], &run["vigy_id"]), (200, &json!("ok"), &json!(id)));
    assert!(run["ended_at"].is_string() && run["error"].is_null());
    assert_eq!(ask("GET", &path("/state"), "").1["desired"], json!({"x": {"y": 1}}));
    assert_eq!(ask("GET", &path("/runs?limit=1"), "").1[0]["id"], run["id"]);
    assert_eq!(ask("GET", &path("/inspect"), "").1["state"]["vigy_id"], id);
    let (status, patched) = ask("PATCH", &path(""), r#"{"tick_interval_ms": 7200000, "labels": {"k": "v"}}"#);
    assert_eq!((status, &patched["tick_interval_ms"], &patched["labels"]), (200, &json!(7_200_000), &json!({"k": "v"})));
    assert_eq!(patched["program"], vigy["program"]);
    assert_eq!(ask("GET", "/v1/vigies?label_selector=k%3Dw", "").1, json!([]));
    assert_eq!(ask("POST", &path("/disable"), "").1["enabled"], false);
    assert_eq!(ask("POST", &path("/enable"), "").1["enabled"], true);
    assert_eq!(ask("DELETE", &path(""), ""), (204, Value::Null));
    assert_eq!(ask("DELETE", &path(""), "").0, 404);
}

#[test]
fn the_api_says_what_is_wrong_in_json() {
    let home = Home::new();
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let refused = |method, path: &str, body: &str, status: u16, words: &str| {
        let (code, answer) = http(daemon.url(), method, path, &[], body);
        assert_eq!(code, status, "{method} {path}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
    };
    refused("POST", "/v1/vigies", "{", 400, "JSON");
    refused("POST", "/v1/vigies", r#"{"name": "x"}"#, 400, "program");
    refused("POST", "/v1/vigies", r#"{"name": "x", "program": "(vigy-noop)", "tick_intervall_ms": 5000}"#, 400, "tick_intervall_ms");
    refused("POST", "/v1/vigies", r#"{"name": "x", "program": "(vigy-noop)", "tick_interval_ms": 99}"#, 400, "100 ms");
    refused("POST", "/v1/vigies", r#"{"name": "x", "program": "((("}"#, 400, "1:");
    refused("POST", "/v1/vigies", r#"{"name": "x", "program": "(vigy-noop)", "language": "blue"}"#, 400, "tatara-lisp");
    refused("POST", "/v1/vigies", r#"{"name": "x", "program": "(vigy-noop)", "labels": {"a b": "c"}}"#, 400, "label");
    refused("POST", "/v1/vigies", &format!(r#"{{"name": "x", "program": "{}"}}"#, " ".repeat(1 << 20)), 413, "too large");
    refused("GET", "/v1/vigies?label_selector=x+in+(a", "", 400, "");
    refused("GET", "/v1/vigies?limit=0", "", 400, "limit");
    refused("GET", "/v1/vigies?limit=x", "", 400, "limit");
    for rest in ["", "/state", "/runs", "/inspect"] {
        refused("GET", &format!("/v1/vigies/nobody{rest}"), "", 404, "nobody");
    }
    for rest in ["/tick", "/enable", "/disable"] {
        refused("POST", &format!("/v1/vigies/nobody{rest}"), "", 404, "nobody");
    }
    refused("PATCH", "/v1/vigies/nobody", "{}", 404, "nobody");
    refused("GET", "/v1/events?vigy_id=nobody", "", 404, "nobody");
    refused("GET", "/v1/nothing", "", 404, "no such route");
    refused("PUT", "/v1/vigies", "", 405, "method");
    let two = |name: &str| http(daemon.url(), "POST", "/v1/vigies", &[], &json!({"name": name, "program": "(vigy-noop)"}).to_string()).0;
    assert_eq!((two("alpha"), two("alpine")), (201, 201));
    refused("GET", "/v1/vigies/alp", "", 409, "could be");
}

#[test]
fn pages_and_other_users_are_kept_out() {
    let home = Home::new();
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let url = daemon.url();
    assert_eq!(http(url, "GET", "/v1/vigies", &[("host", "localhost:1")], "").0, 200);
    assert_eq!(http(url, "GET", "/v1/vigies", &[("host", "evil.example")], "").0, 403);
    assert_eq!(http(url, "GET", "/v1/vigies", &[("origin", "http://evil.example")], "").0, 403);
    assert_eq!(http(url, "GET", "/v1/vigies", &[("origin", url)], "").0, 200);
    assert_eq!(http(url, "POST", "/v1/vigies", &[("content-type", "text/plain")], "{}").0, 400, "what a form can send is no JSON");

    let declare = |more: Value| {
        let mut declaration = json!({"name": "x", "program": "(vigy-push 1)"});
        declaration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        http(url, "POST", "/v1/vigies", &[], &declaration.to_string())
    };
    let (status, answer) = declare(json!({"on_action": "exec:touch pwned"}));
    assert!(status == 403 && answer["error"].as_str().unwrap().contains("execute commands"), "{answer}");
    assert_eq!(declare(json!({"allow": ["fs:/:r"]})).0, 403);
    assert_eq!(declare(json!({})).0, 201);
    assert_eq!(http(url, "PATCH", "/v1/vigies/x", &[], r#"{"on_action": "exec:touch pwned"}"#).0, 403);

    // What its owner registered with a command gets no new program over TCP, and can still be stopped there.
    home.does(&["register", &home.hello(), "--name", "owned", "--on-action", "exec:true", "--every", "60000"]);
    assert_eq!(http(url, "PATCH", "/v1/vigies/owned", &[], r#"{"program": "(vigy-push 1)"}"#).0, 403);
    assert_eq!(http(url, "POST", "/v1/vigies/owned/disable", &[], "").0, 200);
}

#[test]
fn events_are_streamed() {
    let home = Home::new();
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let address = daemon.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut until = |words: &str| {
        let mut chunk = [0; 4096];
        while !text.contains(words) {
            let read = stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        text.clone()
    };
    assert!(until("\r\n\r\n").contains("text/event-stream"));
    home.does(&["register", &home.hello(), "--name", "hello", "--every", "60000"]);
    assert!(until("event: registered").contains("event: registered"));
    let text = until("hello from a vigy");
    assert!(text.contains("data: {\"id\":"), "a run has no event name: {text}");
    assert!(daemon.stop().success(), "a stream does not keep a daemon alive");
}
