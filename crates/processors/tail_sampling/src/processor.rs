//! The running processor: its shards, their threads and their entrance.

use crate::config::Config;
use crate::entrance::Entrance;
use crate::explain::{ShardView, Source, unix_nanos};
use crate::metrics::{Metrics, observe_oldest};
use crate::readers::Readers;
use crate::recent::Recent;
use crate::shard::Shard;
use crate::worker::Worker;
use forebay_component::{BuildError, Consumer, Context, Drained, Processor};
use forebay_sampling::{PolicySet, Sampler, Shard as Part};
use forebay_telemetry::QueueDepth;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

/// The running processor.
pub(crate) struct TailSampling {
    entrance: Arc<Entrance>,
    shards: Vec<(Arc<Shard>, JoinHandle<Drained>)>,
}

impl TailSampling {
    pub fn start(
        config: &Config,
        policies: Arc<PolicySet>,
        context: &Context,
        next: &Arc<dyn Consumer>,
    ) -> Result<Self, BuildError> {
        if config.expected_new_traces_per_sec > 0 {
            tracing::info!("tail_sampling: expected_new_traces_per_sec is a hint that is not needed here");
        }
        let count = config.shards();
        // Random, so that nobody can choose trace ids that fall into one shard or one bucket.
        let seed = rand::random();
        let (clock, wall) = (Instant::now(), SystemTime::now());
        let mut shards = Vec::with_capacity(count);
        let mut views = Vec::with_capacity(count);
        let settings = config.sampler(count);
        tracing::debug!(bytes = config.memory_limit(), shards = count, "tail_sampling: memory limit");
        let metrics: Vec<_> = (0..count)
            .map(|index| Metrics::new(context, &policies, &settings.priority.order, index == 0))
            .collect();
        observe_oldest(context, &metrics, clock);
        let readers = Arc::new(Readers::new(settings.clone(), Arc::clone(&policies), seed));
        for (index, metrics) in metrics.into_iter().enumerate() {
            let sampler = Sampler::new(settings.clone(), Arc::clone(&policies), seed);
            let part = (count > 1).then_some(Part { index, count });
            let shard = Arc::new(Shard::new(sampler, part, clock));
            let recent = Arc::new(Recent::new(config.recent(count), Arc::clone(&policies)));
            views.push(ShardView { recent: Arc::clone(&recent), shard: Arc::downgrade(&shard) });
            let worker = Worker {
                shard: Arc::clone(&shard),
                readers: Arc::clone(&readers),
                next: Arc::clone(next),
                metrics,
                recent,
                drained: Drained::default(),
                reported: None,
                actions: Vec::new(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("sampler-{index}"))
                .spawn(move || worker.run())
                .map_err(|error| BuildError(format!("cannot start a thread: {error}")))?;
            shards.push((shard, thread));
        }
        context.telemetry.decisions.register(Arc::new(Source {
            processor: context.id.to_string(),
            pipeline: context.pipeline.clone(),
            policies,
            shards: views,
            seed,
            epoch: unix_nanos(wall),
        }));
        let all: Vec<_> = shards.iter().map(|(shard, _)| Arc::clone(shard)).collect();
        let observed: Vec<_> = all.iter().map(Arc::downgrade).collect();
        context.status.queue(move || waiting(&observed));
        let entrance = Arc::new(Entrance::new(all, readers));
        context.status.ok();
        Ok(Self { entrance, shards })
    }
}

impl Processor for TailSampling {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(&self.entrance) as Arc<dyn Consumer>
    }

    fn shutdown(self: Box<Self>, deadline: Instant) -> Drained {
        self.entrance.close();
        self.shards.iter().for_each(|(shard, _)| shard.stop(deadline));
        let drained = self.shards.into_iter().map(|(_, thread)| thread.join().unwrap_or_default());
        drained.fold(Drained::default(), |sum, shard| Drained {
            sent: sum.sent + shard.sent,
            dropped: sum.dropped + shard.dropped,
            left: sum.left + shard.left,
        })
    }
}

/// What waits in front of the shards.
fn waiting(shards: &[Weak<Shard>]) -> QueueDepth {
    let sums = shards.iter().filter_map(Weak::upgrade).map(|shard| shard.waiting());
    let (used, capacity) = sums.fold((0, 0), |sum, one| (sum.0 + one.0 as u64, sum.1 + one.1 as u64));
    QueueDepth { used, capacity, unit: "bytes", bytes: used }
}
