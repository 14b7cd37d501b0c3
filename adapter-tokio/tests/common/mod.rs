//! What the tests of the runtime share.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapter_tokio::RuntimeHandle;
use vigy_core::{Selector, VigyId};

/// A runtime of a test. Whatever the test is about: in the end every run that is kept is evaluated again, and says again what it said.
pub(crate) struct Replaying {
    runtime: RuntimeHandle,
    /// A store that is closed has nothing to read.
    closed: AtomicBool,
}

pub(crate) trait Replayed {
    /// Has its runs replayed when it is dropped.
    fn replaying(self) -> Replaying;
}

impl Replayed for RuntimeHandle {
    fn replaying(self) -> Replaying {
        Replaying { runtime: self, closed: AtomicBool::new(false) }
    }
}

impl Deref for Replaying {
    type Target = RuntimeHandle;

    fn deref(&self) -> &RuntimeHandle {
        &self.runtime
    }
}

impl Replaying {
    pub(crate) async fn shutdown(&self, deadline: Duration) -> Vec<VigyId> {
        if !self.closed.swap(true, Ordering::SeqCst) {
            replay_all(&self.runtime).await;
        }
        self.runtime.shutdown(deadline).await
    }
}

impl Drop for Replaying {
    fn drop(&mut self) {
        if std::thread::panicking() || self.closed.load(Ordering::SeqCst) {
            return;
        }
        let runtime = self.runtime.clone();
        // A thread of its own: this one may be a test's only one, in the middle of its work.
        let replayed = std::thread::spawn(move || {
            let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
            executor.block_on(replay_all(&runtime));
        });
        if let Err(panic) = replayed.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn replay_all(runtime: &RuntimeHandle) {
    for registered in runtime.list(&Selector::default()).await.expect("vigies are listed") {
        let id = registered.id;
        for run in runtime.recent_runs(id, usize::MAX).await.expect("runs are listed") {
            match runtime.replay(id, run.key, None).await {
                Ok(Ok(_)) => {}
                // Retention has taken it meanwhile.
                _ if runtime.run(id, run.key).await.expect("a run is read").is_none() => {}
                other => panic!("{}, run {}: {other:?}", registered.vigy.name, run.key),
            }
        }
    }
}
