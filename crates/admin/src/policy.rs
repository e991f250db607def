//! What a new password must look like.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use zxcvbn::matching::patterns::{DictionaryPattern, MatchPattern};

use crate::secret::Secret;

/// Rules for new passwords: how many characters, and how many of each of Unicode's classes. Passwords that everybody
/// tries first are refused besides, whatever the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Least number of characters.
    pub min: u32,
    /// Least number of lower-case letters.
    pub lower: u32,
    /// Least number of upper-case letters.
    pub upper: u32,
    /// Least number of digits and other numbers.
    pub numeric: u32,
    /// Least number of punctuation marks and symbols.
    pub symbol: u32,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        PasswordPolicy { min: 8, ..PasswordPolicy::NONE }
    }
}

/// Why the rules cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "password policy rules: {0}; a JSON object with the integer keys min, lower, upper, numeric, symbol is expected"
)]
pub struct PolicyError(String);

impl PasswordPolicy {
    const NONE: PasswordPolicy =
        PasswordPolicy { min: 0, lower: 0, upper: 0, numeric: 0, symbol: 0 };

    /// Reads the value of `CYBUS_AUTH_PASSWORD_POLICY_RULES`. A key that is absent asks for nothing.
    ///
    /// # Errors
    /// Whatever is not a JSON object of known keys with integers from 0.
    pub fn parse(json: &str) -> Result<PasswordPolicy, PolicyError> {
        let rules = serde_json::from_str::<Rules>(json).map_err(|error| {
            let is_json = error.is_data();
            PolicyError(if is_json { "not an object".into() } else { format!("not JSON: {error}") })
        })?;
        // By hand and not by derive, which does not say which key holds the bad number.
        let mut policy = PasswordPolicy::NONE;
        for (place, (key, value)) in rules.0.iter().enumerate() {
            if rules.0.iter().take(place).any(|(earlier, _)| earlier == key) {
                return Err(PolicyError(format!("`{key}` is given twice")));
            }
            let rule = match key.as_str() {
                "min" => &mut policy.min,
                "lower" => &mut policy.lower,
                "upper" => &mut policy.upper,
                "numeric" => &mut policy.numeric,
                "symbol" => &mut policy.symbol,
                _ => return Err(PolicyError(format!("unknown key `{key}`"))),
            };
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            *rule = number.ok_or_else(|| {
                PolicyError(format!("`{key}` is `{value}`, not an integer from 0"))
            })?;
        }
        Ok(policy)
    }

    /// Judges a new password.
    ///
    /// # Errors
    /// What is missing, in words that do not repeat the password.
    pub fn check(&self, password: &Secret, username: &str) -> Result<(), String> {
        let Some(text) = password.expose_text() else {
            return Err("is not UTF-8 text".to_owned());
        };
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.contains('\0') {
            return Err("holds a NUL character".to_owned());
        }
        let has = Counts::of(text);
        let required = [
            (has.all, self.min, "characters"),
            (has.lower, self.lower, "lower-case letters"),
            (has.upper, self.upper, "upper-case letters"),
            (has.numeric, self.numeric, "digits"),
            (has.symbol, self.symbol, "symbols"),
        ];
        for (count, least, what) in required {
            if count < u64::from(least) {
                return Err(format!("must have at least {least} {what}"));
            }
        }
        if text.to_lowercase() == username.to_lowercase() {
            return Err("is the user name".to_owned());
        }
        if is_common(text) {
            return Err("is one of the most common passwords".to_owned());
        }
        Ok(())
    }
}

/// The rules as they are given: a map would keep the last of two with one key, and say nothing.
struct Rules(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rules, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Rules;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rules, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = map.next_entry()? {
                    rules.push(rule);
                }
                Ok(Rules(rules))
            }
        }
        from.deserialize_map(InOrder)
    }
}

#[derive(Default)]
struct Counts {
    all: u64,
    lower: u64,
    upper: u64,
    numeric: u64,
    symbol: u64,
}

impl Counts {
    fn of(text: &str) -> Counts {
        let mut counts = Counts::default();
        for character in text.chars() {
            counts.all += 1;
            counts.lower += u64::from(character.is_lowercase());
            counts.upper += u64::from(character.is_uppercase());
            match character.general_category_group() {
                GeneralCategoryGroup::Number => counts.numeric += 1,
                GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Symbol => {
                    counts.symbol += 1;
                }
                GeneralCategoryGroup::Letter
                | GeneralCategoryGroup::Mark
                | GeneralCategoryGroup::Separator
                | GeneralCategoryGroup::Other => {}
            }
        }
        counts
    }
}

/// Whether the whole text, letter case aside, stands in the list of common passwords. Parts of it that do are no
/// reason: `Passw0rd!23` is weak, but nobody's first guess.
fn is_common(text: &str) -> bool {
    if text.chars().count() > COMMON_CHARACTERS_MAX {
        return false;
    }
    let passwords = DictionaryPattern::default().dictionary_name;
    let judged = zxcvbn::zxcvbn(text, &[]);
    let [whole] = judged.sequence() else { return false };
    match &whole.pattern {
        MatchPattern::Dictionary(word) => {
            word.dictionary_name == passwords && !word.reversed && !word.l33t
        }
        // 12345678, qwertyuiop, aaaaaaaa: in the list too, but known to be even easier otherwise
        MatchPattern::Sequence(_) | MatchPattern::Repeat(_) | MatchPattern::Spatial(_) => {
            judged.guesses() < OBVIOUS_GUESSES
        }
        MatchPattern::Regex(_) | MatchPattern::Date(_) | MatchPattern::BruteForce => false,
    }
}

/// Longer than any password of the list, and short enough to judge quickly.
const COMMON_CHARACTERS_MAX: usize = 32;

/// What is guessed with fewer tries than this is as good as listed.
const OBVIOUS_GUESSES: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(policy: &str, password: &str) -> Result<(), String> {
        PasswordPolicy::parse(policy).unwrap().check(&Secret::from(password), "alice")
    }

    #[test]
    fn rules_that_are_not_understood_are_refused_with_their_key() {
        let check = |json: &str, named: &str| {
            let error = PasswordPolicy::parse(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        };
        check("", "not JSON");
        check("{", "not JSON");
        check("8", "not an object");
        check("[]", "not an object");
        check("null", "not an object");
        check(r#"{"min":8,"max":20}"#, "unknown key `max`");
        check(r#"{"min":12,"lower":1,"min":1}"#, "`min` is given twice");
        check(r#"{"Min":8}"#, "unknown key `Min`");
        check(r#"{"min":-1}"#, "`min` is `-1`");
        check(r#"{"min":8.5}"#, "`min` is `8.5`");
        check(r#"{"lower":"1"}"#, "`lower`");
        check(r#"{"lower":true}"#, "`lower`");
        check(r#"{"symbol":null}"#, "`symbol`");
        check(r#"{"min":99999999999999999999}"#, "`min`");
    }

    #[test]
    fn each_rule_counts_its_unicode_class() {
        let check = |policy: &str, password: &str, fits: bool| {
            assert_eq!(judge(policy, password).is_ok(), fits, "{policy} {password}");
        };
        check(r#"{"min":8}"#, "pläne-7", false);
        check(r#"{"min":8}"#, "pläne-78", true);
        check(r#"{"min":4}"#, "ключ", true);
        check(r#"{"lower":2}"#, "ABCDEFGHä", false);
        check(r#"{"lower":2}"#, "ABCDEFGHäß", true);
        check(r#"{"upper":1}"#, "lower-case-only", false);
        check(r#"{"upper":1}"#, "Élan-vital", true);
        check(r#"{"numeric":2}"#, "one-1-digit", false);
        check(r#"{"numeric":2}"#, "two-1-٣-digits", true);
        check(r#"{"symbol":1}"#, "no symbol but spaces", false);
        check(r#"{"symbol":2}"#, "price-20€", true);
        check("{}", "x", true);
        check("{}", "", false);
    }

    #[test]
    fn only_common_passwords_as_a_whole_are_refused() {
        let check = |password: &str, fits: bool| {
            assert_eq!(judge(r#"{"min":8}"#, password).is_ok(), fits, "{password}");
        };
        for common in [
            "password",
            "Password",
            "12345678",
            "123456789",
            "password1",
            "qwertyuiop",
            "iloveyou",
            "11111111",
            "aaaaaaaa",
            "baseball",
            "sunshine",
            "superman",
            "trustno1",
            "abcdefgh",
        ] {
            check(common, false);
        }
        for fine in [
            "Str0ng-Passw0rd!",
            "correct horse battery",
            "secret-pass-1",
            "alice-password",
            "Passw0rd!23",
            "bob-password",
            "changed-password",
            "test-password-1",
            "s3cret-Enough",
            "admin-password",
            "sensor-secret",
            "P4ssword-of-bob",
            "hunter2-hunter2",
            "wrong-password",
            "machine-0001-secret",
            "first-password",
            "new-password-2",
            "Secret123!",
        ] {
            check(fine, true);
        }
    }

    #[test]
    fn the_user_name_is_no_password() {
        let policy = PasswordPolicy::default();
        let check = |password: &str, fits: bool| {
            let judged = policy.check(&Secret::from(password), "Machine-42");
            assert_eq!(judged.is_ok(), fits, "{password}");
        };
        check("machine-42", false);
        check("machine-42-secret", true);
    }

    #[test]
    fn refusals_do_not_repeat_the_password() {
        let error = judge(r#"{"symbol":9}"#, "Sup3r-Secret").unwrap_err();
        assert!(!error.contains("Sup3r"), "{error}");
    }
}
