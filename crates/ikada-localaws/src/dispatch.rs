//! The way of one request: told apart, read, faulted, handled, answered, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::HeaderValue;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};

use crate::admin;
use crate::auth;
use crate::call::{Answer, Call, Reply, s3_error};
use crate::counters::{Ending, RequestRecord};
use crate::error::ApiError;
use crate::faults::{CallSite, CutPoint, Partial, Plan, Verdict};
use crate::gate::Down;
use crate::lock::locked;
use crate::logs;
use crate::metadata;
use crate::records::{self, firehose, kinesis};
use crate::s3::{Target, http_date};
use crate::service::{Service, Trouble};
use crate::shared::Shared;
use crate::sts;

/// Longest body of a service that speaks JSON or forms.
const MAX_BODY: u64 = 32 << 20;
/// Longest body of an object or part: `PutObject`'s limit.
const MAX_OBJECT: u64 = 5 << 30;
/// Most memory that is set aside for a body before any of it has come.
const MAX_RESERVE: u64 = 64 << 20;
/// A connection keeps a buffer up to this size for its next body.
const MAX_SCRATCH: usize = 16 << 20;
/// From this size on, an object is scanned and hashed away from the threads that serve connections.
const BLOCKING_SIZE: usize = 256 << 10;

/// The connection is to be cut without another byte.
#[derive(Debug, thiserror::Error)]
#[error("connection cut")]
pub(crate) struct Cut;

/// What a connection carries from one request to the next.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    scratch: Mutex<Vec<u8>>,
    /// Requests begun, and requests ended.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Serves only `/_localaws/…`, and that in any state.
    is_admin: bool,
}

impl Connection {
    /// How many requests have passed; `None` while one is in work.
    pub(crate) fn passed(&self) -> Option<u64> {
        let (ended, begun) = (self.ended.load(Ordering::Acquire), self.begun.load(Ordering::Acquire));
        (ended == begun).then_some(ended)
    }

    /// A connection to the port that only steers the server.
    pub(crate) fn for_admin() -> Self {
        Connection { is_admin: true, ..Connection::default() }
    }
}

/// A request as its head tells it.
#[derive(Debug)]
struct Route {
    service: Service,
    operation: String,
    target: Option<Target>,
    /// The operation stands in the body.
    is_form: bool,
}

/// Serves one request of a connection.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Cut> {
    connection.begun.fetch_add(1, Ordering::Release);
    let mut result = answer(shared.clone(), &connection, request).await;
    if let Ok(response) = &mut result {
        shared.spelling.spell(response).await;
    }
    connection.ended.fetch_add(1, Ordering::Release);
    result
}

async fn answer(
    shared: Arc<Shared>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Cut> {
    let (head, incoming) = request.into_parts();
    if head.uri.path().starts_with("/_localaws") || connection.is_admin {
        return admin_request(&shared, head, incoming).await;
    }
    hold_while_black(&shared).await?;
    let mut route = match route(&head) {
        Ok(route) => route,
        Err(error) => return Ok(unknown(&shared, &error)),
    };
    let early = early_site(&route);
    if shared.faults.cuts_before_body(early) {
        shared.counters.begin(route.service, &route.operation);
        shared.counters.end(route.service, &route.operation, 0, Ending::Cut(None));
        return Err(Cut);
    }
    let mut body = if route.service == Service::S3 {
        Vec::new()
    } else {
        std::mem::take(&mut *locked(&connection.scratch))
    };
    let read =
        read_body(incoming, &mut body, if route.service == Service::S3 { MAX_OBJECT } else { MAX_BODY })
            .await;
    let mut call = Call { head, body };
    if route.is_form {
        route.operation = sts::operation(&call);
    }
    let flight = Flight::begin(&shared, &route, call.body.len() as u64);
    let answer = match read {
        Ok(()) => flight.handle(&mut call).await,
        Err(ReadError::Broken) => Err(Cut),
        Err(ReadError::TooLong) => flight.refuse_length(),
    };
    let mut body = call.body;
    if body.capacity() <= MAX_SCRATCH {
        body.clear();
        *locked(&connection.scratch) = body;
    }
    answer
}

async fn admin_request(
    shared: &Arc<Shared>,
    head: Parts,
    incoming: Incoming,
) -> Result<Response<Answer>, Cut> {
    let mut body = Vec::new();
    read_body(incoming, &mut body, MAX_BODY).await.map_err(|_| Cut)?;
    let reply = admin::handle(shared, &Call { head, body });
    Ok(respond(shared, reply, &shared.next_request_id(), None))
}

/// Waits as long as the services are a black hole; a request that was held is never answered.
async fn hold_while_black(shared: &Shared) -> Result<(), Cut> {
    let mut state = shared.gate.watch();
    if *state.borrow_and_update() != Some(Down::BlackHole) {
        return Ok(());
    }
    while *state.borrow_and_update() == Some(Down::BlackHole) {
        state.changed().await.map_err(|_| Cut)?;
    }
    Err(Cut)
}

/// Tells from a request's head which service and call it is for.
fn route(head: &Parts) -> Result<Route, ApiError> {
    let of = |service, operation: &str| Route {
        service,
        operation: operation.to_owned(),
        target: None,
        is_form: false,
    };
    if let Some(target) = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
        return match prefix {
            "Logs_20140328" => Ok(of(Service::Logs, operation)),
            "Firehose_20150804" => Ok(of(Service::Firehose, operation)),
            "Kinesis_20131202" => Ok(of(Service::Kinesis, operation)),
            _ => Err(ApiError::client("UnknownOperationException", "")),
        };
    }
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or(""));
    let scope = auth::scope_service(&head.headers, query);
    if scope.is_none() && metadata::is_path(path) {
        return Ok(of(Service::Metadata, metadata::operation(path)));
    }
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    let action = crate::call::query_value(query, "Action");
    let is_sts = scope.as_deref() == Some("sts") || (path == "/" && (is_form || action.is_some()));
    if is_sts {
        return Ok(Route { is_form: true, ..of(Service::Sts, &action.unwrap_or_default()) });
    }
    let target = Target::of(head);
    Ok(Route { target: Some(target.clone()), ..of(Service::S3, target.operation) })
}

fn early_site(route: &Route) -> CallSite<'_> {
    let resource = route.target.as_ref().map_or("", |target| &target.bucket);
    CallSite { service: route.service, operation: &route.operation, resource, bytes: 0 }
}

fn resource(route: &Route, call: &Call) -> String {
    match (route.service, &route.target) {
        (Service::Logs, _) => logs::resource(&call.body),
        (Service::Firehose | Service::Kinesis, _) => records::resource(&call.body),
        (Service::S3, Some(target)) => target.bucket.clone(),
        (Service::S3, None) => String::new(),
        (Service::Sts, _) => sts::parameter(call, "RoleArn").unwrap_or_default(),
        (Service::Metadata, _) => call.head.uri.path().to_owned(),
    }
}

enum ReadError {
    Broken,
    TooLong,
}

async fn read_body(mut incoming: Incoming, body: &mut Vec<u8>, limit: u64) -> Result<(), ReadError> {
    body.reserve(incoming.size_hint().lower().min(MAX_RESERVE) as usize);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| ReadError::Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if (body.len() + data.len()) as u64 > limit {
            return Err(ReadError::TooLong);
        }
        body.extend_from_slice(data);
    }
    Ok(())
}

/// A request in work. Dropped before its end, as when the client goes away, it counts as cut.
struct Flight<'a> {
    shared: &'a Shared,
    route: &'a Route,
    body_bytes: u64,
    is_over: bool,
}

impl<'a> Flight<'a> {
    fn begin(shared: &'a Shared, route: &'a Route, body_bytes: u64) -> Self {
        shared.counters.begin(route.service, &route.operation);
        Flight { shared, route, body_bytes, is_over: false }
    }

    async fn handle(mut self, call: &mut Call) -> Result<Response<Answer>, Cut> {
        let (shared, route) = (self.shared, self.route);
        let id = shared.next_request_id();
        let mut record = self.record(call);
        let site = CallSite {
            service: route.service,
            operation: &route.operation,
            resource: &record.resource,
            bytes: call.body.len(),
        };
        let plan = shared.faults.plan(site);
        pause(plan.before).await;
        let outcome = self.decide(&plan, call, &id);
        pause(plan.after).await;
        let (reply, cut) = match outcome {
            Outcome::Answer(reply) => (Some(reply), None),
            Outcome::Cut(point, reply) => (reply, Some(point)),
        };
        record.records = reply.as_ref().map_or(0, |reply| reply.taken.records);
        if cut.is_none() {
            record.status = reply.as_ref().map_or(0, |reply| reply.status);
            record.error = reply.as_ref().and_then(|reply| reply.error.clone());
        }
        shared.counters.log(record);
        match (reply, cut) {
            (Some(reply), None) => {
                self.end(Ending::Answered(&reply));
                Ok(respond(shared, reply, &id, Some(route.service)))
            }
            (Some(reply), Some(CutPoint::MidAnswer)) => {
                self.end(Ending::Cut(Some(&reply)));
                Ok(break_off(respond(shared, reply, &id, Some(route.service))))
            }
            (reply, _) => {
                self.end(Ending::Cut(reply.as_ref()));
                Err(Cut)
            }
        }
    }

    fn record(&self, call: &Call) -> RequestRecord {
        let mut record = RequestRecord {
            service: Some(self.route.service),
            operation: self.route.operation.clone(),
            resource: resource(self.route, call),
            body_bytes: self.body_bytes,
            at_ms: self.shared.now_ms(),
            ..RequestRecord::default()
        };
        if self.shared.config.capture && self.shared.budget.take(self.body_bytes, 1) {
            record.capture(call);
        }
        record
    }

    /// Checks the signature, lets the faults have their way, and handles what is left.
    fn decide(&self, plan: &Plan, call: &mut Call, id: &str) -> Outcome {
        let service = self.route.service;
        if let Verdict::Cut(point @ (CutPoint::BeforeBody | CutPoint::AfterBody)) = plan.verdict {
            return Outcome::Cut(point, None);
        }
        if let Err(error) = self.authenticate(call) {
            return Outcome::Answer(Reply::failure(service, &error, id));
        }
        let partial = match &plan.verdict {
            Verdict::Fail(error) => return Outcome::Answer(Reply::failure(service, error, id)),
            Verdict::ErrorInOk => return Outcome::Answer(error_in_ok(service, id)),
            Verdict::Partial(partial) => Some(*partial),
            Verdict::Handle | Verdict::Cut(_) => None,
        };
        let result = self.perform(call, partial, id);
        let reply = result.unwrap_or_else(|error| Reply::failure(service, &error, id));
        match plan.verdict {
            Verdict::Cut(point) => Outcome::Cut(point, Some(reply)),
            _ => Outcome::Answer(reply),
        }
    }

    fn authenticate(&self, call: &Call) -> Result<(), ApiError> {
        let service = self.route.service;
        let is_open = service == Service::Metadata
            || (service == Service::Sts && sts::is_unsigned(&self.route.operation));
        if is_open || !self.shared.config.require_auth {
            return Ok(());
        }
        auth::check(self.shared, service, call)
    }

    fn perform(&self, call: &mut Call, partial: Option<Partial>, id: &str) -> Result<Reply, ApiError> {
        let (shared, operation) = (self.shared, self.route.operation.as_str());
        match self.route.service {
            Service::Logs => shared.logs.handle(shared, operation, call),
            Service::Firehose => firehose::handle(&shared.firehose, shared, operation, call, partial),
            Service::Kinesis => kinesis::handle(&shared.kinesis, shared, operation, call, partial),
            Service::Sts => sts::handle(shared, operation, call, id),
            Service::Metadata => metadata::handle(shared, call),
            Service::S3 => self.perform_s3(call),
        }
    }

    fn perform_s3(&self, call: &mut Call) -> Result<Reply, ApiError> {
        let Some(target) = &self.route.target else { return Err(Service::S3.words(Trouble::Internal)) };
        let is_long = call.body.len() >= BLOCKING_SIZE || target.operation == "CompleteMultipartUpload";
        if is_long {
            return tokio::task::block_in_place(|| self.shared.s3.handle(self.shared, target, call));
        }
        self.shared.s3.handle(self.shared, target, call)
    }

    fn refuse_length(mut self) -> Result<Response<Answer>, Cut> {
        let id = self.shared.next_request_id();
        let error = match self.route.service {
            Service::S3 => {
                ApiError::new(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
            }
            _ => ApiError::new(413, "RequestEntityTooLargeException", ""),
        };
        let reply = Reply::failure(self.route.service, &error, &id);
        self.end(Ending::Answered(&reply));
        Ok(respond(self.shared, reply, &id, Some(self.route.service)))
    }

    fn end(&mut self, ending: Ending<'_>) {
        self.is_over = true;
        self.shared.counters.end(self.route.service, &self.route.operation, self.body_bytes, ending);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(Ending::Cut(None));
        }
    }
}

enum Outcome {
    Answer(Reply),
    Cut(CutPoint, Option<Reply>),
}

async fn pause(time: std::time::Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// 200 with an `<Error>` body, which `CompleteMultipartUpload` may answer when it fails late.
fn error_in_ok(service: Service, id: &str) -> Reply {
    let error = service.words(Trouble::Internal);
    Reply { error: Some(error.code.to_string()), ..Reply::xml(s3_error(&error, id)) }
}

fn unknown(shared: &Shared, error: &ApiError) -> Response<Answer> {
    let id = shared.next_request_id();
    respond(shared, Reply::failure(Service::Logs, error, &id), &id, None)
}

fn respond(shared: &Shared, reply: Reply, id: &str, service: Option<Service>) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(reply.body));
    *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let name = if service == Some(Service::S3) { "x-amz-request-id" } else { "x-amzn-requestid" };
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(name), id);
    }
    if shared.clock_shift() != 0
        && let Ok(date) = HeaderValue::from_str(&http_date(shared.now_ms()))
    {
        headers.insert(http::header::DATE, date);
    }
    response
}

/// Promises the whole answer and gives half of it.
fn break_off(response: Response<Answer>) -> Response<Answer> {
    let (mut head, body) = response.into_parts();
    let answer = body.into_broken();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.promised()));
    Response::from_parts(head, answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, uri: &str, headers: &[(&str, &str)]) -> (Service, String) {
        let mut request = http::Request::builder().method(method).uri(uri).header("host", "127.0.0.1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let route = route(&request.body(()).unwrap().into_parts().0).unwrap();
        (route.service, route.operation)
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=A/20260101/r/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn services_on_one_port_are_told_apart() {
        let target = |name| [("x-amz-target", name)];
        assert_eq!(
            routed("POST", "/", &target("Logs_20140328.PutLogEvents")),
            (Service::Logs, "PutLogEvents".into())
        );
        assert_eq!(
            routed("POST", "/", &target("Kinesis_20131202.PutRecords")),
            (Service::Kinesis, "PutRecords".into())
        );
        assert_eq!(routed("GET", "/v4/abc/task", &[]), (Service::Metadata, "TaskMetadata".into()));
        let s3 = signed("s3");
        assert_eq!(routed("GET", "/v4/abc", &[("authorization", &s3)]), (Service::S3, "GetObject".into()));
        assert_eq!(routed("GET", "/?Action=AssumeRole", &[]), (Service::Sts, "AssumeRole".into()));
        let sts = signed("sts");
        assert_eq!(routed("POST", "/", &[("authorization", &sts)]).0, Service::Sts);
        assert_eq!(routed("PUT", "/bucket/key", &[]), (Service::S3, "PutObject".into()));
    }
}
