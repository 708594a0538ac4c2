//! The exporters `debug`, which prints what it gets, and `nop`, which takes everything and does nothing.

mod config;
mod direct;
mod sampler;
mod sink;
#[cfg(test)]
mod tests;
mod text;

use config::DebugConfig;
use direct::Direct;
use forebay_component::{BuildError, BuildExporter, Context, Exporter, ExporterFactory, Info};
use forebay_config::{Diagnostics, Node};
use forebay_exporter_queue::{QueuedExporter, RetryConfig, SendConfig};
use sink::Printer;
use std::sync::Arc;
use std::time::Duration;

/// `debug`: prints traces.
pub static DEBUG: ExporterFactory = ExporterFactory {
    info: Info {
        kind: "debug",
        aliases: &[],
        description: "Prints traces to the log, the standard output or files.",
    },
    configure: configure_debug,
};

/// `nop`: discards traces.
pub static NOP: ExporterFactory = ExporterFactory {
    info: Info { kind: "nop", aliases: &[], description: "Takes everything and does nothing with it." },
    configure: configure_nop,
};

struct DebugPlan(DebugConfig);

fn configure_debug(node: &Node) -> Result<Box<dyn BuildExporter>, Diagnostics> {
    Ok(Box::new(DebugPlan(DebugConfig::read(node)?)))
}

impl BuildExporter for DebugPlan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError> {
        let printer = Printer::new(&self.0, context.id.to_string())
            .map_err(|error| BuildError(format!("exporter {}: {error}", context.id)))?;
        let Some(queue) = self.0.sending_queue.as_ref().and_then(|queue| queue.if_enabled()) else {
            return Ok(Box::new(Direct::new(&context, Some(printer))));
        };
        let retry = RetryConfig { enabled: false, ..RetryConfig::default() };
        let send = SendConfig { queue: Some(queue), retry, timeout: Duration::ZERO };
        Ok(Box::new(QueuedExporter::new(&context, send, Arc::new(printer))))
    }
}

struct NopPlan;

fn configure_nop(node: &Node) -> Result<Box<dyn BuildExporter>, Diagnostics> {
    node.read::<config::NopConfig>()?;
    Ok(Box::new(NopPlan))
}

impl BuildExporter for NopPlan {
    fn effective(&self) -> serde_json::Value {
        serde_json::Value::Object(serde_json::Map::new())
    }

    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError> {
        Ok(Box::new(Direct::new(&context, None)))
    }
}
