//! The thread that owns the file.

use crate::output::Output;
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use forebay_telemetry::{ComponentHandle, State};
use jiff::Timestamp;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What the thread is asked.
enum Job {
    Append {
        record: Bytes,
        spans: u64,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Write what waits and end; the answer is the spans that could not be written.
    Close {
        done: oneshot::Sender<u64>,
    },
}

/// The way to the thread. Without handles it ends by itself.
#[derive(Clone)]
pub(crate) struct Writer(Sender<Job>);

/// The thread is gone.
pub(crate) struct Gone;

impl Writer {
    /// Starts the thread. At most as many jobs wait as the sending queue sends at a time.
    pub(crate) fn start(
        output: Output,
        flush_interval: Duration,
        id: String,
        status: ComponentHandle,
    ) -> io::Result<Self> {
        let (sender, jobs) = crossbeam_channel::unbounded();
        let worker = Worker { output, jobs, flush_interval, flush_at: None, id, status };
        std::thread::Builder::new().name("file-writer".to_owned()).spawn(move || worker.run())?;
        Ok(Self(sender))
    }

    /// Hands a record over and waits until it is taken.
    pub(crate) async fn append(&self, record: Bytes, spans: u64) -> Result<io::Result<()>, Gone> {
        let (done, outcome) = oneshot::channel();
        self.0.send(Job::Append { record, spans, done }).map_err(|_| Gone)?;
        outcome.await.map_err(|_| Gone)
    }

    /// Ends the thread; how many spans it had taken and could not write.
    pub(crate) async fn close(&self) -> Result<u64, Gone> {
        let (done, left) = oneshot::channel();
        self.0.send(Job::Close { done }).map_err(|_| Gone)?;
        left.await.map_err(|_| Gone)
    }
}

struct Worker {
    output: Output,
    jobs: Receiver<Job>,
    flush_interval: Duration,
    flush_at: Option<Instant>,
    id: String,
    status: ComponentHandle,
}

impl Worker {
    fn run(mut self) {
        loop {
            let job = match self.flush_at {
                Some(at) => self.jobs.recv_deadline(at),
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Append { record, spans, done }) => {
                    let outcome = self.output.append(&record, spans, Timestamp::now());
                    // Whoever no longer waits for the answer has counted it as not sent.
                    let _ = done.send(outcome);
                    if self.output.waiting() > 0 && self.flush_at.is_none() {
                        self.flush_at = Some(Instant::now() + self.flush_interval);
                    }
                }
                Ok(Job::Close { done }) => {
                    self.flush();
                    let _ = done.send(self.output.waiting());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
        }
    }

    fn flush(&mut self) {
        self.flush_at = None;
        if let Err(error) = self.output.flush(Timestamp::now()) {
            let waiting = self.output.waiting();
            tracing::warn!(exporter = self.id, waiting, "{error}");
            self.status.failed(State::RecoverableError, error.to_string());
            self.flush_at = Some(Instant::now() + self.flush_interval);
        }
    }
}
