//! Where a client may have its answers sent (5.0, section 3.2.2.3.15).

use topic::{TopicError, TopicName};

/// What CONNACK says to clients that ask for it: the beginning of topics for answers, in which `${username}` and
/// `${clientId}` stand for the client's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseInformation(Box<str>);

impl ResponseInformation {
    /// Takes the text if it is a topic name when the placeholders are filled in.
    ///
    /// # Errors
    /// Why it is not.
    pub fn parse(text: &str) -> Result<ResponseInformation, TopicError> {
        TopicName::parse(&fill(text, "x", "x"))?;
        Ok(ResponseInformation(text.into()))
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text for one client. Flaw 1: none for a client id that would be more than a level of a topic, for its
    /// answers would be somebody else's.
    pub(crate) fn of_client(&self, user_name: &str, client_id: &str) -> Option<String> {
        let is_level = |value: &str| !value.is_empty() && !value.contains(['+', '#', '/', '\0']);
        let is_used = self.0.contains(CLIENT_ID);
        (is_level(user_name) && (!is_used || is_level(client_id)))
            .then(|| fill(&self.0, user_name, client_id))
    }
}

/// A user name holds no `$`, so that the second step finds only what the operator wrote.
fn fill(text: &str, user_name: &str, client_id: &str) -> String {
    text.replace(USERNAME, user_name).replace(CLIENT_ID, client_id)
}

const USERNAME: &str = "${username}";
const CLIENT_ID: &str = "${clientId}";

#[cfg(test)]
mod tests {
    use super::ResponseInformation;

    fn check(text: &str, client_id: &str, expected: Option<&str>) {
        let information = ResponseInformation::parse(text).unwrap();
        assert_eq!(information.of_client("ann", client_id).as_deref(), expected);
    }

    #[test]
    fn placeholders_stand_for_the_client() {
        check("answers/${username}/${clientId}", "c1", Some("answers/ann/c1"));
        check("answers", "c1", Some("answers"));
        check("answers/${clientId}", "${username}", Some("answers/${username}"));
    }

    #[test]
    fn rule_01_a_client_id_that_is_no_level_brings_no_answer_topic() {
        for client_id in ["a/b", "#", "+", "a\0"] {
            check("answers/${clientId}", client_id, None);
            check("answers/${username}", client_id, Some("answers/ann"));
        }
    }

    #[test]
    fn what_is_no_topic_name_is_refused() {
        for text in ["", "a/#", "+/${username}"] {
            assert!(ResponseInformation::parse(text).is_err(), "{text}");
        }
    }
}
