//! Who asked storage and container registry lately, by address (azure.md §8.3, §8.4), from a Log Analytics workspace that the
//! spec names. Private addresses too: clients of the same region, or of a subnet with a service endpoint, reach the public side
//! with them (azure.md §8.3), so that only the planner, which knows the client networks, can tell who came through our endpoints.
//! No rows from a target at all means that its logs do not arrive there, which is not the same as no clients: `Unknown`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Value, json};
use sreg_domain::desired::{Desired, RecentPublicClients};
use sreg_domain::seen::{Fact, Ignorance, IgnoranceKind, PublicClient};
use sreg_domain::{ArmId, CallFailure};

use super::Look;
use super::addresses::address_of;
use crate::arm::{Call, Leaving, below};
use crate::json;

/// One row: who asked which target, whatever the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    target: ArmId,
    address: String,
}

/// Where callers are known from; another source implements this one method.
#[async_trait]
pub(super) trait CallerSource: Send + Sync {
    /// Everybody who asked one of the targets within the window.
    async fn callers(&self, targets: &[ArmId], window: Duration) -> Result<Vec<Caller>, CallFailure>;
}

/// The fact where the registry itself was not seen.
pub(super) fn not_asked_or(desired: &Desired, because: &str) -> Fact<Vec<PublicClient>> {
    match asked(desired) {
        Some(_) => Fact::not_read(because),
        None => Fact::Absent,
    }
}

fn asked(desired: &Desired) -> Option<&RecentPublicClients> {
    desired.whole()?.verification.recent_public_clients.as_ref()
}

/// A client whose address the logs do not tell.
const NO_ADDRESS: &str = "unknown address";

/// Recent callers; `Absent` unless the spec asks.
pub(super) async fn recent(look: &Look<'_>, desired: &Desired, targets: &[ArmId]) -> Fact<Vec<PublicClient>> {
    let Some(wish) = asked(desired) else {
        return Fact::Absent;
    };
    if targets.is_empty() {
        return Fact::not_read("the registry has no storage or container registry yet");
    }
    let source = LogAnalytics {
        look,
        workspace: &wish.workspace,
    };
    match source.callers(targets, wish.window).await {
        Ok(callers) => by_address(wish, targets, callers),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

fn by_address(wish: &RecentPublicClients, targets: &[ArmId], callers: Vec<Caller>) -> Fact<Vec<PublicClient>> {
    let heard: BTreeSet<&ArmId> = callers.iter().map(|c| &c.target).collect();
    if let Some(silent) = targets.iter().find(|t| !heard.contains(t)) {
        return Fact::Unknown(Ignorance {
            attempt: format!("look in {} for clients of {silent}", wish.workspace),
            kind: IgnoranceKind::Refused,
            message: "the workspace holds no logs of it within the window: send its diagnostic logs there".to_owned(),
            code: None,
            correlation_id: None,
            retry_after: None,
        });
    }
    let mut clients: BTreeMap<(ArmId, String), PublicClient> = BTreeMap::new();
    for caller in callers {
        // What is no address is shown as it is, and none as such: it must not hide a client. No prefix accepts either.
        let address = match address_of(&caller.address) {
            Some(address) => address.to_canonical().to_string(),
            None if caller.address.trim().is_empty() => NO_ADDRESS.to_owned(),
            None => caller.address.clone(),
        };
        let key = (caller.target.clone(), address.clone());
        clients.entry(key).or_insert_with(|| PublicClient {
            address,
            target: caller.target.clone(),
        });
    }
    Fact::Seen(clients.into_values().collect())
}

struct LogAnalytics<'a> {
    look: &'a Look<'a>,
    workspace: &'a ArmId,
}

#[async_trait]
impl CallerSource for LogAnalytics<'_> {
    async fn callers(&self, targets: &[ArmId], window: Duration) -> Result<Vec<Caller>, CallFailure> {
        let workspace = self.look.read(self.workspace).await?;
        let customer = json::text(&workspace, "/properties/customerId").and_then(|id| uuid::Uuid::parse_str(id).ok());
        let api = &self.look.inner.settings.cloud.log_analytics;
        let url = customer.and_then(|customer| {
            let customer = customer.to_string();
            let segments = [api.api_version.as_str(), "workspaces", &customer, "query"];
            below(api.endpoint.as_url(), segments).ok()
        });
        let Some(url) = url else {
            return Err(super::nonsense(self.workspace, "the workspace has no customerId"));
        };
        let action = "Microsoft.OperationalInsights/workspaces/query/read";
        let mut call = Call::get(
            url,
            &format!("query {} for clients", self.workspace),
            None,
            Some(action),
        );
        call.method = Method::Post;
        call.body = Some(json!({ "query": query(window), "timespan": format!("PT{}S", window.as_secs()) }));
        // A 200 may carry a partial result with an error: then not everybody is known.
        let answer = self.look.send(call, &api.audience.scope()).await?;
        let body = answer.clone().object()?;
        rows(&body, targets).ok_or_else(|| answer.nonsense("the answer is no table of callers"))
    }
}

/// Who asked which target, by address, without the port that some logs write (U23): each connection would be a row. Who pulls with a
/// token that was had before, or without any, is among the repository events alone. `isfuzzy` lets a missing table pass; a target
/// without rows is noticed afterwards.
fn query(window: Duration) -> String {
    format!(
        "union isfuzzy=true \
         (StorageBlobLogs | project TimeGenerated, Resource=_ResourceId, Caller=tostring(CallerIpAddress)), \
         (ContainerRegistryLoginEvents | project TimeGenerated, Resource=_ResourceId, Caller=tostring(CallerIpAddress)), \
         (ContainerRegistryRepositoryEvents | project TimeGenerated, Resource=_ResourceId, Caller=tostring(CallerIpAddress)) \
         | where TimeGenerated > ago({}s) \
         | extend Caller = replace_regex(Caller, @'^(\\d+\\.\\d+\\.\\d+\\.\\d+):\\d+$', @'\\1') \
         | distinct Resource, Caller",
        window.as_secs()
    )
}

/// The rows of the first table that concern our targets; `None` where it cannot be read.
fn rows(body: &Value, targets: &[ArmId]) -> Option<Vec<Caller>> {
    let table = json::list(body, "/tables").first()?;
    let names: Vec<&str> = json::list(table, "/columns")
        .iter()
        .map(|c| json::text(c, "/name").unwrap_or_default())
        .collect();
    let at = |name: &str| names.iter().position(|n| *n == name);
    let (resource, caller) = (at("Resource")?, at("Caller")?);
    let mut callers = Vec::new();
    for row in json::list(table, "/rows") {
        let logged = row.get(resource)?.as_str()?.to_ascii_lowercase();
        // Storage logs by its child `…/blobServices/default`.
        let below = |t: &&ArmId| {
            logged
                .strip_prefix(t.key())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Some(target) = targets.iter().find(below) else {
            continue;
        };
        callers.push(Caller {
            target: target.clone(),
            address: row.get(caller)?.as_str().unwrap_or_default().to_owned(),
        });
    }
    Some(callers)
}

#[cfg(test)]
mod tests {
    use sreg_api::registry::RecentPublicClientsPolicy;

    use super::*;

    fn target(name: &str) -> ArmId {
        format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{name}")
            .parse()
            .unwrap()
    }

    fn wish() -> RecentPublicClients {
        RecentPublicClients {
            workspace: "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w"
                .parse()
                .unwrap(),
            window: Duration::from_secs(3600),
            policy: RecentPublicClientsPolicy::Block,
            accept: Vec::new(),
        }
    }

    fn answer(rows: Value) -> Value {
        let columns = ["Resource", "Caller"].map(|name| json!({"name": name, "type": "string"}));
        json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]})
    }

    #[test]
    fn callers_are_gathered_by_address_without_port_private_ones_too() {
        let blob = format!("{}/blobServices/default", target("a").to_string().to_uppercase());
        let body = answer(json!([
            [blob, "20.1.2.3:5000"],
            [blob, "20.1.2.3:5001"],
            [blob, "10.0.0.4:1"],
            [blob, "[fde4:8dba::7]:443"],
            ["/subscriptions/other", "20.9.9.9"],
        ]));
        let callers = rows(&body, &[target("a")]).unwrap();
        let Fact::Seen(clients) = by_address(&wish(), &[target("a")], callers) else {
            panic!()
        };
        let told: Vec<&str> = clients.iter().map(|c| c.address.as_str()).collect();
        assert_eq!(told, ["10.0.0.4", "20.1.2.3", "fde4:8dba::7"]);
    }

    #[test]
    fn a_client_without_an_address_is_a_client() {
        let row = |caller: Value| json!([target("a").to_string(), caller]);
        let body = answer(json!([row(json!("")), row(json!(null)), row(json!(" "))]));
        let callers = rows(&body, &[target("a")]).unwrap();
        let Fact::Seen(clients) = by_address(&wish(), &[target("a")], callers) else {
            panic!()
        };
        let told: Vec<&str> = clients.iter().map(|c| c.address.as_str()).collect();
        assert_eq!(told, ["unknown address"]);
    }

    #[test]
    fn a_silent_target_is_unknown_and_never_without_clients() {
        let body = answer(json!([[target("a").to_string(), "10.0.0.4"]]));
        let both = [target("a"), target("b")];
        let unknown = by_address(&wish(), &both, rows(&body, &both).unwrap());
        assert!(unknown.ignorance().unwrap().attempt.contains("/b"));
        let heard = by_address(&wish(), &both[..1], rows(&body, &both[..1]).unwrap());
        assert_eq!(heard.seen().map(Vec::len), Some(1));
        for nonsense in [
            json!({}),
            json!({"tables": []}),
            answer(json!([[1, 2]])),
            json!({"tables": [{"columns": [], "rows": []}]}),
        ] {
            assert_eq!(rows(&nonsense, &both), None, "{nonsense}");
        }
    }
}
