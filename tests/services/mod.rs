//! Real services for tests: an API server over etcd, and Prometheus, on loopback, with data in a directory that goes away.
//!
//! Tests of one binary that run at the same time share them; each works in namespaces of its own. A machine that lacks one of the
//! programs says so and passes, unless `VIGY_REQUIRE_SERVICES` is set, which CI does.
#![allow(dead_code, reason = "every test binary uses a part of it")]

mod claim;
mod http;
mod kube;
mod process;
mod prometheus;
mod proxy;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

pub(crate) use claim::{Claim, FIXED};
pub(crate) use kube::{Kube, User, path};
pub(crate) use process::{Process, free_port};
pub(crate) use prometheus::Prometheus;
pub(crate) use proxy::{Hold, KEY, Proxy, Write};

/// Set where a missing program is a failure.
const REQUIRED: &str = "VIGY_REQUIRE_SERVICES";

pub(crate) struct Services {
    pub(crate) kubectl: PathBuf,
    pub(crate) kube: Kube,
    pub(crate) prometheus: Prometheus,
    // Last: it outlives the processes that write into it.
    _directory: tempfile::TempDir,
}

/// The services, started if no other test has them, for the suite of this name; `None` where the machine lacks one.
pub(crate) fn services(suite: &str) -> Option<Arc<Services>> {
    static RUNNING: Mutex<Weak<Services>> = Mutex::new(Weak::new());
    let tools = Tools::find().map_err(|missing| absent(suite, &missing)).ok()?;
    // A test that failed to start them poisons nothing: the next one tries again.
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let services = running.upgrade().unwrap_or_else(|| Arc::new(Services::start(&tools)));
    *running = Arc::downgrade(&services);
    Some(services)
}

/// Once, and past the test harness, which would swallow it: somebody should see that a suite did not run.
fn absent(suite: &str, missing: &[&str]) {
    let missing = missing.join(", ");
    assert!(std::env::var_os(REQUIRED).is_none(), "{suite} needs {missing}, and {REQUIRED} is set");
    static SAID: Once = Once::new();
    SAID.call_once(|| _ = writeln!(std::io::stderr(), "skipped: {suite} needs {missing}"));
}

impl Services {
    fn start(tools: &Tools) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        // Prometheus comes up while the API server, which takes longest, does.
        let (kube, prometheus) = std::thread::scope(|scope| {
            let prometheus = scope.spawn(|| Prometheus::start(&tools.prometheus, path));
            (Kube::start(tools, path), prometheus.join())
        });
        Self { kubectl: tools.kubectl.clone(), kube, prometheus: prometheus.expect("Prometheus starts"), _directory: directory }
    }

    /// A new namespace, whose name begins so; no other test has it.
    pub(crate) fn namespace(&self, name: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.kube.create("/api/v1/namespaces", &serde_json::json!({"metadata": {"name": name}}));
        name
    }

    /// A claim in the API server, and its volume on the page that Prometheus scrapes.
    #[track_caller]
    pub(crate) fn put(&self, namespace: &str, claim: &Claim) {
        self.kube.claim(namespace, claim);
        if let Some((used, capacity)) = &claim.volume {
            self.prometheus.volume(namespace, &claim.name, used, capacity);
        }
    }
}

/// The programs it takes.
pub(crate) struct Tools {
    etcd: PathBuf,
    kube_apiserver: PathBuf,
    kubectl: PathBuf,
    prometheus: PathBuf,
}

impl Tools {
    /// Where they are, or which are missing.
    fn find() -> Result<Self, Vec<&'static str>> {
        let mut missing = Vec::new();
        let mut find = |name| {
            found(name).unwrap_or_else(|| {
                missing.push(name);
                PathBuf::new()
            })
        };
        let (etcd, kube_apiserver, kubectl, prometheus) = (find("etcd"), find("kube-apiserver"), find("kubectl"), find("prometheus"));
        if missing.is_empty() { Ok(Self { etcd, kube_apiserver, kubectl, prometheus }) } else { Err(missing) }
    }
}

/// On the `PATH`, or where `.ci/services.sh` puts it.
fn found(program: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?.join("vigy");
    let path = variable("PATH")?;
    std::env::split_paths(&path).chain([cache]).map(|folder| folder.join(program)).find(|path| path.is_file())
}
