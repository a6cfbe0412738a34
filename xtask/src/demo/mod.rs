//! `cargo xtask demo`: an ECS task's logs on their way through Ikada to three services of a local AWS.
//!
//! Everything is real but AWS and the containers: the program as it is built, the configuration as the ECS agent generates
//! it ([`task`]), the bytes that Docker's log driver writes ([`traffic`]), a file that an application writes ([`file`]), a SIGTERM
//! at the end ([`router`]). The local AWS runs in this process, so that what arrived can be counted and shown ([`arrived`]).

mod arrived;
mod file;
mod progress;
mod router;
mod task;
mod traffic;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ikada_localaws::{Config, LocalAws};

use arrived::Arrival;
use file::{Checked, Trail};
use progress::Progress;
use router::Router;
use task::{Container, Places};

use crate::table::grouped;
use crate::workspace::cargo;

/// How the demo is played.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Builds with optimisation (slower to build, faster to run)
    #[arg(long)]
    release: bool,
    /// Number of records, of all containers together; a tenth of that in lines of the file comes on top
    #[arg(long, default_value_t = 300_000)]
    records: u64,
    /// Keeps the folder with the configuration and the router's log
    #[arg(long)]
    keep: bool,
}

/// Patience with a machine that is slow or busy.
const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(180);

/// Longest path of a unix socket (unix(7): 108 bytes with the final zero).
const LONGEST_SOCKET_PATH: usize = 107;

/// Plays the demo; says whether everything arrived and the router ended well.
pub(crate) fn run(options: &Options) -> Result<bool> {
    println!("building ikada …");
    let program = build(options.release)?;
    let mut folder =
        tempfile::Builder::new().prefix("ikada-demo-").tempdir().context("cannot make a folder")?;
    folder.disable_cleanup(options.keep);
    let aws =
        LocalAws::start(Config { threads: 2, ..Config::default() }).context("the local AWS did not start")?;
    println!("local AWS listens at {}", aws.http_url());

    let outcome = play(options, &program, folder.path(), &aws)?;
    if options.keep {
        println!("kept: {}", folder.path().display());
    }
    Ok(outcome)
}

fn play(options: &Options, program: &Path, folder: &Path, aws: &LocalAws) -> Result<bool> {
    let (socket, configuration, log) =
        (folder.join("fluent.sock"), folder.join("fluent-bit.conf"), folder.join("ikada.log"));
    if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
        bail!("{} is too long for a unix socket: set TMPDIR to a shorter path", socket.display());
    }
    let places = Places {
        socket: &socket,
        forward_port: port(24224)?,
        health_port: port(8877)?,
        endpoint: &aws.http_url(),
        extra: &folder.join("extra.conf"),
    };
    let text = task::configuration(&places);
    let extra = file::configuration(folder, places.endpoint, task::REGION);
    std::fs::write(&configuration, &text).context("cannot write the configuration")?;
    std::fs::write(places.extra, &extra).context("cannot write the configuration")?;
    std::fs::write(folder.join(file::PARSERS_FILE), file::PARSERS).context("cannot write the parsers")?;
    println!("configuration, as the ECS agent generates it:\n{}", indented(&text));
    println!("what the team adds to it, extra.conf:\n{}", indented(&extra));
    println!("and its parser:\n{}", indented(file::PARSERS));

    let mut router = Router::start(program, &configuration, &log)?;
    router.wait_until_listening(&socket, places.health_port, START)?;
    check_health(places.health_port)?;
    let lines = options.records / 10;
    println!(
        "ikada listens and is healthy; {} records and {} lines of a file follow",
        grouped(options.records),
        grouped(lines)
    );

    let (began, trail) = (Instant::now(), Trail::new());
    let sent = send(options.records, &socket, (trail, &folder.join("audit.log"), lines), aws, &mut router)?;
    // What is read from a socket is delivered at the stop; what is left in a file would be read by the next router.
    wait_for_file(aws, lines, &mut router)?;
    let written = began.elapsed();
    println!("everything is written and the file is read after {:.1} s; SIGTERM", written.as_secs_f64());
    router.terminate()?;
    let total = sent.iter().sum::<u64>() + lines;
    let mut progress = Progress::new(total);
    let status = router.wait(END, || progress.show(total, arrived::delivered(&aws.report())))?;
    progress.finish(total, arrived::delivered(&aws.report()));
    println!(
        "ikada ended after another {:.1} s: {status}. Its last lines:",
        (began.elapsed() - written).as_secs_f64()
    );
    println!("{}\n", indented(&router.last_lines(11)));

    let report = aws.report();
    let mut arrivals: Vec<Arrival> = Container::ALL
        .iter()
        .zip(sent)
        .map(|(container, sent)| Arrival::of_container(*container, sent, aws, &report))
        .collect();
    arrivals.push(Arrival::of_file(lines, aws, &report));
    let checked = Checked::of(aws, trail, lines)?;
    println!("{}", arrived::content(aws)?);
    println!("{}", arrived::file_content(&checked, lines));
    println!("{}", arrived::table(&arrivals));
    let is_complete = arrivals.iter().all(Arrival::is_complete) && checked.is_exact(lines);
    println!("{}", verdict(is_complete, status.success()));
    Ok(is_complete && status.success())
}

fn verdict(is_complete: bool, ended_well: bool) -> &'static str {
    match (is_complete, ended_well) {
        (true, true) => "Every record arrived exactly once, and ikada ended with exit code 0.",
        (true, false) => "Every record arrived exactly once, but ikada did not end with exit code 0.",
        (false, _) => "Records were lost, doubled or changed.",
    }
}

/// Waits until all lines of the file are in S3.
fn wait_for_file(aws: &LocalAws, lines: u64, router: &mut Router) -> Result<()> {
    let start = Instant::now();
    while arrived::delivered_of_file(&aws.report()) < lines {
        if let Some(status) = router.has_ended()? {
            bail!("the router ended in the middle ({status}):\n{}", router.last_lines(20));
        }
        if start.elapsed() > START {
            bail!("the file does not arrive:\n{}", router.last_lines(20));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Builds the program and finds it.
fn build(release: bool) -> Result<PathBuf> {
    let mut command = cargo([
        "build",
        "--package",
        "ikada",
        "--bin",
        "ikada",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if release {
        command.arg("--release");
    }
    let built = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !built.status.success() {
        bail!("ikada does not build");
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo names no program that it built")
}

/// The port that ECS uses, or any free one where that is taken.
fn port(usual: u16) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", usual)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    Ok(listener.context("there is no free port")?.local_addr()?.port())
}

/// Asks as the ECS agent's documentation tells people to: one JSON object without an end of line, then the end.
fn check_health(port: u16) -> Result<()> {
    let asked = || {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.write_all(br#"{"health": "check"}"#)?;
        connection.shutdown(std::net::Shutdown::Write)?;
        connection.set_read_timeout(Some(START))?;
        connection.read_to_end(&mut Vec::new())
    };
    asked().map(|_| ()).context("the health check failed")
}

/// Plays all containers at once, each over a connection of its own, and the file; returns how many records each container has written.
fn send(
    records: u64,
    socket: &Path,
    (trail, file, lines): (Trail, &Path, u64),
    aws: &LocalAws,
    router: &mut Router,
) -> Result<[u64; 3]> {
    let counts = Container::ALL.map(|container| records * container.share() / 10);
    let total = counts.iter().sum::<u64>() + lines;
    let (sent, in_file) = (Container::ALL.map(|_| AtomicU64::new(0)), AtomicU64::new(0));
    let all = || {
        let of_containers = sent.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        of_containers + in_file.load(Ordering::Relaxed)
    };
    let mut progress = Progress::new(total);
    std::thread::scope(|scope| -> Result<()> {
        let players: Vec<_> = Container::ALL
            .iter()
            .zip(counts)
            .zip(&sent)
            .map(|((container, count), sent)| {
                scope.spawn(move || traffic::play(socket, *container, count, sent))
            })
            .collect();
        let writer = scope.spawn(|| trail.play(file, lines, &in_file));
        while !players.iter().all(|player| player.is_finished()) {
            progress.show(all(), arrived::delivered(&aws.report()));
            std::thread::sleep(Duration::from_millis(100));
            if let Some(status) = router.has_ended()? {
                bail!("the router ended in the middle ({status}):\n{}", router.last_lines(20));
            }
        }
        for (player, container) in players.into_iter().zip(Container::ALL) {
            let played = player.join().map_err(|_| anyhow::anyhow!("a player panicked"))?;
            played.with_context(|| format!("the router does not take the logs of `{}`", container.name()))?;
        }
        let written = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        written.context("cannot write the file")
    })?;
    progress.finish(all(), arrived::delivered(&aws.report()));
    Ok(sent.map(AtomicU64::into_inner))
}

fn indented(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect()
}
