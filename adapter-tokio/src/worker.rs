//! The threads that evaluate.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Tasks that a worker turns to before it looks for timers and wake-ups. Each may take a slice of fuel, so there are few.
const EVENT_INTERVAL: u32 = 3;

/// Where ticks run. On threads of their own, so that no evaluation ever sits on a thread of the application.
pub(crate) struct Workers {
    handle: Handle,
    own: Option<Runtime>,
}

impl Workers {
    /// So many threads; none at all for the application's own.
    pub(crate) fn new(threads: usize, application: &Handle) -> std::io::Result<Self> {
        if threads == 0 {
            return Ok(Self { handle: application.clone(), own: None });
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("vigy-worker").event_interval(EVENT_INTERVAL).enable_time();
        let own = builder.build()?;
        Ok(Self { handle: own.handle().clone(), own: Some(own) })
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.handle.spawn(task)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // The last one to go may be a worker, which cannot wait for itself.
            own.shutdown_background();
        }
    }
}
