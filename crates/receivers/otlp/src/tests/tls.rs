use super::support::{request, start, wire};
use forebay_testkit::Sink;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// An authority with a server and a client that it knows.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn yaml(&self, mutual: bool) -> String {
        let path = self.path().display();
        let clients = if mutual { format!(", client_ca_file: {path}/ca.pem") } else { String::new() };
        let section = format!(
            "{{endpoint: '127.0.0.1:0', tls: {{cert_file: {path}/server.pem, key_file: {path}/server.key{clients}}}}}"
        );
        format!("{{protocols: {{grpc: {section}, http: {section}}}}}")
    }

    /// A client that trusts the authority, with a certificate of its own or not.
    fn connector(&self, alpn: &[u8], certificate: bool) -> TlsConnector {
        let read = |name: &str| std::fs::read(self.path().join(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&read("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if certificate {
            let chain = vec![CertificateDer::from_pem_slice(&read("client.pem")).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&read("client.key")).unwrap())
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

async fn export(address: std::net::SocketAddr, connector: TlsConnector) -> Result<(), String> {
    let connect = move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    };
    let service = tower_fn::service(connect);
    let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(service).await.map_err(|error| format!("{error:?}"))?;
    let mut client = TraceServiceClient::new(channel);
    client.export(request(1)).await.map(drop).map_err(|status| status.to_string())
}

/// A tower service of a closure; the one thing of tower that the test needs.
mod tower_fn {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    #[derive(Clone)]
    pub(super) struct Closure<F>(F);

    pub(super) fn service<F>(call: F) -> Closure<F> {
        Closure(call)
    }

    impl<F, Fut, T, E> tonic::codegen::Service<http::Uri> for Closure<F>
    where
        F: FnMut(http::Uri) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        type Response = T;
        type Error = E;
        type Future = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, uri: http::Uri) -> Self::Future {
            Box::pin((self.0)(uri))
        }
    }
}

async fn post(address: std::net::SocketAddr, connector: TlsConnector) -> std::io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let body = wire(&request(1));
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    Ok(reply)
}

#[tokio::test]
async fn both_protocols_speak_tls() {
    let certificates = Certificates::new();
    let sink = Arc::new(Sink::default());
    let running = start(&certificates.yaml(false), sink.clone()).await;
    export(running.grpc_addr(), certificates.connector(b"h2", false)).await.unwrap();
    let reply = post(running.http_addr(), certificates.connector(b"http/1.1", false)).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(sink.items(), 2);

    // Plain text where TLS is spoken ends that connection and nothing else.
    let mut plain = TcpStream::connect(running.http_addr()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    export(running.grpc_addr(), certificates.connector(b"h2", false)).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn with_client_ca_file_only_known_clients_get_in() {
    let certificates = Certificates::new();
    let sink = Arc::new(Sink::default());
    let running = start(&certificates.yaml(true), sink.clone()).await;
    export(running.grpc_addr(), certificates.connector(b"h2", false)).await.unwrap_err();
    let refused = post(running.http_addr(), certificates.connector(b"http/1.1", false)).await;
    assert!(refused.is_err() || refused.is_ok_and(|reply| reply.is_empty()));
    // A client of another authority.
    let stranger = Certificates::new();
    std::fs::copy(certificates.path().join("ca.pem"), stranger.path().join("ca.pem")).unwrap();
    export(running.grpc_addr(), stranger.connector(b"h2", true)).await.unwrap_err();
    assert_eq!(sink.items(), 0);

    export(running.grpc_addr(), certificates.connector(b"h2", true)).await.unwrap();
    let reply = post(running.http_addr(), certificates.connector(b"http/1.1", true)).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(sink.items(), 2);
    running.stop().await;
}
