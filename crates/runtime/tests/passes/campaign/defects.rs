//! What must not happen at any moment, however well the run ends: a panic, in whatever task (the controller survives one in a
//! pass, and a task that nobody awaits takes it along), and a plan of the operator's that its own lint refuses.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use serde_json::Value;

use crate::api_server::ApiServer;

thread_local! {
    /// A run has its thread to itself, with all of its tasks.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(line(panic)));
            before(panic);
        }));
    });
}

fn line(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
    format!("panicked at {place}: {}", said.unwrap_or("no message"))
}

/// Runs something on a runtime of its own with paused time; answers what came of it, if it came to an end, and every panic.
pub fn alone<T>(run: impl Future<Output = T>) -> (Option<T>, Vec<String>) {
    listen();
    PANICS.take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run))).ok();
    drop(runtime);
    (ended, PANICS.take())
}

/// Every different refusal that any version of the object's status told of.
pub fn refused_plans(api: &ApiServer) -> Vec<String> {
    let refusals = |object: &Value| -> Vec<String> {
        let waits = object["status"]["waitingFor"].as_array().into_iter().flatten();
        let refused = waits.filter(|wait| wait["reason"] == "PlanRefusedStalled");
        refused.map(|wait| wait["message"].to_string()).collect()
    };
    let store = api.lock();
    let versions = store.log.iter().filter(|event| event.key.0 == "secureregistries");
    let all: BTreeSet<String> = versions.flat_map(|event| refusals(&event.object)).collect();
    all.into_iter().collect()
}

#[test]
fn a_panic_in_a_task_that_nobody_awaits_is_noticed() {
    let (ended, panics) = alone(async {
        drop(tokio::spawn(async { panic!("unnoticed") }));
        tokio::task::yield_now().await;
        "all is well"
    });
    assert_eq!(ended, Some("all is well"));
    assert!(panics.len() == 1 && panics[0].ends_with("unnoticed"), "{panics:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_plan_is_noticed_though_a_later_report_tells_of_it_no_more() {
    use crate::testbed::{NAME, NAMESPACE, Testbed};
    let testbed = Testbed::quick();
    assert_eq!(refused_plans(&testbed.api), Vec::<String>::new());
    let report = |waits: Value| {
        testbed.api.meddle("secureregistries", NAMESPACE, NAME, |object| {
            object["status"]["waitingFor"] = waits;
        });
    };
    report(serde_json::json!([{"reason": "PlanRefusedStalled", "message": "it breaks a rule", "actor": "User"}]));
    report(Value::Null);
    assert_eq!(refused_plans(&testbed.api), ["\"it breaks a rule\""]);
}
