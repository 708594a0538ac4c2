use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use super::{Edges, PATIENCE, Patience, Seat, less_busy, with_room};
use crate::http2::{Answer, Answered, Call, Calls, Head};
use crate::server::tests::edges;
use crate::server::{ReplyBody, Server, ServerOptions, Service, Stream};

const WINDOW: Duration = PATIENCE.window;

thread_local! {
    static RAN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Threads of a server, all of them this one, and the time.
struct Watched {
    edges: Arc<Edges>,
    now: Instant,
}

impl Watched {
    fn new(count: usize) -> Self {
        let handle = tokio::runtime::Handle::current();
        let edges = Edges::with(&vec![handle; count], PATIENCE, || RAN.get()).unwrap();
        Self { now: edges.started, edges }
    }

    fn seats<const N: usize>(&self) -> [Seat; N] {
        std::array::from_fn(|_| self.edges.seat(true))
    }

    /// A window in which the thread of the first of `seats` ran for so many percent of the time, and all of them had
    /// something to do: which of them moved.
    fn window(&mut self, percent: u32, seats: &mut [&mut Seat]) -> Option<usize> {
        // Each thread has a clock of its own; here all have one, so the thread's is set for it.
        let edge = &self.edges.edges[seats[0].at];
        RAN.set(Duration::from_nanos(edge.ran.load(Relaxed)) + WINDOW * percent / 100);
        assert!(!seats.iter_mut().any(|seat| seat.look(self.now)));
        self.now += WINDOW;
        seats.iter_mut().position(|seat| seat.look(self.now))
    }
}

#[tokio::test]
async fn connections_share_a_thread_until_it_is_full_for_a_second() {
    let mut watched = Watched::new(2);
    let [mut one, mut two, mut three] = watched.seats();
    assert_eq!([one.at, two.at, three.at], [0; 3]);
    // A burst passes.
    for percent in [95, 95, 95, 80] {
        assert_eq!(watched.window(percent, &mut [&mut one, &mut two, &mut three]), None);
    }
    let moved: Vec<_> = (0..4).map(|_| watched.window(95, &mut [&mut one, &mut two, &mut three])).collect();
    assert_eq!(moved, [None, None, None, Some(0)]);
    assert_eq!([one.at, two.at, three.at], [1, 0, 0]);
    // It stays full, and the other has room still: one more goes.
    assert_eq!(watched.window(40, &mut [&mut one]), None);
    watched.now -= WINDOW;
    assert_eq!(watched.window(95, &mut [&mut two, &mut three]), Some(0));
    // Nothing is gained by taking a thread's only connection elsewhere.
    for _ in 0..8 {
        assert_eq!(watched.window(95, &mut [&mut three]), None);
    }
}

#[tokio::test]
async fn connections_come_back_when_there_has_been_little_to_do_for_a_while() {
    let mut watched = Watched::new(2);
    let [mut one, mut two] = watched.seats();
    for _ in 0..3 {
        assert_eq!(watched.window(95, &mut [&mut one, &mut two]), None);
    }
    assert_eq!(watched.window(95, &mut [&mut one, &mut two]), Some(0));
    let mut quiet = |watched: &mut Watched, percent| {
        assert_eq!(watched.window(percent, &mut [&mut two]), None);
        watched.now -= WINDOW;
        watched.window(percent, &mut [&mut one])
    };
    // The first window of the other thread began long before.
    for _ in 0..18 {
        assert_eq!(quiet(&mut watched, 20), None);
    }
    // More came: the count begins anew.
    assert_eq!(quiet(&mut watched, 60), None);
    for _ in 0..19 {
        assert_eq!(quiet(&mut watched, 20), None);
    }
    assert_eq!(quiet(&mut watched, 20), Some(0));
    assert_eq!([one.at, two.at], [0, 0]);
}

#[tokio::test]
async fn new_connections_go_where_there_is_room() {
    let mut watched = Watched::new(3);
    let [mut one] = watched.seats();
    assert_eq!(watched.window(70, &mut [&mut one]), None);
    let now = watched.edges.since_start(Instant::now().max(watched.now));
    watched.edges.edges[0].began.store(now, Relaxed);
    let [two] = watched.seats();
    assert_eq!(two.at, 1);
    // Those that stay are dealt in equal parts, whatever the others do.
    let settled: Vec<Seat> = (0..4).map(|_| watched.edges.seat(false)).collect();
    assert_eq!(settled.iter().map(|seat| seat.at).collect::<Vec<_>>(), [0, 1, 2, 0]);
    drop(settled);
    assert_eq!(watched.edges.seat(false).at, 0);
}

#[test]
fn a_thread_with_about_as_much_to_do_is_no_better() {
    assert_eq!(less_busy(&[950, 700], 0), Some(1));
    assert_eq!(less_busy(&[950, 750], 0), None);
    assert_eq!(less_busy(&[950, 700, 300], 0), Some(2));
    assert_eq!(with_room(&[400, 100], 1), Some(0));
    assert_eq!(with_room(&[450, 100], 1), None);
    assert_eq!(with_room(&[450, 50, 100], 2), Some(1));
    // The first thread is the last to be given up.
    assert_eq!(with_room(&[0, 0], 0), None);
}

/// Answers two calls at a time, once both have come, with the name of the thread and the body.
struct Where(Arc<Barrier>);
struct WhereCall(Vec<u8>, Arc<Barrier>);

impl Calls for Where {
    fn begin(self: Arc<Self>, _: Arc<Head>, _: SocketAddr) -> Result<Box<dyn Call>, Answer> {
        Ok(Box::new(WhereCall(Vec::new(), Arc::clone(&self.0))))
    }

    fn not_http2(&self) -> &'static str {
        "no"
    }
}

impl Call for WhereCall {
    fn data(&mut self, bytes: &[u8]) -> Result<(), Answer> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn answer(self: Box<Self>) -> Answered {
        // The first waits for the other: what is awaited moves too.
        Answered::Later(Box::pin(async move {
            self.1.wait().await;
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            let text = format!("{thread} {}", String::from_utf8_lossy(&self.0));
            http::Response::new(ReplyBody::new(text)).into()
        }))
    }

    fn stalled(self: Box<Self>) -> Answer {
        panic!("a call stalled")
    }

    fn broken(self: Box<Self>, why: &str) {
        panic!("a call broke: {why}")
    }
}

/// Every thread is full in one window, and does nothing in the next.
fn now_and_then() -> Duration {
    thread_local! {
        static ASKED: Cell<u64> = const { Cell::new(0) };
    }
    ASKED.set(ASKED.get() + 1);
    Duration::from_secs(ASKED.get() / 2)
}

async fn call(client: &mut SendRequest<Full<Bytes>>, body: String) -> String {
    client.ready().await.unwrap();
    let request = Request::post("http://x/").body(Full::new(Bytes::from(body))).unwrap();
    let reply = client.send_request(request).await.unwrap();
    String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Connections on two threads that want to be rid of them now and then: every call is answered, wherever.
async fn move_about(tls: bool) {
    let (handles, stops) = edges(["a", "b"]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server_tls = || {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServerOptions { tls: tls.then(server_tls), ..ServerOptions::default() };
    let patience = Patience { window: Duration::from_micros(500), full: 1, calm: 1 };
    let edges = Edges::with(&handles, patience, now_and_then);
    let server = Server::start_on(
        listener,
        options,
        Service::Calls(Arc::new(Where(Arc::new(Barrier::new(2))))),
        edges,
    )
    .unwrap();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = if tls {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(made.cert.der().clone()).unwrap();
            let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
            let config = config.with_safe_default_protocol_versions().unwrap();
            let config = config.with_root_certificates(roots).with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            Box::new(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
        } else {
            Box::new(stream)
        };
        let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        clients.push(client);
    }
    let mut moves = 0;
    let mut threads = [String::new(), String::new()];
    for number in 0..400 {
        let [one, two] = clients.as_mut_slice() else { panic!("two clients") };
        // Both at once, and large enough to come in pieces now and then.
        let body = |more: usize| "x".repeat(1 + number * 301 % 70_000 + more);
        let (said_one, said_two) = tokio::join!(call(one, body(0)), call(two, body(1)));
        for (at, said) in [said_one, said_two].into_iter().enumerate() {
            let (thread, echoed) = said.split_once(' ').unwrap();
            assert!(echoed == body(at));
            moves += usize::from(threads[at] != thread);
            threads[at] = thread.to_owned();
        }
    }
    // The first time they only begin.
    assert!(moves > 10, "{moves}");
    assert_eq!(server.connections(), 2);
    server.shutdown(Instant::now() + Duration::from_secs(10)).await;
    drop(stops);
}

#[tokio::test]
async fn a_connection_that_moves_loses_nothing() {
    move_about(false).await;
}

#[tokio::test]
async fn a_tls_connection_that_moves_loses_nothing() {
    move_about(true).await;
}
