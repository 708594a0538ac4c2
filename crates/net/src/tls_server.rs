//! TLS of servers: the collector's `tls` section (configtls.ServerConfig).

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_config::{Diagnostics, Node, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The `tls` section of a server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTlsConfig {
    /// The certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The certificate chain itself instead of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_pem: Option<Secret>,
    /// The key itself instead of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pem: Option<Secret>,
    /// Authorities of client certificates, PEM; when set, a client must show one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
    #[serde(skip_serializing)]
    ca_file: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    ca_pem: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    include_system_ca_certs_pool: Option<bool>,
    #[serde(skip_serializing)]
    cipher_suites: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    include_insecure_cipher_suites: Option<bool>,
    #[serde(skip_serializing)]
    curve_preferences: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    reload_interval: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    client_ca_file_reload: Option<bool>,
    #[serde(skip_serializing)]
    tpm: Option<IgnoredAny>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" | "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            other => Err(serde::de::Error::custom(format!(
                "the TLS version `{other}` is not supported: use \"1.2\" or \"1.3\""
            ))),
        }
    }
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "cannot read `tls.{option}` {path}: {source}; check that the file exists and that this user may read it"
    )]
    Read {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text holds no certificate or key.
    #[error("`tls.{option}` holds no PEM {what}: {detail}")]
    Pem {
        /// The option at fault.
        option: &'static str,
        /// What was looked for.
        what: &'static str,
        /// What the reader said.
        detail: String,
    },
    /// The certificate and its key do not fit, or the like.
    #[error("`tls` cannot be used: {0}; check that the key belongs to the certificate")]
    Unusable(String),
}

impl ServerTlsConfig {
    /// What is wrong or not supported in the section at `node`.
    pub fn check(&self, node: &Node) -> Diagnostics {
        let mut found = Diagnostics::default();
        let unsupported = [
            ("ca_file", self.ca_file.is_some(), "a server checks its clients by `client_ca_file`"),
            ("ca_pem", self.ca_pem.is_some(), "a server checks its clients by `client_ca_file`"),
            (
                "include_system_ca_certs_pool",
                self.include_system_ca_certs_pool == Some(true),
                "a server checks its clients by `client_ca_file` alone",
            ),
            (
                "cipher_suites",
                self.cipher_suites.is_some(),
                "rustls offers its safe suites only; remove the key",
            ),
            (
                "include_insecure_cipher_suites",
                self.include_insecure_cipher_suites == Some(true),
                "rustls has no insecure suites; remove the key",
            ),
            (
                "curve_preferences",
                self.curve_preferences.is_some(),
                "X25519, P-256 and P-384 are offered; remove the key",
            ),
            (
                "reload_interval",
                self.reload_interval.is_some(),
                "restart the agent after a change of certificates",
            ),
            (
                "client_ca_file_reload",
                self.client_ca_file_reload == Some(true),
                "restart the agent after a change of authorities",
            ),
            ("tpm", self.tpm.is_some(), "use `key_file` or `key_pem`"),
        ];
        for (key, set, instead) in unsupported {
            if set {
                let error = node.error_at_key(key, format!("`{key}` is not supported for a server"));
                found.push(error.with_help(instead));
            }
        }
        for (file, pem, both) in [
            ("cert_file", "cert_pem", self.cert_file.is_some() && self.cert_pem.is_some()),
            ("key_file", "key_pem", self.key_file.is_some() && self.key_pem.is_some()),
        ] {
            if both {
                found.push(node.error_at_key(pem, format!("`{file}` and `{pem}` are both set: use one")));
            }
        }
        let has_cert = self.cert_file.is_some() || self.cert_pem.is_some();
        let has_key = self.key_file.is_some() || self.key_pem.is_some();
        if !has_cert || !has_key {
            let missing = if has_cert { "its key" } else { "a certificate" };
            let error = node.error_at(
                &[],
                format!("a server with TLS needs a certificate and its key: {missing} is missing"),
            );
            found.push(error.with_help("set `cert_file` and `key_file`"));
        }
        if self.max_version.is_some_and(|max| max < self.min_version) {
            found.push(node.error_at_key("max_version", "`max_version` is below `min_version`"));
        }
        found
    }

    /// Reads the files and makes the configuration for rustls; `alpn` are the protocols offered, best first.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should.
    pub fn load(&self, alpn: &[&[u8]]) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let chain = read(self.cert_file.as_deref(), self.cert_pem.as_ref(), "cert_file")?;
        let chain = certificates(&chain, "cert_file")?;
        let key = read(self.key_file.as_deref(), self.key_pem.as_ref(), "key_file")?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::Pem {
            option: "key_file",
            what: "private key",
            detail: error.to_string(),
        })?;
        let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions())
            .map_err(|error| unusable(&error))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let text = read(Some(path), None, "client_ca_file")?;
                for certificate in certificates(&text, "client_ca_file")? {
                    roots.add(certificate).map_err(|error| TlsError::Pem {
                        option: "client_ca_file",
                        what: "authority",
                        detail: error.to_string(),
                    })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| unusable(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(&error))?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let max = self.max_version.unwrap_or(TlsVersion::V1_3);
        [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)]
            .into_iter()
            .filter(|(version, _)| (self.min_version..=max).contains(version))
            .map(|(_, supported)| supported)
            .collect()
    }
}

fn read(path: Option<&Path>, text: Option<&Secret>, option: &'static str) -> Result<Vec<u8>, TlsError> {
    match (path, text) {
        (Some(path), _) => {
            std::fs::read(path).map_err(|source| TlsError::Read { option, path: path.to_owned(), source })
        }
        (None, text) => Ok(text.map(|text| text.expose().as_bytes().to_vec()).unwrap_or_default()),
    }
}

fn certificates(text: &[u8], option: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |detail: String| TlsError::Pem { option, what: "certificate", detail };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("no certificate found".to_owned()));
    }
    Ok(certificates)
}
