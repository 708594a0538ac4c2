use super::*;
use crate::traces::{AnyValueView, SpanView, TracesView, validate};

/// A request of one span with these fields.
fn request(span: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{span}}}]}}]}}]}}"#)
}

/// Decodes a request of one span with these fields and shows that span to `check`.
fn with_span(span: &str, check: impl FnOnce(SpanView<'_>)) {
    let wire = decode_request(request(span).as_bytes()).expect("decodes");
    assert_eq!(validate(&wire).expect("valid").spans, 1);
    let groups = TracesView::new(&wire).resource_spans().next().expect("a resource");
    check(groups.scope_spans().next().expect("a scope").spans().next().expect("a span"));
}

fn error(json: &str) -> JsonError {
    decode_request(json.as_bytes()).expect_err("refused")
}

fn encode(wire: &[u8]) -> String {
    let mut json = Vec::new();
    encode_request(wire, &mut json);
    String::from_utf8(json).expect("UTF-8")
}

#[test]
fn the_specifications_example_goes_both_ways() {
    let json = r#"{"resourceSpans":[{
        "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
        "scopeSpans":[{
            "scope":{"name":"my.library","version":"1.0.0"},
            "spans":[{
                "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"",
                "name":"I'm a server span","kind":2,
                "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
                "status":{},"futureField":{"nested":[1,2,{"x":null}]}
            }]
        }]
    }]}"#;
    let wire = decode_request(json.as_bytes()).expect("decodes");
    assert_eq!(
        encode(&wire),
        concat!(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},"#,
            r#""scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0"},"#,
            r#""spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","#,
            r#""name":"I'm a server span","kind":2,"#,
            r#""startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","status":{}}]}]}]}"#
        )
    );
}

#[test]
fn ids_are_hex_of_either_case() {
    with_span(r#""traceId":"0aF0","span_id":"FFfe","parentSpanId":null"#, |span| {
        assert_eq!(
            (span.trace_id(), span.span_id(), span.parent_span_id()),
            (&[10, 240][..], &[255, 254][..], &[][..])
        );
    });
    for bad in ["abc", "zz", "0x0a", "é1"] {
        let error = error(&request(&format!(r#""traceId":"{bad}""#)));
        assert!(error.message.contains("hex digits, two per byte for `traceId`"), "{error}");
    }
}

#[test]
fn numbers_are_read_from_numbers_and_strings() {
    with_span(
        r#""start_time_unix_nano":18446744073709551615,"endTimeUnixNano":"18446744073709551615","flags":"257",
           "droppedAttributesCount":7,"droppedEventsCount":"8","droppedLinksCount":9.0,"kind":"3""#,
        |span| {
            assert_eq!((span.start_time_unix_nano(), span.end_time_unix_nano()), (u64::MAX, u64::MAX));
            assert_eq!((span.flags(), span.kind()), (257, 3));
            assert_eq!(span.dropped_attributes_count(), 7);
            assert_eq!((span.dropped_events_count(), span.dropped_links_count()), (8, 9));
        },
    );
    for bad in ["-1", "1.5", "\"\"", "\"1x\"", "18446744073709551616", "true", "[]", "{}"] {
        let error = error(&request(&format!(r#""startTimeUnixNano":{bad}"#)));
        assert!(
            error.message.contains("an unsigned 64-bit integer for `startTimeUnixNano`"),
            "{bad}: {error}"
        );
    }
    assert!(
        error(&request(r#""flags":4294967296"#)).message.contains("an unsigned 32-bit integer for `flags`")
    );
}

#[test]
fn enums_are_read_from_numbers_and_names() {
    with_span(
        r#""kind":"SPAN_KIND_PRODUCER","status":{"code":"STATUS_CODE_ERROR","message":"no"}"#,
        |span| {
            assert_eq!((span.kind(), span.status().code(), span.status().message()), (4, 2, "no"));
        },
    );
    with_span(r#""kind":77,"status":{"code":-1}"#, |span| {
        assert_eq!((span.kind(), span.status().code()), (77, -1));
    });
    let error = error(&request(r#""kind":"SPAN_KIND_NONSENSE""#));
    assert!(error.message.contains("`kind`"), "{error}");
}

#[test]
fn values_of_every_kind_are_read() {
    let value = |json: &str, check: fn(AnyValueView<'_>)| {
        with_span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#), |span| {
            check(span.attributes().next().expect("an attribute").value());
        });
    };
    value("null", |value| assert!(matches!(value, AnyValueView::Empty)));
    value("{}", |value| assert!(matches!(value, AnyValueView::Empty)));
    value(r#"{"unknownValue":1}"#, |value| assert!(matches!(value, AnyValueView::Empty)));
    value(r#"{"intValue":null,"stringValue":""}"#, |value| assert!(matches!(value, AnyValueView::Str(""))));
    value(r#"{"boolValue":false}"#, |value| assert!(matches!(value, AnyValueView::Bool(false))));
    value(r#"{"intValue":"-9223372036854775808"}"#, |value| {
        assert!(matches!(value, AnyValueView::Int(i64::MIN)));
    });
    value(r#"{"int_value":12}"#, |value| assert!(matches!(value, AnyValueView::Int(12))));
    value(r#"{"doubleValue":3}"#, |value| assert!(matches!(value, AnyValueView::Double(3.0))));
    value(r#"{"doubleValue":"-2.5e-3"}"#, |value| assert!(matches!(value, AnyValueView::Double(-0.0025))));
    value(r#"{"doubleValue":"NaN"}"#, |value| {
        assert!(matches!(value, AnyValueView::Double(x) if x.is_nan()))
    });
    value(r#"{"doubleValue":"-Infinity"}"#, |value| {
        assert!(matches!(value, AnyValueView::Double(f64::NEG_INFINITY)));
    });
    for base64 in ["+/8=", "+/8", "-_8=", "-_8"] {
        value(&format!(r#"{{"bytesValue":"{base64}"}}"#), |value| {
            assert!(matches!(value, AnyValueView::Bytes([0xfb, 0xff])));
        });
    }
    value(
        r#"{"arrayValue":{"values":[{"intValue":1},null,{"stringValue":"\u00e9\ud834\udd1e"}]}}"#,
        |value| {
            let AnyValueView::Array(array) = value else { panic!("an array") };
            let elements: Vec<_> = array.iter().collect();
            assert!(matches!(
                elements[..],
                [AnyValueView::Int(1), AnyValueView::Empty, AnyValueView::Str("é𝄞")]
            ));
        },
    );
    value(r#"{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}"#, |value| {
        let AnyValueView::KvList(list) = value else { panic!("a list") };
        let entry = list.iter().next().expect("an entry");
        assert_eq!(entry.key(), "a");
        assert!(matches!(entry.value(), AnyValueView::Bool(true)));
    });
}

#[test]
fn doubles_that_json_has_no_number_for_are_strings() {
    for (number, json) in [
        (f64::NAN, r#""NaN""#),
        (f64::INFINITY, r#""Infinity""#),
        (f64::NEG_INFINITY, r#""-Infinity""#),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
    ] {
        let wire = [b"\x0a\x11\x12\x0f\x12\x0d\x4a\x0b\x12\x09\x21", &number.to_le_bytes()[..]].concat();
        let expected = request(&format!(r#""attributes":[{{"key":"","value":{{"doubleValue":{json}}}}}]"#));
        assert_eq!(encode(&wire), expected);
        let back = decode_request(expected.as_bytes()).expect("decodes");
        assert_eq!(back[back.len() - 8..].to_vec(), number.to_le_bytes());
    }
    let overflow = request(r#""attributes":[{"value":{"doubleValue":"1e999"}}]"#);
    assert!(error(&overflow).message.contains("a number for `doubleValue`"));
}

#[test]
fn keys_are_read_however_they_are_written() {
    let spans = [
        r#""name":"a""#,
        r#""name" : "a""#,
        "\n\t\"name\"\r\n:\n\"a\"",
        r#""n\u0061me":"a""#,
        r#""name":"b","kind":2,"name":"a""#,
        r#""name":null,"name":"a","name":null"#,
        r#""nam":"b","Name":"c","name":"a","_name":"d","":7"#,
    ];
    for span in spans {
        with_span(span, |span| assert_eq!(span.name(), "a"));
        with_span(&format!("{span},\"links\":[]"), |span| assert_eq!(span.name(), "a"));
    }
    with_span(r#""dropped_attributes_count":1,"dropped\u005flinks_count":2"#, |span| {
        assert_eq!((span.dropped_attributes_count(), span.dropped_links_count()), (1, 2));
    });
}

#[test]
fn attributes_are_read_however_they_are_written() {
    for attribute in [
        r#"{"key":"k","value":{"intValue":"12"}}"#,
        r#"{"key":"k","value":{"intValue":12}}"#,
        r#"{"key":"k","value":{"intValue":"0012"}}"#,
        r#"{"key":"k","value":{"intValue":1.2e1}}"#,
        r#"{"value":{"intValue":"12"},"key":"k"}"#,
        r#"{"key":"k","value":{"intValue":"12"},"key_strindex":0}"#,
        r#"{ "key": "k", "value": { "intValue": "12" } }"#,
        r#"{"key":"\u006b","value":{"intValue":"1\u0032"}}"#,
    ] {
        for attributes in [attribute.to_owned(), format!("{attribute},{attribute}")] {
            with_span(&format!(r#""attributes":[{attributes}]"#), |span| {
                for attribute in span.attributes() {
                    assert_eq!(attribute.key(), "k");
                    assert!(matches!(attribute.value(), AnyValueView::Int(12)));
                }
            });
        }
    }
    for bad in ["007", "12x", "1 2", "9223372036854775808", "-9223372036854775809", "", "-"] {
        let bad = request(&format!(r#""attributes":[{{"key":"k","value":{{"intValue":{bad}}}}}]"#));
        assert!(decode_request(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn strings_of_every_length_are_read() {
    for len in (0..70).chain([127, 128, 129, 16_383, 16_384, 70_000]) {
        let text = "é".repeat(len / 2) + &"x".repeat(len % 2);
        let escaped = text.replace('x', "\\u0078");
        for json in [&text, &escaped] {
            let attribute = format!(r#"{{"key":"{json}","value":{{"stringValue":"{json}"}}}}"#);
            with_span(&format!(r#""attributes":[{attribute}],"name":"{json}""#), |span| {
                let attribute = span.attributes().next().expect("an attribute");
                assert_eq!((span.name(), attribute.key()), (&*text, &*text));
                assert!(matches!(attribute.value(), AnyValueView::Str(value) if value == text));
            });
        }
    }
}

#[test]
fn escapes_are_read_and_what_must_be_escaped_is_refused() {
    with_span(r#""name":"\"\\\/\b\f\n\r\t\u0000\u00e9\u20AC\uD834\uDD1E""#, |span| {
        assert_eq!(span.name(), "\"\\/\u{8}\u{c}\n\r\t\0é€𝄞");
    });
    for bad in [r"\x", r"\u12", r"\u12g4", r"\ud834", r"\ud834x", r"\ud834\n", r"\ud834\u0041", r"\udd1e"] {
        let error = error(&request(&format!(r#""name":"name {bad}""#)));
        assert!(error.message.contains("invalid escape"), "{bad}: {error}");
        assert_eq!(error.column, 58, "{bad}: {error}");
    }
    for bad in ["\n", "\0", "\u{1f}"] {
        assert!(error(&request(&format!(r#""name":"{bad}""#))).message.contains("control character"));
    }
    let mut json = request(r#""unknown":"??""#).into_bytes();
    json.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xe9);
    let error = decode_request(&json).expect_err("not UTF-8");
    assert_eq!((error.column, error.message.as_str()), (56, "the text is not UTF-8"));
}

#[test]
fn numbers_keep_to_the_grammar() {
    let double = |json: &str| {
        decode_request(request(&format!(r#""attributes":[{{"value":{{"doubleValue":{json}}}}}]"#)).as_bytes())
    };
    for good in [
        "0",
        "-0",
        "0.5",
        "10",
        "1e3",
        "1E+3",
        "1.25e-3",
        "5e-324",
        "0e999",
        "123456789012345678901234567890",
    ] {
        let wire = double(good).expect(good);
        let expected: f64 = good.parse().expect("a number");
        assert_eq!(wire[wire.len() - 8..], expected.to_le_bytes(), "{good}");
    }
    for bad in
        ["00", "01", "-", "-01", "+1", ".5", "1.", "1.e3", "1e", "1e+", "0x1", "1_0", "NaN", "1e999", "1 2"]
    {
        assert!(double(bad).is_err(), "{bad}");
    }
}

#[test]
fn errors_say_where_and_what() {
    let error_at = |json: &str| {
        let error = error(json);
        (error.line, error.column)
    };
    assert_eq!(error_at("{\n  \"resourceSpans\": [}\n"), (2, 21));
    assert_eq!(error_at("{} x"), (1, 4));
    assert_eq!(error_at(""), (1, 0));
    assert_eq!(error_at("{\"a\":\n{\"b\":tru}}"), (2, 9));
    assert_eq!(
        error("{\"resourceSpans\":{}}").to_string(),
        "malformed OTLP/JSON at line 1, column 18: invalid type: map, expected an array for `resourceSpans`"
    );
    assert!(error("[]").message.contains("expected an object"));
    assert!(error("null").message.contains("expected an object"));
    assert!(error(&request(r#""attributes":{"key":"k"}"#)).message.contains("an array for `attributes`"));
    assert!(error(&request(r#""name":7"#)).message.contains("number 7, expected a string for `name`"));
    let long = error(&request(&format!("\"kind\":\"{}\"", "x\\n".repeat(1000)))).message;
    assert!(long.len() < 200 && long.contains("string \"x\\nx"), "{long}");
    for (bad, message) in [
        ("{,}", "expected a key in quotes"),
        ("{\"a\":1,}", "expected a key in quotes"),
        ("{\"a\" 1}", "expected `:`"),
        ("{\"a\":1 \"b\":2}", "expected `,` or `}`"),
        ("{\"resourceSpans\":[{},]}", "expected an object for `resourceSpans`"),
        ("{\"resourceSpans\":[{}{}]}", "expected `,` or `]`"),
        ("{\"resourceSpans\":[{}", "EOF: expected `,` or `]`"),
        ("{\"resourceSpans\":nul}", "expected `null`"),
        ("{\"resourceSpans", "EOF: a string without its closing quote"),
        ("{}{}", "trailing characters"),
    ] {
        assert_eq!(error(bad).message, message, "{bad}");
    }
}

#[test]
fn what_is_cut_off_is_refused() {
    let attributes =
        r#""attributes":[{"key":"k","value":{"stringValue":"text"}},{"key":"n","value":{"intValue":"7"}}]"#;
    let json = request(&format!(
        r#""traceId":"00112233445566778899aabbccddeeff","kind":3,"unknown":[1],{attributes}"#
    ));
    for len in 0..json.len() {
        assert!(error(&json[..len]).column <= len, "{len}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize, leaf: &str| {
        let value = [
            &r#"{"kvlistValue":{"values":[{"key":"k","value":"#.repeat(levels),
            leaf,
            &"}]}}".repeat(levels),
        ]
        .concat();
        request(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))
    };
    let leaves = ["{}", r#"{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"plain"}}]}}"#];
    for (levels, leaf) in (0..40).flat_map(|levels| leaves.map(|leaf| (levels, leaf))) {
        let json = nested(levels, leaf);
        let depth = json.bytes().scan(0, |depth, byte| {
            *depth += i32::from(matches!(byte, b'{' | b'[')) - i32::from(matches!(byte, b'}' | b']'));
            Some(*depth)
        });
        match decode_request(json.as_bytes()) {
            Ok(wire) => assert!(validate(&wire).is_ok() && depth.max() < Some(128)),
            Err(error) => assert!(error.message.contains("recursion limit") && depth.max() >= Some(128)),
        }
    }
    assert!(error(&nested(100_000, "{}")).message.contains("recursion limit"));
    assert!(error(&"[".repeat(1_000_000)).message.contains("expected an object"));
    // What is ignored is skipped without recursion, however deep.
    assert!(error(&format!("{{\"x\":{}", "[".repeat(1_000_000))).message.contains("EOF"));
}

#[test]
fn responses_go_both_ways() {
    assert_eq!(encode_response(None), b"{}");
    let partial = encode_response(Some((3, "too old")));
    assert_eq!(partial, br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#);
    assert_eq!(decode_response(&partial), Ok(Some((3, "too old".to_owned()))));
    assert_eq!(decode_response(b"{}"), Ok(None));
    assert_eq!(decode_response(br#"{"partialSuccess":{}}"#), Ok(None));
    assert_eq!(decode_response(br#"{"partialSuccess":{"rejectedSpans":2}}"#), Ok(Some((2, String::new()))));
    assert!(decode_response(b"<html>").is_err());
}

#[test]
fn statuses_go_both_ways() {
    let status = encode_status(3, "bad \"bytes\"");
    assert_eq!(status, br#"{"code":3,"message":"bad \"bytes\""}"#);
    assert_eq!(decode_status(&status), Ok((3, "bad \"bytes\"".to_owned())));
    let with_details = br#"{"code":14,"message":"later","details":[{"@type":"x","retryDelay":"1s"}]}"#;
    assert_eq!(decode_status(with_details), Ok((14, "later".to_owned())));
}
