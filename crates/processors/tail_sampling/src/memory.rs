//! How much memory there is: of the container, if it has a limit, else of the machine.

use std::fs::read_to_string;

/// The limit when the system does not say how much memory there is.
const UNKNOWN: u64 = 1 << 30;

/// The memory limit of a processor that is given none: half of what there is, in bytes.
pub(crate) fn default_limit() -> u64 {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = container.iter().find_map(|path| read_to_string(path).ok()?.trim().parse().ok());
    [machine, container].into_iter().flatten().min().map_or(UNKNOWN, |bytes| bytes / 2)
}

/// `MemTotal` of `/proc/meminfo`.
pub(crate) fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
