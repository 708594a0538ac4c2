//! Walking what was read: frames, whatever pieces they come in.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::connection::{
    CONNECTION_WINDOW, Complete, Connection, DEFAULT_FRAME, Fatal, MAX_BLOCK, MAX_FRAME, MAX_HEADERS,
    STREAM_WINDOW, State, Stream,
};
use super::frame::{self, Code, FrameHead, HEAD, flag, kind, setting};
use super::{Answer, Head, PREFACE};
use crate::server::ReplyBody;

const MAX_WINDOW: i64 = (1 << 31) - 1;
/// Frames that are walked before whoever calls may look at what has come of them.
const FRAMES: usize = 16;
/// The largest head that is kept to compare the next one with.
const MAX_KEPT: usize = 1 << 10;
/// What a header counts beside its text (section 6.5.2).
const HEADER_OVERHEAD: usize = 32;

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// The preface, of which so many bytes have come.
    Preface(usize),
    /// A client that speaks HTTP/1.
    Http1,
    Frames,
}

/// Where in the frames the next bytes are.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The settings that have to come first have come.
    begun: bool,
    /// The frame whose payload is next.
    frame: Option<FrameHead>,
    /// What has come of a frame's head, or of the payload of one that is not a body's.
    partial: Vec<u8>,
    /// Of a body's frame: what is still to come.
    body: Option<Body>,
    /// The head of a request that goes on in the next frame.
    block: Option<Block>,
}

/// What is left of a body's frame.
#[derive(Clone, Copy, Debug)]
struct Body {
    /// The next byte is the length of the padding.
    padded: bool,
    data: usize,
    padding: usize,
}

#[derive(Debug)]
struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
}

impl Parser {
    /// Whether something other than a body has come in part.
    pub(super) fn is_within_a_frame(&self) -> bool {
        let begun = self.frame.is_some() && self.body.is_none();
        begun || !self.partial.is_empty() || self.block.is_some()
    }
}

fn fatal<T>(code: Code, why: &'static str) -> Result<T, Fatal> {
    Err(Fatal(code, why))
}

fn protocol<T>(why: &'static str) -> Result<T, Fatal> {
    fatal(Code::Protocol, why)
}

impl Connection {
    /// Walks what was read up to the end of a call's body, or for a few frames; `input` is then what follows.
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Complete>, Fatal> {
        if !matches!(self.phase, Phase::Frames) && !self.begin(input)? {
            return Ok(None);
        }
        let mut frames = 0;
        loop {
            let Some(frame) = self.parser.frame else {
                if let (true, Some((head, rest))) =
                    (self.parser.partial.is_empty(), input.split_first_chunk())
                {
                    *input = rest;
                    self.begin_frame(FrameHead::read(*head))?;
                } else {
                    let Some(head) = self.assemble(HEAD, input) else { return Ok(None) };
                    self.begin_frame(FrameHead::read(head.try_into().unwrap_or_default()))?;
                }
                continue;
            };
            let complete = if self.parser.body.is_some() {
                if !self.take_body(frame, input)? {
                    return Ok(None);
                }
                self.end_body(frame)
            } else if let (true, Some((payload, rest))) =
                (self.parser.partial.is_empty(), input.split_at_checked(frame.length))
            {
                *input = rest;
                self.take_frame(frame, payload)?
            } else {
                let Some(payload) = self.assemble(frame.length, input) else { return Ok(None) };
                self.take_frame(frame, &payload)?
            };
            self.parser.frame = None;
            frames += 1;
            if complete.is_some() || frames == FRAMES {
                return Ok(complete);
            }
        }
    }

    /// Compares the preface; true once it has come whole.
    fn begin(&mut self, input: &mut &[u8]) -> Result<bool, Fatal> {
        let Phase::Preface(matched) = self.phase else { return protocol("this is HTTP/2") };
        let expected = &PREFACE[matched..];
        let compared = expected.len().min(input.len());
        if expected[..compared] != input[..compared] {
            if matched == 0 && input.first().is_some_and(u8::is_ascii_uppercase) {
                self.phase = Phase::Http1;
            }
            return protocol("no HTTP/2 preface");
        }
        *input = &input[compared..];
        let whole = matched + compared == PREFACE.len();
        self.phase = if whole { Phase::Frames } else { Phase::Preface(matched + compared) };
        if whole {
            self.greet();
        }
        Ok(whole)
    }

    /// Gathers `length` bytes that come in pieces.
    fn assemble(&mut self, length: usize, input: &mut &[u8]) -> Option<Vec<u8>> {
        let partial = &mut self.parser.partial;
        let (more, rest) = input.split_at(input.len().min(length - partial.len()));
        *input = rest;
        partial.extend_from_slice(more);
        (partial.len() == length).then(|| std::mem::take(partial))
    }

    /// Checks a frame by its head, so that what need not be read is not gathered.
    fn begin_frame(&mut self, frame: FrameHead) -> Result<(), Fatal> {
        if !self.parser.begun && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return protocol("the first frame is not SETTINGS");
        }
        self.parser.begun = true;
        let continues = self.parser.block.as_ref().map(|block| block.stream);
        if continues != (frame.kind == kind::CONTINUATION).then_some(frame.stream) {
            return protocol("the head of a request is cut off, or goes on without having begun");
        }
        let of_a_stream = matches!(
            frame.kind,
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM | kind::CONTINUATION
        );
        let of_the_connection = matches!(frame.kind, kind::SETTINGS | kind::PING | kind::GOAWAY);
        if (of_a_stream && frame.stream.is_multiple_of(2)) || (of_the_connection && frame.stream != 0) {
            return protocol("a frame on a stream that it cannot have");
        }
        let (least, most) = match frame.kind {
            kind::DATA => (0, MAX_FRAME),
            kind::HEADERS | kind::CONTINUATION => (0, MAX_BLOCK),
            kind::PRIORITY => (5, 5),
            kind::RST_STREAM | kind::WINDOW_UPDATE => (4, 4),
            kind::PING => (8, 8),
            kind::SETTINGS | kind::GOAWAY => (0, DEFAULT_FRAME),
            kind::PUSH_PROMISE => return protocol("a push from a client"),
            _ => (0, MAX_FRAME),
        };
        if frame.length < least || frame.length > most {
            return fatal(Code::FrameSize, "a frame of a size that it cannot have");
        }
        let is_known = frame.kind <= kind::CONTINUATION;
        if frame.kind == kind::DATA {
            self.grant(frame)?;
        }
        if frame.kind == kind::DATA || !is_known {
            let padded = is_known && frame.has(flag::PADDED);
            if padded && frame.length == 0 {
                return fatal(Code::FrameSize, "padding without its length");
            }
            // What nobody knows is all padding.
            let data = if is_known { frame.length - usize::from(padded) } else { 0 };
            let padding = if is_known { 0 } else { frame.length };
            self.parser.body = Some(Body { padded, data, padding });
        }
        self.parser.frame = Some(frame);
        Ok(())
    }

    /// Counts a body's frame against what the client may send, and grants more.
    fn grant(&mut self, frame: FrameHead) -> Result<(), Fatal> {
        if frame.stream > self.last_stream {
            return protocol("a body without a head");
        }
        let bytes = frame.length as u32;
        self.window -= i64::from(bytes);
        if self.window < 0 {
            return fatal(Code::FlowControl, "more than the connection's window");
        }
        self.taken += bytes;
        if self.taken >= CONNECTION_WINDOW / 2 {
            frame::put_window_update(&mut self.out, 0, self.taken);
            self.window += i64::from(std::mem::take(&mut self.taken));
        }
        let Some(at) = self.find(frame.stream) else { return Ok(()) };
        let stream = &mut self.streams[at];
        stream.window -= i64::from(bytes);
        if stream.ended {
            self.reset(frame.stream, Code::StreamClosed);
        } else if stream.window < 0 {
            self.reset(frame.stream, Code::FlowControl);
        } else if matches!(stream.state, State::Reading(_)) && !frame.has(flag::END_STREAM) {
            stream.taken += bytes;
            if stream.taken >= STREAM_WINDOW / 2 {
                frame::put_window_update(&mut self.out, frame.stream, stream.taken);
                stream.window += i64::from(std::mem::take(&mut stream.taken));
            }
        }
        Ok(())
    }

    /// Gives what has come of a body to its call; true once the frame has come whole.
    fn take_body(&mut self, frame: FrameHead, input: &mut &[u8]) -> Result<bool, Fatal> {
        let Some(mut body) = self.parser.body.take() else { return Ok(true) };
        if body.padded
            && let Some((&padding, rest)) = input.split_first()
        {
            *input = rest;
            body.padded = false;
            body.padding = usize::from(padding);
            let Some(data) = body.data.checked_sub(body.padding) else {
                return protocol("more padding than there is room");
            };
            body.data = data;
        }
        if !body.padded {
            let (data, rest) = input.split_at(input.len().min(body.data));
            body.data -= data.len();
            let skipped = rest.len().min(body.padding);
            *input = &rest[skipped..];
            body.padding -= skipped;
            if !data.is_empty() {
                self.take_data(frame.stream, data);
            }
        }
        let whole = !body.padded && body.data == 0 && body.padding == 0;
        self.parser.body = (!whole).then_some(body);
        Ok(whole)
    }

    fn take_data(&mut self, id: u32, data: &[u8]) {
        let now = self.now;
        let Some(at) = self.find(id) else { return };
        let stream = &mut self.streams[at];
        stream.last_data = now;
        if let State::Reading(call) = &mut stream.state
            && let Err(answer) = call.data(data)
        {
            stream.state = State::Answering;
            self.put_answer(id, answer);
        }
    }

    fn end_body(&mut self, frame: FrameHead) -> Option<Complete> {
        if frame.kind == kind::DATA && frame.has(flag::END_STREAM) {
            self.end_stream(frame.stream)
        } else {
            None
        }
    }

    /// The client has sent all of a request.
    fn end_stream(&mut self, id: u32) -> Option<Complete> {
        let at = self.find(id)?;
        let stream = &mut self.streams[at];
        stream.ended = true;
        match std::mem::replace(&mut stream.state, State::Answering) {
            State::Reading(call) => {
                self.answering += 1;
                Some(Complete { stream: id, call })
            }
            state => {
                stream.state = state;
                None
            }
        }
    }

    /// A whole frame that is not a body's.
    fn take_frame(&mut self, frame: FrameHead, payload: &[u8]) -> Result<Option<Complete>, Fatal> {
        let number = || payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        match frame.kind {
            kind::HEADERS => return self.take_headers(frame, payload),
            kind::CONTINUATION => return self.take_continuation(frame, payload),
            kind::SETTINGS if !frame.has(flag::ACK) => self.take_settings(payload)?,
            kind::SETTINGS if !payload.is_empty() => {
                return fatal(Code::FrameSize, "an acknowledgement with settings");
            }
            kind::PING => {
                let data = payload.try_into().unwrap_or_default();
                if frame.has(flag::ACK) { self.pong(data) } else { self.ping(data)? }
            }
            kind::RST_STREAM => {
                if frame.stream > self.last_stream {
                    return protocol("the end of a stream that has not begun");
                }
                self.forget(frame.stream, "the client has taken the request back");
            }
            kind::WINDOW_UPDATE => self.take_window_update(frame.stream, number() & (u32::MAX >> 1))?,
            // Priorities are advice; a client that goes away asks for nothing more.
            _ => {}
        }
        Ok(None)
    }

    fn take_headers(&mut self, frame: FrameHead, mut payload: &[u8]) -> Result<Option<Complete>, Fatal> {
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

    fn take_continuation(&mut self, frame: FrameHead, payload: &[u8]) -> Result<Option<Complete>, Fatal> {
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
        if let Some((bytes, read_at, head)) = &self.last_head
            && *read_at == version
            && bytes == block
        {
            return Ok(Ok(Arc::clone(head)));
        }
        let mut builder = HeadBuilder::default();
        let decoded = self.decoder.decode(block, |name, value| builder.add(name, value));
        if decoded.is_err() {
            return fatal(Code::Compression, "headers that are not HPACK");
        }
        let head = builder.build().map(Arc::new);
        let kept = version == self.decoder.version && block.len() <= MAX_KEPT;
        if let (Ok(head), true) = (&head, kept) {
            self.last_head = Some((block.to_vec(), version, Arc::clone(head)));
        }
        Ok(head)
    }

    fn take_settings(&mut self, payload: &[u8]) -> Result<(), Fatal> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return fatal(Code::FrameSize, "half a setting");
        }
        let mut window = None;
        for &[a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                setting::INITIAL_WINDOW_SIZE => {
                    if i64::from(value) > MAX_WINDOW {
                        return fatal(Code::FlowControl, "a window too large");
                    }
                    window = Some(i64::from(value));
                }
                setting::MAX_FRAME_SIZE => {
                    if !(DEFAULT_FRAME..1 << 24).contains(&(value as usize)) {
                        return protocol("a frame size that is not allowed");
                    }
                    self.peer_frame = value as usize;
                }
                _ => {}
            }
        }
        if let Some(window) = window {
            self.set_peer_window(window)?;
        }
        frame::put_head(&mut self.out, 0, kind::SETTINGS, flag::ACK, 0);
        Ok(())
    }

    /// What the client lets each stream send from the start; the difference is for those that have begun (section 6.9.2).
    fn set_peer_window(&mut self, window: i64) -> Result<(), Fatal> {
        let more = window - self.peer_window;
        self.peer_window = window;
        if more == 0 {
            return Ok(());
        }
        for stream in &mut self.streams {
            stream.send_window += more;
            if stream.send_window > MAX_WINDOW {
                return fatal(Code::FlowControl, "a window too large");
            }
        }
        if more > 0 {
            self.send_rests();
        }
        Ok(())
    }

    fn take_window_update(&mut self, id: u32, bytes: u32) -> Result<(), Fatal> {
        if id > self.last_stream {
            return protocol("a window for a stream that has not begun");
        }
        let at = self.find(id);
        let window = match at {
            _ if id == 0 => &mut self.send_window,
            Some(at) => &mut self.streams[at].send_window,
            None => return Ok(()),
        };
        let before = *window;
        *window += i64::from(bytes);
        let (code, why) = match *window {
            _ if bytes == 0 => (Code::Protocol, "leave to send nothing"),
            window if window > MAX_WINDOW => (Code::FlowControl, "a window too large"),
            _ => {
                // Only what waited for this very leave goes on: looking through all for each byte granted would be dear.
                match at {
                    Some(at) => self.send_rest(at),
                    None if before <= 0 => self.send_rests(),
                    None => {}
                }
                return Ok(());
            }
        };
        if id == 0 {
            return fatal(code, why);
        }
        self.reset(id, code);
        Ok(())
    }
}

/// What is wrong with a head that is well compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadError {
    Malformed,
    TooLarge,
}

/// A head, header by header (section 8.3).
#[derive(Default)]
struct HeadBuilder {
    method: Option<Method>,
    path: Option<String>,
    headers: HeaderMap,
    size: usize,
    malformed: bool,
}

impl HeadBuilder {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + HEADER_OVERHEAD;
        if self.size <= MAX_HEADERS && !self.malformed {
            self.malformed = self.try_add(name, value).is_none();
        }
    }

    /// None when it may not be there.
    fn try_add(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        if name.first() != Some(&b':') {
            let name = HeaderName::from_lowercase(name).ok()?;
            self.headers.append(name, HeaderValue::from_bytes(value).ok()?);
            return Some(());
        }
        if !self.headers.is_empty() {
            return None;
        }
        match name {
            b":method" if self.method.is_none() => self.method = Some(Method::from_bytes(value).ok()?),
            b":path" if self.path.is_none() && !value.is_empty() => {
                self.path = Some(std::str::from_utf8(value).ok()?.to_owned());
            }
            b":scheme" | b":authority" => {}
            _ => return None,
        }
        Some(())
    }

    fn build(self) -> Result<Head, HeadError> {
        match (self.method, self.path) {
            _ if self.size > MAX_HEADERS => Err(HeadError::TooLarge),
            (Some(method), Some(path)) if !self.malformed => {
                Ok(Head { method, path, headers: self.headers, size: self.size })
            }
            _ => Err(HeadError::Malformed),
        }
    }
}
