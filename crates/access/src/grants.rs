//! How a user may prove itself, and whether what it has proven is enough.

use crate::permission::UnknownWord;
use std::fmt;
use std::str::FromStr;

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthMethod {
    /// User name and password.
    Password,
    /// An x.509 certificate in the TLS handshake.
    Certificate,
}

/// One grant type of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The way that is allowed.
    pub method: AuthMethod,
    /// True if no other way is enough without it.
    pub is_required: bool,
}

/// The grant types of a user: at most one for each method. Of two for one method the stricter
/// holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantTypes {
    password: Option<Need>,
    certificate: Option<Need>,
}

/// Stricter is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Optional,
    Required,
}

impl GrantTypes {
    /// Password only, as most users have it.
    pub const PASSWORD: GrantTypes =
        GrantTypes { password: Some(Need::Optional), certificate: None };
    /// Certificate only.
    pub const CERTIFICATE: GrantTypes =
        GrantTypes { password: None, certificate: Some(Need::Optional) };

    /// The grant types, one for each method.
    pub fn iter(&self) -> impl Iterator<Item = Grant> + use<> {
        let of = |method, need: Option<Need>| {
            need.map(|need| Grant { method, is_required: need == Need::Required })
        };
        let password = of(AuthMethod::Password, self.password);
        password.into_iter().chain(of(AuthMethod::Certificate, self.certificate))
    }

    /// True if the method is one of these.
    #[must_use]
    pub fn allows(&self, method: AuthMethod) -> bool {
        self.need(method).is_some()
    }

    /// True if the method must be proven.
    #[must_use]
    pub fn requires(&self, method: AuthMethod) -> bool {
        self.need(method) == Some(Need::Required)
    }

    /// True if what was proven is enough: if any is required, all that are required; else one of
    /// them. Without any grant type nothing is.
    #[must_use]
    pub fn are_satisfied_by(&self, proven: ProvenMethods) -> bool {
        let mut required = self.iter().filter(|grant| grant.is_required).peekable();
        if required.peek().is_some() {
            return required.all(|grant| proven.contains(grant.method));
        }
        self.iter().any(|grant| proven.contains(grant.method))
    }

    fn need(&self, method: AuthMethod) -> Option<Need> {
        match method {
            AuthMethod::Password => self.password,
            AuthMethod::Certificate => self.certificate,
        }
    }
}

impl FromIterator<Grant> for GrantTypes {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut types = GrantTypes::default();
        for grant in grants {
            let need = if grant.is_required { Need::Required } else { Need::Optional };
            let slot = match grant.method {
                AuthMethod::Password => &mut types.password,
                AuthMethod::Certificate => &mut types.certificate,
            };
            *slot = (*slot).max(Some(need));
        }
        types
    }
}

/// The methods that one connection has proven itself by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProvenMethods {
    password: bool,
    certificate: bool,
}

impl ProvenMethods {
    /// These and one more.
    #[must_use]
    pub fn with(mut self, method: AuthMethod) -> Self {
        match method {
            AuthMethod::Password => self.password = true,
            AuthMethod::Certificate => self.certificate = true,
        }
        self
    }

    /// True if the method was proven.
    #[must_use]
    pub fn contains(self, method: AuthMethod) -> bool {
        match method {
            AuthMethod::Password => self.password,
            AuthMethod::Certificate => self.certificate,
        }
    }
}

impl From<AuthMethod> for ProvenMethods {
    fn from(method: AuthMethod) -> Self {
        ProvenMethods::default().with(method)
    }
}

impl fmt::Display for ProvenMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.password, self.certificate) {
            (false, false) => "none",
            (true, false) => "password",
            (false, true) => "certificate",
            (true, true) => "certificate+password",
        })
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthMethod::Password => "password",
            AuthMethod::Certificate => "certificate",
        })
    }
}

impl FromStr for AuthMethod {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "password" => Ok(AuthMethod::Password),
            "certificate" => Ok(AuthMethod::Certificate),
            _ => Err(UnknownWord { expected: "`password` or `certificate`" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthMethod::{Certificate, Password};

    fn check(grants: &[(AuthMethod, bool)], proven: &[AuthMethod], is_enough: bool) {
        let types: GrantTypes =
            grants.iter().map(|&(method, is_required)| Grant { method, is_required }).collect();
        let methods = proven.iter().fold(ProvenMethods::default(), |all, method| all.with(*method));
        assert_eq!(types.are_satisfied_by(methods), is_enough, "{grants:?} by {proven:?}");
    }

    #[test]
    fn one_granted_method_suffices_when_none_is_required() {
        check(&[(Password, false)], &[Password], true);
        check(&[(Password, false)], &[Certificate], false);
        check(&[(Password, false), (Certificate, false)], &[Certificate], true);
        check(&[(Password, false), (Certificate, false)], &[Password, Certificate], true);
        check(&[(Password, false), (Certificate, false)], &[], false);
    }

    #[test]
    fn all_required_methods_must_be_proven() {
        check(&[(Password, true), (Certificate, false)], &[Certificate], false);
        check(&[(Password, true), (Certificate, false)], &[Password], true);
        check(&[(Password, true), (Certificate, true)], &[Certificate], false);
        check(&[(Password, true), (Certificate, true)], &[Password, Certificate], true);
    }

    #[test]
    fn rule_24_no_grant_type_means_no_way_in() {
        check(&[], &[Password, Certificate], false);
    }

    #[test]
    fn of_two_grants_for_one_method_the_stricter_holds_in_either_order() {
        for grants in [[(Password, true), (Password, false)], [(Password, false), (Password, true)]]
        {
            check(&[grants[0], grants[1], (Certificate, false)], &[Certificate], false);
        }
    }
}
