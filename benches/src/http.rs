//! The little HTTP that it takes to ask for a page on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for a page and reads it as JSON.
///
/// In HTTP/1.0, so that the answer is not parted into chunks and ends where the connection ends or its length says.
pub(crate) fn get_json<T: DeserializeOwned>(port: u16, path: &str) -> Result<T> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let body = body(&answer).with_context(|| format!("{path} is not answered with a page"))?;
    serde_json::from_slice(body).with_context(|| format!("{path} is not answered as expected"))
}

fn body(answer: &[u8]) -> Result<&[u8]> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("the head has no end")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status}");
    }
    Ok(&answer[end + 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_stands_behind_the_first_empty_line() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}\r\n\r\n").unwrap(), b"{}\r\n\r\n");
        assert!(body(b"HTTP/1.1 404 Not Found\r\n\r\n{}").is_err());
        assert!(body(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
