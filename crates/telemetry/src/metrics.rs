//! A registry that hands out metric handles by name and labels.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// A counter of whole things; cheap to clone, one atomic add to count.
pub type Counter = prometheus::IntCounter;
/// A gauge of whole things.
pub type Gauge = prometheus::IntGauge;
/// A histogram.
pub type Histogram = prometheus::Histogram;

/// Labels of one series, in the order in which the metric's first user named them.
type Labels<'a> = &'a [(&'static str, &'a str)];
type Observe = Box<dyn Fn() -> f64 + Send + Sync>;
type ObservedSeries = Vec<(Vec<LabelPair>, Observe)>;

/// Whether an observed value only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

#[derive(Default)]
struct Families {
    counters: HashMap<&'static str, IntCounterVec>,
    gauges: HashMap<&'static str, IntGaugeVec>,
    histograms: HashMap<&'static str, HistogramVec>,
    observed: HashMap<&'static str, Observed>,
}

/// The metrics of one agent. Cheap to clone; every clone is the same registry.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Registry,
    families: Arc<Mutex<Families>>,
    /// Read by who moves several metrics together, written by who reads all of them.
    together: Arc<RwLock<()>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The counter `name` with `labels`; the same handle for the same labels. A name always comes with the same
    /// label names; a mismatch is a mistake in our code and yields a counter that nothing exports.
    pub fn counter(&self, name: &'static str, help: &str, labels: Labels<'_>) -> Counter {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let vec = families.counters.get(name).cloned().or_else(|| {
            let vec = IntCounterVec::new(Opts::new(name, help), &names(labels)).ok()?;
            self.registry.register(Box::new(vec.clone())).ok()?;
            families.counters.insert(name, vec.clone());
            Some(vec)
        });
        vec.and_then(|vec| vec.get_metric_with_label_values(&values(labels)).ok()).unwrap_or_else(|| {
            debug_assert!(false, "metric {name} is used with two label sets or as two kinds");
            Counter::from_opts_unregistered(name, help)
        })
    }

    /// The gauge `name` with `labels`; see [`Self::counter`].
    pub fn gauge(&self, name: &'static str, help: &str, labels: Labels<'_>) -> Gauge {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let vec = families.gauges.get(name).cloned().or_else(|| {
            let vec = IntGaugeVec::new(Opts::new(name, help), &names(labels)).ok()?;
            self.registry.register(Box::new(vec.clone())).ok()?;
            families.gauges.insert(name, vec.clone());
            Some(vec)
        });
        vec.and_then(|vec| vec.get_metric_with_label_values(&values(labels)).ok()).unwrap_or_else(|| {
            debug_assert!(false, "metric {name} is used with two label sets or as two kinds");
            Gauge::from_opts_unregistered(name, help)
        })
    }

    /// The histogram `name` with `labels` and upper bounds `buckets`; see [`Self::counter`].
    pub fn histogram(
        &self,
        name: &'static str,
        help: &str,
        buckets: &[f64],
        labels: Labels<'_>,
    ) -> Histogram {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let vec = families.histograms.get(name).cloned().or_else(|| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let vec = HistogramVec::new(opts, &names(labels)).ok()?;
            self.registry.register(Box::new(vec.clone())).ok()?;
            families.histograms.insert(name, vec.clone());
            Some(vec)
        });
        vec.and_then(|vec| vec.get_metric_with_label_values(&values(labels)).ok()).unwrap_or_else(|| {
            debug_assert!(false, "metric {name} is used with two label sets or as two kinds");
            Histogram::from_opts_unregistered(name, help)
        })
    }

    /// Exports a value that is read when somebody scrapes, such as a queue's depth.
    pub fn observe(
        &self,
        name: &'static str,
        help: &str,
        kind: MetricKind,
        labels: Labels<'_>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let known = families.observed.get(name).cloned();
        let family = known.or_else(|| {
            let family = Observed::new(name, help, kind, names(labels))?;
            self.registry.register(Box::new(family.clone())).ok()?;
            families.observed.insert(name, family.clone());
            Some(family)
        });
        debug_assert!(family.is_some(), "metric {name} is used as two kinds");
        if let Some(family) = family {
            let labels = labels.iter().map(|(name, value)| label(name, value)).collect();
            family.series.lock().unwrap_or_else(PoisonError::into_inner).push((labels, Box::new(read)));
        }
    }

    /// Metrics that are moved while this is held are read all before or all after: those that must add up.
    pub fn together(&self) -> RwLockReadGuard<'_, ()> {
        self.together.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything as Prometheus text (format 0.0.4).
    pub fn render(&self) -> String {
        let dialect = crate::exposition::Dialect::Prometheus { counter_suffix: false };
        crate::exposition::encode(&self.gather(), &[], dialect)
    }

    /// Everything, for other encodings and for tests.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let _all = self.together.write().unwrap_or_else(PoisonError::into_inner);
        self.registry.gather()
    }
}

fn names<'a>(labels: Labels<'a>) -> Vec<&'a str> {
    labels.iter().map(|label| label.0).collect()
}

fn values<'a>(labels: Labels<'a>) -> Vec<&'a str> {
    labels.iter().map(|label| label.1).collect()
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A handle that counts but is not exported: what a misused name yields instead of a panic.
trait Unregistered: Sized {
    fn from_opts_unregistered(name: &str, help: &str) -> Self;
}

macro_rules! unregistered {
    ($type:ty, $build:expr) => {
        impl Unregistered for $type {
            #[allow(clippy::expect_used, reason = "a constant, valid metric name")]
            fn from_opts_unregistered(_: &str, _: &str) -> Self {
                $build.expect("a valid constant name")
            }
        }
    };
}
unregistered!(Counter, Counter::new("unregistered", "unregistered"));
unregistered!(Gauge, Gauge::new("unregistered", "unregistered"));
unregistered!(Histogram, Histogram::with_opts(HistogramOpts::new("unregistered", "unregistered")));

/// A family of values that are read at scrape time.
#[derive(Clone)]
struct Observed {
    name: &'static str,
    help: Arc<str>,
    kind: MetricKind,
    desc: Arc<Desc>,
    series: Arc<Mutex<ObservedSeries>>,
}

impl Observed {
    fn new(name: &'static str, help: &str, kind: MetricKind, labels: Vec<&str>) -> Option<Self> {
        let labels = labels.into_iter().map(str::to_owned).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new()).ok()?;
        Some(Self { name, help: help.into(), kind, desc: Arc::new(desc), series: Arc::default() })
    }
}

impl Collector for Observed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_string());
        family.set_field_type(match self.kind {
            MetricKind::Counter => MetricType::COUNTER,
            MetricKind::Gauge => MetricType::GAUGE,
        });
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = series.iter().map(|(labels, read)| {
            let mut metric = Metric::default();
            metric.set_label(labels.clone());
            match self.kind {
                MetricKind::Counter => {
                    let mut counter = prometheus::proto::Counter::default();
                    counter.set_value(read());
                    metric.set_counter(counter);
                }
                MetricKind::Gauge => {
                    let mut gauge = prometheus::proto::Gauge::default();
                    gauge.set_value(read());
                    metric.set_gauge(gauge);
                }
            }
            metric
        });
        family.set_metric(metrics.collect());
        vec![family]
    }
}
