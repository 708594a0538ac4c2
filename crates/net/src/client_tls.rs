//! TLS towards a backend: the section `tls` of an exporter, and the rustls configuration it means.

use forebay_config::{Diagnostics, Node, Secret, Unsupported, refuse_unsupported};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The section `tls` of an exporter, with the collector's names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTlsConfig {
    /// No TLS (gRPC; over HTTP the endpoint's scheme decides).
    pub insecure: bool,
    /// TLS without a look at who answers.
    pub insecure_skip_verify: bool,
    /// The name to expect in the server's certificate instead of the endpoint's host.
    pub server_name_override: String,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: String,
    /// The same, inline.
    pub ca_pem: Secret,
    /// Trust the system's certificates too.
    pub include_system_ca_certs_pool: bool,
    /// The client's certificate chain (PEM).
    pub cert_file: String,
    /// The same, inline.
    pub cert_pem: Secret,
    /// The client's private key (PEM).
    pub key_file: String,
    /// The same, inline.
    pub key_pem: Secret,
    /// The oldest TLS version: `1.2` (default) or `1.3`.
    pub min_version: String,
    /// The newest TLS version: `1.2` or `1.3` (default).
    pub max_version: String,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub cipher_suites: Unsupported,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub include_insecure_cipher_suites: Unsupported,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub curve_preferences: Unsupported,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub reload_interval: Unsupported,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub tpm: Unsupported,
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A file could not be read.
    #[error("cannot read `{key}` {path}: {error}")]
    Read {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The PEM text holds nothing usable.
    #[error("`{key}` holds no usable {what} (PEM): {error}")]
    Pem {
        /// The configuration key.
        key: &'static str,
        /// What was looked for.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// There is no certificate to trust.
    #[error("the system has no CA certificates to verify the server with: install them, or set `ca_file`")]
    NoRoots,
    /// rustls refuses the combination.
    #[error("the TLS settings do not fit together: {0}")]
    Rustls(#[from] rustls::Error),
    /// `server_name_override` is no host name or address.
    #[error("`server_name_override` is not a host name: {0}")]
    ServerName(String),
}

impl ClientTlsConfig {
    /// What is wrong with the values; `section` is the node that has the key `tls`.
    pub fn check(&self, section: &Node) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Some(tls) = section.get("tls") {
            let advice = [
                ("cipher_suites", "remove it: the suites are rustls' safe defaults"),
                ("include_insecure_cipher_suites", "remove it: insecure suites are not implemented"),
                ("curve_preferences", "remove it: the curves are rustls' safe defaults"),
                ("reload_interval", "remove it: certificates are read when the agent starts"),
                ("tpm", "remove it: keys are read from `key_file` or `key_pem`"),
            ];
            found.extend(refuse_unsupported(tls, &advice));
        }
        let mut wrong = |key: &str, message: String| found.push(section.error_at(&["tls", key], message));
        for (key, version) in [("min_version", &self.min_version), ("max_version", &self.max_version)] {
            if !matches!(version.as_str(), "" | "1.2" | "1.3") {
                wrong(key, format!("`{version}` is not a TLS version that is supported: use `1.2` or `1.3`"));
            }
        }
        if self.min_version == "1.3" && self.max_version == "1.2" {
            wrong("min_version", "must not be greater than `max_version`".to_owned());
        }
        let pairs = [
            ("ca_file", &self.ca_file, "ca_pem", &self.ca_pem),
            ("cert_file", &self.cert_file, "cert_pem", &self.cert_pem),
            ("key_file", &self.key_file, "key_pem", &self.key_pem),
        ];
        for (file_key, file, pem_key, pem) in pairs {
            if !file.is_empty() && !pem.is_empty() {
                wrong(file_key, format!("set either `{file_key}` or `{pem_key}`, not both"));
            }
        }
        let cert = !self.cert_file.is_empty() || !self.cert_pem.is_empty();
        let key = !self.key_file.is_empty() || !self.key_pem.is_empty();
        if cert != key {
            let (there, missing) = if cert { ("cert_file", "key_file") } else { ("key_file", "cert_file") };
            wrong(there, format!("a client certificate needs its key: set `{missing}` too, or neither"));
        }
        if !self.server_name_override.is_empty()
            && ServerName::try_from(self.server_name_override.as_str()).is_err()
        {
            wrong("server_name_override", "must be a host name or an address, without a port".to_owned());
        }
        found
    }

    /// Whether a gRPC endpoint without a scheme is spoken to in plaintext: `insecure`, unless certificates to
    /// trust are given, as the collector has it.
    pub fn is_plaintext(&self) -> bool {
        self.insecure && self.ca_file.is_empty() && self.ca_pem.is_empty()
    }

    /// The rustls configuration; reads the files. `alpn` are the protocols to offer, best first.
    ///
    /// # Errors
    /// When a file is missing or holds nothing usable, or there is no certificate to trust.
    pub fn build(&self, alpn: &[&[u8]]) -> Result<ClientConfig, ClientTlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: Vec<&'static SupportedProtocolVersion> =
            [&rustls::version::TLS12, &rustls::version::TLS13]
                .into_iter()
                .filter(|version| {
                    let is_12 = version.version == rustls::ProtocolVersion::TLSv1_2;
                    !(is_12 && self.min_version == "1.3" || !is_12 && self.max_version == "1.2")
                })
                .collect();
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier(provider)?);
        let cert = load("cert_file", &self.cert_file, &self.cert_pem)?;
        let key = load("key_file", &self.key_file, &self.key_pem)?;
        let mut config = match (cert, key) {
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| ClientTlsError::Pem {
                    key: "key_file",
                    what: "private key",
                    error: error.to_string(),
                })?;
                builder.with_client_auth_cert(certificates("cert_file", &cert)?, key)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    /// A configuration under which no server is trusted.
    pub(crate) fn trust_nobody() -> Result<ClientConfig, ClientTlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ClientTlsError> {
        if self.insecure_skip_verify {
            return Ok(Arc::new(AnyServer(provider)));
        }
        let ca = load("ca_file", &self.ca_file, &self.ca_pem)?;
        let mut roots = RootCertStore::empty();
        if ca.is_none() || self.include_system_ca_certs_pool {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for certificate in ca.map(|ca| certificates("ca_file", &ca)).transpose()?.unwrap_or_default() {
            roots.add(certificate)?;
        }
        if roots.is_empty() {
            return Err(ClientTlsError::NoRoots);
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        if self.server_name_override.is_empty() {
            return Ok(verifier);
        }
        let name = ServerName::try_from(self.server_name_override.clone())
            .map_err(|error| ClientTlsError::ServerName(error.to_string()))?;
        Ok(Arc::new(Renamed { verifier, name }))
    }
}

fn load(key: &'static str, path: &str, pem: &Secret) -> Result<Option<Vec<u8>>, ClientTlsError> {
    if path.is_empty() {
        return Ok((!pem.is_empty()).then(|| pem.expose().as_bytes().to_vec()));
    }
    std::fs::read(path).map(Some).map_err(|error| ClientTlsError::Read { key, path: path.to_owned(), error })
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientTlsError> {
    let what = "certificate";
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| ClientTlsError::Pem { key, what, error: error.to_string() })?;
    if found.is_empty() {
        return Err(ClientTlsError::Pem { key, what, error: "there is none in it".to_owned() });
    }
    Ok(found)
}

/// Trusts whoever answers (`insecure_skip_verify`), if only it holds the key of the certificate it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies against `server_name_override` instead of the endpoint's host.
#[derive(Debug)]
struct Renamed {
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Renamed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
