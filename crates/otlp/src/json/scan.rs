//! The tokens of a JSON text, taken from its front. The text is known to be UTF-8.

use serde::de::IgnoredAny;

use super::fault::{Fault, Scanned};
use super::text::{digits, from_hex, plain_len};

#[derive(Debug)]
pub(super) struct Scanner<'j> {
    pub(super) rest: &'j [u8],
}

impl<'j> Scanner<'j> {
    /// A fault at the next byte.
    #[cold]
    pub(super) fn fault(&self, message: &str) -> Box<Fault> {
        Fault::new(self.rest, message)
    }

    /// The next byte that is not white space, which is not taken; 0 at the end, as JSON has no such byte.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        match self.rest {
            [byte, ..] if *byte > b' ' => *byte,
            _ => self.skip_white_space(),
        }
    }

    #[inline(never)]
    fn skip_white_space(&mut self) -> u8 {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().map_or(0, |byte| *byte)
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes what follows an element: whether it is a comma before another one, and not `end`.
    #[inline]
    pub(super) fn goes_on(&mut self, end: u8) -> Scanned<bool> {
        if self.take(b',') {
            Ok(true)
        } else if self.take(end) {
            Ok(false)
        } else {
            self.goes_on_behind_space(end)
        }
    }

    #[inline(never)]
    fn goes_on_behind_space(&mut self, end: u8) -> Scanned<bool> {
        self.peek();
        if self.take(b',') {
            return Ok(true);
        }
        if self.take(end) {
            return Ok(false);
        }
        let end = if end == b']' { "expected `,` or `]`" } else { "expected `,` or `}`" };
        Err(self.fault(end))
    }

    /// Takes the quote that begins a key.
    pub(super) fn begin_key(&mut self) -> Scanned {
        self.peek();
        if self.take(b'"') { Ok(()) } else { Err(self.fault("expected a key in quotes")) }
    }

    /// Takes the colon behind a key.
    pub(super) fn colon(&mut self) -> Scanned {
        self.peek();
        if self.take(b':') { Ok(()) } else { Err(self.fault("expected `:`")) }
    }

    /// Takes `literal`, whose first byte was seen.
    pub(super) fn literal(&mut self, literal: &str) -> Scanned {
        let Some(rest) = self.rest.strip_prefix(literal.as_bytes()) else {
            return Err(self.fault(&format!("expected `{literal}`")));
        };
        self.rest = rest;
        Ok(())
    }

    /// Takes the rest of a string, its opening quote being taken, if it has no escapes: as so many bytes at the front
    /// of a text that goes on.
    #[inline]
    pub(super) fn plain_string(&mut self) -> Option<(&'j [u8], usize)> {
        let (text, len) = (self.rest, plain_len(self.rest));
        let [b'"', rest @ ..] = text.get(len..)? else { return None };
        self.rest = rest;
        Some((text, len))
    }

    /// Takes the rest of a string, its opening quote being taken. If it has escapes, `unescaped` is what is returned.
    pub(super) fn string<'t>(&mut self, unescaped: &'t mut Vec<u8>) -> Scanned<&'t [u8]>
    where
        'j: 't,
    {
        unescaped.clear();
        loop {
            let (plain, rest) = self.rest.split_at(plain_len(self.rest));
            self.rest = rest;
            if let [b'"', rest @ ..] = rest {
                self.rest = rest;
                if unescaped.is_empty() {
                    return Ok(plain);
                }
                unescaped.extend_from_slice(plain);
                return Ok(unescaped);
            }
            unescaped.extend_from_slice(plain);
            match rest {
                [b'\\', ..] => self.escape(unescaped)?,
                [] => return Err(self.fault("a string without its closing quote")),
                _ => return Err(self.fault("control character in a string")),
            }
        }
    }

    /// Takes an escape sequence; a pair of surrogates is one.
    fn escape(&mut self, unescaped: &mut Vec<u8>) -> Scanned {
        let start = self.rest;
        let Some((escape, rest)) = start.split_first_chunk::<2>() else {
            return Err(Fault::new(&[], "a string without its closing quote"));
        };
        self.rest = rest;
        let byte = match escape[1] {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let Some(character) = self.code_point() else {
                    return Err(Fault::new(start, "invalid escape: not a Unicode character"));
                };
                unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(Fault::new(start, "invalid escape")),
        };
        unescaped.push(byte);
        Ok(())
    }

    /// Takes four hex digits, and after those of a high surrogate the escape of a low one.
    fn code_point(&mut self) -> Option<char> {
        let mut unit = self.code_unit()?;
        if let 0xd800..=0xdbff = unit {
            self.rest = self.rest.strip_prefix(b"\\u")?;
            let low = self.code_unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            unit = 0x1_0000 + ((unit - 0xd800) << 10 | low);
        }
        char::from_u32(unit)
    }

    fn code_unit(&mut self) -> Option<u32> {
        let (unit, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        from_hex::<4, 2>(unit).map(|unit| u32::from(u16::from_be_bytes(unit)))
    }

    /// Takes a number, whose first byte was seen, and returns it as it is written.
    pub(super) fn number(&mut self) -> Scanned<&'j [u8]> {
        let start = self.rest;
        self.take(b'-');
        let whole = self.rest;
        let mut valid = self.digits() && !matches!(whole, [b'0', b'0'..=b'9', ..]);
        if valid && self.take(b'.') {
            valid = self.digits();
        }
        if valid && (self.take(b'e') || self.take(b'E')) {
            let _sign = self.take(b'+') || self.take(b'-');
            valid = self.digits();
        }
        if !valid {
            return Err(self.fault("invalid number"));
        }
        Ok(start.get(..start.len() - self.rest.len()).unwrap_or_default())
    }

    /// Takes digits; whether there were any.
    fn digits(&mut self) -> bool {
        let (_, rest) = self.rest.split_at(digits(self.rest));
        let any = rest.len() < self.rest.len();
        self.rest = rest;
        any
    }

    /// Takes a value of any kind, in time and depth that only its length bounds.
    #[inline(never)]
    pub(super) fn skip_value(&mut self) -> Scanned {
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let (_, rest) = self.rest.split_at(values.byte_offset());
                self.rest = rest;
                Ok(())
            }
            Some(Err(error)) if !error.is_eof() => {
                let lines = self.rest.split_inclusive(|byte| *byte == b'\n');
                let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
                let at = (before + error.column()).saturating_sub(1);
                let mut message = error.to_string();
                message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
                Err(Fault::new(self.rest.get(at..).unwrap_or_default(), &message))
            }
            _ => Err(Fault::new(&[], "a value without its end")),
        }
    }
}
