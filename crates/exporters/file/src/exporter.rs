//! Payloads to records, records to the writer, and a stop that leaves nothing behind.

use crate::config::Config;
use crate::output::Output;
use crate::sink::Sink;
use crate::writer::{Gone, Writer};
use async_trait::async_trait;
use bytes::Bytes;
use forebay_component::{BuildError, Consumer, Context, Drained, Exporter, Reason, Refusal};
use forebay_exporter_queue::{Delivered, QueuedExporter, Request, SendConfig, SendFailure, Transport};
use forebay_recording::Framing;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The running exporter.
pub(crate) struct FileExporter {
    queue: QueuedExporter,
    writer: Writer,
    id: String,
}

impl FileExporter {
    /// Opens the file and starts the thread that writes it.
    pub(crate) fn start(config: &Config, context: &Context) -> Result<Self, BuildError> {
        let id = context.id.to_string();
        let failed = |error: std::io::Error| BuildError(format!("exporter {id}: {error}"));
        let sink = Sink::open(config, Timestamp::now()).map_err(failed)?;
        let output = Output::new(sink, config.rotation.is_none());
        let status = context.status.clone();
        let writer = Writer::start(output, config.flush_interval.0, id.clone(), status).map_err(failed)?;
        let send = SendConfig {
            queue: config.sending_queue.if_enabled(),
            retry: config.retry_on_failure.clone(),
            // An attempt that is given up would still be written: none is.
            timeout: Duration::ZERO,
        };
        let transport = FileTransport { encoder: Encoder::new(config), writer: writer.clone() };
        Ok(Self { queue: QueuedExporter::new(context, send, Arc::new(transport)), writer, id })
    }
}

#[async_trait]
impl Exporter for FileExporter {
    fn consumer(&self) -> Arc<dyn Consumer> {
        self.queue.consumer()
    }

    async fn shutdown(self: Box<Self>, deadline: Instant) -> Drained {
        let Self { queue, writer, id } = *self;
        let mut drained = Box::new(queue).shutdown(deadline).await;
        // Writing is quick or stuck; it gets a moment even when the queue has used up the time.
        let deadline = deadline.max(Instant::now() + Duration::from_millis(100));
        match tokio::time::timeout_at(deadline.into(), writer.close()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(spans)) => {
                tracing::error!(exporter = id, spans, "lost at the stop: the file could not be written");
                drained.sent = drained.sent.saturating_sub(spans);
                drained.left += spans;
            }
            Ok(Err(Gone)) => tracing::error!(exporter = id, "{GONE}"),
            Err(_) => {
                tracing::error!(exporter = id, "writing the file did not end in time: its end may be missing")
            }
        }
        drained
    }
}

const GONE: &str = "the thread that writes the file has ended; this is a bug, please report it";

/// What a payload becomes.
struct Encoder {
    json: bool,
    /// zstd's level.
    compression: Option<i32>,
    framing: Framing,
}

impl Encoder {
    fn new(config: &Config) -> Self {
        let compression = config.is_compressed().then_some(config.compression_params.level);
        let lines = config.is_json() && compression.is_none();
        let framing = if lines { Framing::Lines } else { Framing::Lengths };
        Self { json: config.is_json(), compression, framing }
    }

    fn record(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut json = Vec::new();
        let message = if self.json {
            forebay_otlp::json::encode_request(body, &mut json);
            &json
        } else {
            body
        };
        let internal = |error| Refusal::permanent(Reason::Internal, format!("compressing failed: {error}"));
        let compress = |level| zstd::bulk::compress(message, level).map_err(internal);
        let compressed = self.compression.map(compress).transpose()?;
        let mut record = Vec::new();
        let framed = self.framing.append(compressed.as_deref().unwrap_or(message), &mut record);
        framed.map_err(|error| Refusal::permanent(Reason::Invalid, error.to_string()))?;
        Ok(record)
    }
}

struct FileTransport {
    encoder: Encoder,
    writer: Writer,
}

#[async_trait]
impl Transport for FileTransport {
    fn encode(&self, body: Bytes, items: usize) -> Result<Vec<Request>, Refusal> {
        Ok(vec![Request { body: self.encoder.record(&body)?.into(), items }])
    }

    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        match self.writer.append(request.body.clone(), request.items as u64).await {
            Ok(Ok(())) => Ok(Delivered::default()),
            Ok(Err(error)) => Err(SendFailure::retryable(Reason::Unavailable, error.to_string())),
            Err(Gone) => Err(SendFailure::permanent(Reason::Internal, GONE)),
        }
    }
}
