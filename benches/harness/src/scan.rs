//! Finds the spans of an encoded request without decoding it.

/// The bytes are not an OTLP trace request.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Calls `span(trace_id, span_id)` for each span of an encoded `ExportTraceServiceRequest`.
pub fn spans(request: &[u8], mut span: impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
    fields(request, &mut |number, resource_spans| {
        if number != 1 {
            return Ok(());
        }
        fields(resource_spans, &mut |number, scope_spans| {
            if number != 2 {
                return Ok(());
            }
            fields(scope_spans, &mut |number, bytes| if number == 2 { ids(bytes, &mut span) } else { Ok(()) })
        })
    })
}

/// A span's fields 1 and 2; what follows them is not looked at once both are known.
fn ids(mut bytes: &[u8], span: &mut impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    while !bytes.is_empty() && (trace_id.is_empty() || span_id.is_empty()) {
        match field(&mut bytes)? {
            (1, content) => trace_id = content,
            (2, content) => span_id = content,
            _ => {}
        }
    }
    span(trace_id, span_id);
    Ok(())
}

/// Calls `with(number, content)` for each length-delimited field of a message.
fn fields<'a>(
    mut bytes: &'a [u8],
    with: &mut impl FnMut(u64, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let (number, content) = field(&mut bytes)?;
        with(number, content)?;
    }
    Ok(())
}

/// Takes one field off the front; the content of a field that is not length-delimited is empty and its number 0.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<(u64, &'a [u8]), Malformed> {
    let tag = varint(bytes)?;
    match tag & 7 {
        0 => varint(bytes).map(|_| (0, &[][..])),
        1 => take(bytes, 8).map(|_| (0, &[][..])),
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|_| Malformed)?;
            take(bytes, length).map(|content| (tag >> 3, content))
        }
        5 => take(bytes, 4).map(|_| (0, &[][..])),
        _ => Err(Malformed),
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}
