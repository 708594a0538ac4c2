//! `forebay run`: from a configuration to a running agent, and its graceful stop.

use crate::cli::ConfigArgs;
use crate::edges::Edges;
use crate::inspect::{Checked, check};
use forebay_telemetry::{About, AdminServer, Phase, Telemetry};
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub fn run(args: &ConfigArgs) -> Result<(), String> {
    let Checked { spec: _, telemetry: settings, plan, warnings } = check(args)?;
    forebay_telemetry::init_logs(&settings.logs).map_err(|error| error.to_string())?;
    for warning in warnings.iter() {
        tracing::warn!("{warning}");
    }
    let telemetry = Telemetry::default();
    let about = About { version: env!("CARGO_PKG_VERSION"), started: Instant::now() };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("export")
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let edges = Edges::start().map_err(|error| format!("cannot start the connections' threads: {error}"))?;
    let plan = plan.with_edges(edges.handles());
    let admin = AdminServer::start(&settings, telemetry.clone(), about).map_err(|error| error.to_string())?;
    let timeout = plan.shutdown_timeout();
    let outcome = runtime.block_on(async {
        // Listened to from before the start, so that a stop during the start is a stop, not a kill.
        let mut stop = Stop::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
        let started = tokio::select! {
            started = plan.start(telemetry.clone()) => started.map_err(|error| error.to_string())?,
            name = stop.asked() => return Err(format!("{name} while starting")),
        };
        tracing::info!("ready: everything is running");
        #[cfg(target_os = "linux")]
        if let Err(error) = forebay_memory::forget_start() {
            tracing::debug!("what only the start needed stays in memory: {error}");
        }
        let name = stop.asked().await;
        tracing::info!(
            "{name}: stopping; undecided traces are decided and queues drain for up to {timeout:?}"
        );
        let begun = Instant::now();
        tokio::select! {
            summary = started.shutdown(begun + timeout) => {
                tracing::info!("stopped in {:.1?}: {summary}", begun.elapsed());
                Ok(())
            }
            name = stop.asked() => Err(format!("{name} again: stopped at once; what was queued is lost")),
        }
    });
    telemetry.board.set_phase(Phase::Stopped);
    admin.shutdown();
    edges.stop();
    // A lost connection attempt may still hold a blocking thread; nothing depends on it any more.
    runtime.shutdown_background();
    outcome
}

/// The two signals that ask for a graceful stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
