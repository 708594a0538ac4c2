//! When connections and bodies end.

use super::*;
use crate::server::tests::{Client, client, get};

fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http1_is_told_what_the_port_speaks() {
    let mut connection = connect(ServerOptions::default());
    connection.send(b"POST /v1/traces HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (said, at) = connection.ended().await;
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 415 "), "{said}");
    assert!(said.ends_with("\r\n\r\nspeak HTTP/2"), "{said}");
    assert_eq!(at, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_the_preface_is_cut_off() {
    for said in [&b""[..], b"PRI * HTTP"] {
        let options = ServerOptions { header_timeout: secs(60), ..ServerOptions::default() };
        let mut connection = connect(options);
        connection.send(said).await;
        assert_eq!(connection.ended().await.1, 60);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_stops_coming_ends_the_connection() {
    let headers = request(1, "/0", b"");
    let mut cut_block = headers.clone();
    cut_block[4] = 0;
    let head_only = frame(kind::PING, 0, 0, &[0; 8]);
    for part in [&headers[..5], &headers[..20], &cut_block[..headers.len() - HEAD], &head_only[..HEAD]] {
        let mut connection = connect(ServerOptions::default());
        connection.send(&[&hello(&[])[..], part].concat()).await;
        assert_eq!(connection.ended().await.1, 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_answered_and_others_go_on() {
    let mut connection = connect(ServerOptions::default());
    let half = request(1, "/0", b"never whole");
    connection.send(&[&hello(&[])[..], &half[..half.len() - 3]].concat()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    connection.send(&half[half.len() - 3..half.len() - 2]).await;
    let answer = connection.next_of(kind::HEADERS).await;
    assert_eq!(connection.born.elapsed().as_secs(), 40);
    assert_eq!((answer.stream, &answer.payload[..]), (1, &b"\x08\x03408"[..]));
    assert_eq!(connection.next().await.payload, b"stalled");
    assert_eq!(connection.next().await.kind, kind::RST_STREAM);
    connection.send(&[&half[half.len() - 2..], &request(3, "/0", b"whole")].concat()).await;
    assert_eq!(connection.next_of(kind::DATA).await.payload, framed(b"whole"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_cut_off() {
    let options = ServerOptions {
        ping_interval: secs(30),
        ping_timeout: Duration::from_secs(5),
        ..ServerOptions::default()
    };
    let mut silent = connect(options.clone());
    silent.send(&hello(&[])).await;
    assert_eq!(silent.ended().await.1, 35);
    // One that answers lives on.
    let mut alive = connect(options);
    alive.send(&hello(&[])).await;
    for _ in 0..3 {
        let ping = alive.next_of(kind::PING).await;
        alive.send(&frame(kind::PING, flag::ACK, 0, &ping.payload)).await;
    }
    assert_eq!(alive.born.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn too_many_pings_end_the_connection() {
    let policy = PingPolicy { min_time: Duration::from_secs(10), permit_without_stream: true };
    let options = ServerOptions { ping_policy: Some(policy), ..ServerOptions::default() };
    let pings = |options: ServerOptions, every: u64, request_every: usize| async move {
        let mut connection = connect(options);
        connection.send(&hello(&[])).await;
        for number in 0..20_u32 {
            tokio::time::sleep(Duration::from_secs(every)).await;
            if request_every > 0 && (number as usize).is_multiple_of(request_every) {
                connection.send(&request(number * 2 + 1, "/0", b"")).await;
            }
            if connection.client.write_all(&frame(kind::PING, 0, 0, b"pingpong")).await.is_err() {
                break;
            }
        }
        let ended = connection.task.is_finished();
        connection.stop.cancel();
        let (said, _) = connection.ended().await;
        let goaway = frames(&said).into_iter().find(|sent| sent.kind == kind::GOAWAY).unwrap();
        assert_eq!(goaway.payload.ends_with(b"too_many_pings") && goaway.code() == 0xb, ended);
        ended
    };
    assert!(pings(options.clone(), 1, 0).await);
    assert!(!pings(options.clone(), 10, 0).await);
    assert!(!pings(ServerOptions { ping_policy: None, ..options.clone() }, 1, 0).await);
    // An answer forgives.
    assert!(!pings(options.clone(), 1, 2).await);
    // With nothing under way two hours are the least, unless it is permitted.
    let strict = PingPolicy { permit_without_stream: false, ..policy };
    assert!(pings(ServerOptions { ping_policy: Some(strict), ..options }, 10, 0).await);
}

/// A client that does as it should, of another make.
async fn http2(options: ServerOptions) -> (Client, Connection) {
    let mut connection = connect(options);
    (client(&mut connection.client).await, connection)
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_ends_when_its_requests_are_answered() {
    let options = ServerOptions { max_age: secs(100), ..ServerOptions::default() };
    let (mut sender, connection) = http2(options.clone()).await;
    assert_eq!(get(&mut sender, "/0").await.unwrap(), framed(b""));
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(get(&mut sender, "/500").await.unwrap(), framed(b""));
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 590);

    // With a grace it waits no longer than that.
    let options = ServerOptions { max_age_grace: secs(30), ..options };
    let (mut sender, connection) = http2(options).await;
    get(&mut sender, "/500").await.unwrap_err();
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 130);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends() {
    let (mut sender, connection) =
        http2(ServerOptions { idle_timeout: secs(40), ..ServerOptions::default() }).await;
    get(&mut sender, "/10").await.unwrap();
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_requests_finish() {
    let (mut sender, connection) = http2(ServerOptions::default()).await;
    let stop = connection.stop.clone();
    let (reply, ()) = tokio::join!(get(&mut sender, "/20"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
    });
    assert_eq!(reply.unwrap(), framed(b""));
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_holds_up_no_stop() {
    for said in [b"".to_vec(), b"PRI * HTTP/2.0\r\n".to_vec(), hello(&[])] {
        let mut connection = connect(ServerOptions::default());
        connection.send(&said).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        connection.stop.cancel();
        assert_eq!(connection.ended().await.1, 5, "{:?}", String::from_utf8_lossy(&said));
    }
}

/// Requests that cross the announcement of the end are served; those after the last one was named are not.
#[tokio::test(start_paused = true)]
async fn what_crosses_the_announcement_of_the_end_is_served() {
    let mut connection = connect(ServerOptions::default());
    connection.send(&[hello(&[]), request(1, "/5", b"a")].concat()).await;
    connection.next_of(kind::WINDOW_UPDATE).await;
    connection.stop.cancel();
    let first = connection.next_of(kind::GOAWAY).await;
    assert_eq!(first.payload[..4], (u32::MAX >> 1).to_be_bytes());
    let ping = connection.next_of(kind::PING).await;
    connection.send(&request(3, "/5", b"b")).await;
    connection.send(&frame(kind::PING, flag::ACK, 0, &ping.payload)).await;
    assert_eq!(connection.next_of(kind::GOAWAY).await.payload[..4], 3_u32.to_be_bytes());
    connection.send(&request(5, "/0", b"c")).await;
    let refused = connection.next_of(kind::RST_STREAM).await;
    assert_eq!((refused.stream, refused.code()), (5, 7));
    let (said, at) = connection.ended().await;
    let said = frames(&said);
    assert_eq!((data_of(&said, 1), data_of(&said, 3), at), (framed(b"a"), framed(b"b"), 5));
}
