//! One line in the log when a bound is nearly reached, and one when it has room again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::limits::{self, Kind, Use};
use super::sources::Sources;

/// Looks at all bounds until the server stops.
pub(crate) async fn watch(sources: Arc<Sources>) {
    let mut near = Near::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let census = sources.recent_census(CENSUS_AGE_MS).await;
        let uses = limits::all(&sources, &census, sources.intake.pending());
        for (used, news) in near.look(uses, clock::now().0) {
            log(&used, news);
        }
    }
}

fn log(it: &Use, news: News) {
    let Use { name: limit, used, bound: max, .. } = it;
    let (user, client_id) = (it.whose.user.as_deref(), it.whose.client_id.as_deref());
    match news {
        News::Near => {
            tracing::warn!(limit, used, max, user, client_id, "a limit is nearly reached");
        }
        News::Room => tracing::info!(limit, used, max, "a limit has room again"),
    }
}

/// What there is to say of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Near,
    Room,
}

/// The bounds that were said to be near, and when.
#[derive(Debug, Default)]
struct Near(HashMap<&'static str, Said>);

#[derive(Debug, Clone, Copy)]
struct Said {
    at_ms: u64,
    is_near: bool,
}

impl Near {
    /// The bounds that there is something new to say of. It takes less to have room again than it took to be near, and each
    /// is said to be near once a minute at most, so that one that comes and goes does not fill the log.
    fn look(&mut self, uses: Vec<Use>, now_ms: u64) -> Vec<(Use, News)> {
        uses.into_iter().filter_map(|it| Some((self.judge(&it, now_ms)?, it))).map(swap).collect()
    }

    fn judge(&mut self, it: &Use, now_ms: u64) -> Option<News> {
        if it.kind != Kind::Bound {
            return None;
        }
        match self.0.get_mut(it.name) {
            Some(said) if said.is_near => {
                said.is_near = it.is_still_near();
                (!said.is_near).then_some(News::Room)
            }
            Some(said) if now_ms.saturating_sub(said.at_ms) < AGAIN_MS => None,
            Some(_) | None => {
                if !it.is_near() {
                    return None;
                }
                self.0.insert(it.name, Said { at_ms: now_ms, is_near: true });
                Some(News::Near)
            }
        }
    }
}

fn swap((news, it): (News, Use)) -> (Use, News) {
    (it, news)
}

const LOOK: Duration = Duration::from_secs(1);
/// What sessions hold may be known from so long ago.
const CENSUS_AGE_MS: u64 = 10_000;
const AGAIN_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::limits::Whose;

    fn uses(used: usize, kind: Kind) -> Vec<Use> {
        vec![Use { name: "x", bound: 100, used, whose: Whose::default(), kind }]
    }

    fn check(steps: &[(u64, usize, Option<News>)]) {
        let mut near = Near::default();
        for (now_s, used, expected) in steps {
            let news = near.look(uses(*used, Kind::Bound), now_s * 1000);
            let news: Vec<_> = news.into_iter().map(|(_, news)| news).collect();
            assert_eq!(
                news,
                expected.iter().copied().collect::<Vec<_>>(),
                "{used} after {now_s} s"
            );
        }
    }

    #[test]
    fn a_bound_is_near_at_four_fifths_and_has_room_again_below_three_quarters() {
        use News::{Near, Room};
        check(&[
            (1, 79, None),
            (2, 80, Some(Near)),
            (3, 100, None),
            (4, 75, None),
            (5, 74, Some(Room)),
        ]);
    }

    #[test]
    fn a_bound_that_comes_and_goes_is_told_once_a_minute() {
        use News::{Near, Room};
        check(&[
            (0, 90, Some(Near)),
            (1, 0, Some(Room)),
            (2, 90, None),
            (3, 0, None),
            (59, 90, None),
            (60, 90, Some(Near)),
            (61, 10, Some(Room)),
        ]);
    }

    #[test]
    fn windows_and_what_is_told_elsewhere_and_what_has_no_bound_are_never_near() {
        for kind in [Kind::Window, Kind::Told] {
            assert!(Near::default().look(uses(100, kind), 0).is_empty());
        }
        let unbounded = Use { bound: 0, ..uses(100, Kind::Bound).remove(0) };
        assert!(Near::default().look(vec![unbounded], 0).is_empty());
        let unused = Use { bound: 1, ..uses(0, Kind::Bound).remove(0) };
        assert!(Near::default().look(vec![unused], 0).is_empty());
    }
}
