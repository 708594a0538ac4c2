//! The running processor: its shards' threads and their entrance.

use crate::config::Config;
use crate::explain::{ShardView, Source, unix_nanos};
use crate::metrics::{Metrics, observe_oldest};
use crate::recent::Recent;
use crate::router::Router;
use crate::shard::{Control, Worker};
use forebay_channel::{Limits, bounded};
use forebay_component::{BuildError, Consumer, Context, Drained, Processor, queue_depth};
use forebay_sampling::{PolicySet, Sampler, Shard};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

/// What may wait in front of each shard: enough for bursts, little beside what the store holds.
const ENTRANCE: Limits = Limits { items: 1024, bytes: 16 << 20 };

/// Questions that may wait for a shard.
const CONTROL: usize = 16;

/// The running processor.
pub(crate) struct TailSampling {
    router: Arc<Router>,
    shards: Vec<(crossbeam_channel::Sender<Control>, JoinHandle<Drained>)>,
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
        let mut entrances = Vec::with_capacity(count);
        let mut shards = Vec::with_capacity(count);
        let mut views = Vec::with_capacity(count);
        let settings = config.sampler(count);
        tracing::debug!(bytes = config.memory_limit(), shards = count, "tail_sampling: memory limit");
        let metrics: Vec<_> = (0..count)
            .map(|index| Metrics::new(context, &policies, &settings.priority.order, index == 0))
            .collect();
        observe_oldest(context, &metrics, clock);
        for (index, metrics) in metrics.into_iter().enumerate() {
            let (entrance, input) = bounded(ENTRANCE);
            let (asked, control) = crossbeam_channel::bounded(CONTROL);
            let recent = Arc::new(Recent::new(config.recent(count), Arc::clone(&policies)));
            views.push(ShardView { recent: Arc::clone(&recent), control: asked.clone() });
            let worker = Worker {
                sampler: Sampler::new(settings.clone(), Arc::clone(&policies), seed),
                shard: (count > 1).then_some(Shard { index, count }),
                input,
                control,
                next: Arc::clone(next),
                metrics,
                recent,
                started: clock,
                deadline: None,
                actions: Vec::new(),
                drained: Drained::default(),
                reported: None,
                request: Vec::new(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("sampler-{index}"))
                .spawn(move || worker.run())
                .map_err(|error| BuildError(format!("cannot start a thread: {error}")))?;
            entrances.push(entrance);
            shards.push((asked, thread));
        }
        context.telemetry.decisions.register(Arc::new(Source {
            processor: context.id.to_string(),
            pipeline: context.pipeline.clone(),
            policies,
            shards: views,
            seed,
            epoch: unix_nanos(wall),
        }));
        let router = Arc::new(Router::new(entrances, seed));
        let depths = router.depths();
        context.status.queue(move || queue_depth(&depths));
        context.status.ok();
        Ok(Self { router, shards })
    }
}

impl Processor for TailSampling {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(&self.router) as Arc<dyn Consumer>
    }

    fn shutdown(self: Box<Self>, deadline: Instant) -> Drained {
        for (control, _) in &self.shards {
            // A thread ends by itself only after this message; a send to a dead thread changes nothing.
            let _ = control.send(Control::Stop(deadline));
        }
        let drained = self.shards.into_iter().map(|(_, thread)| thread.join().unwrap_or_default());
        drained.fold(Drained::default(), |sum, shard| Drained {
            sent: sum.sent + shard.sent,
            dropped: sum.dropped + shard.dropped,
            left: sum.left + shard.left,
        })
    }
}
