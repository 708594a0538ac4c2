//! Several recordings, and bad ones.

use super::*;

const WHOLE: Decide = Decide::Whole(None);

fn plain() -> Subject {
    subject(POLICIES, SamplerConfig::default())
}

#[test]
fn recordings_are_merged_by_time() {
    // Each of two agents saw a part of the trace; read one after the other, the second part would come too late.
    let first = recording(&[vec![span(1, 1, 0.0)], vec![span(2, 0, 100.0)]]);
    let second = recording(&[vec![span(1, 0, 1.0).priority("critical")], vec![span(3, 0, 101.0)]]);
    let files = || vec![first.clone(), second.clone()];
    let (report, warnings) = run_all(files(), plain(), None, Decide::AsConfigured);
    assert_eq!(warnings, Vec::<String>::new());
    let report = report.unwrap();
    assert_eq!(traces(&report, "important"), 1);
    assert_eq!((report.new.kept.counts.spans, report.recording.names.len()), (2, 2));

    let joined = vec![files().concat()];
    let (report, warnings) = run_all(joined, plain(), None, Decide::AsConfigured);
    assert_eq!(report.unwrap().new.kept.counts.spans, 0);
    assert!(warnings[0].contains("1 records are behind") && warnings[0].contains("99 s"), "{warnings:?}");
}

#[test]
fn times_from_the_future_and_missing_ones_do_not_move_the_clock() {
    let (mut wrong, none) = (span(9, 0, 0.0), Spanlet { end: -(START as f64), ..span(8, 0, 0.0) });
    wrong.end = 1e9;
    let records =
        [vec![span(1, 1, 0.0)], vec![wrong], vec![span(1, 0, 1.0).priority("critical")], vec![none]];
    let report = run(&records[..3], POLICIES, SamplerConfig::default(), Decide::AsConfigured);
    assert_eq!((traces(&report, "important"), report.recording.seconds), (1, 1.0));
}

#[test]
fn a_bad_record_is_left_out_with_a_warning() {
    let mut bytes = recording(&[vec![span(1, 0, 1.0)]]);
    Framing::Lengths.append(b"garbage", &mut bytes).unwrap();
    bytes.extend(recording(&[vec![span(2, 0, 2.0)]]));
    bytes.extend(&recording(&[vec![span(3, 0, 3.0)]])[..20]);
    let (report, warnings) = run_all(vec![bytes], plain(), None, WHOLE);
    let report = report.unwrap();
    assert_eq!((report.recording.records, report.recording.bad_records, report.recording.spans), (2, 2, 2));
    assert!(warnings[0].starts_with("file 0: record 2 (byte "), "{warnings:?}");
    assert!(
        warnings[1].starts_with("file 0: record 4 (byte ") && warnings[1].contains("ends inside"),
        "{warnings:?}"
    );
}

#[test]
fn what_is_no_recording_is_an_error() {
    let good = recording(&[vec![span(1, 0, 1.0)]]);
    let (report, _) = run_all(vec![good, b"processors:\n  tail_sampling:\n".to_vec()], plain(), None, WHOLE);
    let said = report.unwrap_err().to_string();
    assert!(said.starts_with("file 1: record 1 (byte 0)") && said.contains("no recording"), "{said}");
    let (report, _) = run_all(vec![Vec::new()], plain(), None, WHOLE);
    assert!(report.unwrap_err().to_string().contains("no spans"));
}
