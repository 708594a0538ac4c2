use super::ServerTlsConfig;
use forebay_config::Node;

fn node(text: &str) -> Node {
    Node::parse_str("test.yaml", text).unwrap()
}

fn errors(text: &str) -> String {
    let node = node(text);
    match node.read::<ServerTlsConfig>() {
        Ok(config) => config.check(&node).to_string(),
        Err(errors) => errors.to_string(),
    }
}

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_certificate_and_its_key_are_loaded_from_files_and_from_text() {
    let (cert, key) = pair();
    let folder = tempfile::tempdir().unwrap();
    let (cert_path, key_path) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_path, &cert).unwrap();
    std::fs::write(&key_path, &key).unwrap();
    let text = format!("cert_file: {}\nkey_file: {}", cert_path.display(), key_path.display());
    let config = node(&text).read::<ServerTlsConfig>().unwrap().load(&[b"h2"]).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec()]);

    let inline = serde_json::json!({ "cert_pem": cert, "key_pem": key, "client_ca_file": cert_path });
    node(&inline.to_string()).read::<ServerTlsConfig>().unwrap().load(&[]).unwrap();
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let (cert, _) = pair();
    let (_, other_key) = pair();
    let load = |value: serde_json::Value| {
        let error = node(&value.to_string()).read::<ServerTlsConfig>().unwrap().load(&[]).unwrap_err();
        error.to_string()
    };
    let error = load(serde_json::json!({ "cert_file": "/nowhere/cert.pem", "key_pem": other_key }));
    assert!(error.contains("cert_file") && error.contains("/nowhere/cert.pem"), "{error}");
    let error = load(serde_json::json!({ "cert_pem": "nonsense", "key_pem": other_key }));
    assert!(error.contains("no certificate"), "{error}");
    let error = load(serde_json::json!({ "cert_pem": cert, "key_pem": "nonsense" }));
    assert!(error.contains("private key"), "{error}");
    let error = load(serde_json::json!({ "cert_pem": cert, "key_pem": other_key }));
    assert!(error.contains("belongs to the certificate"), "{error}");
}

#[test]
fn options_that_do_nothing_here_are_refused_where_they_stand() {
    for key in [
        "ca_file: a",
        "ca_pem: a",
        "include_system_ca_certs_pool: true",
        "cipher_suites: [a]",
        "include_insecure_cipher_suites: true",
        "curve_preferences: [a]",
        "reload_interval: 1m",
        "client_ca_file_reload: true",
        "tpm: {enabled: true}",
    ] {
        let found = errors(&format!("cert_file: a\nkey_file: b\n{key}"));
        assert!(found.starts_with("test.yaml:3:1: error"), "{key}: {found}");
        assert!(found.contains("not supported for a server") && found.contains("help"), "{key}: {found}");
    }
    assert!(errors("cert_file: a").contains("its key is missing"));
    assert!(errors("{}").contains("a certificate is missing"));
    assert!(errors("{cert_file: a, cert_pem: b, key_file: c}").contains("both set"));
    assert!(errors("{cert_file: a, key_file: c, min_version: '1.1'}").contains("`1.1` is not supported"));
    assert!(errors("{cert_file: a, key_file: c, min_version: '1.3', max_version: '1.2'}").contains("below"));
    assert_eq!(errors("{cert_file: a, key_file: c, min_version: 1.2}"), "");
}

#[test]
fn secrets_are_not_shown() {
    let config = node("{cert_pem: abc, key_pem: xyz}").read::<ServerTlsConfig>().unwrap();
    let shown = serde_json::to_string(&config).unwrap() + &format!("{config:?}");
    assert!(!shown.contains("abc") && !shown.contains("xyz"), "{shown}");
}
