//! What the whole process needs before anything else happens.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Every file is the owner's alone, and there may be as many connections as the system grants.
pub(crate) fn prepare() {
    umask(Mode::from_bits_truncate(0o077));
    raise_open_files();
    abort_on_shard_panic();
}

/// Descriptors that the process may have.
pub(crate) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Processor cores that the process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If it cannot be raised, the old limit holds; what it is gets logged.
    setrlimit(Resource::Nofile, raised).unwrap_or_default();
}

/// An engine that was left in the middle of something may decide wrongly, and a broker must not go on that does.
/// No input of a peer is known to cause it.
fn abort_on_shard_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name.starts_with(super::shards::THREAD_NAME)) {
            std::process::abort();
        }
    }));
}
