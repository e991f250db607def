//! Every way of changing the log behind the broker's back is found.

use serde_json::Map;
use tempfile::TempDir;

use super::*;
use crate::open::Store;
use crate::record::Change;

fn entry(chain: AuditChain, number: u64) -> Change {
    let mut details = Map::new();
    details.insert("target".to_owned(), Value::from(number));
    let (actor, action) = (format!("admin-{}", number % 2), "user.update".to_owned());
    Change::Record(AuditEntry { chain, at_ms: 1000 + number, actor, action, details })
}

async fn filled() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for number in 1..=9 {
        let changes = [entry(AuditChain::Changes, number), entry(AuditChain::Refusals, number)];
        store.commit(&changes).await.unwrap();
    }
    (dir, store)
}

async fn fault(store: &Store, anchors: &[AuditAnchor]) -> Option<AuditFault> {
    let verdicts = store.verify_audit(anchors).await.unwrap();
    let [changes, refusals] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert_eq!(refusals.fault, None, "only one chain was touched");
    changes.fault.clone()
}

#[tokio::test]
async fn a_chain_that_nobody_touched_is_good() {
    let (dir, store) = filled().await;
    assert_eq!(fault(&store, &[]).await, None);
    store.close().await;
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    store.commit(&[entry(AuditChain::Changes, 10)]).await.unwrap();
    assert_eq!(fault(&store, &[]).await, None);
    assert_eq!(store.verify_audit(&[]).await.unwrap()[0].records, 10);
}

#[tokio::test]
async fn whatever_is_done_to_a_record_is_found() {
    let check = async |damage: &'static str, says: &str| {
        let (_dir, store) = filled().await;
        for sql in damage.split(';') {
            let touched = sqlx::query(sql).execute(&store.pool).await.unwrap();
            assert!(touched.rows_affected() > 0, "{sql}");
        }
        let found = fault(&store, &[]).await.map(|fault| fault.to_string()).unwrap_or_default();
        assert!(found.contains(says), "{damage}: {found}");
    };
    let text = "UPDATE audit SET record = replace(record, '\"target\":4', '\"target\":5') \
         WHERE chain = 1 AND seq = 4";
    check(text, "record 4 was changed").await;
    check("UPDATE audit SET actor = 'x' WHERE chain = 1 AND seq = 4", "record 4 was changed").await;
    check("UPDATE audit SET at = 1 WHERE chain = 1 AND seq = 4", "record 4 was changed").await;
    check("UPDATE audit SET hash = 'x' WHERE chain = 1 AND seq = 4", "record 4 was changed").await;
    check("DELETE FROM audit WHERE chain = 1 AND seq = 4", "from 4 to 4 are missing").await;
    check("DELETE FROM audit WHERE chain = 1 AND seq > 6", "from 7 to 9 are missing").await;
    check("DELETE FROM audit WHERE chain = 1 AND seq < 4", "from 1 to 3 are missing").await;
    check("DELETE FROM audit WHERE chain = 1", "from 1 to 9 are missing").await;
    let swap = "UPDATE audit SET seq = 100 WHERE chain = 1 AND seq = 4;\
         UPDATE audit SET seq = 4 WHERE chain = 1 AND seq = 5;\
         UPDATE audit SET seq = 5 WHERE chain = 1 AND seq = 100";
    check(swap, "record 4 does not follow").await;
    let close_gap = "DELETE FROM audit WHERE chain = 1 AND seq = 4;\
         UPDATE audit SET seq = seq - 1 WHERE chain = 1 AND seq > 4;\
         UPDATE audit_heads SET seq = 8 WHERE chain = 1";
    check(close_gap, "record 4 does not follow").await;
    let added = "INSERT INTO audit SELECT chain, 10, at, actor, action, record, hash FROM audit \
         WHERE chain = 1 AND seq = 9";
    check(added, "record 10 stands behind").await;
    let cut = "DELETE FROM audit WHERE chain = 1 AND seq > 6;\
         UPDATE audit_heads SET seq = 6 WHERE chain = 1";
    check(cut, "remembered end").await;
    let oldest = "DELETE FROM audit WHERE chain = 1 AND seq < 4;\
         UPDATE audit_heads SET given_up = 3 WHERE chain = 1";
    check(oldest, "record 4 does not follow").await;
}

#[tokio::test]
async fn a_chain_that_was_made_anew_is_found_by_a_head_that_was_kept_elsewhere() {
    let (_dir, store) = filled().await;
    let head = store.audit_heads().await.unwrap().swap_remove(0);
    let kept = AuditAnchor { chain: head.chain, seq: head.seq, hash: head.hash };
    assert_eq!(fault(&store, std::slice::from_ref(&kept)).await, None);
    for sql in [
        "DELETE FROM audit WHERE chain = 1 AND seq > 6",
        "UPDATE audit_heads SET seq = 6, hash = (SELECT hash FROM audit WHERE chain = 1 AND seq = 6) \
         WHERE chain = 1",
    ] {
        sqlx::query(sql).execute(&store.pool).await.unwrap();
    }
    assert_eq!(fault(&store, &[]).await, None, "this cannot be seen from the file alone");
    let found = fault(&store, std::slice::from_ref(&kept)).await;
    assert_eq!(found, Some(AuditFault::Anchor { seq: 9 }));
    for number in [107, 108, 109, 110] {
        store.commit(&[entry(AuditChain::Changes, number)]).await.unwrap();
    }
    assert_eq!(fault(&store, &[kept]).await, Some(AuditFault::Anchor { seq: 9 }));
}

#[tokio::test]
async fn old_records_are_given_up_and_the_chain_says_so() {
    let (_dir, store) = filled().await;
    for number in 10..1030 {
        let mut tx = store.pool.begin().await.unwrap();
        let Change::Record(entry) = entry(AuditChain::Changes, number) else { panic!() };
        let seq = append_one(&mut tx, &entry).await.unwrap();
        give_up_old(&mut tx, AuditChain::Changes, seq, 5, 20).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(fault(&store, &[]).await, None);
    let head = store.audit_heads().await.unwrap().swap_remove(0);
    assert_eq!(head.given_up, 1000);
    let verdict = store.verify_audit(&[]).await.unwrap().swap_remove(0);
    assert_eq!(verdict.records, 1030 - 1000);
    // Whoever removes more, and lets the heads say so, is found.
    for sql in [
        "UPDATE audit_heads SET given_up = 1010, given_up_hash = \
         (SELECT hash FROM audit WHERE chain = 1 AND seq = 1010) WHERE chain = 1",
        "DELETE FROM audit WHERE chain = 1 AND seq <= 1010",
    ] {
        sqlx::query(sql).execute(&store.pool).await.unwrap();
    }
    assert_eq!(fault(&store, &[]).await, Some(AuditFault::GivenUp { through: 1010 }));
}

#[tokio::test]
async fn a_change_that_fails_leaves_no_record() {
    let (_dir, store) = filled().await;
    let changes = [entry(AuditChain::Changes, 10), Change::Initialized, Change::Initialized];
    store.commit(&changes).await.unwrap_err();
    assert_eq!(store.audit_heads().await.unwrap()[0].seq, 9);
    assert_eq!(fault(&store, &[]).await, None);
}

#[tokio::test]
async fn records_are_found_by_what_they_say() {
    let (_dir, store) = filled().await;
    let check = async |query: AuditQuery, total: u64, first: Option<u64>| {
        let page = store.audit_page(&AuditQuery { limit: 2, ..query.clone() }).await.unwrap();
        let seq = page.rows.first().map(|row| {
            let record: Value = serde_json::from_str(&row.record).unwrap();
            record["seq"].as_u64().unwrap()
        });
        assert_eq!((page.total, seq), (total, first), "{query:?}");
    };
    let all = AuditQuery { chain: Some(AuditChain::Changes), ..AuditQuery::default() };
    let actor = |name: &str| Some(name.to_owned());
    check(AuditQuery::default(), 18, Some(9)).await;
    check(all.clone(), 9, Some(9)).await;
    check(AuditQuery { order: AuditOrder::Oldest, ..all.clone() }, 9, Some(1)).await;
    check(AuditQuery { actor: actor("admin-0"), ..all.clone() }, 4, Some(8)).await;
    check(AuditQuery { actor: actor("admin"), ..all.clone() }, 0, None).await;
    check(AuditQuery { action: actor("user"), ..all.clone() }, 9, Some(9)).await;
    check(AuditQuery { action: actor("user.update"), ..all.clone() }, 9, Some(9)).await;
    check(AuditQuery { action: actor("use"), ..all.clone() }, 0, None).await;
    check(AuditQuery { from_ms: Some(1003), to_ms: Some(1005), ..all.clone() }, 2, Some(4)).await;
    let after = AuditQuery { after_seq: Some(7), order: AuditOrder::Oldest, ..all.clone() };
    check(after, 2, Some(8)).await;
    check(AuditQuery { skip: 8, ..all }, 9, Some(1)).await;
}
