//! The many ways to write the same OTLP/JSON.

use serde_json::Value;

use crate::generate::Entropy;

/// Numbers that are written as strings but may be numbers.
const LONG: [&str; 4] = ["intValue", "timeUnixNano", "startTimeUnixNano", "endTimeUnixNano"];
const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const IGNORED: [&str; 5] = [
    r#""unknown":[1,-2.5e3,{"x":[]},"\ud800"]"#,
    r#""_resource_spans":{}"#,
    r#""key_strindex":7"#,
    r#""":null"#,
    r#""stringValueStrindex":true"#,
];

/// Writes `json`, which this crate wrote, in another way that means the same. Without entropy, as it was.
pub fn respell(json: &Value, entropy: &mut Entropy<'_>) -> String {
    let mut writer = Writer { entropy, out: String::new() };
    writer.value("", json);
    writer.out
}

struct Writer<'e, 'b> {
    entropy: &'e mut Entropy<'b>,
    out: String,
}

impl Writer<'_, '_> {
    fn one_in(&mut self, count: usize) -> bool {
        !self.entropy.is_empty() && self.entropy.below(count) == count - 1
    }

    fn token(&mut self, token: &str) {
        self.space();
        self.out.push_str(token);
        self.space();
    }

    fn space(&mut self) {
        while self.one_in(20) {
            self.out.push([' ', '\n', '\t', '\r'][self.entropy.below(4)]);
        }
    }

    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                while self.one_in(2) {
                    let (a, b) = (self.entropy.below(fields.len().max(1)), fields.len() / 2);
                    if a < fields.len() {
                        fields.swap(a, b);
                    }
                }
                self.token("{");
                for (index, (name, value)) in fields.into_iter().enumerate() {
                    if index > 0 {
                        self.token(",");
                    }
                    self.field(name, value);
                }
                self.token("}");
            }
            Value::Array(elements) => self.array(name, elements),
            Value::String(text) => self.text(name, text),
            Value::Number(number) => self.number(name, &number.to_string()),
            Value::Bool(_) | Value::Null => self.token(&value.to_string()),
        }
    }

    fn field(&mut self, name: &str, value: &Value) {
        while self.one_in(12) {
            self.out.push_str(IGNORED[self.entropy.below(IGNORED.len())]);
            self.token(",");
        }
        if self.one_in(12) {
            self.name(name);
            self.token("null");
            self.token(",");
        }
        match value {
            // A repeated field in two pieces, or another one that is set twice: the last one counts.
            Value::Array(elements) if self.one_in(6) => {
                let (first, second) = elements.split_at(self.entropy.below(elements.len() + 1));
                self.name(name);
                self.array(name, first);
                self.token(",");
                self.name(name);
                self.array(name, second);
                return;
            }
            Value::String(_) | Value::Number(_) if self.one_in(12) => {
                self.name(name);
                self.value(name, value);
                self.token(",");
            }
            _ => {}
        }
        self.name(name);
        self.value(name, value);
    }

    fn name(&mut self, name: &str) {
        let mut snake_case = String::new();
        let snake = self.one_in(4);
        for letter in name.chars() {
            if snake && letter.is_ascii_uppercase() {
                snake_case.push('_');
                snake_case.push(letter.to_ascii_lowercase());
            } else {
                snake_case.push(letter);
            }
        }
        self.string(&snake_case);
        self.token(":");
    }

    fn array(&mut self, name: &str, elements: &[Value]) {
        self.token("[");
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.token(",");
            }
            let empty = element.as_object().is_some_and(serde_json::Map::is_empty);
            // An empty attribute has a key, so this is a message without any field.
            if empty && self.one_in(2) { self.token("null") } else { self.value(name, element) }
        }
        self.token("]");
    }

    fn text(&mut self, name: &str, text: &str) {
        match name {
            _ if LONG.contains(&name) => self.number(name, text),
            "traceId" | "spanId" | "parentSpanId" if self.one_in(2) => self.string(&text.to_uppercase()),
            "bytesValue" if self.one_in(2) => {
                self.string(&text.replace('+', "-").replace('/', "_").replace('=', ""));
            }
            _ => self.string(text),
        }
    }

    fn number(&mut self, name: &str, digits: &str) {
        let value = digits.parse::<usize>().unwrap_or(usize::MAX);
        let names = match name {
            "kind" => KINDS.as_slice(),
            "code" => &CODES,
            _ => &[],
        };
        let float = name == "doubleValue" && digits.parse::<f64>().is_ok_and(f64::is_finite);
        let written = match (self.entropy.below(6), names.get(value)) {
            (1, Some(name)) => format!("\"{name}\""),
            (2, _) if float => digits.parse().map_or(String::new(), |number: f64| format!("{number:E}")),
            (3, _) if value < 1 << 53 => format!("{value}.0"),
            (4, _) if value < 1 << 53 => format!("\"{value}0e-1\""),
            (5, _) if !digits.ends_with(char::is_alphabetic) => digits.to_owned(),
            _ => format!("\"{digits}\""),
        };
        self.token(&written);
    }

    fn string(&mut self, text: &str) {
        self.space();
        self.out.push('"');
        for character in text.chars() {
            if !self.one_in(16) {
                let quoted = Value::from(character.to_string()).to_string();
                self.out.push_str(&quoted[1..quoted.len() - 1]);
                continue;
            }
            if character == '/' {
                self.out.push_str("\\/");
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                self.out.push_str(&format!("\\u{unit:04X}"));
            }
        }
        self.out.push('"');
        self.space();
    }
}
