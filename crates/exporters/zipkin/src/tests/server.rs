//! A small HTTP/1.1 server that answers as it is told and remembers what it got.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// One request: its first line, its headers (names in lower case), its body.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A status with more header lines (each ended) and a body.
    Status(u16, String, String),
    /// Close the connection.
    HangUp,
    /// Never answer.
    Silence,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    got: Vec<Got>,
    connections: usize,
}

/// The server; lives as long as the runtime.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Answers with `answers` in turn, then with 202.
    pub(super) async fn start(answers: Vec<Answer>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { answers: answers.into(), ..State::default() }));
        let server = Self { address, state };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, tls) = (accepting.clone(), tls.clone());
                server.state.lock().unwrap().connections += 1;
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => server.serve(stream).await,
                            Err(_) => None,
                        },
                        None => server.serve(stream).await,
                    }
                });
            }
        });
        server
    }

    /// The same at another address, where nobody may listen.
    pub(super) fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().got.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            let mut headers = HashMap::new();
            loop {
                let mut header = String::new();
                stream.read_line(&mut header).await.ok()?;
                let Some((name, value)) = header.trim().split_once(':') else { break };
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            let length = headers.get("content-length").and_then(|length| length.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.ok()?;
            let answer = {
                let mut state = self.state.lock().unwrap();
                state.got.push(Got { line: line.trim().to_owned(), headers, body });
                state.answers.pop_front().unwrap_or(Answer::Status(202, String::new(), String::new()))
            };
            match answer {
                Answer::Status(status, more, text) => {
                    let length = text.len();
                    let head =
                        format!("HTTP/1.1 {status} Words\r\nContent-Length: {length}\r\n{more}\r\n{text}");
                    stream.write_all(head.as_bytes()).await.ok()?;
                    stream.flush().await.ok()?;
                }
                Answer::HangUp => return None,
                Answer::Silence => std::future::pending().await,
            }
        }
    }
}
