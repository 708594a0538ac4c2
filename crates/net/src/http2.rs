//! The server's side of HTTP/2 (RFC 9113) for calls: requests that are answered once their whole body has come, as unary
//! gRPC has them.
//!
//! A general HTTP server spends some 20 us on such a request, most of it on what none of them needs: a task, channels for
//! its body, header maps. Here the bytes of a read are walked once, and all answers to them go out in one write. A body goes
//! to its [`Call`] as it arrives, whatever the size of its frames, so that its memory is counted from the first byte.

mod connection;
mod frame;
mod head;
mod heads;
mod hpack;
mod huffman;
mod incoming;
mod outgoing;
mod serve;
mod settings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use crate::server::ReplyBody;

pub use head::Head;
pub(crate) use serve::ServedCalls;
pub use serve::serve_calls;

/// What a call is answered with.
#[derive(Debug)]
pub enum Answer {
    /// A gRPC message (not framed) and the status OK.
    Message(Bytes),
    /// Anything else.
    Response(Box<Response<ReplyBody>>),
}

impl From<Response<ReplyBody>> for Answer {
    fn from(response: Response<ReplyBody>) -> Self {
        Self::Response(Box::new(response))
    }
}

/// What a call comes to when its whole body has come.
pub enum Answered {
    /// Most are answered at once.
    Now(Answer),
    /// When it has been waited for.
    Later(AnswerFuture),
}

/// An answer to come.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Takes calls.
pub trait Calls: Send + Sync + 'static {
    /// A request's head has come: the call that takes its body.
    ///
    /// # Errors
    /// The answer, if the body need not be read.
    fn begin(self: Arc<Self>, head: Arc<Head>, peer: SocketAddr) -> Result<Box<dyn Call>, Answer>;

    /// What a client is told (as `text/plain`) that speaks HTTP/1.
    fn not_http2(&self) -> &'static str;
}

/// A call whose body is being read.
pub trait Call: Send {
    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// The answer, if the rest need not be read.
    fn data(&mut self, bytes: &[u8]) -> Result<(), Answer>;

    /// The whole body has come. A later answer is awaited even when the client takes the call back, and dropped when the
    /// connection ends.
    fn answer(self: Box<Self>) -> Answered;

    /// The client has sent nothing for [`STALL`]: the answer.
    fn stalled(self: Box<Self>) -> Answer;

    /// The client has gone, or taken the call back.
    fn broken(self: Box<Self>, why: &str);
}

/// What starts every connection (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may send nothing in the middle of a body.
pub const STALL: Duration = Duration::from_secs(30);

/// How often a client may ping (gRPC's keepalive enforcement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPolicy {
    /// The least time between two pings.
    pub min_time: Duration,
    /// Whether a client with no request under way may ping as often.
    pub permit_without_stream: bool,
}
