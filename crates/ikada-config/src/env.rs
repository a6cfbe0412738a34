//! Where environment variables come from: the process, or a map in tests.

use std::collections::BTreeMap;

/// The environment that `${NAME}` looks into.
pub trait Env {
    /// Returns the value of a variable; an empty one counts as not set, as in Fluent Bit.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process. `HOSTNAME` is the host's name where the environment does not say otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        // Neither can be asked for: `std::env::var_os` would refuse to look.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        let value = std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        match value.filter(|value| !value.is_empty()) {
            None if name == "HOSTNAME" => host_name(),
            value => value,
        }
    }
}

fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

/// An environment in a map, for tests.
#[derive(Debug, Clone, Default)]
pub struct MapEnv {
    variables: BTreeMap<String, String>,
}

impl MapEnv {
    /// Returns an empty environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

impl Env for MapEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_not_set() {
        let env = MapEnv::new().with("A", "1").with("B", "");
        assert_eq!(env.var("A").as_deref(), Some("1"));
        assert_eq!(env.var("B"), None);
        assert_eq!(env.var("C"), None);
    }

    #[test]
    fn the_host_has_a_name() {
        assert!(ProcessEnv.var("HOSTNAME").is_some());
        assert_eq!(ProcessEnv.var(""), None);
        assert_eq!(ProcessEnv.var("A=B"), None);
    }
}
