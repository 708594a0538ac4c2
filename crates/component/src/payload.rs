//! The one small type that travels.

use crate::ack::Ack;
use bytes::Bytes;
use forebay_otlp::traces::SpanIndex;
use std::net::SocketAddr;
use std::sync::Arc;

/// What kind of telemetry a payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Signal {
    /// Spans: the body is an OTLP `ExportTraceServiceRequest`.
    Traces,
}

impl Signal {
    /// The collector's word for it, as in a pipeline's id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
        }
    }
}

/// Where a payload came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, if it came over a socket.
    pub peer: Option<SocketAddr>,
    /// Who the client proved to be, if it had to.
    pub client: Option<Arc<str>>,
    /// Request headers that the receiver was told to keep, names in lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// A request's wire bytes on their way, with the acknowledgement its sender waits for.
#[derive(Debug)]
pub struct Payload {
    /// What the body holds.
    pub signal: Signal,
    /// The export request's wire bytes, valid by `forebay_otlp::traces::validate`; never changed in place, shared
    /// between branches.
    pub body: Bytes,
    /// Items (spans) in the body.
    pub items: usize,
    /// What validation noted of the body, if some stage asked for it ([`Consumer::wants_index`](crate::Consumer::wants_index)).
    pub index: Option<Arc<SpanIndex>>,
    /// Where it came from.
    pub origin: Arc<Origin>,
    /// Completed by the stage that takes responsibility.
    pub ack: Ack,
}

impl Payload {
    /// A traces payload of unknown origin that nobody waits for.
    pub fn traces(body: impl Into<Bytes>, items: usize) -> Self {
        Self {
            signal: Signal::Traces,
            body: body.into(),
            items,
            index: None,
            origin: Arc::default(),
            ack: Ack::none(),
        }
    }

    /// The same payload with another acknowledgement.
    #[must_use]
    pub fn with_ack(self, ack: Ack) -> Self {
        Self { ack, ..self }
    }
}
