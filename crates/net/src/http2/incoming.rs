//! Walking what was read: frames, whatever pieces they come in.

use super::PREFACE;
use super::connection::{
    CONNECTION_WINDOW, Complete, Connection, DEFAULT_FRAME, Fatal, MAX_BLOCK, MAX_FRAME, STREAM_WINDOW, State,
};
use super::frame::{self, Code, FrameHead, HEAD, flag, kind};
use super::heads::Block;

/// Frames that are walked before whoever calls may look at what has come of them.
const FRAMES: usize = 16;

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
    pub(super) block: Option<Block>,
}

/// What is left of a body's frame.
#[derive(Clone, Copy, Debug)]
struct Body {
    /// The next byte is the length of the padding.
    padded: bool,
    data: usize,
    padding: usize,
}

impl Parser {
    /// Whether something other than a body has come in part.
    pub(super) fn is_within_a_frame(&self) -> bool {
        let begun = self.frame.is_some() && self.body.is_none();
        begun || !self.partial.is_empty() || self.block.is_some()
    }
}

pub(super) fn fatal<T>(code: Code, why: &'static str) -> Result<T, Fatal> {
    Err(Fatal(code, why))
}

pub(super) fn protocol<T>(why: &'static str) -> Result<T, Fatal> {
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
    pub(super) fn end_stream(&mut self, id: u32) -> Option<Complete> {
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
}
