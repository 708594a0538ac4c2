use std::time::Duration;

use proptest::prelude::*;

use crate::node::{Entry, Node, Scalar, Value};
use crate::scalar::Resolved;
use crate::{ByteSize, GoDuration, Location, Source, duration, load, to_yaml};

fn node(value: Value) -> Node {
    Node::new(value, Location::new("f", 1, 1), "".into())
}

fn scalar() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        prop::sample::select(vec!["true", "false", ".inf", "0x1F", "017", "1_000"]).prop_map(str::to_owned),
    ];
    let quoted = prop_oneof![
        "\\PC{0,12}",
        "[-+.~0-9a-fxo_:#&*!|>%@`' \"\\[\\]{},?$\n\t]{0,8}",
        prop::sample::select(vec![
            "true", "null", "~", "", "yes", "0x1F", "1_000", "-.inf", "<<", "5", "1e3", "0b1", "=", "+1",
            "0o7", "-0x1", "NULL"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        Just(Value::Null),
        plain.prop_map(|text| Value::Scalar(Scalar { text, plain: true })),
        quoted.prop_map(|text| Value::Scalar(Scalar { text, plain: false })),
    ]
}

fn tree() -> impl Strategy<Value = Node> {
    scalar().prop_map(node).prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof!["[a-z_/]{1,8}", "[^<\\p{C}]{1,6}"];
        let mapping = prop::collection::btree_map(key, inner.clone(), 0..6).prop_map(|pairs| {
            let entry = |(key, value)| Entry {
                key,
                key_location: Location::new("f", 1, 1),
                key_source: "".into(),
                value,
            };
            node(Value::Mapping(pairs.into_iter().map(entry).collect()))
        });
        let list = prop::collection::vec(inner, 0..6).prop_map(|items| node(Value::Sequence(items)));
        prop_oneof![mapping, list]
    })
}

/// Equal in what an option of any type would read.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Sequence(a), Value::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Mapping(a), Value::Mapping(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && same(&a.value, &b.value))
        }
        _ => match (a.resolved(), b.resolved()) {
            (Some(Resolved::Float(a)), Some(Resolved::Float(b))) => {
                a == b || (a - b).abs() <= a.abs() * 1e-12
            }
            (Some(a), Some(b)) => a == b,
            _ => false,
        },
    }
}

proptest! {
    #[test]
    fn printed_trees_read_back(tree in tree()) {
        let text = to_yaml(&tree);
        let read = Node::parse_str("f", &text);
        prop_assert!(read.is_ok(), "{text}\n{read:?}");
        prop_assert!(same(&tree, &read.unwrap()), "{text}");
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = Node::parse_str("f", &text);
    }

    #[test]
    fn no_yaml_like_text_panics(text in "([-?:,\\[\\]{}#&*!|>'\"%@ab1 \n\t$~<\\\\]|- |: |\n  |<<: |\\$\\{|env:|&a |\\*a |!!str |\\|\n|---\n){0,40}") {
        let source = Source::Yaml { name: "f".into(), text: text.clone() };
        let _ = load(&[source], &|_| Some("x".into()), &|_: &std::path::Path| Ok("y: ${env:Z}".into()));
        if let Ok(node) = Node::parse_str("f", &text) {
            let _ = node.read::<std::collections::BTreeMap<String, Vec<Option<u32>>>>();
            let _ = node.read::<GoDuration>();
        }
    }

    #[test]
    fn locations_point_into_the_text(text in "([-:,\\[\\]{}ab \n]|- |: |\n  ){0,40}") {
        let lines: Vec<&str> = text.split('\n').collect();
        let inside = |at: &Location| at.line as usize <= lines.len() + 1;
        match Node::parse_str("f", &text) {
            Ok(node) => prop_assert!(inside(node.location())),
            Err(errors) => for error in errors { prop_assert!(inside(&error.location)) },
        }
    }

    #[test]
    fn durations_round_trip(nanos in 0..i64::MAX as u64) {
        let shown = GoDuration(Duration::from_nanos(nanos)).to_string();
        prop_assert_eq!(duration::parse(&shown), Ok(Duration::from_nanos(nanos)), "{}", shown);
    }

    #[test]
    fn no_duration_text_panics(text in "[-+.0-9nusmh\u{b5} ]{0,30}") {
        let _ = duration::parse_nanos(&text);
    }

    #[test]
    fn byte_sizes_round_trip(bytes in any::<u64>()) {
        prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
    }

    #[test]
    fn no_byte_size_text_panics(text in "[-+.0-9KMGTiBk ]{0,24}") {
        let _ = text.parse::<ByteSize>();
    }
}
