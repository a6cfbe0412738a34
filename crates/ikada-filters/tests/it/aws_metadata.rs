//! The filter `aws` against a small instance metadata service.

use ikada_filters::aws_metadata::{AwsMetadata, AwsMetadataOptions};
use ikada_options::{Diagnostics, Options, Sources};
use ikada_plugin::Filter;

use crate::endpoint::Endpoint;
use crate::support::{build, options, run_json};

const MAC: &str = "0e:49:61:0f:c3:11";

fn instance(token: Option<&'static str>) -> Endpoint {
    Endpoint::start(
        token,
        &[
            ("PUT /latest/api/token", token.unwrap_or("unused")),
            ("GET /latest/meta-data/placement/availability-zone", "eu-central-1a"),
            ("GET /latest/meta-data/instance-id", "i-0123456789abcdef0"),
            ("GET /latest/meta-data/instance-type", "c7g.large"),
            ("GET /latest/meta-data/local-ipv4", "10.0.0.7"),
            ("GET /latest/meta-data/mac", MAC),
            (&format!("GET /latest/meta-data/network/interfaces/macs/{MAC}/vpc-id"), "vpc-7"),
            ("GET /latest/meta-data/ami-id", "ami-5"),
            ("GET /latest/dynamic/instance-identity/document", r#"{"accountId":"123456789012"}"#),
            ("GET /latest/meta-data/hostname", "ip-10-0-0-7"),
            ("GET /latest/meta-data/tags/instance", "Name\nteam\nstage"),
            ("GET /latest/meta-data/tags/instance/Name", "web 1"),
            ("GET /latest/meta-data/tags/instance/team", "blue"),
            ("GET /latest/meta-data/tags/instance/stage", "live"),
        ],
    )
}

fn filter(endpoint: &Endpoint, properties: &[(&str, &str)]) -> AwsMetadata {
    let options: AwsMetadataOptions = options("aws", properties);
    let mut found = Diagnostics::new();
    let span = Sources::default().add("x.conf", String::from("[FILTER]")).span(0, 8);
    let filter = AwsMetadata::build(options, &format!("http://{}", endpoint.address), span, &mut found);
    assert!(found.is_empty());
    filter.unwrap()
}

fn passed(filter: &AwsMetadata) -> String {
    run_json(filter, &[r#"{"log":"x"}"#]).join("\n")
}

const ALL: [(&str, &str); 6] = [
    ("ec2_instance_type", "true"),
    ("private_ip", "true"),
    ("vpc_id", "true"),
    ("ami_id", "true"),
    ("account_id", "true"),
    ("hostname", "true"),
];

#[tokio::test]
async fn records_pass_unchanged_until_the_instance_is_known_and_then_have_its_fields_in_order() {
    let endpoint = instance(Some("secret"));
    let filter = filter(&endpoint, &ALL);
    assert_eq!(passed(&filter), r#"{"log":"x"}"#);
    filter.background().unwrap().await;
    assert_eq!(
        passed(&filter),
        r#"{"log":"x","az":"eu-central-1a","ec2_instance_id":"i-0123456789abcdef0","ec2_instance_type":"c7g.large","private_ip":"10.0.0.7","vpc_id":"vpc-7","ami_id":"ami-5","account_id":"123456789012","hostname":"ip-10-0-0-7"}"#
    );
    assert_eq!(endpoint.count("PUT /latest/api/token"), 1);
}

#[tokio::test]
async fn only_what_is_wanted_is_asked_for() {
    let endpoint = instance(Some("secret"));
    let filter = filter(&endpoint, &[("ec2_instance_id", "false")]);
    filter.background().unwrap().await;
    assert_eq!(passed(&filter), r#"{"log":"x","az":"eu-central-1a"}"#);
    assert_eq!(endpoint.count("GET /latest/meta-data/instance-id"), 0);
}

#[tokio::test]
async fn version_one_asks_without_a_token() {
    let endpoint = instance(None);
    let filter = filter(&endpoint, &[("imds_version", "v1"), ("az", "off")]);
    filter.background().unwrap().await;
    assert_eq!(passed(&filter), r#"{"log":"x","ec2_instance_id":"i-0123456789abcdef0"}"#);
    assert_eq!(endpoint.count("PUT /latest/api/token"), 0);
}

#[tokio::test]
async fn tags_become_fields_by_choice() {
    let none = [("az", "off"), ("ec2_instance_id", "off"), ("tags_enabled", "on")];
    let cases = [
        (None, r#"{"log":"x","Name":"web 1","team":"blue","stage":"live"}"#),
        (Some(("tags_include", "stage,Name")), r#"{"log":"x","Name":"web 1","stage":"live"}"#),
        (Some(("tags_exclude", "team,other")), r#"{"log":"x","Name":"web 1","stage":"live"}"#),
    ];
    for (choice, expected) in cases {
        let properties: Vec<_> = none.into_iter().chain(choice).collect();
        let filter = filter(&instance(Some("secret")), &properties);
        filter.background().unwrap().await;
        assert_eq!(passed(&filter), expected);
    }
}

#[tokio::test]
async fn an_instance_that_tells_no_tags_has_none() {
    let endpoint = Endpoint::start(Some("secret"), &[("PUT /latest/api/token", "secret")]);
    let properties = [("az", "off"), ("ec2_instance_id", "off"), ("tags_enabled", "on")];
    let filter = filter(&endpoint, &properties);
    filter.background().unwrap().await;
    assert_eq!(passed(&filter), r#"{"log":"x"}"#);
}

#[tokio::test]
async fn the_entity_has_fields_of_its_own() {
    let properties = [("az", "off"), ("ec2_instance_id", "off"), ("enable_entity", "on")];
    let filter = filter(&instance(Some("secret")), &properties);
    filter.background().unwrap().await;
    assert_eq!(
        passed(&filter),
        r#"{"log":"x","aws_entity_ec2_instance_id":"i-0123456789abcdef0","aws_entity_account_id":"123456789012"}"#
    );
}

#[tokio::test]
async fn what_could_not_be_read_is_asked_for_again_and_nothing_else() {
    let endpoint = Endpoint::start(
        Some("secret"),
        &[("PUT /latest/api/token", "secret"), ("GET /latest/meta-data/instance-id", "i-1")],
    );
    let filter = filter(&endpoint, &[("retry_interval_s", "1")]);
    let learning = tokio::spawn(filter.background().unwrap());
    while passed(&filter) == r#"{"log":"x"}"# {
        tokio::task::yield_now().await;
    }
    assert_eq!(passed(&filter), r#"{"log":"x","ec2_instance_id":"i-1"}"#);
    endpoint.set("GET /latest/meta-data/placement/availability-zone", "us-east-1b");
    learning.await.unwrap();
    assert_eq!(passed(&filter), r#"{"log":"x","az":"us-east-1b","ec2_instance_id":"i-1"}"#);
    assert_eq!(endpoint.count("GET /latest/meta-data/instance-id"), 1);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let both = build("aws", &[("tags_enabled", "on"), ("tags_include", "a"), ("tags_exclude", "b")]);
    assert!(both.findings.join("\n").contains("cannot be used together"));
    assert!(build("aws", &[("imds_version", "v3")]).filter.is_none());
    assert_eq!(AwsMetadataOptions::set().name, "aws");
}
