//! The state of one connection, without its socket: what was read goes in, what is to be written comes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::{self, Code, setting};
use super::heads::LastHead;
use super::hpack::Decoder;
use super::incoming::{Parser, Phase};
use super::outgoing::Rest;
use super::{Call, Calls, PingPolicy, STALL};
use crate::server::Signs;

/// Streams may carry a large request without waiting for leave to go on.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
/// All streams of a connection together.
pub(super) const CONNECTION_WINDOW: u32 = 4 << 20;
/// Frames may be large, since what they carry is counted as it arrives: clients that follow the setting send fewer.
pub(super) const MAX_FRAME: usize = 1 << 20;
/// The text of a request's head (section 6.5.2), and its bytes as they come.
pub(super) const MAX_HEADERS: usize = 16 << 10;
pub(super) const MAX_BLOCK: usize = 32 << 10;
/// Streams for which a connection without any keeps room.
pub(super) const KEPT_STREAMS: usize = 32;
/// What the protocol grants without being asked.
const DEFAULT_WINDOW: u32 = 65_535;
pub(super) const DEFAULT_FRAME: usize = 16 << 10;

/// Pings that come too early before the connection is ended, as gRPC has it.
const STRIKES: u32 = 2;
/// The least time between pings of a client with no request under way, unless the policy permits them.
const IDLE_PING_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// What a ping that asks whether the client has seen the announcement of the end carries; others carry zeros.
const DRAIN: [u8; 8] = *b"draining";

/// A connection that cannot go on: what the client is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fatal(pub(super) Code, pub(super) &'static str);

/// A call whose body has come whole.
pub(super) struct Complete {
    pub(super) stream: u32,
    pub(super) call: Box<dyn Call>,
}

/// A stream from its head to the end of its answer.
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) state: State,
    /// The client has sent all it will.
    pub(super) ended: bool,
    /// Bytes that the client may still send, and those not yet granted again.
    pub(super) window: i64,
    pub(super) taken: u32,
    pub(super) send_window: i64,
    pub(super) last_data: Instant,
}

/// What a stream waits for.
pub(super) enum State {
    /// The rest of its body.
    Reading(Box<dyn Call>),
    /// Its answer.
    Answering,
    /// Leave to send the rest of its answer.
    Sending(Rest),
}

/// One connection.
pub(super) struct Connection {
    pub(super) calls: Arc<dyn Calls>,
    pub(super) peer: SocketAddr,
    max_streams: usize,
    ping_policy: Option<PingPolicy>,
    born: Instant,
    /// When the bytes at hand were read.
    pub(super) now: Instant,
    /// When its turn began, or it last read.
    pub(super) clock: Instant,
    pub(super) phase: Phase,
    pub(super) parser: Parser,
    pub(super) decoder: Decoder,
    pub(super) last_head: Option<LastHead>,
    /// By id.
    pub(super) streams: Vec<Stream>,
    pub(super) last_stream: u32,
    /// Calls whose answers are awaited, those of streams that have gone included.
    pub(super) answering: usize,
    idle_since: Instant,
    /// Bytes that the client may still send, and those not yet granted again.
    pub(super) window: i64,
    pub(super) taken: u32,
    pub(super) send_window: i64,
    pub(super) peer_window: i64,
    pub(super) peer_frame: usize,
    /// What is to be written.
    pub(super) out: Vec<u8>,
    /// The end was announced; then the last stream that is served.
    draining: bool,
    pub(super) served_up_to: Option<u32>,
    failed: bool,
    strikes: u32,
    last_ping: Option<Instant>,
    /// When the client was pinged, until something comes from it.
    pinged: Option<Instant>,
}

impl Connection {
    pub(super) fn new(
        calls: Arc<dyn Calls>,
        peer: SocketAddr,
        max_streams: u32,
        ping_policy: Option<PingPolicy>,
    ) -> Self {
        let now = Instant::now();
        Self {
            calls,
            peer,
            max_streams: max_streams as usize,
            ping_policy,
            born: now,
            now,
            clock: now,
            phase: Phase::Preface(0),
            parser: Parser::default(),
            decoder: Decoder::default(),
            last_head: None,
            streams: Vec::new(),
            last_stream: 0,
            answering: 0,
            idle_since: now,
            window: i64::from(CONNECTION_WINDOW),
            taken: 0,
            send_window: i64::from(DEFAULT_WINDOW),
            peer_window: i64::from(DEFAULT_WINDOW),
            peer_frame: DEFAULT_FRAME,
            out: Vec::new(),
            draining: false,
            served_up_to: None,
            failed: false,
            strikes: 0,
            last_ping: None,
            pinged: None,
        }
    }

    /// Says what clients may do, once this one has turned out to speak HTTP/2.
    pub(super) fn greet(&mut self) {
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, u32::try_from(self.max_streams).unwrap_or(u32::MAX)),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_FRAME_SIZE, MAX_FRAME as u32),
            (setting::MAX_HEADER_LIST_SIZE, MAX_HEADERS as u32),
        ];
        frame::put_settings(&mut self.out, &settings);
        frame::put_window_update(&mut self.out, 0, CONNECTION_WINDOW - DEFAULT_WINDOW);
        if self.draining {
            self.announce();
        }
    }

    pub(super) fn find(&self, stream: u32) -> Option<usize> {
        self.streams.binary_search_by_key(&stream, |stream| stream.id).ok()
    }

    /// Whether one more call would be one too many.
    pub(super) fn is_full(&self) -> bool {
        self.streams.len().max(self.answering) >= self.max_streams
    }

    pub(super) fn remove(&mut self, at: usize) -> Stream {
        let stream = self.streams.remove(at);
        if self.streams.is_empty() {
            self.idle_since = self.clock;
            self.streams.shrink_to(KEPT_STREAMS);
        }
        stream
    }

    /// Ends one stream for a fault in it.
    pub(super) fn reset(&mut self, stream: u32, code: Code) {
        frame::put_reset(&mut self.out, stream, code);
        self.forget(stream, "the request broke the rules of HTTP/2");
    }

    /// Drops what is known of a stream.
    pub(super) fn forget(&mut self, stream: u32, why: &str) {
        if let Some(at) = self.find(stream)
            && let State::Reading(call) = self.remove(at).state
        {
            call.broken(why);
        }
    }

    /// Something was read.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.now, self.clock) = (now, now);
        self.pinged = None;
    }

    /// A ping of the client.
    pub(super) fn ping(&mut self, data: [u8; 8]) -> Result<(), Fatal> {
        if let Some(policy) = self.ping_policy {
            let idles = self.streams.is_empty() && !policy.permit_without_stream;
            let least = if idles { policy.min_time.max(IDLE_PING_TIME) } else { policy.min_time };
            let early = self.last_ping.is_some_and(|last| self.now.duration_since(last) < least);
            self.strikes += u32::from(early);
            self.last_ping = Some(self.now);
            if self.strikes > STRIKES {
                return Err(Fatal(Code::EnhanceYourCalm, "too_many_pings"));
            }
        }
        frame::put_ping(&mut self.out, frame::flag::ACK, data);
        Ok(())
    }

    /// An answer forgives earlier pings.
    pub(super) fn forgive_pings(&mut self) {
        self.strikes = 0;
        self.last_ping = None;
    }

    /// The client has answered a ping.
    pub(super) fn pong(&mut self, data: [u8; 8]) {
        if data == DRAIN && self.draining && self.served_up_to.is_none() {
            self.served_up_to = Some(self.last_stream);
            frame::put_goaway(&mut self.out, self.last_stream, Code::NoError, "");
        }
    }

    /// Pings a silent client.
    pub(super) fn ask(&mut self) {
        self.pinged = Some(Instant::now());
        frame::put_ping(&mut self.out, 0, [0; 8]);
    }

    /// When the client was pinged, while nothing has come from it since.
    pub(super) fn asked(&self) -> Option<Instant> {
        self.pinged
    }

    /// Asks the client to send its next requests elsewhere. Those that cross this message are still served: the last one
    /// is named once the client has answered a ping (section 6.8).
    pub(super) fn drain(&mut self) {
        // Nothing comes before the settings.
        if !std::mem::replace(&mut self.draining, true) && matches!(self.phase, Phase::Frames) {
            self.announce();
        }
    }

    fn announce(&mut self) {
        frame::put_goaway(&mut self.out, u32::MAX >> 1, Code::NoError, "");
        frame::put_ping(&mut self.out, 0, DRAIN);
    }

    /// Tells the client why the connection ends.
    pub(super) fn fail(&mut self, Fatal(code, why): Fatal) {
        if !std::mem::replace(&mut self.failed, true) {
            if matches!(self.phase, Phase::Http1) {
                let text = self.calls.not_http2();
                self.out.extend_from_slice(
                    format!(
                        "HTTP/1.1 415 Unsupported Media Type\r\nconnection: close\r\n\
                         content-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}",
                        text.len()
                    )
                    .as_bytes(),
                );
            } else {
                frame::put_goaway(&mut self.out, self.last_stream, code, why);
            }
        }
    }

    /// Whether it can be closed once all is written.
    pub(super) fn is_over(&self) -> bool {
        self.failed || (self.served_up_to.is_some() && self.streams.is_empty())
    }

    /// Gives up bodies that have stopped coming.
    pub(super) fn end_stalled(&mut self, now: Instant) {
        let stalled = |stream: &Stream| {
            matches!(stream.state, State::Reading(_)) && now.duration_since(stream.last_data) >= STALL
        };
        while let Some(at) = self.streams.iter().position(stalled) {
            let stream = &mut self.streams[at];
            let id = stream.id;
            if let State::Reading(call) = std::mem::replace(&mut stream.state, State::Answering) {
                self.put_answer(id, call.stalled());
            }
        }
    }

    /// When the first of what has come in part will have stalled.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        let reading = self.streams.iter().filter(|stream| matches!(stream.state, State::Reading(_)));
        let frame = self.is_within_a_frame().then_some(self.now);
        Some(reading.map(|stream| stream.last_data).chain(frame).min()? + STALL)
    }

    /// Whether a frame other than a body's has come in part, or a head without its end.
    pub(super) fn is_within_a_frame(&self) -> bool {
        self.parser.is_within_a_frame()
    }

    pub(super) fn signs(&self) -> Signs {
        let speaks = !matches!(self.phase, Phase::Preface(_));
        let quiet = self.streams.is_empty().then_some(self.idle_since);
        Signs {
            head_since: (!speaks).then_some(self.born),
            idle_since: quiet.filter(|_| speaks),
            quiet_since: quiet,
        }
    }

    /// The client has gone.
    pub(super) fn gone(&mut self, why: &str) {
        for stream in self.streams.drain(..) {
            if let State::Reading(call) = stream.state {
                call.broken(why);
            }
        }
    }
}
