use std::io;
use std::path::Path;

use super::brief;
use crate::{Diagnostics, Node, Source};

fn env(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "4317",
        "HOST" => "example",
        "EMPTY" => "",
        "LIST" => "[a, b]",
        "MAP" => "{x: 1}",
        "PASSWORD" => "p$$w: [",
        "NUMBERISH" => "0x1f",
        "NAME" => "HOST",
        "NESTED" => "${env:PORT}",
        "LOOP" => "${env:LOOP}",
        "LOOPTEXT" => "a ${env:LOOPTEXT}",
        "WIDE" => "${env:WIDE1}${env:WIDE1}${env:WIDE1}",
        "WIDE1" => "${env:WIDE}${env:WIDE}",
        "QUOTED" => "\"5\"",
        _ => return None,
    };
    Some(value.to_owned())
}

fn read_file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("token.txt") => Ok("s3cret\n".to_owned()),
        Some("number.txt") => Ok("7\n".to_owned()),
        Some("section.yaml") => Ok("host: h\nport: ${env:PORT}\nbad: ${env:MISSING}\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn load(text: &str) -> Result<(Node, Diagnostics), Diagnostics> {
    let source = Source::Yaml { name: "f.yaml".into(), text: text.into() };
    crate::source::load_tree(&[source], crate::expand::Outside { env: &env, read_file: &read_file })
}

fn string(value: &str) -> String {
    load(&format!("a: {value}")).unwrap().0.get("a").unwrap().read().unwrap()
}

#[test]
fn texts() {
    let cases = [
        ("${env:PORT}", "4317"),
        ("${PORT}", "4317"),
        ("h:${env:PORT}/${HOST}", "h:4317/example"),
        ("${env:NOPE:-dflt}", "dflt"),
        ("${env:NOPE:-}", ""),
        ("${env:HOST:-dflt}", "example"),
        ("${env:EMPTY:-dflt}", ""),
        ("${env:NOPE:-${env:HOST}}", "example"),
        ("x${env:NOPE:-${env:NOPE2:-y}}z", "xyz"),
        ("${env:${env:NAME}}", "example"),
        ("${env:NESTED}", "4317"),
        ("$$", "$"),
        ("$${env:PORT}", "${env:PORT}"),
        ("$$${env:PORT}", "$4317"),
        ("a$b", "a$b"),
        ("${env:PASSWORD}", "p$w: ["),
        ("${env:LIST}", "[a, b]"),
        ("${env:MAP}", "{x: 1}"),
        ("${env:NUMBERISH}", "0x1f"),
        ("${env:QUOTED}", "\"5\""),
        ("'${env:PORT}'", "4317"),
        ("${file:token.txt}", "s3cret\n"),
        ("${file:number.txt}", "7\n"),
        ("${yaml:x}", "x"),
        ("${env:NOPE:-http://h:1}", "http://h:1"),
    ];
    for (value, expected) in cases {
        assert_eq!(string(value), expected, "{value}");
    }
}

#[test]
fn a_whole_reference_keeps_its_type_and_an_inner_one_is_text() {
    let (node, _) = load(
        "n: ${env:PORT}\nq: '${env:NESTED}'\nf: ${file:number.txt}\nl: ${env:LIST}\ns: ${file:section.yaml}\n\
         d: ${env:NOPE:-[1, 2]}\nt: 1${env:PORT}\n",
    )
    .unwrap();
    let get = |key: &str| node.get(key).unwrap();
    for (key, expected) in [("n", 4317), ("q", 4317), ("f", 7)] {
        assert_eq!(get(key).read::<u32>().unwrap(), expected, "{key}");
    }
    assert_eq!(get("l").read::<Vec<String>>().unwrap(), ["a", "b"]);
    assert_eq!(get("d").read::<Vec<u8>>().unwrap(), [1, 2]);
    assert!(get("t").read::<u32>().is_err());
    let port = get("s").get("port").unwrap();
    assert_eq!((port.path(), port.location().to_string()), ("s.port", "section.yaml:2:7".to_owned()));
    assert_eq!(port.read::<u16>().unwrap(), 4317);
    assert_eq!(get("l").items().next().unwrap().location().line, 4);
}

#[test]
fn an_unset_variable_is_a_warning_and_empty() {
    let (node, warnings) = load("a: ${env:NOPE}\nb: x${env:NOPE}\nc: ${file:section.yaml}\n").unwrap();
    assert_eq!(
        brief(&warnings.0),
        [
            "1:4: a: the environment variable `NOPE` is not set: it counts as empty",
            "2:4: b: the environment variable `NOPE` is not set: it counts as empty",
            "3:6: c.bad: the environment variable `MISSING` is not set: it counts as empty",
        ]
    );
    assert!(!warnings.has_errors());
    assert_eq!(node.get("a").unwrap().read::<String>().unwrap(), "");
    assert_eq!(node.get("b").unwrap().read::<String>().unwrap(), "x");
}

#[test]
fn what_cannot_be_expanded_is_told_and_all_of_it() {
    let text = "\
a: ${env:PORT
b: [x, '${env:1X}']
c: ${http:x}
d: ${PORT:-5}
e: ${file:nope}
f: ${env:LOOP}
g: ${env:LOOPTEXT}
h: ${env:A$B}
i: ${}
j: ${env:WIDE}
";
    let found = load(text).unwrap_err();
    let places: Vec<_> =
        found.iter().map(|d| (d.location.line, d.location.column, d.path.as_str())).collect();
    assert_eq!(
        places,
        [
            (1, 4, "a"),
            (2, 8, "b[1]"),
            (3, 4, "c"),
            (4, 4, "d"),
            (5, 4, "e"),
            (6, 4, "f"),
            (7, 4, "g"),
            (8, 4, "h"),
            (9, 4, "i"),
            (10, 4, "j")
        ]
    );
    assert_eq!(found.0[0].message, "`${` is not closed");
    assert_eq!(found.0[1].message, "`1X` is no name of an environment variable");
    assert_eq!(found.0[3].help.as_deref(), Some("a default needs the scheme: `${env:PORT:-5}`"));
    assert!(found.0[4].message.starts_with("cannot read the file `nope`"));
}

#[test]
fn a_wrong_value_from_outside_is_named_by_its_reference_and_not_shown() {
    let (node, _) = load("a: ${env:PASSWORD}\n").unwrap();
    let found = node.get("a").unwrap().read::<u32>().unwrap_err();
    assert_eq!(brief(&found.0), ["1:4: a: expected a whole number from 0 to 4294967295, found the string"]);
    assert_eq!(found.0[0].help.as_deref(), Some("the value comes from `${env:PASSWORD}`"));
}
