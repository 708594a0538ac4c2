//! The keys of the fields of the OTLP schema (opentelemetry-proto 1.x, trace/v1, common/v1, resource/v1).

use crate::wire::{FIXED32, FIXED64, LEN, VARINT, key};

pub(crate) mod request {
    use super::*;
    pub(crate) const RESOURCE_SPANS: u32 = key(1, LEN);
}

pub(crate) mod resource_spans {
    use super::*;
    pub(crate) const RESOURCE: u32 = key(1, LEN);
    pub(crate) const SCOPE_SPANS: u32 = key(2, LEN);
    pub(crate) const SCHEMA_URL: u32 = key(3, LEN);
}

pub(crate) mod resource {
    use super::*;
    pub(crate) const ATTRIBUTES: u32 = key(1, LEN);
    pub(crate) const DROPPED_ATTRIBUTES_COUNT: u32 = key(2, VARINT);
    pub(crate) const ENTITY_REFS: u32 = key(3, LEN);
}

pub(crate) mod entity_ref {
    use super::*;
    pub(crate) const SCHEMA_URL: u32 = key(1, LEN);
    pub(crate) const TYPE: u32 = key(2, LEN);
    pub(crate) const ID_KEYS: u32 = key(3, LEN);
    pub(crate) const DESCRIPTION_KEYS: u32 = key(4, LEN);
}

pub(crate) mod scope_spans {
    use super::*;
    pub(crate) const SCOPE: u32 = key(1, LEN);
    pub(crate) const SPANS: u32 = key(2, LEN);
    pub(crate) const SCHEMA_URL: u32 = key(3, LEN);
}

pub(crate) mod scope {
    use super::*;
    pub(crate) const NAME: u32 = key(1, LEN);
    pub(crate) const VERSION: u32 = key(2, LEN);
    pub(crate) const ATTRIBUTES: u32 = key(3, LEN);
    pub(crate) const DROPPED_ATTRIBUTES_COUNT: u32 = key(4, VARINT);
}

pub(crate) mod span {
    use super::*;
    pub(crate) const TRACE_ID: u32 = key(1, LEN);
    pub(crate) const SPAN_ID: u32 = key(2, LEN);
    pub(crate) const TRACE_STATE: u32 = key(3, LEN);
    pub(crate) const PARENT_SPAN_ID: u32 = key(4, LEN);
    pub(crate) const NAME: u32 = key(5, LEN);
    pub(crate) const KIND: u32 = key(6, VARINT);
    pub(crate) const START_TIME: u32 = key(7, FIXED64);
    pub(crate) const END_TIME: u32 = key(8, FIXED64);
    pub(crate) const ATTRIBUTES: u32 = key(9, LEN);
    pub(crate) const DROPPED_ATTRIBUTES_COUNT: u32 = key(10, VARINT);
    pub(crate) const EVENTS: u32 = key(11, LEN);
    pub(crate) const DROPPED_EVENTS_COUNT: u32 = key(12, VARINT);
    pub(crate) const LINKS: u32 = key(13, LEN);
    pub(crate) const DROPPED_LINKS_COUNT: u32 = key(14, VARINT);
    pub(crate) const STATUS: u32 = key(15, LEN);
    pub(crate) const FLAGS: u32 = key(16, FIXED32);
}

pub(crate) mod event {
    use super::*;
    pub(crate) const TIME: u32 = key(1, FIXED64);
    pub(crate) const NAME: u32 = key(2, LEN);
    pub(crate) const ATTRIBUTES: u32 = key(3, LEN);
    pub(crate) const DROPPED_ATTRIBUTES_COUNT: u32 = key(4, VARINT);
}

pub(crate) mod link {
    use super::*;
    pub(crate) const TRACE_ID: u32 = key(1, LEN);
    pub(crate) const SPAN_ID: u32 = key(2, LEN);
    pub(crate) const TRACE_STATE: u32 = key(3, LEN);
    pub(crate) const ATTRIBUTES: u32 = key(4, LEN);
    pub(crate) const DROPPED_ATTRIBUTES_COUNT: u32 = key(5, VARINT);
    pub(crate) const FLAGS: u32 = key(6, FIXED32);
}

pub(crate) mod status {
    use super::*;
    pub(crate) const MESSAGE: u32 = key(2, LEN);
    pub(crate) const CODE: u32 = key(3, VARINT);
}

pub(crate) mod key_value {
    use super::*;
    pub(crate) const KEY: u32 = key(1, LEN);
    pub(crate) const VALUE: u32 = key(2, LEN);
    /// Profiles only: elsewhere it is carried and not read.
    pub(crate) const KEY_STRINDEX: u32 = key(3, VARINT);
}

pub(crate) mod any_value {
    use super::*;
    pub(crate) const STRING: u32 = key(1, LEN);
    pub(crate) const BOOL: u32 = key(2, VARINT);
    pub(crate) const INT: u32 = key(3, VARINT);
    pub(crate) const DOUBLE: u32 = key(4, FIXED64);
    pub(crate) const ARRAY: u32 = key(5, LEN);
    pub(crate) const KVLIST: u32 = key(6, LEN);
    pub(crate) const BYTES: u32 = key(7, LEN);
    /// Profiles only: elsewhere receivers take the value as empty, as the schema says.
    pub(crate) const STRING_STRINDEX: u32 = key(8, VARINT);
}

/// `ArrayValue.values` and `KeyValueList.values`.
pub(crate) const VALUES: u32 = key(1, LEN);
