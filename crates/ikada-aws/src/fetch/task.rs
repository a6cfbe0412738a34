//! What ECS says of the task the program runs in: task metadata, version 4.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// How often the endpoint is asked before it is given up.
const ATTEMPTS: u32 = 5;

/// Pause before the second attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(3);

/// No answer is longer; a task of many containers has some 100 KiB.
const LONGEST: usize = 4 << 20;

/// Why there is no metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The address is none.
    #[error("`{0}` is no address")]
    Address(String),
    /// Nobody answered.
    #[error("{0}")]
    Call(String),
    /// The answer was not 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The answer is no JSON.
    #[error("the answer is no JSON")]
    Json(#[from] serde_json::Error),
    /// The answer names no task.
    #[error("the answer has no `TaskARN` of the usual shape")]
    NoTask,
}

/// What ECS says of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskMetadata {
    /// The region, out of the task's ARN.
    pub region: String,
    /// The availability zone.
    pub availability_zone: String,
    /// The cluster's name.
    pub cluster: String,
    /// The task's ARN.
    pub task_arn: String,
    /// The last part of it.
    pub task_id: String,
    /// The task definition's name.
    pub family: String,
    /// Its revision.
    pub revision: String,
    /// `EC2`, `FARGATE` or `EXTERNAL`.
    pub launch_type: String,
}

impl TaskMetadata {
    /// Asks the endpoint that ECS names in `ECS_CONTAINER_METADATA_URI_V4`.
    ///
    /// # Errors
    /// It gave no answer of use, however often it was asked.
    pub async fn fetch(uri: &str) -> Result<Self, TaskError> {
        let url = format!("{}/task", uri.trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| TaskError::Address(url.clone()))?;
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match ask(&uri).await {
                Ok(task) => return Ok(task),
                Err(error @ TaskError::NoTask) => return Err(error),
                Err(_) => sleep(pause).await,
            }
            pause *= 2;
        }
        ask(&uri).await
    }

    /// Reads an answer of the endpoint.
    ///
    /// # Errors
    /// It is no JSON, or names no task.
    pub fn parse(json: &[u8]) -> Result<Self, TaskError> {
        let answer: Value = serde_json::from_slice(json)?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let task_arn = text("TaskARN");
        // arn:aws:ecs:region:account:task/cluster/id, or task/id of the old shape.
        let mut parts = task_arn.splitn(6, ':');
        let (is_arn, region) = (parts.next() == Some("arn"), parts.nth(2).unwrap_or_default().to_owned());
        let task_id = task_arn.rsplit('/').next().unwrap_or_default().to_owned();
        if !is_arn || region.is_empty() || task_id.is_empty() || task_id == task_arn {
            return Err(TaskError::NoTask);
        }
        let cluster = text("Cluster");
        let cluster = cluster.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Self {
            region,
            availability_zone: text("AvailabilityZone"),
            cluster,
            task_id,
            family: text("Family"),
            revision: text("Revision"),
            launch_type: text("LaunchType"),
            task_arn,
        })
    }

    /// The variables that AWS's init process sets, in its order; those without a value are left out.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let definition = match (self.family.as_str(), self.revision.as_str()) {
            ("", _) | (_, "") => String::new(),
            (family, revision) => format!("{family}:{revision}"),
        };
        let mut all = vec![
            ("AWS_REGION", self.region.clone()),
            ("AWS_AVAILABILITY_ZONE", self.availability_zone.clone()),
            ("ECS_CLUSTER", self.cluster.clone()),
            ("ECS_TASK_ARN", self.task_arn.clone()),
            ("ECS_TASK_ID", self.task_id.clone()),
            ("ECS_FAMILY", self.family.clone()),
            ("ECS_LAUNCH_TYPE", self.launch_type.clone()),
            ("ECS_REVISION", self.revision.clone()),
            ("ECS_TASK_DEFINITION", definition),
        ];
        all.retain(|(_, value)| !value.is_empty());
        all
    }

    /// The names that [`TaskMetadata::variables`] may give.
    pub const VARIABLES: [&'static str; 9] = [
        "AWS_REGION",
        "AWS_AVAILABILITY_ZONE",
        "ECS_CLUSTER",
        "ECS_TASK_ARN",
        "ECS_TASK_ID",
        "ECS_FAMILY",
        "ECS_LAUNCH_TYPE",
        "ECS_REVISION",
        "ECS_TASK_DEFINITION",
    ];
}

async fn ask(uri: &Uri) -> Result<TaskMetadata, TaskError> {
    let body =
        timeout(ANSWER, get(uri)).await.map_err(|_| TaskError::Call("no answer in time".to_owned()))??;
    TaskMetadata::parse(&body)
}

async fn get(uri: &Uri) -> Result<Bytes, TaskError> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    let answer = client.request(request).await.map_err(|error| TaskError::Call(chain(&error)))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(TaskError::Status(status.as_u16()));
    }
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| TaskError::Call(error.to_string()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_is_told_by_the_names_of_aws_s_init_process() {
        let task = TaskMetadata::parse(
            br#"{"Cluster":"arn:aws-cn:ecs:cn-north-1:123456789012:cluster/prod","Family":"web","Revision":"7",
                "TaskARN":"arn:aws-cn:ecs:cn-north-1:123456789012:task/prod/0123abcd","LaunchType":"EC2"}"#,
        );
        let variables = task.unwrap().variables();
        let wanted = [
            ("AWS_REGION", "cn-north-1"),
            ("ECS_CLUSTER", "prod"),
            ("ECS_TASK_ARN", "arn:aws-cn:ecs:cn-north-1:123456789012:task/prod/0123abcd"),
            ("ECS_TASK_ID", "0123abcd"),
            ("ECS_FAMILY", "web"),
            ("ECS_LAUNCH_TYPE", "EC2"),
            ("ECS_REVISION", "7"),
            ("ECS_TASK_DEFINITION", "web:7"),
        ];
        assert_eq!(variables, wanted.map(|(name, value)| (name, value.to_owned())));
        assert!(variables.iter().all(|(name, _)| TaskMetadata::VARIABLES.contains(name)));
    }

    #[test]
    fn an_answer_without_a_task_is_none() {
        assert!(matches!(TaskMetadata::parse(b"{}"), Err(TaskError::NoTask)));
        assert!(matches!(TaskMetadata::parse(br#"{"TaskARN":"task/1"}"#), Err(TaskError::NoTask)));
        assert!(matches!(TaskMetadata::parse(b"<html>"), Err(TaskError::Json(_))));
    }
}
