//! `localEndpoint` and `remoteEndpoint`.

use crate::json;
use crate::tags::Tags;
use std::borrow::Cow;
use std::net::IpAddr;

/// Attributes that name the peer, whatever the kind of span.
const PEER_NAMES: [&str; 2] = ["service.peer.name", "peer.service"];
/// Attributes that name the peer of a client or a producer, by the specification's ranking.
const CLIENT_PEER_NAMES: [&str; 9] = [
    "server.address",
    "net.peer.name",
    "network.peer.address",
    "server.socket.domain",
    "server.socket.address",
    "net.sock.peer.name",
    "net.sock.peer.addr",
    "peer.hostname",
    "peer.address",
];
const DATABASE_NAMES: [&str; 2] = ["db.namespace", "db.name"];
const PEER_ADDRESSES: [&str; 4] =
    ["network.peer.address", "net.sock.peer.addr", "net.peer.ip", "server.socket.address"];
const PEER_PORTS: [&str; 4] = ["network.peer.port", "net.sock.peer.port", "net.peer.port", "server.port"];
const HOST_ADDRESSES: [&str; 3] = ["network.local.address", "net.sock.host.addr", "net.host.ip"];
const HOST_PORTS: [&str; 3] = ["network.local.port", "net.sock.host.port", "net.host.port"];

/// A side of a call.
struct Endpoint<'a> {
    service: Option<Cow<'a, str>>,
    address: Option<IpAddr>,
    port: Option<u16>,
}

/// Appends `localEndpoint` with a comma in front.
pub(crate) fn write_local(service: &str, tags: &Tags<'_>, out: &mut Vec<u8>) {
    let endpoint = Endpoint {
        service: Some(Cow::Borrowed(service)),
        address: address(tags, &HOST_ADDRESSES),
        port: port(tags, &HOST_PORTS),
    };
    endpoint.write("localEndpoint", out);
}

/// Appends `remoteEndpoint` with a comma in front, if the span says anything about its peer. `kind` is the span's.
pub(crate) fn write_remote(kind: i32, tags: &Tags<'_>, out: &mut Vec<u8>) {
    let is_caller = matches!(kind, 3 | 4);
    let names = PEER_NAMES.iter().chain(CLIENT_PEER_NAMES.iter().filter(|_| is_caller));
    let names = names.chain(DATABASE_NAMES.iter().filter(|_| is_caller));
    let mut service = names.filter_map(|key| tags.get(key)).find(|name| !name.is_empty());
    let address = address(tags, &PEER_ADDRESSES);
    // An address that stands in for a name says nothing more than the address does.
    if address.is_some_and(|address| service.as_ref().is_some_and(|name| *name == address.to_string())) {
        service = None;
    }
    if service.is_none() && address.is_none() {
        return;
    }
    Endpoint { service, address, port: port(tags, &PEER_PORTS) }.write("remoteEndpoint", out);
}

fn address(tags: &Tags<'_>, keys: &[&str]) -> Option<IpAddr> {
    keys.iter().filter_map(|key| tags.get(key)).find_map(|text| text.parse().ok())
}

fn port(tags: &Tags<'_>, keys: &[&str]) -> Option<u16> {
    keys.iter().filter_map(|key| tags.get(key)).find_map(|text| text.parse().ok()).filter(|port| *port > 0)
}

impl Endpoint<'_> {
    fn write(&self, name: &str, out: &mut Vec<u8>) {
        out.push(b',');
        json::string(name, out);
        out.extend_from_slice(b":{");
        let mut comma: &[u8] = b"";
        let mut key = |key: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(comma);
            json::string(key, out);
            out.push(b':');
            comma = b",";
        };
        if let Some(service) = &self.service {
            key("serviceName", out);
            json::string(service, out);
        }
        match self.address {
            Some(IpAddr::V4(address)) => {
                key("ipv4", out);
                json::string(&address.to_string(), out);
            }
            Some(IpAddr::V6(address)) => {
                key("ipv6", out);
                json::string(&address.to_string(), out);
            }
            None => {}
        }
        if let Some(port) = self.port {
            key("port", out);
            json::number(port.into(), out);
        }
        out.push(b'}');
    }
}
