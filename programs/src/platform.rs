//! The platform as one host of vigies.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use adapter_tokio::HostEffects;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vigy_core::{ActionKind, Ask, AskError, Outcome, ReconcileAction, Vigy};
use vigy_lisp::{Data, HostFn};

use crate::fs::ASK_TIMEOUT;
use crate::handler::Action;
use crate::k8s::{ClaimPatch, Claims, Cluster, Emitted};
use crate::{Capability, Handler, TIMEOUT, fs, json, operation, prom};

/// What a question gets to notice by itself that its time is over.
const GRACE: Duration = Duration::from_secs(1);

/// Answers what programs ask, within their capabilities, and has their actions carried out by their handlers.
#[derive(Clone, Debug)]
pub struct Platform {
    http: reqwest::Client,
    cluster: Cluster,
}

impl Default for Platform {
    fn default() -> Self {
        // A redirect would turn the POST into something else, or send it where nobody pointed the vigy at.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        // Without TLS and proxies there is nothing in a client that could be missing.
        Self { http: http.unwrap_or_default(), cluster: Cluster::default() }
    }
}

/// A question that the vigy may ask, with its arguments taken apart.
#[derive(Debug)]
pub(crate) enum Question {
    Config,
    Files { path: String, granted: Vec<PathBuf> },
    Claims(Claims),
    PatchClaim(ClaimPatch),
    Query { server: String, query: String },
}

/// What is asked, if the vigy's capabilities cover it.
///
/// # Errors
/// `type-mismatch`, `invalid`, and `denied`, which says how the missing capability is written.
pub(crate) fn permitted(vigy: &Vigy, ask: &Ask<'_>) -> Result<Question, AskError> {
    let granted = capabilities(vigy).map_err(|error| AskError::new("denied", format_args!("{error}")))?;
    let need = |needed: &Capability| {
        if granted.iter().any(|capability| capability.covers(needed)) {
            return Ok(());
        }
        Err(AskError::new("denied", format_args!("{} needs the capability `{needed}`, which was not granted", ask.operation)))
    };
    Ok(match ask.operation {
        operation::CONFIG => Question::Config,
        operation::LIST_CLAIMS => {
            let (claims,): (Claims,) = arguments(ask)?;
            claims.needs().iter().try_for_each(need)?;
            Question::Claims(claims)
        }
        operation::PATCH_CLAIM => {
            let (patch,): (ClaimPatch,) = arguments(ask)?;
            need(&patch.needs())?;
            Question::PatchClaim(patch)
        }
        operation::QUERY => {
            let (server, query): (String, String) = arguments(ask)?;
            need(&prom::needs(&server)?)?;
            Question::Query { server, query }
        }
        files if files.starts_with("fs/") => {
            let (path,): (String,) = arguments(ask)?;
            let path_of = |capability| if let Capability::ReadFiles(path) = capability { Some(path) } else { None };
            Question::Files { path, granted: granted.into_iter().filter_map(path_of).collect() }
        }
        other => return Err(AskError::new("denied", format_args!("this host does not offer {other}"))),
    })
}

/// The arguments of an ask, as the operation declares them.
fn arguments<T: DeserializeOwned>(ask: &Ask<'_>) -> Result<T, AskError> {
    let wrong = |error: &dyn std::fmt::Display| AskError::new("type-mismatch", format_args!("{}: {error}", ask.operation));
    let arguments: Data = postcard::from_bytes(ask.arguments).map_err(|error| wrong(&error))?;
    let arguments = arguments.list().unwrap_or_default().iter().map(json::from_data).collect::<Result<Vec<_>, _>>();
    serde_json::from_value(Value::Array(arguments.map_err(|error| wrong(&error))?)).map_err(|error| wrong(&error))
}

/// The answer to `computeunit/config`.
pub(crate) fn config(vigy: &Vigy) -> Vec<u8> {
    // Nil is one byte: the first kind of data.
    if vigy.config.is_empty() { vec![0] } else { vigy.config.clone() }
}

#[async_trait]
impl HostEffects for Platform {
    fn operations(&self) -> &'static [HostFn] {
        operation::FUNCTIONS
    }

    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String> {
        vigy.on_action.parse::<Handler>().map_err(|error| error.to_string())?;
        let granted = capabilities(vigy)?;
        for operation in operations {
            let Some(needed) = operation::needs(operation) else { continue };
            if !granted.iter().any(|capability| capability.is_for(operation)) {
                return Err(format!(
                    "the program calls {operation}, which needs the capability `{needed}`: grant it with `--allow {needed}`"
                ));
            }
        }
        Ok(())
    }

    async fn ask(&self, vigy: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        let answer = match permitted(vigy, &ask)? {
            Question::Config => return Ok(config(vigy)),
            Question::Files { path, granted } => self.files(ask.operation, path, granted).await?,
            Question::Claims(claims) => self.cluster.claims(&claims).await?,
            Question::PatchClaim(patch) => {
                let no_key = || AskError::new("denied", format_args!("{} is a write, and this program takes it for a read", ask.operation));
                self.cluster.patch(&patch, ask.key.ok_or_else(no_key)?).await?
            }
            Question::Query { server, query } => prom::query(&self.http, &server, &query).await?,
        };
        postcard::to_allocvec(&answer).map_err(|error| AskError::new("io", format_args!("{}: {error}", ask.operation)))
    }

    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        let handler = match vigy.on_action.parse::<Handler>() {
            Ok(handler) => handler,
            Err(error) => return Outcome::refused(&error.to_string()),
        };
        let payload = match action.payload.map(postcard::from_bytes::<Data>).transpose() {
            Ok(payload) => payload.unwrap_or_default(),
            Err(error) => return Outcome::refused(&format!("the payload is no data: {error}")),
        };
        let payload = match json::from_data(&payload) {
            Ok(payload) => payload,
            Err(error) => return Outcome::refused(&format!("the payload is no JSON: {error}")),
        };
        if action.kind == ActionKind::Custom
            && let Some(emitted) = Emitted::of(&payload)
            && capabilities(vigy).is_ok_and(|granted| granted.contains(&Capability::EmitEvents))
        {
            return match self.cluster.emit(&emitted, action.key, vigy.name.as_str()).await {
                Ok(()) => Outcome::ok(),
                Err(error) => {
                    let transient = matches!(error.tag, "timeout" | "unavailable" | "conflict" | "failed" | "io");
                    Outcome { transient, ..Outcome::failed(&format!("{}: {}", error.tag, error.message)) }
                }
            };
        }
        let kind = action.kind.name();
        let action = Action { key: action.key.to_string(), vigy: vigy.name.as_str(), kind, payload, message: action.message };
        handler.act(&action, &self.http, TIMEOUT).await
    }
}

impl Platform {
    async fn files(&self, operation: &str, path: String, granted: Vec<PathBuf>) -> Result<Data, AskError> {
        let operation = operation.to_owned();
        let deadline = Instant::now() + ASK_TIMEOUT;
        let read = move || fs::answer(&operation, &path, &granted, deadline);
        // It ends in time by itself, unless the file system hangs; then its thread is given up.
        match tokio::time::timeout(ASK_TIMEOUT + GRACE, tokio::task::spawn_blocking(read)).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error)) => Err(AskError::new("io", format_args!("reading stopped: {error}"))),
            Err(_) => Err(AskError::new("timeout", format_args!("the file system does not answer"))),
        }
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
        refused(
            &vigy("log", &[]),
            &["fs/read"],
            "calls fs/read, which needs the capability `fs:PATH:r`: grant it with `--allow fs:PATH:r`",
        );
    }

    #[tokio::test]
    async fn a_question_is_answered_within_the_grants() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("a"), "text").unwrap();
        let vigy = vigy("log", &[&format!("fs:{}:r", root.display())]);
        let arguments = postcard::to_allocvec(&Data::List(vec![Data::from(root.join("a").display().to_string())])).unwrap();
        let run = "0000000000000001-1".parse().unwrap();
        let ask = |operation, arguments| Ask { run, sequence: 0, key: None, secret: false, operation, arguments };
        let platform = Platform::default();
        let answer = platform.ask(&vigy, ask("fs/read", &arguments)).await.unwrap();
        let answer: Data = postcard::from_bytes(&answer).unwrap();
        assert_eq!(answer.get(":content"), Some(&Data::from("text")));
        let error = platform.ask(&vigy, ask("fs/read", &[])).await.unwrap_err();
        assert_eq!(error.tag, "type-mismatch");
    }
}
