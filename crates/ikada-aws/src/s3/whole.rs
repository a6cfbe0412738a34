//! An object that is sent in one call, from memory.
//!
//! It is named after its entries, and written only where there is nothing yet (`If-None-Match: *`). What is found there instead is
//! mostly this very object: its answer was lost, or the router was, and a client has sent the entries again. Then it is delivered. Anything
//! else is left alone, and the object goes to the next name.
//!
//! | S3 says | the object is |
//! |---|---|
//! | 2xx | delivered |
//! | 412, and what is there has its size and its MD5 | delivered |
//! | 412, what is there cannot be seen or compared, and an attempt went unanswered | delivered |
//! | 412 otherwise | tried under the next name |
//!
//! Where overwriting is what was asked for (`static_file_path`), it is one plain call. So it is where S3's stand-in knows no
//! conditions, which it is asked about once.

use std::sync::Arc;

use bytes::Bytes;
use ikada_plugin::{BoxFuture, Delivery, Outcome};
use md5::{Digest, Md5};
use tracing::debug;

use super::columns;
use super::names::{Name, Unique};
use super::store::{Put, outcome_of};
use super::upload::{Uploads, is_refusal};
use crate::client::{Failure, FailureKind};

/// Names that are tried in one attempt. Two that are somebody else's in a row come once in 10^28 objects.
pub(super) const MOST_NAMES: usize = 8;

/// Sends a whole object. It stands for all of its entries.
pub(crate) struct WholeDelivery {
    all: Arc<Uploads>,
    name: Name,
    unique: Unique,
    body: Bytes,
    /// The body is lines still, that columns are to be made of.
    is_lines: bool,
    /// An attempt under this name was never answered.
    may_be_there: bool,
}

impl WholeDelivery {
    /// The object of this name and body.
    pub(crate) fn new(all: Arc<Uploads>, name: Name, unique: Unique, body: Bytes) -> Self {
        Self { all, name, unique, body, is_lines: false, may_be_there: false }
    }

    /// The object of this name that columns of these lines make.
    pub(crate) fn of_lines(all: Arc<Uploads>, name: Name, unique: Unique, lines: Bytes) -> Self {
        Self { is_lines: true, ..Self::new(all, name, unique, lines) }
    }

    async fn make_columns(&mut self) -> Result<(), Failure> {
        if self.is_lines {
            let (lines, all) = (self.body.clone(), self.all.clone());
            let made = tokio::task::spawn_blocking(move || columns::write(&lines, &all.columns)).await;
            let made = made.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            self.body = made.map_err(|error| Failure::transient(error.to_string()))?.into();
            self.is_lines = false;
        }
        Ok(())
    }

    async fn send(&mut self) -> Outcome {
        match self.put().await {
            Ok(key) => {
                debug!(key, bytes = self.body.len(), "object uploaded");
                self.all.tidy().await;
                Outcome::Delivered
            }
            Err(failure) => outcome_of(failure),
        }
    }

    async fn put(&mut self) -> Result<String, Failure> {
        self.make_columns().await?;
        for _ in 0..MOST_NAMES {
            let key = self.name.with(self.unique);
            if self.name.overwrites() {
                return self.all.store.put(&key, self.body.clone()).await.map(|()| key);
            }
            if self.put_new(&key).await? == Put::Written || self.is_there(&key).await? {
                return Ok(key);
            }
            debug!(key, "the name is another object's");
            self.unique = self.unique.next();
            self.may_be_there = false;
        }
        Err(Failure::transient("no name was found that no other object has"))
    }

    async fn put_new(&mut self, key: &str) -> Result<Put, Failure> {
        // Whoever drops this attempt leaves it unanswered.
        let before = std::mem::replace(&mut self.may_be_there, true);
        let answer = self.all.store.put_new(key, self.body.clone()).await;
        if answer.as_ref().err().is_none_or(is_refusal) {
            self.may_be_there = before;
        }
        answer
    }

    /// Whether what is there is this object.
    async fn is_there(&self, key: &str) -> Result<bool, Failure> {
        match self.all.store.look(key).await {
            Ok(Some(found)) if found.size != self.body.len() as u64 => Ok(false),
            Ok(Some(found)) => Ok(found.md5.map_or(self.may_be_there, |md5| md5 == md5_of(&self.body))),
            Ok(None) => Err(Failure::transient("the object was there, and then it was not")),
            // Who writes objects is often not allowed to look at them.
            Err(failure) if failure.kind == FailureKind::Denied => Ok(self.may_be_there),
            Err(failure) => Err(failure),
        }
    }
}

impl Delivery for WholeDelivery {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.send())
    }
}

/// The MD5 of a body in hexadecimal digits.
pub(super) fn md5_of(body: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Md5::digest(body);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The 16 bytes that hexadecimal digits stand for.
pub(super) fn digest_of(digits: &str) -> Option<[u8; 16]> {
    let digits = digits.as_bytes();
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    if digits.len() != 32 {
        return None;
    }
    let mut digest = [0; 16];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = (digit(2 * at)? << 4 | digit(2 * at + 1)?) as u8;
    }
    Some(digest)
}
