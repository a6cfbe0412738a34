//! The numbers of a metric, one for each set of label values, within a bound.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ikada_plugin::{Families, Family, MetricType, OwnMetrics};
use indexmap::IndexMap;
use tokio::time::Instant;

/// Sets of label values that are kept.
const MOST_SETS: usize = 10_000;

/// Bytes of label names and values that are kept.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What is kept for a set of label values.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Counter,
    Gauge,
    /// With the bounds of its buckets, in rising order.
    Histogram(Box<[f64]>),
}

/// What a record says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Observation {
    /// That it is there.
    Record,
    /// A number.
    Number(f64),
}

/// A metric that the filter fills and that whoever scrapes reads.
pub(super) struct Metric {
    name: String,
    help: String,
    shape: Shape,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The numbers by labels as they are written in the text format.
    sets: IndexMap<Box<str>, Series, foldhash::fast::RandomState>,
    /// Bytes of all labels.
    bytes: usize,
    /// The labels of the record at hand; kept for its room.
    labels: String,
    uncounted: Uncounted,
    told: Option<Instant>,
    untold: Uncounted,
    /// A line said that another metric of this name is of another type.
    told_of_type: bool,
}

/// Records that are not in the metric.
#[derive(Default, Clone, Copy)]
struct Uncounted {
    /// Their labels would have been another set than those that are kept.
    for_labels: u64,
    /// They hold no number where the metric takes one from.
    for_value: u64,
}

#[derive(Debug, Clone)]
enum Series {
    Counter(u64),
    Gauge(f64),
    Histogram {
        /// How many numbers lie in each bucket and in none below it; the last one has no bound.
        counts: Box<[u64]>,
        sum: f64,
    },
}

impl Metric {
    pub(super) fn new(name: String, help: String, shape: Shape) -> Self {
        Self { name, help, shape, state: Mutex::default() }
    }

    /// Adds what a record says to the set of its labels, which `write` writes.
    pub(super) fn observe(&self, observation: Observation, write: impl FnOnce(&mut String)) {
        let mut state = self.state();
        let State { sets, bytes, labels, uncounted, untold, .. } = &mut *state;
        labels.clear();
        write(labels);
        if let Some(series) = sets.get_mut(labels.as_str()) {
            return series.add(observation, &self.shape);
        }
        if sets.len() == MOST_SETS || *bytes + labels.len() > MOST_BYTES {
            uncounted.for_labels += 1;
            untold.for_labels += 1;
            return;
        }
        *bytes += labels.len();
        let mut series = Series::empty(&self.shape);
        series.add(observation, &self.shape);
        sets.insert(labels.as_str().into(), series);
    }

    /// Counts a record that holds no number.
    pub(super) fn leave_out_for_its_value(&self) {
        let mut state = self.state();
        state.uncounted.for_value += 1;
        state.untold.for_value += 1;
    }

    /// Writes a line if there are records that no line stands for and the last one is long enough ago.
    pub(super) fn tell(&self, pause: Duration) {
        let mut state = self.state();
        let Uncounted { for_labels, for_value } = state.untold;
        if for_labels + for_value == 0 || state.told.is_some_and(|told| told.elapsed() < pause) {
            return;
        }
        state.told = Some(Instant::now());
        state.untold = Uncounted::default();
        drop(state);
        tracing::warn!(
            metric = %self.name,
            without_number = for_value,
            beyond_label_sets = for_labels,
            "filter log_to_metrics: records that the metric does not count; they pass on"
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_of_type(&self) {
        if !std::mem::replace(&mut self.state().told_of_type, true) {
            tracing::warn!(
                metric = %self.name,
                "filter log_to_metrics: another metric of this name is of another type; this one is not shown"
            );
        }
    }
}

impl OwnMetrics for Metric {
    fn show(&self, families: &mut Families) {
        // Copied, so that no record waits for the text.
        let (sets, uncounted) = {
            let state = self.state();
            (state.sets.clone(), state.uncounted)
        };
        match families.family(&self.name, self.shape.metric_type(), &self.help) {
            None => self.tell_of_type(),
            Some(family) => sets.iter().for_each(|(labels, series)| series.show(labels, &self.shape, family)),
        }
        let help = "Number of records that a metric of log_to_metrics does not count.";
        let name = "ikada_log_to_metrics_uncounted_total";
        if let Some(family) = families.family(name, MetricType::Counter, help) {
            let metric = &self.name;
            let sample = |reason| format!("metric=\"{metric}\",reason=\"{reason}\"");
            family.sample("", &sample("label_sets"), uncounted.for_labels as f64);
            family.sample("", &sample("value"), uncounted.for_value as f64);
        }
    }
}

impl Series {
    fn empty(shape: &Shape) -> Self {
        match shape {
            Shape::Counter => Self::Counter(0),
            Shape::Gauge => Self::Gauge(0.0),
            Shape::Histogram(bounds) => {
                Self::Histogram { counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
            }
        }
    }

    fn add(&mut self, observation: Observation, shape: &Shape) {
        match (self, observation, shape) {
            (Self::Counter(count), ..) => *count += 1,
            (Self::Gauge(value), Observation::Number(number), _) => *value = number,
            (Self::Histogram { counts, sum }, Observation::Number(number), Shape::Histogram(bounds)) => {
                counts[bounds.partition_point(|bound| *bound < number)] += 1;
                *sum += number;
            }
            _ => {}
        }
    }

    fn show(&self, labels: &str, shape: &Shape, family: &mut Family) {
        let (counts, sum) = match self {
            Self::Counter(count) => return family.sample("", labels, *count as f64),
            Self::Gauge(value) => return family.sample("", labels, *value),
            Self::Histogram { counts, sum } => (counts, sum),
        };
        let Shape::Histogram(bounds) = shape else { return };
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            // `{:?}` keeps the point of a whole number: `le="1.0"`, as Fluent Bit writes it.
            let bucket = match bounds.get(at) {
                Some(bound) => format!("le=\"{bound:?}\"{comma}{labels}"),
                None => format!("le=\"+Inf\"{comma}{labels}"),
            };
            family.sample("_bucket", &bucket, total as f64);
        }
        family.sample("_sum", labels, *sum);
        family.sample("_count", labels, total as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metric: &Metric) -> String {
        let mut families = Families::default();
        metric.show(&mut families);
        families.into_text()
    }

    #[test]
    fn a_number_lies_in_every_bucket_whose_bound_is_not_below_it() {
        let metric = Metric::new("h".into(), "H".into(), Shape::Histogram([0.5, 2.0].into()));
        for number in [0.5, 0.6, 3.0] {
            metric.observe(Observation::Number(number), |labels| labels.push_str("a=\"1\""));
        }
        let text = shown(&metric);
        for line in [
            "h_bucket{le=\"0.5\",a=\"1\"} 1",
            "h_bucket{le=\"2.0\",a=\"1\"} 2",
            "h_bucket{le=\"+Inf\",a=\"1\"} 3",
            "h_sum{a=\"1\"} 4.1",
            "h_count{a=\"1\"} 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
        }
    }

    #[test]
    fn label_sets_are_bounded_and_the_rest_is_counted() {
        let metric = Metric::new("c".into(), "C".into(), Shape::Counter);
        for n in 0..MOST_SETS + 5 {
            metric.observe(Observation::Record, |labels| labels.push_str(&format!("a=\"{n}\"")));
        }
        metric.observe(Observation::Record, |labels| labels.push_str("a=\"0\""));
        let text = shown(&metric);
        assert_eq!(text.lines().filter(|line| line.starts_with("c{")).count(), MOST_SETS);
        assert!(text.contains("\nc{a=\"0\"} 2\n"));
        assert!(text.contains("uncounted_total{metric=\"c\",reason=\"label_sets\"} 5\n"), "{text}");
    }

    #[test]
    fn long_labels_are_bounded_in_bytes() {
        let metric = Metric::new("c".into(), "C".into(), Shape::Counter);
        for n in 0..9 {
            metric.observe(Observation::Record, |labels| {
                labels.push_str(&format!("a=\"{n}{}\"", "x".repeat(MOST_BYTES / 8)));
            });
        }
        assert!(shown(&metric).contains("reason=\"label_sets\"} 2\n"));
    }
}
