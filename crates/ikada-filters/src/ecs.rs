//! `ecs`: appends what the ECS agent of an EC2 container instance knows of the cluster, the task and the container.
//!
//! The container is known by its short identifier in the tag. A task beside the records asks the agent: for the cluster once, for each
//! container when its first record passes. What came of it is kept as finished values. Records never wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{Options, PropertyBag, Seconds, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{BoxFuture, EntryContext, Filter, Verdict};
use ikada_record::accessor::{Part, Template};
use ikada_record::{Fields, Piece, Tag};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::aws_metadata::causes;
use crate::ecs_agent::{Agent, VARIABLES, Variables};
use crate::text::encoded;

/// Appends names of the ECS cluster, the task and the container, as the ECS agent of the instance tells them.
///
/// For tasks on EC2 instances whose tags hold the short identifier of the container; neither for Fargate nor for the tags of FireLens. The
/// agent is asked beside the records: records that pass before the cluster is known pass without metadata, those that pass before their
/// container is known have the names of the cluster only, and empty texts for the others.
#[derive(Debug, Options)]
#[options(filter = "ecs")]
pub struct EcsOptions {
    /// A field to append: `KEY TEMPLATE`.
    ///
    /// A template holds `$ClusterName`, `$ContainerInstanceArn`, `$ContainerInstanceID`, `$ECSAgentVersion`, and for containers of tasks
    /// `$TaskARN`, `$TaskID`, `$TaskDefinitionFamily`, `$TaskDefinitionVersion`, `$ContainerID`, `$DockerContainerName` and
    /// `$ECSContainerName`.
    #[option(example = "task $TaskID")]
    pub add: Vec<Spanned<String>>,
    /// What stands in the tag before the 12 characters of the container's short identifier.
    #[option(default = "", example = "docker.")]
    pub ecs_tag_prefix: String,
    /// Appends what is known of the cluster only. For records that come from no task.
    #[option(default = "false")]
    pub cluster_metadata_only: bool,
    /// How long what is known of a container is kept after its last record.
    #[option(default = "3600")]
    pub ecs_meta_cache_ttl: Seconds,
    /// Host of the agent's introspection endpoint.
    #[option(default = "127.0.0.1")]
    pub ecs_meta_host: Spanned<String>,
    /// Port of the agent's introspection endpoint.
    #[option(default = "51678")]
    pub ecs_meta_port: u16,
    /// How often the agent is asked for a container that it does not know; at least once.
    #[option(default = "2")]
    pub agent_endpoint_retries: u32,
}

/// Characters of a container's short identifier.
const SHORT: usize = 12;

/// A container's short identifier.
type ShortId = [u8; SHORT];

/// Containers that are remembered, known or not. An instance runs some hundred at most.
const REMEMBERED: usize = 4096;

/// Containers that wait to be asked for.
const WAITING: usize = 256;

/// The time between two questions for the same thing, at first.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between two questions for the cluster, at most.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// The filter, ready to run.
#[derive(Debug)]
pub struct Ecs {
    keys: Vec<Box<[u8]>>,
    prefix: String,
    cluster_only: bool,
    shared: Arc<Shared>,
    asks: mpsc::Sender<ShortId>,
    /// The other end, until the task beside the records has it.
    asked: Mutex<Option<mpsc::Receiver<ShortId>>>,
    /// Whether a tag without a container was told.
    told: AtomicBool,
}

/// The finished values, encoded, one for each key.
type Values = Arc<[Box<[u8]>]>;

/// What the records and the task beside them share.
#[derive(Debug)]
struct Shared {
    agent: Agent,
    templates: Vec<Template>,
    tries: u32,
    ttl: Duration,
    cluster: OnceLock<Values>,
    containers: Mutex<HashMap<ShortId, Container, foldhash::fast::RandomState>>,
}

/// What is known of a container.
#[derive(Debug)]
struct Container {
    state: State,
    /// When a record of it passed last.
    used: Instant,
    /// How often the agent did not know it.
    failures: u32,
}

#[derive(Debug)]
enum State {
    Asked,
    Known(Values),
    Unknown { since: Instant },
}

impl Ecs {
    /// Checks the options; nothing is asked before [`Filter::background`] runs.
    pub fn build(options: &EcsOptions, found: &mut Diagnostics) -> Option<Self> {
        let host = &options.ecs_meta_host;
        let agent = Agent::new(&host.value, options.ecs_meta_port);
        if agent.is_none() {
            let message = format!("`{}` is no host", host.value);
            let help = "type a name or an address, such as `127.0.0.1`";
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(host.span).help(help));
        }
        let pairs: Vec<_> = options.add.iter().map(|text| pair(text, found)).collect();
        let (keys, templates) = pairs.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let (asks, asked) = mpsc::channel(WAITING);
        let shared = Shared {
            agent: agent?,
            templates,
            tries: options.agent_endpoint_retries.max(1),
            ttl: options.ecs_meta_cache_ttl.0,
            cluster: OnceLock::new(),
            containers: Mutex::default(),
        };
        Some(Self {
            keys,
            prefix: options.ecs_tag_prefix.clone(),
            cluster_only: options.cluster_metadata_only,
            shared: Arc::new(shared),
            asks,
            asked: Mutex::new(Some(asked)),
            told: AtomicBool::new(false),
        })
    }

    /// The values of the tag's container. Where it is not known, the agent may be asked, and there are none yet.
    fn container_values(&self, tag: &Tag) -> Option<Values> {
        let Some(id) = short_id(&self.prefix, tag) else {
            self.saw_no_container(tag);
            return None;
        };
        self.shared.values_of(id, || self.asks.try_send(id).is_ok())
    }

    #[cold]
    fn saw_no_container(&self, tag: &Tag) {
        if !self.told.swap(true, Relaxed) {
            tracing::warn!(
                %tag,
                prefix = self.prefix,
                "filter ecs finds no container's identifier behind `ecs_tag_prefix` in a tag; its records have names of the cluster only"
            );
        }
    }
}

impl Filter for Ecs {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let Some(cluster) = self.shared.cluster.get() else { return Verdict::Keep };
        let container = if self.cluster_only { None } else { self.container_values(cx.tag) };
        let values = container.as_ref().unwrap_or(cluster);
        for (key, value) in self.keys.iter().zip(values.iter()) {
            let mut copy = fields.buffer();
            copy.extend_from_slice(value);
            fields.push(Piece::Ref(key), Piece::Own(copy));
        }
        Verdict::Keep
    }

    fn background(&self) -> Option<BoxFuture<'static, ()>> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let (shared, cluster_only) = (self.shared.clone(), self.cluster_only);
        Some(Box::pin(async move {
            let cluster = shared.learn_cluster().await;
            if !cluster_only {
                shared.learn_containers(&cluster, asked).await;
            }
        }))
    }
}

impl Shared {
    fn containers(&self) -> MutexGuard<'_, HashMap<ShortId, Container, foldhash::fast::RandomState>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values of a container; `ask` is called if the agent is to be asked, and says whether it will be.
    fn values_of(&self, id: ShortId, ask: impl FnOnce() -> bool) -> Option<Values> {
        let now = Instant::now();
        let mut containers = self.containers();
        let Some(container) = containers.get_mut(&id) else {
            if containers.len() < REMEMBERED && ask() {
                containers.insert(id, Container { state: State::Asked, used: now, failures: 0 });
            }
            return None;
        };
        container.used = now;
        match &container.state {
            State::Known(values) => return Some(values.clone()),
            State::Unknown { since } if now - *since >= self.ttl => container.failures = 0,
            State::Unknown { since } if container.failures < self.tries && now - *since >= PAUSE => {}
            State::Asked | State::Unknown { .. } => return None,
        }
        if ask() {
            container.state = State::Asked;
        }
        None
    }

    /// Asks for the cluster until it is known.
    async fn learn_cluster(&self) -> Variables {
        let mut pause = PAUSE;
        loop {
            match self.agent.cluster().await {
                Ok(cluster) => {
                    self.cluster.get_or_init(|| self.render(&cluster));
                    return cluster;
                }
                Err(error) => {
                    let cause = causes(&error);
                    tracing::warn!(
                        %cause,
                        retry_after = ?pause,
                        "filter ecs cannot read what the ECS agent knows of the cluster; records pass without it"
                    );
                }
            }
            tokio::time::sleep(pause).await;
            pause = LONG_PAUSE.min(pause * 2);
        }
    }

    async fn learn_containers(&self, cluster: &Variables, mut asked: mpsc::Receiver<ShortId>) {
        while let Some(id) = asked.recv().await {
            // A container that came with another one of its task is known already.
            if matches!(self.containers().get(&id), Some(Container { state: State::Known(_), .. })) {
                continue;
            }
            let answer = self.agent.task(&String::from_utf8_lossy(&id)).await;
            self.forget_unused();
            match answer {
                Ok(list) => self.remember(cluster, list),
                Err(error) => {
                    let (container, cause) = (String::from_utf8_lossy(&id), causes(&error));
                    tracing::warn!(%container, %cause, "filter ecs cannot read what the ECS agent knows of a container");
                }
            }
            self.note_unknown(id);
        }
    }

    fn remember(&self, cluster: &Variables, list: Vec<Variables>) {
        for mut variables in list {
            variables.take_missing_from(cluster);
            let id = variables.get("ContainerID").and_then(|id| id.as_bytes().first_chunk::<SHORT>());
            let Some(id) = id.copied() else { continue };
            let state = State::Known(self.render(&variables));
            self.containers().insert(id, Container { state, used: Instant::now(), failures: 0 });
        }
    }

    /// Says of a container that was asked for, and did not become known, that it is unknown.
    fn note_unknown(&self, id: ShortId) {
        if let Some(container) = self.containers().get_mut(&id)
            && !matches!(container.state, State::Known(_))
        {
            container.state = State::Unknown { since: Instant::now() };
            container.failures += 1;
        }
    }

    fn forget_unused(&self) {
        let now = Instant::now();
        self.containers().retain(|_, container| now - container.used <= self.ttl);
    }

    /// Variables without a value are empty texts.
    fn render(&self, variables: &Variables) -> Values {
        let text = |template: &Template| -> String {
            let value = |part: &Part| match part {
                Part::Text(text) => text.to_string(),
                Part::Field(accessor) => {
                    variables.get(accessor.as_str().trim_start_matches('$')).unwrap_or_default().to_owned()
                }
                _ => String::new(),
            };
            template.parts().iter().map(value).collect()
        };
        self.templates.iter().map(|template| encoded(&text(template))).collect()
    }
}

/// The short identifier behind the prefix. Of letters and digits only: it becomes part of a request.
fn short_id(prefix: &str, tag: &Tag) -> Option<ShortId> {
    let id = tag.as_bytes().strip_prefix(prefix.as_bytes())?.first_chunk::<SHORT>()?;
    id.iter().all(u8::is_ascii_alphanumeric).then_some(*id)
}

/// The encoded key and the template of an `Add`.
fn pair(text: &Spanned<String>, found: &mut Diagnostics) -> Option<(Box<[u8]>, Template)> {
    let span = text.span;
    let Some((key, template)) = text.value.trim().split_once(char::is_whitespace) else {
        let message = "`Add` needs a key and a template";
        let help = "type `Add task $TaskID`";
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
        return None;
    };
    let template = match Template::new(template.trim()) {
        Ok(template) => template,
        Err(error) => {
            let message = format!("`{template}` is no template: {error}");
            let help = "a template is text with variables such as `$TaskID`";
            found.push(Diagnostic::error(codes::BAD_TEMPLATE, message).at(span).help(help));
            return None;
        }
    };
    template.parts().iter().for_each(|part| check(part, span, found));
    Some((encoded(key), template))
}

/// Warns of what will always be empty.
fn check(part: &Part, span: Span, found: &mut Diagnostics) {
    let name = match part {
        Part::Text(_) => return,
        Part::Field(accessor) => accessor.as_str(),
        Part::Tag | Part::TagPart(_) => "$TAG",
        _ => "$0",
    };
    if VARIABLES.iter().any(|known| name.strip_prefix('$') == Some(known)) {
        return;
    }
    let message = format!("the ECS agent tells nothing of the name `{name}`, so it is empty");
    let help = format!("it tells {}", ikada_options::quoted_list(&VARIABLES, "and"));
    found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span).help(help));
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "ecs", aliases: &[], options: EcsOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    Some(Box::new(Ecs::build(&EcsOptions::parse(bag, found)?, found)?))
}
