//! Vigies whose program is Rust: closures of the application, which tick like programs.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use vigy_core::record::{Access, ConditionStatus, Header, Level};
use vigy_core::{ActionKind, Door, Evaluator, Failure, Limits, Step, VerbError, Vigy};
use vigy_lisp::Data;

use crate::sync::{Mutex, MutexGuard};
use crate::{Evaluation, Loaded, RegisterError};

/// What stands for the program in the declaration of a vigy that a [`Reconciler`] ticks. It is no program: without the reconciler, the
/// vigy does not tick.
pub(crate) const PROGRAM: &str = "(reconciler-of-the-application)";

type Reconciliation = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// What ticks in place of a program: any async function of a [`Turn`].
///
/// Everything it does to the outside goes through its turn, and it waits for nothing else; so its runs have records, are committed, and
/// are taken up after a crash, like those of programs. It is the application's own code, though: it uses no fuel, and nothing stops it.
pub trait Reconciler: Send + Sync + 'static {
    /// One tick.
    fn reconcile(&self, turn: Turn) -> Reconciliation;
}

impl<F, R> Reconciler for F
where
    F: Fn(Turn) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn reconcile(&self, turn: Turn) -> Reconciliation {
        Box::pin(self(turn))
    }
}

/// Reconcilers that tick one after the other, as one. The first that fails ends the tick.
#[derive(Clone, Default)]
pub struct Chain(Vec<Arc<dyn Reconciler>>);

impl Chain {
    /// A chain of nothing, which does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The chain with another one at its end.
    #[must_use]
    pub fn then(mut self, next: impl Reconciler) -> Self {
        self.0.push(Arc::new(next));
        self
    }
}

impl Reconciler for Chain {
    fn reconcile(&self, turn: Turn) -> Reconciliation {
        let links = self.0.clone();
        Box::pin(async move {
            for link in links {
                link.reconcile(turn.clone()).await?;
            }
            Ok(())
        })
    }
}

/// A call at the door, made until it is answered. True once it is.
type Call = Box<dyn FnMut(&mut Door<'_>) -> bool + Send>;

/// What a reconciler sees and says in one tick. The calls are those of a program: see [`Door`] for what each does and how it may fail.
#[derive(Clone, Default)]
pub struct Turn {
    calls: Arc<Mutex<VecDeque<Call>>>,
}

/// Why the host gave no answer: what a program could catch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// As `denied`, `timeout`.
    pub tag: String,
    /// Details.
    pub message: String,
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is shared is whole whoever panicked.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turn {
    /// Makes a call at the door, which only the evaluation has.
    async fn at_door<T: Send + 'static>(&self, mut call: impl FnMut(&mut Door<'_>) -> Poll<T> + Send + 'static) -> T {
        let answer = Arc::new(Mutex::new(None));
        let told = answer.clone();
        held(&self.calls).push_back(Box::new(move |door| match call(door) {
            Poll::Ready(value) => {
                *held(&told) = Some(value);
                true
            }
            Poll::Pending => false,
        }));
        poll_fn(move |_| held(&answer).take().map_or(Poll::Pending, Poll::Ready)).await
    }

    async fn say(&self, mut call: impl FnMut(&mut Door<'_>) -> Result<(), VerbError> + Send + 'static) -> Result<(), Failure> {
        self.at_door(move |door| Poll::Ready(call(door).map_err(Failure::from))).await
    }

    /// What the tick started from: its number, its time, the time of the one before.
    pub async fn header(&self) -> Header {
        self.at_door(|door| Poll::Ready(*door.header())).await
    }

    /// The value of a kv key.
    ///
    /// # Errors
    /// As [`Door::get`].
    pub async fn get(&self, key: impl Into<String>) -> Result<Option<Data>, Failure> {
        let key = key.into();
        let call = move |door: &mut Door<'_>| match door.get(&key) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(value.map(decode).transpose()),
            Err(error) => Poll::Ready(Err(error.into())),
        };
        self.at_door(call).await
    }

    /// Sets a kv key.
    ///
    /// # Errors
    /// As [`Door::set`].
    pub async fn set(&self, key: impl Into<String>, value: &Data) -> Result<(), Failure> {
        let (key, value) = (key.into(), encode(value)?);
        self.say(move |door| door.set(&key, value.as_slice())).await
    }

    /// Removes a kv key.
    ///
    /// # Errors
    /// As [`Door::remove`].
    pub async fn remove(&self, key: impl Into<String>) -> Result<(), Failure> {
        let key = key.into();
        self.say(move |door| door.remove(&key)).await
    }

    /// Asks the host, which reads.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub async fn read(&self, operation: impl Into<String>, arguments: Vec<Data>) -> Result<Result<Data, Refused>, Failure> {
        self.ask(operation.into(), Access::Read, arguments).await
    }

    /// Asks the host for a secret, which no record shows.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub async fn read_secret(&self, operation: impl Into<String>, arguments: Vec<Data>) -> Result<Result<Data, Refused>, Failure> {
        self.ask(operation.into(), Access::SecretRead, arguments).await
    }

    /// Asks the host, which writes, under a key of this tick.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub async fn write(&self, operation: impl Into<String>, arguments: Vec<Data>) -> Result<Result<Data, Refused>, Failure> {
        self.ask(operation.into(), Access::Write, arguments).await
    }

    async fn ask(&self, operation: String, access: Access, arguments: Vec<Data>) -> Result<Result<Data, Refused>, Failure> {
        let arguments = encode(&Data::List(arguments))?;
        let call = move |door: &mut Door<'_>| match door.ask(&operation, access, arguments.as_slice()) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(answer))) => Poll::Ready(decode(answer).map(Ok)),
            Ok(Poll::Ready(Err(refusal))) => {
                Poll::Ready(Ok(Err(Refused { tag: refusal.tag.to_owned(), message: refusal.message.to_owned() })))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        };
        self.at_door(call).await
    }

    /// Queues an action.
    ///
    /// # Errors
    /// As [`Door::act`].
    pub async fn act(&self, kind: ActionKind, payload: Option<&Data>) -> Result<(), Failure> {
        let payload = payload.map(encode).transpose()?;
        self.say(move |door| door.act(kind, payload.as_deref(), None)).await
    }

    /// Logs a line.
    ///
    /// # Errors
    /// As [`Door::log`].
    pub async fn log(&self, level: Level, message: impl Into<String>) -> Result<(), Failure> {
        let message = message.into();
        self.say(move |door| door.log(level, &message)).await
    }

    /// Says how something is.
    ///
    /// # Errors
    /// As [`Door::condition`].
    pub async fn condition(
        &self,
        name: impl Into<String>,
        status: ConditionStatus,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<(), Failure> {
        let (name, reason, message) = (name.into(), reason.into(), message.into());
        self.say(move |door| door.condition(&name, status, &reason, &message)).await
    }

    /// Says how much of something there is.
    ///
    /// # Errors
    /// As [`Door::metric`].
    pub async fn metric(&self, name: impl Into<String>, value: f64) -> Result<(), Failure> {
        let name = name.into();
        self.say(move |door| door.metric(&name, value)).await
    }
}

#[allow(clippy::result_large_err, reason = "it is what an evaluation fails with")]
fn encode(data: &Data) -> Result<Vec<u8>, Failure> {
    postcard::to_allocvec(data).map_err(|error| Failure::raised("type-mismatch", &error.to_string(), None))
}

#[allow(clippy::result_large_err, reason = "it is what an evaluation fails with")]
fn decode(bytes: &[u8]) -> Result<Data, Failure> {
    postcard::from_bytes(bytes).map_err(|error| Failure::raised("bad-answer", &error.to_string(), None))
}

/// The reconcilers that the application has given.
#[derive(Default)]
pub(crate) struct Reconcilers(Mutex<HashMap<String, Arc<dyn Reconciler>>>);

impl Reconcilers {
    /// Gives a vigy its reconciler, in place of an earlier one.
    pub(crate) fn give(&self, vigy: &str, reconciler: Arc<dyn Reconciler>) {
        held(&self.0).insert(vigy.to_owned(), reconciler);
    }

    /// A vigy's reconciler, ready to run.
    pub(crate) fn load(&self, vigy: &Vigy) -> Result<Arc<dyn Loaded>, RegisterError> {
        let name = vigy.name.as_str();
        let reconciler = held(&self.0).get(name).cloned().ok_or_else(|| {
            RegisterError::Refused(format!(
                "the application has not given the reconciler of `{name}`: see RuntimeHandle::register_reconciler"
            ))
        })?;
        let hash = *blake3::hash([PROGRAM, name].concat().as_bytes()).as_bytes();
        Ok(Arc::new(Given { reconciler, hash }))
    }
}

struct Given {
    reconciler: Arc<dyn Reconciler>,
    hash: [u8; 32],
}

impl Loaded for Given {
    fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Whatever it asks is checked when it asks.
    fn operations(&self) -> Vec<&str> {
        Vec::new()
    }

    fn words(&self, _: &Limits) -> usize {
        0
    }

    fn evaluation<'m>(&'m self, _: &Limits, _: &'m mut [u64]) -> Result<Evaluation<'m>, String> {
        let turn = Turn::default();
        let reconciliation = self.reconciler.reconcile(turn.clone());
        Ok(Evaluation::Other(Box::new(Reconciling { reconciliation, turn })))
    }
}

struct Reconciling {
    reconciliation: Reconciliation,
    turn: Turn,
}

impl Evaluator for Reconciling {
    fn step(&mut self, door: &mut Door<'_>, _: u64) -> Step {
        loop {
            while let Some(mut call) = { held(&self.turn.calls).pop_front() } {
                if !call(door) {
                    held(&self.turn.calls).push_front(call);
                    return Step::Waiting;
                }
            }
            let reconciliation = pin!(&mut self.reconciliation);
            match reconciliation.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => return Step::Done,
                Poll::Ready(Err(failure)) => return Step::Failed(failure),
                Poll::Pending if held(&self.turn.calls).is_empty() => {
                    return Step::Failed(Failure::raised("bug", "a reconciler waits for something else than its turn", None));
                }
                Poll::Pending => {}
            }
        }
    }

    fn fuel_used(&self) -> u64 {
        0
    }
}
