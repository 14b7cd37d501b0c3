//! The daemon: it owns the store, ticks what is registered, and listens for commands.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use vigy::server::{Transport, router};
use vigy::{Local, Metrics, Platform, RuntimeHandle, socket};

use super::connect::LOCK_WAIT;
use super::failure::{Exit, Failure};

/// How long ticks and requests in flight may take once the daemon is told to stop: 10 seconds.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn serve(
    store: &Path,
    bind: Option<SocketAddr>,
    host: Option<String>,
    json: bool,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let socket_path = socket::path(store);
    // The port first, while nothing ticks yet; but a store in use says more than a port in use.
    let port = match bind {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|error| port_failure(address, &error))),
        None => None,
    };
    let lock_wait = if socket::is_up(&socket_path).await { Duration::ZERO } else { LOCK_WAIT };
    let metrics = Arc::new(Metrics::default());
    let builder = RuntimeHandle::builder().effects(Arc::new(Platform::default())).observer(metrics.clone()).lock_wait(lock_wait);
    let builder = if let Some(host) = host { builder.host(host) } else { builder };
    let runtime = builder.scheduling(!matches!(port, Some(Err(_)))).open(store).await?;
    let port = match port.transpose() {
        Ok(port) => port,
        Err(failure) => {
            runtime.shutdown(DEADLINE).await;
            return Err(failure);
        }
    };

    let service = Arc::new(Local::new(runtime.clone()).with_metrics(metrics));
    let (close, closing) = watch::channel(false);
    // The store is ours, so whatever socket lies there is stale.
    let listener = match socket::bind(&socket_path) {
        Ok(listener) => listener,
        Err(error) => {
            runtime.shutdown(DEADLINE).await;
            return Err(Failure::new(Exit::Failed, format_args!("cannot listen on {}: {error}", socket_path.display())));
        }
    };
    let url = port.as_ref().map(|port| port.local_addr().map(|address| format!("http://{address}"))).transpose()?;
    announce(store, &socket_path, url.as_deref(), json, out)?;

    let closed = |mut closing: watch::Receiver<bool>| async move {
        // Also when nobody is left who could say so.
        _ = closing.wait_for(|closing| *closing).await;
    };
    let on_socket = axum::serve(listener, router(service.clone(), Transport::Socket, closing.clone()));
    let on_socket = tokio::spawn(on_socket.with_graceful_shutdown(closed(closing.clone())).into_future());
    let on_port = port.map(|port| {
        let serve = axum::serve(port, router(service, Transport::Loopback, closing.clone()));
        tokio::spawn(serve.with_graceful_shutdown(closed(closing)).into_future())
    });

    stop.wait().await;
    tracing::info!("stopping: ticks in flight are finished first");
    // While the store is still ours: the next daemon may bind as soon as it is not.
    _ = std::fs::remove_file(&socket_path);
    close.send_replace(true);
    let requests = async {
        _ = on_socket.await;
        if let Some(on_port) = on_port {
            _ = on_port.await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(tokio::time::timeout(DEADLINE, requests), runtime.shutdown(DEADLINE)) } => Ok(Exit::Done),
        () = stop.wait() => Err(Failure::new(Exit::Failed, "stopped at once: what was in flight is taken up at the next start")),
    }
}

fn announce(store: &Path, socket: &Path, url: Option<&str>, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::json!({ "store": store, "socket": socket, "url": url }))?;
    } else {
        writeln!(out, "serving {}", store.display())?;
        writeln!(out, "listening on {}", socket.display())?;
        url.map_or(Ok(()), |url| writeln!(out, "listening on {url}"))?;
    }
    out.flush()
}

fn port_failure(address: SocketAddr, error: &io::Error) -> Failure {
    let advice = if error.kind() == io::ErrorKind::AddrInUse { ": another process has the port, choose one with --bind" } else { "" };
    Failure::new(Exit::NoConnection, format_args!("cannot listen on {address}: {error}{advice}"))
}

/// SIGTERM and SIGINT.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
