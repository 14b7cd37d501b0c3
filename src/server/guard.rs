//! Who may ask for what.
//!
//! A loopback port is open to every user of the machine, and to every web page in their browsers. Pages are kept out by the `Host` they
//! think they talk to (against DNS rebinding) and by the `Origin` they come from. Users are not, so nothing that would lend them the
//! daemon's own rights is taken over TCP.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Transport;
use crate::service::{Error, ErrorKind};

pub(crate) async fn guard(State(transport): State<Transport>, request: Request, next: Next) -> Response {
    match check(transport, request.uri().authority(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(transport: Transport, target: Option<&Authority>, headers: &HeaderMap) -> Result<(), Error> {
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let host = hosts.next();
    if transport == Transport::Loopback {
        let local = host.is_some_and(is_local) && hosts.next().is_none() && target.is_none_or(|target| is_local(target.as_str()));
        if !local {
            return Err(Error::new(ErrorKind::Forbidden, "the Host of a request is localhost, 127.0.0.1 or [::1]"));
        }
    }
    let own = host.map(|host| format!("http://{host}"));
    let foreign = |origin: &axum::http::HeaderValue| origin.to_str().ok() != own.as_deref();
    if headers.get_all(header::ORIGIN).iter().any(foreign) {
        return Err(Error::new(ErrorKind::Forbidden, "requests from other origins are refused"));
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    !host.contains('@') && (name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]"))
}

/// Whether a vigy with this handler and these capabilities may be declared over this transport.
pub(crate) fn may_declare(transport: Transport, on_action: Option<&str>, allow: &[String]) -> Result<(), Error> {
    let refused = |what: &str| {
        let why = "anybody on this machine can connect to a TCP port; use `vigy register`, which talks to the socket of the store's owner";
        Err(Error::new(ErrorKind::Forbidden, format_args!("{what} cannot be declared over TCP: {why}")))
    };
    match transport {
        Transport::Loopback if on_action.is_some_and(|handler| handler.starts_with("exec:")) => {
            refused("a vigy whose actions execute commands")
        }
        Transport::Loopback if !allow.is_empty() => refused("a vigy with capabilities"),
        _ => Ok(()),
    }
}

/// What only the owner of the store may do: it computes long, asks for secrets again, or writes files.
pub(crate) fn only_the_owner(transport: Transport) -> Result<(), Error> {
    match transport {
        Transport::Socket => Ok(()),
        Transport::Loopback => {
            let why =
                "anybody on this machine can connect to a TCP port; use the command line, which talks to the socket of the store's owner";
            Err(Error::new(ErrorKind::Forbidden, format_args!("not over TCP: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[track_caller]
    fn passes(transport: Transport, pairs: &[(header::HeaderName, &'static str)]) -> bool {
        check(transport, None, &headers(pairs)).is_ok()
    }

    #[test]
    fn the_host_is_this_machine() {
        for host in ["localhost", "LOCALHOST:38821", "127.0.0.1:1", "[::1]:38821"] {
            assert!(passes(Transport::Loopback, &[(header::HOST, host)]), "{host}");
        }
        for host in ["example.org", "localhost.example.org", "localhost@example.org", "127.0.0.2", "", "local host"] {
            assert!(!passes(Transport::Loopback, &[(header::HOST, host)]), "{host}");
        }
        assert!(!passes(Transport::Loopback, &[]), "no host at all");
        assert!(!passes(Transport::Loopback, &[(header::HOST, "localhost"), (header::HOST, "example.org")]), "two hosts");
        let target = Authority::from_static("example.org");
        assert!(check(Transport::Loopback, Some(&target), &headers(&[(header::HOST, "localhost")])).is_err());
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        let host = (header::HOST, "localhost:38821");
        for transport in [Transport::Socket, Transport::Loopback] {
            assert!(passes(transport, &[host.clone(), (header::ORIGIN, "http://localhost:38821")]));
            for origin in ["http://example.org", "http://localhost:3000", "https://localhost:38821", "null"] {
                assert!(!passes(transport, &[host.clone(), (header::ORIGIN, origin)]), "{origin}");
            }
        }
    }

    #[test]
    fn over_tcp_nothing_lends_the_daemons_rights() {
        let files = ["fs:/:r".to_owned()];
        assert!(may_declare(Transport::Socket, Some("exec:true"), &files).is_ok());
        assert!(may_declare(Transport::Loopback, Some("http://localhost/"), &[]).is_ok());
        assert!(may_declare(Transport::Loopback, Some("exec:true"), &[]).is_err());
        assert!(may_declare(Transport::Loopback, None, &files).is_err());
    }
}
