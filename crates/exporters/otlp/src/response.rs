//! What a backend answers: `ExportTraceServiceResponse` and `google.rpc.Status`.

use forebay_exporter_queue::Delivered;
use prost::Message;

/// Answers are read up to here; a backend has no reason to say more.
pub(crate) const MAX_RESPONSE: usize = 64 << 10;
/// So much of a backend's words goes into messages.
const MAX_WORDS: usize = 500;

/// `opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Reads a response message. One that does not parse still came with a success: nothing was rejected.
pub(crate) fn delivered(body: &[u8]) -> Delivered {
    let partial = ExportResponse::decode(body).ok().and_then(|response| response.partial_success);
    partial.map_or_else(Delivered::default, |partial| Delivered {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: words(&partial.error_message),
    })
}

/// A backend's words, cut to a length that a log line bears and without control characters.
pub(crate) fn words(text: &str) -> String {
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = clean.take(MAX_WORDS).collect();
    if text.trim().chars().nth(MAX_WORDS).is_some() {
        words.push_str("...");
    }
    words
}
