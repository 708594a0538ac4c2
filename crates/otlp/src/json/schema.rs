//! The OTLP messages as tables: JSON name, key on the wire, and kind of each field.

use crate::response::{ERROR_MESSAGE, PARTIAL_SUCCESS, REJECTED_SPANS, STATUS_CODE, STATUS_MESSAGE};
use crate::traces::keys::{self, *};

/// A message: its fields in the order they are written.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) fields: &'static [FieldSchema],
}

/// A field.
#[derive(Debug)]
pub(super) struct FieldSchema {
    /// The lowerCamelCase name.
    pub(super) name: &'static str,
    /// The name in JSON, its quotes and the colon included; then zeros.
    named: [u8; 32],
    pub(super) key: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// Written even when empty: some readers insist on it.
    pub(super) always: bool,
}

impl FieldSchema {
    /// What is behind this field's name and colon, if that is what `json` begins with.
    #[inline]
    pub(super) fn strip_name<'j>(&self, json: &'j [u8]) -> Option<&'j [u8]> {
        let differs = |(name, text): (&u8, &u8)| u8::from(*name != 0 && name != text);
        let window: &[u8; 32] = json.first_chunk()?;
        if self.named.iter().zip(window).fold(0, |seen, pair| seen | differs(pair)) != 0 {
            return None;
        }
        json.get(self.name.len() + 3..)
    }
}

const fn named(name: &str) -> [u8; 32] {
    let mut named = [0; 32];
    named[0] = b'"';
    let (_, rest) = named.split_at_mut(1);
    let (text, rest) = rest.split_at_mut(name.len());
    text.copy_from_slice(name.as_bytes());
    rest[0] = b'"';
    rest[1] = b':';
    named
}

/// How a value looks in protobuf and in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Message(&'static Schema),
    /// An `AnyValue`, whose fields are a oneof.
    AnyValue,
    String,
    /// Bytes in base64.
    Bytes,
    /// Bytes in hex.
    Id,
    Bool,
    Double,
    Int32,
    /// A varint; a string in JSON.
    Int64,
    Uint32,
    Fixed32,
    /// A string in JSON.
    Fixed64,
    /// An integer in JSON; the names, indexed by value, are read as well.
    Enum(&'static [&'static str]),
}

const fn one(name: &'static str, key: u32, kind: Kind) -> FieldSchema {
    FieldSchema { name, named: named(name), key, kind, repeated: false, always: false }
}

const fn many(name: &'static str, key: u32, kind: Kind) -> FieldSchema {
    FieldSchema { name, named: named(name), key, kind, repeated: true, always: false }
}

const fn always(field: FieldSchema) -> FieldSchema {
    FieldSchema { always: true, ..field }
}

const ATTRIBUTE: Kind = Kind::Message(&KEY_VALUE);
const DROPPED_ATTRIBUTES: &str = "droppedAttributesCount";

pub(super) static REQUEST: Schema = Schema {
    fields: &[always(many("resourceSpans", request::RESOURCE_SPANS, Kind::Message(&RESOURCE_SPANS)))],
};

static RESOURCE_SPANS: Schema = Schema {
    fields: &[
        one("resource", resource_spans::RESOURCE, Kind::Message(&RESOURCE)),
        many("scopeSpans", resource_spans::SCOPE_SPANS, Kind::Message(&SCOPE_SPANS)),
        one("schemaUrl", resource_spans::SCHEMA_URL, Kind::String),
    ],
};

static RESOURCE: Schema = Schema {
    fields: &[
        many("attributes", resource::ATTRIBUTES, ATTRIBUTE),
        one(DROPPED_ATTRIBUTES, resource::DROPPED_ATTRIBUTES_COUNT, Kind::Uint32),
        many("entityRefs", resource::ENTITY_REFS, Kind::Message(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Schema = Schema {
    fields: &[
        always(one("schemaUrl", entity_ref::SCHEMA_URL, Kind::String)),
        always(one("type", entity_ref::TYPE, Kind::String)),
        always(many("idKeys", entity_ref::ID_KEYS, Kind::String)),
        always(many("descriptionKeys", entity_ref::DESCRIPTION_KEYS, Kind::String)),
    ],
};

static SCOPE_SPANS: Schema = Schema {
    fields: &[
        one("scope", scope_spans::SCOPE, Kind::Message(&SCOPE)),
        many("spans", scope_spans::SPANS, Kind::Message(&SPAN)),
        one("schemaUrl", scope_spans::SCHEMA_URL, Kind::String),
    ],
};

static SCOPE: Schema = Schema {
    fields: &[
        one("name", scope::NAME, Kind::String),
        one("version", scope::VERSION, Kind::String),
        many("attributes", scope::ATTRIBUTES, ATTRIBUTE),
        one(DROPPED_ATTRIBUTES, scope::DROPPED_ATTRIBUTES_COUNT, Kind::Uint32),
    ],
};

static SPAN: Schema = Schema {
    fields: &[
        one("traceId", span::TRACE_ID, Kind::Id),
        one("spanId", span::SPAN_ID, Kind::Id),
        one("traceState", span::TRACE_STATE, Kind::String),
        one("parentSpanId", span::PARENT_SPAN_ID, Kind::Id),
        one("flags", span::FLAGS, Kind::Fixed32),
        one("name", span::NAME, Kind::String),
        one("kind", span::KIND, Kind::Enum(SPAN_KINDS)),
        one("startTimeUnixNano", span::START_TIME, Kind::Fixed64),
        one("endTimeUnixNano", span::END_TIME, Kind::Fixed64),
        many("attributes", span::ATTRIBUTES, ATTRIBUTE),
        one(DROPPED_ATTRIBUTES, span::DROPPED_ATTRIBUTES_COUNT, Kind::Uint32),
        many("events", span::EVENTS, Kind::Message(&EVENT)),
        one("droppedEventsCount", span::DROPPED_EVENTS_COUNT, Kind::Uint32),
        many("links", span::LINKS, Kind::Message(&LINK)),
        one("droppedLinksCount", span::DROPPED_LINKS_COUNT, Kind::Uint32),
        one("status", span::STATUS, Kind::Message(&STATUS)),
    ],
};

const SPAN_KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static EVENT: Schema = Schema {
    fields: &[
        one("timeUnixNano", event::TIME, Kind::Fixed64),
        one("name", event::NAME, Kind::String),
        many("attributes", event::ATTRIBUTES, ATTRIBUTE),
        one(DROPPED_ATTRIBUTES, event::DROPPED_ATTRIBUTES_COUNT, Kind::Uint32),
    ],
};

static LINK: Schema = Schema {
    fields: &[
        one("traceId", link::TRACE_ID, Kind::Id),
        one("spanId", link::SPAN_ID, Kind::Id),
        one("traceState", link::TRACE_STATE, Kind::String),
        many("attributes", link::ATTRIBUTES, ATTRIBUTE),
        one(DROPPED_ATTRIBUTES, link::DROPPED_ATTRIBUTES_COUNT, Kind::Uint32),
        one("flags", link::FLAGS, Kind::Fixed32),
    ],
};

static STATUS: Schema = Schema {
    fields: &[
        one("message", status::MESSAGE, Kind::String),
        one("code", status::CODE, Kind::Enum(STATUS_CODES)),
    ],
};

const STATUS_CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

pub(super) static KEY_VALUE: Schema = Schema {
    fields: &[
        always(one("key", key_value::KEY, Kind::String)),
        one("value", key_value::VALUE, Kind::AnyValue),
    ],
};

/// Only for reading: what is written depends on which member of the oneof is set.
pub(super) static ANY_VALUE: Schema = Schema {
    fields: &[
        one("stringValue", any_value::STRING, Kind::String),
        one("boolValue", any_value::BOOL, Kind::Bool),
        one("intValue", any_value::INT, Kind::Int64),
        one("doubleValue", any_value::DOUBLE, Kind::Double),
        one("arrayValue", any_value::ARRAY, Kind::Message(&ARRAY_VALUE)),
        one("kvlistValue", any_value::KVLIST, Kind::Message(&KEY_VALUE_LIST)),
        one("bytesValue", any_value::BYTES, Kind::Bytes),
    ],
};

static ARRAY_VALUE: Schema = Schema { fields: &[many("values", keys::VALUES, Kind::AnyValue)] };

static KEY_VALUE_LIST: Schema = Schema { fields: &[many("values", keys::VALUES, ATTRIBUTE)] };

pub(super) static RESPONSE: Schema =
    Schema { fields: &[one("partialSuccess", PARTIAL_SUCCESS, Kind::Message(&PARTIAL))] };

static PARTIAL: Schema = Schema {
    fields: &[
        one("rejectedSpans", REJECTED_SPANS, Kind::Int64),
        one("errorMessage", ERROR_MESSAGE, Kind::String),
    ],
};

/// `google.rpc.Status`; its details are of any type, so they are not read.
pub(super) static RPC_STATUS: Schema =
    Schema { fields: &[one("code", STATUS_CODE, Kind::Int32), one("message", STATUS_MESSAGE, Kind::String)] };
