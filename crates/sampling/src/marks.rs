//! The attributes that tell, on the scopes of what is sent on, which policy kept a trace (`record_policy`). Encoded as in
//! `InstrumentationScope.attributes`.

use crate::emit::put_varint;
use crate::policy::PolicySet;

/// The keys are the collector's.
const POLICY: &str = "tailsampling.policy";
const COMPOSITE_POLICY: &str = "tailsampling.composite_policy";
const CACHED_DECISION: &str = "tailsampling.cached_decision";

/// `InstrumentationScope.attributes` (3), `KeyValue.key` (1) and `.value` (2), `AnyValue.string_value` (1), all
/// length-delimited, and `AnyValue.bool_value` (2).
const ATTRIBUTES: u8 = 3 << 3 | 2;
const KEY: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
const STRING: u8 = 1 << 3 | 2;
const BOOL: u8 = 2 << 3;

/// Where a sampler that records policies has its marks.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Of the trace that was decided last.
    kept: Vec<u8>,
    /// Of late spans, by policy.
    late: Vec<Vec<u8>>,
    /// Of late spans of traces whose policy is not known.
    late_only: Vec<u8>,
}

impl Marks {
    pub(crate) fn new(policies: &PolicySet) -> Self {
        let mut late_only = Vec::new();
        put_attribute(&mut late_only, CACHED_DECISION, &[BOOL, 1]);
        let late = policies.names().map(|name| {
            let mut mark = Vec::new();
            put_text(&mut mark, POLICY, name);
            mark.extend_from_slice(&late_only);
            mark
        });
        Self { kept: Vec::new(), late: late.collect(), late_only }
    }

    /// What the spans of a kept trace are marked with. `part` is the sub-policy of a `composite` policy that let it through.
    pub(crate) fn set_kept(
        &mut self,
        policies: &PolicySet,
        policy: Option<usize>,
        part: Option<(usize, usize)>,
    ) {
        self.kept.clear();
        if let Some(policy) = policy.and_then(|policy| policies.policies.get(policy)) {
            put_text(&mut self.kept, POLICY, &policy.name);
        }
        let part = part.and_then(|(composite, part)| policies.composites.get(composite)?.parts.get(part));
        if let Some(part) = part {
            put_text(&mut self.kept, COMPOSITE_POLICY, &part.name);
        }
    }

    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// What late spans of a trace that `policy` kept are marked with.
    pub(crate) fn late(&self, policy: u32) -> &[u8] {
        self.late.get(policy as usize).unwrap_or(&self.late_only)
    }
}

fn put_text(out: &mut Vec<u8>, key: &str, text: &str) {
    let mut value = Vec::with_capacity(text.len() + 6);
    put_bytes(&mut value, STRING, text.as_bytes());
    put_attribute(out, key, &value);
}

fn put_attribute(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let mut attribute = Vec::with_capacity(key.len() + value.len() + 12);
    put_bytes(&mut attribute, KEY, key.as_bytes());
    put_bytes(&mut attribute, VALUE, value);
    put_bytes(out, ATTRIBUTES, &attribute);
}

fn put_bytes(out: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    out.push(key);
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}
