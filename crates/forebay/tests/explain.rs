//! `forebay explain` against something that answers, something that does not, and nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread::JoinHandle;

const ID: &str = "0AF7651916cd43dd8448eb211c80319c";

/// Answers one request with `answer`; gives back the request's first line.
fn answering(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
    });
    (address, served)
}

/// Whether it succeeded, its output and its errors.
fn explain(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_forebay")).arg("explain").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_tree_or_the_answer_as_it_is() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\
        {\"trace_id\":\"0af7\",\"explanations\":[{\"processor\":\"tail_sampling\",\"state\":\"held\"}]}\n";
    let (address, served) = answering(ANSWER);
    let (success, said, _) = explain(&[ID, "--endpoint", &format!("http://{address}/")]);
    assert!(success && said.contains("└─ held: tail_sampling"), "{said}");
    assert_eq!(served.join().unwrap(), format!("GET /explain/{ID} HTTP/1.0"));
    let (address, _) = answering(ANSWER);
    let (success, said, _) = explain(&["--json", "--endpoint", &address.to_string(), ID]);
    assert!(success && said == ANSWER.split_once("\r\n\r\n").unwrap().1, "{said}");
}

#[test]
fn what_is_not_known_is_an_error() {
    const ANSWER: &str =
        "HTTP/1.1 404 Not Found\r\n\r\n{\"error\":\"nothing is known of this trace\",\"remembered\":[]}";
    let (address, _) = answering(ANSWER);
    let (success, said, error) = explain(&[ID, "--endpoint", &address.to_string()]);
    assert!(!success && said.is_empty() && error == "nothing is known of this trace\n", "{said} {error}");
    let (address, _) = answering(ANSWER);
    let (success, said, _) = explain(&[ID, "--json", "--endpoint", &address.to_string()]);
    assert!(!success && said.starts_with("{\"error\""), "{said}");
    let (address, _) = answering("HTTP/1.1 200 OK\r\n\r\n<html>");
    let (success, _, error) = explain(&[ID, "--endpoint", &address.to_string()]);
    assert!(!success && error.contains("--endpoint"), "{error}");
}

#[test]
fn nobody_there_and_no_id() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (success, _, error) = explain(&[ID, "--endpoint", &gone.to_string()]);
    assert!(!success && error.contains("refused") && error.contains("--endpoint"), "{error}");
    let (success, _, error) = explain(&["123"]);
    assert!(!success && error.contains("32 hexadecimal digits"), "{error}");
}
