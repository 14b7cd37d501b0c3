//! Effects of devices that have none: refusals, and recorded answers.

use serde::{Deserialize, Serialize};
use vigy_core::record::Bytes;
use vigy_core::{Ask, AskError, AsyncEffects, Outcome, ReconcileAction, Refusal};

/// Refuses every question and skips every action.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refuse;

impl AsyncEffects for Refuse {
    async fn ask(&mut self, ask: &Ask<'_>, _into: &mut [u8]) -> Result<usize, AskError> {
        Err(AskError::new("denied", format_args!("this device does not offer {}", ask.operation)))
    }

    async fn act(&mut self, _action: &ReconcileAction<'_>) -> Outcome {
        Outcome::skipped("this device carries out nothing")
    }
}

/// What another host answered once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordedAnswer<'a> {
    /// Which operation, as `fs/list`.
    #[serde(borrow)]
    pub operation: &'a str,
    /// Whether the operation writes.
    pub writes: bool,
    /// Data bytes, or why there were none.
    #[serde(borrow)]
    pub answer: Result<Bytes<'a>, Refusal<'a>>,
}

/// Recorded answers that stand in for the outside world. Actions are called done.
///
/// Holds [`RecordedAnswer`]s as postcard writes them, one behind the other. Each ask takes the next; one that another operation was
/// answered by, or that is not there, is refused as `not-recorded`, and so are all asks after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded<'a>(pub &'a [u8]);

impl AsyncEffects for Recorded<'_> {
    async fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let not_recorded = || AskError::new("not-recorded", format_args!("the next recorded answer is not one to {}", ask.operation));
        let (recorded, rest): (RecordedAnswer<'_>, _) = postcard::take_from_bytes(self.0).map_err(|_| not_recorded())?;
        if recorded.operation != ask.operation {
            return Err(not_recorded());
        }
        if recorded.writes && ask.key.is_none() {
            return Err(AskError::new("denied", format_args!("{} is a write, and the program takes it for a read", ask.operation)));
        }
        self.0 = rest;
        let Bytes(answer) = recorded.answer.map_err(|refusal| AskError::recorded(&refusal).unwrap_or_else(not_recorded))?;
        let too_large = || AskError::new("too-large", format_args!("the answer has {} bytes", answer.len()));
        into.get_mut(..answer.len()).ok_or_else(too_large)?.copy_from_slice(answer);
        Ok(answer.len())
    }

    async fn act(&mut self, _action: &ReconcileAction<'_>) -> Outcome {
        Outcome::ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future as _;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::vec::Vec;
    use vigy_core::{ActionKey, Incarnation, RunKey};

    fn recorded(answers: &[RecordedAnswer<'_>]) -> Vec<u8> {
        answers.iter().fold(Vec::new(), |bytes, answer| postcard::to_extend(answer, bytes).expect("it serialises"))
    }

    /// What an ask gets: data, or the tag of its refusal.
    fn asks<'b>(host: &mut Recorded<'_>, operation: &str, write: bool, into: &'b mut [u8]) -> Result<&'b [u8], &'static str> {
        let run = RunKey { incarnation: Incarnation(1), tick: 1 };
        let key = write.then_some(ActionKey { run, index: ActionKey::FIRST_WRITE });
        let ask = Ask { run, sequence: 0, key, secret: false, operation, arguments: &[] };
        let polled = pin!(host.ask(&ask, into)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(answered) = polled else { panic!("nothing to wait for") };
        answered.map(|len| &into[..len]).map_err(|error| error.tag)
    }

    const READ: RecordedAnswer<'_> = RecordedAnswer { operation: "disk/size", writes: false, answer: Ok(Bytes(b"12")) };
    const WRITE: RecordedAnswer<'_> = RecordedAnswer { operation: "disk/grow", writes: true, answer: Ok(Bytes(b"done")) };

    #[test]
    fn answers_are_given_in_their_order() {
        let refusal = Refusal { tag: "conflict", message: "somebody was faster" };
        let bytes = recorded(&[READ, WRITE, RecordedAnswer { answer: Err(refusal), ..WRITE }]);
        let (mut host, mut into) = (Recorded(&bytes), [0; 8]);
        assert_eq!(asks(&mut host, "disk/size", false, &mut into), Ok(&b"12"[..]));
        assert_eq!(asks(&mut host, "disk/grow", true, &mut into), Ok(&b"done"[..]));
        assert_eq!(asks(&mut host, "disk/grow", true, &mut into), Err("conflict"));
        assert_eq!(asks(&mut host, "disk/size", false, &mut into), Err("not-recorded"));
    }

    #[test]
    fn what_was_not_answered_so_is_refused() {
        let into = &mut [0; 3];
        let bytes = recorded(&[WRITE]);
        assert_eq!(asks(&mut Recorded(&bytes), "disk/size", false, into), Err("not-recorded"));
        assert_eq!(asks(&mut Recorded(&bytes), "disk/grow", false, into), Err("denied"), "a write without a key");
        assert_eq!(asks(&mut Recorded(&bytes), "disk/grow", true, into), Err("too-large"));
        assert_eq!(asks(&mut Recorded(&bytes[..3]), "disk/grow", true, into), Err("not-recorded"));
        let unknown = RecordedAnswer { answer: Err(Refusal { tag: "bored", message: "" }), ..READ };
        assert_eq!(asks(&mut Recorded(&recorded(&[unknown])), "disk/size", false, into), Err("not-recorded"));
    }
}
