//! Temporary credentials: given out, recognised, expired.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lock::locked;

/// Gives out credentials and remembers how long each is good.
#[derive(Debug)]
pub(crate) struct Issuer {
    lifetime_ms: AtomicU64,
    issued: Mutex<HashMap<String, i64>>,
}

/// A set of temporary credentials.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) expires_ms: i64,
}

impl Issuer {
    pub(crate) fn new(lifetime: Duration) -> Self {
        let issuer = Issuer { lifetime_ms: AtomicU64::new(0), issued: Mutex::default() };
        issuer.set_lifetime(lifetime);
        issuer
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.lifetime_ms.store(lifetime.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn issue(&self, now_ms: i64) -> Issued {
        let expires_ms = now_ms + self.lifetime_ms.load(Ordering::Relaxed) as i64;
        let mut issued = locked(&self.issued);
        let access_key = format!("ASIALOCAL{:011}", issued.len() + 1);
        issued.insert(access_key.clone(), expires_ms);
        Issued {
            secret: format!("secret-of-{access_key}"),
            token: format!("token-of-{access_key}"),
            access_key,
            expires_ms,
        }
    }

    /// How many sets were given out.
    pub(crate) fn count(&self) -> usize {
        locked(&self.issued).len()
    }

    /// Makes everything given out so far expire now.
    pub(crate) fn expire_all(&self) {
        locked(&self.issued).values_mut().for_each(|expires| *expires = 0);
    }

    /// Says whether the key is one that was given out and is no longer good.
    pub(crate) fn is_expired(&self, access_key: &str, now_ms: i64) -> bool {
        locked(&self.issued).get(access_key).is_some_and(|expires| *expires <= now_ms)
    }
}
