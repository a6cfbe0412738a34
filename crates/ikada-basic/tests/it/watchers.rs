//! Inputs that look at the machine (reference, inputs §4.7 and §4.8).

use crate::rig::{context, input, run};

/// The first record of an input that looks every 10 ms.
async fn first(plugin: &str, options: &str) -> String {
    let (built, findings) =
        input(plugin, format!("interval_sec 0\ninterval_nsec 10000000\n{options}").trim_end());
    assert_eq!(findings, Vec::<String>::new());
    let mut built = built.unwrap();
    let (cx, router) = context(plugin, 10);
    built.open(&cx).await.unwrap();
    let running = run(built, cx, router);
    running.router.until(|router| !router.records().is_empty()).await;
    running.finish().await.records().remove(0)
}

fn keys(record: &str) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(record).unwrap();
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn cpu_says_how_busy_the_processors_are() {
    let record = first("cpu", "").await;
    let keys = keys(&record);
    assert_eq!(keys[..6], ["cpu_p", "user_p", "system_p", "cpu0.p_cpu", "cpu0.p_user", "cpu0.p_system"]);
    assert!(record.contains("\"cpu_p\":") && record.contains('.'), "{record}");
}

#[tokio::test]
async fn cpu_says_what_one_process_takes() {
    let record = first("cpu", &format!("pid {}", std::process::id())).await;
    assert_eq!(keys(&record), ["cpu_p", "user_p", "system_p"]);
}

#[tokio::test]
async fn mem_says_how_much_is_used() {
    let record = first("mem", "").await;
    assert_eq!(keys(&record), ["Mem.total", "Mem.used", "Mem.free", "Swap.total", "Swap.used", "Swap.free"]);
}

#[tokio::test]
async fn head_reads_the_beginning_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, "l1\nl2\nl3\n").unwrap();
    let head = async |options: &str| first("head", &format!("file {}\n{options}", file.display())).await;
    assert_eq!(head("").await, "{\"head\":\"l1\\nl2\\nl3\\n\"}");
    assert_eq!(head("buf_size 4\nkey k").await, "{\"k\":\"l1\\nl\"}");
    assert_eq!(head("lines 2").await, "{\"head\":\"l1\\nl2\\n\"}");
    assert_eq!(head("lines 2\nsplit_line on").await, "{\"line0\":\"l1\",\"line1\":\"l2\"}");
    assert_eq!(
        head("lines 1\nadd_path on").await,
        format!("{{\"head\":\"l1\\n\",\"path\":\"{}\"}}", file.display())
    );
}

#[tokio::test]
async fn head_counts_whole_lines_unless_it_splits_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    let head = async |options: &str| first("head", &format!("file {}\n{options}", file.display())).await;
    let long = "x".repeat(300);
    std::fs::write(&file, format!("s\n{long}\nm\n")).unwrap();
    assert_eq!(head("lines 2").await, format!("{{\"head\":\"s\\n{long}\\n\"}}"));
    assert_eq!(head("lines 2\nbuf_size 9").await, format!("{{\"head\":\"s\\n{long}\\n\"}}"));
    let split = head("lines 2\nbuf_size 9\nsplit_line on").await;
    assert_eq!(split, "{\"line0\":\"s\",\"line1\":\"xxxxxxxxx\"}");
    // What is longer still goes on in the next line.
    std::fs::write(&file, "x".repeat(1_000_001)).unwrap();
    let len = async |options: &str| head(options).await.len() - "{\"head\":\"\"}".len();
    assert_eq!((len("lines 1").await, len("lines 2").await), (1_000_000, 1_000_001));
}

#[tokio::test]
async fn head_splits_ten_lines_if_none_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, "l\n".repeat(12)).unwrap();
    let record = first("head", &format!("file {}\nbuf_size 4\nsplit_line on", file.display())).await;
    assert_eq!((keys(&record).len(), keys(&record).last().unwrap().as_str()), (10, "line9"));
}
