//! The state alone: however the bytes are cut the same comes out, and no bytes break it.

use super::super::connection::Connection as State;
use super::*;
use proptest::prelude::*;

/// What came out: the frames, and why it ended if it did.
fn play<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Option<u32>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _guard = runtime.enter();
    let echo = Arc::new(Echo::default());
    let mut state = State::new(echo.clone(), PEER, 4, None);
    for mut piece in pieces {
        loop {
            match state.receive(&mut piece) {
                Ok(None) if piece.is_empty() => break,
                Ok(None) => {}
                Ok(Some(complete)) => {
                    let answer = match complete.call.answer() {
                        Answered::Now(answer) => answer,
                        Answered::Later(answer) => runtime.block_on(answer),
                    };
                    state.respond(complete.stream, answer);
                }
                Err(fatal) => {
                    state.gone("");
                    assert_eq!(echo.reading.load(Ordering::Relaxed), 0);
                    return (state.out, Some(fatal.0 as u32));
                }
            }
        }
    }
    state.gone("");
    assert_eq!(echo.reading.load(Ordering::Relaxed), 0);
    (state.out, None)
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        Just(block("/0")),
        Just(block("/refuse")),
        Just(vec![0; 4]),
        Just(vec![0; 8]),
        Just(vec![0, 4, 0, 0, 0, 3]),
        Just(7_u32.to_be_bytes().to_vec()),
    ];
    let flags = prop_oneof![Just(0), Just(1), Just(4), Just(5), any::<u8>()];
    let valid = (0_u32..8, any::<bool>())
        .prop_map(|(number, long)| request(number * 2 + 1, "/0", if long { &[7; 300] } else { b"short" }));
    prop_oneof![
        2 => valid,
        1 => (0_u8..11, flags, 0_u32..9, payload).prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
    ]
}

proptest! {
    #[test]
    fn the_same_comes_out_however_the_bytes_are_cut(
        frames in prop::collection::vec(any_frame(), 0..12),
        cut in 1_usize..80,
    ) {
        let bytes = [hello(&[]), frames.concat()].concat();
        let whole = play(std::iter::once(&bytes[..]));
        prop_assert_eq!(play(bytes.chunks(cut)), whole);
    }

    #[test]
    fn any_bytes_can_come(bytes in prop::collection::vec(any::<u8>(), 0..400), greeted in any::<bool>()) {
        let bytes = if greeted { [hello(&[]), bytes].concat() } else { bytes };
        play(bytes.chunks(7));
    }

    /// Good requests are answered in full, with any header coding and cut of the frames.
    #[test]
    fn every_good_request_gets_its_answer(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 1..20),
        cut in 1_usize..200,
        piece in 1_usize..100,
    ) {
        let mut bytes = hello(&[]);
        for (number, body) in bodies.iter().enumerate() {
            let stream = number as u32 * 2 + 1;
            bytes.extend(frame(kind::HEADERS, flag::END_HEADERS, stream, &block("/0")));
            let mut pieces = body.chunks(piece).peekable();
            if pieces.peek().is_none() {
                bytes.extend(frame(kind::DATA, flag::END_STREAM, stream, b""));
            }
            while let Some(data) = pieces.next() {
                let flags = u8::from(pieces.peek().is_none()) * flag::END_STREAM;
                bytes.extend(frame(kind::DATA, flags, stream, data));
            }
        }
        let (said, fatal) = play(bytes.chunks(cut));
        prop_assert_eq!(fatal, None);
        let said = frames(&said);
        for (number, body) in bodies.iter().enumerate() {
            prop_assert_eq!(data_of(&said, number as u32 * 2 + 1), framed(body));
        }
    }
}
