//! The exporter as a whole.

use super::read;
use crate::FACTORY;
use forebay_component::{Ack, Drained, Exporter};
use forebay_config::Node;
use forebay_telemetry::{Kind, Telemetry};
use forebay_testkit::{conformance, requests};
use std::path::Path;
use std::time::{Duration, Instant};

fn build(text: &str, telemetry: &Telemetry) -> Box<dyn Exporter> {
    let plan = (FACTORY.configure)(&Node::parse_str("test.yaml", text).unwrap()).unwrap();
    let mut context = forebay_testkit::context(Kind::Exporter, "file");
    context.telemetry = telemetry.clone();
    plan.build(context).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn send(exporter: &dyn Exporter, traces: std::ops::Range<u64>) {
    for trace in traces {
        let (ack, taken) = Ack::channel();
        exporter.consumer().consume(requests::payload(trace, 0, 2, Some(("k", "v"))).with_ack(ack)).unwrap();
        taken.await.unwrap();
    }
}

#[tokio::test]
async fn it_is_an_exporter_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    for more in ["", "format: proto\n", "rotation: {max_megabytes: 1}\n", "compression: zstd\n"] {
        let path = folder.path().join("t");
        conformance::exporter(&FACTORY, &format!("path: {}\n{more}", path.display())).await;
    }
}

#[tokio::test]
async fn every_form_reads_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let forms = [
        ("format: json", b'{'),
        ("format: proto", 0),
        ("format: json, compression: zstd", 0),
        ("format: proto, compression: zstd, compression_params: {level: 11}", 0),
        ("format: proto, rotation: {}", 0),
        ("format: proto, sending_queue: {enabled: false}", 0),
    ];
    for (number, (more, first)) in forms.into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        let exporter = build(&format!("{{path: {}, {more}}}", path.display()), &Telemetry::default());
        send(&*exporter, 0..40).await;
        let drained = exporter.shutdown(soon()).await;
        assert_eq!(drained, Drained { sent: 80, dropped: 0, left: 0 }, "{more}");
        assert_eq!(std::fs::read(&path).unwrap()[0], first, "{more}");
        let expected: Vec<_> =
            (0..40).map(|trace| requests::request(trace, 0, 2, Some(("k", "v")))).collect();
        assert_eq!(read(&path), expected, "{more}");
    }
}

#[tokio::test]
async fn what_waits_is_written_after_the_flush_interval() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let text = format!("{{path: {}, flush_interval: 10ms}}", path.display());
    let exporter = build(&text, &Telemetry::default());
    send(&*exporter, 0..1).await;
    let until = soon();
    while std::fs::metadata(&path).unwrap().len() == 0 {
        assert!(Instant::now() < until, "never written");
        tokio::task::yield_now().await;
    }
    assert_eq!(exporter.shutdown(soon()).await.sent, 2);
}

#[tokio::test]
async fn a_disk_that_stays_full_is_counted() {
    let telemetry = Telemetry::default();
    // Without gathering each record is written at once, and fails.
    let text = "{path: /dev/full, rotation: {}, retry_on_failure: {enabled: false}}";
    let exporter = build(text, &telemetry);
    send(&*exporter, 0..3).await;
    let drained = exporter.shutdown(soon()).await;
    assert_eq!((drained.sent, drained.dropped, drained.left), (0, 6, 0));
    // Gathered and acknowledged, and then not to be written.
    let exporter = build("{path: /dev/full}", &telemetry);
    send(&*exporter, 0..3).await;
    let drained = exporter.shutdown(soon()).await;
    assert_eq!((drained.sent, drained.dropped, drained.left), (0, 0, 6));
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_an_error_at_the_start() {
    let plan =
        (FACTORY.configure)(&Node::parse_str("t.yaml", "path: /proc/no/such/folder").unwrap()).unwrap();
    let said = plan.build(forebay_testkit::context(Kind::Exporter, "file")).err().unwrap().to_string();
    assert!(
        said.contains("exporter file")
            && said.contains(&Path::new("/proc/no/such/folder").display().to_string()),
        "{said}"
    );
}
