//! Any bytes on either port: the receiver answers or hangs up, and a good client is served after it.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use forebay_component::{Consumer, Receiver};
use forebay_config::Node;
use forebay_receiver_otlp::{Config, OtlpReceiver};
use forebay_telemetry::Kind;
use forebay_testkit::{Sink, context, requests};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const SECTION: &str = "
protocols:
  grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}
  http: {endpoint: '127.0.0.1:0', max_request_body_size: 65536}
max_in_flight_bytes: 4MiB
";

/// The opening of an HTTP/2 connection: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

struct Target {
    runtime: Runtime,
    receiver: OtlpReceiver,
    sink: Arc<Sink>,
    inputs: usize,
}

thread_local! {
    static TARGET: RefCell<Target> = RefCell::new(Target::start());
}

impl Target {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sink = Arc::new(Sink::default());
        let mut receiver = {
            let _inside = runtime.enter();
            let node = Node::parse_str("fuzz.yaml", SECTION).unwrap();
            let config = Config::read(&node).unwrap();
            let next = Arc::clone(&sink) as Arc<dyn Consumer>;
            OtlpReceiver::build(&config, &context(Kind::Receiver, "otlp"), next).unwrap()
        };
        runtime.block_on(receiver.start()).unwrap();
        Self { runtime, receiver, sink, inputs: 0 }
    }

    fn input(&mut self, data: &[u8]) {
        let Some((how, data)) = data.split_first() else { return };
        let (grpc, http) = (self.receiver.grpc_addr().unwrap(), self.receiver.http_addr().unwrap());
        let encoding = ["identity", "gzip", "zstd", "deflate"][usize::from(how >> 2 & 3)];
        let kind = if how & 16 == 0 { "application/x-protobuf" } else { "application/json" };
        let (address, bytes) = match how & 3 {
            0 => (grpc, data.to_vec()),
            1 => (grpc, [PREFACE, data].concat()),
            2 => (http, data.to_vec()),
            _ => (http, post(kind, encoding, data)),
        };
        self.runtime.block_on(exchange(address, &bytes));
        self.inputs += 1;
        if self.inputs % 64 == 0 {
            let before = self.sink.items();
            let good = post("application/x-protobuf", "identity", &requests::request(1, 0, 2, None));
            let answer = self.runtime.block_on(exchange(http, &good));
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            assert_eq!(self.sink.items(), before + 2);
        }
        if self.inputs % 4096 == 0 {
            // What was taken piles up in the sink.
            *self = Self::start();
        }
    }
}

fn post(kind: &str, encoding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends, says that no more comes, and reads what is answered until the end.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let talk = async {
        if stream.write_all(bytes).await.is_ok() {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut answer).await;
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), talk).await;
    assert!(ended.is_ok(), "neither an answer nor the end of the connection");
    answer
}

fuzz_target!(|data: &[u8]| TARGET.with_borrow_mut(|target| target.input(data)));
