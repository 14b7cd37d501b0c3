//! What threads share and tasks wait with, named in one place: the tests of schedules have theirs here.

pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, mpsc};
pub(crate) use std::thread;

pub(crate) use tokio::sync::Notify;
pub(crate) use tokio::task::{AbortHandle, spawn_blocking};
pub(crate) use tokio::time::{sleep, timeout};
