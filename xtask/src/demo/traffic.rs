//! What Docker's `fluentd` log driver writes for a container: one Forward message per log line, one write each.
//!
//! Every line carries a mark `seq=<container>:<number>` at a place where such a line might have an identifier, so that
//! the local AWS can tell which ones arrived.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use ikada_msgpack::write;

use super::task::Container;

/// Writes `count` records of one container to the router; `sent` is counted up with each.
pub(crate) fn play(socket: &Path, container: Container, count: u64, sent: &AtomicU64) -> io::Result<()> {
    let mut connection = UnixStream::connect(socket)?;
    let mut driver = LogDriver::new(container);
    for number in 0..count {
        connection.write_all(driver.next_message(number, Utc::now()))?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A container and the log driver behind it.
struct LogDriver {
    container: Container,
    dice: Dice,
    head: Vec<u8>,
    identity: Vec<u8>,
    message: Vec<u8>,
}

impl LogDriver {
    fn new(container: Container) -> LogDriver {
        let mut head = Vec::new();
        write::array_header(&mut head, 4);
        write::str(&mut head, container.tag().as_bytes());
        let mut dice = Dice::new(container as u64 + 1);
        let id: String = (0..4).map(|_| format!("{:016x}", dice.throw())).collect();
        let mut identity = Vec::new();
        pair(&mut identity, "container_id", &id);
        pair(
            &mut identity,
            "container_name",
            &format!("/ecs-shop-7-{}-{:010x}", container.name(), dice.below(1 << 40)),
        );
        LogDriver { container, dice, head, identity, message: Vec::new() }
    }

    /// `[tag, EventTime, {container_id, container_name, source, log}, {}]` (reference, "How Docker's `fluentd` driver speaks").
    fn next_message(&mut self, number: u64, now: DateTime<Utc>) -> &[u8] {
        let line = match self.container {
            Container::App => app_line(&mut self.dice, number, now),
            Container::Web => web_line(&mut self.dice, number, now),
            Container::Audit => audit_line(&mut self.dice, number, now),
        };
        let is_error = line.contains("\"level\":\"error\"");
        self.message.clear();
        self.message.extend_from_slice(&self.head);
        let seconds = u32::try_from(now.timestamp()).unwrap_or(u32::MAX);
        write::event_time(&mut self.message, seconds, now.timestamp_subsec_nanos());
        write::map_header(&mut self.message, 4);
        self.message.extend_from_slice(&self.identity);
        pair(&mut self.message, "source", if is_error { "stderr" } else { "stdout" });
        pair(&mut self.message, "log", &line);
        write::map_header(&mut self.message, 0);
        &self.message
    }
}

fn pair(buf: &mut Vec<u8>, key: &str, value: &str) {
    write::str(buf, key.as_bytes());
    write::str(buf, value.as_bytes());
}

fn app_line(dice: &mut Dice, number: u64, now: DateTime<Utc>) -> String {
    let time = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (customer, took) = (1_000 + dice.below(9_000), 2 + dice.below(40));
    let rest = match dice.below(100) {
        0..2 => format!(
            r#""level":"error","msg":"payment declined","customer":{customer},"error":"card_expired: the card’s date is over","stack":"charge (pay.rs:118)\n  checkout (cart.rs:64)""#
        ),
        2..10 => format!(
            r#""level":"warn","msg":"stock is low","sku":"sku-{}","left":{}"#,
            dice.below(500),
            dice.below(5)
        ),
        10..45 => format!(
            r#""level":"info","msg":"order placed","customer":{customer},"items":{},"total":{}.{:02},"currency":"EUR""#,
            1 + dice.below(6),
            5 + dice.below(400),
            dice.below(100)
        ),
        _ => format!(
            r#""level":"info","msg":"cart updated","customer":{customer},"sku":"sku-{}""#,
            dice.below(500)
        ),
    };
    format!(
        r#"{{"time":"{time}","service":"checkout",{rest},"took_ms":{took},"request":"seq=app:{number}"}}"#
    )
}

fn web_line(dice: &mut Dice, number: u64, now: DateTime<Utc>) -> String {
    const PAGES: [&str; 6] = ["/", "/search", "/products/kettle", "/products/lamp", "/cart", "/api/v2/stock"];
    const AGENTS: [&str; 3] = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        "ELB-HealthChecker/2.0",
    ];
    let status = match dice.below(100) {
        0 => 502,
        1..5 => 404,
        5..15 => 304,
        _ => 200,
    };
    format!(
        r#"10.0.{}.{} - - [{}] "GET {}?seq=web:{number} HTTP/1.1" {status} {} "https://shop.example/" "{}" 0.{:03}"#,
        dice.below(16),
        dice.below(256),
        now.format("%d/%b/%Y:%H:%M:%S +0000"),
        dice.pick(&PAGES),
        200 + dice.below(30_000),
        dice.pick(&AGENTS),
        dice.below(1_000),
    )
}

fn audit_line(dice: &mut Dice, number: u64, now: DateTime<Utc>) -> String {
    const ACTIONS: [&str; 5] =
        ["user.login", "role.assigned", "price.changed", "order.refunded", "export.requested"];
    let decision = if dice.below(20) == 0 { "denied" } else { "allowed" };
    format!(
        r#"{{"at":"{}","actor":{{"id":"u-{}","ip":"10.0.{}.{}"}},"action":"{}","object":"o-{:08x}","decision":"{decision}","trail":"seq=audit:{number}"}}"#,
        now.to_rfc3339_opts(SecondsFormat::Nanos, true),
        100 + dice.below(900),
        dice.below(16),
        dice.below(256),
        dice.pick(&ACTIONS),
        dice.below(1 << 32),
    )
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.throw() >> 8) % end
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len() as u64) as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ikada_msgpack::View;
    use serde_json::Value;

    use super::*;

    fn record(container: Container, number: u64) -> Vec<(String, String)> {
        let mut driver = LogDriver::new(container);
        let now = DateTime::from_timestamp(1_795_000_000, 123_456_789).unwrap();
        let message = driver.next_message(number, now).to_vec();
        let (view, len) = View::parse(&message).unwrap();
        assert_eq!(len, message.len());
        let array = view.as_array().unwrap();
        assert_eq!(array.get(0).unwrap().as_str().unwrap(), container.tag().as_bytes());
        let record = array.get(2).unwrap().as_map().unwrap();
        let text = |key: &str| {
            String::from_utf8(record.get(key.as_bytes()).unwrap().as_str().unwrap().to_vec()).unwrap()
        };
        ["container_id", "container_name", "source", "log"].map(|key| (key.to_owned(), text(key))).to_vec()
    }

    #[test]
    fn a_message_is_what_dockers_log_driver_sends() {
        let fields = record(Container::Web, 17);
        assert_eq!(fields[0].1.len(), 64);
        assert!(fields[1].1.starts_with("/ecs-shop-7-web-"));
        assert_eq!(fields[2].1, "stdout");
        assert!(fields[3].1.contains("?seq=web:17 HTTP/1.1"), "{}", fields[3].1);
    }

    #[test]
    fn lines_of_the_application_and_the_audit_trail_are_json_with_a_mark() {
        for number in 0..200 {
            for (container, key) in [(Container::App, "request"), (Container::Audit, "trail")] {
                let mut driver = LogDriver::new(container);
                driver.dice = Dice::new(number + 1);
                driver.next_message(number, Utc::now());
                let mut dice = Dice::new(number + 1);
                let line = match container {
                    Container::App => app_line(&mut dice, number, Utc::now()),
                    _ => audit_line(&mut dice, number, Utc::now()),
                };
                let value: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(value[key], format!("seq={}:{number}", container.name()));
            }
        }
    }
}
