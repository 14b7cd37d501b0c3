//! An OpenTelemetry collector, and the spans that it was sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::process::{Process, free_port, with_retries};

pub(crate) struct Collector {
    pub(crate) port: u16,
    log: PathBuf,
    _process: Process,
}

/// A span, as the collector understood it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Collector {
    /// Starts it: it takes spans over HTTP and writes into its log what it was told.
    pub(crate) fn start(program: &Path, directory: &Path) -> Self {
        with_retries(|| {
            let (port, grpc) = (free_port(), free_port());
            let arguments = [
                "start".to_owned(),
                "--exporter=blackhole".to_owned(),
                "--debug-log=traces".to_owned(),
                "--debug-log-verbosity=detailed".to_owned(),
                format!("--otlp-http-endpoint=127.0.0.1:{port}"),
                format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"),
                format!("--pid-file={}", directory.join("collector.pid").display()),
                format!("--log-file={}", directory.join("collector-daemon.log").display()),
            ];
            let mut process = Process::start("collector", program, &arguments, directory).map_err(|error| error.to_string())?;
            let listens = |_: &str| std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string());
            process.ready(listens).map_err(|error| error.to_lowercase())?;
            Ok(Self { port, log: directory.join("collector.log"), _process: process })
        })
    }

    /// The spans that have come, in the order in which they came.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let (mut spans, mut service): (Vec<Span>, _) = (Vec::new(), String::new());
        for line in log.lines() {
            if line.starts_with("ResourceSpans #") {
                service.clear();
            } else if line.starts_with("Span #") {
                spans.push(Span { service: service.clone(), ..Span::default() });
            } else if let Some((key, value)) = line.trim().strip_prefix("-> ").and_then(|line| line.split_once(": ")) {
                let value = value.split_once('(').map_or(value, |(_, value)| value.trim_end_matches(')'));
                match spans.last_mut() {
                    _ if key == "service.name" => value.clone_into(&mut service),
                    Some(span) => _ = span.attributes.insert(key.to_owned(), value.to_owned()),
                    None => {}
                }
            } else if let (Some(span), Some((key, value))) = (spans.last_mut(), line.split_once(" : ").or_else(|| line.split_once(" :"))) {
                let field = match key.trim() {
                    "Trace ID" => &mut span.trace,
                    "Parent ID" => &mut span.parent,
                    "Name" => &mut span.name,
                    _ => continue,
                };
                value.trim().clone_into(field);
            }
        }
        spans
    }
}
