//! Defaults and located errors.

use crate::{QueueConfig, RetryConfig};
use forebay_config::Node;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    sending_queue: QueueConfig,
    retry_on_failure: RetryConfig,
}

fn errors(text: &str) -> Vec<String> {
    let node = Node::parse_str("test.yaml", text).unwrap();
    let section: Section = match node.read() {
        Ok(section) => section,
        Err(found) => {
            return found.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
        }
    };
    let mut found = section.sending_queue.check(&node);
    found.extend(section.retry_on_failure.check(&node));
    found.iter().map(|error| format!("{}: {}", error.path, error.message)).collect()
}

#[test]
fn defaults_are_the_collectors() {
    let queue = serde_json::to_value(QueueConfig::default()).unwrap();
    let retry = serde_json::to_value(RetryConfig::default()).unwrap();
    assert_eq!(
        queue,
        serde_json::json!({
            "enabled": true, "num_consumers": 10, "queue_size": 1000, "sizer": "requests",
            "block_on_overflow": false, "wait_for_result": false, "max_bytes": "512MiB",
        })
    );
    assert_eq!(
        retry,
        serde_json::json!({
            "enabled": true, "initial_interval": "5s", "randomization_factor": 0.5, "multiplier": 1.5,
            "max_interval": "30s", "max_elapsed_time": "5m0s",
        })
    );
}

#[test]
fn good_sections_pass() {
    for text in [
        "{}",
        "sending_queue:",
        "sending_queue: {enabled: false, queue_size: 10, num_consumers: 2}",
        "sending_queue: {sizer: bytes, queue_size: 1000000, block_on_overflow: true, wait_for_result: true}",
        "retry_on_failure: {enabled: true, initial_interval: 100ms, max_interval: 1s, max_elapsed_time: 0}",
    ] {
        assert_eq!(errors(text), [""; 0], "{text}");
    }
}

#[test]
fn bad_values_are_named_where_they_stand() {
    let cases = [
        ("sending_queue: {queue_size: 0}", "sending_queue.queue_size: must be 1 or more"),
        ("sending_queue: {num_consumers: 0}", "sending_queue.num_consumers: must be from 1 to 10000"),
        ("sending_queue: {max_bytes: 0}", "sending_queue.max_bytes: must be 1 byte or more"),
        ("sending_queue: {storage: file_storage}", "sending_queue.storage: `storage` is not supported"),
        ("sending_queue: {batch: {min_size: 3}}", "sending_queue.batch: `batch` is not supported"),
        ("sending_queue: {sizer: spans}", "sending_queue.sizer: unknown value `spans`"),
        (
            "retry_on_failure: {randomization_factor: 2}",
            "retry_on_failure.randomization_factor: must be from 0 to 1",
        ),
        ("retry_on_failure: {multiplier: -1}", "retry_on_failure.multiplier: must be 0 or more"),
        (
            "retry_on_failure: {max_elapsed_time: 1s}",
            "retry_on_failure.max_elapsed_time: must not be less than `initial_interval`; 0 means for ever",
        ),
        (
            "retry_on_failure: {max_elapsed_time: 10s}",
            "retry_on_failure.max_elapsed_time: must not be less than `max_interval`; 0 means for ever",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(text), [expected], "{text}");
    }
}
