//! The handshake over a real connection.

use ikada_forward::client::Login;
use ikada_forward::{Guard, Settings};

use crate::harness::{message, start};

const BOB: Login<'static> = Login { hostname: "client", key: "the key", user: "bob", password: "pass word" };

fn guarded() -> Settings {
    let guard = Guard::new("the key", "server", &[("ann", "one"), ("bob", "pass word")]);
    Settings { guard: Some(guard), ..Settings::default() }
}

#[tokio::test]
async fn who_is_let_in_may_send_at_once() {
    let running = start(guarded(), true).await;
    let mut client = running.tcp_client().await;
    let helo = client.value().await.unwrap();
    // Fluent Bit loses a frame in the same segment as the PING.
    let ping = BOB.ping(&helo, b"salt").unwrap();
    client.send(&[ping, message("t", "m", Some("t"))].concat()).await;
    let pong = client.value().await.unwrap();
    assert!(BOB.accepts(&helo, b"salt", &pong));
    assert_eq!(client.answer().await.as_deref(), Some("t"));
    running.finish().await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_and_sends_nothing() {
    for login in [Login { key: "another", ..BOB }, Login { password: "one", ..BOB }] {
        let running = start(guarded(), false).await;
        let mut client = running.client().await;
        let helo = client.value().await.unwrap();
        let ping = login.ping(&helo, b"salt").unwrap();
        client.send(&[ping, message("t", "m", Some("t"))].concat()).await;
        let pong = client.value().await.unwrap();
        assert!(!login.accepts(&helo, b"salt", &pong));
        assert_eq!(client.value().await, None);
        assert_eq!(running.metrics.closed_connections.get(), 1);
        assert!(running.router.seen().is_empty());
        running.finish().await;
    }
}

#[tokio::test]
async fn who_skips_the_handshake_sends_nothing() {
    let running = start(guarded(), false).await;
    let mut client = running.client().await;
    client.send(&message("t", "m", None)).await;
    client.value().await.unwrap();
    client.value().await;
    assert_eq!(client.value().await, None);
    assert!(running.router.seen().is_empty());
    running.finish().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handshake() {
    let running = start(guarded(), false).await;
    let mut client = running.client().await;
    client.value().await.unwrap();
    running.finish().await;
}
