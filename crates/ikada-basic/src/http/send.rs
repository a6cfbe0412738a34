//! One request, and what its answer means.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression as Level;
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use ikada_plugin::{BoxFuture, Clock, Delivery, Outcome, SendError};
use ikada_record::{DropReason, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::options::Compression;
use super::sign::Signer;
use crate::text::chain;

/// Levels at which a little more compression begins to cost much more time.
const GZIP_LEVEL: u32 = 2;
const ZSTD_LEVEL: i32 = 1;

/// Bytes of an answer that are read so that its connection can be used again; a longer one costs the connection.
const READ: usize = 64 * 1024;

/// Time for those bytes.
const READ_TIME: Duration = Duration::from_secs(5);

/// Characters of an answer that are told.
const TOLD: usize = 300;

/// Longest time for which a server's `Retry-After` is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Where requests go, and how.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) url: Uri,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// The header that carries the tag.
    pub(super) tag_header: Option<HeaderName>,
    pub(super) compression: Compression,
    /// How long the head of an answer may take; `None` is for ever.
    pub(super) patience: Option<Duration>,
    /// How long may pass between two pieces of an answer; `None` bounds the whole only.
    pub(super) idle: Option<Duration>,
    /// What signs requests for AWS, if they are to be signed.
    pub(super) signer: Option<Signer>,
    /// Whether what a server says of a failure is told.
    pub(super) tells_answers: bool,
    pub(super) clock: Arc<dyn Clock>,
}

/// Sends one body.
pub(super) struct Post {
    target: Arc<Target>,
    tag: Option<HeaderValue>,
    /// Headers of this request alone.
    own: HeaderMap,
    body: Bytes,
    /// Whether `body` is what goes over the wire.
    is_packed: bool,
}

impl Post {
    /// A body that is not compressed yet.
    pub(super) fn new(target: Arc<Target>, tag: Option<HeaderValue>, own: HeaderMap, text: Vec<u8>) -> Self {
        let is_packed = target.compression == Compression::None;
        Self { target, tag, own, body: text.into(), is_packed }
    }

    /// Compresses the body, once.
    async fn pack(&mut self) -> Result<(), SendError> {
        if self.is_packed {
            return Ok(());
        }
        let (text, how) = (self.body.clone(), self.target.compression);
        // Some milliseconds for a megabyte: too long for a thread that serves others.
        let packed = tokio::task::spawn_blocking(move || pack(&text, how)).await;
        let packed = packed.map_err(|error| SendError::new(error.to_string()))?;
        self.body = packed.map_err(|error| SendError::new(format!("compression: {error}")))?.into();
        self.is_packed = true;
        Ok(())
    }

    async fn send(&self) -> Outcome {
        let mut request = self.request();
        let Some(signer) = &self.target.signer else { return self.target.send(request).await };
        if let Err(cause) = signer.sign(&mut request, &self.body).await {
            return Outcome::Retry { after: None, cause };
        }
        let outcome = self.target.send(request).await;
        if let Outcome::Rejected { cause, .. } = &outcome
            && is_about_credentials(cause)
        {
            signer.forget().await;
            return Outcome::Retry { after: None, cause: cause.clone() };
        }
        outcome
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let target = &self.target;
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = target.method.clone();
        *request.uri_mut() = target.url.clone();
        let headers = request.headers_mut();
        *headers = target.headers.clone();
        for (name, value) in &self.own {
            headers.insert(name.clone(), value.clone());
        }
        headers.extend(encoding(target.compression).map(|name| (CONTENT_ENCODING, name)));
        headers.extend(target.tag_header.clone().zip(self.tag.clone()));
        request
    }
}

impl Delivery for Post {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            match self.pack().await {
                Ok(()) => self.send().await,
                Err(cause) => Outcome::Retry { after: None, cause },
            }
        })
    }
}

impl Target {
    async fn send(&self, request: Request<Full<Bytes>>) -> Outcome {
        let answer = self.client.request(request);
        let answer = match self.patience {
            None => answer.await,
            Some(patience) => match tokio::time::timeout(patience, answer).await {
                Ok(answer) => answer,
                Err(_) => return again(None, format!("no answer within {} s", patience.as_secs_f32())),
            },
        };
        match answer {
            Ok(answer) => self.judge(answer).await,
            Err(error) => again(None, self.trouble(&error)),
        }
    }

    /// Why there was no answer, and from whom. What the client library adds in front says nothing.
    fn trouble(&self, error: &(dyn Error + 'static)) -> String {
        let server = self.url.authority().map_or("", |authority| authority.as_str());
        format!("{server}: {}", chain(error.source().unwrap_or(error)))
    }

    async fn judge(&self, answer: Response<Incoming>) -> Outcome {
        let (head, body) = answer.into_parts();
        // Read whatever the status: only then can the connection serve again.
        let said = read(body, self.idle).await;
        let after = head.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, self.clock.now()));
        let said = if self.tells_answers { shown(&said) } else { String::new() };
        outcome(head.status, after, said)
    }
}

/// Whether a server refuses the credentials, which newer ones mend, and not what they are used for.
fn is_about_credentials(cause: &SendError) -> bool {
    let said = cause.message.to_ascii_lowercase();
    matches!(cause.status, Some(400 | 401 | 403))
        && ["expired", "invalidclienttokenid", "unrecognizedclient"].iter().any(|word| said.contains(word))
}

/// What a status means for the whole body.
fn outcome(status: StatusCode, after: Option<Duration>, said: String) -> Outcome {
    let line = format!("the server answered {status}");
    let message = if said.is_empty() { line } else { format!("{line}: {said}") };
    let cause = SendError { code: None, status: Some(status.as_u16()), message };
    match status.as_u16() {
        200..=205 => Outcome::Delivered,
        408 | 429 => Outcome::Retry { after, cause },
        400..=499 => Outcome::Rejected { reason: DropReason::Rejected, cause },
        _ => Outcome::Retry { after, cause },
    }
}

fn again(after: Option<Duration>, message: String) -> Outcome {
    Outcome::Retry { after, cause: SendError::new(message) }
}

/// The beginning of an answer's body; what goes wrong with it changes nothing, for the status has been said.
async fn read(mut body: Incoming, idle: Option<Duration>) -> Vec<u8> {
    let until = Instant::now() + READ_TIME;
    let next = || idle.map_or(until, |idle| until.min(Instant::now() + idle));
    let mut bytes = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout_at(next(), body.frame()).await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if bytes.len() > READ {
            break;
        }
    }
    bytes
}

/// The beginning of an answer on one line.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD).collect();
    line.trim_end().to_owned()
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            u64::try_from(date.timestamp() - now.secs()).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

fn encoding(compression: Compression) -> Option<HeaderValue> {
    match compression {
        Compression::Gzip => Some(HeaderValue::from_static("gzip")),
        Compression::Zstd => Some(HeaderValue::from_static("zstd")),
        Compression::Snappy => Some(HeaderValue::from_static("snappy")),
        Compression::None => None,
    }
}

fn pack(text: &[u8], compression: Compression) -> std::io::Result<Vec<u8>> {
    use std::io::Write;
    match compression {
        Compression::Gzip => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), Level::new(GZIP_LEVEL));
            packed.write_all(text)?;
            packed.finish()
        }
        Compression::Zstd => zstd::bulk::compress(text, ZSTD_LEVEL),
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(text).map_err(std::io::Error::other),
        Compression::None => Ok(text.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_delivered_again_or_never() {
        let word = |status| match outcome(StatusCode::from_u16(status).unwrap(), None, String::new()) {
            Outcome::Delivered => "delivered",
            Outcome::Retry { .. } => "again",
            Outcome::Rejected { .. } => "never",
            Outcome::Partial { .. } => "in part",
        };
        for status in [200, 201, 202, 204, 205] {
            assert_eq!(word(status), "delivered", "{status}");
        }
        for status in [206, 226, 301, 307, 408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(word(status), "again", "{status}");
        }
        for status in [400, 401, 403, 404, 409, 413, 422] {
            assert_eq!(word(status), "never", "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_not_believed_beyond_five_minutes() {
        let after = |text: &'static str| {
            let now = Timestamp::new(784_111_777, 0);
            retry_after(&HeaderValue::from_static(text), now).map(|time| time.as_secs())
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("86400"), Some(300));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn an_answer_is_told_on_one_line_that_is_not_long() {
        assert_eq!(shown(b"  {\n\t\"error\": \"caf\xe9\"\n}\n"), "{  \"error\": \"caf\u{fffd}\" }");
        assert_eq!(shown("日".repeat(1000).as_bytes()).chars().count(), TOLD);
    }
}
