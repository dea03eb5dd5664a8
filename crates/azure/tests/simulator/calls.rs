//! What becomes of a call that fails: rights, locks, throttling, lost answers, failed operations.

use std::time::Duration;

use azure_sim::FaultEffect;
use azure_sim::journal::Entry;
use sreg_domain::seen::{IgnoranceKind, OperationState};
use sreg_domain::{AzureAction, Disposition, Effect, EndpointGroup, StepKind};

use crate::simulated::*;
use crate::steps::*;

#[tokio::test]
async fn a_failed_operation_has_the_deepest_code_by_either_url() {
    let mut bench = Bench::new();
    let nested = |code: &str, inner: Option<&str>| FaultEffect::FailOperation {
        code: code.into(),
        message: "said".into(),
        nested: inner.map(str::to_owned),
    };
    let endpoints = "privateEndpoints/sreg-contosoreg";
    bench.simulator.inject(fault(
        "PUT",
        endpoints,
        nested("RetryableError", Some("ReferencedResourceNotProvisioned")),
    ));
    let create = create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
    let failure = failed(&mut bench, create.clone()).await;
    assert_eq!(failure.code.as_deref(), Some("ReferencedResourceNotProvisioned"));
    assert!(matches!(failure.disposition(), Disposition::Wait(_)));
    // The endpoint is left behind, failed; the same action completes it.
    bench.complete(create).await;

    bench
        .complete(AzureAction::CreateZone {
            id: zone(EndpointGroup::Blob),
            tags: Default::default(),
            owner: OWNER.into(),
        })
        .await;
    bench
        .simulator
        .inject(fault("PUT", "virtualNetworkLinks", nested("BadRequest", None)));
    let failure = failed(&mut bench, link(EndpointGroup::Blob, "hub")).await;
    assert_eq!(
        (failure.code.as_deref(), failure.disposition()),
        (Some("BadRequest"), Disposition::Terminal)
    );
}

async fn failed(bench: &mut Bench, action: AzureAction) -> sreg_domain::CallFailure {
    let Ok(Effect::Started(operation)) = bench.carry_out(action).await else {
        panic!("not started")
    };
    bench.known.operations = vec![operation];
    let azure = bench.observe().await;
    bench.known.operations.clear();
    match &azure.operations[0].state {
        OperationState::Failed(failure) => failure.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_and_the_call_sent_again() {
    let bench = Bench::new();
    bench.simulator.inject(fault(
        "GET",
        "registries/contosoreg?",
        status(401, "InvalidAuthenticationToken", None),
    ));
    assert!(
        bench
            .observe()
            .await
            .registry_details()
            .unwrap()
            .managed_resource_group
            .is_some()
    );
    let records = bench.simulator.records_since(0);
    let tokens = records
        .iter()
        .filter(|r| matches!(&r.entry, Entry::Request(q) if q.path.ends_with("/token")))
        .count();
    assert_eq!(tokens, 2);
}

/// A network that is peered across tenants, or a subscription that moved to another one: a new token is refused as well.
#[tokio::test]
async fn a_token_is_kept_where_a_resource_belongs_to_another_tenant() {
    let bench = Bench::new();
    bench.simulator.inject(fault(
        "GET",
        "registries/contosoreg?",
        status(401, "InvalidAuthenticationTokenTenant", None),
    ));
    let azure = bench.observe().await;
    let why = azure.registry().ignorance().expect("not known");
    assert_eq!(
        (why.kind, why.code.as_deref()),
        (IgnoranceKind::Forbidden, Some("InvalidAuthenticationTokenTenant"))
    );
    let records = bench.simulator.records_since(0);
    let tokens = records
        .iter()
        .filter(|r| matches!(&r.entry, Entry::Request(q) if q.path.ends_with("/token")))
        .count();
    assert_eq!(tokens, 1);
}

#[tokio::test]
async fn a_wrong_secret_is_a_sign_in_that_fails_and_asks_once() {
    let mut wrong = settings();
    wrong.credential = sreg_azure::CredentialKind::ClientSecret("wrong".to_owned().into());
    let bench = Bench::with(wrong);
    let azure = bench.observe().await;
    let why = azure.registry().ignorance().unwrap();
    assert_eq!(why.kind, IgnoranceKind::SignIn);
    assert_eq!(why.code.as_deref(), Some("AADSTS7000215"), "{why:?}");
    assert_eq!(why.attempt, "sign in to Azure", "no resource is to blame");
    assert_eq!(kind(&azure.principal), IgnoranceKind::SignIn);
    let asked = || {
        let records = bench.simulator.records_since(0);
        let tokens = |entry: &Entry| matches!(entry, Entry::Request(q) if q.path.ends_with("/token"));
        records.iter().filter(|r| tokens(&r.entry)).count()
    };
    assert!(
        asked() <= 2,
        "one request for each audience, however much is read: {}",
        asked()
    );
    let create = bench
        .carry_out(create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry))
        .await
        .unwrap_err();
    assert_eq!(create.disposition(), Disposition::Forbidden);
    assert_eq!(create.attempt, sreg_domain::action::SIGN_IN);
    assert!(asked() <= 2, "{}", asked());
}

#[tokio::test]
async fn a_lock_waits_alone_while_throttling_pauses_the_subscription() {
    let bench = Bench::new();
    let azure = bench.observe().await;
    let all = targets(&azure);
    let inject = |code: &str| {
        bench.simulator.inject(fault(
            "PUT",
            "privateEndpoints/sreg-contosoreg",
            status(429, code, Some(7)),
        ))
    };
    let create = |at: usize| create_endpoint(&all[at].0, all[at].1);
    inject("RetryableErrorDueToAnotherOperation");
    let failure = bench.carry_out(create(0)).await.unwrap_err();
    assert_eq!(failure.disposition(), Disposition::Wait(Duration::from_secs(7)));
    assert!(
        bench.carry_out(create(1)).await.is_ok(),
        "another endpoint is not held up"
    );
    inject("SubscriptionRequestsThrottled");
    let failure = bench.carry_out(create(0)).await.unwrap_err();
    assert_eq!(failure.disposition(), Disposition::Wait(Duration::from_secs(7)));
    let before = bench.writes();
    let refused = sreg_azure::AzureWriter::carry_out(
        &bench.client,
        "ml",
        &StepKind::Tag.into(),
        &create(2),
        Duration::from_secs(1),
    )
    .await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused.disposition(), Disposition::Wait(_)) && refused.message.starts_with("not sent"),
        "{refused:?}"
    );
    assert_eq!(bench.writes(), before);
    assert!(
        bench.observe().await.registry().seen().is_some(),
        "reads have a bucket of their own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_may_have_taken_effect() {
    for effect in [
        FaultEffect::TimeoutAfterEffect {},
        FaultEffect::DropAfterEffect {},
        FaultEffect::TruncatedJson {},
    ] {
        let bench = Bench::new();
        bench.simulator.inject(fault("PUT", "privateEndpoints", effect.clone()));
        let create = create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
        let failure = bench.carry_out(create.clone()).await.unwrap_err();
        assert_eq!(failure.disposition(), Disposition::Retry, "{effect:?}");
        assert!(failure.message.ends_with("it may have taken effect"), "{failure:?}");
        // Repeated, it finds its own work.
        assert_eq!(bench.carry_out(create).await, Ok(Effect::done()), "{effect:?}");
    }
}

#[tokio::test]
async fn rights_policies_and_deny_assignments_are_told_apart() {
    let bench = Bench::new();
    let create = || create_endpoint(&id(REGISTRY), EndpointGroup::AmlRegistry);
    for (http, code, disposition) in [
        (403, "LinkedAuthorizationFailed", Disposition::Forbidden),
        (403, "DenyAssignmentAuthorizationFailed", Disposition::Forbidden),
        (403, "RequestDisallowedByPolicy", Disposition::Terminal),
        (409, "ScopeLocked", Disposition::Terminal),
        (500, "InternalServerError", Disposition::Retry),
    ] {
        bench
            .simulator
            .inject(fault("PUT", "privateEndpoints", status(http, code, None)));
        let failure = bench.carry_out(create()).await.unwrap_err();
        assert_eq!(
            (failure.code.as_deref(), failure.disposition()),
            (Some(code), disposition)
        );
        assert!(failure.correlation_id.is_some() && failure.status == Some(http));
    }
}
