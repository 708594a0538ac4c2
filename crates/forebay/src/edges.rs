//! Threads that own connections: one runtime each, so that a request is read, checked and answered on one core without
//! waking another.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One thread for each core.
pub struct Edges {
    handles: Arc<[Handle]>,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Edges {
    pub fn start() -> std::io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut handles, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel();
            let run = move || {
                // Ends with the message, or when its sender is gone: either way it is over.
                drop(runtime.block_on(stopped));
                runtime.shutdown_background();
            };
            threads.push((stop, std::thread::Builder::new().name(format!("edge-{index}")).spawn(run)?));
        }
        Ok(Self { handles: handles.into(), threads })
    }

    /// The runtimes, to deal connections to.
    pub fn handles(&self) -> Arc<[Handle]> {
        Arc::clone(&self.handles)
    }

    /// Ends the threads; connections have been closed before.
    pub fn stop(self) {
        for (stop, thread) in self.threads {
            // A thread that is gone needs no message.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}
