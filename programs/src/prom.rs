//! Asking Prometheus: `prom/query`, under `prom-query@HOST:PORT`.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use vigy_core::AskError;
use vigy_lisp::Data;

use crate::Capability;

/// How long a query may take: 5 seconds.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer of a Prometheus: 4 MiB.
pub const MAX_QUERY_BYTES: usize = 4 << 20;

/// The capability that a query to this server needs.
///
/// # Errors
/// `invalid`: it is no URL of a server that this build can talk to.
pub(crate) fn needs(server: &str) -> Result<Capability, AskError> {
    let url = parse(server)?;
    // `parse` has seen that both are there.
    Ok(Capability::QueryPrometheus {
        host: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default().unwrap_or_default(),
    })
}

fn parse(server: &str) -> Result<Url, AskError> {
    let invalid = |problem: &dyn std::fmt::Display| AskError::new("invalid", format_args!("{server} is no Prometheus: {problem}"));
    let url = Url::parse(server).map_err(|error| invalid(&error))?;
    match url.scheme() {
        "http" if url.host_str().is_some() => Ok(url),
        "https" => Err(invalid(&"it needs TLS, which queries do not have in this build")),
        _ => Err(invalid(&"its URL begins with http://")),
    }
}

/// An instant query: the samples it gives.
pub(crate) async fn query(http: &reqwest::Client, server: &str, query: &str) -> Result<Data, AskError> {
    let mut url = parse(server)?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v1", "query"]);
    }
    let asked = async {
        let response = http.get(url).query(&[("query", query)]).send().await.map_err(|error| failed(server, &error))?;
        let status = response.status();
        let body = body(server, response).await?;
        samples(server, status, &body)
    };
    let late = |_| AskError::new("timeout", format_args!("{server} did not answer within {QUERY_TIMEOUT:?}"));
    tokio::time::timeout(QUERY_TIMEOUT, asked).await.map_err(late)?
}

fn failed(server: &str, error: &reqwest::Error) -> AskError {
    AskError::new("unavailable", format_args!("{server} cannot be reached: {}", crate::handler::root_cause(error)))
}

async fn body(server: &str, mut response: Response) -> Result<Vec<u8>, AskError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(server, &error))? {
        if body.len() + chunk.len() > MAX_QUERY_BYTES {
            return Err(AskError::new("too-large", format_args!("the answer has more than {MAX_QUERY_BYTES} bytes: ask for less")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An answer of Prometheus's HTTP API.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success {
        data: Answered,
    },
    Error {
        #[serde(rename = "errorType")]
        kind: String,
        error: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Answered {
    Vector(Vec<Sample>),
    Scalar(Point),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    value: Point,
}

/// When, and the value as text: JSON has no NaN.
#[derive(Deserialize)]
struct Point(#[allow(dead_code, reason = "the time of the query")] f64, String);

fn samples(server: &str, status: StatusCode, body: &[u8]) -> Result<Data, AskError> {
    let strange =
        |what: &dyn std::fmt::Display| AskError::new("bad-answer", format_args!("{server} does not answer as a Prometheus does: {what}"));
    let sample = |labels: BTreeMap<String, String>, Point(_, value): Point| -> Result<Data, AskError> {
        let value: f64 = value.parse().map_err(|_| strange(&format_args!("a value is no number")))?;
        let labels = labels.into_iter().map(|(name, value)| (Data::Keyword(name), Data::Str(value))).collect();
        Ok(Data::map([("labels", Data::Map(labels)), ("value", Data::Float(value))]))
    };
    match serde_json::from_slice(body) {
        Ok(Answer::Success { data: Answered::Vector(vector) }) => {
            let samples: Result<Vec<_>, _> = vector.into_iter().map(|Sample { metric, value }| sample(metric, value)).collect();
            Ok(Data::from(samples?))
        }
        Ok(Answer::Success { data: Answered::Scalar(point) }) => Ok(Data::List(vec![sample(BTreeMap::new(), point)?])),
        Ok(Answer::Success { .. }) => Err(AskError::new("invalid", format_args!("the query gives neither a vector nor a scalar"))),
        Ok(Answer::Error { kind, error }) => {
            let tag = match kind.as_str() {
                "bad_data" | "execution" => "invalid",
                "timeout" | "canceled" => "timeout",
                _ => "unavailable",
            };
            Err(AskError::new(tag, format_args!("{kind}: {error}")))
        }
        Err(_) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(AskError::new("forbidden", format_args!("{server} answers with HTTP status {status}")))
        }
        Err(_) if !status.is_success() => Err(AskError::new("unavailable", format_args!("{server} answers with HTTP status {status}"))),
        Err(error) => Err(strange(&error)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that answers with this status line and body; gives back what it was asked, too.
    async fn ask(status: &str, body: &str) -> (Result<Data, AskError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prometheus/", listener.local_addr().unwrap());
        let response = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            // A client that has read enough hangs up.
            _ = stream.write_all(response.as_bytes()).await;
            String::from_utf8(request).unwrap()
        });
        let answer = query(&reqwest::Client::new(), &url, "up{a=\"b\"} + 1").await;
        (answer, server.await.unwrap())
    }

    #[track_caller]
    fn refused((answer, _): (Result<Data, AskError>, String), tag: &str, words: &str) {
        let error = answer.unwrap_err();
        assert!(error.tag == tag && error.message.contains(words), "{error:?}");
    }

    #[tokio::test]
    async fn an_instant_query_gives_samples() {
        let result = r#"[{"metric":{"namespace":"a"},"value":[1,"1.5"]},{"metric":{},"value":[1,"NaN"]},{"metric":{},"value":[1,"+Inf"]}]"#;
        let (answer, request) =
            ask("200 OK", &format!(r#"{{"status":"success","data":{{"resultType":"vector","result":{result}}}}}"#)).await;
        let answer = answer.unwrap();
        let [first, second, third] = answer.list().unwrap() else { panic!("three samples") };
        assert_eq!(first, &Data::map([("labels", Data::map([("namespace", Data::from("a"))])), ("value", Data::Float(1.5))]));
        assert!(second.get(":value").unwrap().float().unwrap().is_nan());
        assert_eq!(third.get(":value"), Some(&Data::Float(f64::INFINITY)));
        assert!(request.starts_with("GET /prometheus/api/v1/query?query=up%7Ba%3D%22b%22%7D+%2B+1 "), "{request}");

        let (scalar, _) = ask("200 OK", r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#).await;
        assert_eq!(scalar.unwrap().list().unwrap()[0].get(":value"), Some(&Data::Float(2.0)));
        let (nothing, _) = ask("200 OK", r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#).await;
        assert_eq!(nothing.unwrap(), Data::Nil);
    }

    #[tokio::test]
    async fn what_goes_wrong_has_a_tag() {
        let error = r#"{"status":"error","errorType":"bad_data","error":"unexpected end of input"}"#;
        refused(ask("400 Bad Request", error).await, "invalid", "unexpected end of input");
        refused(ask("200 OK", r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#).await, "invalid", "neither a vector");
        refused(ask("503 Service Unavailable", "later").await, "unavailable", "503");
        refused(ask("302 Found", "").await, "unavailable", "302");
        refused(ask("403 Forbidden", "no").await, "forbidden", "403");
        refused(ask("200 OK", "<html>").await, "bad-answer", "not answer as a Prometheus");
        refused(ask("200 OK", &"x".repeat(MAX_QUERY_BYTES + 1)).await, "too-large", "4194304 bytes");

        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let answer = query(&reqwest::Client::new(), &format!("http://{closed}"), "up").await;
        refused((answer, String::new()), "unavailable", "cannot be reached");
    }

    #[tokio::test]
    async fn a_query_ends_in_time() {
        // It takes connections, and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::time::pause();
        let answer = query(&reqwest::Client::new(), &url, "up").await;
        refused((answer, String::new()), "timeout", "within 5s");
    }

    #[test]
    fn a_query_needs_the_capability_for_its_host_and_port() {
        let needs = |server| needs(server).map(|capability| capability.to_string()).map_err(|error| error.message.to_string());
        assert_eq!(needs("http://Prom.mon.svc:9090/base"), Ok("prom-query@prom.mon.svc:9090".to_owned()));
        assert_eq!(needs("http://prom"), Ok("prom-query@prom:80".to_owned()));
        assert!(needs("https://prom").unwrap_err().contains("TLS"));
        assert!(needs("prom:9090").unwrap_err().contains("http://"));
        assert!(needs("").is_err());
    }
}
