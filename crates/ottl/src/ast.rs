//! What a condition says, before its names mean anything; and back to text.

use std::fmt::{self, Display, Formatter, Write};

/// Where something is in the text, in bytes. All places are equal: two trees are, when they say the same.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At(pub(crate) usize);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Something true or false.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// Two or more.
    Or(Vec<Expr>),
    /// Two or more.
    And(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Box<Compare>),
    Literal(bool),
    Call(Call),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compare {
    pub(crate) left: Value,
    pub(crate) op: CompareOp,
    pub(crate) right: Value,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl CompareOp {
    pub(crate) const ALL: [(Self, &str); 6] = [
        (Self::Eq, "=="),
        (Self::Ne, "!="),
        (Self::Lt, "<"),
        (Self::Le, "<="),
        (Self::Gt, ">"),
        (Self::Ge, ">="),
    ];
}

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    pub(crate) at: At,
    pub(crate) kind: ValueKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueKind {
    Nil,
    Bool(bool),
    /// Not negative: a sign is [`ValueKind::Negated`].
    Int(i64),
    /// Not negative.
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    Enum(String),
    Path(Path),
    Call(Call),
    List(Vec<Value>),
    Negated(Box<Value>),
    /// A chain of `+` and `-`, or one of `*` and `/`, from left to right; one step or more.
    Math(Box<Value>, Vec<(MathOp, Value)>),
}

/// What is done with two numbers or times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MathOp {
    Add,
    Sub,
    Mul,
    Div,
}

impl MathOp {
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
        }
    }

    /// Whether it binds like `*`.
    pub(crate) const fn is_tight(self) -> bool {
        matches!(self, Self::Mul | Self::Div)
    }
}

/// Names with dots between, each with indexes: one or more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    pub(crate) at: At,
    pub(crate) segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    pub(crate) at: At,
    pub(crate) name: String,
    pub(crate) keys: Vec<Key>,
}

/// What is in square brackets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    Str(String),
    Int(i64),
    /// Anything that is computed.
    Computed(Value),
}

/// A converter and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) at: At,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    pub(crate) at: At,
    pub(crate) name: Option<String>,
    pub(crate) value: Value,
}

fn separated<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        /// In parentheses where it binds less than what is around it.
        struct Within<'a>(&'a Expr, bool);
        impl Display for Within<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                if self.1 { write!(f, "({})", self.0) } else { write!(f, "{}", self.0) }
            }
        }
        match self {
            Self::Or(terms) => {
                let terms: Vec<_> = terms.iter().map(|e| Within(e, matches!(e, Self::Or(_)))).collect();
                separated(f, &terms, " or ")
            }
            Self::And(terms) => {
                let loose = |e: &Self| matches!(e, Self::Or(_) | Self::And(_));
                let terms: Vec<_> = terms.iter().map(|e| Within(e, loose(e))).collect();
                separated(f, &terms, " and ")
            }
            Self::Not(inner) => {
                let bare = matches!(**inner, Self::Literal(_) | Self::Call(_) | Self::Compare(_));
                write!(f, "not {}", Within(inner, !bare))
            }
            Self::Compare(compare) => {
                let sign =
                    CompareOp::ALL.iter().find(|(op, _)| *op == compare.op).map_or("==", |(_, sign)| sign);
                write!(f, "{} {sign} {}", compare.left, compare.right)
            }
            Self::Literal(value) => write!(f, "{value}"),
            Self::Call(call) => write!(f, "{call}"),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ValueKind::Nil => f.write_str("nil"),
            ValueKind::Bool(value) => write!(f, "{value}"),
            ValueKind::Int(value) => write!(f, "{value}"),
            // Debug, not Display: it keeps the decimal point, and takes an exponent when that is shorter.
            ValueKind::Float(value) => {
                let text = format!("{value:?}");
                match text.split_once('e') {
                    Some((digits, exponent)) if !digits.contains('.') => write!(f, "{digits}.0e{exponent}"),
                    _ => f.write_str(&text),
                }
            }
            ValueKind::Str(text) => write_string(f, text),
            ValueKind::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            ValueKind::Enum(name) => f.write_str(name),
            ValueKind::Path(path) => write!(f, "{path}"),
            ValueKind::Call(call) => write!(f, "{call}"),
            ValueKind::List(items) => {
                f.write_char('[')?;
                separated(f, items, ", ")?;
                f.write_char(']')
            }
            ValueKind::Negated(inner) => {
                f.write_char('-')?;
                let compound = matches!(inner.kind, ValueKind::Negated(_) | ValueKind::Math(..));
                if compound { write!(f, "({inner})") } else { write!(f, "{inner}") }
            }
            ValueKind::Math(first, steps) => {
                let tight = steps.first().is_some_and(|(op, _)| op.is_tight());
                // A chain of the same strength is another chain: only parentheses say so.
                let operand = |f: &mut Formatter<'_>, value: &Self| match &value.kind {
                    ValueKind::Math(_, inner) if tight || !inner.iter().all(|(op, _)| op.is_tight()) => {
                        write!(f, "({value})")
                    }
                    _ => write!(f, "{value}"),
                };
                operand(f, first)?;
                steps.iter().try_for_each(|(op, value)| {
                    write!(f, " {} ", op.sign())?;
                    operand(f, value)
                })
            }
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        separated(f, &self.segments, ".")
    }
}

impl Display for Segment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.keys.iter().try_for_each(|key| match key {
            Key::Str(text) => {
                f.write_char('[')?;
                write_string(f, text)?;
                f.write_char(']')
            }
            Key::Int(index) => write!(f, "[{index}]"),
            Key::Computed(value) => write!(f, "[{value}]"),
        })
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        separated(f, &self.arguments, ", ")?;
        f.write_char(')')
    }
}

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        write!(f, "{}", self.value)
    }
}

fn write_string(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
