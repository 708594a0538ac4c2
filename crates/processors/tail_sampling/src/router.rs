//! The entrance: which shards a request goes to.

use forebay_channel::{Depth, Sender};
use forebay_component::{Consumer, Payload, Reason, Refusal, Refused};
use forebay_otlp::traces::TracesView;
use forebay_sampling::{Shard, trace_id};
use std::time::{Duration, Instant};

/// Gives each request to the shards that own its traces; its bytes are shared.
pub(crate) struct Router {
    shards: Vec<Sender<Payload>>,
    seed: u64,
}

/// Shards that a request goes to, one bit each.
type Involved = [u64; 4];

impl Router {
    pub fn new(shards: Vec<Sender<Payload>>, seed: u64) -> Self {
        Self { shards, seed }
    }

    pub fn depths(&self) -> Vec<Depth> {
        self.shards.iter().map(Sender::depth).collect()
    }

    fn involved(&self, payload: &Payload) -> Involved {
        let mut involved = Involved::default();
        if self.shards.len() == 1 {
            involved[0] = 1;
            return involved;
        }
        let mut last = None;
        for resource_spans in TracesView::new(&payload.body).resource_spans() {
            for scope_spans in resource_spans.scope_spans() {
                for span in scope_spans.spans() {
                    // The sampler's own reading of the id: a span must not fall between two readings.
                    let id = trace_id(span);
                    if id == last {
                        continue;
                    }
                    last = id;
                    if let Some(id) = id {
                        let shard = Shard::index_of(&id, self.shards.len(), self.seed);
                        involved[shard / 64] |= 1 << (shard % 64);
                    }
                }
            }
        }
        involved
    }

    fn of(&self, involved: Involved) -> impl Iterator<Item = &Sender<Payload>> {
        let member = move |shard: &usize| involved[shard / 64] >> (shard % 64) & 1 == 1;
        self.shards.iter().enumerate().filter(move |(shard, _)| member(shard)).map(|(_, sender)| sender)
    }

    /// Room is looked for in every shard first, so that a request is taken whole or not at all.
    fn route(
        &self,
        mut payload: Payload,
        room: impl Fn(&Sender<Payload>, usize) -> bool,
    ) -> Result<(), Refused> {
        let involved = self.involved(&payload);
        if !self.of(involved).all(|shard| room(shard, payload.body.len())) {
            let refusal = Refusal::retryable(Reason::QueueFull, "tail_sampling is full; try again later");
            return Err(Refused::new(payload, refusal.after(Duration::from_secs(1))));
        }
        let ack = std::mem::replace(&mut payload.ack, forebay_component::Ack::none());
        for shard in self.of(involved) {
            let copy = Payload {
                signal: payload.signal,
                body: payload.body.clone(),
                items: payload.items,
                origin: payload.origin.clone(),
                ack: forebay_component::Ack::none(),
            };
            if shard.send_beyond(copy).is_err() {
                let refusal = Refusal::retryable(Reason::ShuttingDown, "tail_sampling is stopping");
                return Err(Refused::new(payload.with_ack(ack), refusal));
            }
        }
        ack.accept();
        Ok(())
    }
}

impl Consumer for Router {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.route(payload, Sender::has_room)
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        let deadline = Instant::now() + timeout;
        self.route(payload, |shard, weight| {
            shard.wait_for_room(weight, deadline.saturating_duration_since(Instant::now()))
        })
    }
}
