//! `sysinfo`: appends what is known of the program and the system it runs on. It is asked once, when the filter is built.

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::{Fields, Piece};

use crate::text::encoded;

/// Appends what is known of the program and the system it runs on.
///
/// Each option is the name of the field to append; without one nothing is appended.
#[derive(Debug, Options)]
#[options(filter = "sysinfo")]
pub struct SysinfoOptions {
    /// Field for the program's version: Ikada's own.
    #[option(example = "router_version")]
    pub fluentbit_version_key: Option<String>,
    /// Field for the system's name, `linux`.
    #[option(example = "os")]
    pub os_name_key: Option<String>,
    /// Field for the host's name.
    #[option(example = "host")]
    pub hostname_key: Option<String>,
    /// Field for the system's version, as `uname -v` says.
    #[option(example = "os_version")]
    pub os_version_key: Option<String>,
    /// Field for the kernel's release, as `uname -r` says.
    #[option(example = "kernel")]
    pub kernel_version_key: Option<String>,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Sysinfo {
    appended: Vec<Pair>,
}

/// An encoded key with its encoded value.
type Pair = (Box<[u8]>, Box<[u8]>);

impl Sysinfo {
    /// Asks the system.
    #[must_use]
    pub fn build(options: &SysinfoOptions) -> Self {
        let system = rustix::system::uname();
        let (host, version, release) = (
            system.nodename().to_string_lossy(),
            system.version().to_string_lossy(),
            system.release().to_string_lossy(),
        );
        let appended = [
            (&options.fluentbit_version_key, env!("CARGO_PKG_VERSION")),
            (&options.os_name_key, std::env::consts::OS),
            (&options.hostname_key, &*host),
            (&options.os_version_key, &*version),
            (&options.kernel_version_key, &*release),
        ];
        let appended = appended.into_iter();
        Self {
            appended: appended
                .filter_map(|(key, value)| Some((encoded(key.as_ref()?), encoded(value))))
                .collect(),
        }
    }
}

impl Filter for Sysinfo {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        for (key, value) in &self.appended {
            fields.push(Piece::Ref(key), Piece::Ref(value));
        }
        Verdict::Keep
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "sysinfo", aliases: &[], options: SysinfoOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    Some(Box::new(Sysinfo::build(&SysinfoOptions::parse(bag, found)?)))
}
