//! The heads of requests: put together from their frames, read, and begun as calls (RFC 9113, section 8).

use std::sync::Arc;

use super::connection::{Complete, Connection, Fatal, MAX_BLOCK, STREAM_WINDOW, State, Stream};
use super::frame::{self, Code, FrameHead, HEAD, flag};
use super::head::{HeadBuilder, HeadError};
use super::incoming::{fatal, protocol};
use super::{Answer, Head};
use crate::server::ReplyBody;

/// The largest head that is kept to compare the next one with.
const MAX_KEPT: usize = 1 << 10;

/// The head of a request that goes on in the next frame.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
}

/// The last head of a connection.
pub(super) struct LastHead {
    /// The bytes it was read from.
    block: Vec<u8>,
    /// The version of the table that gave them their meaning.
    version: u64,
    head: Arc<Head>,
}

impl Connection {
    pub(super) fn take_headers(
        &mut self,
        frame: FrameHead,
        mut payload: &[u8],
    ) -> Result<Option<Complete>, Fatal> {
        if frame.has(flag::PADDED) {
            let Some((&padding, rest)) = payload.split_first() else {
                return fatal(Code::FrameSize, "padding without its length");
            };
            let Some(length) = rest.len().checked_sub(usize::from(padding)) else {
                return protocol("more padding than there is room");
            };
            payload = &rest[..length];
        }
        if frame.has(flag::PRIORITY) {
            let Some((_, rest)) = payload.split_at_checked(5) else {
                return fatal(Code::FrameSize, "no room for the priority");
            };
            payload = rest;
        }
        let (stream, end_stream) = (frame.stream, frame.has(flag::END_STREAM));
        if frame.has(flag::END_HEADERS) {
            return self.take_head(stream, end_stream, payload);
        }
        self.parser.block = Some(Block { stream, end_stream, bytes: payload.to_vec() });
        Ok(None)
    }

    pub(super) fn take_continuation(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Complete>, Fatal> {
        let Some(mut block) = self.parser.block.take() else { return Ok(None) };
        // An empty piece counts too, or they would never end.
        if block.bytes.len() + payload.len() + HEAD > MAX_BLOCK || payload.is_empty() {
            return fatal(Code::EnhanceYourCalm, "a head too large");
        }
        block.bytes.extend_from_slice(payload);
        if frame.has(flag::END_HEADERS) {
            return self.take_head(block.stream, block.end_stream, &block.bytes);
        }
        self.parser.block = Some(block);
        Ok(None)
    }

    /// The whole head of a request, or what follows its body.
    fn take_head(&mut self, id: u32, end_stream: bool, block: &[u8]) -> Result<Option<Complete>, Fatal> {
        // Read in any case: the table goes on.
        let head = self.read_head(block)?;
        if id <= self.last_stream {
            if let Some(at) = self.find(id) {
                if self.streams[at].ended {
                    self.reset(id, Code::StreamClosed);
                } else if end_stream {
                    return Ok(self.end_stream(id));
                } else {
                    self.reset(id, Code::Protocol);
                }
            } else if !end_stream {
                // Trailers of a request that was given up end it; this is a new one.
                return protocol("a stream below those that have begun");
            }
            return Ok(None);
        }
        self.last_stream = id;
        if self.served_up_to.is_some_and(|last| id > last) || self.is_full() {
            frame::put_reset(&mut self.out, id, Code::RefusedStream);
            return Ok(None);
        }
        let begun = match head {
            Ok(head) => self.calls.clone().begin(head, self.peer),
            Err(HeadError::Malformed) => {
                frame::put_reset(&mut self.out, id, Code::Protocol);
                return Ok(None);
            }
            Err(HeadError::TooLarge) => {
                let mut response = http::Response::new(ReplyBody::default());
                *response.status_mut() = http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                Err(Answer::from(response))
            }
        };
        let (state, answer) = match begun {
            Ok(call) => (State::Reading(call), None),
            Err(answer) => (State::Answering, Some(answer)),
        };
        self.streams.push(Stream {
            id,
            state,
            ended: false,
            window: i64::from(STREAM_WINDOW),
            taken: 0,
            send_window: self.peer_window,
            last_data: self.now,
        });
        let complete = if end_stream { self.end_stream(id) } else { None };
        if let Some(answer) = answer {
            self.put_answer(id, answer);
        }
        Ok(complete)
    }

    /// Reads a head. Clients repeat themselves: the same bytes with the same table are the same head.
    fn read_head(&mut self, block: &[u8]) -> Result<Result<Arc<Head>, HeadError>, Fatal> {
        let version = self.decoder.version;
        if let Some(last) = &self.last_head
            && last.version == version
            && last.block == block
        {
            return Ok(Ok(Arc::clone(&last.head)));
        }
        let (mut bytes, used) = match self.last_head.take() {
            // The call may still have it.
            Some(last) => (last.block, Arc::into_inner(last.head).unwrap_or_default()),
            None => Default::default(),
        };
        let mut builder = HeadBuilder::new(used);
        let decoded = self.decoder.decode(block, |header| builder.add(header));
        if decoded.is_err() {
            return fatal(Code::Compression, "headers that are not HPACK");
        }
        let head = builder.build().map(Arc::new);
        // One that has changed the table would change it again.
        if let Ok(head) = &head
            && version == self.decoder.version
            && block.len().max(head.size()) <= MAX_KEPT
        {
            bytes.clear();
            bytes.extend_from_slice(block);
            self.last_head = Some(LastHead { block: bytes, version, head: Arc::clone(head) });
        }
        Ok(head)
    }
}
