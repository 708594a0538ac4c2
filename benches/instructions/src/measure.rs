//! Callgrind around one path.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::InstructionsError;
use crate::hot_paths::Work;

/// The C library picks its copying code by the processor and its caches, and `rep movsb` counts once per byte: with
/// these, the same code runs everywhere.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
    glibc.cpu.x86_rep_stosb_threshold=0x40000000:\
    glibc.cpu.x86_non_temporal_threshold=0x40000000";

/// Counting starts where this is entered and stops where it is left; callgrind knows it by this name.
#[inline(never)]
pub fn forebay_measured(work: Work) -> u64 {
    work()
}

/// Instructions of a path: this program is started anew for it, under callgrind.
pub fn count(path: &str, corpus: &Path, folder: &Path) -> Result<u64, InstructionsError> {
    let out = folder.join(format!("{path}.callgrind"));
    let program = env::var("VALGRIND").unwrap_or_else(|_| "valgrind".to_owned());
    let this = env::current_exe().map_err(InstructionsError::file("/proc/self/exe"))?;
    let mut command = Command::new(&program);
    // An environment of a fixed size: what lies on the stack lies where it lay last time.
    command.env_clear().env("GLIBC_TUNABLES", TUNABLES);
    command.envs(env::var_os("VALGRIND_LIB").map(|folder| ("VALGRIND_LIB", folder)));
    command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*forebay_measured*"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(this).args(["run", path, "--corpus"]).arg(corpus);
    let done = command.output().map_err(|source| InstructionsError::NoValgrind { program, source })?;
    let failed = |message: String| InstructionsError::Callgrind { path: path.to_owned(), message };
    if !done.status.success() {
        return Err(failed(String::from_utf8_lossy(&done.stderr).into_owned()));
    }
    let text = fs::read_to_string(&out).map_err(InstructionsError::file(&out))?;
    match instructions(&text) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(failed("nothing was counted: the measured function was inlined or renamed".to_owned())),
    }
}

/// The total of a callgrind file.
pub fn instructions(callgrind: &str) -> Option<u64> {
    let total =
        callgrind.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    total?.split_ascii_whitespace().next()?.parse().ok()
}
