//! A service as the REST API, on a Unix socket and on loopback TCP.
//!
//! | | |
//! |---|---|
//! | GET, POST `/v1/vigies` | list (`label_selector`, `limit`), register |
//! | GET, PATCH, DELETE `/v1/vigies/{id}` | one vigy; `{id}` is an id, a name, or an unambiguous prefix |
//! | GET `/v1/vigies/{id}/state`, `/runs` (`limit`), `/inspect` | what is known of it |
//! | POST `/v1/vigies/{id}/tick`, `/enable`, `/disable` | |
//! | GET `/v1/events` (`vigy_id`) | server-sent events: runs, and the vigies that were `registered`, `updated`, `enabled`, `disabled`, `deleted` |
//!
//! Every error is JSON with a line `error` that says what is wrong and what to do.

mod extract;
mod guard;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::sync::watch;

use crate::api::{Change, Inspection, RegisterVigy, Registration, UpdateVigy, Vigy, VigyRun, VigyState};
use crate::service::{Error, ErrorKind, Service};
use crate::sse;
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
        .route("/v1/events", get(events))
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
            ErrorKind::Ambiguous => StatusCode::CONFLICT,
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
struct EventsQuery {
    vigy_id: Option<String>,
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

async fn tick(State(app): State<App>, Reference(vigy): Reference) -> Answer<VigyRun> {
    app.service.tick(&vigy).await.map(Json)
}

async fn enable(State(app): State<App>, Reference(vigy): Reference) -> Answer<Vigy> {
    app.service.enable(&vigy).await.map(Json)
}

async fn disable(State(app): State<App>, Reference(vigy): Reference) -> Answer<Vigy> {
    app.service.disable(&vigy).await.map(Json)
}

async fn events(
    State(app): State<App>,
    Query(query): Query<EventsQuery>,
) -> Result<Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>>, Error> {
    let events = app.service.events(query.vigy_id.as_deref()).await?;
    let mut closing = app.closing;
    let closed = async move {
        // Also when nobody is left who could say so.
        _ = closing.wait_for(|closing| *closing).await;
    };
    let events = events.take_until(Box::pin(closed)).filter_map(async |event| {
        let (name, data) = sse::encode(&event.ok()?);
        let event = axum::response::sse::Event::default().data(data.to_string());
        Some(Ok(if let Some(name) = name { event.event(name) } else { event }))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
