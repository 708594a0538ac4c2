//! The collector's keys of `file`.

use forebay_config::{Diagnostics, GoDuration, Node, Unsupported, refuse_unsupported};
use forebay_exporter_queue::{QueueConfig, RetryConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

const FORMATS: [&str; 2] = ["json", "proto"];
const ZSTD: &str = "zstd";
/// What a folder is created with.
const FOLDER_MODE: &str = "0755";

/// The configuration of a `file` exporter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) format: String,
    pub(crate) append: bool,
    pub(crate) rotation: Option<Rotation>,
    pub(crate) compression: String,
    pub(crate) compression_params: CompressionParams,
    pub(crate) flush_interval: GoDuration,
    pub(crate) create_directory: bool,
    pub(crate) directory_permissions: String,
    pub(crate) sending_queue: QueueConfig,
    pub(crate) retry_on_failure: RetryConfig,
    #[serde(skip_serializing)]
    group_by: GroupBy,
    #[serde(skip_serializing)]
    encoding: Unsupported,
}

/// When a new file is begun, and how long old ones stay.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rotation {
    /// The size at which a new file is begun; 0 is 100.
    pub(crate) max_megabytes: u32,
    /// Files older than this are removed; 0 keeps them.
    pub(crate) max_days: u32,
    /// As many old files stay; 0 is no bound.
    pub(crate) max_backups: usize,
    /// Names in local time instead of UTC.
    pub(crate) localtime: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_megabytes: 0, max_days: 0, max_backups: 100, localtime: false }
    }
}

impl Rotation {
    /// The size in bytes at which a new file is begun.
    pub(crate) fn max_bytes(self) -> u64 {
        u64::from(if self.max_megabytes == 0 { 100 } else { self.max_megabytes }) << 20
    }
}

/// How hard to compress.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompressionParams {
    /// zstd's level; 0 is its default.
    pub(crate) level: i32,
}

/// Known so that a collector's configuration that has it switched off is taken.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GroupBy {
    enabled: bool,
    #[serde(rename = "resource_attribute")]
    _resource_attribute: Unsupported,
    #[serde(rename = "max_open_files")]
    _max_open_files: Unsupported,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            format: FORMATS[0].to_owned(),
            append: false,
            rotation: None,
            compression: String::new(),
            compression_params: CompressionParams::default(),
            flush_interval: GoDuration(Duration::from_secs(1)),
            create_directory: false,
            directory_permissions: String::new(),
            // A file has one writer, and records should stand in the order they came.
            sending_queue: QueueConfig { num_consumers: 1, ..QueueConfig::default() },
            retry_on_failure: RetryConfig::default(),
            group_by: GroupBy::default(),
            encoding: Unsupported::default(),
        }
    }
}

impl Config {
    /// Reads and validates the section.
    pub(crate) fn read(node: &Node) -> Result<Self, Diagnostics> {
        let mut config: Self = node.read()?;
        let advice = "remove it; `format` takes json and proto, and the recording is OTLP";
        let mut found = refuse_unsupported(node, &[("encoding", advice)]);
        if config.group_by.enabled {
            let message =
                "is not supported: all traces go to `path`; route them to several `file` exporters instead";
            found.push(node.error_at(&["group_by", "enabled"], message));
        }
        if config.path.as_os_str().is_empty() {
            found.push(
                node.error_at(
                    &["path"],
                    "the file to write is needed, such as `/var/lib/forebay/traces.proto`",
                ),
            );
        }
        if !FORMATS.contains(&config.format.as_str()) {
            let message = format!("`{}` is not a format: use `json` or `proto`", config.format);
            found.push(node.error_at(&["format"], message));
        }
        if !matches!(config.compression.as_str(), "" | ZSTD) {
            let message = format!("`{}` is not supported: use `zstd`, or leave it out", config.compression);
            found.push(node.error_at(&["compression"], message));
        } else if !config.is_compressed() && config.compression_params.level != 0 {
            found.push(node.error_at(&["compression_params", "level"], "needs `compression: zstd`"));
        }
        if config.append && config.rotation.is_some() {
            let message =
                "cannot be combined with `rotation`, which appends to the file that is there anyway";
            found.push(node.error_at(&["append"], message));
        }
        if config.flush_interval.0.is_zero() {
            config.flush_interval = Self::default().flush_interval;
        }
        config.check_folder(node, &mut found);
        found.extend(config.check_queue(node));
        found.extend(config.retry_on_failure.check(node));
        found.into_result(config)
    }

    fn check_folder(&mut self, node: &Node, found: &mut Diagnostics) {
        let key = ["directory_permissions"];
        if !self.create_directory {
            if !self.directory_permissions.is_empty() {
                found.push(node.error_at(&key, "needs `create_directory: true`"));
            }
            return;
        }
        if self.directory_permissions.is_empty() {
            FOLDER_MODE.clone_into(&mut self.directory_permissions);
        }
        if self.folder_mode().is_none() {
            let message = format!(
                "`{}` are no permissions: write octal digits in quotes, such as \"0750\"",
                self.directory_permissions
            );
            found.push(node.error_at(&key, message));
        }
    }

    fn check_queue(&mut self, node: &Node) -> Diagnostics {
        let mut found = self.sending_queue.check(node);
        let queue = node.get("sending_queue");
        if queue.is_some_and(|queue| queue.get("num_consumers").is_some())
            && self.sending_queue.num_consumers > 1
        {
            let message = "must be 1: a file has one writer, which keeps the order of what comes";
            found.push(node.error_at(&["sending_queue", "num_consumers"], message));
        }
        self.sending_queue.num_consumers = 1;
        found
    }

    /// The permissions of folders that are created: nine bits.
    pub(crate) fn folder_mode(&self) -> Option<u32> {
        u32::from_str_radix(&self.directory_permissions, 8).ok().filter(|mode| *mode <= 0o777)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == FORMATS[0]
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compression == ZSTD
    }
}
