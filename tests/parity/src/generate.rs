//! Configurations made from seeds, valid here and in the collector, whose outcome does not depend on time.

use std::fmt::Write as _;

use crate::random::Random;

/// How many there are.
pub const COUNT: u64 = 40;

/// The case of a seed, as a list of one in YAML.
#[must_use]
pub fn case(seed: u64) -> String {
    let mut random = Random::new(0x5eed_0000 + seed);
    let random = &mut random;
    let mut keys = "    decision_wait: 2s\n".to_owned();
    let span_ingest = random.chance(20);
    if span_ingest {
        keys += "    sampling_strategy: span-ingest\n    decision_cache: {sampled_cache_size: 5000, non_sampled_cache_size: 5000}\n";
    } else if random.chance(40) {
        keys += "    decision_cache: {sampled_cache_size: 5000, non_sampled_cache_size: 5000}\n";
    }
    if random.chance(25) {
        keys += "    sample_on_first_match: true\n";
    }
    if random.chance(20) {
        keys += "    maximum_trace_size_bytes: 4000\n";
    }
    let count = 1 + random.below(5);
    let mut policies = String::new();
    for number in 0..count {
        // A drop policy alone keeps nothing, and span-ingest with one differs on purpose.
        let drops = number > 0 && !span_ingest && random.chance(25);
        let policy = if drops { drop(random) } else { policy(random, Level::Top, span_ingest) };
        // Writing to a string does not fail.
        let _ = writeln!(policies, "      - {{name: policy-{number}, {policy}}}");
    }
    let about = format!("{count} policies from seed {seed}");
    format!("- name: random-{seed:02}\n  about: {about}\n  tail_sampling:\n{keys}    policies:\n{policies}")
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Top,
    /// In `and` or `drop`: `not` may stand there.
    InList,
    /// In `composite`: `and` may stand there.
    InComposite,
    /// In `not`.
    InNot,
}

/// A policy without its name.
fn policy(random: &mut Random, level: Level, stateless: bool) -> String {
    match (random.below(20), level) {
        (0..=2, Level::Top | Level::InComposite) => {
            format!("type: and, and: {{and_sub_policy: [{}]}}", list(random, stateless))
        }
        (3, Level::Top) | (0..=2, Level::InList) => {
            format!(
                "type: not, not: {{not_sub_policy: {{name: x, {}}}}}",
                policy(random, Level::InNot, stateless)
            )
        }
        (4 | 5, Level::Top) => composite(random, stateless),
        _ => leaf(random, stateless),
    }
}

fn drop(random: &mut Random) -> String {
    format!("type: drop, drop: {{drop_sub_policy: [{}]}}", list(random, false))
}

fn list(random: &mut Random, stateless: bool) -> String {
    let count = 1 + random.below(3);
    let items =
        (0..count).map(|n| format!("{{name: part-{n}, {}}}", policy(random, Level::InList, stateless)));
    items.collect::<Vec<_>>().join(", ")
}

/// One that no rate limits: who comes first would matter.
fn composite(random: &mut Random, stateless: bool) -> String {
    let count = 1 + random.below(3);
    let parts =
        (0..count).map(|n| format!("{{name: part-{n}, {}}}", policy(random, Level::InComposite, stateless)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let rates =
        (0..count).map(|n| format!("{{policy: part-{n}, percent: 100}}")).collect::<Vec<_>>().join(", ");
    format!(
        "type: composite, composite: {{max_total_spans_per_second: 1000000, composite_sub_policy: [{parts}], rate_allocation: [{rates}]}}"
    )
}

fn leaf(random: &mut Random, stateless: bool) -> String {
    match random.below(14) {
        12 | 13 => condition(random),
        0 => format!("type: latency, latency: {{threshold_ms: {}}}", random.pick(&[0, 249, 250, 1000, 5000])),
        1 | 2 => {
            let (min, max) =
                *random.pick(&[(1, 100), (100, 500), (-100, -1), (i64::MIN, -1), (500, i64::MAX)]);
            let invert = random.chance(30);
            format!(
                "type: numeric_attribute, numeric_attribute: {{key: llm.tokens, min_value: {min}, max_value: {max}, invert_match: {invert}}}"
            )
        }
        3 => {
            let (salt, percent) =
                (random.pick(&["", "a", "layer-2"]), random.pick(&["10", "33.3", "50", "75"]));
            format!(
                "type: probabilistic, probabilistic: {{hash_salt: '{salt}', sampling_percentage: {percent}}}"
            )
        }
        4 => format!(
            "type: status_code, status_code: {{status_codes: [{}]}}",
            random.pick(&["ERROR", "OK", "ERROR, OK"])
        ),
        5 | 6 => {
            let values =
                random.pick(&["critical", "critical, high", "low", "low, normal", "'', high", "CRITICAL"]);
            let invert = random.chance(40);
            format!(
                "type: string_attribute, string_attribute: {{key: task.priority, values: [{values}], invert_match: {invert}}}"
            )
        }
        7 => {
            let values = random.pick(&[
                "'^search\\.'",
                "'(?i)search'",
                "'run$$', 'query-\\d+$$'",
                "'^$$'",
                "'\\p{Han}'",
            ]);
            let invert = random.chance(40);
            format!(
                "type: string_attribute, string_attribute: {{key: tool.name, values: [{values}], enabled_regex_matching: true, invert_match: {invert}}}"
            )
        }
        8 => {
            let (key, value) = (random.pick(&["retry", "node.healthy"]), random.chance(50));
            format!(
                "type: boolean_attribute, boolean_attribute: {{key: {key}, value: {value}, invert_match: {}}}",
                random.chance(40)
            )
        }
        9 if stateless => {
            format!("type: span_count, span_count: {{min_spans: {}}}", random.pick(&[2, 5, 20]))
        }
        9 => format!(
            "type: span_count, span_count: {{min_spans: {}, max_spans: {}}}",
            random.pick(&[1, 2, 5]),
            random.pick(&[0, 5, 9])
        ),
        10 => format!(
            "type: trace_state, trace_state: {{key: {}, values: [keep, blue, a]}}",
            random.pick(&["forebay", "vendor", "team1@corp"])
        ),
        _ => "type: trace_flags".to_owned(),
    }
}

fn condition(random: &mut Random) -> String {
    const CONDITIONS: [&str; 10] = [
        r#"attributes["task.priority"] == "critical""#,
        r#"attributes["llm.tokens"] > 100 and kind != SPAN_KIND_SERVER"#,
        r#"resource.attributes["service.name"] == "executor""#,
        r#"end_time - start_time > Duration("1s")"#,
        r#"IsMatch(attributes["tool.name"], "[.]w")"#,
        r#"status.code == STATUS_CODE_ERROR or name == "retrieve""#,
        r#"not IsRootSpan() and attributes["retry"] == true"#,
        r#"HasPrefix(attributes["tool.name"], "code")"#,
        r#"trace_state["vendor"] == "a""#,
        r#"Len(attributes["tool.name"]) < 4"#,
    ];
    let mode = random.pick(&["ignore", "silent", "propagate"]);
    let (first, second) = (random.pick(&CONDITIONS), random.pick(&CONDITIONS));
    let events = match random.chance(25) {
        true => r#", spanevent: ['attributes["attempt"] == 4']"#,
        false => "",
    };
    format!(
        "type: ottl_condition, ottl_condition: {{error_mode: {mode}, span: ['{first}', '{second}']{events}}}"
    )
}
