//! Connections over pipes in memory, with the clock paused: every timeout is exact.

use super::{Handler, Reply, ReplyBody, Server, ServerOptions, Service, serve_connection};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Answers with the path, after as many seconds as it says.
struct Echo;

impl Handler for Echo {
    fn handle(self: Arc<Self>, request: Request<Incoming>, _: SocketAddr) -> Reply {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let seconds = path.trim_start_matches('/').parse().unwrap_or(0);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Response::new(ReplyBody::new(path))
        })
    }
}

struct Connection {
    client: DuplexStream,
    task: JoinHandle<()>,
    stop: CancellationToken,
    born: Instant,
}

fn connect(options: ServerOptions) -> Connection {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let stop = CancellationToken::new();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let serving = serve_connection(Box::new(server), peer, Arc::new(options), Arc::new(Echo), stop.clone());
    Connection { client, task: tokio::spawn(serving), stop, born: Instant::now() }
}

fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

impl Connection {
    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// Reads until `end` has come.
    async fn read_until(&mut self, end: &str) {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            read.push(self.client.read_u8().await.unwrap());
        }
    }

    /// The second at which the connection ended.
    async fn ended_at(mut self) -> u64 {
        let mut rest = Vec::new();
        let _ = self.client.read_to_end(&mut rest).await;
        self.task.await.unwrap();
        self.born.elapsed().as_secs()
    }
}

const GET: &[u8] = b"GET /0 HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_a_head_is_cut_off() {
    let options = ServerOptions { header_timeout: secs(60), ..ServerOptions::default() };
    assert_eq!(connect(options.clone()).ended_at().await, 60);

    // One byte now and then does not help.
    let mut slow = connect(options.clone());
    slow.send(b"GET / HT").await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    slow.send(b"T").await;
    assert_eq!(slow.ended_at().await, 60);

    // Nor does the beginning of HTTP/2.
    let mut slow = connect(options.clone());
    slow.send(b"PRI * HTTP/2.0\r\n").await;
    assert_eq!(slow.ended_at().await, 60);

    // The second request's time starts at its first byte.
    let mut slow = connect(options);
    slow.send(GET).await;
    slow.read_until("/0").await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    slow.send(b"GET").await;
    assert_eq!(slow.ended_at().await, 160);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_at_the_idle_timeout_only() {
    let options =
        ServerOptions { header_timeout: secs(5), idle_timeout: secs(30), ..ServerOptions::default() };
    let mut connection = connect(options.clone());
    connection.send(b"GET /20 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    connection.read_until("/20").await;
    assert_eq!(connection.ended_at().await, 50);

    let forever = ServerOptions { idle_timeout: None, ..options };
    let mut connection = connect(forever);
    connection.send(GET).await;
    connection.read_until("/0").await;
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    connection.send(GET).await;
    connection.read_until("/0").await;
}

#[tokio::test(start_paused = true)]
async fn without_keep_alive_a_connection_serves_one_request() {
    let mut connection = connect(ServerOptions { keep_alive: false, ..ServerOptions::default() });
    connection.send(GET).await;
    assert_eq!(connection.ended_at().await, 0);
}

#[tokio::test(start_paused = true)]
async fn reads_may_be_of_any_size() {
    for read_buffer in [Some(1), Some(64), Some(1 << 20), None] {
        let mut connection = connect(ServerOptions { read_buffer, ..ServerOptions::default() });
        connection.send(GET).await;
        connection.read_until("/0").await;
    }
}

pub(crate) type Client = SendRequest<Empty<Bytes>>;

/// An HTTP/2 client in the place of the end of a pipe.
pub(crate) async fn client(end: &mut DuplexStream) -> Client {
    let (unused, _) = tokio::io::duplex(1);
    let io = TokioIo::new(std::mem::replace(end, unused));
    let (sender, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(driver);
    sender
}

/// A connection with an HTTP/2 client on it.
async fn http2(options: ServerOptions) -> (Client, Connection) {
    let mut connection = connect(options);
    (client(&mut connection.client).await, connection)
}

pub(crate) async fn get(sender: &mut Client, path: &str) -> hyper::Result<Bytes> {
    let request = Request::get(format!("http://a{path}")).body(Empty::new()).unwrap();
    let reply = sender.send_request(request).await?;
    reply.into_body().collect().await.map(|body| body.to_bytes())
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_ends_when_its_requests_are_answered() {
    let options = ServerOptions { max_age: secs(100), ..ServerOptions::default() };
    let (mut sender, connection) = http2(options.clone()).await;
    assert_eq!(get(&mut sender, "/0").await.unwrap(), "/0");
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(get(&mut sender, "/500").await.unwrap(), "/500");
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 590);

    // With a grace it waits no longer than that.
    let options = ServerOptions { max_age_grace: secs(30), ..options };
    let (mut sender, connection) = http2(options).await;
    get(&mut sender, "/500").await.unwrap_err();
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 130);
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_ends() {
    let (mut sender, connection) =
        http2(ServerOptions { idle_timeout: secs(40), ..ServerOptions::default() }).await;
    get(&mut sender, "/10").await.unwrap();
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_requests_finish() {
    let (mut sender, connection) = http2(ServerOptions::default()).await;
    let stop = connection.stop.clone();
    let (reply, ()) = tokio::join!(get(&mut sender, "/20"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
    });
    assert_eq!(reply.unwrap(), "/20");
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 20);
}

#[tokio::test]
async fn a_stop_ends_what_is_left_at_its_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(listener, ServerOptions::default(), Service::Http(Arc::new(Echo))).unwrap();
    let mut client = tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
    client.write_all(b"GET /100000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    while server.connections() == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown(std::time::Instant::now()).await;
    let mut reply = Vec::new();
    let _ = client.read_to_end(&mut reply).await;
    assert_eq!(reply, b"");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_holds_up_no_stop() {
    for said in
        [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"GET / HTTP/1.1\r\nhost:"]
    {
        let mut connection = connect(ServerOptions::default());
        connection.send(said).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        connection.stop.cancel();
        assert_eq!(connection.ended_at().await, 5, "{:?}", String::from_utf8_lossy(said));
    }
}

/// Answers with the name of the thread it runs on.
struct Where;

impl Handler for Where {
    fn handle(self: Arc<Self>, _: Request<Incoming>, _: SocketAddr) -> Reply {
        Box::pin(async { Response::new(ReplyBody::new(std::thread::current().name().unwrap().to_owned())) })
    }
}

/// Runtimes of one thread each, with these names, until what comes with them is dropped.
pub(crate) fn edges<const N: usize>(
    names: [&str; N],
) -> (Vec<tokio::runtime::Handle>, Vec<tokio::sync::oneshot::Sender<()>>) {
    let start = |name: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (handle, (stop, stopped)) = (runtime.handle().clone(), tokio::sync::oneshot::channel::<()>());
        let run = move || drop(runtime.block_on(stopped));
        std::thread::Builder::new().name(name.to_owned()).spawn(run).unwrap();
        (handle, stop)
    };
    names.map(start).into_iter().unzip()
}

#[tokio::test]
async fn connections_are_dealt_to_the_edges_in_equal_parts() {
    let (handles, stops) = edges(["a", "b"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServerOptions { edges: handles.into(), ..ServerOptions::default() };
    let server = Server::start(listener, options, Service::Http(Arc::new(Where))).unwrap();
    let (mut clients, mut served) = (Vec::new(), String::new());
    for _ in 0..4 {
        let mut client = tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
        client.write_all(GET).await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\na") && !reply.ends_with(b"\r\n\r\nb") {
            reply.push(client.read_u8().await.unwrap());
        }
        served.push(char::from(*reply.last().unwrap()));
        clients.push(client);
    }
    assert_eq!(server.connections(), 4);
    assert_eq!(served, "abab");
    server.shutdown(std::time::Instant::now()).await;
    drop(stops);
}

/// What every connection takes, whatever it speaks: what TLS and HTTP need beyond it is theirs alone.
#[tokio::test]
async fn a_connection_takes_little_by_itself() {
    let (options, service) = (Arc::new(ServerOptions::default()), Service::Http(Arc::new(Echo)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
    let client = || super::Client { peer: address, options: Arc::clone(&options), service: service.clone() };
    let socket = |stream| super::Socket::new(stream, Arc::default());
    let serving = size_of_val(&client().secure_and_serve(socket(stream), None, stop.clone()));
    assert!(serving < 512, "{serving}");
    // What waits for an edge to end comes on top.
    let (handles, _stops) = edges(["a"]);
    let seat = super::Edges::new(&handles).unwrap().seat(true);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let waiting = size_of_val(&client().serve_on_edges(stream, seat, stop, kill));
    assert!(waiting < 512, "{waiting}");
}
