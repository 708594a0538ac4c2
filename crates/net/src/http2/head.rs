//! The head of a request: its fields, in one piece of memory.

use super::connection::MAX_HEADERS;
use super::hpack::Header;

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Names and values, one after the other.
    text: Vec<u8>,
    /// Where in it the name and the value of each field end.
    ends: Vec<(u32, u32)>,
    /// Which fields `:method` and `:path` are.
    method: usize,
    path: usize,
    size: usize,
}

impl Head {
    /// The method.
    pub fn method(&self) -> &[u8] {
        self.field(self.method).map_or(&[], |(_, value)| value)
    }

    /// Path and query: UTF-8.
    pub fn path(&self) -> &[u8] {
        self.field(self.path).map_or(&[], |(_, value)| value)
    }

    /// The first header of a name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields();
        fields.find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }

    /// All headers in their order, names in lower case. Names are tokens, values hold no control characters but tabs.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = self.fields().filter(|(name, _)| !is_pseudo(name));
        headers.filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
    }

    /// Bytes of all of it, each field counting 32 more (RFC 9113, section 6.5.2); it takes less than twice as many.
    pub fn size(&self) -> usize {
        self.size
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.ends.len()).filter_map(|at| self.field(at))
    }

    fn field(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let (name, value) = *self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |ends| ends.1);
        let text = |from: u32, to: u32| self.text.get(from as usize..to as usize);
        Some((text(start, name)?, text(name, value)?))
    }
}

/// What is wrong with a head that is well compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Malformed,
    TooLarge,
}

/// Room for a usual head: bytes and fields.
const USUAL: (usize, usize) = (320, 12);

/// A head, field by field (section 8.3).
pub(super) struct HeadBuilder {
    head: Head,
    method: Option<usize>,
    path: Option<usize>,
    /// Headers have come, which end what begins with a colon.
    headers: bool,
    malformed: bool,
}

impl HeadBuilder {
    /// Builds one in the memory of another.
    pub(super) fn new(mut used: Head) -> Self {
        used.text.clear();
        used.ends.clear();
        used.size = 0;
        used.text.reserve(USUAL.0);
        used.ends.reserve(USUAL.1);
        Self { head: used, method: None, path: None, headers: false, malformed: false }
    }

    pub(super) fn add(&mut self, header: Header<'_>) {
        self.head.size += header.size();
        if self.head.size <= MAX_HEADERS && !self.malformed {
            self.malformed = self.try_add(header).is_none();
        }
    }

    /// None when it may not be there.
    fn try_add(&mut self, Header { name, value, checked }: Header<'_>) -> Option<()> {
        let at = self.head.ends.len();
        if is_pseudo(name) {
            if self.headers {
                return None;
            }
            match name {
                b":method" if self.method.is_none() && is_token(value) => self.method = Some(at),
                b":path" if self.path.is_none() && !value.is_empty() => {
                    std::str::from_utf8(value).ok()?;
                    self.path = Some(at);
                }
                b":scheme" | b":authority" => return Some(()),
                _ => return None,
            }
        } else if checked || is_header(name, value) {
            self.headers = true;
        } else {
            return None;
        }
        let text = &mut self.head.text;
        text.extend_from_slice(name);
        let end = text.len() as u32;
        text.extend_from_slice(value);
        self.head.ends.push((end, text.len() as u32));
        Some(())
    }

    pub(super) fn build(mut self) -> Result<Head, HeadError> {
        match (self.method, self.path) {
            _ if self.head.size > MAX_HEADERS => Err(HeadError::TooLarge),
            (Some(method), Some(path)) if !self.malformed => {
                (self.head.method, self.head.path) = (method, path);
                Ok(self.head)
            }
            _ => Err(HeadError::Malformed),
        }
    }
}

fn is_pseudo(name: &[u8]) -> bool {
    name.first() == Some(&b':')
}

/// Whether a header may look like this: a token in lower case, and no control characters but tabs (RFC 9113, section 8.2.1).
pub(super) fn is_header(name: &[u8], value: &[u8]) -> bool {
    let is_upper = name.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase());
    let is_cut = value.iter().fold(false, |any, byte| any | (byte.is_ascii_control() & (*byte != b'\t')));
    is_token(name) && !is_upper && !is_cut
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    const PARTS: [bool; 256] = {
        let others = *b"!#$%&'*+-.^_`|~";
        let mut parts = [false; 256];
        let mut at = 0;
        while at < 256 {
            parts[at] = (at as u8).is_ascii_alphanumeric();
            at += 1;
        }
        at = 0;
        while at < others.len() {
            parts[others[at] as usize] = true;
            at += 1;
        }
        parts
    };
    !text.is_empty() && text.iter().all(|byte| PARTS[usize::from(*byte)])
}
