//! The OpenAPI document: what is committed is what the handlers say.

use std::path::Path;

use crate::openapi;

/// The file is written by `UPDATE_DOCS=1 cargo nextest run -p api document`.
#[test]
fn the_committed_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut document = serde_json::to_string_pretty(&openapi()).unwrap();
    document.push('\n');
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/openapi.json is out of date: run with UPDATE_DOCS=1");
}

#[test]
fn the_document_describes_itself_and_who_may_ask() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/openapi.json"]["get"].is_object());
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert_eq!(document["security"][0]["bearer"], serde_json::json!([]));
    for (path, method) in [
        ("/api/login", "post"),
        ("/api/client-registry/register", "post"),
        ("/healthz", "get"),
        ("/api/ca.crt", "get"),
    ] {
        let security = &document["paths"][path][method]["security"];
        assert_eq!(*security, serde_json::json!([{}]), "{path} needs no token");
    }
}
