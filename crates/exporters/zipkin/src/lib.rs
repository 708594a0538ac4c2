//! The exporter `zipkin`: spans as Zipkin v2 JSON over HTTP.
//!
//! The JSON is written from views of the wire bytes, span by span, without structs in between. Queue, retries and
//! counters come from `forebay-exporter-queue`, the HTTP client from `forebay-net`.

mod config;
mod endpoint;
mod json;
mod mapping;
#[cfg(test)]
mod tests;
mod transport;

use config::Config;
use forebay_component::{BuildError, BuildExporter, Context, Exporter, ExporterFactory, Info};
use forebay_config::{Diagnostics, Node};
use forebay_exporter_queue::{QueuedExporter, SendConfig};
pub use mapping::{Body, Encoded, encode};
use std::sync::Arc;
use transport::{MAX_BODY, ZipkinTransport};

/// `zipkin`: Zipkin v2 JSON.
pub static FACTORY: ExporterFactory = ExporterFactory {
    info: Info {
        kind: "zipkin",
        aliases: &[],
        description: "Sends traces to Zipkin, or whatever takes its v2 JSON, over HTTP.",
    },
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
        let transport = ZipkinTransport::new(&self.0, MAX_BODY)
            .map_err(|error| BuildError(format!("exporter {}: {error}", context.id)))?;
        let send = SendConfig {
            queue: self.0.sending_queue.if_enabled(),
            retry: self.0.retry_on_failure,
            timeout: self.0.timeout.0,
        };
        Ok(Box::new(QueuedExporter::new(&context, send, Arc::new(transport))))
    }
}
