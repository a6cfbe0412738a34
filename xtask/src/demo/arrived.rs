//! What arrived at the local AWS, counted and shown.

use std::io::Read;

use anyhow::{Context, Result};
use ikada_localaws::{LocalAws, Report, Service};

use super::file::{self, Checked};
use super::task::{BUCKET, Container, DELIVERY_STREAM};
use crate::table::{Table, bytes, grouped};

/// Records of one source at its destination.
#[derive(Debug)]
pub(crate) struct Arrival {
    route: &'static str,
    sent: u64,
    delivered: u64,
    duplicated: u64,
    requests: u64,
    bytes: u64,
}

impl Arrival {
    /// A container's, from the local AWS's report.
    pub(crate) fn of_container(container: Container, sent: u64, aws: &LocalAws, report: &Report) -> Arrival {
        let (route, bucket) = match container {
            Container::App => ("app   → CloudWatch Logs", None),
            Container::Web => ("web   → Firehose", None),
            Container::Audit => ("audit → S3, gzip", Some(BUCKET)),
        };
        Arrival::of(route, (service(container), bucket), (container.name(), sent), aws, report)
    }

    /// The file's.
    pub(crate) fn of_file(sent: u64, aws: &LocalAws, report: &Report) -> Arrival {
        let place = (Service::S3, Some(file::BUCKET));
        Arrival::of("file  → parser → S3, gzip", place, (file::CLIENT, sent), aws, report)
    }

    fn of(
        route: &'static str,
        (service, bucket): (Service, Option<&str>),
        (client, sent): (&str, u64),
        aws: &LocalAws,
        report: &Report,
    ) -> Arrival {
        let numbers = report.client(service, client);
        let is_there = |resource: &str| bucket.is_none_or(|bucket| bucket == resource);
        let resources = report.resources.iter().filter(|resource| resource.service == service);
        let requests = aws.requests(service).iter().filter(|request| is_there(&request.resource)).count();
        Arrival {
            route,
            sent,
            delivered: numbers.map_or(0, |numbers| numbers.distinct),
            duplicated: numbers.map_or(0, |numbers| numbers.duplicated),
            requests: requests as u64,
            bytes: resources
                .filter(|resource| is_there(&resource.resource))
                .map(|resource| resource.bytes)
                .sum(),
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

/// How many different records of all containers and of the file have arrived.
pub(crate) fn delivered(report: &Report) -> u64 {
    let of_containers = Container::ALL
        .iter()
        .filter_map(|container| report.client(service(*container), container.name()))
        .map(|numbers| numbers.distinct)
        .sum::<u64>();
    of_containers + delivered_of_file(report)
}

/// How many different lines of the file have arrived.
pub(crate) fn delivered_of_file(report: &Report) -> u64 {
    report.client(Service::S3, file::CLIENT).map_or(0, |numbers| numbers.distinct)
}

/// The table of what arrived where.
pub(crate) fn table(arrivals: &[Arrival]) -> String {
    let mut table =
        Table::new(&["source → service", "sent", "delivered", "lost", "duplicated", "requests", "bytes"]);
    for arrival in arrivals {
        table.row(vec![
            arrival.route.to_owned(),
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

/// The file's objects, and what comparing every line came to.
pub(crate) fn file_content(checked: &Checked, lines: u64) -> String {
    let mut text = format!("S3  bucket {}, {} objects\n", file::BUCKET, checked.objects.len());
    for (key, size, lines) in &checked.objects {
        text.push_str(&format!("  {key}  {} as gzip, {} lines\n", bytes(*size), grouped(*lines as u64)));
    }
    text.push_str(&format!("  {}\n", shortened(&checked.sample)));
    text.push_str(&format!(
        "  {} of {} lines are there once and to the letter; {} lines and {} keys are not as they must be\n",
        grouped(checked.exact),
        grouped(lines),
        grouped(checked.wrong.len() as u64),
        grouped(checked.wrong_keys.len() as u64)
    ));
    for wrong in checked.wrong.iter().chain(&checked.wrong_keys).take(SHOWN) {
        text.push_str(&format!("  wrong: {}\n", shortened(wrong)));
    }
    text
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
            route: "web",
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
