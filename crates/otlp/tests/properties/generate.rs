//! Trace requests made from entropy, on the wire: fields in any order and number (so that they merge), unknown
//! fields at every level, overlong varints. Independent of the crate's own tables; the fuzz targets use it too.

/// Bytes that decide what is generated; once they are used up, everything is as small as can be.
pub struct Entropy<'a> {
    bytes: &'a [u8],
}

impl<'a> Entropy<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    pub fn below(&mut self, limit: usize) -> usize {
        let wide = usize::from(self.byte());
        if limit <= 256 { wide % limit } else { (wide << 8 | usize::from(self.byte())) % limit }
    }

    fn one_in(&mut self, count: usize) -> bool {
        !self.bytes.is_empty() && self.below(count) == count - 1
    }

    fn number(&mut self) -> u64 {
        let width = self.below(9);
        (0..width).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Message(&'static Message),
    Text,
    Bytes,
    Id(usize),
    Varint,
    Fixed32,
    Fixed64,
}

struct Message {
    fields: &'static [(u32, Kind)],
}

use Kind::{Bytes, Fixed32, Fixed64, Id, Text, Varint};

static REQUEST: Message = Message { fields: &[(1, Kind::Message(&RESOURCE_SPANS))] };
static RESOURCE_SPANS: Message =
    Message { fields: &[(1, Kind::Message(&RESOURCE)), (2, Kind::Message(&SCOPE_SPANS)), (3, Text)] };
static RESOURCE: Message =
    Message { fields: &[(1, Kind::Message(&KEY_VALUE)), (2, Varint), (3, Kind::Message(&ENTITY_REF))] };
static ENTITY_REF: Message = Message { fields: &[(1, Text), (2, Text), (3, Text), (4, Text)] };
static SCOPE_SPANS: Message =
    Message { fields: &[(1, Kind::Message(&SCOPE)), (2, Kind::Message(&SPAN)), (3, Text)] };
static SCOPE: Message =
    Message { fields: &[(1, Text), (2, Text), (3, Kind::Message(&KEY_VALUE)), (4, Varint)] };
static SPAN: Message = Message {
    fields: &[
        (1, Id(16)),
        (2, Id(8)),
        (3, Text),
        (4, Id(8)),
        (5, Text),
        (6, Varint),
        (7, Fixed64),
        (8, Fixed64),
        (9, Kind::Message(&KEY_VALUE)),
        (10, Varint),
        (11, Kind::Message(&EVENT)),
        (12, Varint),
        (13, Kind::Message(&LINK)),
        (14, Varint),
        (15, Kind::Message(&STATUS)),
        (16, Fixed32),
    ],
};
static EVENT: Message =
    Message { fields: &[(1, Fixed64), (2, Text), (3, Kind::Message(&KEY_VALUE)), (4, Varint)] };
static LINK: Message = Message {
    fields: &[(1, Id(16)), (2, Id(8)), (3, Text), (4, Kind::Message(&KEY_VALUE)), (5, Varint), (6, Fixed32)],
};
static STATUS: Message = Message { fields: &[(2, Text), (3, Varint)] };
static KEY_VALUE: Message = Message { fields: &[(1, Text), (2, Kind::Message(&ANY_VALUE)), (3, Varint)] };
static ANY_VALUE: Message = Message {
    fields: &[
        (1, Text),
        (2, Varint),
        (3, Varint),
        (4, Fixed64),
        (5, Kind::Message(&ARRAY)),
        (6, Kind::Message(&KV_LIST)),
        (7, Bytes),
        (8, Varint),
    ],
};
static ARRAY: Message = Message { fields: &[(1, Kind::Message(&ANY_VALUE))] };
static KV_LIST: Message = Message { fields: &[(1, Kind::Message(&KEY_VALUE))] };

const TEXTS: &[&str] = &[
    "",
    "k",
    "task.priority",
    "critical",
    "agent step: plan -> act",
    "naïve",
    "日本語のテキスト",
    "https://opentelemetry.io/schemas/1.26.0",
    "a text of more than sixty-four bytes, so that the vectorised check of UTF-8 is what looks at it",
    "a text of more than sixty-four bytes whose very last character is not in ASCII at all: 𝄞",
    "\"quoted\" \\ \u{1}\n\u{7f}",
];

/// A valid request.
pub fn request(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    while !entropy.is_empty() && out.len() < 1 << 16 {
        message(entropy, &REQUEST, 0, &mut out);
    }
    out
}

fn message(entropy: &mut Entropy<'_>, schema: &Message, depth: usize, out: &mut Vec<u8>) {
    for _ in 0..entropy.below(if depth < 3 { 6 } else { 12 }) {
        if entropy.one_in(12) {
            unknown(entropy, schema, depth, out);
            continue;
        }
        let (number, kind) = schema.fields[entropy.below(schema.fields.len())];
        match kind {
            Kind::Message(inner) => {
                let mut body = Vec::new();
                if depth < 24 {
                    message(entropy, inner, depth + 1, &mut body);
                }
                length_delimited(entropy, number, &body, out);
            }
            Text => {
                let text = TEXTS[entropy.below(TEXTS.len())];
                length_delimited(entropy, number, text.as_bytes(), out);
            }
            Bytes => {
                let bytes: Vec<u8> = (0..entropy.below(20)).map(|_| entropy.byte()).collect();
                length_delimited(entropy, number, &bytes, out);
            }
            Id(len) => {
                let len = if entropy.one_in(10) { entropy.below(20) } else { len };
                let fill = entropy.byte();
                length_delimited(entropy, number, &vec![fill; len], out);
            }
            Varint => {
                varint(entropy, u64::from(number << 3), out);
                let value = entropy.number();
                varint(entropy, value, out);
            }
            Fixed32 => fixed(entropy, number << 3 | 5, 4, out),
            Fixed64 => fixed(entropy, number << 3 | 1, 8, out),
        }
    }
}

/// A field that the schema does not have.
fn unknown(entropy: &mut Entropy<'_>, schema: &Message, depth: usize, out: &mut Vec<u8>) {
    let known = schema.fields.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let number = known + 1 + (entropy.number() as u32 & 0xff_ffff);
    match entropy.below(5) {
        0 => {
            varint(entropy, u64::from(number << 3), out);
            let value = entropy.number();
            varint(entropy, value, out);
        }
        1 => fixed(entropy, number << 3 | 1, 8, out),
        2 => {
            let bytes: Vec<u8> = (0..entropy.below(20)).map(|_| entropy.byte()).collect();
            length_delimited(entropy, number, &bytes, out);
        }
        3 => {
            varint(entropy, u64::from(number << 3 | 3), out);
            for _ in 0..entropy.below(3) {
                if depth < 24 {
                    unknown(entropy, schema, depth + 1, out);
                }
            }
            varint(entropy, u64::from(number << 3 | 4), out);
        }
        _ => fixed(entropy, number << 3 | 5, 4, out),
    }
}

fn fixed(entropy: &mut Entropy<'_>, key: u32, width: usize, out: &mut Vec<u8>) {
    varint(entropy, u64::from(key), out);
    out.extend((0..width).map(|_| entropy.byte()));
}

fn length_delimited(entropy: &mut Entropy<'_>, number: u32, body: &[u8], out: &mut Vec<u8>) {
    varint(entropy, u64::from(number << 3 | 2), out);
    varint(entropy, body.len() as u64, out);
    out.extend_from_slice(body);
}

/// A varint, once in a while with more bytes than it needs.
fn varint(entropy: &mut Entropy<'_>, mut value: u64, out: &mut Vec<u8>) {
    let start = out.len();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    if out.len() - start < 5 && entropy.one_in(40) {
        *out.last_mut().expect("just pushed") |= 0x80;
        out.push(0);
    }
}

/// Damages a message: bytes changed, taken out, put in, repeated, or cut off.
pub fn mutate(entropy: &mut Entropy<'_>, message: &mut Vec<u8>) {
    for _ in 0..=entropy.below(3) {
        if message.is_empty() {
            return;
        }
        let at = entropy.below(message.len());
        match entropy.below(6) {
            0 => message[at] = entropy.byte(),
            1 => message[at] = message[at].wrapping_add(1),
            2 => drop(message.remove(at)),
            3 => message.insert(at, entropy.byte()),
            4 => message.truncate(at),
            _ => {
                let end = (at + entropy.below(32)).min(message.len());
                let repeated = message[at..end].to_vec();
                message.splice(at..at, repeated);
            }
        }
    }
}
