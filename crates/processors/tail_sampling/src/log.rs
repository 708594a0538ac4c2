//! A bounded log of records with a few strings each: written by one thread, read by whoever looks.
//!
//! Records lie in chunks that do not change once they are full, so that a reader holds the lock only to take
//! references to them and to copy the one that is being written.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records in a chunk at most.
const CHUNK: usize = 256;
/// Bytes of text for each record in a chunk; one whose texts are longer holds fewer records.
const TEXT: usize = 96;
/// The log is at least so many chunks, so that forgetting one forgets little.
const CHUNKS: usize = 8;

/// The log. Its bytes are those allocated.
pub(crate) struct Log<T> {
    limit: usize,
    /// Records in a chunk.
    records: usize,
    chunks: Mutex<Chunks<T>>,
}

struct Chunks<T> {
    full: VecDeque<Arc<Chunk<T>>>,
    /// Bytes of the full ones.
    bytes: usize,
    open: Chunk<T>,
    /// Some record has been forgotten.
    forgetful: bool,
}

/// Records with their texts, oldest first.
#[derive(Clone)]
struct Chunk<T> {
    records: Vec<T>,
    text: String,
    /// Bytes that records have elsewhere.
    elsewhere: usize,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { records: Vec::new(), text: String::new(), elsewhere: 0 }
    }
}

impl<T> Chunk<T> {
    fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<T>() + self.text.capacity() + self.elsewhere
    }
}

impl<T: Clone> Log<T> {
    /// A log of at most `limit` bytes; with 0 it remembers nothing.
    pub fn new(limit: usize) -> Self {
        let records = (limit / CHUNKS / (size_of::<T>() + TEXT)).clamp(1, CHUNK);
        let chunks =
            Chunks { full: VecDeque::new(), bytes: 0, open: Chunk::default(), forgetful: limit == 0 };
        Self { limit, records, chunks: Mutex::new(chunks) }
    }

    /// Adds a record, which `make` makes while it adds its texts; it has `elsewhere` bytes beside them. The oldest
    /// records make room.
    pub fn push(&self, elsewhere: usize, make: impl FnOnce(&mut String) -> T) {
        if self.limit == 0 {
            return;
        }
        let text = self.records * TEXT;
        let mut chunks = self.lock();
        let open = &mut chunks.open;
        if open.records.capacity() == 0 {
            open.records.reserve_exact(self.records);
            open.text.reserve_exact(text);
        }
        let record = make(&mut open.text);
        open.records.push(record);
        open.elsewhere += elsewhere;
        if open.records.len() >= self.records || open.text.len() + open.elsewhere >= text {
            let mut full = std::mem::take(open);
            full.records.shrink_to_fit();
            full.text.shrink_to_fit();
            chunks.bytes += full.bytes();
            chunks.full.push_back(Arc::new(full));
        }
        // Room is kept for the open chunk as it will be.
        let ahead = chunks.open.bytes().max(self.records * size_of::<T>() + text);
        while chunks.bytes + ahead > self.limit
            && let Some(oldest) = chunks.full.pop_front()
        {
            chunks.bytes -= oldest.bytes();
            chunks.forgetful = true;
        }
    }

    /// The log as it is now.
    pub fn read(&self) -> Snapshot<T> {
        let chunks = self.lock();
        let mut all: Vec<_> = chunks.full.iter().cloned().collect();
        all.push(Arc::new(chunks.open.clone()));
        Snapshot { chunks: all, forgetful: chunks.forgetful }
    }

    /// Bytes allocated.
    pub fn memory(&self) -> usize {
        let chunks = self.lock();
        chunks.bytes + chunks.open.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Chunks<T>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log at one moment.
pub(crate) struct Snapshot<T> {
    chunks: Vec<Arc<Chunk<T>>>,
    /// Some record before these has been forgotten.
    pub forgetful: bool,
}

impl<T> Snapshot<T> {
    /// Records with the text that their [`Texts`] lie in, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&T, &str)> {
        self.chunks.iter().flat_map(|chunk| chunk.records.iter().map(|record| (record, chunk.text.as_str())))
    }

    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.records.len()).sum()
    }
}

/// A record's strings: one behind the other in its chunk's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<const N: usize> {
    at: u32,
    lens: [u16; N],
}

/// The length of a string that is not there.
const ABSENT: u16 = u16::MAX;

impl<const N: usize> Texts<N> {
    /// Appends the strings; what is longer than 65,534 bytes is cut.
    pub fn write(text: &mut String, strings: [Option<&str>; N]) -> Self {
        let at = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let lens = strings.map(|string| {
            let Some(string) = string else { return ABSENT };
            let cut = &string[..string.floor_char_boundary(usize::from(ABSENT - 1))];
            text.push_str(cut);
            cut.len() as u16
        });
        Self { at, lens }
    }

    pub fn read<'a>(&self, text: &'a str) -> [Option<&'a str>; N] {
        let mut at = self.at as usize;
        self.lens.map(|len| {
            let len = (len != ABSENT).then_some(usize::from(len))?;
            at += len;
            text.get(at - len..at)
        })
    }
}
