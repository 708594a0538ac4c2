//! Attempts, waits, giving up, acknowledging, backpressure.

use super::script::*;
use crate::backoff::Backoff;
use crate::{QueueConfig, RetryConfig, SendConfig, SendFailure, Sizer};
use forebay_component::{Ack, Drained, Exporter, Reason};
use forebay_config::{ByteSize, GoDuration};
use forebay_telemetry::{State, Telemetry};
use proptest::prelude::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_failing_backend_gets_the_same_bytes_again_on_schedule() {
    let telemetry = Telemetry::default();
    let script = Script::new([down(), down(), down(), down()], Answer::Ok);
    let exporter = exporter(&telemetry, send_config(), &script);
    let (ack, taken) = Ack::channel();
    exporter.consumer().consume(payload(7).with_ack(ack)).unwrap();
    assert_eq!(taken.await, Ok(()), "the queue takes responsibility at once");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(script.times(), [0, 1, 3, 7, 11].map(|at| at * SECOND));
    assert!(script.bodies().iter().all(|body| *body == [7; 10]));
    assert_eq!(metric(&telemetry, "otelcol_exporter_sent_spans", "exporter=\"otlp/test\""), 2.0);
    assert_eq!(metric(&telemetry, "forebay_exporter_retries", "exporter=\"otlp/test\""), 4.0);
    assert_eq!(metric(&telemetry, "otelcol_exporter_send_failed_spans", ""), 0.0);
    let shown = &telemetry.board.components()[0];
    assert_eq!(shown.state, State::Ok);
    assert_eq!(shown.last_error.as_ref().unwrap().0, "down");
}

#[tokio::test(start_paused = true)]
async fn the_wait_a_backend_asks_for_is_honoured() {
    let asked = SendFailure::retryable(Reason::Unavailable, "later").after(Some(20 * SECOND));
    let shorter = SendFailure::retryable(Reason::Unavailable, "soon").after(Some(SECOND / 2));
    let script = Script::new([Answer::Fail(asked), Answer::Fail(shorter)], Answer::Ok);
    let exporter = exporter(&Telemetry::default(), send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(script.times(), [0, 20, 22].map(|at| at * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_repeated() {
    let telemetry = Telemetry::default();
    let script = Script::new([no()], Answer::Ok);
    let exporter = exporter(&telemetry, send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    exporter.consumer().consume(payload(1)).unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(script.times().len(), 2);
    assert_eq!(metric(&telemetry, "forebay_exporter_dropped_spans", "reason=\"rejected\""), 2.0);
    assert_eq!(exporter.shutdown(in_seconds(1)).await, Drained { sent: 2, dropped: 2, left: 0 });
}

#[tokio::test(start_paused = true)]
async fn retries_end_after_max_elapsed_time() {
    let telemetry = Telemetry::default();
    let script = Script::new([], down());
    let exporter = exporter(&telemetry, send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(script.times().last(), Some(&(59 * SECOND)));
    assert_eq!(metric(&telemetry, "forebay_exporter_dropped_spans", "reason=\"retries_exhausted\""), 2.0);
    assert_eq!(metric(&telemetry, "otelcol_exporter_send_failed_spans", ""), 2.0);
}

#[tokio::test(start_paused = true)]
async fn zero_max_elapsed_time_is_for_ever_and_disabled_is_once() {
    let script = Script::new([], down());
    let mut config = send_config();
    config.retry.max_elapsed_time = GoDuration(Duration::ZERO);
    let forever = exporter(&Telemetry::default(), config, &script);
    forever.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(4000 * SECOND).await;
    assert!(script.times().len() > 900);

    let script = Script::new([], down());
    let mut config = send_config();
    config.retry.enabled = false;
    let once = exporter(&Telemetry::default(), config, &script);
    once.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(script.times().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_longer_than_the_timeout_is_repeated() {
    let script = Script::new([Answer::Slow(3600 * SECOND)], Answer::Ok);
    let exporter = exporter(&Telemetry::default(), send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(script.times(), [0, 6].map(|at| at * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_rejects_of_a_request_is_counted_not_repeated() {
    let telemetry = Telemetry::default();
    let script = Script::new([Answer::Partial(1), Answer::Partial(99)], Answer::Ok);
    let exporter = exporter(&telemetry, send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    exporter.consumer().consume(payload(1)).unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(script.times().len(), 2);
    assert_eq!(metric(&telemetry, "otelcol_exporter_sent_spans", ""), 1.0);
    assert_eq!(metric(&telemetry, "forebay_exporter_dropped_spans", "reason=\"rejected\""), 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_hands_the_payload_back_whole() {
    let telemetry = Telemetry::default();
    let script = Script::new([], down());
    let exporter = exporter(&telemetry, send_config(), &script);
    let consumer = exporter.consumer();
    (0..3).for_each(|number| consumer.consume(payload(number)).unwrap());
    tokio::time::sleep(SECOND / 2).await;
    let (ack, answer) = Ack::channel();
    // The one being sent counts, as in the collector.
    let refused = consumer.consume(payload(3).with_ack(ack)).unwrap_err();
    assert_eq!((refused.refusal.reason, refused.refusal.retryable), (Reason::QueueFull, true));
    assert_eq!((&refused.payload.body[..], refused.payload.items), (&[3; 10][..], 2));
    refused.refuse();
    assert_eq!(answer.await.unwrap_err().reason, Reason::QueueFull);
    assert_eq!(metric(&telemetry, "otelcol_exporter_enqueue_failed_spans", ""), 0.0, "the fan-out counts");
    let labels = "exporter=\"otlp/test\",data_type=\"traces\"";
    assert_eq!(metric(&telemetry, "otelcol_exporter_queue_size", labels), 3.0);
    assert_eq!(metric(&telemetry, "otelcol_exporter_queue_capacity", labels), 3.0);
    let queue = telemetry.board.components()[0].queue.unwrap();
    assert_eq!((queue.used, queue.capacity, queue.unit, queue.bytes), (3, 3, "requests", 30));
}

#[tokio::test(start_paused = true)]
async fn the_sizer_and_the_byte_bound_decide_what_fits() {
    let fits = |sizer, queue_size, max_bytes| async move {
        let mut config = send_config();
        let queue = QueueConfig {
            sizer,
            queue_size,
            max_bytes: ByteSize(max_bytes),
            num_consumers: 1,
            ..QueueConfig::default()
        };
        config.queue = Some(queue);
        let exporter = exporter(&Telemetry::default(), config, &Script::new([], down()));
        let consumer = exporter.consumer();
        (0..100).take_while(|number| consumer.consume(payload(*number)).is_ok()).count()
    };
    assert_eq!(fits(Sizer::Requests, 5, 1 << 20).await, 5);
    assert_eq!(fits(Sizer::Items, 5, 1 << 20).await, 2);
    assert_eq!(fits(Sizer::Bytes, 35, 1 << 20).await, 3);
    assert_eq!(fits(Sizer::Requests, 50, 25).await, 2);
    assert_eq!(fits(Sizer::Bytes, 1, 1 << 20).await, 1, "one that is too large passes alone");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_thread_waits_for_room() {
    let script = Script::new([], Answer::Slow(SECOND));
    let mut config = send_config();
    config.queue.as_mut().unwrap().block_on_overflow = true;
    let exporter = exporter(&Telemetry::default(), config, &script);
    let consumer = exporter.consumer();
    assert!(consumer.holds_back());
    (0..3).for_each(|number| consumer.consume(payload(number)).unwrap());
    assert!(consumer.consume_wait(payload(3), Duration::ZERO).is_err());
    tokio::time::sleep(SECOND / 2).await;
    let waiting =
        tokio::task::spawn_blocking(move || consumer.consume_wait(payload(4), 3600 * SECOND).is_ok());
    // Paused time stands still while a blocking task runs: the backend's second passes by hand.
    tokio::time::advance(SECOND).await;
    assert!(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_or_with_wait_for_result_the_backend_answers() {
    let waiting = SendConfig {
        queue: Some(QueueConfig { wait_for_result: true, ..QueueConfig::default() }),
        ..send_config()
    };
    for config in [SendConfig { queue: None, ..send_config() }, waiting] {
        let script = Script::new([down(), Answer::Ok, no()], down());
        let exporter = exporter(&Telemetry::default(), config, &script);
        let consumer = exporter.consumer();
        let mut outcomes = Vec::new();
        for number in 0..3 {
            let (ack, answer) = Ack::channel();
            consumer.consume(payload(number).with_ack(ack)).unwrap();
            outcomes.push(answer.await.map_err(|refusal| (refusal.reason, refusal.retryable)));
        }
        assert_eq!(outcomes, [Ok(()), Err((Reason::Rejected, false)), Err((Reason::RetriesExhausted, true))]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_so_many_at_once_and_no_more() {
    let config = SendConfig { queue: None, timeout: Duration::ZERO, ..send_config() };
    let script = Script::new([], Answer::Slow(3600 * SECOND));
    let exporter = exporter(&Telemetry::default(), config, &script);
    let consumer = exporter.consumer();
    let answers: Vec<_> = (0..64)
        .map(|number| {
            let (ack, answer) = Ack::channel();
            consumer.consume(payload(number).with_ack(ack)).unwrap();
            answer
        })
        .collect();
    assert!(consumer.consume(payload(64)).is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(script.times().len(), 64);
    for answer in answers {
        assert_eq!(answer.await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_holds_up_no_other() {
    let mut config = send_config();
    config.queue = Some(QueueConfig { num_consumers: 2, ..QueueConfig::default() });
    let script = Script::new([down()], Answer::Ok);
    let exporter = exporter(&Telemetry::default(), config, &script);
    let consumer = exporter.consumer();
    (0..20).for_each(|number| consumer.consume(payload(number)).unwrap());
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(script.times().len(), 20, "19 others went while the first waits");
    tokio::time::sleep(SECOND).await;
    assert_eq!(script.times().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_dead_exporter_never_delays_another() {
    let telemetry = Telemetry::default();
    let (dead, alive) = (Script::new([], down()), Script::new([], Answer::Ok));
    let exporters = [&dead, &alive].map(|script| exporter(&telemetry, send_config(), script));
    for number in 0..100 {
        for exporter in &exporters {
            let _ = exporter.consumer().consume(payload(number));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(alive.bodies(), (0..100).map(|number| vec![number; 10]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_payload_and_not_the_worker() {
    let telemetry = Telemetry::default();
    let script = Script::new([Answer::Panic], Answer::Ok);
    let exporter = exporter(&telemetry, send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    exporter.consumer().consume(payload(1)).unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(metric(&telemetry, "forebay_exporter_dropped_spans", "reason=\"internal\""), 2.0);
    assert_eq!(metric(&telemetry, "otelcol_exporter_in_flight_requests", ""), 0.0);
    assert_eq!(exporter.shutdown(in_seconds(1)).await, Drained { sent: 2, dropped: 2, left: 0 });
}

proptest! {
    #[test]
    fn each_wait_is_within_its_bounds(
        initial in 1u64..10_000, factor in 0.0f64..=1.0, multiplier in 0.0f64..5.0, max in 1u64..60_000,
        chances in prop::collection::vec(0.0f64..1.0, 1..30)
    ) {
        let config = RetryConfig {
            initial_interval: GoDuration(Duration::from_millis(initial)),
            randomization_factor: factor,
            multiplier,
            max_interval: GoDuration(Duration::from_millis(max)),
            ..RetryConfig::default()
        };
        let mut backoff = Backoff::new(&config);
        let mut interval = initial as f64;
        for chance in chances {
            let wait = backoff.next(chance).as_secs_f64() * 1000.0;
            prop_assert!(wait >= (interval * (1.0 - factor)).max(10.0) - 0.01, "{wait} is too short for {interval}");
            prop_assert!(wait <= (interval * (1.0 + factor)).max(10.0) + 0.01, "{wait} is too long for {interval}");
            interval = (interval * multiplier).min(max as f64);
        }
    }
}
