//! Trees, written and read back.

use proptest::prelude::*;

use crate::ast::{
    Argument, At, Call, Compare, CompareOp, Expr, Key, MathOp, Path, Segment, Value, ValueKind,
};
use crate::parse::parse;

fn value(kind: ValueKind) -> Value {
    Value { at: At::default(), kind }
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,6}".prop_filter("keywords", |name| {
        !["and", "or", "not", "nil", "true", "false"].contains(&name.as_str())
    })
}

fn function() -> impl Strategy<Value = String> {
    "[A-Z][A-Za-z0-9_]{0,6}"
}

fn key(inner: BoxedStrategy<Value>) -> impl Strategy<Value = Key> {
    let computed = inner.prop_map(|value| match value.kind {
        ValueKind::Path(_) | ValueKind::Call(_) | ValueKind::Math(..) | ValueKind::Negated(_) => {
            Key::Computed(value)
        }
        ValueKind::Str(text) => Key::Str(text),
        _ => Key::Int(0),
    });
    prop_oneof![any::<String>().prop_map(Key::Str), (0..i64::MAX).prop_map(Key::Int), computed]
}

fn path(inner: BoxedStrategy<Value>) -> impl Strategy<Value = ValueKind> {
    let segment = (word(), prop::collection::vec(key(inner), 0..3));
    let segment = segment.prop_map(|(name, keys)| Segment { at: At::default(), name, keys });
    prop::collection::vec(segment, 1..4)
        .prop_map(|segments| ValueKind::Path(Path { at: At::default(), segments }))
}

fn call(inner: BoxedStrategy<Value>) -> impl Strategy<Value = Call> {
    let argument = (prop::option::of(word()), inner);
    let argument = argument.prop_map(|(name, value)| Argument { at: At::default(), name, value });
    (function(), prop::collection::vec(argument, 0..3)).prop_map(|(name, arguments)| Call {
        at: At::default(),
        name,
        arguments,
    })
}

/// What may stand in a calculation.
fn is_operand(value: &Value) -> bool {
    matches!(
        value.kind,
        ValueKind::Int(_)
            | ValueKind::Float(_)
            | ValueKind::Path(_)
            | ValueKind::Call(_)
            | ValueKind::Negated(_)
            | ValueKind::Math(..)
    )
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(ValueKind::Nil),
        any::<bool>().prop_map(ValueKind::Bool),
        (0..=i64::MAX).prop_map(ValueKind::Int),
        prop::num::f64::POSITIVE.prop_filter("finite", |f| f.is_finite()).prop_map(ValueKind::Float),
        any::<String>().prop_map(ValueKind::Str),
        prop::collection::vec(any::<u8>(), 1..5).prop_map(ValueKind::Bytes),
        "[A-Z][A-Z0-9_]{0,6}".prop_map(ValueKind::Enum),
    ];
    leaf.prop_map(value).prop_recursive(4, 32, 4, |inner| {
        let inner = inner.boxed();
        let operand = inner
            .clone()
            .prop_map(|inner| if is_operand(&inner) { inner } else { value(ValueKind::Int(1)) })
            .boxed();
        let op = (any::<bool>(), prop::collection::vec((any::<bool>(), operand.clone()), 1..4));
        let math = (operand.clone(), op).prop_map(|(first, (tight, steps))| {
            let op = |other| match (tight, other) {
                (true, true) => MathOp::Mul,
                (true, false) => MathOp::Div,
                (false, true) => MathOp::Add,
                (false, false) => MathOp::Sub,
            };
            ValueKind::Math(
                Box::new(first),
                steps.into_iter().map(|(other, value)| (op(other), value)).collect(),
            )
        });
        prop_oneof![
            path(inner.clone()),
            call(inner.clone()).prop_map(ValueKind::Call),
            prop::collection::vec(inner, 0..3).prop_map(ValueKind::List),
            operand.prop_map(|operand| ValueKind::Negated(Box::new(operand))),
            math,
        ]
        .prop_map(value)
    })
}

fn exprs() -> impl Strategy<Value = Expr> {
    let op = prop::sample::select(CompareOp::ALL.map(|(op, _)| op).to_vec());
    let compare = (values(), op, values())
        .prop_map(|(left, op, right)| Expr::Compare(Box::new(Compare { left, op, right })));
    let leaf = prop_oneof![
        compare,
        any::<bool>().prop_map(Expr::Literal),
        call(values().boxed()).prop_map(Expr::Call),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(expr in exprs()) {
        let text = expr.to_string();
        let read = parse(&text);
        prop_assert!(read.is_ok(), "{text}: {:?}", read.err());
        prop_assert_eq!(read.ok(), Some(expr), "{}", text);
    }
}
