use super::errors;
use crate::{Node, Value};

fn parse(text: &str) -> Result<Node, crate::Diagnostics> {
    Node::parse_str("f.yaml", text)
}

fn text(node: &Node, path: &[&str]) -> String {
    let mut node = node;
    for step in path {
        node = node.child(step).unwrap();
    }
    node.as_str().unwrap().to_owned()
}

#[test]
fn values_and_keys_know_their_places_and_paths() {
    let node = parse("a:\n  b: [1, x]\n  c:\n    - d: é\n      e: \"q\"\n").unwrap();
    let item = node.get("a").unwrap().get("c").unwrap().items().next().unwrap();
    let e = item.get("e").unwrap();
    assert_eq!(e.path(), "a.c[0].e");
    assert_eq!(e.location().to_string(), "f.yaml:5:10");
    assert_eq!(item.entries().nth(1).unwrap().key_location.to_string(), "f.yaml:5:7");
    let second = node.child("a").unwrap().child("b").unwrap().child("1").unwrap();
    assert_eq!((second.location().line, second.location().column), (2, 10));
}

#[test]
fn columns_count_characters() {
    let node = parse("{é: 1, ü: 2}").unwrap();
    assert_eq!(node.get("ü").unwrap().location().column, 11);
}

#[test]
fn an_empty_text_is_null() {
    for text in ["", "# nothing\n", "---\n", "\u{feff}"] {
        assert!(parse(text).unwrap().is_null(), "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(text(&parse("\u{feff}a: b\n").unwrap(), &["a"]), "b");
}

#[test]
fn anchors_and_merge_keys() {
    let node =
        parse("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nuse:\n  y: 0\n  <<: [*b, *o]\nsame: *b\n")
            .unwrap();
    let used = node.get("use").unwrap();
    let pairs: Vec<_> = used.entries().map(|e| (e.key.as_str(), e.value.as_str().unwrap())).collect();
    assert_eq!(pairs, [("y", "0"), ("x", "1"), ("z", "4")]);
    assert_eq!(used.get("x").unwrap().path(), "use.x");
    assert_eq!(used.get("x").unwrap().location().line, 1);
    assert_eq!(text(&node, &["same", "y"]), "2");
}

#[test]
fn a_tag_can_make_a_string() {
    let node = parse("a: !!str 5\nb: !!int '5'\n").unwrap();
    let plain = |key| match node.get(key).unwrap().value() {
        Value::Scalar(scalar) => scalar.plain,
        _ => panic!("not a scalar"),
    };
    assert_eq!((plain("a"), plain("b")), (false, true));
}

#[test]
fn duplicate_keys_are_told_at_the_second_and_all_of_them() {
    let found = errors(parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"));
    assert_eq!(
        found,
        [
            "4:3: : the key `c` is here twice: the first is in line 3",
            "5:1: : the key `a` is here twice: the first is in line 1",
        ]
    );
}

#[test]
fn what_a_configuration_may_not_have() {
    let cases = [
        ("a: 1\n---\nb: 2\n", "2:1"),
        ("a: *x\n", "1:4"),
        ("a: &x [*x]\n", "1:8"),
        ("a:\n\tb: 1\n", "2:1"),
        ("a: [1, 2\n", "1:4"),
        ("r: [otlp\ne: [debug]\n", "1:4"),
        ("r: [\n  a, b: c: d\n]\n", "2:10"),
        ("a: \"open\n", "1:4"),
        ("a: !thing 1\n", "1:4"),
        ("a: !!binary aGk=\n", "1:4"),
        ("? [a]\n: 1\n", "1:3"),
        ("<<: 5\n", "1:1"),
        ("a: 1\n b: 2\n", "2:3"),
    ];
    for (text, place) in cases {
        let found = errors(parse(text));
        assert!(found[0].starts_with(&format!("{place}:")), "{text:?}: {found:?}");
    }
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
    }
    let found = errors(parse(&text));
    assert!(found[0].contains("more than 100000 values"), "{found:?}");
}

#[test]
fn nesting_is_bounded() {
    assert!(parse(&format!("{}{}", "[".repeat(90), "]".repeat(90))).is_ok());
    let found = errors(parse(&format!("{}{}", "[".repeat(200), "]".repeat(200))));
    assert!(found[0].contains("levels of nesting"), "{found:?}");
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..200 {
        text += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(errors(parse(&text))[0].contains("levels of nesting"));
}

#[test]
fn a_problem_is_shown_with_its_line() {
    let shown = parse("a: 1\nb: 2\na: 3\n").unwrap_err().to_string();
    let expected =
        "f.yaml:3:1: error: the key `a` is here twice: the first is in line 1\n   |\n 3 | a: 3\n   | ^";
    assert_eq!(shown, expected);
}
