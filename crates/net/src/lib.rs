//! Network settings shared by servers and clients: endpoints, TLS, compression, keepalive.
