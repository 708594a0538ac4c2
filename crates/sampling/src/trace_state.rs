//! The W3C trace state (Trace Context, section 3.3): parsed as the collector does, all or nothing.

/// More list-members than this make a trace state invalid.
const MOST_MEMBERS: usize = 32;

/// A key and value longer than this together (with the `=` between) are not looked for.
const LONGEST_MEMBER: usize = 256;

/// The list-members of a valid trace state.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    members: [(&'a str, &'a str); MOST_MEMBERS],
    count: usize,
}

impl<'a> Members<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let members = self.members.get(..self.count)?;
        members.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }
}

/// The list-members; none when one is invalid or a key comes twice.
pub(crate) fn parse(text: &str) -> Option<Members<'_>> {
    let mut parsed = Members { members: [("", ""); MOST_MEMBERS], count: 0 };
    for member in text.split(',').filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=')?;
        let key = key.trim_start_matches([' ', '\t']);
        let value = value.trim_end_matches([' ', '\t']);
        if !is_key(key) || !is_value(value) || parsed.get(key).is_some() {
            return None;
        }
        *parsed.members.get_mut(parsed.count)? = (key, value);
        parsed.count += 1;
    }
    Some(parsed)
}

/// Which values of a key match.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TraceStateTest {
    key: Box<str>,
    values: Vec<Box<str>>,
}

impl TraceStateTest {
    /// Values that no list-member of the key can have are left out.
    pub(crate) fn new(key: &str, values: &[String]) -> Self {
        let possible = |value: &&String| !value.is_empty() && key.len() + value.len() < LONGEST_MEMBER;
        let mut values: Vec<Box<str>> =
            values.iter().filter(possible).map(|value| value.as_str().into()).collect();
        values.sort_unstable();
        values.dedup();
        Self { key: key.into(), values }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// No value can match.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value that matches.
    pub(crate) fn find<'a>(&self, members: &Members<'a>) -> Option<&'a str> {
        let value = members.get(&self.key)?;
        self.values.binary_search_by(|known| (**known).cmp(value)).is_ok().then_some(value)
    }
}

/// `simple-key` or `tenant-id@system-id`.
pub(crate) fn is_key(key: &str) -> bool {
    match key.split_once('@') {
        None => is_key_part(key, 256, |first| first.is_ascii_lowercase()),
        Some((tenant, system)) => {
            is_key_part(tenant, 241, |first| first.is_ascii_lowercase() || first.is_ascii_digit())
                && is_key_part(system, 14, |first| first.is_ascii_lowercase())
        }
    }
}

fn is_key_part(part: &str, longest: usize, is_first: impl Fn(&u8) -> bool) -> bool {
    let is_rest = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/')
    };
    match part.as_bytes().split_first() {
        Some((first, rest)) => part.len() <= longest && is_first(first) && rest.iter().all(is_rest),
        None => false,
    }
}

fn is_value(value: &str) -> bool {
    let is_char = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    value.len() <= 256
        && value.bytes().all(|byte| is_char(&byte))
        && value.as_bytes().last().is_some_and(|last| *last != b' ')
}
