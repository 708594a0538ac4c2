//! A connection and its socket.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::ReadBuf;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::{Answer, Answered, Calls, STALL};
use crate::server::{Seat, ServerOptions, Stream, Verdict, Watch};

/// Bytes that one read may fetch, and answers that may wait to be written before no more is read.
const READ: usize = 128 << 10;
const WRITE: usize = 64 << 10;
/// What a connection that has nothing to write keeps for the next time.
const KEPT: usize = 4 << 10;
/// Bytes that are taken in before the clock is looked at, as long as nothing takes longer than they do.
const STEP: usize = 16 << 10;
/// How long a connection may keep its thread before the others there have their turn.
const TURN: Duration = Duration::from_millis(1);

thread_local! {
    /// What is read goes on at once: one buffer serves all connections of a thread.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

type Pending = Pin<Box<dyn Future<Output = (u32, Answer)> + Send>>;

/// Serves one connection until it ends; asks the client to end it when `stop` is cancelled.
pub async fn serve_calls(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    options: Arc<ServerOptions>,
    calls: Arc<dyn Calls>,
    stop: CancellationToken,
) {
    // Without a seat it never moves.
    let _ = Box::new(ServedCalls::new(stream, peer, options, calls, None)).serve(stop).await;
}

/// A connection that is being served, with all that it needs to be served on by another thread.
pub(crate) struct ServedCalls {
    stream: Box<dyn Stream>,
    connection: Connection,
    /// Answers that are awaited.
    pending: FuturesUnordered<Pending>,
    /// What was read and has to wait: for answers to be written, or for the next turn.
    unread: Vec<u8>,
    /// How much of the connection's output is written.
    written: usize,
    watch: Watch,
    options: Arc<ServerOptions>,
    seat: Option<Seat>,
}

/// Why a connection is no longer served here.
enum End {
    Closed,
    Failed(std::io::Error),
    /// It goes on elsewhere.
    Moves,
}

impl From<std::io::Result<()>> for End {
    fn from(result: std::io::Result<()>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Closed)
    }
}

/// Has the task woken once the others have been, those included whose bytes the runtime has yet to hear of: a task that
/// wakes itself keeps it from asking the system for up to 61 turns.
fn yield_turn(context: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(context);
}

impl ServedCalls {
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        peer: SocketAddr,
        options: Arc<ServerOptions>,
        calls: Arc<dyn Calls>,
        seat: Option<Seat>,
    ) -> Self {
        Self {
            stream,
            connection: Connection::new(calls, peer, options.max_concurrent_streams, options.ping_policy),
            pending: FuturesUnordered::new(),
            unread: Vec::new(),
            written: 0,
            watch: Watch::new(Arc::clone(&options)),
            options,
            seat,
        }
    }

    /// Serves the connection until it ends, or until it should be served by another runtime. Asks the client to end it when
    /// `stop` is cancelled.
    pub(crate) async fn serve(mut self: Box<Self>, stop: CancellationToken) -> Option<Box<Self>> {
        let end = {
            let serving = &mut *self;
            let mut timer = pin!(tokio::time::sleep_until(serving.next_look()));
            let mut stopped = pin!(stop.cancelled());
            let next = poll_fn(|context| {
                if !serving.watch.is_stopped() && stopped.as_mut().poll(context).is_ready() {
                    serving.watch.stop();
                    serving.connection.drain();
                    timer.as_mut().reset(serving.next_look());
                }
                loop {
                    if let Poll::Ready(end) = serving.poll(context) {
                        return Poll::Ready(end);
                    }
                    let stalls = serving.connection.stalls_at().into_iter();
                    let sooner = stalls.chain(serving.watch.closes_at()).min();
                    if let Some(sooner) = sooner.filter(|sooner| *sooner < timer.deadline()) {
                        timer.as_mut().reset(sooner);
                    }
                    ready!(timer.as_mut().poll(context));
                    if serving.look() == Verdict::Close {
                        return Poll::Ready(End::Closed);
                    }
                    timer.as_mut().reset(serving.next_look());
                }
            });
            next.await
        };
        match end {
            End::Moves => return Some(self),
            End::Closed => self.connection.gone("the connection was closed"),
            End::Failed(error) => {
                tracing::debug!(peer = %self.connection.peer, %error, "a connection ended early");
                self.connection.gone("the client has gone");
            }
        }
        None
    }

    /// The runtime on which it should be served, if that is not any.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.seat.as_ref().map(Seat::runtime)
    }

    /// Goes on with the connection, unless that is another thread's part.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let now = Instant::now();
        self.connection.clock = now;
        if let Some(seat) = &mut self.seat
            && seat.look(now.into_std())
        {
            return Poll::Ready(End::Moves);
        }
        self.go_on(now + TURN, context).map(End::from)
    }

    /// Reads, answers and writes until all of it has to wait, or the others on the thread have waited long enough.
    fn go_on(&mut self, turn: Instant, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            while let Poll::Ready(Some((id, answer))) = self.pending.poll_next_unpin(context) {
                self.connection.respond(id, answer);
                if Instant::now() >= turn {
                    yield_turn(context);
                    break;
                }
            }
            let waits = self.connection.is_over() || self.is_backed_up();
            let read = if waits { Poll::Pending } else { self.poll_receive(turn, context)? };
            let written = self.poll_write(context)?;
            if self.connection.is_over() {
                // What cannot be said to a client that does not listen is not said.
                self.watch.close_soon();
                ready!(written);
                return Pin::new(&mut *self.stream).poll_shutdown(context).map(|_| Ok(()));
            }
            match read {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) if Instant::now() >= turn => {
                    yield_turn(context);
                    return Poll::Pending;
                }
                Poll::Ready(_) => {}
                // Nothing was asked of the socket that would wake this task.
                Poll::Pending if waits && written.is_ready() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether as many answers wait to be written as may.
    fn is_backed_up(&self) -> bool {
        self.connection.out.len() - self.written > self.options.write_buffer.unwrap_or(WRITE)
    }

    /// Takes in what waited, or reads once and takes in what has come; how many bytes there were.
    fn poll_receive(&mut self, turn: Instant, context: &mut Context<'_>) -> std::io::Result<Poll<usize>> {
        if !self.unread.is_empty() {
            let mut unread = std::mem::take(&mut self.unread);
            let taken = self.receive(&unread, turn, context);
            unread.drain(..taken);
            self.unread = unread;
            return Ok(Poll::Ready(taken));
        }
        let size = self.options.read_buffer.unwrap_or(READ);
        let mut buffer = BUFFER.take();
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let mut read = ReadBuf::new(&mut buffer[..size]);
        let polled = Pin::new(&mut *self.stream).poll_read(context, &mut read);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.connection.heard(Instant::now());
            let taken = self.receive(read.filled(), turn, context);
            if taken < read.filled().len() {
                self.unread = read.filled()[taken..].to_vec();
            }
        }
        let length = read.filled().len();
        BUFFER.set(buffer);
        match polled {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(outcome) => outcome.map(|()| Poll::Ready(length)),
        }
    }

    /// Takes in what has come as far as its answers have room and its turn lasts; how many bytes that were.
    fn receive(&mut self, bytes: &[u8], turn: Instant, context: &mut Context<'_>) -> usize {
        let mut rest = bytes;
        let mut unlooked = 0;
        loop {
            let before = rest.len();
            let received = self.connection.receive(&mut rest);
            unlooked += before - rest.len();
            match received {
                Ok(None) => {}
                Ok(Some(complete)) => match complete.call.answer() {
                    Answered::Now(answer) => self.connection.respond(complete.stream, answer),
                    Answered::Later(mut answer) => {
                        let id = complete.stream;
                        match answer.as_mut().poll(context) {
                            Poll::Ready(answer) => self.connection.respond(id, answer),
                            Poll::Pending => self.pending.push(Box::pin(async move { (id, answer.await) })),
                        }
                        unlooked = STEP;
                    }
                },
                Err(fatal) => {
                    tracing::debug!(peer = %self.connection.peer, why = fatal.1, "a connection is ended");
                    self.connection.fail(fatal);
                    return bytes.len();
                }
            }
            let mut is_over = false;
            if unlooked >= STEP {
                unlooked = 0;
                is_over = Instant::now() >= turn;
            }
            if rest.is_empty() || is_over || self.is_backed_up() {
                return bytes.len() - rest.len();
            }
        }
    }

    /// Writes what there is; ready when all of it is written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> std::io::Result<Poll<()>> {
        let out = &mut self.connection.out;
        while self.written < out.len() {
            match Pin::new(&mut *self.stream).poll_write(context, &out[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        if self.written > 0 {
            self.written = 0;
            out.clear();
            out.shrink_to(KEPT);
        }
        match Pin::new(&mut *self.stream).poll_flush(context) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(flushed) => flushed.map(Poll::Ready),
        }
    }

    /// Does what is due, and says whether to go on.
    fn look(&mut self) -> Verdict {
        let now = Instant::now();
        self.connection.end_stalled(now);
        let silent_for = now.duration_since(self.connection.now);
        let unanswered = self.connection.asked().is_some_and(|at| now >= at + self.options.ping_timeout);
        if unanswered || (self.connection.is_within_a_frame() && silent_for >= STALL) {
            return Verdict::Close;
        }
        if self.connection.asked().is_none()
            && self.options.ping_interval.is_some_and(|interval| silent_for >= interval)
        {
            self.connection.ask();
        }
        let verdict = self.watch.look(self.connection.signs());
        if verdict == Verdict::End {
            self.connection.drain();
        }
        verdict
    }

    /// When something can be due at the earliest, whatever happens meanwhile.
    fn next_look(&self) -> Instant {
        let connection = &self.connection;
        let mut due = self.watch.next_look(connection.signs());
        let ping = match connection.asked() {
            Some(at) => Some(at + self.options.ping_timeout),
            None => self.options.ping_interval.map(|interval| connection.now + interval),
        };
        for other in [ping, connection.stalls_at()].into_iter().flatten() {
            due = due.min(other);
        }
        due
    }
}
