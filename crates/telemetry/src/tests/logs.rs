//! Log lines in both encodings, levels and sampling.

use crate::config::{Encoding, LogLevel, LogSampling, LogsConfig, Output};
use crate::logs::{LogLayer, Sampler};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tracing_subscriber::layer::SubscriberExt;

fn lines(mut config: LogsConfig, write: impl FnOnce()) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    config.output_paths = vec![Output::File(file.path().to_owned())];
    let subscriber = tracing_subscriber::registry().with(LogLayer::new(&config).unwrap());
    tracing::subscriber::with_default(subscriber, write);
    std::fs::read_to_string(file.path()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn json_lines_have_the_collectors_keys_the_initial_fields_and_the_resource() {
    let mut config = LogsConfig { encoding: Encoding::Json, ..LogsConfig::default() };
    config.initial_fields.insert("cluster".to_owned(), json!("blue"));
    config.resource = vec![("service.name".to_owned(), "forebay".to_owned())];
    let lines = lines(config, || {
        tracing::info!(target: "forebay_x", exporter = "zipkin", spans = 3, "sent \"all\"\n");
        tracing::warn!(target: "forebay_x", level = "mine", "x");
    });
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&first["level"], &first["msg"]), (&json!("info"), &json!("sent \"all\"\n")));
    assert_eq!((&first["exporter"], &first["spans"]), (&json!("zipkin"), &json!(3)));
    assert_eq!((&first["cluster"], &first["resource"]["service.name"]), (&json!("blue"), &json!("forebay")));
    assert!(first["caller"].as_str().unwrap().contains("tests/logs.rs:"), "{first}");
    assert!(first["ts"].as_str().unwrap().ends_with('Z'));
    let second: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(second["level"], "warn");
}

#[test]
fn console_lines_are_one_line_each_and_carry_no_terminal_controls() {
    let config = LogsConfig { disable_caller: true, ..LogsConfig::default() };
    let lines = lines(config, || tracing::error!(target: "forebay_x", peer = "\u{1b}[2J", "a\nb\u{1b}[31m"));
    assert_eq!(lines.len(), 1);
    let parts: Vec<&str> = lines[0].split('\t').collect();
    assert_eq!(&parts[1..], ["error", "a\\nb\\u{1b}[31m", "{\"peer\":\"\\u001b[2J\"}"]);
}

#[test]
fn the_level_holds_and_libraries_say_warnings_at_most() {
    let write = || {
        tracing::debug!(target: "forebay_x", "own debug");
        tracing::error!(target: "forebay_x", "own error");
        tracing::info!(target: "hyper", "foreign info");
        tracing::warn!(target: "hyper", "foreign warning");
    };
    let count = |level| lines(LogsConfig { level, ..LogsConfig::default() }, write).len();
    assert_eq!(count(LogLevel::Debug), 3);
    assert_eq!(count(LogLevel::Info), 2);
    assert_eq!(count(LogLevel::Error), 1);
    assert_eq!(count(LogLevel::Fatal), 0);
}

#[test]
fn repeated_messages_are_sampled_per_place_and_tick() {
    let sampling = LogSampling { enabled: true, tick: Duration::from_secs(10), initial: 2, thereafter: 3 };
    let id = {
        struct Here;
        impl tracing::Callsite for Here {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &tracing::Metadata<'_> {
                unreachable!("only its identity is used")
            }
        }
        static HERE: Here = Here;
        tracing::callsite::Identifier(&HERE)
    };
    let mut sampler = Sampler::new(&sampling);
    let start = Instant::now();
    let passed: Vec<bool> = (0..9).map(|_| sampler.pass(id.clone(), start)).collect();
    assert_eq!(passed, [true, true, false, false, true, false, false, true, false]);
    assert!(sampler.pass(id.clone(), start + sampling.tick));
    let mut sampler = Sampler::new(&LogSampling { thereafter: 0, ..sampling });
    assert_eq!((0..100).filter(|_| sampler.pass(id.clone(), start)).count(), 2);
    let all = LogsConfig {
        sampling: LogSampling { enabled: false, ..LogSampling::default() },
        ..LogsConfig::default()
    };
    let write = || (0..50).for_each(|_| tracing::info!(target: "forebay_x", "again"));
    assert_eq!(lines(all, write).len(), 50);
    assert_eq!(lines(LogsConfig::default(), write).len(), 10);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let output_paths = vec![Output::File("/no/such/folder/x.log".into())];
    let error = LogLayer::new(&LogsConfig { output_paths, ..LogsConfig::default() }).err().unwrap();
    assert!(error.to_string().contains("/no/such/folder/x.log"), "{error}");
}
