//! Metrics of a plugin's own, as whoever scrapes them reads them: Prometheus' text format, version 0.0.4.
//!
//! A [`Families`] gathers what all plugins show, so that every metric is told once, with all samples behind it. Two plugins may show a
//! metric of one name and type; where their labels are equal, counts are added, and of a gauge the last value stays.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Metrics that a plugin makes of what passes it.
pub trait OwnMetrics: Send + Sync {
    /// Shows them as they are now.
    fn show(&self, families: &mut Families);
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// How many values lie under each of several bounds.
    Histogram,
}

impl MetricType {
    /// As the text format spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Metrics by name, in the order in which they were first shown.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

/// One metric with its samples.
#[derive(Debug)]
pub struct Family {
    name: String,
    metric_type: MetricType,
    help: String,
    samples: Vec<(String, f64)>,
    /// Where each sample is in the list.
    index: HashMap<String, usize, foldhash::fast::RandomState>,
}

impl Families {
    /// The metric of this name; `None` if another plugin shows it as another type.
    pub fn family(&mut self, name: &str, metric_type: MetricType, help: &str) -> Option<&mut Family> {
        let at = self.0.iter().position(|family| family.name == name).unwrap_or_else(|| {
            self.0.push(Family {
                name: name.to_owned(),
                metric_type,
                help: help.to_owned(),
                samples: Vec::new(),
                index: HashMap::default(),
            });
            self.0.len() - 1
        });
        Some(&mut self.0[at]).filter(|family| family.metric_type == metric_type)
    }

    /// All of them as text.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut text = String::new();
        for family in self.0 {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let (name, metric_type) = (&family.name, family.metric_type.name());
            push(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} {metric_type}\n"));
            for (sample, value) in &family.samples {
                push(&mut text, format_args!("{sample} {}\n", Number(*value)));
            }
        }
        text
    }
}

impl Family {
    /// Adds a sample. `suffix` stands behind the metric's name (`_bucket`, or nothing), `labels` are those without braces, escaped, parted
    /// by commas.
    pub fn sample(&mut self, suffix: &str, labels: &str, value: f64) {
        let name = &self.name;
        let sample =
            if labels.is_empty() { format!("{name}{suffix}") } else { format!("{name}{suffix}{{{labels}}}") };
        match self.index.get(&sample) {
            Some(at) if self.metric_type == MetricType::Gauge => self.samples[*at].1 = value,
            Some(at) => self.samples[*at].1 += value,
            None => {
                self.index.insert(sample.clone(), self.samples.len());
                self.samples.push((sample, value));
            }
        }
    }
}

/// A number as the format spells it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value == f64::INFINITY => f.write_str("+Inf"),
            value if value == f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing into a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_two_plugins_is_told_once() {
        let mut families = Families::default();
        for (labels, value) in [("a=\"1\"", 2.0), ("a=\"2\"", 1.0), ("a=\"1\"", 3.0)] {
            families
                .family("hits", MetricType::Counter, "Hits \\ all\nof them.")
                .unwrap()
                .sample("", labels, value);
        }
        assert_eq!(
            families.into_text(),
            "# HELP hits Hits \\\\ all\\nof them.\n# TYPE hits counter\nhits{a=\"1\"} 5\nhits{a=\"2\"} 1\n"
        );
    }

    #[test]
    fn the_last_value_of_a_gauge_stays() {
        let mut families = Families::default();
        for value in [0.5, 0.25] {
            families.family("level", MetricType::Gauge, "Level.").unwrap().sample("", "", value);
        }
        assert!(families.into_text().ends_with("\nlevel 0.25\n"));
    }

    #[test]
    fn a_name_is_of_one_type() {
        let mut families = Families::default();
        assert!(families.family("x", MetricType::Counter, "").is_some());
        assert!(families.family("x", MetricType::Gauge, "").is_none());
    }
}
