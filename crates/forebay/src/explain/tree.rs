//! An explanation as a tree of lines for people.

use serde_json::Value;
use std::fmt::Write;

/// A line and what hangs on it.
#[derive(Default)]
struct Node {
    text: String,
    below: Vec<Node>,
}

impl Node {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }

    fn with(mut self, below: impl IntoIterator<Item = Node>) -> Self {
        self.below.extend(below);
        self
    }

    fn draw(&self, out: &mut String, indent: &str) {
        out.push_str(&self.text);
        out.push('\n');
        for (at, node) in self.below.iter().enumerate() {
            let (branch, rest) =
                if at + 1 < self.below.len() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
            out.push_str(indent);
            out.push_str(branch);
            node.draw(out, &format!("{indent}{rest}"));
        }
    }
}

/// The tree of what `/explain/{trace_id}` answered.
pub fn draw(explanation: &Value) -> String {
    let processors = list(explanation, "explanations").map(processor);
    let mut out = String::new();
    Node::new(format!("trace {}", text(explanation, "trace_id").unwrap_or_default()))
        .with(processors)
        .draw(&mut out, "");
    out
}

/// What `/explain/{trace_id}` says when it knows nothing.
pub fn refusal(said: &Value) -> String {
    let mut message = text(said, "error").unwrap_or_default();
    for one in list(said, "remembered") {
        let name = text(one, "processor").unwrap_or_default();
        if let Some(since) = time(one, "since_unix_ms") {
            let verdicts = number(one, "verdicts").unwrap_or(0.0);
            // Writing to a String cannot fail.
            let _ = write!(message, "\n  {name} remembers {verdicts} verdicts, all that fell since {since}");
        } else {
            let _ = write!(message, "\n  {name} remembers no verdicts (recent_decisions)");
        }
    }
    message
}

fn processor(one: &Value) -> Node {
    let name = text(one, "processor").unwrap_or_default();
    let place =
        text(one, "pipeline").map_or(name.clone(), |pipeline| format!("{name} in pipeline {pipeline}"));
    let state = text(one, "state").unwrap_or_else(|| "not known".to_owned());
    let mut node = Node::new(format!("{state}: {place}"));
    let newest = one["held"].as_object().map(|_| &one["held"]).or_else(|| list(one, "verdicts").last());
    if let Some(newest) = newest {
        node.below.push(task(newest));
        node.below.extend(times(newest));
    }
    node.below.extend(list(one, "verdicts").map(verdict));
    if one["bare_verdict"].is_object() {
        node.below.push(bare(&one["bare_verdict"]));
    }
    if one["held"].is_object() {
        node.below.push(held(&one["held"]));
    }
    if one["retained"].is_object() {
        node.below.push(retained(&one["retained"]));
    }
    node.below.extend(list(one, "late").map(late));
    if let Some(since) = time(one, "late_known_since_unix_ms") {
        node.below.push(Node::new(format!("late spans before {since} are forgotten")));
    }
    if one["handed_to"].is_object() {
        node.below.push(handed_to(&one["handed_to"]));
    }
    if let Some(why) = text(one, "unanswered") {
        node.below.push(Node::new(format!("whether it is held now is not known: {why}")));
    }
    node
}

fn task(of: &Value) -> Node {
    let root = text(of, "root").unwrap_or_else(|| "root span not seen".to_owned());
    let mut line = format!("task: {root}");
    if let Some(service) = text(of, "service") {
        line = format!("{line}, service {service}");
    }
    if let Some(priority) = text(of, "priority") {
        line = format!("{line}, priority {priority}");
    }
    Node::new(line)
}

fn times(of: &Value) -> Vec<Node> {
    let mut lines = Vec::new();
    if let (Some(start), Some(end)) = (time(of, "start_unix_ms"), time(of, "end_unix_ms")) {
        let took = number(of, "end_unix_ms").zip(number(of, "start_unix_ms")).map(|(end, start)| end - start);
        lines.push(Node::new(format!("spans ran: {start} to {end} ({})", duration(took.unwrap_or(0.0)))));
    }
    if let (Some(first), Some(last)) = (time(of, "first_arrival_unix_ms"), time(of, "last_arrival_unix_ms")) {
        lines.push(Node::new(format!("spans came: {first} to {last}")));
    }
    lines
}

fn verdict(one: &Value) -> Node {
    let line = format!(
        "{} {} after {} on {}",
        text(one, "verdict").unwrap_or_default(),
        time(one, "decided_unix_ms").unwrap_or_default(),
        duration(number(one, "held_ms").unwrap_or(0.0)),
        amount(one),
    );
    let policy = text(one, "policy");
    let reason = text(one, "reason").unwrap_or_default();
    let mut why = match &policy {
        Some(policy) => format!("why: policy {policy} ({})", words(&reason)),
        None => format!("why: {}", words(&reason)),
    };
    if let Some(evidence) = text(one, "evidence") {
        why = format!("{why}: {evidence}");
    }
    if let Some(span) = text(one, "span_id") {
        why = format!("{why} on span {span}");
    }
    let when = format!("when: {}", words(&text(one, "trigger").unwrap_or_default()));
    let votes = Node::new("votes").with(votes(one, "votes", policy.as_deref()));
    Node::new(line).with([Node::new(why), Node::new(when), votes])
}

fn bare(one: &Value) -> Node {
    let by = text(one, "policy").map_or(String::new(), |policy| format!(" by policy {policy}"));
    let line = format!(
        "{} {}{by}",
        text(one, "verdict").unwrap_or_default(),
        time(one, "decided_unix_ms").unwrap_or_default(),
    );
    Node::new(line).with([Node::new("no more is remembered of this verdict (recent_decisions)")])
}

fn held(one: &Value) -> Node {
    let line = format!("undecided for {}: {}", duration(number(one, "held_ms").unwrap_or(0.0)), amount(one));
    let due = format!(
        "due {} at the latest, in {} ({})",
        time(one, "due_unix_ms").unwrap_or_default(),
        duration(number(one, "due_in_ms").unwrap_or(0.0)),
        words(&text(one, "due_by").unwrap_or_default()),
    );
    let missing: Vec<String> = list(one, "missing_parents").filter_map(|id| id.as_str().map(clean)).collect();
    let waits = (!missing.is_empty())
        .then(|| Node::new(format!("waits for parents that have not come: {}", missing.join(", "))));
    let policies = Node::new("policies now").with(votes(one, "policies", None));
    Node::new(line).with([Node::new(due)]).with(waits).with([policies])
}

fn retained(one: &Value) -> Node {
    let line = format!(
        "late spans may still turn the verdict until {}, for {}: {} retained",
        time(one, "until_unix_ms").unwrap_or_default(),
        duration(number(one, "left_ms").unwrap_or(0.0)),
        amount(one),
    );
    Node::new(line).with([Node::new("policies now").with(votes(one, "policies", None))])
}

/// A line for each policy, the votes in one column.
fn votes<'a>(of: &'a Value, key: &'a str, winner: Option<&str>) -> Vec<Node> {
    let name = |vote: &Value| {
        let drops = vote["drops"].as_bool() == Some(true);
        let policy = text(vote, "policy").unwrap_or_default();
        (policy.clone(), if drops { format!("{policy} (drops)") } else { policy })
    };
    let width = list(of, key).map(|vote| name(vote).1.chars().count()).max().unwrap_or(0);
    let line = |vote: &Value| {
        let (policy, shown) = name(vote);
        let said = words(&text(vote, "vote").unwrap_or_default());
        let decided = if winner == Some(policy.as_str()) { ", decided" } else { "" };
        Node::new(format!("{shown:width$}  {said}{decided}"))
    };
    list(of, key).map(line).collect()
}

fn late(one: &Value) -> Node {
    let arrivals = number(one, "arrivals").unwrap_or(0.0);
    let how = match (one["streamed"].as_bool(), text(one, "verdict").as_deref()) {
        (Some(true), _) => "streamed",
        _ if one["retained"].as_bool() == Some(true) => "late, retained",
        (_, Some("kept")) => "late, kept",
        _ => "late, dropped",
    };
    let (first, last) = (time(one, "first_unix_ms"), time(one, "last_unix_ms"));
    let when = match (first, last) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (first, _) => first.unwrap_or_default(),
    };
    let age = duration(number(one, "age_ms").unwrap_or(0.0));
    let times = if arrivals == 1.0 { "once".to_owned() } else { format!("{arrivals} times") };
    Node::new(format!("{how}: {} {times}, {when}, the last {age} after the verdict", amount(one)))
}

fn handed_to(to: &Value) -> Node {
    let processors: Vec<String> = list(to, "processors").filter_map(|id| id.as_str().map(clean)).collect();
    let line = if processors.is_empty() {
        "handed to".to_owned()
    } else {
        format!("handed to {}, then", processors.join(", "))
    };
    let exporter = |one: &Value| {
        let mut line = text(one, "id").unwrap_or_default();
        if let Some(state) = text(one, "state") {
            line = format!("{line}: {} now", words(&state));
        }
        let queue = &one["queue"];
        if let (Some(used), Some(capacity)) = (number(queue, "used"), number(queue, "capacity")) {
            let unit = text(queue, "unit").unwrap_or_default();
            line = format!("{line}, queue {used} of {capacity} {unit}");
        }
        let error = &one["last_error"];
        let last_error = text(error, "message").map(|message| {
            let at = number(error, "unix_s").map_or(String::new(), |at| utc(at * 1e3));
            Node::new(format!("last error {at}: {message}"))
        });
        Node::new(line).with(last_error)
    };
    Node::new(line).with(list(to, "exporters").map(exporter))
}

fn amount(of: &Value) -> String {
    let spans = number(of, "spans").unwrap_or(0.0);
    let noun = if spans == 1.0 { "span" } else { "spans" };
    format!("{spans} {noun} ({})", bytes(number(of, "bytes").unwrap_or(0.0)))
}

fn list<'a>(of: &'a Value, key: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    of[key].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(of: &Value, key: &str) -> Option<String> {
    of[key].as_str().map(clean)
}

fn number(of: &Value, key: &str) -> Option<f64> {
    of[key].as_f64()
}

fn time(of: &Value, key: &str) -> Option<String> {
    number(of, key).map(utc)
}

/// A name of the API in words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Names and values come from whoever sends spans: nothing of theirs steers a terminal.
pub fn clean(text: &str) -> String {
    let unsafe_ = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if unsafe_(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}

/// Such as `2026-11-22 15:04:05.678Z`.
pub(super) fn utc(unix_ms: f64) -> String {
    let ms = unix_ms as u64;
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Counted in years that begin in March, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1_000)
}

/// Such as `850 ms`, `41.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn duration(ms: f64) -> String {
    let seconds = (ms / 1e3).round() as u64;
    match seconds {
        _ if ms < 1e3 => format!("{ms:.0} ms"),
        _ if ms < 60e3 => format!("{:.1} s", ms / 1e3),
        ..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        ..1024.0 => format!("{bytes:.0} B"),
        ..1_048_576.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{:.1} MiB", bytes / 1_048_576.0),
    }
}
