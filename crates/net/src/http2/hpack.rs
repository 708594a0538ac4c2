//! Header compression (RFC 7541): reading what clients send in full, writing the few headers of an answer plainly.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use super::head::is_header;
use super::huffman;

/// Bytes of the dynamic table, the protocol's default; an entry counts 32 more than its text (section 4.1).
const TABLE_SIZE: usize = 4096;
const ENTRY_OVERHEAD: usize = 32;

/// All the text that a block may stand for, with the overhead of its headers. Heads are limited to far less, and answered
/// when they are larger; but a few bytes can name the table's largest entry again and again.
pub(super) const MAX_LIST: usize = 128 << 10;
/// What is kept to read the next header into.
const KEPT: usize = 512;

/// What is not HPACK: the connection cannot go on, since both ends' tables no longer agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its headers are not valid HPACK: {0}")]
pub(super) struct HpackError(&'static str);

/// A header of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// It is known to be one that HTTP allows: entries of a table are looked at once.
    pub(super) checked: bool,
}

impl Header<'_> {
    /// What it counts, in the table and in a head (RFC 9113, section 6.5.2).
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.value.len() + ENTRY_OVERHEAD
    }
}

/// An entry of the dynamic table.
#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    value: Box<[u8]>,
    checked: bool,
}

impl Entry {
    fn header(&self) -> Header<'_> {
        Header { name: &self.name, value: &self.value, checked: self.checked }
    }
}

/// Texts are remembered from this many coded bytes on, and up to so many.
const MEMO: std::ops::RangeInclusive<usize> = 16..=256;

/// A Huffman-coded text and what it stands for: clients send the same path again and again.
#[derive(Debug, Default)]
struct Memo {
    coded: Vec<u8>,
    plain: Vec<u8>,
}

impl Memo {
    /// Appends what `coded` stands for; false if it is no such text.
    fn decode(&mut self, coded: &[u8], out: &mut Vec<u8>) -> bool {
        if !MEMO.contains(&coded.len()) {
            return huffman::decode(coded, out);
        }
        if self.coded != coded {
            self.coded.clear();
            self.plain.clear();
            if !huffman::decode(coded, &mut self.plain) {
                return false;
            }
            self.coded.extend_from_slice(coded);
        }
        out.extend_from_slice(&self.plain);
        true
    }
}

/// The reading side's state.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest first.
    table: VecDeque<Arc<Entry>>,
    size: usize,
    max_size: usize,
    /// How often the table has changed.
    pub(super) version: u64,
    memo: Memo,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            max_size: TABLE_SIZE,
            version: 0,
            memo: Memo::default(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }
}

impl Decoder {
    /// Hands out the headers of a whole block in order.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        mut header: impl FnMut(Header<'_>),
    ) -> Result<(), HpackError> {
        let mut any = false;
        let listed = Cell::new(0);
        let mut header = |one: Header<'_>| {
            listed.set(listed.get() + one.size());
            header(one);
        };
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    self.indexed(index, &mut header)?;
                }
                0x40.. => {
                    self.literal(&mut block, 6)?;
                    header(self.read());
                    self.insert();
                }
                0x20.. => {
                    let size = integer(&mut block, 5)?;
                    if any || size > TABLE_SIZE {
                        return Err(HpackError("a table size that is not allowed"));
                    }
                    self.max_size = size;
                    self.version += 1;
                    self.shrink_to(size);
                    continue;
                }
                _ => {
                    self.literal(&mut block, 4)?;
                    header(self.read());
                }
            }
            any = true;
            if listed.get() > MAX_LIST {
                return Err(HpackError("far more headers than are allowed"));
            }
        }
        for text in [&mut self.name, &mut self.value] {
            text.clear();
            text.shrink_to(KEPT);
        }
        Ok(())
    }

    fn indexed(&self, index: usize, header: &mut impl FnMut(Header<'_>)) -> Result<(), HpackError> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|at| STATIC.get(at)) {
            header(Header { name: name.as_bytes(), value: value.as_bytes(), checked: true });
            return Ok(());
        }
        header(self.dynamic(index)?.header());
        Ok(())
    }

    fn dynamic(&self, index: usize) -> Result<&Arc<Entry>, HpackError> {
        let at = index.checked_sub(STATIC.len() + 1);
        at.and_then(|at| self.table.get(at)).ok_or(HpackError("an index beyond the table"))
    }

    /// Reads a literal, whose name may be one of the table's, to `name` and `value`.
    fn literal(&mut self, block: &mut &[u8], prefix: u32) -> Result<(), HpackError> {
        self.name.clear();
        self.value.clear();
        match integer(block, prefix)? {
            0 => text(block, &mut self.memo, &mut self.name)?,
            index => match STATIC.get(index - 1) {
                Some((name, _)) => self.name.extend_from_slice(name.as_bytes()),
                None => {
                    let entry = Arc::clone(self.dynamic(index)?);
                    self.name.extend_from_slice(entry.header().name);
                }
            },
        }
        text(block, &mut self.memo, &mut self.value)
    }

    /// The literal that was read last.
    fn read(&self) -> Header<'_> {
        Header { name: &self.name, value: &self.value, checked: false }
    }

    fn insert(&mut self) {
        self.version += 1;
        let size = self.read().size();
        // One larger than the table empties it (section 4.4).
        self.shrink_to(self.max_size.saturating_sub(size));
        if size <= self.max_size {
            self.size += size;
            let (name, value) = (Box::from(&*self.name), Box::from(&*self.value));
            let checked = is_header(&self.name, &self.value);
            self.table.push_front(Arc::new(Entry { name, value, checked }));
        }
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.table.pop_back() else { return };
            self.size -= entry.header().size();
        }
    }
}

/// An integer whose first bits are the low `prefix` of the next byte (section 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    const CUT: HpackError = HpackError("they end within a header");
    let (&first, mut rest) = block.split_first().ok_or(CUT)?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(CUT)?;
            rest = after;
            if shift > 21 {
                return Err(HpackError("a number too large"));
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

fn text(block: &mut &[u8], memo: &mut Memo, out: &mut Vec<u8>) -> Result<(), HpackError> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(HpackError("they end within a text"))?;
    *block = rest;
    if !is_coded {
        out.extend_from_slice(text);
    } else if !memo.decode(text, out) {
        return Err(HpackError("a text that is not Huffman-coded"));
    }
    Ok(())
}

/// Appends the status of an answer.
pub(super) fn put_status(out: &mut Vec<u8>, status: u16) {
    const STATUS: u8 = 8;
    if status == 200 {
        out.push(0x80 | STATUS);
    } else {
        out.push(STATUS);
        put_text(out, status.to_string().as_bytes());
    }
}

/// Appends a header as a literal that is not added to the client's table.
pub(super) fn put_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0);
    put_text(out, name);
    put_text(out, value);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        short @ ..0x7f => out.push(short as u8),
        long => {
            out.push(0x7f);
            let mut rest = long - 0x7f;
            while rest >= 0x80 {
                out.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }
    out.extend_from_slice(text);
}

/// The static table (appendix A).
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""),
    ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""),
    ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""),
    ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""),
    ("retry-after", ""), ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""),
    ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];
