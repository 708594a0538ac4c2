//! W3C trace state: `vendor=value,vendor=value`.

/// The value of a key: empty if there is no such key, none if the trace state breaks the W3C's rules.
pub(crate) fn get<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    const MAX_MEMBERS: usize = 32;
    let mut seen = [""; MAX_MEMBERS];
    let mut found = "";
    for (count, member) in state.split(',').filter(|member| !member.is_empty()).enumerate() {
        let (name, value) = member.split_once('=')?;
        let (name, value) = (name.trim_start_matches([' ', '\t']), value.trim_end_matches([' ', '\t']));
        if !is_key(name) || !is_value(value) || count == MAX_MEMBERS || seen[..count].contains(&name) {
            return None;
        }
        seen[count] = name;
        if name == key {
            found = value;
        }
    }
    Some(found)
}

fn is_key(key: &str) -> bool {
    let rest = |text: &[u8], limit| {
        text.len() <= limit
            && text.iter().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let simple =
        |text: &str, limit| matches!(text.as_bytes(), [b'a'..=b'z', after @ ..] if rest(after, limit));
    match key.split_once('@') {
        None => simple(key, 255),
        Some((tenant, system)) => {
            let tenant =
                matches!(tenant.as_bytes(), [b'a'..=b'z' | b'0'..=b'9', after @ ..] if rest(after, 240));
            tenant && simple(system, 13)
        }
    }
}

fn is_value(value: &str) -> bool {
    let printable = |c: &u8| matches!(c, b' '..=b'~') && !matches!(c, b',' | b'=');
    value.len() <= 256
        && value.bytes().last().is_some_and(|last| last != b' ')
        && value.as_bytes().iter().all(printable)
}
