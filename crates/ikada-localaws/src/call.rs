//! One HTTP request in memory, and its answer before it is put on the wire.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::error::ApiError;
use crate::service::{Dialect, Service};

/// A request whose body has been read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) head: Parts,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// A header's text, if it is there and readable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The decoded value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        query_value(self.head.uri.query().unwrap_or(""), name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.body).map_err(|_| ApiError::serialization())
    }
}

/// Finds `name` in `a=b&c=d` text and decodes its value; a name without `=` has an empty value.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode(key, true) == name).then(|| percent_decode(value, true))
    })
}

/// Resolves `%41` (and `+`, in a query) ; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => match after.get(..2).and_then(hex_byte) {
                Some(decoded) => {
                    out.push(decoded);
                    rest = after.get(2..).unwrap_or_default();
                }
                None => out.push(b'%'),
            },
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(other),
        }
    }
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
}

/// What a call delivered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Records that were refused one by one.
    pub(crate) refused: u64,
}

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The error's name, for the counters.
    pub(crate) error: Option<String>,
    pub(crate) taken: Taken,
}

impl Reply {
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Reply::typed("application/x-amz-json-1.1", body)
    }

    pub(crate) fn xml(body: impl Into<Bytes>) -> Self {
        Reply::typed("application/xml", body)
    }

    pub(crate) fn typed(content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Reply { status: 200, headers, body: body.into(), ..Reply::default() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Reply { status, ..Reply::default() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn taking(mut self, taken: Taken) -> Self {
        self.taken = taken;
        self
    }

    /// Words an error as `service` does.
    pub(crate) fn failure(service: Service, error: &ApiError, request_id: &str) -> Self {
        let mut reply = match service.dialect() {
            Dialect::Json => Reply::json(json_error(error)),
            Dialect::S3 => Reply::xml(s3_error(error, request_id)),
            Dialect::Query => Reply::typed("text/xml", query_error(error, request_id)),
            Dialect::Metadata => Reply::typed("application/json", metadata_error(error)),
        };
        reply.status = error.status;
        reply.error = Some(error.code.to_string());
        reply
    }
}

fn json_error(error: &ApiError) -> String {
    let mut body = serde_json::json!({ "__type": error.code });
    if !error.message.is_empty() {
        body["message"] = error.message.clone().into();
    }
    body.to_string()
}

fn metadata_error(error: &ApiError) -> String {
    serde_json::json!({ "code": error.code, "message": error.message }).to_string()
}

/// S3's error document; also what may follow a 200 to `CompleteMultipartUpload`.
pub(crate) fn s3_error(error: &ApiError, request_id: &str) -> String {
    let (code, message) = (xml_escape(&error.code), xml_escape(&error.message));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{request_id}</RequestId><HostId>local</HostId></Error>"
    )
}

fn query_error(error: &ApiError, request_id: &str) -> String {
    let (code, message) = (xml_escape(&error.code), xml_escape(&error.message));
    let kind = if error.status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{kind}</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
}

pub(crate) fn xml_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            other => out.push(other),
        }
    }
    out
}

/// The body of an answer on the wire: whole, or broken off in its middle.
pub(crate) struct Answer {
    data: Option<Bytes>,
    promised: u64,
    /// Set when the connection is to be cut: gives the first half time to leave.
    cut: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    pub(crate) fn whole(body: Bytes) -> Self {
        Answer { promised: body.len() as u64, data: Some(body), cut: None }
    }

    /// Turns a whole answer into one that ends in its middle.
    pub(crate) fn into_broken(mut self) -> Self {
        self.data = self.data.map(|body| body.slice(..body.len() / 2));
        // An empty answer is promised one byte that never comes.
        self.promised = self.promised.max(1);
        self.cut = Some(Box::pin(tokio::time::sleep(Duration::from_millis(5))));
        self
    }

    /// The length that the client is told.
    pub(crate) fn promised(&self) -> u64 {
        self.promised
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(data) = self.data.take().filter(|data| !data.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(wait) = self.cut.as_mut() else { return Poll::Ready(None) };
        std::task::ready!(wait.as_mut().poll(cx));
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        if self.cut.is_none() {
            return SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64));
        }
        SizeHint::with_exact(self.promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_name_by_name() {
        assert_eq!(query_value("uploads=&prefix=a%2Fb+c", "prefix").as_deref(), Some("a/b c"));
        assert_eq!(query_value("uploads", "uploads").as_deref(), Some(""));
        assert_eq!(query_value("a=1", "b"), None);
        assert_eq!(percent_decode("%e6%97%a5+%zz%", false), "日+%zz%");
    }

    #[test]
    fn an_error_takes_the_shape_of_its_service() {
        let error = ApiError::new(400, "Bad<Thing", "a & b");
        let json = Reply::failure(Service::Logs, &error, "id");
        assert_eq!(&json.body[..], br#"{"__type":"Bad<Thing","message":"a & b"}"#);
        let xml = Reply::failure(Service::S3, &error, "id");
        assert!(
            std::str::from_utf8(&xml.body).unwrap().contains("<Code>Bad&lt;Thing</Code><Message>a &amp; b<")
        );
    }
}
