//! What a backend answers, in words that fit a log line.

use forebay_exporter_queue::Delivered;

/// Answers are read up to here; a backend has no reason to say more.
pub(crate) const MAX_RESPONSE: usize = 64 << 10;
/// So much of a backend's words goes into messages.
const MAX_WORDS: usize = 500;

/// What a partial success says; one that does not parse still came with a success: nothing was rejected.
pub(crate) fn delivered(partial_success: Option<(i64, String)>) -> Delivered {
    partial_success.map_or_else(Delivered::default, |(rejected, message)| Delivered {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message: words(&message),
    })
}

/// A backend's words, cut to a length that a log line bears and without control characters.
pub(crate) fn words(text: &str) -> String {
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = clean.take(MAX_WORDS).collect();
    if text.trim().chars().nth(MAX_WORDS).is_some() {
        words.push_str("...");
    }
    words
}
