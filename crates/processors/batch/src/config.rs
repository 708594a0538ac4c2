//! The `batch` processor's configuration, the collector's keys and defaults.

use crate::processor::BatchProcessor;
use forebay_component::{BuildError, BuildProcessor, Consumer, Context, Info, Processor, ProcessorFactory};
use forebay_config::{Diagnostics, GoDuration, Node};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The `batch` processor type.
pub static FACTORY: ProcessorFactory = ProcessorFactory {
    info: Info { kind: "batch", aliases: &[], description: "Gathers spans into larger requests." },
    configure,
};

/// The keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Longest that a span waits before its batch is sent; 0 sends at once.
    pub timeout: GoDuration,
    /// Spans after which a batch is sent.
    pub send_batch_size: usize,
    /// Most spans in one batch, larger ones are split; 0 is no limit.
    pub send_batch_max_size: usize,
    /// The collector's batching by client metadata, not supported yet; must stay empty.
    #[serde(skip_serializing)]
    metadata_keys: Vec<String>,
    /// Goes with `metadata_keys`.
    #[serde(skip_serializing)]
    metadata_cardinality_limit: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(200).into(),
            send_batch_size: 8192,
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: None,
        }
    }
}

pub(crate) fn configure(node: &Node) -> Result<Box<dyn BuildProcessor>, Diagnostics> {
    let config: Config = node.read()?;
    let mut errors = Diagnostics::default();
    if config.send_batch_max_size > 0 && config.send_batch_max_size < config.send_batch_size {
        errors.push(node.error_at(
            &["send_batch_max_size"],
            format!("must be 0 (no limit) or at least send_batch_size ({})", config.send_batch_size),
        ));
    }
    for (key, used) in [
        ("metadata_keys", !config.metadata_keys.is_empty()),
        ("metadata_cardinality_limit", config.metadata_cardinality_limit.is_some()),
    ] {
        if used {
            errors.push(node.error_at(
                &[key],
                "batching by client metadata is not supported yet; supported keys are timeout, send_batch_size \
                 and send_batch_max_size",
            ));
        }
    }
    errors.into_result(Box::new(Plan(config)) as Box<dyn BuildProcessor>)
}

struct Plan(Config);

impl BuildProcessor for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Processor>, BuildError> {
        Ok(Box::new(BatchProcessor::start(&self.0, &context, next)?))
    }
}
