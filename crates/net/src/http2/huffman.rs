//! Text compressed with HPACK's Huffman code (RFC 7541, appendix B). The code is canonical: the lengths say it all.

/// Bits of each byte's code, and of the end-of-string symbol.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;
const END: u16 = 256;

/// The symbols in the order of their codes, and where each length begins.
struct Codes {
    symbols: [u16; 257],
    /// By length: the first code, and the place of its symbol.
    first: [(u32, u16); LONGEST + 2],
}

const CODES: Codes = codes();

const fn codes() -> Codes {
    let mut codes = Codes { symbols: [0; 257], first: [(0, 0); LONGEST + 2] };
    let (mut code, mut place, mut length) = (0, 0, SHORTEST);
    while length <= LONGEST {
        codes.first[length] = (code, place as u16);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[place] = symbol as u16;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    codes.first[LONGEST + 1] = (code, place as u16);
    codes
}

/// By the next eight bits: the symbol whose code they begin with, and its length; 0 if it is longer.
const SHORT: [(u8, u8); 256] = short();

const fn short() -> [(u8, u8); 256] {
    let mut short = [(0, 0); 256];
    let mut bits = 0;
    while bits < short.len() {
        if let Some((symbol, length)) = symbol(bits as u64, 8) {
            short[bits] = (symbol as u8, length as u8);
        }
        bits += 1;
    }
    short
}

/// Appends what `coded` stands for; false if it is no such text.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut bits, mut have) = (0_u64, 0_usize);
    let mut rest = coded.iter();
    loop {
        while have <= 32 {
            let Some(&byte) = rest.next() else { break };
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        if have >= 8 {
            let (symbol, length) = SHORT[(bits >> (have - 8)) as usize & 0xff];
            if length > 0 {
                out.push(symbol);
                have -= usize::from(length);
                bits &= (1 << have) - 1;
                continue;
            }
        }
        match symbol(bits, have) {
            Some((END, _)) => return false,
            Some((symbol, length)) => {
                out.push(symbol as u8);
                have -= length;
                bits &= (1 << have) - 1;
            }
            // What is left over pads the last byte: less than a byte, all ones (section 5.2).
            None => return have < 8 && bits == (1 << have) - 1,
        }
    }
}

/// The symbol that the first of `have` bits stand for, and how many bits it has.
const fn symbol(bits: u64, have: usize) -> Option<(u16, usize)> {
    let mut length = SHORTEST;
    while length <= LONGEST && length <= have {
        let code = (bits >> (have - length)) as u32;
        let (first, place) = CODES.first[length];
        let count = (CODES.first[length + 1].1 - place) as u32;
        if code < first + count {
            return Some((CODES.symbols[place as usize + (code - first) as usize], length));
        }
        length += 1;
    }
    None
}

/// The other way, to test with.
#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut have) = (Vec::new(), 0_u64, 0);
    let put = |bits: &mut u64, have: &mut usize, out: &mut Vec<u8>| {
        while *have >= 8 {
            *have -= 8;
            out.push((*bits >> *have) as u8);
            *bits &= (1 << *have) - 1;
        }
    };
    for &byte in text {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let (first, place) = CODES.first[length];
        let at = CODES.symbols.iter().position(|&symbol| symbol == u16::from(byte)).unwrap_or_default();
        bits = bits << length | u64::from(first + (at - usize::from(place)) as u32);
        have += length;
        put(&mut bits, &mut have, &mut out);
    }
    if have > 0 {
        let pad = 8 - have;
        bits = bits << pad | ((1 << pad) - 1);
        have = 8;
        put(&mut bits, &mut have, &mut out);
    }
    out
}
