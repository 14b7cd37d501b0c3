//! Recorded answers that stand in for the outside world.

use std::sync::{Mutex, MutexGuard, PoisonError};

use adapter_tokio::HostEffects;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use vigy_core::sim::{Asked, RecordedAnswer, RecordedEffects};
use vigy_core::{Ask, AskError, Effects as _, Outcome, ReconcileAction, Refusal, Vigy};
use vigy_lisp::{Data, HostFn};

use crate::platform::permitted;
use crate::{Platform, json, operation};

/// A host whose answers are recorded. It offers what [`Platform`] offers, under the same capabilities; actions are noted and called done.
///
/// Its text form is a line of JSON per answer: `{"ask": OPERATION, "arguments": […], "answer": …}`, or with
/// `"refused": {"tag": …, "message": …}` in the answer's place. An answer without arguments fits any. Each is used once, the first that
/// fits; when none is left, the ask is refused as `not-recorded`.
#[derive(Debug, Default)]
pub struct Recorded(Mutex<RecordedEffects>);

/// A text that holds no recorded answers.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAnswers {
    /// A line that is not as [`Recorded`] says.
    #[error("line {0} is no recorded answer: {1}")]
    Line(usize, String),
    /// A refusal that no host of this platform gives.
    #[error("line {0}: no ask is refused as `{1}`: the tags are {tags}", tags = AskError::TAGS.join(" "))]
    Tag(usize, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    ask: String,
    arguments: Option<Value>,
    answer: Option<Value>,
    refused: Option<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    tag: String,
    #[serde(default)]
    message: String,
}

impl Recorded {
    /// A host with these answers.
    #[must_use]
    pub fn new(effects: RecordedEffects) -> Self {
        Self(Mutex::new(effects))
    }

    /// Reads recorded answers, a line of JSON each.
    ///
    /// # Errors
    /// [`InvalidAnswers`], with the line.
    pub fn parse(text: &str) -> Result<Self, InvalidAnswers> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let answers = lines.map(|(index, line)| answer(index + 1, line)).collect::<Result<_, _>>()?;
        Ok(Self::new(RecordedEffects { answers, ..RecordedEffects::default() }))
    }

    /// What was asked so far, in order. Arguments are as JSON would have them: a keyword is a string there.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.effects().asked.clone()
    }

    /// The recorded answer to an ask, whatever operation it is of and whoever asks.
    ///
    /// # Errors
    /// The recorded refusal, or `not-recorded`.
    pub fn answer(&self, ask: &Ask<'_>) -> Result<Vec<u8>, AskError> {
        let arguments = plain(ask.arguments).map_err(|error| AskError::new("type-mismatch", format_args!("{error}")))?;
        self.effects().answer(&Ask { arguments: &arguments, ..*ask })
    }

    fn effects(&self) -> MutexGuard<'_, RecordedEffects> {
        // The lists are whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(number: usize, line: &str) -> Result<RecordedAnswer, InvalidAnswers> {
    let invalid = |problem: String| InvalidAnswers::Line(number, problem);
    let line: Line = serde_json::from_str(line).map_err(|error| invalid(error.to_string()))?;
    let arguments = line.arguments.as_ref().map(|arguments| bytes(arguments).map_err(invalid)).transpose()?;
    let answer = match (line.answer, line.refused) {
        (answer, None) => Ok(bytes(&answer.unwrap_or_default()).map_err(invalid)?),
        (None, Some(Refused { tag, message })) => {
            let refusal = Refusal { tag: &tag, message: &message };
            Err(AskError::recorded(&refusal).ok_or(InvalidAnswers::Tag(number, tag))?)
        }
        (Some(_), Some(_)) => return Err(invalid("it is answered and refused".to_owned())),
    };
    Ok(RecordedAnswer { operation: line.ask, arguments, answer, once: true })
}

/// The data bytes of a JSON value, whatever the order of its objects.
fn bytes(json: &Value) -> Result<Vec<u8>, String> {
    let mut sorted = json.clone();
    sorted.sort_all_objects();
    let data = json::to_data(&sorted).map_err(|error| error.to_string())?;
    postcard::to_allocvec(&data).map_err(|error| error.to_string())
}

/// Arguments as [`bytes`] would have them, so that those of a text fit.
fn plain(arguments: &[u8]) -> Result<Vec<u8>, String> {
    let data: Data = postcard::from_bytes(arguments).map_err(|error| error.to_string())?;
    let list = data.list().unwrap_or_default().iter().map(json::from_data).collect::<Result<_, _>>();
    bytes(&Value::Array(list.map_err(|error| error.to_string())?))
}

#[async_trait]
impl HostEffects for Recorded {
    fn operations(&self) -> &'static [HostFn] {
        operation::FUNCTIONS
    }

    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String> {
        Platform::default().check(vigy, operations)
    }

    async fn ask(&self, vigy: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        match permitted(vigy, &ask)? {
            // It is no part of the outside world.
            crate::platform::Question::Config => Ok(crate::platform::config(vigy)),
            _ => self.answer(&ask),
        }
    }

    async fn act(&self, _: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        self.effects().act(&action)
    }
}
