//! The process's own metrics, by the collector's names, read from `/proc`.

use crate::metrics::{MetricKind, Metrics};
use std::fs;
use std::time::Instant;

/// `USER_HZ`: the unit of the times in `/proc/self/stat`, 100 on every Linux architecture in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the kernel says about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// User and system time in seconds, all threads.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub memory_rss: u64,
}

impl ProcessStats {
    /// Reads the figures; none where there is no `/proc`.
    pub fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self { cpu_seconds: cpu_seconds(&stat)?, memory_rss: memory_rss(&status)? })
    }
}

/// Exports `otelcol_process_*`. Does nothing but uptime where there is no `/proc`.
pub fn register(metrics: &Metrics, started: Instant) {
    let uptime = move || started.elapsed().as_secs_f64();
    metrics.observe(
        "otelcol_process_uptime",
        "Uptime of the process in seconds",
        MetricKind::Counter,
        &[],
        uptime,
    );
    if ProcessStats::read().is_none() {
        return;
    }
    let cpu = || ProcessStats::read().unwrap_or_default().cpu_seconds;
    let help = "Total CPU user and system time in seconds";
    metrics.observe("otelcol_process_cpu_seconds", help, MetricKind::Counter, &[], cpu);
    let rss = || ProcessStats::read().unwrap_or_default().memory_rss as f64;
    let help = "Total physical memory (resident set size) in bytes";
    metrics.observe("otelcol_process_memory_rss", help, MetricKind::Gauge, &[], rss);
}

/// Fields 14 and 15 of `/proc/self/stat`; the second field is a name in parentheses that may hold anything.
pub(crate) fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

pub(crate) fn memory_rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
