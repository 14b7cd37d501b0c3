//! Who carries out actions: `log`, `exec:COMMAND`, `http://…`.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use vigy_core::Outcome;

/// How long a handler may take: 30 seconds. Then its whole process group is killed, or the request given up, and the action has failed.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a command's output is kept while it runs, to find its last line: 4 KiB.
pub const MAX_OUTPUT_BYTES: usize = 4096;

/// How long the output of a command is read after it ended, when something it left in the background holds it open: 200 ms.
const LINGER: Duration = Duration::from_millis(200);

/// Who carries out the actions of a vigy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handler {
    /// Logs them and calls them done.
    Log,
    /// Runs `sh -c COMMAND` for each, with the action as JSON on standard input. Exit code 0 is ok.
    Exec(String),
    /// POSTs each as JSON, its key as `Idempotency-Key`. 2xx is ok; redirects are not followed.
    Http(Url),
}

/// A text that names no handler.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidHandler {
    /// No such kind of handler.
    #[error("`{0}` is no handler: there are `log`, `exec:COMMAND` and `http://HOST/PATH`")]
    Unknown(String),
    /// `exec:` and nothing behind it.
    #[error("`exec:` has no command: write `exec:COMMAND`, as `exec:./apply.sh`")]
    NoCommand,
    /// A URL that is none.
    #[error("`{0}` is no URL: {1}")]
    Url(String, String),
    /// TLS.
    #[error("`{0}` needs TLS, which this build does not have: use `http://`, to this machine or through a proxy on it")]
    Tls(String),
}

impl FromStr for Handler {
    type Err = InvalidHandler;

    fn from_str(text: &str) -> Result<Self, InvalidHandler> {
        let shown = || text.escape_debug().to_string();
        if text == "log" {
            Ok(Self::Log)
        } else if let Some(command) = text.strip_prefix("exec:") {
            if command.trim().is_empty() || command.contains('\0') {
                Err(InvalidHandler::NoCommand)
            } else {
                Ok(Self::Exec(command.to_owned()))
            }
        } else if text.starts_with("http://") {
            let url = Url::parse(text).map_err(|error| InvalidHandler::Url(shown(), error.to_string()))?;
            Ok(Self::Http(url))
        } else if text.starts_with("https://") {
            Err(InvalidHandler::Tls(shown()))
        } else {
            Err(InvalidHandler::Unknown(shown()))
        }
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Http(url) => url.fmt(f),
        }
    }
}

/// An action as handlers get it.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Action<'a> {
    pub(crate) key: String,
    pub(crate) vigy: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) payload: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<&'a str>,
}

impl Handler {
    /// Carries out one action, within `timeout`.
    pub(crate) async fn act(&self, action: &Action<'_>, http: &reqwest::Client, timeout: Duration) -> Outcome {
        let done = async {
            match self {
                Self::Log => Ok(log(action)),
                Self::Exec(command) => exec(command, action).await,
                Self::Http(url) => post(http, url, action).await,
            }
        };
        match tokio::time::timeout(timeout, done).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::failed(&error),
            Err(_) => Outcome::failed(&format!("timeout: the handler took longer than {timeout:?}")),
        }
    }
}

fn log(action: &Action<'_>) -> Outcome {
    let Action { key, vigy, kind, payload, .. } = action;
    tracing::info!(target: "vigy::action", %vigy, %key, %kind, %payload);
    Outcome::ok()
}

async fn exec(command: &str, action: &Action<'_>) -> Result<Outcome, String> {
    let mut json = serde_json::to_vec(action).map_err(|error| error.to_string())?;
    json.push(b'\n');
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("VIGY_ACTION_KEY", &action.key)
        .env("VIGY_ACTION_KIND", action.kind)
        .env("VIGY_NAME", action.vigy)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("sh cannot be started: {error}"))?;
    let mut group = Group::of(&child);
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input closes the pipe. That is its own business.
            _ = stdin.write_all(&json).await;
        }
    };
    let mut out = Tail::default();
    let mut err = Tail::default();
    let status = {
        let mut output = std::pin::pin!(async { tokio::join!(write, out.read(stdout), err.read(stderr)) });
        let (status, closed) = tokio::select! {
            status = child.wait() => (status, false),
            // All pipes are closed; it may still run.
            _ = &mut output => (child.wait().await, true),
        };
        group.ended();
        if !closed {
            _ = tokio::time::timeout(LINGER, output).await;
        }
        status.map_err(|error| error.to_string())?
    };
    Ok(if status.success() {
        Outcome { message: vigy_core::message(&out.last_line()), ..Outcome::ok() }
    } else {
        let (how, line) = (how_it_ended(status), err.last_line());
        let why = if line.is_empty() { how } else { format!("{how}: {line}") };
        Outcome { transient: status.code() != Some(REFUSED), ..Outcome::failed(&why) }
    })
}

/// The exit code of a command that does not want to be tried again: `EX_DATAERR` of sysexits.h.
const REFUSED: i32 = 65;

fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// A process group that is killed when nobody waits for its leader any more: on a timeout, or when the host shuts down.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// The leader is gone, and its number may soon be another's.
    const fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // The only error is that it is gone already.
            _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The end of a command's output.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
            self.0.extend_from_slice(&chunk[..read]);
            self.0.drain(..self.0.len().saturating_sub(MAX_OUTPUT_BYTES));
        }
    }

    /// The last line that is not blank, without control characters: it ends up on terminals.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

async fn post(http: &reqwest::Client, url: &Url, action: &Action<'_>) -> Result<Outcome, String> {
    let request = http.post(url.clone()).header("Idempotency-Key", &action.key).json(action);
    let response = request.send().await.map_err(|error| root_cause(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(Outcome::ok());
    }
    // What the client did wrong stays wrong, except for three that are about the moment.
    let transient = !status.is_client_error() || matches!(status.as_u16(), 408 | 425 | 429);
    Ok(Outcome { transient, ..Outcome::failed(&format!("HTTP status {status}")) })
}

/// The innermost reason, which is the one that says something.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;
    use vigy_core::ResultStatus;

    use super::*;

    fn action() -> Action<'static> {
        Action { key: "00-1-0".to_owned(), vigy: "test", kind: "push", payload: json!({"n": 1}), message: None }
    }

    async fn act(handler: &str, timeout: Duration) -> (ResultStatus, String) {
        let outcome = handler.parse::<Handler>().unwrap().act(&action(), &reqwest::Client::new(), timeout).await;
        (outcome.status, outcome.message.to_string())
    }

    async fn is_tried_again(handler: &str) -> bool {
        handler.parse::<Handler>().unwrap().act(&action(), &reqwest::Client::new(), TIMEOUT).await.transient
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_tried_again() {
        assert!(is_tried_again("exec:exit 1").await && is_tried_again("exec:kill $$").await);
        assert!(!is_tried_again("exec:exit 65").await && !is_tried_again("exec:exit 0").await);
        let answers = [
            ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
        ];
        for (answer, again) in answers {
            let (url, _server) = serve_once(answer).await;
            assert_eq!(is_tried_again(&url).await, again, "{answer}");
        }
    }

    #[track_caller]
    fn refused(text: &str, advice: &str) {
        let error = text.parse::<Handler>().unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
    }

    #[test]
    fn handlers_are_written_as_they_are_read() {
        for text in ["log", "exec:a b", "http://localhost:1/x"] {
            assert_eq!(text.parse::<Handler>().unwrap().to_string(), text);
        }
        refused("print", "`exec:COMMAND`");
        refused("exec: ", "has no command");
        refused("https://example.org", "TLS");
        refused("http://", "no URL");
        refused("\u{1b}[2J", "\\u{1b}");
    }

    #[tokio::test]
    async fn a_command_gets_the_action_and_its_exit_code_is_the_outcome() {
        let read = r#"exec:read json; echo "$json $VIGY_ACTION_KEY $VIGY_ACTION_KIND $VIGY_NAME""#;
        let json = r#"{"key":"00-1-0","vigy":"test","kind":"push","payload":{"n":1}} 00-1-0 push test"#;
        assert_eq!(act(read, TIMEOUT).await, (ResultStatus::Ok, json.to_owned()));
        let fail = act("exec:echo out; echo one >&2; echo two >&2; exit 3", TIMEOUT).await;
        assert_eq!(fail, (ResultStatus::Failed, "exit code 3: two".to_owned()));
        assert_eq!(act("exec:kill -9 $$", TIMEOUT).await, (ResultStatus::Failed, "killed by signal 9".to_owned()));
    }

    #[tokio::test]
    async fn a_command_need_not_read_nor_close_anything() {
        let large = Action { payload: Value::String("x".repeat(1 << 20)), ..action() };
        let ignore: Handler = "exec:exit 0".parse().unwrap();
        assert_eq!(ignore.act(&large, &reqwest::Client::new(), TIMEOUT).await, Outcome::ok());
        // What stays in the background holds the pipes open.
        assert_eq!(act("exec:sleep 20 & echo done", TIMEOUT).await, (ResultStatus::Ok, "done".to_owned()));
        assert_eq!(act("exec:exec <&- >&- 2>&-; exit 0", TIMEOUT).await.0, ResultStatus::Ok);
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("alive");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // The child of the command holds the pipe open until it dies; reading to the end waits for that.
        let slow = format!("exec:(exec 3>'{0}'; sleep 60) & wait", pipe.display());
        let reader = tokio::task::spawn_blocking(move || std::fs::read(pipe).unwrap());
        let (status, message) = act(&slow, Duration::from_millis(300)).await;
        assert!(status == ResultStatus::Failed && message.contains("timeout"), "{message}");
        tokio::time::timeout(Duration::from_secs(5), reader).await.expect("the child is dead").unwrap();
    }

    /// Answers one request with `response` and returns what was asked.
    async fn serve_once(response: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(response.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (url, server)
    }

    #[tokio::test]
    async fn a_post_carries_the_key_and_its_status_is_the_outcome() {
        let (url, server) = serve_once("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(act(&url, TIMEOUT).await, (ResultStatus::Ok, String::new()));
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /hook ") && request.contains("idempotency-key: 00-1-0\r\n"), "{request}");
        assert!(request.ends_with(r#"{"key":"00-1-0","vigy":"test","kind":"push","payload":{"n":1}}"#), "{request}");

        let (url, _server) = serve_once("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(act(&url, TIMEOUT).await, (ResultStatus::Failed, "HTTP status 503 Service Unavailable".to_owned()));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_fails_the_action() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (status, message) = act(&format!("http://{closed}/"), TIMEOUT).await;
        assert!(status == ResultStatus::Failed && message.to_lowercase().contains("refused"), "{message}");
    }
}
