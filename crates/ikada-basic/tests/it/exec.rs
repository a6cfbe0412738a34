//! `exec` with real commands (reference, inputs §4.7), and where Ikada does better.

use crate::rig::{Running, context, input, run};

async fn start(options: &str) -> Running {
    let (built, findings) = input("exec", options);
    assert_eq!(findings, Vec::<String>::new());
    let mut exec = built.unwrap();
    let (cx, router) = context("exec", 10);
    exec.open(&cx).await.unwrap();
    run(exec, cx, router)
}

/// The first records of a command that runs once.
async fn once(options: &str, records: usize) -> Vec<String> {
    let running = start(&format!("oneshot on\n{options}")).await;
    running.router.until(|router| router.records().len() >= records).await;
    running.finish().await.records()
}

#[tokio::test]
async fn each_line_is_a_record_and_an_empty_one_too() {
    let records = once("command printf 'a\\n\\nlast'", 3).await;
    assert_eq!(records, ["{\"exec\":\"a\"}", "{\"exec\":\"\"}", "{\"exec\":\"last\"}"]);
}

#[tokio::test]
async fn a_long_line_comes_in_pieces() {
    let records = once("command printf 123456789\nbuf_size 5", 3).await;
    assert_eq!(records, ["{\"exec\":\"1234\"}", "{\"exec\":\"5678\"}", "{\"exec\":\"9\"}"]);
}

#[tokio::test]
async fn a_parser_reads_lines_and_what_it_cannot_read_is_kept() {
    let records = once("command echo '{\"a\":1}'; echo odd\nparser json", 2).await;
    assert_eq!(records, ["{\"a\":1}", "{\"exec\":\"odd\"}"]);
}

#[tokio::test]
async fn a_command_runs_again_and_again() {
    let running = start("command echo x\ninterval_sec 0\ninterval_nsec 20000000").await;
    running.router.until(|router| router.records().len() >= 3).await;
    running.finish().await;
}

#[tokio::test]
async fn a_stop_ends_a_command_that_would_go_on_and_takes_its_last_words() {
    let running =
        start("oneshot on\ncommand echo begin; trap 'echo end; exit' TERM; while true; do sleep 0.05; done")
            .await;
    running.router.until(|router| router.records().len() == 1).await;
    assert_eq!(running.finish().await.records(), ["{\"exec\":\"begin\"}", "{\"exec\":\"end\"}"]);
}

#[tokio::test]
async fn the_program_stops_after_a_command_that_is_to_be_the_last() {
    let (built, _) = input("exec", "command echo x\nexit_after_oneshot on");
    let (cx, router) = context("exec", 10);
    let quit = cx.quit.clone();
    let running = run(built.unwrap(), cx, router);
    quit.cancelled().await;
    assert_eq!(running.finish().await.records(), ["{\"exec\":\"x\"}"]);
}
