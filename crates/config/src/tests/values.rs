use std::time::Duration;

use crate::duration::{parse, parse_nanos};
use crate::scalar::{Resolved, resolve_plain};
use crate::{ByteSize, ComponentId, GoDuration, Node, Secret, nearest};

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    Node::parse_str("f", text).unwrap().read().map_err(|errors| errors.0[0].message.clone())
}

#[test]
fn go_durations() {
    let cases: [(&str, u64); 11] = [
        ("0", 0),
        ("0s", 0),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("200ms", 200_000_000),
        ("3us", 3_000),
        ("3\u{b5}s", 3_000),
        ("+5ns", 5),
        ("2562047h", 9_223_369_200_000_000_000),
    ];
    for (text, nanos) in cases {
        assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
    assert_eq!(parse_nanos("-1m"), Ok(-60_000_000_000));
    for text in [
        "",
        "-",
        "5",
        "1.5",
        "s",
        "1d",
        "1 s",
        "1..5s",
        ".s",
        "-1s",
        "2562048h",
        "1s5",
        "99999999999999999999999s",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn durations_in_yaml() {
    assert_eq!(read::<GoDuration>("90s").unwrap().to_string(), "1m30s");
    assert_eq!(read::<GoDuration>("1000000").unwrap().0, Duration::from_millis(1));
    assert_eq!(read::<GoDuration>("0").unwrap().0, Duration::ZERO);
    assert!(read::<GoDuration>("'5'").unwrap_err().contains("lacks a unit"));
    assert!(read::<GoDuration>("-5s").unwrap_err().contains("0 or more"));
    assert!(read::<GoDuration>("[a]").unwrap_err().contains("expected a duration such as"));
}

#[test]
fn durations_print_as_in_go() {
    let cases = [
        ("0", "0s"),
        ("5400s", "1h30m0s"),
        ("61s", "1m1s"),
        ("1.05s", "1.05s"),
        ("1500us", "1.5ms"),
        ("7ns", "7ns"),
    ];
    for (text, shown) in cases {
        assert_eq!(GoDuration(parse(text).unwrap()).to_string(), shown);
    }
}

#[test]
fn byte_sizes() {
    let cases = [
        ("5", 5),
        ("64MiB", 64 << 20),
        ("1GB", 1_000_000_000),
        ("1.5 KiB", 1536),
        ("'7'", 7),
        ("2mib", 2 << 20),
    ];
    for (text, bytes) in cases {
        assert_eq!(read::<ByteSize>(text).unwrap(), ByteSize(bytes), "{text}");
    }
    for text in ["-1", "1.5", "5 parsec", "MiB", "99999999TiB", "'1.MiB'"] {
        assert!(read::<ByteSize>(text).is_err(), "{text}");
    }
    assert_eq!(
        (ByteSize(64 << 20).to_string(), ByteSize(1000).to_string()),
        ("64MiB".into(), "1000B".into())
    );
}

#[test]
fn ids() {
    let id: ComponentId = " otlp / jaeger ".parse().unwrap();
    assert_eq!(id, ComponentId::new("otlp", Some("jaeger")));
    assert_eq!(id.to_string(), "otlp/jaeger");
    assert_eq!("a/b/c".parse::<ComponentId>().unwrap().name.as_deref(), Some("b/c"));
    for text in ["", "/x", "x/", "1x", "x y", "x/y z", "x-y", "x/a$b"] {
        assert!(text.parse::<ComponentId>().is_err(), "{text:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let secret: Secret = read("hunter2").unwrap();
    assert_eq!(secret.expose(), "hunter2");
    assert_eq!((format!("{secret:?}"), secret.to_string()), ("[REDACTED]".into(), "[REDACTED]".into()));
    assert_eq!(serde_yaml::to_string(&secret).unwrap().trim(), "'[REDACTED]'");
}

#[test]
fn nearest_names() {
    let known = ["endpoint", "timeout", "retry_on_failure", "tls"];
    let near = |word| nearest(word, known.into_iter());
    assert_eq!(near("endpont"), Some("endpoint"));
    assert_eq!(near("Timeout"), Some("timeout"));
    assert_eq!(near("retry-on-failure"), Some("retry_on_failure"));
    assert_eq!(near("tsl"), Some("tls"));
    assert_eq!((near("x"), near("headers")), (None, None));
}

#[test]
fn plain_scalars_have_the_types_of_yaml_v3() {
    use Resolved::{Bool, Float, Int, Null, Str, Uint};
    let cases = [
        ("", Null),
        ("~", Null),
        ("null", Null),
        ("nULL", Str("nULL")),
        ("true", Bool(true)),
        ("FALSE", Bool(false)),
        ("yes", Str("yes")),
        ("off", Str("off")),
        ("12", Int(12)),
        ("+12", Int(12)),
        ("-0x10", Int(-16)),
        ("0o17", Int(15)),
        ("017", Int(15)),
        ("0b11", Int(3)),
        ("1_000", Int(1000)),
        ("9223372036854775808", Uint(9_223_372_036_854_775_808)),
        ("-9223372036854775808", Int(i64::MIN)),
        ("1.5", Float(1.5)),
        ("1e3", Float(1000.0)),
        (".5", Float(0.5)),
        (".inf", Float(f64::INFINITY)),
        ("-.INF", Float(f64::NEG_INFINITY)),
        ("inf", Str("inf")),
        ("-", Str("-")),
        ("+-1", Str("+-1")),
        ("1.2.3", Str("1.2.3")),
        ("0.0.0.0:4317", Str("0.0.0.0:4317")),
        ("2026-01-01", Str("2026-01-01")),
        ("10s", Str("10s")),
    ];
    for (text, expected) in cases {
        assert_eq!(resolve_plain(text), expected, "{text}");
    }
    assert!(matches!(resolve_plain(".nan"), Float(value) if value.is_nan()));
}
