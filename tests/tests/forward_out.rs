//! The output `forward` between two programs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use ikada_tests::docker::arrived;
use ikada_tests::{Router, Writer, free_port, wait_for};

/// A router that takes numbered lines on its unix socket and sends them to a port.
fn sender(port: u16, options: &str) -> Router {
    Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name forward\n    unix_path {{dir}}/fluent.sock\n[OUTPUT]\n    Name forward\n    Match *\n    \
         Port {port}\n{options}"
    ))
}

/// A router that takes what comes on a port into a file of this name.
fn receiver(file: &str, port: u16, options: &str) -> String {
    format!(
        "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}\n{options}[OUTPUT]\n    Name file\n    Match *\n    \
         format msgpack\n    path {{dir}}\n    file {file}\n"
    )
}

/// The lines in a file, in order.
fn logs(file: &Path) -> Vec<String> {
    arrived(file).iter().map(|entry| entry.text("log").to_owned()).collect()
}

#[test]
fn with_answers_nothing_is_lost_when_the_receiver_is_killed_again_and_again() {
    const LINES: usize = 20_000;
    const KILLS: usize = 4;
    let port = free_port();
    let key = "    Shared_Key k\n";
    // A kill may cut an entry off, so that nobody can tell what comes behind it in that file: each receiver has its own.
    let name = |kill: usize| format!("got-{kill}");
    let mut second = Router::start(&receiver(&name(1), port, key));
    let dir = second.shared_dir();
    let got = |kill: usize| dir.path().join(name(kill));
    let mut first = sender(port, &format!("    Require_ack_response on\n{key}"));
    let mut writer = Writer::connect(&first.socket(), "app", "c");
    for kill in 1..=KILLS {
        writer.write((LINES / KILLS) as u64);
        wait_for("lines through this receiver", || !arrived(&got(kill)).is_empty());
        if kill < KILLS {
            second.signal(rustix::process::Signal::KILL);
            second.wait();
            second = Router::start_in(dir.clone(), &receiver(&name(kill + 1), port, key), &[]);
        }
    }
    let all =
        || (1..=KILLS).flat_map(|kill| logs(&got(kill))).collect::<std::collections::BTreeSet<_>>().len();
    wait_for("all lines", || all() == LINES);
    assert_eq!(first.stop().code(), Some(0), "{}", first.log());
    assert_eq!(second.stop().code(), Some(0), "{}", second.log());
}

/// A running Fluent Bit. Killed when it is dropped.
struct FluentBit(Child);

impl Drop for FluentBit {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn fluent_bit_takes_what_is_sent_in_every_shape() {
    let Some(program) = std::env::var_os("FLUENT_BIT_BIN") else {
        eprintln!("skipped: FLUENT_BIT_BIN is not set");
        return;
    };
    const LINES: usize = 500;
    for options in [
        "",
        "    Require_ack_response on\n",
        "    Compress gzip\n    Require_ack_response on\n",
        "    Retain_Metadata_In_Forward_Mode off\n    Send_options on\n",
        "    Time_as_Integer on\n",
        "    Tag x.$source\n",
    ] {
        let port = free_port();
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fb.conf");
        std::fs::write(
            &config,
            format!(
                "[SERVICE]\n    Flush 0.1\n    Log_Level warn\n[INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}\n    Shared_Key k\n    \
                 Self_Hostname there\n    Security.Users ann pass word\n[OUTPUT]\n    Name file\n    Match *\n    Format plain\n    Path {}\n    File got\n",
                dir.path().display()
            ),
        )
        .unwrap();
        let child = Command::new(&program).arg("-c").arg(&config).stdout(Stdio::null()).spawn().unwrap();
        let _other = FluentBit(child);
        wait_for("Fluent Bit listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let mut first =
            sender(port, &format!("    Shared_Key k\n    Username ann\n    Password pass word\n{options}"));
        let mut writer = Writer::connect(&first.socket(), "app", "c");
        writer.write(LINES as u64);
        let got = dir.path().join("got");
        let count = || std::fs::read_to_string(&got).unwrap_or_default().lines().count();
        wait_for("all lines", || count() >= LINES);
        assert_eq!(first.stop().code(), Some(0), "{options}: {}", first.log());
        assert_eq!(count(), LINES, "{options}");
    }
}
