//! Every example of the guide does what the guide says.

use std::sync::Arc;

use ikada_filters::aws_metadata::{AwsMetadata, AwsMetadataOptions};
use ikada_filters::filters;
use ikada_options::{Diagnostics, Sources};
use ikada_parse::Parsers;
use ikada_plugin::{Families, Filter};
use ikada_record::Tag;
use ikada_route::Pattern;
use tempfile::TempDir;

use crate::endpoint::Endpoint;
use crate::pipeline::{Link, Record, pass};
use crate::support::{build_with, decode, encode, options, parsers_of, time};

const GUIDE: &str = include_str!("../../../../docs/guide-filters.md");

/// The tag of an example where no other is said.
const TAG: &str = "app.log";

#[tokio::test]
async fn every_example_of_the_guide_is_true() {
    let surroundings = Surroundings::start();
    let mut checked = Vec::new();
    let mut section: Option<&str> = None;
    let mut chain = Vec::new();
    for block in blocks() {
        match section {
            _ if block.starts_with("[FILTER]") || block.starts_with("[PARSER]") => section = Some(block),
            Some(text) if block.starts_with("< ") => {
                chain = surroundings.chain(text);
                let tag = if text.contains("Name           ecs") { "docker.0123456789ab" } else { TAG };
                let examples = examples(block);
                surroundings.until_known(text, &chain, tag, &examples[0]).await;
                let last = examples.len() - 1;
                for (number, (record, expected)) in examples.into_iter().enumerate() {
                    let mut out = run(&chain, tag, record);
                    if number == last {
                        let held = chain.iter().flat_map(|link| link.filter.flush(None));
                        out.extend(held.map(|done| decode(&done.record)));
                    }
                    assert_eq!(out, expected, "{text}\n< {record}");
                }
                checked.extend(names(text));
            }
            _ if block.starts_with("# HELP") => assert_eq!(metrics(&chain), block),
            _ => section = None,
        }
    }
    for plugin in filters() {
        assert!(checked.contains(&plugin.name), "the guide has no example of `{}`", plugin.name);
    }
}

/// The text between fences, in order. Blocks with sections of other kinds are for the whole program.
fn blocks() -> impl Iterator<Item = &'static str> {
    GUIDE.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches(|c: char| c != '\n').trim())
}

/// The names of the filters of a section.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let filters = text.split("[FILTER]").skip(1);
    filters.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("Name ")).map(str::trim)
}

/// What a chain's filters show of what they counted, without what they left out.
fn metrics(chain: &[Link]) -> String {
    let mut families = Families::default();
    chain.iter().filter_map(|link| link.filter.metrics()).for_each(|metrics| metrics.show(&mut families));
    families.into_text().split("# HELP ikada_").next().unwrap().trim().to_owned()
}

/// Files and services that examples ask.
struct Surroundings {
    files: TempDir,
    instance: Endpoint,
    agent: Endpoint,
}

impl Surroundings {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("blocked.txt"), "10.0.0.7\n192.168.1.1\n").unwrap();
        let instance = Endpoint::start(
            Some("secret"),
            &[
                ("PUT /latest/api/token", "secret"),
                ("GET /latest/meta-data/placement/availability-zone", "eu-central-1a"),
                ("GET /latest/meta-data/instance-id", "i-0123456789abcdef0"),
                ("GET /latest/meta-data/instance-type", "c7g.large"),
                ("GET /latest/meta-data/tags/instance", "Name\nteam"),
                ("GET /latest/meta-data/tags/instance/Name", "web"),
            ],
        );
        let agent = Endpoint::start(
            None,
            &[
                (
                    "GET /v1/metadata",
                    r#"{"Cluster":"shop","ContainerInstanceArn":"arn:aws:ecs:x:1:container-instance/shop/0","Version":"1"}"#,
                ),
                (
                    "GET /v1/tasks?dockerid=0123456789ab",
                    r#"{"Arn":"arn:aws:ecs:x:1:task/shop/7a5c","Family":"web","Version":"12","Containers":[{"DockerId":"0123456789abcdef","DockerName":"n","Name":"nginx"}]}"#,
                ),
            ],
        );
        Self { files, instance, agent }
    }

    /// The filters of a section, beside its parsers.
    fn chain(&self, text: &str) -> Vec<Link> {
        let own = &text[..text.find("[FILTER]").unwrap()];
        let parsers = parsers_of(&format!("{own}\n[PARSER]\n    Name json\n    Format json\n"));
        text.split("[FILTER]").skip(1).map(|section| self.link(section, &parsers)).collect()
    }

    fn link(&self, section: &str, parsers: &Arc<Parsers>) -> Link {
        let lines = section.lines().filter_map(|line| line.trim().split_once(' '));
        let mut pairs: Vec<_> = lines.map(|(key, value)| (key, self.placed(key, value.trim()))).collect();
        let value = |name| pairs.iter().find(|(key, _)| *key == name).unwrap().1.clone();
        let (name, pattern) = (value("Name"), Pattern::new(&value("Match")));
        if name == "ecs" {
            pairs.push(("ecs_meta_port", self.agent.address.port().to_string()));
        }
        let properties = pairs.iter().filter(|(key, _)| *key != "Name");
        let properties: Vec<_> = properties.map(|(key, value)| (*key, value.as_str())).collect();
        if name == "aws" {
            return Link { pattern, filter: self.aws(&properties[1..]) };
        }
        let built = build_with(&name, &properties, Arc::clone(parsers));
        assert_eq!(built.findings, Vec::<String>::new(), "{section}");
        Link { pattern, filter: built.filter.unwrap() }
    }

    fn aws(&self, properties: &[(&str, &str)]) -> Box<dyn Filter> {
        let options: AwsMetadataOptions = options("aws", properties);
        let span = Sources::default().add("x.conf", String::from("[FILTER]")).span(0, 8);
        let url = format!("http://{}", self.instance.address);
        Box::new(AwsMetadata::build(options, &url, span, &mut Diagnostics::new()).unwrap())
    }

    fn placed(&self, key: &str, value: &str) -> String {
        match key {
            "file" => self.files.path().join(value).display().to_string(),
            _ => value.to_owned(),
        }
    }

    /// Waits until the filters that ask others have their answers.
    async fn until_known(&self, text: &str, chain: &[Link], tag: &str, first: &(&str, Vec<String>)) {
        if !names(text).any(|name| ["aws", "ecs"].contains(&name)) {
            return;
        }
        let asking: Vec<_> =
            chain.iter().filter_map(|link| link.filter.background()).map(tokio::spawn).collect();
        while run(chain, tag, first.0) != first.1 {
            tokio::task::yield_now().await;
        }
        asking.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Each record with what comes out, one line for each.
fn examples(block: &str) -> Vec<(&str, Vec<String>)> {
    let mut examples: Vec<(&str, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("< "), line.strip_prefix("> ")) {
            (Some(record), _) => examples.push((record, Vec::new())),
            (_, Some(out)) => examples.last_mut().unwrap().1.push(out.to_owned()),
            _ => panic!("{line}"),
        }
    }
    examples
}

fn run(chain: &[Link], under: &str, record: &str) -> Vec<String> {
    let records = vec![Record { time: time(), metadata: None, body: encode(record) }];
    let out = pass(chain, &Tag::from(under), records).into_iter();
    out.map(|(tag, record)| {
        let body = decode(&record.body);
        if tag.as_bytes() == under.as_bytes() { body } else { format!("{tag} {body}") }
    })
    .collect()
}
