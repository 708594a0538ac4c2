//! What happens on a connection, so that slow, idle and noisy clients can be told apart from working ones.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::speaks::Speaks;
use super::watch::Signs;

/// Shared by a connection's socket, its requests and its watch.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    speaks: Speaks,
    in_flight: usize,
    /// Since when the head of a request is awaited: from the start, and from the first byte of each.
    head_since: Option<Instant>,
    /// Since when no request has been under way.
    idle_since: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let state =
            State { speaks: Speaks::Unknown(0), in_flight: 0, head_since: Some(now), idle_since: now };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Counts a request as under way until the result is dropped.
    pub(super) fn request(&self) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.head_since = None;
        InFlight(self.clone())
    }

    /// How the client fares.
    pub(super) fn signs(&self) -> Signs {
        let state = self.state();
        let quiet = (state.in_flight == 0).then_some(state.idle_since);
        Signs {
            head_since: state.head_since,
            idle_since: quiet.filter(|_| state.head_since.is_none()),
            quiet_since: quiet,
        }
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.speaks.look(bytes);
        match state.speaks {
            Speaks::Unknown(_) => {}
            Speaks::Http1 => {
                if state.in_flight == 0 && state.head_since.is_none() {
                    state.head_since = Some(Instant::now());
                }
            }
            Speaks::Http2 => state.head_since = None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct InFlight(Activity);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
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
