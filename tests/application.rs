//! An application with vigies in it, and its operator: the store is the application's, and `vigy` talks to it over the socket beside it.

mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::{Home, PATIENCE, Ran};
use serde_json::{Value, json};
use tokio::runtime::{Builder as Tokio, Runtime};
use tokio::sync::watch;
use vigy::lisp::{Arity, Data, HostFn};
use vigy::server::{Transport, router};
use vigy::{
    Ask, AskError, Builder, Cadence, Executor, HostExtension, Local, Metrics, Outcome, ReconcileAction, RegisterError, Registered,
    RuntimeHandle, TickInterval, Timestamp, Vigy, socket,
};
use vigy_core::record::{Content, Entry, Record};

/// An application that offers its operator what `vigy serve` offers.
struct Application {
    home: Home,
    executor: Runtime,
    runtime: RuntimeHandle,
    page: SocketAddr,
    _closing: watch::Sender<bool>,
}

impl Application {
    fn with(builder: Builder) -> Self {
        let home = Home::new();
        let executor = Tokio::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // Not the home's own store, whose runs a `vigy` by itself can replay.
        let store = home.path("application.redb");
        let metrics = Arc::new(Metrics::default());
        let runtime = executor.block_on(builder.scheduling(false).observer(metrics.clone()).open(&store)).unwrap();
        let service = Arc::new(Local::new(runtime.clone()).with_metrics(metrics));
        let (closing, closes) = watch::channel(false);
        let _context = executor.enter();
        let listener = socket::bind(&socket::path(&store)).unwrap();
        executor.spawn(axum::serve(listener, router(service.clone(), Transport::Socket, closes.clone())).into_future());
        let port = executor.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let page = port.local_addr().unwrap();
        executor.spawn(axum::serve(port, router(service, Transport::Loopback, closes)).into_future());
        drop(_context);
        Self { home, executor, runtime, page, _closing: closing }
    }

    fn register(&self, vigy: Vigy) -> Result<Registered, RegisterError> {
        self.executor.block_on(self.runtime.register_or_update(vigy))
    }

    /// What its operator types.
    fn vigy(&self, args: &[&str]) -> Ran {
        let store: PathBuf = self.home.path("application.redb");
        self.home.vigy(&[args, &["--db", store.to_str().unwrap()]].concat())
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let ran = self.vigy(&[args, &["--json"]].concat());
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"))
    }

    fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.page);
        self.executor.block_on(async { reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.text().await }).unwrap()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.executor.block_on(self.runtime.shutdown(PATIENCE));
    }
}

fn every(ms: u64) -> Cadence {
    Cadence { jitter_ms: 0, ..Cadence::every(TickInterval::from_millis(ms).unwrap()) }
}

// ---- secrets ---------------------------------------------------------------------------------------------------------------------

/// Knows a password, and counts who asks for it.
struct Vault {
    password: Mutex<String>,
    asked: AtomicUsize,
}

impl Vault {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

const PASSWORD: &str = "correct horse battery staple";

#[async_trait]
impl HostExtension for Vault {
    fn operations(&self) -> &[HostFn] {
        const PASSWORD: HostFn =
            HostFn { name: "vault/password", arity: Arity::exactly(1), writes: false, secret: true, doc: "The password of a database." };
        &[PASSWORD]
    }
    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }
    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        assert!(ask.secret);
        self.asked.fetch_add(1, Ordering::SeqCst);
        postcard::to_allocvec(&Data::Str(self.password.lock().unwrap().clone()))
            .map_err(|error| AskError::new("failed", format_args!("{error}")))
    }
}

/// What the program makes of the password shows whether it is the right one.
const ASKS: &str = "(vigy-log :info \"connecting\")\n(vigy-set :length (string-length (vault/password \"orders\")))";

#[test]
fn a_secret_is_in_no_record_and_a_replay_asks_for_it_or_takes_it_from_a_file() {
    let vault = Arc::new(Vault { password: Mutex::new(PASSWORD.to_owned()), asked: AtomicUsize::new(0) });
    let app = Application::with(RuntimeHandle::builder().extension(vault.clone()));
    let id = app.register(Vigy::new("asks", ASKS, every(1000)).unwrap()).unwrap().id;
    let run = app.executor.block_on(app.runtime.tick_now(id)).unwrap();
    assert_eq!(app.json(&["inspect", "asks"])["state"]["kv"]["length"], json!(PASSWORD.len()));

    let answer = postcard::to_allocvec(&Data::Str(PASSWORD.to_owned())).unwrap();
    let record = Record::parse(&run.record).unwrap();
    let hashes: Vec<_> = record
        .entries()
        .filter_map(|entry| match entry {
            Entry::Answer { answer: Ok(Content::Secret { hash, len }) } => Some((hash, len as usize)),
            _ => None,
        })
        .collect();
    let [(hash, len)] = hashes[..] else { panic!("{hashes:?}") };
    assert_eq!(len, answer.len());
    assert_ne!(hash, *blake3::hash(&answer).as_bytes(), "a hash without a key could be guessed");
    let file = std::fs::read(app.home.path("application.redb")).unwrap();
    let holds = |bytes: &[u8], part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(holds(&file, "vault/password") && !holds(&file, PASSWORD), "the store keeps what was asked, and not what was answered");

    let asked = vault.asked();
    assert_eq!(app.vigy(&["replay", "asks"]).code, Some(0));
    assert_eq!(vault.asked(), asked + 1, "it asks again");

    let answers = |name: &str, answer: &str| app.home.file(name, &json!({"ask": "vault/password", "answer": answer}).to_string());
    assert_eq!(app.vigy(&["replay", "asks", "--secrets", &answers("right.jsonl", PASSWORD)]).code, Some(0));
    let wrong = app.vigy(&["replay", "asks", "--secrets", &answers("wrong.jsonl", "hunter2")]);
    assert!(wrong.code == Some(1) && wrong.out.contains("2:34"), "{wrong:#?}");
    assert!(!wrong.out.contains("hunter2") && !wrong.out.contains(PASSWORD), "{wrong:#?}");
    let divergence = app.json(&["replay", "asks", "--secrets", &answers("wrong.jsonl", "hunter2")])[0]["divergence"].clone();
    assert_eq!(divergence["place"], json!({"line": 2, "column": 34}), "{divergence}");
    let nothing = app.vigy(&["replay", "asks", "--secrets", &app.home.file("none.jsonl", "")]);
    assert!(nothing.code == Some(1) && nothing.out.contains("the secret is not there"), "{nothing:#?}");
    assert_eq!(vault.asked(), asked + 1, "whoever has a file asks nobody");

    // A password that was changed is another answer than the run had.
    *vault.password.lock().unwrap() = "hunter2".to_owned();
    let rotated = app.vigy(&["replay", "asks"]);
    assert!(rotated.code == Some(1) && rotated.out.contains("2:34"), "{rotated:#?}");
    assert_eq!(vault.asked(), asked + 2);
}

// ---- ticks that were missed ------------------------------------------------------------------------------------------------------

/// Takes its time: the clock goes on by so many milliseconds while it acts.
struct Slow {
    clock: Arc<AtomicU64>,
    takes_ms: u64,
}

#[async_trait]
impl Executor for Slow {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    async fn act(&self, _: &Vigy, _: ReconcileAction<'_>) -> Outcome {
        self.clock.fetch_add(self.takes_ms, Ordering::SeqCst);
        Outcome::ok()
    }
}

#[test]
fn a_vigy_that_overruns_skips_ticks_and_everybody_sees_how_many() {
    let clock = Arc::new(AtomicU64::new(1_800_000_000_000));
    let told = clock.clone();
    let slow = Arc::new(Slow { clock: clock.clone(), takes_ms: 1050 });
    let app = Application::with(RuntimeHandle::builder().clock(move || Timestamp(told.load(Ordering::SeqCst))).executor("slow", slow));
    let vigy = Vigy { on_action: "slow".to_owned(), ..Vigy::new("overruns", "(vigy-push {})", every(100)).unwrap() };
    let id = app.register(vigy).unwrap().id;
    for tick in 1..=3 {
        let run = app.executor.block_on(app.runtime.tick_now(id)).unwrap();
        assert_eq!(run.key.tick, tick);
    }
    // Each takes 1,050 ms. The second, due at 100, begins at 1,050, and skips 9 others; the third, due at 1,100, begins at 2,100: 10.
    let shown = app.json(&["inspect", "overruns"]);
    assert_eq!((&shown["missed"], &shown["ticks"]), (&json!(19), &json!(3)));
    let page = app.metrics();
    assert!(page.contains("\nvigy_missed_ticks_total 19\n"), "{page}");
    assert!(app.vigy(&["inspect", "overruns"]).out.contains("19"), "{:#?}", app.vigy(&["inspect", "overruns"]));
}
