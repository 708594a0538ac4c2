//! `service.telemetry.resource`: a list of attributes, or the older map.

use forebay_config::{Diagnostics, Node, Value};

const NAME: &str = "service.name";
const VERSION: &str = "service.version";
const INSTANCE: &str = "service.instance.id";

/// The attributes that are there when the configuration does not say otherwise.
pub(super) fn defaults() -> Vec<(String, String)> {
    vec![
        (NAME.to_owned(), "forebay".to_owned()),
        (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (INSTANCE.to_owned(), instance_id()),
    ]
}

pub(super) fn parse(node: &Node, found: &mut Diagnostics) -> Vec<(String, String)> {
    let mut attributes = defaults();
    match node.value() {
        Value::Null => return attributes,
        Value::Mapping(_) => {}
        Value::Scalar(_) | Value::Sequence(_) => {
            found.push(
                node.error_at(&[], "expected a mapping with the list `attributes`, or attribute: value"),
            );
            return attributes;
        }
    }
    let mut set = |name: &str, value: Option<String>| {
        attributes.retain(|(known, _)| known != name);
        attributes.extend(value.map(|value| (name.to_owned(), value)));
    };
    let mut older = None;
    for entry in node.entries() {
        match entry.key.as_str() {
            "attributes" => {
                if !matches!(entry.value.value(), Value::Sequence(_) | Value::Null) {
                    let message = "expected a list of `{name: ..., value: ...}`";
                    found.push(entry.value.error_at(&[], message));
                }
                for item in entry.value.items() {
                    if let Some((name, value)) = attribute(item, found) {
                        set(&name, value);
                    }
                }
            }
            "schema_url" => {
                if entry.value.as_str().is_none() {
                    found.push(entry.value.error_at(&[], "expected a string"));
                }
            }
            key @ ("attributes_list" | "detection/development") => {
                let message = format!("`{key}` is not supported");
                found.push(
                    node.error_at_key(key, message).with_help("name the attributes under `attributes`"),
                );
            }
            key => {
                older = Some(key);
                match scalar(&entry.value) {
                    Ok(value) => set(key, value),
                    Err(message) => found.push(entry.value.error_at(&[], message)),
                }
            }
        }
    }
    let listed = node.get("attributes").is_some_and(|list| list.items().len() > 0);
    if let Some(key) = older.filter(|_| listed) {
        let message = "`attributes` and attributes as keys cannot be used together";
        found.push(node.error_at_key(key, message).with_help("move this one into the list"));
    }
    attributes
}

/// One `{name, value, type}`. A null value takes the attribute away.
fn attribute(item: &Node, found: &mut Diagnostics) -> Option<(String, Option<String>)> {
    for entry in item.entries() {
        if !matches!(entry.key.as_str(), "name" | "value" | "type") {
            let message = format!("unknown key `{}`", entry.key);
            found.push(item.error_at_key(&entry.key, message).with_help("known: `name`, `value`, `type`"));
        }
    }
    if let Some(kind) = item.get("type")
        && !matches!(kind.as_str(), Some("string" | "bool" | "int" | "double"))
    {
        found.push(kind.error_at(&[], "expected one of `string`, `bool`, `int`, `double`"));
    }
    let Some(name) = item.get("name").and_then(Node::as_str).filter(|name| !name.is_empty()) else {
        found.push(item.error_at(&[], "an attribute needs a `name` and a `value`"));
        return None;
    };
    let Some(value) = item.get("value") else {
        found.push(item.error_at(&[], "the key `value` is missing"));
        return None;
    };
    match scalar(value) {
        Ok(value) => Some((name.to_owned(), value)),
        Err(message) => {
            found.push(value.error_at(&[], message));
            None
        }
    }
}

fn scalar(node: &Node) -> Result<Option<String>, &'static str> {
    match (node.is_null(), node.as_str()) {
        (true, _) => Ok(None),
        (false, Some(text)) => Ok(Some(text.to_owned())),
        (false, None) => Err("expected a single value, or null to leave the attribute out"),
    }
}

/// A random UUID (version 4).
fn instance_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
