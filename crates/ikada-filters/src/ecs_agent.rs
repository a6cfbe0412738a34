//! The introspection endpoint of the ECS agent, and what its answers mean.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use crate::metadata_http::{AskError, MetadataClient};

/// The names that templates may use: four of the cluster, four of the task, three of the container.
pub(crate) const VARIABLES: [&str; 11] = [
    "ClusterName",
    "ContainerInstanceArn",
    "ContainerInstanceID",
    "ECSAgentVersion",
    "TaskARN",
    "TaskID",
    "TaskDefinitionFamily",
    "TaskDefinitionVersion",
    "ContainerID",
    "DockerContainerName",
    "ECSContainerName",
];

/// The agent runs on the same instance.
const PATIENCE: Duration = Duration::from_secs(5);

/// Variables with their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(Vec<(&'static str, String)>);

impl Variables {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
    }

    /// Takes over what is not known here.
    pub(crate) fn take_missing_from(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            if self.get(name).is_none() {
                self.0.push((name, value.clone()));
            }
        }
    }
}

/// Asks the agent.
#[derive(Debug)]
pub(crate) struct Agent {
    client: MetadataClient,
}

/// Why the agent told nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer is no JSON")]
    NoJson(#[from] serde_json::Error),
    #[error("the answer has no `{0}`, or not as it should be")]
    Lacks(&'static str),
}

impl Agent {
    /// `None` if the host cannot be part of an address.
    pub(crate) fn new(host: &str, port: u16) -> Option<Self> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let client = MetadataClient::new(&format!("http://{host}:{port}"), PATIENCE)?;
        Some(Self { client })
    }

    /// What the agent knows of the cluster and the instance.
    pub(crate) async fn cluster(&self) -> Result<Variables, AgentError> {
        let answer = self.ask("/v1/metadata").await?;
        let instance = text(&answer, "ContainerInstanceArn")?;
        Ok(Variables(vec![
            ("ClusterName", text(&answer, "Cluster")?.to_owned()),
            ("ContainerInstanceArn", instance.to_owned()),
            ("ContainerInstanceID", last_part(instance, "ContainerInstanceArn")?),
            ("ECSAgentVersion", text(&answer, "Version")?.to_owned()),
        ]))
    }

    /// What the agent knows of a container, and of all others of its task.
    pub(crate) async fn task(&self, id: &str) -> Result<Vec<Variables>, AgentError> {
        let answer = self.ask(&format!("/v1/tasks?dockerid={id}")).await?;
        let arn = text(&answer, "Arn")?;
        let task = [
            ("TaskARN", arn.to_owned()),
            ("TaskID", last_part(arn, "Arn")?),
            ("TaskDefinitionFamily", text(&answer, "Family")?.to_owned()),
            ("TaskDefinitionVersion", text(&answer, "Version")?.to_owned()),
        ];
        let containers = answer.get("Containers").and_then(Value::as_array);
        let containers = containers.ok_or(AgentError::Lacks("Containers"))?;
        let all = containers.iter().map(|container| {
            let mut variables = task.to_vec();
            variables.extend([
                ("ContainerID", text(container, "DockerId")?.to_owned()),
                ("DockerContainerName", text(container, "DockerName")?.to_owned()),
                ("ECSContainerName", text(container, "Name")?.to_owned()),
            ]);
            Ok(Variables(variables))
        });
        // A container that is just being made has no identifier yet; the others are whole nevertheless.
        Ok(all.filter_map(|one: Result<_, AgentError>| one.ok()).collect())
    }

    async fn ask(&self, path: &str) -> Result<Value, AgentError> {
        Ok(serde_json::from_slice(&self.client.ask(Method::GET, path, None).await?)?)
    }
}

fn text<'v>(answer: &'v Value, name: &'static str) -> Result<&'v str, AgentError> {
    answer.get(name).and_then(Value::as_str).ok_or(AgentError::Lacks(name))
}

/// The identifier at the end of an ARN.
fn last_part(arn: &str, name: &'static str) -> Result<String, AgentError> {
    let id = arn.rsplit_once('/').map(|(_, id)| id).filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or(AgentError::Lacks(name))
}
