//! `otlp_http`: configuration to running exporter.

mod config;
mod transport;

use config::Config;
use forebay_component::{BuildError, BuildExporter, Context, Exporter, ExporterFactory, Info};
use forebay_config::{Diagnostics, Node};
use forebay_exporter_queue::{QueuedExporter, SendConfig};
use std::sync::Arc;
use transport::HttpTransport;

pub(crate) const FACTORY: ExporterFactory = ExporterFactory {
    info: Info {
        kind: "otlp_http",
        aliases: &["otlphttp"],
        description: "Sends traces over OTLP/HTTP, as protobuf or JSON.",
    },
    configure,
};

struct Plan {
    config: Config,
    url: String,
}

fn configure(node: &Node) -> Result<Box<dyn BuildExporter>, Diagnostics> {
    let (config, url) = config::read(node)?;
    Ok(Box::new(Plan { config, url }))
}

impl BuildExporter for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError> {
        let transport = HttpTransport::new(&self.config, &self.url)
            .map_err(|error| BuildError(format!("exporter {}: {error}", context.id)))?;
        let send = SendConfig {
            queue: self.config.sending_queue.if_enabled(),
            retry: self.config.retry_on_failure,
            timeout: self.config.timeout.0,
        };
        Ok(Box::new(QueuedExporter::new(&context, send, Arc::new(transport))))
    }
}
