//! Tokens to a tree: OTTL's grammar for conditions, in one pass without backtracking.
//!
//! A parenthesis may hold a condition or a calculation; which one is known at its end. So the parser yields an
//! [`Item`] until something around it needs the one or the other.

use crate::ast::{Argument, At, Call, Compare, CompareOp, Expr, Key, MathOp, Path, Segment, ValueKind};
use crate::error::Located;
use crate::item::{Item, ItemKind};
use crate::token::{Token, tokens};

/// How deep parentheses, calls, lists and indexes may lie in each other: bounds the stack of all that follows.
const MAX_DEPTH: usize = 48;

/// Longer conditions are a mistake, and would let offsets and trees grow without a bound.
const MAX_TEXT: usize = 1 << 20;

const KEYWORDS: [&str; 6] = ["and", "or", "not", "nil", "true", "false"];

type Parsed<T> = Result<T, Located>;

/// The condition that the text says.
pub(crate) fn parse(text: &str) -> Parsed<Expr> {
    if text.len() > MAX_TEXT {
        return Err(Located::new(0, format!("a condition takes at most {MAX_TEXT} bytes")));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, next: 0, depth: 0 };
    if parser.peek() == &Token::End {
        return Err(Located::new(0, "the condition is empty"));
    }
    let expr = parser.item()?.into_expr()?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Sign("=>") => Err(parser.error("lambdas are not supported")),
        Token::Name(name) if name == "where" => {
            Err(parser.error("unexpected `where`").help("give the condition alone"))
        }
        token => Err(parser.error(format!("expected `and`, `or` or the end, found {token}"))),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(0, |(at, _)| *at)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        // The last token is the end, and stays.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(next) if *next == sign);
        if found {
            self.advance();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(next) if next == word);
        if found {
            self.advance();
        }
        found
    }

    fn error(&self, message: impl Into<String>) -> Located {
        Located::new(self.at(), message)
    }

    fn expect(&mut self, sign: &str, after: &str) -> Parsed<()> {
        if self.eat_sign(sign) {
            return Ok(());
        }
        Err(self.error(format!("expected `{sign}` {after}, found {}", self.peek())))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("the condition is nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn item(&mut self) -> Parsed<Item> {
        self.joined("or", Self::conjunction, Expr::Or)
    }

    fn conjunction(&mut self) -> Parsed<Item> {
        self.joined("and", Self::negation, Expr::And)
    }

    fn joined(
        &mut self,
        word: &str,
        term: fn(&mut Self) -> Parsed<Item>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Parsed<Item> {
        let first = term(self)?;
        if !self.eat_word(word) {
            return Ok(first);
        }
        let at = first.at;
        let mut terms = vec![first.into_expr()?];
        loop {
            terms.push(term(self)?.into_expr()?);
            if !self.eat_word(word) {
                return Ok(Item::expr(at, join(terms)));
            }
        }
    }

    fn negation(&mut self) -> Parsed<Item> {
        let at = self.at();
        if !self.eat_word("not") {
            return self.comparison();
        }
        if matches!(self.peek(), Token::Name(name) if name == "not") {
            return Err(self.error("two `not` in a row").help("leave out both, or write not (not ...)"));
        }
        let inner = self.comparison()?.into_expr()?;
        Ok(Item::expr(at, Expr::Not(Box::new(inner))))
    }

    fn comparison(&mut self) -> Parsed<Item> {
        let left = self.sum()?;
        if self.peek() == &Token::Sign("=") {
            return Err(self.error("unexpected `=`").help("write `==` to compare"));
        }
        let Some(op) = self.compare_op() else { return Ok(left) };
        let at = left.at;
        let left = left.into_value()?;
        let right = self.sum()?.into_value()?;
        let place = self.at();
        if self.compare_op().is_some() {
            return Err(Located::new(place, "comparisons cannot be chained").help("write a < b and b < c"));
        }
        Ok(Item::expr(at, Expr::Compare(Box::new(Compare { left, op, right }))))
    }

    fn compare_op(&mut self) -> Option<CompareOp> {
        let Token::Sign(sign) = self.peek() else { return None };
        let (op, _) = CompareOp::ALL.into_iter().find(|(_, text)| text == sign)?;
        self.advance();
        Some(op)
    }

    fn sum(&mut self) -> Parsed<Item> {
        self.chain(&[MathOp::Add, MathOp::Sub], Self::product)
    }

    fn product(&mut self) -> Parsed<Item> {
        self.chain(&[MathOp::Mul, MathOp::Div], Self::signed)
    }

    fn chain(&mut self, ops: &[MathOp], operand: fn(&mut Self) -> Parsed<Item>) -> Parsed<Item> {
        let first = operand(self)?;
        let mut op = self.math_op(ops);
        if op.is_none() {
            return Ok(first);
        }
        let at = first.at;
        let first = first.into_operand()?;
        let mut steps = Vec::new();
        while let Some(found) = op {
            steps.push((found, operand(self)?.into_operand()?));
            op = self.math_op(ops);
        }
        Ok(Item::value(at, ValueKind::Math(Box::new(first), steps)))
    }

    fn math_op(&mut self, ops: &[MathOp]) -> Option<MathOp> {
        let Token::Sign(sign) = self.peek() else { return None };
        let op = ops.iter().copied().find(|op| op.sign() == *sign)?;
        self.advance();
        Some(op)
    }

    fn signed(&mut self) -> Parsed<Item> {
        let at = self.at();
        if self.eat_sign("+") {
            return Ok(Item { at, kind: ItemKind::Value(self.primary()?.into_operand()?) });
        }
        if self.eat_sign("-") {
            let inner = self.primary()?.into_operand()?;
            return Ok(Item::value(at, ValueKind::Negated(Box::new(inner))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Item> {
        let at = self.at();
        let kind = match self.peek() {
            Token::Sign("(") => {
                self.advance();
                let mut item = self.nested(Self::item)?;
                self.expect(")", "to close the parenthesis")?;
                item.at = at;
                return Ok(item);
            }
            Token::Sign("[") => {
                self.advance();
                ValueKind::List(self.nested(|parser| parser.list("]", |parser| parser.sum()?.into_value()))?)
            }
            Token::Sign("{") => {
                return Err(self
                    .error("map literals are not supported")
                    .help("compare the map's entries one by one"));
            }
            Token::Sign("!") => return Err(self.error("unexpected `!`").help("write `not`")),
            Token::Name(_) => return self.name(),
            Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Bytes(_) => match self.advance() {
                Token::Str(text) => ValueKind::Str(text),
                Token::Int(number) => ValueKind::Int(number),
                Token::Float(number) => ValueKind::Float(number),
                Token::Bytes(bytes) => ValueKind::Bytes(bytes),
                Token::Name(_) | Token::Sign(_) | Token::End => return Err(self.error("expected a literal")),
            },
            token => {
                return Err(self.error(format!("expected a path, a literal or a converter, found {token}")));
            }
        };
        Ok(Item::value(at, kind))
    }

    /// The elements up to `close`, with commas between.
    fn list<T>(&mut self, close: &str, element: fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut elements = Vec::new();
        if self.eat_sign(close) {
            return Ok(elements);
        }
        loop {
            elements.push(element(self)?);
            if !self.eat_sign(",") {
                self.expect(close, "or `,`")?;
                return Ok(elements);
            }
        }
    }

    /// Whatever begins with a letter.
    fn name(&mut self) -> Parsed<Item> {
        let at = self.at();
        let Token::Name(name) = self.advance() else { return Err(self.error("expected a name")) };
        let called = self.peek() == &Token::Sign("(");
        let kind = match name.as_str() {
            "nil" => ValueKind::Nil,
            "true" => ValueKind::Bool(true),
            "false" => ValueKind::Bool(false),
            "and" | "or" | "not" => {
                return Err(Located::new(
                    at,
                    format!("expected a path, a literal or a converter, found `{name}`"),
                ));
            }
            _ if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                if called {
                    return Err(Located::new(at, format!("`{name}` is not a converter"))
                        .help("converters begin with an uppercase letter; editors change data and are no conditions"));
                }
                ValueKind::Path(self.path(at, name)?)
            }
            _ if called => ValueKind::Call(self.call(at, name)?),
            _ if name.chars().any(|c| c.is_ascii_lowercase()) => {
                return Err(Located::new(at, format!("`{name}` is a converter without its arguments"))
                    .help(format!("write {name}(...); paths are in lower case")));
            }
            _ => ValueKind::Enum(name),
        };
        Ok(Item::value(at, kind))
    }

    fn path(&mut self, at: usize, first: String) -> Parsed<Path> {
        let mut segments = vec![self.segment(at, first)?];
        while self.eat_sign(".") {
            let at = self.at();
            match self.advance() {
                Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                    segments.push(self.segment(at, name)?)
                }
                token => {
                    return Err(Located::new(at, format!("expected a name after the dot, found {token}"))
                        .help("keys of attributes go in brackets, as in attributes[\"http.route\"]"));
                }
            }
        }
        Ok(Path { at: At(at), segments })
    }

    fn segment(&mut self, at: usize, name: String) -> Parsed<Segment> {
        if name.chars().any(|c| c.is_ascii_uppercase()) {
            let folded = name.to_lowercase();
            return Err(Located::new(at, format!("paths are in lower case, `{name}` is not")).help(format!(
                "write `{folded}`; keys of attributes go in brackets, as in attributes[\"{name}\"]"
            )));
        }
        let mut keys = Vec::new();
        while self.eat_sign("[") {
            keys.push(self.nested(Self::key)?);
            self.expect("]", "to close the index")?;
        }
        Ok(Segment { at: At(at), name, keys })
    }

    fn key(&mut self) -> Parsed<Key> {
        if self.peek() == &Token::Sign("]") {
            return Err(self.error("an index takes a string or an integer"));
        }
        let at = self.at();
        let value = self.sum()?.into_value()?;
        match value.kind {
            ValueKind::Str(text) => Ok(Key::Str(text)),
            ValueKind::Int(index) => Ok(Key::Int(index)),
            ValueKind::Path(_) | ValueKind::Call(_) | ValueKind::Math(..) | ValueKind::Negated(_) => {
                Ok(Key::Computed(value))
            }
            _ => Err(Located::new(at, "an index takes a string or an integer")),
        }
    }

    fn call(&mut self, at: usize, name: String) -> Parsed<Call> {
        self.advance();
        let arguments = self.nested(|parser| parser.list(")", Self::argument))?;
        if self.peek() == &Token::Sign("[") {
            return Err(self.error(format!("the result of {name} cannot be indexed")));
        }
        Ok(Call { at: At(at), name, arguments })
    }

    fn argument(&mut self) -> Parsed<Argument> {
        let at = self.at();
        let name = match (self.peek(), self.tokens.get(self.next + 1)) {
            (Token::Name(name), Some((_, Token::Sign("=")))) => Some(name.clone()),
            _ => None,
        };
        if name.is_some() {
            self.advance();
            self.advance();
        }
        let value = self.sum()?.into_value()?;
        if self.peek() == &Token::Sign("=>") {
            return Err(self.error("lambdas are not supported"));
        }
        Ok(Argument { at: At(at), name, value })
    }
}
