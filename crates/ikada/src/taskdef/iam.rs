//! The least that a task's roles must be allowed, for its outputs and for the files it starts with.
//!
//! Actions as of the services' authorization references, read 2026-11-22.

use std::collections::BTreeMap;

use ikada_aws::fetch::ObjectArn;
use ikada_config::{Instance, ServiceOptions};
use serde_json::{Value, json};

/// What a role must be allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Resources by the actions that are done on them.
    statements: BTreeMap<Vec<String>, Vec<String>>,
}

/// What each of a task's roles must be allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The task role: outputs and init files.
    pub task: Policy,
    /// The execution role: what the agent reads before the router runs.
    pub execution: Policy,
    /// Roles that outputs take on.
    pub assumed: BTreeMap<String, Policy>,
}

/// Where the task runs, as far as it is known; what is not is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// The region.
    pub region: String,
    /// The account's number.
    pub account: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { partition: "aws".to_owned(), region: "*".to_owned(), account: "*".to_owned() }
    }
}

impl Place {
    /// The place with what a role's ARN says of it.
    #[must_use]
    pub fn with_role(mut self, arn: Option<&str>) -> Self {
        let parts: Vec<&str> = arn.unwrap_or_default().split(':').collect();
        if let ["arn", partition, "iam", _, account, ..] = parts[..] {
            self.partition = partition.to_owned();
            if !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit()) {
                self.account = account.to_owned();
            }
        }
        self
    }
}

impl Policy {
    /// Allows actions on a resource.
    pub fn allow(&mut self, actions: &[&str], resource: impl Into<String>) {
        let mut actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
        actions.sort();
        let resources = self.statements.entry(actions).or_default();
        let resource = resource.into();
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }

    /// Whether nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The policy document.
    #[must_use]
    pub fn document(&self) -> Value {
        let statements: Vec<Value> = self
            .statements
            .iter()
            .map(
                |(actions, resources)| json!({ "Effect": "Allow", "Action": actions, "Resource": resources }),
            )
            .collect();
        json!({ "Version": "2012-10-17", "Statement": statements })
    }
}

impl Needs {
    /// Adds what an output needs. Outputs that are not AWS's need nothing.
    pub fn add_output(&mut self, output: &Instance, place: &Place) {
        let policy = match text(output, "role_arn") {
            Some(role) => {
                self.task.allow(&["sts:AssumeRole"], role.clone());
                self.assumed.entry(role).or_default()
            }
            None => &mut self.task,
        };
        let region = text(output, "region").unwrap_or_else(|| place.region.clone());
        let arn = |service: &str, rest: String| {
            format!("arn:{}:{service}:{region}:{}:{rest}", place.partition, place.account)
        };
        match output.plugin.value.as_str() {
            "cloudwatch_logs" | "cloudwatch" => logs(policy, output, arn),
            "kinesis_firehose" | "firehose" => {
                let stream = text(output, "delivery_stream").map_or("*".to_owned(), |name| open(&name));
                policy
                    .allow(&["firehose:PutRecordBatch"], arn("firehose", format!("deliverystream/{stream}")));
            }
            "kinesis_streams" | "kinesis" => {
                let stream = text(output, "stream").map_or("*".to_owned(), |name| open(&name));
                policy.allow(&["kinesis:PutRecords"], arn("kinesis", format!("stream/{stream}")));
            }
            "s3" => s3(policy, output, &place.partition),
            _ => {}
        }
    }

    /// Adds what dead letters need that are brought to S3.
    pub fn add_letters(&mut self, service: &ServiceOptions, place: &Place) {
        let Some(bucket) = &service.ikada_dlq_s3_bucket else { return };
        let policy = match &service.ikada_dlq_s3_role_arn {
            Some(role) => {
                self.task.allow(&["sts:AssumeRole"], role.value.clone());
                self.assumed.entry(role.value.clone()).or_default()
            }
            None => &mut self.task,
        };
        let prefix = service.ikada_dlq_s3_prefix.trim_matches('/');
        policy.allow(&["s3:PutObject"], format!("arn:{}:s3:::{}/{prefix}/*", place.partition, bucket.value));
    }

    /// Adds an object that the router itself fetches at its start.
    pub fn add_init_object(&mut self, arn: &ObjectArn) {
        self.task.allow(&["s3:GetObject"], arn.to_string());
    }

    /// Adds an object that the agent fetches (`config-file-type: s3`). It asks for the bucket's region first.
    pub fn add_agent_object(&mut self, arn: &ObjectArn) {
        self.execution.allow(&["s3:GetObject"], arn.to_string());
        let bucket = format!("arn:{}:s3:::{}", arn.partition, arn.bucket);
        self.execution.allow(&["s3:GetBucketLocation"], bucket);
    }

    /// Adds a secret that the agent reads.
    pub fn add_secret(&mut self, value_from: &str, place: &Place) {
        let parts: Vec<&str> = value_from.split(':').collect();
        match parts[..] {
            ["arn", _, "secretsmanager", ..] => {
                // What stands behind the secret's name chooses a key and a version in it.
                let arn = parts[..parts.len().min(7)].join(":");
                self.execution.allow(&["secretsmanager:GetSecretValue"], arn);
            }
            ["arn", _, "ssm", ..] => self.execution.allow(&["ssm:GetParameters"], value_from),
            _ => {
                let name = value_from.trim_start_matches('/');
                let Place { partition, region, account } = place;
                let arn = format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}");
                self.execution.allow(&["ssm:GetParameters"], arn);
            }
        }
    }
}

fn logs(policy: &mut Policy, output: &Instance, arn: impl Fn(&str, String) -> String) {
    let written = ["log_group_name", "log_group_template", "default_log_group_name"];
    let mut groups: Vec<String> =
        written.iter().filter_map(|key| text(output, key)).map(|name| open(&name)).collect();
    if groups.is_empty() {
        groups.push("*".to_owned());
    }
    let creates = text(output, "auto_create_group").is_some_and(|text| is_on(&text));
    for group in groups {
        let stream = arn("logs", format!("log-group:{group}:log-stream:*"));
        policy.allow(&["logs:CreateLogStream", "logs:PutLogEvents"], stream);
        if !creates {
            continue;
        }
        let own = arn("logs", format!("log-group:{group}"));
        policy.allow(&["logs:CreateLogGroup"], own.clone());
        if text(output, "log_retention_days").is_some_and(|days| days != "0") {
            policy.allow(&["logs:PutRetentionPolicy"], own.clone());
        }
        if text(output, "new_log_group_tags").or_else(|| text(output, "log_group_tags")).is_some() {
            policy.allow(&["logs:TagResource"], own);
        }
    }
}

fn s3(policy: &mut Policy, output: &Instance, partition: &str) {
    let bucket = text(output, "bucket").unwrap_or_else(|| "*".to_owned());
    let key = text(output, "s3_key_format").unwrap_or_else(|| "/fluent-bit-logs/$TAG".to_owned());
    let key = open(key.trim_start_matches('/'));
    let key = if key.ends_with('*') { key } else { format!("{key}*") };
    let mut actions = vec!["s3:PutObject"];
    // After an answer that was lost, or a crash, the object is looked at, and uploads that nobody will complete are found and aborted.
    if !text(output, "use_put_object").is_some_and(|text| is_on(&text)) {
        actions.extend(["s3:AbortMultipartUpload", "s3:GetObject"]);
        policy.allow(&["s3:ListBucketMultipartUploads"], format!("arn:{partition}:s3:::{bucket}"));
    }
    if text(output, "canned_acl").is_some() {
        actions.push("s3:PutObjectAcl");
    }
    if text(output, "tags").is_some() {
        actions.push("s3:PutObjectTagging");
    }
    policy.allow(&actions, format!("arn:{partition}:s3:::{bucket}/{key}"));
    if let Some(key) = text(output, "sse_kms_key_id").filter(|key| key.starts_with("arn:")) {
        policy.allow(&["kms:Decrypt", "kms:GenerateDataKey"], key);
    }
}

/// An option's value, if it is written.
fn text(output: &Instance, key: &str) -> Option<String> {
    output.bag.peek(key).map(|property| property.value.value.clone()).filter(|text| !text.is_empty())
}

fn is_on(text: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|on| text.eq_ignore_ascii_case(on))
}

/// A name in which everything from the first reference on may be anything.
fn open(name: &str) -> String {
    match name.find(['$', '%']) {
        Some(at) => format!("{}*", &name[..at]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ikada_config::{build_pipeline, from_text};

    use super::*;

    fn needs(text: &str) -> Needs {
        let mut loaded = from_text("a.conf", text);
        let pipeline = build_pipeline(&loaded.document, &mut loaded.diagnostics);
        let place = Place { region: "eu-west-1".to_owned(), ..Place::default() };
        let place = place.with_role(Some("arn:aws:iam::123456789012:role/shop"));
        let mut needs = Needs::default();
        pipeline.outputs.iter().for_each(|output| needs.add_output(output, &place));
        needs
    }

    #[test]
    fn each_output_names_its_actions_and_resources() {
        let needs = needs(
            "[OUTPUT]\n    Name cloudwatch_logs\n    Match *\n    log_group_name /ecs/shop\n    auto_create_group On\n\
             [OUTPUT]\n    Name kinesis_firehose\n    Match *\n    delivery_stream audit\n    region eu-north-1\n\
             [OUTPUT]\n    Name kinesis_streams\n    Match *\n    stream clicks\n\
             [OUTPUT]\n    Name s3\n    Match *\n    bucket archive\n    s3_key_format /logs/%Y/$TAG\n\
             [OUTPUT]\n    Name stdout\n    Match *\n",
        );
        let document = needs.task.document();
        let statements = document["Statement"].as_array().unwrap();
        let resources = |action: &str| {
            let has =
                |statement: &&Value| statement["Action"].as_array().unwrap().iter().any(|own| own == action);
            statements.iter().find(has).map(|statement| statement["Resource"][0].as_str().unwrap().to_owned())
        };
        let is = |action: &str, resource: &str| {
            assert_eq!(resources(action).as_deref(), Some(resource), "{action}")
        };
        is("logs:PutLogEvents", "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/shop:log-stream:*");
        is("logs:CreateLogGroup", "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/shop");
        is("firehose:PutRecordBatch", "arn:aws:firehose:eu-north-1:123456789012:deliverystream/audit");
        is("kinesis:PutRecords", "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks");
        is("s3:PutObject", "arn:aws:s3:::archive/logs/*");
        assert_eq!(resources("logs:PutRetentionPolicy"), None);
        is("s3:ListBucketMultipartUploads", "arn:aws:s3:::archive");
        assert_eq!(statements.len(), 6);
    }

    #[test]
    fn an_output_with_a_role_needs_to_take_it_on() {
        let role = "arn:aws:iam::1:role/writer";
        let needs =
            needs(&format!("[OUTPUT]\n    Name s3\n    Match *\n    bucket archive\n    role_arn {role}\n"));
        assert_eq!(needs.task.document()["Statement"][0]["Action"], json!(["sts:AssumeRole"]));
        let policy = needs.assumed[role].document();
        let resource = |at: usize| policy["Statement"][at]["Resource"].clone();
        assert_eq!(resource(0), json!(["arn:aws:s3:::archive/fluent-bit-logs/*"]));
        assert_eq!(resource(1), json!(["arn:aws:s3:::archive"]));
    }

    #[test]
    fn the_agent_reads_secrets_and_the_external_file() {
        let mut needs = Needs::default();
        let place = Place { region: "eu-west-1".to_owned(), account: "1".to_owned(), ..Place::default() };
        needs.add_secret("arn:aws:secretsmanager:eu-west-1:1:secret:key-AbC:apikey::", &place);
        needs.add_secret("/shop/key", &place);
        needs.add_agent_object(&ObjectArn::parse("arn:aws:s3:::conf/extra.conf").unwrap());
        let text = needs.execution.document().to_string();
        assert!(text.contains("\"arn:aws:secretsmanager:eu-west-1:1:secret:key-AbC\""), "{text}");
        assert!(text.contains("\"arn:aws:ssm:eu-west-1:1:parameter/shop/key\""), "{text}");
        assert!(
            text.contains("\"arn:aws:s3:::conf\"") && text.contains("\"arn:aws:s3:::conf/extra.conf\""),
            "{text}"
        );
        assert!(needs.task.is_empty());
    }
}
