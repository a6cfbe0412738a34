//! `aws`: appends what the EC2 instance knows of itself, as its metadata service tells.
//!
//! A task beside the records asks for what is wanted; a value is appended from the moment it is known, and asked for again later if it
//! could not be read. Records never wait for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::Method;
use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_options::{Choice, CommaList, Options, PropertyBag, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{BoxFuture, EntryContext, Filter, Verdict};
use ikada_record::{Fields, Piece};

use crate::metadata_http::{AskError, MetadataClient};
use crate::text::encoded;

/// Appends the availability zone, the identifier and other properties of the EC2 instance.
///
/// Instance metadata is asked for beside the records: those that pass before it is known pass without it. A value that cannot be read is
/// left out and asked for again after `retry_interval_s`. The variable `AWS_EC2_METADATA_SERVICE_ENDPOINT` names another endpoint than
/// `http://169.254.169.254`.
#[derive(Debug, Options)]
#[options(filter = "aws")]
pub struct AwsMetadataOptions {
    /// Version of the instance metadata service.
    ///
    /// `v2` asks for a token first. In a container on a bridge network it needs a hop limit of 2 or more on the instance.
    #[option(default = "v2")]
    pub imds_version: ImdsVersion,
    /// Appends the availability zone as `az`.
    #[option(default = "true")]
    pub az: bool,
    /// Appends the identifier of the instance as `ec2_instance_id`.
    #[option(default = "true")]
    pub ec2_instance_id: bool,
    /// Appends the type of the instance as `ec2_instance_type`.
    #[option(default = "false")]
    pub ec2_instance_type: bool,
    /// Appends the private IPv4 address as `private_ip`.
    #[option(default = "false")]
    pub private_ip: bool,
    /// Appends the identifier of the VPC as `vpc_id`.
    #[option(default = "false")]
    pub vpc_id: bool,
    /// Appends the identifier of the machine image as `ami_id`.
    #[option(default = "false")]
    pub ami_id: bool,
    /// Appends the number of the account as `account_id`.
    #[option(default = "false")]
    pub account_id: bool,
    /// Appends the name of the host as `hostname`.
    #[option(default = "false")]
    pub hostname: bool,
    /// Appends the tags of the instance, each as a field of its own.
    ///
    /// The instance must allow tags in its metadata.
    #[option(default = "false")]
    pub tags_enabled: bool,
    /// Appends these tags only.
    #[option(example = "Name,team")]
    pub tags_include: Option<CommaList>,
    /// Appends all tags but these. Not together with `tags_include`.
    #[option(example = "aws:autoscaling:groupName")]
    pub tags_exclude: Option<Spanned<CommaList>>,
    /// Seconds before what could not be read is asked for again; at least 1.
    #[option(default = "300")]
    pub retry_interval_s: u32,
    /// Appends `aws_entity_ec2_instance_id` and `aws_entity_account_id` once both are known.
    #[option(default = "false")]
    pub enable_entity: bool,
}

/// A version of the instance metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum ImdsVersion {
    /// Without a token.
    #[choice("v1")]
    V1,
    /// With a token.
    #[choice("v2")]
    V2,
}

/// Where the service is on every instance.
pub const ENDPOINT: &str = "http://169.254.169.254";

/// The service answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a token is valid, in seconds: the most that the service allows.
const TOKEN_TTL: &str = "21600";

const META_DATA: &str = "/latest/meta-data/";
const IDENTITY: &str = "/latest/dynamic/instance-identity/document";

/// A property of the instance. They are appended in this order.
#[derive(Debug, Clone, Copy)]
enum Item {
    Zone,
    InstanceId,
    InstanceType,
    PrivateIp,
    VpcId,
    AmiId,
    AccountId,
    Hostname,
}

/// The properties with their keys, in order.
const ITEMS: [(Item, &str); 8] = [
    (Item::Zone, "az"),
    (Item::InstanceId, "ec2_instance_id"),
    (Item::InstanceType, "ec2_instance_type"),
    (Item::PrivateIp, "private_ip"),
    (Item::VpcId, "vpc_id"),
    (Item::AmiId, "ami_id"),
    (Item::AccountId, "account_id"),
    (Item::Hostname, "hostname"),
];

/// The filter, ready to run.
#[derive(Debug)]
pub struct AwsMetadata {
    known: Arc<Known>,
    service: Arc<Service>,
}

/// What is asked for, and what is known of it.
#[derive(Debug)]
struct Known {
    properties: [Property; ITEMS.len()],
    tags: Option<Tags>,
    /// The keys for the identifier of the instance and the number of the account.
    entity: Option<[Box<[u8]>; 2]>,
}

#[derive(Debug)]
struct Property {
    item: Item,
    key: Box<[u8]>,
    append: bool,
    /// It is asked for, be it to append it or for the entity.
    ask: bool,
    /// The encoded value.
    value: OnceLock<Box<[u8]>>,
}

#[derive(Debug)]
struct Tags {
    choice: TagChoice,
    /// Encoded keys and values.
    pairs: OnceLock<Vec<Pair>>,
}

/// An encoded key with its encoded value.
type Pair = (Box<[u8]>, Box<[u8]>);

#[derive(Debug)]
enum TagChoice {
    All,
    Only(Vec<String>),
    Without(Vec<String>),
}

impl TagChoice {
    fn takes(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.iter().any(|one| one == key),
            Self::Without(keys) => keys.iter().all(|one| one != key),
        }
    }
}

impl AwsMetadata {
    /// Checks the options; nothing is asked before [`Filter::background`] runs.
    pub fn build(
        options: AwsMetadataOptions,
        endpoint: &str,
        section: Span,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let Some(client) = MetadataClient::new(endpoint, PATIENCE) else {
            let message = format!("`{endpoint}` is no endpoint of the instance metadata service");
            let help = format!("set `AWS_EC2_METADATA_SERVICE_ENDPOINT` to an address such as `{ENDPOINT}`");
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(section).help(help));
            return None;
        };
        let service = Arc::new(Service {
            client,
            version: options.imds_version,
            pause: Duration::from_secs(options.retry_interval_s.max(1).into()),
        });
        Some(Self { known: Arc::new(Known::new(options, found)?), service })
    }
}

impl Known {
    fn new(options: AwsMetadataOptions, found: &mut Diagnostics) -> Option<Self> {
        let properties = ITEMS.map(|(item, key)| {
            let append = options.wants(item);
            let entity = options.enable_entity && matches!(item, Item::InstanceId | Item::AccountId);
            Property { item, key: encoded(key), append, ask: append || entity, value: OnceLock::new() }
        });
        let entity = ["aws_entity_ec2_instance_id", "aws_entity_account_id"].map(encoded);
        let choice = match (options.tags_include, options.tags_exclude) {
            (Some(_), Some(exclude)) => {
                let message = "`tags_include` and `tags_exclude` cannot be used together";
                let help = "remove one of them";
                found.push(Diagnostic::error(codes::BAD_VALUE, message).at(exclude.span).help(help));
                return None;
            }
            (Some(keys), None) => TagChoice::Only(keys.0),
            (None, Some(keys)) => TagChoice::Without(keys.value.0),
            (None, None) => TagChoice::All,
        };
        let tags = options.tags_enabled.then(|| Tags { choice, pairs: OnceLock::new() });
        Some(Self { properties, tags, entity: options.enable_entity.then_some(entity) })
    }

    fn property(&self, item: Item) -> &Property {
        &self.properties[item as usize]
    }

    fn is_complete(&self) -> bool {
        let lacks = |property: &Property| property.ask && property.value.get().is_none();
        !self.properties.iter().any(lacks) && self.tags.as_ref().is_none_or(|tags| tags.pairs.get().is_some())
    }
}

impl AwsMetadataOptions {
    fn wants(&self, item: Item) -> bool {
        match item {
            Item::Zone => self.az,
            Item::InstanceId => self.ec2_instance_id,
            Item::InstanceType => self.ec2_instance_type,
            Item::PrivateIp => self.private_ip,
            Item::VpcId => self.vpc_id,
            Item::AmiId => self.ami_id,
            Item::AccountId => self.account_id,
            Item::Hostname => self.hostname,
        }
    }
}

impl Filter for AwsMetadata {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        for property in self.known.properties.iter().filter(|property| property.append) {
            if let Some(value) = property.value.get() {
                fields.push(Piece::Ref(&property.key), Piece::Ref(value));
            }
        }
        for (key, value) in self.known.tags.iter().filter_map(|tags| tags.pairs.get()).flatten() {
            fields.push(Piece::Ref(key), Piece::Ref(value));
        }
        let value = |item| self.known.property(item).value.get();
        if let Some([id_key, account_key]) = &self.known.entity
            && let (Some(id), Some(account)) = (value(Item::InstanceId), value(Item::AccountId))
        {
            fields.push(Piece::Ref(id_key), Piece::Ref(id));
            fields.push(Piece::Ref(account_key), Piece::Ref(account));
        }
        Verdict::Keep
    }

    fn background(&self) -> Option<BoxFuture<'static, ()>> {
        let (known, service) = (self.known.clone(), self.service.clone());
        Some(Box::pin(async move { service.learn(&known).await }))
    }
}

/// The instance metadata service.
#[derive(Debug)]
struct Service {
    client: MetadataClient,
    version: ImdsVersion,
    pause: Duration,
}

/// Why a property is not known.
#[derive(Debug, thiserror::Error)]
enum LearnError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the answer is no text")]
    NoText(#[source] std::str::Utf8Error),
    #[error("the identity document names no account")]
    NoAccount,
}

impl Service {
    /// Asks until all is known.
    async fn learn(&self, known: &Known) {
        loop {
            if let Err(error) = self.round(known).await {
                let cause = causes(&error);
                tracing::warn!(
                    %cause,
                    retry_after = ?self.pause,
                    "filter aws cannot read instance metadata; records pass without it"
                );
            }
            if known.is_complete() {
                return;
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Asks once for all that is not known yet. Where one question gets no answer the others are asked nevertheless, unless the service
    /// cannot be reached.
    async fn round(&self, known: &Known) -> Result<(), LearnError> {
        let token = self.token().await?;
        let mut outcome = Ok(());
        for property in known.properties.iter().filter(|one| one.ask && one.value.get().is_none()) {
            match self.read(property.item, token.as_deref()).await {
                Ok(text) => drop(property.value.set(encoded(&text))),
                Err(error @ LearnError::Ask(AskError::Connect(_) | AskError::TooSlow(_))) => {
                    return Err(error);
                }
                Err(error) => outcome = Err(error),
            }
        }
        if let Some(tags) = known.tags.as_ref().filter(|tags| tags.pairs.get().is_none()) {
            drop(tags.pairs.set(self.tags(&tags.choice, token.as_deref()).await?));
        }
        outcome
    }

    async fn token(&self) -> Result<Option<String>, LearnError> {
        if self.version == ImdsVersion::V1 {
            return Ok(None);
        }
        let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL);
        let token = self.client.ask(Method::PUT, "/latest/api/token", Some(ttl)).await?;
        Ok(Some(text(&token)?.trim().to_owned()))
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Result<String, LearnError> {
        let header = token.map(|token| ("x-aws-ec2-metadata-token", token));
        Ok(text(&self.client.ask(Method::GET, path, header).await?)?.to_owned())
    }

    async fn read(&self, item: Item, token: Option<&str>) -> Result<String, LearnError> {
        let name = match item {
            Item::Zone => "placement/availability-zone",
            Item::InstanceId => "instance-id",
            Item::InstanceType => "instance-type",
            Item::PrivateIp => "local-ipv4",
            Item::AmiId => "ami-id",
            Item::Hostname => "hostname",
            Item::VpcId => {
                let mac = self.get(&format!("{META_DATA}mac"), token).await?;
                let path = format!("{META_DATA}network/interfaces/macs/{}/vpc-id", mac.trim());
                return self.get(&path, token).await;
            }
            Item::AccountId => return account(&self.get(IDENTITY, token).await?),
        };
        self.get(&format!("{META_DATA}{name}"), token).await
    }

    /// The tags that are wanted, in the service's order. An instance without tags, or one that does not tell them, has none.
    async fn tags(&self, choice: &TagChoice, token: Option<&str>) -> Result<Vec<Pair>, LearnError> {
        let list = match self.get(&format!("{META_DATA}tags/instance"), token).await {
            Err(LearnError::Ask(error)) if error.is_not_found() => {
                tracing::warn!(
                    "filter aws finds no tags: the instance has none, or does not allow tags in its metadata"
                );
                return Ok(Vec::new());
            }
            list => list?,
        };
        let mut pairs = Vec::new();
        for key in list.lines().filter(|key| !key.is_empty() && choice.takes(key)) {
            let value = self.get(&format!("{META_DATA}tags/instance/{key}"), token).await?;
            pairs.push((encoded(key), encoded(&value)));
        }
        Ok(pairs)
    }
}

fn text(answer: &[u8]) -> Result<&str, LearnError> {
    std::str::from_utf8(answer).map_err(LearnError::NoText)
}

/// The number of the account in an identity document.
fn account(document: &str) -> Result<String, LearnError> {
    let document: Option<serde_json::Value> = serde_json::from_str(document).ok();
    let account = document.as_ref().and_then(|document| document.get("accountId")?.as_str());
    account.map(str::to_owned).ok_or(LearnError::NoAccount)
}

/// An error and all that caused it, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "aws", aliases: &[], options: AwsMetadataOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let section = bag.header();
    let options = AwsMetadataOptions::parse(bag, found)?;
    let endpoint = std::env::var("AWS_EC2_METADATA_SERVICE_ENDPOINT").ok().filter(|one| !one.is_empty());
    let endpoint = endpoint.as_deref().unwrap_or(ENDPOINT);
    Some(Box::new(AwsMetadata::build(options, endpoint, section, found)?))
}
