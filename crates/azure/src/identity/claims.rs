//! Who we are, from the claims of our own ARM token. Its signature is the server's business: nothing is granted by this.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sreg_domain::seen::Principal;

/// Object id and tenant from a token's claims; `None` where it is no JWT or lacks one of them.
pub(crate) fn principal_of(token: &str) -> Option<Principal> {
    let payload = token.split('.').nth(1)?;
    let json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()?;
    let claim = |name: &str| json[name].as_str().filter(|v| !v.is_empty()).map(str::to_owned);
    Some(Principal {
        object_id: claim("oid")?,
        tenant_id: claim("tid")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_and_nonsense_is_none() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let who = principal_of(&token(r#"{"oid":"o","tid":"t","upn":"x"}"#)).unwrap();
        assert_eq!((who.object_id.as_str(), who.tenant_id.as_str()), ("o", "t"));
        for nonsense in [
            "",
            "opaque",
            "a.b.c",
            "a.!!.c",
            &token("[]"),
            &token(r#"{"oid":"o"}"#),
            &token(r#"{"oid":1,"tid":2}"#),
        ] {
            assert_eq!(principal_of(nonsense), None, "{nonsense}");
        }
    }
}
