//! Trees to programs: names are resolved, and what does not depend on a span is computed.

use forebay_otlp::traces::{ResourceSpansView, ScopeSpansView, SpanView};

use crate::ast::{Expr, Key, Value, ValueKind};
use crate::condition::{ContextKind, SpanScope};
use crate::error::{EvalError, Located, nearest};
use crate::path::{self, Field};
use crate::program::{Condition, Function, Index, Node, Type};
use crate::value::Constant;
use crate::{eval, function};

type Compiled<T> = Result<T, Located>;

const ENUMS: [(&str, i64); 9] = [
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
];

/// The program of a condition.
pub(crate) fn condition(expr: &Expr, context: ContextKind) -> Compiled<Condition> {
    Compiler { context }.condition(expr)
}

struct Compiler {
    context: ContextKind,
}

impl Compiler {
    fn condition(&self, expr: &Expr) -> Compiled<Condition> {
        Ok(match expr {
            Expr::Literal(value) => Condition::Constant { value: *value, literal: true },
            Expr::Or(terms) => self.joined(terms, true, Condition::Or)?,
            Expr::And(terms) => self.joined(terms, false, Condition::And)?,
            Expr::Not(inner) => match self.condition(inner)? {
                Condition::Constant { value, literal } => Condition::Constant { value: !value, literal },
                inner => Condition::Not(Box::new(inner)),
            },
            Expr::Compare(compare) => {
                let (left, right) = (self.value(&compare.left)?, self.value(&compare.right)?);
                let at = compare.left.at.0;
                let constant = is_constant(&left) && is_constant(&right);
                let comparison = Condition::Compare { at, left, op: compare.op, right };
                if !constant {
                    return Ok(comparison);
                }
                let value = eval::condition(&comparison, &nothing()).map_err(always_fails)?;
                Condition::Constant {
                    value,
                    literal: is_literal(&compare.left) && is_literal(&compare.right),
                }
            }
            Expr::Call(call) => {
                let (node, result) = self.call(call)?;
                if result != Type::Bool {
                    return Err(Located::new(call.at.0, format!("{} does not give a boolean", call.name))
                        .help(format!("compare it, as in {call} == ...")));
                }
                match node {
                    Node::Constant(Constant::Bool(value)) => Condition::Constant { value, literal: false },
                    node => Condition::Call { at: call.at.0, node },
                }
            }
        })
    }

    /// As in the collector, a literal that settles the matter does so even after what might fail; a constant that has
    /// to be computed does so in its turn.
    fn joined(
        &self,
        terms: &[Expr],
        settles: bool,
        join: fn(Box<[Condition]>) -> Condition,
    ) -> Compiled<Condition> {
        let mut open = Vec::with_capacity(terms.len());
        let (mut settled, mut closed, mut literals) = (false, false, true);
        for term in terms {
            let condition = self.condition(term)?;
            match condition {
                Condition::Constant { value, literal: true } => settled |= value == settles,
                Condition::Constant { value, literal: false } if value != settles => literals = false,
                _ if closed => {}
                condition => {
                    closed = matches!(condition, Condition::Constant { .. });
                    open.push(condition);
                }
            }
        }
        if settled {
            return Ok(Condition::Constant { value: settles, literal: true });
        }
        Ok(match (open.pop(), open.is_empty()) {
            (None, _) => Condition::Constant { value: !settles, literal: literals },
            (Some(last), true) => last,
            (Some(last), false) => {
                open.push(last);
                join(open.into())
            }
        })
    }

    fn value(&self, value: &Value) -> Compiled<Node> {
        let at = value.at.0;
        let constant = match &value.kind {
            ValueKind::Nil => Constant::Nil,
            ValueKind::Bool(value) => Constant::Bool(*value),
            ValueKind::Int(value) => Constant::Int(*value),
            ValueKind::Float(value) => Constant::Double(*value),
            ValueKind::Str(text) => Constant::Str(text.as_str().into()),
            ValueKind::Bytes(bytes) => Constant::Bytes(bytes.as_slice().into()),
            ValueKind::Enum(name) => Constant::Int(enum_value(at, name)?),
            ValueKind::Path(path) => return self.path(path),
            ValueKind::Call(call) => return self.call(call).map(|(node, _)| node),
            ValueKind::List(items) => {
                let items = items.iter().map(|item| self.value(item)).collect::<Compiled<Vec<_>>>()?;
                let constant = items.iter().all(is_constant);
                return folded(Node::List(items.into()), constant);
            }
            ValueKind::Negated(inner) => {
                let inner = Box::new(self.value(inner)?);
                let constant = is_constant(&inner);
                return folded(Node::Negated { at, inner }, constant);
            }
            ValueKind::Math(first, steps) => {
                let first = Box::new(self.value(first)?);
                let steps = steps.iter().map(|(op, value)| Ok((*op, self.value(value)?)));
                let steps = steps.collect::<Compiled<Box<[_]>>>()?;
                let constant = is_constant(&first) && steps.iter().all(|(_, node)| is_constant(node));
                return folded(Node::Math { at, first, steps }, constant);
            }
        };
        Ok(Node::Constant(constant))
    }

    fn call(&self, call: &crate::ast::Call) -> Compiled<(Node, Type)> {
        let events = self.context == ContextKind::SpanEvent;
        let (node, result) = function::compile(call, events, &|value| self.value(value))?;
        let constant = match &node {
            Node::Call(call) => {
                !matches!(call.function, Function::IsRootSpan)
                    && call.function.arguments().into_iter().flatten().all(is_constant)
            }
            _ => false,
        };
        Ok((folded(node, constant)?, result))
    }

    fn path(&self, path: &crate::ast::Path) -> Compiled<Node> {
        let (field, keys) = path::resolve(path, self.context)?;
        let at = path.at.0;
        let Some((first, rest)) = keys.split_first() else { return Ok(Node::Field { at, field }) };
        let Field::Attributes(owner) = field else {
            return match first {
                Key::Str(key) => Ok(Node::TraceState { key: key.as_str().into() }),
                _ => Err(Located::new(at, "a key of trace_state is a string")),
            };
        };
        let key = self.index(first)?;
        if matches!(key, Index::Place(_)) {
            return Err(Located::new(at, "attributes have no order")
                .help("give a key, as in attributes[\"http.route\"]"));
        }
        let inner = rest.iter().map(|key| self.index(key)).collect::<Compiled<_>>()?;
        Ok(Node::Attribute { at, owner, key, inner })
    }

    fn index(&self, key: &Key) -> Compiled<Index> {
        let value = match key {
            Key::Str(text) => return Ok(Index::Key(text.as_str().into())),
            Key::Int(place) => return Ok(Index::Place(*place)),
            Key::Computed(value) => value,
        };
        match self.value(value)? {
            Node::Constant(Constant::Str(text)) => Ok(Index::Key(text)),
            Node::Constant(Constant::Int(place)) if place >= 0 => Ok(Index::Place(place)),
            Node::Constant(_) => Err(Located::new(value.at.0, "an index is a string or a number from 0 on")),
            node => Ok(Index::Computed(Box::new(node))),
        }
    }
}

fn enum_value(at: usize, name: &str) -> Compiled<i64> {
    if let Some((_, value)) = ENUMS.iter().find(|(known, _)| *known == name) {
        return Ok(*value);
    }
    let error = Located::new(at, format!("there is no enum {name}"));
    let names = ENUMS.iter().map(|(known, _)| *known);
    Err(match nearest(name, names.clone()) {
        Some(best) => error.help(format!("did you mean {best}?")),
        None => {
            error.help(format!("there are: {}; texts go in quotes", names.collect::<Vec<_>>().join(", ")))
        }
    })
}

fn is_constant(node: &Node) -> bool {
    matches!(node, Node::Constant(_))
}

/// What is written out, with nothing to compute.
fn is_literal(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Path(_) | ValueKind::Call(_) | ValueKind::Math(..) => false,
        ValueKind::Negated(inner) => matches!(inner.kind, ValueKind::Int(_) | ValueKind::Float(_)),
        ValueKind::List(items) => items.iter().all(is_literal),
        _ => true,
    }
}

/// For what does not look at the span.
fn nothing() -> SpanScope<'static> {
    SpanScope::new(ResourceSpansView::new(&[]), ScopeSpansView::new(&[]), SpanView::new(&[]))
}

fn always_fails(error: EvalError) -> Located {
    Located::new(error.offset, error.kind.to_string()).help("this would fail on every span")
}

fn folded(node: Node, constant: bool) -> Compiled<Node> {
    if !constant {
        return Ok(node);
    }
    let value = eval::value(&node, &nothing());
    let kept = value.as_ref().map(Constant::of).map_err(|error| always_fails(*error))?;
    Ok(kept.map_or(node, Node::Constant))
}
