//! Socket files and ports at start and stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use ikada_forward::{Forward, Settings, UnixPath};
use ikada_plugin::{Input, InputError};

use crate::harness::{Watcher, context, message, start};

async fn open(path: &Path, mode: Option<u32>) -> Result<Box<Forward>, InputError> {
    let unix = Some(UnixPath { path: path.to_owned(), mode });
    let mut input = Box::new(Forward::new(Settings { unix, ..Settings::default() }));
    input.open(&context(Arc::new(Watcher::default()))).await?;
    Ok(input)
}

fn told(error: &InputError) -> String {
    let cause = std::error::Error::source(error).unwrap();
    format!("{error}: {cause}")
}

#[tokio::test]
async fn both_kinds_of_socket_are_served_at_once() {
    let running = start(Settings::default(), true).await;
    running.client().await.send(&message("t", "unix", None)).await;
    running.tcp_client().await.send(&message("t", "tcp", None)).await;
    running.router.until_seen(2).await;
    running.finish().await;
}

#[tokio::test]
async fn a_socket_left_over_is_replaced_and_taken_away_at_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let input = open(&path, Some(0o622)).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o622);
    let cx = context(Arc::new(Watcher::default()));
    cx.stop.cancel();
    input.run(cx).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_somebody_else_put_there_meanwhile_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let input = open(&path, None).await.unwrap();
    // Bound beside and moved over: a file removed first could give its inode to the next.
    let _other = UnixListener::bind(dir.path().join("other")).unwrap();
    fs::rename(dir.path().join("other"), &path).unwrap();
    let cx = context(Arc::new(Watcher::default()));
    cx.stop.cancel();
    input.run(cx).await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_regular_file_in_its_place_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    fs::write(&path, "precious").unwrap();
    let error = told(&open(&path, None).await.err().unwrap());
    assert!(error.starts_with(&format!("could not listen on unix://{}: ", path.display())), "{error}");
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("run");
    let error = told(&open(&missing.join("deeper/s"), None).await.err().unwrap());
    assert!(error.contains(&format!("the directory {} does not exist", missing.display())), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let tcp = Some(("127.0.0.1".to_owned(), port));
    let mut input = Forward::new(Settings { tcp, ..Settings::default() });
    let error = input.open(&context(Arc::new(Watcher::default()))).await.unwrap_err();
    assert_eq!(error.to_string(), format!("could not listen on 127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_socket_file_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = Some(("127.0.0.1".to_owned(), taken.local_addr().unwrap().port()));
    let unix = Some(UnixPath { path: path.clone(), mode: None });
    let mut input = Forward::new(Settings { tcp, unix, ..Settings::default() });
    input.open(&context(Arc::new(Watcher::default()))).await.unwrap_err();
    drop(input);
    assert!(!path.exists());
}
