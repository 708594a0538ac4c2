use std::collections::HashMap;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::spans;
use crate::live::{LiveOptions, Summary, run};

/// Answers by a script first, then takes everything.
#[derive(Clone, Default)]
struct Receiver {
    script: Arc<Mutex<Vec<Result<i64, Status>>>>,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

#[async_trait::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let answer = self.script.lock().unwrap().pop().unwrap_or(Ok(0));
        let rejected_spans = answer?;
        self.taken.lock().unwrap().push(request.into_inner());
        let partial_success =
            (rejected_spans > 0).then(|| ExportTracePartialSuccess { rejected_spans, ..Default::default() });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

/// Sends tasks of a few milliseconds for 100 ms to a receiver with the given script, and returns both accounts.
async fn send(script: Vec<Result<i64, Status>>) -> (Summary, Vec<ExportTraceServiceRequest>) {
    let receiver = Receiver { script: Arc::new(Mutex::new(script)), ..Receiver::default() };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(receiver.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let options = LiveOptions {
        endpoint,
        rate: 300.0,
        duration: Some(Duration::from_millis(100)),
        seed: Some(5),
        compression: 10_000.0,
    };
    let summary = run(options, pending()).await.unwrap();
    let taken = std::mem::take(&mut *receiver.taken.lock().unwrap());
    (summary, taken)
}

#[tokio::test]
async fn whole_tasks_arrive_and_are_counted() {
    let (summary, taken) = send(Vec::new()).await;
    let mut parents: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for span in taken.iter().flat_map(spans) {
        parents.entry(&span.trace_id[..]).or_default().push(&span.parent_span_id[..]);
    }
    let count: usize = parents.values().map(Vec::len).sum();
    assert_eq!((summary.spans, summary.lost), (count as u64, 0));
    assert_eq!(summary.tasks.iter().sum::<u64>(), parents.len() as u64);
    assert!(parents.values().all(|of| of.iter().filter(|parent| parent.is_empty()).count() == 1));
    assert!(parents.len() > 5);
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again() {
    let (summary, taken) =
        send(vec![Err(Status::unavailable("full")), Err(Status::resource_exhausted("full"))]).await;
    let count = taken.iter().flat_map(spans).count();
    assert_eq!((summary.spans, summary.lost), (count as u64, 0));
}

#[tokio::test]
async fn what_is_refused_for_good_is_lost_and_counted() {
    let (summary, taken) = send(vec![Err(Status::invalid_argument("no")), Ok(1)]).await;
    let count = taken.iter().flat_map(spans).count() as u64;
    assert_eq!(summary.spans, count - 1);
    assert!(summary.lost > 1, "a rejected span and those of a refused request");
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_an_error_and_a_stop_ends_it() {
    let options = LiveOptions { endpoint: "not an endpoint".into(), ..LiveOptions::default() };
    assert!(run(options, pending()).await.unwrap_err().to_string().contains("host:port"));
    let options = LiveOptions { rate: -1.0, ..LiveOptions::default() };
    assert!(run(options, pending()).await.is_err());
    let stopped = run(LiveOptions::default(), std::future::ready(())).await.unwrap();
    assert_eq!(stopped, Summary::default());
}

#[test]
fn a_summary_reads_as_a_short_line() {
    let summary = Summary { tasks: [1, 2, 3, 4], failed: 1, spans: 200, lost: 0 };
    assert_eq!(summary.to_string(), "10 tasks (critical 1, high 2, normal 3, low 4, failed 1), 200 spans");
    let line = Summary { lost: 7, ..summary }.to_string();
    assert!(line.ends_with("200 spans, 7 spans lost"), "{line}");
}
