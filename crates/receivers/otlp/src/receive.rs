//! Reading a request's body: bounded in bytes, in memory over all requests, and in time.

use std::time::Duration;

use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use forebay_net::http2::STALL;
use forebay_net::{Compression, DecompressError, decompress};
use forebay_otlp::json;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::answer::Failure;
use crate::budget::{ByteBudget, Share};

/// Room made for a body when its first bytes come, if it announces as much: most requests fit at once.
const FIRST_ROOM: usize = 256 << 10;
/// Fewer first bytes than this get no such room: even what is never written to takes a page, and nobody counts it.
const FEW: usize = 4 << 10;

/// The most bytes that are decompressed or decoded in line with the sockets' work: a millisecond or so.
const LIGHT: usize = 1 << 20;

/// The most bytes of a refused body that are read for nothing, and for how long.
const MAX_DISCARDED: usize = 256 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// How much of a body is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The most bytes, on the wire and once decompressed.
    pub(crate) bytes: usize,
    /// The option that sets it, for the message.
    pub(crate) option: &'static str,
}

impl Limit {
    pub(crate) fn exceeded(self, size: usize) -> Failure {
        Failure::TooLarge(format!(
            "the message has {size} bytes or more; `{}` allows {}: send smaller batches, or raise it",
            self.option, self.bytes
        ))
    }
}

/// A body as it arrives, and what it holds of the budget.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) share: Share,
}

impl Body {
    pub(crate) fn new(share: Share) -> Self {
        Self { bytes: Vec::new(), share }
    }

    /// Adds what has come. `total` tells from a body's first bytes how many there will be, if they say so.
    pub(crate) fn add(
        &mut self,
        data: &[u8],
        limit: usize,
        total: impl Fn(&[u8]) -> Result<Option<usize>, Failure>,
    ) -> Result<(), Failure> {
        let read = &mut self.bytes;
        let sum = read.len() + data.len();
        let first = if read.is_empty() { data } else { &read[..] };
        if sum > limit {
            // Lets the caller say by how much, where the first bytes tell.
            total(first)?;
            return Err(Failure::TooLarge(format!("the message has {sum} bytes or more")));
        }
        if !self.share.try_grow(data.len()) {
            return Err(Failure::no_room());
        }
        if read.capacity() < sum {
            let announced = total(first)?.unwrap_or(usize::MAX);
            // Twice what has come, so that what is announced and never sent takes no address space either: a
            // thousand such requests would be gigabytes of it.
            let room = sum.saturating_mul(2).max(if sum < FEW { 0 } else { FIRST_ROOM });
            read.reserve_exact(room.min(announced).clamp(sum, limit) - read.len());
        }
        read.extend_from_slice(data);
        Ok(())
    }

    /// Reads a whole body.
    pub(crate) async fn read(
        mut self,
        incoming: &mut Incoming,
        limit: usize,
        total: impl Fn(&[u8]) -> Result<Option<usize>, Failure>,
    ) -> Result<Self, Failure> {
        loop {
            let frame = tokio::time::timeout(STALL, incoming.frame()).await.map_err(|_| Failure::Stalled)?;
            let Some(frame) = frame else { return Ok(self) };
            let frame = frame.map_err(|error| Failure::Broken(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.add(&data, limit, &total)?;
            }
        }
    }
}

/// Reads the rest of a body for nothing, so that an HTTP/1.1 client that is still sending gets to see its answer
/// rather than a reset. Bounded in bytes and in time.
pub(crate) async fn discard(body: &mut Incoming) {
    let reading = async {
        let mut left = MAX_DISCARDED;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // What does not come in time is cut off with the connection.
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

/// Decompresses a message within the limit and the budget; the share is what the result holds afterwards.
pub(crate) async fn unpack(
    compression: Compression,
    message: Bytes,
    limit: Limit,
    mut share: Share,
) -> Result<(Bytes, Share), Failure> {
    if compression == Compression::Identity {
        return Ok((message, share));
    }
    let mut unpacked = unpack_up_to(limit.bytes.min(LIGHT), compression, &message, &mut share);
    if matches!(unpacked, Err(DecompressError::TooLarge { .. })) && limit.bytes > LIGHT {
        share.shrink_to(message.len());
        let budget = share.budget();
        let work = move || {
            let unpacked = unpack_up_to(limit.bytes, compression, &message, &mut share);
            (unpacked, share)
        };
        (unpacked, share) = heavy(&budget, work).await?;
    }
    match unpacked {
        Ok(unpacked) => {
            share.shrink_to(unpacked.len());
            Ok((unpacked, share))
        }
        Err(DecompressError::TooLarge { .. }) => Err(limit.exceeded(limit.bytes + 1)),
        Err(error) => Err(error.into()),
    }
}

fn unpack_up_to(
    limit: usize,
    compression: Compression,
    message: &[u8],
    share: &mut Share,
) -> Result<Bytes, DecompressError> {
    decompress(compression, message, limit, &mut |more| share.try_grow(more))
}

/// Turns a body of OTLP/JSON into protobuf; the share is what the result holds afterwards.
pub(crate) async fn from_json(body: Bytes, mut share: Share) -> Result<(Bytes, Share), Failure> {
    // Binary is smaller than the text it came from.
    if !share.try_grow(body.len()) {
        return Err(Failure::no_room());
    }
    let decoded = if body.len() > LIGHT {
        heavy(&share.budget(), move || json::decode_request(&body)).await?
    } else {
        json::decode_request(&body)
    };
    let message =
        decoded.map_err(|error| Failure::Malformed(format!("the body is not valid OTLP/JSON: {error}")))?;
    share.shrink_to(message.len());
    Ok((message.into(), share))
}

async fn heavy<T: Send + 'static>(
    budget: &ByteBudget,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let stopping = || Failure::Refused(Refusal::retryable(Reason::ShuttingDown, "the agent is stopping"));
    budget.heavy(work).await.ok_or_else(stopping)
}
