use proptest::prelude::*;

use super::*;

/// Bytes of which many are special, digits, or neighbours of these.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"\"\\\x00\x1f \x7f\x80!#[]/:09`aAfFgG\xff".as_slice()),
        8 => b'0'..=b'9',
        8 => b'a'..=b'z',
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..80)
}

proptest! {
    #[test]
    fn plain_text_ends_at_the_first_special_byte(bytes in bytes()) {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
        prop_assert_eq!(plain_len(&bytes), bytes.iter().position(special).unwrap_or(bytes.len()));
    }

    #[test]
    fn leading_numbers_are_their_digits(digits in "[0-9]{0,24}", rest in bytes()) {
        let text = [digits.as_bytes(), &rest].concat();
        let len = text.iter().take(19).take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&text[..len]).unwrap().parse().unwrap_or(0);
        prop_assert_eq!(leading_number(&text), (number, len));
    }

    #[test]
    fn hex_digits_are_what_the_standard_library_takes_for_such(digits in any::<[u8; 4]>(), hex in "[0-9a-fA-F]{32}") {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        // The standard library takes a sign.
        if !digits.contains(&b'+') {
            prop_assert_eq!(
                from_hex::<4, 2>(&digits),
                byte(&digits[..2]).and_then(|high| Some([high, byte(&digits[2..])?]))
            );
        }
        let bytes = from_hex::<32, 16>(hex.as_bytes().first_chunk().unwrap()).map(u128::from_be_bytes);
        prop_assert_eq!(bytes, u128::from_str_radix(&hex, 16).ok());
    }
}
