//! `systemd` with a program in the place of `journalctl` that plays a journal of numbered entries (reference, inputs §4.6).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ikada_basic::systemd::Systemd;
use ikada_plugin::{Input, Kind};

use crate::rig::{Running, Section, context, input, run};

/// A journal of `count` entries: it begins behind the cursor it is given, then waits as `--follow` does. Its arguments are added to the file `args`.
fn journal(dir: &Path, count: usize) -> PathBuf {
    let script = format!(
        r#"#!/bin/sh
echo "$*" >> {dir}/args
n=0
for a in "$@"; do case "$a" in --after-cursor=*) n=${{a#--after-cursor=c}};; esac; done
while [ $n -lt {count} ]; do
  n=$((n + 1))
  echo "{{\"__CURSOR\":\"c$n\",\"__REALTIME_TIMESTAMP\":\"170000000000000$((n % 10))\",\"_SYSTEMD_UNIT\":\"u$((n % 2)).service\",\"MESSAGE\":\"m$n\"}}"
done
exec sleep 1000
"#,
        dir = dir.display()
    );
    let path = dir.join("journalctl");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn start(program: &Path, options: &str) -> Running {
    let mut section = Section::new(Kind::Input, "systemd", options);
    let systemd = Systemd::build(&mut section.bag, &section.cx, &mut section.found).unwrap();
    let mut systemd = systemd.with_program(program);
    let (cx, router) = context("systemd", 10);
    systemd.open(&cx).await.unwrap();
    run(Box::new(systemd), cx, router)
}

#[tokio::test]
async fn entries_are_records_under_the_tag_of_their_unit() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(&journal(dir.path(), 2), "tag host.*\nlowercase on\nstrip_underscores on").await;
    running.router.until(|router| router.records().len() == 2).await;
    let router = running.finish().await;
    let mut seen: Vec<_> =
        router.seen().into_iter().map(|seen| format!("{} {}", seen.tag, seen.records[0])).collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "host.u0.service {\"systemd_unit\":\"u0.service\",\"message\":\"m2\"}",
            "host.u1.service {\"systemd_unit\":\"u1.service\",\"message\":\"m1\"}",
        ]
    );
}

#[tokio::test]
async fn a_start_goes_on_where_everything_had_settled() {
    let dir = tempfile::tempdir().unwrap();
    let options = format!("db {}/j.db", dir.path().display());
    let running = start(&journal(dir.path(), 30), &options).await;
    running.router.until(|router| router.records().len() == 30).await;
    // The watcher keeps the chunks, so nothing has settled: a stop must not write a cursor.
    let args = || std::fs::read_to_string(dir.path().join("args")).unwrap();
    assert!(args().contains("--lines=all") && !args().contains("--after-cursor"));
    running.router.forget();
    let router = running.finish().await;
    assert_eq!(router.records(), Vec::<String>::new());

    let running = start(&journal(dir.path(), 35), &options).await;
    running.router.until(|router| router.records().len() == 5).await;
    running.router.forget();
    running.finish().await;
    assert!(args().lines().last().unwrap().contains("--after-cursor=c30"), "{}", args());
}

#[tokio::test]
async fn filters_path_and_tail_are_told_to_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(
        &journal(dir.path(), 0),
        "path /j\nsystemd_filter _SYSTEMD_UNIT=a.service\nsystemd_filter PRIORITY=3\nread_from_tail on",
    )
    .await;
    let file = dir.path().join("args");
    while !std::fs::read_to_string(&file).is_ok_and(|args| args.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
    running.finish().await;
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "--output=json --all --follow --quiet --no-pager --lines=0 --directory=/j _SYSTEMD_UNIT=a.service + PRIORITY=3\n"
    );
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let (built, lines) = input("systemd", "systemd_filter docker");
    assert!(built.is_none());
    assert!(
        lines[0].starts_with("a.conf:1:16: error[bad-value]: `docker` is no field and value"),
        "{lines:?}"
    );
}
