//! Text to tokens.

use std::fmt;

use crate::error::Located;

/// What the text is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Letters, digits and underscores, starting with a letter. Keywords too.
    Name(String),
    Str(String),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Str(_) => f.write_str("a string"),
            Self::Int(_) | Self::Float(_) => f.write_str("a number"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Two characters before one, so that the longest wins.
const SIGNS: &[&str] = &[
    "==", "!=", ">=", "<=", "=>", ">", "<", "+", "-", "/", "*", "=", "(", ")", "{", "}", ":", ",", ".", "[",
    "]",
];

/// The tokens with their offsets; the last is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Located> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            out.push((at, Token::End));
            return Ok(out);
        };
        let (token, length) = match first {
            '"' => string(rest, at)?,
            '0'..='9' => number(rest, at)?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest, at)?,
            'a'..='z' | 'A'..='Z' => {
                let name = &rest[..prefix(rest, |c| c.is_ascii_alphanumeric() || c == b'_')];
                (Token::Name(name.to_owned()), name.len())
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(unknown(first, rest, at)),
            },
        };
        out.push((at, token));
        rest = &rest[length..];
    }
}

fn unknown(first: char, rest: &str, at: usize) -> Located {
    let error = Located::new(at, format!("unexpected character {first:?}"));
    match first {
        '\'' | '`' | '“' | '”' => error.help("strings are written in double quotes: \"text\""),
        '&' if rest.starts_with("&&") => error.help("write `and`"),
        '|' if rest.starts_with("||") => error.help("write `or`"),
        '!' => error.help("write `not` before the condition, or `!=` between values"),
        _ => error,
    }
}

/// How many bytes at the start satisfy `keep`.
fn prefix(text: &str, keep: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|c| !keep(c)).unwrap_or(text.len())
}

fn number(text: &str, at: usize) -> Result<(Token, usize), Located> {
    if let Some(digits) = text.strip_prefix("0x") {
        let digits = &digits[..prefix(digits, |c| c.is_ascii_hexdigit())];
        if digits.is_empty() || digits.len() % 2 == 1 {
            return Err(Located::new(at, "bytes take two hexadecimal digits each, as in 0x0a1b"));
        }
        let bytes = hex_bytes(digits).unwrap_or_default();
        return Ok((Token::Bytes(bytes), 2 + digits.len()));
    }
    let digit = |c: u8| c.is_ascii_digit();
    let mut length = prefix(text, digit);
    if !text[length..].starts_with('.') {
        let int = text[..length].parse().map_err(|_| {
            Located::new(at, format!("{} does not fit in a 64-bit integer", &text[..length]))
                .help("write it as a float, with a decimal point")
        })?;
        return Ok((Token::Int(int), length));
    }
    length += 1;
    length += prefix(&text[length..], digit);
    let exponent = text[length..].strip_prefix(['e', 'E']).map(|e| (e, e.trim_start_matches(['+', '-'])));
    if let Some((signed, digits)) = exponent {
        let (sign, count) = (signed.len() - digits.len(), prefix(digits, digit));
        if sign <= 1 && count > 0 {
            length += 1 + sign + count;
        }
    }
    let float = text[..length].parse::<f64>().ok().filter(|float| float.is_finite());
    let float = float.ok_or_else(|| Located::new(at, "a number that does not fit in a 64-bit float"))?;
    Ok((Token::Float(float), length))
}

/// The bytes that pairs of hexadecimal digits stand for.
fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

/// A string literal, with Go's escapes.
fn string(text: &str, at: usize) -> Result<(Token, usize), Located> {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    chars.next();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => {
                let string = String::from_utf8(bytes)
                    .map_err(|_| Located::new(at, "the escapes in the string do not make valid UTF-8"))?;
                return Ok((Token::Str(string), place + 1));
            }
            '\n' => {
                return Err(Located::new(at + place, "a string cannot go over several lines")
                    .help("write \\n for a line break"));
            }
            '\\' => {
                let length = escape(&text[place + 1..], &mut bytes).ok_or_else(|| {
                    Located::new(at + place, "unknown escape in a string")
                        .help("write \\\\ for a backslash, as in IsMatch(name, \"\\\\d+\")")
                })?;
                for _ in 0..length {
                    chars.next();
                }
            }
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(Located::new(at, "the string has no closing quote").help("a quote within a string is written \\\""))
}

/// Appends what the escape (without its backslash) stands for; how many characters it takes, all of them ASCII.
fn escape(text: &str, out: &mut Vec<u8>) -> Option<usize> {
    let number = |from: usize, length: usize, radix| {
        let digits = text.get(from..from + length)?;
        let valid = digits.chars().all(|c| c.is_digit(radix));
        valid.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
    };
    let single = match text.chars().next()? {
        'a' => 7,
        'b' => 8,
        't' => b'\t',
        'n' => b'\n',
        'v' => 11,
        'f' => 12,
        'r' => b'\r',
        '\\' => b'\\',
        '"' => b'"',
        'x' => {
            out.push(u8::try_from(number(1, 2, 16)?).ok()?);
            return Some(3);
        }
        '0'..='7' => {
            out.push(u8::try_from(number(0, 3, 8)?).ok()?);
            return Some(3);
        }
        kind @ ('u' | 'U') => {
            let length = if kind == 'u' { 4 } else { 8 };
            let c = char::from_u32(number(1, length, 16)?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + length);
        }
        _ => return None,
    };
    out.push(single);
    Some(1)
}
