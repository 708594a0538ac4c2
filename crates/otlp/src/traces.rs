//! Trace requests (`ExportTraceServiceRequest`) on the wire: validation, and views that borrow from the bytes.
//!
//! Views expect validated bytes. On others they never panic: they end early, and strings that are not UTF-8 are empty.

mod filter;
mod groups;
mod index;
pub(crate) mod keys;
mod span;
mod validate;
mod value;

pub use filter::{retain_spans, without_invalid_spans};
pub use groups::{ResourceSpansView, ResourceView, ScopeSpansView, ScopeView, TracesView};
pub use index::{IndexedScope, Parent, SpanEntry, SpanIndex};
pub use span::{EventView, LinkView, SpanField, SpanFields, SpanHead, SpanView, StatusView};
pub use validate::{IdError, InvalidSpans, RequestStats, check_ids, validate, validate_and_index};
pub use value::{AnyValueView, ArrayView, KeyValueView, KvListView};

#[cfg(test)]
mod tests;
