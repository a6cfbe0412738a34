//! What of a task definition has to do with logs.

use std::ops::Range;

use crate::tree::Node;

/// A task definition, as `register-task-definition` takes it or `describe-task-definition` gives it; a bare list of containers, as
/// Terraform has it, will do.
#[derive(Debug, Clone)]
pub struct Task<'n> {
    /// Its containers.
    pub containers: Vec<Container<'n>>,
    /// `family`.
    pub family: &'n str,
    /// Whether it is to run on Fargate.
    pub fargate: bool,
    /// `networkMode`; what ECS takes where it is not written.
    pub network: String,
    /// The task's memory in MiB.
    pub memory: Option<i64>,
    /// The role of the containers.
    pub task_role: Option<&'n Node>,
    /// The role of the agent.
    pub execution_role: Option<&'n Node>,
    /// Where the whole stands.
    pub span: Range<usize>,
}

/// A container of a task definition.
#[derive(Debug, Clone)]
pub struct Container<'n> {
    /// The whole of it.
    pub node: &'n Node,
    /// Its name.
    pub name: &'n str,
    /// Its place in the list, from 0.
    pub number: usize,
    /// `firelensConfiguration`.
    pub firelens: Option<&'n Node>,
    /// `logConfiguration`.
    pub log: Option<&'n Node>,
}

impl<'n> Task<'n> {
    /// Looks at a task definition; `None` if there is no list of containers.
    #[must_use]
    pub fn of(root: &'n Node) -> Option<Self> {
        let task = root.get("taskDefinition").unwrap_or(root);
        let list = match task.items() {
            [] => task.get("containerDefinitions")?.items(),
            items => items,
        };
        let containers: Vec<_> =
            list.iter().enumerate().map(|(number, node)| Container::of(node, number)).collect();
        let kinds = task.get("requiresCompatibilities").map(Node::items).unwrap_or_default();
        let fargate =
            kinds.iter().any(|kind| kind.text().is_some_and(|text| text.eq_ignore_ascii_case("FARGATE")));
        let usual = if fargate { "awsvpc" } else { "bridge" };
        Some(Self {
            containers,
            family: task.get("family").and_then(Node::text).unwrap_or("task"),
            fargate,
            network: task.get("networkMode").and_then(Node::text).unwrap_or(usual).to_lowercase(),
            memory: task.get("memory").and_then(memory),
            task_role: task.get("taskRoleArn"),
            execution_role: task.get("executionRoleArn"),
            span: task.span.clone(),
        })
    }

    /// The containers that are log routers.
    pub fn routers(&self) -> impl Iterator<Item = &Container<'n>> {
        self.containers.iter().filter(|container| container.firelens.is_some())
    }

    /// The containers whose logs go through the router.
    pub fn clients(&self) -> impl Iterator<Item = &Container<'n>> {
        self.containers.iter().filter(|container| container.driver() == Some("awsfirelens"))
    }
}

/// MiB, or a text such as `2 GB`.
fn memory(node: &Node) -> Option<i64> {
    let text = node.text()?.trim().to_lowercase();
    match text.strip_suffix("gb") {
        Some(number) => number.trim().parse::<f64>().ok().map(|number| (number * 1024.0) as i64),
        None => text.trim_end_matches("mb").trim().parse().ok(),
    }
}

impl<'n> Container<'n> {
    fn of(node: &'n Node, number: usize) -> Self {
        Self {
            node,
            name: node.get("name").and_then(Node::text).unwrap_or_default(),
            number,
            firelens: node.get("firelensConfiguration"),
            log: node.get("logConfiguration"),
        }
    }

    /// The name of its log driver.
    #[must_use]
    pub fn driver(&self) -> Option<&'n str> {
        self.log?.get("logDriver")?.text()
    }

    /// Where its name stands, for findings about the whole of it.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        self.node.get("name").map_or(self.node.span.clone(), |name| name.span.clone())
    }

    /// The log driver's options: keys and values.
    #[must_use]
    pub fn options(&self) -> &'n [(Node, Node)] {
        self.log.and_then(|log| log.get("options")).map(Node::pairs).unwrap_or_default()
    }

    /// The log driver's options out of secrets: name and where the value is.
    pub fn secret_options(&self) -> impl Iterator<Item = (&'n Node, Option<&'n Node>)> + use<'n> {
        named(self.log.and_then(|log| log.get("secretOptions")), "valueFrom")
    }

    /// Its variables: name and value.
    pub fn environment(&self) -> impl Iterator<Item = (&'n Node, Option<&'n Node>)> + use<'n> {
        named(self.node.get("environment"), "value")
    }

    /// Its variables out of secrets: name and where the value is.
    pub fn secrets(&self) -> impl Iterator<Item = (&'n Node, Option<&'n Node>)> + use<'n> {
        named(self.node.get("secrets"), "valueFrom")
    }

    /// Where volumes are mounted: path, volume, and whether it may be written.
    pub fn mounts(&self) -> impl Iterator<Item = (&'n str, &'n str, bool)> + use<'n> {
        let list = self.node.get("mountPoints").map(Node::items).unwrap_or_default();
        list.iter().filter_map(|mount| {
            let text = |key| mount.get(key).and_then(Node::text);
            let may_write = mount.get("readOnly").and_then(Node::bool) != Some(true);
            Some((text("containerPath")?, text("sourceVolume").unwrap_or_default(), may_write))
        })
    }

    /// An option of `firelensConfiguration`.
    #[must_use]
    pub fn firelens_option(&self, key: &str) -> Option<&'n Node> {
        let options = self.firelens?.get("options")?.pairs();
        options.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value)
    }

    /// The MiB that the agent derives the inputs' `Mem_Buf_Limit` from: half of the reservation, else half of the limit, else 25.
    #[must_use]
    pub fn mem_buf_limit(&self) -> i64 {
        let of = |key| self.node.get(key).and_then(Node::integer).filter(|mib| *mib > 1);
        of("memoryReservation").or_else(|| of("memory")).map_or(25, |mib| mib / 2)
    }
}

fn named<'n>(
    list: Option<&'n Node>,
    value: &'static str,
) -> impl Iterator<Item = (&'n Node, Option<&'n Node>)> {
    let items = list.map(Node::items).unwrap_or_default();
    items.iter().filter_map(move |item| Some((item.get("name")?, item.get(value))))
}
