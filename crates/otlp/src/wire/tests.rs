use super::{is_any_utf8, is_utf8};

/// Whatever the way a text of some length is looked at: a byte that is wrong is found wherever it stands, and one that
/// is not ASCII is no fault.
#[test]
fn text_is_checked_to_its_last_byte_whatever_its_length() {
    for len in 0..300 {
        let ascii = vec![b'a'; len];
        assert!(is_utf8(&ascii) && is_any_utf8(&ascii), "{len}");
        for at in 0..len {
            let mut wrong = ascii.clone();
            wrong[at] = 0xff;
            assert!(!is_utf8(&wrong) && !is_any_utf8(&wrong), "{len} {at}");
            let mut right = ascii.clone();
            if let Some(two) = right.get_mut(at..at + 2) {
                two.copy_from_slice("é".as_bytes());
                assert!(is_utf8(&right) && is_any_utf8(&right), "{len} {at}");
            }
        }
    }
}
