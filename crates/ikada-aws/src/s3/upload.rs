//! A large object on its way to S3 from memory: what its batches share, and how each of them is sent.
//!
//! It is delivered in one lane, so one batch after another:
//!
//! ```text
//!  [ part 1: CreateMultipartUpload, UploadPart ] [ part 2: UploadPart ] … [ last: UploadPart, Complete, all entries ]
//! ```
//!
//! The entries stand in its last batch, because only the completion makes any of them readable. A part
//! that is given up (its deliverer is let go before S3 took it) fails the whole object: what comes behind it in the lane
//! says so, and the last batch aborts the upload, so that S3 keeps nothing that costs money and can never be read. A last
//! batch that is itself given up can do nothing any more; the next object's does it in its stead.
//!
//! The key is decided when the upload is created, as `names` tells. A repeated call writes the same bytes to the same place; and where an earlier
//! run has written the same object already, the upload is aborted and the object delivered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ikada_plugin::{BoxFuture, Delivery, Outcome, SendError};
use ikada_record::DropReason;
use tracing::{debug, warn};

use super::columns;
use super::names::{Name, Unique};
use super::reads::Reads;
use super::store::{Found, ObjectStore, TakenPart, outcome_of};
use super::whole::{MOST_NAMES, digest_of, md5_of};
use crate::client::{Failure, FailureKind};

/// Unfinished uploads that are remembered for being aborted. The rest is left to the bucket's lifecycle rule.
const MAX_LEFTOVERS: usize = 1_000;

/// How long leftovers are aborted for after an object was uploaded.
const TIDY_TIME: Duration = Duration::from_secs(5);

/// How often a leftover is tried before it is left to a later object, and the wait in between.
const TIDY_TRIES: u32 = 5;
const TIDY_PAUSE: Duration = Duration::from_millis(50);

/// All objects on their way to one bucket.
pub(crate) struct Uploads {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Memory for what is read from the disk.
    pub(super) reads: Reads,
    /// What columns are like.
    pub(super) columns: columns::Shape,
    leftovers: Mutex<Vec<Leftover>>,
}

/// What nobody will complete.
struct Leftover {
    key: String,
    /// The upload; every upload of the key where it is not known.
    id: Option<String>,
}

impl Uploads {
    /// No objects yet.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, reads: Reads, columns: columns::Shape) -> Arc<Self> {
        Arc::new(Self { store, reads, columns, leftovers: Mutex::default() })
    }

    fn leftovers(&self) -> MutexGuard<'_, Vec<Leftover>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, leftover: Leftover) {
        let mut leftovers = self.leftovers();
        if leftovers.len() < MAX_LEFTOVERS {
            leftovers.push(leftover);
        }
    }

    /// Aborts what was given up, once S3 is known to answer.
    pub(crate) async fn tidy(&self) {
        drop(tokio::time::timeout(TIDY_TIME, self.tidy_all()).await);
    }

    async fn tidy_all(&self) {
        loop {
            let Some(leftover) = self.leftovers().pop() else { return };
            // Whoever is cut off here puts it back.
            let mut held = Held { all: self, leftover: Some(leftover) };
            for _ in 0..TIDY_TRIES {
                let Some(leftover) = &held.leftover else { break };
                match self.clear(leftover).await {
                    Ok(()) => held.leftover = None,
                    Err(failure) if is_refusal(&failure) => {
                        warn!(
                            key = %leftover.key,
                            "unfinished uploads cannot be aborted, leave them to a lifecycle rule: {}", failure.cause
                        );
                        held.leftover = None;
                    }
                    Err(_) => tokio::time::sleep(TIDY_PAUSE).await,
                }
            }
            if held.leftover.is_some() {
                return;
            }
        }
    }

    async fn clear(&self, leftover: &Leftover) -> Result<(), Failure> {
        match &leftover.id {
            Some(id) => self.store.abort(&leftover.key, id).await,
            None => self.abort_strays(&leftover.key).await,
        }
    }

    /// Aborts every unfinished upload of a key, whose object is there or given up.
    pub(super) async fn abort_strays(&self, key: &str) -> Result<(), Failure> {
        for id in self.store.uploads_of(key).await? {
            self.store.abort(key, &id).await?;
        }
        Ok(())
    }
}

/// A leftover that is being aborted.
struct Held<'a> {
    all: &'a Uploads,
    leftover: Option<Leftover>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(leftover) = self.leftover.take() {
            self.all.leave(leftover);
        }
    }
}

/// What S3 calls an object in these parts: the MD5 of their MD5s, and their number. `None` where it does not call them by their MD5.
fn joint_etag(parts: &[TakenPart]) -> Option<String> {
    let mut digests = Vec::with_capacity(16 * parts.len());
    for part in parts {
        digests.extend_from_slice(&digest_of(part.etag.trim_matches('"'))?);
    }
    Some(format!("{}-{}", md5_of(&digests), parts.len()))
}

/// Whether S3 has said that it did nothing. Anything else, an error of its own too, leaves that open.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    failure.cause.status.is_some_and(|status| (300..500).contains(&status))
}

/// What the batches of one object share.
pub(crate) struct Upload {
    all: Arc<Uploads>,
    name: Name,
    /// What its name is made of, and what it is made of where nobody can say whether an object has that name.
    unique: Unique,
    spare: Unique,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The object's name, once it is decided.
    key: Option<String>,
    /// Objects that begin as this one does, and may be the same.
    alike: Vec<Found>,
    /// S3's identifier, once there is one.
    id: Option<String>,
    taken: Vec<TakenPart>,
    /// A creation was never answered.
    may_have_strays: bool,
    /// Why the object can never be completed.
    failed: Option<(DropReason, SendError)>,
}

impl Upload {
    /// An object that S3 knows nothing of yet.
    pub(crate) fn new(all: Arc<Uploads>, name: Name, unique: Unique, spare: Unique) -> Arc<Self> {
        Arc::new(Self { all, name, unique, spare, state: Mutex::default() })
    }

    /// Whether the object can never be completed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<(DropReason, SendError)> {
        self.state().failed.clone()
    }

    fn fail(&self, reason: DropReason, cause: SendError) {
        self.state().failed.get_or_insert((reason, cause));
    }

    /// The object's name: one that no object has, unless it is meant to take another one's place.
    async fn key(&self) -> Result<String, Failure> {
        let known = self.state().key.clone();
        if let Some(key) = known {
            return Ok(key);
        }
        let (key, alike) = match self.name.overwrites() {
            true => (self.name.with(self.unique), Vec::new()),
            false => self.free_key().await?,
        };
        let mut state = self.state();
        (state.key, state.alike) = (Some(key.clone()), alike);
        Ok(key)
    }

    /// A name that no object has, and the objects that have those before it.
    async fn free_key(&self) -> Result<(String, Vec<Found>), Failure> {
        let (mut unique, mut alike) = (self.unique, Vec::new());
        for _ in 0..MOST_NAMES {
            let key = self.name.with(unique);
            match self.all.store.look(&key).await {
                Ok(None) => return Ok((key, alike)),
                Ok(Some(found)) => alike.push(found),
                // Who writes objects is often not allowed to look at them.
                Err(failure) if is_refusal(&failure) => break,
                Err(failure) => return Err(failure),
            }
            unique = unique.next();
        }
        Ok((self.name.with(self.spare), alike))
    }

    /// Whether the bucket holds the object already, under a name that it was not given now.
    fn is_there(&self, size: u64) -> bool {
        let state = self.state();
        let Some(etag) = joint_etag(&state.taken).filter(|_| !state.alike.is_empty()) else { return false };
        state.alike.iter().any(|found| found.size == size && found.etag.as_deref() == Some(&*etag))
    }

    /// S3's identifier of the upload, which is created if there is none.
    async fn id(&self) -> Result<String, Failure> {
        let known = self.state().id.clone();
        if let Some(id) = known {
            return Ok(id);
        }
        match self.all.store.create(&self.key().await?).await {
            Ok(id) => {
                self.state().id = Some(id.clone());
                Ok(id)
            }
            Err(failure) => {
                self.state().may_have_strays |= !is_refusal(&failure);
                Err(failure)
            }
        }
    }

    async fn put_part(&self, number: i32, body: Bytes) -> Result<(), Failure> {
        let id = self.id().await?;
        let key = self.key().await?;
        let part = self.all.store.put_part(&key, &id, number, body).await?;
        self.state().taken.push(part);
        Ok(())
    }

    /// Leaves what S3 still holds of the object for being aborted. Where an upload may be unknown, all of the key's are.
    fn leave(&self) {
        let mut state = self.state();
        let (id, has_strays) = (state.id.take(), std::mem::take(&mut state.may_have_strays));
        drop(state);
        let id = id.filter(|_| !has_strays);
        if id.is_some() || has_strays {
            self.all.leave(Leftover { key: self.shown(), id });
        }
    }

    /// The object's name, where it is decided.
    fn shown(&self) -> String {
        self.state().key.clone().unwrap_or_default()
    }

    /// The outcome of a failure; one that ends the upload is remembered for the batches behind.
    fn outcome_of(&self, failure: Failure) -> Outcome {
        if failure.is("NoSuchUpload") {
            self.state().id = None;
            self.fail(DropReason::Rejected, failure.cause.clone());
            return Outcome::Rejected { reason: DropReason::Rejected, cause: failure.cause };
        }
        let outcome = outcome_of(failure);
        if let Outcome::Rejected { reason, cause } = &outcome {
            self.fail(*reason, cause.clone());
        }
        outcome
    }
}

/// Sends one part that is not the last. It stands for no entries.
pub(crate) struct PartDelivery {
    upload: Arc<Upload>,
    number: i32,
    body: Bytes,
    last_error: Option<SendError>,
    is_taken: bool,
}

impl PartDelivery {
    /// Part `number`, from 1 on.
    pub(crate) fn new(upload: Arc<Upload>, number: i32, body: Bytes) -> Self {
        Self { upload, number, body, last_error: None, is_taken: false }
    }

    async fn send(&mut self) -> Outcome {
        if let Some((reason, cause)) = self.upload.failure() {
            return Outcome::Rejected { reason, cause };
        }
        match self.upload.put_part(self.number, self.body.clone()).await {
            Ok(()) => {
                self.is_taken = true;
                Outcome::Delivered
            }
            Err(failure) => {
                self.last_error = Some(failure.cause.clone());
                self.upload.outcome_of(failure)
            }
        }
    }
}

impl Delivery for PartDelivery {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.send())
    }
}

/// Whoever lets a part go that S3 has not taken has given it up, and with it the object.
impl Drop for PartDelivery {
    fn drop(&mut self) {
        if !self.is_taken {
            let gone = || SendError::new(format!("part {} was given up", self.number));
            self.upload.fail(DropReason::RetryLimit, self.last_error.take().unwrap_or_else(gone));
        }
    }
}

/// Sends the end of an object that goes up in parts. It stands for all of its entries.
pub(crate) struct LastDelivery {
    upload: Arc<Upload>,
    /// What no part before has taken along; may be empty.
    body: Bytes,
    /// Bytes of the whole object.
    size: u64,
    /// Parts before this one.
    parts: i32,
    has_sent_body: bool,
    /// A completion was asked for and its answer never came, so S3 may have completed the object.
    may_be_complete: bool,
}

impl LastDelivery {
    /// The end of an object of `size` bytes behind `parts` parts.
    pub(crate) fn new(upload: Arc<Upload>, body: Bytes, size: u64, parts: i32) -> Self {
        let has_sent_body = body.is_empty();
        Self { upload, body, size, parts, has_sent_body, may_be_complete: false }
    }

    async fn send(&mut self) -> Outcome {
        let outcome = self.put_end().await;
        if matches!(outcome, Outcome::Delivered) {
            debug!(key = self.upload.shown(), bytes = self.size, parts = self.parts, "object uploaded");
            self.upload.leave();
            self.upload.all.tidy().await;
        }
        outcome
    }

    async fn put_end(&mut self) -> Outcome {
        if let Some((reason, cause)) = self.upload.failure() {
            self.abort().await;
            return Outcome::Rejected { reason, cause };
        }
        let outcome = match self.complete().await {
            Ok(()) => {
                self.upload.state().id = None;
                return Outcome::Delivered;
            }
            Err(failure) => self.upload.outcome_of(failure),
        };
        if matches!(outcome, Outcome::Rejected { .. }) {
            self.abort().await;
        }
        outcome
    }

    /// Aborts the upload, now or when another object has been delivered.
    async fn abort(&self) {
        self.upload.leave();
        self.upload.all.tidy().await;
    }

    async fn complete(&mut self) -> Result<(), Failure> {
        if !self.has_sent_body {
            self.upload.put_part(self.parts + 1, self.body.clone()).await?;
            self.has_sent_body = true;
        }
        let (key, id) = (self.upload.key().await?, self.upload.id().await?);
        if self.upload.is_there(self.size) {
            debug!(key, "the object is in the bucket already");
            // What was uploaded of it is aborted.
            self.upload.leave();
            return Ok(());
        }
        let taken = self.upload.state().taken.clone();
        let Err(failure) = self.upload.all.store.complete(&key, &id, &taken).await else {
            return Ok(());
        };
        if failure.is("NoSuchUpload") && self.may_be_complete {
            return self.check_completed(failure).await;
        }
        // A refusal says that nothing was completed; anything else leaves it open.
        self.may_be_complete |= !is_refusal(&failure);
        Err(failure)
    }

    /// The upload is gone after a completion without an answer: mostly because it succeeded. The object's size tells.
    async fn check_completed(&self, failure: Failure) -> Result<(), Failure> {
        match self.upload.all.store.look(&self.upload.key().await?).await {
            Ok(Some(found)) if found.size == self.size => Ok(()),
            Ok(_) => Err(failure),
            // Who writes objects is often not allowed to look at them. Nobody else knows the upload, so nobody else
            // has ended it.
            Err(error) if error.kind == FailureKind::Denied => {
                warn!(
                    key = self.upload.shown(),
                    "whether the object is complete could not be seen (s3:GetObject); it is taken to be"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Delivery for LastDelivery {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.send())
    }
}

/// An upload that is given up is left to the next object for being aborted.
impl Drop for LastDelivery {
    fn drop(&mut self) {
        self.upload.leave();
    }
}
