//! Where the text goes.

use crate::config::{DebugConfig, Verbosity};
use crate::sampler::Sampler;
use crate::text;
use async_trait::async_trait;
use bytes::Bytes;
use forebay_component::Reason;
use forebay_exporter_queue::{Delivered, Request, SendFailure, Transport};
use forebay_otlp::traces::TracesView;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Prints requests.
pub(crate) struct Printer {
    id: String,
    verbosity: Verbosity,
    sampler: Mutex<Sampler>,
    sinks: Sinks,
}

enum Sinks {
    Log,
    /// One request's lines stay together.
    Paths(Mutex<Vec<Sink>>),
}

enum Sink {
    Stdout,
    Stderr,
    File(File),
}

impl Printer {
    /// Opens the files.
    pub(crate) fn new(config: &DebugConfig, id: String) -> Result<Self, String> {
        let sinks = if config.use_internal_logger {
            Sinks::Log
        } else {
            let stdout = ["stdout".to_owned()];
            let paths = config.output_paths.as_deref().unwrap_or(&stdout);
            Sinks::Paths(Mutex::new(paths.iter().map(|path| Sink::open(path)).collect::<Result<_, _>>()?))
        };
        let sampler = Mutex::new(Sampler::new(config.sampling_initial, config.sampling_thereafter));
        Ok(Self { id, verbosity: config.verbosity, sampler, sinks })
    }

    /// Prints a request, if it is its turn.
    pub(crate) fn print(&self, body: &Bytes, spans: usize) -> io::Result<()> {
        if !self.sampler.lock().unwrap_or_else(PoisonError::into_inner).pass(Instant::now()) {
            return Ok(());
        }
        let traces = TracesView::new(body);
        let resources = traces.resource_spans().count();
        let mut details = String::new();
        match self.verbosity {
            Verbosity::Basic => {}
            Verbosity::Normal => text::normal(traces, &mut details),
            Verbosity::Detailed => text::detailed(traces, &mut details),
        }
        match &self.sinks {
            Sinks::Log => {
                let exporter = self.id.as_str();
                tracing::info!(exporter, "resource spans" = resources, spans, bytes = body.len(), "Traces");
                if !details.is_empty() {
                    tracing::info!(exporter, "{details}");
                }
                Ok(())
            }
            Sinks::Paths(sinks) => {
                let id = &self.id;
                let text =
                    format!("Traces exporter={id} resource_spans={resources} spans={spans}\n{details}");
                let mut sinks = sinks.lock().unwrap_or_else(PoisonError::into_inner);
                sinks.iter_mut().try_for_each(|sink| sink.write(text.as_bytes()))
            }
        }
    }
}

impl Sink {
    fn open(path: &str) -> Result<Self, String> {
        match path {
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            path => OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map(Self::File)
                .map_err(|error| format!("cannot open `output_paths` {path}: {error}")),
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(text),
            Self::Stderr => io::stderr().lock().write_all(text),
            Self::File(file) => file.write_all(text),
        }
    }
}

/// With a `sending_queue` the printer is a backend like any other.
#[async_trait]
impl Transport for Printer {
    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        let failure = |error: io::Error| {
            SendFailure::permanent(Reason::Unavailable, format!("cannot write the output: {error}"))
        };
        self.print(&request.body, request.items).map(|()| Delivered::default()).map_err(failure)
    }
}
