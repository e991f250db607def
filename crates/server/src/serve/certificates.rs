//! Opens the certificates and keys, watches their files, and says what the operator should know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pki::{Changed, Expiring, Files, HostNames, Note, Opened, Pki, PkiError, Settings};
use tokio::time::MissedTickBehavior;

use super::clock::{self, CertificateClock};
use super::error::ServeError;
use crate::config::PkiFiles;

/// Opens what is there and makes what is missing.
///
/// # Errors
/// A file is unusable or cannot be made.
pub(crate) async fn open(config: &PkiFiles, data_dir: &Path) -> Result<Arc<Pki>, ServeError> {
    let settings = Settings {
        files: files(config, data_dir),
        names: HostNames::of_this_machine(&config.server_names),
        clock: Arc::new(CertificateClock),
    };
    let opening = move || Pki::open(settings, clock::certificate_time());
    let refuse = |reason: String| ServeError::Pki(reason.replace('\n', "; "));
    match tokio::task::spawn_blocking(opening).await {
        Ok(Ok(Opened { pki, notes })) => {
            say(&notes);
            Ok(pki)
        }
        Ok(Err(error)) => Err(refuse(error.to_string())),
        Err(panicked) => Err(refuse(panicked.to_string())),
    }
}

/// Takes changed files into use, renews what is ours before it ends, and tells daily what ends soon. Live
/// connections are judged again by their shards, which see that something changed.
pub(crate) async fn watch(pki: Arc<Pki>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0_u64;
    loop {
        ticks.tick().await;
        looks = looks.wrapping_add(1);
        let done = if looks.is_multiple_of(LOOKS_TO_MAINTAIN) {
            on_files(&pki, |pki| pki.maintain(clock::certificate_time()).map(Some)).await
        } else {
            on_files(&pki, |pki| pki.poll(clock::certificate_time())).await
        };
        match done {
            Ok(None) => {}
            Ok(Some(changed)) => say_changed(&changed, looks),
            Err(error) => tracing::error!(
                %error,
                "certificates: changed files are not taken into use; what was in force stays"
            ),
        }
    }
}

async fn on_files(
    pki: &Arc<Pki>,
    work: impl FnOnce(&Pki) -> Result<Option<Changed>, PkiError> + Send + 'static,
) -> Result<Option<Changed>, PkiError> {
    let pki = Arc::clone(pki);
    // The runtime ends it only with the whole process.
    tokio::task::spawn_blocking(move || work(&pki)).await.unwrap_or(Ok(None))
}

fn say_changed(changed: &Changed, looks: u64) {
    let Changed { bundle, revocations, server_certificate, authority, notes } = changed;
    if *bundle || *revocations || *server_certificate || *authority {
        tracing::info!(
            bundle,
            revocations,
            server_certificate,
            authority,
            "certificates: changed files are in use"
        );
    }
    // What ends soon is noted at every look; once a day is enough to hear of it.
    let is_daily = looks.is_multiple_of(LOOKS_TO_TELL);
    let told = |note: &&Note| is_daily || !matches!(note, Note::Expiring(_));
    say(&notes.iter().filter(told).cloned().collect::<Vec<_>>());
}

fn say(notes: &[Note]) {
    for note in notes {
        match note {
            Note::AuthorityMade { .. }
            | Note::AuthorityRestored { .. }
            | Note::ServerCertificateMade { .. } => tracing::info!("certificates: {note}"),
            Note::Expiring(Expiring { path, subject, not_after_s }) => {
                let days = not_after_s.saturating_sub(clock::certificate_time().as_secs()) / DAY_S;
                tracing::warn!(
                    file = %path.display(), subject, not_after_s, days_left = days,
                    "certificates: ends soon"
                );
            }
            Note::AuthorityOutsideValidity { .. }
            | Note::AuthorityRevoked { .. }
            | Note::AuthorityNotTrusted { .. }
            | Note::RevocationListOutdated { .. }
            | Note::RevocationListMovedAside { .. }
            | Note::KeyOpenToOthers { .. } => tracing::warn!("certificates: {note}"),
        }
    }
}

fn files(config: &PkiFiles, data_dir: &Path) -> Files {
    let pair = config.server_certificate_file.clone().zip(config.server_key_file.clone());
    Files {
        directory: data_dir.join(DIRECTORY),
        bundle: config.ca_file.clone(),
        authority_key: config.ca_key_file.clone(),
        server: pair,
        crls: config.crl_files.iter().map(PathBuf::from).collect(),
    }
}

const DIRECTORY: &str = "certs";
/// A changed file must hold still for one look, so that it counts within half a second.
const LOOK: Duration = Duration::from_millis(200);
/// Every hour.
const LOOKS_TO_MAINTAIN: u64 = 5 * 3600;
/// Every day.
const LOOKS_TO_TELL: u64 = 24 * LOOKS_TO_MAINTAIN;
const DAY_S: u64 = 86_400;
