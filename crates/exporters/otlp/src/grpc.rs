//! `otlp_grpc`: configuration to running exporter.

mod channel;
mod config;
mod status;
pub(crate) mod target;
mod transport;

use config::Config;
use forebay_component::{BuildError, BuildExporter, Context, Exporter, ExporterFactory, Info};
use forebay_config::{Diagnostics, Node};
use forebay_exporter_queue::{QueuedExporter, SendConfig};
use std::sync::Arc;
use target::Target;
use transport::GrpcTransport;

pub(crate) const FACTORY: ExporterFactory = ExporterFactory {
    info: Info {
        kind: "otlp_grpc",
        aliases: &["otlp"],
        description: "Sends traces over OTLP/gRPC: to Jaeger, Tempo, other agents and collectors.",
    },
    configure,
};

struct Plan {
    config: Config,
    target: Target,
}

fn configure(node: &Node) -> Result<Box<dyn BuildExporter>, Diagnostics> {
    let (config, target) = config::read(node)?;
    Ok(Box::new(Plan { config, target }))
}

impl BuildExporter for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError> {
        let transport = GrpcTransport::new(&self.config, &self.target)
            .map_err(|error| BuildError(format!("exporter {}: {error}", context.id)))?;
        let send = SendConfig {
            queue: self.config.sending_queue.if_enabled(),
            retry: self.config.retry_on_failure,
            timeout: self.config.timeout.0,
        };
        Ok(Box::new(QueuedExporter::new(&context, send, Arc::new(transport))))
    }
}
