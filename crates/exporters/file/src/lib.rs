//! The exporter `file`: recordings of traces as the collector's writes them, with rotation.
//!
//! Requests come through the sending queue of all exporters; one thread writes them. Protobuf is written as it
//! came, never decoded.

mod backups;
mod config;
mod exporter;
mod output;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

use config::Config;
use exporter::FileExporter;
use forebay_component::{BuildError, BuildExporter, Context, Exporter, ExporterFactory, Info};
use forebay_config::{Diagnostics, Node};

/// `file`: recordings.
pub static FACTORY: ExporterFactory = ExporterFactory {
    info: Info {
        kind: "file",
        aliases: &[],
        description: "Writes traces to a file, as JSON lines or protobuf, with rotation and compression.",
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
        Ok(Box::new(FileExporter::start(&self.0, &context)?))
    }
}
