//! What the parser has in hand before it knows whether that is a value or a condition.

use std::fmt;

use crate::ast::{At, Expr, Value, ValueKind};
use crate::error::Located;

/// A value or a condition, and where it begins.
pub(crate) struct Item {
    pub(crate) at: usize,
    pub(crate) kind: ItemKind,
}

pub(crate) enum ItemKind {
    Value(Value),
    Expr(Expr),
}

impl Item {
    pub(crate) fn value(at: usize, kind: ValueKind) -> Self {
        Self { at, kind: ItemKind::Value(Value { at: At(at), kind }) }
    }

    pub(crate) fn expr(at: usize, expr: Expr) -> Self {
        Self { at, kind: ItemKind::Expr(expr) }
    }

    pub(crate) fn into_expr(self) -> Result<Expr, Located> {
        match self.kind {
            ItemKind::Expr(expr) => Ok(expr),
            ItemKind::Value(Value { kind: ValueKind::Bool(value), .. }) => Ok(Expr::Literal(value)),
            ItemKind::Value(Value { kind: ValueKind::Call(call), .. }) => Ok(Expr::Call(call)),
            ItemKind::Value(value) => {
                Err(Located::new(self.at, format!("`{}` is a value, not a condition", Short(&value)))
                    .help("compare it, as in `... == true` or `... != nil`"))
            }
        }
    }

    pub(crate) fn into_value(self) -> Result<Value, Located> {
        match self.kind {
            ItemKind::Value(value) => Ok(value),
            ItemKind::Expr(_) => Err(Located::new(self.at, "a condition cannot be used as a value")
                .help("join conditions with and, or, not")),
        }
    }

    /// A value to calculate with.
    pub(crate) fn into_operand(self) -> Result<Value, Located> {
        let at = self.at;
        let value = self.into_value()?;
        let wrong = match value.kind {
            ValueKind::Nil => "nil",
            ValueKind::Bool(_) => "a boolean",
            ValueKind::Str(_) => "a string",
            ValueKind::Bytes(_) => "bytes",
            ValueKind::Enum(_) => "an enum",
            ValueKind::List(_) => "a list",
            _ => return Ok(value),
        };
        Err(Located::new(at, format!("{wrong} cannot be calculated with"))
            .help("use Concat([a, b], \"\") to join texts"))
    }
}

/// A value's text, cut where it is long.
struct Short<'a>(&'a Value);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.char_indices().nth(40) {
            Some((end, _)) => write!(f, "{}...", &text[..end]),
            None => f.write_str(&text),
        }
    }
}
