//! The process's own log lines, and its spans.

#[cfg(feature = "otel")]
use anstream::stderr;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::args::{Arguments, Command};
#[cfg(feature = "otel")]
use super::print;

/// What is to be ended with the process.
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    spans: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

/// Log lines go to stderr. `RUST_LOG` wins; else warnings, or more with `-v`; a daemon tells a little more than a command.
///
/// With the feature `otel`, and where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, spans go there.
pub(crate) fn start(arguments: &Arguments) -> Telemetry {
    let quiet = u8::from(matches!(arguments.command, Command::Serve { .. }));
    let level = match arguments.verbose.saturating_add(quiet) {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otel")]
    {
        use opentelemetry::trace::TracerProvider as _;
        let spans = exported();
        let layer = spans.as_ref().map(|spans| {
            // What the exporter itself does is nobody's span.
            let ours = tracing_subscriber::filter::Targets::new()
                .with_target("adapter_tokio", LevelFilter::INFO)
                .with_target("vigy", LevelFilter::INFO);
            tracing_opentelemetry::layer().with_tracer(spans.tracer("vigy")).with_filter(ours)
        });
        subscriber.with(layer).init();
        Telemetry { spans }
    }
    #[cfg(not(feature = "otel"))]
    {
        subscriber.init();
        Telemetry {}
    }
}

/// Spans on their way to the collector; nothing when none is named.
#[cfg(feature = "otel")]
fn exported() -> Option<opentelemetry_sdk::trace::SdkTracerProvider> {
    std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|endpoint| !endpoint.is_empty())?;
    match opentelemetry_otlp::SpanExporter::builder().with_http().build() {
        Ok(exporter) => {
            let resource = opentelemetry_sdk::Resource::builder().with_service_name("vigy").build();
            Some(opentelemetry_sdk::trace::SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        }
        Err(error) => {
            // A process without a collector does its work all the same.
            _ = print::error(&mut stderr().lock(), &format!("no spans are sent: {error}"));
            None
        }
    }
}

impl Telemetry {
    /// Sends what is still to be sent, for at most five seconds.
    pub(crate) fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(Err(error)) = self.spans.map(|spans| spans.shutdown()) {
            _ = print::error(&mut stderr().lock(), &format!("not all spans were sent: {error}"));
        }
    }
}
