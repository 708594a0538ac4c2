//! What an exporter brings: how its requests look and how one is sent.

use async_trait::async_trait;
use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use std::borrow::Cow;
use std::time::Duration;

/// One request, encoded once and sent as often as it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The bytes to send; for a transport that does not change them, shared with the payload.
    pub body: Bytes,
    /// Items in it.
    pub items: usize,
}

/// The backend took the request, perhaps but for some items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Items that the backend says it refused for good (OTLP partial success); never sent again.
    pub rejected: u64,
    /// The backend's words, if it had any.
    pub message: String,
}

/// A request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFailure {
    /// Why, whether trying again helps, and how long the backend asks to wait before.
    pub refusal: Refusal,
}

impl SendFailure {
    /// A failure that may pass.
    pub fn retryable(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { refusal: Refusal::retryable(reason, message) }
    }

    /// A failure that stays as it is however often the request is sent.
    pub fn permanent(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { refusal: Refusal::permanent(reason, message) }
    }

    /// The same failure with the time that the backend asks to wait.
    #[must_use]
    pub fn after(self, wait: Option<Duration>) -> Self {
        Self { refusal: Refusal { retry_after: wait, ..self.refusal } }
    }
}

/// How an exporter talks to its backend.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Turns a payload's body (an OTLP `ExportTraceServiceRequest`) of `items` spans into requests: called once per
    /// payload, off the async threads when the body is large.
    ///
    /// # Errors
    /// When the data cannot be expressed in the backend's format.
    fn encode(&self, body: Bytes, items: usize) -> Result<Vec<Request>, Refusal> {
        Ok(vec![Request { body, items }])
    }

    /// Sends one request and waits for the answer. The caller bounds the time; dropping the future gives up.
    ///
    /// # Errors
    /// When the backend did not take it.
    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure>;
}
