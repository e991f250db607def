//! Going through the chains: whether every record is there, in its place and as it was written.
//!
//! What cannot be seen from here: a chain that somebody who may write the database file has made anew from some record on,
//! heads included, and an old copy of the whole file. For that, keep a head elsewhere, and have it looked for: it is an
//! [`AuditAnchor`].

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::{
    ACTION, ACTOR, AT, AuditChain, AuditHead, GIVEN_UP, NO_HASH, PREVIOUS, SEQ, THROUGH,
    THROUGH_HASH, hash_of, read,
};
use crate::error::StoreError;
use crate::open::Store;

/// A record that is known to have been there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAnchor {
    /// Its chain.
    pub chain: AuditChain,
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// What going through a chain has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainVerdict {
    /// Its end, as it is remembered.
    pub head: AuditHead,
    /// How many records were read.
    pub records: u64,
    /// The first thing that is wrong.
    pub fault: Option<AuditFault>,
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// A record is not what it was.
    #[error("record {seq} was changed: {what}")]
    Changed {
        /// Its number.
        seq: u64,
        /// What does not fit.
        what: String,
    },
    /// Records are gone.
    #[error("records from {from} to {to} are missing")]
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// There are records after the end.
    #[error("record {seq} stands behind the remembered end of the chain")]
    Added {
        /// The number of the first of them.
        seq: u64,
    },
    /// A record does not follow the one before it.
    #[error("record {seq} does not follow the record before it")]
    Broken {
        /// Its number.
        seq: u64,
    },
    /// The remembered end is not that of the last record.
    #[error("the remembered end of the chain is not its last record")]
    Head,
    /// The oldest records were not given up by the broker.
    #[error("the oldest records, up to {through}, were removed, and the chain does not say so")]
    GivenUp {
        /// The number of the last of them.
        through: u64,
    },
    /// A record that was there is not there, or another one.
    #[error("record {seq} is not the one that is expected")]
    Anchor {
        /// Its number.
        seq: u64,
    },
}

impl Store {
    /// Goes through both chains as they are at this moment, and looks for the expected records.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn verify_audit(
        &self,
        anchors: &[AuditAnchor],
    ) -> Result<Vec<ChainVerdict>, StoreError> {
        let failed = |error| self.error("read", error);
        let mut tx = self.readers.begin().await.map_err(failed)?;
        let sql = "SELECT * FROM audit_heads ORDER BY chain";
        let rows = sqlx::query(sql).fetch_all(&mut *tx).await.map_err(failed)?;
        let heads = self.each(rows, |row| read::head(&row))?;
        let mut verdicts = Vec::new();
        for chain in AuditChain::ALL {
            let Some(head) = heads.iter().find(|head| head.chain == chain) else {
                return Err(self.corrupt(format!("the end of chain `{}` is gone", chain.word())));
            };
            let anchors = anchors.iter().filter(|anchor| anchor.chain == chain);
            let mut walk = Walk::new(head, anchors.collect());
            while let Some(rows) = chunk(&mut tx, &walk).await.map_err(failed)? {
                rows.iter().for_each(|row| walk.step(row));
            }
            verdicts.push(walk.end());
        }
        Ok(verdicts)
    }
}

async fn chunk(
    tx: &mut Transaction<'_, Sqlite>,
    walk: &Walk<'_>,
) -> Result<Option<Vec<SqliteRow>>, sqlx::Error> {
    if walk.fault.is_some() {
        return Ok(None);
    }
    let sql = "SELECT seq, at, actor, action, record, hash FROM audit \
         WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT 1000";
    let rows = sqlx::query(sql)
        .bind(walk.head.chain.number())
        .bind(walk.row_seq)
        .fetch_all(&mut **tx)
        .await?;
    Ok(Some(rows).filter(|rows| !rows.is_empty()))
}

struct Walk<'a> {
    head: &'a AuditHead,
    anchors: Vec<&'a AuditAnchor>,
    /// Number of the last row that was looked at.
    row_seq: i64,
    /// Number and hash of the last good record.
    seq: u64,
    hash: String,
    records: u64,
    /// What the chain itself says of records that were given up.
    given_up: (u64, String),
    fault: Option<AuditFault>,
}

impl<'a> Walk<'a> {
    fn new(head: &'a AuditHead, anchors: Vec<&'a AuditAnchor>) -> Walk<'a> {
        Walk {
            head,
            anchors,
            row_seq: i64::MIN,
            seq: head.given_up,
            hash: head.given_up_hash.clone(),
            records: 0,
            given_up: (0, NO_HASH.to_owned()),
            fault: None,
        }
    }

    fn step(&mut self, row: &SqliteRow) {
        self.row_seq = row.try_get(0).unwrap_or(i64::MAX);
        if self.fault.is_none() {
            self.fault = self.look(row).err();
        }
    }

    fn look(&mut self, row: &SqliteRow) -> Result<(), AuditFault> {
        let next = self.seq.saturating_add(1);
        let seq = u64::try_from(self.row_seq).unwrap_or_default();
        let changed = |what: &str| AuditFault::Changed { seq, what: what.to_owned() };
        if seq != next {
            return Err(match seq.checked_sub(1) {
                Some(to) if to >= next => AuditFault::Missing { from: next, to },
                _ => AuditFault::Added { seq },
            });
        }
        if seq > self.head.seq {
            return Err(AuditFault::Added { seq });
        }
        let text: &str = row.try_get(4).map_err(|_| changed("it is no text"))?;
        let hash: String = row.try_get(5).map_err(|_| changed("its hash is no text"))?;
        if hash_of(text) != hash {
            return Err(changed("its text does not have its hash"));
        }
        let record: Value = serde_json::from_str(text).map_err(|_| changed("it is no JSON"))?;
        let field = |name: &str| record.get(name).cloned().unwrap_or_default();
        if field(PREVIOUS) != *self.hash || field(SEQ) != seq {
            return Err(AuditFault::Broken { seq });
        }
        let copies = row.try_get::<i64, _>(1).is_ok_and(|at| field(AT) == at)
            && row.try_get::<&str, _>(2).is_ok_and(|actor| field(ACTOR) == actor)
            && row.try_get::<&str, _>(3).is_ok_and(|action| field(ACTION) == action);
        if !copies {
            return Err(changed("what it is searched by is not what it says"));
        }
        if self.anchors.iter().any(|anchor| anchor.seq == seq && anchor.hash != hash) {
            return Err(AuditFault::Anchor { seq });
        }
        if field(ACTION) == GIVEN_UP {
            let hash = field(THROUGH_HASH).as_str().unwrap_or_default().to_owned();
            self.given_up = (field(THROUGH).as_u64().unwrap_or_default(), hash);
        }
        (self.seq, self.hash) = (seq, hash);
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    fn end(self) -> ChainVerdict {
        let fault = self.fault.clone().or_else(|| self.fault_at_end());
        ChainVerdict { head: self.head.clone(), records: self.records, fault }
    }

    fn fault_at_end(&self) -> Option<AuditFault> {
        let head = self.head;
        if self.seq < head.seq {
            return Some(AuditFault::Missing { from: self.seq.saturating_add(1), to: head.seq });
        }
        if self.hash != head.hash {
            return Some(AuditFault::Head);
        }
        if self.given_up != (head.given_up, head.given_up_hash.clone()) {
            return Some(AuditFault::GivenUp { through: head.given_up });
        }
        // An expected record may have been given up; what lies beyond the end was there and is not any more.
        let beyond = self.anchors.iter().find(|anchor| anchor.seq > head.seq);
        beyond.map(|anchor| AuditFault::Anchor { seq: anchor.seq })
    }
}
