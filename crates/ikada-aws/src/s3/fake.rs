//! A bucket in memory, with calls that fail as they are told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use ikada_plugin::SendError;
use md5::{Digest, Md5};

use super::store::{Answer, Found, ObjectStore, Put, TakenPart};
use super::whole::md5_of;
use crate::client::{Failure, FailureKind};

/// What happens to one call.
pub(crate) enum Fault {
    /// Nothing is done, and this is the answer.
    Refuse(Failure),
    /// Everything is done, and nobody hears of it.
    LoseAnswer,
}

/// A bucket in memory.
#[derive(Default)]
pub(crate) struct FakeStore(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    /// What objects in parts are called.
    etags: BTreeMap<String, String>,
    uploads: BTreeMap<String, (String, BTreeMap<i32, Bytes>)>,
    completed_parts: Vec<Vec<usize>>,
    calls: Vec<String>,
    faults: VecDeque<(&'static str, Fault)>,
    created: usize,
    hides_md5: bool,
}

/// A failure as S3 words it.
pub(crate) fn refusal(kind: FailureKind, code: &str, status: u16) -> Failure {
    let cause = SendError { code: Some(code.to_owned()), status: Some(status), message: "said S3".into() };
    Failure { kind, cause, ..Failure::transient("") }
}

impl FakeStore {
    /// The next call of this operation that meets no other fault meets this one.
    pub(crate) fn fault(&self, operation: &'static str, fault: Fault) {
        self.0.lock().unwrap().faults.push_back((operation, fault));
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().objects.clone()
    }

    /// Sizes of the parts of each completed upload.
    pub(crate) fn completed_parts(&self) -> Vec<Vec<usize>> {
        self.0.lock().unwrap().completed_parts.clone()
    }

    pub(crate) fn open_uploads(&self) -> usize {
        self.0.lock().unwrap().uploads.len()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.clone()
    }

    /// Says nothing of objects' bytes, as where KMS encrypts them.
    pub(crate) fn hide_md5(&self) {
        self.0.lock().unwrap().hides_md5 = true;
    }

    /// Puts an object there.
    pub(crate) fn insert(&self, key: &str, body: &[u8]) {
        let mut inner = self.0.lock().unwrap();
        inner.etags.remove(key);
        inner.objects.insert(key.to_owned(), body.to_vec());
    }

    /// Forgets every open upload, as a lifecycle rule would.
    pub(crate) fn sweep(&self) {
        self.0.lock().unwrap().uploads.clear();
    }

    fn call<T>(
        &self,
        operation: &'static str,
        detail: String,
        run: impl FnOnce(&mut Inner) -> Result<T, Failure>,
    ) -> Answer<'_, T>
    where
        T: Send + 'static,
    {
        let mut inner = self.0.lock().unwrap();
        inner.calls.push(format!("{operation} {detail}"));
        let at = inner.faults.iter().position(|(name, _)| *name == operation);
        let fault = at.and_then(|at| inner.faults.remove(at)).map(|(_, fault)| fault);
        let answer = match fault {
            Some(Fault::Refuse(failure)) => Err(failure),
            Some(Fault::LoseAnswer) => {
                run(&mut inner).unwrap();
                Err(Failure::transient("connection lost"))
            }
            None => run(&mut inner),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn no_upload() -> Failure {
    refusal(FailureKind::Missing, "NoSuchUpload", 404)
}

impl ObjectStore for FakeStore {
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> Answer<'a, ()> {
        self.call("put", key.to_owned(), |inner| {
            inner.objects.insert(key.to_owned(), body.to_vec());
            inner.etags.remove(key);
            Ok(())
        })
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> Answer<'a, Put> {
        self.call("put", key.to_owned(), |inner| {
            if inner.objects.contains_key(key) {
                return Ok(Put::Exists);
            }
            inner.objects.insert(key.to_owned(), body.to_vec());
            Ok(Put::Written)
        })
    }

    fn create<'a>(&'a self, key: &'a str) -> Answer<'a, String> {
        self.call("create", key.to_owned(), |inner| {
            inner.created += 1;
            let id = format!("id{}", inner.created);
            inner.uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
            Ok(id)
        })
    }

    fn put_part<'a>(&'a self, key: &'a str, id: &'a str, number: i32, body: Bytes) -> Answer<'a, TakenPart> {
        self.call("part", format!("{key} {number}"), |inner| {
            let (_, parts) = inner.uploads.get_mut(id).ok_or_else(no_upload)?;
            let etag = format!("\"{}\"", md5_of(&body));
            parts.insert(number, body);
            Ok(TakenPart { number, etag, checksum: None })
        })
    }

    fn complete<'a>(&'a self, key: &'a str, id: &'a str, parts: &'a [TakenPart]) -> Answer<'a, ()> {
        self.call("complete", key.to_owned(), |inner| {
            let (key, bodies) = inner.uploads.remove(id).ok_or_else(no_upload)?;
            let named: Vec<String> = parts.iter().map(|part| part.etag.clone()).collect();
            let known: Vec<String> = bodies.values().map(|body| format!("\"{}\"", md5_of(body))).collect();
            assert_eq!(named, known);
            let digests: Vec<u8> = bodies.values().flat_map(|body| Md5::digest(body).to_vec()).collect();
            inner.etags.insert(key.clone(), format!("{}-{}", md5_of(&digests), bodies.len()));
            inner.completed_parts.push(bodies.values().map(Bytes::len).collect());
            inner.objects.insert(key, bodies.into_values().flatten().collect());
            Ok(())
        })
    }

    fn abort<'a>(&'a self, key: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.call("abort", key.to_owned(), |inner| {
            inner.uploads.remove(id);
            Ok(())
        })
    }

    fn uploads_of<'a>(&'a self, key: &'a str) -> Answer<'a, Vec<String>> {
        self.call("list", key.to_owned(), |inner| {
            let of_key = inner.uploads.iter().filter(|(_, (name, _))| name == key);
            Ok(of_key.map(|(id, _)| id.clone()).collect())
        })
    }

    fn look<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Found>> {
        self.call("head", key.to_owned(), |inner| {
            let found = |body: &Vec<u8>| {
                let etag = inner.etags.get(key).cloned().unwrap_or_else(|| md5_of(body));
                let (md5, etag) = match inner.hides_md5 {
                    true => (None, None),
                    false => (Some(etag.clone()).filter(|etag| etag.len() == 32), Some(etag)),
                };
                Found { size: body.len() as u64, md5, etag }
            };
            Ok(inner.objects.get(key).map(found))
        })
    }
}
