//! A service as the REST API, on a Unix socket and on loopback TCP.
//!
//! | | |
//! |---|---|
//! | GET, POST `/v1/vigies` | list (`label_selector`, `limit`), register |
//! | GET, PATCH, DELETE `/v1/vigies/{id}` | one vigy; `{id}` is an id, a name, or an unambiguous prefix |
//! | GET `/v1/vigies/{id}/state`, `/runs` (`limit`), `/inspect` | what is known of it |
//! | POST `/v1/vigies/{id}/tick` (`force`), `/enable`, `/disable` | a tick is over when it is answered |
//! | GET `/v1/vigies/{id}/revisions`, POST `/rollback` | its declarations, newest first; back to one of them: `{"to": 1}` |
//! | GET `/v1/dead-letters` (`vigy_id`) | the actions that failed for good |
//! | POST `/v1/dead-letters/{key}/redrive`, DELETE `/v1/dead-letters/{key}` | carry one out once more, under its key; discard it |
//! | POST `/v1/runs/{run}/replay`, `/what-if` | on the socket: evaluate a run again; what another program would have done in it |
//! | GET `/v1/store/check`, POST `/v1/store/backup` | on the socket: what is wrong with the store; a copy of it in a new file |
//! | GET `/v1/events` (`vigy_id`, `since`) | server-sent events: runs, and what else happened, by name; each has its number as its id, and a listener that comes back with `Last-Event-ID` goes on from there |
//! | GET `/metrics` | what the daemon does, for Prometheus, as OpenMetrics where that is accepted: see [`crate::metrics`] |
//!
//! Every error is JSON with a line `error` that says what is wrong and what to do.

mod extract;
mod guard;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::sync::watch;

use crate::api::{
    Backup, Change, DeadLetter, Diff, Inspection, Redriven, RegisterVigy, Registration, Replay, ReplayOf, Revision, Rollback, StoreFinding,
    UpdateVigy, Vigy, VigyRun, VigyState, WhatIf,
};
use crate::service::{Error, ErrorKind, Service};
use crate::{metrics, sse};
use extract::{Body, Query, Reference};

/// The largest body of a request over TCP: 1 MiB.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// The largest body over the owner's socket: 8 MiB, so that every program a vigy can have fits in JSON.
pub const MAX_SOCKET_BODY_BYTES: usize = 8 << 20;

/// How many runs `/runs` answers when nobody says: 20.
pub const DEFAULT_RUNS: usize = 20;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// The owner: only they can open the socket.
    Socket,
    /// Anybody on this machine, web pages in a browser included. They can neither give a vigy capabilities nor have it execute commands.
    Loopback,
}

#[derive(Clone)]
struct App {
    service: Arc<dyn Service>,
    transport: Transport,
    closing: watch::Receiver<bool>,
}

/// The routes. Streams of events end once `closing` is true.
pub fn router(service: Arc<dyn Service>, transport: Transport, closing: watch::Receiver<bool>) -> Router {
    let limit = match transport {
        Transport::Socket => MAX_SOCKET_BODY_BYTES,
        Transport::Loopback => MAX_BODY_BYTES,
    };
    Router::new()
        .route("/v1/vigies", get(list).post(register))
        .route("/v1/vigies/{id}", get(one).patch(update).delete(delete))
        .route("/v1/vigies/{id}/state", get(state))
        .route("/v1/vigies/{id}/runs", get(runs))
        .route("/v1/vigies/{id}/inspect", get(inspect))
        .route("/v1/vigies/{id}/tick", post(tick))
        .route("/v1/vigies/{id}/enable", post(enable))
        .route("/v1/vigies/{id}/disable", post(disable))
        .route("/v1/vigies/{id}/revisions", get(revisions))
        .route("/v1/vigies/{id}/rollback", post(rollback))
        .route("/v1/dead-letters", get(dead_letters))
        .route("/v1/dead-letters/{key}", axum::routing::delete(discard))
        .route("/v1/dead-letters/{key}/redrive", post(redrive))
        .route("/v1/runs/{run}/replay", post(replay))
        .route("/v1/runs/{run}/what-if", post(what_if))
        .route("/v1/store/check", get(check))
        .route("/v1/store/backup", post(backup))
        .route("/v1/events", get(events))
        .route("/metrics", get(scrape))
        .fallback(async || Error::new(ErrorKind::NotFound, "there is no such route: see /v1/vigies and /v1/events"))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, Json(Error::invalid("this route does not take that method")))
        })
        .layer(DefaultBodyLimit::max(limit))
        .layer(middleware::from_fn_with_state(transport, guard::guard))
        .with_state(App { service, transport, closing })
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self.kind {
            ErrorKind::Invalid | ErrorKind::Program => StatusCode::BAD_REQUEST,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Ambiguous | ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Error>;

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    label_selector: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct RunsQuery {
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct TickQuery {
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
struct OfQuery {
    vigy_id: Option<String>,
}

#[derive(Deserialize)]
struct EventsQuery {
    vigy_id: Option<String>,
    since: Option<u64>,
}

fn at_least_one(limit: Option<usize>) -> Result<Option<usize>, Error> {
    if limit == Some(0) { Err(Error::invalid("`limit` is at least 1")) } else { Ok(limit) }
}

async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> Answer<Vec<Vigy>> {
    let limit = at_least_one(query.limit)?;
    app.service.list(&query.label_selector, limit).await.map(Json)
}

async fn register(State(app): State<App>, Body(vigy): Body<RegisterVigy>) -> Result<(StatusCode, Json<Registration>), Error> {
    guard::may_declare(app.transport, vigy.on_action.as_deref(), &vigy.allow)?;
    let (vigy, change) = app.service.register(vigy).await?;
    let status = if change == Change::Registered { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Registration { vigy, change })))
}

async fn one(State(app): State<App>, Reference(vigy): Reference) -> Answer<Vigy> {
    app.service.get(&vigy).await.map(Json)
}

async fn update(State(app): State<App>, Reference(vigy): Reference, Body(changes): Body<UpdateVigy>) -> Answer<Vigy> {
    let now = app.service.get(&vigy).await?;
    // What it may do already counts as well: a new program would do it.
    guard::may_declare(
        app.transport,
        Some(changes.on_action.as_deref().unwrap_or(&now.on_action)),
        changes.allow.as_ref().unwrap_or(&now.allow),
    )?;
    app.service.update(&now.id, changes).await.map(Json)
}

async fn delete(State(app): State<App>, Reference(vigy): Reference) -> Result<StatusCode, Error> {
    app.service.delete(&vigy).await.map(|()| StatusCode::NO_CONTENT)
}

async fn state(State(app): State<App>, Reference(vigy): Reference) -> Answer<VigyState> {
    app.service.state(&vigy).await.map(Json)
}

async fn runs(State(app): State<App>, Reference(vigy): Reference, Query(query): Query<RunsQuery>) -> Answer<Vec<VigyRun>> {
    let limit = at_least_one(query.limit)?.unwrap_or(DEFAULT_RUNS);
    app.service.runs(&vigy, limit).await.map(Json)
}

async fn inspect(State(app): State<App>, Reference(vigy): Reference) -> Answer<Inspection> {
    app.service.inspect(&vigy).await.map(Json)
}

async fn tick(State(app): State<App>, Reference(vigy): Reference, Query(query): Query<TickQuery>) -> Answer<VigyRun> {
    app.service.tick(&vigy, query.force).await.map(Json)
}

async fn revisions(State(app): State<App>, Reference(vigy): Reference) -> Answer<Vec<Revision>> {
    app.service.revisions(&vigy).await.map(Json)
}

async fn rollback(State(app): State<App>, Reference(vigy): Reference, Body(rollback): Body<Rollback>) -> Answer<Vigy> {
    let now = app.service.get(&vigy).await?;
    let revisions = app.service.revisions(&now.id).await?;
    // What it could do then counts.
    if let Some(then) = revisions.iter().find(|revision| revision.revision == rollback.to) {
        guard::may_declare(app.transport, Some(&then.on_action), &then.allow)?;
    }
    app.service.rollback(&now.id, rollback.to).await.map(Json)
}

async fn dead_letters(State(app): State<App>, Query(query): Query<OfQuery>) -> Answer<Vec<DeadLetter>> {
    app.service.dead_letters(query.vigy_id.as_deref()).await.map(Json)
}

async fn redrive(State(app): State<App>, Reference(key): Reference) -> Answer<Redriven> {
    app.service.redrive(&key).await.map(Json)
}

async fn discard(State(app): State<App>, Reference(key): Reference) -> Result<StatusCode, Error> {
    app.service.discard(&key).await.map(|()| StatusCode::NO_CONTENT)
}

async fn replay(State(app): State<App>, Reference(run): Reference, Body(how): Body<ReplayOf>) -> Answer<Replay> {
    guard::only_the_owner(app.transport)?;
    app.service.replay(&run, how).await.map(Json)
}

async fn what_if(State(app): State<App>, Reference(run): Reference, Body(how): Body<WhatIf>) -> Answer<Diff> {
    guard::only_the_owner(app.transport)?;
    app.service.what_if(&run, how).await.map(Json)
}

async fn check(State(app): State<App>) -> Answer<Vec<StoreFinding>> {
    guard::only_the_owner(app.transport)?;
    app.service.check().await.map(Json)
}

async fn backup(State(app): State<App>, Body(Backup { path }): Body<Backup>) -> Result<StatusCode, Error> {
    guard::only_the_owner(app.transport)?;
    if !path.is_absolute() {
        return Err(Error::invalid("`path` is an absolute path: the daemon may be at home elsewhere"));
    }
    app.service.backup(&path).await.map(|()| StatusCode::NO_CONTENT)
}

async fn enable(State(app): State<App>, Reference(vigy): Reference) -> Answer<Vigy> {
    app.service.enable(&vigy).await.map(Json)
}

async fn disable(State(app): State<App>, Reference(vigy): Reference) -> Answer<Vigy> {
    app.service.disable(&vigy).await.map(Json)
}

async fn scrape(State(app): State<App>, headers: HeaderMap) -> Result<impl IntoResponse, Error> {
    let text = app.service.metrics().await?;
    let mut accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|accept| accept.to_str().ok());
    Ok(if accepted.any(|accept| accept.contains("application/openmetrics-text")) {
        ([(header::CONTENT_TYPE, metrics::OPEN_METRICS)], text)
    } else {
        ([(header::CONTENT_TYPE, metrics::PLAIN_TEXT)], metrics::plain(&text))
    })
}

async fn events(
    State(app): State<App>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>>, Error> {
    // A browser that lost its connection says so, whatever the address says.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let events = app.service.events(query.vigy_id.as_deref(), last.or(query.since)).await?;
    let mut closing = app.closing;
    let closed = async move {
        // Also when nobody is left who could say so.
        _ = closing.wait_for(|closing| *closing).await;
    };
    // A store that cannot be read ends the stream: whoever listens comes back, with the last number, when they like.
    let read = events.take_while(|event| std::future::ready(event.is_ok()));
    let events = read.take_until(Box::pin(closed)).filter_map(async |event| {
        let told = event.ok()?;
        let (name, data) = sse::encode(&told.event);
        let event = axum::response::sse::Event::default().data(data.to_string());
        let event = if let Some(seq) = told.seq { event.id(seq.to_string()) } else { event };
        Some(Ok(if let Some(name) = name { event.event(name) } else { event }))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
