//! The query of `/decisions`.

use crate::decisions::DecisionFilter;

/// Decisions in an answer when `limit` says nothing.
const DEFAULT_LIMIT: usize = 100;
/// Decisions in an answer at most.
pub(crate) const MAX_LIMIT: usize = 1000;
const KNOWN: &str = "`limit`, `verdict`, `policy`, `service`, `priority`, `reason`, `trigger`";

/// Which decisions are asked for, and how many.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    limit: Option<usize>,
    pub(crate) filter: DecisionFilter,
}

impl Query {
    /// Reads `limit=..&verdict=..`; the error says what is possible.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Query::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            if value.is_empty() {
                continue;
            }
            let filter = &mut parsed.filter;
            let wanted = match key {
                "limit" => match value.parse() {
                    Ok(limit @ 1..=MAX_LIMIT) => {
                        parsed.limit = Some(limit);
                        continue;
                    }
                    _ => return Err(format!("`limit` must be a whole number from 1 to {MAX_LIMIT}")),
                },
                "verdict" if matches!(value.as_str(), "kept" | "dropped") => &mut filter.verdict,
                "verdict" => return Err("`verdict` must be `kept` or `dropped`".to_owned()),
                "policy" => &mut filter.policy,
                "service" => &mut filter.service,
                "priority" => &mut filter.priority,
                "reason" => &mut filter.reason,
                "trigger" => &mut filter.trigger,
                _ => return Err(format!("unknown parameter; known are {KNOWN}")),
            };
            *wanted = Some(value);
        }
        Ok(parsed)
    }

    /// How many decisions the answer holds at most.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }
}

/// Percent-decoding, `+` as a space; what is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = || {
            let digits =
                text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        };
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => match escape() {
                Some(byte) => {
                    out.push(byte);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
