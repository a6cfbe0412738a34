//! The handshake of peers that share a key.
//!
//! ```text
//! server → client   ["HELO", {"nonce": N, "auth": A, "keepalive": true}]
//! client → server   ["PING", host, salt, sha512(salt host N key), user, sha512(A user password)]
//! server → client   ["PONG", true, "", our host, sha512(salt, our host, N, key)]   or   ["PONG", false, reason, "", ""]
//! ```
//!
//! Digests are written in hexadecimal. `A` is empty where no users are configured. Nobody learns more than that a peer knows the
//! key: entries still travel in the clear.

use std::fmt;

use bytes::{Buf, BytesMut};
use ikada_msgpack::{ArrayView, Scanner, View, write};
use sha2::{Digest, Sha512};

use crate::socket::{Looked, Socket};

/// Bytes a PING may have.
const LIMIT: usize = 64 * 1024;

/// What a peer must know before it may send.
#[derive(Clone)]
pub struct Guard {
    key: Vec<u8>,
    hostname: String,
    users: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Guard {
    /// A guard that asks for `key`, calls itself `hostname`, and lets only these users with their passwords in, if there are any.
    #[must_use]
    pub fn new(key: &str, hostname: &str, users: &[(&str, &str)]) -> Self {
        let users = users.iter().map(|(user, password)| (user.as_bytes().into(), password.as_bytes().into()));
        Self { key: key.into(), hostname: hostname.to_owned(), users: users.collect() }
    }

    /// A greeting for one connection.
    pub(crate) fn hello(&self) -> Hello {
        let auth = if self.users.is_empty() { Vec::new() } else { rand::random::<[u8; 16]>().to_vec() };
        Hello { nonce: rand::random(), auth }
    }

    /// The answer to a PING, and why it is no, if it is.
    pub(crate) fn judge(&self, hello: &Hello, ping: &[u8]) -> (Vec<u8>, Option<Refusal>) {
        let Some(ping) = Ping::read(ping) else { return (no("wrong ping"), Some(Refusal::NoPing)) };
        let expected = digest(&[ping.salt, ping.host, &hello.nonce, &self.key]);
        if !same(ping.key_digest, expected.as_bytes()) {
            return (no("shared_key mismatch"), Some(Refusal::Key));
        }
        if !self.users.is_empty() && !self.knows(hello, &ping) {
            return (no("username/password mismatch"), Some(Refusal::User));
        }
        let own = digest(&[ping.salt, self.hostname.as_bytes(), &hello.nonce, &self.key]);
        (pong(true, "", &self.hostname, &own), None)
    }

    fn knows(&self, hello: &Hello, ping: &Ping<'_>) -> bool {
        self.users.iter().any(|(user, password)| {
            let expected = digest(&[&hello.auth, user, password]);
            user == ping.user && same(ping.password_digest, expected.as_bytes())
        })
    }
}

/// Shows no key and no password.
impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

/// What one connection was greeted with.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) nonce: [u8; 16],
    pub(crate) auth: Vec<u8>,
}

impl Hello {
    /// The greeting. All is of string type: some clients take nothing else (reference, "Handshake").
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array_header(&mut out, 2);
        write::str(&mut out, b"HELO");
        write::map_header(&mut out, 3);
        write::str(&mut out, b"nonce");
        write::str(&mut out, &self.nonce);
        write::str(&mut out, b"auth");
        write::str(&mut out, &self.auth);
        write::str(&mut out, b"keepalive");
        write::bool(&mut out, true);
        out
    }
}

/// Why a peer was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it hung up during the handshake")]
    Gone,
    #[error("it did not answer the handshake in time")]
    Late,
    #[error("it did not answer the handshake with a PING")]
    NoPing,
    #[error("its shared key is not ours")]
    Key,
    #[error("its user or password is not known")]
    User,
}

/// Greets a peer and hears its answer. Returns what came behind the answer.
pub(crate) async fn shake_hands(guard: &Guard, socket: &mut Socket) -> Result<BytesMut, Refusal> {
    let hello = guard.hello();
    socket.write_all(&hello.encode()).await.map_err(|_| Refusal::Gone)?;
    let (mut buf, mut scanner) = (BytesMut::with_capacity(1024), Scanner::new());
    let len = loop {
        socket.readable().await.map_err(|_| Refusal::Gone)?;
        match socket.look(&mut buf).map_err(|_| Refusal::Gone)? {
            Looked::Empty => continue,
            Looked::End => return Err(Refusal::Gone),
            Looked::Bytes(_) => {}
        }
        if let Some(len) = scanner.advance(&buf).map_err(|_| Refusal::NoPing)? {
            break len;
        }
        if buf.len().max(scanner.needed()) > LIMIT {
            return Err(Refusal::NoPing);
        }
    };
    let (answer, refusal) = guard.judge(&hello, &buf[..len]);
    socket.write_all(&answer).await.map_err(|_| Refusal::Gone)?;
    buf.advance(len);
    refusal.map_or(Ok(buf), Err)
}

struct Ping<'a> {
    host: &'a [u8],
    salt: &'a [u8],
    key_digest: &'a [u8],
    user: &'a [u8],
    password_digest: &'a [u8],
}

impl<'a> Ping<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let array = View::parse(bytes).ok()?.0.as_array()?;
        let text = |array: &ArrayView<'a>, at| array.get(at)?.as_str();
        if array.len() != 6 || text(&array, 0)? != b"PING" {
            return None;
        }
        Some(Self {
            host: text(&array, 1)?,
            salt: text(&array, 2)?,
            key_digest: text(&array, 3)?,
            user: text(&array, 4)?,
            password_digest: text(&array, 5)?,
        })
    }
}

fn no(reason: &str) -> Vec<u8> {
    pong(false, reason, "", "")
}

fn pong(welcome: bool, reason: &str, hostname: &str, digest: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::array_header(&mut out, 5);
    write::str(&mut out, b"PONG");
    write::bool(&mut out, welcome);
    for text in [reason, hostname, digest] {
        write::str(&mut out, text.as_bytes());
    }
    out
}

/// SHA-512 over the parts, in hexadecimal.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut sha = Sha512::new();
    for part in parts {
        sha.update(part);
    }
    let mut hex = String::with_capacity(128);
    for byte in sha.finalize() {
        for half in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
    hex
}

/// Compares without telling by its duration where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Login;

    fn pong_of(guard: &Guard, login: &Login<'_>) -> (bool, Option<Refusal>) {
        let hello = guard.hello();
        let ping = login.ping(&hello.encode(), b"salt").unwrap();
        let (pong, refusal) = guard.judge(&hello, &ping);
        (login.accepts(&hello.encode(), b"salt", &pong), refusal)
    }

    #[test]
    fn who_knows_key_and_password_is_let_in_and_can_check_the_server() {
        let guard = Guard::new("key", "server", &[]);
        let login = Login { hostname: "client", key: "key", user: "", password: "" };
        assert_eq!(pong_of(&guard, &login), (true, None));
        assert_eq!(pong_of(&guard, &Login { key: "other", ..login }), (false, Some(Refusal::Key)));

        let guard = Guard::new("key", "server", &[("ann", "one"), ("bob", "pass word")]);
        let bob = Login { user: "bob", password: "pass word", ..login };
        assert_eq!(pong_of(&guard, &bob), (true, None));
        assert_eq!(pong_of(&guard, &Login { password: "one", ..bob }), (false, Some(Refusal::User)));
        assert_eq!(pong_of(&guard, &login), (false, Some(Refusal::User)));
    }

    #[test]
    fn what_is_no_ping_is_refused() {
        let guard = Guard::new("key", "server", &[]);
        let hello = guard.hello();
        for bytes in [&b"\xc0"[..], b"\x93\xa1t\x05\x80", b"\x91\xa4PING"] {
            assert_eq!(guard.judge(&hello, bytes).1, Some(Refusal::NoPing));
        }
    }

    #[test]
    fn the_digest_is_sha_512() {
        assert!(digest(&[b"a", b"bc"]).starts_with("ddaf35a193617abacc417349ae204131"));
    }
}
