//! What happens on a connection, so that slow, idle and noisy clients can be told apart from working ones.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::frames::{Frames, Speaks};

/// Pings that come too early before the connection is ended, as gRPC has it.
const STRIKES: u32 = 2;
/// The least time between pings of a client with no request under way, unless the policy permits them.
const IDLE_PING_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// How often a client may ping (gRPC's keepalive enforcement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingPolicy {
    /// The least time between two pings.
    pub min_time: Duration,
    /// Whether a client with no request under way may ping as often.
    pub permit_without_stream: bool,
}

/// Shared by a connection's socket, its requests and its watch.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    policy: Option<PingPolicy>,
    too_many_pings: Notify,
}

#[derive(Debug)]
struct State {
    speaks: Speaks,
    frames: Frames,
    in_flight: usize,
    /// Since when the head of a request is awaited: from the start, and from the first byte of each.
    head_since: Option<Instant>,
    /// Since when no request has been under way.
    idle_since: Instant,
    strikes: u32,
    last_ping: Option<Instant>,
}

impl Activity {
    pub(super) fn new(policy: Option<PingPolicy>) -> Self {
        let now = Instant::now();
        let state = State {
            speaks: Speaks::Unknown(0),
            frames: Frames::default(),
            in_flight: 0,
            head_since: Some(now),
            idle_since: now,
            strikes: 0,
            last_ping: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), policy, too_many_pings: Notify::new() }))
    }

    /// Counts a request as under way until the result is dropped.
    pub(super) fn request(&self) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.head_since = None;
        InFlight(self.clone())
    }

    /// Since when the head of a request is awaited, if one is.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.state().head_since
    }

    /// Since when nothing has been under way, if nothing is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0 && state.head_since.is_none()).then_some(state.idle_since)
    }

    /// Since when no request has been under way, whether or not the head of one is awaited.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0).then_some(state.idle_since)
    }

    /// Ends when the client has pinged too often.
    pub(super) async fn too_many_pings(&self) {
        self.0.too_many_pings.notified().await;
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        let frames = state.speaks.look(bytes);
        match state.speaks {
            Speaks::Unknown(_) => {}
            Speaks::Http1 => {
                if state.in_flight == 0 && state.head_since.is_none() {
                    state.head_since = Some(Instant::now());
                }
            }
            Speaks::Http2 => {
                state.head_since = None;
                let Some(policy) = self.0.policy else { return };
                for _ in 0..state.frames.pings(frames) {
                    if state.ping(policy, Instant::now()) > STRIKES {
                        self.0.too_many_pings.notify_one();
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ping(&mut self, policy: PingPolicy, now: Instant) -> u32 {
        let patient = self.in_flight == 0 && !policy.permit_without_stream;
        let least = if patient { policy.min_time.max(IDLE_PING_TIME) } else { policy.min_time };
        if self.last_ping.is_some_and(|last| now.duration_since(last) < least) {
            self.strikes += 1;
        }
        self.last_ping = Some(now);
        self.strikes
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct InFlight(Activity);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        // An answer forgives earlier pings.
        state.strikes = 0;
        state.last_ping = None;
        if state.in_flight == 0 {
            state.idle_since = Instant::now();
        }
    }
}

/// Anything a connection can run over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream whose bytes are looked at as they arrive.
pub(super) struct Watched {
    stream: Box<dyn Stream>,
    activity: Activity,
}

impl Watched {
    pub(super) fn new(stream: Box<dyn Stream>, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut *self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.activity.read(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }
}
