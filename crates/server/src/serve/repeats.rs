//! Connections that end before anybody has said who it is: garbage by the thousand a second would fill the disk with
//! lines that cost more than the refusals themselves.
//!
//! The first of each source in a span of time are told, the rest is counted, and the number told at the end of the span,
//! which the end of the server is as well.
//! Flaw 41: what somebody is refused who has shown a certificate or sent a CONNECT is not meant; each of those is told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::task::JoinSet;

/// What was refused in the span under way.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    sources: Mutex<HashMap<Option<IpAddr>, Count>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    told: u32,
    untold: u64,
}

impl Repeats {
    /// Counts a refusal of this source. Says whether it is to be told.
    pub(crate) fn is_to_be_told(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.lock();
        let is_known = sources.contains_key(&Some(source));
        // When there are too many to tell apart, the others are counted together.
        let name = (is_known || sources.len() < SOURCES_MAX).then_some(source);
        let count = sources.entry(name).or_default();
        let is_told = count.told < TOLD_MAX;
        if is_told {
            count.told += 1;
        } else {
            count.untold += 1;
        }
        is_told
    }

    /// Ends the span, and tells what was only counted in it. It lasts [`SPAN`] at most.
    pub(crate) fn tell(&self) {
        for (source, more) in self.end() {
            let source = source.map_or_else(|| "others".to_owned(), |it| it.to_string());
            tracing::info!(source, more, seconds = SPAN.as_secs(), "more connections refused");
        }
    }

    /// Ends the span: of whom something was not told, and how much.
    fn end(&self) -> Vec<(Option<IpAddr>, u64)> {
        let sources = std::mem::take(&mut *self.sources.lock());
        let untold = sources.into_iter().filter(|(_, count)| count.untold > 0);
        untold.map(|(source, count)| (source, count.untold)).collect()
    }
}

/// A new one, told of by a task of its own.
pub(crate) fn watched(tasks: &mut JoinSet<()>) -> Arc<Repeats> {
    let repeats = Arc::new(Repeats::default());
    tasks.spawn(watch(Arc::clone(&repeats)));
    repeats
}

/// Tells at the end of each span what was only counted in it.
async fn watch(repeats: Arc<Repeats>) {
    loop {
        tokio::time::sleep(SPAN).await;
        repeats.tell();
    }
}

/// Lines of one source in a span.
const TOLD_MAX: u32 = 1_000;
const SPAN: Duration = Duration::from_secs(10);
/// Sources that are told apart.
const SOURCES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn the_first_refusals_of_a_source_are_told_and_the_rest_is_counted_until_the_span_ends() {
        let repeats = Repeats::default();
        for span in 0..2 {
            let told = (0..5_000).filter(|_| repeats.is_to_be_told(source(1))).count();
            assert_eq!(told, 1_000, "span {span}");
            assert!(repeats.is_to_be_told(source(2)), "another source is told all the same");
            assert_eq!(repeats.end(), [(Some(source(1)), 4_000)]);
            assert_eq!(repeats.end(), []);
        }
    }

    #[test]
    fn sources_that_are_too_many_to_be_told_apart_take_no_more_memory() {
        let repeats = Repeats::default();
        let told = (0..100_000).filter(|number| repeats.is_to_be_told(source(*number))).count();
        assert_eq!(told, 1024 + 1_000);
        assert_eq!(repeats.sources.lock().len(), 1024 + 1);
        assert_eq!(repeats.end(), [(None, 100_000 - 1024 - 1_000)]);
    }
}
