use super::{Compression, DecompressError, compress, decompress};
use proptest::prelude::*;

const EACH: [Compression; 5] =
    [Compression::Identity, Compression::Gzip, Compression::Zstd, Compression::Deflate, Compression::Zlib];

fn unlimited(_: usize) -> bool {
    true
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
    for compression in EACH {
        let packed = compress(compression, &[7; 100_000]).unwrap();
        let whole = decompress(compression, &packed, 100_000, &mut unlimited).unwrap();
        assert!(whole == vec![7; 100_000], "{compression}");
        let refused = decompress(compression, &packed, 99_999, &mut unlimited);
        assert!(refused == Err(DecompressError::TooLarge { limit: 99_999 }), "{compression}");
    }
}

#[test]
fn a_bomb_asks_for_no_more_memory_than_the_limit() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate] {
        let bomb = compress(compression, &vec![0; 8 << 20]).unwrap();
        let mut asked = 0;
        let mut room = |more| {
            asked += more;
            true
        };
        let refused = decompress(compression, &bomb, 1 << 20, &mut room);
        assert_eq!(refused, Err(DecompressError::TooLarge { limit: 1 << 20 }), "{compression}");
        assert!(asked <= (1 << 20) + 1, "{compression} asked for {asked} bytes");
    }
}

#[test]
fn no_room_ends_the_work() {
    for compression in EACH {
        let packed = compress(compression, &[1; 1000]).unwrap();
        let refused = decompress(compression, &packed, 1 << 20, &mut |_| false);
        assert_eq!(refused, Err(DecompressError::NoRoom), "{compression}");
    }
}

#[test]
fn what_ends_early_or_goes_on_is_an_error() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate, Compression::Zlib] {
        let packed = compress(compression, b"some spans, and some more spans").unwrap();
        for end in 0..packed.len() {
            let refused = decompress(compression, &packed[..end], 1 << 20, &mut unlimited);
            assert!(refused.is_err(), "{compression} cut at {end}: {refused:?}");
        }
        let long = [&packed[..], b"garbage"].concat();
        assert!(decompress(compression, &long, 1 << 20, &mut unlimited).is_err(), "{compression}");
    }
}

#[test]
fn several_members_or_frames_make_one_message() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let both = [compress(compression, b"one ").unwrap(), compress(compression, b"two").unwrap()].concat();
        assert_eq!(decompress(compression, &both, 1 << 20, &mut unlimited).unwrap(), "one two");
    }
}

#[test]
fn a_zstd_window_beyond_eight_mebibytes_is_refused() {
    // A frame header with a window of 1 GiB (exponent 20), then an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00];
    let refused = decompress(Compression::Zstd, &frame, 1 << 20, &mut unlimited);
    assert!(matches!(refused, Err(DecompressError::Malformed(Compression::Zstd, _))), "{refused:?}");
}

#[test]
fn names_are_read_as_headers_are() {
    assert_eq!("GZIP".parse(), Ok(Compression::Gzip));
    assert_eq!("".parse(), Ok(Compression::Identity));
    assert_eq!(" identity ".parse(), Ok(Compression::Identity));
    let error = "br".parse::<Compression>().unwrap_err().to_string();
    assert!(error.contains("`br`") && error.contains("gzip, zstd"), "{error}");
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(input in prop::collection::vec(any::<u8>(), 0..20_000)) {
        for compression in EACH {
            let packed = compress(compression, &input).unwrap();
            let back = decompress(compression, &packed, input.len(), &mut unlimited).unwrap();
            prop_assert_eq!(&back[..], &input[..]);
        }
    }

    #[test]
    fn any_bytes_end_in_an_answer(input in prop::collection::vec(any::<u8>(), 0..2_000)) {
        for compression in EACH {
            let mut asked = 0;
            let mut room = |more| { asked += more; true };
            let _ = decompress(compression, &input, 10_000, &mut room);
            prop_assert!(asked <= 10_001);
        }
    }

    #[test]
    fn a_flipped_bit_ends_in_an_answer(at in 0usize..40, bit in 0u8..8) {
        for compression in EACH {
            let mut packed = compress(compression, &b"spans ".repeat(30)).unwrap();
            let at = at % packed.len();
            packed[at] ^= 1 << bit;
            let _ = decompress(compression, &packed, 10_000, &mut unlimited);
        }
    }
}
