//! Go's duration texts: `1h15m30.5s`.

/// Nanoseconds; none if the text is not a duration, or one of more than 292 years.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let length = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole = if whole.is_empty() { 0 } else { u128::from(whole.parse::<u64>().ok()?) };
        // Below a nanosecond of an hour nothing counts: 19 digits are plenty.
        let fraction = &fraction[..fraction.len().min(19)];
        let parts = if fraction.is_empty() { 0 } else { u128::from(fraction.parse::<u64>().ok()?) };
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        total += whole * unit + parts * unit / scale;
        if total > 1 << 63 {
            return None;
        }
        rest = after;
    }
    let signed = i128::try_from(total).ok()?;
    i64::try_from(if negative { -signed } else { signed }).ok()
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}
