//! The server's own certificate, signed by the built-in authority: made, kept and renewed as long as the operator
//! has not put another in its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::authority::{self, Authority, DAY_S};
use crate::certificate::Facts;
use crate::error::PkiError;
use crate::files::{self, Readers};
use crate::layout::Files;
use crate::note::Note;
use crate::{pem, tls};

/// Names and addresses under which clients reach the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    /// DNS names; the first is the certificate's common name.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// The server's chain and key, ready for TLS.
pub(crate) struct ServerCertificate {
    pub(crate) key: CertifiedKey,
    pub(crate) facts: Facts,
}

impl HostNames {
    /// The machine's host name, `localhost`, and the addresses of its interfaces, with `extra` names or addresses (from
    /// the configuration) before them.
    #[must_use]
    pub fn of_this_machine(extra: &[String]) -> Self {
        let mut found = Self::default();
        for text in extra {
            match text.parse::<IpAddr>() {
                Ok(address) => found.add_address(address),
                Err(_) => found.add_name(text),
            }
        }
        found.add_name(&rustix::system::uname().nodename().to_string_lossy());
        found.add_name("localhost");
        found.add_address(Ipv4Addr::LOCALHOST.into());
        found.add_address(Ipv6Addr::LOCALHOST.into());
        for interface in if_addrs::get_if_addrs().unwrap_or_default() {
            found.add_address(interface.ip());
        }
        found
    }

    fn add_name(&mut self, name: &str) {
        let is_name = !name.is_empty()
            && name.len() <= DNS_NAME_LENGTH_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte));
        if is_name && !self.names.iter().any(|present| present == name) {
            self.names.push(name.to_owned());
        }
    }

    fn add_address(&mut self, address: IpAddr) {
        // A link-local address means nothing without the interface it belongs to.
        let is_link_local =
            matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        if !is_link_local && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    fn alternative_names(&self) -> Vec<SanType> {
        let names = self.names.iter().filter_map(|name| name.as_str().try_into().ok());
        let addresses = self.addresses.iter().map(|address| SanType::IpAddress(*address));
        names.map(SanType::DnsName).chain(addresses).collect()
    }

    /// Whether the certificate carries all of these.
    fn are_in(&self, der: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(der) else { return false };
        let Ok(Some(found)) = parsed.subject_alternative_name() else { return false };
        let has_name =
            |name: &String| {
                found.value.general_names.iter().any(
                    |present| matches!(present, GeneralName::DNSName(present) if present == name),
                )
            };
        let has_address = |address: &IpAddr| {
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            found.value.general_names.iter().any(
                |present| matches!(present, GeneralName::IPAddress(present) if *present == octets),
            )
        };
        self.names.iter().all(has_name) && self.addresses.iter().all(has_address)
    }
}

impl ServerCertificate {
    /// Makes or renews the certificate if it is ours to make and a reason shows.
    pub(crate) fn prepare(
        files: &Files,
        names: &HostNames,
        authority: &Authority,
        now: UnixTime,
        notes: &mut Vec<Note>,
    ) -> Result<(), PkiError> {
        if files.server.is_some() {
            return Ok(());
        }
        let (certificate_path, key_path) = files.server();
        let present = match files::read(&certificate_path)? {
            Some(bytes) => Some(read_chain(&certificate_path, &bytes)?),
            None => None,
        };
        let key_bytes = files::read(&key_path)?;
        let reason = match &present {
            None => Some("there was none"),
            Some((leaf, facts)) => {
                let is_ours = facts.subject.starts_with(SUBJECT_MARK);
                if is_ours {
                    reason_to_renew(leaf, facts, names, authority, key_bytes.is_none(), now)
                } else {
                    None
                }
            }
        };
        let Some(reason) = reason else { return Ok(()) };
        // An existing key is kept, so that certificate and key fit each other at every moment.
        let key = match key_bytes {
            Some(bytes) => KeyPair::try_from(&authority::read_key(&key_path, &bytes)?)
                .map_err(|_| PkiError::unusable(&key_path, "not a usable key", REMEDY_KEY))?,
            None => {
                let key = authority::new_key()
                    .map_err(|error| PkiError::crypto("make the server's key", error))?;
                files::replace(&key_path, authority::key_pem(&key).as_bytes(), Readers::Owner)?;
                key
            }
        };
        let der = sign(names, authority, &key, now)?;
        files::replace(
            &certificate_path,
            pem::encode("CERTIFICATE", &der).as_bytes(),
            Readers::Everybody,
        )?;
        notes.push(Note::ServerCertificateMade { reason });
        Ok(())
    }

    /// Reads chain and key and checks that they belong together.
    pub(crate) fn load(files: &Files) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = files.server();
        let missing = |path| PkiError::unusable(path, "there is no such file", REMEDY_MISSING);
        let chain_bytes =
            files::read(&certificate_path)?.ok_or_else(|| missing(&certificate_path))?;
        let chain = certificates(&certificate_path, &chain_bytes)?;
        let (_, facts) = read_chain(&certificate_path, &chain_bytes)?;
        let key_bytes = files::read(&key_path)?.ok_or_else(|| missing(&key_path))?;
        let key = authority::read_key(&key_path, &key_bytes)?;
        let key = CertifiedKey::from_der(chain, key, tls::provider()).map_err(|error| {
            let what = format!("does not go with `{}` ({error})", certificate_path.display());
            PkiError::unusable(&key_path, what, REMEDY_KEY)
        })?;
        Ok(Self { key, facts })
    }
}

fn reason_to_renew(
    leaf: &CertificateDer<'_>,
    facts: &Facts,
    names: &HostNames,
    authority: &Authority,
    is_key_missing: bool,
    now: UnixTime,
) -> Option<&'static str> {
    if is_key_missing {
        return Some("its key was missing");
    }
    if facts.issuer_der != authority.facts.subject_der {
        return Some("the authority changed");
    }
    if facts.not_after_s < now.as_secs().saturating_add(RENEW_BEFORE_DAYS * DAY_S) {
        return Some("the old one was near its end");
    }
    if !names.are_in(leaf) {
        return Some("the machine's names or addresses changed");
    }
    None
}

fn sign(
    names: &HostNames,
    authority: &Authority,
    key: &KeyPair,
    now: UnixTime,
) -> Result<CertificateDer<'static>, PkiError> {
    let failed = |error: &dyn std::fmt::Display| {
        PkiError::crypto("sign the server's certificate", error.to_string())
    };
    let mut name = DistinguishedName::new();
    // By this mark a certificate of ours is told from one that the operator has put there, which is left alone.
    name.push(DnType::OrganizationName, authority::ORGANIZATION);
    name.push(DnType::OrganizationalUnitName, "Automatic");
    let common_name = names.names.first().map_or("localhost", String::as_str);
    name.push(DnType::CommonName, common_name);
    let now_s = now.as_secs();
    let not_after_s = now_s.saturating_add(VALIDITY_DAYS * DAY_S).min(authority.facts.not_after_s);
    let mut parameters = authority::leaf_parameters(name, now_s.saturating_sub(DAY_S), not_after_s)
        .map_err(|error| failed(&error))?;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.subject_alt_names = names.alternative_names();
    let certificate =
        parameters.signed_by(key, authority.issuer()).map_err(|error| failed(&error))?;
    Ok(certificate.into())
}

fn certificates(
    path: &std::path::Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let blocks = pem::known_blocks(path, bytes)?;
    let certificates = blocks.into_iter().filter(|block| block.kind == SectionKind::Certificate);
    Ok(certificates.map(|block| CertificateDer::from(block.der.to_vec())).collect())
}

fn read_chain(
    path: &std::path::Path,
    bytes: &[u8],
) -> Result<(CertificateDer<'static>, Facts), PkiError> {
    let first = certificates(path, bytes)?.into_iter().next();
    first
        .and_then(|leaf| Facts::of(&leaf).map(|facts| (leaf, facts)))
        .ok_or_else(|| PkiError::unusable(path, "holds no certificate", REMEDY_MISSING))
}

const SUBJECT_MARK: &str = "O=Countersign, OU=Automatic, CN=";
/// What scanners ask for (Mozilla's guideline: at most 366), below the 398 and 825 that operating systems accept.
const VALIDITY_DAYS: u64 = 365;
const RENEW_BEFORE_DAYS: u64 = 60;
const DNS_NAME_LENGTH_MAX: usize = 253;
const REMEDY_MISSING: &str = "put the server's certificate there, or name another file";
const REMEDY_KEY: &str = "put the certificate's own key there";
