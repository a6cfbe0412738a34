//! Credentials, kept and renewed for all outputs of one identity.
//!
//! Renewed well before they expire, with jitter and in the background; while that fails the old ones serve until they truly expire.
//! Nobody waits while there are any that serve. An answer that calls the credentials expired has them renewed at once
//! ([`KeptCredentials::renew`]).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

/// How long before their end credentials are renewed.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// Spread over which many routers renew.
const JITTER_SECS: u64 = 60;
/// Longest pause after a renewal that failed, while the old credentials still serve; a quarter of their time if that is less.
const PAUSE: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// How long a renewal in the background may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A forced renewal this soon after another one gives nothing new (Fluent Bit: once in 60 s; an expired token must not wait so long).
const FORCED_APART: Duration = Duration::from_secs(5);

/// Credentials of one identity, kept and renewed.
#[derive(Clone)]
pub struct KeptCredentials(Arc<Inner>);

struct Inner {
    source: SharedCredentialsProvider,
    held: Mutex<Option<Held>>,
    /// Held by whoever asks the source.
    renewing: Arc<tokio::sync::Mutex<()>>,
    /// When the source last had nothing to give, and why.
    failed: Mutex<Option<(SystemTime, String)>>,
}

#[derive(Clone)]
struct Held {
    credentials: Credentials,
    /// When to renew; `None` for credentials without an end.
    renew_at: Option<SystemTime>,
    taken_at: SystemTime,
    /// Counts renewals, so that a caller can tell whether the ones it used are still the latest.
    generation: u64,
}

impl KeptCredentials {
    /// Keeps what `source` gives.
    #[must_use]
    pub fn new(source: SharedCredentialsProvider) -> Self {
        let inner =
            Inner { source, held: Mutex::default(), renewing: Arc::default(), failed: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// The number of the credentials in use now; 0 before the first.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.held().map_or(0, |held| held.generation)
    }

    /// Renews credentials that the service has called expired or unknown, unless someone else has since
    /// generation `used`. Says whether there are other credentials now.
    pub async fn renew(&self, used: u64) -> bool {
        let _alone = self.0.renewing.lock().await;
        let before = self.held();
        if let Some(held) = &before {
            if held.generation != used {
                return true;
            }
            if held.taken_at.elapsed().is_ok_and(|age| age < FORCED_APART) {
                return false;
            }
        }
        match self.ask().await {
            Ok(new) => before.is_none_or(|old| !same(&old.credentials, &new)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "credentials could not be renewed");
                false
            }
        }
    }

    async fn current(&self) -> Result<Credentials, CredentialsError> {
        let now = SystemTime::now();
        match self.held() {
            Some(held) if is_expired(&held.credentials, now) => self.fetch(now).await,
            Some(held) => {
                if held.renew_at.is_some_and(|at| now >= at) {
                    self.renew_early();
                }
                Ok(held.credentials)
            }
            None => self.fetch(now).await,
        }
    }

    /// Waits for credentials: there are none that serve.
    async fn fetch(&self, now: SystemTime) -> Result<Credentials, CredentialsError> {
        let _alone = self.0.renewing.lock().await;
        match self.held() {
            Some(held) if !is_expired(&held.credentials, now) => return Ok(held.credentials),
            _ => {}
        }
        // Who waited while somebody else asked in vain does not ask once more.
        let failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = failed.filter(|(at, _)| *at > now) {
            return Err(CredentialsError::provider_error(error));
        }
        self.ask().await
    }

    /// Renews in good time, in the background: a request that has credentials does not wait for others. The task ends with its
    /// patience, and a router that stops has no use for it.
    fn renew_early(&self) {
        let Ok(alone) = self.0.renewing.clone().try_lock_owned() else { return };
        let kept = self.clone();
        drop(tokio::spawn(async move {
            let error = match tokio::time::timeout(PATIENCE, kept.ask()).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => chain(&error),
                Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            };
            tracing::warn!(%error, "credentials could not be renewed yet; the old ones still serve");
            kept.postpone();
            drop(alone);
        }));
    }

    fn postpone(&self) {
        let now = SystemTime::now();
        if let Some(held) = self.lock().as_mut() {
            let left =
                held.credentials.expiry().and_then(|end| end.duration_since(now).ok()).unwrap_or_default();
            held.renew_at = Some(now + PAUSE.min(left / 4).max(SHORTEST_PAUSE));
        }
    }

    async fn ask(&self) -> Result<Credentials, CredentialsError> {
        let credentials = self.0.source.provide_credentials().await.inspect_err(|error| {
            let failed = Some((SystemTime::now(), chain(error)));
            *self.0.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        })?;
        let now = SystemTime::now();
        let mut held = self.lock();
        let generation = held.as_ref().map_or(0, |held| held.generation) + 1;
        *held = Some(Held {
            credentials: credentials.clone(),
            renew_at: credentials.expiry().map(|end| renewal(end, now, rand::random_range(0..JITTER_SECS))),
            taken_at: now,
            generation,
        });
        Ok(credentials)
    }

    fn held(&self) -> Option<Held> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvideCredentials for KeptCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}

impl fmt::Debug for KeptCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptCredentials([redacted])")
    }
}

/// When credentials that end at `end` are renewed: five to six minutes before, or halfway where less than ten are left.
fn renewal(end: SystemTime, now: SystemTime, jitter_secs: u64) -> SystemTime {
    let left = end.duration_since(now).unwrap_or_default();
    match left > 2 * EARLY {
        true => end - EARLY - Duration::from_secs(jitter_secs),
        false => now + left / 2,
    }
}

fn is_expired(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_some_and(|end| end <= now)
}

fn same(a: &Credentials, b: &Credentials) -> bool {
    a.access_key_id() == b.access_key_id()
        && a.secret_access_key() == b.secret_access_key()
        && a.session_token() == b.session_token()
}

/// An error and what it stands on, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Gives numbered credentials with a given time to live, or fails from some number on.
    #[derive(Debug)]
    struct Source {
        asked: Arc<AtomicU64>,
        lives: Option<Duration>,
        fails_from: u64,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let n = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            if n >= self.fails_from {
                return future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("gone")));
            }
            let end = self.lives.map(|lives| SystemTime::now() + lives);
            future::ProvideCredentials::ready(Ok(Credentials::new(format!("k{n}"), "s", None, end, "test")))
        }
    }

    fn kept(lives: Option<Duration>, fails_from: u64) -> (KeptCredentials, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let source = Source { asked: asked.clone(), lives, fails_from };
        (KeptCredentials::new(SharedCredentialsProvider::new(source)), asked)
    }

    async fn key(kept: &KeptCredentials) -> Option<String> {
        kept.current().await.ok().map(|credentials| credentials.access_key_id().to_owned())
    }

    fn age(kept: &KeptCredentials, by: Duration) {
        let mut held = kept.lock();
        let held = held.as_mut().unwrap();
        held.taken_at -= by;
        held.renew_at = held.renew_at.map(|at| at - by);
    }

    #[tokio::test]
    async fn credentials_without_an_end_are_asked_for_once() {
        let (kept, asked) = kept(None, u64::MAX);
        for _ in 0..3 {
            assert_eq!(key(&kept).await.as_deref(), Some("k1"));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn credentials_near_their_end_are_renewed_while_the_old_ones_serve() {
        let (kept, asked) = kept(Some(Duration::from_secs(63)), u64::MAX);
        assert_eq!(key(&kept).await.as_deref(), Some("k1"));
        assert_eq!(key(&kept).await.as_deref(), Some("k1"));
        age(&kept, Duration::from_secs(40));
        assert_eq!(key(&kept).await.as_deref(), Some("k1"), "nobody waits for the new ones");
        while key(&kept).await.as_deref() != Some("k2") {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_renewal_that_fails_leaves_the_old_ones_in_use() {
        let (kept, asked) = kept(Some(Duration::from_secs(63)), 2);
        assert_eq!(key(&kept).await.as_deref(), Some("k1"));
        age(&kept, Duration::from_secs(40));
        while asked.load(Ordering::Relaxed) < 2 || kept.0.renewing.try_lock().is_err() {
            assert_eq!(key(&kept).await.as_deref(), Some("k1"));
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            assert_eq!(key(&kept).await.as_deref(), Some("k1"));
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2, "the second failure must wait");
    }

    #[tokio::test]
    async fn a_forced_renewal_happens_once_for_all_who_used_the_old_ones() {
        let (kept, asked) = kept(None, u64::MAX);
        assert_eq!(key(&kept).await.as_deref(), Some("k1"));
        assert!(!kept.renew(1).await, "too soon after they were taken");
        age(&kept, Duration::from_secs(60));
        assert!(kept.renew(1).await);
        assert!(kept.renew(1).await, "someone else has renewed them");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(kept.generation(), 2);
    }

    #[test]
    fn renewal_is_early_but_never_in_the_past() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |left: u64| renewal(now + Duration::from_secs(left), now, 30).duration_since(now).unwrap();
        assert_eq!(at(3600), Duration::from_secs(3600 - 330));
        assert_eq!(at(600), Duration::from_secs(300));
        assert_eq!(at(63), Duration::from_millis(31_500));
        assert_eq!(at(0), Duration::ZERO);
    }
}
