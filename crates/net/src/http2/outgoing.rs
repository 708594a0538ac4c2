//! Writing answers, as far as the client grants leave (RFC 9113, section 5.2).

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::Answer;
use super::connection::{Connection, State, Stream};
use super::frame::{self, Code, flag, kind};
use super::hpack;

/// What is left of an answer once its head is written.
pub(super) struct Rest {
    data: Bytes,
    /// The headers that follow the data; then they end the stream.
    trailers: Option<Cow<'static, [u8]>>,
}

/// The heads of a gRPC answer and of its end as HPACK has them: `:status: 200` and `content-type`; `grpc-status: 0`.
const GRPC_HEAD: &[u8] = b"\x88\x00\x0ccontent-type\x10application/grpc";
const GRPC_OK: &[u8] = b"\x00\x0bgrpc-status\x010";
/// A compression flag and a length before each gRPC message.
const PREFIX: usize = 5;

impl Connection {
    /// The answer to a call that was handed out.
    pub(super) fn respond(&mut self, id: u32, answer: Answer) {
        self.answering = self.answering.saturating_sub(1);
        self.put_answer(id, answer);
    }

    /// Writes an answer, or as much of it as the client lets.
    pub(super) fn put_answer(&mut self, id: u32, answer: Answer) {
        // The client may have taken the request back.
        if self.find(id).is_none() {
            return;
        }
        self.forgive_pings();
        match answer {
            Answer::Message(message) => {
                // Most say nothing.
                let framed = match message.len() {
                    0 => Bytes::from_static(&[0; PREFIX]),
                    length => [&[0], &(length as u32).to_be_bytes()[..], &message].concat().into(),
                };
                self.put_block(id, GRPC_HEAD, false);
                self.send(id, Rest { data: framed, trailers: Some(GRPC_OK.into()) });
            }
            Answer::Response(response) => {
                let (parts, body) = response.into_parts();
                let mut head = Vec::new();
                hpack::put_status(&mut head, parts.status.as_u16());
                put_headers(&mut head, &parts.headers);
                let (data, trailers) = body.into_parts();
                let trailers = trailers.map(|trailers| {
                    let mut block = Vec::new();
                    put_headers(&mut block, &trailers);
                    Cow::Owned(block)
                });
                let rest = Rest { data: data.unwrap_or_default(), trailers };
                let ends = rest.data.is_empty() && rest.trailers.is_none();
                self.put_block(id, &head, ends);
                if ends { self.end_answer(id) } else { self.send(id, rest) }
            }
        }
    }

    /// Goes on with all answers that wait for leave, the oldest first, while the connection has some.
    pub(super) fn send_rests(&mut self) {
        let goes_on = |stream: &Stream| matches!(stream.state, State::Sending(_)) && stream.send_window > 0;
        let mut from = 0;
        while self.send_window > 0
            && let Some(ahead) = self.streams[from..].iter().position(goes_on)
        {
            let (at, before) = (from + ahead, self.streams.len());
            self.send_rest(at);
            // One that is done has made place for the next.
            from = at + usize::from(self.streams.len() == before);
        }
    }

    /// Goes on with an answer if it waits for leave.
    pub(super) fn send_rest(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        if matches!(stream.state, State::Sending(_))
            && let State::Sending(rest) = std::mem::replace(&mut stream.state, State::Answering)
        {
            let id = stream.id;
            self.send(id, rest);
        }
    }

    /// Writes what the windows allow of an answer's data, then its trailers.
    fn send(&mut self, id: u32, mut rest: Rest) {
        let Some(at) = self.find(id) else { return };
        while !rest.data.is_empty() {
            let stream = &mut self.streams[at];
            let window = usize::try_from(stream.send_window.min(self.send_window)).unwrap_or(0);
            let length = rest.data.len().min(window).min(self.peer_frame);
            if length == 0 {
                stream.state = State::Sending(rest);
                return;
            }
            stream.send_window -= length as i64;
            self.send_window -= length as i64;
            let ends = length == rest.data.len() && rest.trailers.is_none();
            frame::put_head(&mut self.out, length, kind::DATA, u8::from(ends) * flag::END_STREAM, id);
            self.out.extend_from_slice(&rest.data[..length]);
            rest.data.advance(length);
        }
        if let Some(trailers) = rest.trailers {
            self.put_block(id, &trailers, true);
        }
        self.end_answer(id);
    }

    /// Writes headers, in as many frames as the client's limit asks for.
    fn put_block(&mut self, id: u32, block: &[u8], ends: bool) {
        let mut kind = kind::HEADERS;
        let mut flags = u8::from(ends) * flag::END_STREAM;
        let mut rest = block;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(self.peer_frame));
            flags |= u8::from(after.is_empty()) * flag::END_HEADERS;
            frame::put_head(&mut self.out, piece.len(), kind, flags, id);
            self.out.extend_from_slice(piece);
            if after.is_empty() {
                return;
            }
            (kind, flags, rest) = (kind::CONTINUATION, 0, after);
        }
    }

    /// All of an answer is written. A client that is still sending is told to stop (section 8.1).
    fn end_answer(&mut self, id: u32) {
        let Some(at) = self.find(id) else { return };
        if !self.remove(at).ended {
            frame::put_reset(&mut self.out, id, Code::NoError);
        }
    }
}

fn put_headers(block: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        hpack::put_header(block, name.as_str().as_bytes(), value.as_bytes());
    }
}
