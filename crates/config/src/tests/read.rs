use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::{brief, errors};
use crate::{ByteSize, GoDuration, Node, Secret};

fn node(text: &str) -> Node {
    Node::parse_str("f.yaml", text).unwrap()
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default)]
struct Inner {
    host: String,
    port: u16,
    ratio: f64,
    on: bool,
    wait: GoDuration,
    size: ByteSize,
    workers: NonZeroU32,
}

impl Default for Inner {
    fn default() -> Self {
        let (host, wait, size) = ("local".to_owned(), "5s".parse().unwrap(), ByteSize(1));
        Self { host, port: 1, ratio: 0.5, on: false, wait, size, workers: NonZeroU32::MIN }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    VerySlow,
}

#[derive(Debug, Deserialize)]
struct Outer {
    endpoint: String,
    #[serde(default)]
    inner: Inner,
    grpc: Option<Inner>,
    http: Option<Inner>,
    count: Option<u32>,
    mode: Option<Mode>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    #[serde(default)]
    list: Vec<Inner>,
    even: Option<Even>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "u32")]
struct Even(u32);

impl TryFrom<u32> for Even {
    type Error = String;
    fn try_from(value: u32) -> Result<Self, String> {
        if value.is_multiple_of(2) { Ok(Self(value)) } else { Err(format!("{value} is odd")) }
    }
}

#[test]
fn a_whole_struct() {
    let outer: Outer = node(
        "endpoint: 0.0.0.0:4317\ninner: {host: a, port: 0x10, ratio: 1, on: True, wait: 1m, size: 2KiB, workers: 1e1}\n\
         mode: very_slow\ntags: [1, true, x, 007, ~x]\nheaders: {a: 5}\nlist: [{port: 7}, {}]\neven: 4\n",
    )
    .read()
    .unwrap();
    let inner = Inner {
        host: "a".into(),
        port: 16,
        ratio: 1.0,
        on: true,
        wait: "60s".parse().unwrap(),
        size: ByteSize(2048),
        workers: NonZeroU32::new(10).unwrap(),
    };
    assert_eq!((outer.endpoint.as_str(), outer.inner), ("0.0.0.0:4317", inner));
    assert_eq!(outer.tags, ["1", "true", "x", "007", "~x"]);
    assert_eq!(outer.headers["a"].expose(), "5");
    assert_eq!((outer.mode, outer.even), (Some(Mode::VerySlow), Some(Even(4))));
    assert_eq!((outer.list[0].port, outer.list[1].port), (7, 1));
}

#[test]
fn nothing_means_defaults() {
    assert_eq!(node("").read::<Inner>().unwrap(), Inner::default());
    let outer: Outer =
        node("endpoint: x\ninner:\ngrpc:\ncount:\nmode: ~\ntags:\nheaders:\nlist: [{port: }]\n")
            .read()
            .unwrap();
    assert_eq!((outer.inner, outer.grpc, outer.http), (Inner::default(), Some(Inner::default()), None));
    assert_eq!((outer.count, outer.mode, outer.tags.len(), outer.headers.len()), (None, None, 0, 0));
    assert_eq!(outer.list, [Inner::default()]);
}

#[test]
fn all_problems_are_told_each_at_its_place() {
    let text = "\
endpont: x
inner:
  port: 70000
  hots: a
  wait: 5
  on: yes
grpc:
  size: 1 parsec
  ratio: 'a'
count: -1
mode: fats
list:
  - port: x
  - {workers: 0}
  - 5
even: 3
headers: [a]
";
    let found = errors(node(text).read::<Outer>());
    assert_eq!(
        found,
        [
            "1:1: endpont: unknown key `endpont`",
            "3:9: inner.port: expected a whole number from 0 to 65535, found the number `70000`",
            "4:3: inner.hots: unknown key `hots`",
            "6:7: inner.on: expected true or false, found the string \"yes\"",
            "8:9: grpc.size: `1 parsec` has the unknown unit `parsec`: the units are `B`, `KiB`, `MiB`, `GiB`, `TiB` \
             and `KB`, `MB`, `GB`, `TB`",
            "9:10: grpc.ratio: expected a number, found the string \"a\"",
            "10:8: count: expected a whole number from 0 to 4294967295, found the number `-1`",
            "11:7: mode: unknown value `fats`",
            "13:11: list[0].port: expected a whole number from 0 to 65535, found the string \"x\"",
            "14:15: list[1].workers: expected a whole number above 0, found the number `0`",
            "15:5: list[2]: expected a mapping, found the number `5`",
            "16:7: even: 3 is odd",
            "17:10: headers: expected a mapping, found a list",
        ]
    );
}

#[test]
fn help_names_the_nearest_and_all() {
    let found = node("inner: {hots: 1}\nendpoint: x\nmode: fats\n").read::<Outer>().unwrap_err();
    let help: Vec<_> = found.iter().map(|problem| problem.help.clone().unwrap()).collect();
    assert_eq!(
        help,
        [
            "did you mean `host`? (known: `host`, `port`, `ratio`, `on`, `wait`, `size`, `workers`)",
            "did you mean `fast`? (known: `fast`, `very_slow`)"
        ]
    );
}

#[test]
fn a_required_key_without_value_is_told_at_the_key() {
    let found = errors(node("endpoint:\ncount: 1\n").read::<Outer>());
    assert_eq!(found, ["1:1: endpoint: this key needs a value"]);
    assert_eq!(errors(node("count: 1\n").read::<Outer>()), ["1:1: : the key `endpoint` is missing"]);
    let found = errors(node("endpoint: [a]\n").read::<Outer>());
    assert_eq!(found, ["1:11: endpoint: expected a string, found a list"]);
}

#[test]
fn a_comma_separated_string_is_a_list_of_strings_only() {
    assert_eq!(node("a,b").read::<Vec<String>>().unwrap(), ["a", "b"]);
    assert_eq!(node("''").read::<Vec<String>>().unwrap(), Vec::<String>::new());
    assert_eq!(errors(node("a").read::<Vec<Inner>>()), ["1:1: : expected a list, found the string \"a\""]);
    assert_eq!(errors(node("5").read::<Vec<String>>()), ["1:1: : expected a list, found the number `5`"]);
}

#[test]
fn quoted_numbers_are_strings() {
    assert_eq!(
        errors(node("'5'").read::<u32>()),
        ["1:1: : expected a whole number from 0 to 4294967295, found the string \"5\""]
    );
    assert_eq!(node("'5'").read::<String>().unwrap(), "5");
    assert_eq!(node("0x1f").read::<String>().unwrap(), "0x1f");
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Pair")]
struct Ordered;

#[derive(Debug, Deserialize)]
struct Pair {
    low: u32,
    high: u32,
}

impl TryFrom<Pair> for Ordered {
    type Error = &'static str;
    fn try_from(pair: Pair) -> Result<Self, Self::Error> {
        if pair.low <= pair.high { Ok(Self) } else { Err("`low` is above `high`") }
    }
}

#[test]
fn a_refusal_of_a_whole_is_told_at_the_whole_unless_a_part_was_wrong() {
    #[derive(Debug, Deserialize)]
    struct Holder {
        pair: Ordered,
    }
    let found = node("pair:\n  low: 5\n  high: 1\n").read::<Holder>().map(|holder| holder.pair).unwrap_err();
    assert_eq!(brief(&found.0), ["2:3: pair: `low` is above `high`"]);
    let found = errors(node("pair:\n  low: 5\n  high: x\n").read::<Holder>());
    assert_eq!(
        found,
        ["3:9: pair.high: expected a whole number from 0 to 4294967295, found the string \"x\""]
    );
}

#[test]
fn enums_with_content() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Shape {
        Point,
        Circle { radius: u32 },
        Text(String),
    }
    let shapes: Vec<Shape> = node("- point\n- circle: {radius: 2}\n- text: 5\n- point:\n").read().unwrap();
    assert_eq!(shapes, [Shape::Point, Shape::Circle { radius: 2 }, Shape::Text("5".into()), Shape::Point]);
    let found =
        errors(node("- circle: {radios: 2}\n- text\n- square: {}\n- point: 5\n").read::<Vec<Shape>>());
    assert_eq!(
        found,
        [
            "1:12: [0].circle.radios: unknown key `radios`",
            "2:3: [1]: `text` needs a value under it",
            "3:3: [2].square: unknown value `square`",
            "4:10: [3].point: `point` takes nothing under it",
        ]
    );
}

#[test]
fn flattened_structs_locate_unknown_keys() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Common {
        a: u32,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        b: u32,
        #[serde(flatten)]
        common: Common,
    }
    let whole: Whole = node("a: 1\nb: 2\n").read().unwrap();
    assert_eq!((whole.b, whole.common.a), (2, 1));
    assert_eq!(errors(node("b: 2\nc: 5\n").read::<Whole>()), ["2:1: c: unknown key `c`"]);
}

#[test]
fn errors_of_later_checks_find_their_place() {
    let node = node("a:\n  b:\n    - c: 1\n");
    let at = |path: &[&str]| {
        let error = node.error_at(path, "m");
        (error.location.line, error.location.column, error.path)
    };
    assert_eq!(at(&["a", "b", "0", "c"]), (3, 10, "a.b[0].c".to_owned()));
    assert_eq!(at(&["a", "x", "y"]), (2, 3, "a.x.y".to_owned()));
    assert_eq!(at(&["a", "b", "7"]), (3, 5, "a.b[7]".to_owned()));
    let key = node.error_at_key("a", "m");
    assert_eq!((key.location.line, key.location.column), (1, 1));
}
