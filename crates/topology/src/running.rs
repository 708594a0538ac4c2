//! The running graph.

use crate::plan::{PipelinePlan, Plan};
use forebay_component::{
    Branch, Consumer, Context, Drained, Exporter, Extension, FanOut, Processor, Receiver,
};
use forebay_config::ComponentId;
use forebay_telemetry::{ComponentHandle, Counter, Kind, Phase, State, Telemetry};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A component did not start; everything that had been started was stopped again.
#[derive(Debug, thiserror::Error)]
#[error("{kind} `{id}`: {reason}")]
pub struct StartFailed {
    kind: &'static str,
    id: String,
    reason: String,
}

/// Which part of a stop's time the receivers may take; the rest is for draining.
const RECEIVERS_SHARE: u32 = 4;

type Named<T> = (ComponentHandle, Box<T>);

/// A started graph. Dropping it without [`Running::shutdown`] abandons what it holds.
pub struct Running {
    telemetry: Telemetry,
    edges: Arc<[tokio::runtime::Handle]>,
    extensions: Vec<Named<dyn Extension>>,
    receivers: Vec<Named<dyn Receiver>>,
    /// Each pipeline's processors, in the order of the data's way.
    processors: Vec<Vec<Named<dyn Processor>>>,
    exporters: Vec<(String, Named<dyn Exporter>)>,
    fan_outs: Vec<Arc<FanOut>>,
    /// What each exporter's full queue could not take, by exporter.
    missed_by_exporters: HashMap<String, Counter>,
    /// What each pipeline had no room for while another one had, in configuration order.
    missed_by_pipelines: Vec<(String, Counter)>,
}

/// What an agent's life came to, in items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By exporter, in configuration order.
    pub exporters: Vec<Delivered>,
    /// What a pipeline had no room for while another pipeline of the same receiver took it; only those that missed
    /// something.
    pub missed_by_pipelines: Vec<(String, u64)>,
    /// What processors had to give up.
    pub processors_dropped: u64,
}

/// One exporter's part of a [`Summary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The exporter's id.
    pub id: String,
    /// What it did with what it took.
    pub drained: Drained,
    /// What it did not take, its queue being full, while another exporter did.
    pub missed: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Delivered { id, drained: Drained { sent, dropped, left }, missed } in &self.exporters {
            write!(f, "{id}: {sent} spans sent, {dropped} dropped, ")?;
            if *missed > 0 {
                write!(f, "{missed} missed while its queue was full, ")?;
            }
            write!(f, "{left} left; ")?;
        }
        for (id, missed) in &self.missed_by_pipelines {
            write!(f, "pipeline {id}: {missed} spans missed while it was full; ")?;
        }
        write!(f, "given up before the exporters: {} spans", self.processors_dropped)
    }
}

impl Plan {
    /// Builds and starts everything; call it inside the runtime that is to own the sockets.
    ///
    /// # Errors
    /// The first component that could not be built or started.
    pub async fn start(self, telemetry: Telemetry) -> Result<Running, StartFailed> {
        telemetry.board.set_config(self.effective().clone());
        let wiring: Map<String, Value> =
            self.pipelines.iter().map(|pipeline| (pipeline.id.clone(), pipeline.wiring())).collect();
        telemetry.board.set_pipelines(Value::Object(wiring));
        let deadline = self.shutdown_timeout;
        let mut running = Running {
            telemetry,
            edges: Arc::clone(&self.edges),
            extensions: Vec::new(),
            receivers: Vec::new(),
            processors: Vec::new(),
            exporters: Vec::new(),
            fan_outs: Vec::new(),
            missed_by_exporters: HashMap::new(),
            missed_by_pipelines: Vec::new(),
        };
        match running.start(self).await {
            Ok(()) => {
                running.telemetry.board.set_phase(Phase::Ready);
                Ok(running)
            }
            Err(failed) => {
                running.shutdown(Instant::now() + deadline).await;
                Err(failed)
            }
        }
    }
}

impl Running {
    async fn start(&mut self, plan: Plan) -> Result<(), StartFailed> {
        for (id, extension) in plan.extensions {
            let context = self.context(Kind::Extension, &id, None);
            let status = context.status.clone();
            let failed = |reason: String| StartFailed::new("extension", &id, reason, &status);
            let mut extension = extension.build(context).map_err(|error| failed(error.to_string()))?;
            extension.start().await.map_err(|error| failed(error.to_string()))?;
            status.ok();
            self.extensions.push((status, extension));
        }
        let mut exits: HashMap<ComponentId, Arc<dyn Consumer>> = HashMap::new();
        for (id, exporter) in plan.exporters {
            let context = self.context(Kind::Exporter, &id, None);
            let status = context.status.clone();
            let exporter = exporter
                .build(context)
                .map_err(|error| StartFailed::new("exporter", &id, error.to_string(), &status))?;
            exits.insert(id.clone(), exporter.consumer());
            self.exporters.push((id.to_string(), (status, exporter)));
        }
        let mut entrances: HashMap<ComponentId, Vec<Branch>> = HashMap::new();
        for pipeline in plan.pipelines {
            self.start_pipeline(pipeline, &exits, &mut entrances)?;
        }
        for (id, receiver) in plan.receivers {
            let context = self.context(Kind::Receiver, &id, None);
            let status = context.status.clone();
            let failed = |reason: String| StartFailed::new("receiver", &id, reason, &status);
            let next = self.join(entrances.remove(&id).unwrap_or_default());
            let mut receiver = receiver.build(context, next).map_err(|error| failed(error.to_string()))?;
            let started = receiver.start().await;
            self.receivers.push((status.clone(), receiver));
            started.map_err(|error| failed(error.to_string()))?;
            status.ok();
        }
        Ok(())
    }

    fn start_pipeline(
        &mut self,
        pipeline: PipelinePlan,
        exits: &HashMap<ComponentId, Arc<dyn Consumer>>,
        entrances: &mut HashMap<ComponentId, Vec<Branch>>,
    ) -> Result<(), StartFailed> {
        let branches = pipeline.exporters.iter().filter_map(|id| {
            let consumer = Arc::clone(exits.get(id)?);
            Some(Branch::new(consumer, self.missed_by_exporter(id)))
        });
        let branches = branches.collect();
        let mut next = self.join(branches);
        let mut processors = Vec::new();
        for (id, processor) in pipeline.processors.into_iter().rev() {
            let context = self.context(Kind::Processor, &id, Some(&pipeline.id));
            let status = context.status.clone();
            let processor = processor
                .build(context, next)
                .map_err(|error| StartFailed::new("processor", &id, error.to_string(), &status))?;
            next = processor.consumer();
            processors.push((status, processor));
        }
        processors.reverse();
        self.processors.push(processors);
        let missed = self.telemetry.metrics.counter(
            "forebay_pipeline_missed_spans",
            "Number of spans that a pipeline had no room for while another pipeline of the same receiver took them.",
            &[("pipeline", pipeline.id.as_str())],
        );
        for id in pipeline.receivers {
            entrances.entry(id).or_default().push(Branch::new(Arc::clone(&next), missed.clone()));
        }
        self.missed_by_pipelines.push((pipeline.id, missed));
        Ok(())
    }

    /// One consumer in front of the branches.
    fn join(&mut self, branches: Vec<Branch>) -> Arc<dyn Consumer> {
        let fan_out = Arc::new(FanOut::new(branches));
        self.fan_outs.push(Arc::clone(&fan_out));
        fan_out
    }

    /// The collector's counter of what an exporter's full queue could not take.
    fn missed_by_exporter(&mut self, id: &ComponentId) -> Counter {
        let id = id.to_string();
        let missed = self.telemetry.metrics.counter(
            "otelcol_exporter_enqueue_failed_spans",
            "Number of spans failed to be added to the sending queue.",
            &[("exporter", &id)],
        );
        self.missed_by_exporters.insert(id, missed.clone());
        missed
    }

    fn context(&self, kind: Kind, id: &ComponentId, pipeline: Option<&str>) -> Context {
        Context {
            id: id.clone(),
            pipeline: pipeline.map(str::to_owned),
            telemetry: self.telemetry.clone(),
            status: self.telemetry.board.register(kind, &id.to_string(), pipeline),
            runtime: tokio::runtime::Handle::current(),
            edges: Arc::clone(&self.edges),
        }
    }

    /// Stops in the order of the data's way, so that everything acknowledged is passed on, until `deadline`. Receivers
    /// have a quarter of the time: a client that never ends its request must not cost what the agent already holds.
    pub async fn shutdown(mut self, deadline: Instant) -> Summary {
        self.telemetry.board.set_phase(Phase::Draining);
        let mut summary = Summary::default();
        let begun = Instant::now();
        let receivers_deadline = begun + deadline.saturating_duration_since(begun) / RECEIVERS_SHARE;
        let receivers = self.receivers.iter_mut().map(|(status, receiver)| async move {
            receiver.shutdown(receivers_deadline).await;
            status.stopped();
        });
        futures_util::future::join_all(receivers).await;
        // Pipelines stop side by side: one that waits for a slow backend takes no time from the others.
        let pipelines = std::mem::take(&mut self.processors).into_iter().map(|pipeline| {
            tokio::task::spawn_blocking(move || {
                let stop = |(status, processor): Named<dyn Processor>| {
                    let dropped = processor.shutdown(deadline).dropped;
                    status.stopped();
                    dropped
                };
                pipeline.into_iter().map(stop).sum::<u64>()
            })
        });
        for dropped in futures_util::future::join_all(pipelines).await {
            summary.processors_dropped += dropped.unwrap_or_default();
        }
        let fan_outs = std::mem::take(&mut self.fan_outs);
        // What does not fit until the deadline is counted as missed by its branch.
        let flushed = tokio::task::spawn_blocking(move || {
            fan_outs.iter().for_each(|fan_out| {
                fan_out.flush(deadline);
            });
        });
        drop(flushed.await);
        let missed_by_exporters = std::mem::take(&mut self.missed_by_exporters);
        let exporters = std::mem::take(&mut self.exporters).into_iter().map(|(id, (status, exporter))| {
            let missed = missed_by_exporters.get(&id).map_or(0, Counter::get);
            async move {
                let drained = exporter.shutdown(deadline).await;
                status.stopped();
                Delivered { id, drained, missed }
            }
        });
        summary.exporters = futures_util::future::join_all(exporters).await;
        let missed = self.missed_by_pipelines.iter().map(|(id, missed)| (id.clone(), missed.get()));
        summary.missed_by_pipelines = missed.filter(|(_, missed)| *missed > 0).collect();
        for (status, extension) in &mut self.extensions {
            extension.shutdown(deadline).await;
            status.stopped();
        }
        self.telemetry.board.set_phase(Phase::Stopped);
        summary
    }
}

impl StartFailed {
    fn new(kind: &'static str, id: &ComponentId, reason: String, status: &ComponentHandle) -> Self {
        status.failed(State::PermanentError, reason.clone());
        Self { kind, id: id.to_string(), reason }
    }
}
