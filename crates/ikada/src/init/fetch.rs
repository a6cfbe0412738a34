//! The way out of the process, for objects and for the task's metadata.

use std::sync::Arc;

use ikada_aws::fetch::{FetchError, FetchErrorKind, ObjectArn, ObjectFetcher, TaskMetadata};

/// Fetches what the init process needs. Blocks until it is there, or has failed for good.
pub trait Fetch {
    /// An object of S3; `region` is where the task runs.
    ///
    /// # Errors
    /// It cannot be had.
    fn object(&self, arn: &ObjectArn, region: Option<&str>) -> Result<Vec<u8>, FetchError>;

    /// What ECS says of the task, at the endpoint it names.
    ///
    /// # Errors
    /// Why it is not known, for people.
    fn task(&self, endpoint: &str) -> Result<TaskMetadata, String>;
}

/// Fetches from AWS.
#[derive(Debug, Clone, Copy, Default)]
pub struct AwsFetch;

impl AwsFetch {
    /// As a shared fetcher.
    #[must_use]
    pub fn shared() -> Arc<dyn Fetch> {
        Arc::new(Self)
    }
}

impl Fetch for AwsFetch {
    fn object(&self, arn: &ObjectArn, region: Option<&str>) -> Result<Vec<u8>, FetchError> {
        let fetcher = ObjectFetcher { region: region.map(str::to_owned), ..ObjectFetcher::default() };
        let no_runtime =
            |cause: String| FetchError { kind: FetchErrorKind::Other, code: None, cause, attempts: 0 };
        runtime().map_err(no_runtime)?.block_on(fetcher.fetch(arn))
    }

    fn task(&self, endpoint: &str) -> Result<TaskMetadata, String> {
        runtime()?.block_on(TaskMetadata::fetch(endpoint)).map_err(|error| error.to_string())
    }
}

/// A runtime for one call: the pipeline's own does not run yet.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("the runtime could not start: {error}"))
}
