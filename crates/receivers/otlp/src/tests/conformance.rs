//! The suite that every receiver passes, over both protocols.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codegen::http::uri::PathAndQuery;

/// Sends over HTTP/1.1; whether the answer was a success.
async fn post(address: SocketAddr, body: Vec<u8>) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = Vec::new();
    stream.write_all(&[head.as_bytes(), &body].concat()).await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

/// Calls Export; whether it succeeded.
async fn call(address: SocketAddr, body: Vec<u8>) -> bool {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let Ok(channel) = endpoint.connect().await else { return false };
    let mut client = tonic::client::Grpc::new(channel);
    let path = PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    client.ready().await.is_ok()
        && client.unary(tonic::Request::new(body.into()), path, forebay_net::RawCodec).await.is_ok()
}

#[tokio::test]
async fn both_protocols_conform() {
    let section =
        |protocol| move |port| format!("protocols: {{{protocol}: {{endpoint: '127.0.0.1:{port}'}}}}\n");
    forebay_testkit::conformance::receiver(&crate::FACTORY, section("http"), post).await;
    forebay_testkit::conformance::receiver(&crate::FACTORY, section("grpc"), call).await;
}
