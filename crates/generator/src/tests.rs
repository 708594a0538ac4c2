use std::collections::{HashMap, HashSet};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;

mod live;

use crate::{
    Corpus, CorpusOptions, Generator, Options, OptionsError, Priority, PriorityWeights, ReplayId, SpanSlot,
    Task, corpus,
};

const START: u64 = 1_800_000_000_000_000_000;

fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

fn string<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn tasks(count: usize, options: Options) -> Vec<Task> {
    let mut generator = Generator::new(options).unwrap();
    (0..count).map(|_| generator.task(START)).collect()
}

#[test]
fn a_task_is_one_whole_tree_whose_root_ends_last() {
    for task in tasks(200, Options::default()) {
        let all: Vec<&Span> = task.requests.iter().flat_map(|request| spans(&request.request)).collect();
        assert_eq!(all.len(), task.spans);
        assert!((8..=40).contains(&task.spans));
        let ids: HashSet<&[u8]> = all.iter().map(|span| &span.span_id[..]).collect();
        assert_eq!(ids.len(), all.len(), "span ids are distinct");
        let root = all.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
        assert_eq!(root.span_id, task.root_span_id);
        for span in &all {
            assert_eq!(span.trace_id, task.trace_id);
            assert_eq!(string(&span.attributes, "task.id"), Some(&task.task_id[..]));
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
            assert!(span.span_id == root.span_id || span.end_time_unix_nano < root.end_time_unix_nano);
            assert!(span.span_id == root.span_id || ids.contains(&span.parent_span_id[..]));
            assert_eq!(string(&span.attributes, "task.priority").is_some(), span.span_id == root.span_id);
        }
        assert_eq!(string(&root.attributes, "task.priority"), Some(task.priority.as_str()));
        assert_eq!(root.status.as_ref().unwrap().code == 2, task.failed);
        assert!(spans(&task.requests.last().unwrap().request).any(|span| span.span_id == root.span_id));
        assert!(task.requests.is_sorted_by_key(|request| request.after));
        assert!(task.requests.iter().all(|request| spans(&request.request).count() == request.spans));
    }
}

#[test]
fn a_failed_task_has_an_exception_somewhere() {
    for task in tasks(50, Options { error_rate: 1.0, ..Options::default() }) {
        assert!(task.failed);
        let exceptions = task
            .requests
            .iter()
            .flat_map(|request| spans(&request.request))
            .flat_map(|span| &span.events)
            .filter(|event| event.name == "exception");
        assert_eq!(exceptions.count(), 1);
    }
}

#[test]
fn shares_and_links_come_out_as_asked() {
    let tasks = tasks(4000, Options { error_rate: 0.1, ..Options::default() });
    let share = |is: &dyn Fn(&Task) -> bool| tasks.iter().filter(|task| is(task)).count() as f64 / 4000.0;
    assert!((share(&|task| task.priority.is_important()) - 0.15).abs() < 0.02);
    assert!((share(&|task| task.priority == Priority::Critical) - 0.03).abs() < 0.01);
    assert!((share(&|task| task.failed) - 0.1).abs() < 0.02);
    let linked =
        |task: &Task| task.requests.iter().any(|r| spans(&r.request).any(|span| !span.links.is_empty()));
    assert!((share(&linked) - 0.1).abs() < 0.02);
    let longest = tasks.iter().map(|task| task.duration).max().unwrap();
    assert!(longest > Duration::from_secs(200) && longest <= Duration::from_secs(300));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let encoded = |seed| -> Vec<Vec<u8>> {
        let all = tasks(5, Options { seed, ..Options::default() });
        all.iter().flat_map(|task| task.requests.iter().map(|request| request.encode())).collect()
    };
    assert_eq!(encoded(7), encoded(7));
    assert_ne!(encoded(7), encoded(8));
}

#[test]
fn compression_shortens_tasks_and_their_exports() {
    let options = |compression| Options { compression, ..Options::default() };
    let (plain, short) = (tasks(20, options(1.0)), tasks(20, options(10.0)));
    for (plain, short) in plain.iter().zip(&short) {
        let ratio = plain.duration.as_secs_f64() / short.duration.as_secs_f64();
        assert!((ratio - 10.0).abs() < 1e-6);
        let last = short.requests.last().unwrap().after;
        assert!(last >= short.duration && last <= short.duration + Duration::from_secs(1));
    }
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let refused = |options: Options| Generator::new(options).err();
    assert_eq!(
        refused(Options { tasks_per_second: 0.0, ..Options::default() }),
        Some(OptionsError::Rate(0.0))
    );
    assert_eq!(
        refused(Options { error_rate: 1.5, ..Options::default() }),
        Some(OptionsError::ErrorRate(1.5))
    );
    assert_eq!(
        refused(Options { spans_per_task: 1..=9, ..Options::default() }),
        Some(OptionsError::SpansPerTask)
    );
    let none = PriorityWeights { critical: 0.0, high: 0.0, normal: 0.0, low: 0.0 };
    assert_eq!(refused(Options { priorities: none, ..Options::default() }), Some(OptionsError::Weights));
    assert_eq!(corpus(3, 10, 340), Err(OptionsError::Corpus));
    assert_eq!(corpus(100, 0, 340), Err(OptionsError::Corpus));
}

#[test]
fn a_corpus_is_interleaved_whole_and_of_the_size_asked() {
    for per_request in [10, 100, 1000] {
        let options =
            CorpusOptions { spans: 20_000, spans_per_request: per_request, ..CorpusOptions::default() };
        let corpus = Corpus::build(&options).unwrap();
        let mut seen: HashMap<u32, HashSet<u16>> = HashMap::new();
        let mut requests_of: HashMap<u32, usize> = HashMap::new();
        let (mut count, mut bytes) = (0, 0);
        for (index, request) in corpus.requests().iter().enumerate() {
            let mut wire = Vec::new();
            request.write(9, &mut wire);
            assert_eq!(wire.len(), request.wire_len());
            let decoded = ExportTraceServiceRequest::decode(&wire[..]).unwrap();
            assert_eq!(decoded.encode_to_vec(), wire, "encoded as prost would");
            assert!(request.spans() == per_request || index + 6 >= corpus.requests().len());
            let mut traces = HashSet::new();
            for span in spans(&decoded) {
                let id = ReplayId::from_bytes(&span.trace_id).unwrap();
                let slot = SpanSlot::from_bytes(&span.span_id).unwrap();
                assert_eq!((id.replay, id.trace), (9, slot.trace));
                assert!(seen.entry(id.trace).or_default().insert(slot.span));
                traces.insert(id.trace);
                if let Some(priority) = string(&span.attributes, "task.priority") {
                    assert_eq!(priority, corpus.traces()[id.trace as usize].priority.as_str());
                    assert_eq!(slot.span, 0);
                }
                bytes += span.encoded_len();
                count += 1;
            }
            for trace in traces {
                *requests_of.entry(trace).or_default() += 1;
            }
        }
        assert_eq!((count, corpus.spans()), (20_000, 20_000));
        assert_eq!(seen.len(), corpus.traces().len());
        for (trace, numbers) in seen {
            assert_eq!(numbers.len(), usize::from(corpus.traces()[trace as usize].spans));
        }
        let mean = bytes as f64 / count as f64;
        assert!((mean - 340.0).abs() < 4.0, "mean span size {mean}");
        assert!(requests_of.values().all(|requests| *requests > 1), "each trace is spread over requests");
    }
}

#[test]
fn patching_is_the_same_as_writing_afresh() {
    let options = CorpusOptions { spans: 1000, ..CorpusOptions::default() };
    let built = Corpus::build(&options).unwrap();
    let plain = corpus(1000, 100, 340).unwrap();
    for (request, mut copy) in built.requests().iter().zip(plain) {
        let mut wire = Vec::new();
        request.write(0, &mut wire);
        assert_eq!(wire, copy);
        wire.clear();
        request.write(3, &mut wire);
        request.patch_ids(3, &mut copy);
        assert_eq!(wire, copy);
    }
}

proptest! {
    #[test]
    fn ids_come_back_as_what_they_stand_for(replay: u32, trace: u32, span: u16) {
        let id = ReplayId { replay, trace };
        prop_assert_eq!(ReplayId::from_bytes(&id.to_bytes()), Some(id));
        let slot = SpanSlot { trace, span };
        prop_assert_eq!(SpanSlot::from_bytes(&slot.to_bytes()), Some(slot));
        prop_assert_ne!(slot.to_bytes(), [0; 8]);
    }

    #[test]
    fn other_ids_are_not_taken_for_ours(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        prop_assert_eq!(ReplayId::from_bytes(&bytes), None);
    }
}
