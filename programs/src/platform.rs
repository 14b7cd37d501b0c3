//! The platform as one host of vigies.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use adapter_tokio::HostEffects;
use async_trait::async_trait;
use vigy_core::{Ask, AskError, Outcome, ReconcileAction, Vigy};
use vigy_lisp::{Data, HostFn};

use crate::fs::{ASK_TIMEOUT, Refused};
use crate::handler::Action;
use crate::{Capability, Handler, TIMEOUT, fs, json};

/// What a question gets to notice by itself that its time is over.
const GRACE: Duration = Duration::from_secs(1);

/// Answers what programs ask, within their capabilities, and has their actions carried out by their handlers.
#[derive(Clone, Debug)]
pub struct Platform {
    http: reqwest::Client,
}

impl Default for Platform {
    fn default() -> Self {
        // A redirect would turn the POST into something else, or send it where nobody pointed the vigy at.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        // Without TLS and proxies there is nothing in a client that could be missing.
        Self { http: http.unwrap_or_default() }
    }
}

#[async_trait]
impl HostEffects for Platform {
    fn operations(&self) -> &'static [HostFn] {
        fs::OPERATIONS
    }

    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String> {
        vigy.on_action.parse::<Handler>().map_err(|error| error.to_string())?;
        let granted = capabilities(vigy)?;
        match operations.iter().find(|operation| operation.starts_with("fs/")) {
            Some(operation) if granted.is_empty() => {
                Err(format!("the program calls {operation}, which needs a capability: grant the directory with `--allow fs:PATH:r`"))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, vigy: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        let Ask { operation, arguments, .. } = ask;
        let bad_arguments = || AskError::new("type-mismatch", format_args!("{operation} takes one path, a string"));
        let arguments: Data = postcard::from_bytes(arguments).map_err(|_| bad_arguments())?;
        let [Data::Str(path)] = arguments.list().unwrap_or_default() else { return Err(bad_arguments()) };
        let granted = capabilities(vigy).map_err(|error| AskError::new("denied", format_args!("{error}")))?;
        let paths: Vec<PathBuf> = granted.into_iter().map(|Capability::ReadFiles(path)| path).collect();

        let (path, operation) = (path.clone(), operation.to_owned());
        let deadline = Instant::now() + ASK_TIMEOUT;
        let read = move || {
            let answer = fs::answer(&operation, &path, &paths, deadline)?;
            postcard::to_allocvec(&answer).map_err(|error| Refused::new("io", format_args!("{operation}: {error}")))
        };
        // It ends in time by itself, unless the file system hangs; then its thread is given up.
        match tokio::time::timeout(ASK_TIMEOUT + GRACE, tokio::task::spawn_blocking(read)).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error)) => Err(AskError::new("io", format_args!("reading stopped: {error}"))),
            Err(_) => Err(AskError::new("timeout", format_args!("the file system does not answer"))),
        }
    }

    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        let handler = match vigy.on_action.parse::<Handler>() {
            Ok(handler) => handler,
            Err(error) => return Outcome::failed(&error.to_string()),
        };
        let payload = match action.payload.map(postcard::from_bytes::<Data>).transpose() {
            Ok(payload) => payload.unwrap_or_default(),
            Err(error) => return Outcome::failed(&format!("the payload is no data: {error}")),
        };
        let payload = match json::from_data(&payload) {
            Ok(payload) => payload,
            Err(error) => return Outcome::failed(&format!("the payload is no JSON: {error}")),
        };
        let kind = action.kind.name();
        let action = Action { key: action.key.to_string(), vigy: vigy.name.as_str(), kind, payload, message: action.message };
        handler.act(&action, &self.http, TIMEOUT).await
    }
}

fn capabilities(vigy: &Vigy) -> Result<Vec<Capability>, String> {
    vigy.allow.iter().map(|text| text.parse().map_err(|error: crate::InvalidCapability| error.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use vigy_core::TickInterval;

    use super::*;

    fn vigy(on_action: &str, allow: &[&str]) -> Vigy {
        let mut vigy = Vigy::new("test", "(vigy-noop)", TickInterval::default()).unwrap();
        vigy.on_action = on_action.to_owned();
        vigy.allow = allow.iter().map(|text| (*text).to_owned()).collect();
        vigy
    }

    #[track_caller]
    fn refused(vigy: &Vigy, operations: &[&str], advice: &str) {
        let error = Platform::default().check(vigy, operations).unwrap_err();
        assert!(error.contains(advice), "{error}");
    }

    #[test]
    fn a_vigy_is_checked_before_it_is_registered() {
        let platform = Platform::default();
        assert_eq!(platform.check(&vigy("log", &[]), &["vigy-noop"]), Ok(()));
        assert_eq!(platform.check(&vigy("exec:true", &["fs:/etc:r"]), &["fs/list"]), Ok(()));
        refused(&vigy("shout", &[]), &[], "is no handler");
        refused(&vigy("log", &["fs:/etc"]), &[], "`fs:PATH:r`");
        refused(&vigy("log", &[]), &["fs/read"], "fs/read, which needs a capability: grant the directory with `--allow fs:PATH:r`");
    }

    #[tokio::test]
    async fn a_question_is_answered_within_the_grants() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("a"), "text").unwrap();
        let vigy = vigy("log", &[&format!("fs:{}:r", root.display())]);
        let arguments = postcard::to_allocvec(&Data::List(vec![Data::from(root.join("a").display().to_string())])).unwrap();
        let run = "0000000000000001-1".parse().unwrap();
        let ask = |operation, arguments| Ask { run, sequence: 0, operation, arguments };
        let platform = Platform::default();
        let answer = platform.ask(&vigy, ask("fs/read", &arguments)).await.unwrap();
        let answer: Data = postcard::from_bytes(&answer).unwrap();
        assert_eq!(answer.get(":content"), Some(&Data::from("text")));
        let error = platform.ask(&vigy, ask("fs/read", &[])).await.unwrap_err();
        assert_eq!(error.tag, "type-mismatch");
    }
}
