//! The floor: a server that takes requests, counts their spans and throws them away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::FloorArgs;
use crate::error::BenchError;
use crate::scan;
use crate::sink::{Count, Sink};

#[derive(Default)]
struct Spans(AtomicU64);

impl Count for Spans {
    fn count(&self, request: &[u8], _: bool) {
        let mut spans = 0;
        // What it cannot read it does not count.
        let _ = scan::spans(request, |_, _| spans += 1);
        self.0.fetch_add(spans, Relaxed);
    }
}

/// `forebay-bench floor`.
pub async fn floor(args: FloorArgs) -> Result<(), BenchError> {
    let spans = Arc::new(Spans::default());
    let _sink = Sink::start(args.listen, Arc::clone(&spans)).await?;
    let mut stop =
        signal(SignalKind::terminate()).map_err(|error| BenchError::Sink(format!("no signals: {error}")))?;
    stop.recv().await;
    println!("{} spans", spans.0.load(Relaxed));
    Ok(())
}
