//! What can be wrong with a task around its log router.

use std::ops::Range;
use std::time::Duration;

use ikada_aws::fetch::ObjectArn;
use ikada_config::{Grace, Loaded, SectionKind, ServiceOptions};
use ikada_diag::{Diagnostic, codes};

use super::agent::{NOT_FOR_THE_OUTPUT, go_bool, has_network};
use super::model::{Container, Task};
use crate::tree::Node;

/// What ECS allows between SIGTERM and SIGKILL where `stopTimeout` is not written.
const USUAL_STOP: i64 = 30;

/// The longest `stopTimeout` of Fargate.
const LONGEST_STOP_ON_FARGATE: i64 = 120;

/// The router's drain where no `Grace` is written.
const USUAL_GRACE: i64 = 28;

/// The largest `log-driver-buffer-limit` that the agent takes (reference, "What app containers get").
const LARGEST_BUFFER: i64 = 536_870_912;

/// A usual log event with what Docker adds, in bytes, for what a full buffer comes to.
const EVENT: i64 = 1024;

/// Findings with their places in the task definition.
pub(super) type Found = Vec<(Range<usize>, Diagnostic)>;

/// The one router of the task, if there is one, with what is wrong about how many there are.
pub(super) fn router<'t, 'n>(task: &'t Task<'n>, found: &mut Found) -> Option<&'t Container<'n>> {
    let routers: Vec<_> = task.routers().collect();
    let clients = task.clients().count();
    match routers[..] {
        [] if clients == 0 => {
            let message = "no container has a `firelensConfiguration`, and none uses `awsfirelens`";
            let finding = Diagnostic::error(codes::NO_LOG_ROUTER, message);
            found.push((task.span.clone(), finding.help(ROUTER)));
        }
        [] => {
            for client in task.clients() {
                let message = format!(
                    "`{}` uses `awsfirelens`, but no container has a `firelensConfiguration`",
                    client.name
                );
                let place = driver_place(client);
                found.push((place, Diagnostic::error(codes::NO_LOG_ROUTER, message).help(ROUTER)));
            }
        }
        [first, ref more @ ..] => {
            for second in more {
                let message = format!(
                    "`{}` is a second log router beside `{}`: ECS takes one",
                    second.name, first.name
                );
                found.push((
                    second.place(),
                    Diagnostic::error(codes::LOG_ROUTER, message).help("remove one of the two"),
                ));
            }
            if clients == 0 {
                let message = format!(
                    "no container uses `awsfirelens`, so nothing reaches `{}` through FireLens",
                    first.name
                );
                let help = "give the others `\"logConfiguration\": { \"logDriver\": \"awsfirelens\" }`";
                found.push((first.place(), Diagnostic::warning(codes::LOG_ROUTER, message).help(help)));
            }
        }
    }
    routers.first().copied()
}

const ROUTER: &str = "give the router's container `\"firelensConfiguration\": { \"type\": \"fluentbit\" }`";

/// Looks at everything that needs no configuration to be seen.
pub(super) fn around(task: &Task<'_>, router: &Container<'_>, found: &mut Found) {
    router_itself(task, router, found);
    firelens_options(task, router, found);
    for client in task.clients() {
        client_options(task, router, client, found);
    }
    dependencies(task, router, found);
}

/// Looks at what the loaded configuration asks of the task. Where it `is_whole`, what it does not set is not set; otherwise a file
/// that is not at hand may set it.
pub(super) fn with_configuration(
    task: &Task<'_>,
    router: &Container<'_>,
    loaded: &Loaded,
    service: &ServiceOptions,
    is_whole: bool,
    found: &mut Found,
) {
    stop(task, router, loaded, service, is_whole, found);
    health(task, router, Some(service).filter(|_| is_whole), found);
    tailed(task, router, loaded, found);
    written(router, loaded, found);
}

fn driver_place(client: &Container<'_>) -> Range<usize> {
    let driver = client.log.and_then(|log| log.get("logDriver"));
    driver.map_or(client.place(), |driver| driver.span.clone())
}

fn router_itself(task: &Task<'_>, router: &Container<'_>, found: &mut Found) {
    let name = router.name;
    let kind = router.firelens.and_then(|firelens| firelens.get("type"));
    match kind.and_then(Node::text) {
        Some("fluentbit") => {}
        Some("fluentd") => {
            let message =
                "the agent writes a configuration for Fluentd, which Ikada does not read".to_owned();
            let finding =
                Diagnostic::error(codes::LOG_ROUTER, message).help("write `\"type\": \"fluentbit\"`");
            found.push((place_of(kind, router), finding));
        }
        other => {
            let message =
                format!("`{}` is no type of log router: the task does not start", other.unwrap_or_default());
            let finding =
                Diagnostic::error(codes::LOG_ROUTER, message).help("write `\"type\": \"fluentbit\"`");
            found.push((place_of(kind, router), finding));
        }
    }
    let essential = router.node.get("essential");
    if essential.and_then(Node::bool) == Some(false) {
        let message = format!("`{name}` is not essential: if it ends, the task goes on without its logs");
        let help = "write `\"essential\": true`, so that ECS replaces the task";
        found.push((place_of(essential, router), Diagnostic::warning(codes::LOG_ROUTER, message).help(help)));
    }
    if router.driver() == Some("awsfirelens") {
        let message = format!("`{name}` sends its own log to itself");
        let help = "give the router `\"logDriver\": \"awslogs\"`";
        found.push((driver_place(router), Diagnostic::error(codes::LOG_ROUTER, message).help(help)));
    } else if router.log.is_none() {
        let message = format!("what `{name}` says of itself goes nowhere");
        let help = "give it a `logConfiguration` with `\"logDriver\": \"awslogs\"`";
        found.push((router.place(), Diagnostic::note(codes::LOG_ROUTER, message).help(help)));
    }
    let secret = task.clients().any(|client| client.secret_options().next().is_some());
    if secret && task.execution_role.is_none() {
        let message = "`secretOptions` are read with the execution role, and the task has none".to_owned();
        let finding = Diagnostic::error(codes::TASK_ROLE, message).help("write `executionRoleArn`");
        found.push((router.place(), finding));
    }
}

fn place_of(node: Option<&Node>, router: &Container<'_>) -> Range<usize> {
    node.map_or(router.place(), |node| node.span.clone())
}

fn firelens_options(task: &Task<'_>, router: &Container<'_>, found: &mut Found) {
    let options =
        router.firelens.and_then(|firelens| firelens.get("options")).map(Node::pairs).unwrap_or_default();
    for (key, _) in options {
        let known = ["enable-ecs-log-metadata", "config-file-type", "config-file-value"];
        let name = key.text().unwrap_or_default();
        if !known.contains(&name) {
            let near = ikada_options::nearest(name, known.iter().copied());
            let help = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", ikada_options::quoted_list(&known, "and")),
            };
            let message = format!("`{name}` is no option of FireLens; the agent ignores it");
            found.push((key.span.clone(), Diagnostic::warning(codes::FIRELENS_OPTION, message).help(help)));
        }
    }
    if let Some(metadata) = router.firelens_option("enable-ecs-log-metadata") {
        let text = metadata.text().unwrap_or_default();
        if go_bool(text).is_none() {
            let message = format!("`{text}` is neither `true` nor `false`; the agent takes it for `false`");
            let finding =
                Diagnostic::warning(codes::FIRELENS_OPTION, message).help("write `\"true\"` or `\"false\"`");
            found.push((metadata.span.clone(), finding));
        }
    }
    let (kind, value) =
        (router.firelens_option("config-file-type"), router.firelens_option("config-file-value"));
    match (kind, value) {
        (None, None) => {}
        (None, Some(value)) => {
            let finding =
                Diagnostic::error(codes::FIRELENS_OPTION, "`config-file-value` needs `config-file-type`");
            found.push((value.span.clone(), finding.help("write `\"config-file-type\": \"file\"`, or `s3`")));
        }
        (Some(kind), None) => {
            let finding =
                Diagnostic::error(codes::FIRELENS_OPTION, "`config-file-type` needs `config-file-value`");
            found.push((
                kind.span.clone(),
                finding.help("write the path of the file in the image, or its ARN"),
            ));
        }
        (Some(kind), Some(value)) => external_file(task, kind, value, found),
    }
}

fn external_file(task: &Task<'_>, kind: &Node, value: &Node, found: &mut Found) {
    let text = value.text().unwrap_or_default();
    let mut push = |node: &Node, message: String, help: String| {
        found.push((node.span.clone(), Diagnostic::error(codes::FIRELENS_OPTION, message).help(help)));
    };
    match kind.text() {
        Some("s3") if task.fargate => push(
            kind,
            "`config-file-type` cannot be `s3` on Fargate".to_owned(),
            format!(
                "remove both options, and give the router the variable `aws_fluent_bit_init_s3_1` with the value `{text}`"
            ),
        ),
        Some("s3") if ObjectArn::parse(text).is_err() || !text.starts_with("arn:") => {
            push(
                value,
                format!("`{text}` is no ARN of an S3 object"),
                "write `arn:aws:s3:::bucket/key`".to_owned(),
            );
        }
        Some("file") if text.starts_with("arn:") || text.starts_with("s3://") => push(
            value,
            format!("`{text}` is no path in the image"),
            match task.fargate {
                true => format!(
                    "remove both options, and give the router the variable `aws_fluent_bit_init_s3_1` with the value `{text}`"
                ),
                false => "write `\"config-file-type\": \"s3\"`".to_owned(),
            },
        ),
        Some("s3" | "file") => {}
        other => push(
            kind,
            format!("`{}` is no type of file: the task does not start", other.unwrap_or_default()),
            "write `s3` or `file`".to_owned(),
        ),
    }
}

fn client_options(task: &Task<'_>, router: &Container<'_>, client: &Container<'_>, found: &mut Found) {
    let options = client.options();
    let name = |key: &Node| key.text().unwrap_or_default().to_owned();
    let is_property = |key: &Node| !NOT_FOR_THE_OUTPUT.contains(&key.text().unwrap_or_default());
    let has_output =
        options.iter().any(|(key, _)| is_property(key)) || client.secret_options().next().is_some();
    if has_output && !options.iter().any(|(key, _)| key.text() == Some("Name")) {
        let small =
            options.iter().find(|(key, _)| key.text().is_some_and(|key| key.eq_ignore_ascii_case("name")));
        let (place, message, help) = match small {
            Some((key, _)) => (
                key.span.clone(),
                format!("the agent wants `Name`, and finds `{}`: the task does not start", name(key)),
                "write `\"Name\"`",
            ),
            None => {
                let message =
                    format!("the options of `{}` have no `Name`: the task does not start", client.name);
                (driver_place(client), message, "write which output it is: `\"Name\": \"cloudwatch_logs\"`")
            }
        };
        found.push((place, Diagnostic::error(codes::FIRELENS_OPTION, message).help(help)));
    }
    let has_file = router.firelens_option("config-file-value").is_some()
        || router.environment().any(|(key, _)| key.text().is_some_and(|key| key.contains("fluent_bit_init")));
    if !has_output && !has_file {
        let message = format!("`{}` has no output, and there is no file that could have one", client.name);
        let help = "give `awsfirelens` options, `Name` first, or the router a `config-file-value`";
        found.push((driver_place(client), Diagnostic::error(codes::NO_OUTPUT, message).help(help)));
    }
    for (key, value) in options {
        let text = value.text().unwrap_or_default();
        if text.trim().is_empty() && is_property(key) {
            let message =
                format!("`{}` is empty: Fluent Bit refuses such a line of the agent's file", name(key));
            found.push((
                value.span.clone(),
                Diagnostic::error(codes::EMPTY_VALUE, message).help("remove the option"),
            ));
        }
        if text.contains(['\n', '\r']) {
            let message = format!(
                "the value of `{}` has a line break, so that the rest of it becomes lines of their own",
                name(key)
            );
            let finding =
                Diagnostic::note(codes::FIRELENS_OPTION, message).help("write further options as options");
            found.push((value.span.clone(), finding));
        }
        if key.text() == Some("log-driver-buffer-limit") {
            buffer_limit(task, value, found);
        }
    }
}

fn buffer_limit(task: &Task<'_>, value: &Node, found: &mut Found) {
    let Some(events) = value.integer().filter(|events| (0..=LARGEST_BUFFER).contains(events)) else {
        let message =
            format!("`{}` is no whole number from 0 to {LARGEST_BUFFER}", value.text().unwrap_or_default());
        let finding = Diagnostic::error(codes::BUFFER_LIMIT, message);
        found.push((value.span.clone(), finding.help("write how many events may wait: `\"8192\"`")));
        return;
    };
    let mib = events * EVENT / (1 << 20);
    let (most, whose) = match task.memory {
        Some(memory) => (memory / 2, format!("half of the task's {memory} MiB")),
        None => (256, "256 MiB".to_owned()),
    };
    if mib <= most {
        return;
    }
    let message = format!(
        "`log-driver-buffer-limit` counts events, not bytes: {events} of 1 KiB are {mib} MiB for this container, more than {whose}"
    );
    let fits = (most * (1 << 20) / EVENT).max(1);
    let help = format!("write at most `\"{fits}\"`");
    found.push((value.span.clone(), Diagnostic::warning(codes::BUFFER_LIMIT, message).help(help)));
}

fn dependencies(task: &Task<'_>, router: &Container<'_>, found: &mut Found) {
    let has_check = router.node.get("healthCheck").is_some();
    for container in &task.containers {
        let list = container.node.get("dependsOn").map(Node::items).unwrap_or_default();
        for item in list {
            let other = item.get("containerName").and_then(Node::text).unwrap_or_default();
            let condition = item.get("condition").and_then(Node::text).unwrap_or_default();
            if other == router.name && condition == "HEALTHY" && !has_check {
                let message = format!(
                    "`{}` waits for `{other}` to be healthy, which has no `healthCheck`",
                    container.name
                );
                let finding = Diagnostic::error(codes::HEALTH_CHECK, message);
                found.push((
                    item.span.clone(),
                    finding.help("write `\"condition\": \"START\"`, or give the router a `healthCheck`"),
                ));
            }
            if container.name == router.name && task.clients().any(|client| client.name == other) {
                let message = format!("`{other}` starts before the router that its logs go through");
                let finding = Diagnostic::warning(codes::LOG_ROUTER, message);
                found.push((
                    item.span.clone(),
                    finding.help("turn it round: let the others depend on the router's `START`"),
                ));
            }
        }
    }
}

fn stop(
    task: &Task<'_>,
    router: &Container<'_>,
    loaded: &Loaded,
    service: &ServiceOptions,
    is_whole: bool,
    found: &mut Found,
) {
    let written = router.node.get("stopTimeout");
    let stop = written.and_then(Node::integer).unwrap_or(USUAL_STOP);
    if task.fargate && stop > LONGEST_STOP_ON_FARGATE {
        let message = format!("Fargate allows a `stopTimeout` of {LONGEST_STOP_ON_FARGATE} seconds at most");
        let finding = Diagnostic::error(codes::STOP_TIMEOUT, message).help("write `120`, and `Grace 118`");
        found.push((place_of(written, router), finding));
        return;
    }
    let has_grace = loaded.document.sets_service("grace");
    if !has_grace && !is_whole {
        return;
    }
    let grace = match service.grace {
        _ if !has_grace => USUAL_GRACE,
        Grace::Within(time) => i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        Grace::UntilDelivered => i64::MAX,
    };
    let what = match has_grace {
        true if grace == i64::MAX => "`Grace -1` has no end".to_owned(),
        true => format!("`Grace` is {grace} s"),
        false => format!("without a `Grace` the router delivers for up to {USUAL_GRACE} s"),
    };
    if grace >= stop {
        let message = format!("{what}, but ECS kills the router {stop} s after the stop");
        let less = (stop - 2).max(1);
        let help = match grace.checked_add(2).filter(|more| !task.fargate || *more <= LONGEST_STOP_ON_FARGATE)
        {
            Some(more) => format!("write `\"stopTimeout\": {more}`, or `Grace {less}` in `[SERVICE]`"),
            None => format!("write `Grace {less}` in `[SERVICE]`"),
        };
        found.push((place_of(written, router), Diagnostic::warning(codes::STOP_TIMEOUT, message).help(help)));
    } else if has_grace && service.grace == Grace::Within(Duration::from_secs(5)) && stop > 10 {
        let message = format!(
            "{what}, though ECS waits {stop} s: what a slow destination has not taken by then is lost"
        );
        let help = format!("write `Grace {}`", stop - 2);
        found.push((place_of(written, router), Diagnostic::note(codes::STOP_TIMEOUT, message).help(help)));
    }
}

/// Looks at the router's own health check; at what it asks of the HTTP server only where `service` is known.
fn health(task: &Task<'_>, router: &Container<'_>, service: Option<&ServiceOptions>, found: &mut Found) {
    let Some(check) = router.node.get("healthCheck") else { return };
    let words = check.get("command").map(Node::items).unwrap_or_default();
    let command: String = words.iter().filter_map(Node::text).collect::<Vec<_>>().join(" ");
    let place = check.get("command").map_or(check.span.clone(), |command| command.span.clone());
    if let Some(finding) = service.and_then(|service| http_health(&command, service)) {
        found.push((place.clone(), finding));
    }
    if command.contains("8877") && !has_network(task) {
        let message = format!("in network mode `{}` the agent opens no port 8877", task.network);
        let finding = Diagnostic::error(codes::HEALTH_CHECK, message);
        found.push((
            place,
            finding.help("ask the HTTP server: `curl -f http://127.0.0.1:2020/api/v1/health`"),
        ));
    }
}

/// What is wrong with a health check that asks the HTTP server.
fn http_health(command: &str, service: &ServiceOptions) -> Option<Diagnostic> {
    let asks_http = command.contains("/api/v") || command.contains(":2020");
    let (port, usual) = (service.http_port, 2020);
    if !asks_http {
        return None;
    }
    if !service.http_server {
        let finding =
            Diagnostic::error(codes::HEALTH_CHECK, "the health check asks the HTTP server, which is off");
        return Some(finding.help("write `HTTP_Server On` in `[SERVICE]` of an external file"));
    }
    if port != usual && !command.contains(&format!(":{port}")) {
        let message = format!("the health check does not ask the port of the HTTP server, {port}");
        let finding = Diagnostic::error(codes::HEALTH_CHECK, message);
        return Some(finding.help(format!("ask `http://127.0.0.1:{port}/api/v1/health`")));
    }
    if command.contains("/health") && !service.health_check {
        let message = "without `Health_Check On` the endpoint says `ok` as long as the process runs";
        let finding = Diagnostic::note(codes::HEALTH_CHECK, message);
        return Some(finding.help("write `Health_Check On` in `[SERVICE]`"));
    }
    None
}

/// The paths that inputs tail must lie on a volume that another container mounts too.
fn tailed(task: &Task<'_>, router: &Container<'_>, loaded: &Loaded, found: &mut Found) {
    for input in loaded.document.of_kind(SectionKind::Input) {
        let is_tail = input.get("name").is_some_and(|name| name.value.eq_ignore_ascii_case("tail"));
        let Some(paths) = input.get("path").filter(|_| is_tail) else { continue };
        for path in paths.value.split(',').map(str::trim).filter(|path| path.starts_with('/')) {
            let volume = volume_of(router, path);
            let is_shared = volume.is_some_and(|(volume, _)| {
                task.containers
                    .iter()
                    .filter(|other| other.name != router.name)
                    .any(|other| other.mounts().any(|(_, own, _)| own == volume))
            });
            if is_shared {
                continue;
            }
            let message = match volume {
                None => format!("`{path}` is tailed, but `{}` mounts no volume there", router.name),
                Some((volume, _)) => {
                    format!("`{path}` is tailed, but no other container mounts the volume `{volume}`")
                }
            };
            let help = "mount the volume that the application writes to, in both containers";
            found.push((router.place(), Diagnostic::warning(codes::MISSING_MOUNT, message).help(help)));
        }
    }
}

fn volume_of<'n>(router: &Container<'n>, path: &str) -> Option<(&'n str, bool)> {
    let below = |mount: &str| {
        let mount = mount.trim_end_matches('/');
        path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounts = router.mounts().filter(|(mount, ..)| below(mount));
    mounts.max_by_key(|(mount, ..)| mount.len()).map(|(_, volume, may_write)| (volume, may_write))
}

/// What the configuration writes must lie where the router may write.
fn written(router: &Container<'_>, loaded: &Loaded, found: &mut Found) {
    let read_only = router.node.get("readonlyRootFilesystem").filter(|node| node.bool() == Some(true));
    for section in loaded.document.sections() {
        let plugin = section.get("name").map(|name| name.value.to_lowercase()).unwrap_or_default();
        let keys: &[&str] = match (section.kind, plugin.as_str()) {
            (SectionKind::Service, _) => &["storage.path", "log_file"],
            (SectionKind::Input, "tail" | "systemd") => &["db"],
            (SectionKind::Output, "s3") => &["store_dir"],
            (SectionKind::Output, "file") => &["path", "file"],
            _ => &[],
        };
        for key in keys {
            let Some(path) = section.get(key).map(|value| &value.value).filter(|path| path.starts_with('/'))
            else {
                continue;
            };
            let volume = volume_of(router, path);
            let on_read_only_volume = volume.is_some_and(|(_, may_write)| !may_write);
            if !on_read_only_volume && (volume.is_some() || read_only.is_none()) {
                continue;
            }
            let place = read_only.map_or(router.place(), |node| node.span.clone());
            let message = match on_read_only_volume {
                true => format!("`{key} {path}` is written, but lies on a volume that is mounted read-only"),
                false => format!("`{key} {path}` is written, but the root file system is read-only"),
            };
            let help = format!(
                "mount a volume at `{}`",
                std::path::Path::new(path).parent().unwrap_or(std::path::Path::new("/")).display()
            );
            found.push((place, Diagnostic::error(codes::READ_ONLY, message).help(help)));
        }
    }
}
