//! A compiled condition: names resolved, constants computed, patterns compiled.

use regex::Regex;

use crate::ast::{CompareOp, MathOp};
use crate::path::{Field, Owner};
use crate::value::Constant;

/// Something true or false.
#[derive(Debug)]
pub(crate) enum Condition {
    /// A literal, or what was computed when the condition was compiled.
    Constant {
        value: bool,
        literal: bool,
    },
    Or(Box<[Condition]>),
    And(Box<[Condition]>),
    Not(Box<Condition>),
    Compare {
        at: usize,
        left: Node,
        op: CompareOp,
        right: Node,
    },
    /// A call that gives a boolean.
    Call {
        at: usize,
        node: Node,
    },
}

/// A value.
#[derive(Debug)]
pub(crate) enum Node {
    Constant(Constant),
    Field {
        at: usize,
        field: Field,
    },
    TraceState {
        key: Box<str>,
    },
    /// One index or more.
    Attribute {
        at: usize,
        owner: Owner,
        key: Index,
        inner: Box<[Index]>,
    },
    List(Box<[Node]>),
    Negated {
        at: usize,
        inner: Box<Node>,
    },
    Math {
        at: usize,
        first: Box<Node>,
        steps: Box<[(MathOp, Node)]>,
    },
    Call(Box<Call>),
}

/// What is in square brackets.
#[derive(Debug)]
pub(crate) enum Index {
    Key(Box<str>),
    Place(i64),
    Computed(Box<Node>),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) at: usize,
    pub(crate) name: &'static str,
    pub(crate) function: Function,
}

#[derive(Debug)]
pub(crate) enum Function {
    Concat { values: Node, delimiter: Node },
    ContainsValue { list: Node, item: Node },
    Convert { value: Node, to: Type },
    Duration(Node),
    Affix { affix: Affix, text: Node, part: Node },
    DurationIn { unit: TimeUnit, duration: Node },
    IsMatch { value: Node, regex: Regex },
    IsRootSpan,
    Is { test: Test, value: Node },
    Len(Node),
    Case { upper: bool, text: Node },
    TraceId(Node),
    SpanId(Node),
    Substring { text: Node, start: Node, length: Node, utf8_safe: bool },
}

/// Where a part of a text is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Affix {
    Prefix,
    Suffix,
}

/// What a duration is counted in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TimeUnit {
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// A type that is tested for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Test {
    Bool,
    Double,
    Int,
    List,
    Map,
    Str,
}

/// A type known before anything is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Any,
    Bool,
    Double,
    Duration,
    Id,
    Int,
    Str,
}

impl Function {
    /// What it is applied to.
    pub(crate) fn arguments(&self) -> [Option<&Node>; 3] {
        match self {
            Self::IsRootSpan => [None; 3],
            Self::Convert { value, .. } | Self::IsMatch { value, .. } | Self::Is { value, .. } => {
                [Some(value), None, None]
            }
            Self::Duration(node) | Self::Len(node) | Self::TraceId(node) | Self::SpanId(node) => {
                [Some(node), None, None]
            }
            Self::DurationIn { duration, .. } => [Some(duration), None, None],
            Self::Case { text, .. } => [Some(text), None, None],
            Self::Concat { values, delimiter } => [Some(values), Some(delimiter), None],
            Self::ContainsValue { list, item } => [Some(list), Some(item), None],
            Self::Affix { text, part, .. } => [Some(text), Some(part), None],
            Self::Substring { text, start, length, .. } => [Some(text), Some(start), Some(length)],
        }
    }
}

impl Condition {
    /// Shows each value to `see`, the outer ones first.
    pub(crate) fn for_each_node<'a>(&'a self, see: &mut dyn FnMut(&'a Node)) {
        match self {
            Self::Constant { .. } => {}
            Self::Or(terms) | Self::And(terms) => terms.iter().for_each(|term| term.for_each_node(see)),
            Self::Not(inner) => inner.for_each_node(see),
            Self::Compare { left, right, .. } => {
                left.for_each_node(see);
                right.for_each_node(see);
            }
            Self::Call { node, .. } => node.for_each_node(see),
        }
    }
}

impl Node {
    fn for_each_node<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Constant(_) | Self::Field { .. } | Self::TraceState { .. } => {}
            Self::Attribute { key, inner, .. } => {
                for index in std::iter::once(key).chain(inner) {
                    if let Index::Computed(node) = index {
                        node.for_each_node(see);
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.for_each_node(see)),
            Self::Negated { inner, .. } => inner.for_each_node(see),
            Self::Math { first, steps, .. } => {
                first.for_each_node(see);
                steps.iter().for_each(|(_, node)| node.for_each_node(see));
            }
            Self::Call(call) => {
                call.function.arguments().into_iter().flatten().for_each(|node| node.for_each_node(see))
            }
        }
    }
}
