//! Real services for tests: an API server over etcd, Prometheus, and an OpenTelemetry collector, on loopback, with data in a directory
//! that goes away.
//!
//! Tests of one binary that run at the same time share them; each works in namespaces of its own. A machine that lacks one of the
//! programs says so and passes, unless `VIGY_REQUIRE_SERVICES` is set, which CI does.
#![allow(dead_code, unused_imports, reason = "every test binary uses a part of it")]

mod claim;
mod collector;
mod http;
mod kube;
mod process;
mod prometheus;
mod proxy;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(crate) use claim::{Claim, FIXED};
pub(crate) use collector::{Collector, Span};
pub(crate) use http::get_text;
pub(crate) use kube::{Kube, User, path};
pub(crate) use process::{Process, eventually, free_port};
pub(crate) use prometheus::{Prometheus, Scraper};
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
    let [etcd, kube_apiserver, kubectl, prometheus] = tools(suite, ["etcd", "kube-apiserver", "kubectl", "prometheus"])?;
    let tools = Tools { etcd, kube_apiserver, kubectl, prometheus };
    // A test that failed to start them poisons nothing: the next one tries again.
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let services = running.upgrade().unwrap_or_else(|| Arc::new(Services::start(&tools)));
    *running = Arc::downgrade(&services);
    Some(services)
}

/// Where these programs are; `None` where the machine lacks one, which is then said.
pub(crate) fn tools<const N: usize>(suite: &str, names: [&'static str; N]) -> Option<[PathBuf; N]> {
    let places = names.map(found);
    let missing: Vec<_> = std::iter::zip(names, &places).filter(|(_, place)| place.is_none()).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        absent(suite, &missing.join(", "));
        return None;
    }
    Some(places.map(|place| place.expect("none is missing")))
}

/// Once, and past the test harness, which would swallow it: somebody should see that a suite did not run.
fn absent(suite: &str, missing: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    assert!(std::env::var_os(REQUIRED).is_none(), "{suite} needs {missing}, and {REQUIRED} is set");
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(suite.to_owned()) {
        _ = writeln!(std::io::stderr(), "skipped: {suite} needs {missing}");
    }
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

/// The programs that a cluster takes.
pub(crate) struct Tools {
    etcd: PathBuf,
    kube_apiserver: PathBuf,
    kubectl: PathBuf,
    prometheus: PathBuf,
}

/// On the `PATH`, or where `.ci/services.sh` puts it.
fn found(program: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?.join("vigy");
    let path = variable("PATH")?;
    std::env::split_paths(&path).chain([cache]).map(|folder| folder.join(program)).find(|path| path.is_file())
}
