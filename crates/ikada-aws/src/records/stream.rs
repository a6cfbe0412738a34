//! One stream of a service that takes records, and the output that sends there.

use std::sync::Arc;

use aws_types::SdkConfig;
use bytes::Bytes;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Output, SendError};
use tokio::sync::OnceCell;

use super::arena::{Shape, head};
use super::batcher::{Batcher, Recipe};
use super::sender::{Answer, Put, Sender};
use crate::client::{Destination, Failure, FailureKind, Session};

/// A service that takes records.
pub(crate) trait RecordService: Sized + Send + Sync + 'static {
    /// What a call takes.
    const SHAPE: &'static Shape;
    /// The member of a call that names the stream.
    const MEMBER: &'static str;
    /// What people call such a stream.
    const KIND: &'static str;
    /// What a policy calls the call.
    const ACTION: &'static str;

    /// A client. Without an endpoint the environment's stays.
    fn connect(config: &SdkConfig, endpoint: Option<&str>) -> Self;

    /// Makes one call with this body.
    fn put(&self, session: &Session, body: Bytes) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// What the options of an output come to.
pub(crate) struct Settled {
    pub(crate) stream: String,
    pub(crate) recipe: Recipe,
    pub(crate) destination: Destination,
}

impl Settled {
    /// The output that sends to the stream.
    pub(crate) fn output<S: RecordService>(self, cx: &BuildContext) -> Box<dyn Output> {
        let Self { stream, recipe, destination } = self;
        destination.announce(cx);
        let head = head(S::MEMBER, &stream);
        let place = destination.place();
        let put = Stream::<S> { destination, name: stream.clone(), service: OnceCell::new() };
        let sender = Sender::new(Box::new(put), S::SHAPE, head, stream, &place);
        Box::new(Batcher::new(recipe, Arc::new(sender)))
    }
}

/// A stream, as seen by one output.
struct Stream<S> {
    destination: Destination,
    name: String,
    service: OnceCell<S>,
}

impl<S: RecordService> Stream<S> {
    async fn call(&self, body: Bytes) -> Result<Answer, Failure> {
        self.service.get_or_try_init(|| self.connect()).await?.put(&self.destination.session, body).await
    }

    async fn connect(&self) -> Result<S, Failure> {
        let config = self.destination.session.sdk_config().await?;
        Ok(S::connect(config, self.destination.endpoint.as_deref()))
    }
}

impl<S: RecordService> Put for Stream<S> {
    fn put(&self, body: Bytes) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(self.call(body))
    }

    fn hint(&self, failure: &Failure) -> String {
        let (kind, name) = (S::KIND, &self.name);
        match failure.kind {
            FailureKind::Missing => format!("create {kind} `{name}`"),
            _ => format!("the policy must allow `{}` on {kind} `{name}`", S::ACTION),
        }
    }
}

impl Answer {
    /// What the results of a call say: a code and a text for each record, no code where it was taken.
    pub(crate) fn of<'a>(results: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Self {
        let failed = results.enumerate().filter_map(|(place, (code, message))| {
            let message = message.unwrap_or_default().to_owned();
            Some((place, SendError { code: Some(code?.to_owned()), status: Some(200), message }))
        });
        Self { failed: failed.collect() }
    }
}
