//! The file that the ECS agent writes for a task (reference, "Generated file"), with the places its parts come from.

use std::ops::Range;

use super::model::{Container, Task};
use crate::tree::Node;

/// The external file's path in the container when it comes from S3.
pub const EXTERNAL: &str = "/fluent-bit/etc/external.conf";

/// Options of `awsfirelens` that are no properties of the output.
pub const NOT_FOR_THE_OUTPUT: [&str; 3] = ["include-pattern", "exclude-pattern", "log-driver-buffer-limit"];

/// A text, and for parts of it the places in the task definition that they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generated {
    /// The file.
    pub text: String,
    origins: Vec<(Range<usize>, Range<usize>)>,
}

impl Generated {
    /// The place in the task definition that a place in the text comes from: the smallest part that holds it.
    #[must_use]
    pub fn origin(&self, place: Range<usize>) -> Option<Range<usize>> {
        let holds = |part: &Range<usize>| part.start <= place.start && place.start <= part.end;
        let parts = self.origins.iter().filter(|(part, _)| holds(part));
        let (part, origin) = parts.min_by_key(|(part, _)| part.len())?;
        if part.len() != origin.len() {
            return Some(origin.clone());
        }
        let shift = |at: usize| origin.start + at.clamp(part.start, part.end) - part.start;
        Some(shift(place.start)..shift(place.end))
    }

    fn plain(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn node(&mut self, node: &Node) -> &mut Self {
        let start = self.text.len();
        self.text.push_str(node.text().unwrap_or_default());
        self.origins.push((start..self.text.len(), node.span.clone()));
        self
    }

    /// Says that everything from `start` on comes from a place, where no smaller part says more.
    fn comes_from(&mut self, start: usize, origin: Range<usize>) {
        self.origins.push((start..self.text.len(), origin));
    }
}

/// Writes the file as the agent would, for the router of a task.
#[must_use]
pub fn generate(task: &Task<'_>, router: &Container<'_>) -> Generated {
    let mut file = Generated::default();
    inputs(&mut file, task, router);
    for (key, rule) in [("include-pattern", "Regex  "), ("exclude-pattern", "Exclude")] {
        for client in task.clients() {
            let pattern = client.options().iter().find(|(known, _)| known.text() == Some(key));
            if let Some((_, pattern)) = pattern {
                let start = file.text.len();
                file.plain(&format!(
                    "\n[FILTER]\n    Name   grep\n    Match {}-firelens*\n    {rule} log ",
                    client.name
                ));
                file.node(pattern).plain("\n");
                file.comes_from(start, pattern.span.clone());
            }
        }
    }
    if adds_metadata(router) {
        metadata(&mut file, task);
    }
    external(&mut file, router);
    if has_network(task) {
        file.plain("\n[OUTPUT]\n    Name null\n    Match firelens-healthcheck\n");
    }
    for client in task.clients() {
        output(&mut file, client);
    }
    file
}

/// Whether the agent opens TCP ports for the router: in `bridge` and `awsvpc` mode.
#[must_use]
pub fn has_network(task: &Task<'_>) -> bool {
    matches!(task.network.as_str(), "bridge" | "awsvpc")
}

/// What Go's `strconv.ParseBool` makes of a text; anything else counts as false.
#[must_use]
pub fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn adds_metadata(router: &Container<'_>) -> bool {
    let written = router.firelens_option("enable-ecs-log-metadata").and_then(Node::text);
    written.is_none_or(|text| go_bool(text) == Some(true))
}

fn inputs(file: &mut Generated, task: &Task<'_>, router: &Container<'_>) {
    let limit = router.mem_buf_limit();
    file.plain(&format!(
        "\n[INPUT]\n    Name forward\n    Mem_Buf_Limit {limit}MB\n    unix_path /var/run/fluent.sock\n"
    ));
    if !has_network(task) {
        return;
    }
    let listen = if task.network == "awsvpc" { "127.0.0.1" } else { "0.0.0.0" };
    file.plain(&format!("\n[INPUT]\n    Name forward\n    Listen {listen}\n    Port 24224\n"));
    file.plain(
        "\n[INPUT]\n    Name tcp\n    Tag firelens-healthcheck\n    Listen 127.0.0.1\n    Port 8877\n",
    );
}

fn metadata(file: &mut Generated, task: &Task<'_>) {
    file.plain("\n[FILTER]\n    Name record_modifier\n    Match *\n");
    if !task.fargate {
        file.plain("    Record ec2_instance_id ${EC2_INSTANCE_ID}\n");
    }
    file.plain("    Record ecs_cluster ${ECS_CLUSTER}\n    Record ecs_task_arn ${ECS_TASK_ARN}\n");
    file.plain("    Record ecs_task_definition ${ECS_TASK_DEFINITION}\n");
}

fn external(file: &mut Generated, router: &Container<'_>) {
    let Some(value) = router.firelens_option("config-file-value") else { return };
    file.plain("\n@INCLUDE ");
    let start = file.text.len();
    match router.firelens_option("config-file-type").and_then(Node::text) {
        Some("s3") => {
            file.plain(EXTERNAL);
            file.comes_from(start, value.span.clone());
        }
        _ => {
            file.node(value);
        }
    }
    file.plain("\n");
}

/// A container without any option gets no output: the external file has it.
fn output(file: &mut Generated, client: &Container<'_>) {
    let is_property = |key: &Node| key.text().is_some_and(|key| !NOT_FOR_THE_OUTPUT.contains(&key));
    let mut properties: Vec<_> = client.options().iter().filter(|(key, _)| is_property(key)).collect();
    properties.sort_by_key(|(key, _)| key.text());
    let mut secrets: Vec<_> = client.secret_options().collect();
    secrets.sort_by_key(|(name, _)| name.text());
    if properties.is_empty() && secrets.is_empty() {
        return;
    }
    let start = file.text.len();
    file.plain("\n[OUTPUT]\n");
    let name = properties.iter().find(|(key, _)| key.text() == Some("Name"));
    if let Some((key, value)) = name {
        file.plain("    ").node(key).plain(" ").node(value).plain("\n");
    }
    file.plain(&format!("    Match {}-firelens*\n", client.name));
    for (key, value) in properties.iter().filter(|(key, _)| key.text() != Some("Name")) {
        file.plain("    ").node(key).plain(" ").node(value).plain("\n");
    }
    for (name, _) in secrets {
        let variable = secret_variable(name, client.number);
        file.plain("    ").node(name).plain(" ");
        let value = file.text.len();
        file.plain(&format!("${{{variable}}}"));
        file.comes_from(value, name.span.clone());
        file.plain("\n");
    }
    let origin = client.log.map_or(client.node.span.clone(), |log| log.span.clone());
    file.comes_from(start, origin);
}

/// The router's variable for a secret option of the container with this number.
#[must_use]
pub fn secret_variable(name: &Node, number: usize) -> String {
    format!("{}_{number}", name.text().unwrap_or_default())
}
