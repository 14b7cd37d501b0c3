//! A home of one's own for the real binary: a store in a directory that goes away.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    /// What the binary finds in its environment, beside what every home has.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.path("vigy.redb")
    }

    /// A file with this text, and its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn hello(&self) -> String {
        self.file("hello.tlisp", "(vigy-log \"info\" \"hello from a vigy\")\n(vigy-noop)\n")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigy"));
        command.args(args).env("VIGY_DB", self.db()).env("HOME", self.dir.path()).env_remove("RUST_LOG").current_dir(self.dir.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub(crate) fn vigy(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// Runs it, and it does what was asked.
    #[track_caller]
    pub(crate) fn does(&self, args: &[&str]) -> String {
        let ran = self.vigy(args);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        ran.out
    }

    /// The JSON it prints.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.does(&[args, &["--json"]].concat())).unwrap()
    }

    /// Runs it, and it refuses, with this code and these words.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], code: i32, words: &[&str]) {
        let ran = self.vigy(args);
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        for word in words {
            assert!(ran.err.contains(word), "`{word}` is missing in {ran:#?}");
        }
    }

    /// Starts a daemon and waits until it listens.
    #[track_caller]
    pub(crate) fn serve(&self, args: &[&str]) -> Daemon {
        self.daemon(self.command(&[&["serve", "--json"], args].concat()))
    }

    /// Starts a daemon by a command that is one, and waits until it listens.
    #[track_caller]
    pub(crate) fn daemon(&self, mut command: Command) -> Daemon {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let line = lines.recv_timeout(PATIENCE).expect("the daemon says where it listens");
        Daemon { child, place: serde_json::from_str(&line).unwrap() }
    }

    /// Follows the daemon; returns once it is listening.
    #[track_caller]
    pub(crate) fn tail(&self, args: &[&str]) -> Tail {
        let args = [&["tail", "--json"], args].concat();
        let mut child = self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = lines(child.stderr.take().unwrap()).recv_timeout(PATIENCE).unwrap();
        assert!(said.contains("following"), "{said}");
        let events = lines(child.stdout.take().unwrap());
        Tail { child, events }
    }
}

/// Vigies of a home whose runs are replayed at its end, at most.
const REPLAYED: &str = "50";

/// Whatever a test was about: in the end every run that it recorded is evaluated again, and says again what it said.
impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.db().is_file() {
            return;
        }
        let listed = self.vigy(&["list", "--limit", REPLAYED, "--json"]);
        // Some tests leave no store that can be opened: that is what they are about.
        let Ok(Value::Array(vigies)) = serde_json::from_str(&listed.out) else { return };
        for vigy in vigies {
            let ran = self.vigy(&["replay", vigy["id"].as_str().unwrap()]);
            // Not found: it has no run.
            assert!(matches!(ran.code, Some(0 | 3)), "{ran:#?}");
        }
    }
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) what: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The command, run to its end.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        Self {
            what: words.join(" "),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) place: Value,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> &str {
        self.place["url"].as_str().unwrap()
    }

    pub(crate) fn socket(&self) -> &Path {
        Path::new(self.place["socket"].as_str().unwrap())
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        signal(&self.child, Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

pub(crate) struct Tail {
    child: Child,
    events: Receiver<String>,
}

impl Tail {
    /// The next event.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.events.recv_timeout(PATIENCE).expect("an event")).unwrap()
    }

    /// The next event of this kind.
    #[track_caller]
    pub(crate) fn next_of(&self, kind: &str) -> Value {
        std::iter::repeat_with(|| self.next()).find(|event| event["event"] == kind).unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

pub(crate) fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}
