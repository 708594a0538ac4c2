//! TLS: who is trusted, who is shown a certificate, and what is said when it fails.

use super::server::{Reply, Server, grpc_reply, http_reply, start, try_start};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, name: &str, clients: Option<&Authority>) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let (certificate, key) = self.issue(name);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

fn kinds() -> [(&'static str, Reply); 2] {
    [("otlp", grpc_reply(0, "")), ("otlphttp", http_reply(200))]
}

/// PEM as a YAML string.
fn quoted(pem: &str) -> String {
    serde_json::to_string(pem).unwrap()
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_spoken_to() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    for (kind, reply) in kinds() {
        let server = Server::start(vec![], reply, Some(authority.server("localhost", None))).await;
        let endpoint = format!("endpoint: \"https://localhost:{}\"", server.address.port());
        for tls in [format!("ca_pem: {}", quoted(&authority.pem())), format!("ca_file: {}", file.display())] {
            start(kind, &format!("{endpoint}, tls: {{{tls}}}")).send("x").await.unwrap();
            let old = format!("{endpoint}, tls: {{{tls}, max_version: \"1.2\"}}");
            start(kind, &old).send("x").await.unwrap();
        }
        assert!(server.seen().iter().all(|seen| seen.version == http::Version::HTTP_2));
    }
    let server = Server::start(vec![], grpc_reply(0, ""), Some(authority.server("localhost", None))).await;
    let tls = format!("tls: {{ca_pem: {}}}", quoted(&authority.pem()));
    let bare = format!("endpoint: \"localhost:{}\", {tls}", server.address.port());
    start("otlp", &bare).send("x").await.unwrap();
}

#[tokio::test]
async fn others_are_not_and_the_reason_is_said() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (kind, reply) in kinds() {
        let server = Server::start(vec![], reply, Some(authority.server("elsewhere", None))).await;
        let endpoint = format!("endpoint: \"https://localhost:{}\"", server.address.port());
        let cases = [
            (format!("ca_pem: {}", quoted(&other.pem())), Some("invalid peer certificate")),
            (format!("ca_pem: {}", quoted(&authority.pem())), Some("not valid for name")),
            (format!("ca_pem: {}, server_name_override: elsewhere", quoted(&authority.pem())), None),
            ("insecure_skip_verify: true".to_owned(), None),
        ];
        for (tls, error) in cases {
            let outcome = start(kind, &format!("{endpoint}, tls: {{{tls}}}")).send("x").await;
            match error {
                None => outcome.unwrap(),
                Some(words) => {
                    let refusal = outcome.unwrap_err();
                    assert!(refusal.retryable && refusal.message.contains(words), "{kind}: {refusal}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_shown_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = clients.issue("client");
    for (kind, reply) in kinds() {
        let server = Server::start(vec![], reply, Some(authority.server("localhost", Some(&clients)))).await;
        let endpoint = format!("endpoint: \"https://localhost:{}\"", server.address.port());
        let ca = format!("ca_pem: {}", quoted(&authority.pem()));
        let client = format!("cert_pem: {}, key_pem: {}", quoted(&certificate), quoted(&key));
        start(kind, &format!("{endpoint}, tls: {{{ca}, {client}}}")).send("x").await.unwrap();
        let refusal = start(kind, &format!("{endpoint}, tls: {{{ca}}}")).send("x").await.unwrap_err();
        assert!(refusal.retryable, "{refusal}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn files_that_are_missing_or_wrong_stop_the_start_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for kind in ["otlp", "otlphttp"] {
        for (tls, words) in [
            ("ca_file: /does/not/exist.pem".to_owned(), "/does/not/exist.pem"),
            (format!("ca_file: {}", empty.display()), "`ca_file` holds no usable certificate"),
        ] {
            let text = format!("{{endpoint: \"https://localhost:4317\", tls: {{{tls}}}}}");
            let error = try_start(kind, &text).err().unwrap();
            assert!(error.contains(words) && error.contains(kind), "{error}");
        }
    }
}

#[tokio::test]
async fn plaintext_towards_a_tls_port_and_back_fails_clearly() {
    let authority = Authority::new();
    let server = Server::start(vec![], grpc_reply(0, ""), Some(authority.server("localhost", None))).await;
    let endpoint = format!("endpoint: \"localhost:{}\"", server.address.port());
    let refusal = start("otlp", &format!("{endpoint}, tls: {{insecure: true}}")).send("x").await.unwrap_err();
    assert!(refusal.retryable, "{refusal}");
    let plain = Server::start(vec![], grpc_reply(0, ""), None).await;
    let endpoint = format!("endpoint: \"https://localhost:{}\"", plain.address.port());
    let tls = "tls: {insecure_skip_verify: true}";
    let refusal = start("otlp", &format!("{endpoint}, {tls}")).send("x").await.unwrap_err();
    assert!(refusal.retryable, "{refusal}");
}
