//! What administration and logging in promise, tried on a real store in a temporary directory.

mod audit;
mod certificates;
mod durable;
mod escalation;
mod imported;
mod issuing;
mod last_admin;
mod logins;
mod measured;
mod policy_file;
mod protection;
mod registry;
mod registry_clients;
mod roles;
mod second_password;
mod storms;
mod tokens;
mod users;
mod uses;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pki::{Pki, UnixTime};
use store::Store;
use tempfile::TempDir;

use crate::model::{NewPermission, NewUser, PasswordChange, UserPatch};
use crate::pool::Source;
use crate::{
    Admin, AdminError, Caller, FirstAdmin, HashCost, LoginAttempt, LoginRefused, PeerAddress,
    ProtectionSettings, RefusalKind, Secret, Settings,
};

/// An administration over a temporary data directory.
pub(super) struct House {
    pub(super) admin: Admin,
    pub(super) dir: TempDir,
}

impl House {
    pub(super) async fn new(settings: Settings) -> House {
        let dir = TempDir::new().unwrap();
        let admin = open(dir.path(), settings).await.unwrap();
        House { admin, dir }
    }

    /// With `alice`, whose password is `alice-password`.
    pub(super) async fn with_alice() -> House {
        let house = House::new(cheap()).await;
        house.add("alice", "alice-password").await;
        house
    }

    /// The same directory in a new process, so to speak.
    pub(super) async fn restart(self, settings: Settings) -> House {
        let House { admin, dir } = self;
        admin.shared.store.close().await;
        drop(admin);
        let admin = open(dir.path(), settings).await.unwrap();
        House { admin, dir }
    }

    pub(super) async fn add(&self, name: &str, password: &str) {
        self.admin.create_user(&Caller::LocalOwner, new_user(name, password)).await.unwrap();
    }

    pub(super) async fn patch(&self, name: &str, json: &str) {
        let patch: UserPatch = serde_json::from_str(json).unwrap();
        self.admin.update_user(&Caller::LocalOwner, name, patch, None).await.unwrap();
    }

    pub(super) async fn set_password(&self, name: &str, password: &str) {
        let change = first(password);
        self.admin.set_password(&Caller::LocalOwner, name, change).await.unwrap();
    }

    pub(super) async fn login(&self, name: &str, password: &str) -> Result<String, RefusalKind> {
        login(&self.admin, Some(name), Some(password.as_bytes()))
            .await
            .map_err(|it| it.reason().kind)
    }

    /// Keeps the pool's only thread busy until the guard is dropped.
    pub(super) fn block_pool(&self) -> mpsc::Sender<()> {
        let (release, blocked) = mpsc::channel::<()>();
        let (started, is_started) = mpsc::channel::<()>();
        let job = Box::new(move |_: &mut crate::hash::Hasher| {
            started.send(()).unwrap();
            assert!(blocked.recv().is_err(), "the guard is dropped, not used");
        });
        assert_eq!(self.admin.shared.pool.submit(Source::Local, job), Ok(()));
        is_started.recv().unwrap();
        release
    }
}

pub(super) async fn open(dir: &Path, settings: Settings) -> Result<Admin, AdminError> {
    let store = Store::open(dir).await?;
    let pki = open_pki(dir);
    Ok(Admin::open(store, pki, settings, clock_ms).await?.admin)
}

/// The time of the test that runs on this thread; it stands still unless the test lets it pass.
fn clock_ms() -> u64 {
    CLOCK_MS.with(std::cell::Cell::get)
}

pub(super) fn let_pass_s(seconds: u64) {
    CLOCK_MS.with(|clock| clock.set(clock.get() + seconds * 1000));
}

thread_local! {
    static CLOCK_MS: std::cell::Cell<u64> = const { std::cell::Cell::new(NOW_MS) };
}

pub(super) fn open_pki(dir: &Path) -> Arc<Pki> {
    let settings = pki::Settings {
        files: pki::Files::in_directory(dir.join("certs")),
        names: pki::HostNames { names: vec!["localhost".to_owned()], addresses: Vec::new() },
        clock: Arc::new(StoppedClock),
    };
    Pki::open(settings, now()).unwrap().pki
}

pub(super) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(NOW_MS))
}

#[derive(Debug)]
struct StoppedClock;

impl pki::TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(now())
    }
}

pub(super) const NOW_MS: u64 = 1_795_399_382_123;

/// One hashing thread, hashes that cost next to nothing, and an administrator `admin`.
pub(super) fn cheap() -> Settings {
    let mut settings = Settings {
        first_admin: FirstAdmin::Password(Secret::from("admin-password")),
        hash_cost: HashCost { memory_kib: 64, passes: 1, lanes: 1 },
        // Many of the tests fail to log in, and often.
        protection: ProtectionSettings {
            failures_per_user: 0,
            failures_per_source: 0,
            ..ProtectionSettings::default()
        },
        ..Settings::default()
    };
    settings.hash_pool.threads = 1;
    settings.hash_pool.deadline = Duration::from_secs(60);
    settings
}

pub(super) fn new_user(name: &str, password: &str) -> NewUser {
    let json = serde_json::json!({ "username": name, "password": password });
    serde_json::from_value(json).unwrap()
}

pub(super) fn first(password: &str) -> PasswordChange {
    let json = serde_json::json!({ "password": password });
    serde_json::from_value(json).unwrap()
}

pub(super) fn allow(operation: &str, resource: &str) -> NewPermission {
    let json = serde_json::json!({ "operation": operation, "resource": resource });
    serde_json::from_value(json).unwrap()
}

/// The name of whoever it is.
pub(super) async fn login(
    admin: &Admin,
    username: Option<&str>,
    password: Option<&[u8]>,
) -> Result<String, LoginRefused> {
    let peer = PeerAddress::Network("192.0.2.1:1883".parse().unwrap());
    let attempt = LoginAttempt { username, password, certificate: None, peer };
    let proven = admin.login(attempt).await?;
    assert_eq!(admin.policy().load().standing(&proven), Ok(()), "a proof is good when it is given");
    Ok(proven.name().to_string())
}
