//! From a task definition to findings and policies.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_aws::fetch::{FetchError, FetchErrorKind, ObjectArn, TaskMetadata};
use ikada_config::{Loaded, MapEnv, SectionKind};
use ikada_diag::{Diagnostic, Diagnostics, SourceId, Sources, codes};
use ikada_plugin::registry::Registry;

use super::agent::{EXTERNAL, Generated, generate, secret_variable};
use super::iam::{Needs, Place, Policy};
use super::model::{Container, Task};
use super::rules::{self, Found};
use crate::assemble::assemble;
use crate::check::exit_code;
use crate::checks::UNREAD_METRICS;
use crate::cli::UsageError;
use crate::init::{ENVIRONMENT, Fetch, Init, Overlay, shipped, variables};
use crate::render;
use crate::tree::{Node, read_json};

/// Where the agent's file is mounted.
const GENERATED: &str = "/fluent-bit/etc/fluent-bit.conf";

/// What stands for a secret.
const SECRET: &str = "secret";

/// What `ikada check --task-definition` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The task definition.
    pub file: PathBuf,
    /// `--iam`: prints the task role's policy and nothing else.
    pub iam: bool,
    /// `--iam-execution`: prints the execution role's policy and nothing else.
    pub iam_execution: bool,
    /// `--config`: prints the file that the agent would write and nothing else.
    pub config: bool,
    /// `--file NAME=PATH`: what a path in the image, or an ARN, stands for.
    pub files: Vec<(String, PathBuf)>,
    /// `--region`: where the task is to run.
    pub region: Option<String>,
}

impl Args {
    /// Reads the words behind `ikada check`.
    ///
    /// # Errors
    /// A flag that does not exist, or lacks its value.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (flag, glued) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
                _ => (word.clone(), None),
            };
            let mut value =
                || glued.clone().or_else(|| words.next()).ok_or_else(|| UsageError::Missing(flag.clone()));
            match flag.as_str() {
                "--task-definition" => args.file = value()?.into(),
                "--iam" => args.iam = true,
                "--iam-execution" => args.iam_execution = true,
                "--config" => args.config = true,
                "--region" => args.region = Some(value()?),
                "--file" => {
                    let pair = value()?;
                    let (name, path) =
                        pair.split_once('=').ok_or_else(|| UsageError::Missing("--file".to_owned()))?;
                    args.files.push((name.to_owned(), path.into()));
                }
                _ if !word.starts_with('-') && args.file.as_os_str().is_empty() => args.file = word.into(),
                _ => return Err(UsageError::Unknown(word)),
            }
        }
        if args.file.as_os_str().is_empty() {
            return Err(UsageError::Missing("--task-definition".to_owned()));
        }
        Ok(args)
    }
}

/// What came of a check.
#[derive(Debug)]
pub struct TaskCheck {
    /// The texts that findings point into.
    pub sources: Sources,
    /// What was found.
    pub found: Diagnostics,
    /// The file that the agent would write.
    pub config: String,
    /// What the roles must be allowed.
    pub needs: Needs,
    /// Whether every file of the configuration was at hand.
    pub is_whole: bool,
}

/// Checks a task definition and prints what came of it to standard output. Returns the exit code, as `ikada check` has them: 1 for
/// errors, 2 for warnings only; 0 where only a policy or the file is printed.
pub fn run(args: &Args, registry: &Registry) -> u8 {
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let text = match read(&args.file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return complain(&error),
    };
    let mut files = BTreeMap::new();
    for (name, path) in &args.files {
        match read(path) {
            Ok(bytes) => drop(files.insert(name.clone(), bytes)),
            Err(error) => return complain(&error),
        }
    }
    let region =
        args.region.clone().or_else(|| std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty()));
    let checked = check(&args.file.display().to_string(), &text, &files, region.as_deref(), registry);
    let (text, code) = match args {
        Args { config: true, .. } => (checked.config, 0),
        Args { iam: true, .. } => (pretty(&checked.needs.task), 0),
        Args { iam_execution: true, .. } => (pretty(&checked.needs.execution), 0),
        _ => (findings(&checked) + &report(&checked), exit_code(checked.found.counts())),
    };
    // A closed pipe is no failure.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    code
}

fn findings(checked: &TaskCheck) -> String {
    let on_terminal = std::io::stdout().is_terminal();
    let shown = checked.found.iter().map(|finding| match on_terminal {
        true => format!("{}\n\n", render::on_terminal(finding, &checked.sources)),
        false => format!("{}\n", finding.line(&checked.sources)),
    });
    shown.collect()
}

fn complain(text: &str) -> u8 {
    drop(writeln!(std::io::stderr().lock(), "error: {text}"));
    1
}

fn pretty(policy: &Policy) -> String {
    let mut text = serde_json::to_string_pretty(&policy.document()).unwrap_or_default();
    text.push('\n');
    text
}

fn report(checked: &TaskCheck) -> String {
    let needs = &checked.needs;
    let mut text = String::new();
    let mut add = |who: &str, policy: &Policy| {
        if !policy.is_empty() {
            text.push_str(&format!("{who} must be allowed:\n{}", pretty(policy)));
        }
    };
    add("The task role", &needs.task);
    add("The execution role", &needs.execution);
    for (role, policy) in &needs.assumed {
        add(&format!("The role {role}"), policy);
    }
    match (text.is_empty(), checked.is_whole) {
        (true, true) => "The task needs no permissions for its logs.\n".to_owned(),
        (true, false) => "What is at hand needs no permissions.\n".to_owned(),
        (false, _) => text,
    }
}

/// Checks a task definition. `files` are those of the image and of S3, by path or ARN.
#[must_use]
pub fn check(
    name: &str,
    text: &str,
    files: &BTreeMap<String, Vec<u8>>,
    region: Option<&str>,
    registry: &Registry,
) -> TaskCheck {
    let alone = |place: Range<usize>, finding: Diagnostic| {
        let mut sources = Sources::default();
        let source = sources.add(name, text);
        let mut found = Diagnostics::new();
        found.push(finding.at(source.span(place.start, place.end)));
        TaskCheck { sources, found, config: String::new(), needs: Needs::default(), is_whole: true }
    };
    let root = match read_json(text) {
        Ok(root) => root,
        Err(error) => {
            let finding =
                Diagnostic::error(codes::TASK_DEFINITION, format!("this is not JSON: {}", error.message));
            return alone(error.at..error.at, finding.help("`aws ecs describe-task-definition` gives one"));
        }
    };
    let Some(task) = Task::of(&root) else {
        let finding = Diagnostic::error(codes::TASK_DEFINITION, "there is no list `containerDefinitions`");
        return alone(root.span, finding.help("`aws ecs describe-task-definition` gives a task definition"));
    };
    let mut found = Found::new();
    let Some(router) = rules::router(&task, &mut found) else {
        let mut checked = alone(0..0, Diagnostic::note(codes::TASK_DEFINITION, ""));
        checked.found = in_source(found, checked.sources.ids().next());
        return checked;
    };
    rules::around(&task, router, &mut found);
    let place = Place { region: region.unwrap_or("*").to_owned(), ..Place::default() };
    let role = task.task_role.or(task.execution_role).and_then(Node::text);
    let work = Work {
        task: &task,
        router,
        files,
        place: place.with_role(role),
        found,
        needs: Needs::default(),
        missing: Missing::Nothing,
    };
    work.check(name, text, registry)
}

fn in_source(found: Found, source: Option<SourceId>) -> Diagnostics {
    let mut all = Diagnostics::new();
    for (place, finding) in found {
        all.push(finding.at(source.map(|source| source.span(place.start, place.end))));
    }
    all
}

struct Work<'w, 'n> {
    task: &'w Task<'n>,
    router: &'w Container<'n>,
    files: &'w BTreeMap<String, Vec<u8>>,
    place: Place,
    found: Found,
    needs: Needs,
    missing: Missing,
}

/// What could be in the files that are not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    /// All are at hand.
    Nothing,
    /// Parsers, or servers of an output.
    Definitions,
    /// Sections of any kind.
    Configuration,
}

impl Missing {
    /// Whether a finding says that something is nowhere, which may be in a file that is not at hand.
    fn may_refute(self, finding: &Diagnostic) -> bool {
        let of_definitions = [codes::UNKNOWN_PARSER, codes::UNKNOWN_UPSTREAM];
        let of_configuration = [
            codes::UNMATCHED_INPUT,
            codes::UNREACHABLE_OUTPUT,
            codes::UNREACHABLE_FILTER,
            codes::NO_INPUT,
            codes::NO_OUTPUT,
            codes::UNDEFINED_VARIABLE,
        ];
        self >= Self::Definitions && of_definitions.contains(&finding.code)
            || self >= Self::Configuration
                && (of_configuration.contains(&finding.code) || finding.message == UNREAD_METRICS)
    }
}

/// What a file that was taken for empty could hold.
fn missing_file(path: &Path, loaded: &Loaded) -> Missing {
    let named = loaded.document.sections().iter().flat_map(|section| {
        let option = match section.kind {
            SectionKind::Service => "parsers_file",
            SectionKind::Output => "upstream",
            _ => "",
        };
        section.properties.iter().filter(move |property| property.is_named(option))
    });
    let mut paths = named.map(|property| Path::new(&property.value.value));
    match paths.any(|named| [loaded.main_dir(), Path::new("/")].iter().any(|from| from.join(named) == path)) {
        true => Missing::Definitions,
        false => Missing::Configuration,
    }
}

impl Work<'_, '_> {
    fn check(mut self, name: &str, text: &str, registry: &Registry) -> TaskCheck {
        let generated = generate(self.task, self.router);
        let mut overlay = Overlay::alone();
        for (name, bytes) in self.files {
            overlay.insert(PathBuf::from(name), bytes.clone());
        }
        overlay.insert(GENERATED.into(), generated.text.clone().into_bytes());
        self.external_file(&mut overlay);
        let environment = self.init_variables(&mut overlay);
        let shelf = Arc::new(Shelf(self.files.clone()));
        let process = Arc::new(self.environment());
        let init =
            Init::prepare(overlay, Some(Path::new(GENERATED)), Path::new("/"), environment, process, shelf);
        let mut loaded = init.load_whole();
        let config = ikada_config::build_pipeline(&loaded.document, &mut Diagnostics::new());
        for output in &config.outputs {
            self.needs.add_output(output, &self.place);
        }
        self.needs.add_letters(&config.service, &self.place);
        let assembled = assemble(&mut loaded, registry, true);
        for path in init.files().assumed() {
            self.missing = self.missing.max(missing_file(&path, &loaded));
            self.note_not_at_hand(&path.display().to_string(), self.router.place());
        }
        let is_whole = self.missing < Missing::Configuration;
        rules::with_configuration(
            self.task,
            self.router,
            &loaded,
            &assembled.service,
            is_whole,
            &mut self.found,
        );
        self.roles();
        let source = loaded.sources.add(name, text);
        let found = self.all(&loaded, &generated, source);
        TaskCheck { sources: loaded.sources, found, config: generated.text, needs: self.needs, is_whole }
    }

    /// A file that may hold anything is not at hand.
    fn not_at_hand(&mut self, name: &str, place: Range<usize>) {
        self.missing = Missing::Configuration;
        self.note_not_at_hand(name, place);
    }

    fn note_not_at_hand(&mut self, name: &str, place: Range<usize>) {
        let message = format!("`{name}` is not at hand, and was taken for empty");
        let help = format!("hand it over: `--file {name}=PATH`");
        self.found.push((place, Diagnostic::note(codes::NOT_AT_HAND, message).help(help)));
    }

    /// The file of `config-file-value`: from `--file`, or empty.
    fn external_file(&mut self, overlay: &mut Overlay) {
        let Some(node) = self.router.firelens_option("config-file-value") else { return };
        let value = node.text().unwrap_or_default();
        let from_s3 = self.router.firelens_option("config-file-type").and_then(Node::text) == Some("s3");
        if from_s3 && let Ok(arn) = ObjectArn::parse(value) {
            self.needs.add_agent_object(&arn);
        }
        let path = if from_s3 { EXTERNAL } else { value };
        let bytes = self.files.get(value).or_else(|| self.files.get(path));
        if bytes.is_none() && shipped::text(Path::new(path)).is_some() {
            return;
        }
        if bytes.is_none() {
            self.not_at_hand(value, node.span.clone());
        }
        overlay.insert(Path::new("/").join(path), bytes.cloned().unwrap_or_default());
    }

    /// The variables for the init process; those whose files are not at hand are left out.
    fn init_variables(&mut self, overlay: &mut Overlay) -> Vec<(String, String)> {
        let pairs: Vec<_> = self
            .router
            .environment()
            .filter_map(|(name, value)| Some((name.text()?.to_owned(), value?)))
            .collect();
        let mut kept = Vec::new();
        for variable in variables::scan(
            pairs.iter().map(|(name, value)| (name.clone(), value.text().unwrap_or_default().to_owned())),
        ) {
            let node =
                pairs.iter().find(|(name, _)| *name == variable.name).map(|(_, node)| node.span.clone());
            let place = node.unwrap_or(self.router.place());
            let arn = ObjectArn::parse(&variable.value).ok().filter(|_| variable.kind.is_some());
            if let Some(arn) = &arn {
                self.needs.add_init_object(arn);
            }
            let known = arn.as_ref().map_or(variable.value.clone(), ToString::to_string);
            let is_file = variable.kind.is_some() && (arn.is_some() || variable.value.starts_with('/'));
            if is_file && !self.files.contains_key(&known) && !self.files.contains_key(&variable.value) {
                self.not_at_hand(&known, place);
                if arn.is_some() {
                    continue;
                }
                overlay.insert(PathBuf::from(&known), Vec::new());
            }
            kept.push((variable.name, variable.value));
        }
        kept
    }

    /// The router's variables, with something in the place of what is only known in the task.
    fn environment(&self) -> MapEnv {
        let region = if self.place.region == "*" { "us-east-1" } else { &self.place.region };
        let account = if self.place.account == "*" { "123456789012" } else { &self.place.account };
        let id = "0123456789abcdef0123456789abcdef";
        let family = self.task.family;
        let mut env = MapEnv::new()
            .with("AWS_REGION", region)
            .with("AWS_DEFAULT_REGION", region)
            .with("AWS_AVAILABILITY_ZONE", format!("{region}a"))
            .with("ECS_CLUSTER", "cluster")
            .with("ECS_TASK_ID", id)
            .with(
                "ECS_TASK_ARN",
                format!("arn:{}:ecs:{region}:{account}:task/cluster/{id}", self.place.partition),
            )
            .with("ECS_FAMILY", family)
            .with("ECS_REVISION", "1")
            .with("ECS_TASK_DEFINITION", format!("{family}:1"))
            .with("ECS_LAUNCH_TYPE", if self.task.fargate { "FARGATE" } else { "EC2" })
            .with("EC2_INSTANCE_ID", "i-0123456789abcdef0")
            .with("HOSTNAME", "ip-10-0-0-10");
        for client in self.task.clients() {
            for (name, _) in client.secret_options() {
                env = env.with(secret_variable(name, client.number), SECRET);
            }
        }
        for (name, _) in self.router.secrets() {
            env = env.with(name.text().unwrap_or_default(), SECRET);
        }
        for (name, value) in self.router.environment() {
            env = env.with(name.text().unwrap_or_default(), value.and_then(Node::text).unwrap_or_default());
        }
        env
    }

    fn roles(&mut self) {
        for client in self.task.clients() {
            for (_, value) in client.secret_options() {
                self.needs.add_secret(value.and_then(Node::text).unwrap_or_default(), &self.place);
            }
        }
        for (_, value) in self.router.secrets() {
            self.needs.add_secret(value.and_then(Node::text).unwrap_or_default(), &self.place);
        }
        if self.needs.task.is_empty() || self.task.task_role.is_some() {
            return;
        }
        let message = "the router sends to AWS, and the task has no role to do so".to_owned();
        let help = "write `taskRoleArn`; `--iam` prints the policy it needs";
        let finding = match self.task.fargate {
            true => Diagnostic::error(codes::TASK_ROLE, message),
            false => Diagnostic::warning(
                codes::TASK_ROLE,
                format!("{message}; only the instance's own role is left"),
            ),
        };
        self.found.push((self.router.place(), finding.help(help)));
    }

    /// All findings: those of the task first, then the configuration's, each where it comes from in the task definition.
    fn all(&mut self, loaded: &Loaded, generated: &Generated, source: SourceId) -> Diagnostics {
        let mut all = in_source(std::mem::take(&mut self.found), Some(source));
        for finding in loaded.diagnostics.iter().filter(|finding| !self.missing.may_refute(finding)) {
            let mut finding = finding.clone();
            if let Some(span) = finding.span {
                let place = span.start as usize..span.end as usize;
                let origin = match loaded.sources.name(span.source) {
                    GENERATED => generated.origin(place),
                    ENVIRONMENT => self.variable(loaded.sources.text(span.source), place),
                    _ => None,
                };
                finding.span = origin.map(|origin| source.span(origin.start, origin.end)).or(finding.span);
            }
            // An empty option is told of once: the loader sees the same line of the agent's file.
            let is_known = |known: &Diagnostic| {
                known.code == finding.code
                    && (known.span == finding.span || finding.code == codes::EMPTY_VALUE)
            };
            if !all.iter().any(is_known) {
                all.push(finding);
            }
        }
        all
    }

    /// The place of a variable, out of a place in the list of variables.
    fn variable(&self, listing: &str, place: Range<usize>) -> Option<Range<usize>> {
        let start = listing.get(..place.start)?.rfind('\n').map_or(0, |end| end + 1);
        let name = listing.get(start..)?.split('=').next()?;
        let is_name = place.start == start;
        let (node, value) = self.router.environment().find(|(own, _)| own.text() == Some(name))?;
        let node = if is_name { node } else { value.unwrap_or(node) };
        Some(node.span.clone())
    }
}

/// The files that were handed over, as S3 would have them.
struct Shelf(BTreeMap<String, Vec<u8>>);

impl Fetch for Shelf {
    fn object(&self, arn: &ObjectArn, _region: Option<&str>) -> Result<Vec<u8>, FetchError> {
        let url = format!("s3://{}/{}", arn.bucket, arn.key);
        let bytes = self.0.get(&arn.to_string()).or_else(|| self.0.get(&url)).cloned();
        let cause = "it was not handed over".to_owned();
        bytes.ok_or(FetchError { kind: FetchErrorKind::NoKey, code: None, cause, attempts: 1 })
    }

    fn task(&self, _endpoint: &str) -> Result<TaskMetadata, String> {
        Err("nothing is asked in a check".to_owned())
    }
}
