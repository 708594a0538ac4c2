//! The one request that the command makes. Plain HTTP/1.0: the answer ends with the connection.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// To connect to one address.
const CONNECT: Duration = Duration::from_secs(5);
/// For each part of the answer; the agent itself waits for a second at most.
const READ: Duration = Duration::from_secs(10);
/// An answer is a few KiB.
const LARGEST: u64 = 16 << 20;

/// What an agent answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Gets `path` from the agent at `endpoint`, such as `http://127.0.0.1:8888`.
pub fn get(endpoint: &str, path: &str) -> Result<Answer, String> {
    let (host, base) = split(endpoint)?;
    let failed = |error: std::io::Error| {
        format!(
            "cannot ask {endpoint}: {error}; --endpoint must name the admin endpoint of a running agent \
             (service.telemetry.admin.endpoint)"
        )
    };
    let mut stream = connect(&host).map_err(failed)?;
    let request = format!("GET {base}{path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer).map_err(failed)?;
    parse(&answer)
        .ok_or_else(|| format!("{endpoint} does not speak HTTP; --endpoint must name an admin endpoint"))
}

/// Host with port, and the path before ours.
pub(super) fn split(endpoint: &str) -> Result<(String, &str), String> {
    let rest = match endpoint.split_once("://") {
        None => endpoint,
        Some(("http", rest)) => rest,
        Some(_) => {
            return Err(format!("{endpoint}: admin endpoints speak plain HTTP: give http://HOST:PORT"));
        }
    };
    let (host, base) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let valid = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    if !valid(host) || base.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(format!("`{endpoint}` is no endpoint: give http://HOST:PORT"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok((host, base.trim_end_matches('/')))
}

fn connect(host: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(READ))?;
                stream.set_write_timeout(Some(READ))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (answer.get(..end)?, answer.get(end + 4..)?);
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next()?.parse().ok()?;
    Some(Answer { status, body: String::from_utf8_lossy(body).into_owned() })
}
