//! Bytes of JSON text, eight at a time: what a string may hold as it is, digits, hex.

const ONES: u64 = 0x0101_0101_0101_0101;

/// The high bit of the first byte that cannot stand for itself in a string: quote, backslash, control character.
/// Bits of later bytes may be wrong.
#[inline]
fn special(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    // With 0x02 flipped the quote changes places with the space, and is just above the control characters.
    let low = word ^ (ONES * 0x02);
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    below(low, 0x21) | below(backslash, 1)
}

/// How many bytes of a string come before the first that cannot stand for itself.
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    match bytes.first_chunk::<32>().map(plain_len_of_32) {
        Some(len @ ..32) => len,
        _ => long_plain_len(bytes),
    }
}

#[inline]
fn plain_len_of_32(bytes: &[u8; 32]) -> usize {
    for (index, word) in bytes.as_chunks().0.iter().enumerate() {
        let special = special(*word);
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    32
}

#[inline(never)]
fn long_plain_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<32>() {
        let plain = plain_len_of_32(chunk);
        if plain < 32 {
            return bytes.len() - rest.len() + plain;
        }
        rest = after;
    }
    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..b' ')).count();
    bytes.len() - rest.len() + plain
}

/// How many digits are in front.
pub(super) fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The number that the digits in front are, and how many those are: up to 19, which cannot overflow.
#[inline]
pub(super) fn leading_number(bytes: &[u8]) -> (u64, usize) {
    let (mut number, mut rest) = (0, bytes.get(..19).unwrap_or(bytes));
    let all = rest.len();
    while let Some((eight, after)) = rest.split_first_chunk()
        && let Some(digits) = eight_digits(*eight)
    {
        number = number * 100_000_000 + digits;
        rest = after;
    }
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        number = number * 10 + u64::from(digit - b'0');
        rest = after;
    }
    (number, all - rest.len())
}

#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(text) ^ (ONES * u64::from(b'0'));
    if (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0) != 0 {
        return None;
    }
    // Neighbours join: two digits, four, eight. The first is the lowest byte.
    let two = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let four = two.wrapping_mul(100).wrapping_add(two >> 16) & 0x0000_ffff_0000_ffff;
    Some(four.wrapping_mul(10_000).wrapping_add(four >> 32) & 0xffff_ffff)
}

/// The `HALF` bytes that `LEN` hex digits of either case stand for, two a byte.
#[inline]
pub(super) fn from_hex<const LEN: usize, const HALF: usize>(digits: &[u8; LEN]) -> Option<[u8; HALF]> {
    // 16 and more is no digit.
    let mut values = [0; LEN];
    for (value, digit) in values.iter_mut().zip(digits) {
        let (number, letter) = (digit.wrapping_sub(b'0'), (digit | 0x20).wrapping_sub(b'a'));
        *value = if number < 10 {
            number
        } else if letter < 6 {
            letter + 10
        } else {
            0x80
        };
    }
    let mut bytes = [0; HALF];
    for (byte, [high, low]) in bytes.iter_mut().zip(values.as_chunks().0) {
        *byte = high << 4 | low;
    }
    let all_digits = values.iter().fold(0, |seen, value| seen | value) < 16;
    all_digits.then_some(bytes)
}

#[cfg(test)]
mod tests;
