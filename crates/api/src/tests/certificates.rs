//! Certificates: `/api/users/{id}/certificates`, `/api/certificates`, `/api/ca.crt`, `/api/crl.pem`.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use super::fixture::{Api, Call, Reply};

/// An API with `machine`, who logs in by certificate; and the path of its certificates.
async fn api() -> (Api, String) {
    let api = Api::new().await;
    let user = api.make("/api/users", json!({"username": "machine"})).await;
    (api, format!("{user}/certificates"))
}

async fn issue(api: &Api, path: &str, body: Value) -> Reply {
    let reply = api.call(&format!("POST {path}"), Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply
}

fn csr(common_name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

#[tokio::test]
async fn an_issued_certificate_comes_with_its_key_once_and_is_kept_by_nobody() {
    let (api, path) = api().await;
    let reply = issue(&api, &path, json!({"days": 30})).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-type"), "application/json");
    let body = &reply.body;
    for (field, begin) in [
        ("certificate", "-----BEGIN CERTIFICATE-----"),
        ("key", "-----BEGIN PRIVATE KEY-----"),
        ("ca", "-----BEGIN CERTIFICATE-----"),
    ] {
        assert!(body[field].as_str().unwrap().starts_with(begin), "{field}");
    }
    assert!(body.get("p12").is_none());
    assert_eq!((&body["username"], &body["status"]), (&json!("machine"), &json!("valid")));
    let shown = api.get(reply.header("location")).await;
    assert_eq!(shown.body["fingerprint"], body["fingerprint"]);
    let user = path.strip_suffix("/certificates").unwrap();
    for path in [path.as_str(), "/api/certificates", user, "/api/users"] {
        let text = api.get(path).await.text;
        assert!(text.contains(body["fingerprint"].as_str().unwrap()), "{path}");
        assert!(!text.contains("PRIVATE"), "{path} shows no key");
    }
    let certificates = api.get(user).await.body["certificates"].clone();
    assert_eq!(certificates[0]["expiresAt"], body["expiresAt"]);
    assert_eq!(certificates[0]["revokedAt"], Value::Null);
}

#[tokio::test]
async fn a_signing_request_is_answered_without_a_key() {
    let (api, path) = api().await;
    let body = issue(&api, &path, json!({"csr": csr("machine")})).await.body;
    assert!(body.get("key").is_none() && body.get("p12").is_none());
    assert_eq!(body["origin"], "signed");
    let line = format!("POST {path}");
    let refused = async |body: Value, field| {
        api.check_refused(&line, Some(body), (400, Some(field))).await;
    };
    refused(json!({"csr": csr("other")}), "csr").await;
    refused(json!({"csr": ""}), "csr").await;
    refused(json!({"csr": csr("machine"), "p12Password": "long-enough"}), "p12Password").await;
    refused(json!({"p12Password": "short"}), "p12Password").await;
    refused(json!({"days": 0}), "days").await;
    refused(json!({"days": 4000}), "days").await;
    refused(json!({"days": -1}), "days").await;
    refused(json!({"day": 1}), "day").await;
}

#[tokio::test]
async fn a_pkcs12_file_comes_in_base64() {
    let (api, path) = api().await;
    let body = issue(&api, &path, json!({"p12Password": "long-enough"})).await.body;
    assert!(body["p12"].as_str().unwrap().starts_with("MII"), "DER of a sequence");
}

#[tokio::test]
async fn who_may_not_use_it_gets_none() {
    let (api, path) = api().await;
    let bob = api.make("/api/users", json!({"username": "bob", "password": "bob-password"})).await;
    let reply = api.call(&format!("POST {bob}/certificates"), Some(json!({}))).await;
    assert_eq!(reply.status, 409);
    assert!(reply.body["detail"].as_str().unwrap().contains("--grant-type certificate"));
    let nobody = "POST /api/users/00000000-0000-4000-8000-000000000000/certificates";
    api.check_refused(nobody, Some(json!({})), (404, None)).await;
    for line in [&format!("GET {path}"), "GET /api/certificates", &format!("DELETE {path}/ab")] {
        let call = Call { is_anonymous: true, ..Call::default() };
        assert_eq!(api.send(line, call).await.status, 401, "{line}");
    }
}

#[tokio::test]
async fn a_certificate_is_revoked_under_its_user_or_by_itself() {
    let (api, path) = api().await;
    let bob = api.make("/api/users", json!({"username": "bob"})).await;
    let body = issue(&api, &path, json!({})).await.body;
    let fingerprint = body["fingerprint"].as_str().unwrap();
    let crl_before = api.get("/api/crl.pem").await.text;
    api.check_refused(&format!("DELETE {bob}/certificates/{fingerprint}"), None, (404, None)).await;
    for _ in 0..2 {
        let reply = api.call(&format!("DELETE {path}/{fingerprint}"), None).await;
        assert_eq!(reply.status, 204);
    }
    assert_ne!(api.get("/api/crl.pem").await.text, crl_before);
    let shown = api.get(&path).await.body["items"][0].clone();
    assert_eq!(
        (&shown["status"], &shown["revocationReason"]),
        (&json!("revoked"), &json!("unspecified"))
    );
    let serial = issue(&api, &path, json!({})).await.body["serial"].as_str().unwrap().to_owned();
    let reply =
        api.call(&format!("DELETE /api/certificates/{}", serial.to_uppercase()), None).await;
    assert_eq!(reply.status, 204);
    api.check_refused("DELETE /api/certificates/abcd", None, (404, None)).await;
}

#[tokio::test]
async fn the_list_is_paged_and_finds_what_ends_soon() {
    let (api, path) = api().await;
    for days in [5, 400] {
        issue(&api, &path, json!({"days": days})).await;
    }
    let check = async |query: &str, total: u64| {
        let body = api.get(&format!("/api/certificates{query}")).await.body;
        assert_eq!(body["total"], total, "{query}");
        body
    };
    check("", 2).await;
    let page = check("?rowsPerPage=1&pageNumber=2", 2).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let soon = check("?expiringWithinDays=30", 1).await;
    assert_eq!(soon["items"][0]["expiresSoon"], true);
    check("?username%5Beq%5D=machine", 2).await;
    check("?username%5Beq%5D=admin", 0).await;
    api.check_refused("GET /api/certificates?rowsPerPage=101", None, (400, Some("rowsPerPage")))
        .await;
    api.check_refused("GET /api/certificates?expiring=1", None, (400, Some("expiring"))).await;
}

#[tokio::test]
async fn authority_and_revocation_list_are_public() {
    let (api, _) = api().await;
    let check = async |path: &str, content_type: &str, begin: &str| {
        let call = Call { is_anonymous: true, ..Call::default() };
        let reply = api.send(&format!("GET {path}"), call).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), content_type);
        assert!(reply.text.starts_with(begin), "{}", reply.text);
    };
    let chain = "application/pem-certificate-chain";
    check("/api/ca.crt", chain, "-----BEGIN CERTIFICATE-----").await;
    check("/api/crl.pem", "application/x-pem-file", "-----BEGIN X509 CRL-----").await;
}
