//! What a stop does with what is on its way.

use ikada_forward::Settings;
use tokio::io::AsyncWriteExt;

use crate::harness::{message, start};

#[tokio::test]
async fn what_is_in_a_unix_socket_at_a_stop_is_read_and_its_peer_is_told() {
    let running = start(Settings::default(), false).await;
    running.router.close();
    let mut client = running.client().await;
    // The reader takes this one and waits with it at the closed router.
    client.send(&message("t", "0", Some("0"))).await;
    let mut sent = 1;
    while sent < 100 {
        client.send(&message("t", &sent.to_string(), None)).await;
        sent += 1;
    }
    running.stop.cancel();
    // Writing fails as soon as the input has heard of the stop, though the router is still closed.
    while client.stream.write_all(&message("t", "late", None)).await.is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    running.router.open();
    let router = running.router.clone();
    running.ended().await;
    assert_eq!(router.seen().len(), sent);
}

#[tokio::test]
async fn what_is_in_a_tcp_socket_at_a_stop_is_read() {
    let running = start(Settings::default(), true).await;
    running.router.close();
    let mut client = running.tcp_client().await;
    for n in 0..100 {
        client.send(&message("t", &n.to_string(), None)).await;
    }
    running.stop.cancel();
    running.router.open();
    let router = running.router.clone();
    running.ended().await;
    assert_eq!(router.seen().len(), 100);
}

#[tokio::test]
async fn a_peer_that_connected_just_before_the_stop_is_heard() {
    let running = start(Settings::default(), false).await;
    // On this single thread the input cannot accept before the stop is there.
    let mut stream = std::os::unix::net::UnixStream::connect(&running.path).unwrap();
    std::io::Write::write_all(&mut stream, &message("t", "m", None)).unwrap();
    running.stop.cancel();
    let router = running.router.clone();
    running.ended().await;
    assert_eq!(router.seen().len(), 1);
}

#[tokio::test]
async fn a_stop_waits_for_answers_that_are_owed() {
    for tcp in [false, true] {
        let running = start(Settings::default(), true).await;
        running.router.hold();
        let (mut unix, mut inet) = (running.client().await, running.tcp_client().await);
        match tcp {
            true => inet.send(&message("t", "m", Some("late"))).await,
            false => unix.send(&message("t", "m", Some("late"))).await,
        }
        running.router.until("the share", |router| router.held() == 1).await;
        running.stop.cancel();
        // The other connection ends although this one is still owed an answer.
        match tcp {
            true => assert_eq!(unix.answer().await, None),
            false => assert_eq!(inet.answer().await, None),
        }
        running.router.settle(1);
        let answer = if tcp { inet.answer().await } else { unix.answer().await };
        assert_eq!(answer.as_deref(), Some("late"));
        running.ended().await;
    }
}

#[tokio::test]
async fn a_stop_ends_when_the_router_gives_up_what_was_to_be_answered() {
    let running = start(Settings::default(), false).await;
    running.router.hold();
    let mut client = running.client().await;
    client.send(&message("t", "m", Some("never"))).await;
    running.router.until("the share", |router| router.held() == 1).await;
    running.stop.cancel();
    running.router.abandon(1);
    assert_eq!(client.answer().await, None);
    running.ended().await;
}

#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let running = start(Settings::default(), true).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(running.client().await);
    }
    let tcp = running.tcp_client().await;
    running.finish().await;
    drop((clients, tcp));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_pauses_does_not_keep_the_input_from_stopping() {
    let running = start(Settings::default(), true).await;
    let frames = message("t", "flood", None).repeat(1000);
    let unix = std::os::unix::net::UnixStream::connect(&running.path).unwrap();
    let tcp = std::net::TcpStream::connect(running.address.unwrap()).unwrap();
    let writers = [flood(unix, frames.clone()), flood(tcp, frames)];
    running.router.until_seen(10_000).await;
    running.finish().await;
    for writer in writers {
        tokio::task::spawn_blocking(|| writer.join().unwrap()).await.unwrap();
    }
}

/// Writes until the peer hangs up.
fn flood(mut stream: impl std::io::Write + Send + 'static, frames: Vec<u8>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || while stream.write_all(&frames).is_ok() {})
}
