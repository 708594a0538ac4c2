//! What the agent and its components are doing, for `/ready`, `/status` and the health check.

use crate::metrics::Counter;
use serde::Serialize;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The agent's phase of life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Components are being built and started.
    #[default]
    Starting,
    /// Every receiver listens and every pipeline runs.
    Ready,
    /// A graceful stop is under way.
    Draining,
    /// Everything has stopped.
    Stopped,
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the collector's own words")]
pub enum Kind {
    Receiver,
    Processor,
    Exporter,
    Connector,
    Extension,
}

/// How a component fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Built, not yet running.
    #[default]
    Starting,
    /// Running.
    Ok,
    /// Running, but its last attempt failed and will be repeated.
    RecoverableError,
    /// Will not do its work until the configuration or its peer changes.
    PermanentError,
    /// Stopped.
    Stopped,
}

/// How full a component's queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    /// Units queued (see `unit`).
    pub used: u64,
    /// Units that fit.
    pub capacity: u64,
    /// `requests`, `items` or `bytes`.
    pub unit: &'static str,
    /// Bytes queued, whatever the unit.
    pub bytes: u64,
}

/// A named counter that the status page shows as a total and a rate.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Such as `accepted`, `refused`, `sent`, `failed`.
    pub name: &'static str,
    /// What counts it.
    pub counter: Counter,
}

/// A flow at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct FlowSnapshot {
    /// The flow's name.
    pub name: &'static str,
    /// Counted since the start.
    pub total: u64,
}

/// A component at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentSnapshot {
    /// What it is.
    pub kind: Kind,
    /// `type` or `type/name`.
    pub id: String,
    /// The pipeline it belongs to; none for what pipelines share.
    pub pipeline: Option<String>,
    /// How it fares.
    pub state: State,
    /// The last error and when it happened (Unix seconds).
    pub last_error: Option<(String, u64)>,
    /// Its counters.
    pub flows: Vec<FlowSnapshot>,
    /// Its queue, if it has one. A component of several shards shows their sum.
    pub queue: Option<QueueDepth>,
}

type ReadQueue = Box<dyn Fn() -> QueueDepth + Send + Sync>;

struct Entry {
    kind: Kind,
    id: String,
    pipeline: Option<String>,
    status: Mutex<(State, Option<(String, u64)>)>,
    flows: Mutex<Vec<Flow>>,
    queue: Mutex<Option<ReadQueue>>,
}

/// A component's line on the board; cheap to clone.
#[derive(Clone)]
pub struct ComponentHandle(Arc<Entry>);

impl fmt::Debug for ComponentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentHandle({})", self.0.id)
    }
}

impl ComponentHandle {
    /// Says that the component works.
    pub fn ok(&self) {
        let mut status = lock(&self.0.status);
        if status.0 != State::Ok {
            status.0 = State::Ok;
        }
    }

    /// Says that something failed; `state` tells whether it will be tried again.
    pub fn failed(&self, state: State, error: impl Into<String>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        *lock(&self.0.status) = (state, Some((error.into(), now)));
    }

    /// Says that the component has stopped.
    pub fn stopped(&self) {
        lock(&self.0.status).0 = State::Stopped;
    }

    /// Shows `counter` under `name` on the status page.
    pub fn flow(&self, name: &'static str, counter: &Counter) {
        lock(&self.0.flows).push(Flow { name, counter: counter.clone() });
    }

    /// Shows the component's queue on the status page.
    pub fn queue(&self, read: impl Fn() -> QueueDepth + Send + Sync + 'static) {
        *lock(&self.0.queue) = Some(Box::new(read));
    }

    /// How the component fares.
    pub fn state(&self) -> State {
        lock(&self.0.status).0
    }

    /// The component as it is now.
    pub fn snapshot(&self) -> ComponentSnapshot {
        let (state, last_error) = lock(&self.0.status).clone();
        let flows = lock(&self.0.flows);
        let mut totals: Vec<FlowSnapshot> = Vec::with_capacity(flows.len());
        for flow in flows.iter() {
            match totals.iter_mut().find(|known| known.name == flow.name) {
                Some(known) => known.total += flow.counter.get(),
                None => totals.push(FlowSnapshot { name: flow.name, total: flow.counter.get() }),
            }
        }
        ComponentSnapshot {
            kind: self.0.kind,
            id: self.0.id.clone(),
            pipeline: self.0.pipeline.clone(),
            state,
            last_error,
            flows: totals,
            queue: lock(&self.0.queue).as_ref().map(|read| read()),
        }
    }
}

#[derive(Default)]
struct Agent {
    phase: Phase,
    phase_since: Option<SystemTime>,
    components: Vec<ComponentHandle>,
    pipelines: serde_json::Value,
    config: serde_json::Value,
}

/// The agent's phase and the list of its components.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Agent>>);

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Board({:?})", self.phase())
    }
}

impl Board {
    /// Adds a component; `pipeline` is none for receivers, exporters and extensions, which pipelines share.
    pub fn register(&self, kind: Kind, id: &str, pipeline: Option<&str>) -> ComponentHandle {
        let entry = Entry {
            kind,
            id: id.to_owned(),
            pipeline: pipeline.map(str::to_owned),
            status: Mutex::default(),
            flows: Mutex::default(),
            queue: Mutex::default(),
        };
        let handle = ComponentHandle(Arc::new(entry));
        lock(&self.0).components.push(handle.clone());
        handle
    }

    /// Sets the agent's phase.
    pub fn set_phase(&self, phase: Phase) {
        let mut agent = lock(&self.0);
        if agent.phase != phase {
            agent.phase = phase;
            agent.phase_since = Some(SystemTime::now());
        }
    }

    /// The agent's phase.
    pub fn phase(&self) -> Phase {
        lock(&self.0).phase
    }

    /// Since when the agent has been in its phase; none for the first.
    pub fn phase_since(&self) -> Option<SystemTime> {
        lock(&self.0).phase_since
    }

    /// Sets what `/status` shows as the pipelines' wiring.
    pub fn set_pipelines(&self, pipelines: serde_json::Value) {
        lock(&self.0).pipelines = pipelines;
    }

    /// The pipelines' wiring.
    pub fn pipelines(&self) -> serde_json::Value {
        lock(&self.0).pipelines.clone()
    }

    /// Sets the effective configuration, secrets redacted.
    pub fn set_config(&self, config: serde_json::Value) {
        lock(&self.0).config = config;
    }

    /// The effective configuration, secrets redacted.
    pub fn config(&self) -> serde_json::Value {
        lock(&self.0).config.clone()
    }

    /// Every component as it is now.
    pub fn components(&self) -> Vec<ComponentSnapshot> {
        let components = lock(&self.0).components.clone();
        components.iter().map(ComponentHandle::snapshot).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
