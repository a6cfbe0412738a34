//! Networks as they are: partitions, resets, names that nobody knows. Nothing hangs, and no line calls for a person where none is needed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ikada_localaws::{LocalAws, Service};
use ikada_tests::{Router, Writer, firelens_config, wait_for};

const TAG: &str = "app-firelens-0123456789abcdef";
const FEW: u64 = 500;

/// A stretch of network between a router and a server.
struct Link {
    port: u16,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What is sent vanishes, both ways.
    is_parted: AtomicBool,
    carried: AtomicUsize,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner::default());
        let link = inner.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                link.connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(server).unwrap();
                link.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let link = link.clone();
                    std::thread::spawn(move || link.carry(from, to));
                }
            }
        });
        Self { port, inner }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn part(&self) {
        self.inner.is_parted.store(true, Ordering::SeqCst);
    }

    /// The network is whole again; connections from before are of no use to anybody.
    fn heal(&self) {
        self.reset();
        self.inner.is_parted.store(false, Ordering::SeqCst);
    }

    /// Ends all connections.
    fn reset(&self) {
        self.inner.open.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::SeqCst)
    }
}

impl Inner {
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buf = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buf) {
            if self.is_parted.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&buf[..n]).is_err() {
                break;
            }
            self.carried.fetch_add(n, Ordering::SeqCst);
        }
        drop(to.shutdown(Shutdown::Both));
    }
}

fn config(url: &str, service: &str) -> String {
    let output = format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {url}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group on\n    net.connect_timeout 1\n    net.io_timeout 1\n"
    );
    format!("[SERVICE]\n    Flush 0.2\n{service}{}", firelens_config(&output))
}

fn distinct(aws: &LocalAws) -> u64 {
    aws.report().client(Service::Logs, "a").map_or(0, |numbers| numbers.distinct)
}

/// Lines of this level, but for the one that every stop begins with.
fn lines<'a>(log: &'a str, level: &str) -> Vec<&'a str> {
    let is_of_it =
        |line: &&str| line.contains(&format!("[{level:>5}]")) && !line.contains("service will shutdown");
    log.lines().filter(is_of_it).collect()
}

#[test]
fn a_partition_is_found_out_at_the_deadline_and_loses_nothing() {
    let aws = LocalAws::start(Default::default()).unwrap();
    let link = Link::to(aws.http_addr());
    let mut router = Router::start(&config(&link.url(), "    log_level debug\n"));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(FEW);
    wait_for("the first", || distinct(&aws) == FEW);
    link.part();
    writer.write(FEW);
    router.wait_for_log("attempt failed");
    link.heal();
    writer.write(FEW);
    wait_for("the rest", || distinct(&aws) == 3 * FEW);
    let status = router.stop();
    let log = router.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(&format!("sent={}, unsent=0, dropped=0", 3 * FEW)), "{log}");
    assert_eq!(lines(&log, "error"), Vec::<&str>::new());
}

#[test]
fn connections_that_are_reset_between_requests_are_nobodys_concern() {
    let aws = LocalAws::start(Default::default()).unwrap();
    let link = Link::to(aws.http_addr());
    let mut router = Router::start(&config(&link.url(), ""));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    for round in 1..=10 {
        writer.write(FEW);
        wait_for("this round's", || distinct(&aws) == round * FEW);
        link.reset();
    }
    let status = router.stop();
    let log = router.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(link.connections() >= 10);
    assert!(log.contains(&format!("sent={}, unsent=0, dropped=0", 10 * FEW)), "{log}");
    assert_eq!((lines(&log, "warn"), lines(&log, "error")), (Vec::new(), Vec::new()));
}

#[test]
fn connections_that_are_reset_at_any_moment_lose_nothing() {
    let aws = LocalAws::start(Default::default()).unwrap();
    let link = Link::to(aws.http_addr());
    let mut router = Router::start(&config(&link.url(), ""));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    for round in 1..=10 {
        writer.write(2000);
        // The moment depends on what was carried, and on nothing else.
        let carried = link.inner.carried.load(Ordering::SeqCst);
        wait_for("something under way", || {
            link.inner.carried.load(Ordering::SeqCst) > carried + round * 7919
                || distinct(&aws) == round as u64 * 2000
        });
        link.reset();
        // Failures in a row would make the router patient, and the test long.
        wait_for("this round's", || distinct(&aws) == round as u64 * 2000);
    }
    let status = router.stop();
    let log = router.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("sent=20000, unsent=0, dropped=0"), "{log}");
    assert_eq!(lines(&log, "error"), Vec::<&str>::new());
}

#[test]
fn a_name_that_nobody_knows_hangs_nothing_and_the_books_are_exact() {
    let url = "http://logs.no-such-host.invalid";
    let mut router = Router::start(&config(url, "    Grace 2\n    log_level debug\n"));
    Writer::connect(&router.socket(), TAG, "a").write(FEW);
    router.wait_for_log("attempt failed");
    let status = router.stop();
    let log = router.log();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains(&format!("sent=0, unsent={FEW}, dropped=0")), "{log}");
}
