//! The filter `ecs` against a small introspection endpoint.

use ikada_plugin::Filter;
use ikada_record::Tag;

use crate::endpoint::Endpoint;
use crate::support::{build, decode, encode, filter, run};

const CLUSTER: &str = r#"{"Cluster":"shop","ContainerInstanceArn":"arn:aws:ecs:eu-central-1:123456789012:container-instance/shop/0f9e","Version":"Amazon ECS Agent - v1.98.0"}"#;

const TASK: &str = r#"{"Arn":"arn:aws:ecs:eu-central-1:123456789012:task/shop/7a5c","Family":"web","Version":"12","Containers":[
    {"DockerId":"0123456789abcdef0123","DockerName":"ecs-web-12-nginx-90","Name":"nginx"},
    {"DockerName":"ecs-web-12-late","Name":"late"},
    {"DockerId":"fedcba9876543210fedc","DockerName":"ecs-web-12-app-91","Name":"app"}]}"#;

const ASK_CLUSTER: &str = "GET /v1/metadata";
const ASK_NGINX: &str = "GET /v1/tasks?dockerid=0123456789ab";

fn agent() -> Endpoint {
    Endpoint::start(None, &[(ASK_CLUSTER, CLUSTER), (ASK_NGINX, TASK)])
}

fn for_agent(endpoint: &Endpoint, more: &[(&str, &str)]) -> Box<dyn Filter> {
    let port = endpoint.address.port().to_string();
    let mut properties = vec![("ecs_meta_port", port.as_str()), ("ecs_tag_prefix", "docker.")];
    properties.extend(more);
    filter("ecs", &properties)
}

fn passed(filter: &dyn Filter, tag: &str) -> String {
    decode(&run(filter, &Tag::from(tag), &[encode(r#"{"log":"x"}"#)])[0])
}

/// Lets records pass until one comes out so.
async fn until(filter: &dyn Filter, tag: &str, expected: &str) {
    while passed(filter, tag) != expected {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn records_have_the_names_of_the_cluster_the_task_and_the_container_once_they_are_known() {
    let endpoint = agent();
    let all = [
        ("Add", "where $ClusterName.$ContainerInstanceID"),
        ("Add", "instance $ContainerInstanceArn"),
        ("Add", "agent $ECSAgentVersion"),
        ("Add", "task $TaskID"),
        ("Add", "arn $TaskARN"),
        ("Add", "definition $TaskDefinitionFamily.$TaskDefinitionVersion"),
        ("Add", "container $ECSContainerName"),
        ("Add", "docker $DockerContainerName"),
        ("Add", "id $ContainerID"),
    ];
    let filter = for_agent(&endpoint, &all);
    assert_eq!(passed(&*filter, "docker.0123456789abcdef0123"), r#"{"log":"x"}"#);
    let learning = tokio::spawn(filter.background().unwrap());
    let last = r#","id":"0123456789abcdef0123"}"#;
    while !passed(&*filter, "docker.0123456789abcdef0123").ends_with(last) {
        tokio::task::yield_now().await;
    }
    let out = passed(&*filter, "docker.0123456789abcdef0123");
    assert!(out.starts_with(r#"{"log":"x","where":"shop.0f9e"#), "{out}");
    for part in [
        r#""instance":"arn:aws:ecs:eu-central-1:123456789012:container-instance/shop/0f9e""#,
        r#""agent":"Amazon ECS Agent - v1.98.0""#,
        r#""task":"7a5c""#,
        r#""arn":"arn:aws:ecs:eu-central-1:123456789012:task/shop/7a5c""#,
        r#""definition":"web.12""#,
        r#""container":"nginx""#,
        r#""docker":"ecs-web-12-nginx-90""#,
    ] {
        assert!(out.contains(part), "{out}");
    }
    learning.abort();
}

#[tokio::test]
async fn the_containers_of_a_task_are_known_together_and_asked_for_once() {
    let endpoint = agent();
    let filter = for_agent(&endpoint, &[("Add", "container $ECSContainerName")]);
    let learning = tokio::spawn(filter.background().unwrap());
    until(&*filter, "docker.0123456789ab", r#"{"log":"x","container":"nginx"}"#).await;
    assert_eq!(passed(&*filter, "docker.fedcba987654"), r#"{"log":"x","container":"app"}"#);
    assert_eq!(passed(&*filter, "docker.0123456789ab.more"), r#"{"log":"x","container":"nginx"}"#);
    assert_eq!((endpoint.count(ASK_CLUSTER), endpoint.count(ASK_NGINX)), (1, 1));
    learning.abort();
}

#[tokio::test]
async fn records_of_no_container_have_the_names_of_the_cluster_and_empty_texts() {
    let endpoint = agent();
    let filter = for_agent(&endpoint, &[("Add", "cluster $ClusterName"), ("Add", "task $TaskID")]);
    let learning = tokio::spawn(filter.background().unwrap());
    let cluster = r#"{"log":"x","cluster":"shop","task":""}"#;
    for tag in ["docker.short", "other.0123456789ab", "docker.0123/../789ab", "docker.aaaaaaaaaaaa"] {
        until(&*filter, tag, cluster).await;
    }
    learning.abort();
}

#[tokio::test]
async fn an_unknown_container_is_asked_for_as_often_as_is_said() {
    let endpoint = agent();
    let filter = for_agent(&endpoint, &[("Add", "task $TaskID"), ("agent_endpoint_retries", "2")]);
    let learning = tokio::spawn(filter.background().unwrap());
    let unknown = "GET /v1/tasks?dockerid=aaaaaaaaaaaa";
    while endpoint.count(unknown) < 2 {
        passed(&*filter, "docker.aaaaaaaaaaaa");
        tokio::task::yield_now().await;
    }
    until(&*filter, "docker.0123456789ab", r#"{"log":"x","task":"7a5c"}"#).await;
    assert_eq!(passed(&*filter, "docker.aaaaaaaaaaaa"), r#"{"log":"x","task":""}"#);
    assert_eq!(endpoint.count(unknown), 2);
    learning.abort();
}

#[tokio::test]
async fn cluster_metadata_alone_asks_for_no_container() {
    let endpoint = agent();
    let filter = for_agent(&endpoint, &[("Add", "cluster $ClusterName"), ("cluster_metadata_only", "on")]);
    filter.background().unwrap().await;
    assert_eq!(passed(&*filter, "docker.0123456789ab"), r#"{"log":"x","cluster":"shop"}"#);
    assert_eq!(endpoint.count(ASK_NGINX), 0);
}

#[tokio::test]
async fn an_agent_that_is_not_ready_is_asked_again() {
    let endpoint = Endpoint::start(None, &[]);
    let filter = for_agent(&endpoint, &[("Add", "cluster $ClusterName"), ("cluster_metadata_only", "on")]);
    let learning = tokio::spawn(filter.background().unwrap());
    while endpoint.count(ASK_CLUSTER) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(passed(&*filter, "a"), r#"{"log":"x"}"#);
    endpoint.set(ASK_CLUSTER, CLUSTER);
    learning.await.unwrap();
    assert_eq!(passed(&*filter, "a"), r#"{"log":"x","cluster":"shop"}"#);
}

#[test]
fn what_the_agent_never_tells_is_found_before_the_start() {
    let findings = |add| build("ecs", &[("Add", add)]).findings.join("\n");
    assert!(findings("task").contains("needs a key and a template"));
    assert!(findings("task $TaskId").contains("tells nothing of the name `$TaskId`"));
    assert!(findings("tag $TAG").contains("tells nothing of the name `$TAG`"));
    assert!(build("ecs", &[("ecs_meta_host", "no host")]).filter.is_none());
}
