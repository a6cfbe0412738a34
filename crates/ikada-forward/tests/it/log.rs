//! What people read.

use std::io;
use std::sync::{Arc, Mutex};

use ikada_forward::{Forward, Settings, UnixPath};
use ikada_plugin::Input;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{Watcher, context, start};

/// Log lines of this thread, on which all of a test runs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_start_says_where_it_listens() {
    let (lines, _guard) = Lines::capture();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fluent.sock");
    let unix = Some(UnixPath { path: path.clone(), mode: None });
    let tcp = Some(("127.0.0.1".to_owned(), 0));
    let mut input = Forward::new(Settings { unix, tcp, ..Settings::default() });
    input.open(&context(Arc::new(Watcher::default()))).await.unwrap();
    let text = lines.text();
    assert!(text.contains(&format!("listening on unix://{} ", path.display())), "{text}");
    assert!(text.contains("listening on 127.0.0.1:0 "), "{text}");
    assert!(text.contains("instance=input:forward:forward.0"), "{text}");
}

#[tokio::test]
async fn a_peer_that_misbehaves_again_and_again_gets_one_line_and_a_count() {
    let (lines, _guard) = Lines::capture();
    let running = start(Settings::default(), false).await;
    for _ in 0..3 {
        let mut client = running.client().await;
        client.send(b"\x93\xa1t\xcb\x00\x00\x00\x00\x00\x00\x00\x00\x80").await;
        assert_eq!(client.answer().await, None);
    }
    let path = running.path.clone();
    running.finish().await;
    let text = lines.text();
    let told: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(told.len(), 2, "{text}");
    let expected = format!(
        "unix://{}: closed the connection: the time is neither an integer from 0 on nor an EventTime",
        path.display()
    );
    assert!(told[0].contains(&expected), "{text}");
    assert!(told[1].contains("2 more refusals were not logged one by one"), "{text}");
}

#[tokio::test]
async fn a_frame_over_the_limit_is_told_with_the_option_to_raise() {
    let (lines, _guard) = Lines::capture();
    let running = start(Settings { limit: 1000, ..Settings::default() }, false).await;
    let mut client = running.client().await;
    client.send(&crate::harness::message("t", &"x".repeat(1000), None)).await;
    assert_eq!(client.answer().await, None);
    running.finish().await;
    let text = lines.text();
    assert!(text.contains("over Buffer_Max_Size (1000 bytes); raise it if it is meant to be"), "{text}");
}
