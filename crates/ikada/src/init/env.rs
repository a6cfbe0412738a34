//! The environment as the configuration sees it: the process's, and what ECS says of the task.

use std::cell::OnceCell;
use std::sync::Arc;

use ikada_aws::fetch::TaskMetadata;
use ikada_config::{Env, ProcessEnv};

use super::Fetch;

/// What became of asking ECS about the task.
type Asked = Result<TaskMetadata, String>;

/// The process's environment, with the task's variables of the AWS image (`ECS_CLUSTER`, `ECS_TASK_ID`, …).
///
/// With init variables, the task's come first, as AWS's init process exports them over those of the process. Without, they fill in
/// for what the process does not have, and ECS is only asked when the configuration first names one of them.
pub struct TaskEnv {
    process: Arc<dyn Env>,
    endpoint: Option<String>,
    fetch: Arc<dyn Fetch>,
    asked: OnceCell<Option<Asked>>,
    first: bool,
}

impl TaskEnv {
    /// The view of a process's environment. `first`: the task's variables win.
    #[must_use]
    pub fn new(process: Arc<dyn Env>, fetch: Arc<dyn Fetch>, first: bool) -> Self {
        let endpoint = process.var("ECS_CONTAINER_METADATA_URI_V4");
        Self { process, endpoint, fetch, asked: OnceCell::new(), first }
    }

    /// What ECS says of the task; `None` where the process runs in none. It is asked once.
    pub fn task(&self) -> Option<&Asked> {
        let ask = || self.endpoint.as_deref().map(|uri| self.fetch.task(uri));
        self.asked.get_or_init(ask).as_ref()
    }

    /// Why there is nothing to know of the task, if it was asked for.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.asked.get()?.as_ref()?.as_ref().err().map(String::as_str)
    }

    fn of_task(&self, name: &str) -> Option<String> {
        let task = self.task()?.as_ref().ok()?;
        task.variables().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Env for TaskEnv {
    fn var(&self, name: &str) -> Option<String> {
        if !TaskMetadata::VARIABLES.contains(&name) {
            return self.process.var(name);
        }
        if self.first {
            return self.of_task(name).or_else(|| self.process.var(name));
        }
        self.process.var(name).or_else(|| self.of_task(name))
    }
}

impl std::fmt::Debug for TaskEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskEnv").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The environment of this process, for [`TaskEnv::new`].
#[must_use]
pub(super) fn of_process() -> Arc<dyn Env> {
    Arc::new(ProcessEnv)
}
