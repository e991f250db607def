//! Reads the environment: `COUNTERSIGN_SECTION_KEY`, and the names that Connectware's users know.

use std::ffi::OsString;
use std::path::Path;

use admin::{AuthenticationMode, PasswordPolicy, decode_base64_password};

use super::error::{ConfigError, Source};
use super::keys::{KEYS, Key, VARIABLE_PREFIX, nearest, shorten};
use super::slot::Raw;
use super::{Effective, secret_from_file};

/// Takes the values of all variables that are ours. Others are none of our business.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    effective: &mut Effective,
) -> Result<(), ConfigError> {
    // Sorted, so that of several errors always the same one is told.
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) || name.starts_with(CYBUS_PREFIX))
        .collect();
    ours.sort();
    for (name, value) in ours {
        read_variable(&name, value, effective)?;
    }
    Ok(())
}

fn read_variable(
    name: &str,
    value: OsString,
    effective: &mut Effective,
) -> Result<(), ConfigError> {
    let place = Source::Variable(name.to_owned());
    let cybus = CYBUS.iter().find(|cybus| cybus.is_named(name));
    if CLI_VARIABLES.contains(&name) {
        return Ok(());
    }
    if cybus.is_none() && name.starts_with(CYBUS_PREFIX) {
        // May be Connectware's own, so it is no error; but it may also be misspelt.
        effective.ignored.push(name.escape_debug().to_string());
        return Ok(());
    }
    let value = value.into_string().map_err(|_| ConfigError::BadValue {
        place: place.clone(),
        key: name.to_owned(),
        value: "the given value".to_owned(),
        reason: "it is not UTF-8".to_owned(),
    })?;
    if let Some(cybus) = cybus {
        return cybus.read(name, value, place, effective);
    }
    if let Some(index) = KEYS.iter().position(|key| key.variable() == name) {
        return effective.set(index, &Raw::Variable(value), place);
    }
    let secret = name.strip_suffix(FILE_SUFFIX);
    match KEYS.iter().position(|key| Some(key.variable().as_str()) == secret && key.is_secret()) {
        Some(index) => match KEYS.get(index) {
            Some(key) => {
                let raw = secret_from_file(key, Path::new(&value), &place)?;
                effective.set(index, &raw, place)
            }
            None => Ok(()),
        },
        None => Err(ConfigError::Unknown {
            place: Source::Environment,
            what: "variable",
            name: name.escape_debug().to_string(),
            nearest: nearest(name, KEYS.iter().map(Key::variable)),
        }),
    }
}

/// A variable of Connectware that is honoured here.
struct Cybus {
    name: &'static str,
    /// The keys it decides, as they are shown.
    keys: &'static [&'static str],
    is_secret: bool,
    set: fn(&mut super::Config, &str) -> Result<(), String>,
}

impl Cybus {
    fn is_named(&self, name: &str) -> bool {
        name == self.name || (self.is_secret && name.strip_suffix(FILE_SUFFIX) == Some(self.name))
    }

    fn read(
        &self,
        name: &str,
        value: String,
        place: Source,
        effective: &mut Effective,
    ) -> Result<(), ConfigError> {
        let indexes: Vec<usize> = (0..KEYS.len())
            .filter(|index| {
                KEYS.get(*index).is_some_and(|key| self.keys.contains(&key.path().as_str()))
            })
            .collect();
        let value = match indexes.first().and_then(|index| KEYS.get(*index)) {
            Some(key) if name != self.name => {
                match secret_from_file(key, Path::new(&value), &place)? {
                    Raw::Text(text) => text,
                    _ => String::new(),
                }
            }
            _ => value,
        };
        (self.set)(&mut effective.config, &value).map_err(|reason| ConfigError::BadValue {
            place: place.clone(),
            key: self.keys.first().copied().unwrap_or(self.name).to_owned(),
            value: if self.is_secret { "the given value".to_owned() } else { shorten(&value) },
            reason,
        })?;
        indexes.into_iter().try_for_each(|index| effective.mark(index, place.clone()))
    }
}

static CYBUS: &[Cybus] = &[
    Cybus {
        name: "CYBUS_BROKER_USE_MUTUAL_TLS",
        keys: &["authentication"],
        is_secret: false,
        set: |config, text| match text.to_lowercase().as_str() {
            "no" => {
                config.login.authentication = AuthenticationMode::Password;
                Ok(())
            }
            "yes" => {
                config.login.authentication = AuthenticationMode::MutualTls;
                Ok(())
            }
            _ => Err("it must be yes or no".to_owned()),
        },
    },
    Cybus {
        name: "CYBUS_AUTH_PASSWORD_POLICY_RULES",
        keys: &[
            "passwords.min",
            "passwords.lower",
            "passwords.upper",
            "passwords.numeric",
            "passwords.symbol",
        ],
        is_secret: false,
        set: |config, text| {
            config.login.password_policy =
                PasswordPolicy::parse(text).map_err(|error| error.to_string())?;
            Ok(())
        },
    },
    Cybus {
        name: "CYBUS_ADMIN_USER_ENABLED",
        keys: &["admin.user_enabled"],
        is_secret: false,
        // Exactly `false` switches it off, as Connectware has it: any other text leaves it on.
        set: |config, text| {
            config.admin.user_enabled = text != "false";
            Ok(())
        },
    },
    Cybus {
        name: "CYBUS_INITIAL_ADMIN_USER_PASSWORD",
        keys: &["admin.initial_password"],
        is_secret: true,
        set: |config, text| {
            let password = decode_base64_password(text).map_err(|error| error.to_string())?;
            config.admin.initial_password = Some(password);
            Ok(())
        },
    },
];

/// Variables of the command line, which are not configuration.
const CLI_VARIABLES: [&str; 5] = [
    "COUNTERSIGN_URL",
    "COUNTERSIGN_TOKEN",
    "COUNTERSIGN_CA_FILE",
    "COUNTERSIGN_CONFIG",
    "COUNTERSIGN_DATA_DIR",
];
const CYBUS_PREFIX: &str = "CYBUS_";
const FILE_SUFFIX: &str = "_FILE";
