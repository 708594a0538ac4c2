//! Windows: what clients may send, and what they let us send.

use super::super::connection::{CONNECTION_WINDOW, STREAM_WINDOW};
use super::super::frame::{Code, setting};
use super::*;

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_leave() {
    let mut connection = connect(ServerOptions::default());
    let settings = hello(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    connection.send(&[settings, request(1, "/0", b"0123456789")].concat()).await;
    assert_eq!(connection.next_of(kind::HEADERS).await.stream, 1);
    connection.send(&frame(kind::WINDOW_UPDATE, 0, 1, &4_u32.to_be_bytes())).await;
    assert_eq!(connection.next().await.payload, framed(b"0123456789")[..4]);
    connection.send(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 8])).await;
    assert_eq!(connection.next_of(kind::DATA).await.payload, framed(b"0123456789")[4..12]);
    // Less than nothing is granted now.
    connection.send(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    connection.send(&frame(kind::WINDOW_UPDATE, 0, 1, &8_u32.to_be_bytes())).await;
    connection.send(&frame(kind::WINDOW_UPDATE, 0, 1, &3_u32.to_be_bytes())).await;
    assert_eq!(connection.next_of(kind::DATA).await.payload, framed(b"0123456789")[12..]);
    let end = connection.next().await;
    assert_eq!((end.kind, end.flags), (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM));
    assert_eq!(end.payload, b"\x00\x0bgrpc-status\x010");
}

/// All answers of a connection share its window, and frames are as small as the client wants them.
#[tokio::test(start_paused = true)]
async fn large_answers_come_in_frames_of_the_clients_size() {
    let mut connection = connect(ServerOptions::default());
    let body: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    connection.send(&hello(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)])).await;
    for piece in request(1, "/0", &body).chunks(10_000) {
        connection.send(piece).await;
    }
    let mut got = Vec::new();
    while got.len() < 65_535 {
        let data = connection.next_of(kind::DATA).await;
        assert!(data.payload.len() <= 16 << 10);
        got.extend_from_slice(&data.payload);
    }
    assert_eq!(got.len(), 65_535);
    connection.send(&frame(kind::WINDOW_UPDATE, 0, 0, &100_000_u32.to_be_bytes())).await;
    while got.len() < body.len() + 5 {
        got.extend_from_slice(&connection.next_of(kind::DATA).await.payload);
    }
    assert_eq!(got, framed(&body));
}

#[tokio::test(start_paused = true)]
async fn bodies_of_any_size_are_let_in_bit_by_bit() {
    let mut connection = connect(ServerOptions::default());
    connection.send(&[hello(&[]), frame(kind::HEADERS, flag::END_HEADERS, 1, &block("/0"))].concat()).await;
    let (size, piece) = (7 << 20, 32 << 10);
    let (mut stream, mut whole) = (i64::from(STREAM_WINDOW), i64::from(CONNECTION_WINDOW));
    // Its settings, its window beyond the protocol's default, its acknowledgement.
    for _ in 0..3 {
        connection.next().await;
    }
    let mut sent = 0;
    while sent < size {
        while stream.min(whole) < piece as i64 {
            let more = connection.next_of(kind::WINDOW_UPDATE).await;
            let window = if more.stream == 0 { &mut whole } else { &mut stream };
            *window += i64::from(u32::from_be_bytes(more.payload.try_into().unwrap()));
        }
        sent += piece;
        (stream, whole) = (stream - piece as i64, whole - piece as i64);
        let flags = u8::from(sent == size) * flag::END_STREAM;
        connection.send(&frame(kind::DATA, flags, 1, &vec![b'x'; piece])).await;
    }
    assert_eq!(connection.next_of(kind::DATA).await.payload[1..5], (size as u32).to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn more_than_the_window_is_refused() {
    // On a stream: its end. It has announced a body larger than any window and does not wait.
    let mut connection = connect(ServerOptions::default());
    let open = frame(kind::HEADERS, flag::END_HEADERS, 1, &block("/0"));
    connection.send(&[hello(&[]), open].concat()).await;
    let mut client = connection.client;
    let piece = frame(kind::DATA, 0, 1, &vec![b'x'; 1 << 20]);
    let (mut reads, mut writes) = tokio::io::split(&mut client);
    let writing = async {
        // The half that is granted again comes back only when it is asked for; this one asks for nothing.
        for _ in 0..6 {
            if writes.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    let mut said = Vec::new();
    let reading = async {
        let mut some = [0; 4096];
        while let Ok(read @ 1..) = reads.read(&mut some).await {
            said.extend_from_slice(&some[..read]);
        }
    };
    tokio::select! { () = reading => {} () = async { writing.await; tokio::time::sleep(Duration::from_secs(1)).await } => {} }
    let said = frames(&said);
    // Each frame fits what was granted by then; none is refused.
    assert!(said.iter().all(|sent| sent.kind != kind::GOAWAY), "{said:?}");

    // The state alone, without grants between: a stream whose second frame is beyond its window.
    let mut state = super::super::connection::Connection::new(Arc::new(Echo::default()), PEER, 10, None);
    let bytes = [hello(&[]), frame(kind::HEADERS, flag::END_HEADERS, 1, &block("/0"))].concat();
    assert!(state.receive(&mut &bytes[..]).unwrap().is_none());
    state.streams[0].window = 10;
    assert!(state.receive(&mut &frame(kind::DATA, 0, 1, &[0; 11])[..]).unwrap().is_none());
    let reset = frames(&state.out).pop().unwrap();
    assert_eq!((reset.kind, reset.code()), (kind::RST_STREAM, Code::FlowControl as u32));
    state.window = 10;
    let Err(fatal) = state.receive(&mut &frame(kind::DATA, 0, 1, &[0; 11])[..]) else { panic!() };
    assert_eq!(fatal.0, Code::FlowControl);
}

/// A client that sends and never reads gets no memory: reading stops when what waits to be written is enough.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_not_read() {
    let mut connection = connect(ServerOptions { ping_policy: None, ..ServerOptions::default() });
    connection.send(&hello(&[])).await;
    let pings = frame(kind::PING, 0, 0, b"pingpong").repeat(100);
    let sending = async {
        let mut sent = 0;
        while connection.client.write_all(&pings).await.is_ok() {
            sent += pings.len();
            assert!(sent < 4 << 20, "all of it is read");
        }
    };
    tokio::time::timeout(Duration::from_secs(1), sending).await.unwrap_err();
}

/// One that reads later gets all its answers: the server goes on reading once what waited is written.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_late_is_served_on() {
    let mut connection = connect(ServerOptions { write_buffer: Some(1000), ..ServerOptions::default() });
    let count = 20_000;
    let mut bytes = hello(&[]);
    for number in 0..count {
        bytes.extend(frame(kind::PING, 0, 0, &u64::to_be_bytes(number)));
    }
    let (mut reads, mut writes) = tokio::io::split(&mut connection.client);
    let writing = async { writes.write_all(&bytes).await.unwrap() };
    let reading = async {
        let mut acknowledged = 0;
        let mut said = Vec::new();
        while acknowledged < count as usize {
            // Reading in bits: the server finds room for all that waits, and then has nothing left to wait for.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut some = [0; 48 << 10];
            let length = reads.read(&mut some).await.unwrap();
            said.extend_from_slice(&some[..length]);
            let whole = said.len() / 17 * 17;
            acknowledged = whole / 17;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(writing, reading) }).await.unwrap();
}
