//! Processes of a test's own, which end with it.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a service may take to come up. Seconds are usual; a machine that compiles at the same time takes longer.
pub(crate) const STARTUP: Duration = Duration::from_secs(120);

/// How often a service is started again when somebody took its port.
const ATTEMPTS: u32 = 3;

const POLL: Duration = Duration::from_millis(50);

/// Runs a command until it ends or stdin closes, which it does with the process that holds its other end, whatever ended that.
const GUARD: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null & service=$!
{ read -r _; kill -9 "$service"; } <&3 3<&- 2>/dev/null &
wait "$service"
kill "$!" 2>/dev/null
"#;

/// A running service. Dropped, or left behind by a test that was killed, it is killed.
pub(crate) struct Process {
    name: &'static str,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to `NAME.log` in the directory.
    pub(crate) fn start(name: &'static str, program: &Path, arguments: &[String], directory: &Path) -> io::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, name])
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self { name, guard, log })
    }

    /// Polls until it is up.
    pub(crate) fn ready<T>(&mut self, mut probe: impl FnMut(&str) -> Result<T, String>) -> Result<T, String> {
        let deadline = Instant::now() + STARTUP;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let problem = match (probe(&log), self.guard.try_wait()) {
                (Ok(up), _) => return Ok(up),
                (Err(_), Ok(Some(_))) => "ended".to_owned(),
                (Err(error), _) if Instant::now() > deadline => format!("is not up after {STARTUP:?}: {error}"),
                _ => {
                    std::thread::sleep(POLL);
                    continue;
                }
            };
            let lines: Vec<_> = log.lines().collect();
            return Err(format!("{} {problem}; its last words:\n{}", self.name, lines[lines.len().saturating_sub(30)..].join("\n")));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closes stdin: the guard kills the service and ends.
        drop(self.guard.stdin.take());
        _ = self.guard.wait();
    }
}

/// A TCP port on loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback has a free port").port()
}

/// Between choosing a port and listening on it somebody else may take it: then once more, with others.
#[track_caller]
pub(crate) fn with_retries<T>(mut start: impl FnMut() -> Result<T, String>) -> T {
    let mut attempt = 1;
    loop {
        match start() {
            Ok(up) => return up,
            Err(error) if attempt == ATTEMPTS || !error.contains("address already in use") => panic!("{error}"),
            Err(_) => attempt += 1,
        }
    }
}

/// Polls until it is so.
#[track_caller]
pub(crate) fn eventually<T, E: Display>(what: &str, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + STARTUP;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("{what}: not within {STARTUP:?}: {error}"),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
