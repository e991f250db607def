//! Topic aliases the server gives out (section 3.3.2.3.4), within what the client takes.

use std::collections::BTreeMap;
use topic::TopicName;

/// The aliases given out on one connection. Topics in use keep theirs; when all are taken, those
/// that were not used since the last look give way (the clock rule), one look a message.
#[derive(Debug, Default)]
pub struct OutboundAliases {
    maximum: u16,
    by_topic: BTreeMap<TopicName, u16>,
    /// At index alias - 1.
    given: Vec<Given>,
    /// Index into `given` at which the next look is taken.
    hand: usize,
}

#[derive(Debug)]
struct Given {
    topic: TopicName,
    is_used: bool,
}

/// What to write as topic and alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasedTopic<'a> {
    /// Empty if the alias says it all.
    pub topic: &'a str,
    /// Sets the alias if the topic is not empty.
    pub alias: Option<u16>,
}

impl OutboundAliases {
    /// None given yet. `maximum` is the smaller of the client's Topic Alias Maximum and what the
    /// server wants to keep per connection; 0 switches aliases off [MQTT-3.1.2-27].
    #[must_use]
    pub fn new(maximum: u16) -> OutboundAliases {
        OutboundAliases { maximum, ..OutboundAliases::default() }
    }

    /// Topic and alias for a message that will be written for certain: the client learns a new
    /// alias from it.
    pub fn assign<'a>(&mut self, topic: &'a TopicName) -> AliasedTopic<'a> {
        if self.maximum == 0 {
            return AliasedTopic { topic: topic.as_str(), alias: None };
        }
        if let Some(&alias) = self.by_topic.get(topic) {
            if let Some(given) = self.given.get_mut(usize::from(alias) - 1) {
                given.is_used = true;
            }
            return AliasedTopic { topic: "", alias: Some(alias) };
        }
        AliasedTopic { topic: topic.as_str(), alias: self.give(topic) }
    }

    fn give(&mut self, topic: &TopicName) -> Option<u16> {
        let index = if self.given.len() < usize::from(self.maximum) {
            self.given.push(Given { topic: topic.clone(), is_used: false });
            self.given.len() - 1
        } else {
            self.replace(topic)?
        };
        let alias = u16::try_from(index + 1).ok()?;
        self.by_topic.insert(topic.clone(), alias);
        Some(alias)
    }

    /// Takes the alias at the hand away, unless its topic was used since the last look.
    fn replace(&mut self, topic: &TopicName) -> Option<usize> {
        let index = self.hand;
        self.hand = (index + 1) % self.given.len().max(1);
        let given = self.given.get_mut(index)?;
        if std::mem::take(&mut given.is_used) {
            return None;
        }
        let old = std::mem::replace(&mut given.topic, topic.clone());
        self.by_topic.remove(&old);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::OutboundAliases;
    use topic::TopicName;

    /// Assigns each topic in turn; an alias is written `=n`, one being set `topic=n`.
    fn check(maximum: u16, topics: &[&str], expected: &[&str]) {
        let mut aliases = OutboundAliases::new(maximum);
        let mut results = Vec::new();
        for topic in topics {
            let name = TopicName::parse(topic).unwrap();
            let it = aliases.assign(&name);
            let alias = it.alias.map(|alias| format!("={alias}")).unwrap_or_default();
            results.push(format!("{}{alias}", it.topic));
        }
        assert_eq!(results, expected);
    }

    // Shows 5.0: [MQTT-3.1.2-27].
    #[test]
    fn without_a_maximum_no_alias_is_given() {
        check(0, &["a", "a"], &["a", "a"]);
    }

    #[test]
    fn the_second_message_to_a_topic_is_sent_by_alias() {
        check(2, &["a", "a", "b", "a", "b"], &["a=1", "=1", "b=2", "=1", "=2"]);
    }

    #[test]
    fn an_unused_alias_gives_way_and_a_used_one_stays() {
        check(2, &["a", "b", "a", "c", "c", "a"], &["a=1", "b=2", "=1", "c", "c=2", "=1"]);
    }

    // Shows 5.0: [MQTT-3.1.2-26], [MQTT-3.3.2-11].
    #[test]
    fn no_alias_is_ever_above_the_maximum_and_each_means_its_last_topic() {
        let mut aliases = OutboundAliases::new(3);
        let mut client = std::collections::HashMap::new();
        for step in 0..1000_u32 {
            let name = TopicName::parse(&format!("t{}", step * step % 7)).unwrap();
            let sent = aliases.assign(&name);
            let Some(alias) = sent.alias else { continue };
            assert!((1..=3).contains(&alias));
            if !sent.topic.is_empty() {
                client.insert(alias, name.clone());
            }
            assert_eq!(client.get(&alias), Some(&name));
        }
        assert_eq!(client.len(), 3);
    }
}
