//! The service of a daemon, over its socket.

use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::header::ACCEPT;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{
    Backup, Change, DeadLetter, Diff, Inspection, Redriven, RegisterVigy, Registration, Replay, ReplayOf, Revision, Rollback, StoreFinding,
    UpdateVigy, Vigy, VigyRun, VigyState, WhatIf,
};
use crate::metrics::OPEN_METRICS;
use crate::service::{Error, ErrorKind, Events, Service};
use crate::sse;

/// A daemon, as a service.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    base: Url,
}

impl Remote {
    /// The daemon that listens at `socket`. Connects with the first request.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`] when this process cannot make connections.
    pub fn new(socket: &Path) -> Result<Self, Error> {
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().unix_socket(socket).no_proxy().redirect(redirect).build().map_err(|error| unavailable(&error))?;
        let base = Url::parse("http://localhost/v1/").map_err(|error| Error::new(ErrorKind::Failed, error))?;
        Ok(Self { client, base })
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Error> {
        // URLs have no place for a segment of this kind.
        if let Some(bad) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(Error::new(ErrorKind::NotFound, format_args!("there is no vigy `{bad}`")));
        }
        let mut url = self.base.clone();
        // An http URL has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(self.client.request(method, url))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &[&str]) -> Result<T, Error> {
        read(self.request(method, path)?).await
    }

    async fn tell<T: DeserializeOwned>(&self, method: Method, path: &[&str], body: &(impl Serialize + Sync)) -> Result<T, Error> {
        read(self.request(method, path)?.json(body)).await
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    send(request).await?.json().await.map_err(|error| unavailable(&error))
}

async fn send(request: RequestBuilder) -> Result<Response, Error> {
    let response = request.send().await.map_err(|error| unavailable(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(serde_json::from_str(&text).unwrap_or_else(|_| Error::new(kind(status), format_args!("the daemon answered {status}"))))
}

fn kind(status: StatusCode) -> ErrorKind {
    match status {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::CONFLICT => ErrorKind::Ambiguous,
        StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
        status if status.is_client_error() => ErrorKind::Invalid,
        _ => ErrorKind::Failed,
    }
}

fn unavailable(error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::new(ErrorKind::Unavailable, format_args!("the daemon does not answer: {cause}"))
}

#[async_trait]
impl Service for Remote {
    async fn register(&self, vigy: RegisterVigy) -> Result<(Vigy, Change), Error> {
        let Registration { vigy, change } = self.tell(Method::POST, &["vigies"], &vigy).await?;
        Ok((vigy, change))
    }

    async fn update(&self, vigy: &str, changes: UpdateVigy) -> Result<Vigy, Error> {
        self.tell(Method::PATCH, &["vigies", vigy], &changes).await
    }

    async fn get(&self, vigy: &str) -> Result<Vigy, Error> {
        self.ask(Method::GET, &["vigies", vigy]).await
    }

    async fn list(&self, selector: &str, limit: Option<usize>) -> Result<Vec<Vigy>, Error> {
        let query = [("label_selector", selector.to_owned())].into_iter().chain(limit.map(|limit| ("limit", limit.to_string())));
        let mut request = self.request(Method::GET, &["vigies"])?;
        for pair in query {
            request = request.query(&[pair]);
        }
        read(request).await
    }

    async fn state(&self, vigy: &str) -> Result<VigyState, Error> {
        self.ask(Method::GET, &["vigies", vigy, "state"]).await
    }

    async fn runs(&self, vigy: &str, limit: usize) -> Result<Vec<VigyRun>, Error> {
        read(self.request(Method::GET, &["vigies", vigy, "runs"])?.query(&[("limit", limit)])).await
    }

    async fn tick(&self, vigy: &str, force: bool) -> Result<VigyRun, Error> {
        read(self.request(Method::POST, &["vigies", vigy, "tick"])?.query(&[("force", force)])).await
    }

    async fn enable(&self, vigy: &str) -> Result<Vigy, Error> {
        self.ask(Method::POST, &["vigies", vigy, "enable"]).await
    }

    async fn disable(&self, vigy: &str) -> Result<Vigy, Error> {
        self.ask(Method::POST, &["vigies", vigy, "disable"]).await
    }

    async fn delete(&self, vigy: &str) -> Result<(), Error> {
        send(self.request(Method::DELETE, &["vigies", vigy])?).await.map(|_| ())
    }

    async fn inspect(&self, vigy: &str) -> Result<Inspection, Error> {
        self.ask(Method::GET, &["vigies", vigy, "inspect"]).await
    }

    async fn revisions(&self, vigy: &str) -> Result<Vec<Revision>, Error> {
        self.ask(Method::GET, &["vigies", vigy, "revisions"]).await
    }

    async fn rollback(&self, vigy: &str, to: u64) -> Result<Vigy, Error> {
        self.tell(Method::POST, &["vigies", vigy, "rollback"], &Rollback { to }).await
    }

    async fn dead_letters(&self, vigy: Option<&str>) -> Result<Vec<DeadLetter>, Error> {
        read(self.request(Method::GET, &["dead-letters"])?.query(&vigy.map(|vigy| ("vigy_id", vigy)).as_slice())).await
    }

    async fn redrive(&self, key: &str) -> Result<Redriven, Error> {
        self.ask(Method::POST, &["dead-letters", key, "redrive"]).await
    }

    async fn discard(&self, key: &str) -> Result<(), Error> {
        send(self.request(Method::DELETE, &["dead-letters", key])?).await.map(|_| ())
    }

    async fn replay(&self, run: &str, how: ReplayOf) -> Result<Replay, Error> {
        self.tell(Method::POST, &["runs", run, "replay"], &how).await
    }

    async fn what_if(&self, run: &str, how: WhatIf) -> Result<Diff, Error> {
        self.tell(Method::POST, &["runs", run, "what-if"], &how).await
    }

    async fn check(&self) -> Result<Vec<StoreFinding>, Error> {
        self.ask(Method::GET, &["store", "check"]).await
    }

    async fn backup(&self, path: &Path) -> Result<(), Error> {
        send(self.request(Method::POST, &["store", "backup"])?.json(&Backup { path: path.to_owned() })).await.map(|_| ())
    }

    async fn metrics(&self) -> Result<String, Error> {
        let url = self.base.join("/metrics").map_err(|error| Error::new(ErrorKind::Failed, error))?;
        send(self.client.get(url).header(ACCEPT, OPEN_METRICS)).await?.text().await.map_err(|error| unavailable(&error))
    }

    async fn events(&self, vigy: Option<&str>, since: Option<u64>) -> Result<Events, Error> {
        let mut request = self.request(Method::GET, &["events"])?;
        if let Some(since) = since {
            request = request.query(&[("since", since)]);
        }
        if let Some(vigy) = vigy {
            request = request.query(&[("vigy_id", vigy)]);
        }
        let response = send(request).await?;
        let chunks = stream::unfold((response, sse::Reader::default()), |(mut response, mut reader)| async move {
            let events: Vec<_> = match response.chunk().await {
                Ok(Some(chunk)) => {
                    let bad = |error| Error::new(ErrorKind::Failed, format_args!("the daemon sent an event that is none: {error}"));
                    reader.read(&chunk).into_iter().map(|event| event.map_err(bad)).collect()
                }
                // A daemon that stops ends its streams; one that was killed breaks them. To a listener it is the same.
                Ok(None) | Err(_) => return None,
            };
            Some((stream::iter(events), (response, reader)))
        });
        Ok(chunks.flatten().boxed())
    }
}
