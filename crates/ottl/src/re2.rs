//! Go's regular expression syntax (RE2), as the collector takes it, in terms of the regex crate's.
//!
//! The two differ in a few places that compile in both and mean different things: `\d`, `\w`, `\s` and `\b` are ASCII
//! in Go; inside a class Go takes `[`, `&&`, `--` and `~~` literally; and Go has `\Q...\E`.

/// Rewrites a Go pattern.
///
/// # Errors
/// Says what is wrong where Go would refuse the pattern or we cannot express it.
pub fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    // Inside [...], and whether nothing but ^ has come yet: a ] there is literal.
    let mut class = None;
    while let Some(c) = rest.next() {
        let class_start = class.replace_if_some(false);
        match (c, class_start) {
            ('\\', _) => {
                let escaped = rest.next().ok_or("trailing backslash at end of expression")?;
                escape(escaped, class.is_some(), &mut rest, &mut out)?;
            }
            ('[', None) => {
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                class = Some(true);
            }
            ('[', Some(_)) if rest.peek() == Some(&':') => {
                // An ASCII class such as [:alpha:], the same in both.
                out.push('[');
                let mut previous = ' ';
                for inner in rest.by_ref() {
                    out.push(inner);
                    if previous == ':' && inner == ']' {
                        break;
                    }
                    previous = inner;
                }
            }
            (']', Some(true)) => out.push_str("\\]"),
            (']', Some(false)) => {
                out.push(']');
                class = None;
            }
            ('[' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

trait ReplaceIfSome {
    fn replace_if_some(&mut self, value: bool) -> Option<bool>;
}

impl ReplaceIfSome for Option<bool> {
    /// Sets the value if there is one; returns what was there.
    fn replace_if_some(&mut self, value: bool) -> Option<bool> {
        let before = *self;
        if before.is_some() {
            *self = Some(value);
        }
        before
    }
}

fn escape(
    c: char,
    in_class: bool,
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> Result<(), String> {
    let ascii = match (c, in_class) {
        ('d', _) => "[0-9]",
        ('D', _) => "[^0-9]",
        ('s', _) => "[\\t\\n\\f\\r ]",
        ('S', _) => "[^\\t\\n\\f\\r ]",
        ('w', _) => "[0-9A-Za-z_]",
        ('W', _) => "[^0-9A-Za-z_]",
        ('b', false) => "(?-u:\\b)",
        // Not (?-u:\B): that one may match inside a character.
        ('B', false) => {
            return Err("\\B is not supported".to_owned());
        }
        ('C', _) => return Err("\\C is not supported: it would match half a character".to_owned()),
        ('Q', false) => {
            let quoted: String = rest.by_ref().collect();
            let (literal, after) = quoted.split_once("\\E").unwrap_or((&quoted, ""));
            out.push_str(&regex::escape(literal));
            out.push_str(&translate(after)?);
            return Ok(());
        }
        _ => {
            out.push('\\');
            out.push(c);
            return Ok(());
        }
    };
    out.push_str(ascii);
    Ok(())
}
