//! Tree to YAML.

use crate::node::{Node, Value};
use crate::scalar::{Resolved, resolve_plain};
use crate::secret::REDACTED;

/// The configuration as YAML that reads back as the same configuration: merged, expanded, with `$` written `$$`.
///
/// The structure is written here and serde_yaml quotes the scalars: that way plain scalars stay as they were
/// written (`0x1F`, `007`), which serde_yaml alone would turn into other numbers.
pub fn to_yaml(node: &Node) -> String {
    document(node, false)
}

/// The same for other eyes: what usually is secret (`headers`, passwords, tokens, keys) shows as `[REDACTED]`.
pub fn to_yaml_redacted(node: &Node) -> String {
    document(node, true)
}

/// Parts of key names whose values are secret, and sections where every value is.
const SECRET_PARTS: [&str; 6] = ["password", "passwd", "secret", "token", "api_key", "access_key"];
const SECRET_KEYS: [&str; 4] = ["key_pem", "authorization", "credentials", "headers"];

fn document(node: &Node, redact: bool) -> String {
    let mut out = String::new();
    write(&mut out, node, 0, Place { redact, ..Place::default() });
    out.truncate(out.trim_end_matches('\n').len());
    out.trim_start_matches(['\n', ' ']).to_owned() + "\n"
}

#[derive(Clone, Copy, Default)]
struct Place {
    /// Directly behind the `-` of an item, where a mapping goes on in the same line.
    in_item: bool,
    redact: bool,
    secret: bool,
}

/// Writes what follows `key:` or `-`: a space and a value, or a line end and a collection.
fn write(out: &mut String, node: &Node, indent: usize, place: Place) {
    let below = Place { in_item: false, ..place };
    match &node.value {
        Value::Sequence(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Mapping(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::Sequence(items) => {
            out.push('\n');
            for item in items {
                start_line(out, indent);
                out.push('-');
                write(out, item, indent + 2, Place { in_item: true, ..below });
            }
        }
        Value::Mapping(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                if place.in_item && index == 0 {
                    out.push(' ');
                } else {
                    out.push_str(if index == 0 { "\n" } else { "" });
                    start_line(out, indent);
                }
                out.push_str(&quote(&entry.key));
                out.push(':');
                let secret = place.secret || (place.redact && is_secret(&entry.key));
                write(out, &entry.value, indent + 2, Place { secret, ..below });
            }
        }
        Value::Null => out.push_str(" null\n"),
        Value::Scalar(_) if place.secret => out.push_str(&format!(" '{REDACTED}'\n")),
        Value::Scalar(scalar) if scalar.plain && !matches!(resolve_plain(&scalar.text), Resolved::Str(_)) => {
            out.push_str(&format!(" {}\n", scalar.text));
        }
        Value::Scalar(scalar) => text(out, &scalar.text.replace('$', "$$"), indent),
    }
}

fn start_line(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    SECRET_KEYS.contains(&key.as_str()) || SECRET_PARTS.iter().any(|part| key.contains(part))
}

/// A string; of several lines as a block where that loses nothing.
fn text(out: &mut String, text: &str, indent: usize) {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let is_block = body.contains('\n')
        && !body.starts_with([' ', '\n', '#'])
        && !body.ends_with('\n')
        && body.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic());
    if !is_block {
        out.push_str(&format!(" {}\n", quote(text)));
        return;
    }
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in body.split('\n') {
        start_line(out, if line.is_empty() { 0 } else { indent.max(2) });
        out.push_str(line);
        out.push('\n');
    }
}

/// A string in one line, with quotes where it would read as something else.
fn quote(text: &str) -> String {
    if text.contains(|c: char| c.is_control()) || text.contains(['\u{2028}', '\u{2029}', '\u{feff}']) {
        return double_quoted(text);
    }
    let shown = serde_yaml::to_string(text).unwrap_or_default();
    let shown = shown.trim_end_matches('\n');
    match shown.starts_with(['\'', '"']) {
        true => shown.to_owned(),
        false if shown == text && text != "<<" && matches!(resolve_plain(text), Resolved::Str(_)) => {
            shown.to_owned()
        }
        false => double_quoted(text),
    }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' ' | '!'..='~' => out.push(c),
            _ if c.is_alphanumeric() => out.push(c),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}
