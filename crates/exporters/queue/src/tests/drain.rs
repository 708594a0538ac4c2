//! A graceful stop.

use super::script::*;
use crate::SendFailure;
use forebay_component::{Ack, Drained, Exporter, Reason};
use forebay_telemetry::{State, Telemetry};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_stop_delivers_the_queue_and_takes_no_more() {
    let telemetry = Telemetry::default();
    let script = Script::new([], Answer::Slow(SECOND));
    let exporter = exporter(&telemetry, send_config(), &script);
    let consumer = exporter.consumer();
    (0..3).for_each(|number| consumer.consume(payload(number)).unwrap());
    let started = Instant::now();
    assert_eq!(exporter.shutdown(in_seconds(10)).await, Drained { sent: 6, dropped: 0, left: 0 });
    assert_eq!(started.elapsed(), 3 * SECOND);
    assert_eq!(consumer.consume(payload(3)).unwrap_err().refusal.reason, Reason::ShuttingDown);
    assert_eq!(telemetry.board.components()[0].state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_cut_short_so_that_a_recovered_backend_gets_its_data() {
    let mut config = send_config();
    config.retry.initial_interval.0 = 50 * SECOND;
    let script = Script::new([down(), down(), down()], Answer::Ok);
    let exporter = exporter(&Telemetry::default(), config, &script);
    exporter.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(exporter.shutdown(in_seconds(10)).await, Drained { sent: 2, dropped: 0, left: 0 });
    assert_eq!(script.times(), [0, 1, 2, 3].map(|at| at * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_item_waits_out_its_time_even_then() {
    let asked = SendFailure::retryable(Reason::Unavailable, "later").after(Some(5 * SECOND));
    let script = Script::new([Answer::Fail(asked)], Answer::Ok);
    let exporter = exporter(&Telemetry::default(), send_config(), &script);
    exporter.consumer().consume(payload(0)).unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(exporter.shutdown(in_seconds(10)).await, Drained { sent: 2, dropped: 0, left: 0 });
    assert_eq!(script.times(), [0, 5].map(|at| at * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_deadline_is_counted() {
    let telemetry = Telemetry::default();
    let script = Script::new([Answer::Ok, no()], down());
    let mut config = send_config();
    config.queue.as_mut().unwrap().wait_for_result = true;
    let exporter = exporter(&telemetry, config, &script);
    let consumer = exporter.consumer();
    let mut answers = Vec::new();
    for number in 0..5 {
        let (ack, answer) = Ack::channel();
        consumer.consume(payload(number).with_ack(ack)).unwrap();
        answers.push(answer);
        tokio::time::sleep(SECOND / 10).await;
    }
    let started = Instant::now();
    assert_eq!(exporter.shutdown(in_seconds(10)).await, Drained { sent: 2, dropped: 2, left: 6 });
    assert_eq!(started.elapsed(), 10 * SECOND);
    assert_eq!(metric(&telemetry, "forebay_exporter_dropped_spans", "reason=\"shutting_down\""), 6.0);
    let mut accepted = Vec::new();
    for answer in answers {
        accepted.push(answer.await.map_err(|refusal| refusal.retryable));
    }
    assert_eq!(accepted, [Ok(()), Err(false), Err(true), Err(true), Err(true)]);
}
