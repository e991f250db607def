//! How much a user may publish: messages and bytes a second, over all its connections together.
//!
//! A user and each of its roles may have a budget; for messages and for bytes the narrowest of them
//! holds. Nothing given is no bound.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// What may be published in the long run, and how much of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Messages or bytes a second.
    pub per_s: NonZeroU32,
    /// Messages or bytes that may come at once after a time of silence.
    pub burst: NonZeroU32,
}

/// The publish budget of a user or a role; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishBudget {
    /// Messages.
    pub messages: Option<Rate>,
    /// Bytes: topic, properties and payload.
    pub bytes: Option<Rate>,
}

/// Text that is no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not of the form `messages=N[:BURST],bytes=N[:BURST]` with one or both and numbers from 1 to 4294967295"
)]
pub struct BudgetError;

impl Rate {
    /// So much a second, and as much at once.
    #[must_use]
    pub fn new(per_s: NonZeroU32) -> Self {
        Rate { per_s, burst: per_s }
    }

    fn narrower(one: Option<Rate>, other: Option<Rate>) -> Option<Rate> {
        match (one, other) {
            (Some(one), Some(other)) if one.order() <= other.order() => Some(one),
            (_, Some(other)) => Some(other),
            (one, None) => one,
        }
    }

    fn order(self) -> (NonZeroU32, NonZeroU32) {
        (self.per_s, self.burst)
    }

    fn is_within(one: Option<Rate>, other: Option<Rate>) -> bool {
        match (one, other) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(one), Some(other)) => one.per_s <= other.per_s && one.burst <= other.burst,
        }
    }
}

impl PublishBudget {
    /// True if nothing is bounded.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none()
    }

    /// For messages and for bytes the one with the lower rate; of equal rates the smaller burst.
    #[must_use]
    pub fn narrowest(self, other: PublishBudget) -> PublishBudget {
        PublishBudget {
            messages: Rate::narrower(self.messages, other.messages),
            bytes: Rate::narrower(self.bytes, other.bytes),
        }
    }

    /// True if this one allows nothing that the other does not.
    #[must_use]
    pub fn is_within(self, other: PublishBudget) -> bool {
        Rate::is_within(self.messages, other.messages) && Rate::is_within(self.bytes, other.bytes)
    }
}

impl fmt::Display for PublishBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (word, rate) in [(MESSAGES, self.messages), (BYTES, self.bytes)] {
            if let Some(Rate { per_s, burst }) = rate {
                write!(f, "{separator}{word}={per_s}:{burst}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl FromStr for PublishBudget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<PublishBudget, BudgetError> {
        let mut budget = PublishBudget::default();
        for part in text.split(',') {
            let (word, rate) = part.split_once('=').ok_or(BudgetError)?;
            let (per_s, burst) = rate.split_once(':').unwrap_or((rate, rate));
            let number = |text: &str| text.parse::<NonZeroU32>().map_err(|_| BudgetError);
            let rate = Rate { per_s: number(per_s)?, burst: number(burst)? };
            let slot = match word {
                MESSAGES => &mut budget.messages,
                BYTES => &mut budget.bytes,
                _ => return Err(BudgetError),
            };
            if slot.replace(rate).is_some() {
                return Err(BudgetError);
            }
        }
        Ok(budget)
    }
}

const MESSAGES: &str = "messages";
const BYTES: &str = "bytes";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: Option<&str>) {
        let parsed = text.parse::<PublishBudget>().ok().map(|it| it.to_string());
        assert_eq!(parsed.as_deref(), canonical, "{text}");
    }

    #[test]
    fn a_budget_is_read_strictly_and_written_in_full() {
        check("messages=5", Some("messages=5:5"));
        check("bytes=100:7,messages=1:2", Some("messages=1:2,bytes=100:7"));
        for bad in [
            "",
            "messages",
            "messages=",
            "messages=0",
            "messages=1:0",
            "messages=-1",
            "Messages=1",
            "messages=1,messages=2",
            "bytes=4294967296",
            "bytes=1,",
            "bytes=1:2:3",
            " bytes=1",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn the_narrowest_holds_for_messages_and_for_bytes_apart_in_either_order() {
        let budget = |text: &str| text.parse::<PublishBudget>().unwrap_or_default();
        for (one, other, narrowest) in [
            ("messages=5", "messages=6", "messages=5:5"),
            ("messages=5:9", "messages=5:8", "messages=5:8"),
            ("messages=5:9", "messages=6:1", "messages=5:9"),
            ("messages=5,bytes=10", "messages=6,bytes=9", "messages=5:5,bytes=9:9"),
            ("messages=5", "bytes=9", "messages=5:5,bytes=9:9"),
            ("messages=5", "", "messages=5:5"),
        ] {
            let (one, other) = (budget(one), budget(other));
            assert_eq!(one.narrowest(other).to_string(), narrowest);
            assert_eq!(other.narrowest(one).to_string(), narrowest);
        }
    }

    #[test]
    fn within_means_no_more_of_anything() {
        let budget = |text: &str| text.parse::<PublishBudget>().unwrap_or_default();
        for (one, other, within) in [
            ("", "", true),
            ("messages=5", "", true),
            ("", "messages=5", false),
            ("messages=5:5", "messages=5:5", true),
            ("messages=5:6", "messages=5:5", false),
            ("messages=5", "messages=5,bytes=1", false),
        ] {
            assert_eq!(budget(one).is_within(budget(other)), within, "{one} in {other}");
        }
    }
}
