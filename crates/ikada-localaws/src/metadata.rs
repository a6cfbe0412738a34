//! The endpoints that a container or instance asks about itself.
//!
//! * `/v4/<id>` and `/v4/<id>/task`: ECS task metadata version 4;
//! * `/creds…`: container credentials, for both `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` and `…_FULL_URI`;
//! * `/latest/…`: EC2 instance metadata, version 2 only (a token is needed).

use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::config::TaskIdentity;
use crate::error::ApiError;
use crate::s3::iso_date;
use crate::shared::Shared;

/// Token that the instance metadata service gives out.
const IMDS_TOKEN: &str = "local-imds-token";
/// Role named by the instance metadata service.
const IMDS_ROLE: &str = "local-role";

/// Says whether a path belongs here.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with("/v4/") || path.starts_with("/creds") || path.starts_with("/latest/")
}

/// The call that a path stands for.
pub(crate) fn operation(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("/creds") => "Credentials",
        _ if path.starts_with("/latest/") => "InstanceMetadata",
        _ if path.ends_with("/task") => "TaskMetadata",
        _ => "ContainerMetadata",
    }
}

pub(crate) fn handle(shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let path = call.head.uri.path();
    match operation(path) {
        "Credentials" => credentials(shared, call),
        "InstanceMetadata" => instance(shared, call),
        "TaskMetadata" => Ok(as_json(&task(&shared.config.task))),
        _ => Ok(as_json(&container(&shared.config.task))),
    }
}

fn as_json(value: &Value) -> Reply {
    Reply::typed("application/json", value.to_string())
}

fn credentials(shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    if let Some(token) = &shared.config.credentials_token
        && call.header("authorization") != Some(token)
    {
        return Err(ApiError::new(401, "Unauthorized", "the authorization token is missing or wrong"));
    }
    Ok(as_json(&issued(shared)))
}

fn issued(shared: &Shared) -> Value {
    let issued = shared.issuer.issue(shared.now_ms());
    json!({
        "RoleArn": format!("arn:aws:iam::{}:role/task-role", shared.config.task.account),
        "AccessKeyId": issued.access_key,
        "SecretAccessKey": issued.secret,
        "Token": issued.token,
        "Expiration": iso_date(issued.expires_ms),
    })
}

fn task_arn(task: &TaskIdentity) -> String {
    format!("arn:aws:ecs:{}:{}:task/{}/{}", task.region, task.account, task.cluster, task.task_id)
}

fn cluster_arn(task: &TaskIdentity) -> String {
    format!("arn:aws:ecs:{}:{}:cluster/{}", task.region, task.account, task.cluster)
}

fn container(task: &TaskIdentity) -> Value {
    json!({
        "DockerId": format!("{}-0000000001", task.task_id),
        "Name": task.container,
        "DockerName": task.container,
        "Image": "local/log-router:latest",
        "ImageID": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "Labels": {
            "com.amazonaws.ecs.cluster": cluster_arn(task),
            "com.amazonaws.ecs.container-name": task.container,
            "com.amazonaws.ecs.task-arn": task_arn(task),
            "com.amazonaws.ecs.task-definition-family": task.family,
            "com.amazonaws.ecs.task-definition-version": task.revision,
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": { "CPU": 2 },
        "CreatedAt": "2026-01-01T00:00:00Z",
        "StartedAt": "2026-01-01T00:00:01Z",
        "Type": "NORMAL",
        "ContainerARN": format!("arn:aws:ecs:{}:{}:container/{}/{}/c1", task.region, task.account, task.cluster, task.task_id),
        "Networks": [{ "NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.0.10"] }],
    })
}

fn task(task: &TaskIdentity) -> Value {
    json!({
        "Cluster": cluster_arn(task),
        "TaskARN": task_arn(task),
        "Family": task.family,
        "Revision": task.revision,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": { "CPU": 0.25, "Memory": 512 },
        "PullStartedAt": "2026-01-01T00:00:00Z",
        "PullStoppedAt": "2026-01-01T00:00:01Z",
        "AvailabilityZone": format!("{}a", task.region),
        "LaunchType": task.launch_type,
        "Containers": [container(task)],
    })
}

fn instance(shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let task = &shared.config.task;
    let path = call.head.uri.path().trim_end_matches('/');
    if path == "/latest/api/token" {
        let text = Reply::typed("text/plain", IMDS_TOKEN);
        return Ok(text.with("x-aws-ec2-metadata-token-ttl-seconds", "21600"));
    }
    if call.header("x-aws-ec2-metadata-token") != Some(IMDS_TOKEN) {
        return Err(ApiError::new(401, "Unauthorized", "a session token is needed"));
    }
    let text = |text: String| Ok(Reply::typed("text/plain", text));
    let role_path = format!("/latest/meta-data/iam/security-credentials/{IMDS_ROLE}");
    match path {
        "/latest/meta-data/placement/region" => text(task.region.clone()),
        "/latest/meta-data/placement/availability-zone" => text(format!("{}a", task.region)),
        "/latest/meta-data/instance-id" => text("i-0123456789abcdef0".into()),
        "/latest/meta-data/instance-type" => text("c7g.large".into()),
        "/latest/meta-data/iam/security-credentials" => text(IMDS_ROLE.into()),
        "/latest/dynamic/instance-identity/document" => Ok(as_json(&json!({
            "region": task.region,
            "accountId": task.account,
            "instanceId": "i-0123456789abcdef0",
            "availabilityZone": format!("{}a", task.region),
        }))),
        _ if path == role_path => {
            let mut answer = issued(shared);
            answer["Code"] = "Success".into();
            answer["Type"] = "AWS-HMAC".into();
            answer["LastUpdated"] = iso_date(shared.now_ms()).into();
            Ok(as_json(&answer))
        }
        _ => Err(ApiError::new(404, "NotFound", "no such metadata")),
    }
}
