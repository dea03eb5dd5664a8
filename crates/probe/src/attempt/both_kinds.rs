//! Answers about the kind of address that no private endpoint has.

use super::*;

/// A good IPv4 answer, and this one where IPv6 is asked for; `None` is silence.
async fn with_ipv6(code: Option<ResponseCode>, address: Option<&'static str>) -> Attempt {
    let resolver = dns(move |question, _| {
        if question.queries[0].query_type == RecordType::A {
            return private(question);
        }
        let records: Vec<(&str, &str)> = address.map(|a| (FQDN, a)).into_iter().collect();
        reply(question, code?, &records)
    });
    look(&with_resolver(resolver, true).await, AMPLE).await
}

/// A forwarder that sends only one kind of question to the private zone.
#[tokio::test]
async fn an_ipv6_address_beside_the_endpoints_fails_at_dns() {
    let good = Some(ResponseCode::NoError);
    for stranger in ["2603:1030::1", "fd00::4", "64:ff9b::14.60.1.1", "::ffff:20.60.1.1"] {
        let found = with_ipv6(good, Some(stranger)).await;
        assert_stopped(&found, Failed, Hop::Dns, "clients that prefer IPv6 go there");
        assert_eq!(found.addresses.len(), 2, "{found:?}");
    }
    for same in ["64:ff9b::10.1.0.4", "::ffff:10.1.0.4"] {
        let found = with_ipv6(good, Some(same)).await;
        assert_eq!((found.outcome, found.addresses.len()), (Succeeded, 1), "{found:?}");
    }
}

#[tokio::test]
async fn no_answer_about_ipv6_fails_nothing_and_is_not_waited_for_long() {
    for code in [
        ResponseCode::NoError,
        ResponseCode::NXDomain,
        ResponseCode::ServFail,
        ResponseCode::Refused,
    ] {
        let found = with_ipv6(Some(code), None).await;
        assert_eq!(found.outcome, Succeeded, "{code}: {found:?}");
    }
    let start = Instant::now();
    let found = with_ipv6(None, None).await;
    assert_eq!(found.outcome, Succeeded, "{found:?}");
    assert!(start.elapsed() < AMPLE / 4, "{:?}", start.elapsed());
}
