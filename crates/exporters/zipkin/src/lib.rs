//! The exporter `zipkin`: traces as Zipkin v2 JSON.
//!
//! Spans are written as JSON straight from the views of the wire bytes. The mapping is the OpenTelemetry
//! specification's ("Zipkin exporter"), and where that leaves room, the collector's, so that what a Zipkin receiver of
//! Jaeger or Tempo reads back is what was sent.

mod config;
mod endpoint;
mod json;
mod span;
mod tags;
#[cfg(test)]
mod tests;
mod transport;

use config::Config;
use forebay_component::{BuildError, BuildExporter, Context, Exporter, ExporterFactory, Info};
use forebay_config::{Diagnostics, Node};
use forebay_exporter_queue::{QueuedExporter, SendConfig};
use std::sync::Arc;
use transport::ZipkinTransport;

/// `zipkin`: Zipkin v2 over HTTP.
pub static FACTORY: ExporterFactory = ExporterFactory {
    info: Info { kind: "zipkin", aliases: &[], description: "Sends traces to Zipkin as v2 JSON." },
    configure,
};

struct Plan(Config);

fn configure(node: &Node) -> Result<Box<dyn BuildExporter>, Diagnostics> {
    Ok(Box::new(Plan(Config::read(node)?)))
}

impl BuildExporter for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError> {
        let transport = ZipkinTransport::new(&self.0)
            .map_err(|error| BuildError(format!("exporter {}: {error}", context.id)))?;
        let send = SendConfig {
            queue: self.0.sending_queue.if_enabled(),
            retry: self.0.retry_on_failure,
            timeout: self.0.timeout.0,
        };
        Ok(Box::new(QueuedExporter::new(&context, send, Arc::new(transport))))
    }
}
