//! What stands between the client under test and the API server: it counts writes, and is slow, or in the way, on demand.

use std::collections::VecDeque;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::http;
use super::kube::{Kube, User, kubeconfig_for};
use super::process::eventually;

/// The annotation that carries a write's key.
pub(crate) const KEY: &str = "vigy.pleme.io/last-write";

/// A request that would change something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
    /// What the answer was; `None`: the server was never told.
    pub(crate) status: Option<u16>,
}

impl Write {
    /// The key it is done under.
    pub(crate) fn key(&self) -> Option<&str> {
        self.body["metadata"]["annotations"][KEY].as_str()
    }

    /// The size it asks for.
    pub(crate) fn size(&self) -> &str {
        self.body["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default()
    }

    /// The last part of the path: the object's name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// What happens to a write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hold {
    /// The server never hears of it, and the client of no answer.
    Request,
    /// The server carries it out; the client never hears of it.
    Answer,
}

/// Listens on loopback, in plain HTTP.
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    /// As whom it asks: clients keep a token to themselves where there is no TLS.
    user: User,
    requests: AtomicUsize,
    writes: Mutex<Vec<Write>>,
    /// What happens to the writes to come; beyond them, nothing.
    plans: Mutex<VecDeque<Option<Plan>>>,
}

enum Plan {
    Hold(Hold, SyncSender<()>),
    First(Box<dyn FnOnce() + Send>),
}

impl Proxy {
    pub(crate) fn before(kube: &Kube, user: User) -> Self {
        let shared = Arc::new(Shared {
            upstream: kube.url.clone(),
            user,
            requests: AtomicUsize::new(0),
            writes: Mutex::default(),
            plans: Mutex::default(),
        });
        let port = http::serve(Router::new().fallback(forward).with_state(shared.clone()));
        Self { url: format!("http://127.0.0.1:{port}"), shared }
    }

    /// A kubeconfig for a client of the proxy.
    pub(crate) fn kubeconfig(&self) -> String {
        kubeconfig_for(&self.url, None, "")
    }

    /// How many requests of any kind there were.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Every write since this was last asked.
    pub(crate) fn writes(&self) -> Vec<Write> {
        std::mem::take(&mut *locked(&self.shared.writes))
    }

    /// The nth write from now, counted from 1, hangs.
    pub(crate) fn hold(&self, nth: usize, hold: Hold) -> Held {
        let (sender, held) = sync_channel(1);
        self.plan(nth, Plan::Hold(hold, sender));
        Held(held)
    }

    /// Before the nth write from now goes on to the server, this happens.
    pub(crate) fn first(&self, nth: usize, meddle: impl FnOnce() + Send + 'static) {
        self.plan(nth, Plan::First(Box::new(meddle)));
    }

    fn plan(&self, nth: usize, plan: Plan) {
        let mut plans = locked(&self.shared.plans);
        while plans.len() < nth {
            plans.push_back(None);
        }
        plans[nth - 1] = Some(plan);
    }
}

/// A write that will hang.
pub(crate) struct Held(Receiver<()>);

impl Held {
    /// Until this client's does.
    #[track_caller]
    pub(crate) fn wait(self, client: &mut Child) {
        let held = eventually("the write is held back", || match self.0.try_recv() {
            Ok(()) => Ok(Ok(())),
            Err(error) => client.try_wait().unwrap_or_default().map(Err).ok_or(error),
        });
        assert_eq!(held, Ok(()), "the client ended before");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(State(shared): State<Arc<Shared>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let is_write = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    let record = |status: Option<StatusCode>| {
        if is_write {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let (method, path, status) = (method.to_string(), uri.path().to_owned(), status.map(|status| status.as_u16()));
            locked(&shared.writes).push(Write { method, path, body, status });
        }
    };
    let plan = if is_write { locked(&shared.plans).pop_front().flatten() } else { None };
    let mut hold = None;
    match plan {
        Some(Plan::Hold(Hold::Request, held)) => {
            record(None);
            return hang(&held).await;
        }
        Some(Plan::Hold(Hold::Answer, held)) => hold = Some(held),
        Some(Plan::First(meddle)) => tokio::task::spawn_blocking(meddle).await.expect("it meddles without a panic"),
        None => {}
    }
    let answer = ask(&shared, &method, &uri, headers, &body).await;
    let answer = answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response());
    record(Some(answer.status()));
    match hold {
        Some(held) => hang(&held).await,
        None => answer,
    }
}

/// Says so, and never answers.
async fn hang(held: &SyncSender<()>) -> Response {
    // Nobody waits for it: the test is over.
    _ = held.try_send(());
    std::future::pending().await
}

async fn ask(shared: &Shared, method: &Method, uri: &Uri, mut headers: HeaderMap, body: &Bytes) -> reqwest::Result<Response> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // They belong to the connection that was, not to the one that will be.
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::ACCEPT_ENCODING, header::AUTHORIZATION] {
        headers.remove(name);
    }
    let request = http::client().request(method.clone(), format!("{}{path}", shared.upstream)).headers(headers);
    let answer = request.bearer_auth(shared.user.token()).body(body.clone()).send().await?;
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let mut response = Response::new(Body::from(answer.bytes().await?));
    *response.status_mut() = status;
    response.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
    Ok(response)
}
