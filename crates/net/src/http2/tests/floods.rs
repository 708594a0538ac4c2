//! Clients that make a lot of little: work, memory, answers.

use super::super::connection::{Connection as State, KEPT_STREAMS};
use super::super::frame::{Code, setting};
use super::super::hpack::{Decoder, put_header};
use super::*;

fn open(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, block)
}

fn state(bytes: &[u8]) -> State {
    let mut state = State::new(Arc::new(Echo::default()), PEER, 1000, None);
    take(&mut state, bytes);
    state
}

/// Takes in bytes that complete no call.
fn take(state: &mut State, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        assert!(state.receive(&mut bytes).unwrap().is_none());
    }
}

/// A connection that keeps its thread busy lets others have theirs in between.
#[tokio::test(start_paused = true)]
async fn connections_take_turns() {
    let mut busy = connect(ServerOptions::default());
    let mut other = connect(ServerOptions::default());
    let (stop, echo) = (busy.stop.clone(), Arc::clone(&busy.echo));
    // Both answer to the same list.
    let (client, server) = tokio::io::duplex(64 * 1024);
    other.client = client;
    let serving = serve_calls(Box::new(server), PEER, Arc::default(), echo.clone(), stop.clone());
    let other_task = tokio::spawn(serving);
    let works: Vec<u8> = (0..50).flat_map(|number| request(number * 2 + 1, "/work", b"x")).collect();
    busy.send(&[hello(&[]), works].concat()).await;
    // So does whatever the runtime hears of only when it looks: here a timer, else the sockets.
    let answered = Arc::clone(&echo);
    let timer = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(9)).await;
        answered.answered.lock().unwrap().len()
    });
    other.send(&[hello(&[]), request(1, "/0", b"quick")].concat()).await;
    assert_eq!(other.next_of(kind::DATA).await.payload, framed(b"quick"));
    let quick = echo.answered.lock().unwrap().iter().position(|path| path == "/0").unwrap();
    assert!(quick < 5, "{quick} calls of the other connection came first");
    for _ in 0..50 {
        assert_eq!(busy.next_of(kind::DATA).await.payload, framed(b"x"));
    }
    let late = timer.await.unwrap();
    assert!(late < 15, "{late} calls were answered first");
    drop((busy.client, other.client));
    other_task.await.unwrap();
}

/// What is answered at once takes memory for its answer: no more is begun than may wait to be written.
#[tokio::test(start_paused = true)]
async fn answers_that_are_not_read_hold_up_what_is_asked() {
    let options = ServerOptions { write_buffer: Some(1000), ..ServerOptions::default() };
    let mut connection = connect(options);
    let asked: Vec<u8> = (0..5_000).flat_map(|number| open(number * 2 + 1, &block("/refuse"))).collect();
    let echo = Arc::clone(&connection.echo);
    let (mut reads, mut writes) = tokio::io::split(&mut connection.client);
    let writing = async { writes.write_all(&[hello(&[]), asked].concat()).await.unwrap() };
    tokio::pin!(writing);
    tokio::time::timeout(Duration::from_secs(1), writing.as_mut()).await.unwrap_err();
    // The pipe holds 64 KiB; each answer has more than 50 bytes.
    assert!(echo.refused.load(Ordering::Relaxed) < 2_000, "{:?}", echo.refused);
    let mut some = vec![0; 1 << 20];
    let reading = async {
        while echo.refused.load(Ordering::Relaxed) < 5_000 && reads.read(&mut some).await.unwrap() > 0 {}
    };
    tokio::join!(writing, reading);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_hear_its_end_is_closed() {
    let mut connection = connect(ServerOptions { write_buffer: Some(1000), ..ServerOptions::default() });
    let pings = frame(kind::PING, 0, 0, b"pingpong").repeat(3_900);
    connection.send(&[hello(&[]), pings, frame(kind::PING, 0, 0, b"short")].concat()).await;
    connection.task.await.unwrap();
    assert_eq!(connection.born.elapsed().as_secs(), 10);
}

/// Leave for one stream is that stream's; what waits for the connection's goes on with the oldest.
#[tokio::test(start_paused = true)]
async fn answers_go_on_with_the_leave_they_wait_for() {
    let mut connection = connect(ServerOptions::default());
    let mut bytes = hello(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    for stream in [1, 3, 5, 7] {
        bytes.extend(request(stream, "/0", b"123"));
    }
    connection.send(&bytes).await;
    let grant = |stream, bytes: u32| frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    connection.send(&[grant(0, 100), grant(5, 3), grant(3, 8)].concat()).await;
    let data = connection.next_of(kind::DATA).await;
    assert_eq!((data.stream, data.payload.len()), (5, 3));
    let data = connection.next_of(kind::DATA).await;
    assert_eq!((data.stream, data.payload.len()), (3, 8));
    connection.send(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9])).await;
    for (stream, length) in [(1, 8), (5, 5), (7, 8)] {
        let data = connection.next_of(kind::DATA).await;
        assert_eq!((data.stream, data.payload.len()), (stream, length));
    }
}

/// A connection without requests keeps nothing of the large ones it had.
#[tokio::test]
async fn an_idle_connection_is_small() {
    let mut large = block("/0");
    for number in 0..10 {
        put_header(&mut large, format!("a-{number}").as_bytes(), &[b'x'; 1000]);
    }
    let mut state = state(&[hello(&[]), open(1, &large)].concat());
    assert!(state.last_head.is_none());
    for number in 1..1000 {
        take(&mut state, &open(number * 2 + 1, &block("/0")));
    }
    assert!(state.last_head.is_some());
    assert_eq!(state.streams.len(), 1000);
    for number in 0..1000 {
        take(&mut state, &frame(kind::RST_STREAM, 0, number * 2 + 1, &[0; 4]));
    }
    assert!(state.streams.is_empty() && state.streams.capacity() <= KEPT_STREAMS);
}

/// One large entry of the table, named again and again.
#[test]
fn a_few_bytes_do_not_stand_for_any_number_of_headers() {
    let mut decoder = Decoder::default();
    let mut entry = vec![0x40, 1, b'a', 0x7f, 0x80 | 33, 30];
    let length = 0x7f + 33 + (30 << 7);
    entry.extend(vec![b'x'; length]);
    let mut seen = 0;
    decoder.decode(&entry, |header| seen += header.value.len()).unwrap();
    assert_eq!(seen, length);
    decoder.decode(&[0x80 | 62; 20], |_| {}).unwrap();
    decoder.decode(&[0x80 | 62; 40], |_| {}).unwrap_err();
    // The same as a literal's name.
    let mut decoder = Decoder::default();
    let mut entry = vec![0x40, 0x7f, 0x80 | 33, 30];
    entry.extend(vec![b'x'; length]);
    entry.push(0);
    decoder.decode(&entry, |_| {}).unwrap();
    let mut calls = 0;
    decoder.decode(&[0x0f, 62 - 15, 0].repeat(10_000), |_| calls += 1).unwrap_err();
    assert!(calls < 40);
}

#[tokio::test(start_paused = true)]
async fn a_stream_below_those_that_have_begun_is_an_error() {
    let mut connection = connect(ServerOptions::default());
    connection.send(&[hello(&[]), request(5, "/0", b"x"), open(3, &block("/0"))].concat()).await;
    let said = frames(&connection.ended().await.0);
    assert_eq!(data_of(&said, 5), framed(b"x"));
    assert_eq!(said.last().unwrap().code(), Code::Protocol as u32);
}

/// Nothing comes before the server's settings, not even the announcement of its end.
#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_byte_comes_after_the_settings() {
    let mut connection = connect(ServerOptions::default());
    connection.send(&PREFACE[..5]).await;
    connection.stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    connection.send(&[&hello(&[])[5..], &request(1, "/0", b"x")].concat()).await;
    let said = frames(&connection.ended().await.0);
    assert_eq!((said[0].kind, said[2].kind), (kind::SETTINGS, kind::GOAWAY));
    assert_eq!(data_of(&said, 1), framed(b"x"));
}
