//! The collector's keys of `debug` and `nop`.

use forebay_config::{Diagnostics, Node};
use forebay_exporter_queue::QueueConfig;
use serde::{Deserialize, Serialize};

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verbosity {
    /// One line per request.
    #[default]
    Basic,
    /// One line per span.
    Normal,
    /// Everything.
    Detailed,
}

/// The configuration of a `debug` exporter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DebugConfig {
    pub(crate) verbosity: Verbosity,
    pub(crate) sampling_initial: u64,
    pub(crate) sampling_thereafter: u64,
    pub(crate) use_internal_logger: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sending_queue: Option<QueueConfig>,
}

impl Default for DebugConfig {
    fn default() -> Self {
        Self {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: None,
            sending_queue: None,
        }
    }
}

impl DebugConfig {
    /// Reads and validates the section.
    pub(crate) fn read(node: &Node) -> Result<Self, Diagnostics> {
        let config: Self = node.read()?;
        let mut found = Diagnostics::default();
        if let Some(queue) = &config.sending_queue {
            found.extend(queue.check(node));
        }
        match &config.output_paths {
            Some(_) if config.use_internal_logger => found.push(node.error_at_key(
                "output_paths",
                "needs `use_internal_logger: false`: with the internal logger the output goes to the log",
            )),
            Some(paths) if paths.is_empty() => {
                found.push(
                    node.error_at(&["output_paths"], "must name at least one of `stdout`, `stderr`, files"),
                );
            }
            _ => {}
        }
        found.into_result(config)
    }
}

/// The configuration of a `nop` exporter: nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct NopConfig {}
