//! One output, the server at its other end, and how to make trouble between them: the same handles whatever the output is.

use std::sync::Arc;
use std::time::Duration;

use ikada_localaws::{AutoCreate, Config, CutPoint, Down, Fault, FaultKind, LocalAws, Service, When};
use ikada_tests::{Router, Writer, firelens_config};
use tempfile::TempDir;

use super::peer::{Harm, Numbers, Peer, Protocol};

pub(crate) const TAG: &str = "app-firelens-0123456789abcdef";

/// An output that the suite runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub(crate) enum Kind {
    cloudwatch_logs,
    kinesis_firehose,
    kinesis_streams,
    s3,
    http,
    forward,
}

/// What goes wrong, in words that every server understands as far as its protocol has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Throttle,
    ServerError,
    Half,
    Cut(CutPoint),
    ExpiredToken,
    AccessDenied,
    Late(Duration),
}

/// An output and its server.
pub(crate) struct Rig {
    pub(crate) kind: Kind,
    pub(crate) aws: LocalAws,
    peer: Option<Peer>,
    pub(crate) dir: Arc<TempDir>,
}

/// The figures of an output's last line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
    pub(crate) dropped: u64,
}

impl Kind {
    /// The service, and the call that takes records.
    pub(crate) fn service(self) -> (Service, &'static str) {
        match self {
            Self::cloudwatch_logs => (Service::Logs, "PutLogEvents"),
            Self::kinesis_firehose => (Service::Firehose, "PutRecordBatch"),
            Self::kinesis_streams => (Service::Kinesis, "PutRecords"),
            Self::s3 => (Service::S3, "PutObject"),
            Self::http | Self::forward => unreachable!("no service of AWS"),
        }
    }
}

impl Rig {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, AutoCreate::default())
    }

    /// A server where only that exists which is named.
    pub(crate) fn with(kind: Kind, auto_create: AutoCreate) -> Self {
        let aws = LocalAws::start(Config { auto_create, ..Config::default() }).unwrap();
        let peer = match kind {
            Kind::http => Some(Peer::start(Protocol::Http)),
            Kind::forward => Some(Peer::start(Protocol::Forward)),
            _ => None,
        };
        Self { kind, aws, peer, dir: Arc::new(TempDir::with_prefix("ik").unwrap()) }
    }

    fn peer(&self) -> &Peer {
        self.peer.as_ref().unwrap()
    }

    /// The lines of the output's section.
    pub(crate) fn output(&self) -> String {
        let own = match self.kind {
            Kind::cloudwatch_logs => "log_group_name app\nlog_stream_prefix s-\nauto_create_group on\n",
            Kind::kinesis_firehose => "delivery_stream app\n",
            Kind::kinesis_streams => "stream app\n",
            Kind::s3 => {
                "bucket app\nuse_put_object on\ntotal_file_size 1M\nupload_timeout 2s\nstore_dir {dir}/s3\n\
                 s3_key_format /$TAG/%Y/%m/%d/$UUID\n"
            }
            Kind::http => "format json_lines\n",
            Kind::forward => "require_ack_response on\n",
        };
        let place = match &self.peer {
            None => format!("region ap-northeast-1\nendpoint {}\n", self.aws.http_url()),
            Some(peer) => format!("host 127.0.0.1\nport {}\n", peer.port),
        };
        format!("name {:?}\n{place}{own}net.connect_timeout 1\n", self.kind)
    }

    /// A configuration with these lines more in the service's and the output's section.
    pub(crate) fn config(&self, service: &str, output: &str) -> String {
        let indented = |lines: &str| lines.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let output = format!("{}{output}", self.output());
        format!("[SERVICE]\n    Flush 1\n{}{}", indented(service), firelens_config(&indented(&output)))
    }

    pub(crate) fn start(&self, service: &str, output: &str) -> Router {
        Router::start_in(self.dir.clone(), &self.config(service, output), &[])
    }

    pub(crate) fn trouble(&self, trouble: Trouble, when: When) {
        match &self.peer {
            Some(peer) => peer.harm(harm(trouble), when),
            None => {
                let (service, call) = self.kind.service();
                self.aws.faults().add(Fault::new(fault(trouble)).on(service, call).when(when));
            }
        }
    }

    /// How often trouble struck since it was made.
    pub(crate) fn struck(&self) -> u64 {
        match &self.peer {
            Some(peer) => peer.struck(),
            None => self.aws.faults().report().iter().map(|fault| fault.struck).sum(),
        }
    }

    pub(crate) fn heal(&self) {
        self.aws.faults().clear();
        self.peer.iter().for_each(Peer::heal);
    }

    pub(crate) fn down(&self, how: Down) {
        match &self.peer {
            Some(peer) => peer.down(how),
            None => self.aws.faults().down(how),
        }
    }

    pub(crate) fn up(&self) {
        match &self.peer {
            Some(peer) => peer.up(),
            None => self.aws.faults().up(),
        }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        if self.peer.is_some() {
            return self.peer().numbers();
        }
        let report = self.aws.report();
        let Some(numbers) = report.client(self.kind.service().0, "a") else { return Numbers::default() };
        let (distinct, duplicated) = (numbers.distinct, numbers.duplicated);
        Numbers { distinct, duplicated, out_of_order: numbers.out_of_order }
    }

    /// Whether this number has arrived.
    pub(crate) fn has(&self, number: u64) -> bool {
        if self.peer.is_some() {
            return self.peer().has(number);
        }
        let report = self.aws.report();
        report.client(self.kind.service().0, "a").is_some_and(|numbers| numbers.has(number))
    }
}

/// Writes so many numbered messages.
pub(crate) fn write(router: &Router, count: u64) {
    Writer::connect(&router.socket(), TAG, "a").write(count);
}

/// Stops a router whose output is healthy again, and reads its books.
pub(crate) fn books(router: &mut Router) -> Books {
    let status = router.stop();
    let log = router.log();
    let books = read_books(&log);
    assert_eq!(status.code(), Some(if books.unsent > 0 { 2 } else { 0 }), "{log}");
    books
}

/// The figures behind `sent=`, `unsent=` and `dropped=` of the output's last line.
fn read_books(log: &str) -> Books {
    let line = log.lines().rev().find(|line| line.contains("sent=") && line.contains("dropped=")).unwrap();
    let number = |key: &str| {
        let rest = &line[line.find(key).unwrap() + key.len()..];
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    Books { sent: number(" sent="), unsent: number("unsent="), dropped: number("dropped=") }
}

/// Lines that say that something was lost.
pub(crate) fn errors(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("[error]")).collect()
}

fn fault(trouble: Trouble) -> FaultKind {
    match trouble {
        Trouble::Throttle => FaultKind::Throttle,
        Trouble::ServerError => FaultKind::InternalError,
        Trouble::Half => FaultKind::Partial { fraction: 0.5, code: Default::default() },
        Trouble::Cut(at) => FaultKind::Cut { at },
        Trouble::ExpiredToken => FaultKind::ExpiredToken,
        Trouble::AccessDenied => FaultKind::AccessDenied,
        Trouble::Late(pause) => FaultKind::latency(pause),
    }
}

fn harm(trouble: Trouble) -> Harm {
    match trouble {
        Trouble::Throttle => Harm::Status(429, "slow down"),
        Trouble::ServerError => Harm::Status(500, "a mistake"),
        Trouble::Cut(at) => Harm::Cut(at),
        Trouble::ExpiredToken => Harm::Status(403, "ExpiredTokenException: the token is expired"),
        Trouble::AccessDenied => Harm::Status(403, "not you"),
        Trouble::Late(pause) => Harm::Late(pause),
        Trouble::Half => unreachable!("a body is taken whole or not at all"),
    }
}
