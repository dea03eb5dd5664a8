//! The Log Analytics query.

use serde_json::{Value, json};

use crate::azure::*;

const WORKSPACE: &str = "/resourceGroups/ml/providers/Microsoft.OperationalInsights/workspaces/logs";

async fn with_workspace() -> Azure {
    Azure::with(|seed| {
        let text =
            "subscriptions: [{name: ml}]\nlogAnalyticsWorkspaces: [{name: logs, subscription: ml, resourceGroup: ml}]";
        seed.log_analytics_workspaces = azure_sim::Seed::from_yaml(text).unwrap().log_analytics_workspaces;
        seed.callers = vec![
            serde_json::from_value(json!({"target": "contosoreg", "address": "203.0.113.9", "secondsAgo": 3000}))
                .unwrap(),
        ];
    })
    .await
}

const CALLERS: &str = "StorageBlobLogs | summarize Requests=count(), Last=max(TimeGenerated) by Resource=_ResourceId, Caller=CallerIpAddress";

async fn query(azure: &Azure, customer: &str, body: Value) -> Reply {
    let token = azure.sign_in_for(CLIENT, SECRET, "https://api.loganalytics.io").await;
    let bearer = format!("Bearer {token}");
    let path = format!("/v1/workspaces/{customer}/query");
    azure
        .send(
            "POST",
            &path,
            &[("authorization", &bearer)],
            body.to_string().as_bytes(),
        )
        .await
}

#[tokio::test(start_paused = true)]
async fn callers_are_told_by_target_within_the_window_and_by_customer_id_only() {
    let azure = with_workspace().await;
    let workspace = azure.get(&format!("{ML}{WORKSPACE}"), "2023-09-01").await;
    let customer = workspace.text("/properties/customerId").to_owned();
    let all = query(&azure, &customer, json!({"query": CALLERS, "timespan": "PT3600S"})).await;
    assert_eq!(all.status, 200, "{}", all.body);
    let rows = all.list("/tables/0/rows");
    assert_eq!(rows.len(), 3, "registry, storage, container registry");
    let (storage, _) = azure.accounts();
    assert!(
        rows.iter()
            .any(|r| r[0] == format!("{storage}/blobServices/default") && r[1] == "203.0.113.9" && r[2] == 1),
        "{rows:?}"
    );
    let fewer = query(&azure, &customer, json!({"query": CALLERS, "timespan": "PT1800S"})).await;
    assert_eq!(fewer.list("/tables/0/rows").len(), 0);
    azure.sim.add_caller(
        serde_json::from_value(json!({"target": storage, "address": "198.51.100.7:4711", "requests": 5})).unwrap(),
    );
    let newer = query(&azure, &customer, json!({"query": CALLERS, "timespan": "PT1800S"})).await;
    assert_eq!(newer.text("/tables/0/rows/0/1"), "198.51.100.7:4711");
    let by_id = query(&azure, "logs", json!({"query": CALLERS})).await;
    assert_eq!((by_id.status, by_id.code()), (404, "WorkspaceNotFoundError"));
    assert_eq!(query(&azure, &customer, json!({})).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_token_for_arm_and_a_query_that_is_none_are_refused() {
    let azure = with_workspace().await;
    let workspace = azure.get(&format!("{ML}{WORKSPACE}"), "2023-09-01").await;
    let customer = workspace.text("/properties/customerId").to_owned();
    let bearer = format!("Bearer {}", azure.token);
    let asked = json!({ "query": CALLERS }).to_string();
    let path = format!("/v1/workspaces/{customer}/query");
    let foreign = azure
        .send("POST", &path, &[("authorization", &bearer)], asked.as_bytes())
        .await;
    assert_eq!((foreign.status, foreign.code()), (403, "InvalidTokenError"));
    for (text, status, code) in [
        ("| where (", 400, "BadArgumentError"),
        ("AzureActivity | take 1", 501, "NotModelledByAzureSim"),
    ] {
        let refused = query(&azure, &customer, json!({ "query": text })).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{text}");
    }
}
