//! The query of `/decisions`.

use crate::decisions::DecisionRecord;

/// Decisions in an answer when `limit` says nothing.
const DEFAULT_LIMIT: usize = 100;
/// Decisions in an answer at most.
pub(crate) const MAX_LIMIT: usize = 1000;
/// Decisions looked at when they are filtered.
const SCAN: usize = 5000;

/// Which decisions are asked for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    limit: Option<usize>,
    verdict: Option<String>,
    policy: Option<String>,
    service: Option<String>,
    priority: Option<String>,
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
            match key {
                "limit" => match value.parse() {
                    Ok(limit @ 1..=MAX_LIMIT) => parsed.limit = Some(limit),
                    _ => return Err(format!("`limit` must be a whole number from 1 to {MAX_LIMIT}")),
                },
                "verdict" if matches!(value.as_str(), "kept" | "dropped") => parsed.verdict = Some(value),
                "verdict" => return Err("`verdict` must be `kept` or `dropped`".to_owned()),
                "policy" => parsed.policy = Some(value),
                "service" => parsed.service = Some(value),
                "priority" => parsed.priority = Some(value),
                _ => {
                    let known = "`limit`, `verdict`, `policy`, `service`, `priority`";
                    return Err(format!("unknown parameter; known are {known}"));
                }
            }
        }
        Ok(parsed)
    }

    /// How many of the newest decisions must be looked at.
    pub(crate) fn scan(&self) -> usize {
        let filtered = [&self.verdict, &self.policy, &self.service, &self.priority];
        if filtered.iter().any(|filter| filter.is_some()) { SCAN } else { self.limit() }
    }

    /// How many decisions the answer holds at most.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Whether a decision is asked for.
    pub(crate) fn matches(&self, record: &DecisionRecord) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        is(&self.verdict, Some(record.verdict))
            && is(&self.policy, record.policy.as_deref())
            && is(&self.service, record.service.as_deref())
            && is(&self.priority, record.priority.as_deref())
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
