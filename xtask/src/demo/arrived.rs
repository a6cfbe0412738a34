//! What arrived at the local AWS, counted and shown.

use std::io::Read;

use anyhow::{Context, Result};
use ikada_localaws::{LocalAws, Report, Service};

use super::task::{BUCKET, Container, DELIVERY_STREAM};
use crate::table::{Table, bytes, grouped};

/// One container's records at its service.
#[derive(Debug)]
pub(crate) struct Arrival {
    container: Container,
    sent: u64,
    delivered: u64,
    duplicated: u64,
    requests: u64,
    bytes: u64,
}

impl Arrival {
    /// Reads it from the local AWS's report.
    pub(crate) fn of(container: Container, sent: u64, report: &Report) -> Arrival {
        let service = service(container);
        let numbers = report.client(service, container.name());
        let of_service = report.resources.iter().filter(|resource| resource.service == service);
        Arrival {
            container,
            sent,
            delivered: numbers.map_or(0, |numbers| numbers.distinct),
            duplicated: numbers.map_or(0, |numbers| numbers.duplicated),
            requests: report.requests(service),
            bytes: of_service.map(|resource| resource.bytes).sum(),
        }
    }

    /// Whether every record came exactly once.
    pub(crate) fn is_complete(&self) -> bool {
        self.delivered == self.sent && self.duplicated == 0
    }
}

/// The service that takes a container's records.
pub(crate) fn service(container: Container) -> Service {
    match container {
        Container::App => Service::Logs,
        Container::Web => Service::Firehose,
        Container::Audit => Service::S3,
    }
}

/// How many different records of all containers have arrived.
pub(crate) fn delivered(report: &Report) -> u64 {
    Container::ALL
        .iter()
        .filter_map(|container| report.client(service(*container), container.name()))
        .map(|numbers| numbers.distinct)
        .sum()
}

/// The table of what arrived where.
pub(crate) fn table(arrivals: &[Arrival]) -> String {
    let mut table =
        Table::new(&["container → service", "sent", "delivered", "lost", "duplicated", "requests", "bytes"]);
    for arrival in arrivals {
        let destination = match arrival.container {
            Container::App => "app   → CloudWatch Logs",
            Container::Web => "web   → Firehose",
            Container::Audit => "audit → S3, gzip",
        };
        table.row(vec![
            destination.to_owned(),
            grouped(arrival.sent),
            grouped(arrival.delivered),
            grouped(arrival.sent.saturating_sub(arrival.delivered)),
            grouped(arrival.duplicated),
            grouped(arrival.requests),
            bytes(arrival.bytes),
        ]);
    }
    table.render()
}

/// How many records or lines are shown of each service, and how much of each one.
const SHOWN: usize = 2;
const WIDTH: usize = 240;

/// Names of streams and objects, and a few records as they were delivered.
pub(crate) fn content(aws: &LocalAws) -> Result<String> {
    let mut text = String::new();
    for (group, about) in aws.cloudwatch().groups() {
        for stream in about.streams {
            let events = aws.cloudwatch().events(&group, &stream);
            text.push_str(&format!("CloudWatch Logs  group {group}, stream {stream}\n"));
            for (time, message) in events.iter().take(SHOWN) {
                text.push_str(&format!("  {time}  {}\n", shortened(message)));
            }
        }
    }
    text.push_str(&format!("\nFirehose  delivery stream {DELIVERY_STREAM}\n"));
    for record in aws.firehose().records(DELIVERY_STREAM).iter().take(SHOWN) {
        text.push_str(&format!("  {}\n", shortened(String::from_utf8_lossy(record).trim_end())));
    }
    text.push('\n');
    text.push_str(&objects(aws)?);
    Ok(text)
}

fn objects(aws: &LocalAws) -> Result<String> {
    let objects = aws.s3().objects(BUCKET);
    let mut text = format!("S3  bucket {BUCKET}, {} objects\n", objects.len());
    let mut first = String::new();
    for (key, object) in &objects {
        let stored = object.bytes.as_deref().context("the local AWS kept no content")?;
        let mut lines = String::new();
        // Nobody but this demo wrote the object, and what it wrote is bounded.
        flate2::read::GzDecoder::new(stored)
            .read_to_string(&mut lines)
            .with_context(|| format!("{key} is not gzip"))?;
        text.push_str(&format!(
            "  {key}  {} as gzip, {} as text, {} lines\n",
            bytes(object.size),
            bytes(lines.len() as u64),
            grouped(lines.lines().count() as u64)
        ));
        if first.is_empty() {
            first = lines.lines().take(SHOWN).map(|line| format!("  {}\n", shortened(line))).collect();
        }
    }
    text.push_str(&first);
    Ok(text)
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ü".repeat(WIDTH + 1));
        assert_eq!(cut.chars().count(), WIDTH + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn an_arrival_is_complete_when_every_record_came_once() {
        let arrival = |delivered, duplicated| Arrival {
            container: Container::Web,
            sent: 3,
            delivered,
            duplicated,
            requests: 1,
            bytes: 1,
        };
        assert!(arrival(3, 0).is_complete());
        assert!(!arrival(2, 0).is_complete());
        assert!(!arrival(3, 1).is_complete());
    }
}
