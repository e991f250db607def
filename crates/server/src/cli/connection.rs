//! Which server a command talks to.

use std::path::PathBuf;

use super::failure::Failure;
use super::tls::Trust;

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The admin socket of a data directory on this machine; who may open it is the owner.
    Socket {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The REST API over TLS, as the holder of a token.
    Https {
        /// `host` or `host:port`, with an IPv6 address in brackets.
        authority: String,
        /// The bearer token; none to get one.
        token: Option<String>,
        /// Who is trusted to name the server.
        trust: Trust,
    },
}

/// Whether a command has to show a token to a server that is named by a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenNeed {
    /// It has.
    Bearer,
    /// It asks for one.
    None,
}

impl Target {
    /// Decides from the global options: `--url` goes before `--data-dir`.
    pub(super) fn resolve(
        url: Option<String>,
        token: Option<String>,
        trust: Trust,
        need: TokenNeed,
    ) -> Result<Target, Failure> {
        // A variable that is set to nothing is a variable that is not set.
        let Some(url) = url.filter(|url| !url.is_empty()) else {
            return Ok(Target::Socket { data_dir: trust.data_dir });
        };
        let authority = parse_url(&url)?;
        let token = match need {
            TokenNeed::Bearer => token.filter(|token| !token.is_empty()),
            TokenNeed::None => None,
        };
        if token.is_none() && need == TokenNeed::Bearer {
            return Err(Failure::Usage(format!(
                "`{url}` needs a token: give `--token` or set COUNTERSIGN_TOKEN (`countersign login` gets one)"
            )));
        }
        Ok(Target::Https { authority, token, trust })
    }
}

fn parse_url(url: &str) -> Result<String, Failure> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    if lower.starts_with("http://") {
        // The API has no listener without TLS, and a token sent in the clear is a token given away.
        return Err(Failure::Usage(format!(
            "`{url}` would send the token in the clear: use https://"
        )));
    }
    let rest = match lower.as_str() {
        "https://" => url.get(8..).unwrap_or_default(),
        _ => return Err(bad_url(url)),
    };
    let authority = rest.trim_end_matches('/');
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    if authority.is_empty() || !authority.chars().all(is_plain) {
        return Err(bad_url(url));
    }
    Ok(authority.to_owned())
}

fn bad_url(url: &str) -> Failure {
    Failure::Usage(format!(
        "`{url}` is not a server's address: write https://HOST or https://HOST:PORT"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: (Option<&str>, Option<&str>), expected: Result<Target, &str>) {
        let (url, token) = options;
        let target =
            Target::resolve(url.map(Into::into), token.map(Into::into), trust(), TokenNeed::Bearer);
        match (target, expected) {
            (Ok(target), Ok(expected)) => assert_eq!(target, expected),
            (Err(failure @ Failure::Usage(_)), Err(part)) => {
                assert!(failure.to_string().contains(part), "{failure}");
            }
            (target, _) => panic!("{target:?}"),
        }
    }

    fn trust() -> Trust {
        Trust { ca_file: None, data_dir: "d".into() }
    }

    #[test]
    fn a_login_needs_no_token() {
        let url = || Some("https://host".to_owned());
        let target = Target::resolve(url(), Some("t".to_owned()), trust(), TokenNeed::None);
        let expected = Target::Https { authority: "host".to_owned(), token: None, trust: trust() };
        assert_eq!(target.unwrap(), expected);
    }

    fn socket() -> Result<Target, &'static str> {
        Ok(Target::Socket { data_dir: "d".into() })
    }

    fn https(authority: &str) -> Result<Target, &'static str> {
        let token = Some("t".to_owned());
        Ok(Target::Https { authority: authority.to_owned(), token, trust: trust() })
    }

    #[test]
    fn without_a_url_it_is_the_data_directory() {
        check((None, None), socket());
        check((Some(""), Some("t")), socket());
    }

    #[test]
    fn a_token_alone_changes_nothing() {
        check((None, Some("t")), socket());
    }

    #[test]
    fn a_url_goes_before_a_data_directory() {
        check((Some("https://host"), Some("t")), https("host"));
        check((Some("HTTPS://[::1]:8443/"), Some("t")), https("[::1]:8443"));
    }

    #[test]
    fn a_url_without_a_token_is_wrong_usage() {
        check((Some("https://host"), None), Err("--token"));
        check((Some("https://host"), Some("")), Err("--token"));
    }

    #[test]
    fn a_token_never_goes_in_the_clear() {
        check((Some("http://host"), Some("t")), Err("in the clear"));
        check((Some("HTTP://host"), Some("t")), Err("in the clear"));
    }

    #[test]
    fn what_is_no_address_is_said() {
        for url in [
            "host",
            "https://",
            "https://user@host",
            "https://host/path",
            "ftp://host",
            "https://a b",
        ] {
            check((Some(url), Some("t")), Err("is not a server's address"));
        }
    }
}
