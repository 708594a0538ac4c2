//! Whatever a backend answers, every span is accounted for once.

use super::script::*;
use crate::{QueueConfig, SendConfig, SendFailure};
use forebay_component::{Ack, Exporter, Reason};
use forebay_telemetry::Telemetry;
use proptest::prelude::*;
use std::collections::HashSet;
use std::time::Duration;

fn answer() -> impl Strategy<Value = Answer> {
    let wait = prop::option::of((0u64..30).prop_map(Duration::from_secs));
    prop_oneof![
        4 => Just(Answer::Ok),
        1 => Just(no()),
        1 => (0u64..4).prop_map(Answer::Partial),
        1 => (0u64..20).prop_map(|seconds| Answer::Slow(Duration::from_secs(seconds))),
        3 => wait.prop_map(|wait| Answer::Fail(SendFailure::retryable(Reason::Unavailable, "x").after(wait))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_span_is_sent_dropped_or_left(
        answers in prop::collection::vec(answer(), 0..60),
        last in answer(),
        queued: bool,
        wait_for_result: bool,
        workers in 1usize..5,
        pause in 0u64..3000,
        stop_after in 0u64..100,
        deadline in 0u64..30,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let result: Result<(), TestCaseError> = runtime.block_on(async {
            let telemetry = Telemetry::default();
            let script = Script::new(answers, last);
            let queue = QueueConfig { num_consumers: workers, queue_size: 8, wait_for_result, ..QueueConfig::default() };
            let config = SendConfig { queue: queued.then_some(queue), ..send_config() };
            let exporter = exporter(&telemetry, config, &script);
            let consumer = exporter.consumer();
            let (mut taken, mut acks) = (HashSet::new(), Vec::new());
            for number in 0..30u8 {
                let (ack, answer) = Ack::channel();
                match consumer.consume(payload(number).with_ack(ack)) {
                    Ok(()) => {
                        taken.insert(vec![number; 10]);
                        acks.push(answer);
                    }
                    Err(refused) => prop_assert_eq!(refused.payload.items, 2),
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            tokio::time::sleep(Duration::from_secs(stop_after)).await;
            let drained = exporter.shutdown(in_seconds(deadline)).await;
            prop_assert_eq!(drained.sent + drained.dropped + drained.left, 2 * taken.len() as u64);
            let dropped: f64 = ["unavailable", "timeout", "rejected", "retries_exhausted", "shutting_down"]
                .iter()
                .map(|reason| metric(&telemetry, "forebay_exporter_dropped_spans", &format!("reason=\"{reason}\"")))
                .sum();
            prop_assert_eq!(dropped as u64, drained.dropped + drained.left);
            prop_assert_eq!(metric(&telemetry, "otelcol_exporter_sent_spans", "") as u64, drained.sent);
            prop_assert!(script.bodies().iter().all(|body| taken.contains(body)));
            prop_assert_eq!(metric(&telemetry, "otelcol_exporter_in_flight_requests", ""), 0.0);
            let mut accepted = 0;
            for ack in acks {
                accepted += u64::from(ack.await.is_ok());
            }
            if queued && !wait_for_result {
                prop_assert_eq!(accepted, taken.len() as u64);
            } else {
                prop_assert!(drained.sent <= 2 * accepted, "what was sent was accepted");
            }
            Ok(())
        });
        result?;
    }
}
