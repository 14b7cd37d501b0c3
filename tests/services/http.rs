//! HTTP from tests that are not async, and servers for them.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio starts"));

/// Everything is on loopback: a proxy in the environment is not meant.
static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::builder().no_proxy().timeout(TIMEOUT).build().expect("a client without TLS"));

pub(crate) fn client() -> Client {
    CLIENT.clone()
}

/// Serves on a free port of loopback for as long as the process lives.
pub(crate) fn serve(router: Router) -> u16 {
    let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("loopback has a free port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    RUNTIME.spawn(async move { axum::serve(listener, router).await });
    port
}

/// The answer's body; anything but 2xx is an error that says what came.
pub(crate) fn request(method: Method, url: &str, token: Option<&str>, body: Option<&Body<'_>>) -> Result<String, String> {
    RUNTIME.block_on(async {
        let mut request = CLIENT.request(method.clone(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(Body { kind, json }) = body {
            request = request.header("content-type", *kind).body(json.to_string());
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok(text) } else { Err(format!("{method} {url}: {status}: {text}")) }
    })
}

pub(crate) struct Body<'a> {
    pub(crate) kind: &'static str,
    pub(crate) json: &'a Value,
}

pub(crate) fn get_json(url: &str) -> Result<Value, String> {
    request(Method::GET, url, None, None).and_then(|text| serde_json::from_str(&text).map_err(|error| format!("{url}: {error}")))
}

/// The body of an answer.
#[track_caller]
pub(crate) fn get_text(url: &str) -> String {
    request(Method::GET, url, None, None).unwrap_or_else(|error| panic!("{error}"))
}
