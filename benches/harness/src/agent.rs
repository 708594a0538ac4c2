//! An agent as a process: started, measured from outside, stopped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::ClockId;
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::error::BenchError;

const START_WITHIN: Duration = Duration::from_secs(30);
/// Longer than an agent with millions of held spans to decide takes.
const STOP_WITHIN: Duration = Duration::from_secs(120);

/// How to start an agent.
pub struct AgentSpec<'a> {
    pub name: &'a str,
    pub binary: &'a Path,
    /// Its config, or a script `*.sh` that starts it.
    pub config: &'a Path,
    /// Where its exporters send: variables of its environment and the ports they name.
    pub sinks: &'a [(&'a str, SocketAddr)],
    /// How long traces wait for their decision, for configs that ask.
    pub wait: Option<&'a str>,
    /// The processors it may run on, as `taskset -c` takes them.
    pub cpus: Option<&'a str>,
    /// What it prints goes there.
    pub log: PathBuf,
}

/// A running agent; killed when dropped.
pub struct Agent {
    name: String,
    child: Child,
    pid: u32,
    /// `host:port` of its OTLP/gRPC receiver.
    pub endpoint: String,
}

impl Agent {
    /// Starts the agent and waits until its receiver takes connections.
    ///
    /// Its config finds its ports in the environment: `BENCH_OTLP_PORT` to listen on, those of `sinks` to send to,
    /// `BENCH_ADMIN_PORT` for its own telemetry; and how long traces wait in `BENCH_WAIT`. A script finds the program in `BENCH_AGENT`.
    pub async fn start(spec: AgentSpec<'_>) -> Result<Self, BenchError> {
        let cannot = |error: std::io::Error| BenchError::agent(spec.name, error);
        if let Some(folder) = spec.log.parent() {
            fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
        }
        let log = File::create(&spec.log).map_err(BenchError::file(&spec.log))?;
        let (otlp_port, admin_port) = (free_port().map_err(cannot)?, free_port().map_err(cannot)?);
        let script = spec.config.extension().is_some_and(|extension| extension == "sh");
        let program = if script { Path::new("sh") } else { spec.binary };
        let mut command = match spec.cpus {
            None => Command::new(program),
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(cpus).arg(program);
                command
            }
        };
        if !script {
            command.arg("--config");
        }
        let mut child = command
            .arg(spec.config)
            .env("BENCH_AGENT", spec.binary)
            .env("BENCH_OTLP_PORT", otlp_port.to_string())
            .env("BENCH_ADMIN_PORT", admin_port.to_string())
            .envs(spec.wait.map(|wait| ("BENCH_WAIT", wait)))
            .envs(spec.sinks.iter().map(|(name, sink)| (name, sink.port().to_string())))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let endpoint = format!("127.0.0.1:{otlp_port}");
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(&endpoint).await.is_err() {
            let exited = child.try_wait().map_err(cannot)?;
            if exited.is_some() || Instant::now() > deadline {
                let what = exited.map_or("it does not listen".into(), |status| status.to_string());
                return Err(BenchError::agent(spec.name, format!("{what}; see {}", spec.log.display())));
            }
            sleep(Duration::from_millis(20)).await;
        }
        let pid = child.id().ok_or_else(|| BenchError::agent(spec.name, "it is gone"))?;
        Ok(Self { name: spec.name.to_owned(), child, pid, endpoint })
    }

    /// User and system time of the process so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64, BenchError> {
        i32::try_from(self.pid)
            .ok()
            .and_then(|pid| cpu_seconds_of(Pid::from_raw(pid)))
            .ok_or_else(|| BenchError::agent(&self.name, "it is gone"))
    }

    /// The largest resident size of the process so far, in bytes.
    pub fn peak_bytes(&self) -> Result<u64, BenchError> {
        let text = self.proc("status")?;
        parse_kib(&text, "VmHWM:")
            .map(|kib| kib * 1024)
            .ok_or_else(|| BenchError::agent(&self.name, "its /proc status is not understood"))
    }

    /// The resident size of the process now, in bytes.
    pub fn resident_bytes(&self) -> Result<u64, BenchError> {
        let text = self.proc("status")?;
        parse_kib(&text, "VmRSS:")
            .map(|kib| kib * 1024)
            .ok_or_else(|| BenchError::agent(&self.name, "its /proc status is not understood"))
    }

    /// Asks the agent to stop, and waits for it.
    pub async fn stop(mut self) -> Result<ExitStatus, BenchError> {
        let asked = Command::new("kill").arg("-TERM").arg(self.pid.to_string()).status().await;
        asked.map_err(|error| BenchError::agent(&self.name, format!("cannot signal it: {error}")))?;
        match timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => status.map_err(|error| BenchError::agent(&self.name, error)),
            Err(_) => Err(BenchError::agent(&self.name, format!("it did not stop within {STOP_WITHIN:?}"))),
        }
    }

    fn proc(&self, file: &str) -> Result<String, BenchError> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(path)
            .map_err(|error| BenchError::agent(&self.name, format!("it is gone: {error}")))
    }
}

/// User and system time of a process so far, in seconds, those of its ended threads included.
///
/// By the process's CPU clock, which counts nanoseconds: `/proc/<pid>/stat` counts in 10 ms.
pub fn cpu_seconds_of(process: Pid) -> Option<f64> {
    let used = ClockId::pid_cpu_clock_id(process).and_then(ClockId::now).ok()?;
    Some(Duration::from(used).as_secs_f64())
}

/// Whether an agent ended as it was asked to: by itself and without an error, or, having no more to do, by the signal.
pub fn stopped_cleanly(status: ExitStatus, all_delivered: bool) -> bool {
    status.success() || (all_delivered && status.signal() == Some(Signal::SIGTERM as i32))
}

/// A size in a `/proc/<pid>/status` or `/proc/meminfo`, in KiB: `VmHWM:` is the largest resident one so far, `VmRSS:` the one now.
pub fn parse_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
