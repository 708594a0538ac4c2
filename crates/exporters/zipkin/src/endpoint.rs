//! The remote endpoint of a span, from the attributes that name its peer.

use crate::json::{comma, plain, string};
use forebay_otlp::traces::{AnyValueView, KeyValueView};
use std::net::IpAddr;

/// Names of the peer, best first (OpenTelemetry to Zipkin, remote endpoint); `service.peer.name` is the newer
/// name of `peer.service`. The first [`NAMES_OF_ANY_KIND`] name the peer whichever side it is on; the others are
/// the server's, and so the peer's only for a client or a producer.
const NAMES: [&str; 12] = [
    "peer.service",
    "service.peer.name",
    "server.address",
    "net.peer.name",
    "network.peer.address",
    "server.socket.domain",
    "server.socket.address",
    "net.sock.peer.name",
    "net.sock.peer.addr",
    "peer.hostname",
    "peer.address",
    "db.name",
];
const NAMES_OF_ANY_KIND: usize = 2;

/// Names in [`NAMES`] that are addresses: not a service's name when they are an IP.
const SOCKET_ADDRESSES: [&str; 4] =
    ["network.peer.address", "server.socket.address", "net.sock.peer.addr", "peer.address"];

/// Addresses of the peer with their ports, best first. The first [`ADDRESSES_OF_ANY_KIND`] hold for each side.
const ADDRESSES: [(&str, &str); 5] = [
    ("network.peer.address", "network.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
    ("net.peer.ip", "net.peer.port"),
    ("server.socket.address", "server.socket.port"),
    ("peer.address", "peer.port"),
];
const ADDRESSES_OF_ANY_KIND: usize = 3;

/// Ports that go with a name.
const PORTS: [&str; 2] = ["server.port", "net.peer.port"];

/// The OTLP `SpanKind`s that Zipkin knows.
pub(crate) const SERVER: i32 = 2;
pub(crate) const CLIENT: i32 = 3;
pub(crate) const PRODUCER: i32 = 4;
pub(crate) const CONSUMER: i32 = 5;

/// A span's peer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer<'a> {
    name: Option<&'a str>,
    ip: Option<IpAddr>,
    port: Option<u16>,
}

impl<'a> Peer<'a> {
    /// The peer that a span's attributes name; none if they do not, or if spans of this kind have none.
    pub(crate) fn of(kind: i32, attributes: impl Iterator<Item = KeyValueView<'a>>) -> Option<Self> {
        let (names, addresses, ports) = match kind {
            CLIENT | PRODUCER => (&NAMES[..], &ADDRESSES[..], &PORTS[..]),
            SERVER | CONSUMER => {
                (&NAMES[..NAMES_OF_ANY_KIND], &ADDRESSES[..ADDRESSES_OF_ANY_KIND], &PORTS[..0])
            }
            _ => return None,
        };
        let known: Vec<(&str, AnyValueView<'a>)> = attributes
            .filter(|attribute| may_matter(attribute.key_bytes()))
            .map(|attribute| (attribute.key(), attribute.value()))
            .collect();
        if known.is_empty() {
            return None;
        }
        let value = |key: &str| known.iter().find(|known| known.0 == key).map(|known| known.1);
        let named = |key: &&str| {
            let name = value(key).and_then(text)?;
            (!SOCKET_ADDRESSES.contains(key) || ip(name).is_none()).then_some(name)
        };
        let addressed =
            |(address, at): &(&str, &str)| Some((ip(text(value(address)?)?)?, value(at).and_then(port)));

        let name = names.iter().find_map(named);
        let (ip, socket_port) = match name.and_then(ip) {
            Some(ip) => (Some(ip), None),
            None => addresses.iter().find_map(addressed).map_or((None, None), |(ip, port)| (Some(ip), port)),
        };
        let port = socket_port.or_else(|| ports.iter().find_map(|key| value(key).and_then(port)));
        (name.is_some() || ip.is_some()).then_some(Self { name, ip, port })
    }

    /// Appends it as a Zipkin endpoint.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(name) = self.name {
            out.extend_from_slice(b"\"serviceName\":");
            string(out, name);
        }
        if let Some(ip) = self.ip {
            comma(out);
            let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
            plain(out, format_args!("\"{family}\":\"{ip}\""));
        }
        if let Some(port) = self.port {
            comma(out);
            plain(out, format_args!("\"port\":{port}"));
        }
        out.push(b'}');
    }
}

/// Cheap: most attributes name no peer.
fn may_matter(key: &[u8]) -> bool {
    [&b"peer."[..], b"server.", b"net.", b"network.", b"service.peer.", b"db.name"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

fn text(value: AnyValueView<'_>) -> Option<&str> {
    match value {
        AnyValueView::Str(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn port(value: AnyValueView<'_>) -> Option<u16> {
    let port = match value {
        AnyValueView::Int(port) => u16::try_from(port).ok()?,
        AnyValueView::Str(text) => text.parse().ok()?,
        _ => return None,
    };
    (port != 0).then_some(port)
}

/// An address, perhaps in brackets or with a zone, which Zipkin has no place for.
fn ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}
